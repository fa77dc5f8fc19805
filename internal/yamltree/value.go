package yamltree

import (
	"fmt"
	"maps"
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// maxNodes bounds the size of a tree that is read as a whole, its aliases expanded.
const maxNodes = 1 << 16

// Value is a tree as kubectl reads it, in the types of encoding/json. Unlike kubectl, it takes no field twice.
func Value(n *yaml.Node) (any, error) {
	r := reader{left: maxNodes}
	return r.value(n)
}

// reader reads a tree as it is, with its aliases and merge keys.
type reader struct{ left int }

func (r *reader) value(n *yaml.Node) (any, error) {
	r.left--
	if r.left < 0 {
		return nil, fmt.Errorf("the resource has more than %d fields once its YAML aliases are expanded", maxNodes)
	}
	switch n.Kind {
	case yaml.AliasNode:
		return r.value(n.Alias)
	case yaml.SequenceNode:
		out := make([]any, 0, len(n.Content))
		for _, c := range n.Content {
			v, err := r.value(c)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		}
		return out, nil
	case yaml.MappingNode:
		return r.mapping(n)
	default:
		return scalar(n)
	}
}

func (r *reader) mapping(n *yaml.Node) (any, error) {
	out := make(map[string]any, len(n.Content)/2)
	merged := map[string]any{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, value := n.Content[i], n.Content[i+1]
		name, err := key(at)
		if err != nil {
			return nil, err
		}
		v, err := r.value(value)
		if err != nil {
			return nil, err
		}
		if isMerge(at) {
			more, err := mergeValues(v, at.Line)
			if err != nil {
				return nil, err
			}
			maps.Copy(more, merged) // the first to have a field wins
			merged = more
			continue
		}
		if _, twice := out[name]; twice {
			return nil, twiceError(at)
		}
		out[name] = v
	}
	for name, v := range merged {
		if _, own := out[name]; !own {
			out[name] = v
		}
	}
	return out, nil
}

// mergeValues is what << takes over: the fields of a mapping or of several, of which the first to have a field wins.
func mergeValues(v any, line int) (map[string]any, error) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	out := map[string]any{}
	for _, from := range slices.Backward(list) {
		fields, ok := from.(map[string]any)
		if !ok {
			return nil, mergeError(line)
		}
		maps.Copy(out, fields)
	}
	return out, nil
}

// isMerge reports whether the key of a field is <<.
func isMerge(at *yaml.Node) bool { return at.Kind == yaml.ScalarNode && at.ShortTag() == yaml.MergeTag }

func mergeError(line int) error {
	return fmt.Errorf("line %d: << takes the alias of a mapping, or a list of such", line)
}

func twiceError(at *yaml.Node) error {
	return fmt.Errorf("line %d: the field %q is there twice", at.Line, at.Value)
}
