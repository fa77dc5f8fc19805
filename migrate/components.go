package migrate

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/values"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// profile is what a profile of istioctl switches on, and what it is called in an Istio.
type profile struct {
	// as is the profile of the Istio; empty is no profile.
	as string
	// control, cni, ztunnel, ingress and egress are the components that the profile enables.
	control, cni, ztunnel, ingress, egress bool
	// cniNamespace is where the profile puts the CNI plugin and ztunnel; empty means where istiod is.
	cniNamespace string
	// note says what changes.
	note string
}

// profiles are those of istioctl. A test compares them with the profiles that Istio ships.
var profiles = map[string]profile{
	"ambient": {as: "ambient", control: true, cni: true, ztunnel: true},
	"default": {as: "default", control: true, ingress: true},
	"demo":    {as: "demo", control: true, ingress: true, egress: true},
	"empty":   {as: "empty"},
	"external": {
		as: "remote", control: true,
		note: "the profile external is called remote since Istio 1.23; the Istio has spec.profile: remote",
	},
	"minimal": {
		control: true,
		note:    "the profile minimal is default without gateways, which an Istio never has, so the Istio has no profile",
	},
	"openshift":         {as: "openshift", control: true, cni: true, ingress: true, cniNamespace: "kube-system"},
	"openshift-ambient": {as: "openshift-ambient", control: true, cni: true, ztunnel: true, cniNamespace: "kube-system"},
	"preview":           {as: "preview", control: true, ingress: true},
	"remote":            {as: "remote", control: true},
	"stable":            {as: "stable", control: true, ingress: true},
}

// findProfile reads the profile.
func (m *migration) findProfile() {
	at := keys("spec", "profile")
	m.profileKey = m.text("profile")
	if own, name := m.valuesProfile(); name != "" {
		if m.profileKey != "" && m.profileKey != name {
			m.warn(at, "spec.profile is %s, but %s is %s, which is what the charts go by; the Istio has that one", m.profileKey,
				dotted(own), name)
		}
		m.profileKey, at = name, own
	}
	p, known := profiles[m.profileKey]
	switch {
	case m.profileKey == "":
		m.profile = profiles["default"]
		m.profile.as = ""
	case known:
		m.profile = p
		if p.note != "" {
			m.info(at, "%s", p.note)
		}
	default:
		m.profile = profiles["minimal"]
		m.warn(at, "%s is %s, which is none of Istio's profiles (%s), so the Istio has none. If it is a file or a profile "+
			"of your own, "+
			"put what it says below spec of the IstioOperator (istioctl profile dump) and migrate again", dotted(at),
			m.profileKey, profileNames())
	}
}

// valuesProfile takes the profile that is among the values, and where that is: charts read it themselves since Istio
// 1.24.
func (m *migration) valuesProfile() (at []string, name string) {
	if m.before(24) {
		return nil, ""
	}
	for _, field := range []string{"values", "unvalidatedValues"} { // the latter win
		n := yamltree.Take(m.spec, field, "profile")
		if n == nil {
			continue
		}
		prune(m.spec, field)
		if own := m.scalar(n, keys("spec", field, "profile")); own != "" {
			at, name = keys("spec", field, "profile"), own
		}
	}
	return at, name
}

func profileNames() string {
	names := slices.Sorted(maps.Keys(profiles))
	return strings.Join(names, ", ")
}

// component is one entry of spec.components.
type component struct {
	at []string
	// enabled says what the entry says; set is false if it says nothing.
	enabled, set         bool
	name, namespace      string
	hub, tag, label, k8s *yaml.Node
}

// on reports whether a component is installed: an entry that does not say enabled: false is, since Istio 1.24 at the
// latest.
func (c component) on() bool { return c.enabled || !c.set }

// readComponents reads spec.components, and decides which of them there are.
func (m *migration) readComponents() {
	at := keys("spec", "components")
	m.components, m.gateways = map[string]component{}, map[string][]component{}
	all := m.object(yamltree.Take(m.spec, "components"), at)
	if all == nil {
		all = yamltree.NewMapping()
	}
	for key, value := range yamltree.Fields(all) {
		p := append(slices.Clip(at), key)
		switch key {
		case "base", "pilot", "cni", "ztunnel", "istiodRemote":
			if n := m.object(value, p); n != nil {
				m.components[key] = m.component(n, p)
			}
		case "ingressGateways", "egressGateways":
			m.gatewayList(key, value, p)
		default:
			why := "no component of an IstioOperator since Istio 1.6, so nothing was made of it"
			if best := values.Closest(key,
				[]string{"base", "pilot", "cni", "ztunnel", "istiodRemote", "ingressGateways", "egressGateways"}); best != "" {
				why = "no component of an IstioOperator, so nothing was made of it; did you mean " + best + "?"
			}
			m.warn(p, "%s (%s): %s", dotted(p), short(value), why)
		}
	}
	m.decide()
}

