package istiorevision

import (
	"errors"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/usage"
)

// facts are what a run has learned.
type facts struct {
	// remote says that the control plane runs in another cluster.
	remote bool
	// reconciled is why the objects are not as they should be, or nil.
	reconciled *status.Problem
	// waiting says which tags of the values are on another revision still.
	waiting []string
	// ready and dependencies are those conditions.
	ready, dependencies v1.Condition
	// use is who uses the revision; nil if nothing new can be said.
	use *usage.Use
	// inactive says that the Istio that owns the revision asks for another one, which exists.
	inactive bool
	// inventory is what has been applied; nil leaves the old one.
	inventory v1.Inventory
	// outdated says which of Istio's CRDs, kept by somebody else, are too old for the revision; "" if none is.
	outdated string
	// held says why the revision stays although somebody has deleted it; "" if nobody has.
	held string
}

// nextStatus is what the status of a revision should be, of what it was and what has been learned.
func nextStatus(now time.Time, rev *v1.IstioRevision, f facts) v1.IstioRevisionStatus {
	s := *rev.Status.DeepCopy()
	s.ObservedGeneration = rev.Generation
	s.Type = v1.IstioRevisionLocal
	if f.remote {
		s.Type = v1.IstioRevisionRemote
	}
	if f.inventory != nil {
		s.Inventory = f.inventory
	}
	if owned.PipelineRendered(rev) {
		s.Inventory = nil
	}
	set := func(c v1.Condition) {
		c.LastTransitionTime = metav1.NewTime(now)
		s.Conditions = s.Conditions.Set(c)
	}
	reconciled := status.Reconciled(f.reconciled)
	if f.reconciled == nil && len(f.waiting) > 0 {
		reconciled.Message = strings.Join(f.waiting, "; ")
	}
	set(reconciled)
	set(f.ready)
	set(f.dependencies)
	if f.use != nil {
		set(InUse(*f.use))
	}
	problem := f.reconciled
	if f.held != "" { // what is wrong besides is in Reconciled
		problem = status.Permanent(v1.ReasonDeletionHeld, errors.New(f.held))
	}
	s.Conditions = status.Stalled(s.Conditions, problem, now)
	s.State = s.Conditions.State(v1.IstioRevisionStateConditions)
	moments(now, &s, f.inactive)
	return s
}

// InUse is the condition that says who uses a revision or a tag.
func InUse(u usage.Use) v1.Condition {
	c := v1.Condition{Type: v1.ConditionInUse, Message: u.Message()}
	switch u.InUse {
	case usage.True:
		c.Status, c.Reason = metav1.ConditionTrue, v1.ReasonReferencedByWorkloads
	case usage.False:
		c.Status, c.Reason = metav1.ConditionFalse, v1.ReasonNotReferencedByAnything
	case usage.Unknown:
		c.Status, c.Reason = metav1.ConditionUnknown, v1.ReasonUsageCheckFailed
	}
	return c
}

// moments keeps the two moments from which the grace period counts: when nothing used the revision any more, which is
// the last transition of InUse, and when it ceased to be the active one. What becomes of them is prune's rule. A time
// in which nothing can be said about use ends with another transition: the grace period starts again, which is late and
// safe.
func moments(now time.Time, s *v1.IstioRevisionStatus, inactive bool) {
	seen := prune.Revision{Active: !inactive, InUse: usage.Unknown}
	use := s.Conditions.Get(v1.ConditionInUse)
	if use != nil {
		seen.InUse = usage.InUse(use.Status)
	}
	if seen.InUse == usage.False {
		seen.UnusedSince = use.LastTransitionTime.Time
	}
	if s.InactiveSince != nil {
		seen.InactiveSince = s.InactiveSince.Time
	}
	seen = prune.Observe(now, seen)
	if seen.InUse == usage.False {
		use.LastTransitionTime = whole(seen.UnusedSince)
	}
	s.InactiveSince = nil
	if !seen.InactiveSince.IsZero() {
		since := whole(seen.InactiveSince)
		s.InactiveSince = &since
	}
}

// whole is a moment as the API server keeps it.
func whole(t time.Time) metav1.Time { return metav1.NewTime(t.UTC().Truncate(time.Second)) }
