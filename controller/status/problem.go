// Package status tells how a run of a reconciler went: what it could not do, the conditions and events that say so, and
// when it is to be repeated.
package status

import (
	"context"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// Problem is why a run could not do all that it should: an error that knows which condition tells of it, and what can
// mend it. A phase returns it as its error; see Run.
type Problem struct {
	// Reason is that of the condition Reconciled. If it is empty, no condition tells of the problem.
	Reason v1.ConditionReason
	Err    error
	// Permanent says that only a change of the resource, or of another one that is watched, can mend it.
	Permanent bool
	// Retry says that the run is to be repeated, after pauses that grow.
	Retry bool
	// Again is when to look again all the same; zero for never.
	Again time.Duration
}

// Error is what the condition says.
func (p *Problem) Error() string { return p.Err.Error() }

// Unwrap gives the cause.
func (p *Problem) Unwrap() error { return p.Err }

// Permanent is a problem that no retry can mend.
func Permanent(reason v1.ConditionReason, err error) *Problem {
	return &Problem{Reason: reason, Err: err, Permanent: true}
}

// Awaited is a problem that something else will mend, of which an event tells.
func Awaited(reason v1.ConditionReason, err error) *Problem {
	return &Problem{Reason: reason, Err: err}
}

// Temporary is a problem that may be gone the next time.
func Temporary(reason v1.ConditionReason, err error) *Problem {
	return &Problem{Reason: reason, Err: err, Retry: true}
}

// Unreported is a problem that may be gone the next time, and that no condition tells of.
func Unreported(err error) *Problem { return Temporary("", err) }

// Run is what one run of a reconciler has come to. The zero value is one that has just begun.
type Run struct {
	problems []*Problem
	again    time.Duration
}

// Phase is a step of a run over what it knows, S. It fails in one way: by the error that it returns. If that is a
// Problem, or several joined ones, the run goes on, so that the status says it and all else is done nevertheless.
// Any other error ends the run.
type Phase[S any] func(ctx context.Context, s S) error

// Do runs phases over what a run knows, one after the other, and says what the reconciler is to return.
func Do[S any](ctx context.Context, r *Run, s S, phases ...Phase[S]) (reconcile.Result, error) {
	for _, phase := range phases {
		if err := r.note(phase(ctx, s)); err != nil {
			return Ended(err)
		}
	}
	return r.finished()
}

// note keeps problems, and gives back any other error.
func (r *Run) note(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := err.(*Problem); ok { //nolint:errorlint // a wrapped problem is another error
		r.problems = append(r.problems, p)
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	for _, err := range joined.Unwrap() {
		if err := r.note(err); err != nil {
			return err
		}
	}
	return nil
}

// Problem is the first that a condition tells of, or nil.
func (r *Run) Problem() *Problem {
	for _, p := range r.problems {
		if p.Reason != "" {
			return p
		}
	}
	return nil
}

// Wake makes the run be repeated after a time, or earlier; zero is never.
func (r *Run) Wake(after time.Duration) {
	if r.again == 0 || after != 0 && after < r.again {
		r.again = after
	}
}

// finished is what a run returns that got to its end.
func (r *Run) finished() (reconcile.Result, error) {
	for _, p := range r.problems {
		if p.Retry {
			return Ended(p.Err)
		}
	}
	for _, p := range r.problems {
		r.Wake(p.Again)
	}
	return reconcile.Result{RequeueAfter: r.again}, nil
}

// Ended is what a run returns that ended with an error, or with none. That somebody else was faster with a write is no
// error: the run was based on what the cache had, and is repeated when it has more.
func Ended(err error) (reconcile.Result, error) {
	const soon = 100 * time.Millisecond
	if apierrors.IsConflict(err) {
		return reconcile.Result{RequeueAfter: soon}, nil
	}
	return reconcile.Result{}, err
}

// Reconciled is the condition that a run with this problem, or without one, ends in.
func Reconciled(p *Problem) v1.Condition {
	if p == nil {
		return v1.Condition{Type: v1.ConditionReconciled, Status: metav1.ConditionTrue}
	}
	return v1.Condition{
		Type: v1.ConditionReconciled, Status: metav1.ConditionFalse, Reason: p.Reason, Message: p.Error(),
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
		Type: is, Status: metav1.ConditionTrue, Reason: p.Reason, Message: p.Error(),
		LastTransitionTime: metav1.NewTime(now),
	})
}
