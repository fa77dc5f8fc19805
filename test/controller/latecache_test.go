package controller

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// way is one to the API server on which news may come late: what a watch brings is held back, while answers pass.
type way struct {
	mutex sync.Mutex
	// held are the resources of which nothing new is told; wake tells of a change.
	held map[string]bool
	wake *sync.Cond
	// passed is the newest resource version that has passed, by resource.
	passed map[string]uint64
}

// resourceVersions are those in what a watch of custom resources brings, which is JSON.
var resourceVersions = regexp.MustCompile(`"resourceVersion":"(\d+)"`)

// way makes a way, and gives a kubeconfig that leads there.
func (e *env) way() (*way, string) {
	e.t.Helper()
	target, err := url.Parse(e.URL)
	if err != nil {
		e.t.Fatal(err)
	}
	w := &way{held: map[string]bool{}, passed: map[string]uint64{}}
	w.wake = sync.NewCond(&w.mutex)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(e.CA)
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}
	proxy.FlushInterval = -1
	proxy.ErrorLog = log.New(io.Discard, "", 0) // a controller that is killed closes its connections
	proxy.ModifyResponse = func(r *http.Response) error {
		path := strings.Split(r.Request.URL.Path, "/")
		if r.Request.URL.Query().Get("watch") != "" {
			b := lateBody{ReadCloser: r.Body, way: w, resource: path[len(path)-1]}
			if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
				r.Body = &lateLines{lateBody: b, lines: bufio.NewReader(b.ReadCloser)}
			} else {
				r.Body = &b
			}
		}
		return nil
	}
	server := httptest.NewTLSServer(proxy)
	e.t.Cleanup(func() {
		w.release()
		server.CloseClientConnections()
		server.Close()
	})
	config := fmt.Sprintf(
		`{apiVersion: v1, kind: Config, current-context: way, contexts: [{name: way, context: {cluster: way, user: way}}],
users: [{name: way, user: {token: %q}}],
clusters: [{name: way, cluster: {server: %q, certificate-authority-data: %q}}]}`,
		e.Token, server.URL, base64.StdEncoding.EncodeToString(
			pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})))
	file := filepath.Join(e.t.TempDir(), "kubeconfig")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		e.t.Fatal(err)
	}
	return w, file
}

// hold holds back the news of resources from now on.
func (w *way) hold(resources ...string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	for _, r := range resources {
		w.held[r] = true
	}
}

// holdAfter is hold of the news of one custom resource, from what it is at this moment on: all of that has passed. A
// controller that knows less than what it has written itself asks the server, and nothing can be held back.
func (w *way) holdAfter(e *env, resource, kind, name string) {
	e.t.Helper()
	for {
		now := e.get(kind, name).GetResourceVersion()
		version, err := strconv.ParseUint(now, 10, 64)
		if err != nil {
			e.t.Fatal(err)
		}
		e.eventually("the news of "+name+" passes", func() error {
			w.mutex.Lock()
			defer w.mutex.Unlock()
			if passed := w.passed[resource]; passed < version {
				return fmt.Errorf("version %d has, and it is of %d", passed, version)
			}
			return nil
		})
		w.hold(resource)
		if e.get(kind, name).GetResourceVersion() == now {
			return
		}
		w.release()
	}
}

// release lets all news pass.
func (w *way) release() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	clear(w.held)
	w.wake.Broadcast()
}

// lateBody is what a watch brings.
type lateBody struct {
	io.ReadCloser

	way      *way
	resource string
}

func (b *lateBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.wait(nil)
	return n, err
}

// wait waits until news may pass, and notes the versions in it.
func (b *lateBody) wait(news []byte) {
	b.way.mutex.Lock()
	defer b.way.mutex.Unlock()
	for b.way.held[b.resource] {
		b.way.wake.Wait()
	}
	for _, m := range resourceVersions.FindAllSubmatch(news, -1) {
		if v, err := strconv.ParseUint(string(m[1]), 10, 64); err == nil {
			b.way.passed[b.resource] = max(b.way.passed[b.resource], v)
		}
	}
}

// lateLines is what a watch brings as JSON, an event in a line: it passes as a whole or not at all. Half of one would
// have its version, and tell nobody of anything.
type lateLines struct {
	lateBody

	lines *bufio.Reader
	// rest is what has passed of a line, and has not been read.
	rest []byte
	err  error
}

func (b *lateLines) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		b.rest, b.err = b.lines.ReadBytes('\n')
		b.wait(b.rest)
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// TestLateLines has an event come in pieces, and news held back between them.
func TestLateLines(t *testing.T) {
	w := &way{held: map[string]bool{}, passed: map[string]uint64{}}
	w.wake = sync.NewCond(&w.mutex)
	in, out := io.Pipe()
	b := &lateLines{lateBody: lateBody{ReadCloser: in, way: w, resource: "pods"}, lines: bufio.NewReader(in)}
	passes := make(chan string)
	go func() {
		defer close(passes)
		text, _ := io.ReadAll(b)
		passes <- string(text)
	}()
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	passed := func() uint64 {
		w.mutex.Lock()
		defer w.mutex.Unlock()
		return w.passed["pods"]
	}
	write(`{"metadata":{"resourceVersion":"5"},`)
	if got := passed(); got != 0 {
		t.Errorf("half of the event has passed as version %d", got)
	}
	write("\"status\":{}}\n")
	for passed() != 5 {
		runtime.Gosched()
	}
	w.hold("pods")
	write("{\"resourceVersion\":\"6\"}\n")
	if got := passed(); got != 5 {
		t.Errorf("version %d has passed, and is held", got)
	}
	w.release()
	write("{}")
	_ = out.Close()
	const want = "{\"metadata\":{\"resourceVersion\":\"5\"},\"status\":{}}\n{\"resourceVersion\":\"6\"}\n{}"
	if got := <-passes; got != want || passed() != 6 {
		t.Errorf("%q has passed, with version %d", got, passed())
	}
}

