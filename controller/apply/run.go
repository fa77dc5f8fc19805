package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/metrics"
)

// Result is what came of applying a set.
type Result struct {
	// Inventory is for the status of the owner.
	Inventory v1.Inventory
	// Changes are what was not as it should be.
	Changes []Change
	// Kept are the labels, annotations and keys of data that others have added, and that were not known before: they
	// stay.
	Kept []Kept
	// TakenOver are the objects that another installer had created.
	TakenOver []Foreign
}

// Kept are what others have added to an object and what stays: "label example.com/team".
type Kept struct {
	Object v1.ObjectReference
	Keys   []string
}

// Apply makes the cluster have a set: it reads, decides whether the set may have its objects, applies them, and then
// deletes those of the previous inventory that the set no longer has, if all of the new ones are in place. An object
// that is about to be created is noted in the inventory first, so that it is not lost if this process is. An object
// that another resource of Lateen's has stays with it, and is a HeldError; all else is done nevertheless. If objects of
// another installer are refused, nothing is done.
func (a *Applier) Apply(ctx context.Context, s Set) (Result, error) {
	r, err := a.run(s.Owner, s.Digest)
	if err != nil {
		return Result{Inventory: s.Previous}, err
	}
	r.takes = s.Takes
	if err := r.look(ctx, s.Objects, s.Previous); err != nil {
		return Result{Inventory: s.Previous}, err
	}
	out := Result{TakenOver: r.foreign}
	if wrong := refused(r.foreign, s.Version); len(wrong) > 0 && !s.TakeOver {
		return Result{Inventory: s.Previous}, &TakeoverError{wrong, s.Version}
	}
	inventory := r.inventory()
	if all := inventory.Union(s.Previous); len(inventory.Minus(s.Previous)) > 0 {
		if err := s.Note(all); err != nil {
			return Result{Inventory: s.Previous}, err
		}
	}
	err = r.applyAll(ctx)
	inventory = r.inventory()
	out.Changes, out.Kept, out.Inventory = r.changes, r.kept, inventory.Union(s.Previous)
	if err != nil {
		return out, err
	}
	remaining, deleted, err := a.Delete(ctx, s.Owner, s.Previous.Minus(inventory).Minus(s.Left))
	out.Inventory = inventory.Union(remaining).Union(a.still(ctx, s))
	out.Changes = append(out.Changes, deleted...)
	return out, errors.Join(err, r.holds())
}

// still are the objects that the owner of a set leaves to another resource and that it has still.
func (a *Applier) still(ctx context.Context, s Set) v1.Inventory {
	var out v1.Inventory
	for _, ref := range s.Left {
		live, _, err := a.state(ctx, ref)
		if err != nil || live != nil && metav1.IsControlledBy(live, s.Owner) {
			out = append(out, ref)
		}
	}
	return out.Minus(out.Minus(s.Previous)) // nothing that was not there before
}

// ApplyUnowned makes the objects as they should be, in their order. They get no owner. It does not stop at the first
// error, so that one bad object holds up no other.
func (a *Applier) ApplyUnowned(ctx context.Context, objects []*unstructured.Unstructured) error {
	r, err := a.run(nil, "")
	if err != nil {
		return err
	}
	if err := r.look(ctx, objects, nil); err != nil {
		return err
	}
	return r.applyAll(ctx)
}

// run is one apply of the objects of a resource.
type run struct {
	applier *Applier
	// owner is the resource, or nil; refs make it the controller of the objects.
	owner  client.Object
	refs   []metav1.OwnerReference
	takes  Precedence
	digest string
	// known are the states in which objects need no look.
	known map[v1.ObjectReference]string

	items []*item
	// foreign are those of other installers.
	foreign []Foreign
	changes []Change
	kept    []Kept
	// asked says that the server was asked for the owner.
	asked bool
}

// item is one object.
type item struct {
	desired *unstructured.Unstructured
	ref     v1.ObjectReference
	// cached is what the cache has of it, or nil, and state describes that.
	cached *metav1.PartialObjectMetadata
	state  string
	// read says that the server was asked for it, and live is what it has, or nil.
	read bool
	live *unstructured.Unstructured
	// held says that another resource of Lateen's has it.
	held error
}

func (a *Applier) run(owner client.Object, digest string) (*run, error) {
	r := &run{applier: a, owner: owner, digest: digest}
	if owner != nil {
		ref, err := a.reference(owner)
		if err != nil {
			return nil, err
		}
		r.refs = append(r.refs, ref)
	}
	r.known = a.known(r.uid(), digest)
	return r, nil
}

func (r *run) uid() types.UID {
	if r.owner == nil {
		return ""
	}
	return r.owner.GetUID()
}

