package migrate

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/manifest"
)

// The migration works on YAML trees and not on Go values, so that what a user wrote arrives as it was written: in its
// order, with its comments, and 1.10 as 1.10.

// maxNodes bounds the size of an IstioOperator once its aliases are expanded.
const maxNodes = 1 << 16

// maxDepth bounds its nesting.
const maxDepth = 64

// settle makes a tree one that can be taken apart: without aliases, anchors and merge keys, each field once, and with
// the booleans that kubectl and istioctl read (yes, on), which they take from YAML 1.1, as true and false.
func settle(n *yaml.Node) error {
	if err := manifest.ExpandAliases(n); err != nil {
		return err
	}
	left := maxNodes
	return settleNode(n, &left, 0)
}

func settleNode(n *yaml.Node, left *int, depth int) error {
	*left--
	if *left < 0 || depth > maxDepth {
		return fmt.Errorf("line %d: the resource is too large or nested too deeply", n.Line)
	}
	n.Anchor = ""
	switch n.Kind {
	case yaml.MappingNode:
		if err := mergeKeys(n); err != nil {
			return err
		}
		if err := checkKeys(n); err != nil {
			return err
		}
	case yaml.ScalarNode:
		settleBool(n)
	default: // of a list, its items
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue // a field named on or y is text
		}
		if err := settleNode(c, left, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// settleBool rewrites what is a boolean in YAML 1.1 only.
func settleBool(n *yaml.Node) {
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0 ||
		n.ShortTag() != yaml.NodeTagString {
		return
	}
	switch strings.ToLower(n.Value) {
	case "y", "yes", "on":
		n.Value, n.Tag = "true", yaml.NodeTagBool
	case "n", "no", "off":
		n.Value, n.Tag = "false", yaml.NodeTagBool
	}
}

// mergeKeys puts what << stands for in its place.
func mergeKeys(n *yaml.Node) error {
	var own, merged []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!merge" {
			own = append(own, key, value)
			continue
		}
		sources := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			sources = value.Content
		}
		for _, s := range sources {
			if s.Kind != yaml.MappingNode {
				return fmt.Errorf("line %d: << takes the alias of a mapping", key.Line)
			}
			merged = append(merged, s.Content...)
		}
	}
	if len(merged) == 0 {
		return nil
	}
	n.Content = own
	for i := 0; i+1 < len(merged); i += 2 {
		if get(n, merged[i].Value) == nil { // the first wins
			n.Content = append(n.Content, yaml.CopyYNode(merged[i]), yaml.CopyYNode(merged[i+1]))
		}
	}
	return nil
}

func checkKeys(n *yaml.Node) error {
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := n.Content[i]
		if key.Kind != yaml.ScalarNode {
			return fmt.Errorf("line %d: a field name must be text", key.Line)
		}
		if seen[key.Value] {
			return fmt.Errorf("line %d: the field %q is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
	}
	return nil
}

// entries are the fields of a mapping with their values, in their order; anything else has none.
func entries(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// get returns the value at a path of keys, or nil.
func get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		n = field(n, key)
	}
	return n
}

// field returns the value of a field of a mapping, or nil.
func field(n *yaml.Node, key string) *yaml.Node {
	for have, value := range entries(n) {
		if have == key {
			return value
		}
	}
	return nil
}

// textAt returns the text of a scalar at a path, or "".
func textAt(n *yaml.Node, path ...string) string {
	if v := get(n, path...); v != nil && v.Kind == yaml.ScalarNode && !isNull(v) {
		return v.Value
	}
	return ""
}

// take removes a field from a mapping and returns its value, or nil.
func take(n *yaml.Node, path ...string) *yaml.Node {
	parent := get(n, path[:len(path)-1]...)
	key := path[len(path)-1]
	value := get(parent, key)
	if value == nil {
		return nil
	}
	for i := 0; i+1 < len(parent.Content); i += 2 {
		if parent.Content[i].Value == key {
			parent.Content = slices.Delete(parent.Content, i, i+2)
			break
		}
	}
	return value
}

// prune removes the mapping at a path if nothing is left in it, and those above it.
func prune(n *yaml.Node, path ...string) {
	for len(path) > 0 {
		if v := get(n, path...); v == nil || v.Kind != yaml.MappingNode || len(v.Content) > 0 {
			return
		}
		take(n, path...)
		path = path[:len(path)-1]
	}
}

// put sets the value at a path, making the mappings on the way. What stands in the way and is not a mapping is
// replaced.
func put(n, value *yaml.Node, path ...string) {
	for _, key := range path[:len(path)-1] {
		next := get(n, key)
		switch {
		case next == nil:
			next = mapping()
			n.Content = append(n.Content, text(key), next)
		case next.Kind != yaml.MappingNode:
			*next = *mapping()
		}
		if len(next.Content) == 0 {
			next.Style = 0
		}
		n = next
	}
	key := path[len(path)-1]
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = value
			return
		}
	}
	n.Content = append(n.Content, text(key), value)
}

