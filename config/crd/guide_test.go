package crd

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/values"
)

// userGuide is the document that Lateen was made from. It lies beside the repository where Lateen is developed.
const userGuide = "../../../shared/seed/sail-operator-user-guide.md"

// mistakes are the resources in the user guide that are wrong, by a part of them.
var mistakes = map[string]string{
	"  global:\n    network: network1": "unknown field spec.global",
}

// TestUserGuide takes every resource out of the user guide and expects it to be accepted: by the CRD, by Validate and
// by the schema of the version that it asks for.
func TestUserGuide(t *testing.T) {
	guide, err := os.ReadFile(userGuide)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("the user guide is not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	kinds := load(t)
	schemas := readSchemas(t)
	found := map[string]int{}
	for _, text := range resources(string(guide)) {
		object := parse(t, text)
		if _, ok := object["metadata"]; !ok {
			object["metadata"] = map[string]any{"name": "default"} // the guide shows an excerpt
		}
		kind := object["kind"].(string)
		found[kind]++
		object, complaints := kinds[kind].admit(object, nil)
		complaints = append(complaints, validate(t, object)...)
		for _, p := range check(t, schemas, object) {
			complaints = append(complaints, p.String())
		}
		var want string
		for part, complaint := range mistakes {
			if strings.Contains(text, part) {
				want = complaint
			}
		}
		if have := strings.Join(complaints, "\n"); have != want {
			t.Errorf("want the complaints %q, have:\n%s\nfor:\n%s", want, have, text)
		}
	}
	t.Logf("found %v", found)
	for _, kind := range []string{"Istio", "IstioCNI", "IstioRevisionTag"} {
		if found[kind] == 0 {
			t.Errorf("there is no %s in the user guide: it is not read rightly", kind)
		}
	}
}

// resources returns the resources of sailoperator.io in a text of Markdown with YAML and shell scripts in it. Variables
// of the scripts get a value.
func resources(text string) []string {
	var found []string
	var block []string
	indent := -1
	flush := func() {
		if indent >= 0 {
			found = append(found, strings.Join(block, "\n")+"\n")
		}
		block, indent = nil, -1
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n ")
		content := strings.TrimLeft(line, " ")
		switch {
		case content == "apiVersion: sailoperator.io/v1":
			flush()
			indent = len(line) - len(content)
		case indent < 0:
			continue
		case content == "EOF" || content == "---" || strings.HasPrefix(content, "```"):
			flush()
			continue
		}
		block = append(block, line[min(indent, len(line)):])
	}
	flush()
	for i, text := range found {
		text = strings.ReplaceAll(text, "v${ISTIO_VERSION}", "v1.24.2")
		text = shellCommand.ReplaceAllString(text, "192.0.2.1")
		found[i] = shellVariable.ReplaceAllString(text, "192.0.2.2")
	}
	return found
}

var (
	shellCommand  = regexp.MustCompile(`\$\(.*\)`)
	shellVariable = regexp.MustCompile(`\$\{?[A-Z_]+\d*\}?`)
)

func readSchemas(t *testing.T) map[string]*values.Schema {
	t.Helper()
	files, err := filepath.Glob("../../internal/release/schemas/v*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas: %v", err)
	}
	schemas := map[string]*values.Schema{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := values.ParseSchema(data)
		if err != nil {
			t.Fatal(err)
		}
		schemas[strings.TrimSuffix(filepath.Base(file), ".json")] = s
	}
	return schemas
}

