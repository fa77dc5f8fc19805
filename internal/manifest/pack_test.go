package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPack: what is packed is written and read as if it were not, also if it is changed above.
func TestPack(t *testing.T) {
	cases := map[string]struct {
		reason, text string
		head         int // fields that are left as a tree
	}{
		"object":             {"what is below metadata is text", head + "data:\n  a: b\nspec: {}\n", 3},
		"head in the middle": {"stays a tree as a whole", "data: {}\n" + head, 4},
		"nothing below":      {"nothing to pack", head, 3},
		"comment below":      {"the library writes it with all around it", head + "data: # b\n  a: b\n", 3},
		"anchor":             {"copied when it was read", head + "a: &x [b]\nc: *x\n", 3},
		"text of YAML 1.1":   {"asks the library for one line", head + "a: 12:30\n", 3},
		"empty block":        {"is written in quotes", head + "data:\n  a: |\n", 3},
		"list of lists":      {"the library writes it", head + "a:\n- - b\n", 3},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := one(t, tc.text)
			packed := o.Pack()
			if got := len(packed.Node().Content) / 2; got != tc.head {
				t.Errorf("%s: %d fields are a tree, not %d", tc.reason, got, tc.head)
			}
			packed.SetLabel("l", "m")
			o.SetLabel("l", "m")
			if diff := cmp.Diff(encode(t, o), encode(t, packed)); diff != "" {
				t.Errorf("%s: with a label (-tree +packed)\n%s", tc.reason, diff)
			}
			var a, b map[string]any
			if err := packed.Decode(&a); err != nil {
				t.Fatal(err)
			}
			if err := o.Decode(&b); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(b, a); diff != "" {
				t.Errorf("%s: decoded (-tree +packed)\n%s", tc.reason, diff)
			}
		})
	}
}
