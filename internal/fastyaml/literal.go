package fastyaml

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Four fifths of what a control plane is made of is text in literal blocks: the injector's templates, in a ConfigMap.
// The YAML library looks at each byte of it several times, to find out that it is text. So a block is taken out of a
// text before the library sees it, with one line in its place. Whether the library took the line for what the block
// would have been is looked at each time; if not, and for every text that is not as plain as can be, the library reads
// it all. docs/adr/0012 has the reasoning, docs/performance.md the figure.

// shortLiteral is the length, in bytes, up to which a block is left to the library: a line in its place costs as much.
const shortLiteral = 256

// block is what was cut out of a text.
type block struct {
	// value is what a parser would have made of it.
	value string
	// lines is how many lines of the text it had more than what stands in for it.
	lines int
}

// cut takes the literal blocks out of a text of YAML documents. What stands in for the i-th is the line marker(i), and
// the chomping of the block applies to both.
func cut(text string) (short string, blocks []block) {
	if strings.Contains(text, mark) {
		return text, nil
	}
	var b strings.Builder
	done := 0 // what is written to b
	for pos := 0; pos < len(text); {
		end := lineEnd(text, pos)
		indent, strip, isHeader := blockHeader(text[pos:end])
		pos = end
		if !isHeader {
			continue
		}
		last, next, ok := literal(text, pos, indent, strip)
		if ok && next-pos > shortLiteral {
			if blocks == nil {
				b.Grow(len(text))
			}
			own := indentation(text[pos:])
			b.WriteString(text[done : pos+own])
			b.WriteString(marker(len(blocks)))
			b.WriteByte('\n')
			blocks = append(blocks, block{dedent(text[pos:last], own), strings.Count(text[pos:next], "\n") - 1})
			done = next
		}
		pos = next // nothing in a block is a header
	}
	if blocks == nil {
		return text, nil
	}
	b.WriteString(text[done:])
	return b.String(), blocks
}

// mark begins the lines that stand for blocks.
const mark = "lateen-literal-block-"

func marker(i int) string { return mark + strconv.Itoa(i) + "." }

// blockHeader reports whether a line, with its end, is a key whose value is a literal block without an indentation
// indicator, how far the key is indented, and whether the block is stripped of the line breaks at its end.
func blockHeader(line string) (indent int, strip, ok bool) {
	key, found := strings.CutSuffix(line, ": |\n")
	if !found {
		key, strip = strings.CutSuffix(line, ": |-\n")
		found = strip
	}
	indent = indentation(key)
	if !found || indent == len(key) || key[indent] == '-' {
		return 0, false, false
	}
	return indent, strip, isName(key[indent:])
}

// literal finds the end of the block that starts at a position of a text, below a key that is indented by parent: last
// is where its last line that is not empty ends, and next where the block ends. It returns false if the block has
// anything in it that needs a second thought.
func literal(text string, pos, parent int, strip bool) (last, next int, ok bool) {
	indent := indentation(text[pos:])
	if indent <= parent {
		return 0, pos, false
	}
	ok = true
	for next = pos; next < len(text); {
		end := lineEnd(text, next)
		line := text[next:end]
		spaces := indentation(line)
		switch body := line[spaces:]; {
		case body == "\n" && spaces <= indent: // an empty line, whatever its indentation
			ok = ok && next > pos
		case body != "\n" && spaces < indent:
			return last, next, ok && last > pos
		default:
			ok = ok && (strip || strings.HasSuffix(line, "\n")) && !strings.HasSuffix(strings.TrimSuffix(line, "\n"), " ") &&
				printable(line)
			last = end
		}
		next = end
	}
	return last, next, ok && last > pos
}

// dedent takes the indentation off all lines of a block, and the last line break.
func dedent(block string, indent int) string {
	var b strings.Builder
	b.Grow(len(block))
	for line := range strings.Lines(block) {
		if body := strings.TrimLeft(line, " "); body == "\n" {
			line = body
		} else {
			line = line[indent:]
		}
		b.WriteString(line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// printable reports whether a text has only line breaks and characters that the library writes as they are: no tabs,
// which may count as indentation, and none of Unicode's other line breaks.
func printable(text string) bool {
	for i := 0; i < len(text); {
		c := text[i]
		if c < utf8.RuneSelf {
			if c < ' ' && c != '\n' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(text[i:])
		if r < 0xa0 || r == '\u2028' || r == '\u2029' || r > 0xd7ff { // an invalid one is U+FFFD
			return false
		}
		i += size
	}
	return true
}

// indentation counts the spaces at the beginning of a text.
func indentation(text string) int { return len(text) - len(strings.TrimLeft(text, " ")) }

// lineEnd is where the line that starts at a position ends, its line break included.
func lineEnd(text string, pos int) int {
	if i := strings.IndexByte(text[pos:], '\n'); i >= 0 {
		return pos + i + 1
	}
	return len(text)
}

// paste puts the blocks back into the trees of all documents, and reports whether every line that stands for one was
// found to be the whole of a literal block, in the order in which they were cut.
func paste(docs []*yaml.Node, blocks []block) bool {
	next, lines := 0, 0
	var walk func(n *yaml.Node) bool
	walk = func(n *yaml.Node) bool {
		n.Line += lines
		if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, mark) {
			line := ""
			if next < len(blocks) {
				line = marker(next)
			}
			value, rest, found := strings.Cut(n.Value, line)
			if !found || value != "" || n.Style != yaml.LiteralStyle || rest != "" && rest != "\n" {
				return false
			}
			n.Value = blocks[next].value + rest
			lines += blocks[next].lines
			next++
		}
		for _, c := range n.Content {
			if !walk(c) {
				return false
			}
		}
		return true
	}
	for _, d := range docs {
		if !walk(d) {
			return false
		}
	}
	return next == len(blocks)
}

// isName reports whether a text has only letters, digits, and the marks of names.
func isName(text string) bool {
	for i := range len(text) {
		if c := text[i]; !isLetter(c) && (c < '0' || c > '9') && c != '.' && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
