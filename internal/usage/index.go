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
	// incomplete says why not everything has been seen; "" if it has.
	incomplete string
	// touched are the names whose users the event that is going on has changed; idle those that lost their last reference.
	touched, idle []*name
}

// name is a revision or tag that something names. It lives as long as anything does.
type name struct {
	text string
	// refs counts the namespaces and pods that name it, whether or not they count as users.
	refs int
	// selecting are the namespaces whose labels select it.
	selecting map[*space]struct{}
	// pods counts the pods that use it, by namespace and in all.
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
	// noted says that it came up since the last replacement began.
	noted bool
	// pods are those that name something, by key.
	pods map[string]*pod
}

// pod is all that is kept of a pod. There are as many as proxies: see BenchmarkIndex before adding a field.
type pod struct {
	injectedBy, selects *name
	why                 cause
	// noted says that it came up since the last replacement began.
	noted bool
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
)

// Change is what an event has changed: names of revisions or tags, sorted. Nothing is allocated when nothing changed.
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
		incomplete: "namespaces and pods have not all been seen yet",
	}
}

// SetIncomplete notes why the index does not see everything, or with "" that it does. As long as it does not, what seems
// unused is Unknown; a user that was seen is a user all the same. It tells whether that is news.
func (x *Index) SetIncomplete(why string) (changed bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	changed = x.incomplete != why
	x.incomplete = why
	return changed
}

// SetNamespace notes a namespace as it is now. If its labels begin or cease to decide about its pods, that takes time in
// proportion to those of its pods that name something.
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

// Replacement tells an index what there is, object by object, as it comes: the whole is never held. What has not come up when it
// is Done is gone; until then it counts, since in doubt something is used. A replacement that cannot be finished is left, and
// another one begun.
type Replacement[T Namespace | Pod] struct {
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

// ReplacePods begins to note all pods that there are, of every kind.
func (x *Index) ReplacePods() *Replacement[Pod] {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, s := range x.spaces {
		for _, p := range s.pods {
			p.noted = false
		}
	}
	return &Replacement[Pod]{x, x.setPod, func() {
		for _, s := range x.spaces {
			for key, p := range s.pods {
				if !p.noted {
					x.dropPod(s, key, p)
				}
			}
			x.release(s)
		}
	}}
}

func (x *Index) setNamespace(n Namespace) {
	s := x.spaces[n.Name]
	decides := n.decides()
	if s == nil {
		if !decides {
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
		if before != nil {
			x.touch(before)
			delete(before.selecting, s)
			x.drop(before)
		}
		if now := s.selects; now != nil {
			x.touch(now)
			if now.selecting == nil {
				now.selecting = map[*space]struct{}{}
			}
			now.selecting[s] = struct{}{}
		}
	}
	x.release(s)
}

func (x *Index) setPod(in Pod) {
	injectedBy := in.injectedBy()
	selects, why := in.selects()
	s, key := x.spaces[in.Namespace], in.key()
	if injectedBy == "" && selects == "" {
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
	if p.injectedBy.is(injectedBy) && p.selects.is(selects) && p.why == why {
		return
	}
	before := *p
	x.count(s, p, -1)
	p.injectedBy, p.selects, p.why = x.intern(injectedBy), x.intern(selects), why
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

// count adds a pod to what it uses, or takes it away.
func (x *Index) count(s *space, p *pod, delta int32) {
	if p.injectedBy != nil {
		x.add(p.injectedBy, s, uses{any: delta})
	}
	if p.selects != nil && !s.decides {
		u := uses{selected: delta}
		if p.selects != p.injectedBy { // a pod is one user, for however many reasons
			u.any = delta
		}
		x.add(p.selects, s, u)
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
		if n.refs == 0 {
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
	if len(s.pods) > 0 {
		return
	}
	s.pods = nil
	if !s.decides {
		delete(x.spaces, s.name)
	}
}
