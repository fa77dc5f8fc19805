package krm_test

import (
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

const head = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n"

func read(t *testing.T, text string) *krm.List {
	t.Helper()
	l, err := krm.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func write(t *testing.T, l *krm.List) string {
	t.Helper()
	var b strings.Builder
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// objects reads YAML documents as items.
func objects(t *testing.T, text string) []manifest.Object {
	t.Helper()
	out, err := resource.ParseDocuments([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func object(t *testing.T, text string) manifest.Object {
	t.Helper()
	return objects(t, text)[0]
}

func TestReadAndWrite(t *testing.T) {
	cases := map[string]struct {
		reason   string
		in, want string
	}{
		"no items": {
			reason: "items is there even when empty: kustomize takes a list without it for a resource",
			in:     head, want: head + "items: []\n",
		},
		"null": {
			reason: "null is as good as absent",
			in:     head + "items:\nfunctionConfig:\nresults:\n", want: head + "items: []\n",
		},
		"v1beta1": {
			reason: "older callers get the version they speak",
			in:     "apiVersion: config.kubernetes.io/v1beta1\nkind: ResourceList\nitems: []\n",
			want:   "apiVersion: config.kubernetes.io/v1beta1\nkind: ResourceList\nitems: []\n",
		},
		"v1alpha1": {
			reason: "older callers get the version they speak",
			in:     "apiVersion: config.kubernetes.io/v1alpha1\nkind: ResourceList\nitems: []\n",
			want:   "apiVersion: config.kubernetes.io/v1alpha1\nkind: ResourceList\nitems: []\n",
		},
		"functionConfig": {
			reason: "is not repeated",
			in:     head + "functionConfig:\n  kind: ConfigMap\nitems: []\n", want: head + "items: []\n",
		},
		"items": {
			reason: "kept to the letter",
			in: head + "items:\n  - kind: B # why\n    # above\n    b: \"1\"\n    a: 'x'\n    l:\n        - 1\n" +
				"  - {kind: A}\n",
			want: head + "items:\n- kind: B # why\n  # above\n  b: \"1\"\n  a: 'x'\n  l:\n      - 1\n- {kind: A}\n",
		},
		"aliases": {
			reason: "those within an item are the user's; one that leaves its item would have nothing to stand for",
			in:     head + "functionConfig: {kind: C, data: &x {a: b}}\nitems:\n- a: *x\n  b: &y c\n  d: *y\n- e: *y\n",
			want:   head + "items:\n- a: {a: b}\n  b: &y c\n  d: *y\n- e: c\n",
		},
		"folded text": {
			reason: "that the library would make longer with every run is written as it came",
			in:     head + "items:\n- a: >+\n    x\n\n\n  b: c\n", want: head + "items:\n- a: >+\n    x\n\n\n  b: c\n",
		},
		"block text": {
			reason: "indicators and blank lines of block scalars survive the indentation",
			in: head + "items:\n- a: |2-\n\n\n     two blank lines, then spaces\n\n    end\n  b: |+\n    x\n\n\n  c: >-\n" +
				"    folded\n\n    text\n",
			want: head + "items:\n- a: |2-\n\n\n     two blank lines, then spaces\n\n    end\n  b: |+\n    x\n\n\n  c: >-\n" +
				"    folded\n\n    text\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, write(t, read(t, tc.in))); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestReadFails(t *testing.T) {
	cases := map[string]struct{ reason, in, want string }{
		"nothing": {
			"called without input", "", "the input is empty; a ResourceList is expected (--help tells how to call the function)",
		},
		"no YAML": {
			"the parser's line", "a: b: c", "the input is not YAML: yaml: mapping values are not allowed in this context",
		},
		"text": {"of some other kind", "hello", "the input is not a ResourceList: not a YAML mapping"},
		"a resource": {
			"a likely mistake: the file itself", "apiVersion: sailoperator.io/v1\nkind: Istio\n",
			`the input is "sailoperator.io/v1" "Istio", not a ResourceList of config.kubernetes.io/v1; to render a file, give ` +
				`its name: -f istio.yaml`,
		},
		"unknown version": {
			"v2 may mean anything", "apiVersion: config.kubernetes.io/v2\nkind: ResourceList\n",
			`the input is "config.kubernetes.io/v2" "ResourceList", not a ResourceList of config.kubernetes.io/v1; to render ` +
				`a file, give its name: -f istio.yaml`,
		},
		"two documents": {
			"half of the input would be lost", head + "---\n" + head,
			"the input has more than one YAML document; one ResourceList is expected",
		},
		"broken rest": {
			"not even YAML", head + "---\na: b: c", "the input has more than one YAML document; one ResourceList is expected",
		},
		"items": {"must be a list", head + "items: {}\n", "line 3: items is not a list"},
		"an item": {
			"must be a mapping; which one, and where", head + "items:\n- a: b\n- c\n", "items[1] (line 5): not a YAML mapping",
		},
		"null item":      {"must be a mapping", head + "items: [null]\n", "items[0] (line 3): not a YAML mapping"},
		"functionConfig": {"must be a mapping", head + "functionConfig: x\n", "functionConfig: not a YAML mapping"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := krm.Read(strings.NewReader(tc.in))
			if diff := cmp.Diff(tc.want, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestPathOnce: kpt prints the path of the field and then the message, so the message does not begin with it again.
func TestPathOnce(t *testing.T) {
	for _, c := range []struct {
		reason  string
		path    []string
		message string
		want    string
	}{
		{"the field itself", []string{"spec", "version"}, "spec.version: no such version", "no such version"},
		{"the index of a list", []string{"spec", "list", "1", "name"}, "spec.list[1].name: unknown field", "unknown field"},
		{
			"a field above it",
			[]string{"spec", "targetRef", "name"},
			"spec.targetRef: not in the package: here",
			"not in the package: here",
		},
		{"another field", []string{"spec", "version"}, "spec.values: too", "spec.values: too"},
		{"a neighbour that begins with the same letters", []string{"spec", "versions"}, "spec.version: x", "spec.version: x"},
		{
			"a sentence about the field",
			[]string{"spec", "hub"},
			"spec.hub belongs to IstioOperator",
			"spec.hub belongs to IstioOperator",
		},
		{"no field", nil, "spec.version: x", "spec.version: x"},
	} {
		r := resource.Finding(object(t, "kind: Istio"), finding.Error, c.path, c.message)
		if got := write(t, &krm.List{Findings: finding.List{r}}); !strings.Contains(got, "\n- message: '"+c.want+"'\n") &&
			!strings.Contains(got, "\n- message: "+c.want+"\n") {
			t.Errorf("%s: want the message %q in:\n%s", c.reason, c.want, got)
		}
		if r.Message != c.message {
			t.Errorf("%s: the result itself was changed: %q", c.reason, r.Message)
		}
	}
}

func TestWriteResults(t *testing.T) {
	o := object(t, "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: default\n  annotations:\n"+
		"    internal.config.kubernetes.io/path: a/b.yaml\n    internal.config.kubernetes.io/index: '2'\n")
	r := resource.Finding(o, finding.Error, []string{"spec", "values", "0"}, "message: with colon")
	r.Current, r.Suggestion = "yes", 1
	l := &krm.List{Findings: finding.List{r, {Message: "m", Severity: finding.Warning}}}
	want := head + `items: []
results:
- message: 'message: with colon'
  severity: error
  resourceRef:
    apiVersion: sailoperator.io/v1
    kind: Istio
    name: default
  field:
    path: spec.values.0
    currentValue: "yes"
    proposedValue: 1
  file:
    path: a/b.yaml
    index: 2
- message: m
  severity: warning
`
	if diff := cmp.Diff(want, write(t, l)); diff != "" {
		t.Errorf("results are written as the specification of functions says (-want +got)\n%s", diff)
	}
}

// pieces are what breaks writers of YAML.
var pieces = []string{
	" ", "  ", "\n", "\n\n", "\t", "a", "word", ":", ": ", " #", "-", "- ", "'", "\"", "\\", "{", "|", ">", "%", "&x",
	"*x", "!", "---", "...", "é", "\u00a0", "\r", "\u0085", "\u2028", "\u2029", "${X}", "yes", "1", "~",
}

// TestTextSurvives: whatever text an item has, and in whatever style, it is the same after writing and reading.
func TestTextSurvives(t *testing.T) {
	for seed := range uint64(3000) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var b strings.Builder
		for range rng.IntN(8) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		styles := []yaml.Style{0, yaml.LiteralStyle, yaml.FoldedStyle, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle}
		text := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: b.String(), Style: styles[rng.IntN(len(styles))]}
		key := func(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }
		list := &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{text, key("after")}}
		item, err := manifest.FromNode(&yaml.Node{
			Kind: yaml.MappingNode, Content: []*yaml.Node{key("text"), text, key("list"), list, key("end"), key("end")},
		})
		if err != nil {
			t.Fatal(err)
		}
		var alone strings.Builder
		if item.Encode(&alone) != nil || !cmp.Equal(textOf(alone.String()), text.Value) {
			continue // the library cannot write it (folded text with tabs): nothing that indentation could save
		}
		written := write(t, &krm.List{Items: []manifest.Object{item, item}})
		var got struct{ Items []map[string]any }
		if err := yaml.Unmarshal([]byte(written), &got); err != nil {
			t.Fatalf("seed %d: %q: %v in\n%s", seed, text.Value, err, written)
		}
		want := map[string]any{"text": text.Value, "list": []any{text.Value, "after"}, "end": "end"}
		if diff := cmp.Diff([]map[string]any{want, want}, got.Items); diff != "" {
			t.Fatalf("seed %d (-want +got)\n%s\nin\n%s", seed, diff, written)
		}
		first := write(t, read(t, written))
		if diff := cmp.Diff(first, write(t, read(t, first))); diff != "" {
			t.Fatalf("seed %d: a second run must change nothing (-first +second)\n%s", seed, diff)
		}
	}
}

func textOf(item string) string {
	var got struct{ Text string }
	if yaml.Unmarshal([]byte(item), &got) != nil {
		return "broken"
	}
	return got.Text
}
