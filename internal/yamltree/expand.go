package yamltree

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Why not kyaml's DeAnchor: it follows an anchor that contains itself until the stack is full, sets no bound to what
// aliases stand for, and takes the names off anchors of which other trees still have aliases.

// maxAliased bounds how many nodes the aliases of one tree may stand for.
const maxAliased = 1 << 16

// maxDepth bounds the nesting of a tree that is made plain.
const maxDepth = 64

// Expand replaces each alias below a node, or the node itself if it is one, by a copy of what it stands for. Merge keys
// stay; what they merge is a mapping then.
func Expand(n *yaml.Node) error {
	e := expander{left: maxAliased, open: map[*yaml.Node]bool{}}
	return e.expand(n)
}

type expander struct {
	left int
	open map[*yaml.Node]bool // anchors that are being copied
}

func (e *expander) expand(n *yaml.Node) error {
	if n.Kind == yaml.AliasNode {
		c, err := e.copy(n.Alias)
		if err != nil {
			return err
		}
		*n = *c
		return nil
	}
	for _, c := range n.Content {
		if err := e.expand(c); err != nil {
			return err
		}
	}
	return nil
}

// copy copies a tree with its aliases expanded.
func (e *expander) copy(n *yaml.Node) (*yaml.Node, error) {
	e.left--
	switch {
	case e.left < 0:
		return nil, errors.New("the YAML aliases stand for too much text")
	case n.Kind == yaml.AliasNode:
		return e.copy(n.Alias)
	case n.Anchor != "" && e.open[n]:
		return nil, fmt.Errorf("the YAML anchor %s contains an alias of itself", n.Anchor)
	}
	e.open[n] = true
	defer delete(e.open, n)
	c := *n
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(n.Content))
	for i := range n.Content {
		var err error
		if c.Content[i], err = e.copy(n.Content[i]); err != nil {
			return nil, err
		}
	}
	return &c, nil
}

// Detach makes a tree one that can be written by itself and comes back the same: aliases whose anchors stand outside of
// it are replaced by what they stand for, and folded text with empty lines at its end becomes a literal block, since
// the library adds a line to it each time. It reports whether the first was necessary.
func Detach(n *yaml.Node) (changed bool, err error) {
	anchors := map[*yaml.Node]bool{}
	var aliases []*yaml.Node
	Walk(n, func(n *yaml.Node) {
		if n.Anchor != "" {
			anchors[n] = true
		}
		if n.Kind == yaml.AliasNode {
			aliases = append(aliases, n)
		}
		if n.Style&yaml.FoldedStyle != 0 && strings.HasSuffix(n.Value, "\n\n") {
			n.Style = yaml.LiteralStyle
		}
	})
	for _, a := range aliases {
		if anchors[a.Alias] {
			continue
		}
		changed = true
		if err := Expand(a); err != nil {
			return changed, err
		}
	}
	return changed, nil
}

// Plain makes a tree one that can be taken apart: without aliases, anchors and merge keys, each field once, and with
// the booleans that only kubectl reads (yes, on) as true and false. Names of fields stay as they were written.
func Plain(n *yaml.Node) error {
	if err := Expand(n); err != nil {
		return err
	}
	left := maxNodes
	return plain(n, &left, 0)
}

func plain(n *yaml.Node, left *int, depth int) error {
	*left--
	if *left < 0 || depth > maxDepth {
		return fmt.Errorf("line %d: the resource is too large or nested too deeply", n.Line)
	}
	n.Anchor = ""
	if isOldBoolean(n) {
		v, err := scalar(n)
		if err != nil {
			return err
		}
		n.Value, n.Tag = fmt.Sprint(v), yaml.NodeTagBool
	}
	if n.Kind == yaml.MappingNode {
		if err := merge(n); err != nil {
			return err
		}
	}
	for i, c := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 0 {
			continue
		}
		if err := plain(c, left, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// merge puts what << stands for in its place, behind the fields of the mapping itself, and sees to it that each field
// is there once.
func merge(n *yaml.Node) error {
	var own, merged []*yaml.Node
	have := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		at, value := n.Content[i], n.Content[i+1]
		switch {
		case at.Kind != yaml.ScalarNode:
			return fmt.Errorf("line %d: a field name must be text", at.Line)
		case isMerge(at):
			fields, err := mergedFields(value, at.Line)
			if err != nil {
				return err
			}
			merged = append(merged, fields...)
			continue
		case have[at.Value]:
			return twiceError(at)
		}
		have[at.Value] = true
		own = append(own, at, value)
	}
	for pair := range slices.Chunk(merged, 2) {
		if !have[pair[0].Value] { // the first wins
			have[pair[0].Value] = true
			own = append(own, pair...)
		}
	}
	n.Content = own
	return nil
}

// mergedFields are the keys and values of what << stands for, whose aliases are expanded.
func mergedFields(value *yaml.Node, line int) ([]*yaml.Node, error) {
	sources := []*yaml.Node{value}
	if value.Kind == yaml.SequenceNode {
		sources = value.Content
	}
	var fields []*yaml.Node
	for _, s := range sources {
		if s.Kind != yaml.MappingNode {
			return nil, mergeError(line)
		}
		fields = append(fields, s.Content...)
	}
	return fields, nil
}
