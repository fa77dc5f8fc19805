package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/mesh"
)

// plane is a control plane in a namespace, with values.
func plane(name, namespace string, coexists bool, values map[string]any) mesh.ControlPlane {
	return mesh.ControlPlane{
		Ref: finding.Ref{Kind: "Istio", Name: name}, Version: "v1.28.3", Namespace: namespace, Coexists: coexists,
		Values: values,
	}
}

// discovers are values with one discoverySelector.
func discovers(key, value string) map[string]any {
	return map[string]any{"meshConfig": map[string]any{"discoverySelectors": []any{
		map[string]any{"matchLabels": map[string]any{key: value}},
	}}}
}

// external are values of a control plane that watches another cluster.
func external(cluster string) map[string]any {
	return map[string]any{
		"pilot":  map[string]any{"env": map[string]any{"EXTERNAL_ISTIOD": "true"}},
		"global": map[string]any{"multiCluster": map[string]any{"clusterName": cluster}},
	}
}

func TestCollisions(t *testing.T) {
	t.Parallel()
	none, remote := map[string]any{}, map[string]any{"profile": "remote"}
	const (
		place    = "spec.namespace"
		selector = "spec.values.meshConfig.discoverySelectors"
	)
	type found struct{ Name, Field, Message string }
	both := func(a, b, labels string) found {
		return found{b, selector, "Istio/" + a + " and Istio/" + b + " can discover the same namespace, " + labels +
			": both would manage it; choose discoverySelectors that cannot both match, such as one label with different values"}
	}
	here := found{"b", place, "Istio/a and Istio/b are two control planes in the namespace x; give each a namespace of " +
		"its own, or, for an upgrade, make them revisions of one Istio (updateStrategy: RevisionBased)"}
	for _, c := range []struct {
		reason string
		planes []mesh.ControlPlane
		want   []found
	}{
		{"one alone", []mesh.ControlPlane{plane("a", "x", false, none)}, nil},
		{
			"two in one namespace",
			[]mesh.ControlPlane{plane("a", "x", false, none), plane("b", "x", false, none)},
			[]found{here},
		},
		{
			"only one of them may have another beside it",
			[]mesh.ControlPlane{plane("a", "x", true, none), plane("b", "x", false, none)},
			[]found{here},
		},
		{"revisions beside each other", []mesh.ControlPlane{plane("a", "x", true, none), plane("b", "x", true, none)}, nil},
		{
			"each with its own namespaces",
			[]mesh.ControlPlane{plane("a", "x", false, discovers("m", "1")), plane("b", "y", false, discovers("m", "2"))},
			nil,
		},
		{
			"both can have a namespace",
			[]mesh.ControlPlane{plane("a", "x", false, discovers("m", "1")), plane("b", "y", false, discovers("n", "2"))},
			[]found{both("a", "b", "one with the labels m=1,n=2")},
		},
		{
			"each is told of the first that it collides with",
			[]mesh.ControlPlane{
				plane("a", "x", false, discovers("m", "1")), plane("b", "y", false, discovers("m", "1")),
				plane("c", "z", false, discovers("m", "1")),
			},
			[]found{both("a", "b", "one with the labels m=1"), both("a", "c", "one with the labels m=1")},
		},
		{
			"a remote one has its istiod elsewhere",
			[]mesh.ControlPlane{plane("a", "x", false, none), plane("b", "x", false, remote)},
			nil,
		},
		{
			"of one that is wrong nothing is known",
			[]mesh.ControlPlane{plane("a", "x", false, nil), plane("b", "x", false, none)},
			nil,
		},
		{
			"an external one watches another cluster",
			[]mesh.ControlPlane{plane("a", "x", false, none), plane("b", "y", false, external("far"))},
			nil,
		},
		{
			"two external ones of one cluster",
			[]mesh.ControlPlane{plane("a", "x", false, external("far")), plane("b", "y", false, external("far"))},
			[]found{both("a", "b", "one without labels")},
		},
	} {
		var got []found
		for _, f := range mesh.Collisions(c.planes) {
			if f.Severity != finding.Warning {
				t.Errorf("%s: severity %s", c.reason, f.Severity)
			}
			got = append(got, found{f.Ref.Name, f.Field, f.Message})
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestSkew(t *testing.T) {
	t.Parallel()
	works := "; it works with the minor versions before, at and after its own"
	ref := finding.Ref{Kind: "IstioCNI", Name: "default"}
	for _, c := range []struct {
		reason, cni, istiod string
		severity            finding.Severity
		want                string
	}{
		{"the same", "v1.28.3", "v1.28.3", "", ""},
		{"one minor older", "v1.27.0", "v1.28.3", "", ""},
		{"one minor newer", "v1.29.0", "v1.28.3", "", ""},
		{
			"two minors older", "v1.26.0", "v1.28.3", finding.Warning,
			"spec.version: the CNI plugin of Istio v1.26.0 does not work with Istio/a of Istio v1.28.3" + works,
		},
		{
			"two minors newer", "v1.28.3", "v1.26.0", finding.Warning,
			"spec.version: the CNI plugin of Istio v1.28.3 does not work with Istio/a of Istio v1.26.0" + works,
		},
		{
			"another major version", "v2.28.3", "v1.28.3", finding.Warning,
			"spec.version: the CNI plugin of Istio v2.28.3 does not work with Istio/a of Istio v1.28.3" + works,
		},
		{"a pre-release counts as its minor", "v1.27.0-beta.1", "v1.28.3", "", ""},
		{"both without a number, and the same", "master", "master", "", ""},
		{
			"one without a number", "master", "v1.28.3", finding.Info,
			"spec.version: whether the CNI plugin of Istio master works with Istio/a of Istio v1.28.3 cannot be told from the " +
				"versions",
		},
		{"a control plane of which the version is not known", "v1.28.3", "", "", ""},
	} {
		istiod := plane("a", "x", false, nil)
		istiod.Version = c.istiod
		f, skewed := mesh.Skew(ref, c.cni, istiod)
		if skewed != (c.want != "") {
			t.Errorf("%s: skewed: %v", c.reason, skewed)
		}
		want := finding.Finding{Severity: c.severity, Ref: ref, Field: "spec.version", Current: c.cni, Message: c.want}
		if diff := cmp.Diff(want, f); diff != "" && skewed {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	all := []string{"v1.24.2", "v1.25.1", "v1.26.0", "v1.27.0", "v1.28.3"}
	for _, c := range []struct {
		reason, from, to string
		inPlace          bool
		available        []string
		want             string
		next             any
	}{
		{"the next one in place", "v1.27.0", "v1.28.3", true, all, "", nil},
		{"two by revisions", "v1.26.0", "v1.28.3", false, all, "", nil},
		{
			"two in place", "v1.26.0", "v1.28.3", true, all,
			"spec.version: from v1.26.0 to v1.28.3; in place, Istio supports one minor version at a time. Go by way of " +
				"v1.27-latest", "v1.27-latest",
		},
		{
			"three by revisions", "v1.25.1", "v1.28.3", false, all,
			"spec.version: from v1.25.1 to v1.28.3; by revisions, Istio supports two minor versions at a time. Go by way of " +
				"v1.27-latest", "v1.27-latest",
		},
		{
			"back counts the same", "v1.28.3", "v1.25.1", false, all,
			"spec.version: from v1.28.3 to v1.25.1; by revisions, Istio supports two minor versions at a time. Go by way of " +
				"v1.26-latest", "v1.26-latest",
		},
		{
			"the farthest that can be had", "v1.24.2", "v1.28.3", false,
			[]string{"v1.24.2", "v1.25.1", "v1.28.3"},
			"spec.version: from v1.24.2 to v1.28.3; by revisions, Istio supports two minor versions at a time. Go by way of " +
				"v1.25-latest", "v1.25-latest",
		},
		{
			"none can be had", "v1.24.2", "v1.28.3", true,
			[]string{"v1.24.2", "v1.28.3"},
			"spec.version: from v1.24.2 to v1.28.3; in place, Istio supports one minor version at a time. Go by way of Istio " +
				"1.25, whose charts are not here: bring them (option charts)", nil,
		},
		{"nobody knows how far master is", "master", "v1.28.3", true, all, "", nil},
		{"nor another major version", "v1.28.3", "v2.0.0", true, all, "", nil},
		{"nothing was there before", "", "v1.28.3", true, all, "", nil},
	} {
		ref := finding.Ref{Kind: "Istio", Name: "default"}
		f, skipped := mesh.Skipped(mesh.Step{Ref: ref, From: c.from, To: c.to, InPlace: c.inPlace, Available: c.available})
		if skipped != (c.want != "") {
			t.Errorf("%s: skipped: %v", c.reason, skipped)
		}
		want := finding.Finding{
			Severity: finding.Warning, Ref: ref, Field: "spec.version", Current: c.to, Message: c.want, Suggestion: c.next,
		}
		if diff := cmp.Diff(want, f); diff != "" && skipped {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason   string
		versions []string
		want     string
	}{
		{"none", nil, ""},
		{"one", []string{"v1.27.0"}, "v1.27.0"},
		{"by their numbers", []string{"v1.9.0", "v1.28.3", "v1.27.10"}, "v1.28.3"},
		{"what is no number counts last", []string{"master", "v1.27.0", "latest"}, "v1.27.0"},
		{"what is no number counts last, wherever it is", []string{"v1.27.0", "master"}, "v1.27.0"},
		{"nothing else", []string{"", "master"}, "master"},
	} {
		if got := mesh.Newest(c.versions); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}
