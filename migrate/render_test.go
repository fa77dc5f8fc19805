package migrate_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

const bundles = "../internal/release/bundles"

// render renders Istio and IstioCNI resources; the charts are those that Helm renders (internal/render tests that).
func render(t testing.TB, text string) string {
	t.Helper()
	items, err := resource.ParseDocuments([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var all []manifest.Object
	for _, f := range []expand.Function{expand.RenderIstio, expand.RenderCNI} {
		expanded := f.Items(items, nil)
		if expanded.Findings.HasError() {
			t.Fatalf("%v in:\n%s", expanded.Findings, text)
		}
		objects, err := expanded.Plain()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, objects...)
	}
	return write(t, all)
}

// cases are IstioOperators as people have them, and the resources with the same values, written by hand.
var cases = map[string]struct{ operator, want string }{
	"the user guide's simple one": {
		`spec:
  tag: 1.23.2
  meshConfig: {accessLogFile: /dev/stdout}
  values: {pilot: {traceSampling: 0.1}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.23.2, values: {meshConfig: {accessLogFile: /dev/stdout}, pilot: {traceSampling: 0.1}}}
`,
	},
	"the user guide's environment variables": {
		`spec:
  tag: 1.24.0
  values:
    global: {istiod: {enableAnalysis: true}}
    pilot: {env: {PILOT_ENABLE_STATUS: true}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.24.0, values: {global: {istiod: {enableAnalysis: true}},
  pilot: {env: {PILOT_ENABLE_STATUS: "true"}}}}
`,
	},
	"openshift, whose profile has the CNI plugin": {
		`spec:
  profile: openshift
  tag: 1.28.3
  values: {cni: {logLevel: debug}, global: {imagePullSecrets: [pull]}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.28.3, profile: openshift, values: {global: {imagePullSecrets: [pull]},
  pilot: {cni: {enabled: true}}}}
---
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata: {name: default}
spec: {version: v1.28.3, namespace: kube-system, profile: openshift, values: {cni: {logLevel: debug},
  global: {imagePullSecrets: [pull]}}}
`,
	},
	"sidecars with the CNI plugin in its own namespace": {
		`spec:
  profile: minimal
  tag: 1.25.1
  hub: registry.example.com/istio
  components:
    cni:
      enabled: true
      namespace: istio-cni
      tag: 1.25.1-debug
      k8s:
        resources: {requests: {cpu: 50m}}
        env: [{name: AMBIENT, value: "no"}]
  values: {cni: {excludeNamespaces: [kube-system, istio-system]}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.25.1, values: {global: {hub: registry.example.com/istio}, pilot: {cni: {enabled: true}}}}
---
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata: {name: default}
spec:
  version: v1.25.1
  values:
    cni: {excludeNamespaces: [kube-system, istio-system], tag: 1.25.1-debug, resources: {requests: {cpu: 50m}},
      env: {AMBIENT: "no"}}
    global: {hub: registry.example.com/istio}
`,
	},
	"ambient": {
		`spec:
  profile: ambient
  tag: 1.27.0
  meshConfig: {accessLogFile: /dev/stdout}
  values: {global: {network: n1}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.27.0, profile: ambient, values: {global: {network: n1}, meshConfig: {accessLogFile: /dev/stdout},
  pilot: {cni: {enabled: true}}}}
---
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata: {name: default}
spec: {version: v1.27.0, namespace: istio-system, profile: ambient}
`,
	},
	"multi-primary": {
		`spec:
  tag: 1.26.0
  values: {global: {meshID: mesh1, multiCluster: {clusterName: cluster1}, network: network1}}
  components:
    ingressGateways:
    - name: istio-eastwestgateway
      label: {istio: eastwestgateway, app: istio-eastwestgateway, topology.istio.io/network: network1}
      enabled: true
      k8s:
        env: [{name: ISTIO_META_REQUESTED_NETWORK_VIEW, value: network1}]
        service: {ports: [{name: status-port, port: 15021, targetPort: 15021}, {name: tls, port: 15443,
          targetPort: 15443}]}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.26.0, values: {global: {meshID: mesh1, multiCluster: {clusterName: cluster1}, network: network1}}}
`,
	},
	"an external control plane": {
		`  namespace: external-istiod
spec:
  profile: empty
  tag: 1.28.3
  meshConfig: {rootNamespace: external-istiod, defaultConfig: {discoveryAddress: "host:15012",
    proxyMetadata: {XDS_ROOT_CA: /etc/ssl/certs/ca-certificates.crt}}}
  components:
    pilot:
      enabled: true
      k8s:
        env:
        - {name: INJECTION_WEBHOOK_CONFIG_NAME, value: istio-sidecar-injector-external-istiod}
        - {name: EXTERNAL_ISTIOD, value: "true"}
        volumes: [{name: config-volume, configMap: {name: istio-external-istiod}}]
        volumeMounts: [{name: config-volume, mountPath: /etc/istio/config}]
  values:
    global:
      caAddress: host:15012
      istioNamespace: external-istiod
      operatorManageWebhooks: true
      configValidation: false
      meshID: mesh1
`,
		`kind: Istio
metadata: {name: default}
spec:
  version: v1.28.3
  namespace: external-istiod
  profile: empty
  values:
    meshConfig: {rootNamespace: external-istiod, defaultConfig: {discoveryAddress: "host:15012",
      proxyMetadata: {XDS_ROOT_CA: /etc/ssl/certs/ca-certificates.crt}}}
    global: {caAddress: "host:15012", operatorManageWebhooks: true, configValidation: false, meshID: mesh1}
    pilot:
      env: {INJECTION_WEBHOOK_CONFIG_NAME: istio-sidecar-injector-external-istiod, EXTERNAL_ISTIOD: "true"}
      volumes: [{name: config-volume, configMap: {name: istio-external-istiod}}]
      volumeMounts: [{name: config-volume, mountPath: /etc/istio/config}]
`,
	},
	"a remote cluster": {
		`spec:
  profile: remote
  tag: 1.28.3
  values: {istiodRemote: {injectionPath: /inject/cluster/c2/net/n1}, global: {remotePilotAddress: 10.0.0.1}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.28.3, profile: remote, values: {istiodRemote: {injectionPath: /inject/cluster/c2/net/n1},
  global: {remotePilotAddress: 10.0.0.1}}}
`,
	},
	"a remote cluster of 1.23, with the chart istiod-remote": {
		`spec:
  tag: 1.23.2
  components: {pilot: {enabled: false}, istiodRemote: {enabled: true}}
  values: {istiodRemote: {injectionPath: /inject}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.23.2, profile: remote, values: {istiodRemote: {injectionPath: /inject}}}
`,
	},
	"demo with gateways": {
		`spec:
  profile: demo
  hub: docker.io/istio
  tag: 1.28.3
  values: {gateways: {istio-ingressgateway: {type: NodePort}}, global: {proxy: {privileged: true}}}
`,
		`kind: Istio
metadata: {name: default}
spec: {version: v1.28.3, profile: demo, values: {global: {hub: docker.io/istio, proxy: {privileged: true}}}}
`,
	},
	"a canary with all of istiod's k8s settings, and an overlay": {
		`spec:
  profile: minimal
  tag: 1.28.3
  revision: canary
  components:
    pilot:
      hub: registry.example.com
      tag: 1.28.3-distroless
      k8s:
        affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
          {matchExpressions: [{key: a, operator: Exists}]}]}}}
        env:
        - {name: PILOT_TRACE_SAMPLING, value: "5"}
        - {name: FROM, valueFrom: {secretKeyRef: {name: s, key: k}}}
        hpaSpec:
          minReplicas: 2
          maxReplicas: 4
          scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: istiod-canary}
          metrics:
          - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}
          - {type: Resource, resource: {name: memory, target: {type: Utilization, averageUtilization: 70}}}
        nodeSelector: {disk: ssd}
        podAnnotations: {a: b}
        podDisruptionBudget: {maxUnavailable: 1}
        resources: {limits: {cpu: "1"}}
        serviceAnnotations: {c: d}
        strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
        tolerations: [{key: t, operator: Exists}]
        overlays: [{kind: Deployment, name: istiod-canary, patches: [{path: spec.template.spec.hostNetwork,
          value: true}]}]
`,
		`kind: Istio
metadata: {name: canary}
spec:
  version: v1.28.3
  values:
    pilot:
      hub: registry.example.com
      tag: 1.28.3-distroless
      affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [
        {matchExpressions: [{key: a, operator: Exists}]}]}}}
      traceSampling: 5
      envVarFrom: [{name: FROM, valueFrom: {secretKeyRef: {name: s, key: k}}}]
      autoscaleMin: 2
      autoscaleMax: 4
      cpu: {targetAverageUtilization: 60}
      memory: {targetAverageUtilization: 70}
      nodeSelector: {disk: ssd}
      podAnnotations: {a: b}
      pdb: {maxUnavailable: 1}
      resources: {limits: {cpu: "1"}}
      serviceAnnotations: {c: d}
      rollingMaxSurge: 1
      rollingMaxUnavailable: 0
      tolerations: [{key: t, operator: Exists}]
`,
	},
	"anchors, merge keys and the booleans of YAML 1.1": {
		`spec:
  profile: minimal
  tag: 1.28.3
  components:
    pilot:
      k8s: {resources: {requests: &r {cpu: 100m, memory: 1Gi}}}
  values:
    global: {proxy: {resources: {requests: *r, limits: {<<: *r, cpu: 1}}}}
    pilot: {autoscaleEnabled: no}
`,
		`kind: Istio
metadata: {name: default}
spec:
  version: v1.28.3
  values:
    global: {proxy: {resources: {requests: {cpu: 100m, memory: 1Gi}, limits: {cpu: 1, memory: 1Gi}}}}
    pilot: {autoscaleEnabled: false, resources: {requests: {cpu: 100m, memory: 1Gi}}}
`,
	},
}

// TestRender renders what IstioOperators become and compares with the rendering of the same values in resources written
// by hand.
func TestRender(t *testing.T) {
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t,
				"apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata:\n  name: default\n"+c.operator), "")
			if len(out.Objects) == 0 {
				t.Fatal(out.Findings)
			}
			got := write(t, out.Objects)
			if diff := cmp.Diff(render(t, "apiVersion: sailoperator.io/v1\n"+c.want), render(t, got)); diff != "" {
				t.Errorf("migrated:\n%s-want, +got:\n%s", got, diff)
			}
		})
	}
}

