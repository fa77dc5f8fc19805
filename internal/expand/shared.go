package expand

import (
	"slices"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// keepShared gives the objects that came with a revision of the resource which leaves the package, and that its other
// revisions rely on: the active one takes them over. A tag named default brings them itself.
func keepShared(items []manifest.Object, out Output, released []string) []manifest.Object {
	if out.Revision == nil || tagNames(items)["default"] {
		return nil
	}
	stay := map[string]bool{}
	for _, item := range resource.Revisions(items, out.Owner) {
		stay[item.ID().Name] = !slices.Contains(released, item.ID().Name)
	}
	var kept []manifest.Object
	for _, item := range items {
		id, of := item.ID(), item.Label(manifest.LabelRevision)
		switch {
		case item.Annotation(manifest.AnnotationOwner) != out.Owner || !render.Shared(id.Kind, id.Name) ||
			id.Namespace != out.Revision.Spec.Namespace:
		case of != out.Revision.Name && stay[of] ||
			slices.ContainsFunc(out.Objects, func(o manifest.Object) bool { return o.ID() == id }):
		default:
			o := item.Copy()
			o.SetLabel(manifest.LabelRevision, out.Revision.Name)
			kept = append(kept, o)
		}
	}
	return kept
}
