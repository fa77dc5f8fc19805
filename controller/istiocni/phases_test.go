package istiocni_test

import (
	"context"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/istiocni"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// edit changes the IstioCNI as a user does.
func edit(f func(*v1.IstioCNI)) func(context.Context, client.Client) error {
	return reconcilertest.Edit(&v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, f)
}

// ready makes the plugin run on as many nodes of three.
func ready(nodes int32) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		d := &appsv1.DaemonSet{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: "istio-cni", Name: "istio-cni-node"}, d); err != nil {
			return err
		}
		d.Status = appsv1.DaemonSetStatus{ObservedGeneration: d.Generation, DesiredNumberScheduled: 3, NumberReady: nodes}
		return c.Status().Update(ctx, d)
	}
}

// TestPhases is the life of an IstioCNI: what the controller writes, says and waits for at each step, and nothing else.
func TestPhases(t *testing.T) {
	t.Parallel()
	const (
		finalizer = "patch IstioCNI default"
		status    = "status IstioCNI default"
		sa        = "ServiceAccount istio-cni/istio-cni"
		config    = "ConfigMap istio-cni/istio-cni-config"
		role      = "ClusterRole istio-cni"
		repair    = "ClusterRole istio-cni-repair-role"
		binding   = "ClusterRoleBinding istio-cni"
		repairs   = "ClusterRoleBinding istio-cni-repair-rolebinding"
		plugin    = "DaemonSet istio-cni/istio-cni-node"
		five      = 5 * time.Minute

		fine     = "Reconciled=True"
		pods     = "Ready=False DaemonSetNotReady: not all istio-cni-node pods are ready"
		noPlugin = "Ready=False DaemonSetNotReady: istio-cni-node DaemonSet not found"
		works    = "Ready=True"
		unknown  = `spec.values.cni.logLevle: unknown field in v1.28.3; did you mean logLevel?`
		noPlace  = `namespace "istio-cni" doesn't exist`
		failed   = "DaemonSet istio-cni/istio-cni-node: DaemonSet/istio-cni/istio-cni-node apply failed: "
		refused  = failed + `DaemonSet.apps "istio-cni-node" is invalid`
		busy     = failed + "no time"
	)
	all := func(before string, after ...string) []string {
		return append(append([]string{before},
			reconcilertest.Every("apply", sa, config, role, repair, binding, repairs, plugin)...), after...)
	}
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "DaemonSet"}, "istio-cni-node", nil)
	cni := &v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	cni.Spec.Version, cni.Spec.Namespace = "v1.28.3", "istio-cni"
	w := reconcilertest.New(t, cni)
	now := reconcilertest.Now
	r := &istiocni.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Now:    func() time.Time { return now },
	}
	w.Run(r, cni, []reconcilertest.Step{
		{
			Reason: "Its namespace is not there.",
			Writes: []string{finalizer, status}, Again: five,
			Events: []string{
				"Warning ReconcileError " + noPlace, "Normal DaemonSetNotReady istio-cni-node DaemonSet not found",
			},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + noPlace, noPlugin, "Stalled=True ReconcileError: " + noPlace,
			},
		},
		{
			Reason: "Somebody creates it.",
			Do:     reconcilertest.Create(reconcilertest.Namespace("istio-cni")),
			Writes: all(status, status), Again: five,
			Events: []string{
				reconcilertest.Changed(7),
				reconcilertest.IsTrue("Reconciled"),
			},
			Conditions: []string{fine, pods},
		},
		{
			Reason: "Two of three nodes have it.", Do: ready(2), Again: five,
			Conditions: []string{fine, pods},
		},
		{
			Reason: "All have it.", Do: ready(3),
			Writes: []string{status}, Events: []string{reconcilertest.IsTrue("Ready")},
			Conditions: []string{fine, works},
		},
		{Reason: "Nothing happens.", Conditions: []string{fine, works}},
		{
			Reason: "A value is misspelled: what runs goes on running.",
			Do:     edit(func(c *v1.IstioCNI) { c.Spec.Values = &v1.Values{Raw: []byte(`{"cni":{"logLevle":"debug"}}`)} }),
			Writes: []string{status}, Events: []string{"Warning ReconcileError " + unknown},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + unknown, works, "Stalled=True ReconcileError: " + unknown,
			},
		},
		{
			Reason: "It is corrected, and the server refuses the change for good.",
			Do:     edit(func(c *v1.IstioCNI) { c.Spec.Values = &v1.Values{Raw: []byte(`{"cni":{"cniBinDir":"/x"}}`)} }),
			Fail:   map[string]error{"apply " + plugin: invalid},
			Writes: []string{"apply " + plugin, status}, Again: five,
			Conditions: []string{
				"Reconciled=False ReconcileError: " + refused, works, "Stalled=True ReconcileError: " + refused,
			},
		},
		{
			Reason:     "Then for a reason that may pass.",
			Fail:       map[string]error{"apply " + plugin: apierrors.NewServiceUnavailable("no time")},
			Writes:     []string{"apply " + plugin, status},
			Err:        "DaemonSet istio-cni/istio-cni-node: ",
			Conditions: []string{"Reconciled=False ReconcileError: " + busy, works, "Reconciling=True ReconcileError: " + busy},
		},
		{
			Reason: "It passes.", Writes: []string{"apply " + plugin, status},
			Events: []string{
				reconcilertest.Changed(1), reconcilertest.IsTrue("Reconciled"),
				"Warning DaemonSetNotReady not all istio-cni-node pods are ready",
			},
			Conditions: []string{fine, pods},
		},
		{
			Reason: "A pipeline takes it over: the objects stay, and are nobody's.",
			Do: edit(func(c *v1.IstioCNI) {
				c.Annotations = map[string]string{manifest.AnnotationRenderedBy: "render-cni"}
			}),
			Writes: append(reconcilertest.Every("patch", config, sa, plugin, role, repair, binding, repairs), finalizer,
				status),
			Events:     []string{reconcilertest.IsTrue("Ready")}, // the cache knows by now
			Conditions: []string{fine, works},
		},
		{
			Reason: "It gives it back.", Do: edit(func(c *v1.IstioCNI) { c.Annotations = nil }),
			Writes: append([]string{finalizer}, all(status, status)...), Again: five,
			Events: []string{
				reconcilertest.Changed(7),
				"Normal DaemonSetNotReady not all istio-cni-node pods are ready",
			},
			Conditions: []string{fine, pods},
		},
		{
			Reason: "It is deleted, and so is what is its own.",
			Do:     reconcilertest.Delete(&v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: "default"}}),
			Writes: append(reconcilertest.Every("delete", plugin, config, sa, role, repair, binding, repairs), finalizer),
			Events: []string{reconcilertest.Changed(7)},
		},
	})
}
