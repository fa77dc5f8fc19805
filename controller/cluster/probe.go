package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lateen-io/lateen/internal/health"
)

// Target is where a remote istiod answers whether it is ready: behind the injection webhook, with the webhook's CA.
type Target struct {
	// URL is the address to ask.
	URL string
	// CA are the certificates that the server is known by, as PEM. Empty means those of the system.
	CA string
}

// TargetOf reads the target from a webhook's clientConfig.
func TargetOf(c admissionv1.WebhookClientConfig) (Target, error) {
	t := Target{CA: string(c.CABundle)}
	switch {
	case c.URL != nil:
		u, err := url.Parse(*c.URL)
		if err != nil {
			return t, fmt.Errorf("the webhook's URL: %w", err)
		}
		u.Path, u.RawQuery = "/ready", ""
		t.URL = u.String()
	case c.Service != nil:
		port := int32(443)
		if c.Service.Port != nil {
			port = *c.Service.Port
		}
		host := c.Service.Name + "." + c.Service.Namespace + ".svc"
		t.URL = "https://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + "/ready"
	default:
		return t, errors.New("the webhook has neither a URL nor a Service")
	}
	return t, nil
}

// Prober asks remote control planes, again and again, whether they are ready, and tells the controller when an answer
// changes. It is a Runnable of the manager.
type Prober struct {
	// Period lies between two questions, and Timeout is how long an answer may take.
	Period, Timeout time.Duration
	// Clock says when the next question is due; nil is the one of the process.
	Clock clock.Clock

	mutex  sync.Mutex
	base   context.Context //nolint:containedctx // the manager's, under which all probes run
	probes map[string]*probe
	// early are the revisions that were asked about before Start.
	early []string
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
}

type probe struct {
	target Target
	stop   context.CancelFunc
	result health.Probe
}

// Start runs until the context ends.
func (p *Prober) Start(ctx context.Context) error {
	p.mutex.Lock()
	p.base = ctx
	for _, revision := range p.early {
		p.queue.Add(Named(revision)[0])
	}
	p.early = nil
	p.mutex.Unlock()
	<-ctx.Done()
	return nil
}

// Source makes a controller reconcile a revision whose answer has changed.
func (p *Prober) Source() source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		p.mutex.Lock()
		defer p.mutex.Unlock()
		p.queue = queue
		return nil
	})
}

// Ask gives the last answer for a revision, and sees to it that its target is asked from now on.
func (p *Prober) Ask(revision string, t Target) health.Probe {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	have := p.probes[revision]
	if have != nil && have.target == t {
		return have.result
	}
	if have != nil {
		have.stop()
	}
	if p.base == nil {
		p.early = append(p.early, revision)
		return health.Probe{}
	}
	ctx, stop := context.WithCancel(p.base)
	next := &probe{target: t, stop: stop}
	if p.probes == nil {
		p.probes = map[string]*probe{}
	}
	p.probes[revision] = next
	go p.run(ctx, revision, next)
	return next.result
}

// Forget stops asking for a revision.
func (p *Prober) Forget(revision string) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if have := p.probes[revision]; have != nil {
		have.stop()
		delete(p.probes, revision)
	}
}

func (p *Prober) run(ctx context.Context, revision string, asked *probe) {
	client, err := asked.target.client(p.Timeout)
	next := p.Clock
	if next == nil {
		next = clock.RealClock{}
	}
	for {
		result := health.Probe{Tried: true}
		if err == nil {
			result.Err = text(ask(ctx, client, asked.target.URL))
		} else {
			result.Err = err.Error()
		}
		if ctx.Err() != nil {
			return
		}
		p.mutex.Lock()
		changed := asked.result != result
		asked.result = result
		queue := p.queue
		p.mutex.Unlock()
		if changed && queue != nil {
			queue.Add(Named(revision)[0])
		}
		select {
		case <-ctx.Done():
			return
		case <-next.After(p.Period):
		}
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	// Where a question was when its time was up is chance, and would make each error a new one.
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return "no answer in time"
	}
	// So would the address of our end of the connection, which is another one each time.
	if op, ok := errors.AsType[*net.OpError](err); ok {
		return op.Err.Error()
	}
	// And the time at which a certificate was looked at.
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired &&
		invalid.Cert != nil {
		const layout = time.RFC3339
		return fmt.Sprintf("its certificate is valid from %s to %s", invalid.Cert.NotBefore.UTC().Format(layout),
			invalid.Cert.NotAfter.UTC().Format(layout))
	}
	return err.Error()
}

func (t Target) client(timeout time.Duration) (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(t.CA)) {
			return nil, errors.New("the webhook's caBundle has no certificate")
		}
	}
	transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}
	return &http.Client{Timeout: timeout, Transport: transport}, nil
}

func ask(ctx context.Context, client *http.Client, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", address, response.Status)
	}
	return nil
}
