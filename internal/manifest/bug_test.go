package manifest_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Text that SetLabel and SetAnnotation write is not quoted where only YAML 1.1 takes it for a boolean: yes, no, on, off,
// y, n. kubectl, kustomize and the API server (sigs.k8s.io/yaml) do: the label lateen.io/revision of an Istio named
// "on" becomes a boolean, and the object is rejected.
func TestBugSetTextThatYAML11TakesForBoolean(t *testing.T) {
	for _, text := range ambiguous {
		o := one(t, head)
		o.SetLabel("l", text)
		o.SetAnnotation("a", text)
		want := map[string]any{"name": "a", "labels": map[string]any{"l": text}, "annotations": map[string]any{"a": text}}
		if diff := cmp.Diff(want, reread(t, o)["metadata"]); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
	}
}
