package function

import (
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
)

// Program is what is particular to one binary.
type Program struct {
	expand.Function
	// what it does, in a sentence, for --help; resource is an example of a file to render.
	what, resource string
	// examples are further examples for --help.
	examples string
	// options are those that make a difference here.
	options []string
}

// The programs.
var (
	RenderIstio = Program{
		Function: expand.RenderIstio,
		what: "expands Istio and IstioRevision resources into the Kubernetes objects of their control planes, with Istio's own\n" +
			"charts, offline.",
		resource: "istio.yaml",
		examples: `
  # With Istio's CRDs, for OpenShift
  render-istio -f istio.yaml --crds --platform openshift
`,
		options: []string{
			krm.OptionCharts, krm.OptionKubeVersion, krm.OptionPlatform, krm.OptionCRDs, krm.OptionTrack, krm.OptionFailurePolicy,
			krm.OptionProtect, krm.OptionClusters, krm.OptionStrict, krm.OptionAllowRemoval,
		},
	}
	RenderCNI = Program{
		Function: expand.RenderCNI,
		what:     "expands IstioCNI resources into the Kubernetes objects of Istio's CNI plugin, with Istio's own chart, offline.",
		resource: "istiocni.yaml",
		examples: `
  # For GKE, whose plugins are elsewhere
  render-cni -f istiocni.yaml --platform gke
`,
		options: []string{
			krm.OptionCharts, krm.OptionKubeVersion, krm.OptionPlatform, krm.OptionTrack, krm.OptionStrict,
			krm.OptionAllowRemoval,
		},
	}
	RevisionTag = Program{
		Function: expand.RevisionTag,
		what: "expands IstioRevisionTag resources into the webhooks of Istio's revision tags, with Istio's own chart, offline.\n" +
			"The target of a tag, an Istio or IstioRevision, must be among the resources: give its file as well.",
		resource: "tag.yaml -f istio.yaml",
		examples: "",
		options: []string{
			krm.OptionCharts, krm.OptionKubeVersion, krm.OptionPlatform, krm.OptionTrack, krm.OptionFailurePolicy,
			krm.OptionStrict,
			krm.OptionAllowRemoval,
		},
	}
)
