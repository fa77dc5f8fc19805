package usage_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/usage"
)

// TestSelects is the rules of lifecycle.md as a table; TestRulesEqualWebhooks proves them.
func TestSelects(t *testing.T) {
	t.Parallel()
	type m = map[string]string
	const injection, rev, inject = usage.LabelInjection, usage.LabelRevision, usage.LabelInject
	for _, c := range []struct {
		reason         string
		namespace, pod m
		want           [2]string // what the namespace selects, and the pod
		because        [2]string
	}{
		{"nothing says anything", nil, nil, [2]string{}, [2]string{}},
		{
			"enabled means default",
			m{injection: "enabled"},
			nil,
			[2]string{"default"},
			[2]string{"label istio-injection=enabled"},
		},
		{
			"and beats a revision",
			m{injection: "enabled", rev: "canary"},
			nil,
			[2]string{"default"},
			[2]string{"label istio-injection=enabled"},
		},
		{
			"disabled beats a revision as well",
			m{injection: "disabled", rev: "canary"},
			m{rev: "canary"},
			[2]string{},
			[2]string{},
		},
		{"so does a word that means nothing", m{injection: "", rev: "canary"}, m{inject: "true"}, [2]string{}, [2]string{}},
		{"a revision", m{rev: "canary"}, nil, [2]string{"canary"}, [2]string{"label istio.io/rev=canary"}},
		{"an empty revision selects nothing, and its pods neither", m{rev: ""}, m{rev: "canary"}, [2]string{}, [2]string{}},
		{
			"in a namespace that decides, a pod's labels do not",
			m{rev: "canary"},
			m{rev: "prod"},
			[2]string{"canary"},
			[2]string{"label istio.io/rev=canary"},
		},
		{
			"a namespace counts although a pod opts out",
			m{rev: "canary"},
			m{inject: "false"},
			[2]string{"canary"},
			[2]string{"label istio.io/rev=canary"},
		},
		{"a pod's revision", nil, m{rev: "canary"}, [2]string{"", "canary"}, [2]string{"", "label istio.io/rev=canary"}},
		{
			"a pod that asks gets the default", nil,
			m{inject: "true"},
			[2]string{"", "default"},
			[2]string{"", "label sidecar.istio.io/inject=true"},
		},
		{
			"unless it names a revision", nil,
			m{inject: "true", rev: "canary"},
			[2]string{"", "canary"},
			[2]string{"", "label istio.io/rev=canary"},
		},
		{"even one that is none", nil, m{inject: "true", rev: ""}, [2]string{}, [2]string{}},
		{"a pod that opts out, istiod's own for one", nil, m{inject: "false", rev: "canary"}, [2]string{}, [2]string{}},
		{"any other word neither asks nor opts out", nil, m{inject: "yes"}, [2]string{}, [2]string{}},
		{
			"any other word, with a revision", nil,
			m{inject: "yes", rev: "canary"},
			[2]string{"", "canary"},
			[2]string{"", "label istio.io/rev=canary"},
		},
	} {
		n := usage.NamespaceOf("bookinfo", c.namespace)
		p := usage.PodOf("bookinfo", "details", c.pod, m{rev: "old"}, false)
		var got, because [2]string
		got[0], because[0] = n.Selects()
		got[1], because[1] = p.Selects(n)
		if got != c.want || because != c.because {
			t.Errorf("%s: %v %v select %q because of %q, want %q because of %q", c.reason, c.namespace, c.pod, got, because,
				c.want, c.because)
		}
		p.Finished = true
		if name, reason := p.Selects(n); name+reason != "" {
			t.Errorf("%s: a finished pod selects %s (%s)", c.reason, name, reason)
		}
	}
	want := usage.Pod{
		Namespace: "n", Name: "p", InjectedBy: "old", Finished: true,
		Inject: usage.Label{Value: "", Set: true}, Revision: usage.Label{Value: "new", Set: true},
	}
	if diff := cmp.Diff(want, usage.PodOf("n", "p", m{inject: "", rev: "new"}, m{rev: "old"}, true)); diff != "" {
		t.Errorf("PodOf: -want +got:\n%s", diff)
	}
}
