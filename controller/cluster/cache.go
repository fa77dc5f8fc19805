package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/internal/manifest"
)

// CacheOptions limit the manager's cache to what the controller reads: Lateen's own resources, the metadata of
// namespaces, and of everything else only what Lateen renders.
func CacheOptions() cache.Options {
	ours := labels.SelectorFromSet(labels.Set{manifest.LabelManagedBy: manifest.ManagedBy})
	everything := cache.ByObject{Label: labels.Everything()}
	return cache.Options{
		DefaultLabelSelector: ours,
		DefaultTransform:     cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1.Istio{}: everything, &v1.IstioRevision{}: everything, &v1.IstioRevisionTag{}: everything,
			&v1.IstioCNI{}:                           everything,
			&autoscalingv2.HorizontalPodAutoscaler{}: {Label: ours, Transform: apply.KeepWriters},
			&corev1.Namespace{}:                      {Label: labels.Everything(), Transform: bare},
		},
	}
}

// bare drops all of a namespace but that it is there, or is being deleted: there may be thousands.
func bare(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp,
	}}, nil
}

// Metadata is an empty object of a kind, for reading its metadata from the cache.
func Metadata(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(kind)
	return o
}

// NamespaceKind is the kind of a namespace.
var NamespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// Unlabelled is how often an object is looked at of which no events come.
const Unlabelled = 30 * time.Second

// Find reads an object that the cache has if it is labelled as Lateen's. Somebody may have given it another label, or
// another installer may have it: then the server has it, and no event tells of it. again is when to look once more,
// zero for never; pipeline says that the object is not the controller's to bring, so it may come later without the
// label.
func Find(
	ctx context.Context, cached, live client.Reader, key client.ObjectKey, o client.Object, pipeline bool,
) (again time.Duration, err error) {
	if err = cached.Get(ctx, key, o); !apierrors.IsNotFound(err) {
		return 0, err
	}
	if err = live.Get(ctx, key, o); err == nil || pipeline {
		again = Unlabelled
	}
	return again, err
}

// Drift notices when something changes an object that the controller has applied. It watches the metadata of a kind
// from the moment the first object of that kind is applied.
type Drift struct {
	cache cache.Cache

	mutex   sync.Mutex
	owners  []owner
	watched map[schema.GroupVersionKind]bool
	// awaited are objects that resources other than their controllers want to know of.
	awaited map[awaited][]resource
}

// awaited is an object, of whatever version of its API, and resource one of Lateen's.
type (
	awaited struct {
		kind            schema.GroupKind
		namespace, name string
	}
	resource struct{ kind, name string }
)

// owner is a controller, and the kind of the resources that it reconciles.
type owner struct {
	controller controller.Controller
	kind       string
}

// NewDrift makes a Drift over the manager's cache.
func NewDrift(c cache.Cache) *Drift {
	return &Drift{cache: c, watched: map[schema.GroupVersionKind]bool{}, awaited: map[awaited][]resource{}}
}

// Notify makes a controller reconcile the owner, of the given kind of sailoperator.io, of each object that changes. It
// must be called before the manager starts.
func (d *Drift) Notify(c controller.Controller, kind string) {
	d.owners = append(d.owners, owner{c, kind})
}

// errUnseen says that a kind is watched, but what there is of it has not been read yet.
var errUnseen = errors.New("the cache has not been filled yet")

