package migrate

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/values"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// takeZtunnel makes a finding of ztunnel, which is not part of an Istio, with the values of its chart.
func (m *migration) takeZtunnel() {
	c, given := m.components["ztunnel"]
	on := m.profile.ztunnel
	if given {
		on = c.on()
	}
	atValues := m.places(rootIstio, keys("ztunnel"))
	if !on {
		if given {
			m.leftComponent(c, notEnabled("ztunnel"))
		}
		if !isEmpty(m.ztunnelValues) {
			m.warnAll(atValues, "%s (%s): "+notEnabled("ztunnel"), short(m.ztunnelValues))
		}
		return
	}
	at := m.profileAt()
	if given {
		at = c.at
	}
	chart := bare(m.ztunnelValues)
	for _, f := range []struct {
		key   string
		value *yaml.Node
	}{{"hub", c.hub}, {"tag", c.tag}} {
		setIn(chart, f.value, keys(f.key))
	}
	left := m.ztunnelSettings(chart, c)
	m.quoteEnv(chart, nil, nil)
	setIn(chart, yamltree.Get(m.values, "global"), keys("global"))
	if m.profileKey == "openshift-ambient" {
		yamltree.Put(chart, yamltree.NewText("openshift"), "global", "platform")
	}
	if m.namespace != "" && m.namespace != v1.DefaultIstioNamespace {
		yamltree.Put(chart, yamltree.NewText(m.namespace), "istioNamespace")
	}
	if m.name != "default" {
		yamltree.Put(chart, yamltree.NewText(m.name), "revision")
	}
	namespace := cmp.Or(c.namespace, cmp.Or(m.profile.cniNamespace, m.istioNamespace()))
	m.warn(at, "ztunnel is not part of an Istio; install Istio's chart ztunnel beside it%s:\n"+
		"# helm upgrade --install ztunnel oci://gcr.io/istio-release/charts/ztunnel --version %s --namespace %s --values "+
		"ztunnel.yaml\n"+
		"# ztunnel.yaml\n%s", left, strings.TrimPrefix(m.version, "v"), namespace, encode(chart))
	if !isEmpty(m.ztunnelValues) {
		m.warnAll(atValues, "ztunnel is not part of an Istio; %s has values those of its chart, in the finding about %s",
			dotted(at))
	}
}

// ztunnelSettings writes k8s settings as values of the chart, and says which have none.
func (m *migration) ztunnelSettings(chart *yaml.Node, c component) string {
	var left []string
	for key, value := range yamltree.Fields(c.k8s) {
		switch key {
		case "affinity", "imagePullPolicy", "nodeSelector", "podAnnotations", "resources", "tolerations", "volumeMounts",
			"volumes":
			setIn(chart, value, keys(key))
		case "env":
			for _, n := range value.Content {
				if v := yamltree.Get(n, "value"); v != nil && v.Kind == yaml.ScalarNode && yamltree.Text(n, "name") != "" {
					yamltree.Put(chart, quoted(plainText(v), nil), "env", yamltree.Text(n, "name"))
				} else {
					left = append(left, "env "+short(n))
				}
			}
		default:
			left = append(left, key+": "+short(value))
		}
	}
	if len(left) == 0 {
		return ""
	}
	return ". Patch what the chart does not have: " + strings.Join(left, "; ")
}

// cniGlobals are the values below global that the chart of the CNI plugin reads, over all versions. A test looks them
// up in the charts.
var cniGlobals = []string{
	"defaultResources", "hub", "imagePullPolicy", "imagePullSecrets", "logAsJson", "logging", "nativeNftables", "platform",
	"resourceScope", "tag", "variant",
}

