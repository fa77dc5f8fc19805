package migrate_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

const head = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata:\n  name: default\n"

// object parses one resource.
func object(t testing.TB, text string) manifest.Object {
	t.Helper()
	objects, err := resource.ParseDocuments([]byte(text))
	if err != nil || len(objects) != 1 {
		t.Fatalf("%d objects, %v in:\n%s", len(objects), err, text)
	}
	return objects[0]
}

// write gives resources as text.
func write(t testing.TB, objects []manifest.Object) string {
	t.Helper()
	var b bytes.Buffer
	if err := manifest.Write(&b, objects); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// plain reads a stream of resources as data, so that order and style do not count.
func plain(t testing.TB, text string) []any {
	t.Helper()
	objects, err := resource.ParseDocuments([]byte(text))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	out := make([]any, len(objects))
	for i, o := range objects {
		if err := o.Decode(&out[i]); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// says lists the fields of the results of a severity.
func says(results finding.List, s finding.Severity) []string {
	var out []string
	for _, r := range results {
		if r.Severity == s {
			p := ""
			if r.Field != "" {
				p = r.Field
			}
			out = append(out, p)
		}
	}
	slices.Sort(out)
	return out
}

// TestUserGuide holds the two examples of the Sail Operator's user guide ("Migrating from Istio in-cluster Operator")
// against what it says they become. Besides, an Istio needs a name, which the first example lacks, and istio-system is
// the default namespace, which the second example spells out.
func TestUserGuide(t *testing.T) {
	for _, c := range []struct {
		name, version, operator, becomes string
	}{
		{
			"simple", "v1.23.2",
			`apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
spec:
  meshConfig:
    accessLogFile: /dev/stdout
  values:
    pilot:
      traceSampling: 0.1
`,
			`apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  meshConfig:
    accessLogFile: /dev/stdout
  values:
    pilot:
      traceSampling: 0.1
  version: v1.23.2
`,
		},
		{
			"environment variables", "v1.23.0",
			`apiVersion: install.istio.io/v1alpha1
kind: IstioOperator
metadata:
  name: default
  namespace: istio-system
spec:
  values:
    global:
      istiod:
        enableAnalysis: true
    pilot:
      env:
        PILOT_ENABLE_STATUS: true
`,
			`apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  values:
    global:
      istiod:
        enableAnalysis: true
    pilot:
      env:
        PILOT_ENABLE_STATUS: "true"
  version: v1.23.0
  namespace: istio-system
`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, c.operator), c.version)
			if diff := cmp.Diff(plain(t, c.becomes), plain(t, write(t, out.Objects))); diff != "" {
				t.Errorf("-guide +got:\n%s\n%v", diff, out.Findings)
			}
		})
	}
}

