package cluster

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lateen-io/lateen/internal/health"
)

func TestTargetOf(t *testing.T) {
	t.Parallel()
	address, port, broken := "https://istiod.example.com:15017/inject/cluster/x?y=z", int32(15017), "https://[::1"
	for _, c := range []struct {
		reason string
		in     admissionv1.WebhookClientConfig
		want   Target
		err    string
	}{
		{
			"A URL keeps its host, and nothing of its path.",
			admissionv1.WebhookClientConfig{URL: &address, CABundle: []byte("ca")},
			Target{"https://istiod.example.com:15017/ready", "ca"},
			"",
		},
		{
			"A Service listens on 443.", admissionv1.WebhookClientConfig{
				Service: &admissionv1.ServiceReference{Namespace: "n", Name: "istiod"},
			}, Target{"https://istiod.n.svc:443/ready", ""}, "",
		},
		{
			"A Service with a port.", admissionv1.WebhookClientConfig{
				Service: &admissionv1.ServiceReference{Namespace: "n", Name: "istiod", Port: &port},
			}, Target{"https://istiod.n.svc:15017/ready", ""}, "",
		},
		{"Neither.", admissionv1.WebhookClientConfig{}, Target{}, "neither a URL nor a Service"},
		{"No URL at all.", admissionv1.WebhookClientConfig{URL: &broken}, Target{}, "the webhook's URL"},
	} {
		got, err := TargetOf(c.in)
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got error %v, want %q in it", c.reason, err, c.err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" && c.err == "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestProber(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ready" || !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	for _, c := range []struct {
		reason string
		target Target
		ready  bool
		want   string
	}{
		{"It answers that it is ready.", Target{server.URL + "/ready", ca}, true, ""},
		{"It answers that it is not.", Target{server.URL + "/ready", ca}, false, "503 Service Unavailable"},
		{"Nobody vouches for it.", Target{server.URL + "/ready", ""}, true, "certificate signed by unknown authority"},
		{"The CA is none.", Target{server.URL + "/ready", "x"}, true, "no certificate"},
		{"Nobody is there.", Target{"https://127.0.0.1:1/ready", ca}, true, "connection refused"},
	} {
		ready.Store(c.ready)
		p := &Prober{Period: time.Hour, Timeout: time.Minute}
		q := &waiting{added: make(chan string, 10)}
		if err := p.Source().Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		if got := p.Ask("a", c.target); got.Tried {
			t.Errorf("%s: nobody can have asked before the start", c.reason)
		}
		go func() { _ = p.Start(t.Context()) }()
		if got := <-q.added; got != "a" {
			t.Errorf("%s: who asked too early is called back, not %q", c.reason, got)
		}
		if got := p.Ask("a", c.target); got.Tried {
			t.Errorf("%s: the first question is not waited for", c.reason)
		}
		if got := <-q.added; got != "a" {
			t.Errorf("%s: an answer about %q", c.reason, got)
		}
		got := p.Ask("a", c.target)
		if !got.Tried || (c.want == "") != (got.Err == "") || !strings.Contains(got.Err, c.want) {
			t.Errorf("%s: got %+v, want %q", c.reason, got, c.want)
		}
		if next := p.Ask("a", Target{URL: c.target.URL + "/other"}); next != (health.Probe{}) {
			t.Errorf("%s: an answer of another target: %+v", c.reason, next)
		}
		p.Forget("a")
	}
}

// waiting is a queue that a test can wait for.
type waiting struct {
	queue
	added chan string
}

func (w *waiting) Add(r reconcile.Request) { w.added <- r.Name }
