// Package expand renders the resources of one package: it resolves their versions, checks their values, plans and renders
// each, and settles what concerns several of them together: Istio's CRDs, which a package has once, and the targets of
// tags.
package expand

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
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
	"github.com/lateen-io/lateen/internal/values"
)

// Function is one of Lateen's functions.
type Function struct {
	// Name is that of the binary.
	Name string
	// Kinds are the kinds of resources that it expands.
	Kinds []string
}

// The functions. Each expands its kinds only, so that a pipeline lists what it wants.
var (
	RenderIstio = Function{"render-istio", []string{v1.KindIstio, v1.KindIstioRevision}}
	RenderCNI   = Function{"render-cni", []string{v1.KindIstioCNI}}
	RevisionTag = Function{"revision-tag", []string{v1.KindIstioRevisionTag}}
)

// Request is one resource to expand.
type Request struct {
	Resource resource.Resource
	// Options are in force for it, those of its annotations included.
	Options resource.Options
	// Protect says that nothing remembers older revisions (kustomize): the objects of a RevisionBased control plane ask
	// Argo CD and Flux to leave them in the cluster when they are no longer rendered. Those of any other do so if the option
	// protect says it.
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
	hasError bool
}

func (j *job) fail(pointer []string, format string, args ...any) *finding.Finding {
	j.hasError = true
	return j.add(finding.Error, pointer, fmt.Sprintf(format, args...))
}

func (j *job) add(s finding.Severity, pointer []string, message string) *finding.Finding {
	return j.findings.Add(resource.Finding(j.Resource.Object, s, pointer, message))
}

// plan finds the release, checks the values against its schema and computes the revision.
func (j *job) plan(dirs directories) {
	if _, err := chart.ParseKubeVersion(j.Options.KubeVersion); err != nil {
		j.fail(nil, "option %v", err)
		return
	}
	if j.Resource.Tag != nil {
		j.target()
		return
	}
	version := j.Resource.Version()
	j.resolve(version, dirs)
	if j.hasError {
		return
	}
	j.unlowered(version)
	j.check()
	if j.hasError {
		return
	}
	if j.Resource.CNI != nil {
		j.skew()
	}
	var err error
	switch {
	case j.Resource.Istio != nil:
		j.output.Revision, err = planIstio(j.Resource.Istio, j.output.Release, j.Options)
	case j.Resource.Revision != nil:
		j.output.Revision, err = render.Complete(j.Resource.Revision)
	}
	if conflict, ok := errors.AsType[*values.ConflictError](err); ok {
		j.fail(append([]string{"spec"}, strings.Split(conflict.Path, ".")...), "%v", err)
	} else if err != nil {
		j.fail([]string{"spec"}, "%v", err)
	}
}

func planIstio(istio *v1.Istio, rel release.Release, options resource.Options) (*v1.IstioRevision, error) {
	return render.Plan(render.PlanInput{
		Istio: istio, Release: rel, Platform: options.Platform, KubeVersion: options.KubeVersion,
	})
}

// resolve finds the release that the resource asks for.
func (j *job) resolve(version v1.Version, dirs directories) {
	dir, err := dirs.open(j.Options.Charts)
	if err != nil {
		j.fail(nil, "option charts: %v", err)
		return
	}
	rel, err := release.Bundled().Resolve(string(version), dir)
	if err != nil {
		r := j.fail([]string{"spec", "version"}, "spec.version: %v", err)
		r.Current = string(version)
		if best := render.Meant(version, err); best != "" {
			r.Suggestion = best
		}
		return
	}
	j.output.Release = rel
	charts := "istiod"
	if j.Resource.CNI != nil {
		charts = "cni"
	}
	if message := render.UnknownPlatform(rel, charts, j.Options.Platform); message != "" {
		_ = j.add(finding.Warning, nil, message)
	}
	if message := render.EndOfLife(rel); message != "" {
		r := j.add(finding.Info, []string{"spec", "version"}, message) // most packages have it for a while
		r.Current, r.Suggestion = string(version), release.Bundled().Default()
	}
}

