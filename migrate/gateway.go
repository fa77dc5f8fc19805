package migrate

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"
)

// gatewayKind is what the two kinds of gateways have by default.
type gatewayKind struct {
	// list is the field below components, name that of the default gateway and of its values.
	list, name, label, serviceType string
	ports                          [][3]any // name, port, target
}

var gatewayKinds = []gatewayKind{
	{
		"ingressGateways", "istio-ingressgateway", "ingressgateway", "LoadBalancer",
		[][3]any{{"status-port", 15021, 15021}, {"http2", 80, 8080}, {"https", 443, 8443}},
	},
	{
		"egressGateways", "istio-egressgateway", "egressgateway", "ClusterIP",
		[][3]any{{"http2", 80, 8080}, {"https", 443, 8443}},
	},
}

// takeGateways makes a finding of each gateway, with the manifest that replaces it.
func (m *migration) takeGateways() {
	for _, kind := range gatewayKinds {
		list, given := m.gateways[kind.list]
		byProfile := map[string]bool{"ingressGateways": m.profile.ingress, "egressGateways": m.profile.egress}[kind.list]
		common := m.object(take(m.gatewayValues, kind.name), keys("spec", "values", "gateways", kind.name))
		if common == nil {
			common = mapping()
		}
		if !given && (byProfile || isTrue(get(common, "enabled"))) {
			list = []component{{at: m.profileAt(), name: kind.name}}
		}
		var names []string
		for _, c := range list {
			if c.set && !c.enabled {
				m.info(c.at, "the gateway %s is not enabled, so there is nothing to replace", orDefault(c.name, kind.name))
				continue
			}
			g := m.gateway(c, kind, common, !given)
			names = append(names, g)
		}
		m.commonValues(kind, common, names)
	}
	for i := 0; i+1 < len(m.gatewayValues.Content); i += 2 {
		m.warnAll(m.places(rootIstio, keys("gateways", m.gatewayValues.Content[i].Value)),
			"%s (%s): an Istio has no gateways. A gateway of your own is a Deployment with gateway injection or a Gateway of "+
				"the Gateway API "+
				"(https://istio.io/latest/docs/setup/additional-setup/gateway/); set this there",
			short(m.gatewayValues.Content[i+1]))
	}
}

func orDefault(s, other string) string {
	if s == "" {
		return other
	}
	return s
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
	for i := 0; i+1 < len(common.Content); i += 2 {
		if key := common.Content[i].Value; !slices.Contains(valuesInManifest, key) {
			missing = append(missing, key+": "+short(common.Content[i+1]))
		}
	}
	says := "an Istio has no gateways; the values are in the manifest of " + joinWords(names) + ", in the finding about it"
	if len(missing) > 0 {
		says += ". Add what is not: " + strings.Join(missing, "; ")
	}
	m.warnAll(at, "%s: %s", says)
}

// gateway makes the finding of one gateway.
func (m *migration) gateway(c component, kind gatewayKind, common *yaml.Node, implied bool) string {
	name := orDefault(c.name, orDefault(textAt(common, "name"), kind.name))
	b := m.builder(c, kind, common, name)
	b.applyValues(common)
	m.keepWhatThereIs(b, common)
	extra, notes := m.applyComponent(b, c)
	says := "an Istio has no gateways, so the gateway " + name + " becomes resources of your own"
	if implied {
		says = "this IstioOperator installs the gateway " + name + " (" + m.byWhat() +
			"); an Istio does not, so it becomes resources of your own"
	}
	m.warn(c.at, "%s. With gateway injection, these take over from its Deployment and Service; they must be applied "+
		"after the Istio%s:\n%s%s",
		says, notes, encode(b.objects()...), extra)
	return name
}

func (m *migration) byWhat() string {
	if m.profileKey == "" {
		return "the profile default does"
	}
	return "profile " + m.profileKey
}

// manifestBuilder makes the manifest of a gateway with gateway injection. A service, scaler or budget that is nil is
// not in it.
type manifestBuilder struct {
	account, role, binding, service, deployment, scaler, budget *yaml.Node
	container                                                   *yaml.Node
}

func (b *manifestBuilder) objects() []*yaml.Node {
	all := []*yaml.Node{b.account, b.role, b.binding, b.service, b.deployment, b.scaler, b.budget}
	return slices.DeleteFunc(all, func(o *yaml.Node) bool { return o == nil })
}

