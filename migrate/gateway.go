package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// gatewayKind is what the two kinds of gateways have by default.
type gatewayKind struct {
	// list is the field below components, name that of the default gateway and of its values.
	list, name, label, serviceType string
	ports                          []gatewayPort
}

var gatewayKinds = []gatewayKind{
	{
		"ingressGateways", "istio-ingressgateway", "ingressgateway", "LoadBalancer",
		[]gatewayPort{{"status-port", 15021, 15021}, {"http2", 80, 8080}, {"https", 443, 8443}},
	},
	{
		"egressGateways", "istio-egressgateway", "egressgateway", "ClusterIP",
		[]gatewayPort{{"http2", 80, 8080}, {"https", 443, 8443}},
	},
}

// takeGateways makes a finding of each gateway, with the manifest that replaces it.
func (m *migration) takeGateways() {
	for _, kind := range gatewayKinds {
		list, given := m.gateways[kind.list]
		byProfile := map[string]bool{"ingressGateways": m.profile.ingress, "egressGateways": m.profile.egress}[kind.list]
		common := m.object(yamltree.Take(m.gatewayValues, kind.name), keys("spec", "values", "gateways", kind.name))
		if common == nil {
			common = yamltree.NewMapping()
		}
		if !given && (byProfile || isTrue(yamltree.Get(common, "enabled"))) {
			list = []component{{at: m.profileAt(), name: kind.name}}
		}
		var names []string
		for _, c := range list {
			if c.set && !c.enabled {
				m.info(c.at, "the gateway %s is not enabled, so there is nothing to replace", cmp.Or(c.name, kind.name))
				continue
			}
			g := m.gateway(c, kind, common, !given)
			names = append(names, g)
		}
		m.commonValues(kind, common, names)
	}
	for key, value := range yamltree.Fields(m.gatewayValues) {
		m.warnAll(m.places(rootIstio, keys("gateways", key)),
			"%s (%s): an Istio has no gateways. A gateway of your own is a Deployment with gateway injection or a Gateway of "+
				"the Gateway API "+
				"(https://istio.io/latest/docs/setup/additional-setup/gateway/); set this there",
			short(value))
	}
}

// profileAt is where to look for what the profile brings.
func (m *migration) profileAt() []string {
	if m.profileKey == "" {
		return keys("spec")
	}
	return keys("spec", "profile")
}

// valuesInManifest are the values of a gateway that the manifest takes.
var valuesInManifest = []string{
	"autoscaleEnabled", "autoscaleMax", "autoscaleMin", "customService", "enabled", "env", "externalTrafficPolicy",
	"labels", "loadBalancerIP", "loadBalancerSourceRanges", "name", "nodeSelector", "podAnnotations", "ports",
	"replicaCount", "resources", "serviceAccount", "serviceAnnotations", "tolerations", "type",
}

// commonValues says where the values of all gateways of a kind are now.
func (m *migration) commonValues(kind gatewayKind, common *yaml.Node, names []string) {
	if isEmpty(common) {
		return
	}
	at := m.places(rootIstio, keys("gateways", kind.name))
	if len(names) == 0 {
		m.warnAll(at, "%s (%s): no such gateway is enabled, so it had no effect", short(common))
		return
	}
	var missing []string
	for key, value := range yamltree.Fields(common) {
		if !slices.Contains(valuesInManifest, key) {
			missing = append(missing, key+": "+short(value))
		}
	}
	says := "an Istio has no gateways; the values are in the manifest of " + strings.Join(names, ", ") +
		", in the finding about it"
	if len(missing) > 0 {
		says += ". Add what is not: " + strings.Join(missing, "; ")
	}
	m.warnAll(at, "%s: %s", says)
}

// gateway makes the finding of one gateway.
func (m *migration) gateway(c component, kind gatewayKind, common *yaml.Node, implied bool) string {
	name := cmp.Or(c.name, cmp.Or(yamltree.Text(common, "name"), kind.name))
	manifest, err := m.defaults(c, kind, common, name).manifest()
	if err != nil {
		m.fail(c.at, "the manifest of the gateway %s: %v", name, err)
		return name
	}
	manifest.applyValues(common)
	manifest = m.onlyWhatThereIs(manifest, common)
	extra, notes := m.applyComponent(manifest, c)
	says := "an Istio has no gateways, so the gateway " + name + " becomes resources of your own"
	if implied {
		says = "this IstioOperator installs the gateway " + name + " (" + m.byWhat() +
			"); an Istio does not, so it becomes resources of your own"
	}
	m.warn(c.at, "%s. With gateway injection, these take over from its Deployment and Service; they must be applied "+
		"after the Istio%s:\n%s%s",
		says, notes, encode(manifest...), extra)
	return name
}

func (m *migration) byWhat() string {
	if m.profileKey == "" {
		return "the profile default does"
	}
	return "profile " + m.profileKey
}

// defaults are what istioctl's gateway has by default.
func (m *migration) defaults(c component, kind gatewayKind, common *yaml.Node, name string) gatewayDefaults {
	labels := fields("app", kind.name, "istio", kind.label)
	for _, more := range []*yaml.Node{yamltree.Get(common, "labels"), c.label} {
		if more != nil && more.Kind == yaml.MappingNode {
			overlay(labels, bare(more), nil, nil)
		}
	}
	podLabels := bare(labels)
	yamltree.Put(podLabels, quoted("true", nil), "sidecar.istio.io/inject")
	if m.name != "default" {
		yamltree.Put(podLabels, yamltree.NewText(m.name), "istio.io/rev")
	}
	return gatewayDefaults{
		Name: name, Namespace: cmp.Or(c.namespace, m.istioNamespace()), ServiceType: kind.serviceType, Ports: kind.ports,
		Labels: labels, PodLabels: podLabels,
	}
}

// applyComponent writes the k8s settings of the gateway's component into the manifest. extra are the overlays as
// patches, and notes what could not be written.
func (m *migration) applyComponent(g gatewayManifest, c component) (extra, notes string) {
	var left []string
	for _, image := range []*yaml.Node{c.hub, c.tag} {
		if image != nil {
			left = append(left, "the image "+image.Value+
				", which injection decides: the annotation sidecar.istio.io/proxyImage on the pods overrides it")
		}
	}
	for key, value := range yamltree.Fields(c.k8s) {
		if key == "overlays" {
			more, open := m.gatewayOverlays(value, append(slices.Clip(c.at), "k8s", key))
			extra, left = more, append(left, open...)
			continue
		}
		if why, ok := g.apply(key, value); !ok {
			left = append(left, key+": "+short(value)+why)
		}
	}
	if len(left) > 0 {
		notes = ". Not in it: " + strings.Join(left, "; ")
	}
	return extra, notes
}

// gatewayOverlays writes the overlays of a gateway as patches.
func (m *migration) gatewayOverlays(list *yaml.Node, at []string) (extra string, left []string) {
	var patches []*yaml.Node
	var notes []string
	for i, n := range list.Content {
		p, more := m.overlayPatches(n, index(at, i))
		if len(p) == 0 {
			left = append(left, "overlay "+short(n))
		}
		patches, notes = append(patches, p...), append(notes, more...)
	}
	if len(patches) == 0 {
		return "", left
	}
	return fmt.Sprintf("# The overlays, as patches in the kustomization:\n%s%s", kustomization(patches...),
		strings.Join(notes, "")), left
}
