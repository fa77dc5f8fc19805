package controller

import (
	"testing"
)

// TestCollection deletes what the controller has made, or what it has made it for, in the ways in which Kubernetes lets
// one do that, with Kubernetes' own garbage collector.
func TestCollection(t *testing.T) {
	parallel(t, 55)
	e := start(t)
	e.controller()
	before := e.snapshot()
	const namespace = "{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}"

	t.Run("an Istio goes with all that it has", func(t *testing.T) {
		e := e.in(t)
		e.put(namespace)
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {istio.io/rev: prod-v1-27-0}}}")
		e.asked("prod", "v1.27.0", "type: RevisionBased")
		e.healthy("istio", "prod")
		e.asked("prod", "v1.28.3", "type: RevisionBased") // both are there, and in use
		e.healthy("istio", "prod")
		e.must("delete", "istio", "prod")
		e.remain()
		e.must("delete", "namespace", "istio-system", "app")
		e.leaves(before)
	})
	t.Run("what an Istio leaves behind as orphans goes on working", func(t *testing.T) {
		e := e.in(t)
		e.put(namespace)
		e.asked("prod", "v1.28.3", "type: RevisionBased")
		e.healthy("istio", "prod")
		deployment := e.get("deployment", "istio-system", "istiod-prod-v1-28-3").GetUID()
		e.must("delete", "istio", "prod", "--cascade=orphan")
		e.gone("istio", "prod")
		e.is("", "{.metadata.ownerReferences}", "istiorevision", "prod-v1-28-3")
		e.converges()
		// Somebody still looks after them.
		e.must("delete", "configmap", "-n", "istio-system", "istio-prod-v1-28-3")
		e.exists("configmap", "istio-system", "istio-prod-v1-28-3")
		e.healthy("revision", "prod-v1-28-3")
		if got := e.get("deployment", "istio-system", "istiod-prod-v1-28-3").GetUID(); got != deployment {
			t.Errorf("the Deployment was made anew")
		}
		// An Istio that comes later does not take them over behind anybody's back.
		e.asked("prod", "v1.28.3", "type: RevisionBased")
		e.says("False ReconcileError: the IstioRevision prod-v1-28-3 exists already and does not belong to this Istio...",
			"istio", "prod", "Reconciled")
		e.must("delete", "istio", "prod")
		e.exists("revision", "prod-v1-28-3")
		e.must("delete", "istiorevision", "prod-v1-28-3")
		e.must("delete", "namespace", "istio-system")
		e.leaves(before)
	})
	t.Run("a namespace that comes back gets everything back", func(t *testing.T) {
		e := e.in(t)
		e.put(namespace)
		e.asked("default", "v1.28.3", "type: InPlace")
		e.healthy("istio", "default")
		e.must("delete", "namespace", "istio-system")
		e.says(`False ReconcileError: namespace "istio-system" doesn't exist`, "istio", "default", "Reconciled")
		e.put(namespace)
		e.healthy("istio", "default")
		e.converges()
	})
	t.Run("a namespace and its Istio go at once", func(t *testing.T) {
		e := e.in(t)
		e.must("delete", "namespace/istio-system", "istio.sailoperator.io/default", "--wait=false")
		e.remain()
		e.gone("istio", "default")
		e.leaves(before)
	})
}
