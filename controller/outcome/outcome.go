// Package outcome is what the reconcilers share about telling how a run went: problems and the conditions they
// make, events, the write of a status, and whose resource is whose.
package outcome

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
)

const (
	// Finalizer holds a resource until its objects are deleted in a good order.
	Finalizer = "lateen.io/cleanup"
	// SailFinalizer is that of the Sail Operator, on resources that were its own: nobody else would take it off.
	SailFinalizer = "sailoperator.io/sail-operator"
	// DeletionPatience is how long a deletion is tried again when it fails. Then the garbage collector has to do.
	DeletionPatience = time.Minute
)

// Problem is why a resource could not be reconciled.
type Problem struct {
	Reason v1.ConditionReason
	Err    error
	// Permanent says that only a change of the resource, or of another one that is watched, can mend it.
	Permanent bool
	// again is when to look again all the same; zero for never.
	again time.Duration
}

// Permanent is a problem that no retry can mend.
func Permanent(reason v1.ConditionReason, err error) *Problem {
	return &Problem{Reason: reason, Err: err, Permanent: true}
}

// Temporary is a problem that may be gone the next time.
func Temporary(reason v1.ConditionReason, err error) *Problem {
	return &Problem{Reason: reason, Err: err}
}

// seldom is how often something is tried again that only a person can mend, when no watch tells that they did.
const seldom = 5 * time.Minute

// Refused is the problem that objects could not be applied, and the error to return for another try: none, if the
// server says of all of them that they are wrong, or somebody else has them. That is looked at again once in a while,
// since what makes them wrong may be somebody else's object.
func Refused(err error) (p *Problem, retry error) {
	reason := v1.ReasonReconcileError
	if _, ok := errors.AsType[*apply.TakeoverError](err); ok {
		reason = v1.ReasonTakeoverRefused
	} else if every(err, held) {
		reason = v1.ReasonNameAlreadyExists
	} else if !every(err, func(err error) bool { return held(err) || wrong(err) }) {
		return Temporary(v1.ReasonReconcileError, err), err
	}
	p = Permanent(reason, err)
	p.again = seldom
	return p, nil
}

// wrong reports whether an error says that an object is invalid.
func wrong(err error) bool {
	_, malformed := errors.AsType[*apply.MalformedError](err)
	return malformed || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err)
}

// held reports whether an error says that another resource has an object.
func held(err error) bool {
	_, ok := errors.AsType[*apply.HeldError](err)
	return ok
}

// every reports whether something is true of an error, or of each of those that it is made of.
func every(err error, is func(error) bool) bool {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		return !slices.ContainsFunc(several.Unwrap(), func(err error) bool { return !every(err, is) })
	}
	return is(err)
}

// Reconciled is the condition that a run with this problem, or without one, ends in.
func Reconciled(p *Problem) v1.Condition {
	if p == nil {
		return v1.Condition{Type: v1.ConditionReconciled, Status: metav1.ConditionTrue}
	}
	return v1.Condition{
		Type: v1.ConditionReconciled, Status: metav1.ConditionFalse, Reason: p.Reason, Message: p.Err.Error(),
	}
}

// Stalled notes for generic health checks (kstatus), which do not know Reconciled, that a resource needs a person
// (Stalled), or is still being worked on (Reconciling). The conditions are there only while that is so.
func Stalled(c v1.Conditions, p *Problem, now time.Time) v1.Conditions {
	if p == nil {
		return c.Without(v1.ConditionStalled).Without(v1.ConditionReconciling)
	}
	is, isNot := v1.ConditionReconciling, v1.ConditionStalled
	if p.Permanent {
		is, isNot = isNot, is
	}
	return c.Without(isNot).Set(v1.Condition{
		Type: is, Status: metav1.ConditionTrue, Reason: p.Reason, Message: p.Err.Error(),
		LastTransitionTime: metav1.NewTime(now),
	})
}

// PipelineRendered tells whether a pipeline renders the objects of a resource, so that the controller must not
// apply any.
func PipelineRendered(o client.Object) bool {
	return o.GetAnnotations()[manifest.AnnotationRenderedBy] != ""
}

// OwningIstio names the Istio that a revision belongs to, by its owner reference or, if a pipeline renders it, by
// the stamp; "" if it belongs to none.
func OwningIstio(rev *v1.IstioRevision) string {
	if ref := metav1.GetControllerOf(rev); ref != nil {
		if ref.Kind == v1.KindIstio && ref.APIVersion == v1.GroupVersion.String() {
			return ref.Name
		}
		return ""
	}
	if kind, name, _ := strings.Cut(rev.Annotations[manifest.AnnotationOwner], "/"); kind == v1.KindIstio &&
		PipelineRendered(rev) {
		return name
	}
	return ""
}

