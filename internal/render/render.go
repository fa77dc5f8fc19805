// Package render turns an Istio resource into the objects of its control plane. It is the one pipeline: the KRM
// functions, the command line, the Go API and the controller all call it, with everything that the output may depend on
// in one Input.
package render

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/revision"
	"github.com/lateen-io/lateen/internal/values"
)

// revisionInput is all that the objects of a revision depend on.
type revisionInput struct {
	// Revision is what to render. Its spec.values are complete (see Plan).
	Revision *v1.IstioRevision
	// Release has the charts of the version that the revision asks for.
	Release release.Release
	// Owner is the resource that the objects are stamped with: "Istio/default".
	Owner string
	// KubeVersion is what charts are told about the cluster: v1.34.0. Empty means chart.DefaultKubeVersion.
	KubeVersion string
	// Protect asks GitOps tools not to delete the objects when they leave Git.
	Protect bool
	// KeepFailurePolicy leaves the failurePolicy Ignore that charts give to validating webhooks.
	KeepFailurePolicy bool
	// FluxSubstitute says that Flux puts in the variables, ${name}, of the values after rendering.
	FluxSubstitute bool
	// Warn, if it is set, is told of values that turn out to have no effect.
	Warn func(problem)
}

// planInput is all that an Istio's IstioRevision depends on.
type planInput struct {
	// Istio is the resource, with its defaults filled in (see v1.Istio.Default).
	Istio *v1.Istio
	// Release is the version that the Istio asks for.
	Release release.Release
	// Platform is the kind of cluster, such as openshift or gke, if it is known.
	Platform string
	// KubeVersion as in revisionInput; it is recorded.
	KubeVersion string
}

// RevisionName is the name of the revision that an Istio asks for. It needs no release: the charts of the version may
// not be there any more, or not yet.
func RevisionName(istio *v1.Istio) (string, error) {
	version := string(istio.Spec.Version)
	if version == "" {
		version = release.Bundled().Default()
	}
	return revision.Name(istio.Name, version, istio.Spec.RevisionBased())
}

// planRevision computes the IstioRevision that an Istio asks for: its name and its values, merged from these layers,
// later ones on top: Istio's default profile, the selected profile or else the platform's, the user's values and
// meshConfig, the platform, and what belongs to the resource (revision, istioNamespace).
func planRevision(in planInput) (*v1.IstioRevision, error) {
	spec := in.Istio.Spec
	version := string(spec.Version)
	if version == "" {
		version = in.Release.Version
	}
	name, err := revision.Name(in.Istio.Name, version, spec.RevisionBased())
	if err != nil {
		return nil, err
	}
	user, err := decode(spec.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w", err)
	}
	mesh, err := decode(spec.MeshConfig)
	if err != nil {
		return nil, fmt.Errorf("spec.meshConfig: %w", err)
	}
	if user, err = values.WithMeshConfig(user, mesh); err != nil {
		return nil, err
	}
	profile, platform, err := values.ProfileAndPlatform(string(spec.Profile), in.Platform, "istiod", in.Release, user)
	if err != nil {
		return nil, fmt.Errorf("spec.profile: %w", err)
	}
	merged := values.Merge(values.Base(spec.Namespace), profile, user, platform)
	values.Enforce(merged, name, spec.Namespace)
	packed, err := v1.FromMap(merged)
	if err != nil {
		return nil, err
	}
	rev := &v1.IstioRevision{}
	rev.APIVersion, rev.Kind, rev.Name = v1.GroupVersion.String(), v1.KindIstioRevision, name
	rev.Annotations = map[string]string{
		manifest.AnnotationVersion:     in.Release.Version,
		manifest.AnnotationChartDigest: in.Release.Digest,
	}
	kube, err := chart.ParseKubeVersion(in.KubeVersion)
	if err != nil {
		return nil, err
	}
	rev.Annotations[manifest.AnnotationKubeVersion] = kube.Version
	rev.Spec = v1.IstioRevisionSpec{Version: v1.Version(version), Namespace: spec.Namespace, Values: packed}
	return rev, nil
}

