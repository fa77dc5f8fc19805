package e2e

import (
	"path/filepath"
	"strings"
	"testing"
)

const allFunctions = `apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: mesh
pipeline:
  mutators:
  - exec: render-istio
  - exec: render-cni
  - exec: revision-tag
`

func resource(kind, name, spec string) string {
	return "apiVersion: sailoperator.io/v1\nkind: " + kind + "\nmetadata:\n  name: " + name + "\nspec: " + spec + "\n"
}

func tag(name, kind, target string) string {
	return resource("IstioRevisionTag", name, "{targetRef: {kind: "+kind+", name: "+target+"}}")
}

func kubernetesNamespace(name, labels string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name + "\n  labels: {" + labels + "}\n"
}

// pods is a Deployment in the namespace app whose Pods have the labels.
func pods(labels string) string {
	return "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: app, namespace: app}\n" +
		"spec: {template: {metadata: {labels: {" + labels + "}}}}\n"
}

func discovers(namespace, selector string) string {
	return "{version: v1.28.3, namespace: " + namespace + ", values: {meshConfig: {discoverySelectors: [" + selector +
		"]}}}"
}

// TestFindings shows, for each thing that Lateen finds across resources, the sentence that a user reads under kpt; and
// next to it the package that looks nearly the same and is right.
func TestFindings(t *testing.T) {
	main := resource("Istio", "default", "{version: v1.28.3}")
	for _, c := range []struct {
		reason string
		files  []string
		say    string // empty: nothing is said
		fails  bool
	}{
		{
			"a CNI plugin two minors behind",
			[]string{main, resource("IstioCNI", "default", "{version: v1.26.0}")},
			"the CNI plugin of Istio v1.26.0 does not work with Istio/default of Istio v1.28.3; it works with the minor " +
				"versions before, at and after its own", false,
		},
		{"a CNI plugin of the same minor", []string{main, resource("IstioCNI", "default", "{version: v1.28.3}")}, "", false},
		{
			"two meshes that discover everything",
			[]string{main, resource("Istio", "other", "{version: v1.28.3, namespace: other}")},
			"Istio/default and Istio/other can discover the same namespace, one without labels: both would manage it", false,
		},
		{"two meshes whose selectors can both match", []string{
			resource("Istio", "a", discovers("a", "{matchLabels: {mesh: a}}")),
			resource("Istio", "b", discovers("b", "{matchExpressions: [{key: team, operator: Exists}]}")),
		}, "one with the labels mesh=a,team=x", false},
		{
			"a selector with an operator that there is not",
			[]string{
				resource("Istio", "a", discovers("a", "{matchExpressions: [{key: mesh, operator: Equals, values: [a]}]}")),
				kubernetesNamespace("a", ""),
			},
			`the operator "Equals" is none that a selector can have: In, NotIn, Exists, DoesNotExist`, false,
		},
		{"the two meshes of the user guide", []string{
			resource("Istio", "mesh1", discovers("istio-system1", "{matchLabels: {mesh: mesh1}}")),
			resource("Istio", "mesh2", discovers("istio-system2", "{matchLabels: {mesh: mesh2}}")),
		}, "", false},
		{
			"two control planes in one namespace",
			[]string{main, resource("Istio", "other", "{version: v1.28.3}")},
			"Istio/default and Istio/other are two control planes in the namespace istio-system; give each a namespace of its " +
				"own", false,
		},
		{
			"a tag with the name of a revision",
			[]string{main, tag("default", "Istio", "default")},
			"a revision has the name of the tag, default", true,
		},
		{
			"a tag whose target is elsewhere",
			[]string{main, tag("prod", "Istio", "defualt")},
			"Istio/defualt is not in the package; there are: Istio/default, IstioRevision/default", true,
		},
		{"a tag that points at a remote control plane", []string{
			resource("Istio", "default",
				"{version: v1.28.3, profile: remote, values: {global: {remotePilotAddress: 192.0.2.1}}}"),
			tag("prod", "Istio", "default"),
		}, "Istio/default is a remote control plane; a tag can only point at one in the same cluster", true},
		{
			"a namespace that names no revision",
			[]string{main, kubernetesNamespace("app", "istio.io/rev: canary")},
			"istio.io/rev: canary is no revision or tag of the package (it has: default)", false,
		},
		{
			"a workload that names no revision",
			[]string{main, pods("istio.io/rev: canary")},
			"istio.io/rev: canary is no revision or tag of the package (it has: default): nothing would be injected, unless " +
				"the namespace, which is not in the package, has a label of its own", false,
		},
		{
			"a workload that names no revision, in a namespace without labels",
			[]string{main, kubernetesNamespace("app", ""), pods("istio.io/rev: canary")},
			"istio.io/rev: canary is no revision or tag of the package (it has: default): nothing would be injected, and Pods " +
				"may fail to start", false,
		},
		{
			"a workload that names no revision, in a namespace that decides",
			[]string{main, kubernetesNamespace("app", "istio-injection: enabled"), pods("istio.io/rev: canary")},
			"", false,
		},
		{
			"a workload that opts out beside a name",
			[]string{main, kubernetesNamespace("app", ""), pods(`istio.io/rev: canary, sidecar.istio.io/inject: "false"`)},
			"", false,
		},
		{
			"a namespace that is switched off beside a name",
			[]string{main, kubernetesNamespace("app", "istio-injection: disabled, istio.io/rev: canary")},
			"", false,
		},
		{
			"a workload that asks for injection without a default revision",
			[]string{
				resource("Istio", "mesh", "{version: v1.28.3}"), kubernetesNamespace("app", ""),
				pods(`sidecar.istio.io/inject: "true"`),
			},
			`sidecar.istio.io/inject: "true" means the revision or tag named default, and the package has none (it has: ` +
				`mesh): use the label istio.io/rev`, false,
		},
		{
			"a workload that asks for injection with a default revision",
			[]string{main, kubernetesNamespace("app", ""), pods(`sidecar.istio.io/inject: "true"`)},
			"", false,
		},
		{
			"a Gateway that names no revision",
			[]string{
				main, "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: app, " +
					"labels: {istio.io/rev: canary}}\nspec: {gatewayClassName: istio}\n",
			},
			"istio.io/rev: canary is no revision or tag of the package (it has: default): no control plane would deploy the " +
				"Gateway", false,
		},
		{
			"a namespace that names a tag",
			[]string{main, tag("prod", "Istio", "default"), kubernetesNamespace("app", "istio.io/rev: prod")},
			"", false,
		},
		{
			"injection without a default revision",
			[]string{resource("Istio", "mesh", "{version: v1.28.3}"), kubernetesNamespace("app", "istio-injection: enabled")},
			"istio-injection: enabled means the revision or tag named default, and the package has none (it has: mesh)", false,
		},
		{"injection with a default tag", []string{
			resource("Istio", "mesh", "{version: v1.28.3}"), tag("default", "Istio", "mesh"),
			kubernetesNamespace("app", "istio-injection: enabled"),
		}, "", false},
		{
			"a namespace on a cluster-scoped resource",
			[]string{strings.Replace(main, "name: default\n", "name: default\n  namespace: mesh\n", 1)},
			`metadata.namespace is "mesh", but Istio is cluster-scoped`, false,
		},
		{
			"a version past its end of life",
			[]string{resource("Istio", "default", "{version: v1.25.1}")},
			"Istio v1.25.1: this minor version reached its end of life in 2025-09", false,
		},
		{
			"a platform that no chart knows",
			[]string{
				strings.Replace(main, "name: default\n", "name: default\n  annotations: {lateen.io/platform: Openshift}\n", 1),
			},
			`the platform "Openshift" is none that Istio's charts know (gke, k3d, k3s, microk8s, minikube, openshift) and has ` +
				`no effect; did you mean openshift?`, false,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newRepo(t, func(dir string) {
				write(t, filepath.Join(dir, "Kptfile"), allFunctions)
				write(t, filepath.Join(dir, "mesh.yaml"), strings.Join(c.files, "---\n"))
			})
			out, err := run{dir: r.dir}.command(t, r.kpt, "fn", "render", "--allow-exec")
			said := words(out.stdout + out.stderr)
			if (err != nil) != c.fails {
				t.Errorf("failed: %v, want %v\n%s", err != nil, c.fails, said)
			}
			if !strings.Contains(said, c.say) {
				t.Errorf("kpt does not say %q:\n%s", c.say, said)
			}
			if c.say == "" && strings.Contains(said, "[warning]") {
				t.Errorf("a warning was not expected:\n%s", said)
			}
		})
	}
}

