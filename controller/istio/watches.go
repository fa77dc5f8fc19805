package istio

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/render"
)

// Setup adds the reconciler to a manager, and says what brings an Istio up for another look. Who uses its revisions
// comes by way of their status.
func (r *Reconciler) Setup(mgr ctrl.Manager, options controller.Options) error {
	return ctrl.NewControllerManagedBy(mgr).
		For(&v1.Istio{}, builder.WithPredicates(cluster.Edited())).
		Watches(&v1.IstioRevision{}, handler.EnqueueRequestsFromMapFunc(r.ofRevision),
			builder.WithPredicates(cluster.BesideUsers())).
		WatchesMetadata(cluster.Metadata(cluster.NamespaceKind), handler.EnqueueRequestsFromMapFunc(r.inNamespace),
			builder.WithPredicates(cluster.ComesOrGoes())).
		WithOptions(options).
		Complete(r)
}

// ofRevision are the Istio that owns a revision, and those that ask for one of its name.
func (r *Reconciler) ofRevision(ctx context.Context, o client.Object) []reconcile.Request {
	rev, ok := o.(*v1.IstioRevision)
	if !ok {
		return nil
	}
	return r.where(ctx, func(istio *v1.Istio) bool {
		// By its spec: what the status says of that may not be in the cache yet.
		asked, wrong := render.RevisionName(istio)
		return istio.Name == owned.OwningIstio(rev) || wrong == nil && asked == rev.Name ||
			istio.Status.ActiveRevisionName == rev.Name
	})
}

func (r *Reconciler) inNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	return r.where(ctx, func(istio *v1.Istio) bool { return istio.Spec.Namespace == o.GetName() })
}

// where gives the Istios of which something is true.
func (r *Reconciler) where(ctx context.Context, is func(*v1.Istio) bool) []reconcile.Request {
	var list v1.IstioList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // from the cache; it fails only when all ends
	}
	var out []reconcile.Request
	for _, istio := range list.Items {
		if is(&istio) {
			out = append(out, cluster.Named(istio.Name)...)
		}
	}
	return out
}