// takeCNI makes the values of the IstioCNI.
func (m *migration) takeCNI() {
	c := m.components["cni"]
	atValues := m.places(rootIstio, keys("cni"))
	if !m.plugin {
		m.leftComponent(c, notEnabled("cni"))
		if !isEmpty(m.cniValues) {
			m.warnAll(atValues, "the CNI plugin is not installed by this IstioOperator (spec.components.cni.enabled), so %s "+
				"had no effect. "+
				"If it should be:\n%s", encode(fields("apiVersion", v1.GroupVersion.String(), "kind", v1.KindIstioCNI, "metadata",
				fields("name", "default"),
				"spec", fields("version", m.version, "namespace", m.istioNamespace(), "values", fields("cni", bare(m.cniValues))))))
		}
		return
	}
	if !isEmpty(m.cniValues) {
		yamltree.Put(m.istioCNI, m.cniValues, "cni")
	}
	m.lay(rootCNI, c.hub, append(slices.Clip(c.at), "hub"), keys("cni", "hub"))
	m.lay(rootCNI, c.tag, append(slices.Clip(c.at), "tag"), keys("cni", "tag"))
	m.leftComponent(component{at: c.at, name: c.name, label: c.label}, "the CNI plugin has no such setting")
	if c.k8s != nil {
		m.kubernetes(c, workload{
			kind: "DaemonSet", name: "istio-cni-node", namespace: m.cniNamespace(), container: "install-cni", root: rootCNI,
			values: "cni",
			moves:  cniMoves, from: "the IstioCNI",
		})
	}
	at := c.at
	switch {
	case at == nil && m.profile.cni:
		at = m.profileAt()
	case at == nil:
		at = m.source(rootIstio, keys("cni", "enabled"))
	}
	if m.cniNamespace() != v1.DefaultIstioCNINamespace {
		m.info(at, "the CNI plugin stays where it is: spec.namespace of the IstioCNI is %s. The usual one is %s, but two of "+
			"them on a node "+
			"would overwrite each other's configuration: to move it, delete the old DaemonSet istio-cni-node first",
			m.cniNamespace(), v1.DefaultIstioCNINamespace)
	}
}

// cniNamespace is where the CNI plugin is.
func (m *migration) cniNamespace() string {
	return cmp.Or(m.components["cni"].namespace, cmp.Or(m.profile.cniNamespace, m.istioNamespace()))
}

// fitCNI gives the IstioCNI the settings that concern all components, and makes it fit.
func (m *migration) fitCNI() {
	if !m.plugin {
		return
	}
	global := yamltree.Get(m.values, "global")
	for key, value := range yamltree.Fields(global) {
		from := keys("global", key)
		switch {
		case slices.Contains(cniGlobals, key) && m.knows(rootCNI, from...):
			yamltree.Put(m.istioCNI, yaml.CopyYNode(value), from...)
			m.origins[rootCNI+":"+dotted(from)] = m.source(rootIstio, from)
		case !m.control:
			m.nowhere(from, value)
		}
	}
	if yamltree.Get(m.values, "compatibilityVersion") != nil && m.control {
		m.info(m.source(rootIstio, keys("compatibilityVersion")),
			"the IstioCNI has no compatibilityVersion: the plugin has the settings of its own version")
	}
	m.quoteEnv(m.istioCNI, func(p []string) []string { return m.source(rootCNI, p) }, nil)
	m.fit(rootCNI, m.istioCNI)
}

// fitValues makes the values of the Istio ones that the version has.
func (m *migration) fitValues() {
	m.moveIstioCNI()
	m.quoteEnv(m.values, func(p []string) []string { return m.source(rootIstio, p) }, nil)
	if m.meshConfig != nil {
		m.quoteEnv(m.meshConfig, func(p []string) []string { return append(keys("spec", "meshConfig"), p...) }, nil)
	}
	m.trustBundle()
	if m.control {
		m.fit(rootIstio, m.values)
		m.fitMeshConfig()
	}
}

// moveIstioCNI moves istio_cni, which is pilot.cni since Istio 1.24.
func (m *migration) moveIstioCNI() {
	if m.knows(rootIstio, "istio_cni") {
		return
	}
	at := keys("spec", "values", "istio_cni")
	if old := m.object(yamltree.Take(m.values, "istio_cni"), at); old != nil {
		m.info(at, "spec.values.istio_cni is spec.values.pilot.cni since Istio 1.24, and there now")
		m.lay(rootIstio, old, at, keys("pilot", "cni"))
	}
}

// trustBundle takes out the one environment variable that cannot be text: charts compare it with a boolean, and fail.
func (m *migration) trustBundle() {
	const name = "ENABLE_CLUSTER_TRUST_BUNDLE_API"
	if m.before(26) {
		return
	}
	to := keys("pilot", "env", name)
	n := yamltree.Take(m.values, to...)
	if n == nil || yamltree.IsNull(n) {
		return
	}
	prune(m.values, "pilot", "env")
	w := workload{kind: "Deployment", name: "istiod", namespace: m.istioNamespace(), container: "discovery"}
	if m.name != "default" {
		w.name += "-" + m.name
	}
	m.warn(m.source(rootIstio, to),
		"the charts of Istio %s compare %s with a boolean and fail on text, but the env of an Istio is text. Patch what the "+
			"Istio renders to, in the kustomization; istiod's ClusterRole also needs the rules for clustertrustbundles that "+
			"the chart would add:\n%s",
		m.version, name, kustomization(strategic(w.object("env",
			sequence(fields("name", name, "value", quoted(plainText(n), nil)))))))
}

