package expand_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestElsewhere: a control plane that moves to another namespace is a warning, and so is a Namespace that was forgotten
// on the way.
func TestElsewhere(t *testing.T) {
	mesh := func(namespace string) string {
		return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: default, annotations: " +
			"{config.kubernetes.io/local-config: 'true'}}\nspec: {version: v1.28.3, namespace: " + namespace + "}\n"
	}
	remembered := func(text string) string {
		return strings.Replace(text, "annotations: {", "annotations: {internal.config.kubernetes.io/path: istio.yaml, ", 1)
	}
	namespace := func(name string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + "}\n"
	}
	injected := "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {istio.io/rev: default}}\n"
	// What an earlier run has left, its IstioRevision removed as the error about the namespace says.
	earlier := generated("Istio/default", "default", "{}")[1]
	const (
		moves = "the control plane moves from the namespace istio-system to mesh: the istiod that proxies are connected to " +
			"goes when this is applied"
		lacks = "the Namespace mesh is not in the package, while istio-system is: add it, unless something else creates it"
	)
	for _, c := range []struct {
		reason string
		items  []string
		want   string
	}{
		{"kustomize, the Namespace of before", []string{mesh("mesh"), namespace("istio-system")}, lacks},
		{"kustomize, both", []string{mesh("mesh"), namespace("istio-system"), namespace("mesh")}, ""},
		{"kustomize, neither", []string{mesh("mesh"), namespace("app")}, ""},
		{"kustomize, where it is by default", []string{mesh("istio-system"), namespace("app")}, ""},
		{
			"kustomize, another control plane is there",
			[]string{
				mesh("mesh"), namespace("istio-system"), strings.Replace(mesh("istio-system"), "name: default", "name: b", 1),
			},
			"",
		},
		{
			"kpt, the Namespace of before",
			[]string{remembered(mesh("mesh")), namespace("istio-system"), earlier},
			moves + "; " + lacks,
		},
		{"kpt, both", []string{remembered(mesh("mesh")), namespace("istio-system"), namespace("mesh"), earlier}, moves},
		{
			"kpt, and who is connected",
			[]string{remembered(mesh("mesh")), namespace("mesh"), injected, earlier},
			moves + ", and Namespace app in the package names default (label istio.io/rev=default)",
		},
		{"kpt, no move", []string{remembered(mesh("istio-system")), injected, earlier}, ""},
	} {
		out := expand.RenderIstio.List(read(t, resourceList("", c.items...)), resource.Settings{})
		if out.Findings.HasError() {
			t.Errorf("%s: %v", c.reason, out.Findings)
		}
		var got []string
		for _, r := range out.Findings {
			if r.Field != "" && r.Field == "spec.namespace" && r.Severity == "warning" &&
				!strings.Contains(r.Message, "can discover") {
				got = append(got, r.Message)
			}
		}
		if diff := cmp.Diff(c.want, strings.Join(got, "")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
