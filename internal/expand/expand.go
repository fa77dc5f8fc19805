// Package expand renders the resources of one package: it resolves their versions, checks their values, plans and
// renders each, and settles what concerns several of them together: Istio's CRDs, which a package has once, and the
// targets of tags.
package expand

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// Function is one of Lateen's functions.
type Function struct {
	// Name is that of the binary.
	Name string
	// Kinds are the kinds of resources that it expands.
	Kinds []string

	base resource.Options
}

// With is the function for a caller that has its options as data. They are of the weakest rank: all settings win.
func (f Function) With(options resource.Options) Function {
	f.base = options
	return f
}

// The functions. Each expands its kinds only, so that a pipeline lists what it wants.
var (
	RenderIstio = Function{Name: "render-istio", Kinds: []string{v1.KindIstio, v1.KindIstioRevision}}
	RenderCNI   = Function{Name: "render-cni", Kinds: []string{v1.KindIstioCNI}}
	RevisionTag = Function{Name: "revision-tag", Kinds: []string{v1.KindIstioRevisionTag}}
)

// Request is one resource to expand.
type Request struct {
	Resource resource.Resource
	// Options are in force for it, those of its annotations included.
	Options resource.Options
	// Protect says that nothing remembers older revisions (kustomize): the objects of a RevisionBased control plane ask
	// Argo CD and Flux to leave them in the cluster when they are no longer rendered. Those of any other do so if the
	// option protect says it.
	Protect bool

	around *around
}

// Output is what became of a Request.
type Output struct {
	// Owner is the stamp on the objects: "Istio/default".
	Owner string
	// Release is the version that was rendered.
	Release release.Release
	// Revision is the planned IstioRevision of an Istio, the completed one that the user wrote, or the target of a tag. It
	// is nil for an IstioCNI.
	Revision *v1.IstioRevision
	// Objects are the plain objects, stamped and ordered.
	Objects []manifest.Object
	// Protected says that the objects ask GitOps tools not to prune them.
	Protected bool
}

// Package expands resources, each on its own and in parallel. The outputs are in the order of the requests and
// incomplete if any result is an error.
func Package(requests []Request) ([]Output, finding.List) {
	jobs := make([]*job, len(requests))
	dirs := directories{}
	for i, r := range requests {
		jobs[i] = &job{Request: r, output: Output{Owner: r.Resource.Name()}}
		jobs[i].plan(dirs)
	}
	crds(jobs)
	each(jobs, (*job).render)
	outputs := make([]Output, len(jobs))
	var findings finding.List
	for i, j := range jobs {
		outputs[i] = j.output
		findings = append(findings, j.findings...)
	}
	return outputs, findings
}

type job struct {
	Request
	output Output
	// crds selects, by name, the CRDs of Istio that come with this one; nil selects none.
	crds     func(name string) bool
	findings finding.List
	in       render.Input
	planned  render.Plan
}

func (j *job) fail(pointer []string, format string, args ...any) *finding.Finding {
	return j.add(finding.Error, pointer, fmt.Sprintf(format, args...))
}

func (j *job) add(s finding.Severity, pointer []string, message string) *finding.Finding {
	return j.findings.Add(resource.Finding(j.Resource.Object, s, pointer, message))
}

// plan decides everything but the objects.
func (j *job) plan(dirs directories) {
	j.in = render.Input{
		Istio: j.Resource.Istio, Revision: j.Resource.Revision, CNI: j.Resource.CNI, Tag: j.Resource.Tag,
		Options: j.Options, Owner: j.output.Owner, Installed: j.installed(),
		Written: func(pointer []string) (string, bool) { return yamltree.Written(j.Resource.Object.Node(), pointer) },
	}
	if j.Resource.Tag == nil {
		charts, err := dirs.open(j.Options)
		if err != nil {
			j.fail(nil, "option charts: %v", err).Err = err
			return
		}
		j.in.Charts = charts
	} else if !j.target() {
		return
	}
	var found finding.List
	j.planned, found = render.Prepare(j.in)
	j.found(found)
	j.output.Release, j.output.Revision = j.planned.Release, j.planned.Planned
	if j.Resource.CNI != nil && !j.findings.HasError() {
		j.skew()
	}
}

// found adds what was found about the resource.
func (j *job) found(list finding.List) {
	j.findings = append(j.findings, resource.About(j.Resource.Object, list)...)
}

func (j *job) render() {
	if j.findings.HasError() || len(j.output.Objects) > 0 { // keep has them
		return
	}
	if r := j.Resource; r.CNI == nil && r.Tag == nil {
		j.protect()
	}
	j.planned.Protected, j.planned.CRDs = j.output.Protected, j.crds
	out, found := j.planned.Render()
	j.found(found)
	j.output.Objects = out.Objects
}

