package istiorevision

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/desired"
	"github.com/lateen-io/lateen/internal/manifest"
)

type watcher struct{}

func (watcher) Watch(context.Context, schema.GroupVersionKind) error { return nil }

// server is a cluster with CRDs only, in which applying an object replaces it.
func server(t *testing.T) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	scheme.AddKnownTypeWithName(crdKind, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(crdKind.GroupVersion().WithKind("CustomResourceDefinitionList"), &unstructured.UnstructuredList{})
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, _ client.Patch, opts ...client.PatchOption) error {
			var options client.PatchOptions
			options.ApplyOptions(opts)
			applied, ok := o.(*unstructured.Unstructured)
			if !ok {
				return errors.New("not an unstructured object")
			}
			applied.SetManagedFields(nil)
			have := &unstructured.Unstructured{}
			have.SetGroupVersionKind(crdKind)
			err := c.Get(ctx, client.ObjectKeyFromObject(o), have)
			switch {
			case client.IgnoreNotFound(err) != nil || err != nil && len(options.DryRun) > 0:
				return client.IgnoreNotFound(err)
			case err != nil:
				return c.Create(ctx, applied)
			}
			applied.SetResourceVersion(have.GetResourceVersion())
			if len(options.DryRun) > 0 {
				return nil
			}
			applied.SetGeneration(have.GetGeneration() + 1)
			return c.Update(ctx, applied)
		},
	}).Build()
}

// TestCRDs goes through what may become of Istio's CRDs while the controller runs.
func TestCRDs(t *testing.T) {
	t.Parallel()
	c := server(t)
	crds := &CRDs{Client: c, Live: c, Pipeline: &desired.Pipeline{KubeVersion: "v1.34.0"}, Applier: apply.New(c, c, watcher{})}
	list := func() []unstructured.Unstructured {
		all := &unstructured.UnstructuredList{}
		all.SetGroupVersionKind(crdKind.GroupVersion().WithKind("CustomResourceDefinitionList"))
		if err := c.List(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		return all.Items
	}
	ensure := func(name, version string, generation int64) func() error {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: generation}}
		rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), "istio-system"
		rev.Spec.Values = &v1.Values{Raw: []byte(`{"global": {"istioNamespace": "istio-system"}, "revision": "` + name + `"}`)}
		return func() error { return crds.ensure(t.Context(), rev) }
	}
	each := func(f func(o *unstructured.Unstructured) error) func() error {
		return func() error {
			for _, o := range list() {
				if err := f(&o); err != nil {
					return err
				}
			}
			return nil
		}
	}
	const spec = "spec"
	for _, step := range []struct {
		reason string
		do     func() error
		// version and owner are those of all CRDs afterwards; edited says that somebody's change of them is there.
		version, owner string
		edited         bool
	}{
		{"The first revision brings them.", ensure("a", "v1.28.3", 1), "v1.28.3", "IstioRevision/a", false},
		{"The second of the same version leaves them.", ensure("b", "v1.28.3", 1), "v1.28.3", "IstioRevision/a", false},
		{"An older one leaves them as well.", ensure("old", "v1.27.0", 1), "v1.28.3", "IstioRevision/a", false},
		{"They are deleted.", each(func(o *unstructured.Unstructured) error { return c.Delete(t.Context(), o) }), "", "", false},
		{"Whoever comes first brings them back, and be it the older one.", ensure("old", "v1.27.0", 2), "v1.27.0", "IstioRevision/old", false},
		{"A revision that has brought newer ones before makes them new again.", ensure("a", "v1.28.3", 1), "v1.28.3", "IstioRevision/a", false},
		{"Somebody brings older ones.", each(func(o *unstructured.Unstructured) error {
			o.SetAnnotations(map[string]string{manifest.AnnotationVersion: "v1.24.0", manifest.AnnotationOwner: "IstioRevision/a"})
			return c.Update(t.Context(), o)
		}), "v1.24.0", "IstioRevision/a", false},
		{"A new revision does not take it for granted that they are those that were there.", ensure("c", "v1.28.3", 1), "v1.28.3", "IstioRevision/c", false},
		{"That is enough for another one.", ensure("b", "v1.28.3", 2), "v1.28.3", "IstioRevision/c", false},
		{"Somebody changes them.", each(func(o *unstructured.Unstructured) error {
			o.SetGeneration(o.GetGeneration() + 1)
			o.Object[spec] = "edited"
			return c.Update(t.Context(), o)
		}), "v1.28.3", "IstioRevision/c", true},
		{"The next revision that comes or changes restores them.", ensure("b", "v1.28.3", 3), "v1.28.3", "IstioRevision/c", false},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		want, got := map[[2]string]bool{}, map[[2]string]bool{}
		if step.version != "" {
			want[[2]string{step.version, step.owner}] = true
		}
		edited := false
		for _, o := range list() {
			got[[2]string{o.GetAnnotations()[manifest.AnnotationVersion], o.GetAnnotations()[manifest.AnnotationOwner]}] = true
			edited = edited || o.Object[spec] == "edited"
		}
		if diff := cmp.Diff(want, got); diff != "" || edited != step.edited {
			t.Errorf("%s\nedited: %t; versions and owners, -want +got:\n%s", step.reason, edited, diff)
		}
	}
}