// overlay lays src over dst: mappings merge, all else is replaced. replaced hears the path of everything in dst that
// had another value; it may be nil.
func overlay(dst, src *yaml.Node, path []string, replaced func(path []string, old *yaml.Node)) {
	for i := 0; i+1 < len(src.Content); i += 2 {
		key, value := src.Content[i], src.Content[i+1]
		old := get(dst, key.Value)
		at := append(slices.Clip(path), key.Value)
		switch {
		case old == nil:
			dst.Content = append(dst.Content, key, value)
		case old.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode:
			overlay(old, value, at, replaced)
		default:
			if replaced != nil && !equal(old, value) {
				replaced(at, old)
			}
			put(dst, value, key.Value)
		}
	}
}

// equal compares two trees by what they mean.
func equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Kind == yaml.ScalarNode && (a.Value != b.Value || a.ShortTag() != b.ShortTag()) ||
		len(a.Content) != len(b.Content) {
		return false
	}
	if a.Kind == yaml.MappingNode {
		for key, value := range entries(a) {
			other := get(b, key)
			if other == nil || !equal(value, other) {
				return false
			}
		}
		return true
	}
	for i := range a.Content {
		if !equal(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}

func mapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap} }

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: yaml.NodeTagSeq, Content: items}
}

// text is a scalar that every reader takes for text.
func text(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value}
	if yaml.IsYaml1_1NonString(n) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

func boolean(b bool) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagBool, Value: strconv.FormatBool(b)}
}

func integer(i int) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagInt, Value: strconv.Itoa(i)}
}

// block is text of several lines as YAML writes it for people.
func block(value string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value, Style: yaml.LiteralStyle}
}

// fields makes a mapping of keys and values in turn. A value may be a string, an int, a bool or a node; nil and an
// empty mapping leave the field out.
func fields(pairs ...any) *yaml.Node {
	n := mapping()
	for i := 0; i+1 < len(pairs); i += 2 {
		var value *yaml.Node
		switch v := pairs[i+1].(type) {
		case string:
			value = text(v)
		case int:
			value = integer(v)
		case bool:
			value = boolean(v)
		case *yaml.Node:
			value = v
		}
		if value != nil && (value.Kind != yaml.MappingNode || len(value.Content) > 0) {
			n.Content = append(n.Content, text(fmt.Sprint(pairs[i])), value)
		}
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == yaml.NodeTagNull }

func isText(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.ShortTag() == yaml.NodeTagString
}

// isTrue reports whether a field is the boolean true, also as text: IstioOperator's own reader is as generous.
func isTrue(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && strings.EqualFold(n.Value, "true")
}

// isEmpty reports whether there is nothing in a tree that a user could have meant.
func isEmpty(n *yaml.Node) bool {
	return n == nil || isNull(n) || n.Kind != yaml.ScalarNode && len(n.Content) == 0
}

// encode writes trees as YAML documents.
func encode(docs ...*yaml.Node) string {
	var b strings.Builder
	for i, d := range docs {
		if i > 0 {
			b.WriteString("---\n")
		}
		if err := manifest.EncodeNode(&b, d); err != nil {
			// What came out of a parser can be written, except for a comment or a style that does not fit where it is now.
			return fmt.Sprintf("# cannot be written as YAML: %v\n", err)
		}
	}
	return b.String()
}

// bare returns a copy without comments.
func bare(n *yaml.Node) *yaml.Node {
	c := yaml.CopyYNode(n)
	var strip func(n *yaml.Node)
	strip = func(n *yaml.Node) {
		n.HeadComment, n.LineComment, n.FootComment = "", "", ""
		for _, child := range n.Content {
			strip(child)
		}
	}
	strip(c)
	return c
}

// toAny converts a tree for the schema's check. Text stays text, whatever it looks like.
func toAny(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		out := make(map[string]any, len(n.Content)/2)
		for key, value := range entries(n) {
			v, err := toAny(value)
			if err != nil {
				return nil, err
			}
			out[key] = v
		}
		return out, nil
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			v, err := toAny(c)
			if err != nil {
				return nil, err
			}
			out[i] = v
		}
		return out, nil
	case yaml.ScalarNode:
		return scalarToAny(n)
	default:
		return nil, errors.New("an unexpected YAML node")
	}
}

func scalarToAny(n *yaml.Node) (any, error) {
	switch n.ShortTag() {
	case yaml.NodeTagNull:
		return nil, nil
	case yaml.NodeTagBool:
		var b bool
		err := n.Decode(&b)
		return b, err
	case yaml.NodeTagInt, yaml.NodeTagFloat:
		var f float64
		if err := n.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, fmt.Errorf("line %d: %s is not a number that JSON knows; quote it if it is text", n.Line, n.Value)
		}
		return f, nil
	}
	return n.Value, nil
}
