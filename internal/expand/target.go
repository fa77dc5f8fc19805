package expand

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// around is a package as one of its resources sees it.
type around struct {
	items []manifest.Object
	// options are those in force for every resource of the package, below its own annotations.
	options resource.Options
	dirs    directories

	planned map[*yaml.Node]plane // what this run has planned already, by item
	planes  []plane              // see controlPlanes
	looked  bool
}

// plan takes over what has been planned of the package's control planes, so that looking around does not plan it again.
func (a *around) plan(sources []resource.Resource, outputs []Output) {
	a.planned = make(map[*yaml.Node]plane, len(outputs))
	for i, out := range outputs {
		r := sources[i]
		if out.Revision == nil || r.Istio == nil && r.Revision == nil {
			continue
		}
		p := plane{
			item: r.Object, name: out.Revision.Name, version: out.Release.Version,
			plan: render.Plan{Release: out.Release, Planned: out.Revision},
		}
		if r.Istio != nil {
			p.istio = r.Istio.Name
		}
		a.planned[r.Object.Node()] = p
	}
}

// plane is one control plane of a package: the planned revision of an Istio, whether or not it has been rendered yet,
// or an IstioRevision.
type plane struct {
	item manifest.Object
	// istio is the name of the Istio whose active revision it is; empty for what is an IstioRevision in the package.
	istio string
	// name is the revision's; empty if the Istio is wrong.
	name string
	// version is the resolved Istio version, empty if it is not known.
	version string
	// plan is complete unless err says why not.
	plan render.Plan
	err  error
	// kubeVersion is the option in force for it.
	kubeVersion string
	// otherCharts says that it was rendered with charts of the same version that are not those of the plan.
	otherCharts bool
}

// controlPlanes lists the control planes of the package, each once: Istios first, with their planned revisions.
func (a *around) controlPlanes() []plane {
	if a.looked {
		return a.planes
	}
	a.looked = true
	seen := map[string]bool{}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision} {
		for _, item := range a.items {
			if item.Kind() != kind || item.ID().Group != v1.GroupVersion.Group {
				continue
			}
			p := a.plane(item)
			if p.name == "" || !seen[p.name] {
				a.planes = append(a.planes, p)
			}
			seen[p.name] = true
		}
	}
	return a.planes
}

func (a *around) plane(item manifest.Object) plane {
	if p, ok := a.planned[item.Node()]; ok {
		return p
	}
	p := plane{item: item, version: item.Annotation(manifest.AnnotationVersion)}
	if item.Kind() == v1.KindIstio {
		p.istio = item.ID().Name
	} else {
		p.name = item.ID().Name
	}
	r, findings := resource.Decode(item)
	for _, result := range findings {
		if result.Severity == finding.Error {
			p.err = errors.New(result.Message)
			return p
		}
	}
	record := a.record(r)
	options := r.Settings.Upon(recorded(record, a.options))
	p.kubeVersion = options.KubeVersion
	in := render.Input{Istio: r.Istio, Revision: r.Revision, Options: options}
	if r.Revision != nil && record != nil && p.version != "" {
		in.Revision = r.Revision.DeepCopy()
		in.Revision.Spec.Version = v1.Version(p.version) // an alias may mean a newer one by now
	}
	if in.Charts, p.err = a.dirs.open(options); p.err != nil {
		return p
	}
	if p.plan, p.err = render.Settle(in); p.plan.Release.Version != "" {
		p.version = p.plan.Release.Version
		p.otherCharts = record != nil && record.Annotation(manifest.AnnotationVersion) == p.version &&
			record.Annotation(manifest.AnnotationChartDigest) != p.plan.Release.Digest
	}
	if p.err == nil {
		p.name = p.plan.Planned.Name
	}
	return p
}

// record is what render-istio has written about a control plane when it rendered it: the IstioRevision that was
// generated for an Istio, as it is planned now, or the generated IstioRevision itself; nil if there is none.
func (a *around) record(r resource.Resource) *manifest.Object {
	if r.Revision != nil {
		if r.Object.Annotation(manifest.AnnotationOwner) == "" {
			return nil
		}
		return &r.Object
	}
	name, err := render.RevisionName(r.Istio)
	if err != nil {
		return nil // planning it says so
	}
	for _, item := range resource.Revisions(a.items, r.Name()) {
		if item.ID().Name == name {
			return &item
		}
	}
	return nil
}

// recorded are the options, and where they say nothing, those that a control plane was rendered with, as far as they
// are on record: render-istio may have them from a functionConfig of its own.
func recorded(record *manifest.Object, options resource.Options) resource.Options {
	if record != nil {
		options.KubeVersion = cmp.Or(options.KubeVersion, record.Annotation(manifest.AnnotationKubeVersion))
		options.Platform = cmp.Or(options.Platform, resource.Text(*record, "spec", "values", "global", "platform"))
	}
	return options
}

