package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// get reads an object from the server; nil if it is not there.
func (r *run) get(ctx context.Context, i *item) (*unstructured.Unstructured, error) {
	if i.read {
		return i.live, nil
	}
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(i.ref.GroupVersionKind())
	err := r.applier.live.Get(ctx, client.ObjectKey{Namespace: i.ref.Namespace, Name: i.ref.Name}, o)
	if client.IgnoreNotFound(err) != nil {
		return nil, err
	}
	if i.read = true; err == nil {
		i.live = o
	}
	return i.live, nil
}

// apply makes one object as it should be. kept are the keys that others have added and that stay. If the object is
// another one by the time of the dry run, it is read once more: the difference to what was read before may be that of
// somebody who has just written, as istiod does when a webhook is new, and is nothing to put right. An object that
// never stands still is applied in the end all the same.
func (r *run) apply(ctx context.Context, i *item) (c Change, kept []string, err error) {
	const tries = 3
	for try := 1; ; try++ {
		removed := c.Removed
		c, kept, err = r.applyOnce(ctx, i, try == tries)
		c.Removed = slices.Concat(removed, c.Removed)
		if !errors.Is(err, errStale) {
			return c, kept, err
		}
		i.read, i.live = false, nil
	}
}

// errStale says that an object has changed since it was read.
var errStale = errors.New("it has changed meanwhile")

func (r *run) applyOnce(ctx context.Context, i *item, last bool) (c Change, kept []string, err error) {
	c.Object = i.ref
	live, err := r.get(ctx, i)
	if err != nil {
		return c, nil, err
	}
	o := i.desired.DeepCopy()
	if r.refs != nil {
		o.SetOwnerReferences(r.refs)
	}
	w := &work{run: r, desired: i.desired, live: live, last: last}
	if live != nil && !Ignored(live) {
		if err := r.held(ctx, i.ref, i.desired, live); err != nil {
			return c, nil, err
		}
		if c.Removed, kept, err = w.claim(ctx, strayElements(o)); err != nil {
			return c, nil, err
		}
	}
	c.Action, err = w.apply(ctx, o)
	if !apierrors.IsInvalid(err) || live == nil {
		return c, kept, err
	}
	// What else others have set does not go together with what the object should have.
	more, _, claimed := w.claim(ctx, strayFields(o))
	if claimed != nil {
		return c, nil, claimed
	}
	if len(more) > 0 {
		c.Removed = append(c.Removed, more...)
		c.Action, err = w.apply(ctx, o)
	}
	return c, kept, err
}

// Ignored reports whether somebody has asked that an object be left alone.
func Ignored(o metav1.Object) bool {
	return o.GetLabels()[Ignore] == "true" || o.GetAnnotations()[Ignore] == "true"
}

// work is the apply of one object.
type work struct {
	*run

	// desired is the object as it is rendered, and live what the server has of it, or nil.
	desired, live *unstructured.Unstructured
	// last says that nobody will try again if live is out of date.
	last bool
}

// claim makes fields of others the controller's own, which the next apply removes then, and names the elements that
// they are in, or them. It also lets go of a failurePolicy that the controller has created, and names the keys of
// others that stay. If there is nothing of that it writes nothing.
func (w *work) claim(ctx context.Context, fields func(fieldpath.Path) bool) (removed, kept []string, err error) {
	m, err := managersOf(w.live)
	if err != nil {
		return nil, nil, err
	}
	removed = elements(w.desired, m.take(fields))
	m.release(w.failurePolicies())
	kept = m.strayKeys(w.desired)
	if !m.changed {
		return nil, kept, nil
	}
	return removed, kept, w.write(ctx, m)
}

// failurePolicies selects the fields that only istiod may own.
func (w *work) failurePolicies() func(fieldpath.Path) bool {
	if w.desired.GetKind() != validating {
		return func(fieldpath.Path) bool { return false }
	}
	return failurePolicies(w.desired)
}

const validating = "ValidatingWebhookConfiguration"

// write writes who owns the fields of the object. Nothing else changes, so nothing rolls out.
func (w *work) write(ctx context.Context, m *managers) error {
	before := w.live.DeepCopy()
	entries, err := m.fields()
	if err != nil {
		return err
	}
	w.live.SetManagedFields(entries)
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	return w.applier.live.Patch(ctx, w.live, patch, client.FieldOwner(FieldManager))
}

