package istiorevision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/usage"
)

// abandon removes a revision that a pipeline rendered and whose Istio has left the cluster: whoever took the mesh
// out of Git left it behind, because its objects ask not to be pruned. The rules are those of pruning, with the
// grace period that an Istio has if it says nothing; but if the namespace of the control plane is gone as well,
// nothing can serve anybody any more, and webhooks that refuse pods only hurt.
func (r *Reconciler) abandon(ctx context.Context, s *scope) error {
	if !s.abandoned || s.rev.Annotations[manifest.AnnotationReleasedBy] == manifest.ReleasedByPackage {
		return nil // a package that still has it would bring it back
	}
	err := owned.NamespaceProblem(ctx, r.Client, s.rev.Spec.Namespace)
	_, missing := errors.AsType[*status.Problem](err)
	if err != nil && !missing {
		return err
	}
	now := r.Now()
	use := usage.Unknown
	if s.facts.use != nil && r.Usage.Synced() {
		use = s.facts.use.InUse
	}
	verdict := abandoned(now, s.rev, use, missing)
	switch {
	case verdict.Delete:
		if err := r.remove(ctx, s, missing, verdict.Reason); err != nil {
			return status.Unreported(err)
		}
	case !verdict.Due.IsZero():
		s.Wake(max(verdict.Due.Sub(now), time.Millisecond))
	default:
		this := notice{s.rev.UID, verdict.Reason}
		if before, known := r.kept.Swap(s.rev.Name, this); !known || before != this {
			r.Events.Eventf(s.rev, nil, corev1.EventTypeWarning, "RevisionAbandoned", "Prune",
				"the Istio %s is gone, and its IstioRevision %s stays: %s",
				owned.OwningIstio(s.rev), s.rev.Name, verdict.Reason)
		}
	}
	return nil
}

// notice is why a revision stays.
type notice struct {
	uid    types.UID
	reason string
}

// abandoned decides about a revision without an Istio that is used so. useless says that nothing can serve its
// users any more.
func abandoned(now time.Time, rev *v1.IstioRevision, use usage.InUse, useless bool) prune.Verdict {
	c := prune.Revision{Name: rev.Name, External: external(rev), InUse: use, UnusedSince: now, InactiveSince: now}
	if since := rev.Status.InactiveSince; since != nil { // else the status of this run will say so
		c.InactiveSince = since.Time
	}
	if said := rev.Status.Conditions.Get(v1.ConditionInUse); said != nil && said.Status == metav1.ConditionFalse {
		c.UnusedSince = said.LastTransitionTime.Time
	}
	if useless {
		c.External, c.InUse, c.UnusedSince = false, usage.False, c.InactiveSince
	}
	v := prune.Decide(now, prune.Policy{Grace: prune.Grace(nil)}, []prune.Revision{c})[0]
	if useless {
		v.Reason = "its Istio and its namespace " + rev.Spec.Namespace + " are gone"
	}
	return v
}

// remove deletes an abandoned revision, its webhooks first, after asking the server itself: the Istio may have come
// back, or a pod.
func (r *Reconciler) remove(ctx context.Context, s *scope, useless bool, why string) error {
	switch stays, err := r.confirmed(ctx, s, useless); {
	case err != nil:
		return fmt.Errorf("IstioRevision %s is kept, since it cannot be said whether it may go: %w", s.rev.Name, err)
	case !stays:
		s.Wake(recheck)
		return nil
	}
	// To look for users may take long, and what is deleted now only the pipeline can bring back.
	switch same, err := r.same(ctx, s); {
	case err != nil:
		return fmt.Errorf("IstioRevision %s is kept, since it cannot be said whether it has changed: %w",
			s.rev.Name, err)
	case !same:
		s.Wake(recheck)
		return nil
	}
	if err := RemoveObjects(ctx, r.Applier, r.Events, s.rev, s.rev, s.all); err != nil {
		return fmt.Errorf("removing the objects of the abandoned IstioRevision %s: %w", s.rev.Name, err)
	}
	err := r.Client.Delete(ctx, s.rev, client.Preconditions{UID: &s.rev.UID, ResourceVersion: &s.rev.ResourceVersion})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	r.Events.Eventf(s.rev, nil, corev1.EventTypeNormal, "RevisionPruned", "Prune",
		"removed IstioRevision %s: %s", s.rev.Name, why)
	return nil
}