// complete fills in what an IstioRevision written by a user may leave out and only one value is right for: the revision
// in its values. The result is a copy.
func complete(rev *v1.IstioRevision) (*v1.IstioRevision, error) {
	v, err := decode(rev.Spec.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w", err)
	}
	v = values.Merge(v)
	values.Enforce(v, rev.Name, rev.Spec.Namespace)
	out := rev.DeepCopy()
	out.Spec.Values, err = v1.FromMap(v)
	return out, err
}

// Remote reports whether a revision has its control plane in another cluster.
func Remote(rev *v1.IstioRevision) bool {
	v, err := decode(rev.Spec.Values)
	return err == nil && values.String(v, "profile") == "remote"
}

// decode reads values as encoding/json does by default: every number is a float64. That is how Helm reads a values
// file, and templates can tell the difference.
func decode(v *v1.Values) (map[string]any, error) {
	if v == nil || len(v.Raw) == 0 {
		return nil, nil
	}
	var m map[string]any
	if err := json.Unmarshal(v.Raw, &m); err != nil {
		return nil, err
	}
	return m, nil
}

// renderRevision gives the objects of a revision, stamped and in the order in which they can be applied. It fails
// rather than give two objects of one name.
func renderRevision(in revisionInput) ([]manifest.Object, error) {
	v, err := decode(in.Revision.Spec.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w", err)
	}
	name, namespace := in.Revision.Name, in.Revision.Spec.Namespace
	subst := substitution{on: in.FluxSubstitute}
	main, chartValues := values.RemoteChart(subst.mark(v), in.Release)
	target := chart.Target{Release: name + "-istiod", Namespace: namespace, KubeVersion: in.KubeVersion}
	var keep func(string) bool
	if main == "istiod-remote" {
		// It brings base's default validator, without base's default for defaultRevision, and Istio's CRDs, which are an
		// option.
		chartValues["defaultRevision"] = ""
		if name == "default" {
			chartValues["defaultRevision"] = name
		}
		keep = func(template string) bool { return template != "templates/crd-all.gen.yaml" }
	}
	objects, err := renderChart(in.Release, main, keep, chartValues, target)
	if err != nil {
		return nil, err
	}
	if name == "default" && main == "istiod" { // the chart istiod-remote brings what it needs of base
		base, err := renderBase(in.Release, chartValues, name, namespace, in.KubeVersion)
		if err != nil {
			return nil, err
		}
		objects = append(objects, base...)
	}
	stamp := manifest.Stamp{
		Owner: in.Owner, Revision: name, Protect: in.Protect, KeepFailurePolicy: in.KeepFailurePolicy,
		Text: subst.text(), Dropped: dropped(main, v, in.Warn),
	}
	objects, err = finish(objects, stamp, in.Release)
	if err != nil && values.String(chartValues, "global", "remotePilotAddress") != "" &&
		values.String(chartValues, "profile") != "remote" {
		return nil, fmt.Errorf("%w; spec.values.global.remotePilotAddress is for remote control planes: set spec.profile to "+
			"remote, or leave it out", err)
	}
	return objects, err
}

// renderedCRDs gives Istio's own CustomResourceDefinitions, of the release and with the values of the revision. They
// belong to no revision, and with them goes every resource of Istio: GitOps tools are asked not to prune them.
func renderedCRDs(in revisionInput) ([]manifest.Object, error) {
	v, err := decode(in.Revision.Spec.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w", err)
	}
	subst := substitution{on: in.FluxSubstitute}
	_, v = values.RemoteChart(subst.mark(v), in.Release)
	objects, err := renderCRDs(in.Release, v,
		chart.Target{Release: baseRelease, Namespace: in.Revision.Spec.Namespace, KubeVersion: in.KubeVersion})
	if err != nil {
		return nil, err
	}
	return finish(objects, manifest.Stamp{
		Owner: in.Owner, Version: in.Release.Version, Protect: true,
		Text: subst.text(),
	}, in.Release)
}

// finish stamps, orders and packs objects.
func finish(objects []manifest.Object, stamp manifest.Stamp, rel release.Release) ([]manifest.Object, error) {
	if id, twice := manifest.Duplicate(objects); twice {
		return nil, fmt.Errorf("the charts of Istio %s render %s twice", rel.Version, id)
	}
	for i, o := range objects {
		stamp.Apply(o)
		objects[i] = o.Pack()
	}
	manifest.Sort(objects)
	return objects, nil
}

