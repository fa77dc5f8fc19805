// Package apply writes objects into the cluster and takes them out again: server-side apply under one field manager, so
// that whatever others own in an object stays theirs (istiod: caBundle and failurePolicy of its webhooks), and deletion
// of what is ours only. What the objects should be is the caller's business.
//
// An object that is as it should be costs no request: Applier remembers for each object the state in which a dry run
// found nothing to change, and looks for that state in the cache.
package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/fluxcd/pkg/ssa"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/metrics"
)

// FieldManager owns what the controller applies.
const FieldManager = "lateen-controller"

// Ignore is the label or annotation that makes the controller leave an object alone, with the value "true", as the Sail
// Operator does.
const Ignore = "sailoperator.io/ignore"

// Watcher is told of each kind of object before it is applied, so that changes of it are noticed and the cache has it.
type Watcher interface {
	Watch(ctx context.Context, kind schema.GroupVersionKind) error
	// Await makes the resource of a kind and name of sailoperator.io be reconciled when the object changes, once.
	Await(object v1.ObjectReference, kind, name string)
}

// Applier applies and deletes. It is safe for concurrent use, but not for the same owner.
type Applier struct {
	live    client.Client
	cached  client.Reader
	watcher Watcher

	mutex sync.Mutex
	// settled says for each owner which objects need no look, and in which state they are then.
	settled map[types.UID]settled
}

type settled struct {
	digest string
	states map[v1.ObjectReference]string
	// kept are the keys of others in objects that somebody was told of.
	kept map[v1.ObjectReference][]string
}

// New makes an Applier of a client that asks the server and a reader that asks the cache.
func New(live client.Client, cached client.Reader, watcher Watcher) *Applier {
	return &Applier{live: live, cached: cached, watcher: watcher, settled: map[types.UID]settled{}}
}

// Change is what became of an object that was not as it should be.
type Change struct {
	Object v1.ObjectReference
	// Action is created, configured, deleted or skipped.
	Action ssa.Action
	// Removed are the elements of lists, and other fields, that others had added.
	Removed []string
}

func (c Change) String() string { return c.Object.String() + " " + string(c.Action) }

// logChange writes a change into the log, once for each.
func logChange(ctx context.Context, c Change) {
	fields := []any{"object", c.Object.String(), "action", string(c.Action)}
	if len(c.Removed) > 0 {
		fields = append(fields, "removed", c.Removed)
	}
	log.FromContext(ctx).Info("object "+string(c.Action), fields...)
}

// options take over what other installers have created under the same names: they no longer own a field, so that what
// Lateen does not render goes.
func options() ssa.ApplyOptions {
	o := ssa.DefaultApplyOptions()
	o.ExclusionSelector = map[string]string{Ignore: "true"}
	o.Cleanup = ssa.ApplyCleanupOptions{
		Annotations: []string{
			"meta.helm.sh/release-name", "meta.helm.sh/release-namespace", "kubectl.kubernetes.io/last-applied-configuration",
		},
		FieldManagers: []ssa.FieldManager{
			{Name: "helm", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "helm", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "sail-operator", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "istio-operator", OperationType: metav1.ManagedFieldsOperationApply}, // istioctl install
			{Name: "kubectl-client-side-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
			{Name: "kubectl", OperationType: metav1.ManagedFieldsOperationApply},
			{Name: "before-first-apply", OperationType: metav1.ManagedFieldsOperationUpdate},
		},
	}
	return o
}

// Set is all that one resource has in the cluster.
type Set struct {
	// Owner becomes the controller of the objects.
	Owner client.Object
	// Objects are what there should be, in the order in which they can be applied; Digest identifies their content.
	Objects []*unstructured.Unstructured
	Digest  string
	// Previous is the inventory of the last time.
	Previous v1.Inventory
	// Left are objects that Owner may have and that another resource is about to take: they are neither applied nor
	// deleted.
	Left v1.Inventory
	// Takes reports whether Owner may have what another resource of Lateen's has; nil for always.
	Takes Precedence
	// Version of Istio that the objects are of. Objects of other installers that are of another one are taken over only
	// with TakeOver.
	Version  string
	TakeOver bool
	// Note saves an inventory in the status of the owner.
	Note func(v1.Inventory) error
}

// Inventory lists the objects.
func (s Set) Inventory() v1.Inventory {
	var out v1.Inventory
	for _, o := range s.Objects {
		out = append(out, referenceTo(o))
	}
	return out.Union(nil)
}

func referenceTo(o *unstructured.Unstructured) v1.ObjectReference {
	return v1.ObjectReference{
		APIVersion: o.GetAPIVersion(), Kind: o.GetKind(), Namespace: o.GetNamespace(), Name: o.GetName(),
	}
}

// Forget drops what is known about the objects of an owner that is gone.
func (a *Applier) Forget(uid types.UID) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	delete(a.settled, uid)
}

