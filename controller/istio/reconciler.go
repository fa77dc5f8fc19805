// Package istio reconciles Istios: it keeps the IstioRevision that each asks for, removes earlier ones that nothing
// uses any more, and sums up the status of all of them.
package istio

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// Reconciler reconciles Istios.
type Reconciler struct {
	// Client reads from the cache and writes to the server.
	Client client.Client
	// Live reads from the server, before something is done that cannot be undone.
	Live     client.Reader
	Renderer *rendering.Renderer
	Applier  *apply.Applier
	Usage    *cluster.Usage
	Events   events.EventRecorder
	Now      func() time.Time
	// Pruned is called for each revision that was removed; it counts.
	Pruned func(istio string)

	// attempts has the last attempt of each revision, by UID; notified the revisions of which somebody was told that they
	// are unused.
	attempts, notified sync.Map
	reporter           status.Reporter
}

// scope is what one run knows.
type scope struct {
	istio *v1.Istio
	// planned is the revision that spec asks for; nil if spec is wrong. live is what the cluster has of its name, or nil.
	planned, live *v1.IstioRevision
	// written is what this run has made of it: the cache does not know that yet.
	written *v1.IstioRevision
	// revisions are those that the Istio owns, by name.
	revisions []v1.IstioRevision
	// all are all revisions of the cluster.
	all   []v1.IstioRevision
	facts facts
	status.Run
}

// Reconcile brings the cluster closer to what an Istio asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	istio := &v1.Istio{}
	if err := r.reporter.Read(ctx, r.Client, r.Live, req.Name, istio); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if istio.DeletionTimestamp != nil { // its revisions go with it, by their owner references
		return status.Ended(owned.RemoveFinalizers(ctx, r.Client, istio))
	}
	s := &scope{istio: istio}
	return status.Do(ctx, &s.Run, s, r.adopt, r.plan, r.apply, r.gather, r.compare, r.prune, r.report)
}

// adopt takes the finalizer of the Sail Operator off. An Istio needs none: its revisions have theirs.
func (r *Reconciler) adopt(ctx context.Context, s *scope) error {
	return owned.EnsureFinalizer(ctx, r.Client, s.istio, false)
}

// plan computes the revision that spec asks for. If a pipeline renders it, only its name matters here: the pipeline may
// know versions and values that this controller does not.
func (r *Reconciler) plan(ctx context.Context, s *scope) error {
	name, wrong := render.RevisionName(s.istio)
	if wrong != nil {
		return status.Permanent(v1.ReasonReconcileError, wrong)
	}
	live := &v1.IstioRevision{}
	err := r.Client.Get(ctx, client.ObjectKey{Name: name}, live)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		s.live = live
	}
	if owned.PipelineRendered(s.istio) || s.live != nil && owned.PipelineRendered(s.live) {
		s.planned = &v1.IstioRevision{
			Spec: v1.IstioRevisionSpec{Namespace: s.istio.Spec.Namespace, Values: s.istio.Spec.Values},
		}
		s.planned.Name = name
	} else {
		installed := ""
		if s.live != nil {
			installed = s.live.Annotations[manifest.AnnotationVersion]
		}
		plan, found := r.Renderer.Istio(s.istio, installed)
		if wrong := found.Err(); wrong != nil {
			return status.Permanent(v1.ReasonReconcileError, wrong)
		}
		s.planned = plan.Planned
		status.Warn(r.Events, s.istio, s.istio.Status.ObservedGeneration, found)
	}
	s.facts.active = name
	return owned.NamespaceProblem(ctx, r.Client, s.planned.Spec.Namespace)
}

// apply makes the IstioRevision as it is planned, unless a pipeline does.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	if s.planned == nil || s.Problem() != nil {
		return nil //nolint:nilerr // the problem is noted
	}
	if s.live == nil {
		if owned.PipelineRendered(s.istio) {
			return nil // the status says that the active revision is not there
		}
		return r.create(ctx, s)
	}
	if !owns(s, s.live) && s.live.DeletionTimestamp != nil { // of an Istio that had the same name; its end brings us back
		s.facts.foreign = true
		return status.Awaited(v1.ReasonReconcileError, fmt.Errorf(
			"the IstioRevision %s of an earlier Istio is still being deleted", s.live.Name))
	}
	if !owns(s, s.live) {
		s.facts.foreign = true
		return status.Permanent(v1.ReasonReconcileError, fmt.Errorf(
			"the IstioRevision %s exists already and does not belong to this Istio; delete it, or give the Istio another name",
			s.live.Name))
	}
	if owned.PipelineRendered(s.live) || s.live.DeletionTimestamp != nil {
		return nil
	}
	return r.update(ctx, s)
}

