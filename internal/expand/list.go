package expand

import (
	"fmt"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Expanded is what the resources among some items have become.
type Expanded struct {
	// Outputs, Sources and options belong together by index.
	Outputs []Output
	Sources []krm.Resource
	options []krm.Options
	// Results are what was found. If any is an error, the outputs are incomplete.
	Results fn.Results
}

// Items expands every Istio and IstioRevision that a user wrote. memory tells whether older revisions stay where the
// output goes.
func Items(items []manifest.Object, options krm.Options, memory bool) Expanded {
	var e Expanded
	var requests []Request
	for _, item := range items {
		if !krm.IsResource(item) {
			continue
		}
		r, results := krm.Decode(item)
		e.Results = append(e.Results, results...)
		if HasError(results) {
			continue
		}
		inForce := r.Options.Over(options)
		e.Sources = append(e.Sources, r)
		e.options = append(e.options, inForce)
		requests = append(requests, Request{Resource: r, Options: inForce, Protect: !memory})
	}
	outputs, results := Package(requests)
	e.Outputs = outputs
	e.Results = append(e.Results, results...)
	return e
}

// Plain gives the objects for a place that remembers nothing: no resources of sailoperator.io, unless the user has them
// tracked.
func (e *Expanded) Plain() ([]manifest.Object, error) {
	var all []manifest.Object
	for i, out := range e.Outputs {
		if e.options[i][krm.OptionTrack] == "true" {
			source := SourceObject(e.Sources[i].Object)
			all = append(all, source)
			if e.Sources[i].Istio != nil {
				rev, err := RevisionObject(out, source)
				if err != nil {
					return nil, err
				}
				rev.SortAnnotations()
				all = append(all, rev)
			}
		}
		all = append(all, out.Objects...)
	}
	for _, o := range all {
		o.SortAnnotations()
	}
	if len(e.Outputs) > 1 {
		manifest.Sort(all)
	}
	if id, twice := manifest.Duplicate(all); twice {
		return nil, fmt.Errorf("two resources both generate %s: give them different names or namespaces", id)
	}
	return all, nil
}

// List is the function render-istio: it computes the output list for an input list. On an error the output has the
// items of the input, unchanged, and the results tell what is wrong.
func List(in *krm.List, options krm.Options) *krm.List {
	out := *in
	out.Config = nil
	failed := func(results ...*fn.Result) *krm.List {
		out.Items, out.Results = in.Items, append(slices.Clone(in.Results), results...)
		return &out
	}
	failure := func(err error) *krm.List { return failed(&fn.Result{Message: err.Error(), Severity: fn.Error}) }

	work := in.Items
	scope := func(owner string) bool {
		kind, _, _ := strings.Cut(owner, "/")
		return kind == v1.KindIstio || kind == v1.KindIstioRevision
	}
	memory := Remembers(in.Items)
	generator := false
	if config := in.Config; config != nil {
		switch {
		case krm.IsResource(*config):
			// The resource itself is the configuration: of kustomize's generator, or of a kpt mutator with configPath. Only
			// this one is expanded.
			owner := config.Kind() + "/" + config.ID().Name
			scope = func(o string) bool { return o == owner }
			i := slices.IndexFunc(in.Items, func(o manifest.Object) bool { return krm.IsResource(o) && o.ID() == config.ID() })
			if generator = !memory; generator || i < 0 {
				work = []manifest.Object{*config}
			} else {
				work = []manifest.Object{in.Items[i]}
			}
			if generator && i >= 0 { // kustomize passes the configuration among the items as well
				out.Items = slices.Delete(slices.Clone(in.Items), i, i+1)
			}
		case config.Kind() == "ConfigMap":
			fromConfig, results := krm.OptionsOfConfig(*config)
			if len(results) > 0 {
				return failed(results...)
			}
			options = fromConfig.Over(options)
		default:
			return failure(fmt.Errorf("functionConfig is a %s %q; give an Istio or IstioRevision of %s, or a ConfigMap with options",
				config.Kind(), config.ID().Name, v1.GroupVersion))
		}
	}
	e := Items(work, options, memory)
	if HasError(e.Results) {
		return failed(e.Results...)
	}
	if generator {
		objects, err := e.Plain()
		if err != nil {
			return failure(err)
		}
		if items, err := krm.Replace(out.Items, scope, []krm.Expansion{{Source: work[0], Owner: e.Outputs[0].Owner, Objects: objects}}); err != nil {
			return failure(err)
		} else {
			out.Items = items
		}
		out.Results = append(slices.Clone(in.Results), append(e.Results, e.untracked()...)...)
		return &out
	}
	expansions := make([]krm.Expansion, len(e.Outputs))
	for i, o := range e.Outputs {
		source := e.Sources[i]
		objects := o.Objects
		if source.Istio != nil {
			rev, err := RevisionObject(o, source.Object)
			if err != nil {
				return failure(err)
			}
			objects = append([]manifest.Object{rev}, objects...)
		}
		expansions[i] = krm.Expansion{Source: source.Object, Owner: o.Owner, Objects: objects, Active: o.Revision.Name}
	}
	items, err := krm.Replace(in.Items, scope, expansions)
	if err != nil {
		return failure(err)
	}
	out.Items, out.Results = items, append(slices.Clone(in.Results), e.Results...)
	return &out
}

// untracked warns of a RevisionBased control plane whose old revisions nobody will remove.
func (e *Expanded) untracked() fn.Results {
	var results fn.Results
	for i, r := range e.Sources {
		if r.Istio != nil && r.Istio.Spec.UpdateStrategy.Type == v1.UpdateStrategyRevisionBased && e.options[i][krm.OptionTrack] != "true" {
			results = append(results, krm.Result(r.Object, fn.Warning, []string{"spec", "updateStrategy", "type"},
				"RevisionBased without tracking: kustomize has no memory, so nobody will remove the old revision after an upgrade. "+
					`Set the annotation lateen.io/track: "true" and run the controller, or remove old revisions by hand`))
		}
	}
	return results
}

// Remembers tells whether the caller keeps items in files (kpt): what an earlier run generated comes back as input.
func Remembers(items []manifest.Object) bool {
	return slices.ContainsFunc(items, func(o manifest.Object) bool { return o.Annotation(krm.AnnotationPath) != "" })
}

// HasError tells whether a result is an error.
func HasError(results fn.Results) bool {
	return slices.ContainsFunc(results, func(r *fn.Result) bool { return r.Severity == fn.Error })
}
