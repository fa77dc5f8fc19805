package istiorevision

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/usage"
)

// rendered is a revision that a pipeline rendered for the Istio mesh.
func rendered() *v1.IstioRevision {
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
		Name: "mesh-v1-28-3", UID: "rev", Annotations: map[string]string{
			manifest.AnnotationRenderedBy: "render-istio", manifest.AnnotationOwner: "Istio/mesh",
		},
	}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.28.3", "mesh"
	return rev
}

// TestAbandonedRules decides about revisions whose Istio is gone.
func TestAbandonedRules(t *testing.T) {
	t.Parallel()
	const gone = "its Istio and its namespace mesh are gone"
	ago := func(d time.Duration) *metav1.Time { return &metav1.Time{Time: now.Add(-d)} }
	unused := func(d time.Duration) v1.Conditions {
		return v1.Conditions{{Type: v1.ConditionInUse, Status: metav1.ConditionFalse, LastTransitionTime: *ago(d)}}
	}
	for _, c := range []struct {
		reason   string
		use      usage.InUse
		useless  bool
		inactive *metav1.Time
		inUse    v1.Conditions
		values   string
		want     prune.Verdict
	}{
		{
			reason: "The Istio has just gone: it may be moved from one package to another.", use: usage.False,
			inUse: unused(time.Hour),
			want: prune.Verdict{
				Due: now.Add(30 * time.Second),
				Reason: "nothing uses it, and it has not been the active revision since 2026-11-22T13:00:00Z; it " +
					"goes at 2026-11-22T13:00:30Z",
			},
		},
		{
			reason: "It has been gone for the grace period, and nothing uses the revision.", use: usage.False,
			inUse: unused(time.Hour), inactive: ago(time.Minute),
			want: prune.Verdict{
				Delete: true,
				Reason: "nothing uses it, and it has not been the active revision since 2026-11-22T12:59:00Z",
			},
		},
		{
			reason: "Something uses it.", use: usage.True, inactive: ago(time.Hour),
			want: prune.Verdict{Reason: "it is in use"},
		},
		{
			reason: "Nobody can say.", use: usage.Unknown, inUse: unused(time.Hour), inactive: ago(time.Hour),
			want: prune.Verdict{Reason: "it is not known whether it is in use"},
		},
		{
			reason: "Its users are in other clusters.", use: usage.False, inUse: unused(time.Hour),
			inactive: ago(time.Hour), values: `{"pilot":{"env":{"EXTERNAL_ISTIOD":"true"}}}`,
			want: prune.Verdict{Reason: "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users " +
				"are in other clusters"},
		},
		{
			reason: "The namespace has just gone as well.", use: usage.True, useless: true,
			want: prune.Verdict{Due: now.Add(30 * time.Second), Reason: gone},
		},
		{
			reason: "Whoever uses it gets nothing any more, but webhooks that refuse pods.", use: usage.True,
			useless: true, inactive: ago(30 * time.Second),
			want: prune.Verdict{Delete: true, Reason: gone},
		},
		{
			reason: "Nobody can say who uses it, and nothing can serve them.", use: usage.Unknown, useless: true,
			inactive: ago(time.Minute),
			want:     prune.Verdict{Delete: true, Reason: gone},
		},
	} {
		rev := rendered()
		rev.Status.InactiveSince, rev.Status.Conditions = c.inactive, c.inUse
		if c.values != "" {
			rev.Spec.Values = &v1.Values{Raw: []byte(c.values)}
		}
		c.want.Name = rev.Name
		if diff := cmp.Diff(c.want, abandoned(now, rev, c.use, c.useless)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestAbandon removes what a pipeline left behind, and only that.
func TestAbandon(t *testing.T) {
	t.Parallel()
	stamped := func(o client.Object, name, owner string) client.Object {
		o.SetName(name)
		o.SetLabels(map[string]string{manifest.LabelRevision: "mesh-v1-28-3"})
		o.SetAnnotations(map[string]string{manifest.AnnotationOwner: owner})
		return o
	}
	const mine = "Istio/mesh"
	all := []string{
		"ConfigMap mine", "ConfigMap other", "IstioRevision mesh-v1-28-3",
		"MutatingWebhookConfiguration mine", "ValidatingWebhookConfiguration mine",
	}
	kept := []string{"ConfigMap other"}
	for _, c := range []struct {
		reason string
		cache  []client.Object // what the cache has besides
		live   []client.Object // what only the server has
		rev    func(*v1.IstioRevision)
		// meanwhile happens while the server is asked whether the revision may go.
		meanwhile func(ctx context.Context, server client.Client) error
		istio     bool // whether the cache has the Istio
		want      []string
		deleted   []string // in this order
		repeated  bool
	}{
		{
			reason: "The Istio and the namespace are gone: webhooks go first.", want: kept,
			deleted: []string{
				"MutatingWebhookConfiguration mine", "ValidatingWebhookConfiguration mine",
				"ConfigMap mine", "IstioRevision mesh-v1-28-3",
			},
		},
		{
			reason: "The namespace is there, and who uses the revision is not known.",
			cache:  []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}}, want: all,
		},
		{
			reason: "The server has the Istio: it has just come back.",
			live:   []client.Object{&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}}, want: all, repeated: true,
		},
		{
			reason: "The server has the namespace.",
			live:   []client.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}}, want: all,
			repeated: true,
		},
		{
			reason: "The Istio comes back while the server is asked for what may hold the revision.", want: all, repeated: true,
			meanwhile: func(ctx context.Context, server client.Client) error {
				return server.Create(ctx, &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}})
			},
		},
		{
			reason: "The revision is changed meanwhile.", want: all, repeated: true,
			meanwhile: func(ctx context.Context, server client.Client) error {
				rev := &v1.IstioRevision{}
				if err := server.Get(ctx, client.ObjectKey{Name: "mesh-v1-28-3"}, rev); err != nil {
					return err
				}
				rev.Labels = map[string]string{"a": "b"}
				return server.Update(ctx, rev)
			},
		},
		{
			reason: "A package has the revision, and would bring it back.",
			rev:    func(r *v1.IstioRevision) { r.Annotations[manifest.AnnotationReleasedBy] = "package" }, want: all,
		},
		{reason: "The Istio is there.", istio: true, want: all},
		{
			reason: "It has just gone.", rev: func(r *v1.IstioRevision) { r.Status.InactiveSince = nil }, want: all,
			repeated: true,
		},
	} {
		rev := rendered()
		rev.Status.InactiveSince = &metav1.Time{Time: before}
		if c.rev != nil {
			c.rev(rev)
		}
		objects := append([]client.Object{
			rev, stamped(&admissionv1.MutatingWebhookConfiguration{}, "mine", mine),
			stamped(&admissionv1.ValidatingWebhookConfiguration{}, "mine", mine),
			stamped(&corev1.ConfigMap{}, "mine", mine), stamped(&corev1.ConfigMap{}, "other", "Istio/other"),
		}, c.cache...)
		var deleted []string
		w := abandonedWorld(t, &deleted, objects...)
		if err := w.Get(t.Context(), client.ObjectKeyFromObject(rev), rev); err != nil {
			t.Fatal(err)
		}
		live := w
		if c.live != nil {
			live = abandonedWorld(t, &deleted, append(slices.Clone(c.live), rendered())...)
		}
		if c.meanwhile != nil {
			live = interceptor.NewClient(w, interceptor.Funcs{
				List: func(ctx context.Context, server client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
					return errors.Join(server.List(ctx, list, opts...), c.meanwhile(ctx, server))
				},
			})
		}
		r := &Reconciler{
			Client: w, Live: live, Applier: apply.New(w, w, watcher{}), Events: events.NewFakeRecorder(20),
			Now:   func() time.Time { return now },
			Usage: cluster.NewUsage(nil),
		}
		s := &scope{rev: rev, pipeline: true}
		if c.istio {
			if err := w.Create(t.Context(), &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}); err != nil {
				t.Fatal(err)
			}
		}
		result, err := status.Do(t.Context(), &s.Run, s, r.gather, r.abandon)
		if err != nil {
			t.Fatalf("%s %v", c.reason, err)
		}
		if diff := cmp.Diff(c.want, contents(t, w)); diff != "" {
			t.Errorf("%s What is left, -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.deleted, deleted); diff != "" {
			t.Errorf("%s What was deleted, -want +got:\n%s", c.reason, diff)
		}
		if (result.RequeueAfter > 0) != c.repeated {
			t.Errorf("%s Again after %s", c.reason, result.RequeueAfter)
		}
	}
}

