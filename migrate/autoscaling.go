package migrate

import (
	"slices"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// metricFields are the fields of a metric that say where it comes from, and the fields of each in autoscaling/v2beta1
// that autoscaling/v2 does not have. The selector of a metric is in both, and belongs to the metric itself in v2.
var metricFields = map[string][]string{
	"resource":          {"targetAverageUtilization", "targetAverageValue"},
	"containerResource": {"targetAverageUtilization", "targetAverageValue"},
	"pods":              {"metricName", "selector", "targetAverageValue"},
	"object":            {"metricName", "selector", "targetValue", "averageValue"},
	"external":          {"metricName", "metricSelector", "targetValue", "targetAverageValue"},
}

// metricsV2 converts the metrics of a HorizontalPodAutoscaler from autoscaling/v2beta1 to autoscaling/v2, which is what
// Istio's charts and the manifests of gateways have. What is v2 already stays as it is, and so does what is neither.
func metricsV2(metrics *yaml.Node) *yaml.Node {
	if metrics.Kind != yaml.SequenceNode {
		return metrics
	}
	out := yaml.CopyYNode(metrics)
	for _, metric := range out.Content {
		metricV2(metric)
	}
	return out
}

// autoscalerV2 does so with the spec of a HorizontalPodAutoscaler.
func autoscalerV2(spec *yaml.Node) *yaml.Node {
	metrics := yamltree.Get(spec, "metrics")
	if metrics == nil {
		return spec
	}
	out := yaml.CopyYNode(spec)
	yamltree.Put(out, metricsV2(metrics), "metrics")
	return out
}

// autoscalerOverlay does so with the value of an overlay: a spec, its metrics, or one of them.
func autoscalerOverlay(steps []step, value *yaml.Node) *yaml.Node {
	var path []string
	for _, s := range steps {
		path = append(path, s.field)
	}
	switch {
	case value == nil:
	case slices.Equal(path, keys("spec")):
		return autoscalerV2(value)
	case slices.Equal(path, keys("spec", "metrics")):
		return metricsV2(value)
	case slices.Equal(path, keys("spec", "metrics", "")): // an element, whatever it is selected by
		return metricsV2(sequence(value)).Content[0]
	}
	return value
}

// metricV2 converts one metric in its place.
func metricV2(metric *yaml.Node) {
	for field, old := range metricFields {
		source := yamltree.Get(metric, field)
		isOld := func(key string) bool { return yamltree.Get(source, key) != nil }
		if slices.ContainsFunc(old, isOld) {
			yamltree.Put(metric, sourceV2(source, old), field)
		}
	}
}

// sourceV2 converts the source of a metric: which one it is, what it is of, and the target.
func sourceV2(source *yaml.Node, old []string) *yaml.Node {
	source = yaml.CopyYNode(source)
	out := yamltree.NewMapping()
	if object := yamltree.Get(source, "target"); isReference(object) { // of v2beta1, where this is the object
		yamltree.Take(source, "target")
		yamltree.Put(out, object, "describedObject")
	}
	metric := fields("name", yamltree.Take(source, "metricName"))
	for _, key := range []string{"selector", "metricSelector"} {
		if selector := yamltree.Take(source, key); selector != nil {
			yamltree.Put(metric, selector, "selector")
		}
	}
	target := targetV2(source)
	for _, key := range old {
		yamltree.Take(source, key)
	}
	overlay(out, source, nil, nil)
	overlay(out, fields("metric", metric, "target", target), nil, nil)
	return out
}

// targetV2 reads the target of a source in v2beta1: a part of what is asked for, an amount for each pod, or an amount.
// Of an object, targetValue is required there, and has no effect beside averageValue.
func targetV2(source *yaml.Node) *yaml.Node {
	average := yamltree.Get(source, "averageValue")
	if average == nil {
		average = yamltree.Get(source, "targetAverageValue")
	}
	utilization, value := yamltree.Get(source, "targetAverageUtilization"), yamltree.Get(source, "targetValue")
	switch {
	case utilization != nil:
		return fields("type", "Utilization", "averageUtilization", utilization, "averageValue", average)
	case average != nil && yamltree.Get(source, "averageValue") != nil:
		return fields("type", "AverageValue", "averageValue", average)
	case average != nil:
		return fields("type", "AverageValue", "averageValue", average, "value", value)
	case value != nil:
		return fields("type", "Value", "value", value)
	}
	return nil
}

// isReference reports whether a node names an object, as target does in v2beta1; in v2, a target says how much.
func isReference(n *yaml.Node) bool {
	return yamltree.Get(n, "kind") != nil && yamltree.Get(n, "name") != nil
}
