// Package chart renders one Helm chart with Helm's own engine. Nothing else in Lateen knows Helm, and nothing here
// knows Istio: which chart, which values and what becomes of the text is decided by the callers.
package chart

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/release"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// DefaultKubeVersion is what a chart is told about the cluster when nobody says otherwise. Helm's own default is
// v1.20.0, which no supported Istio runs on. It is written into the output, so that the same input stays the same
// output.
const DefaultKubeVersion = "v1.34.0"

// Chart is a Helm chart in memory. It is not changed by rendering and may be rendered by several goroutines at once.
type Chart struct {
	chart *helmchart.Chart
	// templates are those that are executed, in the order of Helm.
	templates []string
	engines   *pool
}

func newChart(c *helmchart.Chart) *Chart {
	out := &Chart{chart: c, engines: &pool{}}
	for _, t := range c.Templates {
		if !strings.HasPrefix(path.Base(t.Name), "_") {
			out.templates = append(out.templates, path.Join(c.Name(), t.Name))
		}
	}
	inOrder(out.templates)
	return out
}

// Load reads a chart from its files. Templates are those that can give objects: notes for people are left out. defaults
// is what values.yaml says, as JSON, or nil if nobody has converted it before.
func Load(files []release.File, defaults []byte) (*Chart, error) {
	var values map[string]any
	if defaults != nil {
		if err := json.Unmarshal(defaults, &values); err != nil {
			return nil, fmt.Errorf("loading chart: its defaults: %w", err)
		}
	}
	buffered := make([]*loader.BufferedFile, 0, len(files))
	for _, f := range files {
		switch {
		case path.Base(f.Name) == "NOTES.txt", f.Name == "README.md":
			continue // text for people; no template reads it
		case f.Name == "values.yaml" && defaults != nil:
			continue
		}
		buffered = append(buffered, &loader.BufferedFile{Name: f.Name, Data: f.Data})
	}
	c, err := loader.LoadFiles(buffered)
	if err != nil {
		return nil, fmt.Errorf("loading chart: %w", err)
	}
	c.Raw = nil
	if defaults != nil {
		c.Values = values
	}
	if len(c.Metadata.Dependencies) > 0 || len(c.Dependencies()) > 0 {
		return nil, fmt.Errorf("chart %s has dependencies on other charts, which is not supported", c.Name())
	}
	return newChart(c), nil
}

// Name is the name in Chart.yaml.
func (c *Chart) Name() string { return c.chart.Name() }

// Version is the version in Chart.yaml.
func (c *Chart) Version() string { return c.chart.Metadata.Version }

// File returns a file of the chart that is not a template, or nil.
func (c *Chart) File(name string) []byte {
	for _, f := range c.chart.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

// Defaults returns the chart's values.yaml. Callers must not change it.
func (c *Chart) Defaults() map[string]any { return c.chart.Values }

// WithFile returns the chart with other content for one of its files that are not templates.
func (c *Chart) WithFile(name string, data []byte) *Chart {
	other := *c.chart
	other.Files = slices.Clone(c.chart.Files)
	for i, f := range other.Files {
		if f.Name == name {
			other.Files[i] = &helmchart.File{Name: name, Data: data}
		}
	}
	return &Chart{chart: &other, templates: c.templates, engines: &pool{}}
}

// Only returns the chart with only those templates executed that keep says yes to, as helm --show-only does: all others
// are there to be included. Istio's zzz_profile.yaml, which computes the values for all others, is always wanted by
// callers; keep is asked for it like for any other file, and for partials, whose base name starts with an underscore,
// it is not asked.
func (c *Chart) Only(keep func(template string) bool) *Chart {
	some := *c
	some.templates = slices.DeleteFunc(slices.Clone(c.templates), func(name string) bool { return !keep(c.local(name)) })
	return &some
}

// local is the path of a template inside of the chart, for the name that it has in the engine.
func (c *Chart) local(name string) string { return strings.TrimPrefix(name, c.Name()+"/") }

// Target is what a chart can know about the installation, besides the values.
type Target struct {
	// Release and Namespace are Helm's .Release.Name and .Release.Namespace.
	Release, Namespace string
	// KubeVersion is .Capabilities.KubeVersion, such as v1.34.0; empty means DefaultKubeVersion.
	KubeVersion string
}

// Manifest is the rendered text of one template: zero or more YAML documents.
type Manifest struct {
	// Template is the path inside the chart: templates/deployment.yaml.
	Template string
	Text     string
}

// Render executes the templates with the values laid over the chart's defaults. The result is ordered by template and
// leaves out templates that gave nothing. values is not changed.
func (c *Chart) Render(values map[string]any, t Target) ([]Manifest, error) {
	kube, err := ParseKubeVersion(t.KubeVersion)
	if err != nil {
		return nil, err
	}
	// Made anew for each try: templates change what they are given.
	top := func() (chartutil.Values, error) {
		caps := chartutil.DefaultCapabilities.Copy()
		caps.KubeVersion = *kube
		options := chartutil.ReleaseOptions{Name: t.Release, Namespace: t.Namespace, Revision: 1, IsInstall: true}
		top, err := chartutil.ToRenderValues(c.chart, values, options, caps)
		if err != nil {
			return nil, fmt.Errorf("values: %w", err)
		}
		return top, nil
	}
	texts, err := c.execute(top)
	if err != nil {
		return nil, fmt.Errorf("rendering chart %s %s: %w", c.Name(), c.Version(), err)
	}
	out := make([]Manifest, 0, len(texts))
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if text := texts[name]; strings.TrimSpace(text) != "" {
			out = append(out, Manifest{Template: c.local(name), Text: text})
		}
	}
	return out, nil
}

// execute executes the templates with what top gives, and gives what they print.
func (c *Chart) execute(top func() (chartutil.Values, error)) (map[string]string, error) {
	given, err := top()
	if err != nil {
		return nil, err
	}
	r := &request{
		name: c.Name(), top: given, templates: c.templates, texts: make(map[string]string, len(c.templates)),
		done: make(chan struct{}),
	}
	if c.engines.render(c.chart, r) {
		return r.texts, nil
	}
	// Something is wrong, and what the engine says of a template that another one includes is not what it says of the
	// template.
	if given, err = top(); err != nil {
		return nil, err
	}
	texts, err := engine.Engine{}.Render(c.chart, given)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(texts, func(name, _ string) bool { return !slices.Contains(c.templates, name) })
	return texts, nil
}

// ErrKubeVersion is why a Kubernetes version cannot be read, as what follows it in a sentence.
var ErrKubeVersion = errors.New("is not a Kubernetes version: write it like " + DefaultKubeVersion)

// ParseKubeVersion reads a Kubernetes version such as v1.34.0 or 1.34. Empty means DefaultKubeVersion.
// Any error wraps ErrKubeVersion.
func ParseKubeVersion(s string) (*chartutil.KubeVersion, error) {
	if s == "" {
		s = DefaultKubeVersion
	}
	v, err := chartutil.ParseKubeVersion(s)
	if err != nil {
		return nil, fmt.Errorf("kube-version %q %w", s, ErrKubeVersion)
	}
	// A suffix such as -gke.100 is what charts look for; the library's parser drops it.
	if i := strings.IndexAny(s, "-+"); i > 0 {
		v.Version += s[i:]
	}
	return v, nil
}
