package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/migrate"
)

// said are the messages of findings of a severity about a field.
func said(findings finding.List, s finding.Severity, field string) string {
	var out []string
	for _, f := range findings {
		if f.Severity == s && f.Field == field {
			out = append(out, f.Message)
		}
	}
	return strings.Join(out, "\n")
}

// valuesOf are the values of the resource of a kind.
func valuesOf(t *testing.T, out migrate.Output, kind string) map[string]any {
	t.Helper()
	for _, o := range out.Objects {
		var r struct {
			Spec struct{ Values map[string]any }
		}
		if o.Kind() == kind {
			if err := o.Decode(&r); err != nil {
				t.Fatal(err)
			}
			return r.Spec.Values
		}
	}
	t.Fatalf("no %s; findings: %v", kind, out.Findings)
	return nil
}

// TestSettings is the table of the k8s settings of istiod and the CNI plugin: the values that each becomes, or the part
// of an object that the patch in its finding has.
func TestSettings(t *testing.T) {
	t.Parallel()
	const pod = "Deployment: {spec: {template: {spec: "
	const container = pod + "{containers: [{name: discovery, "
	for _, c := range []struct{ reason, component, version, setting, values, patch string }{
		{"where pods go", "pilot", "1.28.3", "affinity: {podAffinity: {}}", "pilot: {affinity: {podAffinity: {}}}", ""},
		{"on which nodes", "pilot", "1.28.3", "nodeSelector: {a: b}", "pilot: {nodeSelector: {a: b}}", ""},
		{"what they tolerate", "pilot", "1.28.3", "tolerations: [{key: a}]", "pilot: {tolerations: [{key: a}]}", ""},
		{"what is noted on them", "pilot", "1.28.3", "podAnnotations: {a: b}", "pilot: {podAnnotations: {a: b}}", ""},
		{"and on the service", "pilot", "1.28.3", "serviceAnnotations: {a: b}", "pilot: {serviceAnnotations: {a: b}}", ""},
		{"how many", "pilot", "1.28.3", "replicaCount: 3", "pilot: {replicaCount: 3}", ""},
		{"what they get", "pilot", "1.28.3", "resources: {limits: {cpu: 2}}", "pilot: {resources: {limits: {cpu: 2}}}", ""},
		{"volumes", "pilot", "1.28.3", "volumes: [{name: a}]", "pilot: {volumes: [{name: a}]}", ""},
		{"mounts", "pilot", "1.28.3", "volumeMounts: [{name: a}]", "pilot: {volumeMounts: [{name: a}]}", ""},
		{"a budget", "pilot", "1.27.0", "podDisruptionBudget: {minAvailable: 2}", "pilot: {pdb: {minAvailable: 2}}", ""},
		{
			"a budget before it was a value", "pilot", "1.26.0", "podDisruptionBudget: {minAvailable: 2}", "",
			"PodDisruptionBudget: {spec: {minAvailable: 2}}",
		},
		{
			"a budget with both limits, which is for the user to decide", "pilot", "1.26.0",
			"podDisruptionBudget: {minAvailable: 2, maxUnavailable: 1}", "",
			"PodDisruptionBudget: {spec: {minAvailable: 2, maxUnavailable: 1}}",
		},
		{
			"an image policy", "pilot", "1.28.3", "imagePullPolicy: Always", "",
			container + "imagePullPolicy: Always}]}}}}",
		},
		{
			"a priority", "pilot", "1.28.3", "priorityClassName: high", "", pod + "{priorityClassName: high}}}}",
		},
		{
			"a probe", "pilot", "1.28.3", "readinessProbe: {periodSeconds: 3}", "",
			container + "readinessProbe: {periodSeconds: 3}}]}}}}",
		},
		{
			"a probe of another kind", "pilot", "1.28.3", "readinessProbe: {grpc: {port: 1}}", "",
			container + "readinessProbe: {grpc: {port: 1}, httpGet: null}}]}}}}",
		},
		{
			"a probe by a program", "pilot", "1.28.3", "readinessProbe: {exec: {command: [a]}}", "",
			container + "readinessProbe: {exec: {command: [a]}, httpGet: null}}]}}}}",
		},
		{
			"a security context", "pilot", "1.28.3", "securityContext: {fsGroup: 1}", "",
			pod + "{securityContext: {fsGroup: 1}}}}}",
		},
		{"a service", "pilot", "1.28.3", "service: {type: NodePort}", "", "Service: {spec: {type: NodePort}}"},
		{
			"rolling updates", "pilot", "1.28.3", "strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}",
			"pilot: {rollingMaxSurge: 1, rollingMaxUnavailable: 0}", "",
		},
		{
			"all at once", "pilot", "1.28.3", "strategy: {type: Recreate}", "",
			"Deployment: {spec: {strategy: {type: Recreate, rollingUpdate: null}}}",
		},
		{
			"rolling updates with more to it", "pilot", "1.28.3", "strategy: {rollingUpdate: {maxSurge: 1, more: 2}}", "",
			"Deployment: {spec: {strategy: {rollingUpdate: {maxSurge: 1, more: 2}}}}",
		},
		{
			"a strategy with more to it", "pilot", "1.28.3", "strategy: {rollingUpdate: {maxSurge: 1}, more: 2}", "",
			"Deployment: {spec: {strategy: {rollingUpdate: {maxSurge: 1}, more: 2}}}",
		},
		{
			"bounds of the autoscaler", "pilot", "1.28.3", "hpaSpec: {minReplicas: 2, maxReplicas: 3, behavior: {a: b}}",
			"pilot: {autoscaleMin: 2, autoscaleMax: 3, autoscaleBehavior: {a: b}}", "",
		},
		{
			"utilization of memory too", "pilot", "1.28.3", "hpaSpec: {metrics: [" +
				"{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}, " +
				"{type: Resource, resource: {name: memory, target: {averageUtilization: 70}}}]}",
			"pilot: {cpu: {targetAverageUtilization: 60}, memory: {targetAverageUtilization: 70}}", "",
		},
		{
			"utilization of memory alone, beside which the chart has that of CPU", "pilot", "1.28.3",
			"hpaSpec: {metrics: [{type: Resource, resource: {name: memory, target: {averageUtilization: 70}}}]}", "",
			"HorizontalPodAutoscaler: {spec: {metrics: [{type: Resource, resource: {name: memory, target: " +
				"{averageUtilization: 70}}}]}}",
		},
		{
			"an amount", "pilot", "1.28.3", "hpaSpec: {metrics: [{type: Resource, resource: {name: cpu, target: " +
				"{type: AverageValue, averageValue: 1}}}]}", "",
			"HorizontalPodAutoscaler: {spec: {metrics: [{type: Resource, resource: {name: cpu, target: " +
				"{type: AverageValue, averageValue: 1}}}]}}",
		},
		{
			"utilization of something else", "pilot", "1.28.3", "hpaSpec: {metrics: [{type: Resource, resource: " +
				"{name: disk, target: {averageUtilization: 1}}}]}", "",
			"HorizontalPodAutoscaler: {spec: {metrics: [{type: Resource, resource: {name: disk, target: " +
				"{averageUtilization: 1}}}]}}",
		},
		{
			"metrics that are no list", "pilot", "1.28.3", "hpaSpec: {metrics: {a: b}}", "",
			"HorizontalPodAutoscaler: {spec: {metrics: {a: b}}}",
		},
		{"a variable", "pilot", "1.28.3", "env: [{name: A, value: b}]", "pilot: {env: {A: b}}", ""},
		{"a variable without a value", "pilot", "1.28.3", "env: [{name: A}]", `pilot: {env: {A: ""}}`, ""},
		{"variables as an object", "pilot", "1.28.3", "env: {A: b}", "pilot: {env: {A: b}}", ""},
		{"tracing", "pilot", "1.28.3", `env: [{name: PILOT_TRACE_SAMPLING, value: "5"}]`, "pilot: {traceSampling: 5}", ""},
		{
			"a variable from elsewhere", "pilot", "1.26.0", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: a}}}]",
			"pilot: {envVarFrom: [{name: A, valueFrom: {fieldRef: {fieldPath: a}}}]}", "",
		},
		{
			"before there was a value for it", "pilot", "1.25.1", "env: [{name: A, valueFrom: {fieldRef: {fieldPath: a}}}]",
			"", container + "env: [{name: A, valueFrom: {fieldRef: {fieldPath: a}}}]}]}}}}",
		},
		{
			"a variable of the chart's", "pilot", "1.28.3", "env: [{name: POD_NAME, value: a}]", "",
			container + "env: [{name: POD_NAME, value: a, valueFrom: null}]}]}}}}",
		},
		{
			"a variable of the chart's from elsewhere", "pilot", "1.28.3",
			"env: [{name: REVISION, valueFrom: {fieldRef: {fieldPath: a}}}]", "",
			container + "env: [{name: REVISION, valueFrom: {fieldRef: {fieldPath: a}}, value: null}]}]}}}}",
		},
		{"what the plugin gets", "cni", "1.28.3", "resources: {limits: {a: 2}}", "cni: {resources: {limits: {a: 2}}}", ""},
		{"the plugin's image policy", "cni", "1.28.3", "imagePullPolicy: Always", "cni: {pullPolicy: Always}", ""},
		{"the plugin's variables", "cni", "1.28.3", "env: [{name: A, value: b}]", "cni: {env: {A: b}}", ""},
		{"what the plugin tolerates", "cni", "1.27.0", "tolerations: [{key: a}]", "cni: {tolerations: [{key: a}]}", ""},
		{
			"what it tolerated before", "cni", "1.26.0", "tolerations: [{key: a}]", "",
			"DaemonSet: {spec: {template: {spec: {tolerations: [{key: a}]}}}}",
		},
		{
			"a setting of the plugin's container", "cni", "1.28.3", "volumeMounts: [{name: a}]", "",
			"DaemonSet: {spec: {template: {spec: {containers: [{name: install-cni, volumeMounts: [{name: a}]}]}}}}",
		},
	} {
		t.Run(c.component+"/"+c.reason, func(t *testing.T) {
			t.Parallel()
			const others = "  profile: minimal\n  components: {cni: {enabled: true}, pilot: {enabled: true}}\n"
			enabled := c.component + ": {enabled: true"
			spec := strings.Replace(others, enabled, enabled+", k8s: {"+c.setting+"}", 1)
			out := migrate.Operator(object(t, head+"spec:\n  tag: "+c.version+"\n"+spec), "")
			kind := map[string]string{"pilot": "Istio", "cni": "IstioCNI"}[c.component]
			got := valuesOf(t, out, kind)
			if got == nil {
				got = map[string]any{}
			}
			if pilot, ok := got["pilot"].(map[string]any); ok {
				delete(pilot, "cni") // the plugin is there
				if len(pilot) == 0 {
					delete(got, "pilot")
				}
			}
			want := map[string]any{}
			read(t, "{"+c.values+"}", &want)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("values: -want +got:\n%s", diff)
			}
			patch, patched := "", map[string]any{}
			for _, f := range out.Findings {
				if strings.HasPrefix(f.Field, "spec.components."+c.component+".k8s.") &&
					strings.Contains(f.Message, "patches:\n") {
					patch = f.Message
				}
			}
			wanted := map[string]map[string]any{}
			read(t, "{"+c.patch+"}", &wanted)
			for kind, want := range wanted {
				if !objectIn(t, patch, kind, &patched) {
					t.Fatalf("no patch of a %s; there are: %v", kind, out.Findings)
				}
				meta := map[string]any{"name": "istiod", "namespace": "istio-system"}
				if c.component == "cni" {
					meta["name"] = "istio-cni-node"
				}
				if diff := cmp.Diff(meta, patched["metadata"]); diff != "" {
					t.Errorf("the object that is patched: -want +got:\n%s", diff)
				}
				if diff := cmp.Diff(want["spec"], patched["spec"]); diff != "" {
					t.Errorf("the patch: -want +got:\n%s", diff)
				}
			}
			if c.patch == "" && patch != "" {
				t.Errorf("there is a patch: %s", patch)
			}
		})
	}
}

