package usage

import (
	"slices"
	"strings"
	"sync"
)

// Index knows who uses which name, kept up to date by events. Nothing is listed to answer a question, and what uses
// nothing and has none of the labels is not kept at all: of a pod that counts there remain its name and 24 bytes.
//
// Events may come in any order. A namespace that has not been seen, or is gone before its pods, counts as one without
// labels, in which the labels of pods count: in doubt something is used. That doubt also lets the index forget every
// namespace without labels.
//
// An Index can be used concurrently.
type Index struct {
	mu     sync.RWMutex
	names  map[string]*name
	spaces map[string]*space
	// enrolled is what namespaces and pods in ambient use: no revision. It is in no map.
	enrolled *name
	// classes are the GatewayClasses that some istiod serves, and validator the revision that istiod-default-validator
	// names.
	classes   map[string]bool
	validator *name
	// incomplete says why not everything has been seen; "" if it has.
	incomplete string
	// touched are the names whose users the event that is going on has changed; idle those that lost their last reference.
	touched, idle []*name
}

// name is a revision or tag that something names. It lives as long as anything does.
type name struct {
	text string
	// refs counts what names it, whether or not it counts as a user.
	refs int
	// selecting are the namespaces whose labels select it.
	selecting map[*space]struct{}
	// pods counts the pods and all else in a namespace that use it, by namespace and in all.
	pods  map[*space]uses
	total uses
	// before is what it was when the event touched it first.
	touched bool
	before  struct{ any, selected bool }
}

// uses counts pods that use a name at all, and those whose labels select it. The latter alone count for a tag.
type uses struct{ any, selected int32 }

func (n *name) used() bool     { return len(n.selecting) > 0 || n.total.any > 0 }
func (n *name) selected() bool { return len(n.selecting) > 0 || n.total.selected > 0 }

// space is a namespace that has one of the labels, or pods that name something.
type space struct {
	name string
	// decides: see Namespace.decides. selects may be nil all the same.
	decides bool
	selects *name
	why     cause
	// enrolled says that it is in ambient.
	enrolled bool
	// rev is the value of its label istio.io/rev, which its Gateways go by even where istio-injection decides about
	// pods.
	rev *name
	// noted says that it came up since the last replacement began.
	noted bool
	// rolled says that it has a ztunnel, and that all pods of that are of its current template.
	rolled bool
	// pods are those that name something, by key, and references what else does.
	pods       map[string]*pod
	references map[string]*reference
}

// pod is all that is kept of a pod. There are as many as proxies: see BenchmarkIndex before adding a field.
type pod struct {
	injectedBy, selects *name
	// ran and why are what says the one and the other.
	ran, why cause
	enrolled bool
	// noted says that it came up since the last replacement began.
	noted bool
}

// reference is something that is no pod and makes none that are injected, and needs a control plane: a Gateway, or the
// DaemonSet of ztunnel.
type reference struct {
	kind, name string
	// uses are what it names.
	uses []named
	// class and label are a Gateway's; rolled is a DaemonSet's.
	class  string
	label  Label
	rolled bool
	// noted says that it came up since the last replacement began.
	noted bool
}

// named is a name that a reference uses; tag says that it counts for a tag of that name as well.
type named struct {
	name *name
	tag  bool
	why  cause
}

// key identifies a pod in its namespace. Kinds cannot be confused with names: those have no slash.
func (p Pod) key() string {
	if p.Kind == "" || p.Kind == kindPod {
		return p.Name
	}
	return p.Kind + "/" + p.Name
}

const (
	kindPod       = "Pod"
	kindNamespace = "Namespace"
	kindGateway   = "Gateway"
	kindDaemonSet = "DaemonSet"
)

// Enrolment is what a Change calls the use of ambient, which names no revision: no object can have the name.
const Enrolment = LabelDataplane + "=" + ambient

// Change is what an event has changed: names of revisions or tags, and Enrolment, sorted. Nothing is allocated when
// nothing changed.
type Change struct {
	// Flipped are the names that had no user and have one now, or the other way round, as a revision or as a tag.
	Flipped []string
	// Touched are all names whose users have changed, the flipped ones among them.
	Touched []string
}

// Empty says that nothing has changed.
func (c Change) Empty() bool { return len(c.Touched) == 0 }

