package chart_test

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/release"
)

const chartYAML = "apiVersion: v2\nname: tiny\nversion: 1.2.3\nappVersion: 4.5.6\n"

// files makes a chart of file names and contents, below the Chart.yaml that they do not bring themselves.
func files(contents map[string]string) []release.File {
	all := map[string]string{"Chart.yaml": chartYAML}
	maps.Copy(all, contents)
	var out []release.File
	for _, name := range slices.Sorted(maps.Keys(all)) {
		out = append(out, release.File{Name: name, Data: []byte(all[name])})
	}
	return out
}

func load(t *testing.T, contents map[string]string) *chart.Chart {
	t.Helper()
	c, err := chart.Load(files(contents), nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLoad(t *testing.T) {
	c := load(t, map[string]string{
		"values.yaml": "a: 1\n", "files/x.yaml": "x", "README.md": "for people", "templates/NOTES.txt": "for people",
		"templates/a.yaml": "a",
	})
	got := []any{
		c.Name(), c.Version(), c.Defaults(), string(c.File("files/x.yaml")), c.File("README.md"), c.File("templates/a.yaml"),
	}
	want := []any{"tiny", "1.2.3", map[string]any{"a": 1.0}, "x", []byte(nil), []byte(nil)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what a chart is (-want +got)\n%s", diff)
	}
}

func TestLoadFails(t *testing.T) {
	cases := map[string]struct {
		reason   string
		contents map[string]string
		want     string
	}{
		"dependency": {
			reason: "charts of Istio stand alone; a dependency would have to come from somewhere",
			contents: map[string]string{
				"Chart.yaml": chartYAML + "dependencies:\n- name: other\n  version: 1.0.0\n  repository: https://example.com\n",
			},
			want: "chart tiny has dependencies on other charts, which is not supported",
		},
		"vendored chart": {
			reason: "Chart.yaml need not say it: what is below charts/ would be rendered, too",
			contents: map[string]string{
				"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "charts/sub/templates/a.yaml": "a",
			},
			want: "chart tiny has dependencies on other charts, which is not supported",
		},
		"broken Chart.yaml": {
			reason:   "the message says what was being done",
			contents: map[string]string{"Chart.yaml": "name: tiny\n"},
			want:     "loading chart: validation: chart.metadata.version is required",
		},
		"broken values.yaml": {
			reason:   "the message says which file",
			contents: map[string]string{"values.yaml": "a: b: c"},
			want: "loading chart: cannot load values.yaml: error converting YAML to JSON: yaml: mapping values are not " +
				"allowed in this context",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := chart.Load(files(tc.contents), nil)
			if diff := cmp.Diff(tc.want, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
	if _, err := chart.Load(nil, nil); err == nil {
		t.Error("no files are no chart")
	}
}

func TestRender(t *testing.T) {
	cases := map[string]struct {
		reason   string
		contents map[string]string
		values   map[string]any
		target   chart.Target
		want     []chart.Manifest
		err      string
	}{
		"values": {
			reason:   "laid over the defaults of the chart; null removes a default",
			contents: map[string]string{"values.yaml": "a: 1\nb: {c: 1, d: 1}\n", "templates/a.yaml": "{{ toJson .Values }}"},
			values:   map[string]any{"b": map[string]any{"c": 2.0, "d": nil}},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: `{"a":1,"b":{"c":2}}`}},
		},
		"release": {
			reason: "a chart sees an installation of that name in that namespace",
			contents: map[string]string{
				"templates/a.yaml": "{{ .Release.Name }} {{ .Release.Namespace }} {{ .Release.IsInstall }} {{ .Release.IsUpgrade " +
					"}} {{ .Release.Service }}",
			},
			target: chart.Target{Release: "default-istiod", Namespace: "istio-system"},
			want:   []chart.Manifest{{Template: "templates/a.yaml", Text: "default-istiod istio-system true false Helm"}},
		},
		"order": {
			reason: "by template, without partials and those that give nothing",
			contents: map[string]string{
				"templates/b.yaml": "b", "templates/a.yaml": `{{ include "p" . }}`,
				"templates/_p.tpl": `{{ define "p" }}p{{ end }}`, "templates/c.yaml": "{{ if false }}c{{ end }}\n \n",
			},
			want: []chart.Manifest{{Template: "templates/a.yaml", Text: "p"}, {Template: "templates/b.yaml", Text: "b"}},
		},
		"files": {
			reason:   "templates read files of the chart",
			contents: map[string]string{"files/x": "content", "templates/a.yaml": `{{ .Files.Get "files/x" }}`},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: "content"}},
		},
		"lookup": {
			reason:   "there is no cluster to look into",
			contents: map[string]string{"templates/a.yaml": `x{{ lookup "v1" "Secret" "ns" "name" }}`},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: "xmap[]"}},
		},
		"fail": {
			reason:   "the sentence of the chart's author is in the message, with where it stands",
			contents: map[string]string{"templates/a.yaml": `{{ fail "unknown profile x" }}`},
			err:      "rendering chart tiny 1.2.3: execution error at (tiny/templates/a.yaml:1:3): unknown profile x",
		},
		"broken template": {
			reason:   "the message says where",
			contents: map[string]string{"templates/a.yaml": "{{ .Values.a.b.c }}"},
			err: `rendering chart tiny 1.2.3: template: tiny/templates/a.yaml:1:10: executing "tiny/templates/a.yaml" at ` +
				`<.Values.a.b.c>: ` +
				"nil pointer evaluating interface {}.b",
		},
		"resource policy": {
			reason:   "Helm's other annotations ask nothing of us",
			contents: map[string]string{"templates/a.yaml": "metadata: {annotations: {helm.sh/resource-policy: keep}}"},
			want: []chart.Manifest{
				{Template: "templates/a.yaml", Text: "metadata: {annotations: {helm.sh/resource-policy: keep}}"},
			},
		},
		"default Kubernetes version": {
			reason:   "our own, not Helm's meaningless v1.20.0",
			contents: map[string]string{"templates/a.yaml": kubeVersion},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: chart.DefaultKubeVersion + " 1 34"}},
		},
		"Kubernetes version": {
			reason:   "as given",
			contents: map[string]string{"templates/a.yaml": kubeVersion},
			target:   chart.Target{KubeVersion: "1.31"},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: "v1.31 1 31"}},
		},
		"Kubernetes version of a provider": {
			reason: "charts look for the suffix",
			contents: map[string]string{
				"templates/a.yaml": kubeVersion + ` {{ contains "-gke" .Capabilities.KubeVersion.GitVersion }}`,
			},
			target: chart.Target{KubeVersion: "v1.31.2-gke.100"},
			want:   []chart.Manifest{{Template: "templates/a.yaml", Text: "v1.31.2-gke.100 1 31 true"}},
		},
		"no Kubernetes version": {
			reason:   "the message shows how one looks",
			contents: map[string]string{"templates/a.yaml": kubeVersion},
			target:   chart.Target{KubeVersion: "latest"},
			err:      `kube-version "latest" is not a Kubernetes version: write it like v1.34.0`,
		},
		"chart for another Kubernetes": {
			reason:   "a chart may say what it needs; nobody asked Helm to enforce it",
			contents: map[string]string{"Chart.yaml": chartYAML + "kubeVersion: '>=1.99.0'\n", "templates/a.yaml": "a"},
			want:     []chart.Manifest{{Template: "templates/a.yaml", Text: "a"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := load(t, tc.contents).Render(tc.values, tc.target)
			if diff := cmp.Diff(tc.err, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

const kubeVersion = "{{ .Capabilities.KubeVersion.Version }} {{ .Capabilities.KubeVersion.Major }} " +
	"{{ .Capabilities.KubeVersion.Minor }}"

// TestVariants: Only and WithFile make charts of their own and leave the first as it was.
func TestVariants(t *testing.T) {
	c := load(t, map[string]string{
		"files/x": "x", "templates/a.yaml": `a {{ .Files.Get "files/x" }}`, "templates/b.yaml": "b",
	})
	a, b := chart.Manifest{Template: "templates/a.yaml", Text: "a x"}, chart.Manifest{
		Template: "templates/b.yaml", Text: "b",
	}
	cases := map[string]struct {
		reason string
		chart  *chart.Chart
		want   []chart.Manifest
	}{
		"only": {"the templates that were asked for", c.Only(func(t string) bool {
			return t == "templates/b.yaml"
		}), []chart.Manifest{b}},
		"none": {"may be none", c.Only(func(string) bool { return false }), []chart.Manifest{}},
		"other file": {
			"with another content", c.WithFile("files/x", []byte("y")), []chart.Manifest{{Template: a.Template, Text: "a y"}, b},
		},
		"no such":  {"a file that is not there is not added", c.WithFile("files/y", []byte("y")), []chart.Manifest{a, b}},
		"original": {"is what it was", c, []chart.Manifest{a, b}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := tc.chart.Render(nil, chart.Target{})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRenderChangesNothing(t *testing.T) {
	c := load(t, map[string]string{
		"values.yaml": "a: {b: {c: 1}}\nother: {x: 1}\n",
		"templates/a.yaml": `{{ $_ := set .Values.a.b "c" "changed" }}{{ $_ := set .Values.mine.l "k" "changed" }}` +
			`{{ toJson .Values }}`,
	})
	values := func() map[string]any {
		return map[string]any{
			"mine": map[string]any{"l": map[string]any{"k": "v"}}, "other": nil, "a": map[string]any{"d": 1.0},
		}
	}
	given := values()
	first, err := c.Render(given, chart.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(values(), given); diff != "" {
		t.Errorf("a template that sets values must not set the caller's (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(map[string]any{
		"a": map[string]any{"b": map[string]any{"c": 1.0}}, "other": map[string]any{"x": 1.0},
	}, c.Defaults()); diff != "" {
		t.Errorf("nor the chart's (-want +got)\n%s", diff)
	}
	second, err := c.Render(given, chart.Target{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("rendering twice (-first +second)\n%s", diff)
	}
}

// TestDefaults: what the bundles have as JSON is what Helm reads in values.yaml, of every chart of every version.
func TestDefaults(t *testing.T) {
	for _, version := range release.Bundled().Versions() {
		r, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range release.Charts {
			if !r.HasChart(name) {
				continue
			}
			files, err := r.Chart(name)
			if err != nil {
				t.Fatal(err)
			}
			defaults := r.Defaults(name)
			if defaults == nil {
				t.Errorf("%s: the chart %s has no defaults as JSON, so that each process parses its values.yaml", version, name)
				continue
			}
			slow, err := chart.Load(files, nil)
			if err != nil {
				t.Fatal(err)
			}
			quick, err := chart.Load(files, defaults)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(slow.Defaults(), quick.Defaults()); diff != "" {
				t.Errorf("%s: the defaults of %s (-values.yaml +JSON)\n%s", version, name, diff)
			}
		}
	}
}

// TestConcurrent is for the race detector: one chart and one set of values, many goroutines.
func TestConcurrent(t *testing.T) {
	r, err := release.Bundled().Resolve("", nil)
	if err != nil {
		t.Fatal(err)
	}
	istiod, err := r.Chart("istiod")
	if err != nil {
		t.Fatal(err)
	}
	c, err := chart.Load(istiod, nil)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"profile": "ambient", "global": map[string]any{"istioNamespace": "istio-system"},
		"pilot": map[string]any{"env": map[string]any{"A": "b"}},
	}
	var results [4][]chart.Manifest
	var errs [4]error
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() { results[i], errs[i] = c.Render(values, chart.Target{Release: "r", Namespace: "istio-system"}) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		t.Fatal(err)
	}
	for i := range results {
		if diff := cmp.Diff(results[0], results[i]); diff != "" {
			t.Errorf("goroutine %d (-first +this)\n%s", i, diff)
		}
	}
	if len(results[0]) < 10 {
		t.Errorf("istiod has more than %d templates", len(results[0]))
	}
}