// TestSettingsWithoutEffect lists the k8s settings that become nothing, and what is said about each.
func TestSettingsWithoutEffect(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, component, setting, field string
		severity                          finding.Severity
		says                              string
	}{
		{"no setting", "pilot", "novelty: 1", "novelty", finding.Warning, "nothing that istioctl knows"},
		{"no autoscaler of a DaemonSet", "cni", "hpaSpec: {minReplicas: 1}", "hpaSpec", finding.Warning, "nothing that"},
		{"no service of it", "cni", "service: {type: NodePort}", "service", finding.Warning, "nothing that istioctl knows"},
		{"no budget", "cni", "podDisruptionBudget: {minAvailable: 1}", "podDisruptionBudget", finding.Warning, "nothing"},
		{"no strategy like that", "cni", "strategy: {type: Recreate}", "strategy", finding.Warning, "nothing that istioctl"},
		{"no number", "cni", "replicaCount: 2", "replicaCount", finding.Warning, "nothing that istioctl knows"},
		{"a variable without a name", "pilot", "env: [{value: a}]", "env.0", finding.Warning, "without a name"},
		{"variables that are text", "pilot", "env: a", "env", finding.Error, "must be a list"},
		{"a variable that is text", "pilot", "env: [a]", "env.0", finding.Error, "must be an object"},
		{
			"a number that the autoscaler decides", "pilot", "replicaCount: 2", "replicaCount", finding.Info,
			"the HorizontalPodAutoscaler decides",
		},
		{
			"the target of the autoscaler", "pilot", "hpaSpec: {scaleTargetRef: {name: a}}", "hpaSpec.scaleTargetRef",
			finding.Info, "the Deployment istiod as its target",
		},
		{
			"the strategy that there is", "pilot", "strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 1}}",
			"strategy.type", finding.Info, "is the strategy of the chart",
		},
	} {
		t.Run(c.component+"/"+c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  profile: minimal\n  tag: 1.28.3\n  components: {"+c.component+
				": {enabled: true, k8s: {"+c.setting+"}}}\n"), "")
			message := said(out.Findings, c.severity, "spec.components."+c.component+".k8s."+c.field)
			if !strings.Contains(message, c.says) {
				t.Errorf("want %q; there are: %v", c.says, out.Findings)
			}
		})
	}
}
