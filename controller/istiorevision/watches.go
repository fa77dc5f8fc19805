package istiorevision

import (
	"cmp"
	"context"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/values"
)

// Setup adds the reconciler to a manager, and says what brings a revision up for another look.
func (r *Reconciler) Setup(mgr ctrl.Manager, drift *cluster.Drift, options controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr)
	if r.CRDs != nil { // somebody may delete one, or bring another version
		b = b.WatchesMetadata(cluster.Metadata(crdKind), handler.EnqueueRequestsFromMapFunc(r.ofCRD),
			builder.WithPredicates(predicate.Funcs{
				CreateFunc: func(event.CreateEvent) bool { return false },
				UpdateFunc: func(e event.UpdateEvent) bool {
					return apply.Ignored(e.ObjectOld) != apply.Ignored(e.ObjectNew) ||
						versionOf(e.ObjectOld.GetAnnotations(), e.ObjectOld.GetLabels()) !=
							versionOf(e.ObjectNew.GetAnnotations(), e.ObjectNew.GetLabels())
				},
			}))
	}
	c, err := b.
		For(&v1.IstioRevision{}, builder.WithPredicates(cluster.Edited())).
		Watches(&v1.Istio{}, handler.EnqueueRequestsFromMapFunc(r.ofIstio), builder.WithPredicates(cluster.AsksForAnother())).
		Watches(&v1.IstioRevision{}, handler.EnqueueRequestsFromMapFunc(r.siblings),
			builder.WithPredicates(cluster.Standing())).
		Watches(&v1.IstioRevision{}, handler.EnqueueRequestsFromMapFunc(r.ofNames),
			builder.WithPredicates(cluster.BesideUsers())).
		Watches(&v1.IstioRevisionTag{}, handler.EnqueueRequestsFromMapFunc(r.ofTag)).
		Watches(&v1.IstioCNI{}, handler.EnqueueRequestsFromMapFunc(r.where(func(*v1.IstioRevision) bool { return true }))).
		WatchesMetadata(cluster.Metadata(cluster.NamespaceKind), handler.EnqueueRequestsFromMapFunc(r.inNamespace),
			builder.WithPredicates(cluster.ComesOrGoes())).
		Watches(&appsv1.Deployment{}, handler.EnqueueRequestsFromMapFunc(ofLabel)).
		Watches(&admissionv1.MutatingWebhookConfiguration{}, handler.EnqueueRequestsFromMapFunc(ofLabel)).
		WatchesRawSource(r.Usage.Source(r.all)).
		WatchesRawSource(r.Prober.Source()).
		WithOptions(options).
		Build(r)
	if err != nil {
		return err
	}
	drift.Notify(c, v1.KindIstioRevision)
	return nil
}

// ofCRD are all revisions: each may need the one that has changed.
func (r *Reconciler) ofCRD(ctx context.Context, o client.Object) []reconcile.Request {
	r.CRDs.Changed()
	return r.where(func(*v1.IstioRevision) bool { return true })(ctx, o)
}

// ofIstio are the revisions that an Istio owns: which of them is active may have changed.
func (r *Reconciler) ofIstio(ctx context.Context, o client.Object) []reconcile.Request {
	return r.where(func(rev *v1.IstioRevision) bool { return owned.OwningIstio(rev) == o.GetName() })(ctx, o)
}

// siblings are the revisions of the same Istio, of which another may have become inactive when one appears, and those
// that serve ambient, of which another may have become the last, or may not be it any more.
func (r *Reconciler) siblings(ctx context.Context, o client.Object) []reconcile.Request {
	rev, ok := o.(*v1.IstioRevision)
	if !ok {
		return nil
	}
	owner, ambient := owned.OwningIstio(rev), values.Ambient(valuesOf(rev))
	return r.where(func(other *v1.IstioRevision) bool {
		return owner != "" && owned.OwningIstio(other) == owner || ambient && values.Ambient(valuesOf(other))
	})(ctx, o)
}

func (r *Reconciler) inNamespace(ctx context.Context, o client.Object) []reconcile.Request {
	return r.where(func(rev *v1.IstioRevision) bool { return rev.Spec.Namespace == o.GetName() })(ctx, o)
}

// where maps to the revisions of which something is true.
func (r *Reconciler) where(is func(*v1.IstioRevision) bool) handler.MapFunc {
	return func(ctx context.Context, _ client.Object) []reconcile.Request {
		var list v1.IstioRevisionList
		if err := r.Client.List(ctx, &list); err != nil {
			return nil // from the cache; it fails only when all ends
		}
		var out []reconcile.Request
		for _, rev := range list.Items {
			if is(&rev) {
				out = append(out, cluster.Named(rev.Name)...)
			}
		}
		return out
	}
}

// all names all revisions.
func (r *Reconciler) all() []string {
	var out []string
	for _, req := range r.where(func(*v1.IstioRevision) bool { return true })(context.Background(), nil) {
		out = append(out, req.Name)
	}
	return out
}

// ofNames are the revisions whose name, or a tag of whose values, is the name or a tag of another one.
func (r *Reconciler) ofNames(ctx context.Context, o client.Object) []reconcile.Request {
	rev, ok := o.(*v1.IstioRevision)
	if !ok {
		return nil
	}
	tags := ValueTags(rev)
	return r.where(func(other *v1.IstioRevision) bool {
		return other.Name != rev.Name && (slices.Contains(tags, other.Name) ||
			slices.ContainsFunc(ValueTags(other), func(tag string) bool {
				return tag == rev.Name || slices.Contains(tags, tag)
			}))
	})(ctx, o)
}

// ofTag are the revisions that a tag points at or pointed at, and those that have its name, or a tag of this name in
// their values.
func (r *Reconciler) ofTag(ctx context.Context, o client.Object) []reconcile.Request {
	tag, ok := o.(*v1.IstioRevisionTag)
	if !ok {
		return nil
	}
	out := cluster.Named(tag.Name)
	if tag.Status.IstioRevision != "" {
		out = append(out, cluster.Named(tag.Status.IstioRevision)...)
	}
	if tag.Spec.TargetRef.Kind == v1.TargetIstioRevision {
		out = append(out, cluster.Named(tag.Spec.TargetRef.Name)...)
	}
	return append(out, r.where(func(rev *v1.IstioRevision) bool {
		return slices.Contains(ValueTags(rev), tag.Name)
	})(ctx, o)...)
}

// ofLabel is the revision whose objects something is one of, whoever applied it.
func ofLabel(_ context.Context, o client.Object) []reconcile.Request {
	if name := o.GetLabels()[manifest.LabelRevision]; name != "" {
		return cluster.Named(name)
	}
	return nil
}

func compareNames(a, b client.Object) int { return cmp.Compare(a.GetName(), b.GetName()) }
