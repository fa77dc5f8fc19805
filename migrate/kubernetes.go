package migrate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// workload is what the k8s settings of a component are about: the object that istioctl patches, and the values that do
// the same.
type workload struct {
	kind, name, namespace, container string
	// root and values are where its values stand: those of the Istio below pilot, say.
	root, values string
	// moves are the settings that values can express, and the names of these values.
	moves map[string]string
	// reserved are environment variables that the chart writes itself.
	reserved []string
	// from is the resource whose rendering the patches are for.
	from string
}

// pilotMoves are the k8s settings of istiod that its chart has values for. env, hpaSpec and strategy have functions
// below.
var pilotMoves = map[string]string{
	"affinity": "affinity", "nodeSelector": "nodeSelector", "podAnnotations": "podAnnotations",
	"podDisruptionBudget": "pdb",
	"replicaCount":        "replicaCount", "resources": "resources", "serviceAnnotations": "serviceAnnotations",
	"tolerations":  "tolerations",
	"volumeMounts": "volumeMounts", "volumes": "volumes",
}

// cniMoves are those of the CNI plugin.
var cniMoves = map[string]string{
	"affinity": "affinity", "imagePullPolicy": "pullPolicy", "podAnnotations": "podAnnotations", "resources": "resources",
	"tolerations": "tolerations",
}

// reservedEnv are the variables that istiod's chart always writes: one of the same name in pilot.env would be there
// twice. A test looks them up in the charts.
var reservedEnv = []string{
	"CLUSTER_ID", "GOMAXPROCS", "GOMEMLIMIT", "KUBECONFIG", "PILOT_CERT_PROVIDER", "PILOT_ENABLE_ANALYSIS",
	"PILOT_TRACE_SAMPLING", "PLATFORM",
	"POD_NAME", "POD_NAMESPACE", "REVISION", "SERVICE_ACCOUNT",
}

// placement is where a k8s setting goes in the rendered objects.
type placement struct {
	// kind is that of the object; empty is the workload.
	kind string
	// container says that the setting is a field of the main container; path is that of all others.
	container bool
	path      []string
}

// placements are where istioctl puts the k8s settings.
var placements = map[string]placement{
	"affinity":            {path: keys("spec", "template", "spec", "affinity")},
	"env":                 {container: true},
	"hpaSpec":             {kind: "HorizontalPodAutoscaler", path: keys("spec")},
	"imagePullPolicy":     {container: true},
	"nodeSelector":        {path: keys("spec", "template", "spec", "nodeSelector")},
	"podAnnotations":      {path: keys("spec", "template", "metadata", "annotations")},
	"podDisruptionBudget": {kind: "PodDisruptionBudget", path: keys("spec")},
	"priorityClassName":   {path: keys("spec", "template", "spec", "priorityClassName")},
	"readinessProbe":      {container: true},
	"replicaCount":        {path: keys("spec", "replicas")},
	"resources":           {container: true},
	"securityContext":     {path: keys("spec", "template", "spec", "securityContext")},
	"service":             {kind: "Service", path: keys("spec")},
	"serviceAnnotations":  {kind: "Service", path: keys("metadata", "annotations")},
	"strategy":            {path: keys("spec", "strategy")},
	"tolerations":         {path: keys("spec", "template", "spec", "tolerations")},
	"volumeMounts":        {container: true},
	"volumes":             {path: keys("spec", "template", "spec", "volumes")},
}

// hints say for settings without a value of their own what comes near.
var hints = map[string]string{
	"imagePullPolicy":   " (spec.values.global.imagePullPolicy sets it for all of Istio's pods, the proxies too)",
	"priorityClassName": " (spec.values.global.priorityClassName sets it for istiod and gateways)",
}

// apiVersions are those of the kinds that overlays patch.
var apiVersions = map[string]string{
	"ClusterRole": "rbac.authorization.k8s.io/v1", "ClusterRoleBinding": "rbac.authorization.k8s.io/v1", "ConfigMap": "v1",
	"CustomResourceDefinition": "apiextensions.k8s.io/v1", "DaemonSet": "apps/v1", "Deployment": "apps/v1",
	"HorizontalPodAutoscaler": "autoscaling/v2", "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
	"NetworkPolicy": "networking.k8s.io/v1", "PodDisruptionBudget": "policy/v1", "Role": "rbac.authorization.k8s.io/v1",
	"RoleBinding": "rbac.authorization.k8s.io/v1", "Service": "v1", "ServiceAccount": "v1",
	"ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
}

