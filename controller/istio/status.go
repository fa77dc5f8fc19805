package istio

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
)

// facts are what a run has learned.
type facts struct {
	// reconciled is why the revision is not as it should be, or nil.
	reconciled *status.Problem
	// active is the name of the revision that spec asks for; "" if spec is wrong.
	active string
	// foreign says that the revision of this name belongs to somebody else.
	foreign bool
	// revisions are those that the Istio owns.
	revisions []v1.IstioRevision
}

// nextStatus is what the status of an Istio should be, of what it was and what has been learned.
func nextStatus(now time.Time, istio *v1.Istio, f facts) v1.IstioStatus {
	s := *istio.Status.DeepCopy()
	s.ObservedGeneration = istio.Generation
	if f.active != "" {
		s.ActiveRevisionName = f.active
	}
	s.Revisions = v1.RevisionSummary{}
	for _, rev := range f.revisions {
		s.Revisions.Total++
		if rev.Status.Conditions.IsTrue(v1.ConditionReady) {
			s.Revisions.Ready++
		}
		if rev.Status.Conditions.IsTrue(v1.ConditionInUse) {
			s.Revisions.InUse++
		}
	}
	var active *v1.IstioRevision
	if i := slices.IndexFunc(f.revisions, func(rev v1.IstioRevision) bool {
		return rev.Name == s.ActiveRevisionName
	}); i >= 0 {
		active = &f.revisions[i]
	}
	set := func(c v1.Condition) {
		c.LastTransitionTime = metav1.NewTime(now)
		s.Conditions = s.Conditions.Set(c)
	}
	problem := f.reconciled
	if problem != nil {
		set(status.Reconciled(problem))
	} else if c := mirror(v1.ConditionReconciled, s.ActiveRevisionName, active); c.Status != metav1.ConditionUnknown {
		set(c) // else it is being reconciled, which Ready says
	}
	set(mirror(v1.ConditionReady, s.ActiveRevisionName, active))
	set(mirror(v1.ConditionDependenciesHealthy, s.ActiveRevisionName, active))
	s.Conditions = status.Stalled(s.Conditions, stalled(problem, active), now)
	s.State = s.Conditions.State(v1.IstioStateConditions)
	return s
}

// mirror is a condition of the active revision as one of the Istio. As long as the revision's own is about an earlier
// spec of its, it says nothing.
func mirror(t v1.ConditionType, name string, active *v1.IstioRevision) v1.Condition {
	if active == nil {
		c := v1.Condition{Type: t, Status: metav1.ConditionFalse, Reason: v1.ReasonActiveRevisionNotFound}
		if name == "" {
			c.Message = "spec asks for no revision that could be made"
		} else {
			c.Message = fmt.Sprintf("the IstioRevision %s does not exist", name)
		}
		return c
	}
	if have := active.Status.Conditions.Get(t); have != nil && active.Status.ObservedGeneration == active.Generation {
		return *have
	}
	reason := v1.ReasonIstiodNotReady
	if t == v1.ConditionDependenciesHealthy {
		reason = v1.ReasonDependencyCheckFailed
	}
	return v1.Condition{
		Type: t, Status: metav1.ConditionUnknown, Reason: reason,
		Message: fmt.Sprintf("the IstioRevision %s has not been looked at since it changed", active.Name),
	}
}

// stalled is what is wrong for generic health checks: in the Istio, or in its active revision.
func stalled(problem *status.Problem, active *v1.IstioRevision) *status.Problem {
	if problem != nil || active == nil {
		return problem
	}
	if c := active.Status.Conditions.Get(v1.ConditionStalled); c != nil {
		return status.Permanent(c.Reason, fmt.Errorf("IstioRevision %s: %s", active.Name, c.Message))
	}
	if c := active.Status.Conditions.Get(v1.ConditionReconciling); c != nil {
		return status.Awaited(c.Reason, fmt.Errorf("IstioRevision %s: %s", active.Name, c.Message))
	}
	return nil
}

// sameJSON reports whether two revisions differ in nothing but how their values are written.
func sameJSON(a, b *v1.IstioRevision) bool {
	x, y := a.DeepCopy(), b.DeepCopy()
	vx, errX := x.Spec.Values.Map()
	vy, errY := y.Spec.Values.Map()
	if errX != nil || errY != nil || !reflect.DeepEqual(vx, vy) {
		return false
	}
	x.Spec.Values, y.Spec.Values = nil, nil
	return reflect.DeepEqual(x, y)
}
