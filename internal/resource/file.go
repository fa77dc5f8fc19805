package resource

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
)

// MaxInput bounds what is read from standard input or a file: 256 MiB.
const MaxInput = 256 << 20

// maxLists is how deep lists may be in lists.
const maxLists = 3

// ParseDocuments reads the resources of YAML documents, empty ones left out. A list, as kubectl get prints it, is
// opened: what is in it is as good as a document of its own. Line numbers are those of the text.
func ParseDocuments(data []byte) ([]manifest.Object, error) { return ParseFile("", data) }

// ParseFile is ParseDocuments for the text of a file, whose name messages can give then.
func ParseFile(name string, data []byte) ([]manifest.Object, error) {
	var out []manifest.Object
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("not YAML: %w", err)
		}
		if len(doc.Content) == 0 || doc.Content[0].Tag == yaml.NodeTagNull {
			continue
		}
		o, err := manifest.FromNode(&doc)
		if err != nil {
			return nil, fmt.Errorf("line %d: a Kubernetes resource is expected here: %w", doc.Content[0].Line, err)
		}
		objects, err := open(o, maxLists)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			out = append(out, o.At(manifest.Place{File: name, Index: len(out)}))
		}
	}
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
		return nil, fmt.Errorf("line %d: lists within lists within lists", o.Node().Line)
	}
	if n := o.Field("items"); n.Kind != yaml.SequenceNode && n.Tag != yaml.NodeTagNull {
		return nil, fmt.Errorf("line %d: the items of a %s must be a list", n.Line, o.Kind())
	}
	var out []manifest.Object
	for i, n := range contents(o) {
		item, err := manifest.FromNode(n)
		if err != nil {
			return nil, fmt.Errorf("line %d: items[%d]: a Kubernetes resource is expected here: %w", n.Line, i, err)
		}
		if _, err := manifest.Detach(n); err != nil { // an anchor may stand in another item
			return nil, fmt.Errorf("line %d: items[%d]: %w", n.Line, i, err)
		}
		inside, err := open(item, depth-1)
		if err != nil {
			return nil, err
		}
		out = append(out, inside...)
	}
	return slices.Clip(out), nil
}
