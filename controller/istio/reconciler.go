// Package istio reconciles Istios: it keeps the IstioRevision that each asks for, removes earlier ones that nothing uses any
// more, and sums up the status of all of them.
package istio

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/desired"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/outcome"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// Reconciler reconciles Istios.
type Reconciler struct {
	// Client reads from the cache and writes to the server.
	Client   client.Client
	Pipeline *desired.Pipeline
	Applier  *apply.Applier
	Usage    *cluster.Usage
	Events   events.EventRecorder
	Now      func() time.Time
	// Pruned is called for each revision that was removed; it counts.
	Pruned func(istio string)
}

// scope is what one run knows.
type scope struct {
	istio *v1.Istio
	// planned is the revision that spec asks for; nil if spec is wrong.
	planned *v1.IstioRevision
	// revisions are those that the Istio owns, by name.
	revisions []v1.IstioRevision
	facts     facts
	// due is when something is to be looked at again; zero for never.
	due   time.Time
	retry error
}

// Reconcile brings the cluster closer to what an Istio asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	istio := &v1.Istio{}
	if err := r.Client.Get(ctx, req.NamespacedName, istio); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if istio.DeletionTimestamp != nil { // its revisions go with it, by their owner references
		return outcome.Ended(outcome.Release(ctx, r.Client, istio))
	}
	s := &scope{istio: istio}
	for _, phase := range []func(context.Context, *scope) error{r.adopt, r.plan, r.apply, r.gather, r.prune, r.report} {
		if err := phase(ctx, s); err != nil {
			return outcome.Ended(err)
		}
	}
	if s.retry != nil || s.due.IsZero() {
		return outcome.Ended(s.retry)
	}
	return reconcile.Result{RequeueAfter: max(s.due.Sub(r.Now()), time.Millisecond)}, nil
}

// adopt takes the finalizer of the Sail Operator off. An Istio needs none: its revisions have theirs.
func (r *Reconciler) adopt(ctx context.Context, s *scope) error {
	return outcome.Hold(ctx, r.Client, s.istio, false)
}

// plan computes the revision that spec asks for.
func (r *Reconciler) plan(ctx context.Context, s *scope) error {
	planned, err := r.Pipeline.Revision(s.istio)
	if err != nil {
		s.facts.reconciled = outcome.Permanent(v1.ReasonReconcileError, err)
		return nil
	}
	s.planned, s.facts.active = planned, planned.Name
	s.facts.reconciled, err = outcome.NamespaceProblem(ctx, r.Client, planned.Spec.Namespace)
	return err
}

// apply makes the IstioRevision as it is planned, unless a pipeline does.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	if s.planned == nil || s.facts.reconciled != nil {
		return nil
	}
	live := &v1.IstioRevision{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: s.planned.Name}, live)
	switch {
	case apierrors.IsNotFound(err):
		if outcome.PipelineRendered(s.istio) {
			return nil // the status says that the active revision is not there
		}
		if err := controllerutil.SetControllerReference(s.istio, s.planned, r.Client.Scheme()); err != nil {
			return err
		}
		r.label(s.planned)
		err := r.Client.Create(ctx, s.planned, client.FieldOwner(apply.FieldManager))
		if apierrors.IsAlreadyExists(err) {
			return apierrors.NewConflict(v1.GroupVersion.WithResource("istiorevisions").GroupResource(), s.planned.Name, err)
		}
		if err == nil {
			r.Events.Eventf(s.istio, s.planned, corev1.EventTypeNormal, "RevisionCreated", "Apply", "created IstioRevision %s of Istio %s", s.planned.Name, s.planned.Spec.Version)
			if sentence := r.Pipeline.EndOfLife(string(s.planned.Spec.Version)); sentence != "" {
				r.Events.Eventf(s.istio, s.planned, corev1.EventTypeWarning, "EndOfLife", "Apply", "%s", sentence)
			}
		}
		return s.refused(err)
	case err != nil:
		return err
	case outcome.OwningIstio(live) != s.istio.Name || !outcome.PipelineRendered(live) && !metav1.IsControlledBy(live, s.istio):
		s.facts.reconciled = outcome.Permanent(v1.ReasonReconcileError, fmt.Errorf(
			"the IstioRevision %s exists already and does not belong to this Istio; delete it, or give the Istio another name", live.Name))
		s.facts.foreign = true
		return nil
	case outcome.PipelineRendered(live), live.DeletionTimestamp != nil:
		return nil
	}
	want := live.DeepCopy()
	want.Spec = s.planned.Spec
	for k, v := range s.planned.Annotations {
		metav1.SetMetaDataAnnotation(&want.ObjectMeta, k, v)
	}
	r.label(want)
	if sameJSON(live, want) {
		return nil
	}
	// Not a merge patch, in which a null would mean something else than in values.
	err = r.Client.Update(ctx, want, client.FieldOwner(apply.FieldManager))
	if err == nil {
		r.Events.Eventf(s.istio, want, corev1.EventTypeNormal, "RevisionUpdated", "Apply", "updated IstioRevision %s to Istio %s", want.Name, want.Spec.Version)
	}
	return s.refused(err)
}

