package controller

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

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

// TestWalkthroughs follows the user guide, one example after another, with the commands that it has the reader enter,
// and compares what kubectl prints with what it says. After each the cluster has to be as it was before.
func TestWalkthroughs(t *testing.T) {
	parallel(t, 125)
	e := start(t)
	e.verbatim = true
	controller := e.controller()
	e.inject()
	before := e.snapshot()
	for _, w := range []struct {
		name string
		walk func(*env)
	}{
		{"in place", inPlace},
		{"by revisions", revisionBased},
		{"by revisions with a tag", revisionTag},
		{"multiple meshes", multipleMeshes},
		{"dual-stack", dualStack},
		{"CNI", cni},
	} {
		ok := t.Run(w.name, func(t *testing.T) {
			e := e.in(t)
			w.walk(e)
			e.leaves(before)
		})
		if !ok {
			t.Fatal("the others find a cluster that is not clean")
		}
	}
	t.Run("CRDs", func(t *testing.T) {
		e := e.in(t)
		controller.kill() // "Deleting the Sail Operator"
		removeCRDs(e)
	})
}

// removeCRDs is the end of the guide's chapter on uninstalling.
func removeCRDs(e *env) {
	var istio, rest []string
	for name := range strings.FieldsSeq(e.must("get", "crds", "-oname")) {
		if strings.Contains(name, "istio.io") {
			istio = append(istio, name)
		} else {
			rest = append(rest, name)
		}
	}
	if len(istio) == 0 {
		e.t.Fatal("Istio's own CustomResourceDefinitions have to stay until they are deleted by hand")
	}
	e.must(append([]string{"delete"}, istio...)...)
	want := []string{"istiocnis", "istiorevisions", "istiorevisiontags", "istios"}
	for i := range want {
		want[i] = "customresourcedefinition.apiextensions.k8s.io/" + want[i] + ".sailoperator.io"
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		e.t.Errorf("CustomResourceDefinitions that are left: -want +got:\n%s", diff)
	}
}

// hash is what a Deployment appends to the names of its pods. Kubernetes makes it of these letters only.
var hash = regexp.MustCompile(`-[bcdfghjklmnpqrstvwxz2456789]{6,10}-[bcdfghjklmnpqrstvwxz2456789]{5}\b`)

