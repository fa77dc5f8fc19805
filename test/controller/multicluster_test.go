package controller

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateen-io/lateen/test/cluster"
)

// TestMultiCluster follows the user guide's chapter on meshes of two clusters. What istiod would do across clusters the
// test does: it answers for the remote istiod, and fills in the certificates of webhooks. Namespaces are deleted
// without waiting for each, since that takes ten seconds; in the end all have to be gone.
func TestMultiCluster(t *testing.T) {
	parallel(t, 115)
	istiod := newRemoteIstiod(t, "istiod.istio-system.svc", "istiod-external-istiod.external-istiod.svc")
	one, two := start(t), start(t, cluster.WithAudit())
	one.verbatim, two.verbatim = true, true
	one.controller()
	// The names of Services mean something inside of clusters only. Lateen's Deployment may have to use a proxy as well.
	two.environ = []string{"HTTPS_PROXY=" + istiod.proxy.URL, "NO_PROXY=", "no_proxy="}
	two.controller("--remote-probe-period=2s", "--remote-probe-timeout="+patience.String())
	beforeOne, beforeTwo := one.snapshot(), two.snapshot()
	for _, w := range []struct {
		name string
		walk func(one, two *env, istiod *remoteIstiod)
	}{
		{"multi-primary", multiPrimary},
		{"primary-remote", primaryRemote},
		{"external control plane", externalControlPlane},
		{"injection URL", injectionURL},
	} {
		ok := t.Run(w.name, func(t *testing.T) {
			istiod.answer.Store(http.StatusServiceUnavailable)
			one, two := one.in(t), two.in(t)
			w.walk(one, two, istiod)
			one.leaves(beforeOne)
			two.leaves(beforeTwo)
		})
		if !ok {
			t.Fatal("the others find clusters that are not clean")
		}
	}
}

// remoteIstiod answers as the istiod of another cluster does, with a certificate that its own CA has signed. Its proxy
// leads from the names of Services to it.
type remoteIstiod struct {
	server, proxy *httptest.Server
	// ca is the certificate of the CA, as PEM.
	ca []byte
	// answer is the status of the answer to whether it is ready, and asked counts these questions.
	answer, asked atomic.Int64
}

func newRemoteIstiod(t *testing.T, hosts ...string) *remoteIstiod {
	t.Helper()
	r := &remoteIstiod{}
	r.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodGet || request.URL.Path != "/ready" || request.URL.RawQuery != "" {
			t.Errorf("remote istiod was asked %s %s, want GET /ready", request.Method, request.URL)
		}
		w.WriteHeader(int(r.answer.Load()))
		r.asked.Add(1)
	}))
	r.answer.Store(http.StatusServiceUnavailable)
	certificate, ca := certificates(t, hosts)
	r.ca = ca
	r.server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	r.server.Config.ErrorLog = log.New(io.Discard, "", 0) // handshakes of who does not know the CA yet
	r.server.StartTLS()
	t.Cleanup(r.server.Close)
	address := r.server.Listener.Addr().String()
	r.proxy = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		host, port, err := net.SplitHostPort(request.Host)
		if request.Method != http.MethodConnect || err != nil || port != "443" || !slices.Contains(hosts, host) {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		tunnel(request.Context(), t, w, address)
	}))
	t.Cleanup(r.proxy.Close)
	return r
}

// tunnel connects a client of the proxy with a server.
func tunnel(ctx context.Context, t *testing.T, w http.ResponseWriter, address string) {
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	defer func() { _ = server.Close() }()
	w.WriteHeader(http.StatusOK)
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = connection.Close() }()
	go func() {
		_, _ = io.Copy(server, buffered)
		_ = server.Close()
	}()
	_, _ = io.Copy(connection, server)
}

