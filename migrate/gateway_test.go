package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/migrate"
)

// TestGatewayObjects is the table of which of the Service, the HorizontalPodAutoscaler and the PodDisruptionBudget of a
// gateway there are, for both kinds of gateways: those that the chart makes, with what k8s says of them. istioctl makes
// none that the chart does not.
func TestGatewayObjects(t *testing.T) {
	t.Parallel()
	const budget, none = "minAvailable: 1", ""
	kinds := map[string]string{"ingressGateways": "istio-ingressgateway", "egressGateways": "istio-egressgateway"}
	for _, c := range []struct {
		reason, version, profile, values, global, k8s string
		service, scaler, budget                       string   // contained in the object, if there is one
		says                                          []string // contained in the finding
	}{
		{
			reason: "the defaults", version: "1.28.3", profile: "default",
			service: "port: 443", scaler: "maxReplicas: 5", budget: none,
		},
		{
			reason: "and of versions that made a budget of one pod", version: "1.27.0", profile: "default",
			service: "port: 443", scaler: "maxReplicas: 5", budget: budget,
		},
		{
			reason: "k8s settings of all that there is", version: "1.27.0", profile: "default",
			k8s: "{service: {type: NodePort}, serviceAnnotations: {a: b}, hpaSpec: {maxReplicas: 9}, " +
				"podDisruptionBudget: {minAvailable: 2}}",
			service: "type: NodePort", scaler: "maxReplicas: 9", budget: "minAvailable: 2",
		},
		{
			reason: "no autoscaler to patch", version: "1.27.0", profile: "default",
			values: "{autoscaleEnabled: false}", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: none, budget: budget,
			says: []string{"Not in it: hpaSpec: {maxReplicas: 9} (there was no HorizontalPodAutoscaler to patch"},
		},
		{
			reason: "nor with the profile demo", version: "1.28.3", profile: "demo", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: none, budget: none, says: []string{"no HorizontalPodAutoscaler to patch"},
		},
		{
			reason: "unless the values say so", version: "1.28.3", profile: "demo",
			values: "{autoscaleEnabled: true, autoscaleMin: 2}", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: "maxReplicas: 9", budget: budget,
		},
		{
			reason: "no least number", version: "1.28.3", profile: "default",
			values: "{autoscaleMin: 0}", service: "port: 443", scaler: none, budget: none,
		},
		{
			reason: "no greatest number", version: "1.28.3", profile: "default",
			values: "{autoscaleMax: 0, autoscaleMin: 2}", service: "port: 443", scaler: none, budget: budget,
		},
		{
			reason: "several pods by the autoscaler", version: "1.28.3", profile: "default",
			values: "{autoscaleMin: 2}", service: "port: 443", scaler: "minReplicas: 2", budget: budget,
		},
		{
			reason: "several pods by the k8s settings, of which the chart knows nothing", version: "1.28.3",
			profile: "default", k8s: "{hpaSpec: {minReplicas: 2}}",
			service: "port: 443", scaler: "minReplicas: 2", budget: none,
		},
		{
			reason: "several pods without an autoscaler", version: "1.28.3", profile: "default",
			values: "{autoscaleEnabled: false, replicaCount: 3}", service: "port: 443", scaler: none, budget: budget,
		},
		{
			reason: "which count without an autoscaler only", version: "1.28.3", profile: "default",
			values: "{replicaCount: 3}", service: "port: 443", scaler: "minReplicas: 1", budget: none,
		},
		{
			reason: "no budget to patch", version: "1.28.3", profile: "default",
			k8s: "{podDisruptionBudget: {maxUnavailable: 1}}", service: "port: 443", scaler: "minReplicas: 1", budget: none,
			says: []string{"podDisruptionBudget: {maxUnavailable: 1} (there was no PodDisruptionBudget to patch"},
		},
		{
			reason: "no budgets by default", version: "1.27.0", profile: "default",
			global: "{defaultPodDisruptionBudget: {enabled: false}}", k8s: "{podDisruptionBudget: {minAvailable: 2}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: none,
			says: []string{"no PodDisruptionBudget to patch"},
		},
		{
			reason: "budgets by default, in so many words", version: "1.27.0", profile: "default",
			global:  "{defaultPodDisruptionBudget: {enabled: true}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: budget,
		},
		{
			reason: "a budget of the other kind", version: "1.27.0", profile: "default",
			k8s:     "{podDisruptionBudget: {maxUnavailable: 1}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: "maxUnavailable: 1",
		},
		{
			reason: "no service to patch", version: "1.28.3", profile: "default",
			values: "{customService: true, type: NodePort}", k8s: "{service: {clusterIP: None}, serviceAnnotations: {a: b}}",
			service: none, scaler: "minReplicas: 1", budget: none,
			says: []string{"service: {clusterIP: None} (there was no Service to patch", "serviceAnnotations: {a: b} (there was"},
		},
	} {
		for kind, name := range kinds {
			t.Run(c.reason+"/"+kind, func(t *testing.T) {
				t.Parallel()
				or := func(s string) string {
					if s == "" {
						return "{}"
					}
					return s
				}
				out := migrate.Operator(object(t, head+"spec:\n  tag: "+c.version+"\n  profile: "+c.profile+"\n  components: {"+
					kind+": [{name: g, k8s: "+or(c.k8s)+"}]}\n  values: {global: "+or(c.global)+", gateways: {"+name+": "+
					or(c.values)+"}}\n"), "")
				message := ""
				for _, f := range out.Findings {
					if f.Field == "spec.components."+kind+".0" {
						message = f.Message
					}
				}
				says, manifest, _ := strings.Cut(message, ":\n")
				contains(t, "the finding", says, c.says, nil)
				if len(c.says) == 0 && strings.Contains(says, "Not in it") {
					t.Errorf("something is not in the manifest: %s", says)
				}
				is := map[string]string{"Service": none, "HorizontalPodAutoscaler": none, "PodDisruptionBudget": none}
				for document := range strings.SplitSeq(manifest, "---\n") {
					for kind, want := range map[string]string{
						"Service": c.service, "HorizontalPodAutoscaler": c.scaler, "PodDisruptionBudget": c.budget,
					} {
						if strings.Contains(document, "\nkind: "+kind+"\n") {
							is[kind] = document
							if want != "" && strings.Contains(document, want) {
								is[kind] = want
							}
						}
					}
					if strings.Contains(document, "maxUnavailable") && strings.Contains(document, "minAvailable") {
						t.Errorf("two limits, of which the API server refuses one:\n%s", document)
					}
				}
				want := map[string]string{
					"Service": c.service, "HorizontalPodAutoscaler": c.scaler, "PodDisruptionBudget": c.budget,
				}
				if diff := cmp.Diff(want, is); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// TestGatewaySettings is the table of where values and k8s settings of a gateway go in its manifest.
func TestGatewaySettings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, component, values, kind, path, want string }{
		{"its type", "", "type: NodePort", "Service", "spec.type", "NodePort"},
		{"its ports", "", "ports: [{port: 1}]", "Service", "spec.ports", "[{port: 1}]"},
		{"its address", "", "loadBalancerIP: a", "Service", "spec.loadBalancerIP", "a"},
		{"who may call", "", "loadBalancerSourceRanges: [a]", "Service", "spec.loadBalancerSourceRanges", "[a]"},
		{"whose address it sees", "", "externalTrafficPolicy: Local", "Service", "spec.externalTrafficPolicy", "Local"},
		{"notes on the service", "", "serviceAnnotations: {a: b}", "Service", "metadata.annotations", "{a: b}"},
		{"the least", "", "autoscaleMin: 2", "HorizontalPodAutoscaler", "spec.minReplicas", "2"},
		{"the most", "", "autoscaleMax: 9", "HorizontalPodAutoscaler", "spec.maxReplicas", "9"},
		{"how many", "", "replicaCount: 3", "Deployment", "spec.replicas", "3"},
		{
			"notes on pods", "", "podAnnotations: {a: b}", "Deployment", "spec.template.metadata.annotations",
			"{inject.istio.io/templates: gateway, a: b}",
		},
		{"nodes", "", "nodeSelector: {a: b}", "Deployment", "spec.template.spec.nodeSelector", "{a: b}"},
		{"tolerations", "", "tolerations: [{key: a}]", "Deployment", "spec.template.spec.tolerations", "[{key: a}]"},
		{
			"resources", "", "resources: {limits: {cpu: 9}}", "Deployment", "spec.template.spec.containers.0.resources",
			"{requests: {cpu: 100m, memory: 128Mi}, limits: {cpu: 9, memory: 1024Mi}}",
		},
		{
			"variables", "", "env: {A: true, B: 1.50}", "Deployment", "spec.template.spec.containers.0.env",
			`[{name: A, value: "true"}, {name: B, value: "1.5"}]`,
		},
		{"the account", "", "serviceAccount: {annotations: {a: b}}", "ServiceAccount", "metadata.annotations", "{a: b}"},
		{"labels of the values", "", "labels: {a: b}", "Service", "spec.selector", "{app: APP, istio: ISTIO, a: b}"},
		{"its name by the values", "", "name: x", "Service", "metadata.name", "x"},
		{"its name by the component", "name: w", "name: x", "Service", "metadata.name", "w"},
		{"its name otherwise", "", "", "Service", "metadata.name", "APP"},
		{"a name that is no text to YAML", `name: "8"`, "", "Service", "metadata.name", `"8"`},
		{"a name that is none", `name: "a\n---\nb"`, "", "Service", "metadata.name", `"a\n---\nb"`},
		{"its account", "name: w", "", "RoleBinding", "subjects", "[{kind: ServiceAccount, name: w-service-account}]"},
		{"its namespace", "namespace: n1", "", "Role", "metadata.namespace", "n1"},
		{
			"labels", "label: {app: b}", "labels: {app: c}", "Deployment", "spec.selector.matchLabels",
			"{app: b, istio: ISTIO}",
		},
		{
			"labels of its pods", "label: {a: b}", "", "Deployment", "spec.template.metadata.labels",
			`{app: APP, istio: ISTIO, a: b, sidecar.istio.io/inject: "true", istio.io/rev: canary}`,
		},
		{"k8s: affinity", "k8s: {affinity: {a: b}}", "", "Deployment", "spec.template.spec.affinity", "{a: b}"},
		{
			"k8s: variables, over those of the values", "k8s: {env: [{name: A, value: c}, {name: B}]}", "env: {A: b}",
			"Deployment", "spec.template.spec.containers.0.env", "[{name: A, value: c}, {name: B}]",
		},
		{
			"k8s: image policy", "k8s: {imagePullPolicy: Always}", "", "Deployment",
			"spec.template.spec.containers.0.imagePullPolicy", "Always",
		},
		{"k8s: nodes", "k8s: {nodeSelector: {a: b}}", "", "Deployment", "spec.template.spec.nodeSelector", "{a: b}"},
		{
			"k8s: notes on pods", "k8s: {podAnnotations: {a: b}}", "", "Deployment", "spec.template.metadata.annotations",
			"{inject.istio.io/templates: gateway, a: b}",
		},
		{
			"k8s: priority", "k8s: {priorityClassName: a}", "", "Deployment", "spec.template.spec.priorityClassName", "a",
		},
		{
			"k8s: probe", "k8s: {readinessProbe: {periodSeconds: 1}}", "", "Deployment",
			"spec.template.spec.containers.0.readinessProbe", "{periodSeconds: 1}",
		},
		{"k8s: how many", "k8s: {replicaCount: 4}", "replicaCount: 3", "Deployment", "spec.replicas", "4"},
		{
			"k8s: security context", "k8s: {securityContext: {a: b}}", "", "Deployment",
			"spec.template.spec.securityContext", "{a: b}",
		},
		{"k8s: service", "k8s: {service: {type: NodePort}}", "type: x", "Service", "spec.type", "NodePort"},
		{"k8s: notes", "k8s: {serviceAnnotations: {a: b}}", "", "Service", "metadata.annotations", "{a: b}"},
		{"k8s: strategy", "k8s: {strategy: {type: a}}", "", "Deployment", "spec.strategy", "{type: a}"},
		{
			"k8s: tolerations", "k8s: {tolerations: [{key: a}]}", "", "Deployment", "spec.template.spec.tolerations",
			"[{key: a}]",
		},
		{
			"k8s: mounts", "k8s: {volumeMounts: [{name: a}]}", "", "Deployment",
			"spec.template.spec.containers.0.volumeMounts", "[{name: a}]",
		},
		{"k8s: volumes", "k8s: {volumes: [{name: a}]}", "", "Deployment", "spec.template.spec.volumes", "[{name: a}]"},
	} {
		for kind, names := range map[string][2]string{
			"ingressGateways": {"istio-ingressgateway", "ingressgateway"},
			"egressGateways":  {"istio-egressgateway", "egressgateway"},
		} {
			t.Run(c.reason+"/"+kind, func(t *testing.T) {
				t.Parallel()
				out := migrate.Operator(object(t, head+"spec:\n  tag: 1.28.3\n  revision: canary\n  components: {"+kind+
					": [{"+c.component+"}]}\n  values: {gateways: {"+names[0]+": {"+c.values+"}}}\n"), "")
				message := said(out.Findings, finding.Warning, "spec.components."+kind+".0")
				if strings.Contains(message, "Not in it") {
					t.Errorf("something is not in the manifest: %s", message)
				}
				var got, want any
				if !objectIn(t, message, c.kind, &got) {
					t.Fatalf("no %s:\n%s", c.kind, message)
				}
				for key := range strings.SplitSeq(c.path, ".") {
					if list, ok := got.([]any); ok {
						got = list[0]
						continue
					}
					if object, ok := got.(map[string]any); ok {
						got = object[key]
					}
				}
				read(t, strings.NewReplacer("APP", names[0], "ISTIO", names[1]).Replace(c.want), &want)
				if diff := cmp.Diff(want, got); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}

// TestGatewaysNoted lists what of a gateway is not in its manifest, and what is said about it.
func TestGatewaysNoted(t *testing.T) {
	t.Parallel()
	const first = "spec.components.ingressGateways.0"
	for _, c := range []struct{ reason, spec, field, says string }{
		{
			"an image", "components: {ingressGateways: [{hub: h, tag: 1.2}]}", first,
			"the image h, which injection decides: the annotation sidecar.istio.io/proxyImage on the pods overrides it; the " +
				"image 1.2",
		},
		{
			"a setting that nobody knows", "components: {ingressGateways: [{k8s: {a: {b: c}}}]}", first,
			"Not in it: a: {b: c}:\n",
		},
		{
			"variables without a name", "components: {ingressGateways: [{k8s: {env: [{value: a}]}}]}", first,
			"Not in it: env: [{value: a}]",
		},
		{
			"an overlay that is none", "components: {ingressGateways: [{k8s: {overlays: [{kind: a}]}}]}", first,
			"Not in it: overlay {kind: a}",
		},
		{
			"an overlay", "components: {ingressGateways: [{name: g, k8s: {overlays: [{kind: Service, name: g, patches: " +
				"[{path: 'spec.ports.[name:a].port', value: 1}]}]}}]}", first,
			"# The overlays, as patches in the kustomization:\npatches:\n- target:\n    kind: Service\n    name: g\n",
		},
		{
			"values that have no place", "values: {gateways: {istio-ingressgateway: {cpu: {a: 1}, type: b}}}",
			"spec.values.gateways.istio-ingressgateway", "Add what is not: cpu: {a: 1}",
		},
		{
			"values of all gateways", "values: {gateways: {securityContext: {a: b}}}", "spec.values.gateways.securityContext",
			"({a: b}): an Istio has no gateways",
		},
		{
			"a gateway that the default profile has", "{}", "spec",
			"installs the gateway istio-ingressgateway (the profile default does)",
		},
		{
			"one that the values ask for", "values: {gateways: {istio-egressgateway: {enabled: true}}}", "spec",
			"installs the gateway istio-egressgateway",
		},
		{
			"none, where the list is empty", "components: {ingressGateways: []}\n  values: {gateways: " +
				"{istio-ingressgateway: {type: a}}}", "spec.values.gateways.istio-ingressgateway",
			"no such gateway is enabled, so it had no effect",
		},
		{
			"one that is off, by its default name", "components: {egressGateways: [{enabled: false}]}",
			"spec.components.egressGateways.0", "the gateway istio-egressgateway is not enabled",
		},
		{
			"values of two", "components: {ingressGateways: [{name: a}, {name: b}]}\n  values: {gateways: " +
				"{istio-ingressgateway: {type: a}}}", "spec.values.gateways.istio-ingressgateway", "the manifest of a, b",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			spec := "  " + c.spec + "\n"
			if c.spec == "{}" {
				spec = ""
			}
			out := migrate.Operator(object(t, head+"spec:\n  tag: 1.28.3\n"+spec), "")
			for _, f := range out.Findings {
				if f.Field == c.field && strings.Contains(f.Message, c.says) {
					return
				}
			}
			t.Errorf("no finding %q about %s; there are: %v", c.says, c.field, out.Findings)
		})
	}
}