// check finds what is wrong with the user's values for the release.
func (j *job) check() {
	var problems []render.Problem
	var err error
	from := render.Source{
		Written:        func(pointer []string) (string, bool) { return resource.Written(j.Resource.Object, pointer) },
		FluxSubstitute: string(j.Options.FluxSubstitute),
	}
	switch r := j.Resource; {
	case r.Istio != nil:
		problems, err = render.CheckIstio(j.output.Release, r.Istio, from)
	case r.Revision != nil:
		problems, err = render.CheckRevision(j.output.Release, r.Revision, from)
	case r.CNI != nil:
		problems, err = render.CheckCNI(j.output.Release, r.CNI.Spec, from)
	}
	if err != nil {
		j.fail(nil, "%v", err)
	}
	for _, p := range problems {
		j.problem(p)
	}
}

// problem makes a result of what is wrong with the values.
func (j *job) problem(p render.Problem) {
	severity := finding.Error
	if p.Warning {
		severity = finding.Warning
	} else {
		j.hasError = true
	}
	r := j.add(severity, p.Pointer, p.String())
	if p.Suggestion != "" {
		r.Suggestion = p.Suggestion
	}
}

func (j *job) render() {
	if j.hasError || len(j.output.Objects) > 0 { // keep has them
		return
	}
	objects, err := j.objects()
	if err != nil {
		j.fail(nil, "%v", err)
		return
	}
	j.output.Objects = objects
}

func (j *job) objects() ([]manifest.Object, error) {
	kube, keep := j.Options.KubeVersion, j.Options.ChartFailurePolicy
	flux := j.Options.FluxSubstitute == resource.SubstituteYes
	switch r := j.Resource; {
	case r.CNI != nil:
		return render.CNI(render.CNIInput{
			CNI: r.CNI, Release: j.output.Release, Platform: j.Options.Platform, KubeVersion: kube, Owner: j.output.Owner,
			FluxSubstitute: flux, Warn: j.problem,
		})
	case r.Tag != nil:
		return render.Tag(render.TagInput{
			Name: r.Tag.Name, Revision: j.output.Revision, Release: j.output.Release, KubeVersion: kube, Owner: j.output.Owner,
			KeepFailurePolicy: keep, FluxSubstitute: flux,
		})
	default:
		based := j.Protect && r.Istio != nil && r.Istio.Spec.RevisionBased()
		j.output.Protected = j.Options.Protect == resource.ProtectAll ||
			based && j.Options.Protect != resource.ProtectNone
		if based && !j.output.Protected {
			_ = j.add(finding.Warning, nil, "option protect is teardown: GitOps tools prune the objects as soon as "+
				"they are no longer rendered. That is the "+
				"step before a mesh is taken down; take it away before an upgrade, which would cost the old revision "+
				"and its proxies")
		}
		in := render.Input{
			Revision: j.output.Revision, Release: j.output.Release, Owner: j.output.Owner, KubeVersion: kube,
			Protect: j.output.Protected, KeepFailurePolicy: keep, FluxSubstitute: flux, Warn: j.problem,
		}
		objects, err := render.Render(in)
		if err != nil || j.crds == nil {
			return objects, err
		}
		crds, err := render.CRDs(in)
		crds = slices.DeleteFunc(crds, func(o manifest.Object) bool { return !j.crds(o.ID().Name) })
		return append(crds, objects...), err
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

func (d directories) open(name string) (*release.Directory, error) {
	if name == "" {
		return nil, nil
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
			"name":        out.Revision.Name,
			"labels":      map[string]any{manifest.LabelRevision: out.Revision.Name, manifest.LabelManagedBy: manifest.ManagedBy},
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
		if key == resource.AnnotationFunction || key == resource.AnnotationLocalConfig || strings.HasPrefix(key, "internal.config.kubernetes.io/") ||
			strings.HasPrefix(key, "config.k8s.io/") || key == "config.kubernetes.io/index" || key == "config.kubernetes.io/path" {
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
