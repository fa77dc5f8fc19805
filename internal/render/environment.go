package render

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// variableOf says for variables of istiod which value the chart makes them of.
var variableOf = map[string]string{
	"CLUSTER_ID":           "global.multiCluster.clusterName",
	"PILOT_CERT_PROVIDER":  "global.pilotCertProvider",
	"PILOT_TRACE_SAMPLING": "pilot.traceSampling",
	"PLATFORM":             "global.platform",
}

// dropped warns of the environment variables among values that have no effect, because the chart sets the same one
// behind them: what a container has twice is its last entry.
func dropped(chart string, v map[string]any, warn func(problem)) func(name, value, kept string) {
	return func(name, value, kept string) {
		at := values.FindVariable(v, name, value)
		if at == nil || warn == nil || value == kept {
			return
		}
		counts := strconv.Quote(kept)
		if kept == "" {
			counts = "a field of the Pod, or nothing"
		}
		message := fmt.Sprintf("has no effect: the chart %s sets the variable %s itself, and what it sets counts: "+
			"%s; leave it out", chart, name, counts)
		if other := variableOf[name]; other != "" {
			message += ", or set spec.values." + other
		} else {
			message += ", or patch the variable in what is rendered"
		}
		at.Message = message
		warn(problem{*at, true})
	}
}

// unwritten warns of environment variables of the CNI plugin that are not in what was rendered: up to 1.26 its chart
// has a default for cni.env, and does not look at it.
func unwritten(objects []manifest.Object, v map[string]any, rel release.Release, warn func(problem)) {
	env, _ := values.Get(v, "cni", "env")
	own, _ := env.(map[string]any)
	if len(own) == 0 || warn == nil {
		return
	}
	written := map[[2]string]bool{}
	for _, o := range objects {
		containers := o.Field("spec", "template", "spec", "containers")
		if containers == nil {
			continue
		}
		for _, c := range containers.Content {
			for _, variable := range sequence(c, "env") {
				written[[2]string{text(variable, "name"), text(variable, "value")}] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(own)) {
		at := values.FindVariable(v, name, fmt.Sprint(own[name]))
		if at == nil || written[[2]string{name, fmt.Sprint(own[name])}] {
			continue
		}
		at.Message = fmt.Sprintf("has no effect: the chart cni of Istio %s does not use cni.env; leave it out, or "+
			"patch the variable in what is rendered", rel.Version)
		warn(problem{*at, true})
	}
}

// sequence are the items of a list in a mapping, and text is a scalar in one.
func sequence(n *yaml.Node, key string) []*yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i+1].Kind == yaml.SequenceNode {
			return n.Content[i+1].Content
		}
	}
	return nil
}

func text(n *yaml.Node, key string) string {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key && n.Content[i+1].Kind == yaml.ScalarNode {
			return n.Content[i+1].Value
		}
	}
	return ""
}