// TestSkippedMinors warns of an upgrade that leaps too far: more than one minor in place, more than two by revisions.
func TestSkippedMinors(t *testing.T) {
	for _, c := range []struct{ reason, strategy, from, to, say string }{
		{"one minor in place", "InPlace", "v1.27.0", "v1.28.3", ""},
		{
			"two minors in place", "InPlace", "v1.26.0", "v1.28.3",
			"from v1.26.0 to v1.28.3; in place, Istio supports one minor version at a time. Go by way of v1.27-latest",
		},
		{"two minors by revisions", "RevisionBased", "v1.26.0", "v1.28.3", ""},
		{
			"three minors by revisions", "RevisionBased", "v1.25.1", "v1.28.3",
			"by revisions, Istio supports two minor versions at a time. Go by way of v1.27-latest",
		},
		{"back by two", "InPlace", "v1.28.3", "v1.26.0", "Go by way of v1.27-latest"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newRepo(t, mesh(istio(c.from, c.strategy)))
			r.render()
			edit(t, r.path("istio.yaml"), c.from, c.to)
			said := words(r.render())
			if !strings.Contains(said, c.say) || c.say == "" && strings.Contains(said, "at a time") ||
				strings.Contains(said, "spec.version: spec.version") {
				t.Errorf("kpt says, want %q in it:\n%s", c.say, said)
			}
		})
	}
}

// TestMovedNamespace refuses what a cluster would refuse, and says how to do it all the same.
func TestMovedNamespace(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	r.render()
	edit(t, r.path("istio.yaml"), "spec:\n", "spec:\n  namespace: elsewhere\n")
	r.commit()
	said := words(run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec"))
	if !strings.Contains(said, "spec.namespace: Value is immutable: the control plane is in istio-system") {
		t.Errorf("kpt says:\n%s", said)
	}
}
