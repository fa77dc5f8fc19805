package apply

import (
	"context"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// Precedence reports whether the resource that objects are applied for may take one from another resource of Lateen's,
// which has it.
type Precedence func(holder client.Object) (bool, error)

// HeldError says that another resource of Lateen's has an object, and keeps it.
type HeldError struct {
	Object v1.ObjectReference
	// Holder is the kind and name of the resource.
	Holder string
}

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s belongs to %s, which has precedence; rename one of the two, or delete one", e.Object,
		e.Holder)
}

// held is a HeldError if another resource of Lateen's that still exists has an object, and the owner has no precedence.
// live is what the server or the cache has of the object. When that changes, the owner is reconciled again.
func (r *run) held(
	ctx context.Context, ref v1.ObjectReference, desired *unstructured.Unstructured, live metav1.Object,
) error {
	if r.owner == nil || metav1.IsControlledBy(live, r.owner) || render.Shared(ref.Kind, ref.Name) {
		return nil // what several rely on goes from one to the other
	}
	holder, err := r.holder(ctx, desired, live)
	if err != nil || holder == nil || holder.GetUID() == r.owner.GetUID() || r.takes == nil {
		return err
	}
	takes, err := r.takes(holder)
	if err != nil || takes {
		return err
	}
	kind, err := apiutil.GVKForObject(holder, r.applier.live.Scheme())
	if err != nil {
		return err
	}
	own, err := apiutil.GVKForObject(r.owner, r.applier.live.Scheme())
	if err != nil {
		return err
	}
	r.applier.watcher.Await(ref, own.Kind, r.owner.GetName())
	return &HeldError{Object: ref, Holder: kind.Kind + " " + holder.GetName()}
}

// holder is the resource of Lateen's that has an object: its controller, or, for one that a pipeline has rendered, the
// one that it is stamped with, unless that is what it should be stamped with. It is nil if there is none, or it is
// gone.
func (r *run) holder(
	ctx context.Context, desired *unstructured.Unstructured, live metav1.Object,
) (client.Object, error) {
	if ref := metav1.GetControllerOf(live); ref != nil {
		if !strings.HasPrefix(ref.APIVersion, v1.GroupVersion.Group+"/") {
			return nil, nil
		}
		o, err := r.resource(ctx, ref.Kind, ref.Name)
		if err != nil || o == nil || o.GetUID() != ref.UID {
			return nil, err
		}
		return o, nil
	}
	stamp := live.GetAnnotations()[manifest.AnnotationOwner]
	if stamp == desired.GetAnnotations()[manifest.AnnotationOwner] {
		return nil, nil
	}
	kind, name, _ := strings.Cut(stamp, "/")
	return r.resource(ctx, kind, name)
}

// resource is one of Lateen's, as the cache has it; nil if there is none.
func (r *run) resource(ctx context.Context, kind, name string) (client.Object, error) {
	if name == "" {
		return nil, nil
	}
	gvk := v1.GroupVersion.WithKind(kind)
	if !r.applier.live.Scheme().Recognizes(gvk) {
		return nil, nil
	}
	empty, err := r.applier.live.Scheme().New(gvk)
	if err != nil {
		return nil, err
	}
	o, ok := empty.(client.Object)
	if !ok {
		return nil, nil
	}
	if err := r.applier.cached.Get(ctx, client.ObjectKey{Name: name}, o); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return o, nil
}
