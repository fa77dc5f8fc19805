package show

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/usage"
)

// FoldAbove is how many pods of one namespace that use a name for the same reason a graph shows one by one. More are a
// count.
const FoldAbove = 3

// drawing is a view as boxes and arrows: users on the left, in a group for each namespace, names to the right of them.
type drawing struct {
	groups []*group
	// loose are users that are in no namespace.
	loose  []*box
	names  []*box
	arrows []arrow
	boxes  map[string]*box
}

// group is a namespace.
type group struct {
	name  string
	boxes []*box
	// pods are those of it that use anything, by kind and name.
	pods map[string]bool
}

// box is a user, several of them, or a name that is used.
type box struct {
	id     string
	kind   boxKind
	lines  []string
	unused bool
	// whole says that the user is a namespace itself.
	whole bool
}

type boxKind int

const (
	boxUser boxKind = iota
	boxTag
	boxRevision
	boxUnresolved
)

type arrow struct {
	from, to *box
	label    string
	// group is the namespace of from, if it is in one.
	group *group
}

// draw makes a drawing of a view that has all users. Without all, pods are folded.
func draw(v View, all bool) *drawing {
	d := &drawing{boxes: map[string]*box{}}
	groups := map[string]*group{}
	for _, n := range v.Revisions {
		b := d.name(boxRevision, n.Name)
		for _, line := range []string{n.Version, n.istio()} {
			if line != "" {
				b.lines = append(b.lines, Printable(line))
			}
		}
		switch b.unused = n.Use.InUse == usage.False; {
		case b.unused:
			b.lines = append(b.lines, "not in use")
		case n.Use.InUse == usage.Unknown:
			b.lines = append(b.lines, "not known whether in use")
		}
	}
	for _, n := range v.Tags {
		b := d.name(boxTag, n.Name)
		b.unused = n.Use.InUse == usage.False
		if len(n.Targets) == 0 {
			b.lines = append(b.lines, "points at nothing")
		}
	}
	for _, n := range v.Unresolved {
		b := d.name(boxUnresolved, n.Name)
		b.lines = append(b.lines, "neither revision nor tag")
	}
	for _, n := range v.Revisions {
		d.users(d.name(boxRevision, n.Name), n, groups, all)
	}
	for _, n := range v.Tags {
		tag := d.name(boxTag, n.Name)
		d.users(tag, n, groups, all)
		for _, target := range n.Targets {
			// else it has the tag as a user
			if !slices.ContainsFunc(v.Revisions, func(r Node) bool { return r.Name == target }) {
				d.arrows = append(d.arrows, arrow{from: tag, to: d.name(boxRevision, target), label: "points at it"})
			}
		}
	}
	for _, n := range v.Unresolved {
		d.users(d.name(boxUnresolved, n.Name), n, groups, all)
	}
	d.groups = slices.SortedFunc(maps.Values(groups), func(a, b *group) int { return cmp.Compare(a.name, b.name) })
	d.number()
	return d
}

// name is the box of a name.
func (d *drawing) name(kind boxKind, name string) *box {
	word := map[boxKind]string{boxTag: "tag ", boxRevision: "revision "}[kind]
	key := fmt.Sprint(kind, "/", name)
	b := d.boxes[key]
	if b == nil {
		b = &box{kind: kind, lines: []string{Printable(word + name)}}
		d.boxes[key], d.names = b, append(d.names, b)
	}
	return b
}

// users draws those who use a name.
func (d *drawing) users(to *box, n Node, groups map[string]*group, all bool) {
	for _, f := range folded(n.Use.Users, all) {
		a := arrow{to: to, label: Printable(f.reason)}
		if f.kind == kindTag || f.kind == kindValuesTag {
			a.from = d.name(boxTag, f.name)
			d.arrows = append(d.arrows, a)
			continue
		}
		key := fmt.Sprint("user/", f.namespace, "/", f.kind, "/", f.name)
		if f.count > 1 { // of this name and reason only
			key = fmt.Sprint("users/", f.namespace, "/", to.kind, "/", n.Name, "/", f.reason)
		}
		a.from = d.boxes[key]
		if a.from == nil {
			a.from = &box{lines: []string{Printable(f.String())}, whole: f.kind == kindNamespace}
			d.boxes[key] = a.from
			d.place(a.from, f.namespace, groups)
		}
		a.group = groups[f.namespace]
		d.arrows = append(d.arrows, a)
	}
	for _, u := range n.Use.Users {
		if g := groups[u.Namespace]; g != nil {
			g.pods[u.Kind+"/"+u.Name] = true
		}
	}
}

func (d *drawing) place(b *box, namespace string, groups map[string]*group) {
	if namespace == "" {
		d.loose = append(d.loose, b)
		return
	}
	if groups[namespace] == nil {
		groups[namespace] = &group{name: namespace, pods: map[string]bool{}}
	}
	groups[namespace].boxes = append(groups[namespace].boxes, b)
}

// number gives every box an identifier that contains no text of anybody.
func (d *drawing) number() {
	n := 0
	for _, boxes := range d.columns() {
		for _, b := range boxes {
			n++
			b.id = fmt.Sprintf("n%d", n)
		}
	}
}

// columns are all boxes in the order in which they are written.
func (d *drawing) columns() [][]*box {
	out := make([][]*box, 0, len(d.groups)+2)
	for _, g := range d.groups {
		out = append(out, g.boxes)
	}
	return append(out, d.loose, d.names)
}

// The kinds of users that are no pods.
const (
	kindNamespace = "Namespace"
	kindTag       = "IstioRevisionTag"
	kindValuesTag = "Tag"
)

// users is one user of a name, or several pods of one namespace with one reason.
type users struct {
	// namespace is where it is; a namespace is in itself.
	namespace, kind string
	// name is empty if there are several.
	name, reason string
	count        int
}

func (u users) String() string {
	switch {
	case u.kind == kindNamespace && u.namespace == "":
		return "every namespace"
	case u.kind == kindNamespace:
		return "the namespace"
	case u.count > 1:
		return plural(u.count, strings.ToLower(u.kind))
	}
	return u.kind + " " + u.name
}

// folded groups users: pods are a count where more than a few of a namespace have the same reason, unless all are
// wanted.
func folded(list []usage.User, all bool) []users {
	type same struct{ namespace, kind, reason string }
	counts := map[same]int{}
	for _, u := range list {
		counts[same{u.Namespace, u.Kind, u.Reason}]++
	}
	var out []users
	for _, u := range list {
		s := same{u.Namespace, u.Kind, u.Reason}
		f := users{namespace: u.Namespace, kind: u.Kind, name: u.Name, reason: u.Reason, count: 1}
		switch many := !all && counts[s] > FoldAbove; {
		case u.Kind == kindTag || u.Kind == kindValuesTag:
		case u.Kind == kindNamespace && u.Name == "*":
			f.name = ""
		case u.Kind == kindNamespace:
			f.namespace, f.name = u.Name, ""
		case many || counts[s] < 0: // the first of them stands for all
			if counts[s] < 0 {
				continue
			}
			f.name, f.count = "", counts[s]
			counts[s] = -1
		}
		out = append(out, f)
	}
	return out
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