// keepWhatThereIs takes out of a manifest what the chart of the gateway does not make with these values. istioctl lays
// k8s settings over what the chart makes, so those of an object that there is not have no effect.
func (m *migration) keepWhatThereIs(b *manifestBuilder, v *yaml.Node) {
	scaled := m.profileKey != "demo"
	if enabled := get(v, "autoscaleEnabled"); enabled != nil {
		scaled = isTrue(enabled)
	}
	least, most := count(get(b.scaler, "spec", "minReplicas")), count(get(b.scaler, "spec", "maxReplicas"))
	replicas := least
	if !scaled {
		replicas = count(get(v, "replicaCount"))
	}
	if !scaled || least == 0 || most == 0 {
		b.scaler = nil
	}
	wanted := get(m.values, "global", "defaultPodDisruptionBudget", "enabled")
	if wanted != nil && !isTrue(wanted) || replicas < 2 && !m.before(28) {
		b.budget = nil
	}
	if isTrue(get(v, "customService")) {
		b.service = nil
	}
}

// count reads a number of replicas; what is none is 0.
func count(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	i, _ := strconv.Atoi(n.Value) // 0 is what charts make of what is no number
	return i
}

// builder starts with what istioctl's gateway has by default.
func (m *migration) builder(c component, kind gatewayKind, common *yaml.Node, name string) *manifestBuilder {
	namespace := orDefault(c.namespace, m.istioNamespace())
	labels := fields("app", kind.name, "istio", kind.label)
	for _, more := range []*yaml.Node{get(common, "labels"), c.label} {
		if more != nil && more.Kind == yaml.MappingNode {
			overlay(labels, bare(more), nil, func([]string, *yaml.Node) {})
		}
	}
	meta := func(name string) *yaml.Node {
		return fields("name", name, "namespace", namespace, "labels", bare(labels))
	}
	b := &manifestBuilder{}
	account := name + "-service-account"
	b.account = fields("apiVersion", "v1", "kind", "ServiceAccount", "metadata", meta(account))
	b.role = fields("apiVersion", apiVersions["Role"], "kind", "Role", "metadata", meta(name+"-sds"),
		"rules", sequence(fields("apiGroups", sequence(text("")), "resources", sequence(text("secrets")), "verbs",
			sequence(text("get"), text("watch"), text("list")))))
	b.role.Content[7].Content[0].Content[1].Content[0].Style = yaml.DoubleQuotedStyle
	b.binding = fields("apiVersion", apiVersions["RoleBinding"], "kind", "RoleBinding", "metadata", meta(name+"-sds"),
		"roleRef", fields("apiGroup", "rbac.authorization.k8s.io", "kind", "Role", "name", name+"-sds"),
		"subjects", sequence(fields("kind", "ServiceAccount", "name", account)))
	ports := sequence()
	for _, p := range kind.ports {
		ports.Content = append(ports.Content, fields("name", p[0], "port", p[1], "targetPort", p[2], "protocol", "TCP"))
	}
	b.service = fields("apiVersion", "v1", "kind", "Service", "metadata", meta(name),
		"spec", fields("type", kind.serviceType, "selector", bare(labels), "ports", ports))
	b.container = fields("name", "istio-proxy", "image", "auto", "resources", fields(
		"requests", fields("cpu", "100m", "memory", "128Mi"), "limits", fields("cpu", "2000m", "memory", "1024Mi")))
	podLabels := bare(labels)
	put(podLabels, quoted("true", nil), "sidecar.istio.io/inject")
	if m.name != "default" {
		put(podLabels, text(m.name), "istio.io/rev")
	}
	b.deployment = fields("apiVersion", "apps/v1", "kind", "Deployment", "metadata", meta(name), "spec", fields(
		"selector", fields("matchLabels", bare(labels)),
		"template", fields(
			"metadata", fields("labels", podLabels, "annotations", fields("inject.istio.io/templates", "gateway")),
			"spec", fields("serviceAccountName", account, "containers", sequence(b.container)))))
	b.scaler = fields("apiVersion", apiVersions["HorizontalPodAutoscaler"], "kind", "HorizontalPodAutoscaler", "metadata",
		meta(name), "spec", fields(
			"minReplicas", 1, "maxReplicas", 5,
			"scaleTargetRef", fields("apiVersion", "apps/v1", "kind", "Deployment", "name", name),
			"metrics", sequence(fields("type", "Resource", "resource", fields("name", "cpu",
				"target", fields("type", "Utilization", "averageUtilization", 80))))))
	b.budget = fields("apiVersion", apiVersions["PodDisruptionBudget"], "kind", "PodDisruptionBudget", "metadata",
		meta(name), "spec", fields("minAvailable", 1, "selector", fields("matchLabels", bare(labels))))
	return b
}

