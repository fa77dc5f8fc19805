// Package cluster reads: it keeps what the controller has to know of a cluster, and tells reconcilers when it changes.
// It decides nothing and writes nothing.
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
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/pager"
	"k8s.io/client-go/util/workqueue"
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
	// longestRead is how long the server may take to send all objects, until it is asked once more.
	longestRead = 5 * time.Minute
	// pageSize is how many objects a live list gets at a time.
	pageSize = 500
	// absence is how often it is looked whether a cluster has got a resource that it did not have.
	absence = time.Minute
)

// Usage knows who uses which revision, by watching the metadata of namespaces and pods, of what makes pods, and what
// there is of the Gateway API. It keeps no objects: what comes in goes to the index and is forgotten. It is a Runnable
// of the manager.
type Usage struct {
	reader Reader
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
func NewUsage(reader Reader) *Usage {
	u := &Usage{
		reader: reader, index: usage.NewIndex(), wake: func() {}, flips: map[string]time.Time{},
		waits: map[string]struct{}{},
	}
	for _, s := range subjects() {
		u.feeds = append(u.feeds, newFeed(reader, s, s.sink(u.index), u.publish))
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
	return time.Now().Add(-time.Since(at))
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
	now := time.Now()
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
		time.AfterFunc(debounce, func() { u.debounced(name) })
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

// Confirm asks the server itself who uses a revision, before something is done that cannot be undone: a watch may be
// behind.
func (u *Usage) Confirm(ctx context.Context, r usage.RevisionInfo, tags []usage.Tag, most int) (usage.Use, error) {
	x, err := Look(ctx, u.reader)
	if err != nil {
		return usage.Use{}, err
	}
	return x.Revision(r, tags, most), nil
}

// Look takes a complete snapshot of who uses what, once, without watching.
func Look(ctx context.Context, reader Reader) (*usage.Index, error) {
	x := usage.NewIndex()
	for _, s := range subjects() {
		to := s.sink(x)
		note, done := to.replace()
		var err error
		for _, r := range s.resources {
			if _, err = each(ctx, reader.Lister(r), s, note); !s.optional || !absent(err) {
				break
			}
		}
		if err != nil && (!s.optional || !absent(err)) {
			return nil, fmt.Errorf("listing %s: %w", s.name, err)
		}
		done()
	}
	x.SetIncomplete("")
	return x, nil
}

// absent reports whether an error is the server's saying that it does not have a resource.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// each reads all objects of a resource as they are now, page by page, and gives the resource version that they are of.
func each(ctx context.Context, l Lister, s subject, f func(runtime.Object) error) (version string, err error) {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list, err := l.List(ctx, o)
		if err != nil {
			return nil, err
		}
		m, err := meta.ListAccessor(list)
		if err == nil && version == "" {
			version = m.GetResourceVersion()
		}
		return list, err
	})
	p.PageSize, p.PageBufferSize = pageSize, 1
	p.FullListIfExpired = false // all at once is what must not be: whoever asked asks again
	err = p.EachListItem(ctx, metav1.ListOptions{FieldSelector: s.fields, LabelSelector: s.labels}, f)
	return version, err
}

func unexpected(o any) error {
	return fmt.Errorf("the server sent a %T, which was not asked for", o)
}

// feed keeps a sink up to date with the metadata of one resource. Objects go to the sink one by one, as they come over
// the wire, also the first time: a reflector by itself would have all of them before it hands on the first, and there
// may be a hundred thousand.
type feed struct {
	subject
	reader  Reader
	sink    sink
	publish func(usage.Change)
	changed func()

	mutex sync.Mutex
	// resource is which of the subject's resources the server has.
	resource schema.GroupVersionResource
	seen     bool
	// failing is since when the server has not answered, and err what it said last.
	failing time.Time
	err     error
}

func newFeed(reader Reader, s subject, to sink, publish func(usage.Change)) *feed {
	return &feed{subject: s, reader: reader, resource: s.resources[0], sink: to, publish: publish, changed: func() {}}
}

// lister reads the resource that the server has.
func (f *feed) lister() Lister {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.reader.Lister(f.resource)
}

// run keeps the sink up to date until the context ends. The reflector knows when to read everything again, and when to
// wait. A resource that the server does not have is looked for once in a while.
func (f *feed) run(ctx context.Context) {
	for ctx.Err() == nil {
		if f.optional && f.find(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(absence):
			}
			continue
		}
		f.reflect(ctx)
	}
}

