package outcome

import (
	"context"
	"fmt"
	"slices"
	"strings"
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
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// Keeper looks after the objects of a resource: it brings them, leaves them to a pipeline, and takes them away with the
// resource.
type Keeper struct {
	Client   client.Client
	Applier  *apply.Applier
	Renderer *rendering.Renderer
	Events   events.EventRecorder
}

// Hold puts the finalizer on a resource whose objects the controller applies. If a pipeline renders them, it takes it
// off; those that the controller applied before are nobody's first.
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

// Request is what the cluster should have of a resource.
type Request struct {
	Objects rendering.Objects
	// Left are objects that another resource has or is about to take: they are neither applied nor deleted.
	Left v1.Inventory
	// Takes reports whether the resource may have what another one has; nil for: if it is the older of the two.
	Takes apply.Precedence
}

// Bring makes the cluster have the objects of a resource. inventory is the one in its status, in which objects are
// noted before they are created. A conflict is returned: the run is to be repeated.
func (k Keeper) Bring(ctx context.Context, o client.Object, inventory *v1.Inventory, request Request) (Brought, error) {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return Brought{}, fmt.Errorf("a copy of %T is none", o)
	}
	if request.Takes == nil {
		request.Takes = func(holder client.Object) (bool, error) { return k.Precedes(ctx, o, holder) }
	}
	previous, err := k.keepShared(ctx, o, *inventory, request.Objects)
	if err != nil {
		return Brought{}, err
	}
	result, err := k.Applier.Bring(ctx, apply.Set{
		Owner: o, Objects: request.Objects.List, Digest: request.Objects.Digest, Previous: previous,
		Left: request.Left, Takes: request.Takes,
		Version: request.Objects.Version, TakeOver: o.GetAnnotations()[manifest.AnnotationTakeOver] == "true",
		Note: func(all v1.Inventory) error {
			*inventory = all
			return Write(ctx, k.Client, before, o)
		},
	})
	k.tell(o, result)
	b := Brought{Inventory: result.Inventory, changes: result.Changes}
	if apierrors.IsConflict(err) {
		return b, err
	}
	if err != nil {
		b.Problem, b.Retry = Refused(err)
	}
	return b, nil
}

// Precedes reports whether a resource may take an object that another one has: if it is the older. For a revision that
// an Istio owns that counts: its revisions come and go.
func (k Keeper) Precedes(ctx context.Context, o, holder client.Object) (bool, error) {
	a, err := k.principal(ctx, o)
	if err != nil {
		return false, err
	}
	b, err := k.principal(ctx, holder)
	return err == nil && (a.GetUID() == b.GetUID() || Older(a, b)), err
}

// principal is the Istio that owns a revision, or else the resource itself.
func (k Keeper) principal(ctx context.Context, o client.Object) (client.Object, error) {
	rev, ok := o.(*v1.IstioRevision)
	if !ok || OwningIstio(rev) == "" {
		return o, nil
	}
	istio := &v1.Istio{}
	err := k.Client.Get(ctx, client.ObjectKey{Name: OwningIstio(rev)}, istio)
	if apierrors.IsNotFound(err) {
		return o, nil
	}
	return istio, err
}

// tell tells of what was changed in the cluster, and of what others have done there.
func (k Keeper) tell(o client.Object, result apply.Result) {
	Applied(k.Events, o, result.Changes)
	var taken, removed, kept []string
	for _, f := range result.TakenOver {
		if slices.ContainsFunc(result.Changes, func(c apply.Change) bool { return c.Object == f.Object }) {
			taken = append(taken, f.String())
		}
	}
	for _, c := range result.Changes {
		if len(c.Removed) > 0 {
			removed = append(removed, c.Object.String()+" "+strings.Join(c.Removed, ", "))
		}
	}
	for _, kept1 := range result.Kept {
		kept = append(kept, kept1.Object.String()+" "+strings.Join(kept1.Keys, ", "))
	}
	for _, e := range []struct {
		reason, sentence string
		about            []string
	}{
		{"TakenOver", "took over %d objects that another installer has created: %s", taken},
		{"ForeignFieldsRemoved", "removed from %d objects what others have added: %s", removed},
		{"ForeignFieldsKept", "others have added to %d objects what stays: %s", kept},
	} {
		if len(e.about) > 0 {
			k.Events.Eventf(o, nil, corev1.EventTypeNormal, e.reason, "Apply", e.sentence, len(e.about),
				Note(strings.Join(e.about, "; ")))
		}
	}
}

// Withdraw takes the objects of a resource away that has to yield to another one of its name, which it may not have
// seen when it applied them: both would inject the same pods. It gives what is left, never nil.
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
func (k Keeper) keepShared(
	ctx context.Context, o client.Object, inventory v1.Inventory, objects rendering.Objects,
) (v1.Inventory, error) {
	going := inventory.Minus(apply.Set{Objects: objects.List}.Inventory())
	if !slices.ContainsFunc(going, func(ref v1.ObjectReference) bool { return render.Shared(ref.Kind, ref.Name) }) {
		return inventory, nil
	}
	left, err := k.handOver(ctx, o, going)
	return inventory.Minus(going.Minus(left)), err
}

// Finalize deletes the objects of a resource that is being deleted, in an order in which nothing waits for a webhook
// without a server, and lets the resource go. It always ends: what cannot be deleted here is the garbage collector's,
// since the resource owns it.
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
			k.Events.Eventf(o, nil, corev1.EventTypeWarning, "DeletionIncomplete", "Delete", "left to the garbage collector: %s",
				Note(err.Error()))
		}
	}
	if PipelineRendered(o) { // else the garbage collector would take what the pipeline has taken over
		if err := k.disown(ctx, o, inventory); err != nil {
			return err
		}
	}
	k.Applier.Forget(o.GetUID())
	k.Renderer.Forget(o.GetUID())
	return Release(ctx, k.Client, o)
}
