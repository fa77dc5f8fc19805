package render_test

import (
	"os"
	"strings"
	"testing"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestDocumentedMessages: the sentences of docs/rendering.md, "What is said about values", are those that are said, all
// of them and to the letter.
func TestDocumentedMessages(t *testing.T) {
	data, err := os.ReadFile("../../docs/rendering.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(data), "\n## What is said about values\n")
	if !found {
		t.Fatal("docs/rendering.md has no such section")
	}
	documented := map[string]bool{}
	for line := range strings.Lines(section) {
		if strings.HasPrefix(line, "spec.") {
			documented[strings.TrimSpace(line)] = true
		}
	}
	rel, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ values, written string }{
		{`{"meshConfig":{"connectTimeout":30}}`, "30"},
		{`{"global":{"tag":1.2}}`, "1.20"},
		{`{"pilot":{"resources":{"requests":{"cpu":"100 m"}}}}`, ""},
		{`{"global":{"tag":""}}`, ""},
		{`{"revisionTags":["a","a"]}`, ""},
		{`{"global":{"platform":"eks"}}`, ""},
		{`{"compatibilityVersion":"1.20"}`, ""},
		{`{"profile":"nope"}`, ""},
		{`{"revision":"canary"}`, ""},
		{`{"defaultRevision":"canary"}`, ""},
		{`{"pilot":{"env":{"CLUSTER_ID":"cluster1"}}}`, ""},
		{`{"meshConfig":{"discoverySelectors":[{"matchExpressions":[{"key":"a","operator":"in"}]}]}}`, ""},
		{`{"meshConfig":{"discoverySelectors":[{"matchExpressions":[{"key":"a","operator":"In"}]}]}}`, ""},
		{`{"global":{"meshID":"${mesh}"}}`, ""},
	} {
		istio := &v1.Istio{Spec: v1.IstioSpec{Version: "v1.28.3", Values: &v1.Values{Raw: []byte(c.values)}}}
		istio.Name = "default"
		istio.Default()
		problems, err := render.CheckIstio(rel, istio,
			render.Source{Written: func([]string) (string, bool) { return c.written, c.written != "" }})
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) == 0 {
			rev, err := render.PlanRevision(render.PlanInput{Istio: istio, Release: rel})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := render.RenderRevision(render.RevisionInput{
				Revision: rev, Release: rel,
				Warn: func(p render.Problem) { problems = append(problems, p) },
			}); err != nil {
				t.Fatal(err)
			}
		}
		if len(problems) != 1 {
			t.Errorf("%s: %v", c.values, problems)
			continue
		}
		if !documented[problems[0].String()] {
			t.Errorf("docs/rendering.md does not have: %s", problems[0])
		}
		delete(documented, problems[0].String())
	}
	for line := range documented {
		t.Errorf("docs/rendering.md says what nothing says: %s", line)
	}
}
