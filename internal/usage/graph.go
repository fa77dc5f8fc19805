package usage

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"time"
)

// RevisionInfo is what the rules need of an IstioRevision.
type RevisionInfo struct {
	Name string
	// InjectsByDefault is sidecarInjectorWebhook.enableNamespacesByDefault. It takes effect if the revision, or a tag that
	// points at it, is named default.
	InjectsByDefault bool
	// LastAmbient says that no other revision would be left to serve ambient if this one went: it is in use as long as
	// anything is enrolled.
	LastAmbient bool
}

// Tag is what the rules need of a tag: its name and the revision that it points at, "" if there is none.
type Tag struct {
	Name, Revision string
	// ByValues says that it comes from values.revisionTags of the revision, and is no IstioRevisionTag.
	ByValues bool
	// OnlyUsers says that the tag alone is no use of the revision, but whoever uses the tag: the revision is not the
	// active one any more, and nobody can take the tag out of its values.
	OnlyUsers bool
}

// Topology are all revisions and tags of a cluster. Where a revision and a tag have the same name it has only the one
// that owns the name (see the condition NameAlreadyExists).
type Topology struct {
	Revisions []RevisionInfo
	Tags      []Tag
}

// Use is the answer for one revision or tag.
type Use struct {
	InUse InUse
	// Users are the first of those who use it: namespaces, tags, then what runs in namespaces, by name.
	Users []User
	// Total is how many users there are.
	Total int
	// Why says why InUse is Unknown.
	Why string
}

// The messages of the InUse condition, which users and their scripts match on; the first is followed by the users. A
// test holds them against those of the API.
const (
	messageInUse    = "Referenced by at least one pod or namespace"
	messageNotInUse = "Not referenced by any pod or namespace"
)

// Message says in a sentence who the users are: the first few, and how many more.
func (u Use) Message() string {
	switch {
	case u.InUse == True && len(u.Users) > 0:
		return messageInUse + ": " + first(u.Users, u.Total)
	case u.InUse == True:
		return messageInUse
	case u.InUse == False:
		return messageNotInUse
	}
	return "Not known whether a pod or namespace references it: " + u.Why
}

