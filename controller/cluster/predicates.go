package cluster

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// Edited selects the events of a resource that somebody has changed: not those of its status. Who owns it and what
// holds its deletion up change without a new generation; and after a time without news another one may have its name.
func Edited() predicate.Predicate {
	return predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{},
		predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
			return another(e) || !slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers()) ||
				!equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences())
		}})
}

// another reports whether an event is that of an object that was deleted and created again: a cache that was without
// news meanwhile tells of it as of a change.
func another(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }

// AsksForAnother selects the events of an Istio that may ask for another revision than before.
func AsksForAnother() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.Istio)
		after, also := e.ObjectNew.(*v1.Istio)
		return !ok || !also || another(e) || before.Generation != after.Generation ||
			before.Status.ActiveRevisionName != after.Status.ActiveRevisionName
	}}
}

// ComesOrGoes selects the events of an object that appears, disappears or begins to.
func ComesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return another(e) || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
	}}
}

// Standing selects the events of a revision that appears, disappears or begins to, becomes the active one of its Istio
// or ceases to be, or has other values: what others are by.
func Standing() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.IstioRevision)
		after, also := e.ObjectNew.(*v1.IstioRevision)
		return !ok || !also || ComesOrGoes().Update(e) || before.Generation != after.Generation ||
			(before.Status.InactiveSince == nil) != (after.Status.InactiveSince == nil)
	}}
}

// BesideUsers selects the events of a revision but those of who its users are: pods come and go, and its status names
// the first of them and counts the rest. Whether there is any is something else.
func BesideUsers() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.IstioRevision)
		after, also := e.ObjectNew.(*v1.IstioRevision)
		// the same again: the cache wants everybody to look
		if !ok || !also || before.ResourceVersion == after.ResourceVersion {
			return true
		}
		return !equality.Semantic.DeepEqual(withoutUsers(before), withoutUsers(after))
	}}
}

func withoutUsers(rev *v1.IstioRevision) *v1.IstioRevision {
	out := rev.DeepCopy()
	out.ResourceVersion, out.ManagedFields = "", nil
	if c := out.Status.Conditions.Get(v1.ConditionInUse); c != nil {
		c.Message = ""
	}
	return out
}