func (r *Reconciler) label(rev *v1.IstioRevision) {
	metav1.SetMetaDataLabel(&rev.ObjectMeta, manifest.LabelManagedBy, manifest.ManagedBy)
	metav1.SetMetaDataLabel(&rev.ObjectMeta, manifest.LabelRevision, rev.Name)
}

// refused tells what the server says to a write apart: that the resource is wrong, which is for the status, and all else,
// which is to be tried again.
func (s *scope) refused(err error) error {
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) {
		s.facts.reconciled = outcome.Permanent(v1.ReasonReconcileError, err)
		return nil
	}
	if err != nil && !apierrors.IsConflict(err) {
		s.facts.reconciled, s.retry = outcome.Temporary(v1.ReasonReconcileError, err), err
		return nil
	}
	return err
}

// gather reads the revisions that the Istio owns, and the active one among them.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	var list v1.IstioRevisionList
	if err := r.Client.List(ctx, &list); err != nil {
		return err
	}
	s.revisions = slices.DeleteFunc(list.Items, func(rev v1.IstioRevision) bool {
		return outcome.OwningIstio(&rev) != s.istio.Name || !outcome.PipelineRendered(&rev) && !metav1.IsControlledBy(&rev, s.istio)
	})
	s.facts.revisions = s.revisions
	return nil
}

// prune removes the revisions that are no longer active, that nothing uses, and whose grace period has passed.
func (r *Reconciler) prune(ctx context.Context, s *scope) error {
	if s.planned == nil || s.facts.foreign || !slices.ContainsFunc(s.revisions, s.isActive) {
		return nil // what is active is not known, or not there: nothing is taken away
	}
	var tags v1.IstioRevisionTagList
	if err := r.Client.List(ctx, &tags); err != nil {
		return err
	}
	now := r.Now()
	policy := prune.Policy{External: external(s.planned)}
	if u := s.istio.Spec.UpdateStrategy; u != nil {
		policy.Grace = prune.Grace(u.InactiveRevisionDeletionGracePeriodSeconds)
	} else {
		policy.Grace = prune.Grace(nil)
	}
	holding := istiorevision.Tags(tags.Items)
	candidates := make([]prune.Revision, len(s.revisions))
	for i, rev := range s.revisions {
		candidates[i] = r.candidate(&rev, holding, s.isActive(rev))
	}
	for i, verdict := range prune.Decide(now, policy, candidates) {
		rev := &s.revisions[i]
		switch {
		case rev.DeletionTimestamp != nil:
		case verdict.Delete:
			if err := r.remove(ctx, s, rev, holding, verdict); err != nil {
				return err
			}
		case !verdict.Due.IsZero() && (s.due.IsZero() || verdict.Due.Before(s.due)):
			s.due = verdict.Due
		}
	}
	return nil
}

func (s *scope) isActive(rev v1.IstioRevision) bool { return rev.Name == s.facts.active }