// showsPods is shows, of the pods of a namespace, but for the ends of their names.
func (e *env) showsPods(want, namespace string) {
	e.t.Helper()
	want = hash.ReplaceAllString(want, "-HASH")
	e.eventually("pods in "+namespace, func() error {
		got, err := e.kubectl("get", "pods", "-n", namespace)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(table(want), table(hash.ReplaceAllString(got, "-HASH"))); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// inject makes sure that all pods of a namespace run a proxy of a revision, and none is left that does not.
func (e *env) injected(namespace, revision string) {
	e.t.Helper()
	e.eventually("proxies in "+namespace, func() error {
		out, err := e.kubectl("get", "pods", "-n", namespace, "-o",
			`jsonpath={range .items[*]}{.metadata.annotations.istio\.io/rev}{"\n"}{end}`)
		if err != nil {
			return err
		}
		if out == "" {
			return errors.New("there are no pods")
		}
		for line := range strings.Lines(out) {
			if got := strings.TrimSpace(line); got != revision {
				return fmt.Errorf("a pod is injected by %q, want %q", got, revision)
			}
		}
		return nil
	})
}

func inPlace(e *env) {
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  namespace: istio-system
  updateStrategy:
    type: InPlace
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
default   1           1       1        default           Healthy   v1.27.0   115s`,
		"get", "istio", "-n", "istio-system")
	e.must("patch", "istio", "default", "-n", "istio-system", "--type=merge", "-p", `{"spec":{"version":"v1.28.3"}}`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.28.3   4m50s`,
		"get", "istio", "-n", "istio-system")
	e.is("docker.io/istio/pilot:1.28.3", "{.spec.template.spec.containers[0].image}", "deployment", "istiod", "-n",
		"istio-system")
	e.must("rollout", "restart", "deployment", "-n", "bookinfo")
	e.injected("bookinfo", "default")
	e.must("delete", "istio", "default")
	e.must("delete", "namespace", "istio-system", "bookinfo", "--wait=false")
}

func revisionBased(e *env) {
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  namespace: istio-system
  updateStrategy:
    type: RevisionBased
    inactiveRevisionDeletionGracePeriodSeconds: 3
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
default   1           1       1        default-v1-27-0   Healthy   v1.27.0   5m13s`,
		"get", "istio", "-n", "istio-system")
	e.injected("bookinfo", "default-v1-27-0")
	e.must("patch", "istio", "default", "-n", "istio-system", "--type=merge", "-p", `{"spec":{"version":"v1.28.3"}}`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   2           2       1        default-v1-28-3   Healthy   v1.28.3   9m23s`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-27-0   Local   True    Healthy   True     v1.27.0   10m
default-v1-28-3   Local   True    Healthy   False    v1.28.3   66s`, "get", "istiorevision")
	e.showsPods(`
NAME                                      READY   STATUS    RESTARTS   AGE
istiod-default-v1-27-0-c98fd9675-r7bfw    1/1     Running   0          10m
istiod-default-v1-28-3-7495cdc7bf-v8t4g   1/1     Running   0          113s`, "istio-system")
	e.injected("bookinfo", "default-v1-27-0")
	e.must("label", "namespace", "bookinfo", "istio.io/rev=default-v1-28-3", "--overwrite")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-27-0   Local   True    Healthy   True     v1.27.0   10m
default-v1-28-3   Local   True    Healthy   True     v1.28.3   66s`, "get", "istiorevision")
	e.injected("bookinfo", "default-v1-27-0")
	e.must("rollout", "restart", "deployment", "-n", "bookinfo")
	e.injected("bookinfo", "default-v1-28-3")
	e.showsPods(`
NAME                                      READY   STATUS    RESTARTS   AGE
istiod-default-v1-28-3-7495cdc7bf-v8t4g   1/1     Running   0          4m40s`, "istio-system")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default-v1-28-3   Healthy   v1.28.3   5m`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-28-3   Local   True    Healthy   True     v1.28.3   5m31s`, "get", "istiorevision")
	e.must("delete", "istio", "default")
	e.must("delete", "namespace", "istio-system", "bookinfo", "--wait=false")
}

