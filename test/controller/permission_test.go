package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// role allows a ServiceAccount all that the controller needs but for pods. What it may give to istiod it needs not have
// itself.
const role = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: all-but-pods}
rules:
- {apiGroups: [""], resources: [namespaces], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [configmaps, secrets, services, serviceaccounts, events, resourcequotas], verbs: ["*"]}
- {apiGroups: [""], resources: [replicationcontrollers], verbs: [get, list, watch]}
- {apiGroups: [batch], resources: [jobs, cronjobs], verbs: [get, list, watch]}
- {apiGroups: [gateway.networking.k8s.io], resources: [gateways, gatewayclasses], verbs: [get, list, watch]}
- apiGroups: [sailoperator.io, apps, admissionregistration.k8s.io, apiextensions.k8s.io, autoscaling, policy,
    rbac.authorization.k8s.io, networking.k8s.io, events.k8s.io, networking.istio.io, telemetry.istio.io,
    security.istio.io, extensions.istio.io, k8s.cni.cncf.io]
  resources: ["*"]
  verbs: ["*"]
`

const pods = `
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: pods}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
`

// binding allows a role to the ServiceAccount.
func (e *env) binding(role string) {
	e.put(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: ` + role + `},
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: ` + role + `},
subjects: [{kind: ServiceAccount, name: lateen, namespace: lateen-system}]}`)
}

// TestPermission takes the permission to see pods away from the controller. As long as it cannot see them it does not
// know who uses what, says so, and removes nothing.
func TestPermission(t *testing.T) {
	parallel(t, 100)
	e := startObserved(t)
	o := e.observe()
	for _, name := range []string{"lateen-system", "istio-system", "app"} {
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	}
	e.put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: lateen, namespace: lateen-system}}")
	e.put(role)
	e.put(pods)
	e.binding("all-but-pods")
	e.controller("--kubeconfig=" + e.KubeconfigFor(t, e.TokenFor(t, "lateen-system", "lateen")))

	// It has never seen the pods.
	const grace = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 0"
	const unknown = `Unknown UsageCheckFailed: Not known whether a pod or namespace references it: the pods cannot be ` +
		`watched: pods is forbidden...`
	e.asked("prod", "v1.26.0", grace)
	e.healthy("istio", "prod")
	e.asked("prod", "v1.27.0", grace)
	e.healthy("istio", "prod")
	e.says(unknown, "revision", "prod-v1-26-0", "InUse")
	e.eventually("since when the old revision has been inactive is known, which has nothing to do with pods",
		func() error {
			if rev, err := e.read("revision", "prod-v1-26-0"); err != nil || text(rev, "status", "inactiveSince") == "" {
				return fmt.Errorf("it is not: %w", err)
			}
			return nil
		})
	// It may see them again: what is unused goes, what is used is known.
	e.binding("pods")
	e.remain("prod-v1-27-0")

	// It has seen them, and may no longer.
	e.put("{apiVersion: v1, kind: Pod, metadata: {name: proxy, namespace: app, " +
		"annotations: {istio.io/rev: prod-v1-27-0}}, spec: {containers: [{name: app, image: example.com/app}]}}")
	e.says("True ReferencedByWorkloads: ...", "revision", "prod-v1-27-0", "InUse")
	e.asked("prod", "v1.28.3", grace)
	e.healthy("istio", "prod")
	e.must("delete", "clusterrolebinding", "pods")
	e.eventually("the permission is gone", func() error {
		if out, _ := e.kubectl("auth", "can-i", "list", "pods",
			"--as=system:serviceaccount:lateen-system:lateen"); out != "no\n" {
			return errors.New("not yet: " + out)
		}
		return nil
	})
	// A watch goes on: the server asks only when one begins. So what it shows is true, but before something is removed the
	// server is asked itself, and refuses.
	e.must("delete", "pod", "-n", "app", "proxy", "--now")
	e.says("False NotReferencedByAnything: ...", "revision", "prod-v1-27-0", "InUse")
	e.eventually("the controller tells that it could not find out", func() error {
		note, err := e.kubectl("get", "events", "-A", "--field-selector", "reason=UsageCheckFailed,involvedObject.kind=Istio",
			"-o", "jsonpath={.items[0].message}")
		if !strings.HasPrefix(note, "IstioRevision prod-v1-27-0 is kept, since it cannot be said whether anything uses it: "+
			"listing pods: pods is forbidden") {
			return errors.Join(err, errors.New("it says: "+note))
		}
		return nil
	})
	// When the watch ends, it cannot be renewed.
	e.RestartAPIServer(t)
	e.says(unknown, "revision", "prod-v1-27-0", "InUse")
	e.remain("prod-v1-27-0", "prod-v1-28-3")
	e.binding("pods")
	e.remain("prod-v1-28-3")
	e.converges()
	if j := o.blameless(); j.removed != 2 {
		t.Errorf("%d revisions were removed, want 2", j.removed)
	}
}
