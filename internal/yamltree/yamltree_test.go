package yamltree_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	kubectl "sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// tree parses one YAML document.
func tree(t *testing.T, text string) *yaml.Node {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return doc.Content[0]
}

// words are scalars as they stand in a file, of which some readers of YAML think differently from others.
func words() []string {
	list := strings.Fields(`~ null Null NULL nULL none None nil <<x = - -- --- ... .
		0 1 -1 +1 00 01 010 0777 08 0o17 0O17 -0o7 +0o7 0b101 0B1 -0b1 +0b1 0x1F 0X1f -0x1 0xfg 1_000 _1 1_ 0_1 0x_1 1__0
		9223372036854775807 9223372036854775808 18446744073709551615 18446744073709551616 -9223372036854775809
		1.5 -1.5 +1.5 .5 -.5 +.5 5. 1e3 1E3 1e+3 1e-3 1.e1 .e1 e1 1e 1_0.5 0x1p3 1.2.3 .inf .Inf .INF .iNF -.inf +.inf .nan
		.NaN .NAN .nAn inf nan Infinity NaN 1:30 12:30:45 190:20:30.15 -1:30 1:3 2001-12-14 2001-1-1 2001-12-14T21:59:43Z
		2001-12-14t21:59:43.10-05:00 20011214 1.28 1.10 1m 100m 128Mi 1,000 0xg ünÿ é !!str !!null
		'on' "yes" 'null' "1" '' "" !!str+on !!str+1 !!bool+yes !!bool+"on" !!int+"1" !!float+1 !!null+~ !!null+null !x+on
		!!binary+aGk= !!timestamp+2001-12-14 !!str+ !!bool+true`)
	for i, w := range list {
		list[i] = strings.Replace(w, "+", " ", 1)
		if !strings.HasPrefix(w, "!") {
			list[i] = w
		}
	}
	list = append(list, "2001-12-14 21:59:43", "1 2", "a b", "no way", "on #comment", "")
	for w := range strings.FieldsSeq("on off yes no y n true false null t f yea ok none") {
		for mask := range 1 << len(w) {
			letters := []byte(w)
			for i := range letters {
				if mask&(1<<i) != 0 {
					letters[i] -= 'a' - 'A'
				}
			}
			list = append(list, string(letters))
		}
	}
	return list
}

// TestScalar: what a word means is what kubectl reads, as a value and as the name of a field.
func TestScalar(t *testing.T) {
	t.Parallel()
	for _, w := range words() {
		for place, text := range map[string]string{
			"value": "v: " + w + "\n", "in a list": "v:\n- " + w + "\n", "in brackets": "v: [" + w + "]\n",
			"name": "v:\n  ? " + w + "\n  : 1\n",
		} {
			if w == "-" && place == "in brackets" {
				continue // kyaml's parser takes it for a list in the list
			}
			compare(t, text)
		}
	}
}

// compare reads a document as kubectl does, and with Value.
func compare(t *testing.T, text string) {
	t.Helper()
	var doc yaml.Node
	if yaml.Unmarshal([]byte(text), &doc) != nil {
		return // and so there is no tree
	}
	var want any
	wantErr := kubectl.Unmarshal([]byte(text), &want)
	got, err := yamltree.Value(doc.Content[0])
	if (err == nil) != (wantErr == nil) {
		t.Errorf("kubectl says %v, we say %v:\n%s", wantErr, err, text)
	} else if diff := cmp.Diff(want, got); err == nil && diff != "" {
		t.Errorf("(-kubectl +ours)\n%s\nof\n%s", diff, text)
	}
}

// TestOneMeaning: what everything in the package makes of a word is the same.
func TestOneMeaning(t *testing.T) {
	t.Parallel()
	for _, w := range words() {
		n := &yaml.Node{Kind: yaml.MappingNode}
		if err := yaml.Unmarshal([]byte("v: "+w+"\n"), n); err != nil {
			continue
		}
		n = n.Content[0]
		value, err := yamltree.Value(n)
		if err != nil {
			continue
		}
		v := yamltree.Get(n, "v")
		text, isText := value.(map[string]any)["v"].(string)
		if got := yamltree.IsText(v); got != isText && v.ShortTag() != "!x" && v.ShortTag() != "!!binary" &&
			v.ShortTag() != "!!timestamp" {
			t.Errorf("%q: IsText says %v; as a value it is %#v", w, got, value)
		}
		if got := yamltree.IsNull(v); got != (value.(map[string]any)["v"] == nil) {
			t.Errorf("%q: IsNull says %v; as a value it is %#v", w, got, value)
		}
		if isText {
			var back map[string]any
			written, err := yaml.Marshal(&yaml.Node{
				Kind: yaml.MappingNode, Content: []*yaml.Node{yamltree.NewText("v"), yamltree.NewText(text)},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := kubectl.Unmarshal(written, &back); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(value, any(back)); diff != "" {
				t.Errorf("%q is another text once it is written (-want +got)\n%s", w, diff)
			}
		}
		if err := yamltree.Plain(n); err != nil {
			t.Fatal(err)
		}
		plain, err := yamltree.Value(n)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(value, plain); diff != "" {
			t.Errorf("%q: Plain makes something else of it (-want +got)\n%s", w, diff)
		}
	}
}
