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
	"github.com/lateen-io/lateen/internal/resource"
)

// TestHistories applies random edits to a package - add, bump, switch the strategy, retarget and delete - while
// workloads in two clusters move to whatever revision is the active one, and each cluster now and then leaves a usage
// report in the package, which stays and becomes stale. It renders after each, as kpt would. Whatever the history, the
// package equals one rendered from scratch from the same sources, plus the revisions that had to be retained; no
// revision goes that nothing has released, and none that a workload really uses.
func TestHistories(t *testing.T) {
	histories, steps := 12, 16
	if testing.Short() {
		histories = 3
	}
	run := func(seed uint64, h history, steps int) int {
		h.t, h.rng, h.sources, h.used = t, rand.New(rand.NewPCG(seed, 7)), map[string]string{}, map[workload]string{}
		for range steps {
			h.step()
			if t.Failed() {
				t.Fatalf("seed %d:\n%s", seed, strings.Join(h.log, "\n"))
			}
		}
		return h.released
	}
	for seed := range histories {
		run(uint64(seed), history{
			meshes: []string{"default", "blue"}, versions: []string{"v1.26.0", "v1.27.0", "v1.28.3"}, compare: true,
		}, steps)
	}
	// Without the comparisons it costs a fraction, and of few versions each comes back soon: this is about the reports.
	released := 0
	for seed := range 2 * histories {
		released += run(uint64(seed), history{meshes: []string{"default"}, versions: []string{"v1.27.0", "v1.28.3"}},
			steps+steps/2)
	}
	if released < histories {
		t.Errorf("only %d revisions were released in all histories: they show nothing", released)
	}
}

type history struct {
	t   *testing.T
	rng *rand.Rand
	// meshes and versions are those to choose from, compare says to look at all objects and not only at the revisions.
	meshes, versions []string
	compare          bool

	log     []string
	allowed string            // what the next rendering may remove
	sources map[string]string // file -> resource of the user
	items   []manifest.Object // the package after the last rendering

	used     map[workload]string // the revision whose proxies a workload runs
	released int
}

// workload is one of those that a mesh has in each cluster.
type workload struct {
	cluster, istio string
	number         int
}

var clusters = []string{"west", "east"}

func (h *history) say(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf(format, args...))
}

// step edits one thing and renders.
func (h *history) step() {
	name := h.meshes[h.rng.IntN(len(h.meshes))]
	cluster := clusters[h.rng.IntN(len(clusters))]
	file := name + ".yaml"
	switch edit := h.rng.IntN(24); {
	case edit < 1 && len(h.sources) > 0: // delete
		h.say("delete %s", name)
		delete(h.sources, file)
		h.allowed = "Istio/" + name
		maps.DeleteFunc(h.used, func(w workload, _ string) bool { return w.istio == name })
	case edit < 9:
		for _, c := range clusters {
			if edit < 7 || c == cluster {
				h.move(c, name)
			}
		}
		return
	case edit < 15:
		for _, c := range clusters {
			if edit < 11 || c == cluster {
				h.report(c)
			}
		}
	case edit < 16:
		h.say("delete the report of %s", cluster)
		delete(h.sources, cluster+".yaml")
	default:
		spec := fmt.Sprintf("{version: %s, namespace: %s, updateStrategy: {type: %s}, "+
			"values: {meshConfig: {discoverySelectors: [{matchLabels: {mesh: %s}}]}}}",
			h.versions[h.rng.IntN(len(h.versions))], name,
			[]string{"InPlace", "RevisionBased", "RevisionBased", "RevisionBased"}[h.rng.IntN(4)], name)
		h.say("%s %s", name, spec)
		h.sources[file] = istio(name, spec,
			strings.Replace(inFile(file), "{", "{lateen.io/clusters: '"+strings.Join(clusters, ",")+"', ", 1))
	}
	h.render()
}

// move restarts a workload, or all of a mesh: their proxies are those of the active revision then.
func (h *history) move(cluster, name string) {
	active, most := "", 0
	for _, o := range resource.Revisions(h.items, "Istio/"+name) {
		n := 1
		if noted := o.Annotation(manifest.AnnotationActivation); noted != "" {
			if _, err := fmt.Sscan(noted, &n); err != nil {
				h.t.Fatal(err)
			}
		}
		if n > most {
			active, most = o.ID().Name, n
		}
	}
	number := h.rng.IntN(4)
	for w := range 2 {
		if active != "" && (number == w || number > 1) {
			h.say("%s/%d in %s moves to %s", name, w, cluster, active)
			h.used[workload{cluster, name, w}] = active
		}
	}
}

