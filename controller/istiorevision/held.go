package istiorevision

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// AllowDeletion is the annotation with which somebody says that a revision may go although it is used.
const AllowDeletion = "lateen.io/allow-deletion"

// held is why a revision that somebody has deleted stays: its Istio stays, and something uses it, or may. It is ""
// if it goes. What prune removes is not used, and goes; when the Istio goes, all that it has goes with it.
func (r *Reconciler) held(ctx context.Context, rev *v1.IstioRevision) (string, error) {
	switch {
	case !controllerutil.ContainsFinalizer(rev, owned.Finalizer), owned.PipelineRendered(rev):
		return "", nil // there is nothing to delete
	case rev.Annotations[AllowDeletion] == "true":
		return "", nil
	case controllerutil.ContainsFinalizer(rev, metav1.FinalizerOrphanDependents), len(rev.Status.Inventory) == 0:
		return "", nil // its objects stay, or it has none
	}
	stays, err := r.istioStays(ctx, rev)
	if err != nil || !stays {
		return "", err
	}
	var tags v1.IstioRevisionTagList
	if err := r.Client.List(ctx, &tags); err != nil {
		return "", err
	}
	var revisions v1.IstioRevisionList
	if err := r.Client.List(ctx, &revisions); err != nil {
		return "", err
	}
	inactive, err := r.inactive(ctx, &scope{rev: rev})
	if err != nil {
		return "", err
	}
	all := standing(revisions.Items, rev, inactive)
	use := usage.Use{InUse: usage.Unknown, Why: "the controller has just started"}
	if r.Usage.Synced() {
		use = r.Usage.Index().Revision(Info(rev, all), Tags(tags.Items, all), NamedUsers)
	}
	return heldBecause(rev, use), nil
}

// istioStays asks the server whether the Istio that owns a revision is there to stay: the cache may not know yet
// that it is gone.
func (r *Reconciler) istioStays(ctx context.Context, rev *v1.IstioRevision) (bool, error) {
	ref := metav1.GetControllerOf(rev)
	if ref == nil || owned.OwningIstio(rev) == "" {
		return false, nil
	}
	istio := &v1.Istio{}
	if err := r.Live.Get(ctx, client.ObjectKey{Name: ref.Name}, istio); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return istio.UID == ref.UID && istio.DeletionTimestamp == nil, nil
}

// heldBecause is the sentence about a deleted revision that is used so.
func heldBecause(rev *v1.IstioRevision, use usage.Use) string {
	why := use.Message()
	if external(rev) {
		why = "It " + usage.External
	} else if use.InUse == usage.False {
		return ""
	}
	return fmt.Sprintf("somebody has deleted it, and its Istio %s stays. %s. It is held, and works on, "+
		"until nothing uses it, or until the annotation lateen.io/allow-deletion: \"true\" is on it",
		owned.OwningIstio(rev), why)
}

// keepDependents makes of a deletion in the foreground one in the background. In the foreground, the garbage
// collector deletes what a revision owns without waiting for any finalizer but its own; what it has deleted before
// comes back with the next apply.
func (r *Reconciler) keepDependents(ctx context.Context, rev *v1.IstioRevision) error {
	before := rev.DeepCopy()
	if !controllerutil.RemoveFinalizer(rev, metav1.FinalizerDeleteDependents) {
		return nil
	}
	err := r.Client.Patch(ctx, rev, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// external reports whether the users of a revision are in other clusters.
func external(rev *v1.IstioRevision) bool {
	v, err := rev.Spec.Values.Map()
	return err != nil || values.External(v)
}
