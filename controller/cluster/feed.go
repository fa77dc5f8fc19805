package cluster

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"

	"github.com/lateen-io/lateen/internal/usage"
)

const (
	// readTimeout is how long the server may take to send all objects, until it is asked once more.
	readTimeout = 5 * time.Minute
	// discoveryPeriod is how often it is looked whether a cluster has got a resource that it did not have.
	discoveryPeriod = time.Minute
)

// feed keeps a sink up to date with the metadata of one resource. Objects go to the sink one by one, as they come over
// the wire, also the first time: a reflector by itself would have all of them before it hands on the first, and there
// may be a hundred thousand.
type feed struct {
	subject
	reader  Reader
	clock   clock.Clock
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

func newFeed(reader Reader, c clock.Clock, s subject, to sink, publish func(usage.Change)) *feed {
	return &feed{
		subject: s, reader: reader, clock: c, resource: s.resources[0], sink: to, publish: publish, changed: func() {},
	}
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
			case <-f.clock.After(discoveryPeriod):
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
	cache.NewReflectorWithOptions(withoutWatchList{lw}, nil, f,
		cache.ReflectorOptions{Name: "usage of " + f.name, TypeDescription: f.name}).RunWithContext(ctx)
}

// withoutWatchList keeps the reflector from asking for a stream of what there is: the feed does.
type withoutWatchList struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is what the reflector asks.
func (withoutWatchList) IsWatchListSemanticsUnSupported() bool { return true }

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
		TimeoutSeconds:      new(int64(readTimeout / time.Second)),
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
		f.failing, f.err = f.clock.Now(), errReading
	}
}

// note remembers whether the server answers.
func (f *feed) note(err error) {
	f.mutex.Lock()
	switch {
	case err == nil:
		f.failing, f.err = time.Time{}, nil
	case f.failing.IsZero():
		f.failing, f.err = f.clock.Now(), err
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
