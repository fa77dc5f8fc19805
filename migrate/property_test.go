package migrate_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/migrate"
)

// TestNothingIsDropped migrates random IstioOperators and looks for every leaf of their spec: it is in a new resource
// under the name that it has there, or a finding names it or something above it.
func TestNothingIsDropped(t *testing.T) {
	t.Parallel()
	rounds := 800
	if testing.Short() {
		rounds = 200
	}
	for seed := range uint64(rounds) {
		g := generator{rand.New(rand.NewPCG(seed, 1))}
		text := "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: random}\n" + g.operator()
		operator := object(t, text)
		out := migrate.Operator(operator, "")
		for _, r := range out.Findings {
			if r.Severity == finding.Error {
				t.Fatalf("seed %d: %v in:\n%s", seed, r, text)
			}
		}
		if lost := dropped(operator, out); len(lost) > 0 {
			t.Fatalf("seed %d: dropped: %v\nof:\n%sin:\n%s%v", seed, lost, text, write(t, out.Objects), out.Findings)
		}
	}
}

// leaf is a scalar with the names above it.
type leaf struct {
	path  []string
	value string
}

func leaves(n *yaml.Node, path []string) []leaf {
	var out []leaf
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			out = append(out, leaves(n.Content[i+1], append(slices.Clip(path), n.Content[i].Value))...)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			out = append(out, leaves(c, append(slices.Clip(path), strconv.Itoa(i)))...)
		}
	case yaml.ScalarNode:
		if n.ShortTag() != yaml.NodeTagNull {
			out = append(out, leaf{path, n.Value})
		}
	default: // aliases: the generator writes none
	}
	return out
}

// renamed are the fields of the new resources that a field of the IstioOperator is called there, where the names
// differ.
var renamed = map[string][]string{
	"tag": {"version"}, "revision": {"name"}, "istioNamespace": {"namespace"}, "imagePullPolicy": {"pullPolicy"},
	"minReplicas": {"autoscaleMin"}, "maxReplicas": {"autoscaleMax"}, "maxSurge": {"rollingMaxSurge"},
	"maxUnavailable": {"rollingMaxUnavailable"},
}

// dropped lists the leaves of an IstioOperator that are nowhere.
func dropped(operator manifest.Object, out migrate.Output) []string {
	var have []leaf
	kinds := map[string]bool{}
	for _, o := range out.Objects {
		have = append(have, leaves(o.Node(), nil)...)
		kinds[o.Kind()] = true
	}
	spec := operator.Field("spec")
	if spec == nil {
		return nil
	}
	var lost []string
	for _, l := range leaves(spec, []string{"spec"}) {
		p := strings.Join(l.path, ".")
		enables := map[string]string{
			"spec.components.pilot.enabled": "Istio", "spec.components.base.enabled": "Istio",
			"spec.components.cni.enabled": "IstioCNI",
			"spec.values.cni.enabled":     "IstioCNI", "spec.unvalidatedValues.cni.enabled": "IstioCNI",
			"spec.components.ztunnel.enabled": "ZTunnel", "spec.components.istiodRemote.enabled": "Istio",
		}[p]
		on := strings.EqualFold(l.value, "true") || l.value == "on" || l.value == "yes"
		switch {
		case named(out.Findings, p), enables != "" && kinds[enables] == on, enables != "" && !on, found(have, l):
		default:
			lost = append(lost, p+"="+l.value)
		}
	}
	return lost
}

// named reports whether a finding is about a field or about something above it; that the profile has gateways is about
// no field.
func named(results finding.List, p string) bool {
	return slices.ContainsFunc(results, func(r finding.Finding) bool {
		return r.Field != "" && r.Field != "spec" && (p == r.Field || strings.HasPrefix(p, r.Field+"."))
	})
}

