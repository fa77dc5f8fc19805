package expand

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// job is one resource on its way to its objects.
type job struct {
	// Resource is as it was read, with the options in force for it, those of its annotations included.
	resource.Resource

	options resource.Options
	around  *snapshot
	output  Output
	// crds selects, by name, the CRDs of Istio that come with this one; nil selects none.
	crds     func(name string) bool
	findings finding.List
	in       render.Input
	planned  render.Plan
}

// do plans and renders all jobs, the latter in parallel. It adds what they have planned to what is known of the
// package.
func (s *snapshot) do(jobs []*job) finding.List {
	for _, j := range jobs {
		j.plan()
	}
	crds(jobs)
	each(jobs, (*job).render)
	var findings finding.List
	for _, j := range jobs {
		findings = append(findings, j.findings...)
	}
	s.plan(jobs)
	return findings
}

func (j *job) fail(pointer []string, format string, args ...any) *finding.Finding {
	return j.add(finding.Error, pointer, fmt.Sprintf(format, args...))
}

func (j *job) add(s finding.Severity, pointer []string, message string) *finding.Finding {
	return j.findings.Add(resource.Finding(j.Object, s, pointer, message))
}

// plan decides everything but the objects.
func (j *job) plan() {
	j.in = render.Input{
		Istio: j.Istio, Revision: j.Revision, CNI: j.CNI, Tag: j.Tag,
		Options: j.options, Owner: j.output.Owner, Installed: j.around.installed(j.Resource),
		Written: func(pointer []string) (string, bool) { return yamltree.Written(j.Object.Node(), pointer) },
	}
	if j.Tag == nil {
		charts, err := j.around.dirs.open(j.options)
		if err != nil {
			j.fail(nil, "option charts: %v", err).Err = err
			return
		}
		j.in.Charts = charts
	} else if !j.target() {
		return
	}
	var found finding.List
	j.planned, found = render.Prepare(j.in)
	j.found(found)
	j.output.Release, j.output.Revision = j.planned.Release, j.planned.Planned
	if j.CNI != nil && !j.findings.HasError() {
		j.skew()
	}
}

// skew warns of a CNI plugin that does not go with a control plane of the package.
func (j *job) skew() {
	for _, c := range j.around.mesh().ControlPlanes {
		if f, skewed := mesh.Skew(resource.RefOf(j.Object), j.output.Release.Version, c); skewed {
			j.found(finding.List{f})
		}
	}
}

// found adds what was found about the resource.
func (j *job) found(list finding.List) {
	j.findings = append(j.findings, resource.About(j.Object, list)...)
}

func (j *job) render() {
	if j.findings.HasError() || len(j.output.Objects) > 0 { // keep has them
		return
	}
	if j.CNI == nil && j.Tag == nil {
		j.protect()
	}
	j.planned.Protected, j.planned.CRDs = j.output.Protected, j.crds
	out, found := j.planned.Render()
	j.found(found)
	j.output.Objects = out.Objects
}

// protect decides whether the objects ask GitOps tools not to prune them: those of a control plane that is updated by
// revisions do where nothing remembers older ones, those of any other if the option says so.
func (j *job) protect() {
	based := !j.around.mode.remembers() && j.Istio != nil && j.Istio.Spec.RevisionBased()
	j.output.Protected = j.options.Protect == resource.ProtectAll || based && j.options.Protect != resource.ProtectNone
	if based && !j.output.Protected {
		_ = j.add(finding.Warning, nil, "option protect is teardown: GitOps tools prune the objects as soon as "+
			"they are no longer rendered. That is the "+
			"step before a mesh is taken down; take it away before an upgrade, which would cost the old revision "+
			"and its proxies")
	}
}

// each runs f for all jobs on as many goroutines as there are processors.
func each(jobs []*job, f func(*job)) {
	if len(jobs) == 1 { // waking another processor takes as long as some of the work
		f(jobs[0])
		return
	}
	next := make(chan *job)
	var wg sync.WaitGroup
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range next {
				f(j)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	wg.Wait()
}

// target finds what a tag points at. It reports whether there is anything to render the tag with.
func (j *job) target() bool {
	ref := j.Tag.Spec.TargetRef
	tag := mesh.Tag{
		Ref: resource.RefOf(j.Object), Name: j.Tag.Name, Target: finding.Ref{Kind: string(ref.Kind), Name: ref.Name},
	}
	of, wrong := j.around.mesh().Target(tag)
	target := j.around.behind(of)
	switch {
	case wrong == nil:
		j.takeOver(target)
		return true
	case target.err == nil:
	case j.keep(target):
		wrong.Severity = finding.Warning
		wrong.Message = "spec.targetRef: the objects of the tag stay as they are, because " +
			strings.TrimPrefix(wrong.Message, "spec.targetRef: ") + sameCharts(target.err)
	default:
		wrong.Err = target.err
		wrong.Message += sameCharts(target.err)
	}
	j.found(finding.List{*wrong})
	return false
}

// takeOver gives the tag what its target was rendered with.
func (j *job) takeOver(target controlPlane) {
	if target.otherCharts {
		ref := j.Tag.Spec.TargetRef
		_ = j.add(finding.Warning, []string{"spec", "targetRef", "name"},
			fmt.Sprintf("spec.targetRef: %s/%s was rendered with other charts of Istio %s than those that the tag gets: "+
				"give revision-tag the same option charts as render-istio", ref.Kind, ref.Name, target.Version))
	}
	j.in.Target = &target.plan
	if j.in.Options.KubeVersion == "" {
		j.in.Options.KubeVersion = target.kubeVersion
	}
	own, _ := resource.SettingsOf(target.item)
	if flux := own.Options().FluxSubstitute; flux != resource.SubstituteUnknown { // the tag has the values of its target
		j.in.Options.FluxSubstitute = flux
	}
}

// keep takes over what the package has of the tag, if its target is an earlier revision that cannot be rendered any
// more. It reports whether there is anything.
func (j *job) keep(target controlPlane) bool {
	if target.Owner == "" {
		return false
	}
	for _, g := range j.around.generated {
		if g.owner == j.output.Owner && g.Label(manifest.LabelRevision) == target.Name {
			j.output.Objects = append(j.output.Objects, g.Copy())
		}
	}
	return len(j.output.Objects) > 0
}

// sameCharts says what else to do about charts that are missing: the function for control planes may have been told of
// some.
func sameCharts(err error) string {
	if _, missing := errors.AsType[*release.UnknownVersionError](err); missing {
		return ". If render-istio has the option charts, give revision-tag the same"
	}
	return ""
}