// TestProfiles compares what migrate knows of the profiles with those that Istio ships, by what they give.
func TestProfiles(t *testing.T) {
	files, err := filepath.Glob(bundles + "/*/profiles/*.yaml")
	if err != nil || len(files) == 0 {
		t.Skipf("no bundles (%v)", err)
	}
	type enabled struct{ Enabled *bool }
	type gateways []enabled
	type file struct {
		Spec struct {
			Components struct {
				Pilot, Cni      enabled
				Ztunnel         struct{ Enabled bool }
				IstiodRemote    enabled  `yaml:"istiodRemote"`
				IngressGateways gateways `yaml:"ingressGateways"`
				EgressGateways  gateways `yaml:"egressGateways"`
			}
		}
	}
	for _, name := range files {
		version := filepath.Base(filepath.Dir(filepath.Dir(name)))
		profile := strings.TrimSuffix(filepath.Base(name), ".yaml")
		t.Run(version+"/"+profile, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var f file
			if err := decodeInto(t, string(data), &f); err != nil {
				t.Fatal(err)
			}
			is := func(e enabled, other bool) bool {
				if e.Enabled == nil {
					return other
				}
				return *e.Enabled
			}
			c := f.Spec.Components
			ingress, egress := true, false // profiles lie over default
			if len(c.IngressGateways) > 0 {
				ingress = is(c.IngressGateways[0], true)
			}
			if len(c.EgressGateways) > 0 {
				egress = is(c.EgressGateways[0], true)
			}
			out := migrate.Operator(object(t, head+"spec: {profile: "+profile+", tag: "+strings.TrimPrefix(version, "v")+"}\n"),
				"")
			got, text := map[string]bool{"ingress": false, "egress": false, "ztunnel": false}, write(t, out.Objects)
			for _, r := range out.Findings {
				for key, says := range map[string]string{
					"ingress": "gateway istio-ingressgateway", "egress": "gateway istio-egressgateway",
					"ztunnel": "ztunnel is not part",
				} {
					got[key] = got[key] || strings.Contains(r.Message, says)
				}
			}
			got["istio"], got["cni"] = strings.Contains(text, "kind: Istio\n"), strings.Contains(text, "kind: IstioCNI\n")
			want := map[string]bool{
				"istio": is(c.Pilot, true) || is(c.IstiodRemote, false), "cni": is(c.Cni, false), "ztunnel": c.Ztunnel.Enabled,
				"ingress": ingress, "egress": egress,
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-profile of Istio, +migrated:\n%s", diff)
			}
		})
	}
}

