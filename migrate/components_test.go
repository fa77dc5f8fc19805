package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/migrate"
)

// TestComponents is the table of what there is of an Istio, an IstioCNI, ztunnel and gateways, by profiles, components
// and values: an Istio and an IstioCNI with their profiles.
func TestComponents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, spec, want string }{
		{"the default", "{}", "Istio, ingress"},
		{"no gateways", "{profile: minimal}", "Istio"},
		{"nothing", "{profile: empty}", ""},
		{"both gateways", "{profile: demo}", "Istio demo, ingress, egress"},
		{"ambient", "{profile: ambient}", "Istio ambient, IstioCNI ambient, ztunnel"},
		{"openshift", "{profile: openshift}", "Istio openshift, IstioCNI openshift, ingress"},
		{"remote", "{profile: remote}", "Istio remote"},
		{"remote by its earlier name", "{profile: external}", "Istio remote"},
		{"a profile of one's own", "{profile: mine}", "Istio"},
		{"a profile among the values", "{values: {profile: ambient}}", "Istio ambient, IstioCNI ambient, ztunnel"},
		{"which wins", "{profile: demo, values: {profile: empty}}", ""},
		{
			"among unvalidated values, which win over those",
			"{values: {profile: demo}, unvalidatedValues: {profile: ambient}}",
			"Istio ambient, IstioCNI ambient, ztunnel",
		},
		{"no control plane", "{components: {pilot: {enabled: false}}}", "ingress"},
		{"a control plane that the profile has not", "{profile: empty, components: {pilot: {enabled: true}}}", "Istio empty"},
		{"one that is listed only", "{profile: empty, components: {pilot: {}}}", "Istio empty"},
		{"a null, which says nothing", "{profile: empty, components: {pilot: null}}", ""},
		{"enabled as text", `{profile: empty, components: {pilot: {enabled: "true"}}}`, "Istio empty"},
		{
			"remote by a component, beside one that is off",
			"{profile: minimal, components: {pilot: {enabled: false}, istiodRemote: {enabled: true}}}", "Istio remote",
		},
		{
			"a remote component that is off", "{profile: minimal, components: {istiodRemote: {enabled: false}}}", "Istio",
		},
		{"the plugin", "{profile: minimal, components: {cni: {enabled: true}}}", "Istio, IstioCNI"},
		{"the plugin, listed only", "{profile: minimal, components: {cni: {namespace: a}}}", "Istio, IstioCNI"},
		{"no plugin", "{profile: ambient, components: {cni: {enabled: false}}}", "Istio ambient, ztunnel"},
		{"the plugin by values", "{profile: minimal, values: {cni: {enabled: true}}}", "Istio, IstioCNI"},
		{"not against the component", "{profile: minimal, components: {cni: {enabled: false}}, values: {cni: " +
			"{enabled: true}}}", "Istio"},
		{"the plugin alone", "{profile: empty, components: {cni: {enabled: true}}}", "IstioCNI empty"},
		{"ztunnel", "{profile: minimal, components: {ztunnel: {enabled: true}}}", "Istio, ztunnel"},
		{"ztunnel, listed only", "{profile: minimal, components: {ztunnel: {}}}", "Istio, ztunnel"},
		{
			"no ztunnel", "{profile: ambient, components: {ztunnel: {enabled: false}}}", "Istio ambient, IstioCNI ambient",
		},
		{"gateways of one's own instead", "{components: {ingressGateways: [{name: a}, {name: b}]}}", "Istio, ingress"},
		{"no gateways by a list", "{components: {ingressGateways: []}}", "Istio"},
		{"a list that is null says nothing", "{components: {ingressGateways: null}}", "Istio, ingress"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec: "+c.spec+"\n"), "1.28.3")
			var got []string
			for _, o := range out.Objects {
				is := o.Kind()
				if p := o.Field("spec", "profile"); p != nil {
					is += " " + p.Value
				}
				got = append(got, is)
			}
			has := map[string]bool{}
			for _, f := range out.Findings {
				has["ztunnel"] = has["ztunnel"] || strings.Contains(f.Message, "ztunnel is not part of an Istio; install")
				for _, kind := range []string{"ingress", "egress"} {
					has[kind] = has[kind] || strings.Contains(f.Message, "With gateway injection") &&
						strings.Contains(f.Message, "app: istio-"+kind+"gateway")
				}
			}
			for _, part := range []string{"ztunnel", "ingress", "egress"} {
				if has[part] {
					got = append(got, part)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, ", ")); diff != "" {
				t.Errorf("-want +got:\n%s\n%v", diff, out.Findings)
			}
		})
	}
}

