package expand

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
)

// Expanded is what the resources among some items have become.
type Expanded struct {
	function Function
	around   *snapshot
	jobs     []*job
	// Findings are what was found. If any is an error, the outputs are incomplete.
	Findings finding.List
	// Strict says that warnings are errors; see finding.List.Strictly.
	Strict bool
}

// Items expands the resources of the function's kinds among some items, for somebody who wants the objects; see Plain.
func (f Function) Items(items []manifest.Object, options resource.Settings) Expanded {
	return f.expand(items, read(items), options, Print)
}

// Outputs are what became of each resource.
func (e *Expanded) Outputs() []Output {
	out := make([]Output, len(e.jobs))
	for i, j := range e.jobs {
		out[i] = j.output
	}
	return out
}

// expand expands, of the resources to work on, those of the function's kinds. They are among the items of the package,
// but for the functionConfig of a generator.
func (f Function) expand(
	work []manifest.Object, c *contents, settings resource.Settings, mode Mode,
) Expanded {
	general, every := settings.Upon(f.base), c.with(work)
	e := Expanded{
		function: f, around: &snapshot{contents: c, mode: mode, options: general, dirs: directories{}},
		Findings: resource.Mistakes(every.items, false), Strict: every.strict(general),
	}
	e.decode(work, general)
	e.Findings = append(e.Findings, e.around.do(e.jobs)...)
	if f.Name == RenderIstio.Name && len(c.items) > 1 {
		m := e.around.mesh()
		e.Findings = append(e.Findings, e.around.about(append(mesh.Collisions(m.ControlPlanes), m.Unserved()...))...)
		e.Findings = append(e.Findings, append(e.crdsUndecided(), e.unprotectedNamespaces()...)...)
	}
	if f.Name == RenderIstio.Name || f.Name == RevisionTag.Name {
		e.Findings = append(e.Findings, e.tagClashes()...)
	}
	return e
}

// decode makes a job of each resource that there is to do.
func (e *Expanded) decode(work []manifest.Object, general resource.Options) {
	seen := map[string]string{}
	for _, item := range work {
		if !resource.IsResource(item, e.function.Kinds...) || item.APIVersion() != v1.GroupVersion.String() {
			// Another apiVersion is a mistake.
			continue
		}
		r, findings := resource.Decode(item)
		e.Findings = append(e.Findings, findings...)
		if findings.HasError() {
			continue
		}
		if first, twice := seen[r.Name()]; twice {
			e.Findings = append(e.Findings,
				resource.Finding(item, finding.Error, []string{"metadata", "name"}, r.Name()+" is there twice"+first))
			continue
		}
		seen[r.Name()] = resource.Also(item)
		e.jobs = append(e.jobs, &job{
			Resource: r, options: r.Settings.Upon(general), around: e.around, output: Output{Owner: r.Name()},
		})
	}
}

// tagClashes refuses the tags of the resources that have been expanded which another resource has. Who expands that one
// says so as well.
func (e *Expanded) tagClashes() finding.List {
	return e.around.about(slices.DeleteFunc(e.around.mesh().TagClashes(), func(f finding.Finding) bool {
		return !slices.ContainsFunc(e.jobs, func(j *job) bool { return j.output.Owner == f.Ref.String() })
	}))
}

// Plain gives the objects for a place that remembers nothing: no resources of sailoperator.io, unless the user has them
// tracked. It adds a warning to the findings if that leaves old revisions to nobody.
func (e *Expanded) Plain() ([]manifest.Object, error) {
	e.Findings = append(e.Findings, e.untracked()...)
	return e.objects()
}

// objects are those of Plain.
func (e *Expanded) objects() ([]manifest.Object, error) {
	var all []manifest.Object
	for _, j := range e.jobs {
		if j.options.Track {
			source := SourceObject(j.Object)
			source.SetAnnotation(manifest.AnnotationRenderedBy, e.function.Name)
			if j.Revision != nil {
				recordRelease(source, j.output.Release, j.options)
			}
			all = append(all, source)
			if j.Istio != nil {
				rev, err := RevisionObject(j.output, source)
				if err != nil {
					return nil, err
				}
				rev.SortAnnotations()
				all = append(all, rev)
			}
		}
		all = append(all, j.output.Objects...)
	}
	for _, o := range all {
		o.SortAnnotations()
	}
	if len(e.jobs) > 1 {
		manifest.Sort(all)
	}
	if id, twice := manifest.Duplicate(all); twice {
		return nil, fmt.Errorf("two resources both generate %s: give them different names or namespaces", id)
	}
	return all, nil
}

// untracked warns of a RevisionBased control plane whose old revisions nobody will remove: nothing remembers them
// here, and no controller hears of them, since the resource is not in the output or is dropped from it later
// (local-config).
func (e *Expanded) untracked() finding.List {
	var findings finding.List
	for _, j := range e.jobs {
		unseen := j.Object.Annotation(resource.AnnotationLocalConfig) == "true"
		if e.around.mode.plain() {
			unseen = !j.options.Track
		}
		if unseen && j.Istio != nil && j.Istio.Spec.RevisionBased() {
			findings = append(findings,
				resource.Finding(j.Object, finding.Warning, []string{"spec", "updateStrategy", "type"},
					"RevisionBased without tracking: nothing here remembers older revisions, so nobody will remove the old one "+
						"after an upgrade. Let the controller track it (generator: annotation lateen.io/track: \"true\"; transformer: "+
						"no local-config), or remove old revisions by hand"))
		}
	}
	return findings
}

// dir is the directory of an output's files, beside the file of its source.
func (o Output) dir() string {
	kind, name, _ := strings.Cut(o.Owner, "/")
	switch kind {
	case v1.KindIstioRevisionTag:
		return "tag-" + name
	case v1.KindIstioCNI:
		return "cni"
	}
	return o.Revision.Name
}