func decodeInto(t *testing.T, text string, into any) error {
	t.Helper()
	return object(t, text).Decode(into)
}

// TestChartsReadWhatMigrateSays looks up in the charts what migrate says about them: the values below global that the
// chart cni reads, and the variables that istiod's chart always writes.
func TestChartsReadWhatMigrateSays(t *testing.T) {
	global := regexp.MustCompile(`\.Values\.global\.([A-Za-z]+)`)
	variable := regexp.MustCompile(`(?m)^ +- name: ([A-Z_]+)$`)
	// Written on a condition that an env of the same name in the values switches off, or that names the values to set.
	conditional := []string{"CA_TRUSTED_NODE_ACCOUNTS", "EXTERNAL_ISTIOD", "PILOT_CA_CERT_CONFIGMAP"}
	globals, variables := map[string]bool{}, map[string]bool{}
	read := func(pattern string, re *regexp.Regexp, into map[string]bool) {
		files, _ := filepath.Glob(filepath.Join(bundles, pattern))
		for _, f := range files {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			for _, match := range re.FindAllStringSubmatch(string(data), -1) {
				into[match[1]] = true
			}
		}
	}
	read("v*/cni/templates/*", global, globals)
	read("v*/istiod/templates/deployment.yaml", variable, variables)
	if len(globals) == 0 {
		t.Skip("no bundles")
	}
	for _, v := range conditional {
		delete(variables, v)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(globals)), migrate.CNIGlobals); diff != "" {
		t.Errorf("values below global that the chart cni reads: -charts, +migrate:\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(variables)), migrate.ReservedEnv); diff != "" {
		t.Errorf("variables that istiod's chart writes: -charts, +migrate:\n%s", diff)
	}
}
