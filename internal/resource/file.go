package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// MaxInput bounds what is read from standard input or a file: 256 MiB.
const MaxInput = 256 << 20

// maxLists is how deep lists may be in lists.
const maxLists = 3

// ParseError says where a text is not what it should be.
type ParseError struct {
	// Document counts the YAML documents of the text, from 0, empty ones included.
	Document int
	// Line counts the lines of the whole text, from 1; 0 if it is not known.
	Line int
	// Err says what is wrong, its line included.
	Err error
}

func (e *ParseError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ParseError) Unwrap() error { return e.Err }

// inLine is an error about a line; ParseFile knows the document.
func inLine(line int, format string, args ...any) error {
	return &ParseError{Line: line, Err: fmt.Errorf("line %d: %w", line, fmt.Errorf(format, args...))}
}

// LineOf is the line that an error of the YAML library is about. It has no other form than its text. 0 means that it
// says none: of characters that may not be in YAML, and of the first line.
func LineOf(err error) int {
	parts := yamlLine.FindStringSubmatch(err.Error())
	if parts == nil {
		return 0
	}
	line, _ := strconv.Atoi(parts[1]) // more digits than an int has are no line
	return line
}

var yamlLine = regexp.MustCompile(`^yaml: line (\d+): `)

// ParseDocuments reads the resources of YAML documents, empty ones left out. A list, as kubectl get prints it, is
// opened: what is in it is as good as a document of its own. Line numbers are those of the text.
func ParseDocuments(data []byte) ([]manifest.Object, error) { return ParseFile("", data) }

// ParseFile is ParseDocuments for the text of a file, whose name messages can give then. An error is a *ParseError.
func ParseFile(name string, data []byte) ([]manifest.Object, error) {
	var out []manifest.Object
	dec := yaml.NewDecoder(bytes.NewReader(data))
	for document := 0; ; document++ {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, &ParseError{Document: document, Line: LineOf(err), Err: fmt.Errorf("not YAML: %w", err)}
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == yaml.NodeTagNull {
			continue
		}
		objects, err := openDocument(&doc)
		if wrong, ok := errors.AsType[*ParseError](err); ok {
			wrong.Document = document
		}
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			out = append(out, o.At(manifest.Place{File: name, Index: len(out)}))
		}
	}
}

func openDocument(doc *yaml.Node) ([]manifest.Object, error) {
	o, err := manifest.FromNode(doc)
	if err != nil {
		return nil, inLine(doc.Content[0].Line, "a Kubernetes resource is expected here: %w", err)
	}
	return open(o, maxLists)
}

// openable reports whether an object of a file is a list of what the programs read: a List, or one of the kinds' own
// lists.
func openable(o manifest.Object) bool {
	of, isList := strings.CutSuffix(o.Kind(), "List")
	switch group := o.ID().Group; {
	case !isList:
		return false
	case of == "":
		return o.APIVersion() == "v1"
	default:
		return group == v1.GroupVersion.Group || group == "install.istio.io" && of == "IstioOperator" ||
			group == "lateen.io" && of == "UsageReport"
	}
}

// open gives what an object of a file stands for: itself, or, of a list that kubectl get prints, its items.
func open(o manifest.Object, depth int) ([]manifest.Object, error) {
	if !openable(o) || o.Field("items") == nil {
		return []manifest.Object{o}, nil
	}
	if depth == 0 {
		return nil, inLine(o.Node().Line, "lists within lists within lists")
	}
	if n := o.Field("items"); n.Kind != yaml.SequenceNode && n.Tag != yaml.NodeTagNull {
		return nil, inLine(n.Line, "the items of a %s must be a list", o.Kind())
	}
	var out []manifest.Object
	for i, n := range contents(o) {
		item, err := manifest.FromNode(n)
		if err != nil {
			return nil, inLine(n.Line, "items[%d]: a Kubernetes resource is expected here: %w", i, err)
		}
		if _, err := yamltree.Detach(n); err != nil { // an anchor may stand in another item
			return nil, inLine(n.Line, "items[%d]: %w", i, err)
		}
		inside, err := open(item, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, inside...)
	}
	return slices.Clip(out), nil
}