// look finds out what there is of the objects. The cache has those of Lateen's: what it does not have and what the
// owner has not had before may be somebody else's, and is read from the server, which would have to be before an apply
// anyway.
func (r *run) look(ctx context.Context, objects []*unstructured.Unstructured, previous v1.Inventory) error {
	for _, desired := range objects {
		i := &item{desired: desired, ref: referenceTo(desired)}
		r.items = append(r.items, i)
		var err error
		if i.cached, i.state, err = r.applier.state(ctx, i.ref); err != nil {
			i.cached, i.state = nil, ""
		}
		if r.owner == nil || r.settled(i) {
			continue
		}
		delete(r.known, i.ref)
		switch {
		case i.cached != nil:
			err = r.held(ctx, i.ref, desired, i.cached)
		case len(v1.Inventory{i.ref}.Minus(previous)) > 0:
			err = r.examine(ctx, i)
		default:
			continue
		}
		if held := (*HeldError)(nil); errors.As(err, &held) {
			i.held = held
		} else if err != nil {
			return fmt.Errorf("%s: %w", i.ref, explain(err))
		}
	}
	return nil
}

// examine reads an object from the server to see whose it is.
func (r *run) examine(ctx context.Context, i *item) error {
	live, err := r.get(ctx, i)
	if err != nil {
		if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || meta.IsNoMatchError(err) {
			return nil // applying it says what is wrong
		}
		return err
	}
	if live == nil || Ignored(live) {
		return nil
	}
	if err := r.held(ctx, i.ref, i.desired, live); err != nil {
		return err
	}
	if f, ok := foreign(live); ok {
		r.foreign = append(r.foreign, f)
	}
	return nil
}

// settled reports whether an object is in the state in which a dry run found nothing to change.
func (r *run) settled(i *item) bool { return i.state != "" && i.state == r.known[i.ref] }

// inventory lists the objects but those that another resource has.
func (r *run) inventory() v1.Inventory {
	var out v1.Inventory
	for _, i := range r.items {
		if i.held == nil {
			out = append(out, i.ref)
		}
	}
	return out.Union(nil)
}

// holds is an error for the objects that other resources have, or nil.
func (r *run) holds() error {
	var errs []error
	for _, i := range r.items {
		errs = append(errs, i.held)
	}
	return errors.Join(errs...)
}

// applyAll applies the objects. It does not stop at the first error. If the owner is being deleted, which the cache may
// not know yet, nothing is applied, and the error is a conflict.
func (r *run) applyAll(ctx context.Context) error {
	var errs []error
	for _, i := range r.items {
		if i.held != nil || r.settled(i) {
			continue
		}
		if err := r.ownerStays(ctx, i.cached, len(r.changes) > 0); err != nil {
			return err
		}
		if len(errs) > 0 && i.cached == nil && rank(i.ref) <= webhooks {
			continue // a new webhook waits for the rest: it would ask somebody who is not there
		}
		change, kept, err := r.apply(ctx, i)
		if held := (*HeldError)(nil); errors.As(err, &held) {
			i.held = held
			continue
		}
		if news := r.applier.news(r.uid(), i.ref, kept); len(news) > 0 && err == nil {
			r.kept = append(r.kept, Kept{i.ref, news})
		}
		switch {
		case err != nil:
			metrics.Applied(i.ref.Kind, metrics.Failed)
			errs = append(errs, fmt.Errorf("%s: %w", i.ref,
				explain(malformed(r.applier.live.Scheme(), i.desired, err))))
		case change.Action == ssa.CreatedAction || change.Action == ssa.ConfiguredAction:
			// The event that it causes brings us here once more, for a dry run that finds the state in which all is
			// well.
			metrics.Applied(i.ref.Kind, string(change.Action))
			logChange(ctx, change)
			r.changes = append(r.changes, change)
		case i.state != "":
			// The state was read before the dry run: if it was old by then, an event with another one follows.
			r.known[i.ref] = i.state
		}
	}
	r.applier.remember(r.uid(), r.digest, r.known)
	return errors.Join(errs...)
}

// ownerStays asks whether the owner is there and is not being deleted: before the first object, before each that is
// nobody's, and before each of a run that changes objects, which takes a while. If not, the error is a conflict: with
// what the cache knows. An object that is nobody's may have been let go with its owner's deletion (--cascade=orphan),
// and would be deleted with the owner if it were taken back. What remains is the time of one request.
func (r *run) ownerStays(ctx context.Context, live *metav1.PartialObjectMetadata, changing bool) error {
	if r.owner == nil || r.asked && !changing && (live == nil || metav1.IsControlledBy(live, r.owner)) {
		return nil
	}
	r.asked = true
	ref := r.refs[0]
	current := &metav1.PartialObjectMetadata{}
	current.SetGroupVersionKind(schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind))
	err := client.IgnoreNotFound(r.applier.live.Get(ctx, client.ObjectKeyFromObject(r.owner), current))
	// A caller that has seen the deletion itself, and applies all the same, holds the owner: its finalizer keeps it,
	// and so its objects.
	held := r.owner.GetDeletionTimestamp() != nil &&
		!slices.Contains(current.Finalizers, metav1.FinalizerOrphanDependents)
	if err != nil || current.UID == ref.UID && (current.DeletionTimestamp == nil || held) {
		return err
	}
	log.FromContext(ctx).Info("leaving objects alone, because their owner is being deleted")
	return apierrors.NewConflict(schema.GroupResource{Group: v1.GroupVersion.Group, Resource: ref.Kind}, ref.Name,
		errors.New("it is being deleted"))
}
