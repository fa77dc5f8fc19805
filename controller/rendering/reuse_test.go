package rendering_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/release"
)

// TestReuse counts renderings, by the metric that operators see: what was rendered is used until what it was made from
// changes. It is not parallel: the counter is the process's.
func TestReuse(t *testing.T) {
	registry := prometheus.NewRegistry()
	if err := metrics.Register(registry, metrics.State{Elected: make(chan struct{})}); err != nil {
		t.Fatal(err)
	}
	versions := release.Bundled().Versions()
	newest := v1.Version(versions[len(versions)-1])
	revision := func(uid types.UID, generation int64, change func(*v1.IstioRevision)) *v1.IstioRevision {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: string(uid), UID: uid, Generation: generation}}
		rev.Spec.Version, rev.Spec.Namespace = newest, "istio-system"
		rev.Spec.Values = &v1.Values{
			Raw: []byte(`{"global":{"istioNamespace":"istio-system"},"revision":"` + string(uid) + `"}`),
		}
		if change != nil {
			change(rev)
		}
		return rev
	}
	p := &rendering.Renderer{KubeVersion: "v1.34.0"}
	objects := func(rev *v1.IstioRevision) func() (rendering.Objects, finding.List) {
		return func() (rendering.Objects, finding.List) { return p.Revision(rev, "") }
	}
	tag := func(rev *v1.IstioRevision) func() (rendering.Objects, finding.List) {
		return func() (rendering.Objects, finding.List) {
			return p.Tag(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod", UID: "tag"}}, rev)
		}
	}
	first := ""
	for _, c := range []struct {
		reason     string
		do         func() (rendering.Objects, finding.List)
		renderings uint64
		another    bool
	}{
		{"The first time.", objects(revision("a", 1, nil)), 1, true},
		{"Nothing has changed.", objects(revision("a", 1, nil)), 0, false},
		{"Its status has, and its labels, and its resource version.", objects(revision("a", 1, func(rev *v1.IstioRevision) {
			rev.ResourceVersion, rev.Labels, rev.Status.State = "9", map[string]string{"x": "y"}, v1.Healthy
		})), 0, false},
		{"Its spec has.", objects(revision("a", 2, func(rev *v1.IstioRevision) {
			rev.Spec.Namespace = "elsewhere"
		})), 1, true},
		{
			"It belongs to an Istio now, with which its objects are stamped.",
			objects(revision("a", 2, func(rev *v1.IstioRevision) {
				rev.Spec.Namespace = "elsewhere"
				rev.OwnerReferences = []metav1.OwnerReference{
					{APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: "mesh"},
				}
			})), 1, true,
		},
		{"Another revision has objects of its own.", objects(revision("b", 2, nil)), 1, true},
		{"A tag has, too.", tag(revision("b", 2, nil)), 1, true},
		{"A tag of the same revision.", tag(revision("b", 2, nil)), 0, false},
		{"Its revision has changed.", tag(revision("b", 3, func(rev *v1.IstioRevision) {
			rev.Spec.Namespace = "elsewhere"
		})), 1, true},
	} {
		before := renderings(t, registry)
		out, found := c.do()
		if found.HasError() {
			t.Fatalf("%s: %v", c.reason, found)
		}
		if got := renderings(t, registry) - before; got != c.renderings {
			t.Errorf("%s: got %d renderings, want %d", c.reason, got, c.renderings)
		}
		if (out.Digest != first) != c.another {
			t.Errorf("%s: whether the objects are others than before: got %t", c.reason, out.Digest != first)
		}
		first = out.Digest
	}
}

func renderings(t *testing.T, registry *prometheus.Registry) uint64 {
	t.Helper()
	all, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range all {
		if family.GetName() == "lateen_render_duration_seconds" {
			return family.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	t.Fatal("nothing counts renderings")
	return 0
}

// TestCRDs is what makes revisions of one version share their CRDs.
func TestCRDs(t *testing.T) {
	t.Parallel()
	versions := release.Bundled().Versions()
	p := &rendering.Renderer{KubeVersion: "v1.34.0"}
	crds := func(name, version, values string) rendering.CRDs {
		rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}}
		rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), "istio-system"
		rev.Spec.Values = &v1.Values{Raw: []byte(values)}
		out, err := p.CRDs(rev)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	one := crds("a", versions[len(versions)-1], `{"global":{"istioNamespace":"istio-system"},"revision":"a"}`)
	other := crds("b", versions[len(versions)-1], `{"global":{"istioNamespace":"istio-system"},"revision":"b"}`)
	older := crds("c", versions[0], `{"global":{"istioNamespace":"istio-system"},"revision":"c"}`)
	if one.Digest != other.Digest || one.Owner == other.Owner {
		t.Errorf("two revisions of a version bring the same CRDs, each as its own: got %s of %s and %s of %s", one.Digest,
			one.Owner, other.Digest, other.Owner)
	}
	if one.Digest == older.Digest {
		t.Error("those of another version are others")
	}
	name := one.Names()[0]
	crd, err := one.Object(name, "Istio/mesh")
	if err != nil {
		t.Fatal(err)
	}
	if crd.GetName() != name || crd.GetKind() != "CustomResourceDefinition" ||
		crd.GetAnnotations()["lateen.io/owner"] != "Istio/mesh" {
		t.Errorf("got the %s %s of %s", crd.GetKind(), crd.GetName(), crd.GetAnnotations()["lateen.io/owner"])
	}
	if _, err := one.Object("gone.istio.io", ""); err == nil {
		t.Error("there is no CRD of that name")
	}
}
