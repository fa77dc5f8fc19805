package expand

import (
	"errors"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// around is a package as one of its resources sees it.
type around struct {
	items []manifest.Object
	// options are those in force for every resource of the package, below its own annotations.
	options krm.Options
	dirs    directories

	planned map[*yaml.Node]plane // what this run has planned already, by item
	planes  []plane              // see controlPlanes
	looked  bool
}

// plan takes over what has been planned of the package's control planes, so that looking around does not plan it again.
func (a *around) plan(sources []krm.Resource, outputs []Output) {
	a.planned = make(map[*yaml.Node]plane, len(outputs))
	for i, out := range outputs {
		r := sources[i]
		if out.Revision == nil || r.Istio == nil && r.Revision == nil {
			continue
		}
		p := plane{item: r.Object, name: out.Revision.Name, version: out.Release.Version, revision: out.Revision, release: out.Release}
		if r.Istio != nil {
			p.istio = r.Istio.Name
		}
		a.planned[r.Object.Node()] = p
	}
}

// plane is one control plane of a package: the planned revision of an Istio, whether or not it has been rendered yet, or an
// IstioRevision.
type plane struct {
	item manifest.Object
	// istio is the name of the Istio whose active revision it is; empty for what is an IstioRevision in the package.
	istio string
	// name is the revision's; empty if the Istio is wrong.
	name string
	// version is the resolved Istio version, empty if it is not known.
	version string
	// revision and release are set unless err says why not.
	revision *v1.IstioRevision
	release  release.Release
	err      error
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
	r, results := krm.Decode(item)
	for _, result := range results {
		if result.Severity == fn.Error {
			p.err = errors.New(result.Message)
			return p
		}
	}
	options := r.Options.Over(a.options)
	var dir *release.Directory
	if dir, p.err = a.dirs.open(options[krm.OptionCharts]); p.err != nil {
		return p
	}
	if p.release, p.err = release.Bundled().Resolve(string(r.Version()), dir); p.err != nil {
		return p
	}
	p.version = p.release.Version
	if r.Istio != nil {
		p.revision, p.err = planIstio(r.Istio, p.release, options)
	} else {
		p.revision, p.err = render.Complete(r.Revision)
	}
	if p.err == nil {
		p.name = p.revision.Name
	}
	return p
}

// tags are the names of the revision tags in the package.
func (a *around) tags() map[string]bool {
	out := map[string]bool{}
	for _, item := range a.items {
		if item.Kind() == v1.KindIstioRevisionTag && item.ID().Group == v1.GroupVersion.Group {
			out[item.ID().Name] = true
		}
	}
	return out
}

// target finds what a tag points at.
func (j *job) target() {
	ref := j.Resource.Tag.Spec.TargetRef
	planes := j.around.controlPlanes()
	if slices.ContainsFunc(planes, func(p plane) bool { return p.name == j.Resource.Tag.Name }) {
		j.fail([]string{"metadata", "name"}, "a revision has the name of the tag, %s: workloads with the label istio.io/rev=%[1]s would be "+
			"injected twice; rename the tag", j.Resource.Tag.Name)
		return
	}
	pointer := []string{"spec", "targetRef", "name"}
	i := slices.IndexFunc(planes, func(p plane) bool {
		if ref.Kind == v1.TargetIstio {
			return p.istio == ref.Name
		}
		return p.name == ref.Name
	})
	if i < 0 {
		j.fail(pointer, "spec.targetRef: %s/%s is not in the package; there are: %s", ref.Kind, ref.Name, list(planes)).Field.CurrentValue = ref.Name
		return
	}
	target := planes[i]
	switch {
	case target.err != nil:
		j.fail(pointer, "spec.targetRef: %s/%s cannot be rendered: %v", ref.Kind, ref.Name, target.err)
	case render.Remote(target.revision):
		j.fail(pointer, "spec.targetRef: %s/%s is a remote control plane; a tag can only point at one in the same cluster", ref.Kind, ref.Name)
	default:
		j.output.Revision, j.output.Release = target.revision, target.release
	}
}

func list(planes []plane) string {
	var names []string
	for _, p := range planes {
		if p.istio != "" {
			names = append(names, v1.KindIstio+"/"+p.istio)
		}
		if p.name != "" {
			names = append(names, v1.KindIstioRevision+"/"+p.name)
		}
	}
	if len(names) == 0 {
		return "none. Under kustomize, list the function as a transformer: a generator does not see the other resources"
	}
	return strings.Join(names, ", ")
}
