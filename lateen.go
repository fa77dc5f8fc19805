// Package lateen renders Istio control planes, CNI plugins and revision tags from Go: the same pipeline that the KRM
// functions and the controller run, for programs that want to have it inside.
//
//	result, err := lateen.Render(resources, lateen.Options{})
//
// It needs no cluster and no network. It reads no files of the machine, unless a resource has the annotation
// lateen.io/charts: a program that renders resources of people whom it does not trust looks for that one first.
//
// # Charts
//
// A program that imports this module has the bundled charts only if it is built from a checkout in which `make bundles`
// was run; Versions says so. Otherwise it gives Options.Charts.
//
// # Errors
//
// Render returns an *OptionError, a *ParseError or an *Error, and no other error. Transform returns one of these, or
// what its reader or its writer returned, as it is. The three stand for the three who can mend it: the program, the
// writer of the file, the author of the resource. In an *Error, each Finding says which resource and which field;
// errors.As and errors.Is find in it what is about charts: *UnknownVersionError, *ChartsError, ErrNoBundledCharts.
//
// # Types
//
// The exported types are this package's own, those of api/v1, the standard library's, and unstructured.Unstructured of
// k8s.io/apimachinery. None is an alias of an internal type: what the core calls a thing may change, and a type that
// cannot be imported cannot be named by a caller either. None is of the kpt SDK, which is for the wire only.
package lateen

import (
	"bytes"
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// Result is a rendering.
type Result struct {
	// Revisions are the revisions of the control planes, one for each Istio and IstioRevision, in the order of the input.
	Revisions []*v1.IstioRevision
	// Findings are what a person should know; none of them is an error.
	Findings []Finding

	objects []manifest.Object
}

// YAML gives the objects as a stream of documents, in the order in which they can be applied. An error means an object
// that cannot be written: a fault of this package, or of charts that were brought, and of no type to tell it by.
func (r *Result) YAML() ([]byte, error) {
	var buf bytes.Buffer
	err := manifest.Write(&buf, r.objects)
	return buf.Bytes(), err
}

// Objects gives the objects in the same order; the error is as that of YAML.
func (r *Result) Objects() ([]*unstructured.Unstructured, error) {
	out := make([]*unstructured.Unstructured, len(r.objects))
	for i, o := range r.objects {
		var buf bytes.Buffer
		if err := o.Encode(&buf); err != nil {
			return nil, fmt.Errorf("%s: %w", o.ID(), err)
		}
		data, err := sigsyaml.YAMLToJSON(buf.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.ID(), err)
		}
		out[i] = &unstructured.Unstructured{}
		if err := json.Unmarshal(data, &out[i].Object); err != nil {
			return nil, fmt.Errorf("%s: %w", o.ID(), err)
		}
	}
	return out, nil
}

// functions are those of a whole mesh, in the order of a pipeline.
var functions = []expand.Function{expand.RenderIstio, expand.RenderCNI, expand.RevisionTag}

// Render expands the resources of sailoperator.io among YAML documents and the lists in them; other documents are
// ignored, unless they look like one of those resources.
//
// The error is an *OptionError if a field of the Options is wrong, a *ParseError if the documents cannot be read, and
// an *Error, with everything that is wrong, if resources cannot be rendered. There is no result then.
func Render(resources []byte, o Options) (*Result, error) {
	options, err := o.typed()
	if err != nil {
		return nil, err
	}
	items, err := resource.ParseDocuments(resources)
	if err != nil {
		return nil, cause(err)
	}
	r := &Result{}
	var found finding.List
	strict := false
	for _, f := range functions {
		expanded := f.With(options).Items(items, nil)
		if !expanded.Findings.HasError() {
			objects, err := expanded.Plain()
			expanded.Findings = append(expanded.Findings, finding.Of(err)...)
			r.objects = append(r.objects, objects...)
		}
		found = found.Merge(expanded.Findings) // what concerns no function in particular every one of them finds
		strict = strict || expanded.Strict
		if f.Name != expand.RenderIstio.Name {
			continue
		}
		for _, out := range expanded.Outputs() {
			r.Revisions = append(r.Revisions, out.Revision)
		}
	}
	if id, twice := manifest.Duplicate(r.objects); twice {
		found = append(found, finding.Of(fmt.Errorf("two resources both generate %s", id))...)
	}
	found = found.Strictly(strict)
	if r.Findings = public(found); found.HasError() {
		return nil, &Error{r.Findings}
	}
	manifest.Sort(r.objects)
	return r, nil
}

// Transform is the KRM functions render-istio, render-cni and revision-tag in one: it reads a ResourceList and writes
// one.
//
// The error is an *OptionError if a field of the Options is wrong, before anything is read; a *ParseError if the input
// is no ResourceList, before anything is written; that of the reader or of the writer, as it is; and an *Error if
// resources are wrong. In that last case the list has been written all the same, with the items as they came and the
// findings as its results.
func Transform(in io.Reader, out io.Writer, o Options) error {
	options, err := o.typed()
	if err != nil {
		return err
	}
	list, err := krm.Read(in)
	if err != nil {
		return cause(err)
	}
	done := *list
	for _, f := range functions {
		next := f.With(options).List(&done, nil)
		done.Items, done.Findings = next.Items, done.Findings.Merge(next.Findings)
		if next.Findings.HasError() {
			done.Items = list.Items
			break
		}
	}
	if err := done.Write(out); err != nil {
		return err
	}
	if done.Findings.HasError() {
		return &Error{public(done.Findings)}
	}
	return nil
}
