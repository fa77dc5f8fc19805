package prune_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/prune"
	"github.com/lateen-io/lateen/internal/revision"
	"github.com/lateen-io/lateen/internal/usage"
)

// TestModel runs random histories of a cluster through the core - the index of usage, kept by events, and the decisions
// of prune on moments that are kept in status - beside a model that keeps nothing: it has the labels as they are, and
// computes everything anew from lifecycle.md. What must hold, whatever happens:
//
//   - The index says what the model says, users and reasons' kinds included, although it sees events late, in any order
//     between objects, by relists as well, and after a restart starts from nothing. An index that was kept by events
//     equals one that was built from a list.
//   - Who refreshes what he knows about a name only when a Change names it is never out of date.
//   - A revision with a user is never pruned, nor the active one, an external one, or any while the observation is
//     incomplete.
//   - One that nothing uses and that is not the active one goes once the grace period has passed since both, by a clock
//     that nobody sets: not before, and at the first look afterwards. If somebody sets the clock back it does not go
//     early; the time noted for the next look is the one at which it goes.
func TestModel(t *testing.T) {
	t.Parallel()
	const histories, steps, most = 5, 17000, 12
	random := rand.Uint64()
	t.Logf("the random seed is %d", random)
	var mutex sync.Mutex
	seen := map[string]int{}
	history := func(seed uint64) func(t *testing.T) {
		return func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, seed)
			w.run(steps)
			if len(w.wrongs) > 0 {
				t.Fatalf("seed %d fails at step %d:\n%s\nthe last things that happened:\n%s", seed, w.step,
					strings.Join(w.wrongs, "\n"), strings.Join(w.log, "\n"))
			}
			mutex.Lock()
			defer mutex.Unlock()
			for what, n := range w.seen {
				seen[what] += n
			}
		}
	}
	t.Run("histories", func(t *testing.T) {
		for seed := range uint64(histories) {
			t.Run(fmt.Sprintf("seed %d", seed), history(seed))
		}
		t.Run("random seed", history(random))
	})
	// Histories in which nothing happens prove nothing: there are more of them until everything has, bounded by steps.
	wanted := map[string]int{
		"pruned": 500, "pruned at its due time": 100, "kept by its users": 5000, "clock set": 500,
		"restart": 500, "unknown": 500,
	}
	for _, r := range rules {
		wanted["only by "+r] = 100
	}
	for seed := uint64(histories); seed < most && lacks(seen, wanted) != "" && !t.Failed(); seed++ {
		t.Run("more histories", func(t *testing.T) { t.Run(fmt.Sprintf("seed %d", seed), history(seed)) })
	}
	if lack := lacks(seen, wanted); lack != "" && !t.Failed() {
		t.Errorf("there is too little of: %s", lack)
	}
	t.Logf("%v", seen)
}

// rules are the kinds of users, each of which must be the only reason to keep a revision many times, and must be missed
// when the rule is switched off.
var rules = []string{
	byNamespace, byLabel, byAnnotation, byStatus, byTemplate, byTag, byValuesTag, byGateway, byGatewayNamespace,
	byClassless, byValidator,
	byZTunnel, byZTunnelTag, byZTunnelPod, byAmbient,
}

const (
	byNamespace        = "a namespace"
	byLabel            = "a label of a pod"
	byAnnotation       = "the annotation of a pod"
	byStatus           = "the status annotation of a pod"
	byTemplate         = "a pod template"
	byTag              = "a tag"
	byValuesTag        = "a tag of its values"
	byGateway          = "the label of a Gateway"
	byGatewayNamespace = "the namespace of a Gateway"
	byClassless        = "a Gateway without a label"
	byValidator        = "a Gateway without a label, by the default validator"
	byZTunnel          = "a ztunnel"
	byZTunnelTag       = "a ztunnel that names a tag"
	byZTunnelPod       = "a pod of a ztunnel that rolls"
	byAmbient          = "ambient"
	byDefault          = "every namespace"
)