func (m *migration) gatewayList(key string, value *yaml.Node, at []string) {
	if yamltree.IsNull(value) {
		return
	}
	if value.Kind != yaml.SequenceNode {
		m.fail(at, "%s must be a list", dotted(at))
		return
	}
	m.gateways[key] = []component{}
	for i, n := range value.Content {
		if o := m.object(n, index(at, i)); o != nil {
			m.gateways[key] = append(m.gateways[key], m.component(o, index(at, i)))
		}
	}
}

// component reads an entry.
func (m *migration) component(n *yaml.Node, at []string) component {
	c := component{at: at}
	for key, value := range yamltree.Fields(n) {
		p := append(slices.Clip(at), key)
		if yamltree.IsNull(value) {
			continue
		}
		switch key {
		case "enabled":
			c.enabled, c.set = isTrue(value), true
			if b, err := strconv.ParseBool(m.scalar(value, p)); err != nil || b != c.enabled {
				m.fail(p, "%s must be true or false", dotted(p))
			}
		case "namespace":
			c.namespace = m.scalar(value, p)
		case "name":
			c.name = m.scalar(value, p)
		case "hub":
			c.hub = m.textNode(value, p)
		case "tag":
			c.tag = m.textNode(value, p)
		case "label":
			c.label = m.object(value, p)
		case "k8s":
			c.k8s = m.object(value, p)
		default:
			m.warn(p, "%s (%s): not a field of a component, so nothing was made of it", dotted(p), short(value))
		}
	}
	return c
}

// textNode makes text of a scalar: a tag like 1.27 is a number otherwise.
func (m *migration) textNode(n *yaml.Node, at []string) *yaml.Node {
	if m.scalar(n, at) == "" {
		return nil
	}
	if !yamltree.IsText(n) {
		n.Tag, n.Style = yaml.NodeTagString, yaml.DoubleQuotedStyle
	}
	return n
}

// decide finds out which resources there will be.
func (m *migration) decide() {
	m.control, m.plugin = m.profile.control, m.profile.cni
	if c, ok := m.components["pilot"]; ok {
		m.control = c.on()
		if !c.set {
			m.control = true
		}
	}
	if c, ok := m.components["istiodRemote"]; ok {
		m.decideRemote(c)
	}
	m.control = m.control || m.profile.as == "remote"
	c, ok := m.components["cni"]
	switch {
	case ok && c.set:
		m.plugin = c.enabled
	case ok && !m.plugin:
		m.plugin = true
		m.info(c.at, "%s does not say whether it is enabled; istioctl takes a component that is listed for enabled since "+
			"1.24, so there is an IstioCNI",
			dotted(c.at))
	}
	if on := yamltree.Take(m.cniValues, "enabled"); isTrue(on) && !m.plugin {
		if ok {
			m.warnAll(m.places(rootIstio, keys("cni", "enabled")),
				"%s is true, but spec.components.cni.enabled is false, which wins: no IstioCNI")
		} else {
			m.plugin = true
		}
	}
}

// decideRemote reads components.istiodRemote, a chart of its own up to Istio 1.23 and a profile since.
func (m *migration) decideRemote(c component) {
	if !c.on() {
		m.leftComponent(c, notEnabled("istiodRemote"))
		return
	}
	m.control = true
	if m.profile.as != "remote" {
		says := "istiodRemote is the profile remote of an Istio, so spec.profile is remote"
		m.warn(append(slices.Clip(c.at), "enabled"), "%s", says)
		if m.profileKey != "" {
			m.warn(keys("spec", "profile"), "%s and not %s", says, m.profileKey)
		}
		m.profile.as = "remote"
	}
	m.leftComponent(c, "the chart istiod-remote has no such setting")
}

// leftComponent names everything in a component that goes nowhere.
func (m *migration) leftComponent(c component, why string) {
	for _, f := range []struct {
		key   string
		value *yaml.Node
	}{
		{"namespace", orNil(c.namespace)},
		{"hub", c.hub},
		{"tag", c.tag},
		{"k8s", c.k8s},
		{"name", orNil(c.name)},
		{"label", c.label},
	} {
		if f.value == nil || isEmpty(f.value) {
			continue
		}
		p := append(slices.Clip(c.at), f.key)
		m.warn(p, "%s (%s): %s", dotted(p), short(f.value), why)
	}
}

