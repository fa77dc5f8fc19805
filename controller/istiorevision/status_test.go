package istiorevision

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

var (
	before = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	now    = before.Add(time.Hour)
)

func TestStatus(t *testing.T) {
	t.Parallel()
	is := func(c v1.ConditionType) v1.Condition {
		return v1.Condition{
			Type: c, Status: metav1.ConditionTrue, Reason: v1.ConditionReason(c), LastTransitionTime: metav1.NewTime(now),
		}
	}
	fine := facts{ready: is(v1.ConditionReady), dependencies: is(v1.ConditionDependenciesHealthy)}
	with := func(change func(*facts)) facts {
		f := fine
		change(&f)
		return f
	}
	inUse := func(status metav1.ConditionStatus, reason v1.ConditionReason, message string, since time.Time) v1.Condition {
		return v1.Condition{
			Type: v1.ConditionInUse, Status: status, Reason: reason, Message: message, LastTransitionTime: metav1.NewTime(since),
		}
	}
	unused := func(since time.Time) v1.Condition {
		return inUse(metav1.ConditionFalse, v1.ReasonNotReferencedByAnything, v1.MessageNotInUse, since)
	}
	moment := func(t time.Time) *metav1.Time { m := metav1.NewTime(t); return &m }
	inventory := v1.Inventory{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "n", Name: "istio"}}
	base := v1.Conditions{is(v1.ConditionReconciled), is(v1.ConditionReady), is(v1.ConditionDependenciesHealthy)}
	for _, c := range []struct {
		reason string
		was    v1.IstioRevisionStatus
		facts  facts
		want   v1.IstioRevisionStatus
	}{
		{
			reason: "All is well, and nothing is known about use.",
			facts:  fine,
			want:   v1.IstioRevisionStatus{Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: base},
		},
		{
			reason: "A control plane elsewhere is Remote.",
			facts:  with(func(f *facts) { f.remote = true }),
			want:   v1.IstioRevisionStatus{Type: v1.IstioRevisionRemote, State: v1.Healthy, Conditions: base},
		},
		{
			reason: "That nothing uses a revision does not make it ill.",
			facts:  with(func(f *facts) { f.use = &usage.Use{InUse: usage.False} }),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: append(base[:3:3], unused(now)),
			},
		},
		{
			reason: "Users are named.",
			facts: with(func(f *facts) {
				f.use = &usage.Use{
					InUse: usage.True, Total: 4, Users: []usage.User{
						{Kind: "Namespace", Name: "bookinfo"}, {Kind: "Pod", Namespace: "b", Name: "p"},
					},
				}
			}),
			want: v1.IstioRevisionStatus{Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: append(base[:3:3], inUse(
				metav1.ConditionTrue, v1.ReasonReferencedByWorkloads, v1.MessageInUse+": Namespace bookinfo, Pod b/p and 2 more",
				now,
			))},
		},
		{
			reason: "A failed observation is neither use nor disuse.",
			facts:  with(func(f *facts) { f.use = &usage.Use{InUse: usage.Unknown, Why: "the pods cannot be watched"} }),
			want: v1.IstioRevisionStatus{Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: append(base[:3:3], inUse(
				metav1.ConditionUnknown, v1.ReasonUsageCheckFailed,
				usage.Use{InUse: usage.Unknown, Why: "the pods cannot be watched"}.Message(), now,
			))},
		},
		{
			reason: "As long as nothing new can be said about use, the old stays.",
			was:    v1.IstioRevisionStatus{Conditions: v1.Conditions{unused(before)}},
			facts:  fine,
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: append(v1.Conditions{unused(before)}, base...),
			},
		},
		{
			reason: "A revision becomes inactive now, once.",
			facts:  with(func(f *facts) { f.inactive = true }),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: base, InactiveSince: moment(now),
			},
		},
		{
			reason: "It has been inactive for a while.",
			was:    v1.IstioRevisionStatus{InactiveSince: moment(before)},
			facts:  with(func(f *facts) { f.inactive = true }),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: base, InactiveSince: moment(before),
			},
		},
		{
			reason: "It is the active one again.",
			was:    v1.IstioRevisionStatus{InactiveSince: moment(before)},
			facts:  fine,
			want:   v1.IstioRevisionStatus{Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: base},
		},
		{
			reason: "The clock was set back: moments in the future become now, or the revision would stay for years.",
			was: v1.IstioRevisionStatus{
				InactiveSince: moment(now.Add(24 * time.Hour)), Conditions: v1.Conditions{unused(now.Add(24 * time.Hour))},
			},
			facts: with(func(f *facts) { f.inactive, f.use = true, &usage.Use{InUse: usage.False} }),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.Healthy, Conditions: append(v1.Conditions{unused(now)}, base...),
				InactiveSince: moment(now),
			},
		},
		{
			reason: "What only a person can mend stalls; what has been applied stays known.",
			was:    v1.IstioRevisionStatus{Inventory: inventory},
			facts: with(func(f *facts) {
				f.reconciled = status.Permanent(v1.ReasonReconcileError, errors.New("no namespace"))
			}),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.ReasonReconcileError, Inventory: inventory,
				Conditions: v1.Conditions{
					{
						Type: v1.ConditionReconciled, Status: metav1.ConditionFalse, Reason: v1.ReasonReconcileError,
						Message: "no namespace", LastTransitionTime: metav1.NewTime(now),
					},
					base[1], base[2],
					{
						Type: v1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1.ReasonReconcileError, Message: "no namespace",
						LastTransitionTime: metav1.NewTime(now),
					},
				},
			},
		},
		{
			reason: "What may be gone the next time does not stall, but is no success either.",
			facts: with(func(f *facts) {
				f.reconciled, f.inventory = status.Temporary(v1.ReasonReconcileError, errors.New("timeout")), inventory
			}),
			want: v1.IstioRevisionStatus{
				Type: v1.IstioRevisionLocal, State: v1.ReasonReconcileError, Inventory: inventory,
				Conditions: v1.Conditions{
					{
						Type: v1.ConditionReconciled, Status: metav1.ConditionFalse, Reason: v1.ReasonReconcileError, Message: "timeout",
						LastTransitionTime: metav1.NewTime(now),
					},
					base[1], base[2],
					{
						Type: v1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: v1.ReasonReconcileError, Message: "timeout",
						LastTransitionTime: metav1.NewTime(now),
					},
				},
			},
		},
	} {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "a", Generation: 3}, Status: c.was}
		c.want.ObservedGeneration = 3
		got := nextStatus(now, rev, c.facts)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		rev.Status = got
		if diff := cmp.Diff(got, nextStatus(now.Add(time.Minute), rev, c.facts)); diff != "" {
			t.Errorf("%s: the same facts gave another status later: -first +second:\n%s", c.reason, diff)
		}
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	tag := func(name, on string, kind v1.TargetKind, target string, reason v1.ConditionReason) v1.IstioRevisionTag {
		out := v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: name}}
		out.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: kind, Name: target}
		out.Status.IstioRevision = on
		if reason != "" {
			out.Status.Conditions = v1.Conditions{{Type: v1.ConditionReconciled, Status: metav1.ConditionFalse, Reason: reason}}
		}
		return out
	}
	for _, c := range []struct {
		reason string
		tag    v1.IstioRevisionTag
		want   []usage.Tag
	}{
		{
			"A tag holds the revision that its webhooks inject from.", tag("t", "old", v1.TargetIstio, "i", ""),
			[]usage.Tag{{Name: "t", Revision: "old"}},
		},
		{
			"It also holds the one that it names and is about to move to.", tag("t", "old", v1.TargetIstioRevision, "new", ""),
			[]usage.Tag{{Name: "t", Revision: "old"}, {Name: "t", Revision: "new"}},
		},
		{"Once.", tag("t", "new", v1.TargetIstioRevision, "new", ""), []usage.Tag{{Name: "t", Revision: "new"}}},
		{
			"A tag that has just been created holds what it names.", tag("t", "", v1.TargetIstioRevision, "new", ""),
			[]usage.Tag{{Name: "t", Revision: "new"}},
		},
		{
			"One whose name is taken holds nothing: it has no webhooks.",
			tag("t", "", v1.TargetIstioRevision, "new", v1.ReasonNameAlreadyExists), nil,
		},
		{
			"One with another trouble still does.", tag("t", "old", v1.TargetIstio, "i", v1.ReasonRefNotFound),
			[]usage.Tag{{Name: "t", Revision: "old"}},
		},
	} {
		if diff := cmp.Diff(c.want, Tags([]v1.IstioRevisionTag{c.tag}, nil)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, values string
		want           bool
	}{
		{"No values, no default.", "", false},
		{"The value says it.", `{"sidecarInjectorWebhook":{"enableNamespacesByDefault":true}}`, true},
		{"The value denies it.", `{"sidecarInjectorWebhook":{"enableNamespacesByDefault":false}}`, false},
	} {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
		if c.values != "" {
			rev.Spec.Values = &v1.Values{Raw: []byte(c.values)}
		}
		if diff := cmp.Diff(usage.RevisionInfo{Name: "a", InjectsByDefault: c.want}, Info(rev, nil)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
