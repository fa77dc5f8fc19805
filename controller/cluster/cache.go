package cluster

import (
	"context"
	"time"

	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/internal/manifest"
)

// CacheOptions limit the manager's cache to what the controller reads: Lateen's own resources, the metadata of
// namespaces, and of everything else only what Lateen renders.
func CacheOptions() cache.Options {
	ours := labels.SelectorFromSet(labels.Set{manifest.LabelManagedBy: manifest.ManagedBy})
	everything := cache.ByObject{Label: labels.Everything()}
	return cache.Options{
		DefaultLabelSelector: ours,
		DefaultTransform:     cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&v1.Istio{}: everything, &v1.IstioRevision{}: everything, &v1.IstioRevisionTag{}: everything,
			&v1.IstioCNI{}:                           everything,
			&autoscalingv2.HorizontalPodAutoscaler{}: {Label: ours, Transform: apply.KeepWriters},
			&corev1.Namespace{}:                      {Label: labels.Everything(), Transform: bare},
		},
	}
}

// bare drops all of a namespace but that it is there, or is being deleted: there may be thousands.
func bare(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	return &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion, DeletionTimestamp: m.DeletionTimestamp,
	}}, nil
}

// Metadata is an empty object of a kind, for reading its metadata from the cache.
func Metadata(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	o := &metav1.PartialObjectMetadata{}
	o.SetGroupVersionKind(kind)
	return o
}

// NamespaceKind is the kind of a namespace.
var NamespaceKind = corev1.SchemeGroupVersion.WithKind("Namespace")

// Unlabelled is how often an object is looked at of which no events come.
const Unlabelled = 30 * time.Second

// Find reads an object that the cache has if it is labelled as Lateen's. Somebody may have given it another label, or
// another installer may have it: then the server has it, and no event tells of it. again is when to look once more,
// zero for never; pipeline says that the object is not the controller's to bring, so it may come later without the
// label.
func Find(
	ctx context.Context, cached, live client.Reader, key client.ObjectKey, o client.Object, pipeline bool,
) (again time.Duration, err error) {
	if err = cached.Get(ctx, key, o); !apierrors.IsNotFound(err) {
		return 0, err
	}
	if err = live.Get(ctx, key, o); err == nil || pipeline {
		again = Unlabelled
	}
	return again, err
}