// Older tells which of two resources of one name came first, and so has the name.
func Older(a, b client.Object) bool {
	ta, tb := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return cmp.Or(ta.Compare(tb.Time), cmp.Compare(a.GetUID(), b.GetUID())) < 0
}

// NamespaceProblem looks for a namespace in the cache, and says why nothing can be applied to it.
func NamespaceProblem(ctx context.Context, r client.Reader, name string) (*Problem, error) {
	ns := cluster.Metadata(cluster.NamespaceKind)
	err := r.Get(ctx, client.ObjectKey{Name: name}, ns)
	switch {
	case apierrors.IsNotFound(err):
		return Permanent(v1.ReasonReconcileError, fmt.Errorf(v1.MessageNamespaceDoesNotExist, name)), nil
	case err != nil:
		return nil, err
	case ns.DeletionTimestamp != nil:
		return Permanent(v1.ReasonReconcileError, fmt.Errorf(v1.MessageNamespaceIsDeleted, name)), nil
	}
	return nil, nil
}

// Write writes the status if it differs from what it was.
func Write(ctx context.Context, c client.Client, before, after client.Object) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	patch := client.MergeFromWithOptions(withoutDefault(before), client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(c.Status().Patch(ctx, after, patch))
}

// withoutDefault is a resource without the status that its CRD gives it before anybody has looked at it. What is
// zero in a status is in Go, but not in the cluster: without this, counters of an Istio that has nothing would not
// be written.
func withoutDefault(o client.Object) client.Object {
	if statusOf(o).generation >= 0 {
		return o
	}
	switch o := o.DeepCopyObject().(type) {
	case *v1.Istio:
		o.Status = v1.IstioStatus{}
		return o
	case *v1.IstioRevision:
		o.Status = v1.IstioRevisionStatus{}
		return o
	case *v1.IstioRevisionTag:
		o.Status = v1.IstioRevisionTagStatus{}
		return o
	case *v1.IstioCNI:
		o.Status = v1.IstioCNIStatus{}
		return o
	}
	return o
}

// Ended is what a run returns that ended with an error, or with none. That somebody else was faster with a write is
// no error: the run was based on what the cache had, and is repeated when it has more.
func Ended(err error) (reconcile.Result, error) {
	const soon = 100 * time.Millisecond
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: soon}, nil
	}
	return reconcile.Result{}, err
}

// Finished is what a run returns that got to its end, with an error to be tried again or without, and what it found
// wrong. again is when to look again in any case; zero for never.
func Finished(retry error, p *Problem, again time.Duration) (reconcile.Result, error) {
	if retry != nil {
		return Ended(retry)
	}
	if p != nil && p.again > 0 && (again == 0 || p.again < again) {
		again = p.again
	}
	return reconcile.Result{RequeueAfter: again}, nil
}

// Hold puts the finalizer on a resource whose objects the controller applies, and takes it off one whose objects it
// does not. The Sail Operator's goes in any case: nobody else would take it off, once that is gone.
func Hold(ctx context.Context, c client.Client, o client.Object, applies bool) error {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("a copy of %T is none", o)
	}
	changed := controllerutil.RemoveFinalizer(o, SailFinalizer)
	if applies {
		changed = controllerutil.AddFinalizer(o, Finalizer) || changed
	} else {
		changed = controllerutil.RemoveFinalizer(o, Finalizer) || changed
	}
	if !changed {
		return nil
	}
	return c.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// Release takes our finalizers off a resource that is being deleted.
func Release(ctx context.Context, c client.Client, o client.Object) error {
	return client.IgnoreNotFound(Hold(ctx, c, o, false))
}

// Applied tells of what was changed in the cluster.
func Applied(r events.EventRecorder, about client.Object, changes []apply.Change) {
	if len(changes) == 0 {
		return
	}
	var texts []string
	for _, c := range changes {
		texts = append(texts, c.String())
	}
	r.Eventf(about, nil, corev1.EventTypeNormal, "Applied", "Apply", "%d objects changed: %s", len(changes),
		Note(strings.Join(texts, ", ")))
}

// Note shortens a text to what an event can hold.
func Note(s string) string {
	const most = 900
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Warn makes events of the warnings among findings, once for each state of the spec: observed is the last one that was
// reported.
func Warn(r events.EventRecorder, about client.Object, observed int64, found finding.List) {
	if about.GetGeneration() != observed {
		Tell(r, about, EventCheckValues, found)
	}
}

// The reasons of events that are findings: about one resource, and about several together.
const (
	EventCheckValues = "CheckValues"
	EventCheckMesh   = "CheckMesh"
)

// Tell makes events of the warnings among findings.
func Tell(r events.EventRecorder, about client.Object, reason string, found finding.List) {
	for _, w := range found.Messages(finding.Warning) {
		r.Eventf(about, nil, corev1.EventTypeWarning, reason, "Apply", "%s", Note(w))
	}
}
