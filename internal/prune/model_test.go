package prune_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/revision"
	"github.com/lateen-io/lateen/internal/usage"
)

// TestModel runs random histories of a cluster through the core - the index of usage, kept by events, and the decisions of
// prune on moments that are kept in status - beside a model that keeps nothing: it has the labels as they are, and computes
// everything anew from lifecycle.md. What must hold, whatever happens:
//
//   - The index says what the model says, users and reasons' kinds included, although it sees events late, in any order
//     between objects, by relists as well, and after a restart starts from nothing. An index that was kept by events equals
//     one that was built from a list.
//   - Who refreshes what he knows about a name only when a Change names it is never out of date.
//   - A revision with a user is never pruned, nor the active one, an external one, or any while the observation is
//     incomplete.
//   - One that nothing uses and that is not the active one goes once the grace period has passed since both, by a clock that
//     nobody sets: not before, and at the first look afterwards. If somebody sets the clock back it does not go early; the
//     time noted for the next look is the one at which it goes.
func TestModel(t *testing.T) {
	t.Parallel()
	const histories, steps = 5, 24000
	for seed := range uint64(histories) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			for w.step = range steps {
				w.act()
				if w.rand.IntN(3) == 0 {
					w.reconcile()
				}
				if w.rand.IntN(10) == 0 {
					w.compare()
				}
				if t.Failed() {
					t.Fatalf("history %d fails at step %d; the last things that happened:\n%s", seed, w.step, strings.Join(w.log, "\n"))
				}
			}
			// A history in which nothing happens proves nothing.
			for what, least := range map[string]int{"pruned": 100, "pruned at its due time": 20, "kept by its users": 1000, "clock set": 100, "restart": 100, "unknown": 100} {
				if w.seen[what] < least {
					t.Errorf("%q came up %d times, want at least %d: the histories are too tame", what, w.seen[what], least)
				}
			}
			t.Logf("%v", w.seen)
		})
	}
}

// labels are those of the rules, as they are in the cluster: absent is absent.
type labels = map[string]string

// thing is a namespace or pod of the model.
type thing struct {
	labels   labels
	injected string // annotation istio.io/rev
	finished bool
}

type world struct {
	t    *testing.T
	rand *rand.Rand
	step int
	log  []string
	seen map[string]int

	// What there is.
	namespaces map[string]thing
	pods       map[string]thing // namespace/name
	tags       map[string]string
	revisions  map[string]*rev
	istios     map[string]*istio
	// What of the namespaces and pods has been seen: events come late.
	seenNamespaces, seenPods map[string]thing
	late                     map[string]bool // keys: "namespace x", "pod x/y"

	// Time: what has really passed, what the clock shows, and when somebody last set it, and last forward.
	real              time.Duration
	clock             time.Time
	lastSet, lastJump time.Duration

	// What is tested.
	index    *usage.Index
	complete bool
	// known is what somebody knows who asks again only when a Change names a name; used likewise, for Flipped.
	known map[string]string
	used  map[string][2]bool
}

// istio owns revisions.
type istio struct {
	active   string
	grace    time.Duration
	external bool
}

// rev is a revision, with its status and the model's memory of it.
type rev struct {
	istio    string
	auto     bool
	external bool
	status   prune.Revision // the moments
	looks    []look         // one for each reconciliation
}

// look is what a reconciliation found.
type look struct {
	at     time.Duration
	inUse  usage.InUse
	active bool
}

func newWorld(t *testing.T, seed uint64) *world {
	w := &world{
		t: t, rand: rand.New(rand.NewPCG(seed, 5)), seen: map[string]int{},
		namespaces: map[string]thing{}, pods: map[string]thing{}, tags: map[string]string{}, revisions: map[string]*rev{},
		seenNamespaces: map[string]thing{}, seenPods: map[string]thing{}, late: map[string]bool{},
		istios: map[string]*istio{"default": {grace: 30 * time.Second}, "mesh": {grace: 10 * time.Second}},
		real:   1, clock: noon, known: map[string]string{}, used: map[string][2]bool{},
	}
	w.index = usage.NewIndex()
	w.index.SetIncomplete("")
	w.complete = true
	return w
}