// report is what a cluster sees: all revisions of the package, and which its workloads use. Now and then it cannot see
// one.
func (h *history) report(cluster string) {
	var b strings.Builder
	b.WriteString("apiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata:\n  name: " + cluster +
		"\n  annotations: {config.kubernetes.io/local-config: 'true', " +
		"internal.config.kubernetes.io/path: " + cluster + ".yaml}\nspec:\n")
	fmt.Fprintf(&b, "  observedAt: '2026-11-22T12:%02d:%02dZ'\n  revisions:\n", len(h.log)/60, len(h.log)%60)
	h.say("report of %s", cluster)
	n := 0
	for _, o := range h.items {
		if o.Kind() != "IstioRevision" {
			continue
		}
		n++
		inUse := "False"
		for w, revision := range h.used {
			if w.cluster == cluster && revision == o.ID().Name {
				inUse = "True"
			}
		}
		if h.rng.IntN(20) == 0 {
			inUse = "Unknown"
		}
		fmt.Fprintf(&b, "  - {name: %s, inUse: '%s'}\n", o.ID().Name, inUse)
		h.say("  %s %s", o.ID().Name, inUse)
	}
	if n > 0 {
		h.sources[cluster+".yaml"] = b.String()
	}
}

// render puts the sources and what was generated before together, as kpt reads a package, and renders.
func (h *history) render() {
	h.t.Helper()
	// kpt passes the Kptfile to the function as well: a package is never empty.
	list := []string{"apiVersion: kpt.dev/v1\nkind: Kptfile\nmetadata: {name: mesh, " + inFile("Kptfile") + "}\n"}
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
	options := resource.Settings{}
	if h.allowed != "" {
		options[resource.OptionAllowRemoval], h.allowed = h.allowed, ""
	}
	out := expand.RenderIstio.List(in, options)
	if out.Findings.HasError() {
		h.t.Errorf("%v", out.Findings)
		return
	}
	h.nothingLost(before, out)
	if h.compare {
		h.compareWithScratch(list, before, out)
	}
	h.items = read(h.t, write(h.t, out)).Items
}

// compareWithScratch renders the same sources without their history, and the package once more.
func (h *history) compareWithScratch(list []string, before map[string]bool, out *krm.List) {
	h.t.Helper()
	scratch := expand.RenderIstio.List(read(h.t, resourceList("", list...)), resource.Settings{})
	retained := h.difference(out.Items, scratch.Items)
	for key := range retained {
		if !before[key] {
			h.t.Errorf("%s is retained, but was not there", key)
		}
	}
	again := *out
	again.Items = read(h.t, write(h.t, out)).Items
	if diff := cmp.Diff(itemsOf(h.t, out.Items),
		itemsOf(h.t, expand.RenderIstio.List(&again, resource.Settings{}).Items)); diff != "" {
		h.t.Errorf("rendered twice (-first +second)\n%s", diff)
	}
}

// difference holds the package against the one from scratch and returns the retained revisions that make the
// difference.
func (h *history) difference(got, scratch []manifest.Object) map[string]bool {
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
	for _, r := range out.Findings {
		if strings.HasPrefix(r.Message, "released: ") {
			released[r.Ref.Name] = true
		}
	}
	h.released += len(released)
	for w, revision := range h.used {
		if !after["Istio/"+w.istio+" "+revision] {
			h.t.Errorf("%s was removed, and the workload %v uses it", revision, w)
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
		for _, a := range []string{
			resource.AnnotationPath, resource.AnnotationIndex, manifest.AnnotationActivation, manifest.AnnotationStaleReports,
		} {
			c.DeleteAnnotation(a)
		}
		out[o.ID()] = write(t, &krm.List{Items: []manifest.Object{c}})
	}
	return out
}

// TestSkippedFromTheNewest: with several earlier revisions in a package, the newest of them says how far an upgrade
// leaps, wherever it stands.
func TestSkippedFromTheNewest(t *testing.T) {
	for _, c := range []struct {
		reason  string
		earlier []string
		want    string
	}{
		{"newest last", []string{"v1.24.2", "v1.25.1", "v1.27.0"}, ""},
		{"newest first", []string{"v1.27.0", "v1.25.1", "v1.24.2"}, ""},
		{"newest between", []string{"v1.24.2", "v1.26.0", "v1.25.1"}, ""},
		{
			"too far even from the newest",
			[]string{"v1.23.2", "v1.25.1", "v1.24.2"},
			"spec.version: from v1.25.1 to v1.28.3; by revisions, Istio supports " +
				"two minor versions at a time. Go by way of v1.27-latest",
		},
		{"by number, not by letter", []string{"v1.9.0", "v1.26.0", "v1.3.0"}, ""},
	} {
		list := []string{istio("default", "{version: v1.28.3, updateStrategy: {type: RevisionBased}}", inFile("istio.yaml"))}
		for _, version := range c.earlier {
			list = append(list, "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: default-"+
				strings.ReplaceAll(version, ".", "-")+
				", annotations: {lateen.io/owner: Istio/default, lateen.io/version: "+version+"}}\n")
		}
		out := run(t, resourceList("", list...))
		var all []string
		for _, r := range out.Findings {
			all = append(all, r.Message)
		}
		if got := strings.Join(all, "\n"); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
		if n := len(names(out, "IstioRevision")); n != len(c.earlier)+1 {
			t.Errorf("%s: %d IstioRevisions are in the package", c.reason, n)
		}
	}
}
