package controller

import "testing"

// bookinfo stands for the guide's sample application.
const bookinfo = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: details, namespace: bookinfo}
spec:
  replicas: 2
  selector: {matchLabels: {app: details}}
  template:
    metadata: {labels: {app: details}}
    spec: {containers: [{name: app, image: example.com/details}]}
`

// TestInPlace is the guide's update in place.
func TestInPlace(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.controller()
	e.inject()
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec:
  namespace: istio-system
  updateStrategy: {type: InPlace}
  version: v1.27.0
`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       0        default           Healthy   v1.27.0   23s`, "get", "istio", "-n", "istio-system")
	e.must("create", "namespace", "bookinfo")
	e.must("label", "namespace", "bookinfo", "istio-injection=enabled")
	e.apply(bookinfo)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.27.0   23s`, "get", "istio", "-n", "istio-system")
	e.must("patch", "istio", "default", "-n", "istio-system", "--type=merge", "-p", `{"spec":{"version":"v1.28.3"}}`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.28.3   23s`, "get", "istio", "-n", "istio-system")
	e.shows("docker.io/istio/pilot:1.28.3", "get", "deployment", "istiod", "-n", "istio-system", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
}

// TestRevisionBased is the guide's update by revisions.
func TestRevisionBased(t *testing.T) {
	t.Parallel()
	e := start(t)
	e.controller()
	e.inject()
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec:
  namespace: istio-system
  updateStrategy: {type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3}
  version: v1.27.0
`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       0        default-v1-27-0   Healthy   v1.27.0   52s`, "get", "istio", "-n", "istio-system")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-27-0   Local   True    Healthy   False    v1.27.0   3m4s`, "get", "istiorevision", "-n", "istio-system")
	e.must("create", "namespace", "bookinfo")
	e.must("label", "namespace", "bookinfo", "istio.io/rev=default-v1-27-0")
	e.apply(bookinfo)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default-v1-27-0   Healthy   v1.27.0   5m13s`, "get", "istio", "-n", "istio-system")
	e.must("patch", "istio", "default", "-n", "istio-system", "--type=merge", "-p", `{"spec":{"version":"v1.28.3"}}`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   2           2       1        default-v1-28-3   Healthy   v1.28.3   9m23s`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-27-0   Local   True    Healthy   True     v1.27.0   10m
default-v1-28-3   Local   True    Healthy   False    v1.28.3   66s`, "get", "istiorevision")
	e.must("label", "namespace", "bookinfo", "istio.io/rev=default-v1-28-3", "--overwrite")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-27-0   Local   True    Healthy   True     v1.27.0   10m
default-v1-28-3   Local   True    Healthy   True     v1.28.3   66s`, "get", "istiorevision")
	e.must("rollout", "restart", "deployment", "-n", "bookinfo")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default-v1-28-3   Healthy   v1.28.3   5m`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-28-3   Local   True    Healthy   True     v1.28.3   5m31s`, "get", "istiorevision")
}
