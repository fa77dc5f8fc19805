package istiorevision

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

type watcher struct{}

func (watcher) Watch(context.Context, schema.GroupVersionKind) error { return nil }
func (watcher) Await(v1.ObjectReference, string, string)             {}

// server is a cluster with CRDs only, in which applying an object replaces it. refused is asked before each apply,
// if it is not nil.
func server(t *testing.T, refused func(name string, dryRun bool) error) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	scheme.AddKnownTypeWithName(crdKind, &unstructured.Unstructured{})
	scheme.AddKnownTypeWithName(crdKind.GroupVersion().WithKind("CustomResourceDefinitionList"),
		&unstructured.UnstructuredList{})
	return fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
		Patch: func(
			ctx context.Context, c client.WithWatch, o client.Object, _ client.Patch, opts ...client.PatchOption,
		) error {
			var options client.PatchOptions
			options.ApplyOptions(opts)
			applied, ok := o.(*unstructured.Unstructured)
			if !ok {
				return errors.New("not an unstructured object")
			}
			if refused != nil {
				if err := refused(o.GetName(), len(options.DryRun) > 0); err != nil {
					return err
				}
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

func newCRDs(c client.Client) *CRDs {
	return &CRDs{
		Client: c, Live: c, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: apply.New(c, c, watcher{}),
		Now: func() time.Time { return now },
	}
}

// crdRevision is a revision that needs CRDs of a version.
func crdRevision(name, version string, generation int64) *v1.IstioRevision {
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Generation: generation}}
	rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), "istio-system"
	rev.Spec.Values = &v1.Values{Raw: []byte(`{"global": {"istioNamespace": "istio-system"}, "revision": "` + name +
		`"}`)}
	return rev
}