func (w *world) logf(format string, args ...any) {
	if len(w.log) > 60 {
		w.log = w.log[20:]
	}
	w.log = append(w.log, fmt.Sprintf("%d: ", w.step)+fmt.Sprintf(format, args...))
}

func pick[T any](w *world, from ...T) T { return from[w.rand.IntN(len(from))] }

func pickKey[V any](w *world, m map[string]V) string {
	if len(m) == 0 {
		return ""
	}
	return pick(w, slices.Sorted(maps.Keys(m))...)
}

// act lets one thing happen.
func (w *world) act() {
	w.pass(time.Duration(w.rand.IntN(3000)) * time.Millisecond)
	switch n := w.rand.IntN(100); {
	case n < 22:
		w.createPod()
	case n < 45:
		w.changePod()
	case n < 58:
		w.changeNamespace()
	case n < 63:
		w.upgrade()
	case n < 68:
		w.changeTag()
	case n < 90:
		w.deliver()
	case n < 92:
		w.setClock()
	case n < 94:
		w.restart()
	case n < 96:
		w.relist()
	case n < 98:
		w.fail()
	default:
		w.pass(time.Duration(w.rand.IntN(60)) * time.Second)
	}
}

func (w *world) pass(d time.Duration) {
	w.real += d
	w.clock = w.clock.Add(d)
}

func (w *world) setClock() {
	by := time.Duration(w.rand.IntN(2*7200)-7200) * time.Second
	w.clock = w.clock.Add(by)
	w.lastSet = w.real
	if by > 0 {
		w.lastJump = w.real
	}
	w.seen["clock set"]++
	w.logf("clock by %v", by)
}

// anyName is one that something may name: revisions and tags that there are or were, and others.
func (w *world) anyName() string {
	if len(w.revisions) > 0 && w.rand.IntN(2) == 0 {
		return pickKey(w, w.revisions)
	}
	return pick(w, "default", "prod", "stage", "default-v1-24-0", "nothing", "")
}

func (w *world) changeNamespace() {
	name := fmt.Sprintf("ns%d", w.rand.IntN(8))
	if w.rand.IntN(5) == 0 {
		delete(w.namespaces, name)
	} else {
		l := labels{}
		if w.rand.IntN(6) == 0 {
			l["istio-injection"] = pick(w, "enabled", "enabled", "disabled", "")
		}
		if w.rand.IntN(3) == 0 {
			l["istio.io/rev"] = w.anyName()
		}
		w.namespaces[name] = thing{labels: l}
	}
	w.late["namespace "+name] = true
	w.logf("namespace %s: %v", name, w.namespaces[name].labels)
}

// createPod is injected as the webhooks would, by what there is, not by what has been seen.
func (w *world) createPod() {
	namespace := fmt.Sprintf("ns%d", w.rand.IntN(8))
	p := thing{labels: labels{}}
	if w.rand.IntN(4) == 0 {
		p.labels["sidecar.istio.io/inject"] = pick(w, "true", "false", "other")
	}
	if w.rand.IntN(4) == 0 {
		p.labels["istio.io/rev"] = w.anyName()
	}
	injector := w.injector(w.namespaces[namespace].labels, p.labels)
	if target, tag := w.tags[injector]; tag {
		injector = target
	}
	if w.revisions[injector] != nil {
		p.injected = injector
	}
	key := fmt.Sprintf("%s/p%d", namespace, w.rand.IntN(6))
	w.pods[key] = p
	w.late["pod "+key] = true
	w.logf("pod %s: %v injected by %q", key, p.labels, p.injected)
}

