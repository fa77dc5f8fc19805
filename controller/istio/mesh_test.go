package istio

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// revisionOf is a revision of an Istio, or of nobody, that is of a version and in a namespace.
func revisionOf(name, owner, version, namespace, values string) v1.IstioRevision {
	rev := v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
		Name: name, Annotations: map[string]string{manifest.AnnotationVersion: version},
	}}
	rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), namespace
	rev.Spec.Values = &v1.Values{Raw: []byte(values)}
	if owner != "" {
		yes := true
		rev.OwnerReferences = []metav1.OwnerReference{{
			APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: owner, Controller: &yes,
		}}
	}
	return rev
}

// TestCompare is what an Istio is told about the others of the cluster, and about the way that it goes.
func TestCompare(t *testing.T) {
	t.Parallel()
	const (
		everything = `{"pilot":{}}`
		some       = `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"mesh":"a"}}]}}`
		rest       = `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"mesh":"b"}}]}}`
		event      = "Warning CheckMesh "
		twoHere    = event + "Istio/other and Istio/mesh are two control planes in the namespace istio-system; give each a " +
			"namespace of its own, or, for an upgrade, make them revisions of one Istio (updateStrategy: RevisionBased)"
		both = event + "IstioRevision/hand and Istio/mesh can discover the same namespace, one with the labels mesh=a: " +
			"both would manage it; choose discoverySelectors that cannot both match, such as one label with different values"
		inPlace = event + "spec.version: from v1.26.0 to v1.28.3; in place, Istio supports one minor version at a time. Go " +
			"by way of v1.27-latest"
		by = event + "spec.version: from v1.25.1 to v1.28.3; by revisions, Istio supports two minor versions at a time. Go " +
			"by way of v1.27-latest"
	)
	gone, inactive := revisionOf("gone", "other", "v1.28.3", "istio-system", everything), revisionOf("old", "other",
		"v1.28.3", "istio-system", everything)
	moment := metav1.NewTime(now)
	gone.DeletionTimestamp, inactive.Status.InactiveSince = &moment, &moment
	active := func(values string) v1.IstioRevision {
		return revisionOf("mesh", "mesh", "v1.28.3", "istio-system", values)
	}
	for _, c := range []struct {
		reason   string
		own      []v1.IstioRevision
		others   []v1.IstioRevision
		observed int64
		written  bool
		live     string
		want     []string
	}{
		{"It is alone.", []v1.IstioRevision{active(everything)}, nil, 0, false, "", nil},
		{
			"Another one is in its namespace.",
			[]v1.IstioRevision{active(everything)},
			[]v1.IstioRevision{revisionOf("other", "other", "v1.28.3", "istio-system", everything)},
			0, false, "",
			[]string{twoHere},
		},
		{
			"It has been told.",
			[]v1.IstioRevision{active(everything)},
			[]v1.IstioRevision{revisionOf("other", "other", "v1.28.3", "istio-system", everything)},
			1, false, "", nil,
		},
		{
			"Those that are on their way out do not count.",
			[]v1.IstioRevision{active(everything)},
			[]v1.IstioRevision{gone, inactive},
			0, false, "", nil,
		},
		{
			"Both can have a namespace.",
			[]v1.IstioRevision{active(some)},
			[]v1.IstioRevision{revisionOf("hand", "", "v1.28.3", "elsewhere", everything)},
			0, false, "",
			[]string{both},
		},
		{
			"Each has its own.",
			[]v1.IstioRevision{active(some)},
			[]v1.IstioRevision{revisionOf("hand", "", "v1.28.3", "elsewhere", rest)},
			0, false, "", nil,
		},
		{"Two minors in place.", []v1.IstioRevision{active(everything)}, nil, 0, true, "v1.26.0", []string{inPlace}},
		{"One minor in place.", []v1.IstioRevision{active(everything)}, nil, 0, true, "v1.27.0", nil},
		{
			"Three minors by revisions, from the newest that there was.",
			[]v1.IstioRevision{
				revisionOf("a", "mesh", "v1.24.2", "istio-system", everything),
				revisionOf("b", "mesh", "v1.25.1", "istio-system", everything),
				active(everything),
			},
			nil, 0, true, "",
			[]string{by},
		},
		{"The first one.", []v1.IstioRevision{active(everything)}, nil, 0, true, "", nil},
		{"The way was begun by an earlier run.", []v1.IstioRevision{active(everything)}, nil, 0, false, "v1.26.0", nil},
	} {
		istio := asking("mesh", v1.UpdateStrategyInPlace)
		istio.Status.ObservedGeneration = c.observed
		record := events.NewFakeRecorder(9)
		w := server(t, istio, asking("other", v1.UpdateStrategyInPlace))
		r := &Reconciler{Client: w, Renderer: &rendering.Renderer{}, Events: record}
		s := &scope{istio: istio, revisions: c.own, all: slices.Concat(c.others, c.own), facts: facts{active: "mesh"}}
		if c.written {
			s.written = &s.revisions[len(s.revisions)-1]
		}
		if c.live != "" {
			live := revisionOf("mesh", "mesh", c.live, "istio-system", everything)
			s.live = &live
		}
		if err := r.compare(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		close(record.Events)
		var got []string
		for e := range record.Events {
			got = append(got, strings.TrimSpace(e))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}
