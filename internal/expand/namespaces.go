package expand

import (
	"fmt"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
)

// unprotectedNamespaces warns of the Namespace of a control plane that GitOps tools are asked to leave in the cluster,
// if they are not asked to leave the Namespace: it would go when it leaves Git, with istiod, and the webhooks, which
// are in no namespace, would stay and refuse pods.
func (e *Expanded) unprotectedNamespaces() fn.Results {
	var results fn.Results
	told := map[string]bool{}
	for _, out := range e.Outputs {
		if !out.Protected || out.Revision == nil || told[out.Revision.Spec.Namespace] {
			continue
		}
		name := out.Revision.Spec.Namespace
		for _, item := range e.around.items {
			if id := item.ID(); id.Kind != "Namespace" || id.Group != "" || id.Name != name || isProtected(item) {
				continue
			}
			told[name] = true
			results = append(results, krm.Result(item, fn.Warning, nil,
				fmt.Sprintf("when it leaves the output, a GitOps tool deletes it, and istiod with it, "+
					"while the webhooks of IstioRevision/%s (%s) ask not to be pruned: they stay, and "+
					"refuse pods. Add "+
					"the annotations %s: Prune=false "+
					"and %s: disabled, or leave the Namespace to another package", out.Revision.Name, out.Owner,
					manifest.AnnotationArgoSync, manifest.AnnotationFluxPrune)))
		}
	}
	return results
}

// isProtected reports whether an object asks Argo CD or Flux not to prune it: hardly anybody has both.
func isProtected(o manifest.Object) bool {
	for option := range strings.SplitSeq(o.Annotation(manifest.AnnotationArgoSync), ",") {
		if option = strings.TrimSpace(option); option == "Prune=false" || option == "Prune=confirm" {
			return true
		}
	}
	return o.Annotation(manifest.AnnotationFluxPrune) == "disabled"
}
