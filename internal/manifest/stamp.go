package manifest

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// The labels and annotations that Lateen adds. Together with the rules of Stamp they are the whole difference between
// what Helm renders and what Lateen gives; docs/rendering.md lists them for users.
const (
	// LabelRevision names the IstioRevision that an object belongs to.
	LabelRevision = "lateen.io/revision"
	// LabelTag names the IstioRevisionTag that an object belongs to.
	LabelTag = "lateen.io/tag"
	// LabelManagedBy is the well-known label; Lateen's value replaces Helm's.
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "lateen"

	// AnnotationOwner names the resource that an object was generated from: "Istio/default". Generated objects are
	// recognized by it when a package is rendered again.
	AnnotationOwner = "lateen.io/owner"
	// AnnotationRenderedBy marks an IstioRevision whose objects a pipeline renders and somebody else applies.
	AnnotationRenderedBy = "lateen.io/rendered-by"
	// AnnotationReleasedBy says on an IstioRevision that is kept in a package who removes it once it is unused: the
	// package, and not the controller, whose removal would be undone by whoever applies the package.
	AnnotationReleasedBy = "lateen.io/released-by"
	ReleasedByPackage    = "package"
	// AnnotationTakeOver allows, on a resource, with the value "true", to take over objects that another installer has
	// created for another version of Istio.
	AnnotationTakeOver = "lateen.io/take-over"
	// AnnotationVersion, AnnotationChartDigest and AnnotationKubeVersion record what the output depended on.
	AnnotationVersion     = "lateen.io/version"
	AnnotationChartDigest = "lateen.io/chart-digest"
	AnnotationKubeVersion = "lateen.io/kube-version"

	// AnnotationActivation counts, on the IstioRevisions of one Istio, which became the active one when: the highest
	// number is the active one of the last rendering. It is left out for the first.
	AnnotationActivation = "lateen.io/activation"
	// AnnotationStaleReports lists the digests of the usage reports that were there when the revision became the active
	// one.
	AnnotationStaleReports = "lateen.io/stale-reports"

	// AnnotationFluxSubstitute keeps Flux from replacing ${...} in an object.
	AnnotationFluxSubstitute = "kustomize.toolkit.fluxcd.io/substitute"
	// AnnotationFluxPrune and AnnotationArgoSync keep Flux and Argo CD from deleting an object that is no longer in
	// Git, and AnnotationArgoCompare keeps Argo CD from taking the object for a difference, which it would try to mend
	// for ever.
	AnnotationFluxPrune   = "kustomize.toolkit.fluxcd.io/prune"
	AnnotationArgoSync    = "argocd.argoproj.io/sync-options"
	AnnotationArgoCompare = "argocd.argoproj.io/compare-options"

	// CommentArgoSkip makes Argo CD leave out the whole file in which it stands, wherever it stands there. Argo CD does
	// not know that a resource is local-config.
	CommentArgoSkip = "+argocd:skip-file-rendering"
)

// Protection are the annotations that keep GitOps tools from deleting an object that is no longer in Git.
func Protection() map[string]string {
	return map[string]string{
		AnnotationArgoSync: "Prune=false", AnnotationArgoCompare: "IgnoreExtraneous", AnnotationFluxPrune: "disabled",
	}
}

// Stamp says what to write on a generated object.
type Stamp struct {
	// Owner is the resource the object was generated from: "Istio/default".
	Owner string
	// Revision is the name of the IstioRevision, empty for objects that belong to none (Istio's CRDs, the CNI plugin).
	Revision string
	// Tag is the name of the IstioRevisionTag, for the objects of one.
	Tag string
	// Version is the Istio version, recorded on objects that belong to no revision.
	Version string
	// Protect asks Argo CD and Flux to leave the object alone when it is no longer in Git: of a revision that may
	// still have proxies, and of CRDs, whose deletion takes all of Istio's configuration with it.
	Protect bool
	// KeepFailurePolicy leaves the failurePolicy that the chart gives to a validating webhook.
	KeepFailurePolicy bool
	// Text, if it is set, is done to all texts of the object. It leaves nothing in them that Flux's substitution would
	// change and should not.
	Text func(string) string
	// Dropped, if it is set, is told of each environment variable that goes because a later entry of the container has
	// its name: its value, and the one that stays.
	Dropped func(name, value, kept string)
}

