package show

import (
	"fmt"
	"io"
	"strings"
	"unicode"
)

// Mermaid writes the view, which has all users, as a flowchart for Mermaid. Without all, pods are folded; see
// FoldAbove.
func (v View) Mermaid(w io.Writer, all bool) error {
	d := draw(v, all)
	var b strings.Builder
	b.WriteString("flowchart LR\n")
	for i, g := range d.groups {
		fmt.Fprintf(&b, "  subgraph s%d[%s]\n", i, mermaidText("namespace "+g.name))
		for _, box := range g.boxes {
			fmt.Fprintf(&b, "    %s[%s]\n", box.id, mermaidText(box.lines...))
		}
		b.WriteString("  end\n")
	}
	for _, box := range d.loose {
		fmt.Fprintf(&b, "  %s[%s]\n", box.id, mermaidText(box.lines...))
	}
	var unused []string
	for _, box := range d.names {
		shape := map[boxKind]string{boxTag: "([%s])", boxRevision: "[[%s]]", boxUnresolved: "{{%s}}"}[box.kind]
		fmt.Fprintf(&b, "  %s"+shape+"\n", box.id, mermaidText(box.lines...))
		if box.unused {
			unused = append(unused, box.id)
		}
	}
	for _, a := range d.arrows {
		fmt.Fprintf(&b, "  %s -->|%s| %s\n", a.from.id, mermaidText(a.label), a.to.id)
	}
	if len(unused) > 0 {
		fmt.Fprintf(&b, "  classDef unused stroke-dasharray: 4\n  class %s unused\n", strings.Join(unused, ","))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mermaidText is a quoted label of some lines. Everything that could mean something to Mermaid, to Markdown within it,
// or to HTML, which it is made into, is written as a character code: that leaves letters, digits and a few others.
func mermaidText(lines ...string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i, line := range lines {
		if i > 0 {
			b.WriteString("<br/>")
		}
		for _, r := range Printable(line) {
			if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune(" -./=:", r) {
				b.WriteRune(r)
			} else {
				fmt.Fprintf(&b, "#%d;", r)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