// NewIndex returns an index that has seen nothing yet, and knows it: until SetIncomplete("") nothing is unused.
func NewIndex() *Index {
	return &Index{
		names:      map[string]*name{},
		spaces:     map[string]*space{},
		enrolled:   &name{text: Enrolment},
		classes:    map[string]bool{},
		incomplete: "namespaces, pods and what makes pods have not all been seen yet",
	}
}

// SetIncomplete notes why the index does not see everything, or with "" that it does. As long as it does not, what
// seems unused is Unknown; a user that was seen is a user all the same. It reports whether that is news.
func (x *Index) SetIncomplete(why string) (changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	changed = x.incomplete != why
	x.incomplete = why
	return changed
}

// SetNamespace notes a namespace as it is now. If its labels begin or cease to decide about its pods, that takes time
// in proportion to those of its pods that name something.
func (x *Index) SetNamespace(n Namespace) Change {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setNamespace(n)
	return x.changes()
}

// DeleteNamespace notes that a namespace is gone.
func (x *Index) DeleteNamespace(name string) Change { return x.SetNamespace(Namespace{Name: name}) }

// SetPod notes a pod as it is now.
func (x *Index) SetPod(p Pod) Change {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setPod(p)
	return x.changes()
}

// DeletePod notes that a pod is gone.
func (x *Index) DeletePod(namespace, name string) Change {
	return x.SetPod(Pod{Namespace: namespace, Name: name, Finished: true})
}

// SetGateway notes a Gateway as it is now.
func (x *Index) SetGateway(g Gateway) Change {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setGateway(g)
	return x.changes()
}

// SetGatewayClass notes a GatewayClass as it is now. It takes time in proportion to the namespaces that are kept.
func (x *Index) SetGatewayClass(c GatewayClass) Change {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.setClass(c.Name, c.Istio())
	return x.changes()
}

// SetDefaultValidator notes the revision that the webhook istiod-default-validator names, "" if there is no such
// webhook or if Istio before 1.28 has made it, which serves no Gateways because of it. It takes time in proportion to
// the namespaces that are kept.
func (x *Index) SetDefaultValidator(revision string) Change {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.validator.is(revision) {
		before := x.validator
		x.validator = x.intern(revision)
		x.renameGateways(func(*reference) bool { return true })
		x.drop(before)
	}
	return x.changes()
}

// Replacement tells an index what there is, object by object, as it comes: the whole is never held. What has not come
// up when it is Done is gone; until then it counts, since in doubt something is used. A replacement that cannot be
// finished is left, and another one begun.
type Replacement[T Namespace | Pod | Gateway | GatewayClass] struct {
	x     *Index
	set   func(T)
	sweep func()
}

// Set notes an object as it is now. What that changes, Done tells, or an event that comes before.
func (r *Replacement[T]) Set(o T) {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	r.set(o)
}

// Done ends the replacement: those that did not come up are gone.
func (r *Replacement[T]) Done() Change {
	r.x.mu.Lock()
	defer r.x.mu.Unlock()
	r.sweep()
	return r.x.changes()
}

// ReplaceNamespaces begins to note all namespaces that there are.
func (x *Index) ReplaceNamespaces() *Replacement[Namespace] {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.spaces {
		s.noted = false
	}
	return &Replacement[Namespace]{x, x.setNamespace, func() {
		for _, s := range x.spaces {
			if !s.noted {
				x.setNamespace(Namespace{Name: s.name})
			}
		}
	}}
}

// ReplacePods begins to note all pods that there are.
func (x *Index) ReplacePods() *Replacement[Pod] { return x.ReplaceWorkloads(kindPod) }

// ReplaceWorkloads begins to note all of one kind that makes pods.
func (x *Index) ReplaceWorkloads(kind string) *Replacement[Pod] {
	x.mu.Lock()
	defer x.mu.Unlock()
	is := func(key string) bool {
		of, _, other := strings.Cut(key, "/")
		return other && of == kind || !other && kind == kindPod
	}
	for _, s := range x.spaces {
		for key, p := range s.pods {
			p.noted = p.noted && !is(key)
		}
		s.expect(kind)
	}
	return &Replacement[Pod]{x, x.setPod, func() {
		for _, s := range x.spaces {
			for key, p := range s.pods {
				if is(key) && !p.noted {
					x.dropPod(s, key, p)
				}
			}
			x.sweep(s, kind)
		}
	}}
}

