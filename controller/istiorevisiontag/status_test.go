package istiorevisiontag

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/usage"
)

func TestStatus(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	condition := func(
		c v1.ConditionType, status metav1.ConditionStatus, reason v1.ConditionReason, message string,
	) v1.Condition {
		return v1.Condition{
			Type: c, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(now),
		}
	}
	reconciled := condition(v1.ConditionReconciled, metav1.ConditionTrue, v1.ConditionReason(v1.ConditionReconciled), "")
	unused := condition(v1.ConditionInUse, metav1.ConditionFalse, v1.ReasonNotReferencedByAnything, v1.MessageNotInUse)
	used := condition(v1.ConditionInUse, metav1.ConditionTrue, v1.ReasonReferencedByWorkloads,
		v1.MessageInUse+": Namespace a")
	rev := &v1.IstioRevision{
		ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: v1.IstioRevisionSpec{Namespace: "istio-system"},
	}
	byNamespace := &usage.Use{InUse: usage.True, Total: 1, Users: []usage.User{{Kind: "Namespace", Name: "a"}}}
	inventory := v1.Inventory{{APIVersion: "v1", Kind: "Service", Namespace: "n", Name: "s"}}
	for _, c := range []struct {
		reason   string
		was      v1.IstioRevisionTagStatus
		facts    facts
		pipeline bool
		want     v1.IstioRevisionTagStatus
	}{
		{
			reason: "The state of a tag that nothing uses is that nothing uses it.",
			facts:  facts{on: rev, use: &usage.Use{InUse: usage.False}, inventory: inventory},
			want: v1.IstioRevisionTagStatus{
				State: v1.ReasonNotReferencedByAnything, IstioRevision: "r", IstiodNamespace: "istio-system", Inventory: inventory,
				Conditions: v1.Conditions{reconciled, unused},
			},
		},
		{
			reason: "A tag that is used is healthy.",
			facts:  facts{on: rev, use: byNamespace},
			want: v1.IstioRevisionTagStatus{
				State: v1.Healthy, IstioRevision: "r", IstiodNamespace: "istio-system", Conditions: v1.Conditions{reconciled, used},
			},
		},
		{
			reason: "A tag that waits for a revision says so, and is as well as it was.",
			facts:  facts{on: rev, waiting: "next", use: byNamespace},
			want: v1.IstioRevisionTagStatus{
				State: v1.Healthy, IstioRevision: "r", IstiodNamespace: "istio-system", Conditions: v1.Conditions{
					condition(v1.ConditionReconciled, metav1.ConditionTrue, reconciled.Reason,
						"stays on IstioRevision r until next is ready"), used,
				},
			},
		},
		{
			reason: "A target that is gone does not take the webhooks with it.",
			was:    v1.IstioRevisionTagStatus{IstioRevision: "r", Inventory: inventory},
			facts:  facts{on: rev, reconciled: status.Permanent(v1.ReasonRefNotFound, errors.New("no target"))},
			want: v1.IstioRevisionTagStatus{
				State: v1.ReasonRefNotFound, IstioRevision: "r", IstiodNamespace: "istio-system", Inventory: inventory,
				Conditions: v1.Conditions{
					condition(v1.ConditionReconciled, metav1.ConditionFalse, v1.ReasonRefNotFound, "no target"),
					condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonRefNotFound, "no target"),
				},
			},
		},
		{
			reason:   "What a pipeline applies is not in an inventory of ours.",
			was:      v1.IstioRevisionTagStatus{Inventory: inventory},
			facts:    facts{on: rev},
			pipeline: true,
			want: v1.IstioRevisionTagStatus{
				State: v1.Healthy, IstioRevision: "r", IstiodNamespace: "istio-system", Conditions: v1.Conditions{reconciled},
			},
		},
	} {
		tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "t", Generation: 4}, Status: c.was}
		c.want.ObservedGeneration = 4
		got := nextStatus(now, tag, c.facts, c.pipeline)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		tag.Status = got
		if diff := cmp.Diff(got, nextStatus(now.Add(time.Minute), tag, c.facts, c.pipeline)); diff != "" {
			t.Errorf("%s: the same facts gave another status later: -first +second:\n%s", c.reason, diff)
		}
	}
}

func TestStays(t *testing.T) {
	t.Parallel()
	rev := func(name string, ready bool, observed int64) *v1.IstioRevision {
		r := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 2}}
		r.Status.ObservedGeneration = observed
		r.Status.Conditions = v1.Conditions{{Type: v1.ConditionReady, Status: metav1.ConditionFalse}}
		if ready {
			r.Status.Conditions[0].Status = metav1.ConditionTrue
		}
		return r
	}
	with := func(r *v1.IstioRevision, message string) *v1.IstioRevision {
		r.Status.Conditions[0].Message = message
		return r
	}
	going := rev("old", true, 2)
	going.DeletionTimestamp = &metav1.Time{Time: time.Unix(0, 0)}
	for _, c := range []struct {
		reason          string
		current, target *v1.IstioRevision
		want            bool
	}{
		{"A new tag is installed at once.", nil, rev("new", false, 2), false},
		{"It is there already.", rev("old", true, 2), rev("old", false, 2), false},
		{"The new revision does not work yet, and the old one does.", rev("old", true, 2), rev("new", false, 2), true},
		{"The new revision works.", rev("old", true, 2), rev("new", true, 2), false},
		{
			"A pod of the old one is not ready for a moment: moving gains nothing.",
			with(rev("old", false, 2), v1.MessageIstiodPodsNotReady), rev("new", false, 2), true,
		},
		{
			"The old one is gone: nothing is lost by moving.", with(rev("old", false, 2), v1.MessageIstiodNotFound),
			rev("new", false, 2), false,
		},
		{
			"The old one is switched off.", with(rev("old", false, 2), v1.MessageIstiodScaledToZero), rev("new", false, 2),
			false,
		},
		{"That the new one works was said of an earlier spec.", rev("old", true, 2), rev("new", true, 1), true},
		{"The old one is being deleted.", going, rev("new", false, 2), false},
	} {
		s := &scope{current: c.current, target: c.target}
		if got := s.stays(); got != c.want {
			t.Errorf("%s: got %t", c.reason, got)
		}
	}
}
