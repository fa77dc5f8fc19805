package fastyaml

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// What the library is not asked for has to be what the library would have said.

const meta = "apiVersion: v1\nkind: K\nmetadata:\n  name: a\n"

// long is longer than shortLiteral.
var long = strings.Repeat("some text that nobody has to understand\n", 10)

// indented puts spaces before each line.
func indented(text string, n int) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		b.WriteString(strings.Repeat(" ", n) + line)
	}
	return b.String()
}

func TestParseBlocks(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		cut    int // how many blocks the library does not see
	}{
		"clipped":  {"one line break at the end", meta + "data:\n  k: |\n" + indented(long, 4), 1},
		"stripped": {"none at the end", meta + "data:\n  k: |-\n" + indented(long, 4) + "  l: m\n", 1},
		"stripped, end of text": {
			"as templates end", strings.TrimSuffix(meta+"data:\n  k: |-\n"+indented(long, 4), "\n"), 1,
		},
		"clipped, end of text": {
			"a last line without its end is another text", strings.TrimSuffix(meta+"data:\n  k: |\n"+indented(long, 4), "\n"), 0,
		},
		"kept": {
			"an indicator that keeps line breaks", meta + "data:\n  k: |+\n" + indented(long, 4) + "\n\n", 0,
		},
		"empty lines at the end": {
			"go, whatever their indentation", meta + "data:\n  k: |\n" + indented(long, 4) + "\n  \n    \n  l: m\n", 1,
		},
		"empty lines inside": {
			"stay", meta + "data:\n  k: |\n" + indented(long, 4) + "\n  \n    \n" + indented(long, 4), 1,
		},
		"empty line first": {"another rule finds the indentation", meta + "data:\n  k: |\n\n" + indented(long, 4), 0},
		"spaces on an empty line": {
			"more than the indentation are text", meta + "data:\n  k: |\n" + indented(long, 4) + "      \n" + indented(long, 4),
			0,
		},
		"space at the end": {
			"is text, and written in another way", meta + "data:\n  k: |\n" + indented("x \n"+long, 4), 0,
		},
		"deeper lines": {"keep what they have more", meta + "data:\n  k: |\n" + indented("x\n  y\n"+long, 4), 1},
		"deeper first line": {
			"the next line ends the block and is an error", meta + "data:\n  k: |\n" + indented(long, 6) + "    x\n", 1,
		},
		"tab": {
			"is text here and an error elsewhere", meta + "data:\n  k: |\n" + indented(long+"\tx\n", 4), 0,
		},
		"Windows line ends": {
			"are line ends", meta + "data:\n  k: |\n" + strings.ReplaceAll(indented(long, 4), "\n", "\r\n"), 0,
		},
		"other letters": {"are text", meta + "data:\n  k: |\n" + indented("– \u00e4 \u4e16\n"+long, 4), 1},
		"other line ends": {
			"Unicode's separators end a line", meta + "data:\n  k: |\n" + indented("x\u2028y\n"+long, 4), 0,
		},
		"block in a block":      {"is text", meta + "data:\n  k: |\n" + indented("l: |\n"+indented(long, 2), 4), 1},
		"block in a plain text": {"is text", meta + "data:\n  k: a\n    l: |\n" + indented(long, 6), 1},
		"block in quotes":       {"is text", meta + "data:\n  k: \"a\n    l: |\n" + indented(long, 6) + "    \"\n", 1},
		"block in a comment":    {"is a comment", meta + "data:\n  # k: |\n" + indented(long, 4), 0},
		"in a list":             {"the key stands behind a dash", meta + "data:\n- k: |\n" + indented(long, 4), 0},
		"in a list, second key": {"stands alone", meta + "data:\n- j: x\n  k: |\n" + indented(long, 4), 1},
		"short":                 {"not worth it", meta + "data:\n  k: |\n    x\n", 0},
		"several": {
			"in several documents", meta + "data:\n  k: |\n" + indented(long, 4) + "---\n" + meta + "data:\n  k: |-\n" +
				indented(long, 4) + "  l: |\n" + indented(long, 3), 3,
		},
		"not indented":         {"an empty text, then an error", meta + "data:\n  k: |\n" + indented(long, 2), 0},
		"directive in a block": {"a separator ends the block", meta + "k: |\n" + indented(long, 2) + "---\n" + meta, 1},
		"the mark": {
			"a text that has it is the library's", meta + "data:\n  k: |\n" + indented(mark+"0.\n"+long, 4), 0,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			want, wantErr := documents(tc.text)
			got, err := Parse(tc.text)
			if diff := cmp.Diff(wantErr, err, cmp.Comparer(func(a, b error) bool {
				return a == nil && b == nil || a != nil && b != nil && a.Error() == b.Error()
			})); diff != "" {
				t.Fatalf("%s: another error (-library +ours)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: another tree (-library +ours)\n%s", tc.reason, diff)
			}
			if _, blocks := cut(tc.text); len(blocks) != tc.cut {
				t.Errorf("%s: %d blocks were cut out, not %d", tc.reason, len(blocks), tc.cut)
			}
		})
	}
}

