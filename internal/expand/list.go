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
	around  *around
	// Results are what was found. If any is an error, the outputs are incomplete.
	Results fn.Results
}

// Items expands, of the resources that a user wrote, those of the function's kinds. all are the items of the package, memory
// tells whether older revisions stay where the output goes.
func (f Function) Items(items, all []manifest.Object, options krm.Options, memory bool) Expanded {
	e := Expanded{around: &around{items: all, options: options, dirs: directories{}}}
	var requests []Request
	seen := map[string]string{}
	for _, item := range items {
		if !krm.IsResource(item, f.Kinds...) {
			continue
		}
		r, results := krm.Decode(item)
		e.Results = append(e.Results, results...)
		if HasError(results) {
			continue
		}
		if first, twice := seen[r.Name()]; twice {
			e.Results = append(e.Results, krm.Result(item, fn.Error, []string{"metadata", "name"}, r.Name()+" is there twice"+first))
			continue
		}
		seen[r.Name()] = krm.Also(item)
		inForce := r.Options.Over(options)
		e.Sources = append(e.Sources, r)
		e.options = append(e.options, inForce)
		requests = append(requests, Request{Resource: r, Options: inForce, Protect: !memory, around: e.around})
	}
	outputs, results := Package(requests)
	e.Outputs = outputs
	e.around.plan(e.Sources, outputs)
	e.Results = append(e.Results, results...)
	if f.Name == RenderIstio.Name && len(all) > 1 {
		e.Results = append(e.Results, append(e.around.meshes(), e.around.labels(memory)...)...)
	}
	return e
}

