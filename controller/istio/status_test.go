package istio

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
)

var (
	before = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	now    = before.Add(time.Hour)
)

// condition of a resource that has had it since a while.
func condition(
	t v1.ConditionType, is metav1.ConditionStatus, reason v1.ConditionReason, message string,
) v1.Condition {
	return v1.Condition{
		Type: t, Status: is, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(before),
	}
}

func healthy(t v1.ConditionType) v1.Condition {
	return condition(t, metav1.ConditionTrue, v1.ConditionReason(t), "")
}

// at is the condition as it is now, of one that has just changed.
func at(c v1.Condition) v1.Condition {
	c.LastTransitionTime = metav1.NewTime(now)
	return c
}

func revision(name string, conditions ...v1.Condition) v1.IstioRevision {
	rev := v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 2}}
	rev.Status.ObservedGeneration, rev.Status.Conditions = 2, conditions
	return rev
}

func working(name string, inUse metav1.ConditionStatus) v1.IstioRevision {
	return revision(name, healthy(v1.ConditionReconciled), healthy(v1.ConditionReady),
		healthy(v1.ConditionDependenciesHealthy),
		condition(v1.ConditionInUse, inUse, v1.ReasonReferencedByWorkloads, ""))
}

func TestStatus(t *testing.T) {
	t.Parallel()
	unobserved := working("a", metav1.ConditionTrue)
	unobserved.Generation++
	stalledRevision := working("a", metav1.ConditionFalse)
	stalledRevision.Status.Conditions = append(stalledRevision.Status.Conditions,
		condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "no namespace"))
	wrong := status.Permanent(v1.ReasonReconcileError, errors.New("spec.version: none"))
	const pending = "the IstioRevision a has not been looked at since it changed"
	const absent = "the IstioRevision a does not exist"
	for _, c := range []struct {
		reason string
		was    v1.IstioStatus
		facts  facts
		want   v1.IstioStatus
	}{
		{
			reason: "All is well: the conditions are those of the active revision, and the counters count all.",
			facts: facts{
				active: "a", revisions: []v1.IstioRevision{
					working("a", metav1.ConditionTrue), working("b", metav1.ConditionTrue), revision("c"),
				},
			},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.Healthy, Revisions: v1.RevisionSummary{Total: 3, Ready: 2, InUse: 2},
				Conditions: v1.Conditions{
					at(healthy(v1.ConditionReconciled)), at(healthy(v1.ConditionReady)), at(healthy(v1.ConditionDependenciesHealthy)),
				},
			},
		},
		{
			reason: "A transition is one of the status; the same status keeps its time, with another message too.",
			was: v1.IstioStatus{Conditions: v1.Conditions{
				healthy(v1.ConditionReconciled),
				condition(v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "old"),
			}},
			facts: facts{active: "a", revisions: []v1.IstioRevision{revision(
				"a", healthy(v1.ConditionReconciled),
				condition(v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "new"),
				healthy(v1.ConditionDependenciesHealthy),
			)}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.ReasonIstiodNotReady, Revisions: v1.RevisionSummary{Total: 1},
				Conditions: v1.Conditions{
					healthy(v1.ConditionReconciled),
					condition(v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "new"),
					at(healthy(v1.ConditionDependenciesHealthy)),
				},
			},
		},
		{
			reason: "A revision that has just been changed says nothing yet: Ready must not be what it was of the old version.",
			was: v1.IstioStatus{
				Conditions: v1.Conditions{
					healthy(v1.ConditionReconciled), healthy(v1.ConditionReady), healthy(v1.ConditionDependenciesHealthy),
				},
			},
			facts: facts{active: "a", revisions: []v1.IstioRevision{unobserved}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.ReasonIstiodNotReady,
				Revisions: v1.RevisionSummary{Total: 1, Ready: 1, InUse: 1},
				Conditions: v1.Conditions{
					healthy(v1.ConditionReconciled),
					at(condition(v1.ConditionReady, metav1.ConditionUnknown, v1.ReasonIstiodNotReady, pending)),
					at(condition(v1.ConditionDependenciesHealthy, metav1.ConditionUnknown, v1.ReasonDependencyCheckFailed, pending)),
				},
			},
		},
		{
			reason: "A wrong spec stalls the Istio, and what it last asked for is still looked at.",
			was:    v1.IstioStatus{ActiveRevisionName: "a"},
			facts:  facts{reconciled: wrong, revisions: []v1.IstioRevision{working("a", metav1.ConditionFalse)}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.ReasonReconcileError, Revisions: v1.RevisionSummary{Total: 1, Ready: 1},
				Conditions: v1.Conditions{
					at(condition(v1.ConditionReconciled, metav1.ConditionFalse, v1.ReasonReconcileError, "spec.version: none")),
					at(healthy(v1.ConditionReady)), at(healthy(v1.ConditionDependenciesHealthy)),
					at(condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "spec.version: none")),
				},
			},
		},
		{
			reason: "An active revision that is not there is no success.",
			facts:  facts{active: "a", revisions: []v1.IstioRevision{working("b", metav1.ConditionFalse)}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.ReasonActiveRevisionNotFound, Revisions: v1.RevisionSummary{Total: 1, Ready: 1},
				Conditions: v1.Conditions{
					at(condition(v1.ConditionReconciled, metav1.ConditionFalse, v1.ReasonActiveRevisionNotFound, absent)),
					at(condition(v1.ConditionReady, metav1.ConditionFalse, v1.ReasonActiveRevisionNotFound, absent)),
					at(condition(v1.ConditionDependenciesHealthy, metav1.ConditionFalse, v1.ReasonActiveRevisionNotFound, absent)),
				},
			},
		},
		{
			reason: "What stalls the active revision stalls the Istio; once it is mended, the condition goes.",
			was: v1.IstioStatus{
				Conditions: v1.Conditions{condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "other")},
			},
			facts: facts{active: "a", revisions: []v1.IstioRevision{stalledRevision}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.Healthy, Revisions: v1.RevisionSummary{Total: 1, Ready: 1},
				Conditions: v1.Conditions{
					condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "IstioRevision a: no namespace"),
					at(healthy(v1.ConditionReconciled)), at(healthy(v1.ConditionReady)), at(healthy(v1.ConditionDependenciesHealthy)),
				},
			},
		},
		{
			reason: "Nothing stalls any more.",
			was: v1.IstioStatus{Conditions: v1.Conditions{
				condition(v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "other"),
				healthy(v1.ConditionReconciled),
				healthy(v1.ConditionReady), healthy(v1.ConditionDependenciesHealthy),
			}},
			facts: facts{active: "a", revisions: []v1.IstioRevision{working("a", metav1.ConditionFalse)}},
			want: v1.IstioStatus{
				ActiveRevisionName: "a", State: v1.Healthy, Revisions: v1.RevisionSummary{Total: 1, Ready: 1},
				Conditions: v1.Conditions{
					healthy(v1.ConditionReconciled), healthy(v1.ConditionReady), healthy(v1.ConditionDependenciesHealthy),
				},
			},
		},
	} {
		istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 7}, Status: c.was}
		c.want.ObservedGeneration = 7
		got := nextStatus(now, istio, c.facts)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		istio.Status = got
		if diff := cmp.Diff(got, nextStatus(now.Add(time.Minute), istio, c.facts)); diff != "" {
			t.Errorf("%s: the same facts gave another status later: -first +second:\n%s", c.reason, diff)
		}
	}
}

func TestSameJSON(t *testing.T) {
	t.Parallel()
	rev := func(text string) *v1.IstioRevision {
		r := &v1.IstioRevision{}
		if text != "" {
			r.Spec.Values = &v1.Values{Raw: []byte(text)}
		}
		return r
	}
	for _, c := range []struct {
		reason, a, b string
		want         bool
	}{
		{"Order and spaces mean nothing.", `{"a":1,"b":{}}`, `{ "b": {}, "a": 1 }`, true},
		{"A null is a value.", `{"a":{"b":null}}`, `{"a":{}}`, false},
		{"A number is not a text.", `{"a":1}`, `{"a":"1"}`, false},
		{"Nothing is nothing.", "", "", true},
	} {
		if got := sameJSON(rev(c.a), rev(c.b)); got != c.want {
			t.Errorf("%s: got %t", c.reason, got)
		}
	}
	other := rev(`{}`)
	other.Spec.Version = "v1.2.3"
	if sameJSON(rev(`{}`), other) {
		t.Error("another version is another revision")
	}
}
