package function

import (
	"slices"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/resource"
)

// Program is what is particular to one binary.
type Program struct {
	expand.Function
	// what it does, in a sentence, for --help; resource is an example of a file to render.
	what, resource string
	// examples are further examples for --help.
	examples string
	// without are the options that make no difference here: all others have a flag and a line in the help.
	without []string
}

// options are those that make a difference for the program.
func (prog Program) options() []resource.Option {
	return slices.DeleteFunc(slices.Clone(resource.AllOptions), func(o resource.Option) bool {
		return slices.Contains(prog.without, o.Name)
	})
}

// The programs.
var (
	RenderIstio = Program{
		Function: expand.RenderIstio,
		what: "expands Istio and IstioRevision resources into the Kubernetes objects of their control planes, with Istio's " +
			"own\n" +
			"charts, offline.",
		resource: "istio.yaml",
		examples: `
  # With Istio's CRDs, for OpenShift
  render-istio -f istio.yaml --crds --platform openshift
`,
	}
	RenderCNI = Program{
		Function: expand.RenderCNI,
		what: "expands IstioCNI resources into the Kubernetes objects of Istio's CNI plugin, with Istio's own chart, " +
			"offline.",
		resource: "istiocni.yaml",
		examples: `
  # For GKE, whose plugins are elsewhere
  render-cni -f istiocni.yaml --platform gke
`,
		// The plugin has no CRDs, no webhooks and no revisions.
		without: []string{resource.OptionCRDs, resource.OptionFailurePolicy, resource.OptionProtect, resource.OptionClusters},
	}
	RevisionTag = Program{
		Function: expand.RevisionTag,
		what: "expands IstioRevisionTag resources into the webhooks of Istio's revision tags, with Istio's own chart, " +
			"offline.\n" +
			"The target of a tag, an Istio or IstioRevision, must be among the resources: give its file as well.",
		resource: "tag.yaml -f istio.yaml",
		examples: "",
		// These belong to the Istio.
		without: []string{resource.OptionCRDs, resource.OptionProtect, resource.OptionClusters},
	}
)
