package istiorevision

import (
	"context"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
)

// labelChartTag is the label that Istio's charts give to the objects of a tag.
const labelChartTag = "istio.io/tag"

// claimant is a revision whose values ask for a tag.
type claimant struct {
	name string
	// active says that the Istio asks for this revision, ready that it is ready, and works that it may still inject.
	active, ready, works bool
	// has says that the objects of the tag are its own at this moment, lists that they are in its inventory, be they
	// there or not.
	has, lists bool
}

// before tells which of two has a tag rather: all of them have to come to the same answer, in whatever order they see
// each other.
func (c claimant) before(other claimant) bool {
	switch {
	case c.has != other.has:
		return c.has
	case c.lists != other.lists:
		return c.lists
	}
	return c.name < other.name
}

// carrier is the one of the revisions of an Istio, all of which ask for a tag, that has its objects: one tag cannot
// inject from two of them. It is the active one, as soon as that is ready; until then the one that has them stays, as
// long as it works. So a tag of the values moves as an IstioRevisionTag does. If the active one does not ask for the
// tag, an earlier one keeps what it has, but none brings it back: the values that count do not have it any more.
func carrier(claimants []claimant) string {
	active := slices.IndexFunc(claimants, func(c claimant) bool { return c.active })
	if active < 0 {
		if i := slices.IndexFunc(claimants, func(c claimant) bool { return c.lists }); i >= 0 {
			return claimants[i].name
		}
		return ""
	}
	if claimants[active].ready || claimants[active].has {
		return claimants[active].name
	}
	best := -1
	for i, c := range claimants {
		if c.works && !c.active && (best < 0 || c.before(claimants[best])) {
			best = i
		}
	}
	if best >= 0 {
		return claimants[best].name
	}
	return claimants[active].name
}

// shared takes the objects of those tags out of what a revision should have that another revision of the same Istio
// carries.
func (r *Reconciler) shared(ctx context.Context, s *scope, objects rendering.Objects) (owned.Desired, error) {
	desired := owned.Desired{Objects: objects, Takes: func(holder client.Object) (bool, error) {
		if other, ok := holder.(*v1.IstioRevision); ok && s.istio != "" && owned.OwningIstio(other) == s.istio {
			return !s.facts.inactive, nil
		}
		return r.objects().Precedes(ctx, s.rev, holder)
	}}
	tags := ValueTags(s.rev)
	if err := r.clashing(ctx, s, tags, &desired); err != nil || len(tags) == 0 || s.istio == "" {
		return desired, err
	}
	siblings := s.siblings()
	elsewhere := map[string]bool{}
	for _, tag := range tags {
		claimants, err := r.claimants(ctx, s, siblings, tag, objects.List)
		if err != nil {
			return desired, err
		}
		if name := carrier(claimants); name != s.rev.Name {
			elsewhere[tag] = true
			if !s.facts.inactive {
				s.facts.waiting = append(s.facts.waiting,
					fmt.Sprintf("the tag %s stays on IstioRevision %s until %s is ready", tag, name, s.rev.Name))
			}
		}
	}
	if len(elsewhere) == 0 {
		return desired, nil
	}
	all := desired.Objects.List
	desired.Objects.List = nil // what is left of it is of the same content, so the digest stays
	for _, o := range all {
		if elsewhere[o.GetLabels()[labelChartTag]] {
			desired.Left = append(desired.Left, v1.ObjectReference{
				APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
			})
			continue
		}
		desired.Objects.List = append(desired.Objects.List, o)
	}
	return desired, nil
}

// clashing takes the objects of those tags out of what a revision should have that another resource brings, or whose
// name another revision has, and notes why.
func (r *Reconciler) clashing(ctx context.Context, s *scope, tags []string, desired *owned.Desired) error {
	for _, tag := range tags {
		why, err := TagClash(ctx, r.objects(), s.rev, tag, s.tags, s.all)
		if err != nil {
			return err
		}
		if why == "" {
			continue
		}
		if !s.facts.inactive && s.clash == "" {
			s.clash = why
		}
		desired.Objects.List = slices.DeleteFunc(slices.Clone(desired.Objects.List),
			func(o *unstructured.Unstructured) bool { return o.GetLabels()[labelChartTag] == tag })
	}
	return nil
}

// siblings are the revisions of the Istio, this one included.
func (s *scope) siblings() []v1.IstioRevision {
	return slices.DeleteFunc(slices.Clone(s.all), func(rev v1.IstioRevision) bool {
		return owned.OwningIstio(&rev) != s.istio
	})
}

// claimants are those of the revisions that ask for a tag.
func (r *Reconciler) claimants(
	ctx context.Context, s *scope, revisions []v1.IstioRevision, tag string, objects []*unstructured.Unstructured,
) ([]claimant, error) {
	holder, err := r.holder(ctx, tag, objects)
	if err != nil {
		return nil, err
	}
	var out []claimant
	for i := range revisions {
		rev := &revisions[i]
		if !slices.Contains(ValueTags(rev), tag) {
			continue
		}
		out = append(out, claimant{
			name: rev.Name, active: rev.Name == s.active, has: holder != nil && rev.UID == holder.UID,
			lists: ListsTag(rev, tag),
			ready: rev.Status.ObservedGeneration == rev.Generation && rev.Status.Conditions.IsTrue(v1.ConditionReady),
			works: Works(rev) && rev.DeletionTimestamp == nil && !owned.PipelineRendered(rev),
		})
	}
	return out, nil
}

// holder is who controls the webhooks of a tag, or nil.
func (r *Reconciler) holder(
	ctx context.Context, tag string, objects []*unstructured.Unstructured,
) (*metav1.OwnerReference, error) {
	for _, o := range objects {
		if o.GetLabels()[labelChartTag] != tag || o.GetKind() != "MutatingWebhookConfiguration" {
			continue
		}
		live := cluster.Metadata(o.GroupVersionKind())
		if err := r.Client.Get(ctx, client.ObjectKeyFromObject(o), live); err != nil {
			return nil, client.IgnoreNotFound(err)
		}
		return metav1.GetControllerOf(live), nil
	}
	return nil, nil
}

// Works reports whether a revision may still inject: that one of several pods of istiod is not ready for a moment is no
// reason to leave it. One without istiod, or scaled to zero, does not.
func Works(rev *v1.IstioRevision) bool {
	c := rev.Status.Conditions.Get(v1.ConditionReady)
	return c == nil || c.Status != metav1.ConditionFalse || c.Message != v1.MessageIstiodNotFound &&
		c.Message != v1.MessageIstiodScaledToZero
}
