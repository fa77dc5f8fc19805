package expand

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/ownership"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// List computes the output list of the function for an input list. On an error the output has the items of the input,
// unchanged, and the findings tell what is wrong.
func (f Function) List(in *krm.List, options resource.Settings) *krm.List {
	out := *in
	out.Config = nil
	t, findings := f.newTask(in, options)
	if !findings.HasError() {
		out.Items, findings = t.run()
	}
	findings = findings.Strictly(t.Strict)
	if findings.HasError() {
		out.Items = in.Items
	}
	// kpt shows the first few: what matters most comes first.
	findings.Sort()
	out.Findings = findings
	return &out
}

// task is what one call of the function is to do, and what has become of it: a field for each phase that later ones
// build on.
type task struct {
	function Function
	settings resource.Settings
	mode     Mode
	// before is the package that the output starts from, work the resources to expand.
	before *contents
	work   []manifest.Object
	// scope tells which generated items the call is responsible for.
	scope ownership.Scope

	Expanded
	// reports are the usage reports of the package.
	reports []usage.Report
	// expansions are what goes into the package, one for each resource.
	expansions []ownership.Expansion
	// after is the package as it will be.
	after *contents
}

// newTask finds out from the functionConfig which resources are to be expanded.
func (f Function) newTask(in *krm.List, settings resource.Settings) (task, finding.List) {
	t := task{function: f, work: in.Items, settings: settings, mode: modeOf(in.Items), before: read(in.Items)}
	present := t.before.has(f.Kinds...)
	// Where nothing is remembered, what is generated already was generated a moment ago, by a generator that has not
	// passed its resource on. Only files can be left over from a resource that is gone.
	remembers := t.mode.remembers()
	t.scope = func(owner string) bool {
		kind, _, _ := strings.Cut(owner, "/")
		return slices.Contains(f.Kinds, kind) && (remembers || present[owner])
	}
	config := in.Config
	switch {
	case config == nil:
	case config.Kind() == "ConfigMap":
		fromConfig, findings := resource.SettingsOfConfig(resource.AllOptions, *config)
		t.settings = fromConfig.Over(settings)
		return t, findings
	case resource.IsResource(*config, f.Kinds...):
		// The resource itself is the configuration: of kustomize's generator, or of a kpt mutator with configPath. Only this
		// one is expanded.
		owner, all := nameOf(*config), t.scope
		t.scope = func(o string) bool { return o == owner || all(o) && !present[o] }
		t.configuredBy(*config)
	default:
		if wrong, found := resource.MistakeIn(*config, false); found {
			return t, finding.List{wrong}
		}
		return t, finding.Of(fmt.Errorf("functionConfig is a %s %q; %s takes %s of %s, or a ConfigMap with options",
			config.Kind(), config.ID().Name, f.Name, strings.Join(f.Kinds, " or "), v1.GroupVersion))
	}
	return t, nil
}

// configuredBy makes a resource that is the functionConfig the only one to expand. It may be among the items as well:
// kpt expands it there, and kustomize, which passes it to its generators in both places, does not get it back.
func (t *task) configuredBy(config manifest.Object) {
	t.work = []manifest.Object{config}
	items := t.before.items
	i := slices.IndexFunc(items, func(o manifest.Object) bool {
		return resource.IsResource(o, t.function.Kinds...) && o.ID() == config.ID()
	})
	if !t.mode.remembers() {
		t.mode = Generator
	}
	switch {
	case i < 0:
	case t.mode.remembers():
		t.work = items[i : i+1]
	default:
		t.before = read(slices.Delete(slices.Clone(items), i, i+1))
	}
}

// run expands the resources and puts what they give among the items, phase by phase. It ends with the first that finds
// an error.
func (t *task) run() ([]manifest.Object, finding.List) {
	var findings finding.List
	for _, phase := range []func() (finding.List, error){
		t.expand, t.readReports, t.upgrade, t.place, t.compare, t.finish,
	} {
		found, err := phase()
		if findings = append(append(findings, found...), finding.Of(err)...); findings.HasError() {
			return nil, findings
		}
	}
	return t.after.items, findings
}

// expand makes the objects of the resources.
func (t *task) expand() (finding.List, error) {
	t.Expanded = t.function.expand(t.work, t.before, t.settings, t.mode)
	if t.mode == Transformer && !t.Findings.HasError() {
		return append(t.Findings, t.untracked()...), nil
	}
	return t.Findings, nil
}

// readReports reads what clusters say about the use of revisions.
func (t *task) readReports() (found finding.List, err error) {
	if t.function.Name != RenderIstio.Name {
		return nil, nil
	}
	t.reports, found = t.before.usageReports(t.mode.remembers())
	return append(found, t.strangers(t.reports)...), nil
}

// upgrade decides what goes into the package, and which earlier revisions go.
func (t *task) upgrade() (findings finding.List, err error) {
	if t.mode.plain() {
		objects, err := t.objects()
		t.expansions = []ownership.Expansion{{Source: t.work[0], Owner: t.jobs[0].output.Owner, Objects: objects}}
		return t.untracked(), err
	}
	for _, j := range t.jobs {
		x := ownership.Expansion{Source: j.Object, Owner: j.output.Owner, Objects: j.output.Objects}
		if t.mode.remembers() {
			x.Dir = j.output.dir()
		}
		if j.output.Revision != nil && j.Tag == nil {
			x.Active = j.output.Revision.Name
		}
		if j.Istio != nil {
			found, err := t.upgradeIstio(j, &x)
			if findings = append(findings, found...); err != nil || found.HasError() {
				return findings, err
			}
		}
		t.expansions = append(t.expansions, x)
	}
	return findings, nil
}

// upgradeIstio adds to the objects of an Istio its IstioRevision, and what it takes over from revisions that go.
func (t *task) upgradeIstio(j *job, x *ownership.Expansion) (finding.List, error) {
	rev, err := RevisionObject(j.output, x.Source)
	if err != nil {
		return nil, err
	}
	x.Objects = append([]manifest.Object{rev}, j.output.Objects...)
	u := upgrade{job: j, reports: t.reports}
	if dir, err := t.around.dirs.open(j.options); err == nil {
		// Otherwise it is an error by now.
		u.available = release.Bundled().Available(dir)
	}
	u.activate()
	u.note(rev)
	u.run()
	u.release()
	x.Released = u.released
	if t.mode.remembers() {
		x.Objects = append(x.Objects, t.before.keepShared(j.output, u.released)...)
	}
	return u.findings, nil
}

// place puts everything where it belongs.
func (t *task) place() (finding.List, error) {
	kept := t.before.items
	if t.mode.remembers() {
		t.retainCRDs()
		kept = t.withoutMovedTags()
	}
	items, err := ownership.Replace(kept, t.scope, t.expansions)
	t.after = read(items)
	return nil, err
}

// compare says what the run removes, and refuses what may well be a mistake.
func (t *task) compare() (finding.List, error) {
	leaving := t.removal()
	findings := leaving.findings(t.function.Kinds)
	if findings.HasError() {
		return findings, nil
	}
	findings = append(findings, t.withoutDefault()...)
	findings = append(findings, t.elsewhere()...)
	if t.mode.remembers() {
		findings = append(findings, t.withoutCRDs()...)
	}
	return findings, nil
}

// finish notes on the resources of sailoperator.io whose they are.
func (t *task) finish() (findings finding.List, err error) {
	items := t.after.items
	if t.mode.remembers() {
		t.releasedByPackage(items)
		findings = t.unskipped(items)
	}
	if t.mode != Generator {
		findings = append(findings, t.mark(items)...)
	}
	return findings, nil
}
