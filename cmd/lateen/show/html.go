package show

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

//go:embed page.html
var pageText string

// pageTemplate writes text as text wherever it stands: that is what html/template is for.
var pageTemplate = template.Must(template.New("page").Parse(pageText))

// HTML writes the view, which has all users, as a page that needs nothing else: no script, no network. Without all,
// pods are folded; see FoldAbove.
func (v View) HTML(w io.Writer, all bool) error {
	p := page{
		Cluster: Printable(v.Cluster), ObservedAt: v.ObservedAt.UTC().Format(time.RFC3339), Picture: pictureOf(draw(v, all)),
	}
	for _, n := range v.Revisions {
		p.Revisions = append(p.Revisions, entryOf(n, all))
	}
	for _, n := range v.Tags {
		p.Tags = append(p.Tags, entryOf(n, all))
	}
	for _, n := range v.Unresolved {
		p.Unresolved = append(p.Unresolved, entryOf(n, all))
	}
	return pageTemplate.Execute(w, p)
}

type page struct {
	Cluster, ObservedAt         string
	Picture                     picture
	Revisions, Tags, Unresolved []entry
}

// entry is a row of a table.
type entry struct {
	Name, Version, Istio, Tags, Targets, InUse, Why string
	Total                                           int
	Users                                           []usersOf
}

// usersOf are the users in one namespace, or in none.
type usersOf struct {
	Namespace string
	Lines     []string
}

func entryOf(n Node, all bool) entry {
	e := entry{
		Name: Printable(n.Name), Version: Printable(n.Version), Istio: Printable(n.istio()),
		Tags: printables(n.Tags), Targets: printables(n.Targets),
		InUse: n.inUse(), Why: Printable(n.Use.Why), Total: n.Use.Total,
	}
	place := map[string]int{}
	for _, l := range folded(n.Use.Users, all) {
		namespace := Printable(l.namespace)
		i, ok := place[namespace]
		if !ok {
			i = len(e.Users)
			place[namespace], e.Users = i, append(e.Users, usersOf{Namespace: namespace})
		}
		text := Printable(l.String())
		if l.reason != "" {
			text += " (" + Printable(l.reason) + ")"
		}
		e.Users[i].Lines = append(e.Users[i].Lines, text)
	}
	return e
}

func printables(names []string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = Printable(name)
	}
	return strings.Join(out, ", ")
}

// The measures of the picture.
const (
	margin     = 10
	boxHeight  = 40
	rowHeight  = 56
	columnGap  = 110
	letter     = 8 // how wide a letter of the font is, at most on average
	maxLetters = 44
	baseline   = 17
	nextLine   = 15
)

// picture is a drawing with a place for everything, in three columns: namespaces, tags, revisions.
type picture struct {
	Width, Height int
	Lines         []line
	Boxes         []pictureBox
}

type pictureBox struct {
	X, Y, Width, Height   int
	Class, Title          string
	First, Second         string
	TextX, TextY, SecondY int
}

type line struct {
	Path, Title string
}

// pictureOf lays a drawing out. A namespace is one box, and what it and its pods use one line each.
func pictureOf(d *drawing) picture {
	columns := make([][]pictureBox, 3)
	place := map[any][2]int{} // of a group or box: column and row
	put := func(column int, what any, class string, lines ...string) {
		place[what] = [2]int{column, len(columns[column])}
		columns[column] = append(columns[column], pictureBox{
			Class: class, Title: strings.Join(lines, ", "), First: clip(lines[0]), Second: clip(strings.Join(lines[1:], ", ")),
		})
	}
	for _, g := range d.groups {
		put(0, g, "namespace", Printable(g.name), g.size())
	}
	for _, b := range d.loose {
		put(0, b, "namespace", b.lines...)
	}
	for _, b := range d.names {
		class := map[boxKind]string{boxTag: "tag", boxRevision: "revision", boxUnresolved: "unresolved"}[b.kind]
		if b.unused {
			class += " unused"
		}
		put(map[boxKind]int{boxTag: 1}[b.kind]+map[boxKind]int{boxRevision: 2, boxUnresolved: 2}[b.kind], b, class,
			b.lines...)
	}
	p := layOut(columns)
	for _, l := range merged(d) {
		from, to := columns[place[l.from][0]][place[l.from][1]], columns[place[l.to][0]][place[l.to][1]]
		x1, y1, x2, y2 := from.X+from.Width, from.Y+boxHeight/2, to.X, to.Y+boxHeight/2
		const bend = columnGap / 2
		p.Lines = append(p.Lines, line{
			fmt.Sprintf("M%d,%d C%d,%d %d,%d %d,%d", x1, y1, x1+bend, y1, x2-bend, y2, x2, y2), strings.Join(l.reasons, "; "),
		})
	}
	for _, column := range columns {
		p.Boxes = append(p.Boxes, column...)
	}
	return p
}

// layOut gives every box its place, and the picture its size.
func layOut(columns [][]pictureBox) picture {
	p := picture{}
	x := margin
	for _, column := range columns {
		width := 0
		for _, b := range column {
			width = max(width, letter*max(utf8.RuneCountInString(b.First), utf8.RuneCountInString(b.Second))+2*margin)
		}
		for i := range column {
			b := &column[i]
			b.X, b.Y, b.Width, b.Height = x, margin+i*rowHeight, width, boxHeight
			b.TextX, b.TextY, b.SecondY = x+margin, b.Y+baseline, b.Y+baseline+nextLine
			if b.Second == "" {
				b.TextY += nextLine / 2
			}
		}
		if width > 0 {
			x += width
			p.Width, p.Height = x+margin, max(p.Height, margin+len(column)*rowHeight)
			x += columnGap
		}
	}
	return p
}

// size says what of a namespace uses anything.
func (g *group) size() string {
	var parts []string
	if slices.ContainsFunc(g.boxes, func(b *box) bool { return b.whole }) {
		parts = append(parts, "the namespace")
	}
	if len(g.pods) > 0 {
		parts = append(parts, plural(len(g.pods), "pod"))
	}
	return strings.Join(parts, ", ")
}

// mergedArrow stands for all arrows from a namespace to a name.
type mergedArrow struct {
	from, to any
	reasons  []string
}

func merged(d *drawing) []*mergedArrow {
	type key struct{ from, to any }
	var out []*mergedArrow
	seen := map[key]*mergedArrow{}
	for _, a := range d.arrows {
		k := key{a.from, a.to}
		reason := a.label
		if a.group != nil {
			k.from = a.group
			reason = strings.Join(a.from.lines, ", ") + ": " + a.label
		}
		m := seen[k]
		if m == nil {
			m = &mergedArrow{from: k.from, to: k.to}
			seen[k], out = m, append(out, m)
		}
		if !slices.Contains(m.reasons, reason) {
			m.reasons = append(m.reasons, reason)
		}
	}
	return out
}

// clip is a text that fits into a box.
func clip(s string) string {
	runes := []rune(s)
	if len(runes) <= maxLetters {
		return s
	}
	return string(runes[:maxLetters-1]) + "…"
}
