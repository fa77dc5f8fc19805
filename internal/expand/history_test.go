package expand_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
)

// TestHistories applies random edits to a package - add, bump, switch the strategy, retarget and delete, usage reports - and
// renders after each, as kpt would. Whatever the history, the package equals one rendered from scratch from the same
// sources, plus the revisions that had to be retained; and no revision goes that nothing has released.
func TestHistories(t *testing.T) {
	histories, steps := 15, 12
	if testing.Short() {
		histories = 3
	}
	for seed := range histories {
		h := history{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 7)), sources: map[string]string{}}
		for range steps {
			h.step()
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(h.log, "\n"))
			}
		}
	}
}

type history struct {
	t       *testing.T
	rng     *rand.Rand
	log     []string
	sources map[string]string // file -> resource of the user
	items   []manifest.Object // the package after the last rendering
}

var versions = []string{"v1.26.0", "v1.27.0", "v1.28.3"}

// step edits one thing and renders.
func (h *history) step() {
	names := []string{"default", "blue"}
	name := names[h.rng.IntN(len(names))]
	file := name + ".yaml"
	switch edit := h.rng.IntN(10); {
	case edit < 2 && len(h.sources) > 0: // delete
		h.log = append(h.log, "delete "+name)
		delete(h.sources, file)
	case edit < 4: // report, perhaps releasing
		h.log = append(h.log, "report")
		h.report()
	case edit < 5:
		h.log = append(h.log, "delete the report")
		delete(h.sources, "report.yaml")
	default:
		spec := fmt.Sprintf("{version: %s, namespace: %s, updateStrategy: {type: %s}, values: {meshConfig: {discoverySelectors: [{matchLabels: {mesh: %s}}]}}}",
			versions[h.rng.IntN(len(versions))], name, []string{"InPlace", "RevisionBased"}[h.rng.IntN(2)], name)
		h.log = append(h.log, name+" "+spec)
		h.sources[file] = istio(name, spec, inFile(file))
	}
	h.render()
}

// report writes a usage report that knows all revisions of the package, each used or not.
func (h *history) report() {
	var b strings.Builder
	b.WriteString("apiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata:\n  name: west\n  annotations: {internal.config.kubernetes.io/path: report.yaml}\nspec:\n")
	fmt.Fprintf(&b, "  observedAt: '2026-11-22T12:00:%02dZ'\n  revisions:\n", len(h.log))
	n := 0
	for _, o := range h.items {
		if o.Kind() == "IstioRevision" {
			n++
			fmt.Fprintf(&b, "  - {name: %s, inUse: '%s'}\n", o.ID().Name, []string{"True", "False", "False", "Unknown"}[h.rng.IntN(4)])
		}
	}
	if n > 0 {
		h.sources["report.yaml"] = b.String()
	}
}

// render puts the sources and what was generated before together, as kpt reads a package, and renders.
func (h *history) render() {
	h.t.Helper()
	var list []string
	for _, file := range slices.Sorted(maps.Keys(h.sources)) {
		list = append(list, h.sources[file])
	}
	in := read(h.t, resourceList("", list...))
	before := map[string]bool{} // revisions in the package, as "owner name"
	for _, o := range h.items {
		if owner := o.Annotation(manifest.AnnotationOwner); owner != "" {
			in.Items = append(in.Items, o)
			if o.Kind() == "IstioRevision" {
				before[owner+" "+o.ID().Name] = true
			}
		}
	}
	out := expand.RenderIstio.List(in, krm.Options{})
	if expand.HasError(out.Results) {
		h.t.Errorf("%v", out.Results)
		return
	}
	scratch := expand.RenderIstio.List(read(h.t, resourceList("", list...)), krm.Options{})
	retained := h.compare(out.Items, scratch.Items)
	h.nothingLost(before, out)
	for key := range retained {
		if !before[key] {
			h.t.Errorf("%s is retained, but was not there", key)
		}
	}
	again := *out
	again.Items = read(h.t, write(h.t, out)).Items
	if diff := cmp.Diff(itemsOf(h.t, out.Items), itemsOf(h.t, expand.RenderIstio.List(&again, krm.Options{}).Items)); diff != "" {
		h.t.Errorf("rendered twice (-first +second)\n%s", diff)
	}
	h.items = read(h.t, write(h.t, out)).Items
}

// compare holds the package against the one from scratch and returns the retained revisions that make the difference.
func (h *history) compare(got, scratch []manifest.Object) map[string]bool {
	h.t.Helper()
	retained := map[string]bool{}
	want := map[manifest.ID]bool{}
	for _, o := range scratch {
		want[o.ID()] = true
	}
	for _, o := range got {
		if o.Kind() == "IstioRevision" && !want[o.ID()] {
			retained[o.Annotation(manifest.AnnotationOwner)+" "+o.ID().Name] = true
		}
	}
	rest := slices.DeleteFunc(slices.Clone(got), func(o manifest.Object) bool {
		return retained[o.Annotation(manifest.AnnotationOwner)+" "+o.Label(manifest.LabelRevision)]
	})
	if diff := cmp.Diff(itemsOf(h.t, scratch), itemsOf(h.t, rest)); diff != "" {
		h.t.Errorf("the package without its retained revisions (-from scratch +after the history)\n%s", diff)
	}
	return retained
}

// nothingLost: a revision that was there is there, unless its Istio is gone or a result says that it was released.
func (h *history) nothingLost(before map[string]bool, out *krm.List) {
	h.t.Helper()
	after := map[string]bool{}
	alive := map[string]bool{}
	for _, o := range out.Items {
		after[o.Annotation(manifest.AnnotationOwner)+" "+o.ID().Name] = true
		alive[o.Kind()+"/"+o.ID().Name] = true
	}
	released := map[string]bool{}
	for _, r := range out.Results {
		if strings.HasPrefix(r.Message, "released: ") {
			released[r.ResourceRef.Name] = true
		}
	}
	for key := range before {
		owner, name, _ := strings.Cut(key, " ")
		if !after[key] && alive[owner] && !released[name] {
			h.t.Errorf("%s of %s was removed, and nothing had released it", name, owner)
		}
	}
}

// itemsOf are items as text, by identity, without what tells files apart.
func itemsOf(t *testing.T, items []manifest.Object) map[manifest.ID]string {
	t.Helper()
	out := map[manifest.ID]string{}
	for _, o := range items {
		c := o.Copy()
		// Which revision became active when is history, too.
		for _, a := range []string{krm.AnnotationPath, krm.AnnotationIndex, manifest.AnnotationActivation, manifest.AnnotationStaleReports} {
			c.DeleteAnnotation(a)
		}
		out[o.ID()] = write(t, &krm.List{Items: []manifest.Object{c}})
	}
	return out
}
