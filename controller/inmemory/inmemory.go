// Package inmemory adds to the fake client what tests of the controller need of a cluster and it does not have: dry
// runs of server-side apply, and a cache that has only what is Lateen's.
package inmemory

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/lateen-io/lateen/internal/manifest"
)

// DryRun applies an object, as a field manager, to a copy of what a cluster has of it.
func DryRun(ctx context.Context, store client.Client, o client.Object, p client.Patch, manager string) error {
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(o.GetObjectKind().GroupVersionKind())
	copied := fake.NewClientBuilder().WithScheme(store.Scheme()).WithReturnManagedFields()
	err := store.Get(ctx, client.ObjectKeyFromObject(o), live)
	if client.IgnoreNotFound(err) != nil {
		return err
	}
	if err == nil {
		copied = copied.WithObjects(live)
	}
	err = copied.Build().Patch(ctx, o, p, client.FieldOwner(manager), client.ForceOwnership)
	o.SetResourceVersion(live.GetResourceVersion())
	return err
}

// Cache is a cache of a cluster, which has of objects that are read by their metadata only those with Lateen's label.
type Cache struct{ client.Reader }

// Get reads an object.
func (c Cache) Get(ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
	err := c.Reader.Get(ctx, key, o, opts...)
	if _, metadata := o.(*metav1.PartialObjectMetadata); metadata && err == nil &&
		o.GetLabels()[manifest.LabelManagedBy] != manifest.ManagedBy {
		return apierrors.NewNotFound(schema.GroupResource{}, key.Name)
	}
	return err
}