// TestFindings lists what has no equivalent or needs a word: which field is named, how badly, and what the sentence
// says.
func TestFindings(t *testing.T) {
	const quiet = "  profile: minimal\n  tag: 1.28.3\n"
	for _, c := range []struct {
		reason, spec string
		severity     finding.Severity
		field        string
		says         []string // contained in the message
		has, not     []string // contained, and not, in the resources
	}{
		{
			reason: "without a tag the version is a guess", spec: "  profile: minimal\n", severity: finding.Warning,
			field: "spec",
			says:  []string{"spec.version is v1.28.3", "--istio-version"}, has: []string{"version: v1.28.3"},
		},
		{
			reason: "a release tag is the version, and not needed besides", spec: quiet, severity: finding.Info,
			field: "spec.profile",
			says:  []string{"minimal is default without gateways"}, has: []string{"version: v1.28.3"},
			not: []string{"tag:", "profile:"},
		},
		{
			reason: "a variant of a release stays as tag", spec: "  profile: demo\n  tag: 1.27.0-distroless\n",
			severity: finding.Warning, field: "spec.profile",
			says: []string{"installs the gateway istio-egressgateway (profile demo)"},
			has:  []string{"version: v1.27.0", "tag: 1.27.0-distroless", "profile: demo"},
		},
		{
			reason: "a tag that is no release stays, and does not decide", spec: "  profile: minimal\n  tag: 1.27\n",
			severity: finding.Warning, field: "spec.tag",
			says: []string{"spec.version is v1.28.3"}, has: []string{`tag: "1.27"`},
		},
		{
			reason: "a version that is not bundled says what to do", spec: "  profile: minimal\n  tag: 1.20.3\n",
			severity: finding.Warning, field: "spec",
			says: []string{"Istio v1.20.3 is not bundled", "istiod-1.20.3.tgz"}, has: []string{"version: v1.20.3"},
		},
		{
			reason: "the values win over spec.hub", spec: quiet + "  hub: a\n  values: {global: {hub: b}}\n",
			severity: finding.Warning, field: "spec.hub",
			says: []string{"spec.hub is a, but spec.values.global.hub is b"}, has: []string{"hub: b"},
		},
		{
			reason: "a revision is the name", spec: quiet + "  revision: 1-28\n", severity: finding.Info, field: "spec.revision",
			says: []string{"istiod-1-28", "RevisionBased"}, has: []string{"name: 1-28"},
		},
		{
			reason: "a default revision is a tag", spec: quiet + "  revision: a\n  values: {defaultRevision: a}\n",
			severity: finding.Warning, field: "spec.values.defaultRevision",
			says: []string{"kind: IstioRevisionTag", "name: a"}, not: []string{"defaultRevision"},
		},
		{
			reason: "an unknown profile is not guessed", spec: "  tag: 1.28.3\n  profile: ./mine.yaml\n",
			severity: finding.Warning, field: "spec.profile",
			says: []string{"none of Istio's profiles", "istioctl profile dump"}, not: []string{"profile"},
		},
		{
			reason: "external has another name", spec: "  tag: 1.28.3\n  profile: external\n", severity: finding.Info,
			field: "spec.profile",
			says:  []string{"remote"}, has: []string{"profile: remote"},
		},
		{
			reason: "the namespace of the IstioOperator is not the one of istiod", spec: quiet, severity: finding.Warning,
			field: "metadata.namespace",
			says:  []string{"metadata.namespace is istio-operator, but istiod is in istio-system"}, not: []string{"namespace"},
		},
		{
			reason: "two namespaces", spec: quiet + "  namespace: a\n  values: {global: {istioNamespace: b}}\n",
			severity: finding.Warning, field: "spec.namespace",
			says: []string{"spec.namespace: b"}, has: []string{"namespace: b"}, not: []string{"istioNamespace"},
		},
		{
			reason: "one setting of the mesh in two places", severity: finding.Warning, field: "spec.meshConfig.accessLogFile",
			spec: quiet + "  meshConfig: {accessLogFile: /a, rootNamespace: r}\n  values: {meshConfig: {accessLogFile: /b}}\n",
			says: []string{"/a, but spec.values.meshConfig.accessLogFile is /b, which wins"},
			has:  []string{"rootNamespace: r", "accessLogFile: /b"}, not: []string{"/a"},
		},
		{
			reason: "a misspelled value", spec: quiet + "  values: {pilot: {traceSamplin: 1}}\n", severity: finding.Warning,
			field: "spec.values.pilot.traceSamplin",
			says:  []string{"(1): unknown field in v1.28.3; did you mean traceSampling?", "left out"},
			not:   []string{"traceSamplin"},
		},
		{
			reason: "a value that was moved", spec: quiet + "  values: {istio_cni: {enabled: true, chained: false}}\n",
			severity: finding.Info, field: "spec.values.istio_cni",
			says: []string{"spec.values.pilot.cni"}, has: []string{"cni: {enabled: true, chained: false}"},
		},
		{
			reason: "a wrong type stays and is named", spec: quiet + "  values: {pilot: {enabled: \"true\"}}\n",
			severity: finding.Warning, field: "spec.values.pilot.enabled",
			says: []string{"must be a boolean, is a string (write true without quotes)"}, has: []string{`enabled: "true"`},
		},
		{
			reason: "a field of the mesh by its name in the protocol",
			spec:   quiet + "  meshConfig: {access_log_file: /dev/stdout}\n", severity: finding.Info,
			field: "spec.meshConfig.access_log_file", says: []string{"spelled accessLogFile"},
			has: []string{"meshConfig: {accessLogFile: /dev/stdout}"},
			not: []string{"access_log_file"},
		},
		{
			reason: "and one in one, in a list, among the values",
			spec: quiet + "  values: {meshConfig: {default_config: {hold_application_until_proxy_starts: true}, " +
				"service_settings: [{hosts: [a], settings: {cluster_local: true}}]}}\n",
			severity: finding.Info, field: "spec.values.meshConfig.serviceSettings.0.settings.cluster_local",
			says: []string{"spelled clusterLocal"},
			has:  []string{"holdApplicationUntilProxyStarts: true", "clusterLocal: true"}, not: []string{"_local", "_until"},
		},
		{
			reason:   "two spellings of one field",
			spec:     quiet + "  meshConfig: {access_log_file: /a}\n  values: {meshConfig: {accessLogFile: /b}}\n",
			severity: finding.Warning, field: "spec.meshConfig.accessLogFile", says: []string{"/b, which wins"},
			not: []string{"/a"},
		},
		{
			reason: "what nobody knows by either name", spec: quiet + "  meshConfig: {mixer_check_server: x}\n",
			severity: finding.Warning,
			field:    "spec.meshConfig.mixer_check_server", says: []string{"left out"}, not: []string{"mixer"},
		},
		{
			reason: "a profile among the values", spec: "  tag: 1.28.3\n  values: {profile: openshift}\n",
			severity: finding.Warning,
			field:    "spec.profile", says: []string{"(profile openshift)"}, has: []string{"  profile: openshift\n"},
			not: []string{"    profile: openshift"},
		},
		{
			reason:   "another one than that of the spec",
			spec:     "  tag: 1.28.3\n  profile: demo\n  values: {profile: preview, pilot: {image: a}}\n",
			severity: finding.Warning,
			field:    "spec.profile", says: []string{"spec.values.profile is preview"}, has: []string{"profile: preview"},
			not: []string{"demo"},
		},
		{
			reason: "the revision that is to come is of the target", spec: quiet + "  revision: canary\n",
			severity: finding.Info, field: "spec.revision",
			says: []string{"called canary-v1-28-3, and"},
		},
		{
			reason: "and of another one", spec: "  profile: minimal\n  tag: 1.27.0\n  revision: canary\n",
			severity: finding.Info, field: "spec.revision",
			says: []string{"called canary-v1-27-0, and"},
		},
		{
			reason: "a budget of another kind than the charts'", severity: finding.Warning,
			field: "spec.components.pilot.k8s.podDisruptionBudget",
			spec:  "  tag: 1.26.0\n  components: {pilot: {k8s: {podDisruptionBudget: {maxUnavailable: 1}}}}\n",
			says:  []string{"minAvailable: null"},
		},
		{
			reason:   "a probe of another kind",
			spec:     quiet + "  components: {pilot: {k8s: {readinessProbe: {tcpSocket: {port: 1}}}}}\n",
			severity: finding.Warning,
			field:    "spec.components.pilot.k8s.readinessProbe", says: []string{"httpGet: null"},
		},
		{
			reason: "pods that are replaced all at once",
			spec:   quiet + "  components: {pilot: {k8s: {strategy: {type: Recreate}}}}\n", severity: finding.Warning,
			field: "spec.components.pilot.k8s.strategy", says: []string{"type: Recreate", "rollingUpdate: null"},
		},
		{
			reason: "a field of the mesh that is no more", spec: quiet + "  meshConfig: {mixerCheckServer: x}\n",
			severity: finding.Warning, field: "spec.meshConfig.mixerCheckServer",
			says: []string{"unknown field", "left out"}, not: []string{"mixer"},
		},
		{
			reason: "quotes", spec: quiet + "  values: {pilot: {env: {A: true, B: 1.10, C: 1000000, D: x, E: on}}}\n",
			severity: finding.Info, field: "spec.values.pilot.env",
			says: []string{"A, B (1.10 is \"1.1\"", "C, E"},
			has:  []string{`A: "true"`, `B: "1.1"`, `C: "1000000"`, "D: x", `E: "true"`},
		},
		{
			reason: "quotes for the CNI plugin",
			spec:   quiet + "  components: {cni: {enabled: true}}\n  values: {cni: {env: {Q: yes}}}\n", severity: finding.Info,
			field: "spec.values.cni.env", says: []string{"Q"}, has: []string{`env: {Q: "true"}`},
		},
		{
			reason: "the one variable that cannot be text",
			spec:   quiet + "  values: {pilot: {env: {ENABLE_CLUSTER_TRUST_BUNDLE_API: true}}}\n", severity: finding.Warning,
			field: "spec.values.pilot.env.ENABLE_CLUSTER_TRUST_BUNDLE_API",
			says:  []string{"compare", "kind: Deployment", "clustertrustbundles"},
			not:   []string{"ENABLE_CLUSTER"},
		},
		{
			reason: "an unknown field of the spec", spec: quiet + "  componets: {}\n", severity: finding.Warning,
			field: "spec.componets", says: []string{"did you mean components?"},
		},
		{
			reason: "charts of one's own", spec: quiet + "  installPackagePath: /charts\n", severity: finding.Warning,
			field: "spec.installPackagePath", says: []string{"lateen.io/charts"},
		},
		{
			reason: "addons", spec: quiet + "  addonComponents: {kiali: {enabled: true}}\n", severity: finding.Warning,
			field: "spec.addonComponents", says: []string{"{kiali: {enabled: true}}"},
		},
		{
			reason: "an old component", spec: quiet + "  components: {citadel: {enabled: true}}\n", severity: finding.Warning,
			field: "spec.components.citadel", says: []string{"{enabled: true}"},
		},
		{
			reason:   "unvalidated values win",
			spec:     quiet + "  values: {pilot: {image: a}}\n  unvalidatedValues: {pilot: {image: b}}\n",
			severity: finding.Warning,
			field:    "spec.values.pilot.image", says: []string{"is a here, but spec.unvalidatedValues has another value"},
			has: []string{"image: b"},
		},
		{
			reason: "unvalidated values are checked here", spec: quiet + "  unvalidatedValues: {pilot: {mine: b}}\n",
			severity: finding.Warning,
			field:    "spec.unvalidatedValues.pilot.mine", says: []string{"unknown field"}, not: []string{"mine"},
		},
		{
			reason: "the chart base comes with the default revision", spec: quiet + "  components: {base: {enabled: false}}\n",
			severity: finding.Warning,
			field:    "spec.components.base.enabled", says: []string{"$patch: delete", "istiod-default-validator"},
		},
		{
			reason:   "istiodRemote is a profile",
			spec:     quiet + "  components: {pilot: {enabled: false}, istiodRemote: {enabled: true}}\n",
			severity: finding.Warning,
			field:    "spec.components.istiodRemote.enabled", says: []string{"spec.profile is remote"},
			has: []string{"profile: remote"},
		},
		{
			reason: "values of a control plane that there is none of",
			spec:   "  profile: empty\n  tag: 1.28.3\n  values: {pilot: {image: a}}\n", severity: finding.Warning,
			field: "spec.values.pilot", says: []string{"({image: a}): there is no control plane here (profile empty)"},
			not: []string{"kind: Istio"},
		},
		{
			reason: "values of a CNI plugin that is not installed", spec: quiet + "  values: {cni: {logLevel: debug}}\n",
			severity: finding.Warning, field: "spec.values.cni",
			says: []string{"had no effect", "kind: IstioCNI", "logLevel: debug"}, not: []string{"kind: IstioCNI"},
		},
		{
			reason: "values that ask for a CNI plugin", spec: quiet + "  values: {cni: {enabled: true, logLevel: debug}}\n",
			severity: finding.Info, field: "spec.values.cni.enabled",
			says: []string{"stays where it is: spec.namespace of the IstioCNI is istio-system"},
			has:  []string{"kind: IstioCNI", "logLevel: debug", "pilot: {cni: {enabled: true}}"},
		},
		{
			reason: "a component that is listed is enabled", spec: quiet + "  components: {cni: {namespace: kube-system}}\n",
			severity: finding.Info, field: "spec.components.cni",
			says: []string{"does not say whether it is enabled"}, has: []string{"kind: IstioCNI", "namespace: kube-system"},
		},
		{
			reason: "ztunnel is a chart", spec: "  profile: ambient\n  tag: 1.28.3\n  components: {ztunnel: {k8s: {resources: " +
				"{requests: {cpu: 1}}}}}\n", severity: finding.Warning,
			field: "spec.components.ztunnel", says: []string{"--version 1.28.3 --namespace istio-system", "resources:"},
			has: []string{"profile: ambient", "kind: IstioCNI"},
		},
		{
			reason: "what no value does is a patch",
			spec:   quiet + "  components: {pilot: {k8s: {securityContext: {fsGroup: 1}}}}\n", severity: finding.Warning,
			field: "spec.components.pilot.k8s.securityContext", says: []string{"kind: Deployment", "name: istiod", "fsGroup: 1"},
		},
		{
			reason: "a budget is a value since 1.27",
			spec:   quiet + "  components: {pilot: {k8s: {podDisruptionBudget: {maxUnavailable: 1}}}}\n", severity: finding.Info,
			field: "spec.profile", has: []string{"pdb: {maxUnavailable: 1}"},
		},
		{
			reason:   "and was none before",
			spec:     "  tag: 1.26.0\n  components: {pilot: {k8s: {podDisruptionBudget: {maxUnavailable: 1}}}}\n",
			severity: finding.Warning,
			field:    "spec.components.pilot.k8s.podDisruptionBudget", says: []string{"kind: PodDisruptionBudget"},
			not: []string{"pdb"},
		},
		{
			reason: "a variable that the chart writes itself", severity: finding.Warning,
			field: "spec.components.pilot.k8s.env.0",
			spec:  quiet + "  components: {pilot: {k8s: {env: [{name: POD_NAME, value: x}]}}}\n",
			says:  []string{"would be there twice", "valueFrom: null"}, not: []string{"POD_NAME"},
		},
		{
			reason: "metrics that the chart does not have", severity: finding.Warning,
			field: "spec.components.pilot.k8s.hpaSpec.metrics",
			spec:  quiet + "  components: {pilot: {k8s: {hpaSpec: {minReplicas: 2, metrics: [{type: Pods}]}}}}\n",
			says:  []string{"kind: HorizontalPodAutoscaler"}, has: []string{"autoscaleMin: 2"},
		},
		{
			reason: "the utilization of autoscaling/v2beta1 is a value as well", severity: finding.Info,
			field: "spec.components.pilot.k8s.hpaSpec.metrics",
			spec: quiet + "  components: {pilot: {k8s: {hpaSpec: {metrics: [{type: Resource, resource: {name: cpu, " +
				"targetAverageUtilization: 61}}]}}}}\n",
			says: []string{"pilot.cpu.targetAverageUtilization"}, has: []string{"targetAverageUtilization: 61"},
		},
		{
			reason: "an overlay with one metric of autoscaling/v2beta1", severity: finding.Warning,
			field: "spec.components.pilot.k8s.overlays.0",
			spec: quiet + "  components: {pilot: {k8s: {overlays: [{kind: HorizontalPodAutoscaler, name: istiod, patches: " +
				"[{path: 'spec.metrics.[0]', value: {type: Pods, pods: {metricName: rps, targetAverageValue: 7}}}]}]}}}\n",
			says: []string{"path: /spec/metrics/0", "metric: {name: rps}", "averageValue: 7"},
		},
		{
			reason: "a setting that istioctl does not know", spec: quiet + "  components: {pilot: {k8s: {hostNetwork: true}}}\n",
			severity: finding.Warning,
			field:    "spec.components.pilot.k8s.hostNetwork", says: []string{"had no effect"},
		},
		{
			reason: "an overlay by index is a JSON patch", severity: finding.Warning,
			field: "spec.components.pilot.k8s.overlays.0",
			spec: quiet + "  components: {pilot: {k8s: {overlays: [{kind: Deployment, name: istiod, patches: [{path: " +
				"'spec.template.spec.containers.[name:discovery].args.[3]', value: --x}]}]}}}\n",
			says: []string{"- op: replace\n      path: /spec/template/spec/containers/0/args/3\n      value: --x"},
		},
		{
			reason: "an element by another field needs its position", severity: finding.Warning,
			field: "spec.components.pilot.k8s.overlays.0",
			spec: quiet + "  components: {pilot: {k8s: {overlays: [{kind: Service, name: istiod, patches: [{path: " +
				"'spec.ports.[name:https-dns].port', value: 1}]}]}}}\n",
			says: []string{"path: /spec/ports/INDEX/port", "# INDEX: the position of the element whose name is https-dns"},
		},
		{
			reason: "an overlay that does nothing",
			spec:   quiet + "  components: {base: {k8s: {overlays: [{kind: ServiceAccount}]}}}\n", severity: finding.Warning,
			field: "spec.components.base.k8s.overlays.0", says: []string{"needs kind, name and patches"},
		},
		{
			reason: "a gateway with its settings", severity: finding.Warning, field: "spec.components.ingressGateways.0",
			spec: quiet + `  components:
    ingressGateways:
    - name: gw
      namespace: gws
      enabled: true
      label: {team: a}
      tag: x
      k8s:
        service: {type: NodePort, ports: [{port: 8443, name: tls}]}
        env: [{name: ISTIO_META_X, value: "1"}]
        podDisruptionBudget: {minAvailable: 1}
        overlays: [{kind: Deployment, name: gw, patches: [{path: spec.template.spec.hostNetwork, value: true}]}]
`,
			says: []string{
				"namespace: gws", "team: a", "type: NodePort", "port: 8443", "name: ISTIO_META_X", "minAvailable: 1",
				"hostNetwork: true", "image: auto",
				"inject.istio.io/templates: gateway", "the image x",
			},
		},
		{
			reason: "a gateway that is off", spec: quiet + "  components: {egressGateways: [{name: e, enabled: false}]}\n",
			severity: finding.Info,
			field:    "spec.components.egressGateways.0", says: []string{"nothing to replace"},
		},
		{
			reason: "values of gateways are in the manifest", severity: finding.Warning,
			field: "spec.values.gateways.istio-ingressgateway",
			spec:  "  tag: 1.28.3\n  values: {gateways: {istio-ingressgateway: {type: NodePort, runAsRoot: true}}}\n",
			says:  []string{"manifest of istio-ingressgateway", "runAsRoot: true"}, not: []string{"gateways"},
		},
		{
			reason: "values of gateways that there are none of", severity: finding.Warning,
			field: "spec.values.gateways.istio-egressgateway",
			spec:  quiet + "  values: {gateways: {istio-egressgateway: {type: NodePort}}}\n", says: []string{"had no effect"},
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			text := head + "spec:\n" + c.spec
			if c.field == "metadata.namespace" {
				text = strings.Replace(text, "name: default", "name: default\n  namespace: istio-operator", 1)
			}
			out := migrate.Operator(object(t, text), "")
			var messages []string
			for _, r := range out.Findings {
				if r.Severity == c.severity && (r.Field == "" && c.field == "" || r.Field != "" && r.Field == c.field) {
					messages = append(messages, r.Message)
				}
			}
			message := strings.Join(messages, "\n")
			if len(messages) == 0 {
				t.Errorf("no finding of severity %s about %q; there are: %v", c.severity, c.field, out.Findings)
			}
			contains(t, "the finding", message, c.says, nil)
			contains(t, "the output", write(t, out.Objects), c.has, c.not)
		})
	}
}