func revisionTag(e *env) {
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  namespace: istio-system
  updateStrategy:
    type: RevisionBased
    inactiveRevisionDeletionGracePeriodSeconds: 3
  version: v1.23.2
---
apiVersion: sailoperator.io/v1
kind: IstioRevisionTag
metadata:
  name: default
spec:
  targetRef:
    kind: Istio
    name: default
`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default-v1-23-2   Healthy   v1.23.2   52s`, "get", "istio")
	e.shows(`
NAME      STATUS                    IN USE   REVISION          AGE
default   NotReferencedByAnything   False    default-v1-23-2   52s`, "get", "istiorevisiontags")
	e.must("create", "namespace", "bookinfo")
	e.must("label", "namespace", "bookinfo", "istio-injection=enabled")
	e.apply(bookinfo)
	e.shows(`
NAME      STATUS    IN USE   REVISION          AGE
default   Healthy   True     default-v1-23-2   2m46s`, "get", "istiorevisiontag")
	e.injected("bookinfo", "default-v1-23-2")

	// The new revision does not become ready as long as no node takes its pod.
	e.must("cordon", "node-1", "node-2")
	e.must("patch", "istio", "default", "-n", "istio-system", "--type=merge", "-p", `{"spec":{"version":"v1.24.2"}}`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS           VERSION   AGE
default   2           1       1        default-v1-24-2   IstiodNotReady   v1.24.2   9m23s`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS           IN USE   VERSION   AGE
default-v1-23-2   Local   True    Healthy          True     v1.23.2   10m
default-v1-24-2   Local   False   IstiodNotReady   False    v1.24.2   66s`, "get", "istiorevision")
	e.is("stays on IstioRevision default-v1-23-2 until default-v1-24-2 is ready",
		`{.status.conditions[?(@.type=="Reconciled")].message}`, "istiorevisiontag", "default")
	e.shows(`
NAME      STATUS    IN USE   REVISION          AGE
default   Healthy   True     default-v1-23-2   10m44s`, "get", "istiorevisiontag")
	e.is("istiod-default-v1-23-2", "{.webhooks[0].clientConfig.service.name}", "mutatingwebhookconfiguration",
		"istio-revision-tag-default")
	e.must("uncordon", "node-1", "node-2")

	// The guide prints 1 for IN USE here, and says below that both revisions are in use.
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   2           2       2        default-v1-24-2   Healthy   v1.24.2   9m23s`, "get", "istio")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-23-2   Local   True    Healthy   True     v1.23.2   10m
default-v1-24-2   Local   True    Healthy   True    v1.24.2   66s`, "get", "istiorevision")
	e.shows(`
NAME      STATUS    IN USE   REVISION          AGE
default   Healthy   True     default-v1-24-2   10m44s`, "get", "istiorevisiontag")
	e.is("istiod-default-v1-24-2", "{.webhooks[0].clientConfig.service.name}", "mutatingwebhookconfiguration",
		"istio-revision-tag-default")
	e.showsPods(`
NAME                                      READY   STATUS    RESTARTS   AGE
istiod-default-v1-23-2-c98fd9675-r7bfw    1/1     Running   0          10m
istiod-default-v1-24-2-7495cdc7bf-v8t4g   1/1     Running   0          113s`, "istio-system")
	e.injected("bookinfo", "default-v1-23-2")
	e.must("rollout", "restart", "deployment", "-n", "bookinfo")
	e.injected("bookinfo", "default-v1-24-2")
	e.showsPods(`
NAME                                      READY   STATUS    RESTARTS   AGE
istiod-default-v1-24-2-7495cdc7bf-v8t4g   1/1     Running   0          4m40s`, "istio-system")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default-v1-24-2   Healthy   v1.24.2   5m`, "get", "istio", "-n", "istio-system")
	e.shows(`
NAME              TYPE    READY   STATUS    IN USE   VERSION   AGE
default-v1-24-2   Local   True    Healthy   True     v1.24.2   5m31s`, "get", "istiorevision", "-n", "istio-system")
	e.must("delete", "istiorevisiontag", "default")
	e.must("delete", "istio", "default")
	e.must("delete", "namespace", "istio-system", "bookinfo", "--wait=false")
}

// mesh is one of the guide's two meshes.
func mesh(name, namespace string) string {
	return fmt.Sprintf(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: %s
spec:
  namespace: %s
  version: v1.24.0
  values:
    meshConfig:
      discoverySelectors:
      - matchLabels:
          mesh: %[1]s
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: %[2]s
spec:
  mtls:
    mode: STRICT
`, name, namespace)
}

