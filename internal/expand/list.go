package expand

import (
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/ownership"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// Expanded is what the resources among some items have become.
type Expanded struct {
	function Function
	// Outputs, Sources and options belong together by index.
	Outputs []Output
	Sources []resource.Resource
	options []resource.Options
	around  *around
	// Results are what was found. If any is an error, the outputs are incomplete.
	Findings finding.List
	// Strict says that warnings are errors; see Strictly.
	Strict bool
}

// Items expands, of the resources that a user wrote, those of the function's kinds. all are the items of the package,
// memory tells whether older revisions stay where the output goes.
func (f Function) Items(items, all []manifest.Object, options resource.Settings, memory bool) Expanded {
	general := options.Upon(f.base)
	e := Expanded{function: f, around: &around{items: all, options: general, dirs: directories{}}}
	every := union(all, items)
	e.Findings, e.Strict = resource.Mistakes(every, false), isStrict(general, every)
	var requests []Request
	seen := map[string]string{}
	for _, item := range items {
		if !resource.IsResource(item, f.Kinds...) || item.APIVersion() != v1.GroupVersion.String() {
			// Another apiVersion is a mistake.
			continue
		}
		r, findings := resource.Decode(item)
		e.Findings = append(e.Findings, findings...)
		if findings.HasError() {
			continue
		}
		if first, twice := seen[r.Name()]; twice {
			e.Findings = append(e.Findings,
				resource.Finding(item, finding.Error, []string{"metadata", "name"}, r.Name()+" is there twice"+first))
			continue
		}
		seen[r.Name()] = resource.Also(item)
		inForce := r.Settings.Upon(general)
		e.Sources = append(e.Sources, r)
		e.options = append(e.options, inForce)
		requests = append(requests, Request{Resource: r, Options: inForce, Protect: !memory, around: e.around})
	}
	outputs, findings := Package(requests)
	e.Outputs = outputs
	e.around.plan(e.Sources, outputs)
	e.Findings = append(e.Findings, findings...)
	if f.Name == RenderIstio.Name && len(all) > 1 {
		e.Findings = append(e.Findings, append(e.around.collisions(), e.around.labels(memory)...)...)
		e.Findings = append(e.Findings, append(e.crdsUndecided(), e.unprotectedNamespaces()...)...)
	}
	if f.Name == RenderIstio.Name || f.Name == RevisionTag.Name {
		e.Findings = append(e.Findings, e.tagClashes()...)
	}
	return e
}

// union are the items of both lists, each once: kustomize's generator has its resource beside the package.
func union(all, items []manifest.Object) []manifest.Object {
	seen := make(map[*yaml.Node]bool, len(all))
	for _, o := range all {
		seen[o.Node()] = true
	}
	out := slices.Clip(all)
	for _, o := range items {
		if !seen[o.Node()] {
			out = append(out, o)
		}
	}
	return out
}

// Plain gives the objects for a place that remembers nothing: no resources of sailoperator.io, unless the user has them
// tracked. It adds a warning to the findings if that leaves old revisions to nobody.
func (e *Expanded) Plain() ([]manifest.Object, error) {
	e.warnUntracked(true)
	var all []manifest.Object
	for i, out := range e.Outputs {
		if e.options[i].Track {
			source := SourceObject(e.Sources[i].Object)
			source.SetAnnotation(manifest.AnnotationRenderedBy, e.function.Name)
			if e.Sources[i].Revision != nil {
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
// unchanged, and the findings tell what is wrong.
func (f Function) List(in *krm.List, options resource.Settings) *krm.List {
	out := *in
	out.Config = nil
	t, findings := f.newTask(in, options)
	if !findings.HasError() {
		out.Items, findings = t.run()
	}
	findings = findings.Strictly(isStrict(t.options.Upon(f.base), union(in.Items, t.work)))
	if findings.HasError() {
		out.Items = in.Items
	}
	// kpt shows the first few: what matters most comes first.
	findings.Sort()
	out.Findings = findings
	return &out
}

// task is what one call of the function is to do.
type task struct {
	function Function
	// items are those that the output starts from, work those to expand.
	items, work []manifest.Object
	options     resource.Settings
	// scope tells which generated items the call is responsible for.
	scope ownership.Scope
	// memory says that the caller keeps items in files, generator that the output is for kustomize's generators.
	memory, generator bool
}

// newTask finds out from the functionConfig which resources are to be expanded.
func (f Function) newTask(in *krm.List, options resource.Settings) (task, finding.List) {
	t := task{function: f, items: in.Items, work: in.Items, options: options, memory: Remembers(in.Items)}
	present := map[string]bool{}
	for _, item := range in.Items {
		if resource.IsResource(item, f.Kinds...) {
			present[nameOf(item)] = true
		}
	}
	// Where nothing is remembered, what is generated already was generated a moment ago, by a generator that has not
	// passed its resource on. Only files can be left over from a resource that is gone.
	t.scope = func(owner string) bool {
		kind, _, _ := strings.Cut(owner, "/")
		return slices.Contains(f.Kinds, kind) && (t.memory || present[owner])
	}
	config := in.Config
	switch {
	case config == nil:
	case config.Kind() == "ConfigMap":
		fromConfig, findings := resource.SettingsOfConfig(resource.AllOptions, *config)
		t.options = fromConfig.Over(options)
		return t, findings
	case resource.IsResource(*config, f.Kinds...):
		// The resource itself is the configuration: of kustomize's generator, or of a kpt mutator with configPath. Only this
		// one is expanded.
		owner := nameOf(*config)
		all := t.scope
		t.scope = func(o string) bool { return o == owner || all(o) && !present[o] }
		t.generator = !t.memory
		t.work = []manifest.Object{*config}
		i := slices.IndexFunc(in.Items, func(o manifest.Object) bool {
			return resource.IsResource(o, f.Kinds...) && o.ID() == config.ID()
		})
		if i >= 0 && t.generator { // kustomize passes the configuration among the items as well
			t.items = slices.Delete(slices.Clone(in.Items), i, i+1)
		} else if i >= 0 {
			t.work = in.Items[i : i+1]
		}
	default:
		if wrong, found := resource.MistakeIn(*config, false); found {
			return t, finding.List{wrong}
		}
		return t, finding.Of(fmt.Errorf("functionConfig is a %s %q; %s takes %s of %s, or a ConfigMap with options",
			config.Kind(), config.ID().Name, f.Name, strings.Join(f.Kinds, " or "), v1.GroupVersion))
	}
	return t, nil
}

// run expands the resources and puts what they give among the items.
func (t task) run() ([]manifest.Object, finding.List) { //nolint:cyclop // the phases of a run in their order
	e := t.function.Items(t.work, t.items, t.options, t.memory)
	if e.Findings.HasError() {
		return nil, e.Findings
	}
	if !t.memory && !t.generator {
		e.warnUntracked(false)
	}
	var seen []usage.Report
	if t.function.Name == RenderIstio.Name {
		var findings finding.List
		seen, findings = reports(t.items, t.memory)
		if e.Findings = append(e.Findings, append(findings, e.strangers(seen)...)...); findings.HasError() {
			return nil, e.Findings
		}
	}
	var expansions []ownership.Expansion
	if t.generator {
		objects, err := e.Plain()
		if err != nil {
			return nil, finding.Of(err)
		}
		expansions = []ownership.Expansion{{Source: t.work[0], Owner: e.Outputs[0].Owner, Objects: objects}}
	} else {
		for i, o := range e.Outputs {
			x := ownership.Expansion{Source: e.Sources[i].Object, Owner: o.Owner, Objects: o.Objects}
			if t.memory {
				x.Dir = o.dir()
			}
			if o.Revision != nil && e.Sources[i].Tag == nil {
				x.Active = o.Revision.Name
			}
			if e.Sources[i].Istio != nil {
				rev, err := RevisionObject(o, x.Source)
				if err != nil {
					return nil, finding.Of(err)
				}
				x.Objects = append([]manifest.Object{rev}, o.Objects...)
				u := upgrade{source: e.Sources[i], output: o, items: t.items, reports: seen, clusters: e.options[i].Clusters}
				if dir, err := e.around.dirs.open(e.options[i]); err == nil {
					// Otherwise it is an error by now.
					u.available = release.Bundled().Available(dir)
				}
				u.activate()
				u.note(rev, t.memory)
				u.run()
				u.release()
				if e.Findings = append(e.Findings, u.findings...); u.findings.HasError() {
					return nil, e.Findings
				}
				x.Released = u.released
				if t.memory {
					x.Objects = append(x.Objects, keepShared(t.items, o, u.released)...)
				}
			}
			expansions = append(expansions, x)
		}
	}
	kept := t.items
	if t.memory {
		e.retainCRDs(t.items, t.scope, expansions)
		kept = dropMovedTags(t.items, t.scope, expansions)
	}
	items, err := ownership.Replace(kept, t.scope, expansions)
	if err != nil {
		return nil, finding.Of(err)
	}
	leaving := t.removal(&e, items, seen, expansions)
	findings := leaving.findings(t.function.Kinds)
	if findings.HasError() {
		return nil, append(e.Findings, findings...)
	}
	findings = append(findings, e.withoutDefault(t.items, items)...)
	findings = append(findings, e.elsewhere(leaving)...)
	if t.memory {
		findings = append(findings, withoutCRDs(t.items, items)...)
		e.releasedByPackage(items)
		findings = append(findings, e.unskipped(items)...)
	}
	if !t.generator {
		findings = append(findings, e.mark(items, t.memory)...)
	}
	return items, append(e.Findings, findings...)
}

// withoutDefault warns if the revision default leaves the package of an Istio that stays: some things of a cluster are
// there only once, and come with the default revision or tag.
func (e *Expanded) withoutDefault(before, after []manifest.Object) finding.List {
	has := func(items []manifest.Object, owner string) bool {
		return slices.ContainsFunc(items, func(o manifest.Object) bool {
			return o.Label(manifest.LabelRevision) == "default" && o.Annotation(manifest.AnnotationOwner) == owner
		})
	}
	var findings finding.List
	for i, r := range e.Sources {
		owner := e.Outputs[i].Owner
		if r.Istio == nil || !has(before, owner) || has(after, owner) || tagNames(after)["default"] {
			continue
		}
		findings = append(findings, resource.Finding(r.Object, finding.Warning, nil,
			"the revision default leaves the package, and there is no tag named default to take over: the validator "+
				"istiod-default-validator goes, which only a default revision or tag has, and istio-injection: enabled means "+
				"nothing any more. Add an IstioRevisionTag named default, unless nothing needs them. The ServiceAccount "+
				"istio-reader-service-account stays: other revisions rely on it"))
	}
	return findings
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

// warnUntracked tells of a RevisionBased control plane whose old revisions nobody will remove: nothing remembers them
// here, and no controller hears of them, since the resource is not in the output (plain) or dropped from it later
// (local-config).
func (e *Expanded) warnUntracked(plain bool) {
	for i, r := range e.Sources {
		unseen := r.Object.Annotation(resource.AnnotationLocalConfig) == "true"
		if plain {
			unseen = !e.options[i].Track
		}
		if unseen && r.Istio != nil && r.Istio.Spec.RevisionBased() {
			e.Findings = append(e.Findings,
				resource.Finding(r.Object, finding.Warning, []string{"spec", "updateStrategy", "type"},
					"RevisionBased without tracking: nothing here remembers older revisions, so nobody will remove the old one "+
						"after an upgrade. Let the controller track it (generator: annotation lateen.io/track: \"true\"; transformer: "+
						"no local-config), or remove old revisions by hand"))
		}
	}
}

// Remembers tells whether the caller keeps items in files (kpt): what an earlier run generated comes back as input. It
// looks at what users wrote only, so that the answer does not depend on what a run leaves of the rest. kustomize notes
// paths too, for the second and later transformers, beside an annotation of its own.
func Remembers(items []manifest.Object) bool {
	files := false
	for _, o := range items {
		if o.Annotation("kustomize.config.k8s.io/id") != "" {
			return false
		}
		files = files || resource.LocationOf(o).Path != "" && o.Annotation(manifest.AnnotationOwner) == ""
	}
	return files
}