func TestWriteLikeTheLibrary(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		ours   bool // whether the library is not asked for the document
	}{
		"mappings and lists": {
			"the shape of nearly everything", "a:\n  b:\n    c: d\n  e:\n  - f\n  - g: h\n    i:\n      j: k\n    l:\n    - m\n",
			true,
		},
		"list of lists":    {"dashes in one line", "a:\n- - b\n  - c\n", false},
		"empty":            {"in brackets", "a: {}\nb: []\nc:\nd: ''\n", true},
		"empty in a list":  {"nothing behind the dash", "a:\n-\n- b\n", false},
		"empty at the top": {"no document", "{}\n", false},
		"list at the top":  {"no object", "- a\n", false},
		"brackets": {
			"of quoted words, and others", "a: [\"b\", 'c', \"d\\\"\\\\\"]\ne: [f, 1, {g: h}]\ni: {j: k}\n", false,
		},
		"brackets over lines": {"become one", "a: [\"b\\nc\",\n  d]\n", false},
		"quotes":              {"stay what they are", "a: \"b\"\nc: 'd''e'\n\"f\": g\n'h': i\nj: \"\\t\\u00e4\"\n", false},
		"numbers and words": {
			"as they are", "a: 1\nb: -1\nc: 0\nd: true\ne: null\nf: ~\ng: 1.5\nh: 0x10\ni: 1e3\nj: 0o7\nk: .inf\n" +
				"l: 2001-01-01\n", false,
		},
		"text like numbers": {
			"quoted or not", "a: 100m\nb: 1024Mi\nc: 1.2.3.4\nd: 10.0.0.0/8\ne: 12:30:45\nf: --flag=1\ng: -x\nh: 1_000\n" +
				"i: +1\nj: .5\nk: 0b1\nl: 1e\n", false,
		},
		"text like words": {
			"of YAML 1.1 and 1.2", "a: yes\nb: on\nc: n\nd: y\ne: nullable\nf: truex\ng: True\nh: <<\ni: =\n", false,
		},
		"forced text": {"tags in the text", "a: !!str 1\nb: !!str true\nc: !!str\nd: !!int \"1\"\n", false},
		"marks": {
			"that mean something somewhere",
			"a: b:c\nd: e#f\ng: h[i]\nj: 'k: l'\nm: 'n #o'\np: 'q:'\nr: \"@s\"\nt: '- u'\nv: \"---\"\nw: \"...\"\nx: '?'\n" +
				"y: $(z)\n", true,
		},
		"spaces around": {"are quoted", "a: ' b'\nc: 'd '\n", true},
		"literal": {
			"with a line break at the end or without", "a: |\n  b\n\n   c\n\nd: |-\n  e\nf:\n  g:\n  - h: |\n      i\n", true,
		},
		"literal, kept":        {"with several", "f: |+\n  g\n\n", false},
		"literal, first space": {"needs an indicator", "a: |2\n    b\n  c\n", false},
		"literal in a list":    {"below the dash", "a:\n- |\n  b\n- c: |\n    d\n", false},
		"literal, empty":       {"has nothing to indent", "a: |\nb: |-\nc:\n- d: |\n", false},
		"literal, only breaks": {"nor has this", "a: |\n\n\nb: |+\n\n", false},
		"folded":               {"the library folds", "a: >\n  b\n  c\n", false},
		"line breaks":          {"in quotes", "a: \"b\\nc\"\nd: 'e\n\n  f'\ng: h\n  i\n", false},
		"long": {
			"lines are not folded", "a: " + strings.Repeat("word ", 100) + "end\nb: \"" + strings.Repeat("word ", 100) + "\"\n",
			true,
		},
		"long key":           {"has a question mark", strings.Repeat("k", 129) + ": a\n", false},
		"longest key":        {"has none", strings.Repeat("k", 128) + ": a\n", true},
		"keys":               {"of all sorts", "a b: c\n1: d\ntrue: e\n", true},
		"key with lines":     {"has a question mark", "\"a\\nb\": c\n", false},
		"key that is a list": {"has a question mark", "? [a]\n: b\n", false},
		"anchors":            {"stay", "a: &x b\nc: *x\nd: &y {e: f}\n<<: *y\n", false},
		"comments":           {"stay", "# a\nb: c # d\n# e\nf:\n# g\n- h\n", false},
		"other letters": {
			"in words, quotes and keys", "a: \u00e4\nb: \"\u00e4\"\nc: '\u4e16'\nd: \"\\U0001F600\"\n", false,
		},
		"controls": {"are escaped", "a: \"\\x01\\x7f\\e\"\nb: \"\\u0085\\u2028\"\n", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			docs, err := documents(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			n := docs[0].Content[0]
			if diff := cmp.Diff(encoded(t, byLibrary, n), encoded(t, bySelf, n)); diff != "" {
				t.Errorf("%s (-library +ours)\n%s", tc.reason, diff)
			}
			if ours := (&writer{}).document(n); ours != tc.ours {
				t.Errorf("%s: written without the library: %v", tc.reason, ours)
			}
		})
	}
}

