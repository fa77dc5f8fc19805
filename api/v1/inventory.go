package v1

import (
	"cmp"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Inventory lists objects, sorted. What is in an old inventory and not in the new one has to be deleted.
type Inventory []ObjectReference

// ObjectReference identifies one object of the cluster.
type ObjectReference struct {
	// API group and version: "apps/v1", or "v1".
	APIVersion string `json:"apiVersion"`
	// Kind of the object.
	Kind string `json:"kind"`
	// Namespace of the object, absent if it has none.
	// +optional
	Namespace string `json:"namespace,omitempty"`
	// Name of the object.
	Name string `json:"name"`
}

// GroupKind is the group and kind of the object. An object is the same one under every version of its API.
func (r ObjectReference) GroupKind() schema.GroupKind { return r.GroupVersionKind().GroupKind() }

// GroupVersionKind is the group, version and kind of the object.
func (r ObjectReference) GroupVersionKind() schema.GroupVersionKind {
	return schema.FromAPIVersionAndKind(r.APIVersion, r.Kind)
}

func (r ObjectReference) String() string {
	if r.Namespace != "" {
		return r.Kind + " " + r.Namespace + "/" + r.Name
	}
	return r.Kind + " " + r.Name
}

// compare orders references by group and kind, namespace and name.
func (r ObjectReference) compare(other ObjectReference) int {
	a, b := r.GroupKind(), other.GroupKind()
	return cmp.Or(cmp.Compare(a.Group, b.Group), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(r.Namespace, other.Namespace), cmp.Compare(r.Name, other.Name))
}

// Minus gives what is in i and not in other, whatever the version of its API.
func (i Inventory) Minus(other Inventory) Inventory {
	var out Inventory
	for _, r := range i {
		if !slices.ContainsFunc(other, func(o ObjectReference) bool { return r.compare(o) == 0 }) {
			out = append(out, r)
		}
	}
	return out
}

// Union gives what is in i or in other, once and sorted. Where both have an object, i has the say about its version.
func (i Inventory) Union(other Inventory) Inventory {
	out := append(slices.Clone(i), other.Minus(i)...)
	slices.SortFunc(out, ObjectReference.compare)
	return slices.CompactFunc(out, func(a, b ObjectReference) bool { return a.compare(b) == 0 })
}