// candidate is what pruning needs to know of a revision. That it is unused counts only if both its status and what is known
// at this moment say so: the status has the moment since when.
func (r *Reconciler) candidate(rev *v1.IstioRevision, tags []usage.Tag, active bool) prune.Revision {
	c := prune.Revision{Name: rev.Name, Active: active, External: external(rev), InUse: usage.Unknown}
	if r.Usage.Speaks() {
		c.InUse = r.Usage.Index().Revision(istiorevision.Info(rev), tags, 0).InUse
	}
	said := rev.Status.Conditions.Get(v1.ConditionInUse)
	switch {
	case said == nil || said.Status == metav1.ConditionUnknown:
		c.InUse = usage.Unknown
	case said.Status == metav1.ConditionTrue:
		c.InUse = usage.True
	default:
		c.UnusedSince = said.LastTransitionTime.Time
		if flipped := r.Usage.Flipped(rev.Name); flipped.After(c.UnusedSince) {
			c.UnusedSince = flipped
		}
	}
	if since := rev.Status.InactiveSince; since != nil {
		c.InactiveSince = since.Time
	}
	return c
}

// external tells whether a revision's users are in other clusters.
func external(rev *v1.IstioRevision) bool {
	v, err := rev.Spec.Values.Map()
	return err != nil || values.String(v, "pilot", "env", "EXTERNAL_ISTIOD") == "true"
}

// remove deletes a revision after asking the server itself once more whether anything uses it.
func (r *Reconciler) remove(ctx context.Context, s *scope, rev *v1.IstioRevision, tags []usage.Tag, verdict prune.Verdict) error {
	use, err := r.Usage.Confirm(ctx, istiorevision.Info(rev), tags, 1)
	if err != nil {
		s.retry = fmt.Errorf("IstioRevision %s is kept, since it cannot be said whether anything uses it: %w", rev.Name, err)
		return nil
	}
	if use.InUse != usage.False {
		log.FromContext(ctx).Info("keeping a revision that seemed unused", "revision", rev.Name, "reason", use.Message())
		s.due = r.Now().Add(recheck)
		return nil
	}
	if outcome.PipelineRendered(rev) {
		if err := r.removeObjects(ctx, s, rev); err != nil {
			return err
		}
	}
	err = r.Client.Delete(ctx, rev, client.Preconditions{UID: &rev.UID, ResourceVersion: &rev.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	r.Events.Eventf(s.istio, rev, corev1.EventTypeNormal, "RevisionPruned", "Prune", "removed IstioRevision %s: %s", rev.Name, verdict.Reason)
	r.Pruned(s.istio.Name)
	return nil
}

// recheck is when to look again at a revision of which the watch said another thing than the server.
const recheck = 5 * time.Second

// removeObjects deletes the objects of a revision that a pipeline rendered. The GitOps tool was told to leave them, and the
// revision does not own them. It is done before the revision goes, which says of what kinds they are; that they are of the
// revision they say themselves, whatever a kustomization has made of their names.
func (r *Reconciler) removeObjects(ctx context.Context, s *scope, rev *v1.IstioRevision) error {
	objects, err := r.Pipeline.Objects(rev)
	if err != nil {
		s.retry = fmt.Errorf("IstioRevision %s is unused, but what belongs to it is not known: %w", rev.Name, err)
		return s.retry
	}
	owner := v1.KindIstio + "/" + s.istio.Name
	_, changes, err := r.Applier.DeleteStamped(ctx, objects.Kinds(), client.MatchingLabels{manifest.LabelRevision: rev.Name},
		func(o *metav1.PartialObjectMetadata) bool {
			return o.Labels[manifest.LabelTag] == "" && o.Annotations[manifest.AnnotationOwner] == owner
		})
	outcome.Applied(r.Events, s.istio, changes)
	return err
}

// report writes the status, if it is another one, and tells about what has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	before := s.istio.DeepCopy()
	s.istio.Status = status(r.Now(), s.istio, s.facts)
	outcome.Transitions(r.Events, s.istio, before.Status.Conditions, s.istio.Status.Conditions)
	return outcome.Write(ctx, r.Client, before, s.istio)
}
