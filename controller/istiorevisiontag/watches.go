package istiorevisiontag

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Setup adds the reconciler to a manager, and says what brings a tag up for another look.
func (r *Reconciler) Setup(mgr ctrl.Manager, drift *cluster.Drift, options controller.Options) error {
	c, err := ctrl.NewControllerManagedBy(mgr).
		For(&v1.IstioRevisionTag{}, builder.WithPredicates(cluster.Edited())).
		Watches(&v1.Istio{}, handler.EnqueueRequestsFromMapFunc(r.ofIstio), builder.WithPredicates(cluster.AsksForAnother())).
		Watches(&v1.IstioRevision{}, handler.EnqueueRequestsFromMapFunc(r.ofRevision),
			builder.WithPredicates(cluster.BesideUsers())).
		WatchesMetadata(cluster.Metadata(cluster.NamespaceKind), handler.EnqueueRequestsFromMapFunc(r.inNamespace),
			builder.WithPredicates(cluster.ComesOrGoes())).
		Watches(&admissionv1.MutatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(ofLabel)).
		WatchesRawSource(r.Usage.Source(r.all)).
		WithOptions(options).
		Build(r)
	if err != nil {
		return err
	}
	drift.Notify(c, v1.KindIstioRevisionTag)
	return nil
}

func (r *Reconciler) ofIstio(ctx context.Context, o client.Object) []reconcile.Request {
	return r.where(ctx, func(t *v1.IstioRevisionTag) bool {
		return t.Spec.TargetRef.Kind == v1.TargetIstio && t.Spec.TargetRef.Name == o.GetName()
	})
}

// ofRevision are the tags that are on a revision, or ask for it themselves or by way of an Istio, or have its name or
// that of a tag in its values.
func (r *Reconciler) ofRevision(ctx context.Context, o client.Object) []reconcile.Request {
	var names []string
	if rev, ok := o.(*v1.IstioRevision); ok {
		names = istiorevision.ValueTags(rev)
	}
	return r.where(ctx, func(t *v1.IstioRevisionTag) bool {
		return t.Name == o.GetName() || t.Status.IstioRevision == o.GetName() || t.Spec.TargetRef.Name == o.GetName() ||
			t.Spec.TargetRef.Kind == v1.TargetIstio || slices.Contains(names, t.Name)
	})
}

func (r *Reconciler) inNamespace(ctx context.Context, _ client.Object) []reconcile.Request {
	return r.where(ctx, func(*v1.IstioRevisionTag) bool { return true })
}

// ofLabel is the tag whose objects something is one of, whoever applied it.
func ofLabel(_ context.Context, o client.Object) []reconcile.Request {
	if name := o.GetLabels()[manifest.LabelTag]; name != "" {
		return cluster.Named(name)
	}
	return nil
}

// where gives the tags of which something is true.
func (r *Reconciler) where(ctx context.Context, is func(*v1.IstioRevisionTag) bool) []reconcile.Request {
	var list v1.IstioRevisionTagList
	if err := r.Client.List(ctx, &list); err != nil {
		return nil // from the cache; it fails only when all ends
	}
	var out []reconcile.Request
	for _, tag := range list.Items {
		if is(&tag) {
			out = append(out, cluster.Named(tag.Name)...)
		}
	}
	return out
}

// all names all tags.
func (r *Reconciler) all() []string {
	var out []string
	for _, req := range r.where(context.Background(), func(*v1.IstioRevisionTag) bool { return true }) {
		out = append(out, req.Name)
	}
	return out
}
