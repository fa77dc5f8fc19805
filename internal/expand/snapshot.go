package expand

import (
	"cmp"
	"encoding/json"
	"errors"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// snapshot is a package as package mesh sees it, with the items that it was made from.
type snapshot struct {
	*contents

	mode Mode
	// options are those in force for every resource of the package, below its own annotations.
	options resource.Options
	dirs    directories

	planned map[*yaml.Node]controlPlane // what this run has planned already, by item
	planes  []controlPlane              // see controlPlanes
	looked  bool
	seen    *mesh.Snapshot // see mesh
}

// controlPlane is one of a package, with what it can be rendered from.
type controlPlane struct {
	mesh.ControlPlane

	item manifest.Object
	// plan is complete unless err says why not.
	plan render.Plan
	err  error
	// kubeVersion is the option in force for it.
	kubeVersion string
	// otherCharts says that it was rendered with charts of the same version that are not those of the plan.
	otherCharts bool
}

// controlPlanes lists the control planes of the package, each once: Istios first, with their planned revisions.
func (s *snapshot) controlPlanes() []controlPlane {
	if s.looked {
		return s.planes
	}
	s.looked = true
	seen := map[string]bool{}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision} {
		for _, item := range s.resources {
			if item.Kind() != kind {
				continue
			}
			c := s.controlPlane(item)
			if c.Name == "" || !seen[c.Name] {
				s.planes = append(s.planes, c)
			}
			seen[c.Name] = true
		}
	}
	return s.planes
}

// mesh is the package for package mesh.
func (s *snapshot) mesh() mesh.Snapshot {
	if s.seen != nil {
		return *s.seen
	}
	m := mesh.Snapshot{Forgets: !s.mode.remembers(), WithoutAny: s.withoutAny()}
	for _, c := range s.controlPlanes() {
		m.ControlPlanes = append(m.ControlPlanes, c.ControlPlane)
	}
	for _, item := range s.of(v1.KindIstioRevisionTag) {
		m.Tags = append(m.Tags, mesh.Tag{
			Ref: resource.RefOf(item), Name: item.ID().Name, Target: finding.Ref{
				Kind: resource.Text(item, "spec", "targetRef", "kind"), Name: resource.Text(item, "spec", "targetRef", "name"),
			},
		})
	}
	for _, c := range m.ControlPlanes {
		// The tags of an earlier revision are those of the active one.
		if c.Unusable == "" && c.Owner == "" {
			m.Tags = append(m.Tags, c.Tags()...)
		}
	}
	m.Consumers, m.Enrolled = s.consumers()
	s.seen = &m
	return m
}

// withoutAny is what to say to who misses a control plane in a package that has none.
func (s *snapshot) withoutAny() string {
	for _, g := range s.generated {
		if strings.HasPrefix(g.owner, v1.KindIstio+"/") {
			return "There are objects of " + g.owner + ", which a generator has expanded and does not pass on: list it " +
				"among the resources, with " + resource.AnnotationLocalConfig + `: "true", and render-istio as a transformer`
		}
	}
	return "Under kustomize, list the function as a transformer: a generator does not see the other resources"
}

// plan takes over what has been planned of the package's control planes, so that looking around does not plan it again.
func (s *snapshot) plan(jobs []*job) {
	s.planned = make(map[*yaml.Node]controlPlane, len(jobs))
	for _, j := range jobs {
		r := j.Resource
		if j.output.Revision == nil || r.Istio == nil && r.Revision == nil {
			continue
		}
		c := controlPlane{
			item: r.Object, plan: render.Plan{Release: j.output.Release, Planned: j.output.Revision},
			ControlPlane: asWritten(r.Object),
		}
		c.settled()
		s.planned[r.Object.Node()] = c
	}
}

// asWritten is what the item of a control plane says without being planned.
func asWritten(item manifest.Object) mesh.ControlPlane {
	c := mesh.ControlPlane{
		Ref: resource.RefOf(item), Owner: item.Annotation(manifest.AnnotationOwner),
		Version: item.Annotation(manifest.AnnotationVersion),
		ByRevisions: resource.Text(item, "spec", "updateStrategy", "type") ==
			string(v1.UpdateStrategyRevisionBased),
	}
	c.Coexists = c.ByRevisions
	if c.Ref.Kind == v1.KindIstio {
		c.Istio = c.Ref.Name
	} else {
		c.Name, c.Coexists = c.Ref.Name, true
	}
	return c
}