// listCRDs are the CRDs in the cluster.
func listCRDs(t *testing.T, c client.Client) []unstructured.Unstructured {
	t.Helper()
	all := &unstructured.UnstructuredList{}
	all.SetGroupVersionKind(crdKind.GroupVersion().WithKind("CustomResourceDefinitionList"))
	if err := c.List(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	return all.Items
}

// TestCRDRefused: one CRD that must not be written holds up no other. It is tried again after a time that doubles,
// and not with each event.
func TestCRDRefused(t *testing.T) {
	t.Parallel()
	const denied = "wasmplugins.extensions.istio.io"
	forbidden, tries := true, 0
	c := server(t, func(name string, _ bool) error {
		if name != denied {
			return nil
		}
		tries++
		if forbidden {
			return apierrors.NewForbidden(schema.GroupResource{
				Group: crdKind.Group, Resource: "customresourcedefinitions",
			}, name, errors.New("no rule"))
		}
		return nil
	})
	clock := now
	crds := newCRDs(c)
	crds.Now = func() time.Time { return clock }
	rev := crdRevision("a", "v1.28.3", 1)
	const message = `Istio's CRDs: CustomResourceDefinition wasmplugins.extensions.istio.io: ` +
		`CustomResourceDefinition/wasmplugins.extensions.istio.io dry-run failed (Forbidden): ` +
		`customresourcedefinitions.apiextensions.k8s.io "wasmplugins.extensions.istio.io" is forbidden: no rule: the ` +
		`controller's ClusterRole does not allow it. Everything else is applied. Allow the controller to write them ` +
		`(config/rbac), or bring them yourself and start it with --install-istio-crds=false`
	for _, step := range []struct {
		reason       string
		after, again time.Duration
		allow        bool
		want         string
		tries, there int
	}{
		{"The rest is there.", 0, 5 * time.Second, false, message, 1, 13},
		{"An event is no reason to try again.", 4 * time.Second, time.Second, false, message, 1, 13},
		{"Time is.", time.Second, 10 * time.Second, false, message, 2, 13},
		{"It takes twice as long.", 9 * time.Second, time.Second, false, message, 2, 13},
		{"And again.", time.Second, 20 * time.Second, false, message, 3, 13},
		{"Once it is allowed, all is well.", 20 * time.Second, 0, true, "", 5, 14}, // a dry run before the write
	} {
		clock = clock.Add(step.after)
		forbidden = !step.allow
		found, err := crds.ensure(t.Context(), rev)
		got := ""
		if err != nil {
			got = err.Error()
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", step.reason, diff)
		}
		if found.again != step.again || tries != step.tries || len(listCRDs(t, c)) != step.there {
			t.Errorf("%s again after %s, want %s; %d tries, want %d; %d CRDs, want %d", step.reason, found.again,
				step.again, tries, step.tries,
				len(listCRDs(t, c)), step.there)
		}
	}
}

// TestCRDsWhileWritten: an event about a CRD that comes while CRDs are written waits for nobody, and is not lost. What
// is known of a revision goes with it.
func TestCRDsWhileWritten(t *testing.T) {
	t.Parallel()
	var crds *CRDs
	during := true
	crds = newCRDs(server(t, func(string, bool) error {
		if during {
			crds.Changed() // from the handler of the event that the write causes
		}
		return nil
	}))
	rev := crdRevision("a", "v1.28.3", 1)
	digest := ""
	if all, err := crds.Renderer.CRDs(rev); err == nil {
		digest = all.Digest
	}
	for i, want := range []int{0, 14, 14} { // what is noted by the look that comes after the write
		if _, err := crds.ensure(t.Context(), rev); err != nil {
			t.Fatal(err)
		}
		during = false
		if noted, known := crds.generations(digest); !known || len(noted) != want {
			t.Errorf("look %d: %d CRDs are noted, want %d", i, len(noted), want)
		}
	}
	if _, settled, err := crds.settledState(t.Context(), rev); err != nil || !settled {
		t.Errorf("all is there, and the next event is a reason to look: %v", err)
	}
	another := rev.DeepCopy()
	another.UID = "another"
	if _, known, _ := crds.recall(another); known {
		t.Error("another revision of the name has brought nothing")
	}
	crds.Forget(rev.Name)
	if _, known, _ := crds.recall(rev); known || len(crds.brought) > 0 {
		t.Error("a revision that is gone is remembered")
	}
}

// TestForeignCRDs: CRDs that somebody else applies are left to them, whatever their version; the revision is told
// if they are older than it needs. One that nobody has brought is brought.
func TestForeignCRDs(t *testing.T) {
	t.Parallel()
	const needs = "Istio's CustomResourceDefinitions are older than Istio v1.28.3 needs: " +
		"authorizationpolicies.security.istio.io (%s) and 12 more; the controller leaves them to whoever applies " +
		"them: update them there"
	ssa := func(manager string, operation metav1.ManagedFieldsOperationType) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) { annotate(o, writtenBy, manager+" "+string(operation)) }
	}
	marked := func(key, value string) func(*unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) { annotate(o, key, value) }
	}
	for _, c := range []struct {
		reason, version string
		by              func(*unstructured.Unstructured)
		outdated        string
		writes          int // CRDs that were written; one is missing from the beginning
		again           time.Duration
	}{
		{
			"Flux applies older ones.", "v1.27.0", ssa("kustomize-controller", metav1.ManagedFieldsOperationApply),
			"v1.27.0, applied by kustomize-controller", 1, foreignPeriod,
		},
		{
			"Argo CD does, client-side, and they do not say what they are.", "",
			marked("argocd.argoproj.io/tracking-id", "crds:x"), "of no stated version, applied by Argo CD", 1,
			foreignPeriod,
		},
		{
			"They are of the same minor.", "v1.28.0", ssa("kubectl", metav1.ManagedFieldsOperationApply), "", 1,
			foreignPeriod,
		},
		{
			"An installer has brought them: they are taken over.", "v1.27.0",
			ssa("helm", metav1.ManagedFieldsOperationUpdate), "", 14, 0,
		},
	} {
		writes := 0
		c0 := server(t, func(_ string, dryRun bool) error {
			if !dryRun {
				writes++
			}
			return nil
		})
		setup := newCRDs(c0)
		if _, err := setup.ensure(t.Context(), crdRevision("setup", "v1.28.3", 1)); err != nil {
			t.Fatal(err)
		}
		for _, o := range listCRDs(t, c0) {
			if o.GetName() == "wasmplugins.extensions.istio.io" {
				if err := c0.Delete(t.Context(), &o); err != nil {
					t.Fatal(err)
				}
				continue
			}
			o.SetAnnotations(map[string]string{manifest.AnnotationOwner: "Istio/default"})
			if c.version != "" {
				annotate(&o, manifest.AnnotationVersion, c.version)
			}
			o.SetLabels(nil)
			c.by(&o)
			if err := c0.Update(t.Context(), &o); err != nil {
				t.Fatal(err)
			}
		}
		writes = 0
		clock := now
		crds := newCRDs(c0)
		crds.Now, crds.Live = func() time.Time { return clock }, managed(c0)
		want := ""
		if c.outdated != "" {
			want = fmt.Sprintf(needs, c.outdated)
		}
		for i := range 3 { // there is no fight: later looks write nothing
			found, err := crds.ensure(t.Context(), crdRevision("a", "v1.28.3", 1))
			if err != nil {
				t.Fatalf("%s %v", c.reason, err)
			}
			if diff := cmp.Diff(want, found.outdated); diff != "" {
				t.Errorf("%s Look %d: -want +got:\n%s", c.reason, i, diff)
			}
			if writes != c.writes || found.again != c.again {
				t.Errorf("%s Look %d: %d CRDs written, want %d; again after %s, want %s", c.reason, i, writes, c.writes,
					found.again, c.again)
			}
			clock = clock.Add(found.again)
		}
	}
}