// owns reports whether a revision belongs to the Istio.
func owns(s *scope, rev *v1.IstioRevision) bool {
	return owned.OwningIstio(rev) == s.istio.Name &&
		(owned.PipelineRendered(rev) || metav1.IsControlledBy(rev, s.istio))
}

func (r *Reconciler) create(ctx context.Context, s *scope) error {
	rev := s.planned.DeepCopy()
	if err := controllerutil.SetControllerReference(s.istio, rev, r.Client.Scheme()); err != nil {
		return err
	}
	r.label(rev)
	allow(s.istio, rev)
	err := r.Client.Create(ctx, rev, client.FieldOwner(apply.FieldManager))
	if apierrors.IsAlreadyExists(err) {
		return apierrors.NewConflict(v1.GroupVersion.WithResource("istiorevisions").GroupResource(), rev.Name, err)
	}
	if err != nil {
		return refused(err)
	}
	s.written = rev
	r.Events.Eventf(s.istio, rev, corev1.EventTypeNormal, "RevisionCreated", "Apply",
		"created IstioRevision %s of Istio %s", rev.Name, rev.Spec.Version)
	r.warnOfEnd(s, rev)
	return nil
}

func (r *Reconciler) update(ctx context.Context, s *scope) error {
	want := s.live.DeepCopy()
	want.Spec = s.planned.Spec
	for k, v := range s.planned.Annotations {
		metav1.SetMetaDataAnnotation(&want.ObjectMeta, k, v)
	}
	r.label(want)
	allow(s.istio, want)
	asked := attempt{s.planned.Spec.DeepCopy(), s.live.Generation}
	notes := !maps.Equal(s.live.Labels, want.Labels) || !maps.Equal(s.live.Annotations, want.Annotations)
	if sameJSON(s.live, want) || !notes && r.tried(s.live.UID, asked) {
		return nil
	}
	// Not a merge patch, in which a null would mean something else than in values.
	if err := r.Client.Update(ctx, want, client.FieldOwner(apply.FieldManager)); err != nil {
		return refused(err)
	}
	asked.generation = want.Generation
	r.attempts.Store(s.live.UID, asked)
	s.written = want
	r.Events.Eventf(s.istio, want, corev1.EventTypeNormal, "RevisionUpdated", "Apply",
		"updated IstioRevision %s to Istio %s", want.Name, want.Spec.Version)
	if s.live.Spec.Version != want.Spec.Version {
		r.warnOfEnd(s, want)
	}
	return nil
}

// attempt is a spec that was written, and the generation that came of it. The API server may drop something of what it
// is given: a null of a field with an enumeration. Writing the same again would change nothing.
type attempt struct {
	spec       *v1.IstioRevisionSpec
	generation int64
}

func (r *Reconciler) tried(uid types.UID, a attempt) bool {
	last, ok := r.attempts.Load(uid)
	if !ok {
		return false
	}
	before, ok := last.(attempt)
	return ok && before.generation == a.generation && reflect.DeepEqual(before.spec, a.spec)
}

// warnOfEnd tells of a version that gets no security fixes any more.
func (r *Reconciler) warnOfEnd(s *scope, rev *v1.IstioRevision) {
	if sentence := r.Renderer.EndOfLife(string(rev.Spec.Version)); sentence != "" {
		r.Events.Eventf(s.istio, rev, corev1.EventTypeWarning, "EndOfLife", "Apply", "%s", sentence)
	}
}

// allow passes on to a revision that its Istio allows to take over what another installer has created.
func allow(istio *v1.Istio, rev *v1.IstioRevision) {
	if v := istio.Annotations[manifest.AnnotationTakeOver]; v != "" {
		metav1.SetMetaDataAnnotation(&rev.ObjectMeta, manifest.AnnotationTakeOver, v)
	}
}

func (r *Reconciler) label(rev *v1.IstioRevision) {
	metav1.SetMetaDataLabel(&rev.ObjectMeta, manifest.LabelManagedBy, manifest.ManagedBy)
	metav1.SetMetaDataLabel(&rev.ObjectMeta, manifest.LabelRevision, rev.Name)
}

// refused is the problem that the server has refused a write, or its conflict, which ends the run.
func refused(err error) error {
	if apierrors.IsConflict(err) {
		return err
	}
	return owned.Refused(err)
}

// gather reads the revisions that the Istio owns, and the active one among them.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	var list v1.IstioRevisionList
	if err := r.Client.List(ctx, &list); err != nil {
		return err
	}
	s.all = slices.Clone(list.Items)
	r.forgetGone(s.all)
	s.revisions = slices.DeleteFunc(list.Items, func(rev v1.IstioRevision) bool {
		return !owns(s, &rev) || s.written != nil && s.written.Name == rev.Name
	})
	if s.written != nil {
		s.revisions = append(s.revisions, *s.written)
	}
	s.facts.revisions = s.revisions
	return nil
}