// ReplaceGateways begins to note all Gateways that there are.
func (x *Index) ReplaceGateways() *Replacement[Gateway] {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.spaces {
		s.expect(kindGateway)
	}
	return &Replacement[Gateway]{x, x.setGateway, func() {
		for _, s := range x.spaces {
			x.sweep(s, kindGateway)
		}
	}}
}

// ReplaceGatewayClasses begins to note all GatewayClasses that there are.
func (x *Index) ReplaceGatewayClasses() *Replacement[GatewayClass] {
	seen := map[string]bool{}
	return &Replacement[GatewayClass]{x, func(c GatewayClass) {
		if c.Istio() {
			seen[c.Name] = true
		}
		x.setClass(c.Name, c.Istio())
	}, func() {
		for class := range x.classes {
			if !seen[class] {
				x.setClass(class, false)
			}
		}
	}}
}

// expect notes that the references of a kind have not come up yet.
func (s *space) expect(kind string) {
	for _, r := range s.references {
		r.noted = r.noted && r.kind != kind
	}
}

// sweep drops the references of a kind that have not come up, and a namespace that says nothing any more.
func (x *Index) sweep(s *space, kind string) {
	for key, r := range s.references {
		if r.kind == kind && !r.noted {
			x.dropReference(s, key, r)
		}
	}
	x.release(s)
}

func (x *Index) setNamespace(n Namespace) {
	s := x.spaces[n.Name]
	decides := n.decides()
	if s == nil {
		if !decides && !n.Enrolled {
			return
		}
		s = x.space(n.Name)
	}
	s.noted = true
	if s.decides != decides {
		for _, p := range s.pods {
			x.count(s, p, -1)
		}
		s.decides = decides
		for _, p := range s.pods {
			x.count(s, p, +1)
		}
	}
	selected, why := n.selects()
	if before := s.selects; !before.is(selected) || s.why != why {
		s.selects, s.why = x.intern(selected), why
		x.unselect(before, s)
		x.drop(before)
		x.selectedBy(s.selects, s)
	}
	if s.enrolled != n.Enrolled {
		if s.enrolled = n.Enrolled; s.enrolled {
			x.selectedBy(x.enrolled, s)
		} else {
			x.unselect(x.enrolled, s)
		}
	}
	if before := s.rev; !before.is(n.Revision.Value) {
		s.rev = x.intern(n.Revision.Value)
		for _, r := range s.references {
			x.renameGateway(s, r)
		}
		x.drop(before)
	}
	x.release(s)
}

func (x *Index) selectedBy(n *name, s *space) {
	if n == nil {
		return
	}
	x.touch(n)
	if n.selecting == nil {
		n.selecting = map[*space]struct{}{}
	}
	n.selecting[s] = struct{}{}
}

func (x *Index) unselect(n *name, s *space) {
	if n != nil {
		x.touch(n)
		delete(n.selecting, s)
	}
}

func (x *Index) setPod(in Pod) {
	if in.Kind == kindDaemonSet {
		x.setDaemon(in)
		if len(in.Addresses) > 0 {
			in = Pod{Kind: in.Kind, Namespace: in.Namespace, Name: in.Name, Finished: true}
		}
	}
	injectedBy, ran := in.injectedBy()
	selects, why := in.selects()
	enrolled := in.enrolled()
	s, key := x.spaces[in.Namespace], in.key()
	if injectedBy == "" && selects == "" && !enrolled {
		if s == nil {
			return
		}
		if p := s.pods[key]; p != nil {
			x.dropPod(s, key, p)
			x.release(s)
		}
		return
	}
	if s == nil {
		s = x.space(in.Namespace)
	}
	p := s.pods[key]
	if p == nil {
		p = &pod{}
		if s.pods == nil {
			s.pods = map[string]*pod{}
		}
		s.pods[strings.Clone(key)] = p
	}
	p.noted = true
	if p.injectedBy.is(injectedBy) && p.selects.is(selects) && p.ran == ran && p.why == why && p.enrolled == enrolled {
		return
	}
	before := *p
	x.count(s, p, -1)
	p.injectedBy, p.selects, p.ran, p.why, p.enrolled = x.intern(injectedBy), x.intern(selects), ran, why, enrolled
	x.count(s, p, +1)
	x.drop(before.injectedBy)
	x.drop(before.selects)
}

