// Package krm speaks the wire format of KRM functions: it reads a ResourceList, keeps the user's items as they are,
// replaces the items that an earlier run generated, and writes results. What a resource expands to is the job of
// package expand.
//
// The format is specified at
// https://github.com/kubernetes-sigs/kustomize/blob/master/cmd/config/docs/api-conventions/functions-spec.md.
package krm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Annotations of the orchestrator on items, of which New items may set Path and Index only.
const (
	internalPrefix  = "internal.config.kubernetes.io/"
	AnnotationPath  = internalPrefix + "path"
	AnnotationIndex = internalPrefix + "index"
	// AnnotationLocalConfig marks a resource that stays in Git and is never applied.
	AnnotationLocalConfig = "config.kubernetes.io/local-config"
	// AnnotationFunction is kustomize's declaration of the function on its functionConfig.
	AnnotationFunction = "config.kubernetes.io/function"
)

// carried are the prefixes and names of the annotations by which kpt and kustomize find an item's file and comments
// again. A regenerated item takes them over from the item it replaces. The ones without "internal." are the legacy
// spelling, which both still write.
var carried = []string{
	internalPrefix, "internal.kpt.dev/", "config.kubernetes.io/path", "config.kubernetes.io/index", "config.k8s.io/id",
	"kustomize.config.k8s.io/id",
}

func isCarried(annotation string) bool {
	for _, c := range carried {
		if annotation == c || strings.HasSuffix(c, "/") && strings.HasPrefix(annotation, c) {
			return true
		}
	}
	return false
}

// isItemID reports whether an annotation is one by which the caller finds the item again that an item was before.
func isItemID(annotation string) bool {
	return annotation == internalPrefix+"id" || annotation == "config.k8s.io/id"
}

// MaxInput bounds what is read from standard input or a file: 256 MiB.
const MaxInput = 256 << 20

// List is a ResourceList.
type List struct {
	Items []manifest.Object
	// Config is the functionConfig, if there is one.
	Config   *manifest.Object
	Findings finding.List

	apiVersion string
}

// versions of the format that are read. What is written has the version of what was read.
var versions = map[string]bool{
	"config.kubernetes.io/v1": true, "config.kubernetes.io/v1beta1": true, "config.kubernetes.io/v1alpha1": true,
}

// Read reads a ResourceList.
func Read(r io.Reader) (*List, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxInput+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxInput {
		return nil, fmt.Errorf("the input has more than %d MiB", MaxInput>>20)
	}
	return Parse(data)
}

// Parse reads a ResourceList.
func Parse(data []byte) (*List, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the input is empty; a ResourceList is expected (--help tells how to call the function)")
		}
		return nil, fmt.Errorf("the input is not YAML: %w", err)
	}
	top, err := manifest.FromNode(&doc)
	if err != nil {
		return nil, fmt.Errorf("the input is not a ResourceList: %w", err)
	}
	if top.Kind() != "ResourceList" || !versions[top.APIVersion()] {
		return nil, fmt.Errorf("the input is %q %q, not a ResourceList of config.kubernetes.io/v1; "+
			"to render a file, give its name: -f istio.yaml", top.APIVersion(), top.Kind())
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the input has more than one YAML document; one ResourceList is expected")
	}
	l := &List{apiVersion: top.APIVersion()}
	if c := top.Field("functionConfig"); c != nil && c.Tag != yaml.NodeTagNull {
		o, err := manifest.FromNode(c)
		if err != nil {
			return nil, fmt.Errorf("functionConfig: %w", err)
		}
		l.Config = &o
	}
	items := top.Field("items")
	if items == nil || items.Tag == yaml.NodeTagNull {
		return l, nil
	}
	if items.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("line %d: items is not a list", items.Line)
	}
	texts := textsOf(data, top.Node(), items)
	for i, n := range items.Content {
		o, err := manifest.FromNode(n)
		if err != nil {
			return nil, fmt.Errorf("items[%d] (line %d): %w", i, n.Line, err)
		}
		changed, err := settle(n)
		if err != nil {
			return nil, fmt.Errorf("items[%d] (line %d): %w", i, n.Line, err)
		}
		if !changed && texts[i] != nil {
			o = o.WithText(texts[i])
		}
		l.Items = append(l.Items, o)
	}
	return l, nil
}

