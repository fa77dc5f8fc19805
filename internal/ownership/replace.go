// Package ownership is about which items of a package a run has generated: what it replaces, what it keeps because a
// proxy may be connected to it, and in which files new items go.
package ownership

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

const internalPrefix = "internal.config.kubernetes.io/"

// carried are the prefixes and names of the annotations by which kpt and kustomize find an item's file and comments
// again. A regenerated item takes them over from the item it replaces. The ones without "internal." are the legacy
// spelling, which both still write.
var carried = []string{
	internalPrefix, "internal.kpt.dev/", "config.kubernetes.io/path", "config.kubernetes.io/index", "config.k8s.io/id",
	"kustomize.config.k8s.io/id",
}

func isCarried(annotation string) bool {
	for _, c := range carried {
		if annotation == c || strings.HasSuffix(c, "/") && strings.HasPrefix(annotation, c) {
			return true
		}
	}
	return false
}

// isItemID reports whether an annotation is one by which the caller finds the item again that an item was before.
func isItemID(annotation string) bool {
	return annotation == internalPrefix+"id" || annotation == "config.k8s.io/id"
}

// Expansion is what one resource of a package has become.
type Expansion struct {
	// Source is the item that was expanded.
	Source manifest.Object
	// Owner is the stamp on everything generated from it: "Istio/default".
	Owner string
	// Objects are the generated objects.
	Objects []manifest.Object
	// Active is the revision that an Istio asks for now; empty for what has no revisions.
	Active string
	// Released are earlier revisions that nothing uses any more; they go with their objects.
	Released []string
	// Dir is the directory for new files, beside the file of the source; empty if the caller does not keep items in files.
	Dir string
}

// Scope says which generated items a run is responsible for, by their owner stamp.
type Scope func(owner string) bool

// Replace returns the items with those that an earlier run generated replaced by the expansions:
//
//   - items without an owner stamp in scope are kept as they are;
//   - generated items are dropped, except those of retained revisions: an IstioRevision that was generated for a
//     resource still in the package, under another name than the active one, and all that belongs to it. Some proxy may
//     still be connected to it; it goes when somebody removes the IstioRevision from the package, or when it is
//     released;
//   - of Istio's CRDs, which a package has once, the newer ones stay;
//   - a generated object takes the place, the file and the comments of the item that was the same object before, or
//     else comes at the end, in a file beside its source.
//
// An object that the user wrote, or that two resources generate, is an error.
func Replace(items []manifest.Object, scope Scope, expansions []Expansion) ([]manifest.Object, error) {
	byID, order, err := collect(expansions)
	if err != nil {
		return nil, err
	}
	retained := retainedRevisions(items, scope, expansions)
	if err := errors.Join(checkRetained(retained, expansions), checkCopies(items, scope)); err != nil {
		return nil, err
	}
	alive := map[string]bool{}
	for _, e := range expansions {
		alive[e.Owner] = true
	}
	inUse := versionsOf(items, retained)
	used := map[string]bool{} // paths of files
	out := make([]manifest.Object, 0, len(items)+len(order))
	for _, item := range items {
		owner := item.Annotation(manifest.AnnotationOwner)
		generated := owner != "" && scope(owner)
		f := byID[item.ID()]
		switch {
		case f != nil:
			if err := f.takeOver(item, generated && (owner == f.from.Owner || !alive[owner]), inUse); err != nil {
				return nil, err
			}
			out = append(out, f.object)
		case !generated, retained[retainKey{owner, revisionOf(item)}]:
			out = append(out, item)
		default:
			continue // generated earlier, and not any more
		}
		if p := resource.LocationOf(out[len(out)-1]).Path; p != "" {
			used[p] = true
		}
	}
	for _, f := range order {
		if !f.placed {
			if err := f.place(used); err != nil {
				return nil, err
			}
			out = append(out, f.object)
		}
		f.object.SortAnnotations() // one order for first and later runs
	}
	return out, nil
}

// fresh is a generated object on its way into the package.
type fresh struct {
	object manifest.Object
	from   *Expansion
	placed bool
}

// collect lists the generated objects, and finds them by identity.
func collect(expansions []Expansion) (map[manifest.ID]*fresh, []*fresh, error) {
	byID := map[manifest.ID]*fresh{}
	var order []*fresh
	for i := range expansions {
		e := &expansions[i]
		for _, o := range e.Objects {
			id := o.ID()
			if other, ok := byID[id]; ok {
				return nil, nil, fmt.Errorf("%s and %s both generate %s: give them different names or namespaces", other.from.Owner,
					e.Owner, id)
			}
			f := &fresh{object: o, from: e}
			byID[id] = f
			order = append(order, f)
		}
	}
	return byID, order, nil
}