// validate calls the Go validation of an object's kind.
func validate(t *testing.T, object map[string]any) []string {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	u := unstructured.Unstructured{Object: object}
	typed, err := scheme.New(u.GroupVersionKind())
	if err != nil {
		t.Fatal(err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object, typed); err != nil {
		t.Fatal(err)
	}
	var complaints []string
	for _, err := range typed.(interface{ Validate() field.ErrorList }).Validate() {
		complaints = append(complaints, err.Error())
	}
	return complaints
}

// check compares an object's values with the schema of its version, or of the oldest if that is not bundled.
func check(t *testing.T, schemas map[string]*values.Schema, object map[string]any) []values.Problem {
	t.Helper()
	version, _, _ := unstructured.NestedString(object, "spec", "version")
	s, ok := schemas[version]
	if !ok {
		s = schemas["v1.23.2"]
	}
	v, _, err := unstructured.NestedMap(object, "spec", "values")
	if err != nil {
		t.Fatal(err)
	}
	mesh, _, err := unstructured.NestedMap(object, "spec", "meshConfig")
	if err != nil {
		t.Fatal(err)
	}
	root := "istio"
	if object["kind"] == "IstioCNI" {
		root = "cni"
	}
	return append(s.Check(root, v, "spec.values"), s.CheckMeshConfig(mesh, "spec.meshConfig")...)
}

// TestOlderAndNewerGuides are resources as other guides of Istio have them, in every version that has all of their
// fields.
func TestOlderAndNewerGuides(t *testing.T) {
	cases := map[string]struct {
		reason string
		values string
		since  string
	}{
		"high availability": {
			reason: "the values of Istio's deployment guides",
			values: `{pilot: {autoscaleEnabled: true, autoscaleMin: 2, autoscaleMax: 5, cpu: {targetAverageUtilization: 80},
				affinity: {podAntiAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [
				  {labelSelector: {matchLabels: {app: istiod}}, topologyKey: kubernetes.io/hostname}]}},
				topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone,
				  whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: istiod}}}],
				nodeSelector: {kubernetes.io/os: linux}, tolerations: [{key: node-role, operator: Exists,
				  effect: NoSchedule}], podAnnotations: {a: b}},
				global: {defaultPodDisruptionBudget: {enabled: true}, priorityClassName: system-cluster-critical,
				  imagePullSecrets: [regcred], imagePullPolicy: Always}}`,
		},
		"telemetry": {
			reason: "the values of Istio's observability tasks",
			values: `{meshConfig: {enableTracing: true, accessLogFile: /dev/stdout, accessLogEncoding: JSON,
				defaultProviders: {metrics: [prometheus]},
				extensionProviders: [{name: otel, opentelemetry: {service: otel.observability.svc.cluster.local, port: 4317}},
				  {name: als, envoyFileAccessLog: {path: /dev/stdout, logFormat: {labels: {status: "%RESPONSE_CODE%"}}}},
				  {name: ext, envoyExtAuthzHttp: {service: a.b.svc.cluster.local, port: 8000, includeRequestHeadersInCheck: [x-a],
				    timeout: 5s}}],
				defaultConfig: {holdApplicationUntilProxyStarts: true,
				  tracing: {sampling: 10.5, zipkin: {address: "z:9411"}}, proxyStatsMatcher: {inclusionRegexps: [".*"]}}}}`,
		},
		"security": {
			reason: "the values of Istio's security tasks",
			values: `{global: {caAddress: "cert-manager-istio-csr.cert-manager.svc:443", pilotCertProvider: istiod,
				  jwtPolicy: third-party-jwt},
				pilot: {env: {ENABLE_CA_SERVER: "false"}, volumeMounts: [{name: v, mountPath: /etc/v, readOnly: true}],
				  volumes: [{name: v, secret: {secretName: s}},
				  {name: w, projected: {sources: [{serviceAccountToken: {audience: a, expirationSeconds: 600, path: p}}]}}]},
				meshConfig: {caCertificates: [{pem: x, certSigners: [a/b]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY},
				  pathNormalization: {normalization: MERGE_SLASHES}}}`,
		},
		"injection": {
			reason: "the values of Istio's injection tasks",
			values: `{sidecarInjectorWebhook: {enableNamespacesByDefault: true,
				neverInjectSelector: [{matchExpressions: [{key: a, operator: Exists}]}],
				templates: {custom: "spec: {}"}, defaultTemplates: [sidecar, custom], rewriteAppHTTPProbe: false,
				injectedAnnotations: {a: b}},
				global: {proxy: {autoInject: disabled, logLevel: debug, lifecycle: {preStop: {exec: {command: [sleep, "5"]}}},
				  privileged: true, statusPort: 15020,
				  resources: {requests: {cpu: 10m, memory: 40Mi}}, startupProbe: {enabled: false}},
				  proxy_init: {image: proxyv2}}, revisionTags: [prod]}`,
		},
		"waypoints": {
			reason: "the values of the ambient guides",
			since:  "v1.24.0",
			values: `{profile: ambient, global: {platform: openshift,
				  waypoint: {resources: {limits: {cpu: "2"}}, nodeSelector: {a: b}, tolerations: [{operator: Exists}]}},
				pilot: {trustedZtunnelNamespace: istio-system, initContainers: [{name: a, image: b, command: [c]}]},
				experimental: {stableValidationPolicy: true}}`,
		},
		"newest": {
			reason: "what only the newest version has",
			since:  "v1.28.3",
			values: `{global: {networkPolicy: {enabled: true}, nativeNftables: true, resourceScope: namespace,
				  trustBundleName: t}, gatewayClasses: {istio: {}},
				pilot: {pdb: {minAvailable: 1, maxUnavailable: 50%}, deploymentAnnotations: {a: b},
				  envVarFrom: [{name: A, valueFrom: {configMapKeyRef: {name: a, key: b}}}],
				  trafficDistribution: PreferClose}}`,
		},
	}
	k := load(t)["Istio"]
	schemas := readSchemas(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var v map[string]any
			if err := yaml.Unmarshal([]byte(tc.values), &v); err != nil {
				t.Fatal(err)
			}
			for version, s := range schemas {
				if version < tc.since {
					continue
				}
				for _, p := range s.Check(values.RootIstio, v, "spec.values") {
					t.Errorf("%s: %s: %s", tc.reason, version, p)
				}
			}
			object := parse(t, "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {values: "+
				tc.values+"}}")
			if _, complaints := k.admit(object, nil); len(complaints) > 0 {
				t.Errorf("%s: the CRD says %q", tc.reason, complaints)
			}
		})
	}
}
