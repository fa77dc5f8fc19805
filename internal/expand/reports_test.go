package expand_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestStrangers: which reports are probably not about the package.
func TestStrangers(t *testing.T) {
	mesh := func(name, clusters string) string {
		return istio(name, "{version: v1.28.3, namespace: "+name+
			", values: {meshConfig: {discoverySelectors: [{matchLabels: {mesh: "+name+"}}]}}}",
			"annotations: {lateen.io/rendered-by: render-istio, internal.config.kubernetes.io/path: "+name+".yaml"+clusters+"}")
	}
	report := func(cluster, revision string) string {
		return "# +argocd:skip-file-rendering\napiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata: {name: " +
			cluster +
			", annotations: {config.kubernetes.io/local-config: 'true', internal.config.kubernetes.io/path: " +
			cluster + ".yaml}}\nspec: {observedAt: '2026-11-22T12:00:00Z', " +
			"revisions: [{name: " + revision + ", inUse: 'True'}]}\n"
	}
	const west, east = ", lateen.io/clusters: west", ", lateen.io/clusters: east"
	for _, c := range []struct {
		reason string
		config string
		items  []string
		want   []string // names of the reports that are warned of, and the first word that tells why
	}{
		{"nobody has listed clusters", "", []string{mesh("a", ""), report("west", "a")}, nil},
		{
			"a cluster of another Istio", "",
			[]string{mesh("a", west), mesh("b", east), report("west", "a"), report("east", "b")},
			nil,
		},
		{
			"a cluster of nobody", "",
			[]string{mesh("a", west), mesh("b", east), report("north", "a")},
			[]string{"north the package is not applied"},
		},
		{
			"a cluster of nobody, as long as one has not listed his", "",
			[]string{mesh("a", west), mesh("b", ""), report("north", "b")},
			nil,
		},
		{
			"a cluster of an Istio that another mutator expands", mesh("a", west),
			[]string{mesh("a", west), mesh("b", east), report("east", "b")},
			nil,
		},
		{
			"of no revision", "",
			[]string{mesh("a", ""), report("west", "x")},
			[]string{"west the usage report mentions no revision"},
		},
		{
			"a list for the whole package", configMap + "data: {clusters: 'west, east'}\n",
			[]string{mesh("a", ""), report("east", "a"), report("north", "a")},
			[]string{"north the package is not applied"},
		},
	} {
		out := expand.RenderIstio.List(read(t, resourceList(c.config, c.items...)), resource.Settings{})
		if out.Findings.HasError() {
			t.Fatalf("%s: %v", c.reason, out.Findings)
		}
		var got []string
		for _, f := range short(out.Findings) {
			got = append(got, f.Name+" "+f.Message)
		}
		for i := range min(len(got), len(c.want)) {
			if strings.HasPrefix(got[i], c.want[i]) {
				got[i] = c.want[i]
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