// TestModelFindsEachRule switches the rules off, one after the other: what is tested is not told of that kind of user.
// A revision that only such a user needs is then pruned, which the model finds.
func TestModelFindsEachRule(t *testing.T) {
	t.Parallel()
	for _, rule := range rules {
		t.Run(rule, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 1)
			w.off = rule
			const most = 30000
			for w.step < most && len(w.wrongs) == 0 {
				w.run(100)
			}
			if len(w.wrongs) == 0 || !strings.Contains(w.wrongs[0], "is pruned") {
				t.Errorf("%d steps without the rule prune nothing that is in use: %v", w.step, w.wrongs)
			}
		})
	}
}

type world struct {
	t    *testing.T
	rand *rand.Rand
	step int
	log  []string
	seen map[string]int

	// What there is.
	namespaces map[string]thing
	pods       map[string]thing // namespace/Kind/name
	gateways   map[string]gateway
	classes    map[string]string // controllerName
	validator  string
	tags       map[string]string
	revisions  map[string]*rev
	istios     map[string]*istio
	// What of the namespaces and pods has been seen: events come late.
	seenNamespaces, seenPods map[string]thing
	seenGateways             map[string]gateway
	seenClasses              map[string]string
	seenValidator            string
	// keys: "namespace x", "pod x/Kind/y", "gateway x/y", "class c", "validator "
	late map[string]bool
	// off is a rule that what is tested does not know; wrongs is what has been found.
	off    string
	wrongs []string

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

// run lets so many things happen, unless something is wrong before.
func (w *world) run(steps int) {
	for range steps {
		w.step++
		w.act()
		if w.rand.IntN(3) == 0 {
			w.reconcile()
		}
		if w.off == "" && w.rand.IntN(10) == 0 {
			w.compare()
		}
		if len(w.wrongs) > 0 {
			return
		}
	}
}

// lacks names what has come up too seldom.
func lacks(seen, wanted map[string]int) string {
	var out []string
	for _, what := range slices.Sorted(maps.Keys(wanted)) {
		if seen[what] < wanted[what] {
			out = append(out, fmt.Sprintf("%s (%d of %d)", what, seen[what], wanted[what]))
		}
	}
	return strings.Join(out, ", ")
}

// errorf notes that something is wrong.
func (w *world) errorf(format string, args ...any) {
	w.wrongs = append(w.wrongs, fmt.Sprintf(format, args...))
}

// labels are those of the rules, as they are in the cluster: absent is absent.
type labels = map[string]string

// thing is a namespace, a pod or what makes pods of the model.
type thing struct {
	labels   labels
	injected string // annotation istio.io/rev
	status   string // annotation sidecar.istio.io/status
	finished bool
	// A DaemonSet of ztunnel has an address, and may have rolled out.
	address string
	rolled  bool
}

// gateway is a Gateway of the model.
type gateway struct {
	class  string
	labels labels
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
	ambient  bool
	tags     []string       // of its values
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
		gateways: map[string]gateway{}, seenGateways: map[string]gateway{}, classes: map[string]string{},
		seenClasses: map[string]string{},
		istios:      map[string]*istio{"default": {grace: 30 * time.Second}, "mesh": {grace: 10 * time.Second}},
		real:        1, clock: noon, known: map[string]string{}, used: map[string][2]bool{},
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
	case n < 12:
		w.createPod()
	case n < 18:
		w.createWorkload()
	case n < 22:
		w.changeZTunnel()
	case n < 46:
		w.changePod()
	case n < 54:
		w.changeNamespace()
	case n < 60:
		w.upgrade()
	case n < 63:
		w.changeTag()
	case n < 68:
		w.changeGateways()
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
	return pick(w, "default", "prod", "stage", "stable", "default-v1-24-0", "nothing", "")
}

func (w *world) changeNamespace() {
	name := fmt.Sprintf("ns%d", w.rand.IntN(8))
	if w.rand.IntN(5) == 0 {
		delete(w.namespaces, name)
	} else {
		l := labels{}
		if w.rand.IntN(4) == 0 {
			l["istio-injection"] = pick(w, "enabled", "disabled", "disabled", "")
		}
		if w.rand.IntN(4) == 0 {
			l["istio.io/rev"] = w.anyName()
		}
		if w.rand.IntN(12) == 0 {
			l["istio.io/dataplane-mode"] = pick(w, "ambient", "ambient", "none")
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
	if w.rand.IntN(6) == 0 {
		p.labels["sidecar.istio.io/inject"] = pick(w, "true", "false", "false", "other")
	}
	if w.rand.IntN(4) == 0 {
		p.labels["istio.io/rev"] = w.anyName()
	}
	injector := w.injector(w.namespaces[namespace].labels, p.labels)
	if target, tag := w.tags[injector]; tag {
		injector = target
	} else if by := w.tagged(injector); by != "" {
		injector = by
	}
	if w.revisions[injector] != nil {
		p.status = fmt.Sprintf(`{"containers":["istio-proxy"],"revision":%q}`, injector)
		if w.rand.IntN(2) == 0 { // else a template of somebody's own
			p.injected = injector
		} else if injector == "default" && w.rand.IntN(2) == 0 {
			p.status = pick(w, "{}", "not JSON")
		}
	} else if w.rand.IntN(12) == 0 {
		p.labels["istio.io/dataplane-mode"] = pick(w, "ambient", "none")
	}
	w.put(fmt.Sprintf("%s/Pod/p%d", namespace, w.rand.IntN(4)), p)
}

func (w *world) put(key string, p thing) {
	w.pods[key] = p
	w.late["pod "+key] = true
	w.logf("pod %s: %+v", key, p)
}

// tagged is the revision that has a tag in its values: the active one, if both have it.
func (w *world) tagged(tag string) string {
	var found string
	for _, name := range slices.Sorted(maps.Keys(w.revisions)) {
		if r := w.revisions[name]; slices.Contains(r.tags, tag) && (found == "" || w.istios[r.istio].active == name) {
			found = name
		}
	}
	return found
}

// createWorkload makes something that makes pods, or lets a Job end.
func (w *world) createWorkload() {
	p := thing{labels: labels{}}
	switch w.rand.IntN(12) {
	case 0:
		p.labels["sidecar.istio.io/inject"] = pick(w, "true", "false")
	case 1, 2, 3, 4:
		p.labels["istio.io/rev"] = w.anyName()
	}
	kind := pick(w, "CronJob", "DaemonSet", "Deployment", "Job")
	p.finished = kind == "Job" && w.rand.IntN(3) == 0
	w.put(fmt.Sprintf("ns%d/%s/w%d", w.rand.IntN(8), kind, w.rand.IntN(2)), p)
}

// changeZTunnel changes a ztunnel: its address, a pod of it, or how far it is.
func (w *world) changeZTunnel() {
	namespace := pick(w, "ns0", "zt")
	if w.rand.IntN(3) == 0 {
		p := thing{labels: labels{"app": "ztunnel", "sidecar.istio.io/inject": "false"}}
		if w.rand.IntN(2) == 0 {
			p.injected = w.anyName()
		}
		w.put(fmt.Sprintf("%s/Pod/z%d", namespace, w.rand.IntN(2)), p)
		return
	}
	name := w.anyName()
	address := pick(w, "istiod-"+name+".istio-system.svc:15012", "istiod-"+name+".istio-system.svc:15012",
		"https://istiod-revision-tag-"+pick(w, "prod", "stable", "stable")+".mesh.svc.cluster.local:15012",
		"istiod.example.com:15012")
	if name == "default" || name == "" {
		address = "istiod.istio-system.svc:15012"
	}
	w.put(namespace+"/DaemonSet/ztunnel", thing{
		labels:  labels{"app": "ztunnel", "sidecar.istio.io/inject": "false"},
		address: address, rolled: w.rand.IntN(3) > 0,
	})
}

func (w *world) changeGateways() {
	switch w.rand.IntN(8) {
	case 0:
		class := pick(w, "ours", "theirs", "istio")
		if w.rand.IntN(3) == 0 {
			delete(w.classes, class)
		} else {
			w.classes[class] = pick(w, "istio.io/own", "example.com/gateway")
		}
		w.late["class "+class] = true
		w.logf("class %s: %q", class, w.classes[class])
	case 1:
		w.validator = pick(w, "", "default", w.anyName(), w.anyName())
		w.late["validator "] = true
		w.logf("validator: %q", w.validator)
	default:
		key := fmt.Sprintf("ns%d/g%d", w.rand.IntN(8), w.rand.IntN(2))
		if w.rand.IntN(3) == 0 {
			delete(w.gateways, key)
		} else {
			g := gateway{class: pick(w, "istio", "istio-waypoint", "ours", "theirs", "nginx"), labels: labels{}}
			if w.rand.IntN(2) == 0 {
				g.labels["istio.io/rev"] = w.anyName()
			}
			w.gateways[key] = g
		}
		w.late["gateway "+key] = true
		w.logf("gateway %s: %+v", key, w.gateways[key])
	}
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
		w.revisions[name] = &rev{
			istio: owner, auto: w.rand.IntN(6) == 0, external: w.rand.IntN(20) == 0,
			ambient: w.rand.IntN(4) == 0,
		}
		if w.rand.IntN(3) == 0 {
			w.revisions[name].tags = []string{"stable"}
		}
	}
	w.revisions[name].external = w.revisions[name].external && w.rand.IntN(2) == 0
	i.active = name
	w.logf("istio %s: active %s, ambient %t, tags %v", owner, name, w.revisions[name].ambient, w.revisions[name].tags)
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
				change = w.index.SetNamespace(w.namespaceOf(id, n))
			} else {
				delete(w.seenNamespaces, id)
				change = w.index.DeleteNamespace(id)
			}
		case "pod":
			p, ok := w.pods[id]
			if p.finished = p.finished || !ok; ok {
				w.seenPods[id] = p
			} else {
				delete(w.seenPods, id)
			}
			change = w.index.SetPod(w.podOf(id, p))
		case "gateway":
			g, ok := w.gateways[id]
			if ok {
				w.seenGateways[id] = g
			} else {
				delete(w.seenGateways, id)
			}
			change = w.index.SetGateway(w.gatewayOf(id, g, !ok))
		case "class":
			w.seenClasses[id] = w.classes[id]
			change = w.index.SetGatewayClass(usage.GatewayClass{Name: id, Controller: w.classes[id]})
		case "validator":
			w.seenValidator = w.validator
			change = w.setValidator(w.index)
		}
		w.logf("event %s: %v", key, change)
		w.notice(change)
	}
}

