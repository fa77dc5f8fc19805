package outcome

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/lateen-io/lateen/api/v1"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// told are the events of a recorder so far.
func told(recorder *events.FakeRecorder) []string {
	var out []string
	for {
		select {
		case e := <-recorder.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

// with are conditions of all kinds' statuses, each since a moment.
func with(all ...v1.Condition) v1.Conditions { return all }

func since(t time.Time, c v1.ConditionType, status metav1.ConditionStatus, reason v1.ConditionReason,
	message string,
) v1.Condition {
	return v1.Condition{
		Type: c, Status: status, Reason: reason, Message: message,
		LastTransitionTime: metav1.NewTime(t),
	}
}

// TestEvents is what is told of a status that follows another one, at once.
func TestEvents(t *testing.T) {
	t.Parallel()
	ready := since(noon, v1.ConditionReady, metav1.ConditionTrue, "Ready", "")
	notReady := since(noon, v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "x")
	pending := since(noon, v1.ConditionReady, metav1.ConditionUnknown, v1.ReasonIstiodNotReady,
		"has not been looked at")
	failed := since(noon, v1.ConditionReconciled, metav1.ConditionFalse, v1.ReasonReconcileError, "x")
	done := since(noon, v1.ConditionReconciled, metav1.ConditionTrue, "Reconciled", "")
	stalls := since(noon, v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonReconcileError, "x")
	for _, c := range []struct {
		reason        string
		before, after v1.Conditions
		// changed says that the statuses are about different specs.
		changed bool
		want    []string
	}{
		{"Nothing has changed.", with(ready), with(ready), false, nil},
		{"It is well from the beginning.", nil, with(ready), true, nil},
		{"It has just been created, and comes up.", nil, with(notReady), true, []string{"Normal IstiodNotReady x"}},
		{"Nobody has looked yet, which is how each begins.", nil, with(pending), true, nil},
		{
			"It has been looked at, and comes up.", with(pending), with(notReady), false,
			[]string{"Normal IstiodNotReady x"},
		},
		{"It gets well.", with(notReady), with(ready), false, []string{"Normal Ready Ready is True"}}, //nolint:dupword // two words
		{"It was well, and is not.", with(ready), with(notReady), false, []string{"Warning IstiodNotReady x"}},
		{
			"It was well with another spec, and rolls out.", with(ready), with(notReady), true,
			[]string{"Normal IstiodNotReady x"},
		},
		{
			"It was well with another spec, and nobody has looked yet.", with(ready), with(pending), true,
			[]string{"Normal IstiodNotReady has not been looked at"},
		},
		{
			"Another message is no news.", with(notReady),
			with(since(noon, v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "y")), false, nil,
		},
		{"It could not be applied, and is tried again.", nil, with(failed), true, []string{"Normal ReconcileError x"}},
		{"It could not be repaired.", with(done), with(failed), false, []string{"Warning ReconcileError x"}},
		{
			"A person has to change the new resource. Stalled says what Reconciled has said.", nil, with(failed, stalls),
			true,
			[]string{"Warning ReconcileError x"},
		},
		{
			"What was tried again needs a person now.", with(failed), with(failed, stalls), false,
			[]string{"Warning ReconcileError x"},
		},
		{
			"That nothing uses a revision is no fault.",
			with(since(noon, v1.ConditionInUse, metav1.ConditionTrue, v1.ReasonReferencedByWorkloads, "")),
			with(since(noon, v1.ConditionInUse, metav1.ConditionFalse, v1.ReasonNotReferencedByAnything, "unused")),
			false,
			[]string{"Normal NotReferencedByAnything unused"},
		},
		{
			"A deletion that is held is in Stalled only.", with(done),
			with(done, since(noon, v1.ConditionStalled, metav1.ConditionTrue, v1.ReasonDeletionHeld, "held")), false,
			[]string{"Warning DeletionHeld held"},
		},
	} {
		before, after := &v1.Istio{}, &v1.Istio{}
		before.Status.ObservedGeneration, after.Status.ObservedGeneration = 1, 1
		if c.changed {
			after.Status.ObservedGeneration = 2
		}
		before.Status.Conditions, after.Status.Conditions = c.before, c.after
		recorder := events.NewFakeRecorder(10)
		(&Reporter{}).notify(recorder, noon, before, after)
		if diff := cmp.Diff(c.want, told(recorder)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestWarnings is a control plane that does not come up: everybody is warned once, after a while, by the moment in
// the status, and again after it was well in between. All kinds are told of in the same way.
func TestWarnings(t *testing.T) {
	t.Parallel()
	for _, resource := range []func(v1.Conditions) client.Object{
		func(c v1.Conditions) client.Object { return &v1.Istio{Status: v1.IstioStatus{Conditions: c}} },
		func(c v1.Conditions) client.Object {
			return &v1.IstioRevision{Status: v1.IstioRevisionStatus{Conditions: c}}
		},
		func(c v1.Conditions) client.Object { return &v1.IstioCNI{Status: v1.IstioCNIStatus{Conditions: c}} },
	} {
		var r Reporter
		at := noon.Add
		down := func(from time.Duration) v1.Conditions {
			return with(since(at(from), v1.ConditionReady, metav1.ConditionFalse, v1.ReasonIstiodNotReady, "x"))
		}
		up := with(since(at(time.Hour), v1.ConditionReady, metav1.ConditionTrue, "Ready", ""))
		for _, step := range []struct {
			reason        string
			before, after v1.Conditions
			now           time.Duration
			want          []string
			again         time.Duration
		}{
			{"It comes up.", nil, down(0), 0, []string{"Normal IstiodNotReady x"}, Patience},
			{"It still does.", down(0), down(0), time.Minute, nil, Patience - time.Minute},
			{"It takes too long.", down(0), down(0), Patience, []string{"Warning IstiodNotReady x"}, 0},
			{"That has been said.", down(0), down(0), 2 * Patience, nil, 0},
			{"It is well.", down(0), up, time.Hour, []string{"Normal Ready Ready is True"}, 0}, //nolint:dupword // two words
			{
				"It is not any more, which is said at once, and once.", up, down(2 * time.Hour), 2 * time.Hour,
				[]string{"Warning IstiodNotReady x"},
				0,
			},
			{"That has been said as well.", down(2 * time.Hour), down(2 * time.Hour), 3 * time.Hour, nil, 0},
		} {
			recorder := events.NewFakeRecorder(10)
			before, after := resource(step.before), resource(step.after)
			again := r.notify(recorder, at(step.now), before, after)
			if diff := cmp.Diff(step.want, told(recorder)); diff != "" || again != step.again {
				t.Errorf("%T: %s: again after %s, want %s; events, -want +got:\n%s", after, step.reason, again,
					step.again, diff)
			}
		}
	}
}

// TestReport: what could not be written is not told.
func TestReport(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	before := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "1"}}
	after := before.DeepCopy()
	after.Status.Conditions = with(since(noon, v1.ConditionReconciled, metav1.ConditionFalse, v1.ReasonRefNotFound,
		"x"))
	recorder := events.NewFakeRecorder(10)
	c := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(before).
		WithObjects(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "a"}}).Build()
	if _, err := (&Reporter{}).Report(t.Context(), c, recorder, noon, before, after); err == nil {
		t.Error("somebody else has changed the resource, and the report says nothing of it")
	}
	if got := told(recorder); got != nil {
		t.Errorf("told of a status that was not written: %v", got)
	}
	if err := c.Get(context.Background(), client.ObjectKey{Name: "a"}, before); err != nil {
		t.Fatal(err)
	}
	after.ResourceVersion = before.ResourceVersion
	if _, err := (&Reporter{}).Report(t.Context(), c, recorder, noon, before, after); err != nil {
		t.Fatal(errors.Join(err, errors.New("the status can be written")))
	}
	if diff := cmp.Diff([]string{"Normal RefNotFound x"}, told(recorder)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestFirstStatus: the first status is written as a whole, zeros included, although the CRD has given the resource one
// already.
func TestFirstStatus(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	var patch string
	c := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(
		_ context.Context, _ client.Client, _ string, o client.Object, p client.Patch,
		_ ...client.SubResourcePatchOption,
	) error {
		data, err := p.Data(o)
		patch = string(data)
		return err
	}}).Build()
	for _, step := range []struct {
		reason   string
		observed int64
		want     string
	}{
		{
			"Nobody has looked yet.", -1,
			`{"metadata":{"resourceVersion":"7"},"status":{"activeRevisionName":"a","observedGeneration":1,"revisions":{"inUse":0,"ready":0,"total":0}}}`,
		},
		{"Somebody has.", 1, `{"metadata":{"resourceVersion":"7"},"status":{"activeRevisionName":"a"}}`},
	} {
		before := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "7"}}
		before.Status.ObservedGeneration = step.observed
		after := before.DeepCopy()
		after.Status.ObservedGeneration, after.Status.ActiveRevisionName = 1, "a"
		if err := Write(t.Context(), c, before, after); err != nil {
			t.Fatal(err)
		}
		if patch != step.want {
			t.Errorf("%s want %s, got %s", step.reason, step.want, patch)
		}
	}
}