// found reports whether a leaf is in the new resources.
func found(have []leaf, l leaf) bool {
	last := l.path[len(l.path)-1]
	names := append([]string{last}, renamed[last]...)
	if len(l.path) > 2 && (last == "value" || last == "name") { // an environment variable: name is a field's name now
		for _, h := range have {
			if last == "name" && slices.Contains(h.path, l.value) || last == "value" && h.value == l.value &&
				slices.Contains(h.path, "env") {
				return true
			}
		}
	}
	return slices.ContainsFunc(have, func(h leaf) bool {
		key := h.path[len(h.path)-1]
		same := h.value == l.value || h.value == "v"+l.value || h.value == "true" && l.value == "yes"
		if _, err := strconv.Atoi(last); err == nil { // in a list
			return same
		}
		return same && slices.Contains(names, key)
	})
}

// generator writes random IstioOperators that are right in their structure. Text is unique, so that it can be found
// again.
type generator struct{ *rand.Rand }

func (g generator) operator() string {
	return "spec:" + g.mapping(1, [][2]string{
		{
			"profile", g.one("default", "demo", "minimal", "empty", "ambient", "openshift", "remote", "preview", "external",
				"custom.yaml"),
		},
		{"hub", g.unique()},
		{"tag", g.one("1.27.0", "1.28.3", "1.28.3-distroless", "1.20.1", "1.23.2", "x"+g.unique(), "1.27")},
		{"revision", g.one("canary", "default", "r1")},
		{"namespace", g.one("a", "istio-system")},
		{"installPackagePath", g.unique()},
		{"compatibilityVersion", g.one("1.22", "1.23")},
		{"nonsense", "{a: {b: " + g.unique() + "}}"},
		{"meshConfig", g.mesh(2)},
		{"components", g.components()},
		{"values", g.values()},
		{"unvalidatedValues", g.values()},
	})
}

func (g generator) one(of ...string) string { return of[g.IntN(len(of))] }

func (g generator) unique() string { return fmt.Sprintf("u%d", g.Uint32()) }

func (g generator) number() string { return strconv.Itoa(100 + g.IntN(100000)) }

// mapping writes some of the fields, in random order.
func (g generator) mapping(depth int, all [][2]string) string {
	var b strings.Builder
	for _, i := range g.Perm(len(all)) {
		if g.IntN(2) == 0 {
			sep := " "
			if strings.HasPrefix(all[i][1], "\n") {
				sep = ""
			}
			fmt.Fprintf(&b, "\n%s%s:%s%s", strings.Repeat("  ", depth), all[i][0], sep, all[i][1])
		}
	}
	if b.Len() == 0 {
		return " {}"
	}
	if depth == 1 {
		return b.String() + "\n"
	}
	return b.String()
}

func (g generator) mesh(depth int) string {
	return g.mapping(depth, [][2]string{
		{"accessLogFile", g.unique()},
		{"rootNamespace", g.unique()},
		{"enableTracing", g.one("true", "yes")},
		{"mixerCheckServer", g.unique()},
		{
			"defaultConfig", "{proxyMetadata: {A: " + g.one(g.unique(), "true", g.number()) + "}, tracing: {sampling: " +
				g.number() + "}}",
		},
	})
}

func (g generator) values() string {
	return g.mapping(2, [][2]string{
		{"pilot", g.mapping(3, [][2]string{
			{"traceSampling", g.number()},
			{"image", g.unique()},
			{"bogus", g.unique()},
			{"env", "{X: true, Y: " + g.number() + ", Z: " + g.unique() + "}"},
			{"resources", "{requests: {cpu: " + g.unique() + "}}"},
			{"cni", "{enabled: true, provider: " + g.unique() + "}"},
			{"tag", g.unique()},
			{"autoscaleMin", g.number()},
			{"nodeSelector", "{disk: " + g.unique() + "}"},
		})},
		{"global", g.mapping(3, [][2]string{
			{"hub", g.unique()},
			{"tag", g.one(g.unique(), "1.27.0")},
			{"meshID", g.unique()},
			{"istioNamespace", g.one("a", "b")},
			{"platform", "openshift"},
			{"logging", "{level: " + g.unique() + "}"},
			{"imagePullSecrets", "[" + g.unique() + "]"},
			{"nothing", g.unique()},
		})},
		{"meshConfig", g.mesh(3)},
		{"revision", g.one("canary", "r2")},
		{"defaultRevision", g.unique()},
		{
			"cni", g.mapping(3, [][2]string{
				{"enabled", "true"}, {"logLevel", g.unique()}, {"hub", g.unique()}, {"bogus", g.unique()}, {"env", "{Q: yes}"},
			}),
		},
		{"ztunnel", "{variant: " + g.unique() + "}"},
		{"istio_cni", "{provider: " + g.unique() + "}"},
		{"sidecarInjectorWebhook", "{rewriteAppHTTPProbe: true}"},
		{"gateways", g.mapping(3, [][2]string{
			{"istio-ingressgateway", "{type: NodePort, runAsRoot: true, x: " + g.unique() + "}"},
			{"istio-egressgateway", "{resources: {limits: {cpu: 9}}}"},
			{"securityContext", "{a: " + g.unique() + "}"},
		})},
		{"unknown", "{a: [" + g.unique() + "]}"},
	})
}

