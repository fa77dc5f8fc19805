// Package cluster reads: it keeps what the controller has to know of a cluster, and tells reconcilers when it changes. It
// decides nothing and writes nothing.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/internal/usage"
)

const (
	// settling is how long a change of who uses a revision may wait, if the answer to whether anything does stays the same: the
	// message in the status names users, and pods come and go by the hundred.
	settling = 10 * time.Second
	// patience is how long a watch may fail until what it showed counts as unknown. Watches are renewed all the time.
	patience = 30 * time.Second
	// manyNames is how many names are more than there can be revisions and tags.
	manyNames = 10000
	// pageSize is how many objects a live list gets at a time.
	pageSize = 500
)

var (
	podsResource       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespacesResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// running selects the pods that have not run to their end. The server evaluates it, so that finished pods cost nothing here,
// and one that finishes looks as if it were deleted.
var running = fields.AndSelectors(
	fields.OneTermNotEqualSelector("status.phase", "Succeeded"),
	fields.OneTermNotEqualSelector("status.phase", "Failed"),
).String()

// Usage knows who uses which revision, by watching the metadata of namespaces and pods. It keeps no objects: what comes in goes
// to the index and is forgotten. It is a Runnable of the manager.
type Usage struct {
	client metadata.Interface
	index  *usage.Index
	feeds  []*feed

	mutex  sync.Mutex
	queues []subscriber
	wake   func()
	// started is when Start was called, and speaks whether there is something to say; see Speaks.
	started time.Time
	speaks  bool
	// flips is when each name was last seen to become used or unused.
	flips map[string]time.Time
}

// subscriber is a controller that wants to know of changes; all names the objects that it reconciles.
type subscriber struct {
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	all   func() []string
}

// NewUsage makes the Usage of a cluster.
func NewUsage(client metadata.Interface) *Usage {
	u := &Usage{client: client, index: usage.NewIndex(), wake: func() {}, flips: map[string]time.Time{}}
	u.feeds = []*feed{
		newFeed(client, "namespaces", namespacesResource, "", namespaces{u}),
		newFeed(client, "pods", podsResource, running, pods{u}),
	}
	return u
}

// Start watches until the context ends.
func (u *Usage) Start(ctx context.Context) error {
	check := make(chan struct{}, 1)
	u.mutex.Lock()
	u.started = time.Now()
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
	ticks := time.NewTicker(patience / 3)
	defer ticks.Stop()
	for {
		u.judge(time.Now())
		select {
		case <-ctx.Done():
			wg.Wait()
			return nil
		case <-check:
		case <-ticks.C:
		}
	}
}

// judge tells the index whether everything is seen, and the reconcilers if that is news.
func (u *Usage) judge(now time.Time) {
	var errs []error
	for _, f := range u.feeds {
		errs = append(errs, f.blind(now))
	}
	why := ""
	if err := errors.Join(errs...); err != nil {
		why = err.Error()
	}
	if why == "" {
		metrics.Observed(now)
	}
	news := u.index.SetIncomplete(why)
	u.mutex.Lock()
	if !u.speaks && (why == "" || now.Sub(u.started) >= patience) {
		u.speaks, news = true, true
	}
	u.mutex.Unlock()
	if news {
		u.enqueueAll()
	}
}

// Speaks tells whether there is something to say about use: everything has been seen once, or it should have been by now.
// Before that, a controller that has just started has nothing to say against what was known before.
func (u *Usage) Speaks() bool {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return u.speaks
}

// Index answers who uses what.
func (u *Usage) Index() *usage.Index { return u.index }

// Source makes a controller reconcile the revision or tag of each name whose users change: at once if that makes it used or
// unused, and else after a while, so that a storm of pods is one reconcile. all names what the controller reconciles, for
// the moments at which nothing, or everything, can be said about use.
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

func (u *Usage) enqueue(name string, after time.Duration) {
	for _, s := range u.subscribers() {
		request := reconcile.Request{NamespacedName: types.NamespacedName{Name: name}}
		if after == 0 {
			s.queue.Add(request)
		} else {
			s.queue.AddAfter(request, after)
		}
	}
}

func (u *Usage) enqueueAll() {
	for _, s := range u.subscribers() {
		for _, name := range s.all() {
			s.queue.Add(reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
		}
	}
}

// Flipped is when a name was last seen to become used or unused, by this process; zero if it was not. A use may come and go
// between two looks at a revision.
func (u *Usage) Flipped(name string) time.Time {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	at, seen := u.flips[name]
	if !seen {
		return time.Time{}
	}
	// By how long ago it was, not by what the clock said: somebody may have set it back meanwhile.
	return time.Now().Add(-time.Since(at))
}

// Recheck makes the controllers look at a revision or tag once more.
func (u *Usage) Recheck(name string) { u.enqueue(name, 0) }

func (u *Usage) publish(c usage.Change) {
	if len(c.Flipped) > 0 {
		now := time.Now()
		u.mutex.Lock()
		for _, name := range c.Flipped {
			u.flips[name] = now
		}
		if len(u.flips) > manyNames { // whoever can create a pod can make up names
			maps.DeleteFunc(u.flips, func(_ string, at time.Time) bool { return now.Sub(at) > time.Hour })
		}
		u.mutex.Unlock()
	}
	for _, name := range c.Touched {
		if _, flipped := slices.BinarySearch(c.Flipped, name); flipped {
			u.enqueue(name, 0)
		} else {
			u.enqueue(name, settling)
		}
	}
}

// Confirm asks the server itself who uses a revision, before something is done that cannot be undone: a watch may be behind.
func (u *Usage) Confirm(ctx context.Context, r usage.RevisionInfo, tags []usage.Tag, most int) (usage.Use, error) {
	x, err := Look(ctx, u.client)
	if err != nil {
		return usage.Use{}, err
	}
	return x.Revision(r, tags, most), nil
}

// Look takes a complete snapshot of who uses what, once, without watching. Namespaces come last: reading the pods may take a
// while, and a label that is set meanwhile counts.
func Look(ctx context.Context, client metadata.Interface) (*usage.Index, error) {
	x := usage.NewIndex()
	for _, look := range []struct {
		what     string
		resource schema.GroupVersionResource
		selector string
		add      func(*metav1.PartialObjectMetadata)
	}{
		{"pods", podsResource, running, func(o *metav1.PartialObjectMetadata) {
			x.SetPod(podOf(o))
		}},
		{"namespaces", namespacesResource, "", func(o *metav1.PartialObjectMetadata) {
			x.SetNamespace(namespaceOf(o))
		}},
	} {
		if err := each(ctx, client, look.resource, look.selector, look.add); err != nil {
			return nil, fmt.Errorf("listing %s: %w", look.what, err)
		}
	}
	x.SetIncomplete("")
	return x, nil
}

// each reads all objects of a resource as they are now, page by page.
func each(ctx context.Context, client metadata.Interface, r schema.GroupVersionResource, selector string, f func(*metav1.PartialObjectMetadata)) error {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return client.Resource(r).List(ctx, o)
	})
	p.PageSize = pageSize
	return p.EachListItem(ctx, metav1.ListOptions{FieldSelector: selector}, func(o runtime.Object) error {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("the server sent a %T where metadata was asked for", o)
		}
		f(m)
		return nil
	})
}

