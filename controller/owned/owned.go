// Package owned looks after the objects that a resource has in the cluster: it applies them, leaves them to a pipeline,
// hands over what others rely on, and takes them away with the resource.
package owned

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
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// Objects looks after the objects of resources.
type Objects struct {
	Client   client.Client
	Applier  *apply.Applier
	Renderer *rendering.Renderer
	Events   events.EventRecorder
}

// EnsureFinalizer puts the finalizer on a resource whose objects the controller applies. If a pipeline renders them, it
// takes it off; those that the controller applied before are nobody's first.
func (k Objects) EnsureFinalizer(ctx context.Context, o client.Object, inventory v1.Inventory, pipeline bool) error {
	if pipeline {
		if err := k.disown(ctx, o, inventory); err != nil {
			return err
		}
		if controllerutil.ContainsFinalizer(o, Finalizer) { // until now they were the controller's
			k.forget(o)
		}
	}
	return EnsureFinalizer(ctx, k.Client, o, !pipeline)
}

// forget drops what is known about the objects of a resource that has none any more.
func (k Objects) forget(o client.Object) {
	k.Applier.Forget(o.GetUID())
	k.Renderer.Forget(o.GetUID())
}

func (k Objects) disown(ctx context.Context, o client.Object, inventory v1.Inventory) error {
	if err := k.Applier.Disown(ctx, o, inventory); err != nil {
		return fmt.Errorf("leaving the objects to the pipeline: %w", err)
	}
	return nil
}

// Applied is what came of applying objects.
type Applied struct {
	// Inventory is for the status of the resource.
	Inventory v1.Inventory

	changes []apply.Change
}

// Changed reports whether an object of a kind was changed: the cache does not know that yet.
func (a Applied) Changed(kind string) bool {
	return slices.ContainsFunc(a.changes, func(c apply.Change) bool { return c.Object.Kind == kind })
}

// Desired is what the cluster should have of a resource.
type Desired struct {
	Objects rendering.Objects
	// Left are objects that another resource has or is about to take: they are neither applied nor deleted.
	Left v1.Inventory
	// Takes reports whether the resource may have what another one has; nil for: if it is the older of the two.
	Takes apply.Precedence
}

// Apply makes the cluster have the objects of a resource. inventory is the one in its status, in which objects are
// noted before they are created. The error is a status.Problem if not all are in place, and else ends the run: a
// conflict does, which is to be repeated.
func (k Objects) Apply(
	ctx context.Context, o client.Object, inventory *v1.Inventory, desired Desired,
) (Applied, error) {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return Applied{}, fmt.Errorf("a copy of %T is none", o)
	}
	if desired.Takes == nil {
		desired.Takes = func(holder client.Object) (bool, error) { return k.Precedes(ctx, o, holder) }
	}
	previous, err := k.keepShared(ctx, o, *inventory, desired.Objects)
	if err != nil {
		return Applied{}, err
	}
	result, err := k.Applier.Apply(ctx, apply.Set{
		Owner: o, Objects: desired.Objects.List, Digest: desired.Objects.Digest, Previous: previous,
		Left: desired.Left, Takes: desired.Takes,
		Version: desired.Objects.Version, TakeOver: o.GetAnnotations()[manifest.AnnotationTakeOver] == "true",
		Note: func(all v1.Inventory) error {
			*inventory = all
			return status.Write(ctx, k.Client, before, o)
		},
	})
	k.notify(o, result)
	applied := Applied{Inventory: result.Inventory, changes: result.Changes}
	if err == nil || apierrors.IsConflict(err) {
		return applied, err
	}
	return applied, Refused(err)
}

// Precedes reports whether a resource may take an object that another one has: if it is the older. For a revision that
// an Istio owns that counts: its revisions come and go.
func (k Objects) Precedes(ctx context.Context, o, holder client.Object) (bool, error) {
	a, err := k.principal(ctx, o)
	if err != nil {
		return false, err
	}
	b, err := k.principal(ctx, holder)
	return err == nil && (a.GetUID() == b.GetUID() || Older(a, b)), err
}

// principal is the Istio that owns a revision, or else the resource itself.
func (k Objects) principal(ctx context.Context, o client.Object) (client.Object, error) {
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

// notify makes events of what was changed in the cluster, and of what others have done there.
func (k Objects) notify(o client.Object, result apply.Result) {
	Record(k.Events, o, result.Changes)
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
				status.Note(strings.Join(e.about, "; ")))
		}
	}
}

// Withdraw takes the objects of a resource away that has to yield to another one of its name, which it may not have
// seen when it applied them: both would inject the same pods. It gives what is left, never nil. The error is a
// status.Problem.
func (k Objects) Withdraw(ctx context.Context, o client.Object, inventory v1.Inventory) (v1.Inventory, error) {
	inventory, err := k.handOver(ctx, o, inventory)
	if err != nil {
		return append(v1.Inventory{}, inventory...), status.Unreported(err)
	}
	left, changes, err := k.Applier.Delete(ctx, o, inventory)
	Record(k.Events, o, changes)
	if err != nil {
		return append(v1.Inventory{}, left...), status.Unreported(err)
	}
	return append(v1.Inventory{}, left...), nil
}

// keepShared leaves out of an inventory what is not rendered any more and other revisions rely on.
func (k Objects) keepShared(ctx context.Context, o client.Object, inventory v1.Inventory,
	objects rendering.Objects,
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
func (k Objects) Finalize(ctx context.Context, o client.Object, inventory v1.Inventory, now time.Time) error {
	orphans := controllerutil.ContainsFinalizer(o, metav1.FinalizerOrphanDependents) // kubectl delete --cascade=orphan
	if controllerutil.ContainsFinalizer(o, Finalizer) && !PipelineRendered(o) && !orphans {
		left, err := k.handOver(ctx, o, inventory)
		if err == nil {
			var changes []apply.Change
			_, changes, err = k.Applier.Delete(ctx, o, left)
			Record(k.Events, o, changes)
		}
		if err != nil && now.Sub(o.GetDeletionTimestamp().Time) < DeletionPatience {
			return fmt.Errorf("deleting objects: %w", err)
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "leaving objects to the garbage collector")
			k.Events.Eventf(o, nil, corev1.EventTypeWarning, "DeletionIncomplete", "Delete", "left to the garbage collector: %s",
				status.Note(err.Error()))
		}
	}
	if PipelineRendered(o) { // else the garbage collector would take what the pipeline has taken over
		if err := k.disown(ctx, o, inventory); err != nil {
			return err
		}
	}
	k.forget(o)
	return RemoveFinalizers(ctx, k.Client, o)
}

// Record makes an event of what was changed in the cluster.
func Record(r events.EventRecorder, about client.Object, changes []apply.Change) {
	if len(changes) == 0 {
		return
	}
	var texts []string
	for _, c := range changes {
		texts = append(texts, c.String())
	}
	r.Eventf(about, nil, corev1.EventTypeNormal, status.EventApplied, "Apply", "%d objects changed: %s", len(changes),
		status.Note(strings.Join(texts, ", ")))
}