// namespaceOf, podOf, gatewayOf and setValidator tell what is tested, but for what is switched off.
func (w *world) namespaceOf(id string, n thing) usage.Namespace {
	out := usage.NamespaceOf(id, n.labels)
	if w.off == byNamespace {
		out.Injection, out.Revision = usage.Label{}, usage.Label{}
	}
	return out
}

func (w *world) podOf(id string, p thing) usage.Pod {
	namespace, kind, name := parts(id)
	annotations := labels{}
	if p.injected != "" {
		annotations["istio.io/rev"] = p.injected
	}
	if p.status != "" {
		annotations["sidecar.istio.io/status"] = p.status
	}
	out := usage.PodOf(namespace, name, p.labels, annotations, p.finished)
	out.Kind = kind
	if p.address != "" {
		out.Addresses, out.Rolled = []string{p.address}, p.rolled
	}
	off := map[string]bool{
		byLabel: kind == "Pod", byTemplate: kind != "Pod" && p.address == "",
	}[w.off]
	switch {
	case off:
		out.Inject, out.Revision = usage.Label{}, usage.Label{}
	case w.off == byAnnotation && p.injected != "" && !out.ZTunnel, w.off == byStatus &&
		out.ByStatus, w.off == byZTunnelPod && kind == "Pod" && out.ZTunnel:
		out.InjectedBy = ""
	case w.off == byZTunnel && !strings.Contains(p.address, "revision-tag"), w.off == byZTunnelTag &&
		strings.Contains(p.address, "revision-tag"):
		for i := range out.Addresses {
			out.Addresses[i] = "elsewhere.example.com"
		}
	}
	return out
}

