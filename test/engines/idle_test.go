package engines

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// idleTime is how long an engine must have nothing to do. LATEEN_STEADY shortens it for those who work on a test.
func idleTime(t *testing.T) time.Duration {
	t.Helper()
	const five = 5 * time.Minute
	s := os.Getenv("LATEEN_STEADY")
	if s == "" {
		return five
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("LATEEN_STEADY: %v", err)
	}
	return d
}

// What an idle time has to have at least, however long it takes.
const (
	idleRounds  = 8
	idleChanges = 20
)

// idle is a time in which nobody changes anything in Git.
type idle struct {
	name    string
	objects []*unstructured.Unstructured
	until   time.Time
	// writes, rounds and syncs are what there was before.
	writes, rounds, syncs int
	changes               atomic.Int64
	stop                  func()
}

// rest begins an idle time for an application: istiod changes its webhooks, as it does when its certificate is new,
// and when it can answer again. It goes on beside other tests, until wake.
func (w *world) rest(name string, objects []*unstructured.Unstructured) *idle {
	w.t.Helper()
	w.settled(objects)
	s, err := w.engine.state(w, name)
	if err != nil {
		w.t.Fatal(err)
	}
	i := &idle{
		name: name, objects: objects, until: time.Now().Add(idleTime(w.t)),
		writes: len(w.Writes(w.t)), rounds: w.engine.rounds(w, name), syncs: s.syncs,
	}
	bundles := []string{certificate(w.t), certificate(w.t)}
	ctx, cancel := context.WithCancel(w.t.Context())
	done := make(chan struct{})
	i.stop = func() { cancel(); <-done }
	w.t.Cleanup(i.stop)
	go func() {
		defer close(done)
		i.stir(ctx, w.client, bundles)
	}()
	return i
}

// certificate makes a certificate for itself, as webhooks have it of who answers.
func certificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

// stir does what istiod does: it writes its certificate, and whether it can answer, by its own field manager.
func (i *idle) stir(ctx context.Context, c client.Client, bundles []string) {
	const pause = 5 * time.Second
	policies := []string{"Ignore", "Fail"}
	for n := 0; ctx.Err() == nil; n++ {
		for _, o := range i.objects {
			mutating := o.GetKind() == "MutatingWebhookConfiguration"
			if !mutating && o.GetKind() != "ValidatingWebhookConfiguration" {
				continue
			}
			now := o.DeepCopy()
			if c.Get(ctx, client.ObjectKeyFromObject(o), now) != nil {
				continue
			}
			before := now.DeepCopy()
			webhooks, _, err := unstructured.NestedSlice(now.Object, "webhooks")
			if err != nil {
				continue
			}
			for _, entry := range webhooks {
				hook, isMap := entry.(map[string]any)
				if !isMap {
					continue
				}
				if err := unstructured.SetNestedField(hook, bundles[n%len(bundles)], "clientConfig",
					"caBundle"); err != nil {
					continue
				}
				if !mutating { // of the others istiod leaves the policy alone
					hook["failurePolicy"] = policies[n%len(policies)]
				}
			}
			now.Object["webhooks"] = webhooks
			if c.Patch(ctx, now, client.MergeFrom(before), client.FieldOwner("pilot-discovery")) == nil {
				i.changes.Add(1)
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// wake ends an idle time, when it has been long enough by every measure, and looks at what the engine has done in it.
func (w *world) wake(i *idle) {
	w.t.Helper()
	now := w.engine.rounds(w, i.name)
	for time.Now().Before(i.until) {
		select {
		case <-w.t.Context().Done():
			w.t.Fatal("the idle time is cut short")
		case <-time.After(time.Second):
		}
	}
	w.eventually("the engine has looked often enough", func() error {
		now = w.engine.rounds(w, i.name)
		if rounds, changes := now-i.rounds, i.changes.Load(); rounds < idleRounds || changes < idleChanges {
			return fmt.Errorf("%d comparisons of %d, %d changes of %d", rounds, idleRounds, changes, idleChanges)
		}
		return nil
	})
	i.stop()
	w.t.Logf("%s: %d comparisons beside %d changes by istiod", i.name, now-i.rounds, i.changes.Load())
	w.eventually("the comparison that is under way ends", func() error { // until then Flux says "Progressing"
		s, err := w.engine.state(w, i.name)
		if err == nil && (!s.synced || !s.healthy || s.syncs != i.syncs) {
			err = fmt.Errorf("nothing has changed in Git, and the engine says %+v; %d runs before", s, i.syncs)
		}
		return err
	})
	// Flux reads, tries to apply, and compares: what istiod writes between makes it apply what is there already.
	if writes := cluster.Changed(w.written(i.writes, i.objects), w.Writes(w.t)); len(writes) > 0 {
		w.t.Errorf("nothing has changed in Git, and the engine has written %d times, first %s", len(writes), writes[0])
	}
}
