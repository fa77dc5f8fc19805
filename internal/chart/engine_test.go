package chart

import (
	"context"
	"runtime"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"

	"github.com/lateen-io/lateen/internal/release"
)

// made makes a chart of templates.
func made(templates map[string]string) *helmchart.Chart {
	c := &helmchart.Chart{
		Metadata: &helmchart.Metadata{Name: "tiny", Version: "1.2.3", APIVersion: "v2"},
		Values:   map[string]any{"d": "default"},
	}
	for name, text := range templates {
		c.Templates = append(c.Templates, &helmchart.File{Name: name, Data: []byte(text)})
	}
	c.Files = []*helmchart.File{{Name: "files/x", Data: []byte("content")}}
	return c
}

// TestLikeHelm compares what a running engine gives with what a call of the engine gives: the text of each template.
func TestLikeHelm(t *testing.T) {
	const note = `{{ $_ := set .Values "seen" (append (.Values.seen | default list) .Template.Name) }}`
	cases := map[string]struct {
		reason    string
		templates map[string]string
	}{
		"what templates see": {"all that Helm shows", map[string]string{
			"templates/a.yaml": `{{ .Chart.Name }} {{ .Chart.IsRoot }} {{ .Chart.Version }} {{ .Release.Name }} ` +
				`{{ .Release.Revision }} {{ .Files.Get "files/x" }} {{ .Template.Name }} ` +
				`{{ .Template.BasePath }} {{ .Capabilities.KubeVersion }} {{ .Values.d }} {{ .Values.v }} {{ .Subcharts }} ` +
				`{{ keys . | sortAlpha }}`,
		}},
		"order": {"deep ones first, then from z to a; each sees what those before it have set", map[string]string{
			"templates/a.yaml": note + `{{ .Values.seen }}`, "templates/z.yaml": note + `{{ .Values.seen }}`,
			"templates/sub/m.yaml":      note + `{{ .Values.seen }}`,
			"templates/sub/deep/b.yaml": note + `{{ .Values.seen }}`, "templates/_p.yaml": note,
			"templates/B.yaml": note + `{{ .Values.seen }}`,
		}},
		"values replaced": {"as Istio's zzz_profile does", map[string]string{
			"templates/zzz.yaml": `{{ $_ := set $ "Values" (mustMergeOverwrite (dict "v" "x" "d" "y") (dict "e" "z")) }}`,
			"templates/a.yaml":   `{{ toJson .Values }}`,
		}},
		"what is left": {"each rendering begins anew", map[string]string{
			"templates/a.yaml": `{{ range list .Values .Subcharts .Release . }}{{ $n := add1 (.n | default 0) }}` +
				`{{ $_ := set . "n" $n }}{{ $n }}{{ end }}{{ tpl "{{ define \"q\" }}q{{ end }}{{ include \"q\" . }}" . }}`,
		}},
		"include": {
			"partials, and other templates by their names",
			map[string]string{
				"templates/_p.tpl": `{{ define "p" }}<{{ .Template.Name }}>{{ end }}`, "templates/a.yaml": `{{ include "p" . }}`,
				"templates/b.yaml": `{{ include "tiny/templates/a.yaml" . }}`,
			},
		},
		"defined twice": {
			"the last one that is read counts",
			map[string]string{
				"templates/a.yaml": `{{ define "p" }}a{{ end }}{{ include "p" . }}`,
				"templates/b.yaml": `{{ define "p" }}b{{ end }}{{ include "p" . }}`,
			},
		},
		"tpl": {
			"text that is a template", map[string]string{"templates/a.yaml": `{{ tpl "{{ .Values.v }}{{ .Values.none }}" . }}`},
		},
		"missing": {
			"prints nothing", map[string]string{
				"templates/a.yaml": `a{{ .Values.none }}b{{ .Values.none | default "c" }}<no value>`,
			},
		},
		"nothing": {"no template, no text", map[string]string{}},
		"a name like ours": {
			"is no harm", map[string]string{"templates/driver": "a", "templates/lateen/driver": "b{{ .Values.requests }}"},
		},
		"range and else": {
			"the value of a template is its text",
			map[string]string{"templates/a.yaml": `{{ range .Values.list }}{{ . }}{{ else }}none{{ end }}`},
		},
		"text of the types": {
			"numbers as Helm reads them", map[string]string{
				"templates/a.yaml": `{{ .Values.n }} {{ kindOf .Values.n }} {{ typeOf .Values }} {{ typeOf . }} {{ typeOf ` +
					`.Release }} {{ typeOf .Capabilities }}`,
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			c := made(tc.templates)
			top := func() chartutil.Values {
				top, err := chartutil.ToRenderValues(c, map[string]any{"v": "given", "n": 1.0},
					chartutil.ReleaseOptions{Name: "r", Namespace: "ns", Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
				if err != nil {
					t.Fatal(err)
				}
				return top
			}
			want, err := engine.Engine{}.Render(c, top())
			if err != nil {
				t.Fatal(err)
			}
			ours := newChart(c)
			for _, round := range []string{"first", "second"} { // the second finds what the first has left
				r := &request{
					name: c.Name(), top: top(), templates: ours.templates, texts: map[string]string{}, done: make(chan struct{}),
				}
				if !ours.engines.render(c, r) {
					t.Fatalf("%s: the engine ended", tc.reason)
				}
				if diff := cmp.Diff(want, r.texts); diff != "" {
					t.Errorf("%s, %s round (-Helm +ours)\n%s", tc.reason, round, diff)
				}
			}
		})
	}
}

// TestAfterAnError: an error ends an engine, and the next rendering has another one.
func TestAfterAnError(t *testing.T) {
	c := newChart(made(map[string]string{
		"templates/a.yaml": `{{ if .Values.bad }}{{ fail "told so" }}{{ end }}{{ .Values.v }}`,
	}))
	for round, bad := range []bool{false, true, true, false, false} {
		got, err := c.Render(map[string]any{"bad": bad, "v": "x"}, Target{})
		if bad {
			if err == nil || !strings.HasSuffix(err.Error(), "execution error at (tiny/templates/a.yaml:1:23): told so") {
				t.Errorf("round %d: %v", round, err)
			}
			continue
		}
		if diff := cmp.Diff([]Manifest{{Template: "templates/a.yaml", Text: "x"}}, got); diff != "" || err != nil {
			t.Errorf("round %d: %v (-want +got)\n%s", round, err, diff)
		}
	}
}

// TestErrorAfterChange: what a template has changed before an error is not there when the error is found out.
func TestErrorAfterChange(t *testing.T) {
	c := newChart(made(map[string]string{
		"templates/zzz.yaml": `{{ $_ := unset .Values "inner" }}`,
		"templates/b.yaml":   `{{ .Values.inner.x }}`, // reached first by a second try with the same values
		"templates/c.yaml": `{{ if .Values.seen }}rendered{{ else }}{{ $_ := set .Values "seen" true }}{{ fail "told so" ` +
			`}}{{ end }}`,
	}))
	_, err := c.Render(map[string]any{"inner": map[string]any{"x": "y"}}, Target{})
	if err == nil || !strings.HasSuffix(err.Error(), "(tiny/templates/c.yaml:1:77): told so") {
		t.Errorf("got %v", err)
	}
}

// TestErrorOfIstiod compares the sentences about values that the charts cannot take with those of a plain call.
func TestErrorOfIstiod(t *testing.T) {
	rel, err := release.Bundled().Resolve("", nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := rel.Chart("istiod")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Load(files, rel.Defaults("istiod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, values := range []map[string]any{
		{"podLabels": 3.0}, {"env": 3.0}, {"deploymentLabels": "zz"}, {"profile": "none"},
	} {
		top, err := chartutil.ToRenderValues(c.chart, values, chartutil.ReleaseOptions{Revision: 1, IsInstall: true},
			chartutil.DefaultCapabilities)
		if err != nil {
			t.Fatal(err)
		}
		_, want := engine.Engine{}.Render(c.chart, top)
		_, got := c.Render(values, Target{})
		if want == nil || got == nil || !strings.HasSuffix(got.Error(), want.Error()) {
			t.Errorf("%v:\nHelm says %v\nwe say    %v", values, want, got)
		}
	}
}

// TestUnusedEnginesEnd: an engine that nothing uses is a goroutine and megabytes of parsed templates.
func TestUnusedEnginesEnd(t *testing.T) {
	c := newChart(made(map[string]string{"templates/a.yaml": `a`}))
	if _, err := c.Render(nil, Target{}); err != nil {
		t.Fatal(err)
	}
	waiting := func() bool {
		var b strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(b.String(), "chart.start.func1")
	}
	if !waiting() {
		t.Fatal("no engine waits, so this test would see none end")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	for waiting() {
		if ctx.Err() != nil {
			t.Fatal("the engine still waits for requests")
		}
		runtime.GC()
	}
	if got, err := c.Render(nil, Target{}); err != nil || len(got) != 1 {
		t.Errorf("rendered after that: %v, %v", got, err)
	}
}