func multipleMeshes(e *env) {
	for _, n := range []string{"1", "2"} {
		e.must("create", "namespace", "istio-system"+n)
		e.must("label", "ns", "istio-system"+n, "mesh=mesh"+n)
		e.apply(mesh("mesh"+n, "istio-system"+n))
	}
	e.shows(`
NAME            STATUS   AGE    MESH
istio-system1   Active   106s   mesh1
istio-system2   Active   105s   mesh2`, "get", "ns", "-l", "mesh", "-L", "mesh")
	e.shows(`
NAME    REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
mesh1   1           1       0        mesh1             Healthy   v1.24.0   84s
mesh2   1           1       0        mesh2             Healthy   v1.24.0   77s`, "get", "istios")
	e.shows(`
NAME                                  WEBHOOKS   AGE
istio-validator-mesh1-istio-system1   1          2m45s
istio-validator-mesh2-istio-system2   1          2m38s`, "get", "validatingwebhookconfigurations")
	e.shows(`
NAME                                         WEBHOOKS   AGE
istio-sidecar-injector-mesh1-istio-system1   2          5m55s
istio-sidecar-injector-mesh2-istio-system2   2          5m48s`, "get", "mutatingwebhookconfigurations")
	apps := []string{"app1", "app2a", "app2b"}
	for _, app := range apps {
		e.must("create", "ns", app)
		e.must("label", "ns", app, "mesh=mesh"+app[3:4])
		e.must("label", "ns", app, "istio.io/rev=mesh"+app[3:4])
		for _, name := range []string{"curl", "httpbin"} {
			e.must("-n", app, "create", "deployment", name, "--image=example.com/"+name)
		}
	}
	for _, app := range apps {
		// 1/1 and not 2/2: the webhooks are not called, and who stands in for istiod adds no container.
		e.showsPods(`
NAME                       READY   STATUS    RESTARTS   AGE
curl-5b549b49b8-mg7nl      1/1     Running   0          102s
httpbin-7b549f7859-h6hnk   1/1     Running   0          89s`, app)
		e.injected(app, "mesh"+app[3:4])
	}
	e.shows(`
NAME    REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
mesh1   1           1       1        mesh1             Healthy   v1.24.0   84s
mesh2   1           1       1        mesh2             Healthy   v1.24.0   77s`, "get", "istios")

	// Moving the applications of one mesh to the other: it is used until the last of its proxies is gone.
	e.must("label", "ns", "app2a", "app2b", "mesh=mesh1", "istio.io/rev=mesh1", "--overwrite")
	e.must("rollout", "restart", "deployment", "-n", "app2a")
	e.injected("app2a", "mesh1")
	e.is("1", "{.status.revisions.inUse}", "istio", "mesh2")
	e.must("rollout", "restart", "deployment", "-n", "app2b")
	e.shows(`
NAME    REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
mesh1   1           1       1        mesh1             Healthy   v1.24.0   84s
mesh2   1           1       0        mesh2             Healthy   v1.24.0   77s`, "get", "istios")
	e.must("delete", "istio", "mesh1", "mesh2")
	e.must("delete", "ns", "istio-system1", "istio-system2", "app1", "app2a", "app2b", "--wait=false")
}

func dualStack(e *env) {
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  values:
    meshConfig:
      defaultConfig:
        proxyMetadata:
          ISTIO_DUAL_STACK: "true"
    pilot:
      ipFamilyPolicy: RequireDualStack
      env:
        ISTIO_DUAL_STACK: "true"
  version: v1.23.2
  namespace: istio-system
`)
	e.must("wait", "--for=jsonpath={.status.revisions.ready}=1", "istios/default", "--timeout="+patience.String())
	e.must("create", "namespace", "istio-cni")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata:
  name: default
spec:
  version: v1.23.2
  namespace: istio-cni
`)
	e.is("Healthy", "{.status.state}", "istiocni", "default")
	e.must("wait", "--for=condition=Ready", "pod", "-n", "istio-cni", "-l", "k8s-app=istio-cni-node",
		"--timeout="+patience.String())
	e.is(`RequireDualStack ["IPv4","IPv6"]`, "{.spec.ipFamilyPolicy} {.spec.ipFamilies}", "service", "istiod", "-n",
		"istio-system")
	namespaces := []string{"dual-stack", "ipv4", "ipv6", "sleep"}
	for _, ns := range namespaces {
		e.must("create", "namespace", ns)
		e.must("label", "--overwrite", "namespace", ns, "istio-injection=enabled")
	}
	e.is("Referenced by at least one pod or namespace: Namespace dual-stack, Namespace ipv4, Namespace ipv6 and 1 more",
		`{.status.conditions[?(@.type=="InUse")].message}`, "istiorevision", "default")
	e.must("delete", "istios", "default")
	e.must("delete", "ns", "istio-system", "--wait=false")
	e.must("delete", "istiocni", "default")
	e.must("delete", "ns", "istio-cni", "--wait=false")
	e.must(append([]string{"delete", "ns", "--wait=false"}, namespaces...)...)
}