// quoteEnv makes text of every environment variable, as the CRDs want it: a true or 1.5 in env or in proxyMetadata.
// source tells where a field of the tree stands in the IstioOperator; without it nothing is said.
func (m *migration) quoteEnv(n *yaml.Node, source func(pointer []string) []string, in []string) {
	if n.Kind == yaml.SequenceNode {
		for i, c := range n.Content {
			m.quoteEnv(c, source, index(in, i))
		}
		return
	}
	for key, value := range yamltree.Fields(n) {
		p := append(slices.Clip(in), key)
		if key == "env" && value.Kind == yaml.SequenceNode {
			if asMap := envMap(value); asMap != nil {
				value = asMap
				yamltree.Put(n, value, key)
			}
		}
		if key != "env" && key != "proxyMetadata" || value.Kind != yaml.MappingNode {
			m.quoteEnv(value, source, p)
			continue
		}
		changed := quoteAll(value)
		if len(changed) > 0 && source != nil {
			m.info(source(p), "environment variables are text, so these have quotes now: %s", strings.Join(changed, ", "))
		}
	}
}

// envMap reads a list of name and value as a mapping; nil if it is anything else.
func envMap(list *yaml.Node) *yaml.Node {
	out := yamltree.NewMapping()
	for _, n := range list.Content {
		name, value := yamltree.Text(n, "name"), yamltree.Get(n, "value")
		if name == "" || value == nil || value.Kind != yaml.ScalarNode || len(n.Content) != 4 ||
			yamltree.Get(out, name) != nil {
			return nil
		}
		yamltree.Put(out, value, name)
	}
	return out
}

// quoteAll makes text of the scalars of a mapping and says which it changed.
func quoteAll(n *yaml.Node) []string {
	var changed []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		v := n.Content[i+1]
		if v.Kind != yaml.ScalarNode || yamltree.IsText(v) || yamltree.IsNull(v) {
			continue
		}
		s := plainText(v)
		says := n.Content[i].Value
		if s != v.Value {
			says += fmt.Sprintf(" (%s is %q, which is what it was taken for)", v.Value, s)
		}
		changed = append(changed, says)
		n.Content[i+1] = quoted(s, v)
	}
	return changed
}

// fit takes out of a tree of values what the version does not have, and names what has the wrong type.
func (m *migration) fit(root string, n *yaml.Node) {
	v, err := yamltree.Value(n)
	if err != nil {
		m.fail(keys("spec", "values"), "%v", err)
		return
	}
	top, _ := v.(map[string]any)
	for _, p := range m.schema.CheckFrom(writtenIn(n), root, top, "") {
		was := seek(n, p.Pointer)
		if p.Unknown {
			takeAt(n, p.Pointer)
			prune(n, p.Pointer[:len(p.Pointer)-1]...)
		}
		for _, at := range m.places(root, p.Pointer) {
			if p.Unknown {
				m.unknown(at, was, p.Message)
			} else {
				m.misfit(at, p.Message)
			}
		}
	}
}

// writtenIn looks up scalars as they are written in a tree, so that advice quotes them: 1.20, of which the value is
// 1.2.
func writtenIn(n *yaml.Node) values.Source {
	return values.Source{NoQuantity: manifest.NoQuantity, Written: func(pointer []string) (string, bool) {
		at := seek(n, pointer)
		if at == nil {
			return "", false
		}
		return at.Value, at.Kind == yaml.ScalarNode
	}}
}

// misfit names a value of a wrong type or a wrong choice.
func (m *migration) misfit(at []string, message string) {
	if slices.ContainsFunc(m.findings, sameField(at)) {
		return
	}
	m.warn(at, "%s: %s. It is in the new resource as it was, which cannot be rendered until it is corrected", dotted(at),
		message)
}