// certificates makes a CA, and a certificate of it for some hosts and for loopback.
func certificates(t *testing.T, hosts []string) (tls.Certificate, []byte) {
	t.Helper()
	sign := func(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) []byte {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	var keys [2]*ecdsa.PrivateKey
	for i := range keys {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = key
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	caDER := sign(ca, ca, keys[0], keys[0])
	server := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: hosts, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	return tls.Certificate{Certificate: [][]byte{sign(server, ca, keys[1], keys[0])}, PrivateKey: keys[1]},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
}

// asksOn waits until the remote istiod has been asked some more times, and has answered all but perhaps the last.
func (r *remoteIstiod) asksOn(e *env) {
	e.t.Helper()
	from := r.asked.Load()
	e.eventually("the remote istiod is asked", func() error {
		if n := r.asked.Load() - from; n < 3 {
			return fmt.Errorf("it was asked %d times", n)
		}
		return nil
	})
}

// certify fills in the certificate of the CA in all webhooks of a configuration, as istiod does.
func (e *env) certify(ca []byte, name string) {
	e.t.Helper()
	e.exists("mutating", name)
	webhooks, _, err := unstructured.NestedSlice(e.get("mutating", name).Object, "webhooks")
	if err != nil || len(webhooks) == 0 {
		e.t.Fatalf("%s has no webhooks: %v", name, err)
	}
	var patch []map[string]string
	for i := range webhooks {
		patch = append(patch, map[string]string{
			"op": "add", "path": fmt.Sprintf("/webhooks/%d/clientConfig/caBundle", i),
			"value": base64.StdEncoding.EncodeToString(ca),
		})
	}
	text, err := json.Marshal(patch)
	if err != nil {
		e.t.Fatal(err)
	}
	e.must("patch", "mutatingwebhookconfiguration", name, "--type=json", "-p", string(text),
		"--field-manager=pilot-discovery")
}

// certified makes sure that all webhooks of a configuration still have the certificate, also after the controller has
// put something else right in it.
func (e *env) certified(ca []byte, name string) {
	e.t.Helper()
	e.must("label", "mutatingwebhookconfiguration", name, "app=changed", "--overwrite")
	e.is("sidecar-injector", "{.metadata.labels.app}", "mutatingwebhookconfiguration", name)
	bundles := strings.Fields(e.must("get", "mutatingwebhookconfiguration", name, "-o",
		`jsonpath={.webhooks[*].clientConfig.caBundle}`))
	webhooks, _, _ := unstructured.NestedSlice(e.get("mutating", name).Object, "webhooks")
	if len(bundles) != len(webhooks) || slices.ContainsFunc(bundles, func(b string) bool {
		return b != base64.StdEncoding.EncodeToString(ca)
	}) {
		e.t.Errorf("the certificates that istiod has set in the webhooks of %s are gone", name)
	}
}

// statusOf selects the writes about a resource of Lateen's.
func statusOf(name string) func(cluster.Write) bool {
	return func(w cluster.Write) bool { return w.Group == "sailoperator.io" && w.Name == name }
}

// address gives a Service of type LoadBalancer an address, as a cloud would, and returns it by the command that the
// guide has for it.
func (e *env) address(service, ip string) string {
	e.t.Helper()
	e.must("patch", "service", service, "-n", "istio-system", "--subresource=status", "-p",
		`{"status":{"loadBalancer":{"ingress":[{"ip":"`+ip+`"}]}}}`)
	return e.must("-n", "istio-system", "get", "svc", service, "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}")
}

// example applies a file of the examples, which are the guide's scenarios.
func (e *env) example(file string) {
	e.t.Helper()
	e.must("apply", "-f", "../../examples/kustomize/"+file)
}

// common is the guide's common setup.
func common(one, two *env) {
	for i, e := range []*env{one, two} {
		e.must("create", "namespace", "istio-system")
		e.must("label", "namespace", "istio-system", fmt.Sprintf("topology.istio.io/network=network%d", i+1))
		e.must("create", "secret", "generic", "cacerts", "-n", "istio-system", "--from-literal=ca-cert.pem=any")
	}
}

// remoteSecret stands for istioctl create-remote-secret.
func (e *env) remoteSecret(namespace, name string) {
	e.t.Helper()
	e.must("create", "secret", "generic", "istio-remote-secret-"+name, "-n", namespace, "--from-literal="+name+"=any")
	e.must("label", "secret", "istio-remote-secret-"+name, "-n", namespace, "istio/multiCluster=true")
}

// sample stands for the guide's applications.
func (e *env) sample(label string) {
	e.t.Helper()
	e.must("create", "namespace", "sample")
	e.must("label", "namespace", "sample", label)
	for _, name := range []string{"helloworld", "sleep"} {
		e.must("-n", "sample", "create", "deployment", name, "--image=example.com/"+name)
	}
	for _, name := range []string{"helloworld", "sleep"} {
		e.must("wait", "--for", "condition=available", "-n", "sample", "deployment/"+name,
			"--timeout="+patience.String())
	}
}

// primary is the control plane of a cluster in a mesh of two.
const primary = `
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  version: v1.23.2
  namespace: istio-system
  values:
    global:
      meshID: mesh1
      multiCluster:
        clusterName: cluster%d
      network: network%[1]d
`

func multiPrimary(one, two *env, _ *remoteIstiod) {
	common(one, two)
	one.apply(fmt.Sprintf(primary, 1))
	one.must("wait", "--for=condition=Ready", "istios/default", "--timeout="+patience.String())
	one.example("multi-primary/cluster1/eastwest-gateway.yaml")
	one.example("multi-primary/cluster1/expose-services.yaml")
	two.apply(fmt.Sprintf(primary, 2))
	two.must("wait", "--for=jsonpath={.status.revisions.ready}=1", "istios/default", "--timeout="+patience.String())
	two.example("multi-primary/cluster2/eastwest-gateway.yaml")
	two.example("multi-primary/cluster2/expose-services.yaml")
	one.remoteSecret("istio-system", "cluster2")
	two.remoteSecret("istio-system", "cluster1")
	for i, e := range []*env{one, two} {
		e.sample("istio-injection=enabled")
		e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.23.2   23s`, "get", "istios")
		// The east-west gateway is injected as well, and its Deployment will make more of its kind.
		e.eventually("the gateway is named", func() error {
			pod, err := e.kubectl("get", "pods", "-n", "istio-system", "-l", "app=istio-eastwestgateway", "-o",
				"jsonpath={.items[0].metadata.name}")
			if err != nil {
				return err
			}
			want := "True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace sample, Deployment " +
				"istio-system/istio-eastwestgateway, Pod istio-system/" + pod
			if got := e.message("revision", "default", "InUse"); got != want {
				return fmt.Errorf("it says %s", got)
			}
			return nil
		})
		mesh := e.must("get", "configmap", "istio", "-n", "istio-system", "-o", "jsonpath={.data.mesh}")
		injection := e.must("get", "configmap", "istio-sidecar-injector", "-n", "istio-system", "-o",
			"jsonpath={.data.values}")
		if name := fmt.Sprintf("cluster%d", i+1); !strings.Contains(injection, `"clusterName": "`+name+`"`) ||
			!strings.Contains(mesh, "meshId: mesh1") {
			e.t.Errorf("the control plane of %s does not know its place:\n%s\n%s", name, mesh, injection)
		}
	}
	for _, e := range []*env{one, two} {
		e.must("delete", "istios", "default")
		e.must("delete", "ns", "istio-system", "sample", "--wait=false")
	}
}

func primaryRemote(one, two *env, istiod *remoteIstiod) {
	common(one, two)
	one.apply(fmt.Sprintf(primary, 1) + `
    pilot:
      env:
        EXTERNAL_ISTIOD: "true"
`)
	one.must("wait", "--for=jsonpath={.status.revisions.ready}=1", "istios/default", "--timeout="+patience.String())
	one.example("primary-remote/cluster1/eastwest-gateway.yaml")
	one.example("primary-remote/cluster1/expose-istiod.yaml")
	one.example("primary-remote/cluster1/expose-services.yaml")
	two.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  version: v1.23.2
  namespace: istio-system
  profile: remote
  values:
    istiodRemote:
      injectionPath: /inject/cluster/remote/net/network2
    global:
      remotePilotAddress: ` + one.address("istio-eastwestgateway", "192.0.2.10"))
	two.must("annotate", "namespace", "istio-system", "topology.istio.io/controlPlaneClusters=cluster1")
	two.must("label", "namespace", "istio-system", "topology.istio.io/network=network2", "--overwrite")
	one.remoteSecret("istio-system", "remote")

	// There is no certificate yet that istiod could be known by.
	two.shows(`
NAME      TYPE     READY   STATUS                 IN USE   VERSION   AGE
default   Remote   False   RemoteIstiodNotReady   False    v1.23.2   23s`, "get", "istiorevisions")
	two.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS                 VERSION   AGE
default   1           0       0        default           RemoteIstiodNotReady   v1.23.2   23s`, "get", "istios")
	two.says("False RemoteIstiodNotReady: remote istiod is not ready: ...", "istio", "default", "Ready")
	two.certify(istiod.ca, "istio-sidecar-injector")
	follow(two, istiod, "default", "https://istiod.istio-system.svc:443/ready")
	two.must("wait", "--for=condition=Ready", "istios/default", "--timeout="+patience.String())
	two.shows(`
NAME      TYPE     READY   STATUS    IN USE   VERSION   AGE
default   Remote   True    Healthy   False    v1.23.2   23s`, "get", "istiorevisions")
	two.certified(istiod.ca, "istio-sidecar-injector")

	// A tag would need webhooks that lead to an istiod here.
	two.apply(`{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: prod}, ` +
		`spec: {targetRef: {kind: Istio, name: default}}}`)
	two.says("False ReconcileError: spec.targetRef: Istio/default is a remote control plane; a tag can only "+
		"point at one in the same cluster",
		"tag", "prod", "Reconciled")
	two.must("delete", "istiorevisiontag", "prod")

	two.example("primary-remote/cluster2/eastwest-gateway.yaml")
	for _, e := range []*env{one, two} {
		e.sample("istio-injection=enabled")
		e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.23.2   23s`, "get", "istios")
	}
	for _, e := range []*env{one, two} {
		e.must("delete", "istios", "default")
		e.must("delete", "ns", "istio-system", "sample", "--wait=false")
	}
}