// TestLateNews has a revision come into use after its Istio has left it, without the controller being told. Before it
// removes a revision it has to ask the server itself, for everything that may use one.
func TestLateNews(t *testing.T) {
	parallel(t, 105)
	e := startObserved(t)
	for _, name := range []string{"istio-system", "app"} {
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	}
	w, kubeconfig := e.way()
	d := e.daemon("--kubeconfig=" + kubeconfig)
	o := e.observe()
	// Long enough for a busy machine to hold back the news before it is over.
	const grace = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 30"
	const short = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 1"
	for _, c := range []struct {
		name, reason, held string
		begin, end         func(e *env)
	}{
		{
			name: "a namespace", held: "namespaces",
			reason: "Its next pod would be injected from a revision that is not there.",
			begin: func(e *env) {
				e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {istio.io/rev: prod-v1-26-0}}}")
			},
			end: func(e *env) { e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {}}}") },
		},
		{
			name: "a pod", held: "pods",
			reason: "Its proxy would lose its control plane.",
			begin: func(e *env) {
				e.put("{apiVersion: v1, kind: Pod, metadata: {name: proxy, namespace: app, " +
					"annotations: {istio.io/rev: prod-v1-26-0}}, spec: {containers: [{name: app, image: example.com/app}]}}")
			},
			end: func(e *env) { e.must("delete", "pod", "-n", "app", "proxy", "--now") },
		},
		{
			name: "a tag", held: "istiorevisiontags",
			reason: "A tag counts for its revision even when nothing uses the tag.",
			begin: func(e *env) {
				e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: stable}, " +
					"spec: {targetRef: {kind: IstioRevision, name: prod-v1-26-0}}}")
			},
			end: func(e *env) { e.must("delete", "istiorevisiontag", "stable") },
		},
		{
			name: "its Istio", held: "istios",
			reason: "The revision that an Istio asks for is never removed.",
			begin:  func(e *env) { e.asked("prod", "v1.26.0", grace) },
			end:    func(e *env) { e.asked("prod", "v1.28.3", grace) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := e.in(t)
			d.start() // it logs anew
			defer d.kill()
			defer w.release()
			e.asked("prod", "v1.26.0", grace)
			e.healthy("istio", "prod")
			e.remain("prod-v1-26-0")
			e.asked("prod", "v1.28.3", grace)
			e.eventually("the grace period runs", func() error {
				if text(e.get("revision", "prod-v1-26-0"), "status", "inactiveSince") == "" {
					return errors.New("not yet")
				}
				return nil
			})
			if c.held == "istios" {
				e.healthy("istio", "prod")
				w.holdAfter(e, c.held, "istio", "prod")
			} else {
				w.hold(c.held)
			}
			c.begin(e)
			if c.held != "istios" { // else the controller would not hear of it
				e.asked("prod", "v1.28.3", short)
			}
			e.eventually("the controller would remove the revision", func() error {
				if !d.said("keeping a revision that seemed unused") {
					return errors.New("it has not asked the server yet")
				}
				return nil
			})
			if rev := e.get("revision", "prod-v1-26-0"); rev.GetDeletionTimestamp() != nil {
				t.Errorf("it did. %s", c.reason)
			}
			w.release()
			if c.held != "istios" {
				e.says("True ReferencedByWorkloads: ...", "revision", "prod-v1-26-0", "InUse")
			}
			c.end(e)
			e.remain("prod-v1-28-3")
		})
	}
	if j := o.blameless(); j.removed == 0 {
		t.Error("no revision was removed, so none was spared")
	}
}

// TestLateOrphans deletes a revision and leaves its control plane to itself, without the controller being told. It sees
// objects that are nobody's any more, of a revision that is still there for all it knows. If it took them back they
// would be deleted with the revision.
func TestLateOrphans(t *testing.T) {
	parallel(t, 20)
	e := start(t)
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}")
	w, kubeconfig := e.way()
	d := e.daemon("--kubeconfig=" + kubeconfig)
	d.start()
	defer w.release()
	e.asked("prod", "v1.28.3", "type: InPlace")
	e.healthy("istio", "prod")
	e.must("delete", "istio", "prod", "--cascade=orphan")
	deployment, webhook := []string{"deployment", "istiod-prod", "-n", "istio-system"}, []string{
		"mutatingwebhookconfiguration", "istio-sidecar-injector-prod",
	}
	const path = "{.metadata.ownerReferences[*].kind}"
	for _, what := range [][]string{deployment, webhook} { // the new owner is noted on all objects
		e.is("IstioRevision/prod", `{.metadata.annotations.lateen\.io/owner}`, what...)
	}
	e.healthy("revision", "prod")
	w.holdAfter(e, "istiorevisions", "revision", "prod")
	e.must("delete", "istiorevision", "prod", "--cascade=orphan", "--wait=false")
	e.eventually("the controller sees objects that are nobody's", func() error {
		if !d.said("leaving objects alone") {
			return errors.New("it has not looked at them")
		}
		return nil
	})
	e.is("", path, deployment...)
	e.is("", path, webhook...)
	w.release()
	e.gone("revision", "prod")
	for _, what := range [][]string{deployment, webhook} {
		e.is("", path, what...)
		e.is("", "{.metadata.deletionTimestamp}", what...)
	}
}