// Apply writes the stamp on an object and takes out of it what others own:
//
//   - a validating webhook's failurePolicy Ignore, which istiod sets to Fail as soon as it can answer, and an empty
//     caBundle, which istiod fills in: whoever re-applies them fights istiod for ever;
//   - a resourceFieldRef gets the divisor "0" that the API server would add, which GitOps tools show as a difference;
//   - an environment variable that a container has twice, because the chart and the user's values both set it, keeps
//     the last entry, which is the one that counts: server-side apply rejects duplicates;
//   - an object with ${ in it is marked as not for Flux's variable substitution, which would blank it, unless Text
//     sees to that.
func (s Stamp) Apply(o Object) {
	o.SetLabel(LabelManagedBy, ManagedBy)
	if s.Tag != "" {
		o.SetLabel(LabelTag, s.Tag)
	}
	if s.Revision != "" {
		o.SetLabel(LabelRevision, s.Revision)
	} else if s.Version != "" {
		o.SetAnnotation(AnnotationVersion, s.Version)
	}
	o.SetAnnotation(AnnotationOwner, s.Owner)
	if s.Protect {
		protection := Protection()
		for _, key := range slices.Sorted(maps.Keys(protection)) {
			o.SetAnnotation(key, protection[key])
		}
	}
	switch o.Kind() {
	case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
		if hooks := o.Field("webhooks"); hooks != nil {
			for _, hook := range hooks.Content {
				releaseWebhook(hook, o.Kind() == "ValidatingWebhookConfiguration" && !s.KeepFailurePolicy)
			}
		}
	}
	if s.adapt(o.node) && s.Text == nil || bytes.Contains(o.tail, []byte("${")) {
		o.SetAnnotation(AnnotationFluxSubstitute, "disabled")
	}
}

func releaseWebhook(hook *yaml.Node, dropIgnore bool) {
	if config := yamltree.Get(hook, "clientConfig"); config != nil && yamltree.Text(config, "caBundle") == "" {
		yamltree.Take(config, "caBundle")
	}
	if dropIgnore && yamltree.Text(hook, "failurePolicy") == "Ignore" {
		yamltree.Take(hook, "failurePolicy")
	}
}

// adapt adds the default divisor to every resourceFieldRef, takes out variables that a later entry of the same
// container replaces, and reports whether any text contains "${".
func (s Stamp) adapt(n *yaml.Node) (substitutes bool) {
	if n.Kind == yaml.ScalarNode {
		if s.Text != nil {
			n.Value = s.Text(n.Value)
		}
		return strings.Contains(n.Value, "${")
	}
	for i, c := range n.Content {
		if s.adapt(c) {
			substitutes = true
		}
		if n.Kind != yaml.MappingNode || i%2 != 0 {
			continue
		}
		switch value := n.Content[i+1]; {
		case c.Value == "resourceFieldRef" && value.Kind == yaml.MappingNode && yamltree.Get(value, "divisor") == nil:
			yamltree.Put(value, yamltree.NewText("0"), "divisor")
		case c.Value == "env" && yamltree.Get(n, "image") != nil && value.Kind == yaml.SequenceNode: // of a container
			value.Content = s.lastOfName(value.Content)
		}
	}
	return substitutes
}

// lastOfName drops the entries of a list that have the name of a later one.
func (s Stamp) lastOfName(list []*yaml.Node) []*yaml.Node {
	last := map[string]int{}
	for i, n := range list {
		last[yamltree.Text(n, "name")] = i
	}
	out := list[:0]
	for i, n := range list {
		name := yamltree.Text(n, "name")
		if name == "" || last[name] == i {
			out = append(out, n)
			continue
		}
		if s.Dropped != nil {
			s.Dropped(name, s.value(n), s.value(list[last[name]]))
		}
	}
	return out
}

// value is that of an environment variable, empty if it comes from elsewhere.
func (s Stamp) value(variable *yaml.Node) string {
	value := yamltree.Text(variable, "value")
	if s.Text != nil {
		value = s.Text(value)
	}
	return value
}
