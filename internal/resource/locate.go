package resource

import (
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/manifest"
)

// Locate finds the node at the path of a result's field; if it is not there, the nearest one above it. Of a field it is
// the name that is returned, since that is what a person looks for.
func Locate(o manifest.Object, path string) *yaml.Node {
	at, n := o.Node(), o.Node()
	for rest := path; rest != "" && n != nil; {
		var next, name *yaml.Node
		var key string
		for key = rest; ; { // names may have dots: the longest that fits is meant
			if next, name = step(n, key); next != nil {
				break
			}
			i := strings.LastIndexByte(key, '.')
			if i < 0 {
				return at
			}
			key = key[:i]
		}
		rest = strings.TrimPrefix(rest[len(key):], ".")
		at, n = name, next
	}
	return at
}

// Written is a scalar of an item as its author wrote it, by the path of its field: 1.20, where the value is 1.2. known
// says whether there is one at the path.
func Written(o manifest.Object, path []string) (text string, known bool) {
	n := o.Node()
	for _, key := range path {
		if n, _ = step(n, key); n == nil {
			return "", false // behind a merge key, say
		}
	}
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n.Value, n.Kind == yaml.ScalarNode
}

// step goes one field or list element down.
func step(n *yaml.Node, key string) (value, name *yaml.Node) {
	switch n.Kind {
	case yaml.AliasNode:
		return step(n.Alias, key)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	default: // a mapping, or a scalar, which has no content
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1], n.Content[i]
			}
		}
	}
	return nil, nil
}
