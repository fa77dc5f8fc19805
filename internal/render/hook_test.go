package render

import (
	"strings"
	"testing"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/release"
)

// TestHooks: whatever the spelling, an object that Helm would run at a certain moment is an error; text about hooks is
// not.
func TestHooks(t *testing.T) {
	for _, c := range []struct {
		reason, annotations, data string
		hook                      bool
	}{
		{"double quotes", `"helm.sh/hook": pre-install`, "", true},
		{"single quotes", `'helm.sh/hook': pre-install`, "", true},
		{"no quotes", `helm.sh/hook: pre-install`, "", true},
		{"a space before the colon", `helm.sh/hook : pre-install`, "", true},
		{"another annotation of Helm", `helm.sh/resource-policy: keep`, "", false},
		{"a comment", "# helm.sh/hook: none\n    a: b", "", false},
		{"text", "a: b", "helm.sh/hook: in a text", false},
	} {
		loaded, err := chart.Load([]release.File{
			{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: a\nversion: 1.0.0\n")},
			{Name: "templates/a.yaml", Data: []byte(
				"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  annotations:\n    " +
					c.annotations + "\ndata:\n  text: \"" + c.data + "\"\n")},
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = renderLoaded(loaded, nil, chart.Target{})
		if is := err != nil && strings.Contains(err.Error(), "is a Helm hook"); is != c.hook {
			t.Errorf("%s: hook is %v, want %v (%v)", c.reason, is, c.hook, err)
		}
	}
}