// writtenBy is an annotation that says who has written a CRD, since the fake server keeps its own account of that.
const writtenBy = "test/written-by"

// managed gives CRDs the managed fields that they say they have.
func managed(c client.Client) client.Client {
	return interceptor.NewClient(c.(client.WithWatch), interceptor.Funcs{Get: func(
		ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
	) error {
		err := c.Get(ctx, key, o, opts...)
		if manager, operation, ok := strings.Cut(o.GetAnnotations()[writtenBy], " "); ok {
			o.SetManagedFields(fields(manager, metav1.ManagedFieldsOperationType(operation), ""))
		}
		return err
	}})
}

func fields(
	manager string, operation metav1.ManagedFieldsOperationType, subresource string,
) []metav1.ManagedFieldsEntry {
	return []metav1.ManagedFieldsEntry{{
		Manager: manager, Operation: operation, Subresource: subresource, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{"f:group":{}}}`),
	}}
}

// TestKeptBy is who applies a CRD again and again.
func TestKeptBy(t *testing.T) {
	t.Parallel()
	const once, again = metav1.ManagedFieldsOperationUpdate, metav1.ManagedFieldsOperationApply
	for _, c := range []struct {
		reason string
		have   metav1.ObjectMeta
		want   string
	}{
		{"Nobody knows.", metav1.ObjectMeta{}, ""},
		{"Flux.", metav1.ObjectMeta{ManagedFields: fields("kustomize-controller", again, "")}, "kustomize-controller"},
		{
			"A pipeline, with kubectl apply --server-side.",
			metav1.ObjectMeta{ManagedFields: fields("kubectl", again, "")},
			"kubectl",
		},
		{"kubectl apply, once upon a time.", metav1.ObjectMeta{
			ManagedFields: fields("kubectl-client-side-apply", once, ""),
		}, ""},
		{"Somebody has edited it.", metav1.ObjectMeta{ManagedFields: fields("kubectl-edit", once, "")}, ""},
		{"Helm.", metav1.ObjectMeta{ManagedFields: fields("helm", once, "")}, ""},
		{"Helm 4, which applies server-side.", metav1.ObjectMeta{ManagedFields: fields("helm", again, "")}, ""},
		{"istioctl.", metav1.ObjectMeta{ManagedFields: fields("istio-operator", again, "")}, ""},
		{"The Sail Operator.", metav1.ObjectMeta{ManagedFields: fields("sail-operator", once, "")}, ""},
		{"This controller.", metav1.ObjectMeta{ManagedFields: fields(apply.FieldManager, again, "")}, ""},
		{"A status is no spec.", metav1.ObjectMeta{ManagedFields: fields("x", again, "status")}, ""},
		{
			"Two have written in turn, before.",
			metav1.ObjectMeta{
				ManagedFields: append(fields(apply.FieldManager, again, ""),
					fields("argocd-controller", again, "")...),
			},
			"argocd-controller",
		},
		{"Argo CD, client-side.", metav1.ObjectMeta{
			Annotations: map[string]string{"argocd.argoproj.io/tracking-id": "x"},
		}, "Argo CD"},
		{"Flux' HelmRelease.", metav1.ObjectMeta{
			Labels:        map[string]string{"helm.toolkit.fluxcd.io/name": "x"},
			ManagedFields: fields("helm", once, ""),
		}, "Flux"},
		{"A Kustomization of Flux.", metav1.ObjectMeta{
			Labels: map[string]string{"kustomize.toolkit.fluxcd.io/name": "x"},
		}, "Flux"},
		{"kpt live.", metav1.ObjectMeta{Annotations: map[string]string{"config.k8s.io/owning-inventory": "x"}}, "kpt"},
	} {
		if got := keptBy(&metav1.PartialObjectMetadata{ObjectMeta: c.have}); got != c.want {
			t.Errorf("%s got %q, want %q", c.reason, got, c.want)
		}
	}
}

// annotate adds an annotation to an object.
func annotate(o *unstructured.Unstructured, key, value string) {
	all := o.GetAnnotations()
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	o.SetAnnotations(all)
}

// TestCRDs goes through what may become of Istio's CRDs while the controller runs.
func TestCRDs(t *testing.T) {
	t.Parallel()
	c := server(t, nil)
	crds := newCRDs(c)
	list := func() []unstructured.Unstructured { return listCRDs(t, c) }
	ensure := func(name, version string, generation int64) func() error {
		rev := crdRevision(name, version, generation)
		return func() error {
			_, err := crds.ensure(t.Context(), rev)
			return err
		}
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
		{"They are deleted, and the controller is told.", func() error {
			defer crds.Changed()
			return each(func(o *unstructured.Unstructured) error { return c.Delete(t.Context(), o) })()
		}, "", "", false},
		{
			"The older one, which had none of its own among them, brings them back.", ensure("old", "v1.27.0", 1), "v1.27.0",
			"IstioRevision/old", false,
		},
		{"They are deleted.", each(func(o *unstructured.Unstructured) error {
			return c.Delete(t.Context(), o)
		}), "", "", false},
		{
			"Whoever comes first brings them back, and be it the older one.", ensure("old", "v1.27.0", 2), "v1.27.0",
			"IstioRevision/old", false,
		},
		{
			"A revision that has brought newer ones before makes them new again.", ensure("a", "v1.28.3", 1), "v1.28.3",
			"IstioRevision/a", false,
		},
		{"Somebody brings older ones.", each(func(o *unstructured.Unstructured) error {
			o.SetAnnotations(map[string]string{
				manifest.AnnotationVersion: "v1.24.0", manifest.AnnotationOwner: "IstioRevision/a",
			})
			return c.Update(t.Context(), o)
		}), "v1.24.0", "IstioRevision/a", false},
		{
			"A new revision does not take it for granted that they are those that were there.", ensure("c", "v1.28.3", 1),
			"v1.28.3", "IstioRevision/c", false,
		},
		{"That is enough for another one.", ensure("b", "v1.28.3", 2), "v1.28.3", "IstioRevision/c", false},
		{"Somebody changes them.", each(func(o *unstructured.Unstructured) error {
			o.SetGeneration(o.GetGeneration() + 1)
			o.Object[spec] = "edited"
			return c.Update(t.Context(), o)
		}), "v1.28.3", "IstioRevision/c", true},
		{
			"The next revision that comes or changes restores them.", ensure("b", "v1.28.3", 3), "v1.28.3", "IstioRevision/c",
			false,
		},
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
