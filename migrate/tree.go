package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/fastyaml"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// The migration works on YAML trees and not on Go values, so that what a user wrote arrives as it was written: in its
// order, with its comments, and 1.10 as 1.10.

// prune removes the mapping at a path if nothing is left in it, and those above it.
func prune(n *yaml.Node, path ...string) {
	for len(path) > 0 {
		if v := yamltree.Get(n, path...); v == nil || v.Kind != yaml.MappingNode || len(v.Content) > 0 {
			return
		}
		yamltree.Take(n, path...)
		path = path[:len(path)-1]
	}
}

// overlay lays src over dst: mappings merge, all else is replaced. replaced hears the path of everything in dst that
// had another value; it may be nil.
func overlay(dst, src *yaml.Node, path []string, replaced func(path []string, old *yaml.Node)) {
	for i := 0; i+1 < len(src.Content); i += 2 {
		key, value := src.Content[i], src.Content[i+1]
		old := yamltree.Get(dst, key.Value)
		at := append(slices.Clip(path), key.Value)
		switch {
		case old == nil:
			dst.Content = append(dst.Content, key, value)
		case old.Kind == yaml.MappingNode && value.Kind == yaml.MappingNode:
			overlay(old, value, at, replaced)
		default:
			if replaced != nil && !yamltree.Equal(old, value) {
				replaced(at, old)
			}
			yamltree.Put(dst, value, key.Value)
		}
	}
}

func sequence(items ...*yaml.Node) *yaml.Node {
	return &yaml.Node{Kind: yaml.SequenceNode, Tag: yaml.NodeTagSeq, Content: items}
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
	n := yamltree.NewMapping()
	for i := 0; i+1 < len(pairs); i += 2 {
		var value *yaml.Node
		switch v := pairs[i+1].(type) {
		case string:
			value = yamltree.NewText(v)
		case int:
			value = integer(v)
		case bool:
			value = boolean(v)
		case *yaml.Node:
			value = v
		}
		if value != nil && (value.Kind != yaml.MappingNode || len(value.Content) > 0) {
			n.Content = append(n.Content, yamltree.NewText(fmt.Sprint(pairs[i])), value)
		}
	}
	return n
}

// isTrue reports whether a field is the boolean true, also as text: IstioOperator's own reader is as generous.
func isTrue(n *yaml.Node) bool {
	return n != nil && n.Kind == yaml.ScalarNode && strings.EqualFold(n.Value, "true")
}

// isEmpty reports whether there is nothing in a tree that a user could have meant.
func isEmpty(n *yaml.Node) bool {
	return n == nil || yamltree.IsNull(n) || n.Kind != yaml.ScalarNode && len(n.Content) == 0
}

// encode writes trees as YAML documents.
func encode(docs ...*yaml.Node) string {
	var b strings.Builder
	for i, d := range docs {
		if i > 0 {
			b.WriteString("---\n")
		}
		text, err := fastyaml.Write(d)
		if err != nil {
			// What came out of a parser can be written, except for a comment or a style that does not fit where it is now.
			return fmt.Sprintf("# cannot be written as YAML: %v\n", err)
		}
		b.Write(text)
	}
	return b.String()
}

// bare returns a copy without comments.
func bare(n *yaml.Node) *yaml.Node {
	c := yaml.CopyYNode(n)
	yamltree.Strip(c)
	return c
}