// follow makes the remote istiod ready, not ready and ready, and sees to it that the status follows, and is left alone
// while the answer stays the same.
func follow(e *env, istiod *remoteIstiod, name, address string) {
	e.t.Helper()
	not := "False RemoteIstiodNotReady: remote istiod is not ready: " + address + " answers 503 Service Unavailable"
	for _, answer := range []int{
		http.StatusServiceUnavailable, http.StatusOK, http.StatusServiceUnavailable, http.StatusOK,
	} {
		istiod.answer.Store(int64(answer))
		want := "True"
		if answer != http.StatusOK {
			want = not
		}
		e.says(want, "revision", name, "Ready")
		e.says(want, "istio", name, "Ready")
	}
	quiet(e, istiod, name)
}

// quiet makes sure that the controller writes nothing as long as the answer stays the same.
func quiet(e *env, istiod *remoteIstiod, name string) {
	e.t.Helper()
	before := e.reported(name)
	istiod.asksOn(e)
	e.unwritten(before, statusOf(name))
}

func externalControlPlane(one, two *env, istiod *remoteIstiod) {
	one.must("create", "namespace", "istio-system")
	// The guide has this slip: what is below global belongs under values.
	wrong := `{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {version: v1.23.2, ` +
		`namespace: istio-system, global: {network: network1}}}`
	if err := one.tryApply(wrong); err == nil || !strings.Contains(err.Error(), `unknown field "spec.global"`) {
		one.t.Errorf("spec.global should be refused, by name: %v", err)
	}
	one.apply(`{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {version: v1.23.2, ` +
		`namespace: istio-system, values: {global: {network: network1}}}}`)
	one.must("wait", "--for=condition=Ready", "istios/default", "--timeout="+patience.String())
	one.example("external-control-plane/cluster1/controlplane-gateway.yaml")
	address := one.address("istio-ingressgateway", "192.0.2.20")
	two.must("create", "namespace", "external-istiod")
	two.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: external-istiod
spec:
  version: v1.23.2
  namespace: external-istiod
  profile: remote
  values:
    defaultRevision: external-istiod
    global:
      istioNamespace: external-istiod
      remotePilotAddress: ` + address + `
      configCluster: true
    pilot:
      configMap: true
    istiodRemote:
      injectionPath: /inject/cluster/cluster2/net/network1
`)
	one.must("create", "namespace", "external-istiod")
	one.must("create", "sa", "istiod-service-account", "-n", "external-istiod")
	one.remoteSecret("external-istiod", "cluster2")
	one.apply(strings.ReplaceAll(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: external-istiod
spec:
  namespace: external-istiod
  version: v1.23.2
  profile: empty
  values:
    meshConfig:
      rootNamespace: external-istiod
      defaultConfig:
        discoveryAddress: $EXTERNAL_ISTIOD_ADDR:15012
    pilot:
      enabled: true
      volumes:
        - name: config-volume
          configMap:
            name: istio-external-istiod
        - name: inject-volume
          configMap:
            name: istio-sidecar-injector-external-istiod
      volumeMounts:
        - name: config-volume
          mountPath: /etc/istio/config
        - name: inject-volume
          mountPath: /var/lib/istio/inject
      env:
        INJECTION_WEBHOOK_CONFIG_NAME: "istio-sidecar-injector-external-istiod-external-istiod"
        VALIDATION_WEBHOOK_CONFIG_NAME: "istio-validator-external-istiod-external-istiod"
        EXTERNAL_ISTIOD: "true"
        LOCAL_CLUSTER_SECRET_WATCHER: "true"
        CLUSTER_ID: cluster2
        SHARED_MESH_CONFIG: istio
    global:
      caAddress: $EXTERNAL_ISTIOD_ADDR:15012
      istioNamespace: external-istiod
      operatorManageWebhooks: true
      configValidation: false
      meshID: mesh1
      multiCluster:
        clusterName: cluster2
      network: network1
`, "$EXTERNAL_ISTIOD_ADDR", address))
	one.must("wait", "--for=condition=Ready", "istios/external-istiod", "--timeout="+patience.String())
	one.example("external-control-plane/cluster1/expose-istiod.yaml")

	// istiod in cluster1 finds the webhooks of cluster2 by the names in its environment.
	two.certify(istiod.ca, "istio-sidecar-injector-external-istiod-external-istiod")
	two.exists("validating", "istio-validator-external-istiod-external-istiod")
	two.says("False RemoteIstiodNotReady: remote istiod is not ready: "+
		"https://istiod-external-istiod.external-istiod.svc:443/ready answers 503 Service Unavailable",
		"istio", "external-istiod", "Ready")
	istiod.answer.Store(http.StatusOK)
	two.must("wait", "--for=condition=Ready", "istios/external-istiod", "--timeout="+patience.String())
	two.sample("istio.io/rev=external-istiod")
	two.shows(`
NAME              TYPE     READY   STATUS    IN USE   VERSION   AGE
external-istiod   Remote   True    Healthy   True     v1.23.2   23s`, "get", "istiorevisions")
	two.certified(istiod.ca, "istio-sidecar-injector-external-istiod-external-istiod")
	one.shows(`
NAME              REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default           1           1       1        default           Healthy   v1.23.2   23s
external-istiod   1           1       0        external-istiod   Healthy   v1.23.2   23s`, "get", "istios")

	one.must("delete", "istios", "default")
	one.must("delete", "ns", "istio-system", "--wait=false")
	one.must("delete", "istios", "external-istiod")
	one.must("delete", "ns", "external-istiod", "--wait=false")
	two.must("delete", "istios", "external-istiod")
	two.must("delete", "ns", "external-istiod", "sample", "--wait=false")
}

// injectionURL is the other way to say where the remote istiod is.
func injectionURL(_, two *env, istiod *remoteIstiod) {
	two.must("create", "namespace", "istio-system")
	two.apply(`
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: far}
spec:
  version: v1.28.3
  namespace: istio-system
  profile: remote
  values:
    istiodRemote:
      injectionURL: ` + istiod.server.URL + `/inject/cluster/cluster2/net/network2
`)
	two.certify(istiod.ca, "istio-sidecar-injector-far")
	follow(two, istiod, "far", istiod.server.URL+"/ready")
	two.certified(istiod.ca, "istio-sidecar-injector-far")
	two.must("delete", "istio", "far")
	two.must("delete", "ns", "istio-system", "--wait=false")
}