func parts(id string) (namespace, kind, name string) {
	namespace, rest, _ := strings.Cut(id, "/")
	kind, name, _ = strings.Cut(rest, "/")
	return namespace, kind, name
}

func (w *world) gatewayOf(id string, g gateway, gone bool) usage.Gateway {
	namespace, name, _ := strings.Cut(id, "/")
	out := usage.GatewayOf(namespace, name, g.class, g.labels)
	out.Gone = gone || w.off == byGateway && out.Revision.Value != "" ||
		w.off == byClassless && out.Revision.Value == "" && w.namespaces[namespace].labels["istio.io/rev"] == "" ||
		w.off == byGatewayNamespace && !out.Revision.Set
	return out
}

func (w *world) setValidator(x *usage.Index) usage.Change {
	if w.off == byValidator {
		return usage.Change{}
	}
	return x.SetDefaultValidator(w.seenValidator)
}

func (w *world) listNamespaces(x *usage.Index) usage.Change {
	w.seenNamespaces = maps.Clone(w.namespaces)
	all := x.ReplaceNamespaces()
	for name, n := range w.namespaces {
		all.Set(w.namespaceOf(name, n))
	}
	return all.Done()
}

func (w *world) listPods(x *usage.Index) []usage.Change {
	w.seenPods = maps.Clone(w.pods)
	var out []usage.Change
	for _, kind := range []string{"Pod", "CronJob", "DaemonSet", "Deployment", "Job"} {
		all := x.ReplaceWorkloads(kind)
		for id, p := range w.pods {
			if _, of, _ := parts(id); of == kind {
				all.Set(w.podOf(id, p))
			}
		}
		out = append(out, all.Done())
	}
	return out
}