func (a *Applier) known(uid types.UID, digest string) map[v1.ObjectReference]string {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	if s := a.settled[uid]; s.digest == digest && uid != "" {
		return maps.Clone(s.states)
	}
	return map[v1.ObjectReference]string{}
}

func (a *Applier) remember(uid types.UID, digest string, states map[v1.ObjectReference]string) {
	if uid == "" {
		return
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	a.settled[uid] = settled{digest, states, a.settled[uid].kept}
}

// news keeps which keys of others an object of an owner has, and gives those that were not known before.
func (a *Applier) news(uid types.UID, ref v1.ObjectReference, keys []string) []string {
	if uid == "" {
		return nil
	}
	a.mutex.Lock()
	defer a.mutex.Unlock()
	s := a.settled[uid]
	if s.kept == nil {
		s.kept = map[v1.ObjectReference][]string{}
		a.settled[uid] = s
	}
	before := s.kept[ref]
	s.kept[ref] = keys
	return slices.DeleteFunc(slices.Clone(keys), func(k string) bool { return slices.Contains(before, k) })
}

func (a *Applier) reference(owner client.Object) (metav1.OwnerReference, error) {
	gvk, err := apiutil.GVKForObject(owner, a.live.Scheme())
	if err != nil {
		return metav1.OwnerReference{}, err
	}
	return *metav1.NewControllerRef(owner, gvk), nil
}

// KeepWriters is a transformation for the cache that keeps, of metadata.managedFields, who has written what but the
// status. A HorizontalPodAutoscaler has no generation, and a status that changes all the time.
func KeepWriters(o any) (any, error) {
	if m, err := meta.Accessor(o); err == nil {
		m.SetManagedFields(slices.DeleteFunc(m.GetManagedFields(), func(f metav1.ManagedFieldsEntry) bool {
			return f.Subresource != ""
		}))
	}
	return o, nil
}

// state describes what the cache has of an object so that a change of what we apply changes it: all metadata that we
// may set, and the generation, which counts changes of everything but metadata and status. Kinds without a generation
// change rarely; theirs is the resource version, or who has written what if the cache has it. It is empty if the cache
// has no such object.
func (a *Applier) state(ctx context.Context, ref v1.ObjectReference) (*metav1.PartialObjectMetadata, string, error) {
	if err := a.watcher.Watch(ctx, ref.GroupVersionKind()); err != nil {
		return nil, "", err
	}
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(ref.GroupVersionKind())
	if err := a.cached.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, o); err != nil {
		return nil, "", client.IgnoreNotFound(err)
	}
	if o.Generation == 0 && len(o.ManagedFields) == 0 {
		return o, string(o.UID) + "@" + o.ResourceVersion, nil
	}
	var b strings.Builder
	b.WriteString(string(o.UID) + "#" + strconv.FormatInt(o.Generation, 10))
	for _, m := range []map[string]string{o.Labels, o.Annotations} {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			fmt.Fprintf(&b, " %q=%q", k, m[k])
		}
	}
	for _, r := range o.OwnerReferences {
		fmt.Fprintf(&b, " %s/%t", r.UID, r.Controller != nil && *r.Controller)
	}
	for _, f := range o.ManagedFields {
		fmt.Fprintf(&b, " %s %s %s %s", f.Manager, f.Operation, f.Time, f.FieldsV1)
	}
	return o, b.String(), nil
}

// explain says in an error what to do, where the server's message does not.
func explain(err error) error {
	switch {
	case apierrors.IsInvalid(err) && (strings.Contains(err.Error(), "field is immutable") ||
		strings.Contains(err.Error(), "cannot change roleRef")):
		return fmt.Errorf("%w: it cannot be changed in place. Delete the object, and the controller makes it anew", err)
	case meta.IsNoMatchError(err):
		return fmt.Errorf("%w: install the CustomResourceDefinition first, or turn the value off that asks for this object",
			err)
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w: the controller's ClusterRole does not allow it", err)
	}
	return err
}

// Delete deletes what owner controls among the objects, webhooks first, so that they do not wait for a control plane
// that is gone. It gives back what is still there and ours: what is to be ignored, and what could not be deleted.
// Objects that somebody else controls, or nobody, are left alone.
func (a *Applier) Delete(
	ctx context.Context, owner client.Object, objects v1.Inventory,
) (remaining v1.Inventory, changes []Change, err error) {
	return a.delete(ctx, objects, func(o *metav1.PartialObjectMetadata) bool { return metav1.IsControlledBy(o, owner) })
}

