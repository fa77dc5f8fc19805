package expand_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestAliasStays: a package that somebody has rendered with charts that are not here is not rendered with older ones,
// and stays as it is.
func TestAliasStays(t *testing.T) {
	t.Parallel()
	const down = "spec.version: v1.28-latest is v1.28.3 here, and v1.28.10 is installed: an alias never goes " +
		"down by itself. Bring the charts of v1.28.10 (--charts), or ask for v1.28.3 itself"
	cni := func(version string) string {
		return "apiVersion: sailoperator.io/v1\nkind: IstioCNI\nmetadata: {name: default}\nspec: {version: " + version +
			"}\n"
	}
	for _, c := range []struct {
		reason   string
		function expand.Function
		item     func(version string) string
		resource string
		version  string
		want     []string
	}{
		{
			"An alias.", expand.RenderIstio, func(v string) string { return istio("default", "{version: "+v+"}") },
			"Istio", "v1.28-latest",
			[]string{down},
		},
		{
			"By revisions: the name has the alias.", expand.RenderIstio, func(v string) string {
				return istio("default", "{version: "+v+", updateStrategy: {type: RevisionBased}}")
			}, "Istio", "v1.28-latest", []string{down},
		},
		{"The CNI plugin.", expand.RenderCNI, cni, "IstioCNI", "v1.28-latest", []string{down}},
		{
			"Somebody asks for the older one.", expand.RenderIstio,
			func(v string) string { return istio("default", "{version: "+v+"}") }, "Istio", "v1.28.3", nil,
		},
	} {
		first := c.function.List(read(t, resourceList("", c.item("v1.28-latest"))), resource.Settings{})
		if first.Findings.HasError() {
			t.Fatal(first.Findings)
		}
		// Somebody else has rendered it, with newer charts.
		text := write(t, &krm.List{Items: first.Items})
		text = strings.ReplaceAll(text, "lateen.io/version: v1.28.3", "lateen.io/version: v1.28.10")
		text = strings.Replace(text, "version: v1.28-latest", "version: "+c.version, 1)
		in := read(t, text)
		before := write(t, &krm.List{Items: in.Items})
		out := c.function.List(in, resource.Settings{})
		var got []string
		for _, r := range out.Findings {
			if r.Severity == "error" {
				got = append(got, r.Message)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		if len(c.want) > 0 {
			if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items})); diff != "" {
				t.Errorf("%s The package changed, -before +after:\n%s", c.reason, diff)
			}
		}
	}
}
