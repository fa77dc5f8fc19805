// Package cluster reads: it keeps what the controller has to know of a cluster, and tells reconcilers when it changes. It
// decides nothing and writes nothing.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
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
	// longestRead is how long the server may take to send all objects, until it is asked once more.
	longestRead = 5 * time.Minute
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
	// settles is until when news of each name wait already: what happens until then is told with them.
	settles map[string]time.Time
}

// subscriber is a controller that wants to know of changes; all names the objects that it reconciles.
type subscriber struct {
	queue workqueue.TypedRateLimitingInterface[reconcile.Request]
	all   func() []string
}

// NewUsage makes the Usage of a cluster.
func NewUsage(client metadata.Interface) *Usage {
	u := &Usage{client: client, index: usage.NewIndex(), wake: func() {}, flips: map[string]time.Time{}, settles: map[string]time.Time{}}
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
		clear(u.settles) // what waits for the others does not wait for this one
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

// publish tells the controllers what an event has changed. There are as many events as pods come and go, and most of them find
// their news waiting already.
func (u *Usage) publish(c usage.Change) {
	if c.Empty() {
		return
	}
	now := time.Now()
	u.mutex.Lock()
	for _, name := range c.Flipped {
		u.flips[name] = now
	}
	var later []string
	for _, name := range c.Touched {
		if _, flipped := slices.BinarySearch(c.Flipped, name); !flipped && !now.Before(u.settles[name]) {
			u.settles[name] = now.Add(settling)
			later = append(later, name)
		}
	}
	if len(u.flips) > manyNames { // whoever can create a pod can make up names
		maps.DeleteFunc(u.flips, func(_ string, at time.Time) bool { return now.Sub(at) > time.Hour })
	}
	if len(u.settles) > manyNames {
		maps.DeleteFunc(u.settles, func(_ string, until time.Time) bool { return !now.Before(until) })
	}
	u.mutex.Unlock()
	for _, name := range c.Flipped {
		u.enqueue(name, 0)
	}
	for _, name := range later {
		u.enqueue(name, settling)
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
		if _, err := each(ctx, client, look.resource, look.selector, look.add); err != nil {
			return nil, fmt.Errorf("listing %s: %w", look.what, err)
		}
	}
	x.SetIncomplete("")
	return x, nil
}

// each reads all objects of a resource as they are now, page by page, and gives the resource version that they are of.
func each(
	ctx context.Context, client metadata.Interface, r schema.GroupVersionResource, selector string, f func(*metav1.PartialObjectMetadata),
) (version string, err error) {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list, err := client.Resource(r).List(ctx, o)
		if err == nil && version == "" {
			version = list.ResourceVersion
		}
		return list, err
	})
	p.PageSize, p.PageBufferSize = pageSize, 1
	p.FullListIfExpired = false // all at once is what must not be: whoever asked asks again
	err = p.EachListItem(ctx, metav1.ListOptions{FieldSelector: selector}, func(o runtime.Object) error {
		m, ok := o.(*metav1.PartialObjectMetadata)
		if !ok {
			return unexpected(o)
		}
		f(m)
		return nil
	})
	return version, err
}

func unexpected(o any) error {
	return fmt.Errorf("the server sent a %T where metadata was asked for", o)
}

// sink is where a feed's objects go.
type sink interface {
	set(o *metav1.PartialObjectMetadata) usage.Change
	remove(o *metav1.PartialObjectMetadata) usage.Change
	// replace begins to take in all objects that there are: each is noted, and in the end done is called.
	replace() (note func(o *metav1.PartialObjectMetadata), done func() usage.Change)
	publish(c usage.Change)
}

type namespaces struct{ *Usage }

func (n namespaces) set(o *metav1.PartialObjectMetadata) usage.Change {
	return n.index.SetNamespace(namespaceOf(o))
}

func (n namespaces) remove(o *metav1.PartialObjectMetadata) usage.Change {
	return n.index.DeleteNamespace(o.Name)
}

func (n namespaces) replace() (note func(o *metav1.PartialObjectMetadata), done func() usage.Change) {
	all := n.index.ReplaceNamespaces()
	return func(o *metav1.PartialObjectMetadata) { all.Set(namespaceOf(o)) }, all.Done
}

type pods struct{ *Usage }

func (p pods) set(o *metav1.PartialObjectMetadata) usage.Change {
	return p.index.SetPod(podOf(o))
}

func (p pods) remove(o *metav1.PartialObjectMetadata) usage.Change {
	return p.index.DeletePod(o.Namespace, o.Name)
}

func (p pods) replace() (note func(o *metav1.PartialObjectMetadata), done func() usage.Change) {
	all := p.index.ReplacePods()
	return func(o *metav1.PartialObjectMetadata) { all.Set(podOf(o)) }, all.Done
}