const (
	baseRelease = "default-base"
	crdTemplate = "templates/crds.yaml"
	profileFile = "templates/zzz_profile.yaml" // computes the values that all other templates see
)

// renderBase renders the chart base without its CRDs: what makes a revision the default one.
func renderBase(
	rel release.Release, v map[string]any, defaultRevision, namespace, kubeVersion string,
) ([]manifest.Object, error) {
	// Up to 1.23, base has the Service of a remote istiod too, where the chart istiod-remote brings it anyway and the
	// chart istiod one of the same name.
	v = values.Merge(v, map[string]any{
		"defaultRevision": defaultRevision, "global": map[string]any{"remotePilotAddress": ""},
	})
	target := chart.Target{Release: baseRelease, Namespace: namespace, KubeVersion: kubeVersion}
	return renderChart(rel, "base", func(t string) bool { return t != crdTemplate }, v, target)
}

// renderChart renders one chart of a release; keep, if not nil, says which of its templates.
func renderChart(
	rel release.Release, name string, keep func(string) bool, v map[string]any, t chart.Target,
) ([]manifest.Object, error) {
	c, err := load(rel, name)
	if err != nil {
		return nil, err
	}
	if keep != nil {
		c = c.Only(keep)
	}
	return renderLoaded(c, v, t)
}

// hookAnnotation marks what Helm runs at certain moments instead of installing it. Istio's charts have none.
const hookAnnotation = "helm.sh/hook"

// renderLoaded renders a chart and reads what comes out.
func renderLoaded(c *chart.Chart, v map[string]any, t chart.Target) ([]manifest.Object, error) {
	texts, err := c.Render(v, t)
	if err != nil {
		return nil, err
	}
	var objects []manifest.Object
	for _, m := range texts {
		parsed, err := manifest.Parse(m.Text)
		if err != nil {
			return nil, fmt.Errorf("chart %s %s: the output of %s is not a list of Kubernetes objects: %w", c.Name(),
				c.Version(), m.Template, err)
		}
		for _, o := range parsed {
			if o.Annotation(hookAnnotation) != "" {
				return nil, fmt.Errorf("chart %s %s: %s: %s is a Helm hook: a step in time, which plain objects cannot express",
					c.Name(), c.Version(), m.Template, o.ID())
			}
		}
		objects = append(objects, parsed...)
	}
	return objects, nil
}

// loaded keeps the charts that a process has read, by the digest of the release and name: a package of a hundred Istios
// reads each once.
var loaded = struct {
	sync.Mutex
	charts map[[2]string]*chart.Chart
}{charts: map[[2]string]*chart.Chart{}}

func load(rel release.Release, name string) (*chart.Chart, error) {
	key := [2]string{rel.Digest, name}
	loaded.Lock()
	defer loaded.Unlock()
	if c := loaded.charts[key]; c != nil {
		return c, nil
	}
	c, err := read(rel, name)
	if err == nil {
		loaded.charts[key] = c
	}
	return c, err
}

func read(rel release.Release, name string) (*chart.Chart, error) {
	files, err := rel.Chart(name)
	if err != nil {
		return nil, err
	}
	c, err := chart.Load(files, rel.Defaults(name))
	if err != nil {
		return nil, rel.Fault(fmt.Errorf("chart %s of Istio %s (%s): %w", name, rel.Version, rel.Origin, err))
	}
	if c.Name() != name {
		return nil, rel.Fault(fmt.Errorf("chart %s of Istio %s (%s): its Chart.yaml says it is the chart %q", name,
			rel.Version, rel.Origin, c.Name()))
	}
	if have := strings.TrimPrefix(c.Version(), "v"); rel.Version != "master" &&
		have != strings.TrimPrefix(rel.Version, "v") {
		return nil, rel.Fault(fmt.Errorf("chart %s of Istio %s (%s): its Chart.yaml says it is version %s", name,
			rel.Version, rel.Origin, have))
	}
	return c, nil
}