func (w *world) listGateways(x *usage.Index) []usage.Change {
	w.seenGateways, w.seenClasses, w.seenValidator = maps.Clone(w.gateways), maps.Clone(w.classes), w.validator
	classes := x.ReplaceGatewayClasses()
	for name, controller := range w.classes {
		classes.Set(usage.GatewayClass{Name: name, Controller: controller})
	}
	out := []usage.Change{w.setValidator(x), classes.Done()}
	all := x.ReplaceGateways()
	for id, g := range w.gateways {
		all.Set(w.gatewayOf(id, g, false))
	}
	return append(out, all.Done())
}

// listAll brings everything, one kind after the other.
func (w *world) listAll(x *usage.Index, between func()) []usage.Change {
	lists := []func() []usage.Change{
		func() []usage.Change { return []usage.Change{w.listNamespaces(x)} },
		func() []usage.Change { return w.listPods(x) },
		func() []usage.Change { return w.listGateways(x) },
	}
	w.rand.Shuffle(len(lists), func(i, j int) { lists[i], lists[j] = lists[j], lists[i] })
	var out []usage.Change
	for _, list := range lists {
		out = append(out, list()...)
		between()
	}
	return out
}

// relist brings what there is at once, in place of the events.
func (w *world) relist() {
	w.logf("relist")
	for _, change := range w.listAll(w.index, func() {}) {
		w.notice(change)
	}
	w.late = map[string]bool{}
	w.look()
}

// look holds the index against the model, unless a rule is switched off.
func (w *world) look() {
	if w.off == "" {
		w.compare()
	}
}

