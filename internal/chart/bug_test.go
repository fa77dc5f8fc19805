package chart_test

import (
	"errors"
	"testing"

	"github.com/lateen-io/lateen/internal/chart"
)

// Hooks are looked for in the text, and these spellings are missed. The parsed annotations would have them all.
func TestBugHookSpellings(t *testing.T) {
	for _, annotation := range []string{`'helm.sh/hook': pre-install`, `helm.sh/hook : pre-install`, `"helm.sh\/hook": pre-install`} {
		c := load(t, map[string]string{"templates/a.yaml": "metadata:\n  annotations:\n    " + annotation + "\n"})
		if _, err := c.Render(nil, chart.Target{}); !errors.Is(err, chart.ErrHook) {
			t.Errorf("%s is a hook; got %v", annotation, err)
		}
	}
}

// ... and these are no hooks.
func TestBugHookInText(t *testing.T) {
	for _, text := range []string{"# no helm.sh/hook: here", "data: {text: 'about helm.sh/hook: nothing'}"} {
		c := load(t, map[string]string{"templates/a.yaml": "kind: ConfigMap\n" + text + "\n"})
		if _, err := c.Render(nil, chart.Target{}); err != nil {
			t.Errorf("%s is no hook; got %v", text, err)
		}
	}
}

// A subchart below charts/ that Chart.yaml does not mention is loaded and rendered with the chart, and the names of its
// templates are not below templates/. Reject it like a declared dependency.
func TestBugVendoredSubchart(t *testing.T) {
	_, err := chart.Load(files(map[string]string{
		"charts/sub/Chart.yaml":       "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/sub/templates/a.yaml": "a",
	}))
	if err == nil {
		t.Error("a chart that brings another chart must be rejected")
	}
}