// renderCRDs gives Istio's CRDs as the chart base does, without the seconds of CPU it takes: the chart's template
// parses and prints 800 KB of YAML only to exchange a few labels. Here the template gets the CRDs without their specs,
// and each spec is put back, as text, below what came out. Up to 1.23 the CRDs are in crds/ and Helm takes them as they
// are.
func renderCRDs(rel release.Release, v map[string]any, t chart.Target) ([]manifest.Object, error) {
	c, err := load(rel, "base")
	if err != nil {
		return nil, err
	}
	v = values.Merge(v, map[string]any{"defaultRevision": ""})
	const templated, plain = "files/crd-all.gen.yaml", "crds/crd-all.gen.yaml"
	if all := c.File(templated); all != nil {
		heads, specs, err := splitCRDs(all)
		if err != nil {
			return nil, fmt.Errorf("chart base of Istio %s: %s: %w", rel.Version, templated, err)
		}
		c := c.WithFile(templated, heads).Only(func(t string) bool { return t == crdTemplate || t == profileFile })
		objects, err := renderLoaded(c, v, t)
		if err != nil {
			return nil, err
		}
		for i, o := range objects {
			spec, ok := specs[o.ID().Name]
			if !ok {
				return nil, fmt.Errorf("chart base of Istio %s: the CRD %s is not in %s", rel.Version, o.ID().Name, templated)
			}
			objects[i] = o.WithTail(spec)
		}
		return objects, nil
	}
	all := c.File(plain)
	if all == nil {
		return nil, fmt.Errorf("chart base of Istio %s has neither %s nor %s", rel.Version, templated, plain)
	}
	if values.Bool(v, "base", "enableCRDTemplates") {
		return nil, fmt.Errorf(
			"spec.values.base.enableCRDTemplates has no effect with crds: include in Istio %s; leave it out", rel.Version)
	}
	heads, specs, err := splitCRDs(all)
	if err != nil {
		return nil, fmt.Errorf("chart base of Istio %s: %s: %w", rel.Version, plain, err)
	}
	objects, err := manifest.Parse(string(heads))
	if err != nil {
		return nil, err
	}
	for i, o := range objects {
		objects[i] = o.WithTail(specs[o.ID().Name])
	}
	return objects, nil
}

// CRDNames are the names of the CRDs that a release of Istio has.
func CRDNames(rel release.Release) (map[string]bool, error) {
	c, err := load(rel, "base")
	if err != nil {
		return nil, err
	}
	for _, file := range []string{"files/crd-all.gen.yaml", "crds/crd-all.gen.yaml"} {
		all := c.File(file)
		if all == nil {
			continue
		}
		_, specs, err := splitCRDs(all)
		if err != nil {
			return nil, fmt.Errorf("chart base of Istio %s: %s: %w", rel.Version, file, err)
		}
		names := map[string]bool{}
		for name := range specs {
			names[name] = true
		}
		return names, nil
	}
	return nil, fmt.Errorf("chart base of Istio %s has no CRDs", rel.Version)
}

// splitCRDs cuts each CRD of a file in two: the head down to the line "spec:", and the rest, by name.
func splitCRDs(all []byte) (heads []byte, specs map[string][]byte, err error) {
	specs = map[string][]byte{}
	var b bytes.Buffer
	for doc := range bytes.SplitSeq(all, []byte("\n---\n")) {
		if len(bytes.TrimSpace(doc)) == 0 {
			continue
		}
		head, tail, found := bytes.Cut(doc, []byte("\nspec:\n"))
		if !found {
			return nil, nil, fmt.Errorf("a document has no spec")
		}
		parsed, err := manifest.Parse(string(head))
		if err != nil || len(parsed) != 1 {
			return nil, nil, fmt.Errorf("a document does not start with apiVersion, kind and metadata: %w", err)
		}
		name := parsed[0].ID().Name
		if _, twice := specs[name]; twice {
			return nil, nil, fmt.Errorf("the CRD %s is there twice", name)
		}
		specs[name] = append([]byte("spec:\n"), append(bytes.TrimRight(tail, "\n"), '\n')...)
		if b.Len() > 0 {
			b.WriteString("---\n")
		}
		b.Write(bytes.TrimLeft(head, "\n"))
		b.WriteString("\n")
	}
	return b.Bytes(), specs, nil
}
