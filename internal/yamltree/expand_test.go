package yamltree_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// write gives the text of a tree.
func write(t *testing.T, n *yaml.Node) string {
	t.Helper()
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	enc.CompactSeqIndent()
	if err := enc.Encode(n); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// doubled is ten anchors, each of which stands for ten times what the one before stands for.
func doubled() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x]\n")
	for i := range 9 {
		from, to := string(rune('0'+i)), string(rune('1'+i))
		b.WriteString("a" + to + ": &a" + to + " [" + strings.Repeat("*a"+from+", ", 9) + "*a" + from + "]\n")
	}
	return b.String()
}

func TestExpand(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ reason, text, want, err string }{
		"alias": {
			"it becomes a copy", "a: &x {k: v}\nb: *x\n", "a: &x {k: v}\nb: {k: v}\n", "",
		},
		"alias in an alias": {
			"so do those inside", "a: &x [1]\nb: &y {c: *x}\nd: *y\n", "a: &x [1]\nb: &y {c: [1]}\nd: {c: [1]}\n", "",
		},
		"merge key": {
			"it stays, with what it merges", "a: &x {k: v}\nb:\n  <<: *x\n", "a: &x {k: v}\nb:\n  !!merge <<: {k: v}\n", "",
		},
		"name": {"of a field", "a: &x k\n*x : v\n", "a: &x k\nk: v\n", ""},
		"endless": {
			"an anchor in itself is an error, not a crash", "a: &x {b: *x}\n", "",
			"the YAML anchor x contains an alias of itself",
		},
		"laughs": {"what aliases stand for is bounded", doubled(), "", "the YAML aliases stand for too much text"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := tree(t, tc.text)
			got, message := "", ""
			if err := yamltree.Expand(n); err != nil {
				message = err.Error()
			} else {
				got = write(t, n)
			}
			if diff := cmp.Diff([]string{tc.want, tc.err}, []string{got, message}); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestPlain(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ reason, text, want, err string }{
		"booleans": {
			"of kubectl, and no others", "a: [yes, On, n, oN, 'off', true, !!str on]\n",
			"a: [true, true, false, oN, 'off', true, !!str on]\n", "",
		},
		"names":   {"stay as they are", "on: 1\ny: 2\n", "on: 1\ny: 2\n", ""},
		"anchors": {"go", "a: &x {k: v}\nb: *x\n", "a: {k: v}\nb: {k: v}\n", ""},
		"merge keys": {
			"what is there wins, then the first", "a: &x {k: 1, l: 2}\nb: &y {l: 3, m: 4}\nc: {<<: [*x, *y], k: 5}\n",
			"a: {k: 1, l: 2}\nb: {l: 3, m: 4}\nc: {k: 5, l: 2, m: 4}\n", "",
		},
		"two merge keys": {
			"as with a list", "a: &x {k: 1}\nb: &y {k: 2, l: 3}\nc:\n  <<: *x\n  <<: *y\n",
			"a: {k: 1}\nb: {k: 2, l: 3}\nc:\n  k: 1\n  l: 3\n", "",
		},
		"a merge key in quotes": {"is a name", "a: &x {k: 1}\n\"<<\": *x\n", "a: {k: 1}\n\"<<\": {k: 1}\n", ""},
		"merged text": {
			"is an error", "a: {<<: b}\n", "", "line 1: << takes the alias of a mapping, or a list of such",
		},
		"twice":   {"is an error", "a: {b: 1, b: 2}\n", "", `line 1: the field "b" is there twice`},
		"mapping": {"is no name", "{? {a: b} : c}\n", "", "line 1: a field name must be text"},
		"depth": {
			"is bounded", strings.Repeat("{a: ", 70) + "b" + strings.Repeat("}", 70), "",
			"line 1: the resource is too large or nested too deeply",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := tree(t, tc.text)
			got, message := "", ""
			if err := yamltree.Plain(n); err != nil {
				message = err.Error()
			} else {
				got = write(t, n)
			}
			if diff := cmp.Diff([]string{tc.want, tc.err}, []string{got, message}); diff != "" {
				t.Errorf("%s (-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestDetach: an item is taken out of a document, and the other items stay what they are.
func TestDetach(t *testing.T) {
	t.Parallel()
	doc := tree(t, "- a: &x {k: v}\n  b: *x\n- c: *x\n  d: &y [1]\n  e: *y\n- f: >+\n    g\n\n")
	var got []string
	for _, item := range doc.Content {
		changed, err := yamltree.Detach(item)
		if err != nil {
			t.Fatal(err)
		}
		text := write(t, item)
		if changed {
			text = "# changed\n" + text
		}
		got = append(got, text)
	}
	want := []string{
		"a: &x {k: v}\nb: *x\n", "# changed\nc: {k: v}\nd: &y [1]\ne: *y\n", "f: |+\n  g\n\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// FuzzScalar: kubectl and we read a plain word in the same way.
func FuzzScalar(f *testing.F) {
	for _, w := range words() {
		f.Add(w)
	}
	f.Fuzz(func(t *testing.T, word string) {
		if len(word) > 64 || strings.HasPrefix(word, "-") ||
			strings.ContainsAny(word, "\n\r\u0085\u2028\u2029{}[],&*|>%@`\"'#:?!") {
			t.Skip("not one plain word")
		}
		compare(t, "v: "+word+"\n")
		compare(t, "? "+word+"\n: 1\n")
	})
}