// kubernetes takes the k8s settings of istiod or the CNI plugin: to values where there are any that do the same, and
// else to findings with the patch.
func (m *migration) kubernetes(c component, w workload) {
	for key, value := range yamltree.Fields(c.k8s) {
		at := append(slices.Clip(c.at), "k8s", key)
		if isEmpty(value) {
			continue
		}
		_, placed := placements[key]
		to := w.moves[key]
		switch {
		case key == "overlays":
			m.overlays(value, at)
		case key == "env":
			m.env(value, at, w)
		case key == "hpaSpec" && w.kind == "Deployment" && value.Kind == yaml.MappingNode:
			m.hpa(value, at, w)
		case key == "strategy" && w.kind == "Deployment" && rollingUpdate(value) != nil:
			m.strategy(rollingUpdate(value), value, at, w)
		case to != "" && m.knows(w.root, w.values, to):
			m.lay(w.root, value, at, keys(w.values, to))
			m.notePlacement(key, at, w)
		case placed && kindFits(key, w):
			m.patch(key, value, at, w)
		default:
			m.warn(at, "%s (%s): nothing that istioctl knows, so it had no effect", dotted(at), short(value))
		}
	}
}

// kindFits reports whether there is an object for a setting: a DaemonSet has no autoscaler, service or strategy.
func kindFits(key string, w workload) bool {
	return w.kind == "Deployment" || placements[key].kind == "" &&
		!slices.Contains([]string{"strategy", "replicaCount"}, key)
}

// notePlacement tells of a setting that values express, but with a condition.
func (m *migration) notePlacement(key string, at []string, w workload) {
	enabled := yamltree.Get(m.values, "pilot", "autoscaleEnabled")
	off := enabled != nil && !isTrue(enabled) || enabled == nil && m.profileKey == "demo"
	if key == "replicaCount" && w.root == rootIstio && !off {
		m.info(at, "pilot.replicaCount counts with pilot.autoscaleEnabled: false only; otherwise the "+
			"HorizontalPodAutoscaler decides, as it did before")
	}
}

// knows reports whether the version's values have a field.
func (m *migration) knows(root string, at ...string) bool {
	var v any
	for _, key := range slices.Backward(at) {
		v = map[string]any{key: v}
	}
	top, _ := v.(map[string]any)
	for _, p := range m.schema.Check(root, top, "") {
		if p.Unknown {
			return false
		}
	}
	return true
}

// patch notes that a setting has no value, with the patch that does the same.
func (m *migration) patch(key string, value *yaml.Node, at []string, w workload) {
	m.warn(at, "no value of %s does this%s. Patch what it renders to, in the kustomization:\n%s", w.from, hints[key],
		kustomization(strategic(w.object(key, value))))
}

// object is the part of an object that a setting patches.
func (w workload) object(key string, value *yaml.Node) *yaml.Node {
	p := placements[key]
	kind := p.kind
	if kind == "" {
		kind = w.kind
	}
	o := fields("apiVersion", apiVersions[kind], "kind", kind, "metadata",
		fields("name", w.name, "namespace", w.namespace))
	value = alone(key, value)
	if p.container {
		yamltree.Put(o, sequence(fields("name", w.container, key, value)), "spec", "template", "spec", "containers")
	} else {
		yamltree.Put(o, value, p.path...)
	}
	return o
}

// exclusive are settings of which an object may have only one of several fields, and the one that the charts write: a
// patch leaves it there unless it says otherwise, and the API server refuses both.
var exclusive = map[string]struct {
	charts string
	others []string
}{
	"podDisruptionBudget": {"minAvailable", []string{"maxUnavailable"}},
	"readinessProbe":      {"httpGet", []string{"exec", "grpc", "tcpSocket"}},
}

