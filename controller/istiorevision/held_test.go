package istiorevision

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/usage"
)

// ownedRevision is a revision of the Istio default, with objects in the cluster.
func ownedRevision() *v1.IstioRevision {
	yes := true
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
		Name: "default-v1-28-3", UID: "rev", Finalizers: []string{owned.Finalizer},
		OwnerReferences: []metav1.OwnerReference{{
			APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: "default", UID: "istio", Controller: &yes,
			BlockOwnerDeletion: &yes,
		}},
	}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.28.3", "istio-system"
	rev.Status.Inventory = v1.Inventory{{
		APIVersion: "apps/v1", Kind: "Deployment", Namespace: "istio-system",
		Name: "istiod",
	}}
	return rev
}

func TestHeldBecause(t *testing.T) {
	t.Parallel()
	const end = " It is held, and works on, until nothing uses it, or until the annotation lateen.io/allow-deletion: " +
		"\"true\" is on it"
	const begin = "somebody has deleted it, and its Istio default stays. "
	for _, c := range []struct {
		reason, values string
		use            usage.Use
		want           string
	}{
		{"Nothing uses it.", `{}`, usage.Use{InUse: usage.False}, ""},
		{
			"Those who would be hurt are named.", `{}`,
			usage.Use{InUse: usage.True, Total: 4, Users: []usage.User{{Kind: "Namespace", Name: "bookinfo"}}},
			begin + "Referenced by at least one pod or namespace: Namespace bookinfo and 3 more." + end,
		},
		{
			"It is not known who would be hurt.", `{}`,
			usage.Use{InUse: usage.Unknown, Why: "the pods cannot be watched"},
			begin + "Not known whether a pod or namespace references it: the pods cannot be watched." + end,
		},
		{
			"Its users are in other clusters.", `{"pilot": {"env": {"EXTERNAL_ISTIOD": "true"}}}`,
			usage.Use{InUse: usage.False},
			begin + "It is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters." +
				end,
		},
	} {
		rev := ownedRevision()
		rev.Spec.Values = &v1.Values{Raw: []byte(c.values)}
		if diff := cmp.Diff(c.want, heldBecause(rev, c.use)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}

// world is a cluster for reconcilers that only read and write resources of Lateen.
func world(t *testing.T, objects ...client.Object) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&v1.IstioRevision{}).Build()
}

// TestHeld goes through who may delete a revision. Nobody has said yet whether anything uses it.
func TestHeld(t *testing.T) {
	t.Parallel()
	istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "istio"}}
	for _, c := range []struct {
		reason string
		rev    func(*v1.IstioRevision)
		istio  func(*v1.Istio)
		gone   bool
		want   bool
	}{
		{reason: "Somebody has deleted the revision, and nothing else.", want: true},
		{reason: "The Istio is gone, too.", gone: true},
		{reason: "The Istio is being deleted, in the foreground.", istio: func(i *v1.Istio) {
			i.DeletionTimestamp, i.Finalizers = &metav1.Time{Time: now}, []string{metav1.FinalizerDeleteDependents}
		}},
		{
			reason: "The Istio was deleted, and another one has its name.",
			istio:  func(i *v1.Istio) { i.UID = "another" },
		},
		{reason: "Somebody allows it.", rev: func(r *v1.IstioRevision) {
			r.Annotations = map[string]string{"lateen.io/allow-deletion": "true"}
		}},
		{reason: "Somebody allows it, but not quite.", rev: func(r *v1.IstioRevision) {
			r.Annotations = map[string]string{"lateen.io/allow-deletion": "yes"}
		}, want: true},
		{
			reason: "Its objects stay (--cascade=orphan).",
			rev:    func(r *v1.IstioRevision) { r.Finalizers = append(r.Finalizers, metav1.FinalizerOrphanDependents) },
		},
		{reason: "It has no objects.", rev: func(r *v1.IstioRevision) { r.Status.Inventory = nil }},
		{reason: "A pipeline renders it: nothing is deleted with it.", rev: func(r *v1.IstioRevision) {
			r.Annotations = map[string]string{manifest.AnnotationRenderedBy: "render-istio"}
		}},
		{reason: "No Istio asks for it.", rev: func(r *v1.IstioRevision) { r.OwnerReferences = nil }},
	} {
		rev, i := ownedRevision(), istio.DeepCopy()
		if c.rev != nil {
			c.rev(rev)
		}
		if c.istio != nil {
			c.istio(i)
		}
		var objects []client.Object
		if !c.gone {
			objects = append(objects, i)
		}
		w := world(t, objects...)
		r := &Reconciler{Client: w, Live: w, Usage: cluster.NewUsage(nil)}
		got, err := r.held(t.Context(), rev)
		if err != nil || (got != "") != c.want {
			t.Errorf("%s got %q, %v", c.reason, got, err)
		}
	}
}

// TestForeground: a deletion in the foreground becomes one in the background, so that the garbage collector leaves
// the objects.
func TestForeground(t *testing.T) {
	t.Parallel()
	rev := ownedRevision()
	rev.DeletionTimestamp = &metav1.Time{Time: now}
	rev.Finalizers = append(rev.Finalizers, metav1.FinalizerDeleteDependents)
	w := world(t, rev)
	r := &Reconciler{Client: w, Live: w}
	for range 2 {
		have := &v1.IstioRevision{}
		if err := w.Get(t.Context(), types.NamespacedName{Name: rev.Name}, have); err != nil {
			t.Fatal(err)
		}
		if err := r.finalizer(t.Context(), &scope{rev: have, facts: facts{held: "held"}}); err != nil {
			t.Fatal(err)
		}
		if err := w.Get(t.Context(), types.NamespacedName{Name: rev.Name}, have); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{owned.Finalizer}, have.Finalizers); diff != "" {
			t.Errorf("finalizers, -want +got:\n%s", diff)
		}
	}
}

// TestHeldStatus: that a deletion is held is in Stalled, and changes nothing else.
func TestHeldStatus(t *testing.T) {
	t.Parallel()
	rev := ownedRevision()
	fine := facts{
		ready:        v1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionTrue},
		dependencies: v1.Condition{Type: v1.ConditionDependenciesHealthy, Status: metav1.ConditionTrue},
	}
	rev.Status = nextStatus(now, rev, fine)
	fine.held = "held"
	got := nextStatus(now.Add(time.Minute), rev, fine)
	want := *rev.Status.DeepCopy()
	want.Conditions = want.Conditions.Set(v1.Condition{
		Type: v1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1.ReasonDeletionHeld, Message: "held",
		LastTransitionTime: metav1.NewTime(now.Add(time.Minute)),
	})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
