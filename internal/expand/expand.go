// Package expand renders the resources of one package. It reads the items once, plans and renders each resource, shows
// package mesh a snapshot of the whole, and puts what comes out among the items: which generated ones go, which stay,
// and who brings Istio's CRDs, which a package has once.
package expand

import (
	"fmt"
	"runtime"
	"sync"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// Function is one of Lateen's functions.
type Function struct {
	// Name is that of the binary.
	Name string
	// Kinds are the kinds of resources that it expands.
	Kinds []string

	base resource.Options
}

// With is the function for a caller that has its options as data. They are of the weakest rank: all settings win.
func (f Function) With(options resource.Options) Function {
	f.base = options
	return f
}

// The functions. Each expands its kinds only, so that a pipeline lists what it wants.
var (
	RenderIstio = Function{Name: "render-istio", Kinds: []string{v1.KindIstio, v1.KindIstioRevision}}
	RenderCNI   = Function{Name: "render-cni", Kinds: []string{v1.KindIstioCNI}}
	RevisionTag = Function{Name: "revision-tag", Kinds: []string{v1.KindIstioRevisionTag}}
)

// Output is what became of one resource.
type Output struct {
	// Owner is the stamp on the objects: "Istio/default".
	Owner string
	// Release is the version that was rendered.
	Release release.Release
	// Revision is the planned IstioRevision of an Istio, the completed one that the user wrote, or the target of a tag. It
	// is nil for an IstioCNI.
	Revision *v1.IstioRevision
	// Objects are the plain objects, stamped and ordered.
	Objects []manifest.Object
	// Protected says that the objects ask GitOps tools not to prune them.
	Protected bool
}

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

// directories opens each charts directory once.
type directories map[string]*release.Directory

func (d directories) open(options resource.Options) (*release.Directory, error) {
	name := options.Charts
	if name == "" {
		return options.Brought, nil
	}
	if dir, ok := d[name]; ok {
		return dir, nil
	}
	dir, err := release.OpenDirectory(name)
	if err == nil {
		d[name] = dir
	}
	return dir, err
}
