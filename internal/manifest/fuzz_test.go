package manifest_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/manifest"
)

// FuzzParse: no text makes Parse panic; what it accepts is written as something it accepts again, as the same objects,
// and stamping does not change that.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", head, head + "---\n" + head, head + "data: {k: |\n    ${x}\n}\n",
		head + "data:\n  a: &x {k: v}\n  <<: *x\n",
		"kind: ValidatingWebhookConfiguration\napiVersion: v1\nmetadata: {name: a}\nwebhooks: [{failurePolicy: Ignore}]\n",
		head + "resourceFieldRef: {a: b}\n", head + "data: {? [a] : b, !!binary c: d}\n",
		"!!map {apiVersion: v1, kind: K, metadata: {name: a, labels: [1], annotations: x}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.Count(text, "*") > 1 {
			t.Skip("inputs are bounded; what many aliases cost is a case of TestParse")
		}
		objects, err := manifest.Parse(text)
		if err != nil {
			return
		}
		for _, o := range objects {
			manifest.Stamp{Owner: "Istio/x", Revision: "x", Protect: true}.Apply(o)
		}
		manifest.Sort(objects)
		first := encode(t, objects...)
		for i, o := range objects {
			objects[i] = o.Pack()
		}
		if diff := cmp.Diff(first, encode(t, objects...)); diff != "" {
			t.Fatalf("packed, it is written in another way (-first +packed)\n%s", diff)
		}
		again, err := manifest.Parse(first)
		if err != nil {
			t.Fatalf("%v in what was written:\n%s", err, first)
		}
		if diff := cmp.Diff(first, encode(t, again...)); diff != "" {
			t.Fatalf("written twice (-first +second)\n%s", diff)
		}
	})
}