func (g generator) components() string {
	part := func() string {
		return g.mapping(3, [][2]string{
			{"enabled", g.one("true", "false", "yes")},
			{"namespace", g.one("a", "b")},
			{"hub", g.unique()},
			{"tag", g.unique()},
			{"k8s", g.k8s(4)},
			{"strange", g.unique()},
			{"label", "{l: " + g.unique() + "}"},
		})
	}
	gateways := func() string {
		return "\n    - name: g" + strconv.Itoa(g.IntN(9)) + "\n      enabled: " + g.one("true", "false") + "\n      k8s:" +
			g.k8s(4) +
			"\n    - name: h\n      label: {a: " + g.unique() + "}"
	}
	return g.mapping(2, [][2]string{
		{"base", part()},
		{"pilot", part()},
		{"cni", part()},
		{"ztunnel", part()},
		{"istiodRemote", part()},
		{"ingressGateways", gateways()},
		{"egressGateways", gateways()},
		{"citadel", "{enabled: true}"},
	})
}

func (g generator) k8s(depth int) string {
	u := g.unique
	return g.mapping(depth, [][2]string{
		{"affinity", "{nodeAffinity: {a: " + u() + "}}"},
		{
			"env", "[{name: A" + u() + ", value: " + u() + "}, {name: POD_NAME, value: " + u() + "}, {name: B" + u() +
				", valueFrom: {secretKeyRef: {name: " + u() + ", key: k}}}]",
		},
		{"hpaSpec", "{minReplicas: " + g.number() + ", maxReplicas: " + g.number() + ", scaleTargetRef: {name: " + u() +
			"}, metrics: [{type: " + g.one("Pods", "Resource") +
			", resource: {name: cpu, target: {type: Utilization, averageUtilization: " + g.number() + "}}}]}"},
		{"imagePullPolicy", u()},
		{"nodeSelector", "{n: " + u() + "}"},
		{"podDisruptionBudget", "{maxUnavailable: " + g.number() + "}"},
		{"podAnnotations", "{p: " + u() + "}"},
		{"priorityClassName", u()},
		{"readinessProbe", "{periodSeconds: " + g.number() + "}"},
		{"replicaCount", g.number()},
		{"resources", "{limits: {memory: " + u() + "}}"},
		{"service", "{type: " + u() + "}"},
		{
			"strategy", g.one("{rollingUpdate: {maxSurge: "+g.number()+"}}", "{type: Recreate}",
				"{type: RollingUpdate, rollingUpdate: {maxUnavailable: "+g.number()+"}}"),
		},
		{"tolerations", "[{key: " + u() + ", operator: Exists}]"},
		{"serviceAnnotations", "{s: " + u() + "}"},
		{"securityContext", "{fsGroup: " + g.number() + "}"},
		{"volumes", "[{name: " + u() + ", emptyDir: {}}]"},
		{"volumeMounts", "[{name: " + u() + ", mountPath: /" + u() + "}]"},
		{"novelty", u()},
		{"overlays", "[{kind: Deployment, name: " + u() + ", patches: [{path: spec.a, value: " + u() + "}]}]"},
	})
}
