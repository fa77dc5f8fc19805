package yamltree

import (
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Locate finds the node at a path as messages write it, such as spec.values.pilot; if it is not there, the nearest one
// above it. Of a field it is the name that is returned, since that is what a person looks for.
func Locate(n *yaml.Node, path string) *yaml.Node {
	at := n
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

// Written is the scalar at a path of fields and list indexes as its author wrote it: 1.20, where the value is 1.2.
// known says whether there is one.
func Written(n *yaml.Node, path []string) (text string, known bool) {
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
func step(n *yaml.Node, to string) (value, name *yaml.Node) {
	switch n.Kind {
	case yaml.AliasNode:
		return step(n.Alias, to)
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(to); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i]
		}
	case yaml.MappingNode:
		i := index(n, to)
		for j := 0; i < 0 && j+1 < len(n.Content); j += 2 {
			if have, err := key(n.Content[j]); err == nil && have == to {
				i = j // on, of which everybody but its author says true
			}
		}
		if i >= 0 {
			return n.Content[i+1], n.Content[i]
		}
	default: // a scalar has nothing below it
	}
	return nil, nil
}