// abandonedWorld is a cluster that notes what is deleted, and can select by name as the API server can.
func abandonedWorld(t *testing.T, deleted *[]string, objects ...client.Object) client.WithWatch {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(v1.AddToScheme(scheme), clientgoscheme.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	var copies []client.Object
	for _, o := range objects {
		copies = append(copies, o.DeepCopyObject().(client.Object))
	}
	return fake.NewClientBuilder().WithScheme(scheme).WithObjects(copies...).WithStatusSubresource(&v1.IstioRevision{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Delete: func(ctx context.Context, c client.WithWatch, o client.Object, _ ...client.DeleteOption) error {
				if err := c.Delete(ctx, o, client.PropagationPolicy(metav1.DeletePropagationBackground)); err != nil {
					return err
				}
				kind, err := c.GroupVersionKindFor(o)
				*deleted = append(*deleted, kind.Kind+" "+o.GetName())
				return err
			},
			List: func(
				ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption,
			) error {
				var options client.ListOptions
				options.ApplyOptions(opts)
				fields := options.FieldSelector
				options.FieldSelector = nil
				if err := c.List(ctx, list, &options); err != nil || fields == nil {
					return err
				}
				found, ok := list.(*metav1.PartialObjectMetadataList)
				if !ok {
					return errors.New("only metadata is selected by name")
				}
				name, _ := fields.RequiresExactMatch("metadata.name")
				found.Items = slices.DeleteFunc(found.Items,
					func(o metav1.PartialObjectMetadata) bool { return o.Name != name })
				return nil
			},
		}).Build()
}

// contents names what is in a cluster.
func contents(t *testing.T, w client.Client) []string {
	t.Helper()
	var out []string
	for kind, list := range map[string]client.ObjectList{
		"ConfigMap":                      &corev1.ConfigMapList{},
		"MutatingWebhookConfiguration":   &admissionv1.MutatingWebhookConfigurationList{},
		"ValidatingWebhookConfiguration": &admissionv1.ValidatingWebhookConfigurationList{},
		"IstioRevision":                  &v1.IstioRevisionList{},
	} {
		if err := w.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		data, err := runtime.DefaultUnstructuredConverter.ToUnstructured(list)
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range data["items"].([]any) {
			out = append(out, kind+" "+item.(map[string]any)["metadata"].(map[string]any)["name"].(string))
		}
	}
	slices.Sort(out)
	return out
}
