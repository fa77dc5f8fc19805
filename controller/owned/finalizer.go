package owned

import (
	"context"
	"fmt"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
)

const (
	// Finalizer holds a resource until its objects are deleted in a good order.
	Finalizer = "lateen.io/cleanup"
	// SailFinalizer is that of the Sail Operator, on resources that were its own: nobody else would take it off.
	SailFinalizer = "sailoperator.io/sail-operator"
	// DeletionPatience is how long a deletion is tried again when it fails. Then the garbage collector has to do.
	DeletionPatience = time.Minute
)

// EnsureFinalizer puts the finalizer on a resource whose objects the controller applies, and takes it off one whose
// objects it does not. The Sail Operator's goes in any case: nobody else would take it off, once that is gone.
func EnsureFinalizer(ctx context.Context, c client.Client, o client.Object, applies bool) error {
	before, ok := o.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Errorf("a copy of %T is none", o)
	}
	changed := controllerutil.RemoveFinalizer(o, SailFinalizer)
	if applies {
		changed = controllerutil.AddFinalizer(o, Finalizer) || changed
	} else {
		changed = controllerutil.RemoveFinalizer(o, Finalizer) || changed
	}
	if !changed {
		return nil
	}
	return c.Patch(ctx, o, client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{}))
}

// RemoveFinalizers takes our finalizers off a resource that is being deleted.
func RemoveFinalizers(ctx context.Context, c client.Client, o client.Object) error {
	return client.IgnoreNotFound(EnsureFinalizer(ctx, c, o, false))
}