// TestComponentFields lists fields of components that go nowhere, and what is said about each.
func TestComponentFields(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, profile, components, field, says string }{
		{"no component", "minimal", "telemetry: {a: b}", "telemetry", "({a: b}): no component of an IstioOperator since"},
		{"nearly one", "minimal", "pilto: {enabled: true}", "pilto", "did you mean pilot?"},
		{"no field", "minimal", "pilot: {k9s: 1}", "pilot.k9s", "(1): not a field of a component"},
		{"a name of istiod", "minimal", "pilot: {name: a}", "pilot.name", "(a): istiod has no such setting"},
		{"labels of istiod", "minimal", "pilot: {label: {a: b}}", "pilot.label", "({a: b}): istiod has no such setting"},
		{
			"another namespace of istiod", "minimal", "pilot: {namespace: a}", "pilot.namespace",
			"look for istiod in istio-system",
		},
		{
			"settings of none", "minimal", "pilot: {enabled: false, hub: a}", "pilot.hub",
			"is not enabled, so it had no effect",
		},
		{
			"k8s of none", "minimal", "pilot: {enabled: false, k8s: {a: b}}", "pilot.k8s",
			"({a: b}): spec.components.pilot is not",
		},
		{
			"settings of none beside a remote one", "minimal", "pilot: {enabled: false, tag: a}, istiodRemote: {enabled: true}",
			"pilot.tag", "is not enabled, so it had no effect",
		},
		{
			"a name of the plugin", "minimal", "cni: {enabled: true, name: a}", "cni.name",
			"the CNI plugin has no such setting",
		},
		{
			"settings of no plugin", "minimal", "cni: {enabled: false, hub: a}", "cni.hub",
			"is not enabled, so it had no effect",
		},
		{
			"where the plugin is", "minimal", "cni: {enabled: true, namespace: a}", "cni",
			"spec.namespace of the IstioCNI is a",
		},
		{"settings of no ztunnel", "minimal", "ztunnel: {enabled: false, tag: a}", "ztunnel.tag", "had no effect"},
		{
			"ztunnel's settings", "ambient", "ztunnel: {hub: h, tag: t, namespace: z, k8s: {tolerations: [{key: a}]}}",
			"ztunnel", "--namespace z --values ztunnel.yaml\n# ztunnel.yaml\nhub: h\ntag: t\ntolerations: [{key: a}]\n",
		},
		{
			"ztunnel's variables", "ambient", "ztunnel: {k8s: {env: [{name: A, value: 1}]}}", "ztunnel",
			"env:\n  A: \"1\"\n",
		},
		{
			"what ztunnel's chart has not", "ambient", "ztunnel: {k8s: {strategy: {a: b}, env: [{name: A, valueFrom: {}}]}}",
			"ztunnel", "Patch what the chart does not have: strategy: {a: b}; env {name: A, valueFrom: {}}:\n",
		},
		{"ztunnel on OpenShift", "openshift-ambient", "ztunnel: {}", "ztunnel", "global:\n  platform: openshift\n"},
		{"settings of base", "minimal", "base: {hub: a}", "base.hub", "the component base has no such setting"},
		{"k8s of base", "minimal", "base: {k8s: {a: b}}", "base.k8s", "({a: b}): the component base has overlays only"},
		{"base alone", "empty", "base: {enabled: true}", "base.enabled", "with the option crds: include"},
		{"no base", "minimal", "base: {enabled: false}", "base.enabled", "$patch: delete"},
		{"settings of istiodRemote", "minimal", "istiodRemote: {hub: a}", "istiodRemote.hub", "istiod-remote has no such"},
		{"of one that is off", "minimal", "istiodRemote: {enabled: false, hub: a}", "istiodRemote.hub", "had no effect"},
		{"another profile", "demo", "istiodRemote: {enabled: true}", "istiodRemote.enabled", "so spec.profile is remote"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec: {profile: "+c.profile+", components: {"+c.components+"}}\n"), "1.28.3")
			for _, f := range out.Findings {
				if f.Field == "spec.components."+c.field && strings.Contains(f.Message, c.says) {
					return
				}
			}
			t.Errorf("no finding %q about %s; there are: %v", c.says, c.field, out.Findings)
		})
	}
}