// applyValues writes the values of the gateway's chart into the manifest.
func (b *manifestBuilder) applyValues(v *yaml.Node) {
	for _, to := range []struct {
		key  string
		in   *yaml.Node
		path []string
	}{
		{"type", b.service, keys("spec", "type")},
		{"ports", b.service, keys("spec", "ports")},
		{"loadBalancerIP", b.service, keys("spec", "loadBalancerIP")},
		{"loadBalancerSourceRanges", b.service, keys("spec", "loadBalancerSourceRanges")},
		{"externalTrafficPolicy", b.service, keys("spec", "externalTrafficPolicy")},
		{"serviceAnnotations", b.service, keys("metadata", "annotations")},
		{"autoscaleMin", b.scaler, keys("spec", "minReplicas")},
		{"autoscaleMax", b.scaler, keys("spec", "maxReplicas")},
		{"replicaCount", b.deployment, keys("spec", "replicas")},
		{"podAnnotations", b.deployment, keys("spec", "template", "metadata", "annotations")},
		{"nodeSelector", b.deployment, keys("spec", "template", "spec", "nodeSelector")},
		{"tolerations", b.deployment, keys("spec", "template", "spec", "tolerations")},
		{"resources", b.container, keys("resources")},
	} {
		setIn(to.in, get(v, to.key), to.path)
	}
	setIn(b.account, get(v, "serviceAccount", "annotations"), keys("metadata", "annotations"))
	env := get(v, "env")
	for i := 0; env != nil && env.Kind == yaml.MappingNode && i+1 < len(env.Content); i += 2 {
		b.variable(fields("name", env.Content[i].Value, "value", quoted(plainText(env.Content[i+1]), nil)))
	}
}

// setIn lays a value over a field of an object, if there is a value.
func setIn(o, value *yaml.Node, at []string) {
	if value == nil || isEmpty(value) {
		return
	}
	wrapped := bare(value)
	for _, key := range slices.Backward(at) {
		wrapped = fields(key, wrapped)
	}
	overlay(o, wrapped, nil, func([]string, *yaml.Node) {})
}

// variable sets an environment variable.
func (b *manifestBuilder) variable(n *yaml.Node) {
	list := get(b.container, "env")
	if list == nil {
		list = sequence()
		put(b.container, list, "env")
	}
	for i, have := range list.Content {
		if textAt(have, "name") == textAt(n, "name") {
			list.Content[i] = bare(n)
			return
		}
	}
	list.Content = append(list.Content, bare(n))
}

// applyComponent writes the k8s settings of the gateway's component into the manifest. extra are the overlays as
// patches, and notes what could not be written.
func (m *migration) applyComponent(b *manifestBuilder, c component) (extra, notes string) {
	var left []string
	for _, image := range []*yaml.Node{c.hub, c.tag} {
		if image != nil {
			left = append(left, "the image "+image.Value+
				", which injection decides: the annotation sidecar.istio.io/proxyImage on the pods overrides it")
		}
	}
	for i := 0; c.k8s != nil && i+1 < len(c.k8s.Content); i += 2 {
		key, value := c.k8s.Content[i].Value, c.k8s.Content[i+1]
		if key == "overlays" {
			more, open := m.gatewayOverlays(value, append(slices.Clip(c.at), "k8s", key))
			extra, left = more, append(left, open...)
			continue
		}
		if why, ok := b.apply(key, value); !ok {
			left = append(left, key+": "+short(value)+why)
		}
	}
	if len(left) > 0 {
		notes = ". Not in it: " + strings.Join(left, "; ")
	}
	return extra, notes
}

// apply writes one k8s setting. If it cannot, why says more than that, if there is more to say.
func (b *manifestBuilder) apply(key string, value *yaml.Node) (why string, ok bool) {
	p, ok := placements[key]
	if !ok || isNull(value) {
		return "", isNull(value)
	}
	if key == "env" {
		return "", b.env(value)
	}
	into, path := b.deployment, p.path
	switch {
	case p.kind == "HorizontalPodAutoscaler":
		into, value = b.scaler, autoscalerV2(value)
	case p.kind == "PodDisruptionBudget":
		into = b.budget
		if into != nil && get(value, "maxUnavailable") != nil { // there can be only one of them
			take(into, "spec", "minAvailable")
		}
	case p.kind == "Service":
		into = b.service
	case p.container:
		into, path = b.container, keys(key)
	}
	if into == nil {
		return " (there was no " + p.kind + " to patch, so it had no effect)", false
	}
	setIn(into, value, path)
	return "", true
}

// env sets the environment variables of a list, and reports whether it is one.
func (b *manifestBuilder) env(list *yaml.Node) bool {
	for _, n := range list.Content {
		if textAt(n, "name") == "" {
			return false
		}
		b.variable(n)
	}
	return true
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

// joinWords lists words as a sentence does.
func joinWords(words []string) string { return strings.Join(words, ", ") }
