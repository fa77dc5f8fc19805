package fastyaml

import (
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// The YAML library queues, copies and analyzes each scalar as an event of three hundred bytes. What a chart gives is
// nearly always of the simplest kind: block mappings and lists of short words. writer writes these, to the letter as
// the library does, and gives up on all else, for the library to write the document. docs/adr/0012 has the reasoning,
// docs/performance.md the figure.
type writer struct {
	out []byte
}

// indentStep is how much deeper a mapping in a mapping is, in spaces. A list is not deeper than its key.
const indentStep = 2

// document writes a tree, or returns false: nothing that was written is to be used then.
func (w *writer) document(n *yaml.Node) bool {
	return n.Kind == yaml.MappingNode && len(n.Content) > 0 && bare(n) && n.Style == 0 && n.Tag == yaml.NodeTagMap &&
		w.mapping(n, 0, true)
}

// bare reports whether a node has nothing but its content: no comment, no anchor.
func bare(n *yaml.Node) bool {
	return n.Anchor == "" && n.HeadComment == "" && n.LineComment == "" && n.FootComment == ""
}

// mapping writes the fields of a mapping, each on lines of its own; lead says that the first one is indented, too, and
// not behind a dash.
func (w *writer) mapping(n *yaml.Node, indent int, lead bool) bool {
	if len(n.Content)%2 != 0 {
		return false
	}
	for i := 0; i < len(n.Content); i += 2 {
		if i > 0 || lead {
			w.spaces(indent)
		}
		if !w.key(n.Content[i]) {
			return false
		}
		w.out = append(w.out, ':')
		if !w.value(n.Content[i+1], indent) {
			return false
		}
	}
	return true
}

// longestKey is the length, in bytes, up to which the library writes a key without a question mark.
const longestKey = 128

func (w *writer) key(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && bare(n) && len(n.Value) <= longestKey && w.simple(n)
}

// value writes what follows the colon of a key that is indented.
func (w *writer) value(n *yaml.Node, indent int) bool {
	if !bare(n) {
		return false
	}
	block := n.Style == 0 && len(n.Content) > 0
	switch {
	case n.Kind == yaml.MappingNode && block && n.Tag == yaml.NodeTagMap:
		w.out = append(w.out, '\n')
		return w.mapping(n, indent+indentStep, true)
	case n.Kind == yaml.SequenceNode && block && n.Tag == yaml.NodeTagSeq:
		w.out = append(w.out, '\n')
		return w.list(n, indent)
	case n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == "" && n.Tag == yaml.NodeTagNull:
		w.out = append(w.out, '\n')
		return true
	case n.Kind == yaml.ScalarNode && n.Style == yaml.LiteralStyle && n.Tag == yaml.NodeTagString && plainBlock(n.Value):
		w.literal(n.Value, indent+indentStep)
		return true
	}
	w.out = append(w.out, ' ')
	return w.line(n)
}

// list writes the items of a list.
func (w *writer) list(n *yaml.Node, indent int) bool {
	for _, item := range n.Content {
		w.spaces(indent)
		w.out = append(w.out, '-', ' ')
		switch {
		case !bare(item):
			return false
		case item.Kind == yaml.MappingNode && item.Style == 0 && len(item.Content) > 0:
			if item.Tag != yaml.NodeTagMap || !w.mapping(item, indent+indentStep, false) {
				return false
			}
		case item.Kind == yaml.SequenceNode && item.Style == 0 && len(item.Content) > 0,
			item.Kind == yaml.ScalarNode && item.Value == "" && item.Style == 0:
			return false
		case !w.line(item):
			return false
		}
	}
	return true
}

// line writes what stands on one line: a scalar, a list in brackets, or an empty mapping.
func (w *writer) line(n *yaml.Node) bool {
	if n.Kind == yaml.MappingNode && n.Tag == yaml.NodeTagMap && len(n.Content) == 0 {
		w.out = append(w.out, "{}\n"...)
		return true
	}
	if n.Kind == yaml.ScalarNode && w.simple(n) || n.Kind == yaml.SequenceNode && w.brackets(n) {
		w.out = append(w.out, '\n')
		return true
	}
	return false
}

// brackets writes a list of quoted words in brackets.
func (w *writer) brackets(n *yaml.Node) bool {
	if n.Tag != yaml.NodeTagSeq || n.Style != yaml.FlowStyle && len(n.Content) > 0 {
		return false
	}
	w.out = append(w.out, '[')
	for i, item := range n.Content {
		if i > 0 {
			w.out = append(w.out, ',', ' ')
		}
		if item.Kind != yaml.ScalarNode || item.Style == 0 || !bare(item) || !w.simple(item) {
			return false
		}
	}
	w.out = append(w.out, ']')
	return true
}

// simple writes a scalar if it is one about which there is no doubt.
func (w *writer) simple(n *yaml.Node) bool {
	switch n.Style {
	case 0:
		if !isPlain(n.Tag, n.Value) {
			return false
		}
		w.out = append(w.out, n.Value...)
	case yaml.DoubleQuotedStyle:
		if n.Tag != yaml.NodeTagString || !isASCII(n.Value) {
			return false
		}
		w.out = append(w.out, '"')
		for i := range len(n.Value) {
			if c := n.Value[i]; c == '"' || c == '\\' {
				w.out = append(w.out, '\\')
			}
			w.out = append(w.out, n.Value[i])
		}
		w.out = append(w.out, '"')
	case yaml.SingleQuotedStyle:
		if n.Tag != yaml.NodeTagString || !isASCII(n.Value) {
			return false
		}
		w.out = append(w.out, '\'')
		w.out = append(w.out, strings.ReplaceAll(n.Value, "'", "''")...)
		w.out = append(w.out, '\'')
	default:
		return false
	}
	return true
}

// literal writes a text as a block.
func (w *writer) literal(text string, indent int) {
	w.out = slices.Grow(w.out, len(text)+len(text)/4)
	w.out = append(w.out, " |"...)
	if !strings.HasSuffix(text, "\n") {
		w.out = append(w.out, '-')
	}
	w.out = append(w.out, '\n')
	for line := range strings.Lines(text) {
		if line != "\n" {
			w.spaces(indent)
		}
		w.out = append(w.out, line...)
	}
	if !strings.HasSuffix(text, "\n") {
		w.out = append(w.out, '\n')
	}
}

func (w *writer) spaces(n int) {
	for range n {
		w.out = append(w.out, ' ')
	}
}

// plainBlock reports whether the library writes a text in a literal block as it is, line by line. There are further
// rules for text that starts with a space or a line break, has spaces at the ends of lines, several line breaks at its
// end, or characters that are not printed.
func plainBlock(text string) bool {
	return text != "" && text[0] != ' ' && text[0] != '\n' && !strings.HasSuffix(text, " ") &&
		!strings.HasSuffix(text, "\n\n") &&
		!strings.Contains(text, " \n") && printable(text)
}

// isASCII reports whether a text has printable ASCII only.
func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// isPlain reports whether a scalar without style is certain to be written as it is: a word that cannot be read as
// anything but text, or a number or a word of YAML with the tag that it is read with.
func isPlain(tag, v string) bool {
	if v == "" || !isASCII(v) {
		return false
	}
	switch tag {
	case yaml.NodeTagInt:
		digits := strings.TrimPrefix(v, "-")
		return digits != "" && len(digits) < 18 && (digits[0] != '0' || v == "0") && strings.Trim(digits, "0123456789") == ""
	case yaml.NodeTagBool:
		return v == "true" || v == "false"
	case yaml.NodeTagNull:
		return v == "null" || v == "~"
	case yaml.NodeTagString:
		return isText(v) && !strings.HasSuffix(v, " ") && !strings.HasSuffix(v, ":") && !strings.Contains(v, ": ") &&
			!strings.Contains(v, " #")
	}
	return false
}

// isText reports whether a plain word is text by how it begins, and means nothing in YAML.
func isText(v string) bool {
	switch c := v[0]; {
	case isLetter(c):
		switch v {
		case "true", "True", "TRUE", "false", "False", "FALSE", "null", "Null", "NULL":
			return false
		}
		return true
	case c == '/' || c == '$' || c == '(' || c == '_':
		return true
	case c >= '0' && c <= '9', c == '-' && len(v) > 3 && v[:3] != "---" && v[1] != '.' && v[1] != ' ':
		// Numbers in all their forms, and times, have no letters but these.
		return strings.Trim(v, "0123456789abcdefABCDEFxXoOtTzZ_+-.: ") != ""
	}
	return false
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