// tagNames are the names of the revision tags in a package.
func tagNames(items []manifest.Object) map[string]bool {
	out := map[string]bool{}
	for _, item := range items {
		if resource.IsResource(item, v1.KindIstioRevisionTag) {
			out[item.ID().Name] = true
		}
	}
	return out
}

// target finds what a tag points at. It reports whether there is anything to render the tag with.
func (j *job) target() bool {
	ref := j.Resource.Tag.Spec.TargetRef
	planes := j.around.controlPlanes()
	if i := slices.IndexFunc(planes, func(p plane) bool { return p.name == j.Resource.Tag.Name }); i >= 0 {
		j.fail([]string{"metadata", "name"},
			"a revision has the name of the tag, %s: workloads with the label istio.io/rev=%[1]s would be "+
				"injected twice; %s", j.Resource.Tag.Name, j.around.makeWay(planes[i]))
		return false
	}
	pointer := []string{"spec", "targetRef", "name"}
	i := slices.IndexFunc(planes, func(p plane) bool {
		if ref.Kind == v1.TargetIstio {
			return p.istio == ref.Name
		}
		return p.name == ref.Name
	})
	if i < 0 {
		j.fail(pointer, "spec.targetRef: %s/%s is not in the package; there are: %s", ref.Kind, ref.Name,
			list(planes, j.around.items)).Current = ref.Name
		return false
	}
	target := planes[i]
	switch {
	case target.err != nil && j.keep(target):
		_ = j.add(finding.Warning, pointer,
			fmt.Sprintf("spec.targetRef: the objects of the tag stay as they are, because %s/%s cannot be rendered: %v%s",
				ref.Kind, ref.Name, target.err, sameCharts(target.err)))
	case target.err != nil:
		j.fail(pointer, "spec.targetRef: %s/%s cannot be rendered: %v%s", ref.Kind, ref.Name, target.err,
			sameCharts(target.err)).Err = target.err
	case render.Remote(target.plan.Planned):
		j.fail(pointer, "spec.targetRef: %s/%s is a remote control plane; a tag can only point at one in the same cluster",
			ref.Kind, ref.Name)
	default:
		if target.otherCharts {
			_ = j.add(finding.Warning, pointer,
				fmt.Sprintf("spec.targetRef: %s/%s was rendered with other charts of Istio %s than those that the tag gets: "+
					"give revision-tag the same option charts as render-istio", ref.Kind, ref.Name, target.version))
		}
		j.in.Target = &target.plan
		if j.in.Options.KubeVersion == "" {
			j.in.Options.KubeVersion = target.kubeVersion
		}
		own, _ := resource.SettingsOf(target.item)
		if flux := own.Options().FluxSubstitute; flux != resource.SubstituteUnknown { // the tag has the values of its target
			j.in.Options.FluxSubstitute = flux
		}
		return true
	}
	return false
}

// keep takes over what the package has of the tag, if its target is an earlier revision that cannot be rendered any
// more. It tells whether there is anything.
func (j *job) keep(target plane) bool {
	if target.item.Annotation(manifest.AnnotationOwner) == "" {
		return false
	}
	for _, item := range j.around.items {
		if item.Annotation(manifest.AnnotationOwner) == j.output.Owner && item.Label(manifest.LabelRevision) == target.name {
			j.output.Objects = append(j.output.Objects, item.Copy())
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

// makeWay says what to do about a revision that has the name of a tag.
func (a *around) makeWay(p plane) string {
	owner := p.item.Annotation(manifest.AnnotationOwner)
	if owner == "" {
		return "rename the tag"
	}
	active := "the active revision"
	for _, other := range a.controlPlanes() {
		if other.istio != "" && owner == v1.KindIstio+"/"+other.istio && other.name != "" {
			active = other.name
		}
	}
	return fmt.Sprintf("it is an earlier revision of %s. Leave the tag out for now; move the workloads to %s by the "+
		"label istio.io/rev, and restart them. When nothing uses %s any more, remove the file of IstioRevision/%[3]s, or "+
		"let a usage report release it, and add the tag in the same commit",
		owner, active, p.name)
}

// list are the names that a tag can point at, or why there are none.
func list(planes []plane, items []manifest.Object) string {
	var names []string
	for _, p := range planes {
		if p.istio != "" {
			names = append(names, v1.KindIstio+"/"+p.istio)
		}
		if p.name != "" {
			names = append(names, v1.KindIstioRevision+"/"+p.name)
		}
	}
	for _, item := range items {
		if owner := item.Annotation(manifest.AnnotationOwner); len(names) == 0 && strings.HasPrefix(owner, v1.KindIstio+"/") {
			return fmt.Sprintf("none. There are objects of %s, which a generator has expanded and does not pass on: list it "+
				"among the resources, with %s: \"true\", and render-istio as a transformer", owner, resource.AnnotationLocalConfig)
		}
	}
	if len(names) == 0 {
		return "none. Under kustomize, list the function as a transformer: a generator does not see the other resources"
	}
	return strings.Join(names, ", ")
}