// restart forgets everything but status, and looks before it has seen everything, as a controller must be able to.
func (w *world) restart() {
	w.seen["restart"]++
	w.logf("restart")
	kept := w.index
	caughtUp := len(w.late) == 0
	w.index, w.complete = usage.NewIndex(), false
	w.seenNamespaces, w.seenPods = map[string]thing{}, map[string]thing{}
	w.seenGateways, w.seenClasses, w.seenValidator = map[string]gateway{}, map[string]string{}, ""
	w.reconcile()
	w.listAll(w.index, w.reconcile)
	w.index.SetIncomplete("")
	w.complete = true
	w.late = map[string]bool{}
	w.known, w.used = map[string]string{}, map[string][2]bool{}
	w.look()
	kept.SetIncomplete("")
	if caughtUp {
		if diff := cmp.Diff(kept.Graph(w.topology(), -1), w.index.Graph(w.topology(), -1)); diff != "" {
			w.errorf("the index that was kept by events and the one built from lists differ: -kept +built:\n%s", diff)
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

// --- The model -------------------------------------------------------------------------------------------------------

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

// user is one use of a name, and the rule by which it is one.
type user struct {
	namespace, kind, name string
	rule                  string
}

func (u user) String() string {
	if u.namespace != "" {
		return u.kind + " " + u.namespace + "/" + u.name
	}
	return u.kind + " " + u.name
}

// users are those that have been seen to use a name, of a revision or of a tag: namespaces, then tags and ambient, then
// what is in namespaces.
func (w *world) users(name string, tag bool) []user {
	var out []user
	if name == "default" && w.auto(tag) {
		out = append(out, user{"", "Namespace", "*", byDefault})
	}
	for id, n := range w.seenNamespaces {
		injection, decided := n.labels["istio-injection"]
		if injection == "enabled" && name == "default" || !decided && n.labels["istio.io/rev"] == name && name != "" {
			out = append(out, user{"", "Namespace", id, byNamespace})
		}
	}
	if !tag {
		out = append(out, w.tagUsers(name)...)
		if all := w.enrolled(); w.lastAmbient(name) && len(all) > 0 {
			text := all[0].String()
			if len(all) > 1 {
				text += fmt.Sprintf(" and %d more", len(all)-1)
			}
			out = append(out, user{"", "ambient", text, byAmbient})
		}
	}
	for id, p := range w.seenPods {
		if rule := w.podUses(id, p, name, tag); rule != "" {
			namespace, kind, called := parts(id)
			out = append(out, user{namespace, kind, called, rule})
		}
	}
	for id, g := range w.seenGateways {
		if rule := w.gatewayUses(id, g, name, tag); rule != "" {
			namespace, called, _ := strings.Cut(id, "/")
			out = append(out, user{namespace, "Gateway", called, rule})
		}
	}
	return ordered(out)
}

func ordered(users []user) []user {
	rank := map[string]int{"Namespace": -2, "IstioRevisionTag": -1, "Tag": -1, "ambient": -1}
	slices.SortFunc(users, func(a, b user) int {
		return cmpOr(rank[a.kind]-rank[b.kind], strings.Compare(a.namespace, b.namespace),
			strings.Compare(a.kind, b.kind), strings.Compare(a.name, b.name))
	})
	return users
}

func cmpOr(all ...int) int {
	for _, n := range all {
		if n != 0 {
			return n
		}
	}
	return 0
}

// tagUsers are the tags that hold a revision.
func (w *world) tagUsers(name string) []user {
	var out []user
	for t, target := range w.tags {
		if target == name {
			out = append(out, user{"", "IstioRevisionTag", t, byTag})
		}
	}
	r := w.revisions[name]
	if r == nil {
		return out
	}
	active := w.istios[r.istio].active
	for _, t := range r.tags {
		switch {
		case active == name:
		case w.revisions[active] != nil && slices.Contains(w.revisions[active].tags, t), len(w.users(t, true)) == 0:
			continue
		}
		rule := byValuesTag
		if only(w.users(t, true)) == byZTunnelTag { // which names no revision
			rule = byZTunnelTag
		}
		out = append(out, user{"", "Tag", t, rule})
	}
	return out
}

// enrolled is what is in ambient.
func (w *world) enrolled() []user {
	var out []user
	for id, n := range w.seenNamespaces {
		if n.labels["istio.io/dataplane-mode"] == "ambient" {
			out = append(out, user{"", "Namespace", id, byAmbient})
		}
	}
	for id, p := range w.seenPods {
		if !p.finished && p.status == "" && p.address == "" && p.labels["istio.io/dataplane-mode"] == "ambient" {
			namespace, kind, name := parts(id)
			out = append(out, user{namespace, kind, name, byAmbient})
		}
	}
	return ordered(out)
}

// lastAmbient says whether no active revision would serve ambient if this one went.
func (w *world) lastAmbient(name string) bool {
	r := w.revisions[name]
	if r == nil || !r.ambient {
		return false
	}
	for other, o := range w.revisions {
		if other != name && o.ambient && w.istios[o.istio].active == other {
			return false
		}
	}
	return true
}

// podUses is the rule by which a pod, or what makes pods, uses a name.
func (w *world) podUses(id string, p thing, name string, tag bool) string { //nolint:cyclop // the rules of use again
	namespace, kind, _ := parts(id)
	runs, rule := p.injected, byAnnotation
	switch {
	case p.finished:
		return ""
	case p.address != "":
		return zTunnelUses(p.address, name, tag)
	case p.labels["app"] == "ztunnel":
		rule = byZTunnelPod
		if runs == "" {
			runs = "default"
		}
		if z, ok := w.seenPods[namespace+"/DaemonSet/ztunnel"]; ok && z.address != "" && z.rolled && !z.finished {
			runs = ""
		}
	case runs == "" && p.status != "":
		rule, runs = byStatus, "default"
		if _, after, ok := strings.Cut(p.status, `"revision":"`); ok {
			runs = strings.TrimSuffix(after, `"}`)
		}
	}
	if runs == name && name != "" && !tag {
		return rule
	}
	_, injection := w.seenNamespaces[namespace].labels["istio-injection"]
	_, rev := w.seenNamespaces[namespace].labels["istio.io/rev"]
	if injection || rev || byLabels(p.labels) != name || name == "" {
		return ""
	}
	if kind != "Pod" {
		return byTemplate
	}
	return byLabel
}

func zTunnelUses(address, name string, tag bool) string {
	switch {
	case strings.Contains(address, "istiod-revision-tag-"+name+"."):
		return byZTunnelTag
	case tag:
		return ""
	case strings.HasPrefix(address, "istiod-"+name+"."), name == "default" &&
		strings.HasPrefix(address, "istiod.istio-system"):
		return byZTunnel
	}
	return ""
}

func (w *world) gatewayUses(id string, g gateway, name string, tag bool) string {
	if !slices.Contains([]string{"istio", "istio-waypoint"}, g.class) &&
		!strings.HasPrefix(w.seenClasses[g.class], "istio.io/") {
		return ""
	}
	namespace, _, _ := strings.Cut(id, "/")
	own, labelled := g.labels["istio.io/rev"]
	inherited := w.seenNamespaces[namespace].labels["istio.io/rev"]
	switch {
	case own != "":
		if own == name {
			return byGateway
		}
	case !labelled && inherited != "":
		if inherited == name {
			return byGatewayNamespace
		}
	case name == "default":
		return byClassless
	case !tag && name == w.seenValidator:
		return byValidator
	}
	return ""
}

// auto says whether the revision, or the tag, named default injects what says nothing.
func (w *world) auto(tag bool) bool {
	name := "default"
	if tag {
		name = w.tags["default"]
	}
	return w.revisions[name] != nil && w.revisions[name].auto
}

// --- Looking ---------------------------------------------------------------------------------------------------------

var names = []string{
	"default", "mesh", "prod", "stage", "stable", "nothing", "default-v1-23-2", "default-v1-24-0", "default-v1-24-2",
	"default-v1-28-latest",
	"mesh-v1-23-2", "mesh-v1-24-0", "mesh-v1-24-2", "mesh-v1-28-latest",
}

func (w *world) topology() usage.Topology {
	var t usage.Topology
	for name, r := range w.revisions {
		t.Revisions = append(t.Revisions, usage.RevisionInfo{
			Name: name, InjectsByDefault: r.auto, LastAmbient: w.lastAmbient(name),
		})
	}
	t.Tags = w.tagList()
	return t
}

func (w *world) tagList() []usage.Tag {
	var out []usage.Tag
	for name, target := range w.tags {
		if w.off != byTag {
			out = append(out, usage.Tag{Name: name, Revision: target})
		}
	}
	for name, r := range w.revisions {
		active := w.istios[r.istio].active
		for _, tag := range r.tags {
			has := active != name && w.revisions[active] != nil && slices.Contains(w.revisions[active].tags, tag)
			if !has && w.off != byValuesTag {
				out = append(out, usage.Tag{Name: tag, Revision: name, ByValues: true, OnlyUsers: active != name})
			}
		}
	}
	slices.SortFunc(out, func(a, b usage.Tag) int {
		return cmpOr(strings.Compare(a.Name, b.Name), strings.Compare(a.Revision, b.Revision))
	})
	return out
}

func (w *world) info(name string) usage.RevisionInfo {
	r := w.revisions[name]
	return usage.RevisionInfo{Name: name, InjectsByDefault: r != nil && r.auto, LastAmbient: w.lastAmbient(name) &&
		w.off != byAmbient}
}

func texts(u usage.Use) []string {
	var out []string
	for _, user := range u.Users {
		out = append(out, user.String())
	}
	return out
}

func textsOf(users []user) []string {
	var out []string
	for _, u := range users {
		out = append(out, u.String())
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
		all, most := textsOf(w.users(name, false)), w.rand.IntN(5)
		got := w.index.Revision(w.info(name), w.tagList(), -1)
		if diff := differ(all, texts(got)); diff != "" {
			w.errorf("the users of revision %s: -want +got:\n%s", name, diff)
		}
		some := w.index.Revision(w.info(name), w.tagList(), most)
		if diff := differ(all[:min(most, len(all))], texts(some)); diff != "" || some.Total != len(all) ||
			got.Total != len(all) {
			w.errorf("the first %d users of revision %s, of %d: -want +got (of %d):\n%s", most, name, len(all),
				some.Total, diff)
		}
		byName := textsOf(w.users(name, true))
		got = w.index.Tag(name, w.info(w.tags[name]), -1)
		if diff := differ(byName, texts(got)); diff != "" || got.Total != len(byName) {
			w.errorf("the users of tag %s: -want +got:\n%s", name, diff)
		}
		text, used := w.plain(name)
		if known, ok := w.known[name]; ok && known != text {
			w.errorf("no change named %s, but its users are %s and were %s", name, text, known)
		}
		if before, ok := w.used[name]; ok && before != used {
			w.errorf("no change said that %s flipped, from %v to %v", name, before, used)
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
			inUse, users := usage.Unknown, w.users(name, false)
			switch {
			case len(users) > 0:
				inUse = usage.True
				if rule := only(users); rule != "" && !r.status.Active && !r.external && !i.external {
					w.seen["only by "+rule]++
				}
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

// only is the rule by which all of the users are some; "" if there are several.
func only(users []user) string {
	if len(users) == 0 {
		return ""
	}
	for _, u := range users {
		if u.rule != users[0].rule {
			return ""
		}
	}
	return users[0].rule
}

// judge holds a verdict against the model.
func (w *world) judge(i *istio, v prune.Verdict, policy prune.Policy, r *rev) {
	now := r.looks[len(r.looks)-1]
	if now.inUse == usage.Unknown {
		w.seen["unknown"]++
	}
	mayGo := !now.active && now.inUse == usage.False && !i.external && !r.external
	since := waitingSince(r.looks)
	if wrong := w.wrong(v, mayGo, since, i.grace); wrong != "" && (w.off == "" || v.Delete) {
		w.errorf("%s %s; it is %+v, external: %t, the grace period %v, the verdict %+v", v.Name, wrong, now,
			i.external || r.external, i.grace, v)
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
		w.errorf("%s is due at %v: it goes a moment before: %t, then: %t", v.Name, v.Due, at(v.Due.Add(-1)), at(v.Due))
	}
}

// waitingSince is the first look since which nothing used the revision and it was not the active one. A look that does
// not know is no use.
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