// alone makes a setting one that takes the charts' own out, where there can be only one of them.
func alone(key string, value *yaml.Node) *yaml.Node {
	out := bare(value)
	remove := ""
	if e, ok := exclusive[key]; ok && yamltree.Get(out, e.charts) == nil &&
		slices.ContainsFunc(e.others, func(other string) bool { return yamltree.Get(out, other) != nil }) {
		remove = e.charts
	}
	if key == "strategy" && yamltree.Text(out, "type") == "Recreate" && yamltree.Get(out, "rollingUpdate") == nil {
		remove = "rollingUpdate"
	}
	if remove != "" {
		yamltree.Put(out, null(), remove)
	}
	return out
}

// env takes environment variables.
func (m *migration) env(value *yaml.Node, at []string, w workload) {
	if value.Kind == yaml.MappingNode { // not what the field is, but what it is meant to be is plain
		for name, v := range yamltree.Fields(value) {
			m.variable(fields("name", name, "value", v), append(slices.Clip(at), name), w)
		}
		return
	}
	if value.Kind != yaml.SequenceNode {
		m.fail(at, "%s must be a list", dotted(at))
		return
	}
	for i, n := range value.Content {
		if o := m.object(n, index(at, i)); o != nil {
			m.variable(o, index(at, i), w)
		}
	}
}

// variable takes one environment variable.
func (m *migration) variable(n *yaml.Node, at []string, w workload) {
	name, value, from := yamltree.Text(n, "name"), yamltree.Get(n, "value"), yamltree.Get(n, "valueFrom")
	switch {
	case name == "":
		m.warn(at, "%s (%s): an environment variable without a name had no effect", dotted(at), short(n))
	case name == "PILOT_TRACE_SAMPLING" && w.root == rootIstio && isNumber(value):
		m.lay(w.root, number(value.Value), at, keys("pilot", "traceSampling"))
	case slices.Contains(w.reserved, name):
		m.warn(at, "istiod's chart writes the variable %s itself, so that a value in pilot.env would be there twice. Patch "+
			"what %s renders to, in the "+
			"kustomization:\n%s", name, w.from, kustomization(strategic(w.object("env", sequence(instead(n))))))
	case from == nil && (value == nil || value.Kind == yaml.ScalarNode) && m.knows(w.root, w.values, "env"):
		s := ""
		if value != nil {
			s = plainText(value)
		}
		m.lay(w.root, quoted(s, value), at, keys(w.values, "env", name))
	case from != nil && m.knows(w.root, w.values, "envVarFrom"):
		m.appendTo(w, "envVarFrom", n, at)
	default:
		m.patch("env", sequence(n), at, w)
	}
}

// null is what takes a field out, in a patch.
func null() *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagNull, Value: "null"}
}

// instead makes a variable one that takes the place of the chart's: it has value or valueFrom, and the patch would
// leave both.
func instead(n *yaml.Node) *yaml.Node {
	out := bare(n)
	for have, other := range map[string]string{"value": "valueFrom", "valueFrom": "value"} {
		if yamltree.Get(n, have) != nil && yamltree.Get(n, other) == nil {
			yamltree.Put(out, null(), other)
		}
	}
	return out
}

// appendTo puts an item at the end of a list of the values.
func (m *migration) appendTo(w workload, key string, n *yaml.Node, at []string) {
	dst := m.values
	if w.root == rootCNI {
		dst = m.istioCNI
	}
	list := yamltree.Get(dst, w.values, key)
	if list == nil || list.Kind != yaml.SequenceNode {
		list = sequence()
		yamltree.Put(dst, list, w.values, key)
	}
	m.origins[w.root+":"+dotted(keys(w.values, key, strconv.Itoa(len(list.Content))))] = at
	list.Content = append(list.Content, n)
}

// hpa takes the settings of istiod's HorizontalPodAutoscaler.
func (m *migration) hpa(value *yaml.Node, at []string, w workload) {
	for key, v := range yamltree.Fields(value) {
		p := append(slices.Clip(at), key)
		to := map[string]string{
			"minReplicas": "autoscaleMin", "maxReplicas": "autoscaleMax", "behavior": "autoscaleBehavior",
		}[key]
		if key == "metrics" {
			v = metricsV2(v)
		}
		targets := utilization(v)
		switch {
		case isEmpty(v):
		case key == "scaleTargetRef":
			m.info(p, "%s is %s; the chart's autoscaler has the Deployment %s as its target", dotted(p), short(v), w.name)
		case to != "" && m.knows(w.root, w.values, to):
			m.lay(w.root, v, p, keys(w.values, to))
		case key == "metrics" && targets != nil:
			m.info(p, "the utilization that %s asks for is pilot.cpu.targetAverageUtilization, and that of memory, now",
				dotted(p))
			for _, resource := range slices.Sorted(maps.Keys(targets)) {
				m.lay(w.root, targets[resource], p, keys(w.values, resource, "targetAverageUtilization"))
			}
		default:
			m.patch("hpaSpec", fields(key, v), p, w)
		}
	}
}