func (x *Index) dropPod(s *space, key string, p *pod) {
	x.count(s, p, -1)
	x.drop(p.injectedBy)
	x.drop(p.selects)
	delete(s.pods, key)
}

// runs is the revision whose proxy the pod runs, unless the DaemonSet of a ztunnel answers for it.
func (p *pod) runs(s *space) *name {
	if p.ran == byZTunnelPod && s.rolled {
		return nil
	}
	return p.injectedBy
}

// count adds a pod to what it uses, or takes it away.
func (x *Index) count(s *space, p *pod, delta int32) {
	runs := p.runs(s)
	if runs != nil {
		x.add(runs, s, uses{any: delta})
	}
	if p.selects != nil && !s.decides {
		u := uses{selected: delta}
		if p.selects != runs { // a pod is one user, for however many reasons
			u.any = delta
		}
		x.add(p.selects, s, u)
	}
	if p.enrolled {
		x.add(x.enrolled, s, uses{any: delta})
	}
}

func (x *Index) setGateway(g Gateway) {
	s, key := x.spaces[g.Namespace], kindGateway+"/"+g.Name
	if g.Gone {
		x.dropReferenceOf(s, key)
		return
	}
	if s == nil {
		s = x.space(g.Namespace)
	}
	r := s.reference(key, kindGateway, g.Name)
	r.noted = true
	if r.class != g.Class || r.label != g.Revision {
		r.class, r.label = strings.Clone(g.Class), Label{strings.Clone(g.Revision.Value), g.Revision.Set}
	}
	x.renameGateway(s, r)
}

func (x *Index) setClass(class string, istio bool) {
	if x.classes[class] == istio {
		return
	}
	if istio {
		x.classes[strings.Clone(class)] = true
	} else {
		delete(x.classes, class)
	}
	x.renameGateways(func(r *reference) bool { return r.class == class })
}

func (x *Index) renameGateways(which func(*reference) bool) {
	for _, s := range x.spaces {
		for _, r := range s.references {
			if which(r) {
				x.renameGateway(s, r)
			}
		}
	}
}

// renameGateway finds out again what a Gateway uses.
func (x *Index) renameGateway(s *space, r *reference) {
	if r.kind != kindGateway {
		return
	}
	g := Gateway{Class: r.class, Revision: r.label}
	if !x.classes[r.class] && !g.ByName() {
		x.reuse(s, r, nil)
		return
	}
	namespace := ""
	if s.rev != nil {
		namespace = s.rev.text
	}
	text, why := g.names(namespace)
	if text != "" {
		x.reuse(s, r, []wanted{{text, true, why}})
		return
	}
	uses := []wanted{{defaultName, true, byGateway}}
	if x.validator != nil && x.validator.text != defaultName {
		uses = append(uses, wanted{x.validator.text, false, byDefaultValidator})
	}
	x.reuse(s, r, uses)
}

// setDaemon notes what the addresses of a DaemonSet name.
func (x *Index) setDaemon(in Pod) {
	s, key := x.spaces[in.Namespace], in.key()
	if len(in.Addresses) == 0 || in.Finished {
		x.dropReferenceOf(s, key)
		return
	}
	if s == nil {
		s = x.space(in.Namespace)
	}
	r := s.reference(key, kindDaemonSet, in.Name)
	r.noted, r.rolled = true, in.Rolled
	var uses []wanted
	for _, c := range in.controlPlanes() {
		uses = append(uses, wanted{c.Name, c.Tag, byZTunnel})
	}
	x.reuse(s, r, uses)
	x.roll(s)
}

// roll finds out again whether the pods of ztunnel in a namespace count by themselves.
func (x *Index) roll(s *space) {
	have, rolled := false, true
	for _, r := range s.references {
		if r.kind == kindDaemonSet {
			have, rolled = true, rolled && r.rolled
		}
	}
	if rolled = rolled && have; rolled == s.rolled {
		return
	}
	for _, p := range s.pods {
		x.count(s, p, -1)
	}
	s.rolled = rolled
	for _, p := range s.pods {
		x.count(s, p, +1)
	}
}

// reference is the one of that key, made if there is none.
func (s *space) reference(key, kind, name string) *reference {
	r := s.references[key]
	if r == nil {
		r = &reference{kind: kind, name: strings.Clone(name)}
		if s.references == nil {
			s.references = map[string]*reference{}
		}
		s.references[kind+"/"+r.name] = r
	}
	return r
}