// Watch makes sure that a kind is watched. Until the cache has its objects that is an error, and not waited for: when
// they come, their owners are reconciled again.
func (d *Drift) Watch(ctx context.Context, kind schema.GroupVersionKind) error {
	informer, err := d.cache.GetInformer(ctx, Metadata(kind), cache.BlockUntilSynced(false))
	if err != nil {
		return err
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if !d.watched[kind] {
		for _, o := range d.owners {
			h := handler.EnqueueRequestsFromMapFunc(d.concerned(kind.GroupKind(), o.kind))
			if err := o.controller.Watch(source.Kind[client.Object](d.cache, Metadata(kind), h)); err != nil {
				return err
			}
		}
		d.watched[kind] = true
	}
	if !informer.HasSynced() {
		return errUnseen
	}
	return nil
}

// Await makes a resource of a kind be reconciled when an object changes or goes, once. It is for an object that another
// resource controls, and that this one would have.
func (d *Drift) Await(object v1.ObjectReference, kind, name string) {
	key := awaited{object.GroupKind(), object.Namespace, object.Name}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if r := (resource{kind, name}); !slices.Contains(d.awaited[key], r) {
		d.awaited[key] = append(d.awaited[key], r)
	}
}

// concerned maps an object to the resources of the given kind that it concerns: that controls it, and those that wait
// for it.
func (d *Drift) concerned(of schema.GroupKind, kind string) handler.MapFunc {
	controls := controllerOf(kind)
	return func(ctx context.Context, o client.Object) []reconcile.Request {
		return append(controls(ctx, o), d.waiting(awaited{of, o.GetNamespace(), o.GetName()}, kind)...)
	}
}

// waiting takes those of a kind off the list of the resources that wait for an object.
func (d *Drift) waiting(key awaited, kind string) []reconcile.Request {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	var out []reconcile.Request
	left := slices.DeleteFunc(d.awaited[key], func(r resource) bool {
		if r.kind == kind {
			out = append(out, Named(r.name)...)
		}
		return r.kind == kind
	})
	if d.awaited[key] = left; len(left) == 0 {
		delete(d.awaited, key)
	}
	return out
}

// controllerOf maps an object to the resource of the given kind that controls it.
func controllerOf(kind string) handler.MapFunc {
	return func(_ context.Context, o client.Object) []reconcile.Request {
		ref := metav1.GetControllerOf(o)
		if ref == nil || ref.Kind != kind ||
			schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group != v1.GroupVersion.Group {
			return nil
		}
		return Named(ref.Name)
	}
}

// Named is the request to reconcile a resource.
func Named(name string) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Name: name}}}
}

// Edited selects the events of a resource that somebody has changed: not those of its status. Who owns it and what
// holds its deletion up change without a new generation; and after a time without news another one may have its name.
func Edited() predicate.Predicate {
	return predicate.Or(
		predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{},
		predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
			return another(e) || !slices.Equal(e.ObjectOld.GetFinalizers(), e.ObjectNew.GetFinalizers()) ||
				!equality.Semantic.DeepEqual(e.ObjectOld.GetOwnerReferences(), e.ObjectNew.GetOwnerReferences())
		}})
}

// another reports whether an event is that of an object that was deleted and created again: a cache that was without
// news meanwhile tells of it as of a change.
func another(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() }

// AsksForAnother selects the events of an Istio that may ask for another revision than before.
func AsksForAnother() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.Istio)
		after, also := e.ObjectNew.(*v1.Istio)
		return !ok || !also || another(e) || before.Generation != after.Generation ||
			before.Status.ActiveRevisionName != after.Status.ActiveRevisionName
	}}
}

// ComesOrGoes selects the events of an object that appears, disappears or begins to.
func ComesOrGoes() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return another(e) || e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
	}}
}

// Standing selects the events of a revision that appears, disappears or begins to, becomes the active one of its Istio
// or ceases to be, or has other values: what others are by.
func Standing() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.IstioRevision)
		after, also := e.ObjectNew.(*v1.IstioRevision)
		return !ok || !also || ComesOrGoes().Update(e) || before.Generation != after.Generation ||
			(before.Status.InactiveSince == nil) != (after.Status.InactiveSince == nil)
	}}
}

// BesideUsers selects the events of a revision but those of who its users are: pods come and go, and its status names
// the first of them and counts the rest. Whether there is any is something else.
func BesideUsers() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1.IstioRevision)
		after, also := e.ObjectNew.(*v1.IstioRevision)
		// the same again: the cache wants everybody to look
		if !ok || !also || before.ResourceVersion == after.ResourceVersion {
			return true
		}
		return !equality.Semantic.DeepEqual(withoutUsers(before), withoutUsers(after))
	}}
}

func withoutUsers(rev *v1.IstioRevision) *v1.IstioRevision {
	out := rev.DeepCopy()
	out.ResourceVersion, out.ManagedFields = "", nil
	if c := out.Status.Conditions.Get(v1.ConditionInUse); c != nil {
		c.Message = ""
	}
	return out
}