// sink is where a feed's objects go.
type sink interface {
	set(o *metav1.PartialObjectMetadata) usage.Change
	remove(o *metav1.PartialObjectMetadata) usage.Change
	replace(all iter.Seq[*metav1.PartialObjectMetadata]) usage.Change
	publish(c usage.Change)
}

type namespaces struct{ *Usage }

func (n namespaces) set(o *metav1.PartialObjectMetadata) usage.Change {
	return n.index.SetNamespace(namespaceOf(o))
}

func (n namespaces) remove(o *metav1.PartialObjectMetadata) usage.Change {
	return n.index.DeleteNamespace(o.Name)
}

func (n namespaces) replace(all iter.Seq[*metav1.PartialObjectMetadata]) usage.Change {
	return n.index.ReplaceNamespaces(func(yield func(usage.Namespace) bool) {
		for o := range all {
			if !yield(namespaceOf(o)) {
				return
			}
		}
	})
}

type pods struct{ *Usage }

func (p pods) set(o *metav1.PartialObjectMetadata) usage.Change {
	return p.index.SetPod(podOf(o))
}

func (p pods) remove(o *metav1.PartialObjectMetadata) usage.Change {
	return p.index.DeletePod(o.Namespace, o.Name)
}

func (p pods) replace(all iter.Seq[*metav1.PartialObjectMetadata]) usage.Change {
	return p.index.ReplacePods(func(yield func(usage.Pod) bool) {
		for o := range all {
			if !yield(podOf(o)) {
				return
			}
		}
	})
}

