package yamltree_test

import (
	"testing"

	"github.com/lateen-io/lateen/internal/yamltree"
)

func TestLocate(t *testing.T) {
	t.Parallel()
	o := tree(t, `kind: Istio
metadata:
  annotations:
    lateen.io/track: "x"
spec: &spec
  values:
    meshConfig:
      extensionProviders:
      - name: a
      - name: b
  a.b: 1
copy: *spec
values:
  on: 1
`)
	cases := []struct {
		reason, path string
		line         int
	}{
		{"the whole resource", "", 1},
		{"a field is found by its name", "spec.values", 6},
		{"names may have dots and slashes", "metadata.annotations.lateen.io/track", 4},
		{"the longest name that fits is meant", "spec.a.b", 11},
		{"a list has numbers", "spec.values.meshConfig.extensionProviders.1.name", 10},
		{"an element of a list", "spec.values.meshConfig.extensionProviders.0", 9},
		{"beyond the list: the list", "spec.values.meshConfig.extensionProviders.7.name", 8},
		{"not there: the nearest above", "spec.values.pilot.env", 6},
		{"nothing of it is there: the resource", "status.x", 1},
		{"through an alias", "copy.values.meshConfig", 7},
		{"a name as kubectl reads it", "values.true", 14},
		{"odd paths do not loop", "..spec..", 1},
	}
	for _, tc := range cases {
		if n := yamltree.Locate(o, tc.path); n == nil || n.Line != tc.line {
			t.Errorf("%s: %s: want line %d, got %+v", tc.reason, tc.path, tc.line, n)
		}
	}
}

func TestWritten(t *testing.T) {
	t.Parallel()
	n := tree(t, "a: &a\n  b: [1.20, x]\nc: *a\nd: {<<: *a}\n")
	cases := []struct {
		reason string
		path   []string
		want   string
		known  bool
	}{
		{"a number as it was written", []string{"a", "b", "0"}, "1.20", true},
		{"through an alias", []string{"c", "b", "1"}, "x", true},
		{"behind a merge key", []string{"d", "b", "1"}, "", false},
		{"no scalar", []string{"a", "b"}, "", false},
		{"not there", []string{"a", "x"}, "", false},
	}
	for _, tc := range cases {
		if got, known := yamltree.Written(n, tc.path); got != tc.want || known != tc.known {
			t.Errorf("%s: %q: want %q, %v; got %q, %v", tc.reason, tc.path, tc.want, tc.known, got, known)
		}
	}
}
