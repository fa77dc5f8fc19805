package istio

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/usage"
)

// server is a cluster for reconcilers that read and write resources of Lateen.
func server(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1.Istio{}, &v1.IstioRevision{}).Build()
}

func asking(name string, strategy v1.UpdateStrategyType) *v1.Istio {
	istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "istio", Generation: 1}}
	istio.Spec.Version, istio.Spec.Namespace = "v1.28.3", "istio-system"
	istio.Spec.UpdateStrategy = &v1.IstioUpdateStrategy{Type: strategy}
	return istio
}

// TestOfRevision is which Istios an event of a revision is for.
func TestOfRevision(t *testing.T) {
	t.Parallel()
	yes := true
	reported := asking("reported", v1.UpdateStrategyInPlace)
	reported.Status.ActiveRevisionName = "reported-before"
	w := server(t, asking("mesh", v1.UpdateStrategyInPlace), asking("prod", v1.UpdateStrategyRevisionBased), reported)
	r := &Reconciler{Client: w}
	for _, c := range []struct {
		reason, revision, owner string
		want                    []reconcile.Request
	}{
		{"Whose it is.", "any", "mesh", cluster.Named("mesh")},
		{"Nobody's: who asks for one of its name waits for its end.", "mesh", "", cluster.Named("mesh")},
		{"The same, with the version in the name.", "prod-v1-28-3", "", cluster.Named("prod")},
		{"Who has asked for it, by the status.", "reported-before", "", cluster.Named("reported")},
		{"Nobody asks for it.", "prod", "", nil},
	} {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: c.revision}}
		if c.owner != "" {
			rev.OwnerReferences = []metav1.OwnerReference{{
				APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: c.owner, Controller: &yes,
			}}
		}
		if diff := cmp.Diff(c.want, r.ofRevision(t.Context(), rev)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestNotesAreWritten has a spec of which the server drops something: it is not written twice, but what else the
// revision should have is.
func TestNotesAreWritten(t *testing.T) {
	t.Parallel()
	istio := asking("default", v1.UpdateStrategyInPlace)
	live := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "rev", Generation: 3}}
	w := server(t, live)
	writes := 0
	counting := interceptor.NewClient(w, interceptor.Funcs{
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			writes++
			return c.Update(ctx, o, opts...)
		},
	})
	r := &Reconciler{Client: counting, Renderer: &rendering.Renderer{}, Events: events.NewFakeRecorder(9)}
	planned := &v1.IstioRevision{}
	planned.Spec.Version, planned.Spec.Values = "v1.28.3", &v1.Values{Raw: []byte(`{"a": null}`)}
	for _, step := range []struct {
		reason string
		note   bool
		want   int
	}{
		{"It is written.", false, 1},
		{"The server has dropped the null: the same once more would change nothing.", false, 1},
		{"Somebody allows it to take over what another installer has created.", true, 2},
		{"That is there now.", true, 2},
	} {
		if step.note {
			istio.Annotations = map[string]string{manifest.AnnotationTakeOver: "true"}
		}
		current := &v1.IstioRevision{}
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(live), current); err != nil {
			t.Fatal(err)
		}
		current.Spec.Values = nil // what the server makes of it
		current.Generation = 3
		if err := r.update(t.Context(), &scope{istio: istio, planned: planned, live: current}); err != nil {
			t.Fatal(err)
		}
		if writes != step.want {
			t.Errorf("%s %d writes, want %d", step.reason, writes, step.want)
		}
	}
}

// TestCountedFor is which users begin the grace period of a revision again, if they come and go between two looks.
func TestCountedFor(t *testing.T) {
	t.Parallel()
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	rev.Spec.Values = &v1.Values{Raw: []byte(`{"profile": "ambient"}`)}
	tags := []usage.Tag{
		{Name: "own", Revision: "a", ByValues: true, OnlyUsers: true},
		{Name: "other", Revision: "b", ByValues: true},
		{Name: "resource", Revision: "a"},
	}
	if diff := cmp.Diff([]string{"a", "own", usage.Enrolment}, countedFor(rev, tags)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestSame has something happen between the look for users and the removal of what only a pipeline can bring back.
func TestSame(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason    string
		meanwhile func(istio *v1.Istio, rev *v1.IstioRevision) client.Object
		want      bool
	}{
		{"Nothing happens.", func(*v1.Istio, *v1.IstioRevision) client.Object { return nil }, true},
		{"The Istio asks for another version.", func(istio *v1.Istio, _ *v1.IstioRevision) client.Object {
			istio.Generation++
			return istio
		}, false},
		{"The revision is not what it was.", func(_ *v1.Istio, rev *v1.IstioRevision) client.Object {
			rev.Labels = map[string]string{"a": "b"}
			return rev
		}, false},
	} {
		istio := asking("default", v1.UpdateStrategyRevisionBased)
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "default-v1-27-0", UID: "rev"}}
		w := server(t, istio, rev)
		for _, o := range []client.Object{istio, rev} {
			if err := w.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
		}
		r := &Reconciler{Client: w, Live: w, Now: func() time.Time { return now }}
		if o := c.meanwhile(istio.DeepCopy(), rev.DeepCopy()); o != nil {
			if err := w.Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		got, err := r.same(t.Context(), &scope{istio: istio}, rev)
		if err != nil || got != c.want {
			t.Errorf("%s got %t, %v", c.reason, got, err)
		}
	}
}
