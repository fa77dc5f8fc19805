package istiorevision

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// TestVersionSkew: a control plane that leaves the network of its pods to a plugin of a version that does not work with
// it is told so, in the words of the functions.
func TestVersionSkew(t *testing.T) {
	t.Parallel()
	const works = "; it works with the minor versions before, at and after its own"
	for _, c := range []struct {
		reason         string
		istiod, record string
		cni            string
		values         string
		want           string
	}{
		{"one minor newer", "v1.27.0", "", "v1.28.3", `{"pilot":{"cni":{"enabled":true}}}`, ""},
		{
			"two minors older", "v1.28.3", "", "v1.26.0", `{"pilot":{"cni":{"enabled":true}}}`,
			"IstioCNI/default: spec.version: the CNI plugin of Istio v1.26.0 does not work with IstioRevision/rev of Istio " +
				"v1.28.3" + works,
		},
		{
			"aliases, and what was rendered by somebody else", "v1.28-latest", "v1.30.1", "v1.28-latest",
			`{"pilot":{"cni":{"enabled":true}}}`,
			"IstioCNI/default: spec.version: the CNI plugin of Istio v1.28.3 does not work with IstioRevision/rev of Istio " +
				"v1.30.1" + works,
		},
		{"nobody can say", "master", "", "v1.26.0", `{"pilot":{"cni":{"enabled":true}}}`, ""},
		{"it needs no plugin", "v1.28.3", "", "v1.26.0", `{}`, ""},
	} {
		cni := &v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: "default"}, Spec: v1.IstioCNISpec{Version: v1.Version(c.cni)}}
		cni.Status.State = v1.Healthy
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "rev"}}
		rev.Spec.Version, rev.Spec.Values = v1.Version(c.istiod), &v1.Values{Raw: []byte(c.values)}
		if c.record != "" {
			rev.Annotations = map[string]string{manifest.AnnotationVersion: c.record}
		}
		scheme := runtime.NewScheme()
		if err := v1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		w := fake.NewClientBuilder().WithScheme(scheme).WithObjects(cni).Build()
		r := &Reconciler{Client: w, Live: w, Renderer: &rendering.Renderer{}, Prober: &cluster.Prober{}}
		s := &scope{rev: rev, changed: true}
		if err := r.observe(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		got := s.facts.dependencies
		want := v1.Condition{
			Type: v1.ConditionDependenciesHealthy, Status: metav1.ConditionTrue, Reason: "DependenciesHealthy",
		}
		if c.want != "" {
			want.Status, want.Reason, want.Message = metav1.ConditionFalse, v1.ReasonVersionSkew, c.want
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