func (w *world) changePod() {
	key := pickKey(w, w.pods)
	if key == "" {
		return
	}
	if p := w.pods[key]; w.rand.IntN(4) == 0 {
		p.finished = true
		w.pods[key] = p
		w.logf("pod %s finishes", key)
	} else {
		delete(w.pods, key)
		w.logf("pod %s goes", key)
	}
	w.late["pod "+key] = true
}

// upgrade changes an Istio: its version or strategy, and with it the active revision; or a setting.
func (w *world) upgrade() {
	owner := pick(w, "default", "mesh")
	i := w.istios[owner]
	switch w.rand.IntN(10) {
	case 0:
		i.external = !i.external && w.rand.IntN(3) == 0
		w.logf("istio %s: external %t", owner, i.external)
		return
	case 1:
		i.grace = time.Duration(pick(w, 0, 5, 30, 300)) * time.Second
		w.logf("istio %s: grace %v", owner, i.grace)
		return
	}
	name, err := revision.Name(owner, pick(w, "v1.23.2", "v1.24.0", "v1.24.2", "v1.28-latest"), w.rand.IntN(5) > 0)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, tag := w.tags[name]; tag {
		return // the tag is older, so there is no such revision
	}
	if w.revisions[name] == nil {
		w.revisions[name] = &rev{istio: owner, auto: w.rand.IntN(6) == 0, external: w.rand.IntN(20) == 0}
	}
	w.revisions[name].external = w.revisions[name].external && w.rand.IntN(2) == 0
	i.active = name
	w.logf("istio %s: active %s, %+v", owner, name, *w.revisions[name])
}

func (w *world) changeTag() {
	name := pick(w, "prod", "stage", "default")
	if w.revisions[name] != nil {
		return // the revision is older, so there is no such tag
	}
	target := pickKey(w, w.revisions)
	if target == "" || w.rand.IntN(4) == 0 {
		delete(w.tags, name)
	} else {
		w.tags[name] = target
	}
	w.logf("tag %s: %q", name, w.tags[name])
}

// deliver brings some of the events that are late, in any order.
func (w *world) deliver() {
	keys := slices.Sorted(maps.Keys(w.late))
	w.rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	for _, key := range keys[:w.rand.IntN(len(keys)+1)] {
		delete(w.late, key)
		kind, id, _ := strings.Cut(key, " ")
		var change usage.Change
		switch kind {
		case "namespace":
			if n, ok := w.namespaces[id]; ok {
				w.seenNamespaces[id] = n
				change = w.index.SetNamespace(usage.NamespaceOf(id, n.labels))
			} else {
				delete(w.seenNamespaces, id)
				change = w.index.DeleteNamespace(id)
			}
		case "pod":
			if p, ok := w.pods[id]; ok {
				w.seenPods[id] = p
				change = w.index.SetPod(podOf(id, p))
			} else {
				delete(w.seenPods, id)
				namespace, name, _ := strings.Cut(id, "/")
				change = w.index.DeletePod(namespace, name)
			}
		}
		w.logf("event %s: %v", key, change)
		w.notice(change)
	}
}

func podOf(id string, p thing) usage.Pod {
	namespace, name, _ := strings.Cut(id, "/")
	annotations := labels{}
	if p.injected != "" {
		annotations["istio.io/rev"] = p.injected
	}
	return usage.PodOf(namespace, name, p.labels, annotations, p.finished)
}

func (w *world) listNamespaces(x *usage.Index) usage.Change {
	w.seenNamespaces = maps.Clone(w.namespaces)
	all := x.ReplaceNamespaces()
	for name, n := range w.namespaces {
		all.Set(usage.NamespaceOf(name, n.labels))
	}
	return all.Done()
}

func (w *world) listPods(x *usage.Index) usage.Change {
	w.seenPods = maps.Clone(w.pods)
	all := x.ReplacePods()
	for id, p := range w.pods {
		all.Set(podOf(id, p))
	}
	return all.Done()
}