// Disown makes the objects nobody's: they keep all of their fields, but the controller owns none of those any more, and
// owner does not take them with it. It is for objects that a pipeline has begun to render: as long as the controller
// owns a field too, nobody else can remove it.
func (a *Applier) Disown(ctx context.Context, owner client.Object, objects v1.Inventory) error {
	var errs []error
	for _, ref := range objects {
		if err := a.disownOne(ctx, owner, ref); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", ref, explain(err)))
		}
	}
	return errors.Join(errs...)
}

func (a *Applier) disownOne(ctx context.Context, owner client.Object, ref v1.ObjectReference) error {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(ref.GroupVersionKind())
	err := a.live.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, o)
	if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
		return nil
	}
	if err != nil {
		return err
	}
	before := o.DeepCopy()
	o.ManagedFields = slices.DeleteFunc(o.ManagedFields, func(f metav1.ManagedFieldsEntry) bool {
		return f.Manager == FieldManager
	})
	o.OwnerReferences = slices.DeleteFunc(o.OwnerReferences, func(r metav1.OwnerReference) bool {
		return r.UID == owner.GetUID()
	})
	if len(o.ManagedFields) == len(before.ManagedFields) && len(o.OwnerReferences) == len(before.OwnerReferences) {
		return nil
	}
	if len(o.ManagedFields) == 0 && len(before.ManagedFields) > 0 {
		o.ManagedFields = []metav1.ManagedFieldsEntry{{}} // the server's way of saying: forget all of them
	}
	return a.live.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// DeleteStamped deletes the objects of some kinds that have the labels and are what mine says, in the same order. They
// are those that a GitOps tool has applied.
func (a *Applier) DeleteStamped(
	ctx context.Context, kinds []schema.GroupVersionKind, labels client.MatchingLabels,
	mine func(*metav1.PartialObjectMetadata) bool,
) (remaining v1.Inventory, changes []Change, err error) {
	var found v1.Inventory
	for _, kind := range kinds {
		list := &metav1.PartialObjectMetadataList{}
		list.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
		if err := a.live.List(ctx, list, labels); err != nil {
			if meta.IsNoMatchError(err) {
				continue
			}
			return nil, nil, fmt.Errorf("listing %s: %w", kind.Kind, explain(err))
		}
		for _, o := range list.Items {
			if mine(&o) {
				found = append(found, v1.ObjectReference{
					APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Namespace: o.Namespace, Name: o.Name,
				})
			}
		}
	}
	return a.delete(ctx, found, mine)
}

func (a *Applier) delete(
	ctx context.Context, objects v1.Inventory, mine func(*metav1.PartialObjectMetadata) bool,
) (remaining v1.Inventory, changes []Change, err error) {
	ordered := slices.Clone(objects)
	slices.SortStableFunc(ordered, func(x, y v1.ObjectReference) int { return rank(x) - rank(y) })
	var errs []error
	for _, ref := range ordered {
		deleted, left, err := a.deleteOne(ctx, ref, mine)
		if err != nil {
			metrics.Applied(ref.Kind, metrics.Failed)
			errs = append(errs, fmt.Errorf("%s: %w", ref, explain(err)))
		}
		if left {
			remaining = append(remaining, ref)
		}
		if deleted {
			metrics.Applied(ref.Kind, string(ssa.DeletedAction))
			change := Change{Object: ref, Action: ssa.DeletedAction}
			logChange(ctx, change)
			changes = append(changes, change)
		}
	}
	return remaining.Union(nil), changes, errors.Join(errs...)
}

func (a *Applier) deleteOne(
	ctx context.Context, ref v1.ObjectReference, mine func(*metav1.PartialObjectMetadata) bool,
) (deleted, left bool, err error) {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(ref.GroupVersionKind())
	err = a.live.Get(ctx, client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}, o)
	switch {
	case apierrors.IsNotFound(err) || meta.IsNoMatchError(err):
		return false, false, nil
	case err != nil:
		return false, true, err
	case !mine(o):
		return false, false, nil
	case o.Labels[Ignore] == "true" || o.Annotations[Ignore] == "true":
		return false, true, nil
	case o.DeletionTimestamp != nil:
		return false, false, nil // it goes, as soon as whoever holds it lets go
	}
	err = client.IgnoreNotFound(a.live.Delete(ctx, o, client.Preconditions{UID: &o.UID},
		client.PropagationPolicy(metav1.DeletePropagationBackground)))
	return err == nil, err != nil, err
}

// webhooks is the highest rank of what the API server asks before it admits an object.
const webhooks = 1

// rank orders deletions.
func rank(r v1.ObjectReference) int {
	switch r.Kind {
	case "MutatingWebhookConfiguration":
		return 0
	case "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding":
		return webhooks
	case "Deployment", "DaemonSet":
		return 2
	default: // what those need while they end
		return 3
	}
}
