package show

import (
	"fmt"
	"io"
	"strings"
)

// DOT writes the view, which has all users, as a graph for Graphviz. Without all, pods are folded; see FoldAbove.
func (v View) DOT(w io.Writer, all bool) error {
	d := draw(v, all)
	var b strings.Builder
	b.WriteString("digraph usage {\n  rankdir=LR;\n  node [shape=box, fontname=\"sans-serif\"];\n  edge " +
		"[fontname=\"sans-serif\", fontsize=10];\n")
	for i, g := range d.groups {
		fmt.Fprintf(&b, "  subgraph cluster_%d {\n    label=%s;\n    fontname=\"sans-serif\";\n", i,
			dotText("namespace "+g.name))
		for _, box := range g.boxes {
			fmt.Fprintf(&b, "    %s [label=%s];\n", box.id, dotText(box.lines...))
		}
		b.WriteString("  }\n")
	}
	for _, box := range d.loose {
		fmt.Fprintf(&b, "  %s [label=%s];\n", box.id, dotText(box.lines...))
	}
	for _, box := range d.names {
		style := map[boxKind]string{
			boxTag: "shape=ellipse", boxRevision: "shape=box3d",
			boxUnresolved: "shape=octagon",
		}[box.kind]
		if box.unused {
			style += ", style=dashed"
		}
		fmt.Fprintf(&b, "  %s [label=%s, %s];\n", box.id, dotText(box.lines...), style)
	}
	for _, a := range d.arrows {
		fmt.Fprintf(&b, "  %s -> %s [label=%s];\n", a.from.id, a.to.id, dotText(a.label))
	}
	b.WriteString("}\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// dotEscapes are the two characters that mean something within the quotes of a label.
var dotEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// dotText is a quoted label of some lines.
func dotText(lines ...string) string {
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			b.WriteString(`\n`)
		}
		b.WriteString(dotEscapes.Replace(Printable(line)))
	}
	return `"` + b.String() + `"`
}
