package expand

import (
	"slices"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// keepShared gives the objects that came with a revision of the resource which leaves the package, and that its other
// revisions rely on: the active one takes them over. A tag named default brings them itself.
func (c *contents) keepShared(out Output, released []string) []manifest.Object {
	if out.Revision == nil || c.tagNames()["default"] {
		return nil
	}
	stay := map[string]bool{}
	for _, item := range c.revisions(out.Owner) {
		stay[item.ID().Name] = !slices.Contains(released, item.ID().Name)
	}
	var kept []manifest.Object
	for _, g := range c.generated {
		of := g.Label(manifest.LabelRevision)
		switch {
		case g.owner != out.Owner || !render.Shared(g.id.Kind, g.id.Name) || g.id.Namespace != out.Revision.Spec.Namespace:
		case of != out.Revision.Name && stay[of] ||
			slices.ContainsFunc(out.Objects, func(o manifest.Object) bool { return o.ID() == g.id }):
		default:
			o := g.Copy()
			o.SetLabel(manifest.LabelRevision, out.Revision.Name)
			kept = append(kept, o)
		}
	}
	return kept
}