// relist brings what there is at once, in place of the events.
func (w *world) relist() {
	w.logf("relist")
	w.notice(w.listNamespaces(w.index))
	w.notice(w.listPods(w.index))
	w.late = map[string]bool{}
	w.compare()
}

// restart forgets everything but status, and looks before it has seen everything, as a controller must be able to.
func (w *world) restart() {
	w.seen["restart"]++
	w.logf("restart")
	kept := w.index
	caughtUp := len(w.late) == 0
	w.index, w.complete = usage.NewIndex(), false
	w.seenNamespaces, w.seenPods = map[string]thing{}, map[string]thing{}
	w.reconcile()
	first, second := w.listNamespaces, w.listPods
	if w.rand.IntN(2) == 0 {
		first, second = second, first
	}
	first(w.index)
	w.reconcile()
	second(w.index)
	w.index.SetIncomplete("")
	w.complete = true
	w.late = map[string]bool{}
	w.known, w.used = map[string]string{}, map[string][2]bool{}
	w.compare()
	kept.SetIncomplete("")
	if caughtUp {
		if diff := cmp.Diff(kept.Graph(w.topology(), -1), w.index.Graph(w.topology(), -1)); diff != "" {
			w.t.Errorf("the index that was kept by events and the one built from lists differ: -kept +built:\n%s", diff)
		}
	}
}

// fail lets the observation fail, or succeed again.
func (w *world) fail() {
	w.complete = !w.complete
	why := ""
	if !w.complete {
		why = "pods cannot be listed"
	}
	w.index.SetIncomplete(why)
	w.known, w.used = map[string]string{}, map[string][2]bool{}
	w.logf("complete: %t", w.complete)
}

// --- The model ----------------------------------------------------------------------------------------------------------

// injector is the name whose webhooks select a pod of these labels in a namespace of those, by lifecycle.md.
func (w *world) injector(namespace, pod labels) string {
	injection, decided := namespace["istio-injection"]
	rev, named := namespace["istio.io/rev"]
	if decided || named {
		switch {
		case pod["sidecar.istio.io/inject"] == "false":
			return ""
		case injection == "enabled":
			return "default"
		case decided:
			return ""
		}
		return rev
	}
	if by := byLabels(pod); by != "" {
		return by
	}
	_, inject := pod["sidecar.istio.io/inject"]
	_, rev2 := pod["istio.io/rev"]
	if auto := w.revisions["default"]; !inject && !rev2 && auto != nil && auto.auto {
		return "default"
	}
	if auto := w.revisions[w.tags["default"]]; !inject && !rev2 && auto != nil && auto.auto {
		return "default"
	}
	return ""
}

// byLabels is what a pod selects in a namespace without labels.
func byLabels(pod labels) string {
	if pod["sidecar.istio.io/inject"] == "false" {
		return ""
	}
	if rev, set := pod["istio.io/rev"]; set {
		return rev
	}
	if pod["sidecar.istio.io/inject"] == "true" {
		return "default"
	}
	return ""
}

// users are those that have been seen to use a name, of a revision or of a tag.
func (w *world) users(name string, tag bool) []string {
	var out []string
	if name == "default" && w.auto(tag) {
		out = append(out, "Namespace *")
	}
	for id, n := range w.seenNamespaces {
		injection, decided := n.labels["istio-injection"]
		if injection == "enabled" && name == "default" || !decided && n.labels["istio.io/rev"] == name {
			out = append(out, "Namespace "+id)
		}
	}
	slices.Sort(out)
	var tags, pods []string
	for t, target := range w.tags {
		if !tag && target == name {
			tags = append(tags, "IstioRevisionTag "+t)
		}
	}
	for id, p := range w.seenPods {
		namespace, _, _ := strings.Cut(id, "/")
		_, injection := w.seenNamespaces[namespace].labels["istio-injection"]
		_, rev := w.seenNamespaces[namespace].labels["istio.io/rev"]
		if !p.finished && (p.injected == name && !tag || !injection && !rev && byLabels(p.labels) == name) {
			pods = append(pods, "Pod "+id)
		}
	}
	slices.Sort(tags)
	slices.Sort(pods)
	return slices.Concat(out, tags, pods)
}