// forgetGone drops what is known about revisions that are gone.
func (r *Reconciler) forgetGone(all []v1.IstioRevision) {
	there := map[types.UID]bool{}
	for i := range all {
		there[all[i].UID] = true
	}
	for _, m := range []*sync.Map{&r.attempts, &r.notified} {
		m.Range(func(key, _ any) bool {
			if uid, ok := key.(types.UID); ok && !there[uid] {
				m.Delete(key)
			}
			return true
		})
	}
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
	holding := istiorevision.Tags(tags.Items, s.all)
	candidates := make([]prune.Revision, len(s.revisions))
	for i, rev := range s.revisions {
		candidates[i] = r.candidate(&rev, s.all, holding, s.isActive(rev))
		if outdated(now, candidates[i]) {
			r.Usage.Recheck(rev.Name)
		}
	}
	var errs []error
	for i, verdict := range prune.Decide(now, policy, candidates) {
		rev := &s.revisions[i]
		switch {
		case rev.DeletionTimestamp != nil:
		case verdict.Delete:
			errs = append(errs, r.release(ctx, s, rev, verdict))
		case !verdict.Due.IsZero():
			s.Wake(max(verdict.Due.Sub(now), time.Millisecond))
		case !candidates[i].Active && said(rev) == usage.False && candidates[i].InUse != usage.False:
			// What is known at this moment is not what the status says, and may be again before that is written: nothing else
			// would bring us back.
			s.Wake(recheck)
		}
	}
	return errors.Join(errs...)
}

// release removes a revision that may go, or says that it may if it is for others to remove: a package in Git still has
// it, and would be applied again, for ever.
func (r *Reconciler) release(ctx context.Context, s *scope, rev *v1.IstioRevision, verdict prune.Verdict) error {
	if rev.Annotations[manifest.AnnotationReleasedBy] != manifest.ReleasedByPackage {
		return r.remove(ctx, s, rev, verdict)
	}
	if _, before := r.notified.LoadOrStore(rev.UID, true); !before {
		r.Events.Eventf(s.istio, rev, corev1.EventTypeNormal, "RevisionUnused", "Prune",
			"IstioRevision %s can go: %s. It is in a package in Git: release it there, by a usage report or by removing "+
				"its file", rev.Name, verdict.Reason)
	}
	return nil
}

// said is what the status of a revision says of its use.
func said(rev *v1.IstioRevision) usage.InUse {
	c := rev.Status.Conditions.Get(v1.ConditionInUse)
	if c == nil {
		return usage.Unknown
	}
	return usage.InUse(c.Status)
}

func (s *scope) isActive(rev v1.IstioRevision) bool { return rev.Name == s.facts.active }

// candidate is what pruning needs to know of a revision. That it is unused counts only if both its status and what is
// known at this moment say so: the status has the moment since when.
func (r *Reconciler) candidate(
	rev *v1.IstioRevision, all []v1.IstioRevision, tags []usage.Tag, active bool,
) prune.Revision {
	c := prune.Revision{Name: rev.Name, Active: active, External: external(rev), InUse: usage.Unknown}
	if r.Usage.Synced() {
		c.InUse = r.Usage.Index().Revision(istiorevision.Info(rev, all), tags, 0).InUse
	}
	if inUse := said(rev); inUse != usage.False {
		c.InUse = inUse
	} else {
		c.UnusedSince = rev.Status.Conditions.Get(v1.ConditionInUse).LastTransitionTime.Time
		for _, name := range countedFor(rev, tags) {
			if flipped := r.Usage.Flipped(name); flipped.After(c.UnusedSince) {
				c.UnusedSince = flipped
			}
		}
	}
	if since := rev.Status.InactiveSince; since != nil {
		c.InactiveSince = since.Time
	}
	return c
}

// countedFor are the names whose users count for a revision: its own, those of the tags in its values, and ambient.
func countedFor(rev *v1.IstioRevision, tags []usage.Tag) []string {
	names := []string{rev.Name}
	for _, tag := range tags {
		if tag.ByValues && tag.Revision == rev.Name {
			names = append(names, tag.Name)
		}
	}
	if v, err := rev.Spec.Values.Map(); err == nil && values.Ambient(v) {
		names = append(names, usage.Enrolment)
	}
	return names
}

// outdated reports whether a moment in the status lies in the future: somebody has set the clock back. The revision's
// reconciler has to begin the grace period again, and nothing else tells it to look.
func outdated(now time.Time, c prune.Revision) bool {
	_, unused := prune.Since(now, c.UnusedSince)
	_, inactive := prune.Since(now, c.InactiveSince)
	return unused || inactive
}

