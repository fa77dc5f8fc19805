package yamltree

import (
	"fmt"
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/yaml"
	kubectl "sigs.k8s.io/yaml"
)

// kyaml reads YAML 1.2, kubectl YAML 1.1 as go-yaml's second version has it. They differ in a few words that are
// booleans for kubectl only. TestScalar and FuzzScalar compare what is said here with kubectl's reader.

// longestBoolean is the length of the longest words that are booleans in YAML 1.1 only: yes and off.
const longestBoolean = 3

// quotes are the styles that make any scalar text.
var quotes = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle

// isOldBoolean reports whether a scalar is a boolean for kubectl, and text in YAML 1.2.
func isOldBoolean(n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.Style&(quotes|yaml.TaggedStyle) != 0 || len(n.Value) > longestBoolean ||
		n.ShortTag() != yaml.NodeTagString {
		return false
	}
	plain := yaml.Node{Kind: yaml.ScalarNode, Value: n.Value} // a number with the tag of a text is written in quotes
	if plain.ShortTag() != yaml.NodeTagString || !yaml.IsYaml1_1NonString(n) {
		return false
	}
	v, err := readField(n.Value)
	_, isBool := v.(bool) // kyaml takes --- for nothing at all
	return isBool && err == nil
}

// Tag is the type of a node for kubectl, as a short tag: "!!bool" for on.
func Tag(n *yaml.Node) string {
	switch tag := n.ShortTag(); {
	case isOldBoolean(n):
		return yaml.NodeTagBool
	case tag == "!!timestamp" && n.Style&yaml.TaggedStyle == 0:
		return yaml.NodeTagString
	default:
		return tag
	}
}

// IsNull reports whether a node is null.
func IsNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == yaml.NodeTagNull }

// IsText reports whether a node is text for kubectl.
func IsText(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && Tag(n) == yaml.NodeTagString }

// scalar is the value of a scalar for kubectl.
func scalar(n *yaml.Node) (any, error) {
	if IsText(n) {
		return n.Value, nil
	}
	v, err := readField(written(n))
	switch tag := n.ShortTag(); {
	case err == nil:
		return v, nil
	case tag == yaml.NodeTagInt || tag == yaml.NodeTagFloat:
		return nil, fmt.Errorf("line %d: %s is not a number that JSON knows; quote it if it is text", n.Line, n.Value)
	default:
		return nil, fmt.Errorf("line %d: %q is not what its tag %s says", n.Line, n.Value, tag)
	}
}

// key is the name of a field for kubectl: "true" for on.
func key(n *yaml.Node) (string, error) {
	if n.Kind == yaml.ScalarNode && (IsText(n) || isMerge(n)) {
		return n.Value, nil
	}
	if n.Kind == yaml.ScalarNode {
		v, err := read("{? " + written(n) + " : }")
		if fields, ok := v.(map[string]any); ok && err == nil {
			for name := range fields {
				return name, nil
			}
		}
	}
	return "", fmt.Errorf("line %d: a field name must be text", n.Line)
}

// readField reads the text of a scalar that is the value of a field.
func readField(text string) (any, error) {
	v, err := read("v: " + text)
	fields, _ := v.(map[string]any)
	return fields["v"], err
}

// written is a scalar as text, on one line.
func written(n *yaml.Node) string {
	if n.Style&yaml.TaggedStyle != 0 {
		return n.ShortTag() + " " + strconv.Quote(n.Value)
	}
	return n.Value
}

// read reads a text as kubectl does.
func read(text string) (any, error) {
	var v any
	err := kubectl.Unmarshal([]byte(text), &v)
	return v, err
}