func encoded(t *testing.T, f func(io.Writer, *yaml.Node) error, n *yaml.Node) string {
	t.Helper()
	var b bytes.Buffer
	if err := f(&b, n); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// FuzzParseAndWrite: whatever the text, reading and writing it gives what the library alone gives.
func FuzzParseAndWrite(f *testing.F) {
	for _, seed := range []string{
		meta + "data:\n  k: |\n" + indented(long, 4) + "\n  l: |-\n" + indented(long, 6),
		meta + "a: [\"b\", 'c']\nd:\n- e: 1m\n  f: {}\n- -1\n- 1.5\n",
		meta + "a: |\nb: |-\n", meta + "a: |2\n    b\nc: >\n  d\n  e\n",
		meta + "a: yes\nb: !!str 1\nc: ~\nd: 2001-01-01\ne: 'x: y'\n", meta + "a: # b\n- &c d\n- *c\n",
		meta + "data:\n  k: x\n    l: |\n" + indented(long, 8),
		meta + "k: |-\n" + indented("- a\n\n  b \n"+long, 2) + "---\n" + meta,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.Count(text, "*") > 1 {
			t.Skip("inputs are bounded")
		}
		want, wantErr := documents(text)
		got, err := Parse(text)
		if (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("Parse says %v, the library %v", err, wantErr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another tree (-library +ours)\n%s", diff)
		}
		for _, n := range got {
			if diff := cmp.Diff(encoded(t, byLibrary, n), encoded(t, bySelf, n)); diff != "" {
				t.Fatalf("written in another way (-library +ours)\n%s", diff)
			}
		}
	})
}

// words are scalars that mean something somewhere in YAML, and others; pairs of them make more.
var words = strings.Split(`|| |a|-|--|---|...|.|:|a:|: a|#| #|a #b|a#b|?|!|!a|&a|*a|@|`+"`"+
	`|{|}|[|]|,|a, b|'|"|\\|%|>|=|<<|~|null|Null|nullx|true|TRUE|yes|No|on|y|n|0|1|-1|+1|01|0x1f|0o7|0b1|1_0|`+
	`1.5|.5|5.|1e3|-1e-3|.inf|-.Inf|.nan|1:30|12:30:45|2001-01-01|2001-1-1 `+
	`1:1:1|100m|1Gi|1.2.3.4|10.0.0.0/8|v1.28.3|$(a)|${a}|(a)|/a|_a|a_b|ä|世|`+
	"\u00a0|\u0085|\u2028|\ufeff|\t|a\tb|\n|a\nb|a\n|a\n\n|\na| a|a |a \nb|a\n b\n|😀|\x01|\x7f|"+long, "|")

// usual are scalars as charts have them.
var usual = func() []*yaml.Node {
	var list []*yaml.Node
	for _, n := range []yaml.Node{
		{Tag: yaml.NodeTagString, Value: "istiod"},
		{Tag: yaml.NodeTagString, Value: "100m"},
		{Tag: yaml.NodeTagString, Value: "istio.io/rev"},
		{Tag: yaml.NodeTagString, Value: "a b"},
		{Tag: yaml.NodeTagInt, Value: "15012"},
		{Tag: yaml.NodeTagInt, Value: "-1"},
		{Tag: yaml.NodeTagBool, Value: "true"},
		{Tag: yaml.NodeTagString, Value: "12", Style: yaml.DoubleQuotedStyle},
		{Tag: yaml.NodeTagString, Value: "it's", Style: yaml.SingleQuotedStyle},
		{Tag: yaml.NodeTagString, Value: "a\n\n b\n", Style: yaml.LiteralStyle},
		{Tag: yaml.NodeTagString, Value: long, Style: yaml.LiteralStyle},
		{Tag: yaml.NodeTagString, Value: strings.TrimSpace(long), Style: yaml.LiteralStyle},
	} {
		n.Kind = yaml.ScalarNode
		list = append(list, &n)
	}
	return list
}()

// randomTree makes a tree of up to some depth, of odd words in all styles, or of such as charts have.
func randomTree(random *rand.Rand, depth int, odd bool) *yaml.Node {
	n := &yaml.Node{}
	kind := random.IntN(8)
	switch {
	case depth > 0 && kind < 3:
		n.Kind, n.Tag = yaml.MappingNode, yaml.NodeTagMap
		for i := range random.IntN(4) {
			key := &yaml.Node{
				Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: words[random.IntN(len(words))] + string(rune('a'+i)),
			}
			if !odd {
				key.Value = "k" + string(rune('a'+i))
			}
			n.Content = append(n.Content, key, randomTree(random, depth-1, odd))
		}
	case depth > 0 && kind < 5:
		n.Kind, n.Tag = yaml.SequenceNode, yaml.NodeTagSeq
		for range random.IntN(4) {
			n.Content = append(n.Content, randomTree(random, depth-1, odd))
		}
	case !odd:
		*n = *usual[random.IntN(len(usual))]
		return n
	default:
		n.Kind, n.Value = yaml.ScalarNode, words[random.IntN(len(words))]
		if random.IntN(3) == 0 {
			n.Value += words[random.IntN(len(words))]
		}
		n.Style = []yaml.Style{
			0, 0, 0, yaml.DoubleQuotedStyle, yaml.SingleQuotedStyle, yaml.LiteralStyle,
			yaml.FoldedStyle,
		}[random.IntN(7)]
		n.Tag = []string{
			yaml.NodeTagString, yaml.NodeTagString, yaml.NodeTagString, yaml.NodeTagInt, yaml.NodeTagBool, yaml.NodeTagNull,
			yaml.NodeTagFloat, "",
		}[random.IntN(8)]
		if random.IntN(12) == 0 {
			n.Value, n.Style, n.Tag = long+n.Value, yaml.LiteralStyle, yaml.NodeTagString
		}
		return n
	}
	if odd && random.IntN(6) == 0 {
		n.Style = yaml.FlowStyle
	}
	return n
}

// TestRandomTrees: what is written of a tree is what the library writes, and reading that gives what the library reads,
// for trees of all the shapes and words that this can think of.
func TestRandomTrees(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	head, err := Parse(meta)
	if err != nil {
		t.Fatal(err)
	}
	ours, blocks, trials := 0, 0, 4000
	if testing.Short() {
		trials = 400
	}
	for trial := range trials {
		n := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap, Content: slices.Clone(head[0].Content[0].Content)}
		for _, key := range []string{"data", "spec"} {
			n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: key},
				randomTree(random, 4, trial%2 == 0))
		}
		var library, own bytes.Buffer
		libraryErr, ownErr := byLibrary(&library, n), bySelf(&own, n)
		if (libraryErr == nil) != (ownErr == nil) {
			t.Fatalf("the library says %v, we say %v", libraryErr, ownErr)
		}
		if libraryErr != nil {
			continue
		}
		if diff := cmp.Diff(library.String(), own.String()); diff != "" {
			t.Fatalf("another text (-library +ours)\n%s", diff)
		}
		if (&writer{}).document(n) {
			ours++
		}
		want, wantErr := documents(own.String())
		got, err := Parse(own.String())
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("the library reads %v, we read %v:\n%s", wantErr, err, own.String())
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("another tree (-library +ours)\n%s\nof\n%s", diff, own.String())
		}
		_, cut := cut(own.String())
		blocks += len(cut)
	}
	if ours < trials/5 || blocks < trials/20 {
		t.Errorf("of %d trees only %d were written by ourselves, and only %d blocks were cut: this proves nothing", trials,
			ours, blocks)
	}
}