// takeOver puts the object where an item that is the same object stands. generated says that this call is responsible
// for the item; otherwise it is somebody else's, and in the way. inUse are the versions of the revisions that are
// retained.
func (f *fresh) takeOver(item manifest.Object, generated bool, inUse map[string]bool) error {
	switch {
	case f.placed:
		return fmt.Errorf("%s, which %s generates, is in the package twice%s: remove one of the two", item.ID(), f.from.Owner,
			in(resource.LocationOf(item)))
	case item.Annotation(manifest.AnnotationOwner) != "" && item.Kind() == "CustomResourceDefinition":
		// Istio's CRDs: the newer ones stay if a mutator for another resource has generated them, or if a revision is in the
		// package that is newer than the others.
		have, now := item.Annotation(manifest.AnnotationVersion), f.object.Annotation(manifest.AnnotationVersion)
		if (!generated || newerThan(inUse, now)) && release.Newer(have, now) {
			f.object = item.Copy()
		}
	case generated:
	default:
		return fmt.Errorf("%s generates %s, which the package has already%s: remove or rename the other one",
			f.from.Owner, item.ID(), in(resource.LocationOf(item)))
	}
	// kpt gives an object the comments back that the item of the same id had. That one is not wanted any more.
	changed := item.HasComment(manifest.CommentArgoSkip) && !f.object.HasComment(manifest.CommentArgoSkip)
	for key, value := range item.Annotations() {
		if isCarried(key) && (!changed || !isItemID(key)) {
			f.object.SetAnnotation(key, value)
		}
	}
	if f.object.HasComment(manifest.CommentArgoSkip) {
		f.object.CarryComment(item)
	}
	f.placed = true
	return nil
}

// newerThan reports whether one of some versions is newer than another.
func newerThan(versions map[string]bool, version string) bool {
	for v := range versions {
		if release.Newer(v, version) {
			return true
		}
	}
	return false
}

// place gives a new object a file, if the package is one of files.
func (f *fresh) place(used map[string]bool) error {
	source := resource.LocationOf(f.from.Source).Path
	if source == "" || f.from.Dir == "" {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(source)) {
		return fmt.Errorf("%s is in %s, which is outside the package", f.from.Owner, source)
	}
	p := freePath(source, f.object, f.from.Dir, used)
	used[p] = true
	f.object.SetAnnotation(resource.AnnotationIndex, "0")
	f.object.SetAnnotation(resource.AnnotationPath, p)
	return nil
}

type retainKey struct{ owner, revision string }

// versionsOf are the Istio versions of retained revisions.
func versionsOf(items []manifest.Object, retained map[retainKey]bool) map[string]bool {
	out := map[string]bool{}
	for key := range retained {
		for _, item := range resource.Revisions(items, key.owner) {
			if item.ID().Name == key.revision {
				out[item.Annotation(manifest.AnnotationVersion)] = true
			}
		}
	}
	return out
}

// checkRetained sees to it that no other resource wants the name of a revision that some proxy may still be connected
// to.
func checkRetained(retained map[retainKey]bool, expansions []Expansion) error {
	for _, e := range expansions {
		for key := range retained {
			if key.revision == e.Active && key.owner != e.Owner {
				return fmt.Errorf(
					"%s wants the revision %s, which is an earlier one of %s and still in the package: choose another name, "+
						"or remove IstioRevision/%[2]s once nothing uses it", e.Owner, e.Active, key.owner)
			}
		}
	}
	return nil
}

// checkCopies finds an IstioRevision that somebody made from a copy of a generated one: it still says that it was
// generated, and would be taken for an earlier revision.
func checkCopies(items []manifest.Object, scope Scope) error {
	names := map[string]bool{}
	for _, item := range items {
		if resource.IsRevision(item) {
			names[item.ID().Name] = true
		}
	}
	for _, item := range items {
		owner, name, of := item.Annotation(manifest.AnnotationOwner), item.ID().Name, item.Label(manifest.LabelRevision)
		if resource.IsRevision(item) && owner != "" && scope(owner) && of != name && names[of] {
			return fmt.Errorf(
				"IstioRevision/%s%s says it was generated for %s as the revision %s: to make it yours, remove the annotation %s "+
					"and the label %s", name, in(resource.LocationOf(item)), owner, of, manifest.AnnotationOwner,
				manifest.LabelRevision)
		}
	}
	return nil
}

// revisionOf is the revision that a generated item belongs to.
func revisionOf(item manifest.Object) string {
	if resource.IsRevision(item) {
		return item.ID().Name
	}
	return item.Label(manifest.LabelRevision)
}

// retainedRevisions finds the revisions of earlier runs that stay in the package.
func retainedRevisions(items []manifest.Object, scope Scope, expansions []Expansion) map[retainKey]bool {
	out := map[retainKey]bool{}
	for _, e := range expansions {
		if !scope(e.Owner) {
			continue
		}
		for _, item := range resource.Revisions(items, e.Owner) {
			if name := item.ID().Name; name != e.Active && !slices.Contains(e.Released, name) {
				out[retainKey{e.Owner, name}] = true
			}
		}
	}
	return out
}

// freePath is the file of a new item: <directory of its source>/<dir>/<kind>_<name>.yaml, in lower case. Names of
// Kubernetes objects may hold colons and the like, which do not belong into file names.
func freePath(source string, o manifest.Object, dir string, used map[string]bool) string {
	id := o.ID()
	if id.Kind == "CustomResourceDefinition" {
		dir = "crds"
	}
	base := path.Join(path.Dir(source), fileName(dir), strings.ToLower(fileName(id.Kind))+"_"+fileName(id.Name))
	for _, suffix := range []string{"", "_" + fileName(id.Namespace), "_" + fileName(id.Group)} {
		if p := base + suffix + ".yaml"; !used[p] {
			return p
		}
	}
	for i := 2; ; i++ {
		if p := fmt.Sprintf("%s_%d.yaml", base, i); !used[p] {
			return p
		}
	}
}

func fileName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '.', r == '_':
			return r
		}
		return '-'
	}, strings.TrimLeft(s, "."))
}

func in(l resource.Location) string {
	if l.Path == "" {
		return ""
	}
	return " in " + l.Path
}