// first names the first few users, and says how many more there are.
func first(users []User, total int) string {
	const few = 3
	names := make([]string, 0, few)
	for _, u := range users[:min(few, len(users))] {
		names = append(names, u.String())
	}
	text := strings.Join(names, ", ")
	if more := max(total, len(users)) - len(names); more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// Doubt is the answer if not everything has been seen: it may be that something uses what seems unused.
func (u Use) Doubt(why string) Use {
	if u.InUse == False && why != "" {
		u.InUse, u.Why = Unknown, why
	}
	return u
}

// Graph is who uses what: for every revision and tag, and for names that are neither.
type Graph struct {
	Revisions, Tags []Node
	// Unresolved are names that are used but are no revision or tag, and tags that the annotation of a pod names: that
	// must be a revision.
	Unresolved []Node
	// Enrolled are the namespaces and pods that are in ambient: they use ztunnel and the CNI plugin, and no revision.
	Enrolled Use
}

// Node is a name and its users.
type Node struct {
	Name string
	// Revision is what a tag points at.
	Revision string
	Use      Use
}

// Revision says who uses a revision, naming at most so many of them; all, if most is negative. Of the tags only those
// that point at it count: tags may be all tags there are.
//
// It costs time in proportion to the namespaces that use the revision, and the pods in the first few of them.
func (x *Index) Revision(r RevisionInfo, tags []Tag, most int) Use {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.revision(r, tags, most)
}

// Tag says who uses a tag: whoever names it in a label, but not the pods that the target injected because of that.
// target is the revision that it points at.
func (x *Index) Tag(name string, target RevisionInfo, most int) Use {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return x.tag(name, target, most)
}

// Graph answers for all revisions and tags at once, sorted by name.
func (x *Index) Graph(t Topology, most int) Graph {
	x.mu.RLock()
	defer x.mu.RUnlock()
	var g Graph
	if x.enrolled.used() {
		g.Enrolled = x.use(x.enrolled, asRevision, nil, most)
	}
	revisions, tags := map[string]RevisionInfo{}, map[string]bool{}
	for _, r := range t.Revisions {
		revisions[r.Name] = r
		g.Revisions = append(g.Revisions, Node{Name: r.Name, Use: x.revision(r, t.Tags, most)})
	}
	for _, tag := range t.Tags {
		tags[tag.Name] = true
		g.Tags = append(g.Tags, Node{
			Name: tag.Name, Revision: tag.Revision, Use: x.tag(tag.Name, revisions[tag.Revision], most),
		})
	}
	for text, n := range x.names {
		var use Use
		switch _, revision := revisions[text]; {
		case revision:
			continue
		case tags[text]:
			use = x.use(n, asInjector, nil, most)
		default:
			use = x.use(n, asRevision, nil, most)
		}
		if use.Total > 0 {
			g.Unresolved = append(g.Unresolved, Node{Name: text, Use: use})
		}
	}
	for _, nodes := range [][]Node{g.Revisions, g.Tags, g.Unresolved} {
		slices.SortStableFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	}
	return g
}

// MaxReportUsers is how many users of a revision a report names: it goes to Git, and says how many there are.
const MaxReportUsers = 10

// Report is the graph as a usage report of the cluster of that name.
func (g Graph) Report(name string, observedAt time.Time) Report {
	r := Report{Name: name, ObservedAt: observedAt.UTC().Format(time.RFC3339), Revisions: []Revision{}}
	for _, node := range g.Revisions {
		use := node.Use
		rev := Revision{
			Name: node.Name, InUse: use.InUse, Users: slices.Clone(use.Users[:min(MaxReportUsers, len(use.Users))]),
		}
		if use.Total > len(rev.Users) {
			rev.Total = use.Total
		}
		r.Revisions = append(r.Revisions, rev)
	}
	r.Enrolled = g.Enrolled.Total
	return r
}

// everywhere is the user that is no namespace in particular.
var everywhere = User{
	Kind: kindNamespace, Name: "*",
	Reason: "injects every namespace without a label of its own (sidecarInjectorWebhook.enableNamespacesByDefault)",
}

// kindTag is what an IstioRevisionTag is called as a user, and kindValuesTag a tag that comes from the values of a
// revision. kindAmbient is all that is enrolled in ambient, as a user of the last revision that serves it.
const (
	kindTag       = "IstioRevisionTag"
	kindValuesTag = "Tag"
	kindAmbient   = "ambient"
)

// user is the tag as a user of its revision.
func (t Tag) user() User {
	if t.ByValues {
		return User{Kind: kindValuesTag, Name: t.Name, Reason: "values.revisionTags"}
	}
	return User{Kind: kindTag, Name: t.Name, Reason: "points at it"}
}

func (x *Index) revision(r RevisionInfo, tags []Tag, most int) Use {
	var more []User
	if r.Name == defaultName && r.InjectsByDefault {
		more = append(more, everywhere)
	}
	for _, t := range tags {
		if t.Revision == r.Name && (!t.OnlyUsers || x.tagUsed(t.Name, r)) {
			more = append(more, t.user())
		}
	}
	if r.LastAmbient && x.enrolled.used() {
		more = append(more, x.ambientUser())
	}
	return x.use(x.names[r.Name], asRevision, more, most)
}

func (x *Index) tagUsed(name string, target RevisionInfo) bool {
	n := x.names[name]
	return n != nil && n.selected() || name == defaultName && target.InjectsByDefault
}

// ambientUser stands for all that is enrolled.
func (x *Index) ambientUser() User {
	all := x.use(x.enrolled, asRevision, nil, 1)
	name := all.Users[0].String()
	if all.Total > 1 {
		name += fmt.Sprintf(" and %d more", all.Total-1)
	}
	return User{
		Kind: kindAmbient, Name: name,
		Reason: "label " + Enrolment + ", and no other revision is left for that",
	}
}

func (x *Index) tag(name string, target RevisionInfo, most int) Use {
	var more []User
	if name == defaultName && target.InjectsByDefault {
		more = append(more, everywhere)
	}
	return x.use(x.names[name], asTag, more, most)
}

// view is as what a name is asked for.
type view uint8

const (
	// asRevision: labels and annotations count.
	asRevision view = iota
	// asTag: labels count.
	asTag
	// asInjector: annotations count.
	asInjector
)

// cause is why a pod uses a name.
func (v view) cause(x *Index, n *name, s *space, p *pod) cause {
	switch {
	case n == x.enrolled:
		if p.enrolled {
			return byEnrolment
		}
	case v != asTag && p.runs(s) == n:
		return p.ran
	case v != asInjector && p.selects == n && !s.decides:
		return p.why
	}
	return none
}

// referenceCause is why a Gateway or a ztunnel uses a name.
func (v view) referenceCause(n *name, r *reference) cause {
	for _, u := range r.uses {
		if u.name == n && (v == asRevision || v == asTag == u.tag) {
			return u.why
		}
	}
	return none
}

// use gathers the users of a name, which may be nil, and more of them that are not in the index.
func (x *Index) use(n *name, v view, more []User, most int) Use {
	use := Use{InUse: False, Users: slices.Clone(more), Total: len(more)}
	if n != nil {
		if v != asInjector {
			use.Total += len(n.selecting)
			for _, s := range smallest(maps.Keys(n.selecting), most, compareSpaces) {
				why := s.why
				if n == x.enrolled {
					why = byEnrolment
				}
				use.Users = append(use.Users, User{Kind: kindNamespace, Name: s.name, Reason: why.reason(n.text)})
			}
		}
		use.Total += x.users(n, v)
	}
	slices.SortFunc(use.Users, compareUsers)
	if most >= 0 && len(use.Users) > most {
		use.Users = use.Users[:most]
	}
	if n != nil {
		use.Users = append(use.Users, x.podUsers(n, v, most-len(use.Users), most < 0)...)
	}
	if use.Total > 0 {
		use.InUse = True
	}
	if len(use.Users) == 0 {
		use.Users = nil
	}
	return use.Doubt(x.incomplete)
}

// users is how many pods and all else in namespaces use the name.
func (x *Index) users(n *name, v view) int {
	switch v {
	case asRevision:
		return int(n.total.any)
	case asTag:
		return int(n.total.selected)
	case asInjector:
	}
	total := 0
	for s := range n.pods {
		for _, p := range s.pods {
			if v.cause(x, n, s, p) != none {
				total++
			}
		}
		for _, r := range s.references {
			if v.referenceCause(n, r) != none {
				total++
			}
		}
	}
	return total
}

// podUsers are the first pods, and all else in namespaces, that use a name: of the first namespaces, in each by kind
// and name.
func (x *Index) podUsers(n *name, v view, most int, all bool) []User {
	if all {
		most = -1
	} else if most <= 0 {
		return nil
	}
	spaces := func(yield func(*space) bool) {
		for s, u := range n.pods {
			if (v != asTag || u.selected > 0) && !yield(s) {
				return
			}
		}
	}
	limit := most
	if v == asInjector {
		limit = -1 // a namespace may turn out to have none
	}
	var users []User
	for _, s := range smallest(spaces, limit, compareSpaces) {
		pods := func(yield func(candidate) bool) {
			for key, p := range s.pods {
				if why := v.cause(x, n, s, p); why != none && !yield(candidateOf(key, why)) {
					return
				}
			}
			for _, r := range s.references {
				if why := v.referenceCause(n, r); why != none && !yield(candidate{r.kind, r.name, why}) {
					return
				}
			}
		}
		left := -1
		if !all {
			if left = most - len(users); left == 0 {
				break
			}
		}
		for _, c := range smallest(pods, left, compareCandidates) {
			users = append(users, User{Kind: c.kind, Namespace: s.name, Name: c.name, Reason: c.why.reason(n.text)})
		}
	}
	return users
}

// candidate is a pod that may be among the first.
type candidate struct {
	kind, name string
	why        cause
}

func candidateOf(key string, why cause) candidate {
	if kind, name, other := strings.Cut(key, "/"); other {
		return candidate{kind, name, why}
	}
	return candidate{kindPod, key, why}
}

func compareCandidates(a, b candidate) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.name, b.name))
}

func compareSpaces(a, b *space) int { return cmp.Compare(a.name, b.name) }

// compareUsers puts namespaces first, then tags, then the rest.
func compareUsers(a, b User) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Name, b.Name))
}

func rank(u User) int {
	switch u.Kind {
	case kindNamespace:
		return 0
	case kindTag, kindValuesTag, kindAmbient:
		return 1
	}
	return 2
}

// smallest gives the first so many of a sequence in order, or all of them, without keeping more.
func smallest[T any](seq iter.Seq[T], most int, compare func(a, b T) int) []T {
	if most < 0 {
		return slices.SortedFunc(seq, compare)
	}
	var out []T
	if most == 0 {
		return nil
	}
	for v := range seq {
		if len(out) == most && compare(v, out[most-1]) >= 0 {
			continue
		}
		i, _ := slices.BinarySearchFunc(out, v, compare)
		if len(out) == most {
			out = out[:most-1]
		}
		out = slices.Insert(out, i, v)
	}
	return out
}
