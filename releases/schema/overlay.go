package main

import (
	"reflect"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// overlay types the keys that the charts honour and Istio's types lack, by "Definition.key" or, wherever it occurs,
// "key". An entry takes effect only in the versions whose charts really default or read the key; it never replaces what
// the types say. A key that is missing here still works: it gets the type of its default, or any.
var overlay = map[string]func(*generator) *node{
	// Environment variables are strings everywhere.
	"env": func(*generator) *node { return stringMap() },
	// Copied into the Pods as they are.
	"initContainers":            kubernetes[[]corev1.Container],
	"nodeSelector":              func(*generator) *node { return stringMap() },
	"seLinuxOptions":            kubernetes[corev1.SELinuxOptions],
	"seccompProfile":            kubernetes[corev1.SeccompProfile],
	"tolerations":               kubernetes[[]corev1.Toleration],
	"topologySpreadConstraints": kubernetes[[]corev1.TopologySpreadConstraint],
	"updateStrategy":            kubernetes[appsv1.DaemonSetUpdateStrategy],
	"volumeMounts":              kubernetes[[]corev1.VolumeMount],
	"volumes":                   kubernetes[[]corev1.Volume],

	// pdb is a PodDisruptionBudget's spec, of which the chart reads three fields.
	"PilotConfig.pdb": kubernetes[policyv1.PodDisruptionBudgetSpec],
	// trafficDistribution is the field of istiod's Service.
	"PilotConfig.trafficDistribution": func(*generator) *node { return scalar("string") },
	// platform, at the top, is read before global.platform.
	"Values.platform": func(*generator) *node { return scalar("string") },
	// profile and platform were also allowed below global when charts began to be nested into others.
	"GlobalConfig.profile":     func(*generator) *node { return scalar("string") },
	"GlobalConfig.platform":    func(*generator) *node { return scalar("string") },
	"GlobalConfig.trustDomain": func(*generator) *node { return scalar("string") },
	"ProxyConfig.variant":      func(*generator) *node { return scalar("string") },
	// Read as {{ if .Values.global.proxy.capNetBindService }}.
	"ProxyConfig.capNetBindService": func(*generator) *node { return scalar("boolean", "string") },
}

// corrections replace what the types say and the charts contradict, by "Definition.key" or, for free objects wherever
// they occur, "key".
var corrections = map[string]func(*generator) *node{
	// The type is the NodeSelector of a node affinity; the chart writes the value into a Pod's nodeSelector, a map.
	"WaypointConfig.nodeSelector": func(*generator) *node { return stringMap() },
	// The type is a list of objects; the chart appends the list to the arguments of a container.
	"PilotConfig.extraContainerArgs": func(*generator) *node {
		return &node{Type: types{"array"}, Items: scalar("string")}
	},
	// Free objects that the charts copy to where Kubernetes wants a map of strings.
	"defaultNodeSelector":               func(*generator) *node { return stringMap() },
	"deploymentLabels":                  func(*generator) *node { return stringMap() },
	"nodeSelector":                      func(*generator) *node { return stringMap() },
	"podAnnotations":                    func(*generator) *node { return stringMap() },
	"podLabels":                         func(*generator) *node { return stringMap() },
	"serviceAccountAnnotations":         func(*generator) *node { return stringMap() },
	"serviceAnnotations":                func(*generator) *node { return stringMap() },
	"sidecarInjectorWebhookAnnotations": func(*generator) *node { return stringMap() },
}

// kubernetes is the schema of a Kubernetes type.
func kubernetes[T any](g *generator) *node { return g.node(reflect.TypeFor[T]()) }