// wanted is a named whose name is not looked up yet.
type wanted struct {
	text string
	tag  bool
	why  cause
}

// reuse makes a reference use other names than before.
func (x *Index) reuse(s *space, r *reference, uses []wanted) {
	same := len(uses) == len(r.uses)
	for i := 0; same && i < len(uses); i++ {
		u := r.uses[i]
		same = u.name.text == uses[i].text && u.tag == uses[i].tag && u.why == uses[i].why
	}
	if same {
		return
	}
	before := r.uses
	x.countReference(s, r, -1)
	r.uses = nil
	for _, u := range uses {
		r.uses = append(r.uses, named{x.intern(u.text), u.tag, u.why})
	}
	x.countReference(s, r, +1)
	for _, u := range before {
		x.drop(u.name)
	}
}

func (x *Index) countReference(s *space, r *reference, delta int32) {
	for i, u := range r.uses {
		d := uses{any: delta}
		if u.tag {
			d.selected = delta
		}
		if r.names(u.name) < i { // a name that is that of a revision and of a tag: one user
			d.any = 0
		}
		x.add(u.name, s, d)
	}
}

// names is the place of the first use of a name, or -1.
func (r *reference) names(n *name) int {
	return slices.IndexFunc(r.uses, func(u named) bool { return u.name == n })
}

func (x *Index) dropReferenceOf(s *space, key string) {
	if s == nil {
		return
	}
	if r := s.references[key]; r != nil {
		x.dropReference(s, key, r)
		x.release(s)
	}
}

func (x *Index) dropReference(s *space, key string, r *reference) {
	x.reuse(s, r, nil)
	delete(s.references, key)
	if r.kind == kindDaemonSet {
		x.roll(s)
	}
}

func (x *Index) add(n *name, s *space, delta uses) {
	x.touch(n)
	n.total.any += delta.any
	n.total.selected += delta.selected
	if n.pods == nil {
		n.pods = map[*space]uses{}
	}
	u := n.pods[s]
	u.any += delta.any
	u.selected += delta.selected
	if u == (uses{}) {
		delete(n.pods, s)
		return
	}
	n.pods[s] = u
}

// touch remembers what a name was before the event changes it.
func (x *Index) touch(n *name) {
	if n.touched {
		return
	}
	n.touched = true
	n.before.any, n.before.selected = n.used(), n.selected()
	x.touched = append(x.touched, n)
}

// changes ends an event. Names are forgotten only here: a replacement may drop one and take it up again.
func (x *Index) changes() Change {
	for _, n := range x.idle {
		if n.refs == 0 && x.names[n.text] == n {
			delete(x.names, n.text)
		}
	}
	clear(x.idle)
	x.idle = x.idle[:0]
	if len(x.touched) == 0 {
		return Change{}
	}
	var c Change
	for _, n := range x.touched {
		n.touched = false
		c.Touched = append(c.Touched, n.text)
		if n.before.any != n.used() || n.before.selected != n.selected() {
			c.Flipped = append(c.Flipped, n.text)
		}
	}
	clear(x.touched)
	x.touched = x.touched[:0]
	slices.Sort(c.Touched)
	slices.Sort(c.Flipped)
	return c
}

// intern gives the one name of that text, nil for "". Whoever keeps it drops it in the end.
func (x *Index) intern(text string) *name {
	if text == "" {
		return nil
	}
	n := x.names[text]
	if n == nil {
		n = &name{text: strings.Clone(text)} // not a part of the event's memory
		x.names[n.text] = n
	}
	n.refs++
	return n
}

func (x *Index) drop(n *name) {
	if n == nil {
		return
	}
	n.refs--
	if n.refs == 0 {
		x.idle = append(x.idle, n)
	}
}

// is compares without looking the text up; nil is the name "".
func (n *name) is(text string) bool {
	if n == nil {
		return text == ""
	}
	return n.text == text
}

func (x *Index) space(name string) *space {
	s := &space{name: strings.Clone(name)}
	x.spaces[s.name] = s
	return s
}

// release forgets a namespace that says nothing and a map of pods that is empty: a map never gives memory back.
func (x *Index) release(s *space) {
	if len(s.references) == 0 {
		s.references = nil
	}
	if len(s.pods) > 0 {
		return
	}
	s.pods = nil
	if !s.decides && !s.enrolled && s.references == nil {
		delete(x.spaces, s.name)
	}
}