// same asks the server whether the Istio is still gone, and the revision what this run has decided by.
func (r *Reconciler) same(ctx context.Context, s *scope) (bool, error) {
	if gone, err := r.istioGone(ctx, s); err != nil || !gone {
		return false, err
	}
	return Same(ctx, r.Live, s.rev)
}

// istioGone asks the server whether the Istio that a pipeline rendered the revision for is not there.
func (r *Reconciler) istioGone(ctx context.Context, s *scope) (bool, error) {
	err := r.Live.Get(ctx, client.ObjectKey{Name: owned.OwningIstio(s.rev)}, &v1.Istio{})
	return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
}

// Same asks the server whether a revision is what somebody has read: another write to it, its status included, makes it
// another one.
func Same(ctx context.Context, live client.Reader, rev *v1.IstioRevision) (bool, error) {
	current := &v1.IstioRevision{}
	if err := live.Get(ctx, client.ObjectKeyFromObject(rev), current); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return current.UID == rev.UID && current.ResourceVersion == rev.ResourceVersion, nil
}

// recheck is when to look again if the server knows more than the cache.
const recheck = 10 * time.Second

// confirmed reports whether the server says as well that a revision may go.
func (r *Reconciler) confirmed(ctx context.Context, s *scope, useless bool) (bool, error) {
	if gone, err := r.istioGone(ctx, s); err != nil || !gone {
		return false, err
	}
	if useless {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(cluster.NamespaceKind.GroupVersion().WithKind("NamespaceList"))
		if err := r.Live.List(ctx, list, client.MatchingFields{"metadata.name": s.rev.Spec.Namespace}); err != nil {
			return false, err
		}
		return len(list.Items) == 0 || list.Items[0].DeletionTimestamp != nil, nil
	}
	var tags v1.IstioRevisionTagList
	if err := r.Live.List(ctx, &tags); err != nil {
		return false, err
	}
	var revisions v1.IstioRevisionList
	if err := r.Live.List(ctx, &revisions); err != nil {
		return false, err
	}
	use, err := r.Usage.Confirm(ctx, Info(s.rev, revisions.Items), Tags(tags.Items, revisions.Items), 1)
	return use.InUse == usage.False, err
}

// RemoveObjects deletes the objects of a revision that a pipeline rendered. The GitOps tool was told to leave them,
// and the revision does not own them. That they are of the revision they say themselves, whatever a kustomization
// has made of their names, and whether or not this controller has the charts of its version. What other revisions of
// its namespace rely on stays.
func RemoveObjects(
	ctx context.Context, applier *apply.Applier, record events.EventRecorder, about client.Object,
	rev *v1.IstioRevision,
	all []v1.IstioRevision,
) error {
	others := slices.ContainsFunc(all, func(other v1.IstioRevision) bool {
		return other.Name != rev.Name && other.DeletionTimestamp == nil && other.Spec.Namespace == rev.Spec.Namespace
	})
	owner := v1.KindIstio + "/" + owned.OwningIstio(rev)
	labels := client.MatchingLabels{manifest.LabelRevision: rev.Name}
	_, changes, err := applier.DeleteStamped(ctx, rendering.RevisionKinds, labels,
		func(o *metav1.PartialObjectMetadata) bool {
			return o.Labels[manifest.LabelTag] == "" && o.Annotations[manifest.AnnotationOwner] == owner &&
				(!others || !render.Shared(o.Kind, o.Name))
		})
	owned.Record(record, about, changes)
	return err
}
