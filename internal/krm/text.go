package krm

import (
	"bytes"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// textsOf cuts the text of each item out of the input, so that items which nothing changes can be written as they came.
// An item whose text cannot be cut out with certainty - flow style, a comment further to the left, unusual line ends -
// has nil and is written by the library.
func textsOf(data []byte, list, items *yaml.Node) [][]byte {
	texts := make([][]byte, len(items.Content))
	if items.Style&yaml.FlowStyle != 0 || bytes.ContainsAny(data, "\r\t\u0085\u2028\u2029\ufeff") {
		return texts
	}
	lines := slices.Collect(bytes.Lines(data))
	end := len(lines) + 1 // line number after the last item
	for i := 0; i+1 < len(list.Content); i += 2 {
		if key := list.Content[i]; key.Line > items.Line && key.Line < end && list.Content[i+1] != items {
			end = key.Line
		}
	}
	for i, n := range items.Content {
		next := end
		if i+1 < len(items.Content) {
			next = items.Content[i+1].Line
		}
		if n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle == 0 && n.Line < next && next <= len(lines)+1 {
			texts[i] = dedent(lines[n.Line-1:next-1], n.Column-1)
		}
	}
	return texts
}

// dedent takes the first columns off all lines: of the first line the dash of the list, of the others spaces. It
// returns nil if there is anything else in them.
func dedent(lines [][]byte, columns int) []byte {
	var out []byte
	for i, line := range lines {
		body := bytes.TrimRight(line, "\n")
		switch {
		case i == 0:
			if len(body) < columns || len(bytes.Trim(body[:columns], " -")) > 0 ||
				bytes.Count(body[:columns], []byte("-")) != 1 {
				return nil
			}
		case len(bytes.TrimLeft(body, " ")) == 0: // blank; of a block text it may have more spaces than the others
			columns := min(columns, len(body))
			out = append(append(out, body[columns:]...), '\n')
			continue
		case len(body) < columns || len(bytes.TrimLeft(body[:columns], " ")) > 0:
			return nil
		}
		out = append(append(out, body[columns:]...), '\n')
	}
	return out
}