// find looks for an optional resource, and notes that there is nothing of it if the server does not have it.
func (f *feed) find(ctx context.Context) (isAbsent bool) {
	for _, r := range f.resources {
		_, err := f.reader.Lister(r).List(ctx, metav1.ListOptions{Limit: 1})
		if absent(err) {
			continue
		}
		f.mutex.Lock() // whatever else is wrong, reading it says so
		f.resource = r
		f.mutex.Unlock()
		return false
	}
	_, done := f.sink.replace()
	f.publish(done())
	f.mutex.Lock()
	f.seen = true
	f.mutex.Unlock()
	f.note(nil)
	return true
}

func (f *feed) reflect(ctx context.Context) {
	ctx, gone := context.WithCancel(ctx)
	defer gone()
	noted := func(err error) error {
		if f.optional && absent(err) {
			gone()
		}
		return err
	}
	lw := &cache.ListWatch{
		ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
			version, err := f.read(ctx) // the reflector's context does not end
			return &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: version}}, noted(err)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.FieldSelector, o.LabelSelector = f.fields, f.labels
			w, err := f.lister().Watch(ctx, o)
			f.note(err)
			return w, noted(err)
		},
	}
	cache.NewReflectorWithOptions(listing{lw}, nil, f,
		cache.ReflectorOptions{Name: "usage of " + f.name, TypeDescription: f.name}).RunWithContext(ctx)
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
		version, err = each(ctx, f.lister(), f.subject, note)
	}
	if err != nil {
		f.note(err)
		return "", err
	}
	change := done()
	f.mutex.Lock()
	f.seen = true
	f.mutex.Unlock()
	f.publish(change)
	f.note(nil)
	return version, nil
}

// stream is a watch that begins with all objects, of which the server says when it has sent them.
func (f *feed) stream(ctx context.Context, note func(runtime.Object) error) (version string, err error) {
	w, err := f.lister().Watch(ctx, metav1.ListOptions{
		FieldSelector: f.fields, LabelSelector: f.labels,
		SendInitialEvents: new(true), ResourceVersionMatch: metav1.ResourceVersionMatchNotOlderThan,
		AllowWatchBookmarks: true,
		TimeoutSeconds:      new(int64(longestRead / time.Second)),
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
			version, end, err := f.take(e, note)
			if err != nil || end {
				return version, err
			}
		}
	}
}

// take takes an event of a watch that begins with all objects; end says that it has sent them.
func (f *feed) take(e watch.Event, note func(runtime.Object) error) (version string, end bool, err error) {
	switch e.Type {
	case watch.Error:
		return "", false, apierrors.FromObject(e.Object)
	case watch.Added, watch.Modified:
		return "", false, note(e.Object)
	case watch.Deleted:
		change, err := f.sink.remove(e.Object)
		f.publish(change)
		return "", false, err
	case watch.Bookmark:
		m, err := meta.Accessor(e.Object)
		if err != nil {
			return "", false, err
		}
		return m.GetResourceVersion(), m.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true", nil
	}
	return "", false, nil
}

// errReading is what is wrong while everything is read again: what was shown before gets old meanwhile.
var errReading = errors.New("reading all of them again takes long")

// begin notes that everything is read again from now on. It counts as failing until it has ended well, which matters if
// it takes long.
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

// staleness is an error if what the feed has shown is not to be relied on.
func (f *feed) staleness(now time.Time) error {
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
func (f *feed) Update(o any) error { return f.event(o, f.sink.set) }

// Delete takes over that an object is gone, or no longer selected.
func (f *feed) Delete(o any) error { return f.event(o, f.sink.remove) }

func (f *feed) event(o any, to func(runtime.Object) (usage.Change, error)) error {
	object, ok := o.(runtime.Object)
	if !ok {
		return unexpected(o)
	}
	change, err := to(object)
	f.publish(change)
	return err
}

// Replace has nothing to do: read has noted all objects.
func (f *feed) Replace([]any, string) error { return nil }

// Resync has nothing to do.
func (f *feed) Resync() error { return nil }
