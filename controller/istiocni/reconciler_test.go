package istiocni

import (
	"errors"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// TestUnlabelled has a pipeline bring the DaemonSet with labels by which the cache does not have it, sooner or later.
func TestUnlabelled(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	scheme := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(scheme), appsv1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	cni := &v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{
		Name: v1.IstioCNIName, Annotations: map[string]string{manifest.AnnotationRenderedBy: "render-cni"},
	}}
	cni.Spec.Version, cni.Spec.Namespace = "v1.28.3", "istio-cni"
	plugin := &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-cni", Name: daemonSet}}
	plugin.Status.DesiredNumberScheduled, plugin.Status.NumberReady = 2, 2
	for _, c := range []struct {
		reason string
		live   []client.Object
		want   metav1.ConditionStatus
	}{
		{"It is not there yet.", nil, metav1.ConditionFalse},
		{"Only the server has it.", []client.Object{plugin}, metav1.ConditionTrue},
	} {
		cache := fake.NewClientBuilder().WithScheme(scheme).WithStatusSubresource(cni).WithObjects(cni.DeepCopy(),
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "istio-cni"}}).Build()
		r := &Reconciler{
			Client: cache, Live: fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.live...).Build(),
			Renderer: &rendering.Renderer{}, Events: events.NewFakeRecorder(9), Now: func() time.Time { return now },
		}
		done, err := r.Reconcile(t.Context(), cluster.Named(cni.Name)[0])
		if err != nil {
			t.Fatal(err)
		}
		if done.RequeueAfter == 0 || done.RequeueAfter > cluster.Unlabelled {
			t.Errorf("%s The next look is after %s, want at most %s", c.reason, done.RequeueAfter, cluster.Unlabelled)
		}
		got := &v1.IstioCNI{}
		if err := cache.Get(t.Context(), client.ObjectKeyFromObject(cni), got); err != nil {
			t.Fatal(err)
		}
		if ready := got.Status.Conditions.Get(v1.ConditionReady); ready == nil || ready.Status != c.want {
			t.Errorf("%s Ready: got %v, want %s", c.reason, ready, c.want)
		}
	}
}