// Plain gives the objects for a place that remembers nothing: no resources of sailoperator.io, unless the user has them
// tracked. It adds a warning to the results if that leaves old revisions to nobody.
func (e *Expanded) Plain() ([]manifest.Object, error) {
	e.warnUntracked(true)
	var all []manifest.Object
	for i, out := range e.Outputs {
		if e.options[i][krm.OptionTrack] == "true" {
			source := SourceObject(e.Sources[i].Object)
			if e.Sources[i].Revision != nil { // the user's own, whose objects are rendered here all the same
				source.SetAnnotation(manifest.AnnotationRenderedBy, RenderIstio.Name)
				recordRelease(source, out.Release, e.options[i])
			}
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

// List computes the output list of the function for an input list. On an error the output has the items of the input,
// unchanged, and the results tell what is wrong.
func (f Function) List(in *krm.List, options krm.Options) *krm.List {
	out := *in
	out.Config = nil
	t, results := f.newTask(in, options)
	if !HasError(results) {
		out.Items, results = t.run()
	}
	if HasError(results) {
		out.Items = in.Items
	}
	out.Results = results
	return &out
}

// task is what one call of the function is to do.
type task struct {
	function Function
	// items are those that the output starts from, work those to expand.
	items, work []manifest.Object
	options     krm.Options
	// scope tells which generated items the call is responsible for.
	scope krm.Scope
	// memory says that the caller keeps items in files, generator that the output is for kustomize's generators.
	memory, generator bool
}

// newTask finds out from the functionConfig which resources are to be expanded.
func (f Function) newTask(in *krm.List, options krm.Options) (task, fn.Results) {
	t := task{function: f, items: in.Items, work: in.Items, options: options, memory: Remembers(in.Items), scope: func(owner string) bool {
		kind, _, _ := strings.Cut(owner, "/")
		return slices.Contains(f.Kinds, kind)
	}}
	config := in.Config
	switch {
	case config == nil:
	case config.Kind() == "ConfigMap":
		fromConfig, results := krm.OptionsOfConfig(*config)
		t.options = fromConfig.Over(options)
		return t, results
	case krm.IsResource(*config, f.Kinds...):
		// The resource itself is the configuration: of kustomize's generator, or of a kpt mutator with configPath. Only this
		// one is expanded.
		owner := config.Kind() + "/" + config.ID().Name
		present := map[string]bool{}
		for _, item := range in.Items {
			if krm.IsResource(item, f.Kinds...) {
				present[item.Kind()+"/"+item.ID().Name] = true
			}
		}
		all := t.scope
		t.scope = func(o string) bool { return o == owner || all(o) && !present[o] }
		t.generator = !t.memory
		t.work = []manifest.Object{*config}
		i := slices.IndexFunc(in.Items, func(o manifest.Object) bool { return krm.IsResource(o, f.Kinds...) && o.ID() == config.ID() })
		if i >= 0 && t.generator { // kustomize passes the configuration among the items as well
			t.items = slices.Delete(slices.Clone(in.Items), i, i+1)
		} else if i >= 0 {
			t.work = in.Items[i : i+1]
		}
	default:
		return t, failure(fmt.Errorf("functionConfig is a %s %q; %s takes %s of %s, or a ConfigMap with options",
			config.Kind(), config.ID().Name, f.Name, strings.Join(f.Kinds, " or "), v1.GroupVersion))
	}
	return t, nil
}

func failure(err error) fn.Results { return fn.Results{{Message: err.Error(), Severity: fn.Error}} }

// run expands the resources and puts what they give among the items.
func (t task) run() ([]manifest.Object, fn.Results) {
	e := t.function.Items(t.work, t.items, t.options, t.memory)
	if HasError(e.Results) {
		return nil, e.Results
	}
	if !t.memory && !t.generator {
		e.warnUntracked(false)
	}
	reports, results := reports(t.items)
	if HasError(results) {
		return nil, results
	}
	var expansions []krm.Expansion
	if t.generator {
		objects, err := e.Plain()
		if err != nil {
			return nil, failure(err)
		}
		expansions = []krm.Expansion{{Source: t.work[0], Owner: e.Outputs[0].Owner, Objects: objects}}
	} else {
		for i, o := range e.Outputs {
			x := krm.Expansion{Source: e.Sources[i].Object, Owner: o.Owner, Objects: o.Objects}
			if t.memory {
				x.Dir = o.dir()
			}
			if o.Revision != nil && e.Sources[i].Tag == nil {
				x.Active = o.Revision.Name
			}
			if e.Sources[i].Istio != nil {
				rev, err := RevisionObject(o, x.Source)
				if err != nil {
					return nil, failure(err)
				}
				x.Objects = append([]manifest.Object{rev}, o.Objects...)
				u := upgrade{source: e.Sources[i], output: o, items: t.items, reports: reports}
				u.activate()
				u.note(rev)
				u.run()
				u.release()
				if e.Results = append(e.Results, u.results...); HasError(u.results) {
					return nil, e.Results
				}
				x.Released = u.released
			}
			expansions = append(expansions, x)
		}
	}
	items, err := krm.Replace(t.items, t.scope, expansions)
	if err != nil {
		return nil, failure(err)
	}
	return items, append(e.Results, removed(t.items, items)...)
}

// removed tells which generated objects are in the package no longer: one result each, and one for a whole revision.
func removed(before, after []manifest.Object) fn.Results {
	left := map[manifest.ID]bool{}
	sources := map[string]bool{} // what users wrote, by owner stamp
	for _, o := range after {
		left[o.ID()] = true
		if o.Annotation(manifest.AnnotationOwner) == "" {
			sources[nameOf(o)] = true
		}
	}
	objects := map[string]int{} // of revisions whose IstioRevision is gone
	gone := map[string]bool{}
	for _, o := range before {
		if !left[o.ID()] {
			objects[o.Label(manifest.LabelRevision)]++
			gone[o.ID().Name] = gone[o.ID().Name] || o.Kind() == v1.KindIstioRevision
		}
	}
	var results fn.Results
	for _, o := range before {
		revision := o.Label(manifest.LabelRevision)
		switch {
		case left[o.ID()]:
		case o.Kind() == v1.KindIstioRevision && !sources[o.Annotation(manifest.AnnotationOwner)]:
			results = append(results, krm.Result(o, fn.Warning, nil, fmt.Sprintf("removed with the %d objects of the revision, because %s is not in the "+
				"package any more: see to it that no proxy is connected to it before this is applied", objects[revision]-1, o.Annotation(manifest.AnnotationOwner))))
		case o.Kind() == v1.KindIstioRevision:
			results = append(results, krm.Result(o, fn.Info, nil, fmt.Sprintf("removed with the %d objects of the revision", objects[revision]-1)))
		case !gone[revision]:
			results = append(results, krm.Result(o, fn.Info, nil, "removed: "+o.Annotation(manifest.AnnotationOwner)+" does not generate it any more"))
		}
	}
	return results
}

// dir is the directory of an output's files, beside the file of its source.
func (o Output) dir() string {
	kind, name, _ := strings.Cut(o.Owner, "/")
	switch kind {
	case v1.KindIstioRevisionTag:
		return "tag-" + name
	case v1.KindIstioCNI:
		return "cni"
	}
	return o.Revision.Name
}

// warnUntracked tells of a RevisionBased control plane whose old revisions nobody will remove: nothing remembers them here,
// and no controller hears of them, since the resource is not in the output (plain) or dropped from it later (local-config).
func (e *Expanded) warnUntracked(plain bool) {
	for i, r := range e.Sources {
		unseen := r.Object.Annotation(krm.AnnotationLocalConfig) == "true"
		if plain {
			unseen = e.options[i][krm.OptionTrack] != "true"
		}
		if unseen && r.Istio != nil && r.Istio.Spec.UpdateStrategy.Type == v1.UpdateStrategyRevisionBased {
			e.Results = append(e.Results, krm.Result(r.Object, fn.Warning, []string{"spec", "updateStrategy", "type"},
				"RevisionBased without tracking: nothing here remembers older revisions, so nobody will remove the old one after an upgrade. "+
					"Let the controller track it (generator: annotation lateen.io/track: \"true\"; transformer: no local-config), or remove old revisions by hand"))
		}
	}
}

// Remembers tells whether the caller keeps items in files (kpt): what an earlier run generated comes back as input. It looks
// at what users wrote only, so that the answer does not depend on what a run leaves of the rest. kustomize notes paths too,
// for the second and later transformers, beside an annotation of its own.
func Remembers(items []manifest.Object) bool {
	files := false
	for _, o := range items {
		if o.Annotation("kustomize.config.k8s.io/id") != "" {
			return false
		}
		files = files || krm.LocationOf(o).Path != "" && o.Annotation(manifest.AnnotationOwner) == ""
	}
	return files
}

// HasError tells whether a result is an error.
func HasError(results fn.Results) bool {
	return slices.ContainsFunc(results, func(r *fn.Result) bool { return r.Severity == fn.Error })
}
