package function

import (
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// The programs that render.
var (
	// RenderIstio is render-istio.
	RenderIstio = rendering(expand.RenderIstio, "istio.yaml",
		"expands Istio and IstioRevision resources into the Kubernetes objects of their control planes, with Istio's own\n"+
			"charts, offline.", `
  # With Istio's CRDs, for OpenShift
  NAME -f istio.yaml --crds --platform openshift
`)
	// RenderCNI is render-cni. The plugin has no CRDs, no webhooks and no revisions.
	RenderCNI = rendering(expand.RenderCNI, "istiocni.yaml",
		"expands IstioCNI resources into the Kubernetes objects of Istio's CNI plugin, with Istio's own chart, offline.", `
  # For GKE, whose plugins are elsewhere
  NAME -f istiocni.yaml --platform gke
`, resource.OptionCRDs, resource.OptionFailurePolicy, resource.OptionProtect, resource.OptionClusters)
	// RevisionTag is revision-tag. The options that it does not have belong to the Istio.
	RevisionTag = rendering(expand.RevisionTag, "tag.yaml -f istio.yaml",
		"expands IstioRevisionTag resources into the webhooks of Istio's revision tags, with Istio's own chart, offline.\n"+
			"The target of a tag, an Istio or IstioRevision, must be among the resources: give its file as well.", "",
		resource.OptionCRDs, resource.OptionProtect, resource.OptionClusters)
)

// rendering makes a program of a function that expands resources. It has all options but those without.
func rendering(f expand.Function, files, does, examples string, without ...string) Program {
	file, _, _ := strings.Cut(files, " ")
	options := slices.DeleteFunc(slices.Clone(resource.AllOptions), func(o resource.Option) bool {
		return slices.Contains(without, o.Name)
	})
	for i, o := range options {
		// A version that is none is a wrong call here; one on a resource is a fault of the resource.
		if o.Name == resource.OptionKubeVersion {
			options[i].Without = "default " + chart.DefaultKubeVersion
			options[i].Check = func(value string) error {
				_, err := chart.ParseKubeVersion(value)
				return err
			}
		}
	}
	return Program{
		Name: f.Name, Does: does, Files: files, Options: options, List: f.List,
		Takes: strings.Join(f.Kinds, " or ") + " of " + v1.GroupVersion.String(),
		Examples: strings.NewReplacer("FILES", files, "FILE", file, "EXAMPLES", examples).Replace(`  # What a resource gives
  NAME -f FILES

  # What an upgrade changes
  diff <(NAME -f FILES) <(sed s/v1.27.0/v1.28.3/ FILE | NAME -f -)
EXAMPLES
  # A version that is not bundled, from charts in a directory
  NAME -f FILES --charts ./charts

  # In a kustomization: generators: [FILE], and in FILE the annotation
  #   config.kubernetes.io/function: "exec: {path: NAME}"
  kustomize build --enable-alpha-plugins --enable-exec .

  # In a Kptfile: pipeline: {mutators: [{exec: NAME}]}
  kpt fn render --allow-exec
`),
		Expand: func(items []manifest.Object, options resource.Settings) (Expansion, error) {
			return render(f, items, options)
		},
	}
}

// render expands the resources of files.
func render(f expand.Function, items []manifest.Object, options resource.Settings) (out Expansion, err error) {
	expanded := f.Items(items, options)
	for _, item := range items {
		if says := leftOut(f, item); says != "" {
			expanded.Findings.Add(resource.Finding(item, finding.Warning, nil, says))
		}
	}
	if !expanded.Findings.HasError() {
		out.Objects, err = expanded.Plain()
	}
	out.Findings, out.Taken = expanded.Findings.Strictly(expanded.Strict), len(expanded.Outputs())
	return out, err
}

// leftOut says why a resource in a file gives nothing, or "" if it does.
func leftOut(f expand.Function, item manifest.Object) string {
	// the former is reported as such
	if _, wrong := resource.MistakeIn(item, false); wrong || resource.IsResource(item, f.Kinds...) {
		return ""
	}
	for _, other := range []expand.Function{expand.RenderIstio, expand.RenderCNI, expand.RevisionTag} {
		switch {
		case !resource.IsResource(item, other.Kinds...):
		case f.Name == expand.RevisionTag.Name && other.Name == expand.RenderIstio.Name:
			return "" // it is there for a tag to point at
		default:
			return "was left out; " + other.Name + " expands it"
		}
	}
	return "is not an " + strings.Join(f.Kinds, " or ") + " and was left out"
}
