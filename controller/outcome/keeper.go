package outcome

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/desired"
	"github.com/lateen-io/lateen/internal/render"
)

// Keeper looks after the objects of a resource: it brings them, leaves them to a pipeline, and takes them away with the resource.
type Keeper struct {
	Client   client.Client
	Applier  *apply.Applier
	Pipeline *desired.Pipeline
	Events   events.EventRecorder
}

// Hold puts the finalizer on a resource whose objects the controller applies. If a pipeline renders them, it takes it off; those
// that the controller applied before are nobody's first.
func (k Keeper) Hold(ctx context.Context, o client.Object, inventory v1.Inventory, pipeline bool) error {
	if pipeline {
		if err := k.disown(ctx, o, inventory); err != nil {
			return err
		}
	}
	return Hold(ctx, k.Client, o, !pipeline)
}

func (k Keeper) disown(ctx context.Context, o client.Object, inventory v1.Inventory) error {
	if err := k.Applier.Disown(ctx, o, inventory); err != nil {
		return fmt.Errorf("leaving the objects to the pipeline: %w", err)
	}
	return nil
}

// Brought is what came of bringing objects.
type Brought struct {
	Inventory v1.Inventory
	// Problem is why they are not all in place, or nil, and Retry the error to return for another try.
	Problem *Problem
	Retry   error

	changes []apply.Change
}

// Changed tells whether an object of a kind was changed: the cache does not know that yet.
func (b Brought) Changed(kind string) bool {
	return slices.ContainsFunc(b.changes, func(c apply.Change) bool { return c.Object.Kind == kind })
}

// Bring makes the cluster have the objects of a resource. inventory is the one in its status, in which objects are noted
// before they are created. A conflict is returned: the run is to be repeated.
func (k Keeper) Bring(ctx context.Context, o client.Object, inventory *v1.Inventory, objects desired.Objects) (Brought, error) {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return Brought{}, fmt.Errorf("a copy of %T is none", o)
	}
	var b Brought
	previous, err := k.keepShared(ctx, o, *inventory, objects)
	if err != nil {
		return b, err
	}
	b.Inventory, b.changes, err = k.Applier.Bring(ctx, apply.Set{
		Owner: o, Objects: objects.List, Digest: objects.Digest, Previous: previous,
		Note: func(all v1.Inventory) error {
			*inventory = all
			return Write(ctx, k.Client, before, o)
		},
	})
	Applied(k.Events, o, b.changes)
	if apierrors.IsConflict(err) {
		return b, err
	}
	if err != nil {
		b.Problem, b.Retry = Refused(err)
	}
	return b, nil
}

// Withdraw takes the objects of a resource away that has to yield to another one of its name, which it may not have seen when it
// applied them: both would inject the same pods. It gives what is left, never nil.
func (k Keeper) Withdraw(ctx context.Context, o client.Object, inventory v1.Inventory) (v1.Inventory, error) {
	inventory, err := k.handOver(ctx, o, inventory)
	if err != nil {
		return append(v1.Inventory{}, inventory...), err
	}
	left, changes, err := k.Applier.Delete(ctx, o, inventory)
	Applied(k.Events, o, changes)
	return append(v1.Inventory{}, left...), err
}

// keepShared leaves out of an inventory what is not rendered any more and other revisions rely on.
func (k Keeper) keepShared(ctx context.Context, o client.Object, inventory v1.Inventory,
	objects desired.Objects) (v1.Inventory, error) {
	going := inventory.Minus(apply.Set{Objects: objects.List}.Inventory())
	if !slices.ContainsFunc(going, func(ref v1.ObjectReference) bool { return render.Shared(ref.Kind, ref.Name) }) {
		return inventory, nil
	}
	left, err := k.handOver(ctx, o, going)
	return inventory.Minus(going.Minus(left)), err
}

// Finalize deletes the objects of a resource that is being deleted, in an order in which nothing waits for a webhook without a
// server, and lets the resource go. It always ends: what cannot be deleted here is the garbage collector's, since the resource
// owns it.
func (k Keeper) Finalize(ctx context.Context, o client.Object, inventory v1.Inventory, now time.Time) error {
	orphans := controllerutil.ContainsFinalizer(o, metav1.FinalizerOrphanDependents) // kubectl delete --cascade=orphan
	if controllerutil.ContainsFinalizer(o, Finalizer) && !PipelineRendered(o) && !orphans {
		left, err := k.handOver(ctx, o, inventory)
		if err == nil {
			var changes []apply.Change
			_, changes, err = k.Applier.Delete(ctx, o, left)
			Applied(k.Events, o, changes)
		}
		if err != nil && now.Sub(o.GetDeletionTimestamp().Time) < DeletionPatience {
			return fmt.Errorf("deleting objects: %w", err)
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "leaving objects to the garbage collector")
			k.Events.Eventf(o, nil, corev1.EventTypeWarning, "DeletionIncomplete", "Delete", "left to the garbage collector: %s", Note(err.Error()))
		}
	}
	if PipelineRendered(o) { // else the garbage collector would take what the pipeline has taken over
		if err := k.disown(ctx, o, inventory); err != nil {
			return err
		}
	}
	k.Applier.Forget(o.GetUID())
	k.Pipeline.Forget(o.GetUID())
	return Release(ctx, k.Client, o)
}