// auto says whether the revision, or the tag, named default injects what says nothing.
func (w *world) auto(tag bool) bool {
	name := "default"
	if tag {
		name = w.tags["default"]
	}
	return w.revisions[name] != nil && w.revisions[name].auto
}

// --- Looking ------------------------------------------------------------------------------------------------------------

var names = []string{
	"default", "mesh", "prod", "stage", "nothing", "default-v1-23-2", "default-v1-24-0", "default-v1-24-2", "default-v1-28-latest",
	"mesh-v1-23-2", "mesh-v1-24-0", "mesh-v1-24-2", "mesh-v1-28-latest",
}

func (w *world) topology() usage.Topology {
	var t usage.Topology
	for name, r := range w.revisions {
		t.Revisions = append(t.Revisions, usage.RevisionInfo{Name: name, InjectsByDefault: r.auto})
	}
	t.Tags = w.tagList()
	return t
}

func (w *world) tagList() []usage.Tag {
	var out []usage.Tag
	for name, target := range w.tags {
		out = append(out, usage.Tag{Name: name, Revision: target})
	}
	return out
}

func (w *world) info(name string) usage.RevisionInfo {
	r := w.revisions[name]
	return usage.RevisionInfo{Name: name, InjectsByDefault: r != nil && r.auto}
}

func texts(u usage.Use) []string {
	var out []string
	for _, user := range u.Users {
		out = append(out, user.String())
	}
	return out
}

// differ compares lists of users; none is none.
func differ(want, got []string) string {
	return cmp.Diff(strings.Join(want, "\n"), strings.Join(got, "\n"))
}

// plain is what the index alone knows of a name: no tags, no settings.
func (w *world) plain(name string) (text string, used [2]bool) {
	r := w.index.Revision(usage.RevisionInfo{Name: name}, nil, -1)
	t := w.index.Tag(name, usage.RevisionInfo{}, -1)
	return fmt.Sprint(texts(r), texts(t)), [2]bool{r.Total > 0, t.Total > 0}
}

// notice refreshes what is known of the names of a change, and of no others.
func (w *world) notice(c usage.Change) {
	for _, name := range c.Touched {
		w.known[name], _ = w.plain(name)
	}
	for _, name := range c.Flipped {
		_, w.used[name] = w.plain(name)
	}
}

// compare holds the index against the model.
func (w *world) compare() {
	for _, name := range names {
		all, most := w.users(name, false), w.rand.IntN(5)
		got := w.index.Revision(w.info(name), w.tagList(), -1)
		if diff := differ(all, texts(got)); diff != "" {
			w.t.Errorf("the users of revision %s: -want +got:\n%s", name, diff)
		}
		some := w.index.Revision(w.info(name), w.tagList(), most)
		if diff := differ(all[:min(most, len(all))], texts(some)); diff != "" || some.Total != len(all) || got.Total != len(all) {
			w.t.Errorf("the first %d users of revision %s, of %d: -want +got (of %d):\n%s", most, name, len(all), some.Total, diff)
		}
		byLabel := w.users(name, true)
		got = w.index.Tag(name, w.info(w.tags[name]), -1)
		if diff := differ(byLabel, texts(got)); diff != "" || got.Total != len(byLabel) {
			w.t.Errorf("the users of tag %s: -want +got:\n%s", name, diff)
		}
		text, used := w.plain(name)
		if known, ok := w.known[name]; ok && known != text {
			w.t.Errorf("no change named %s, but its users are %s and were %s", name, text, known)
		}
		if before, ok := w.used[name]; ok && before != used {
			w.t.Errorf("no change said that %s flipped, from %v to %v", name, before, used)
		}
		w.known[name], w.used[name] = text, used
	}
}

