package outcome

import (
	"context"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/render"
)

// handOver keeps what other revisions rely on when the resource that brought it lets go of it: they become its owners,
// none of them its controller, so that it goes with the last of them and the next one that brings it can have it. It
// gives the objects that are left to delete.
func (k Keeper) handOver(ctx context.Context, o client.Object, going v1.Inventory) (v1.Inventory, error) {
	var list v1.IstioRevisionList
	if err := k.Client.List(ctx, &list); err != nil {
		return going, err
	}
	var left v1.Inventory
	var errs []error
	for _, ref := range k.sharedOf(o, going) {
		heirs := heirs(o, ref.Namespace, list.Items)
		if len(heirs) == 0 {
			if slices.Contains(going, ref) {
				left = append(left, ref)
			}
			continue
		}
		if err := k.bequeath(ctx, o, ref, heirs); err != nil {
			errs = append(errs, fmt.Errorf("handing %s over to other revisions: %w", ref, err))
		}
	}
	for _, ref := range going {
		if !render.Shared(ref.Kind, ref.Name) {
			left = append(left, ref)
		}
	}
	return left, errors.Join(errs...)
}

// sharedOf are the objects that others may rely on: those of the inventory, and what a revision has inherited itself.
func (k Keeper) sharedOf(o client.Object, going v1.Inventory) v1.Inventory {
	var out v1.Inventory
	for _, ref := range going {
		if render.Shared(ref.Kind, ref.Name) {
			out = append(out, ref)
		}
	}
	if rev, ok := o.(*v1.IstioRevision); ok && len(out) == 0 {
		out = append(out, v1.ObjectReference{
			APIVersion: "v1", Kind: "ServiceAccount", Namespace: rev.Spec.Namespace,
			Name: render.ReaderAccount,
		})
	}
	return out
}

// heirs are the revisions of a namespace that stay.
func heirs(o client.Object, namespace string, all []v1.IstioRevision) []v1.IstioRevision {
	return slices.DeleteFunc(slices.Clone(all), func(rev v1.IstioRevision) bool {
		return rev.UID == o.GetUID() || rev.DeletionTimestamp != nil || rev.Spec.Namespace != namespace
	})
}

// bequeath makes revisions the owners of an object in place of the one that is going.
func (k Keeper) bequeath(
	ctx context.Context, from client.Object, ref v1.ObjectReference, heirs []v1.IstioRevision,
) error {
	have := &metav1.PartialObjectMetadata{}
	have.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	if err := k.Client.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, have); err != nil {
		return client.IgnoreNotFound(err)
	}
	before := have.DeepCopy()
	mine := func(r metav1.OwnerReference) bool { return r.UID == from.GetUID() }
	if !slices.ContainsFunc(have.OwnerReferences, mine) {
		return nil
	}
	have.OwnerReferences = slices.DeleteFunc(have.OwnerReferences, mine)
	for _, rev := range heirs {
		if !slices.ContainsFunc(have.OwnerReferences, func(r metav1.OwnerReference) bool { return r.UID == rev.UID }) {
			have.OwnerReferences = append(have.OwnerReferences, metav1.OwnerReference{
				APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstioRevision, Name: rev.Name, UID: rev.UID,
			})
		}
	}
	err := k.Client.Patch(ctx, have, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if err == nil {
		k.Events.Eventf(from, nil, corev1.EventTypeNormal, "HandedOver", "Delete",
			"%s stays: other revisions in namespace %s rely on it", ref, ref.Namespace)
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
