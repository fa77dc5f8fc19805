package resource_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

func TestLocationOf(t *testing.T) {
	cases := map[string]struct {
		reason      string
		annotations string
		want        resource.Location
	}{
		"none": {"unknown", "{}", resource.Location{}},
		"internal": {
			"as kpt and kustomize write it",
			"{internal.config.kubernetes.io/path: a.yaml, internal.config.kubernetes.io/index: '3'}",
			resource.Location{Path: "a.yaml", Index: 3},
		},
		"legacy": {
			"as they wrote it earlier", "{config.kubernetes.io/path: a.yaml, config.kubernetes.io/index: '3'}",
			resource.Location{Path: "a.yaml", Index: 3},
		},
		"both": {
			"the new spelling counts", "{config.kubernetes.io/path: b.yaml, internal.config.kubernetes.io/path: a.yaml}",
			resource.Location{Path: "a.yaml"},
		},
		"broken": {
			"an index that is no number is the first",
			"{internal.config.kubernetes.io/path: a.yaml, internal.config.kubernetes.io/index: x}",
			resource.Location{Path: "a.yaml"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got := resource.LocationOf(object(t, "metadata: {name: a, annotations: "+tc.annotations+"}"))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestParseDocuments(t *testing.T) {
	got := objects(t, "# comment\n---\n---\na: 1\n---\nnull\n---\nb: 1\n")
	if len(got) != 2 || got[0].Node().Line != 4 || got[1].Node().Line != 8 {
		t.Errorf("empty documents are left out, lines are those of the file: %d documents", len(got))
	}
	for text, want := range map[string]string{
		"a: 1\n---\n- b\n": "line 3: a Kubernetes resource is expected here: not a YAML mapping",
		"a: b: c":          "not YAML: yaml: mapping values are not allowed in this context",
	} {
		_, err := resource.ParseDocuments([]byte(text))
		if diff := cmp.Diff(want, message(err)); diff != "" {
			t.Errorf("(-want +got)\n%s", diff)
		}
	}
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

// TestParseError: who reads a text of many documents is told which one, and which line of the whole.
func TestParseError(t *testing.T) {
	cases := map[string]struct {
		reason, text   string
		document, line int
	}{
		"no resource":      {"documents count from 0, lines from 1", "a: 1\n---\n- b\n", 1, 3},
		"empty documents":  {"they count: who splits the text has them", "---\n---\n# nothing\n---\nx\n", 2, 5},
		"no YAML":          {"the line is that of the library", "a: 1\n---\nb: 1\nc: d: e\n", 1, 4},
		"the first line":   {"the library does not say it of the first line", "a: b: c", 0, 0},
		"items of a list":  {"of a list, the item", "a: 1\n---\napiVersion: v1\nkind: List\nitems:\n- a: 1\n- text\n", 1, 7},
		"items is no list": {"of a list, the field", "apiVersion: v1\nkind: List\nitems: {a: 1}\n", 0, 3},
	}
	for name, tc := range cases {
		_, err := resource.ParseDocuments([]byte(tc.text))
		wrong, ok := errors.AsType[*resource.ParseError](err)
		if !ok {
			t.Errorf("%s: %s: %T %[3]v", name, tc.reason, err)
			continue
		}
		want, got := [2]int{tc.document, tc.line}, [2]int{wrong.Document, wrong.Line}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s: document and line (-want +got)\n%s%v", name, tc.reason, diff, err)
		}
	}
}