// TestOtherTags: trees that no parser makes, but code can.
func TestOtherTags(t *testing.T) {
	scalar := func(tag, value string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value} }
	cases := map[string]struct {
		reason string
		value  *yaml.Node
	}{
		"mapping without a tag": {
			"is a block as well", &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{scalar("", "k"), scalar("", "v")}},
		},
		"mapping of its own tag": {
			"stands behind the tag", &yaml.Node{
				Kind: yaml.MappingNode, Tag: "!x", Content: []*yaml.Node{scalar("", "k"), scalar("", "v")},
			},
		},
		"list without a tag": {
			"is a block as well", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{scalar("", "v")}},
		},
		"nothing without a tag": {"has no space behind the colon", scalar("", "")},
		"text without a tag":    {"is text", scalar("", "v")},
		"empty text":            {"is in quotes", scalar(yaml.NodeTagString, "")},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			n := &yaml.Node{
				Kind: yaml.MappingNode, Tag: yaml.NodeTagMap, Content: []*yaml.Node{scalar(yaml.NodeTagString, "a"), tc.value},
			}
			if diff := cmp.Diff(encoded(t, byLibrary, n), encoded(t, bySelf, n)); diff != "" {
				t.Errorf("%s (-library +ours)\n%s", tc.reason, diff)
			}
		})
	}
}

// bySelf is Write in the shape of byLibrary.
func bySelf(w io.Writer, n *yaml.Node) error {
	text, err := Write(n)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
