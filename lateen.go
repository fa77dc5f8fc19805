// Package lateen renders Istio control planes, CNI plugins and revision tags from Go: the same pipeline that the KRM
// functions and the controller run, for programs that want to have it inside.
//
//	result, err := lateen.Render(resources, lateen.Options{})
//
// It needs no cluster, no network and no files besides charts that the caller brings. A program that imports this
// module gets the bundled charts only if it is built from a checkout in which `make bundles` was run; else give
// Options.Charts.
package lateen

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// Options are those of the function, in their weakest rank: an annotation lateen.io/<option> on a resource wins.
type Options struct {
	// Charts is a directory with the charts of Istio versions that are not bundled.
	Charts string
	// KubeVersion is what charts are told about the cluster, such as v1.34.0. Empty means a fixed default.
	KubeVersion string
	// Platform is the kind of cluster, such as openshift or gke.
	Platform string
	// CRDs adds Istio's own CustomResourceDefinitions.
	CRDs bool
	// Track also gives the Istio resources and their IstioRevisions, for a controller to follow.
	Track bool
	// ChartFailurePolicy leaves failurePolicy Ignore in validating webhooks, which istiod changes later.
	ChartFailurePolicy bool
	// Protect asks Argo CD and Flux not to prune the objects of InPlace control planes either, before they become
	// RevisionBased.
	Protect bool
	// Strict makes errors of warnings.
	Strict bool
	// AllowRemoval are resources, such as Istio/default, that have left the package and whose objects Transform may
	// remove although something may depend on them.
	AllowRemoval []string
}

func (o Options) options() resource.Settings {
	out := resource.Settings{}
	for name, value := range map[string]string{
		resource.OptionCharts: o.Charts, resource.OptionKubeVersion: o.KubeVersion, resource.OptionPlatform: o.Platform,
	} {
		if value != "" {
			out[name] = value
		}
	}
	if o.CRDs {
		out[resource.OptionCRDs] = "include"
	}
	if o.Track {
		out[resource.OptionTrack] = "true"
	}
	if o.ChartFailurePolicy {
		out[resource.OptionFailurePolicy] = "chart"
	}
	if o.Protect {
		out[resource.OptionProtect] = "true"
	}
	if o.Strict {
		out[resource.OptionStrict] = "true"
	}
	if len(o.AllowRemoval) > 0 {
		out[resource.OptionAllowRemoval] = strings.Join(o.AllowRemoval, ",")
	}
	return out
}

// Result is a rendering.
type Result struct {
	// Revisions are the revisions of the control planes, one for each Istio and IstioRevision, in the order of the input.
	Revisions []*v1.IstioRevision
	// Findings are what a person should know; none of them is an error.
	Findings []Finding

	objects []manifest.Object
}

// YAML gives the objects as a stream of documents, in the order in which they can be applied.
func (r *Result) YAML() ([]byte, error) {
	var buf bytes.Buffer
	err := manifest.Write(&buf, r.objects)
	return buf.Bytes(), err
}

// Objects gives the objects in the same order.
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
// ignored, unless they look like one of those resources. If a resource is wrong, the error is an *Error that names all
// that is.
func Render(resources []byte, o Options) (*Result, error) {
	items, err := resource.ParseDocuments(resources)
	if err != nil {
		return nil, err
	}
	r := &Result{}
	var found finding.List
	strict := false
	for _, f := range functions {
		expanded := f.Items(items, items, o.options(), false)
		if !expanded.Findings.HasError() {
			objects, err := expanded.Plain()
			if err != nil {
				return nil, err
			}
			r.objects = append(r.objects, objects...)
		}
		found = found.Merge(expanded.Findings) // what concerns no function in particular every one of them finds
		strict = strict || expanded.Strict
		if f.Name != expand.RenderIstio.Name {
			continue
		}
		for _, out := range expanded.Outputs {
			r.Revisions = append(r.Revisions, out.Revision)
		}
	}
	found = found.Strictly(strict)
	if r.Findings = public(found); found.HasError() {
		return nil, &Error{r.Findings}
	}
	if id, twice := manifest.Duplicate(r.objects); twice {
		return nil, fmt.Errorf("two resources both generate %s", id)
	}
	manifest.Sort(r.objects)
	return r, nil
}

// Transform is the KRM functions render-istio, render-cni and revision-tag in one: it reads a ResourceList and writes
// one. An *Error means that resources are wrong; the list has been written all the same, with the items as they came
// and the findings.
func Transform(in io.Reader, out io.Writer, o Options) error {
	list, err := krm.Read(in)
	if err != nil {
		return err
	}
	done := *list
	for _, f := range functions {
		next := f.List(&done, o.options())
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

// Versions lists the bundled Istio versions, oldest first.
func Versions() []string { return release.Bundled().Versions() }
