// Package cluster reads: it keeps what the controller has to know of a cluster, and tells reconcilers when it changes.
// It decides nothing and writes nothing.
package cluster

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/internal/usage"
)

const (
	// debounce is how long a change of who uses a revision may wait, if the answer to whether anything does stays the
	// same: the message in the status names users, and pods come and go by the hundred.
	debounce = 10 * time.Second
	// patience is how long a watch may fail until what it showed counts as unknown. Watches are renewed all the time.
	patience = 30 * time.Second
	// manyNames is how many names are more than there can be revisions and tags.
	manyNames = 10000
)

// Usage knows who uses which revision, by watching the metadata of namespaces and pods, of what makes pods, and what
// there is of the Gateway API. It keeps no objects: what comes in goes to the index and is forgotten. It is a Runnable
// of the manager.
type Usage struct {
	reader Reader
	clock  clock.WithTickerAndDelayedExecution
	index  *usage.Index
	feeds  []*feed

	mutex  sync.Mutex
	queues []subscriber
	wake   func()
	// started is when Start was called, and synced whether there is something to say; see Synced.
	started time.Time
	synced  bool
	// flips is when each name was last seen to become used or unused.
	flips map[string]time.Time
	// waits are the names of which there are news that wait: what happens until they are told is told with them.
	waits map[string]struct{}
}

// subscriber is a controller that wants to know of changes; all names the objects that it reconciles.
type subscriber struct {
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	all   func() []string
}

// NewUsage makes the Usage of a cluster.
func NewUsage(reader Reader) *Usage { return newUsage(reader, clock.RealClock{}) }

func newUsage(reader Reader, c clock.WithTickerAndDelayedExecution) *Usage {
	u := &Usage{
		reader: reader, clock: c, index: usage.NewIndex(), wake: func() {}, flips: map[string]time.Time{},
		waits: map[string]struct{}{},
	}
	for _, s := range subjects() {
		u.feeds = append(u.feeds, newFeed(reader, c, s, s.sink(u.index), u.publish))
	}
	return u
}

// Start watches until the context ends.
func (u *Usage) Start(ctx context.Context) error {
	check := make(chan struct{}, 1)
	u.mutex.Lock()
	u.started = u.clock.Now()
	u.wake = func() {
		select {
		case check <- struct{}{}:
		default:
		}
	}
	u.mutex.Unlock()
	var wg sync.WaitGroup
	for _, f := range u.feeds {
		f.changed = u.wake
		wg.Go(func() { f.run(ctx) })
	}
	ticks := u.clock.NewTicker(patience / 3)
	defer ticks.Stop()
	for {
		u.judge(u.clock.Now())
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-check:
		case <-ticks.C():
		}
	}
}

// judge tells the index whether everything is seen, and the reconcilers if that is news.
func (u *Usage) judge(now time.Time) {
	why := u.doubts(now)
	if why == "" {
		metrics.Observed(now)
	}
	news := u.index.SetIncomplete(why)
	u.mutex.Lock()
	if !u.synced && (why == "" || now.Sub(u.started) >= patience) {
		u.synced, news = true, true
	}
	u.mutex.Unlock()
	if news {
		u.enqueueAll()
	}
}

// doubts says what cannot be relied on: the first, and how many more there are.
func (u *Usage) doubts(now time.Time) string {
	var all []string
	for _, f := range u.feeds {
		if err := f.staleness(now); err != nil {
			all = append(all, err.Error())
		}
	}
	switch len(all) {
	case 0:
		return ""
	case 1:
		return all[0]
	}
	return fmt.Sprintf("%s (and %d more resources)", all[0], len(all)-1)
}

// Synced reports whether there is something to say about use: everything has been seen once, or it should have been by
// now. Before that, a controller that has just started has nothing to say against what was known before.
func (u *Usage) Synced() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return u.synced
}

// Index answers who uses what.
func (u *Usage) Index() *usage.Index { return u.index }

// Source makes a controller reconcile the revision or tag of each name whose users change: at once if that makes it
// used or unused, and else after a while, so that a storm of pods is one reconcile. all names what the controller
// reconciles, for the moments at which nothing, or everything, can be said about use.
func (u *Usage) Source(all func() []string) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		u.mutex.Lock()
		defer u.mutex.Unlock()
		u.queues = append(u.queues, subscriber{queue, all})
		return nil
	})
}

func (u *Usage) subscribers() []subscriber {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return u.queues
}

func (u *Usage) enqueue(name string) {
	for _, s := range u.subscribers() {
		s.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	}
}

// debounced tells the controllers of the news of a name that have waited. What happens from now on waits anew.
//
// They do not wait in the queues of the controllers: a queue has each name once, and a name that is looked at for
// another reason meanwhile is not in it any more. What happens after that look would never be told.
func (u *Usage) debounced(name string) {
	u.mutex.Lock()
	delete(u.waits, name)
	u.mutex.Unlock()
	u.enqueue(name)
}

func (u *Usage) enqueueAll() {
	for _, s := range u.subscribers() {
		for _, name := range s.all() {
			s.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
	}
}

// Flipped is when a name was last seen to become used or unused, by this process; zero if it was not. A use may come
// and go between two looks at a revision.
func (u *Usage) Flipped(name string) time.Time {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	at, seen := u.flips[name]
	if !seen {
		return time.Time{}
	}
	// By how long ago it was, not by what the clock said: somebody may have set it back meanwhile.
	return u.clock.Now().Add(-u.clock.Since(at))
}

// Recheck makes the controllers look at a revision or tag once more.
func (u *Usage) Recheck(name string) { u.enqueue(name) }

// publish tells the controllers what an event has changed. There are as many events as pods come and go, and most of
// them find their news waiting already.
func (u *Usage) publish(c usage.Change) {
	if c.Empty() {
		return
	}
	if slices.Contains(c.Flipped, usage.Enrolment) {
		u.enqueueAll() // whichever revision is the last that serves ambient
	}
	now := u.clock.Now()
	u.mutex.Lock()
	for _, name := range c.Flipped {
		u.flips[name] = now
	}
	c.Flipped, c.Touched = without(c.Flipped, usage.Enrolment), without(c.Touched, usage.Enrolment)
	var later []string
	for _, name := range c.Touched {
		_, flipped := slices.BinarySearch(c.Flipped, name)
		if _, waits := u.waits[name]; !flipped && !waits {
			u.waits[name] = struct{}{}
			later = append(later, name)
		}
	}
	if len(u.flips) > manyNames { // whoever can create a pod can make up names
		maps.DeleteFunc(u.flips, func(_ string, at time.Time) bool { return now.Sub(at) > time.Hour })
	}
	u.mutex.Unlock()
	for _, name := range c.Flipped {
		u.enqueue(name)
	}
	for _, name := range later {
		u.clock.AfterFunc(debounce, func() { u.debounced(name) })
	}
}

// without leaves a name out of a list that others may hold.
func without(names []string, name string) []string {
	i, found := slices.BinarySearch(names, name)
	if !found {
		return names
	}
	return slices.Delete(slices.Clone(names), i, i+1)
}
