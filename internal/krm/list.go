// Package krm is the wire format of KRM functions, and nothing else: it reads a ResourceList, keeps items that nothing
// changes as they came, byte by byte, and writes the list with its results. What a resource expands to is the job of
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

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/fastyaml"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

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

// Read reads a ResourceList. What is wrong with it is a *resource.ParseError; another error is the reader's.
func Read(r io.Reader) (*List, error) {
	data, err := io.ReadAll(io.LimitReader(r, resource.MaxInput+1))
	if err != nil {
		return nil, err
	}
	if len(data) > resource.MaxInput {
		return nil, &resource.ParseError{Err: fmt.Errorf("the input has more than %d MiB", resource.MaxInput>>20)}
	}
	return Parse(data)
}

// Parse reads a ResourceList. An error is a *resource.ParseError.
func Parse(data []byte) (*List, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, wrong(0, "the input is empty; a ResourceList is expected (--help tells how to call the function)")
		}
		return nil, wrong(resource.LineOf(err), "the input is not YAML: %w", err)
	}
	top, err := manifest.FromNode(&doc)
	if err != nil {
		return nil, wrong(doc.Line, "the input is not a ResourceList: %w", err)
	}
	if top.Kind() != "ResourceList" || !versions[top.APIVersion()] {
		return nil, wrong(top.Node().Line, "the input is %q %q, not a ResourceList of config.kubernetes.io/v1; "+
			"to render a file, give its name: -f istio.yaml", top.APIVersion(), top.Kind())
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, &resource.ParseError{
			Document: 1, Err: errors.New("the input has more than one YAML document; one ResourceList is expected"),
		}
	}
	l := &List{apiVersion: top.APIVersion()}
	if c := top.Field("functionConfig"); c != nil && c.Tag != yaml.NodeTagNull {
		o, err := manifest.FromNode(c)
		if err != nil {
			return nil, wrong(c.Line, "functionConfig: %w", err)
		}
		l.Config = &o
	}
	items := top.Field("items")
	if items == nil || items.Tag == yaml.NodeTagNull {
		return l, nil
	}
	if items.Kind != yaml.SequenceNode {
		return nil, wrong(items.Line, "line %d: items is not a list", items.Line)
	}
	texts := textsOf(data, top.Node(), items)
	for i, n := range items.Content {
		o, err := manifest.FromNode(n)
		if err != nil {
			return nil, wrong(n.Line, "items[%d] (line %d): %w", i, n.Line, err)
		}
		changed, err := yamltree.Detach(n)
		if err != nil {
			return nil, wrong(n.Line, "items[%d] (line %d): %w", i, n.Line, err)
		}
		if !changed && texts[i] != nil {
			o = o.WithText(texts[i])
		}
		l.Items = append(l.Items, o)
	}
	return l, nil
}

// wrong is an error about a line of the only document of the input; 0 for the whole.
func wrong(line int, format string, args ...any) error {
	return &resource.ParseError{Line: line, Err: fmt.Errorf(format, args...)}
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
		text, err := fastyaml.Write(n)
		if err != nil {
			return fmt.Errorf("writing results: %w", err)
		}
		buf.Write(text)
	}
	_, err := w.Write(buf.Bytes())
	return err
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
