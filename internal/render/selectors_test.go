package render_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestSelectors: selectors that Kubernetes cannot read are warned of, wherever among the values one is.
func TestSelectors(t *testing.T) {
	rel, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	const (
		operators = "In, NotIn, Exists, DoesNotExist"
		form      = "letters, digits, -, _ and ., at most 63, the first and the last a letter or a digit"
		key       = ` cannot be the name of a label: ` + form + ", and before them perhaps a DNS name and a /"
		value     = ` cannot be the value of a label: ` + form
	)
	expression := func(text string) string { return fmt.Sprintf(`{"matchExpressions":[%s]}`, text) }
	for _, c := range []struct {
		reason, selector string
		want             []string // behind the path of the selector
	}{
		{
			"right", `{"matchLabels":{"a.b/c":"d","e":""},"matchExpressions":[{"key":"a","operator":"In","values":["b"]}]}`,
			nil,
		},
		{
			"right without values",
			expression(`{"key":"a","operator":"Exists"},{"key":"b","operator":"DoesNotExist","values":[]}`), nil,
		},
		{
			"In without values", expression(`{"key":"a","operator":"In"}`),
			[]string{".matchExpressions[0]: the operator In needs values, at least one"},
		},
		{
			"In with no values", expression(`{"key":"a","operator":"In","values":[]}`),
			[]string{".matchExpressions[0]: the operator In needs values, at least one"},
		},
		{
			"the second, NotIn", expression(`{"key":"a","operator":"Exists"},{"key":"a","operator":"NotIn"}`),
			[]string{".matchExpressions[1]: the operator NotIn needs values, at least one"},
		},
		{
			"Exists with values", expression(`{"key":"a","operator":"Exists","values":["b"]}`),
			[]string{".matchExpressions[0].values: the operator Exists has no values; leave them out, or use In or NotIn"},
		},
		{
			"DoesNotExist with values", expression(`{"key":"a","operator":"DoesNotExist","values":["b"]}`),
			[]string{".matchExpressions[0].values: the operator DoesNotExist has no values; leave them out, or use In or NotIn"},
		},
		{
			"no operator", expression(`{"key":"a"}`),
			[]string{".matchExpressions[0]: a selector's expression needs an operator: " + operators},
		},
		{
			"no key", expression(`{"operator":"Exists"}`),
			[]string{".matchExpressions[0]: a selector's expression needs a key, the name of a label"},
		},
		{
			"a misspelled operator", expression(`{"key":"a","operator":"in","values":["b"]}`),
			[]string{
				`.matchExpressions[0].operator: the operator "in" is none that a selector can have: ` + operators +
					"; did you mean In?",
			},
		},
		{
			"an operator of node selectors", expression(`{"key":"a","operator":"Gt","values":["1"]}`),
			[]string{`.matchExpressions[0].operator: the operator "Gt" is none that a selector can have: ` + operators},
		},
		{
			"a key with a space", expression(`{"key":"a b","operator":"Exists"}`),
			[]string{`.matchExpressions[0].key: "a b"` + key},
		},
		{
			"a value with a space", expression(`{"key":"a","operator":"In","values":["x","c d"]}`),
			[]string{`.matchExpressions[0].values: "c d"` + value},
		},
		{"a label's value with a space", `{"matchLabels":{"a":"c d"}}`, []string{`.matchLabels.a: "c d"` + value}},
		{"a label's name with a space", `{"matchLabels":{"a b":"c"}}`, []string{`.matchLabels["a b"]: "a b"` + key}},
		{
			"two at once", expression(`{"key":"a b"}`),
			[]string{
				`.matchExpressions[0].key: "a b"` + key,
				".matchExpressions[0]: a selector's expression needs an operator: " + operators,
			},
		},
		{
			"variables, that may be right",
			`{"matchLabels":{"${a}":"${b}"},"matchExpressions":[{"key":"${k}","operator":"${o}","values":["${v}"]}]}`, nil,
		},
		{
			"what a variable cannot mend",
			expression(`{"key":"${k}","operator":"In"},{"key":"a","operator":"In","values":["c ${d}"]}`),
			[]string{
				".matchExpressions[0]: the operator In needs values, at least one", `.matchExpressions[1].values: "c ${d}"` + value,
			},
		},
	} {
		for _, where := range []struct{ path, values string }{
			{"spec.values.meshConfig.discoverySelectors[0]", `{"meshConfig":{"discoverySelectors":[%s]}}`},
			{
				"spec.values.meshConfig.serviceScopeConfigs[0].namespaceSelector",
				`{"meshConfig":{"serviceScopeConfigs":[{"scope":"GLOBAL","namespaceSelector":%s}]}}`,
			},
			{
				"spec.values.sidecarInjectorWebhook.neverInjectSelector[0]",
				`{"sidecarInjectorWebhook":{"neverInjectSelector":[%s]}}`,
			},
			{
				"spec.values.sidecarInjectorWebhook.alwaysInjectSelector[0]",
				`{"sidecarInjectorWebhook":{"alwaysInjectSelector":[%s]}}`,
			},
		} {
			var want []string
			for _, w := range c.want {
				want = append(want, where.path+w)
			}
			if diff := cmp.Diff(want, warnings(t, rel, fmt.Sprintf(where.values, c.selector), "true")); diff != "" {
				t.Errorf("%s: %s: -want +got:\n%s", c.reason, where.path, diff)
			}
		}
	}
	const affinity = "spec.values.pilot.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution." +
		"nodeSelectorTerms[0].matchExpressions"
	nodes := `{"pilot":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{` +
		`"nodeSelectorTerms":[%s]}}}}}`
	nodes = fmt.Sprintf(
		nodes, expression(`{"key":"a","operator":"Gt","values":["1"]},{"key":"a","operator":"gt","values":["1"]},`+
			`{"key":"a","operator":"Lt","values":["x"]},{"key":"a","operator":"Lt","values":["${n}"]},{"key":"a",`+
			`"operator":"In"}`))
	want := []string{
		affinity + `[1].operator: the operator "gt" is none that a selector can have: ` + operators +
			", Gt, Lt; did you mean Gt?",
		affinity + "[2]: the operator Lt needs one value, which is an integer in quotes",
		affinity + "[4]: the operator In needs values, at least one",
	}
	if diff := cmp.Diff(want, warnings(t, rel, nodes, "true")); diff != "" {
		t.Errorf("nodes: -want +got:\n%s", diff)
	}
	literal := []string{`spec.values.meshConfig.discoverySelectors[0].matchLabels.a: "${b}"` + value}
	if diff := cmp.Diff(literal, warnings(t, rel, `{"meshConfig":{"discoverySelectors":[{"matchLabels":{"a":"${b}"}}]}}`,
		"false")); diff != "" {
		t.Errorf("nobody replaces variables: -want +got:\n%s", diff)
	}
}

// warnings are those about an Istio with some values; an error fails the test.
func warnings(t *testing.T, rel release.Release, values, substitute string) []string {
	t.Helper()
	istio := &v1.Istio{Spec: v1.IstioSpec{Values: &v1.Values{Raw: []byte(values)}}}
	istio.Name = "default"
	problems, err := render.CheckIstio(rel, istio, render.Source{FluxSubstitute: substitute})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, p := range problems {
		if !p.Warning {
			t.Errorf("%s: an error: %s", values, p)
		}
		out = append(out, p.String())
	}
	return out
}