// utilization reads metrics that the chart's values can express: the utilization of CPU, and perhaps of memory. nil is
// any others.
func utilization(metrics *yaml.Node) map[string]*yaml.Node {
	out := map[string]*yaml.Node{}
	if metrics.Kind != yaml.SequenceNode {
		return nil
	}
	for _, n := range metrics.Content {
		resource := yamltree.Get(n, "resource")
		name := yamltree.Text(resource, "name")
		target := yamltree.Get(resource, "target", "averageUtilization")
		if t := yamltree.Text(resource, "target", "type"); t != "Utilization" && t != "" {
			return nil
		}
		if target == nil || name != "cpu" && name != "memory" || yamltree.Text(n, "type") != "Resource" || !isNumber(target) {
			return nil
		}
		out[name] = target
	}
	if out["cpu"] == nil { // which the chart always has
		return nil
	}
	return out
}

// rollingUpdate reads a strategy that the chart's values can express; nil is any other.
func rollingUpdate(value *yaml.Node) *yaml.Node {
	t := yamltree.Text(value, "type")
	r := yamltree.Get(value, "rollingUpdate")
	if r == nil || r.Kind != yaml.MappingNode || t != "" && t != "RollingUpdate" {
		return nil
	}
	for key := range yamltree.Fields(r) {
		if key != "maxSurge" && key != "maxUnavailable" {
			return nil
		}
	}
	for key := range yamltree.Fields(value) {
		if key != "type" && key != "rollingUpdate" {
			return nil
		}
	}
	return r
}

func (m *migration) strategy(r, value *yaml.Node, at []string, w workload) {
	if yamltree.Get(value, "type") != nil {
		m.info(append(slices.Clip(at), "type"), "RollingUpdate is the strategy of the chart")
	}
	for _, key := range []string{"maxSurge", "maxUnavailable"} {
		if v := yamltree.Get(r, key); v != nil {
			m.lay(w.root, v, append(slices.Clip(at), "rollingUpdate", key),
				keys(w.values, "rolling"+strings.ToUpper(key[:1])+key[1:]))
		}
	}
}

func isNumber(n *yaml.Node) bool {
	if n == nil || n.Kind != yaml.ScalarNode {
		return false
	}
	_, err := strconv.ParseFloat(n.Value, 64)
	return err == nil
}

func number(value string) *yaml.Node {
	tag := yaml.NodeTagFloat
	if _, err := strconv.Atoi(value); err == nil {
		tag = yaml.NodeTagInt
	}
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: tag, Value: value}
}

// plainText is the text that istiod got so far for a scalar of the values: numbers as Helm prints them, except for
// large whole ones, which Helm spoils.
func plainText(n *yaml.Node) string {
	switch n.ShortTag() {
	case yaml.NodeTagNull:
		return ""
	case yaml.NodeTagBool:
		return strings.ToLower(n.Value)
	case yaml.NodeTagInt:
		var i int64
		if n.Decode(&i) == nil {
			return strconv.FormatInt(i, 10)
		}
	case yaml.NodeTagFloat:
		var f float64
		if n.Decode(&f) == nil {
			return strconv.FormatFloat(f, 'f', -1, 64)
		}
	}
	return n.Value
}

// quoted is a text in the place of a scalar, with its comments. What was text keeps its quotes.
func quoted(s string, was *yaml.Node) *yaml.Node {
	n := yamltree.NewText(s)
	n.Style = yaml.DoubleQuotedStyle
	if was != nil {
		if yamltree.IsText(was) {
			n = yamltree.NewText(s)
			n.Style |= was.Style
		}
		n.HeadComment, n.LineComment, n.FootComment = was.HeadComment, was.LineComment, was.FootComment
		n.Line, n.Column = was.Line, was.Column
	}
	return n
}
