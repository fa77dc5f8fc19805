// Package fastyaml reads and writes YAML as kyaml does, to the letter, in less time. Parse and Write are all that there
// is to know of it: what they do without the YAML library, and when, is their own business. What nodes mean is
// internal/yamltree's.
//
// The tests compare both with the library, for random trees and by fuzzing.
package fastyaml

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// Parse reads all YAML documents of a text, with their comments and their places in it.
func Parse(text string) ([]*yaml.Node, error) {
	if short, blocks := cut(text); len(blocks) > 0 {
		if docs, err := documents(short); err == nil && paste(docs, blocks) {
			return docs, nil
		}
	}
	return documents(text)
}

// documents is Parse by the library.
func documents(text string) ([]*yaml.Node, error) {
	var docs []*yaml.Node
	for dec := yaml.NewDecoder(strings.NewReader(text)); ; {
		doc := &yaml.Node{}
		err := dec.Decode(doc)
		if errors.Is(err, io.EOF) {
			return docs, nil
		}
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
}

// Write gives a node as the text of one YAML document, without a separator: two spaces, lists not indented below their
// key. The caller may keep the text.
func Write(n *yaml.Node) ([]byte, error) {
	if fast := (writer{}); fast.document(n) {
		return slices.Clip(fast.out), nil
	}
	var buf bytes.Buffer
	err := byLibrary(&buf, n)
	return buf.Bytes(), err
}

// byLibrary is Write by the library.
func byLibrary(w io.Writer, n *yaml.Node) error {
	enc := yaml.NewEncoder(w)
	enc.SetIndent(indentStep)
	enc.CompactSeqIndent()
	if err := enc.Encode(n); err != nil {
		return err
	}
	return enc.Close()
}
