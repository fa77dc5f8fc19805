package status

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/reconcilertest"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// with are conditions of all kinds' statuses, each since a moment.
func with(all ...v1.Condition) v1.Conditions { return all }

func since(
	t time.Time, c v1.ConditionType, status metav1.ConditionStatus, reason v1.ConditionReason, message string,
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
		{
			"It gets well.", with(notReady), with(ready), false,
			[]string{"Normal Ready Ready is True"}, //nolint:dupword // two words
		},
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
		if diff := cmp.Diff(c.want, reconcilertest.Events(recorder)); diff != "" {
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
			if diff := cmp.Diff(step.want, reconcilertest.Events(recorder)); diff != "" || again != step.again {
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
	if got := reconcilertest.Events(recorder); got != nil {
		t.Errorf("told of a status that was not written: %v", got)
	}
	if err := c.Get(context.Background(), client.ObjectKey{Name: "a"}, before); err != nil {
		t.Fatal(err)
	}
	after.ResourceVersion = before.ResourceVersion
	if _, err := (&Reporter{}).Report(t.Context(), c, recorder, noon, before, after); err != nil {
		t.Fatal(errors.Join(err, errors.New("the status can be written")))
	}
	if diff := cmp.Diff([]string{"Normal RefNotFound x"}, reconcilertest.Events(recorder)); diff != "" {
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
			`{"metadata":{"resourceVersion":"7"},"status":{"activeRevisionName":"a","observedGeneration":1,"revisions":{` +
				`"inUse":0,"ready":0,"total":0}}}`,
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

// TestRead is what a run reads, by what the cache knows of what an earlier one has written.
func TestRead(t *testing.T) {
	t.Parallel()
	istio := func(version string) *v1.Istio {
		return &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default", ResourceVersion: version}}
	}
	for _, c := range []struct {
		reason string
		// cached and live are resource versions, "" for a resource that is not there; written is that of the last run.
		cached, written, live string
		want                  string
		gone                  bool
		// later says that the next run asks once more whether the cache knows.
		later bool
	}{
		{"Nothing was written.", "9", "", "10", "9", false, false},
		{"The cache knows what was written.", "10", "10", "11", "10", false, false},
		{"The cache knows more.", "11", "10", "12", "11", false, false},
		{"The cache does not know it yet.", "9", "10", "10", "10", false, true},
		{"It does not, and the resource is gone.", "9", "10", "", "", true, true},
		{"The resource is gone, and the cache knows.", "", "10", "", "", true, false},
		{"Versions of a server that does not number them.", "b", "a", "c", "b", false, false},
	} {
		scheme := runtime.NewScheme()
		if err := v1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		reader := func(version string) client.Client {
			b := fake.NewClientBuilder().WithScheme(scheme)
			if version == "" {
				return b.Build()
			}
			return interceptor.NewClient(b.Build(), interceptor.Funcs{
				Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, o client.Object, _ ...client.GetOption) error {
					o.SetResourceVersion(version)
					return nil
				},
			})
		}
		r := &Reporter{}
		if c.written != "" {
			r.written.Store("default", c.written)
		}
		got := istio("")
		err := r.Read(t.Context(), reader(c.cached), reader(c.live), "default", got)
		if apierrors.IsNotFound(err) != c.gone || !c.gone && err != nil {
			t.Errorf("%s got the error %v", c.reason, err)
		}
		if !c.gone && got.ResourceVersion != c.want {
			t.Errorf("%s got the version %q, want %q", c.reason, got.ResourceVersion, c.want)
		}
		if _, known := r.written.Load("default"); known != c.later {
			t.Errorf("%s asks again: got %t", c.reason, known)
		}
	}
}