// takeBase says what becomes of the component base.
func (m *migration) takeBase() {
	c, ok := m.components["base"]
	if !ok {
		return
	}
	at := append(slices.Clip(c.at), "enabled")
	switch {
	case c.set && !c.enabled && m.control && m.name == "default":
		m.warn(at, "an Istio named default brings what the chart base has besides CRDs: the validation webhook "+
			"istiod-default-validator and the "+
			"account istio-reader-service-account. To leave them out, delete them in the kustomization:\n%s", deletePatches())
	case c.set && c.enabled && !m.control:
		m.info(at, "the chart base installs Istio's CRDs and comes with an Istio; there is none here. render-istio renders "+
			"the CRDs with the "+
			"option crds: include")
	}
	if c.k8s != nil {
		if overlays := yamltree.Take(c.k8s, "overlays"); overlays != nil {
			m.overlays(overlays, append(slices.Clip(c.at), "k8s", "overlays"))
		}
		m.leftComponent(component{at: c.at, k8s: c.k8s}, "the component base has overlays only")
	}
	c.k8s = nil
	m.leftComponent(c, "the component base has no such setting")
}

// takePilot takes the settings of the control plane over.
func (m *migration) takePilot() {
	c, ok := m.components["pilot"]
	if !m.control {
		m.noControlPlane(c)
		return
	}
	if m.plugin != m.profile.cni || m.plugin {
		m.usePlugin()
	}
	if !ok || c.set && !c.enabled { // the latter with a remote control plane elsewhere
		m.leftComponent(c, notEnabled("pilot"))
		return
	}
	m.lay(rootIstio, c.hub, append(slices.Clip(c.at), "hub"), keys("pilot", "hub"))
	m.lay(rootIstio, c.tag, append(slices.Clip(c.at), "tag"), keys("pilot", "tag"))
	if c.namespace != "" && c.namespace != m.istioNamespace() {
		m.warn(append(slices.Clip(c.at), "namespace"),
			"%s.namespace is %s, but proxies look for istiod in %s (values.global.istioNamespace), which is "+
				"the spec.namespace of the Istio", dotted(c.at), c.namespace, m.istioNamespace())
	}
	c.namespace = ""
	m.leftComponent(component{at: c.at, name: c.name, label: c.label}, "istiod has no such setting")
	name := "istiod"
	if m.name != "default" {
		name += "-" + m.name
	}
	if c.k8s != nil {
		m.kubernetes(c, workload{
			kind: "Deployment", name: name, namespace: m.istioNamespace(), container: "discovery", root: rootIstio,
			values: "pilot",
			moves:  pilotMoves, reserved: reservedEnv, from: "the Istio",
		})
	}
}

// noControlPlane names the settings of a control plane that there is none of: an IstioOperator for gateways only, say.
func (m *migration) noControlPlane(c component) {
	m.leftComponent(c, notEnabled("pilot"))
	for _, pointer := range [][]string{
		{"profile"},
		{"namespace"},
		{"revision"},
		{"tag"},
		{"values", "revision"},
		{"values", "global", "istioNamespace"},
		{"values", "global", "tag"},
		{"unvalidatedValues", "revision"},
		{"unvalidatedValues", "global", "istioNamespace"},
		{"unvalidatedValues", "global", "tag"},
	} {
		if n := seek(m.original, pointer); n != nil {
			at := append(keys("spec"), pointer...)
			m.info(at, "%s (%s): %s", dotted(at), short(n), m.noIstio())
		}
	}
	if m.meshConfig != nil && !isEmpty(m.meshConfig) {
		at := keys("spec", "meshConfig")
		m.warn(at, "%s (%s): %s", dotted(at), short(m.meshConfig), m.noIstio())
	}
	for key, value := range yamltree.Fields(m.values) {
		if key != "global" || !m.plugin { // the plugin takes what it reads of these
			m.nowhere(keys(key), value)
		}
	}
}

func (m *migration) noIstio() string {
	how := "spec.components.pilot.enabled is false"
	if _, ok := m.components["pilot"]; !ok {
		how = "profile " + m.profileKey
	}
	return "there is no control plane here (" + how + "), so there is no Istio to take this"
}

// nowhere names values of a control plane that there is none of, by where they come from.
func (m *migration) nowhere(at []string, n *yaml.Node) {
	prefix := rootIstio + ":" + dotted(at) + "."
	for origin := range m.origins {
		if n.Kind == yaml.MappingNode && strings.HasPrefix(origin, prefix) {
			for key, value := range yamltree.Fields(n) {
				m.nowhere(append(slices.Clip(at), key), value)
			}
			return
		}
	}
	m.warnAll(m.places(rootIstio, at), "%s (%s): %s", short(n), m.noIstio())
}

// usePlugin tells istiod whether pods get their traffic redirected by the CNI plugin, as istioctl does.
func (m *migration) usePlugin() {
	if yamltree.Get(m.values, "pilot", "cni", "enabled") == nil && yamltree.Get(m.values, "istio_cni", "enabled") == nil {
		yamltree.Put(m.values, boolean(m.plugin), "pilot", "cni", "enabled")
	}
}