func namespaceOf(o *metav1.PartialObjectMetadata) usage.Namespace {
	return usage.NamespaceOf(o.Name, o.Labels)
}

func podOf(o *metav1.PartialObjectMetadata) usage.Pod {
	return usage.PodOf(o.Namespace, o.Name, o.Labels, o.Annotations, false)
}

// feed keeps a sink up to date with the metadata of one resource. It is what a reflector needs of a store, without storing
// anything.
type feed struct {
	name      string
	reflector *cache.Reflector
	sink      sink
	changed   func()

	mutex sync.Mutex
	seen  bool
	// failing is since when the server has not answered, and err what it said last.
	failing time.Time
	err     error
}

func newFeed(client metadata.Interface, name string, resource schema.GroupVersionResource, selector string, s sink) *feed {
	f := &feed{name: name, sink: s, changed: func() {}}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.FieldSelector = selector
			list, err := client.Resource(resource).List(ctx, o)
			f.note(err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = selector
			w, err := client.Resource(resource).Watch(ctx, o)
			f.note(err)
			return w, err
		},
	}
	f.reflector = cache.NewReflectorWithOptions(cache.ToListWatcherWithWatchListSemantics(lw, client), &metav1.PartialObjectMetadata{}, f,
		cache.ReflectorOptions{Name: "usage of " + name})
	return f
}

func (f *feed) run(ctx context.Context) { f.reflector.RunWithContext(ctx) }

// note remembers whether the server answers.
func (f *feed) note(err error) {
	f.mutex.Lock()
	switch {
	case err == nil:
		f.failing, f.err = time.Time{}, nil
	case f.failing.IsZero():
		f.failing, f.err = time.Now(), err
	default:
		f.err = err
	}
	f.mutex.Unlock()
	f.changed()
}

// blind is an error if what the feed has shown is not to be relied on.
func (f *feed) blind(now time.Time) error {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	switch {
	case f.err != nil && (!f.seen || now.Sub(f.failing) >= patience):
		return fmt.Errorf("the %s cannot be watched: %w", f.name, f.err)
	case !f.seen:
		return fmt.Errorf("the %s have not been read yet", f.name)
	}
	return nil
}

// Transformer drops all of an object that the index has no use for, before a list of them is held in memory.
func (f *feed) Transformer() cache.TransformFunc { return slim }

func slim(o any) (any, error) {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return o, nil
	}
	out := &metav1.PartialObjectMetadata{TypeMeta: m.TypeMeta, ObjectMeta: metav1.ObjectMeta{
		Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
	}}
	out.Labels = only(m.Labels, usage.LabelInjection, usage.LabelRevision, usage.LabelInject)
	out.Annotations = only(m.Annotations, usage.LabelRevision)
	return out, nil
}

func only(m map[string]string, keys ...string) map[string]string {
	var out map[string]string
	for _, k := range keys {
		if v, ok := m[k]; ok {
			if out == nil {
				out = map[string]string{}
			}
			out[k] = v
		}
	}
	return out
}

// Add, Update, Delete, Replace and Resync are what the reflector calls.
func (f *feed) Add(o any) error { return f.Update(o) }

// Update takes over what an object is now.
func (f *feed) Update(o any) error {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("the server sent a %T where metadata was asked for", o)
	}
	f.sink.publish(f.sink.set(m))
	return nil
}

// Delete takes over that an object is gone, or no longer selected.
func (f *feed) Delete(o any) error {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return fmt.Errorf("the server sent a %T where metadata was asked for", o)
	}
	f.sink.publish(f.sink.remove(m))
	return nil
}

// Replace takes over all objects that there are.
func (f *feed) Replace(list []any, _ string) error {
	c := f.sink.replace(func(yield func(*metav1.PartialObjectMetadata) bool) {
		for _, o := range list {
			if m, ok := o.(*metav1.PartialObjectMetadata); ok && !yield(m) {
				return
			}
		}
	})
	f.mutex.Lock()
	f.seen = true
	f.mutex.Unlock()
	f.sink.publish(c)
	f.changed()
	return nil
}

// Resync has nothing to do.
func (f *feed) Resync() error { return nil }