// Write writes the ResourceList. items is always there, even when empty: kustomize takes a list without it for a
// resource. The functionConfig is not repeated; nobody reads it back.
func (l *List) Write(w io.Writer) error {
	var buf, item bytes.Buffer
	version := l.apiVersion
	if version == "" {
		version = "config.kubernetes.io/v1"
	}
	fmt.Fprintf(&buf, "apiVersion: %s\nkind: ResourceList\n", version)
	if len(l.Items) == 0 {
		buf.WriteString("items: []\n")
	} else {
		buf.WriteString("items:\n")
	}
	for _, o := range l.Items {
		item.Reset()
		if err := o.Encode(&item); err != nil {
			return fmt.Errorf("writing %s: %w", o.ID(), err)
		}
		indent(&buf, item.Bytes())
	}
	if len(l.Findings) > 0 {
		n := &yaml.Node{}
		if err := n.Encode(map[string]any{"results": results(l.Findings)}); err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
		if err := manifest.EncodeNode(&buf, n); err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// settle makes an item one that can be written by itself and comes back the same: aliases whose anchors stand outside of
// it are replaced by what they stand for, and folded text with empty lines at its end becomes a literal block, since
// the library adds a line to it each time. It tells whether the first was necessary.
func settle(item *yaml.Node) (changed bool, err error) {
	anchors := map[*yaml.Node]bool{}
	var aliases []*yaml.Node
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		if n.Anchor != "" {
			anchors[n] = true
		}
		if n.Kind == yaml.AliasNode {
			aliases = append(aliases, n)
		}
		if n.Style&yaml.FoldedStyle != 0 && strings.HasSuffix(n.Value, "\n\n") {
			n.Style = yaml.LiteralStyle
		}
		for _, c := range n.Content {
			walk(c)
		}
	}
	walk(item)
	for _, a := range aliases {
		if !anchors[a.Alias] {
			changed = true
			if err := manifest.ExpandAliases(a); err != nil {
				return changed, err
			}
		}
	}
	return changed, nil
}

// indent writes one YAML document as an item of a list.
func indent(buf *bytes.Buffer, doc []byte) {
	buf.Grow(len(doc) + len(doc)/8)
	separators := bytes.Contains(doc, []byte("\u2028")) || bytes.Contains(doc, []byte("\u2029"))
	prefix := "- "
	for line := range bytes.Lines(doc) {
		if len(line) > 1 { // an empty line of a block text needs no indentation
			buf.WriteString(prefix)
			prefix = "  "
		}
		if separators { // Unicode's line and paragraph separators end a line of a block text as well
			line = bytes.ReplaceAll(line, []byte("\u2028"), []byte("\u2028"+prefix))
			line = bytes.ReplaceAll(line, []byte("\u2029"), []byte("\u2029"+prefix))
		}
		buf.Write(line)
	}
}

// Location says where in the user's files a resource stands.
type Location struct {
	// Path is relative to the package; empty if unknown.
	Path  string
	Index int
}

// LocationOf reads the orchestrator's annotations.
func LocationOf(o manifest.Object) Location {
	path, index := o.Annotation(AnnotationPath), o.Annotation(AnnotationIndex)
	if path == "" { // the legacy spelling
		path, index = o.Annotation("config.kubernetes.io/path"), o.Annotation("config.kubernetes.io/index")
	}
	i, _ := strconv.Atoi(index)
	return Location{Path: path, Index: i}
}

// Also says where a resource was seen, for a message about another one: ", also in istio.yaml".
func Also(o manifest.Object) string {
	file, line := o.Place().File, o.Node().Line
	switch l := LocationOf(o); {
	case file != "":
		return fmt.Sprintf(", also in %s:%d", file, line)
	case l.Path != "":
		return ", also in " + l.Path
	}
	return fmt.Sprintf(", also in line %d", line)
}