// apply applies an object, if a dry run says that it changes something. It is errStale if live is not what the dry run
// has changed.
func (w *work) apply(ctx context.Context, o *unstructured.Unstructured) (ssa.Action, error) {
	o, open := failOpen(o, w.live)
	server := &server{Client: w.applier.live, live: w.live, last: w.last}
	manager := ssa.NewResourceManager(server, nil, ssa.Owner{Field: FieldManager, Group: "lateen.io"})
	entry, err := manager.Apply(ctx, o, options())
	if err != nil {
		return "", err
	}
	if open && server.applied != nil {
		w.live = server.applied
		if _, _, err := w.claim(ctx, func(fieldpath.Path) bool { return false }); err != nil &&
			!apierrors.IsConflict(err) {
			return entry.Action, err // after a conflict, which is istiod's doing, the next look has to do
		}
	}
	if entry.Action == ssa.UnchangedAction && w.live != nil && w.owner != nil &&
		!metav1.IsControlledBy(w.live, w.owner) {
		// Drift of owner references alone is none for the library.
		return ssa.ConfiguredAction, w.applier.live.Apply(ctx, client.ApplyConfigurationFromUnstructured(o),
			client.ForceOwnership, client.FieldOwner(FieldManager))
	}
	return entry.Action, nil
}

// failOpen gives the validating webhooks that are new the failurePolicy Ignore, which istiod changes to Fail as soon as
// it answers. The API's default is Fail: until then nobody could write Istio's configuration. It reports whether there
// are any.
func failOpen(o, live *unstructured.Unstructured) (*unstructured.Unstructured, bool) {
	if o.GetKind() != validating {
		return o, false
	}
	out := o.DeepCopy()
	hooks, _, err := unstructured.NestedSlice(out.Object, webhooksField)
	if err != nil {
		return o, false
	}
	var existing []any
	if live != nil {
		existing, _, _ = unstructured.NestedSlice(live.Object, webhooksField)
	}
	opened := false
	for _, h := range hooks {
		hook, ok := h.(map[string]any)
		if !ok || hook[failurePolicy] != nil || slices.ContainsFunc(existing,
			func(e any) bool { return nameOf(e) == hook["name"] }) {
			continue
		}
		hook[failurePolicy] = "Ignore"
		opened = true
	}
	out.Object[webhooksField] = hooks
	return out, opened
}

const webhooksField = "webhooks"

func nameOf(item any) any {
	m, ok := item.(map[string]any)
	if !ok {
		return nil
	}
	return m["name"]
}

// server is a client of the server for the library, which gives it what was read already, keeps what it has applied,
// and applies nothing that is compared with an object which has changed since, unless it is the last time.
type server struct {
	client.Client

	live, applied *unstructured.Unstructured
	// tried is the resource version of the object that the dry run has changed, "" if there was none.
	tried string
	last  bool
}

// Get gives the object that was read.
func (s *server) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	out, ok := o.(*unstructured.Unstructured)
	switch {
	case !ok:
		return fmt.Errorf("%T is not unstructured", o)
	case s.live == nil:
		return apierrors.NewNotFound(schema.GroupResource{Resource: o.GetObjectKind().GroupVersionKind().Kind},
			key.Name)
	}
	s.live.DeepCopyInto(out)
	return nil
}

// Patch keeps what was applied.
func (s *server) Patch(ctx context.Context, o client.Object, patch client.Patch, options ...client.PatchOption) error {
	var all client.PatchOptions
	all.ApplyOptions(options)
	applies, dry := patch.Type() == types.ApplyPatchType, len(all.DryRun) > 0
	if applies && !dry && !s.last && s.tried != storedVersion(s.live) {
		return errStale
	}
	err := s.Client.Patch(ctx, o, patch, options...)
	if !applies || err != nil {
		return err
	}
	if out, ok := o.(*unstructured.Unstructured); dry {
		s.tried = o.GetResourceVersion()
	} else if ok {
		s.applied = out
	}
	return nil
}

func storedVersion(o *unstructured.Unstructured) string {
	if o == nil {
		return ""
	}
	return o.GetResourceVersion()
}
