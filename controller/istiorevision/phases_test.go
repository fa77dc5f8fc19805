package istiorevision_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// edit changes the revision as a user does.
func edit(f func(*v1.IstioRevision)) func(context.Context, client.Client) error {
	return reconcilertest.Edit(&v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "canary"}}, f)
}

func values(text string) func(context.Context, client.Client) error {
	return edit(func(rev *v1.IstioRevision) { rev.Spec.Values = &v1.Values{Raw: []byte(text)} })
}

// ready makes istiod run, with as many pods of two.
func ready(pods int32) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		d := &appsv1.Deployment{}
		if err := c.Get(ctx, client.ObjectKey{Namespace: "istio-system", Name: "istiod-canary"}, d); err != nil {
			return err
		}
		two := int32(2)
		d.Spec.Replicas = &two
		if err := c.Update(ctx, d); err != nil {
			return err
		}
		d.Status = appsv1.DeploymentStatus{
			ObservedGeneration: d.Generation, Replicas: 2, UpdatedReplicas: 2, ReadyReplicas: pods,
		}
		return c.Status().Update(ctx, d)
	}
}

// TestPhases is the life of a revision: what the controller writes, says and waits for at each step, and nothing else.
func TestPhases(t *testing.T) {
	t.Parallel()
	const (
		finalizer = "patch IstioRevision canary"
		status    = "status IstioRevision canary"
		five      = 5 * time.Minute

		istiod    = "Deployment istio-system/istiod-canary"
		injector  = "ConfigMap istio-system/istio-sidecar-injector-canary"
		config    = "ConfigMap istio-system/values-canary"
		validator = "ValidatingWebhookConfiguration istio-validator-canary-istio-system"

		noPlace  = `namespace "istio-system" doesn't exist`
		misspelt = "spec.values.pilot.autoscaleMni: unknown field in v1.28.3; did you mean autoscaleMin?"
		noEffect = "spec.values.pilot.env.PILOT_TRACE_SAMPLING: has no effect: the chart istiod sets the variable " +
			"PILOT_TRACE_SAMPLING itself, and what it sets counts: \"1\"; leave it out, or set spec.values.pilot.traceSampling"
		refused = istiod + `: Deployment/istio-system/istiod-canary apply failed: Deployment.apps "istiod-canary" is invalid`
		skew    = "VersionSkew: IstioCNI/default: spec.version: the CNI plugin of Istio v1.26.0 does not work with " +
			"IstioRevision/canary of Istio v1.28.3; it works with the minor versions before, at and after its own"
		sameName = "NameAlreadyExists: an IstioRevisionTag with the name canary exists already; a revision and a tag " +
			"cannot have the same name"
		unknown = reconcilertest.UseUnknown

		fine   = "Reconciled=True"
		works  = "Ready=True"
		pods   = "Ready=False IstiodNotReady: not all istiod pods are ready"
		absent = "Ready=False IstiodNotReady: istiod Deployment not found"
		free   = "DependenciesHealthy=True"
	)
	roles := []string{
		"ClusterRole istio-reader-clusterrole-canary-istio-system", "ClusterRole istiod-clusterrole-canary-istio-system",
		"ClusterRole istiod-gateway-controller-canary-istio-system",
		"ClusterRoleBinding istio-reader-clusterrole-canary-istio-system",
		"ClusterRoleBinding istiod-clusterrole-canary-istio-system",
		"ClusterRoleBinding istiod-gateway-controller-canary-istio-system",
		"Role istio-system/istiod-canary", "RoleBinding istio-system/istiod-canary",
	}
	configs := []string{"ConfigMap istio-system/istio-canary", injector, config}
	const (
		account = "ServiceAccount istio-system/istiod-canary"
		service = "Service istio-system/istiod-canary"
		scaler  = "HorizontalPodAutoscaler istio-system/istiod-canary"
		mutator = "MutatingWebhookConfiguration istio-sidecar-injector-canary"
	)
	every := func(verb string, objects ...[]string) []string {
		return reconcilertest.Every(verb, slices.Concat(objects...)...)
	}
	// What calls comes after what is called, and goes before it.
	applied := func(validate ...string) []string {
		return slices.Concat(
			every("apply", []string{account}, configs, roles, []string{service, istiod, scaler, validator}), validate,
			every("apply", []string{mutator}),
		)
	}
	deleted := every("delete", []string{mutator, validator, istiod}, configs, []string{service, account, scaler}, roles)
	left := every("patch", configs, []string{service, account, mutator, validator, istiod, scaler}, roles)

	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "canary"}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.28.3", "istio-system"
	w := reconcilertest.New(t, rev)
	r := &istiorevision.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Usage:  cluster.NewUsage(nil), Prober: &cluster.Prober{}, Now: func() time.Time { return reconcilertest.Now },
	}
	no := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "istiod-canary", nil)
	w.Run(r, rev, []reconcilertest.Step{
		{
			Reason: "Its namespace is not there.",
			Writes: []string{finalizer, status}, Again: five,
			Events: []string{"Warning ReconcileError " + noPlace, "Normal IstiodNotReady istiod Deployment not found"},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + noPlace, absent, free, unknown, "Stalled=True ReconcileError: " + noPlace,
			},
		},
		{
			Reason: "The namespace comes.",
			Do:     reconcilertest.Create(reconcilertest.Namespace("istio-system")),
			// A new validating webhook is made to let everything pass until istiod says otherwise.
			Writes: slices.Concat([]string{status}, applied("patch "+validator), []string{status}), Again: five,
			Events:     []string{reconcilertest.Changed(17), reconcilertest.IsTrue("Reconciled")},
			Conditions: []string{fine, pods, free, unknown},
		},
		{Reason: "One of two pods works.", Do: ready(1), Again: five, Conditions: []string{fine, pods, free, unknown}},
		{
			Reason: "Both work.", Do: ready(2),
			Writes: []string{status}, Events: []string{reconcilertest.IsTrue("Ready")},
			Conditions: []string{fine, works, free, unknown},
		},
		{Reason: "Nothing happens.", Conditions: []string{fine, works, free, unknown}},
		{
			Reason: "A value is misspelled: what runs goes on running.", Do: values(`{"pilot":{"autoscaleMni":2}}`),
			Writes: []string{status}, Events: []string{"Warning ReconcileError " + misspelt},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + misspelt, works, free, unknown, "Stalled=True ReconcileError: " + misspelt,
			},
		},
		{
			Reason: "Now it is right, and has no effect.", Do: values(`{"pilot":{"env":{"PILOT_TRACE_SAMPLING":"2"}}}`),
			Writes: append(every("apply", []string{injector, config}), status),
			Events: []string{
				"Warning CheckValues " + noEffect, reconcilertest.Changed(2), reconcilertest.IsTrue("Reconciled"),
			},
			Conditions: []string{fine, works, free, unknown},
		},
		{
			Reason: "It needs a CNI plugin, and the server refuses istiod.",
			Do:     values(`{"pilot":{"cni":{"enabled":true},"image":"x"}}`),
			Fail:   map[string]error{"apply " + istiod: no},
			Writes: append(every("apply", []string{injector, config, istiod}), status), Again: five,
			Events: []string{
				reconcilertest.Changed(2), "Warning ReconcileError " + refused,
				"Normal IstioCNINotFound IstioCNI resource does not exist",
			},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + refused, works,
				"DependenciesHealthy=False IstioCNINotFound: IstioCNI resource does not exist", unknown,
				"Stalled=True ReconcileError: " + refused,
			},
		},
		{
			Reason: "The plugin comes, of another version, and istiod is accepted.",
			Do: func(ctx context.Context, c client.Client) error {
				cni := &v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
				cni.Spec.Version, cni.Status.State = "v1.26.0", v1.Healthy
				return c.Create(ctx, cni)
			},
			Writes: []string{"apply " + istiod, status}, Again: five,
			Events: []string{
				reconcilertest.Changed(1), reconcilertest.IsTrue("Reconciled"),
				"Warning IstiodNotReady not all istiod pods are ready",
				"Normal " + strings.Replace(skew, ":", "", 1),
			},
			Conditions: []string{fine, pods, "DependenciesHealthy=False " + skew, unknown},
		},
		{
			Reason: "A tag has its name, and is older: it has to make way.",
			Do:     reconcilertest.Create(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "canary", UID: "a"}}),
			Writes: append(slices.Clone(deleted), status), Again: five,
			Events: []string{reconcilertest.Changed(17), "Warning " + strings.Replace(sameName, ":", "", 1)},
			Conditions: []string{
				"Reconciled=False " + sameName, absent, "DependenciesHealthy=False " + skew, unknown, "Stalled=True " + sameName,
			},
		},
		{
			Reason: "The tag goes.",
			Do:     reconcilertest.Delete(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "canary"}}),
			Writes: slices.Concat([]string{status}, applied("patch "+validator), []string{status}), Again: five,
			Events:     []string{reconcilertest.Changed(17), reconcilertest.IsTrue("Reconciled")},
			Conditions: []string{fine, pods, "DependenciesHealthy=False " + skew, unknown},
		},
		{
			Reason: "A pipeline takes it over: the objects stay, and are nobody's.",
			Do: edit(func(rev *v1.IstioRevision) {
				rev.Annotations = map[string]string{manifest.AnnotationRenderedBy: "render-istio"}
			}),
			Writes: append(slices.Clone(left), finalizer, status), Again: five,
			Conditions: []string{fine, pods, "DependenciesHealthy=False " + skew, unknown},
		},
		{
			Reason: "It is given back.", Do: edit(func(rev *v1.IstioRevision) { rev.Annotations = nil }),
			Writes: slices.Concat([]string{finalizer, status}, applied(), []string{status}), Again: five,
			Events:     []string{reconcilertest.Changed(17)},
			Conditions: []string{fine, pods, "DependenciesHealthy=False " + skew, unknown},
		},
		{
			Reason: "It is deleted, and so is what is its own.",
			Do:     reconcilertest.Delete(&v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "canary"}}),
			Writes: append(slices.Clone(deleted), finalizer), Events: []string{reconcilertest.Changed(17)},
		},
	})
}