// protect decides whether the objects ask GitOps tools not to prune them.
func (j *job) protect() {
	based := j.Protect && j.Resource.Istio != nil && j.Resource.Istio.Spec.RevisionBased()
	j.output.Protected = j.Options.Protect == resource.ProtectAll || based && j.Options.Protect != resource.ProtectNone
	if based && !j.output.Protected {
		_ = j.add(finding.Warning, nil, "option protect is teardown: GitOps tools prune the objects as soon as "+
			"they are no longer rendered. That is the "+
			"step before a mesh is taken down; take it away before an upgrade, which would cost the old revision "+
			"and its proxies")
	}
}

// each runs f for all jobs on as many goroutines as there are processors.
func each(jobs []*job, f func(*job)) {
	if len(jobs) == 1 { // waking another processor takes as long as some of the work
		f(jobs[0])
		return
	}
	next := make(chan *job)
	var wg sync.WaitGroup
	for range min(len(jobs), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for j := range next {
				f(j)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	wg.Wait()
}

// directories opens each charts directory once.
type directories map[string]*release.Directory

func (d directories) open(options resource.Options) (*release.Directory, error) {
	name := options.Charts
	if name == "" {
		return options.Brought, nil
	}
	if dir, ok := d[name]; ok {
		return dir, nil
	}
	dir, err := release.OpenDirectory(name)
	if err == nil {
		d[name] = dir
	}
	return dir, err
}

// RevisionObject is the planned IstioRevision of an Istio as an item of a package: stamped like all generated objects,
// marked as rendered by a pipeline, and staying in Git if its Istio does.
func RevisionObject(out Output, source manifest.Object) (manifest.Object, error) {
	v, err := out.Revision.Spec.Values.Map()
	if err != nil {
		return manifest.Object{}, err
	}
	annotations := map[string]any{}
	for k, val := range out.Revision.Annotations {
		annotations[k] = val
	}
	annotations[manifest.AnnotationRenderedBy] = "render-istio"
	annotations[manifest.AnnotationOwner] = out.Owner
	if out.Protected {
		for k, val := range manifest.Protection() {
			annotations[k] = val
		}
	}
	local := source.Annotation(resource.AnnotationLocalConfig)
	if local != "" {
		annotations[resource.AnnotationLocalConfig] = local
	}
	spec := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap}
	for _, f := range []struct {
		in    *yaml.Node
		key   string
		value any
	}{
		{n, "apiVersion", out.Revision.APIVersion},
		{n, "kind", out.Revision.Kind},
		{n, "metadata", map[string]any{
			"name": out.Revision.Name,
			"labels": map[string]any{
				manifest.LabelRevision: out.Revision.Name, manifest.LabelManagedBy: manifest.ManagedBy,
			},
			"annotations": annotations,
		}},
		{spec, "version", string(out.Revision.Spec.Version)},
		{spec, "namespace", out.Revision.Spec.Namespace},
		{spec, "values", v},
		{n, "spec", nil},
	} {
		value := spec
		if f.value != nil {
			value = &yaml.Node{}
			if err := value.Encode(f.value); err != nil {
				return manifest.Object{}, fmt.Errorf("IstioRevision %s: %s: %w", out.Revision.Name, f.key, err)
			}
		}
		f.in.Content = append(f.in.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: f.key}, value)
	}
	o, err := manifest.FromNode(n)
	if err == nil && local == "true" {
		o.AddComment(manifest.CommentArgoSkip)
	}
	return o, err
}

// recordRelease notes on an object what the rendering depended on.
func recordRelease(o manifest.Object, rel release.Release, options resource.Options) {
	o.SetAnnotation(manifest.AnnotationVersion, rel.Version)
	o.SetAnnotation(manifest.AnnotationChartDigest, rel.Digest)
	if kube, err := chart.ParseKubeVersion(options.KubeVersion); err == nil { // plan has looked at the error
		o.SetAnnotation(manifest.AnnotationKubeVersion, kube.Version)
	}
}

// SourceObject is an Istio that came as a functionConfig, as an item to be applied: without what kustomize needs to
// call the function and what it notes on items.
func SourceObject(source manifest.Object) manifest.Object {
	o := source.Copy()
	if o.Field("metadata", "uid") != nil {
		withoutLife(o)
	}
	for key := range o.Annotations() {
		if key == resource.AnnotationFunction || key == resource.AnnotationLocalConfig ||
			strings.HasPrefix(key, "internal.config.kubernetes.io/") ||
			strings.HasPrefix(key, "config.k8s.io/") || key == "config.kubernetes.io/index" ||
			key == "config.kubernetes.io/path" {
			o.DeleteAnnotation(key)
		}
	}
	return o
}

// withoutLife takes out of an object that kubectl get has printed what its cluster wrote into it.
func withoutLife(o manifest.Object) {
	o.Remove("status")
	for _, field := range []string{
		"creationTimestamp", "finalizers", "generation", "managedFields", "ownerReferences", "resourceVersion",
		"selfLink", "uid",
	} {
		o.Remove("metadata", field)
	}
	o.DeleteAnnotation("kubectl.kubernetes.io/last-applied-configuration")
}
