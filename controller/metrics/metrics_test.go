package metrics

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestState is what a scrape tells about resources.
func TestState(t *testing.T) {
	elected, waiting := make(chan struct{}), make(chan struct{})
	close(elected)
	meta := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Name: name} }
	mesh := &v1.Istio{
		ObjectMeta: meta("mesh"), Status: v1.IstioStatus{Revisions: v1.RevisionSummary{Total: 3, Ready: 2, InUse: 1}},
	}
	cases := map[string]struct {
		reason  string
		objects []client.Object
		elected <-chan struct{}
		unknown bool
		want    []string
	}{
		"nothing": {
			reason: "a resource that was deleted has no metrics", elected: elected,
		},
		"an Istio": {
			reason: "its revisions, each number from its status", elected: elected, objects: []client.Object{mesh},
			want: []string{
				"lateen_istio_revisions_in_use{name=mesh} 1", "lateen_istio_revisions_ready{name=mesh} 2",
				"lateen_istio_revisions{name=mesh} 3",
			},
		},
		"a replica that waits": {
			reason: "a sum over the replicas counts each resource once", elected: waiting, objects: []client.Object{mesh},
		},
		"a condition": {
			reason: "all three statuses, so that an alert on one of them is there before it fires", elected: elected,
			objects: []client.Object{&v1.IstioCNI{ObjectMeta: meta("default"), Status: v1.IstioCNIStatus{
				Conditions: v1.Conditions{{Type: v1.ConditionReady, Status: metav1.ConditionFalse}},
			}}},
			want: []string{
				"lateen_resource_condition{kind=IstioCNI name=default status=False type=Ready} 1",
				"lateen_resource_condition{kind=IstioCNI name=default status=True type=Ready} 0",
				"lateen_resource_condition{kind=IstioCNI name=default status=Unknown type=Ready} 0",
			},
		},
		"users": {
			reason: "how many use a revision", elected: elected,
			objects: []client.Object{
				&v1.IstioRevision{ObjectMeta: meta("mesh")}, &v1.IstioRevisionTag{ObjectMeta: meta("prod")},
			},
			want: []string{"lateen_revision_users{name=mesh} 1"},
		},
		"users who cannot be seen": {
			reason: "not to know is not the same as none", elected: elected, unknown: true,
			objects: []client.Object{&v1.IstioRevision{ObjectMeta: meta("mesh")}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			scheme := runtime.NewScheme()
			if err := v1.AddToScheme(scheme); err != nil {
				t.Fatal(err)
			}
			registry := prometheus.NewPedanticRegistry()
			err := registry.Register(State{
				Reader:  fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.objects...).Build(),
				Elected: c.elected,
				Users: func(_ *v1.IstioRevision, _ []v1.IstioRevision, tags []v1.IstioRevisionTag) (int, bool) {
					return len(tags), !c.unknown
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, gather(t, registry)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
		})
	}
}

// gather gives the samples of all gauges, sorted.
func gather(t *testing.T, registry *prometheus.Registry) []string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, f := range families {
		for _, m := range f.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			out = append(out, fmt.Sprintf("%s{%s} %v", f.GetName(), strings.Join(labels, " "), m.GetGauge().GetValue()))
		}
	}
	slices.Sort(out)
	return out
}
