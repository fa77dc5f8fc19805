package cluster

import (
	"context"
	"errors"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v1 "github.com/lateen-io/lateen/api/v1"
)

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

// errNotSynced says that a kind is watched, but what there is of it has not been read yet.
var errNotSynced = errors.New("the cache has not been filled yet")

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
		return errNotSynced
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
