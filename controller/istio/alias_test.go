package istio

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
)

// TestAliasStays: a controller that was started without the charts of the newer patch leaves the revision as it is,
// and says so.
func TestAliasStays(t *testing.T) {
	t.Parallel()
	const down = "spec.version: v1.28-latest is v1.28.3 here, and v1.28.10 is installed: an alias never goes " +
		"down by itself. Bring the charts of v1.28.10 (--charts), or ask for v1.28.3 itself"
	for _, c := range []struct {
		reason    string
		asked     v1.Version
		installed string
		want      string
		planned   v1.Version
	}{
		{"The charts are gone.", "v1.28-latest", "v1.28.10", down, ""},
		{"It is the same patch.", "v1.28-latest", "v1.28.3", "", "v1.28-latest"},
		{"It is a newer one.", "v1.28-latest", "v1.28.1", "", "v1.28-latest"},
		{"The older patch is asked for.", "v1.28.3", "v1.28.10", "", "v1.28.3"},
		{"An older minor is.", "v1.27-latest", "v1.28.10", "", "v1.27-latest"},
	} {
		istio := &v1.Istio{
			ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "istio"},
			Spec:       v1.IstioSpec{Version: c.asked, Namespace: "istio-system"},
		}
		live := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
			Name: "default", Annotations: map[string]string{manifest.AnnotationVersion: c.installed},
		}}
		live.Spec.Version = "v1.28-latest"
		namespace := cluster.Metadata(cluster.NamespaceKind)
		namespace.Name = "istio-system"
		scheme := runtime.NewScheme()
		if err := v1.AddToScheme(scheme); err != nil {
			t.Fatal(err)
		}
		w := fake.NewClientBuilder().WithScheme(scheme).WithObjects(live, namespace).Build()
		r := &Reconciler{
			Client: w, Live: w, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"},
			Events: events.NewFakeRecorder(10),
		}
		s := &scope{istio: istio}
		if _, err := status.Do(t.Context(), &s.Run, s, r.plan); err != nil {
			t.Fatal(err)
		}
		got := ""
		if s.Problem() != nil {
			got = s.Problem().Error()
			if !s.Problem().Permanent {
				t.Errorf("%s trying again brings no charts", c.reason)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		planned := v1.Version("")
		if s.planned != nil {
			planned = s.planned.Spec.Version
		}
		if planned != c.planned {
			t.Errorf("%s planned %q, want %q", c.reason, planned, c.planned)
		}
	}
}