func namespaceOf(o *metav1.PartialObjectMetadata) usage.Namespace {
	return usage.NamespaceOf(o.Name, o.Labels)
}

func podOf(o *metav1.PartialObjectMetadata) usage.Pod {
	return usage.PodOf(o.Namespace, o.Name, o.Labels, o.Annotations, false)
}

// feed keeps a sink up to date with the metadata of one resource. Objects go to the sink one by one, as they come over the wire, also
// the first time: a reflector by itself would have all of them before it hands on the first, and there may be a hundred thousand.
type feed struct {
	name     string
	client   metadata.Interface
	resource schema.GroupVersionResource
	selector string
	sink     sink
	changed  func()

	mutex sync.Mutex
	seen  bool
	// failing is since when the server has not answered, and err what it said last.
	failing time.Time
	err     error
}

func newFeed(client metadata.Interface, name string, resource schema.GroupVersionResource, selector string, s sink) *feed {
	return &feed{name: name, client: client, resource: resource, selector: selector, sink: s, changed: func() {}}
}

// run keeps the sink up to date until the context ends. The reflector knows when to read everything again, and when to wait.
func (f *feed) run(ctx context.Context) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			version, err := f.read(ctx) // the reflector's context does not end
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: version}}, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector = f.selector
			w, err := f.client.Resource(f.resource).Watch(ctx, o)
			f.note(err)
			return w, err
		},
	}
	cache.NewReflectorWithOptions(listing{lw}, &metav1.PartialObjectMetadata{}, f, cache.ReflectorOptions{Name: "usage of " + f.name}).RunWithContext(ctx)
}

// listing keeps the reflector from asking for a stream of what there is: the feed does.
type listing struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector asks.
func (listing) IsWatchListSemanticsUnSupported() bool { return true }

// read notes all objects that there are, and gives the resource version that they are of.
func (f *feed) read(ctx context.Context) (version string, err error) {
	f.begin()
	note, done := f.sink.replace()
	version, err = f.stream(ctx, note)
	if apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) { // a server before 1.32, or with that feature turned off
		note, done = f.sink.replace()
		version, err = each(ctx, f.client, f.resource, f.selector, note)
	}
	if err != nil {
		f.note(err)
		return "", err
	}
	change := done()
	f.mutex.Lock()
	f.seen = true
	f.mutex.Unlock()
	f.sink.publish(change)
	f.note(nil)
	return version, nil
}

// stream is a watch that begins with all objects, of which the server says when it has sent them.
func (f *feed) stream(ctx context.Context, note func(*metav1.PartialObjectMetadata)) (version string, err error) {
	w, err := f.client.Resource(f.resource).Watch(ctx, metav1.ListOptions{
		FieldSelector: f.selector, SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan, AllowWatchBookmarks: true,
		TimeoutSeconds: new(int64(longestRead / time.Second)),
	})
	if err != nil {
		return "", err
	}
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case e, open := <-w.ResultChan():
			if !open {
				return "", fmt.Errorf("the server ended the watch before it had sent all %s", f.name)
			}
			if e.Type == watch.Error {
				return "", apierrors.FromObject(e.Object)
			}
			o, ok := e.Object.(*metav1.PartialObjectMetadata)
			switch {
			case !ok:
				return "", unexpected(e.Object)
			case e.Type == watch.Bookmark && o.Annotations[metav1.InitialEventsAnnotationKey] == "true":
				return o.ResourceVersion, nil
			case e.Type == watch.Added || e.Type == watch.Modified:
				note(o)
			case e.Type == watch.Deleted:
				f.sink.publish(f.sink.remove(o))
			}
		}
	}
}

// errReading is what is wrong while everything is read again: what was shown before gets old meanwhile.
var errReading = errors.New("reading all of them again takes long")

// begin notes that everything is read again from now on. It counts as failing until it has ended well, which matters if it takes long.
func (f *feed) begin() {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if f.seen && f.failing.IsZero() {
		f.failing, f.err = time.Now(), errReading
	}
}

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

// Add, Update, Delete, Replace and Resync are what the reflector calls.
func (f *feed) Add(o any) error { return f.Update(o) }

// Update takes over what an object is now.
func (f *feed) Update(o any) error {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return unexpected(o)
	}
	f.sink.publish(f.sink.set(m))
	return nil
}

// Delete takes over that an object is gone, or no longer selected.
func (f *feed) Delete(o any) error {
	m, ok := o.(*metav1.PartialObjectMetadata)
	if !ok {
		return unexpected(o)
	}
	f.sink.publish(f.sink.remove(m))
	return nil
}

// Replace has nothing to do: read has noted all objects.
func (f *feed) Replace([]any, string) error { return nil }

// Resync has nothing to do.
func (f *feed) Resync() error { return nil }
