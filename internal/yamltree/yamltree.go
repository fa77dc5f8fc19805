// Package yamltree is the one tool box for YAML trees: reading and changing fields, taking aliases and merge keys out,
// finding the node at a path, and saying what a scalar means. Nothing in it knows Kubernetes objects; what is made of a
// tree is the job of its callers.
//
// A tree is a yaml.Node of kyaml, so that what a user wrote stays as it was written. What it means is what kubectl
// reads in it, by sigs.k8s.io/yaml: there on and y are booleans, oN is text, and so it is in every package of Lateen.
package yamltree

import (
	"iter"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Fields are the fields of a mapping with their values, in their order; anything else has none.
func Fields(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		for i := 0; n != nil && n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// Get returns the value at a path of fields, or nil.
func Get(n *yaml.Node, path ...string) *yaml.Node {
	for _, key := range path {
		i := index(n, key)
		if i < 0 {
			return nil
		}
		n = n.Content[i+1]
	}
	return n
}

// index is where a mapping has the key of a field, or -1.
func index(n *yaml.Node, key string) int {
	if n == nil || n.Kind != yaml.MappingNode {
		return -1
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// Text returns the text of the scalar at a path of fields as it was written, or "".
func Text(n *yaml.Node, path ...string) string {
	if v := Get(n, path...); v != nil && v.Kind == yaml.ScalarNode && !IsNull(v) {
		return v.Value
	}
	return ""
}

// Texts are the fields of a mapping whose values are scalars, as they were written.
func Texts(n *yaml.Node) map[string]string {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	out := make(map[string]string, len(n.Content)/2)
	for key, value := range Fields(n) {
		out[key] = value.Value
	}
	return out
}

// Put sets the value at a path of fields. A field that is there keeps its place. Mappings on the way are made; what
// stands in the way and is none is replaced.
func Put(n, value *yaml.Node, path ...string) {
	last := len(path) - 1
	for _, key := range path[:last] {
		next := Get(n, key)
		switch {
		case next == nil:
			next = NewMapping()
			n.Content = append(n.Content, NewText(key), next)
		case next.Kind != yaml.MappingNode:
			*next = *NewMapping()
		}
		if len(next.Content) == 0 {
			next.Style = 0 // an empty {} becomes a block once it has content
		}
		n = next
	}
	if i := index(n, path[last]); i >= 0 {
		n.Content[i+1] = value
		return
	}
	n.Content = append(n.Content, NewText(path[last]), value)
}

// Take removes the field at a path and returns its value, or nil.
func Take(n *yaml.Node, path ...string) *yaml.Node {
	last := len(path) - 1
	parent := Get(n, path[:last]...)
	i := index(parent, path[last])
	if i < 0 {
		return nil
	}
	value := parent.Content[i+1]
	parent.Content = slices.Delete(parent.Content, i, i+2)
	return value
}

// Sort orders the fields of a mapping by name.
func Sort(n *yaml.Node) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	pairs := slices.Collect(slices.Chunk(slices.Clone(n.Content), 2))
	slices.SortStableFunc(pairs, func(a, b []*yaml.Node) int { return strings.Compare(a[0].Value, b[0].Value) })
	n.Content = slices.Concat(pairs...)
}

// Equal compares two trees by what they mean; the order of fields means nothing.
func Equal(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || len(a.Content) != len(b.Content) ||
		a.Kind == yaml.ScalarNode && (a.Value != b.Value || Tag(a) != Tag(b)) {
		return false
	}
	if a.Kind == yaml.MappingNode {
		for key, value := range Fields(a) {
			if other := Get(b, key); other == nil || !Equal(value, other) {
				return false
			}
		}
		return true
	}
	return slices.EqualFunc(a.Content, b.Content, Equal)
}

// NewMapping is a mapping without fields.
func NewMapping() *yaml.Node { return &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap} }

// NewText is a scalar that every reader takes for text: what is something else in any YAML is in quotes.
func NewText(value string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: value}
	if !isWord(value) && yaml.IsYaml1_1NonString(n) {
		n.Style = yaml.DoubleQuotedStyle
	}
	return n
}

// isWord reports whether a value is certain to be text in any YAML: it starts with a letter, has nothing but letters,
// digits and the marks of names, and is longer than all words that mean something else. Labels are, nearly all; to ask
// kyaml, which parses each, takes 9 % of the CPU time of a package of a hundred control planes.
func isWord(value string) bool {
	return len(value) > len("false") && strings.Trim(value[:1], letters) == "" &&
		strings.Trim(value, letters+"0123456789./-_") == ""
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// Walk calls a function for a node and all nodes below it, in the order of the text. Aliases are not followed.
func Walk(n *yaml.Node, each func(n *yaml.Node)) {
	each(n)
	for _, c := range n.Content {
		Walk(c, each)
	}
}

// IsMarked reports whether there are comments, anchors or aliases in a tree: what stands elsewhere may depend on them.
func IsMarked(n *yaml.Node) bool {
	return n.Kind == yaml.AliasNode || n.Anchor != "" || n.HeadComment != "" || n.LineComment != "" ||
		n.FootComment != "" || slices.ContainsFunc(n.Content, IsMarked)
}

// Strip takes all comments and the names of anchors out of a tree, whose aliases must be expanded.
func Strip(n *yaml.Node) {
	Walk(n, func(n *yaml.Node) { n.Anchor, n.HeadComment, n.LineComment, n.FootComment = "", "", "", "" })
}
