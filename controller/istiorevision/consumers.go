package istiorevision

import (
	"context"
	"slices"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// NamedUsers is how many users a condition names.
const NamedUsers = 3

// Info is what the rules of use need to know of a revision, among all that there are.
func Info(rev *v1.IstioRevision, all []v1.IstioRevision) usage.RevisionInfo {
	v := valuesOf(rev)
	return usage.RevisionInfo{
		Name:             rev.Name,
		InjectsByDefault: values.Bool(v, "sidecarInjectorWebhook", "enableNamespacesByDefault"),
		LastAmbient: values.Ambient(v) && !slices.ContainsFunc(all,
			func(other v1.IstioRevision) bool { return servesAmbient(rev, &other) }),
	}
}

// servesAmbient reports whether another revision goes on serving ambient when this one is gone. One that is not the
// active one of its Istio may go at the same time.
func servesAmbient(rev, other *v1.IstioRevision) bool {
	return other.Name != rev.Name && other.DeletionTimestamp == nil && other.Status.InactiveSince == nil &&
		values.Ambient(valuesOf(other))
}

// valuesOf are the values of a revision, none if they are no object, which the CRD does not allow.
func valuesOf(rev *v1.IstioRevision) map[string]any {
	v, err := rev.Spec.Values.Map()
	if err != nil {
		return nil
	}
	return v
}

// Tags are the tags that hold a revision. An IstioRevisionTag holds the one that its webhooks inject from, and one that
// it names itself. A tag in the values of a revision holds that; once the revision is not the active one any more, only
// the users of the tag do, and not even those if the active one has the tag.
func Tags(tags []v1.IstioRevisionTag, revisions []v1.IstioRevision) []usage.Tag {
	var out []usage.Tag
	for _, t := range tags {
		if c := t.Status.Conditions.Get(v1.ConditionReconciled); c != nil && c.Reason == v1.ReasonNameAlreadyExists {
			continue
		}
		current, named := t.Status.IstioRevision, ""
		if t.Spec.TargetRef.Kind == v1.TargetIstioRevision {
			named = t.Spec.TargetRef.Name
		}
		if current != "" {
			out = append(out, usage.Tag{Name: t.Name, Revision: current})
		}
		if named != "" && named != current {
			out = append(out, usage.Tag{Name: t.Name, Revision: named})
		}
	}
	for i := range revisions {
		rev := &revisions[i]
		inactive := rev.Status.InactiveSince != nil
		for _, name := range ValueTags(rev) {
			if !inactive || !slices.ContainsFunc(revisions,
				func(other v1.IstioRevision) bool { return takesOver(name, rev, &other) }) {
				out = append(out, usage.Tag{Name: name, Revision: rev.Name, ByValues: true, OnlyUsers: inactive})
			}
		}
	}
	return out
}

// takesOver reports whether another revision of the same Istio is the active one and has a tag of that name.
func takesOver(tag string, rev, other *v1.IstioRevision) bool {
	return other.Name != rev.Name && other.DeletionTimestamp == nil && other.Status.InactiveSince == nil &&
		owned.OwningIstio(rev) != "" && owned.OwningIstio(rev) == owned.OwningIstio(other) &&
		slices.Contains(ValueTags(other), tag)
}

// recheckTagged looks again at the revisions that have a tag of that name in their values: of the tag's users only its
// name is told.
func (r *Reconciler) recheckTagged(ctx context.Context, tag string) {
	var list v1.IstioRevisionList
	if err := r.Client.List(ctx, &list); err != nil {
		return // from the cache; it fails only when all ends
	}
	for i := range list.Items {
		if slices.Contains(ValueTags(&list.Items[i]), tag) {
			r.Usage.Recheck(list.Items[i].Name)
		}
	}
}
