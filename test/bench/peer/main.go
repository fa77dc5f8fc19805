// Command peer is what Lateen's controller is compared with: an operator that keeps whole pods and namespaces in its
// cache and, to see whether anything uses a revision, lists them all in each reconcile, which every event of a pod
// causes. It does nothing else, in particular it renders and applies nothing, so that it costs less than a whole
// operator that works this way.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"go.uber.org/zap/zapcore"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/usage"
)

func main() {
	metrics := flag.String("metrics-bind-address", "0", "address of the metrics endpoint; 0 for none")
	logs := zap.Options{TimeEncoder: zapcore.RFC3339TimeEncoder}
	flag.Parse() // and --kubeconfig
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logs)))
	if err := run(*metrics); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(metrics string) error {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.QPS = -1
	mgr, err := ctrl.NewManager(config, ctrl.Options{Scheme: scheme, Metrics: metricsserver.Options{BindAddress: metrics}})
	if err != nil {
		return err
	}
	r := &reconciler{mgr.GetClient()}
	err = ctrl.NewControllerManagedBy(mgr).
		For(&v1.IstioRevision{}).
		Watches(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.ofNamespace)).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(r.ofPod)).
		Complete(r)
	if err != nil {
		return err
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}

type reconciler struct{ client client.Client }

// ofNamespace is the revision that a namespace names.
func (r *reconciler) ofNamespace(_ context.Context, o client.Object) []reconcile.Request {
	name, _ := usage.NamespaceOf(o.GetName(), o.GetLabels()).Selects()
	return named(name)
}

// ofPod are the revisions that a pod names.
func (r *reconciler) ofPod(_ context.Context, o client.Object) []reconcile.Request {
	p := usage.PodOf(o.GetNamespace(), o.GetName(), o.GetLabels(), o.GetAnnotations(), false)
	if p.InjectedBy != "" {
		return named(p.InjectedBy)
	}
	return named(p.Revision.Value)
}

func named(name string) []reconcile.Request {
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
}

// Reconcile writes whether anything uses a revision.
func (r *reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rev := &v1.IstioRevision{}
	if err := r.client.Get(ctx, req.NamespacedName, rev); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	users, err := r.users(ctx, rev.Name)
	if err != nil {
		return reconcile.Result{}, err
	}
	c := v1.Condition{
		Type: v1.ConditionInUse, Status: metav1.ConditionFalse, Reason: v1.ReasonNotReferencedByAnything,
		LastTransitionTime: metav1.Now(),
	}
	if users > 0 {
		c.Status, c.Reason = metav1.ConditionTrue, v1.ReasonReferencedByWorkloads
	}
	if have := rev.Status.Conditions.Get(v1.ConditionInUse); have != nil && have.Status == c.Status {
		return reconcile.Result{}, nil
	}
	before := rev.DeepCopy()
	rev.Status.Conditions = rev.Status.Conditions.Set(c)
	return reconcile.Result{}, r.client.Status().Patch(ctx, rev, client.MergeFrom(before))
}

// users counts who names the revision: that is what tells people how much there is left to move.
func (r *reconciler) users(ctx context.Context, name string) (int, error) {
	var namespaces corev1.NamespaceList
	var pods corev1.PodList
	if err := errors.Join(r.client.List(ctx, &namespaces), r.client.List(ctx, &pods)); err != nil {
		return 0, err
	}
	users := 0
	labels := make(map[string]usage.Namespace, len(namespaces.Items))
	for _, ns := range namespaces.Items {
		labels[ns.Name] = usage.NamespaceOf(ns.Name, ns.Labels)
		if selected, _ := labels[ns.Name].Selects(); selected == name {
			users++
		}
	}
	for _, pod := range pods.Items {
		p := usage.PodOf(pod.Namespace, pod.Name, pod.Labels, pod.Annotations,
			pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed)
		if selected, _ := p.Selects(labels[pod.Namespace]); selected == name || p.InjectedBy == name {
			users++
		}
	}
	return users, nil
}