// reconcile is what the controller does with the revisions: observe, note the moments, prune.
func (w *world) reconcile() {
	for owner, i := range w.istios {
		var in []prune.Revision
		for _, name := range slices.Sorted(maps.Keys(w.revisions)) {
			r := w.revisions[name]
			if r.istio != owner {
				continue
			}
			r.status.Name, r.status.Active, r.status.External = name, name == i.active, r.external
			r.status.InUse = w.index.Revision(w.info(name), w.tagList(), 1).InUse
			r.status = prune.Observe(w.clock, r.status)
			inUse := usage.Unknown
			switch {
			case len(w.users(name, false)) > 0:
				inUse = usage.True
			case w.complete:
				inUse = usage.False
			}
			r.looks = append(r.looks, look{w.real, inUse, r.status.Active})
			in = append(in, r.status)
		}
		policy := prune.Policy{Grace: i.grace, External: i.external}
		for _, v := range prune.Decide(w.clock, policy, in) {
			w.judge(i, v, policy, w.revisions[v.Name])
		}
	}
}

// judge holds a verdict against the model.
func (w *world) judge(i *istio, v prune.Verdict, policy prune.Policy, r *rev) {
	now := r.looks[len(r.looks)-1]
	if now.inUse == usage.Unknown {
		w.seen["unknown"]++
	}
	mayGo := !now.active && now.inUse == usage.False && !i.external && !r.external
	since := waitingSince(r.looks)
	if wrong := w.wrong(v, mayGo, since, i.grace); wrong != "" {
		w.t.Errorf("%s %s; it is %+v, external: %t, the grace period %v, the verdict %+v", v.Name, wrong, now, i.external || r.external, i.grace, v)
	}
	if !v.Due.IsZero() {
		w.judgeDue(v, policy, r)
	}
	if now.inUse == usage.True && !now.active {
		w.seen["kept by its users"]++
	}
	if v.Delete {
		w.seen["pruned"]++
		w.logf("%s is pruned: %s", v.Name, v.Reason)
		delete(w.revisions, v.Name)
	}
}

// wrong says what is wrong with a verdict on a revision that may go, or not, and has waited since then.
func (w *world) wrong(v prune.Verdict, mayGo bool, since, grace time.Duration) string {
	waited := w.real - since
	switch {
	case v.Delete && !mayGo:
		return "is pruned"
	case v.Delete && since > w.lastJump && waited < grace:
		return "is pruned too early, after " + waited.String()
	case !v.Delete && mayGo && since > w.lastSet && waited >= grace:
		return "is kept too long, for " + waited.String()
	case !v.Delete && mayGo == v.Due.IsZero():
		return "is looked at again at the wrong time"
	case v.Reason == "":
		return "gets no reason"
	}
	return ""
}

// judgeDue shows that the time for the next look is the one at which the revision goes, if nothing happens until then.
func (w *world) judgeDue(v prune.Verdict, policy prune.Policy, r *rev) {
	w.seen["pruned at its due time"]++
	at := func(moment time.Time) bool { return prune.Decide(moment, policy, []prune.Revision{r.status})[0].Delete }
	if at(v.Due.Add(-1)) || !at(v.Due) {
		w.t.Errorf("%s is due at %v: it goes a moment before: %t, then: %t", v.Name, v.Due, at(v.Due.Add(-1)), at(v.Due))
	}
}

// waitingSince is the first look since which nothing used the revision and it was not the active one. A look that does not
// know is no use.
func waitingSince(looks []look) time.Duration {
	var unused, inactive time.Duration
	for _, l := range slices.Backward(looks) {
		if l.inUse == usage.True {
			break
		}
		if l.inUse == usage.False {
			unused = l.at
		}
	}
	for _, l := range slices.Backward(looks) {
		if l.active {
			break
		}
		inactive = l.at
	}
	return max(unused, inactive)
}
