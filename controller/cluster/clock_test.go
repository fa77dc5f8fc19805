package cluster

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/utils/clock"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/lateen-io/lateen/internal/usage"
)

// changing is a server whose answers a test sets.
type changing struct {
	// down is why it does not answer, and absent says that it has nothing of the Gateway API.
	down   error
	absent bool
	// looked counts how often it is asked for a Gateway API.
	looked int
}

func (c *changing) Lister(r schema.GroupVersionResource) Lister { return changingLister{c, r} }

type changingLister struct {
	*changing

	resource schema.GroupVersionResource
}

func (c changingLister) List(context.Context, metav1.ListOptions) (runtime.Object, error) {
	if c.resource.Resource == "gateways" && c.resource.Version == "v1" {
		c.looked++
	}
	if c.absent && c.resource.Group == "gateway.networking.k8s.io" {
		return nil, apierrors.NewNotFound(c.resource.GroupResource(), "")
	}
	return &metav1.PartialObjectMetadataList{}, c.down
}

func (c changingLister) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if c.down != nil {
		return nil, c.down
	}
	if o.SendInitialEvents == nil {
		return watch.NewFake(), nil
	}
	return streaming(func(w *watch.FakeWatcher) { w.Action(watch.Bookmark, end("1")) }).Watch(ctx, o)
}

// TestStart has time go by while a Usage watches.
func TestStart(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		server changing
		// after is how much time goes by; before that nothing is synced, unless it is zero.
		after  time.Duration
		synced bool
		want   usage.InUse
		looked int
	}{
		{
			reason: "Everything is there at once.", synced: true, want: usage.False, looked: 1,
		},
		{
			reason: "The server does not answer, and there was no time to.", server: changing{down: errors.New("no route")},
			after: patience / 3, want: usage.Unknown, looked: 1,
		},
		{
			reason: "The server does not answer for too long.", server: changing{down: errors.New("no route")},
			after: patience, synced: true, want: usage.Unknown, looked: 1,
		},
		{
			reason: "There is no Gateway API: that is looked for again.", server: changing{absent: true},
			after: discoveryPeriod, synced: true, want: usage.False, looked: 2,
		},
		{
			reason: "And not before its time.", server: changing{absent: true}, after: discoveryPeriod - time.Second,
			synced: true, want: usage.False, looked: 1,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				now := testingclock.NewFakeClock(time.Now())
				u, q := newUsage(&c.server, now), &queue{}
				if err := u.Source(func() []string { return []string{"a", "b"} }).Start(ctx, q); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- u.Start(ctx) }()
				synctest.Wait()
				if c.after > 0 {
					now.Step(c.after)
					synctest.Wait()
				}
				if got := u.Synced(); got != c.synced {
					t.Errorf("%s synced: %t", c.reason, got)
				}
				if got := u.Index().Revision(usage.RevisionInfo{Name: "a"}, nil, 1).InUse; got != c.want {
					t.Errorf("%s in use: %s", c.reason, got)
				}
				if c.server.looked != c.looked {
					t.Errorf("%s the Gateway API was looked for %d times, want %d", c.reason, c.server.looked, c.looked)
				}
				if asked := slices.Compact(q.take()); c.synced && !slices.Equal(asked, []string{"a", "b"}) {
					t.Errorf("%s asked to look at: %v", c.reason, asked)
				}
				cancel()
				if err := <-ended; err != nil {
					t.Errorf("%s it ends with %v", c.reason, err)
				}
			})
		})
	}
}

// stepping is a clock whose pauses end when a test says so.
type stepping struct {
	clock.RealClock

	pauses chan time.Duration
	end    chan time.Time
}

func (s stepping) After(d time.Duration) <-chan time.Time {
	s.pauses <- d
	return s.end
}

// TestProberAsksAgain has the answers of a remote control plane change.
func TestProberAsksAgain(t *testing.T) {
	t.Parallel()
	var ready atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	now := stepping{pauses: make(chan time.Duration), end: make(chan time.Time)}
	p := &Prober{Period: time.Hour, Timeout: time.Minute, Clock: now}
	q := &waiting{added: make(chan string, 10)}
	if err := p.Source().Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	target := Target{URL: server.URL}
	p.Ask("a", target)
	go func() { _ = p.Start(t.Context()) }()
	<-q.added // who asked too early is called back
	p.Ask("a", target)
	for _, step := range []struct {
		reason string
		ready  bool
		news   int
		err    string
	}{
		{"The first answer is news.", false, 1, server.URL + " answers 503 Service Unavailable"},
		{"The same answer is none.", false, 0, server.URL + " answers 503 Service Unavailable"},
		{"Another one is.", true, 1, ""},
		{"The same again.", true, 0, ""},
	} {
		if step.reason != "The first answer is news." {
			ready.Store(step.ready)
			now.end <- time.Time{}
		}
		if d := <-now.pauses; d != time.Hour {
			t.Errorf("%s the pause is %s", step.reason, d)
		}
		if got := len(q.added); got != step.news {
			t.Errorf("%s %d times, want %d", step.reason, got, step.news)
		}
		for len(q.added) > 0 {
			<-q.added
		}
		if got := p.Ask("a", target); !got.Tried || got.Err != step.err {
			t.Errorf("%s got %+v", step.reason, got)
		}
	}
}
