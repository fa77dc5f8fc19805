package expand

import (
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// contents are the items of a package, read once: what asks for some of them finds them here, and does not go through
// the items again. They are in the order of the package.
type contents struct {
	items []manifest.Object
	ids   map[manifest.ID]bool
	// resources are all of sailoperator.io.
	resources []manifest.Object
	// written are all items that no run has generated.
	written []written
	// generated are the others, with all that belongs to no revision.
	generated []generated
	// namespaces, crds and reports, whoever has written them.
	namespaces, crds, reports []manifest.Object
}

// written is an item that a user wrote, or another tool.
type written struct {
	manifest.Object

	id manifest.ID
}

// generated is an item that an earlier run made of a resource.
type generated struct {
	manifest.Object

	id manifest.ID
	// owner is the resource: "Istio/default".
	owner string
	// revision is the revision of a control plane that it belongs to; empty for what belongs to none.
	revision string
}

// read sorts the items of a package.
func read(items []manifest.Object) *contents {
	c := &contents{items: items, ids: make(map[manifest.ID]bool, len(items))}
	for _, item := range items {
		id, owner := item.ID(), item.Annotation(manifest.AnnotationOwner)
		c.ids[id] = true
		if owner == "" {
			c.written = append(c.written, written{item, id})
		} else {
			c.generated = append(c.generated, generated{item, id, owner, revisionOf(item, id, owner)})
		}
		switch {
		case id.Group == v1.GroupVersion.Group:
			c.resources = append(c.resources, item)
		case isNamespace(id):
			c.namespaces = append(c.namespaces, item)
		case id.Kind == kindCRD:
			c.crds = append(c.crds, item)
		case isReport(id):
			c.reports = append(c.reports, item)
		}
	}
	return c
}

// with is a package with what else there is to work on: kustomize's generator has its resource beside the package.
func (c *contents) with(work []manifest.Object) *contents {
	there := make(map[*yaml.Node]bool, len(c.items))
	for _, item := range c.items {
		there[item.Node()] = true
	}
	more := slices.DeleteFunc(slices.Clone(work), func(o manifest.Object) bool { return there[o.Node()] })
	if len(more) == 0 {
		return c
	}
	return read(slices.Concat(c.items, more))
}

// revisionOf is the revision of a control plane that a generated item belongs to, or "".
func revisionOf(item manifest.Object, id manifest.ID, owner string) string {
	if kind, _, _ := strings.Cut(owner, "/"); kind != v1.KindIstio && kind != v1.KindIstioRevision {
		return ""
	}
	if id.Kind == v1.KindIstioRevision && id.Group == v1.GroupVersion.Group {
		return id.Name
	}
	return item.Label(manifest.LabelRevision)
}

// key tells the revisions of control planes apart, by owner and name; "" for what belongs to none.
func (g generated) key() string {
	if g.revision == "" {
		return ""
	}
	return g.owner + " " + g.revision
}

func isNamespace(id manifest.ID) bool { return id.Kind == "Namespace" && id.Group == "" }

func isReport(id manifest.ID) bool {
	group, _, _ := strings.Cut(usage.APIVersion, "/")
	return id.Kind == usage.Kind && id.Group == group
}

// of are the resources of some kinds that users wrote.
func (c *contents) of(kinds ...string) []manifest.Object {
	var out []manifest.Object
	for _, item := range c.resources {
		if resource.IsResource(item, kinds...) {
			out = append(out, item)
		}
	}
	return out
}

// has are the names of the resources of some kinds that users wrote, such as "Istio/default".
func (c *contents) has(kinds ...string) map[string]bool {
	out := map[string]bool{}
	for _, item := range c.of(kinds...) {
		out[nameOf(item)] = true
	}
	return out
}

// revisions are the IstioRevisions that were generated for a resource.
func (c *contents) revisions(owner string) []manifest.Object {
	return resource.Revisions(c.resources, owner)
}

// tagNames are the names of the IstioRevisionTags.
func (c *contents) tagNames() map[string]bool {
	out := map[string]bool{}
	for _, item := range c.of(v1.KindIstioRevisionTag) {
		out[item.ID().Name] = true
	}
	return out
}

// annotated are the values of an option in the annotations of Lateen's resources.
func (c *contents) annotated(option string) []string {
	var out []string
	for _, item := range c.resources {
		if item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		if value := item.Annotation(resource.OptionPrefix + option); value != "" {
			out = append(out, value)
		}
	}
	return out
}

// strict reports whether the options say so, or any resource of Lateen. Whoever asks for it means the whole run: there
// is no precedence by which another could take it back.
func (c *contents) strict(options resource.Options) bool {
	return options.Strict || slices.Contains(c.annotated(resource.OptionStrict), "true")
}

func nameOf(o manifest.Object) string { return o.Kind() + "/" + o.ID().Name }