// settled takes over what the plan has decided.
func (c *controlPlane) settled() {
	if c.plan.Release.Version != "" {
		c.Version = c.plan.Release.Version
	}
	if planned := c.plan.Planned; planned != nil {
		c.Name, c.Namespace, c.Values = planned.Name, planned.Spec.Namespace, valuesOf(planned.Spec.Values)
	}
}

// controlPlane is that of an item, planned if it has not been yet.
func (s *snapshot) controlPlane(item manifest.Object) controlPlane {
	if c, ok := s.planned[item.Node()]; ok {
		return c
	}
	c := controlPlane{item: item, ControlPlane: asWritten(item)}
	if c.err = s.settle(&c); c.err != nil {
		c.Unusable = "cannot be rendered: " + c.err.Error()
		if raw, err := resource.JSON(item, "spec", "values"); err == nil {
			c.Values = valuesOf(&v1.Values{Raw: raw})
		}
	} else {
		c.settled()
	}
	return c
}

// settle plans a control plane.
func (s *snapshot) settle(c *controlPlane) error {
	r, findings := resource.Decode(c.item)
	for _, f := range findings {
		if f.Severity == finding.Error {
			return errors.New(f.Message)
		}
	}
	record := s.record(r)
	options := r.Settings.Upon(recorded(record, s.options))
	c.kubeVersion = options.KubeVersion
	in := render.Input{Istio: r.Istio, Revision: r.Revision, Options: options}
	if r.Revision != nil && record != nil && c.Version != "" {
		in.Revision = r.Revision.DeepCopy()
		in.Revision.Spec.Version = v1.Version(c.Version) // an alias may mean a newer one by now
	}
	var err error
	if in.Charts, err = s.dirs.open(options); err != nil {
		return err
	}
	c.plan, err = render.Settle(in)
	if rel := c.plan.Release; rel.Version != "" {
		c.Version = rel.Version
		c.otherCharts = record != nil && record.Annotation(manifest.AnnotationVersion) == rel.Version &&
			record.Annotation(manifest.AnnotationChartDigest) != rel.Digest
	}
	return err
}

// record is what render-istio has written about a control plane when it rendered it: the IstioRevision that was
// generated for an Istio, as it is planned now, or the generated IstioRevision itself; nil if there is none.
func (s *snapshot) record(r resource.Resource) *manifest.Object {
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
	for _, item := range s.revisions(r.Name()) {
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

// installed is the version that a resource was rendered with, as it is on record: on the IstioRevision, or on the
// objects of an IstioCNI. "" if there is none.
func (s *snapshot) installed(r resource.Resource) string {
	switch {
	case r.Tag != nil:
	case r.CNI == nil:
		if record := s.record(r); record != nil {
			return record.Annotation(manifest.AnnotationVersion)
		}
	default:
		for _, g := range s.generated {
			if g.owner != r.Name() {
				continue
			}
			if v := g.Annotation(manifest.AnnotationVersion); v != "" {
				return v
			}
		}
	}
	return ""
}

// behind is what the package has of a control plane.
func (s *snapshot) behind(c mesh.ControlPlane) controlPlane {
	for _, known := range s.controlPlanes() {
		if known.Ref == c.Ref && known.Name == c.Name {
			return known
		}
	}
	return controlPlane{}
}

// about gives findings of package mesh the places of the items that they are about, unless they have one.
func (s *snapshot) about(found finding.List) finding.List {
	var out finding.List
	for _, f := range found {
		about := finding.List{f}
		for _, w := range s.written {
			if f.File == "" && f.Ref.Kind == w.id.Kind && f.Ref.Name == w.id.Name && f.Ref == resource.RefOf(w.Object) {
				about = resource.About(w.Object, about)
				break
			}
		}
		out = append(out, about...)
	}
	return out
}

func valuesOf(v *v1.Values) map[string]any {
	var m map[string]any
	if v == nil || json.Unmarshal(v.Raw, &m) != nil {
		return nil
	}
	return m
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
