package expand

import (
	"fmt"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// unprotectedNamespaces warns of the Namespace of a control plane that GitOps tools are asked to leave in the cluster,
// if they are not asked to leave the Namespace: it would go when it leaves Git, with istiod, and the webhooks, which
// are in no namespace, would stay and refuse pods.
func (e *Expanded) unprotectedNamespaces() finding.List {
	var findings finding.List
	told := map[string]bool{}
	for _, j := range e.jobs {
		out := j.output
		if !out.Protected || out.Revision == nil || told[out.Revision.Spec.Namespace] {
			continue
		}
		name := out.Revision.Spec.Namespace
		for _, item := range e.around.namespaces {
			if item.ID().Name != name || isProtected(item) {
				continue
			}
			told[name] = true
			findings = append(findings, resource.Finding(item, finding.Warning, nil,
				fmt.Sprintf("when it leaves the output, a GitOps tool deletes it, and istiod with it, "+
					"while the webhooks of IstioRevision/%s (%s) ask not to be pruned: they stay, and "+
					"refuse pods. Add "+
					"the annotations %s: Prune=false "+
					"and %s: disabled, or leave the Namespace to another package", out.Revision.Name, out.Owner,
					manifest.AnnotationArgoSync, manifest.AnnotationFluxPrune)))
		}
	}
	return findings
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

// elsewhere warns of a control plane that moves to another namespace: what is connected to it in the one before loses
// it. A Namespace that is not in the package, while that of before is, has probably been forgotten. A package without
// memory knows only where a control plane is by default.
func (t *task) elsewhere() finding.List {
	there, used := map[string]bool{}, map[string]bool{}
	for _, item := range t.before.namespaces {
		there[item.ID().Name] = true
	}
	for _, c := range t.around.controlPlanes() {
		if c.plan.Planned != nil {
			used[c.plan.Planned.Spec.Namespace] = true
		}
	}
	var findings finding.List
	for _, j := range t.jobs {
		out := j.output
		if out.Revision == nil || j.Tag != nil {
			continue
		}
		now, from := out.Revision.Spec.Namespace, t.before.movedFrom(out)
		var says []string
		if from != "" {
			says = append(says, fmt.Sprintf("the control plane moves from the namespace %s to %s: the istiod that proxies "+
				"are connected to goes when this is applied", from, now))
			if why := t.around.mesh().ConsumedBy(out.Revision.Name, false); why != "" {
				says[0] += ", and " + why
			}
		} else if from = v1.DefaultIstioNamespace; used[from] {
			continue
		}
		if there[from] && !there[now] {
			says = append(says, fmt.Sprintf("the Namespace %s is not in the package, while %s is: add it, unless something "+
				"else creates it", now, from))
		}
		if len(says) > 0 {
			findings = append(findings, resource.Finding(j.Object, finding.Warning, []string{"spec", "namespace"},
				strings.Join(says, "; ")))
		}
	}
	return findings
}

// movedFrom is the namespace in which an earlier run has put the control plane of an output, if it is another one.
func (c *contents) movedFrom(out Output) string {
	key, from := out.Owner+" "+out.Revision.Name, ""
	for _, g := range c.generated {
		switch {
		case g.id.Kind != "Deployment" && g.id.Kind != "Service" || g.key() != key:
		case g.id.Namespace == out.Revision.Spec.Namespace:
			return ""
		default:
			from = g.id.Namespace
		}
	}
	return from
}
