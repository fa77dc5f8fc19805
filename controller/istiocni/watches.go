package istiocni

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
)

// Setup adds the reconciler to a manager, and says what brings the IstioCNI up for another look.
func (r *Reconciler) Setup(mgr ctrl.Manager, drift *cluster.Drift, options controller.Options) error {
	c, err := ctrl.NewControllerManagedBy(mgr).
		For(&v1.IstioCNI{}, builder.WithPredicates(cluster.Edited())).
		WatchesMetadata(cluster.Metadata(cluster.NamespaceKind), handler.EnqueueRequestsFromMapFunc(r.inNamespace),
			builder.WithPredicates(cluster.ComesOrGoes())).
		Watches(&appsv1.DaemonSet{}, handler.EnqueueRequestsFromMapFunc(ofDaemonSet)).
		WithOptions(options).
		Build(r)
	if err != nil {
		return err
	}
	drift.Notify(c, v1.KindIstioCNI)
	return nil
}

func (r *Reconciler) inNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	cni := &v1.IstioCNI{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1.IstioCNIName}, cni); err != nil {
		return nil // there is none
	}
	cni.Default()
	if cni.Spec.Namespace != o.GetName() {
		return nil
	}
	return cluster.Named(cni.Name)
}

func ofDaemonSet(_ context.Context, o client.Object) []reconcile.Request {
	if o.GetName() != daemonSet {
		return nil
	}
	return cluster.Named(v1.IstioCNIName)
}