func contains(t *testing.T, what, text string, want, not []string) {
	t.Helper()
	for _, s := range want {
		if !strings.Contains(text, s) {
			t.Errorf("%s lacks %q:\n%s", what, s, text)
		}
	}
	for _, s := range not {
		if strings.Contains(text, s) {
			t.Errorf("%s has %q:\n%s", what, s, text)
		}
	}
}

// TestErrors lists what cannot be migrated, and the sentence that says why.
func TestErrors(t *testing.T) {
	for _, c := range []struct{ reason, text, field, says string }{
		{
			"an old version of the API", "apiVersion: install.istio.io/v1alpha2\nkind: IstioOperator\n", "apiVersion",
			"an IstioOperator is of install.istio.io/v1alpha1",
		},
		{"a spec that is text", head + "spec: x\n", "spec", "spec must be an object"},
		{"values that are a list", head + "spec: {values: []}\n", "spec.values", "must be an object"},
		{"components that are a list", head + "spec: {components: []}\n", "spec.components", "must be an object"},
		{
			"gateways that are no list", head + "spec: {components: {ingressGateways: {}}}\n", "spec.components.ingressGateways",
			"must be a list",
		},
		{"a field twice", head + "spec: {tag: a, tag: b}\n", "", `the field "tag" is there twice`},
		{"a hub that is an object", head + "spec: {hub: {}}\n", "spec.hub", "must be text"},
		{
			"enabled that is neither", head + "spec: {components: {cni: {enabled: maybe}}}\n", "spec.components.cni.enabled",
			"must be true or false",
		},
		{"a revision that is no name", head + "spec: {revision: A_b}\n", "spec.revision", "metadata.name"},
		{
			"a number that JSON does not know", head + "spec: {values: {pilot: {traceSampling: .nan}}}\n", "spec.values",
			"not a number that JSON knows",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, c.text), "v1.28.3")
			if len(out.Objects) > 0 {
				t.Errorf("there are objects:\n%s", write(t, out.Objects))
			}
			for _, r := range out.Findings {
				if r.Severity == finding.Error && (r.Field == "" && c.field == "" || r.Field != "" && r.Field == c.field) &&
					strings.Contains(r.Message, c.says) {
					return
				}
			}
			t.Errorf("no error %q about %q; there are: %v", c.says, c.field, out.Findings)
		})
	}
}

func migrateFailed(results finding.List) bool { return len(says(results, finding.Error)) > 0 }
