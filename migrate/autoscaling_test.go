package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/migrate"
)

// objectIn reads the object of a kind out of a finding: of the manifest in it, or of the patches.
func objectIn(t testing.TB, message, kind string, into any) bool {
	t.Helper()
	_, pasted, _ := strings.Cut(message, ":\n")
	documents := strings.Split(pasted, "---\n")
	var k struct {
		Patches []struct{ Patch string }
	}
	if strings.HasPrefix(pasted, "patches:\n") {
		read(t, pasted, &k)
		documents = nil
	}
	for _, p := range k.Patches {
		documents = append(documents, p.Patch)
	}
	for _, document := range documents {
		if strings.Contains(document, "\nkind: "+kind+"\n") {
			read(t, document, into)
			return true
		}
	}
	return false
}

// read decodes YAML.
func read(t testing.TB, text string, into any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}

// metricsIn are the metrics of the HorizontalPodAutoscaler that a finding about a field has.
func metricsIn(t *testing.T, out migrate.Output, field string) []any {
	t.Helper()
	var hpa struct{ Spec struct{ Metrics []any } }
	for _, f := range out.Findings {
		if f.Field == field && objectIn(t, f.Message, "HorizontalPodAutoscaler", &hpa) {
			return hpa.Spec.Metrics
		}
	}
	t.Fatalf("no HorizontalPodAutoscaler in a finding about %s; there are: %v", field, out.Findings)
	return nil
}

// TestMetrics is the table of the metrics of autoscaling/v2beta1 and of what they are in autoscaling/v2, for every
// component that has a HorizontalPodAutoscaler, and as an overlay.
func TestMetrics(t *testing.T) {
	t.Parallel()
	// A metric that no value of pilot can express, so that all of the list is in the patch.
	const other = "{type: Pods, pods: {metric: {name: other}, target: {type: AverageValue, averageValue: 1}}}"
	in := map[string]struct{ spec, field string }{
		"pilot": {
			"components: {pilot: {k8s: {hpaSpec: {metrics: [METRIC, " + other + "]}}}}",
			"spec.components.pilot.k8s.hpaSpec.metrics",
		},
		"an ingress gateway": {
			"components: {ingressGateways: [{name: g, k8s: {hpaSpec: {metrics: [METRIC, " + other + "]}}}]}",
			"spec.components.ingressGateways.0",
		},
		"an egress gateway": {
			"components: {egressGateways: [{name: g, k8s: {hpaSpec: {metrics: [METRIC, " + other + "]}}}]}",
			"spec.components.egressGateways.0",
		},
		"an overlay on metrics": {
			"components: {base: {k8s: {overlays: [{kind: HorizontalPodAutoscaler, name: istiod, patches: " +
				"[{path: spec.metrics, value: [METRIC, " + other + "]}]}]}}}",
			"spec.components.base.k8s.overlays.0",
		},
		"an overlay on the spec": {
			"components: {pilot: {k8s: {overlays: [{kind: HorizontalPodAutoscaler, name: istiod, patches: " +
				"[{path: spec, value: {metrics: [METRIC, " + other + "]}}]}]}}}",
			"spec.components.pilot.k8s.overlays.0",
		},
	}
	for _, c := range []struct{ reason, old, want string }{
		{
			"a utilization", "{type: Resource, resource: {name: cpu, targetAverageUtilization: 60}}",
			"{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 60}}}",
		},
		{
			"an amount of a resource", "{type: Resource, resource: {name: memory, targetAverageValue: 1Gi}}",
			"{type: Resource, resource: {name: memory, target: {type: AverageValue, averageValue: 1Gi}}}",
		},
		{
			"what one container uses",
			"{type: ContainerResource, containerResource: {name: cpu, container: a, targetAverageUtilization: 60}}",
			"{type: ContainerResource, containerResource: {name: cpu, container: a, target: {type: Utilization, " +
				"averageUtilization: 60}}}",
		},
		{
			"an amount that one container uses",
			"{type: ContainerResource, containerResource: {name: memory, container: a, targetAverageValue: 1Gi}}",
			"{type: ContainerResource, containerResource: {name: memory, container: a, target: {type: AverageValue, " +
				"averageValue: 1Gi}}}",
		},
		{
			"a metric of the pods", "{type: Pods, pods: {metricName: rps, targetAverageValue: 100}}",
			"{type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 100}}}",
		},
		{
			"with a selector",
			"{type: Pods, pods: {metricName: rps, selector: {matchLabels: {a: b}}, targetAverageValue: 100}}",
			"{type: Pods, pods: {metric: {name: rps, selector: {matchLabels: {a: b}}}, target: {type: AverageValue, " +
				"averageValue: 100}}}",
		},
		{
			"a metric of an object, which is called target",
			"{type: Object, object: {metricName: rps, target: {apiVersion: v1, kind: Service, name: s}, targetValue: 9}}",
			"{type: Object, object: {metric: {name: rps}, describedObject: {apiVersion: v1, kind: Service, name: s}, " +
				"target: {type: Value, value: 9}}}",
		},
		{
			"shared by the pods, beside which the value has no effect",
			"{type: Object, object: {metricName: rps, selector: {matchLabels: {a: b}}, target: {kind: Service, name: s}, " +
				"targetValue: 0, averageValue: 9}}",
			"{type: Object, object: {metric: {name: rps, selector: {matchLabels: {a: b}}}, describedObject: " +
				"{kind: Service, name: s}, target: {type: AverageValue, averageValue: 9}}}",
		},
		{
			"a metric from outside", "{type: External, external: {metricName: queue, targetValue: 30}}",
			"{type: External, external: {metric: {name: queue}, target: {type: Value, value: 30}}}",
		},
		{
			"shared by the pods, with a selector",
			"{type: External, external: {metricName: queue, metricSelector: {matchLabels: {q: a}}, targetAverageValue: 30}}",
			"{type: External, external: {metric: {name: queue, selector: {matchLabels: {q: a}}}, target: " +
				"{type: AverageValue, averageValue: 30}}}",
		},
		{
			"two targets, which the API server refuses as it did before",
			"{type: External, external: {metricName: queue, targetValue: 3, targetAverageValue: 30}}",
			"{type: External, external: {metric: {name: queue}, target: {type: AverageValue, averageValue: 30, value: 3}}}",
		},
		{
			"a resource of the new version", "{type: Resource, resource: {name: cpu, target: {type: Value, value: 1}}}",
			"{type: Resource, resource: {name: cpu, target: {type: Value, value: 1}}}",
		},
		{
			"an object of the new version",
			"{type: Object, object: {metric: {name: rps}, describedObject: {kind: Service, name: s}, target: {value: 9}}}",
			"{type: Object, object: {metric: {name: rps}, describedObject: {kind: Service, name: s}, target: {value: 9}}}",
		},
		{"what is neither", "{type: Pods, pods: 1}", "{type: Pods, pods: 1}"},
	} {
		for component, at := range in {
			t.Run(c.reason+"/"+component, func(t *testing.T) {
				t.Parallel()
				spec := "  profile: minimal\n  tag: 1.28.3\n  " + strings.Replace(at.spec, "METRIC", c.old, 1) + "\n"
				out := migrate.Operator(object(t, head+"spec:\n"+spec), "")
				var want []any
				read(t, "- "+c.want+"\n- "+other+"\n", &want)
				if diff := cmp.Diff(want, metricsIn(t, out, at.field)); diff != "" {
					t.Errorf("-autoscaling/v2, +migrated:\n%s", diff)
				}
			})
		}
	}
}
