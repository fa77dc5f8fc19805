package expand

import (
	"slices"

	"github.com/lateen-io/lateen/internal/manifest"
)

// labelTag is what Istio's charts write on the objects of a revision tag.
const labelTag = "istio.io/tag"

// withoutMovedTags is the package without what an earlier revision has of the tags that the active one brings by its
// values: a tag is in one place. Objects of the same name are replaced anyway; versions differ in which there are.
func (t *task) withoutMovedTags() []manifest.Object {
	moved := map[string]bool{} // owner and tag
	fresh := map[manifest.ID]bool{}
	for _, x := range t.expansions {
		for _, o := range x.Objects {
			if fresh[o.ID()] = true; x.Active != "" && o.Label(labelTag) != "" {
				moved[x.Owner+" "+o.Label(labelTag)] = true
			}
		}
	}
	if len(moved) == 0 {
		return t.before.items
	}
	return slices.DeleteFunc(slices.Clone(t.before.items), func(o manifest.Object) bool {
		owner := o.Annotation(manifest.AnnotationOwner)
		return owner != "" && t.scope(owner) && moved[owner+" "+o.Label(labelTag)] && !fresh[o.ID()]
	})
}
