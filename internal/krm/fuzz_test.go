package krm_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// FuzzParse: no bytes make reading panic; what is read can be decoded, located and written, and what was written is
// read again as the same.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", head, head + "items: []\n",
		head + "items:\n- kind: A # c\n  # d\n  a: |2-\n\n     x\n\n  b: >+\n   y\n\n\n- {a: b, c: [d]}\n",
		head + "items:\n- # comment\n  kind: A\n# foot\n", head + "functionConfig: &a {kind: B}\nitems:\n- a: *a\n",
		head + "items: [{a: &a [*a]}]\n",
		head + "items:\n- " + strings.ReplaceAll("apiVersion: sailoperator.io/v1\nkind: Istio\n"+
			"metadata: {name: default}\nspec: {values: {a: &x {b: 1}, <<: *x}}", "\n", "\n  ") + "\n",
		head + "items:\n- kind: Istio\n  apiVersion: sailoperator.io/v1\n  metadata: {annotations: {lateen.io/crds: x, " +
			"internal.config.kubernetes.io/path: a}}\n",
		head + "items:\n- ? [a]\n  : b\n- !!binary x: !y z\n", head + "items:\n- \"a\\u2028b\": \"\\u0085\"\n",
		"{apiVersion: config.kubernetes.io/v1, kind: ResourceList, items: [{a: 'b\n\n c'}]}",
	} {
		f.Add([]byte(seed), "spec.values.0.a")
	}
	f.Fuzz(func(t *testing.T, data []byte, path string) {
		if len(data) > 1<<12 || len(path) > 64 {
			t.Skip("inputs are bounded")
		}
		l, err := krm.Parse(data)
		if err != nil {
			return
		}
		for _, o := range l.Items {
			yamltree.Locate(o.Node(), path)
			resource.LocationOf(o)
			if resource.IsResource(o, "Istio", "IstioRevision", "IstioRevisionTag", "IstioCNI") {
				_, l.Findings = resource.Decode(o)
			}
		}
		if l.Config != nil {
			_, _ = resource.SettingsOfConfig(resource.AllOptions, *l.Config) // must not panic; that is all
		}
		first := write(t, l)
		again, err := krm.Parse([]byte(first))
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, first)
		}
		again.Findings = l.Findings
		if diff := cmp.Diff(first, write(t, again)); diff != "" {
			t.Fatalf("written twice (-first +second)\n%s", diff)
		}
	})
}