// external reports whether a revision's users are in other clusters.
func external(rev *v1.IstioRevision) bool {
	v, err := rev.Spec.Values.Map()
	return err != nil || values.External(v)
}

// keep notes that a revision which seemed unused stays, and looks again soon.
func (s *scope) keep(ctx context.Context, rev *v1.IstioRevision, why string) {
	log.FromContext(ctx).Info("keeping a revision that seemed unused", "revision", rev.Name, "reason", why)
	s.Wake(recheck)
}

// remove deletes a revision after asking the server itself once more whether anything uses it, or asks for it: what the
// caches have may be old.
func (r *Reconciler) remove(ctx context.Context, s *scope, rev *v1.IstioRevision, verdict prune.Verdict) error {
	live, err := r.confirm(ctx, s)
	if err == nil && !live.current {
		s.keep(ctx, rev, "the Istio has changed")
		return nil
	}
	var use usage.Use
	if err == nil {
		use, err = r.Usage.Confirm(ctx, istiorevision.Info(rev, live.revisions),
			istiorevision.Tags(live.tags, live.revisions), 1)
	}
	if err != nil {
		err = fmt.Errorf("IstioRevision %s is kept, since it cannot be said whether anything uses it: %w", rev.Name, err)
		r.Events.Eventf(s.istio, rev, corev1.EventTypeWarning, string(v1.ReasonUsageCheckFailed), "Prune", "%s",
			status.Note(err.Error()))
		return status.Unreported(err)
	}
	if use.InUse != usage.False {
		s.keep(ctx, rev, use.Message())
		return nil
	}
	if owned.PipelineRendered(rev) {
		// To look for users may take long, and what is deleted now only the pipeline can bring back.
		same, err := r.same(ctx, s, rev)
		if err != nil {
			return status.Unreported(fmt.Errorf(
				"IstioRevision %s is kept, since it cannot be said whether it has changed: %w", rev.Name, err))
		}
		if !same {
			s.keep(ctx, rev, "it or its Istio has changed meanwhile")
			return nil
		}
		if err := istiorevision.RemoveObjects(ctx, r.Applier, r.Events, s.istio, rev, s.all); err != nil {
			return status.Unreported(fmt.Errorf("removing the objects of the unused IstioRevision %s: %w", rev.Name, err))
		}
	}
	err = r.Client.Delete(ctx, rev, client.Preconditions{UID: &rev.UID, ResourceVersion: &rev.ResourceVersion})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	r.Events.Eventf(s.istio, rev, corev1.EventTypeNormal, "RevisionPruned", "Prune", "removed IstioRevision %s: %s",
		rev.Name, verdict.Reason)
	r.Pruned(s.istio.Name)
	return nil
}

// confirmed is what the server itself says before a revision is removed.
type confirmed struct {
	// current says that the Istio is what this run has seen.
	current   bool
	revisions []v1.IstioRevision
	tags      []v1.IstioRevisionTag
}

// confirm asks the server whether the Istio is what this run has seen, and for all that may hold a revision besides
// workloads.
func (r *Reconciler) confirm(ctx context.Context, s *scope) (confirmed, error) {
	current, err := r.current(ctx, s)
	if err != nil || !current {
		return confirmed{}, err
	}
	var tags v1.IstioRevisionTagList
	if err := r.Live.List(ctx, &tags); err != nil {
		return confirmed{}, err
	}
	var revisions v1.IstioRevisionList
	if err := r.Live.List(ctx, &revisions); err != nil {
		return confirmed{}, err
	}
	return confirmed{true, revisions.Items, tags.Items}, nil
}

// current asks the server whether the Istio is what this run has seen.
func (r *Reconciler) current(ctx context.Context, s *scope) (bool, error) {
	istio := &v1.Istio{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(s.istio), istio); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return istio.UID == s.istio.UID && istio.Generation == s.istio.Generation && istio.DeletionTimestamp == nil, nil
}

// same asks the server whether the Istio and a revision of it are what this run has decided by.
func (r *Reconciler) same(ctx context.Context, s *scope, rev *v1.IstioRevision) (bool, error) {
	current, err := r.current(ctx, s)
	if err != nil || !current {
		return false, err
	}
	return istiorevision.Same(ctx, r.Live, rev)
}

// recheck is when to look again at a revision of which the watch said another thing than the server.
const recheck = 10 * time.Second

// report writes the status, if it is another one, and tells about what has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	before := s.istio.DeepCopy()
	s.facts.reconciled = s.Problem()
	s.istio.Status = nextStatus(r.Now(), s.istio, s.facts)
	again, err := r.reporter.Report(ctx, r.Client, r.Events, r.Now(), before, s.istio)
	s.Wake(again)
	return err
}
