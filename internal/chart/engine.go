package chart

import (
	"cmp"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// Helm's engine parses all templates of a chart on each call, which takes as long as executing them. An engine below is
// one call that does not end: among the chart's templates is one more, which the call executes first, and which takes
// requests from a channel and executes the chart's own templates for them, the way Helm does. docs/adr/0013 has the
// reasoning.

// driver is that template. The methods are those of a request; $ is what Helm gives to every template of the chart. The
// sentence at its end keeps the engine from executing the rest of the chart when there are no more requests.
const driver = `{{ range $request := .Values.requests -}}
  {{ $scope := $request.Scope $ -}}
  {{ range $request.Templates }}{{ $request.Enter $scope . }}{{ $request.Leave . (include . $scope) }}{{ end -}}
  {{ $request.Done -}}
{{ end }}{{ fail "no more requests" }}`

// driverName is deep enough to come before every other template in the engine's order.
var driverName = strings.Repeat("lateen/", 64) + "driver"

// request is one rendering. Its methods are for the driver.
type request struct {
	name      string // of the chart
	top       chartutil.Values
	templates []string
	texts     map[string]string // by template
	done      chan struct{}
}

// Scope is what the templates see: what the engine would have made of the chart and the values. Templates write into it
// for those that come after them.
func (r *request) Scope(driver chartutil.Values) chartutil.Values {
	scope := maps.Clone(driver)
	for _, key := range []string{"Values", "Release", "Capabilities"} {
		scope[key] = r.top[key]
	}
	scope["Subcharts"] = map[string]any{} // there are none, but templates may write into it
	return scope
}

// Templates are the names of the templates to execute, in the order of Helm.
func (r *request) Templates() []string { return r.templates }

// Enter notes which template is executed.
func (r *request) Enter(scope chartutil.Values, template string) string {
	scope["Template"] = chartutil.Values{"Name": template, "BasePath": r.name + "/templates"}
	return ""
}

// Leave takes what a template has printed.
func (r *request) Leave(template, text string) string {
	r.texts[template] = strings.ReplaceAll(text, "<no value>", "") // as the engine does; see there
	return ""
}

// Done ends the request.
func (r *request) Done() string {
	close(r.done)
	return ""
}

// running is a call of the engine that waits for requests.
type running struct {
	requests chan<- *request
	// ended is closed when the call has returned, which it only does after an error.
	ended <-chan struct{}
}

// start calls the engine for the templates of a chart.
func start(c *helmchart.Chart) *running {
	driven := *c
	driven.Templates = append(slices.Clone(c.Templates), &helmchart.File{Name: driverName, Data: []byte(driver)})
	requests, ended := make(chan *request), make(chan struct{})
	go func() {
		defer close(ended)
		// What the error says is found out by whoever was waiting for the request.
		_, _ = engine.Engine{}.Render(&driven, chartutil.Values{"Values": chartutil.Values{"requests": requests}})
	}()
	r := &running{requests, ended}
	runtime.AddCleanup(r, func(requests chan<- *request) { close(requests) }, requests)
	return r
}

// pool keeps running engines of one chart while they are not used; the garbage collector ends those that are not used
// for long.
type pool struct{ idle sync.Pool }

// render executes templates of a chart, and tells whether that went well.
func (p *pool) render(c *helmchart.Chart, r *request) bool {
	e, ok := p.idle.Get().(*running)
	if !ok {
		e = start(c)
	}
	select {
	case e.requests <- r:
	case <-e.ended:
		return false
	}
	select {
	case <-r.done:
		p.idle.Put(e)
		return true
	case <-e.ended:
		return false
	}
}

// inOrder sorts the names of templates as the engine does: those in deeper directories first, then from z to a.
// Templates see what those before them have set.
func inOrder(templates []string) {
	slices.SortFunc(templates, func(a, b string) int {
		return cmp.Or(cmp.Compare(strings.Count(b, "/"), strings.Count(a, "/")), strings.Compare(b, a))
	})
}
