package reconcilertest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/reconcilertest"
)

// TestWrites: each way to write is recorded, also if it fails; what is only tried is not.
func TestWrites(t *testing.T) {
	t.Parallel()
	istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}
	w := reconcilertest.New(t, istio)
	refused := errors.New("refused")
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "b"}}
	applied := func() *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		o.SetAPIVersion("v1")
		o.SetKind("ConfigMap")
		o.SetNamespace("a")
		o.SetName("c")
		return o
	}
	for _, c := range []struct {
		reason string
		do     func() error
		fail   map[string]error
		want   []string
		err    error
	}{
		{"created", func() error {
			return w.Client.Create(t.Context(), account)
		}, nil, []string{"create ServiceAccount a/b"}, nil},
		{
			"refused", func() error { return w.Client.Create(t.Context(), account.DeepCopy()) },
			map[string]error{"create Ser": refused},
			[]string{"create ServiceAccount a/b"},
			refused,
		},
		{"applied", func() error {
			return w.Client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(applied()), client.FieldOwner("me"))
		}, nil, []string{"apply ConfigMap a/c"}, nil},
		{"patched", func() error {
			before := istio.DeepCopy()
			istio.Labels = map[string]string{"a": "b"}
			return w.Client.Patch(t.Context(), istio, client.MergeFrom(before))
		}, nil, []string{"patch Istio mesh"}, nil},
		{"status", func() error {
			before := istio.DeepCopy()
			istio.Status.State = "x"
			return w.Client.Status().Patch(t.Context(), istio, client.MergeFrom(before))
		}, nil, []string{"status Istio mesh"}, nil},
		{"deleted", func() error {
			return w.Client.Delete(t.Context(), account)
		}, nil, []string{"delete ServiceAccount a/b"}, nil},
		{"tried", func() error {
			data, err := applied().MarshalJSON()
			if err != nil {
				return err
			}
			return w.Client.Patch(t.Context(), applied(), client.RawPatch(types.ApplyPatchType, data), client.DryRunAll,
				client.FieldOwner("me"))
		}, nil, nil, nil},
		{"read", func() error { return w.Client.Get(t.Context(), client.ObjectKeyFromObject(istio), istio) }, nil, nil, nil},
		{
			"read, in vain", func() error { return w.Client.Get(t.Context(), client.ObjectKeyFromObject(istio), istio) },
			map[string]error{"get Istio mesh": refused},
			nil, refused,
		},
		{
			"listed, in vain", func() error { return w.Client.List(t.Context(), &v1.IstioList{}) },
			map[string]error{"list IstioList": refused},
			nil, refused,
		},
	} {
		w.Fail = c.fail
		if err := c.do(); !errors.Is(err, c.err) {
			t.Errorf("%s: %v, want %v", c.reason, err, c.err)
		}
		if diff := cmp.Diff(c.want, w.Writes()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
