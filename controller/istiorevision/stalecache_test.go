package istiorevision

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// behind is a cache that does not know yet what has been written to a revision since a moment; everything else comes at
// once.
type behind struct {
	client.WithWatch
	old *v1.IstioRevision
}

// hold makes the cache fall behind from now on.
func (b *behind) hold(t *testing.T, name string) {
	t.Helper()
	b.old = &v1.IstioRevision{}
	if err := b.WithWatch.Get(t.Context(), client.ObjectKey{Name: name}, b.old); err != nil {
		t.Fatal(err)
	}
}

func (b *behind) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	if rev, ok := o.(*v1.IstioRevision); ok && b.old != nil && key.Name == b.old.Name {
		b.old.DeepCopyInto(rev)
		return nil
	}
	return b.WithWatch.Get(ctx, key, o, opts...)
}

// TestOwnWrites has an Istio ask for another revision and for the first one again, before the cache has what the first
// run wrote into the status. What came of that would stay for ever: no event tells of our own status. Since when a
// revision is inactive decides about when it goes.
func TestOwnWrites(t *testing.T) {
	t.Parallel()
	const name, other = "default-v1-26-0", "default-v1-28-3"
	for _, c := range []struct {
		reason string
		// asks are the versions that the Istio asks for, one after the other. The cache falls behind after the first.
		asks []string
		// inactive says that the revision is inactive in the end.
		inactive bool
		// since is how many minutes after the first ask that began.
		since int
	}{
		{
			"It became active, and is inactive again: the grace period counts from the second time.",
			[]string{other, name, other},
			true, 2,
		},
		{"It became inactive, and is active again.", []string{name, other, name}, false, 0},
	} {
		rendered := map[string]string{
			manifest.AnnotationRenderedBy: "render-istio", manifest.AnnotationOwner: "Istio/default",
		}
		istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
		istio.Spec.Version, istio.Spec.Namespace = "v1.26.0", "istio-system"
		istio.Spec.UpdateStrategy = &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyRevisionBased}
		revision := func(name, version string) *v1.IstioRevision {
			rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, Annotations: rendered}}
			rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), "istio-system"
			return rev
		}
		var deleted []string
		server := abandonedWorld(t, &deleted, istio, revision(name, "v1.26.0"), revision(other, "v1.28.3"),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-system"}})
		cache := &behind{WithWatch: server}
		clock := now
		r := &Reconciler{
			Client: cache, Live: server, Renderer: &rendering.Renderer{}, Usage: cluster.NewUsage(nil),
			Prober: &cluster.Prober{}, Events: events.NewFakeRecorder(100), Now: func() time.Time { return clock },
		}
		if err := server.Get(t.Context(), client.ObjectKeyFromObject(istio), istio); err != nil {
			t.Fatal(err)
		}
		for i, version := range c.asks {
			istio.Spec.Version = map[string]v1.Version{name: "v1.26.0", other: "v1.28.3"}[version]
			if err := server.Update(t.Context(), istio); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Reconcile(t.Context(), cluster.Named(name)[0]); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				cache.hold(t, name)
			}
			clock = clock.Add(time.Minute)
		}
		rev := &v1.IstioRevision{}
		if err := server.Get(t.Context(), client.ObjectKey{Name: name}, rev); err != nil {
			t.Fatal(err)
		}
		var want *time.Time
		if c.inactive {
			at := now.Add(time.Duration(c.since) * time.Minute)
			want = &at
		}
		var got *time.Time
		if rev.Status.InactiveSince != nil {
			got = &rev.Status.InactiveSince.Time
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
			t.Errorf("%s inactiveSince: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestOwnTag has the Istio of a revision go. The tag in the revision's own values has no users: it holds the active
// revision only, and from this very run on this one is not that any more. No event tells of our own status.
func TestOwnTag(t *testing.T) {
	t.Parallel()
	rev := rendered()
	rev.Finalizers = nil
	rev.Spec.Values = &v1.Values{Raw: []byte(`{"revisionTags": ["stable"]}`)}
	for _, c := range []struct {
		reason string
		istio  bool
		want   metav1.ConditionStatus
	}{
		{"The Istio is there, and this is its revision.", true, metav1.ConditionTrue},
		{"The Istio is gone.", false, metav1.ConditionUnknown}, // nothing has been watched here
	} {
		objects := []client.Object{rev.DeepCopy(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}}
		if c.istio {
			istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}
			istio.Spec.Version, istio.Spec.Namespace = "v1.28.3", "mesh"
			istio.Spec.UpdateStrategy = &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyRevisionBased}
			objects = append(objects, istio)
		}
		var deleted []string
		w := abandonedWorld(t, &deleted, objects...)
		r := &Reconciler{
			Client: w, Live: w, Renderer: &rendering.Renderer{}, Usage: cluster.NewUsage(nil), Prober: &cluster.Prober{},
			Events: events.NewFakeRecorder(100), Now: func() time.Time { return now },
		}
		done, err := r.Reconcile(t.Context(), cluster.Named(rev.Name)[0])
		if err != nil {
			t.Fatal(err)
		}
		// The Deployment is not there. A pipeline may bring it later, with labels of which no event tells.
		if done.RequeueAfter == 0 || done.RequeueAfter > cluster.Unlabelled {
			t.Errorf("%s the next look is after %s, want at most %s", c.reason, done.RequeueAfter, cluster.Unlabelled)
		}
		got := &v1.IstioRevision{}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(rev), got); err != nil {
			t.Fatal(err)
		}
		use := got.Status.Conditions.Get(v1.ConditionInUse)
		if use == nil || use.Status != c.want {
			t.Errorf("%s InUse: got %v, want %s", c.reason, use, c.want)
		}
	}
}