// cni walks through the guide's section on the CNI plugin, with what its sections on status say of a control plane that
// needs one, and ends with uninstalling.
func cni(e *env) {
	e.must("create", "namespace", "istio-system")
	e.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  version: v1.23.2
  namespace: istio-system
  values:
    pilot:
      cni:
        enabled: true
`)
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS             VERSION   AGE
default   1           1       0        default           IstioCNINotFound   v1.23.2   23s`, "get", "istio")
	for _, kind := range []string{"istio", "revision"} {
		e.says("False IstioCNINotFound: IstioCNI resource does not exist", kind, "default", "DependenciesHealthy")
	}
	e.apply(`
apiVersion: sailoperator.io/v1
kind: IstioCNI
metadata:
  name: default
spec:
  version: v1.23.2
  namespace: istio-cni
  values:
    cni:
      cniConfDir: /etc/cni/net.d
      excludeNamespaces:
      - kube-system
`)
	e.shows(`
NAME      READY   STATUS           VERSION   AGE
default   False   ReconcileError   v1.23.2   23s`, "get", "istiocni")
	e.says(`False ReconcileError: namespace "istio-cni" doesn't exist`, "cni", "default", "Reconciled")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS               VERSION   AGE
default   1           1       0        default           IstioCNINotHealthy   v1.23.2   23s`, "get", "istio")
	e.must("create", "namespace", "istio-cni")
	e.shows(`
NAME      READY   STATUS    VERSION   AGE
default   True    Healthy   v1.23.2   23s`, "get", "istiocni")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       0        default           Healthy   v1.23.2   23s`, "get", "istio")
	e.shows(`
NAME             DESIRED   CURRENT   READY   UP-TO-DATE   AVAILABLE   NODE SELECTOR            AGE
istio-cni-node   2         2         2       2            2           kubernetes.io/os=linux   23s`,
		"get", "daemonset", "-n", "istio-cni")

	pod := strings.Fields(e.must("get", "pods", "-n", "istio-cni", "-l", "k8s-app=istio-cni-node", "-o", "name"))[0]
	e.must("patch", "-n", "istio-cni", pod, "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
	e.says("False DaemonSetNotReady: not all istio-cni-node pods are ready", "cni", "default", "Ready")
	e.says("False IstioCNINotHealthy: IstioCNI resource is not healthy: its state is DaemonSetNotReady", "istio",
		"default", "DependenciesHealthy")
	e.must("delete", "-n", "istio-cni", pod)
	e.healthy("cni", "default")
	e.healthy("istio", "default")

	e.must("patch", "istiocni", "default", "--type=merge", "-p", `{"spec":{"version":"v1.24.0"}}`)
	e.shows(`
NAME      READY   STATUS    VERSION   AGE
default   True    Healthy   v1.24.0   23s`, "get", "istiocni")
	e.is("docker.io/istio/install-cni:1.24.0", "{.spec.template.spec.containers[0].image}", "daemonset", "istio-cni-node",
		"-n", "istio-cni")

	// The plugin first, other than in the guide, to see what the control plane says.
	e.must("delete", "istiocni", "default")
	e.gone("daemonset", "istio-cni", "istio-cni-node")
	e.says("False IstioCNINotFound: IstioCNI resource does not exist", "istio", "default", "DependenciesHealthy")
	e.must("delete", "istio", "default")
	e.must("delete", "namespace", "istio-system", "istio-cni", "--wait=false")
}