// unknown names a value that the version does not have.
func (m *migration) unknown(at []string, was *yaml.Node, message string) {
	value := ""
	if was != nil {
		value = " (" + short(was) + ")"
	}
	m.warn(at, "%s%s: %s; it was left out", dotted(at), value, message)
}

// fitMeshConfig does the same for spec.meshConfig.
func (m *migration) fitMeshConfig() {
	if m.meshConfig == nil {
		return
	}
	v, err := yamltree.Value(m.meshConfig)
	if err != nil {
		m.fail(keys("spec", "meshConfig"), "%v", err)
		return
	}
	top, _ := v.(map[string]any)
	for _, p := range m.schema.CheckFrom(writtenIn(m.meshConfig), values.RootMeshConfig, top, "") {
		at := append(keys("spec", "meshConfig"), p.Pointer...)
		if p.Unknown {
			m.unknown(at, takeAt(m.meshConfig, p.Pointer), p.Message)
			prune(m.meshConfig, p.Pointer[:len(p.Pointer)-1]...)
		} else {
			m.misfit(at, p.Message)
		}
	}
}

// respell gives the fields of a mesh configuration their names in JSON, accessLogFile, that have the ones of the
// protocol, access_log_file: istiod reads both (https://protobuf.dev/programming-guides/json/), and the schema has one.
// below is where the mesh configuration stands in the tree, and source where a field of the tree stands in the
// IstioOperator.
func (m *migration) respell(root string, n *yaml.Node, below []string, source func(pointer []string) []string) {
	tried := map[string]bool{}
	for again := true; again; {
		again = false
		for _, p := range m.unknownIn(root, n, below) {
			if tried[dotted(p)] {
				continue
			}
			tried[dotted(p)] = true
			if spelt := m.spell(root, n, below, p); spelt != "" {
				m.info(source(p), "%s is spelled %s in the new resource; istiod reads both", dotted(source(p)), spelt)
				again = true // the pointers of what is in it are others now
				break
			}
		}
	}
}

// unknownIn are the pointers of what the schema does not know in a part of a tree.
func (m *migration) unknownIn(root string, n *yaml.Node, below []string) [][]string {
	v, err := yamltree.Value(n)
	top, _ := v.(map[string]any)
	if err != nil {
		return nil // fit says so
	}
	var out [][]string
	for _, p := range m.schema.CheckFrom(writtenIn(n), root, top, "") {
		if p.Unknown && len(p.Pointer) > len(below) && slices.Equal(p.Pointer[:len(below)], below) {
			out = append(out, p.Pointer)
		}
	}
	return out
}

// spell renames the field at a pointer as JSON has it, if the schema knows that, and returns the new name, or "".
func (m *migration) spell(root string, n *yaml.Node, below, pointer []string) string {
	parent, name := seek(n, pointer[:len(pointer)-1]), pointer[len(pointer)-1]
	spelt := camel(name)
	if spelt == name || parent == nil || yamltree.Get(parent, spelt) != nil {
		return ""
	}
	i := slices.IndexFunc(parent.Content, func(c *yaml.Node) bool { return c.Value == name })
	parent.Content[i].Value = spelt
	renamed := append(slices.Clone(pointer[:len(pointer)-1]), spelt)
	if slices.ContainsFunc(m.unknownIn(root, n, below), func(p []string) bool { return slices.Equal(p, renamed) }) {
		parent.Content[i].Value = name
		return ""
	}
	return spelt
}

// camel is the name in JSON of a field of a protocol: accessLogFile of access_log_file.
func camel(name string) string {
	words := strings.Split(name, "_")
	for i, word := range words[1:] {
		if word != "" {
			words[i+1] = strings.ToUpper(word[:1]) + word[1:]
		}
	}
	return strings.Join(words, "")
}

// seek finds the node at a pointer, which may lead through lists; nil if there is none.
func seek(n *yaml.Node, pointer []string) *yaml.Node {
	for _, key := range pointer {
		switch {
		case n == nil:
			return nil
		case n.Kind == yaml.SequenceNode:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.Content) {
				return nil
			}
			n = n.Content[i]
		default:
			n = yamltree.Get(n, key)
		}
	}
	return n
}

// takeAt removes the field at a pointer.
func takeAt(n *yaml.Node, pointer []string) *yaml.Node {
	last := len(pointer) - 1
	return yamltree.Take(seek(n, pointer[:last]), pointer[last])
}
