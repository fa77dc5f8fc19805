package cluster

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lateen-io/lateen/internal/usage"
)

// queue notes what is added to it.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	added []string
}

func (q *queue) Add(r reconcile.Request) { q.added = append(q.added, r.Name) }

func (q *queue) take() []string {
	added := q.added
	q.added = nil
	slices.Sort(added)
	return added
}

// takeLater is take of what waits. It needs the clock of a synctest bubble.
func (q *queue) takeLater() []string {
	time.Sleep(debounce)
	synctest.Wait()
	return q.take()
}

// subscribe makes a Usage whose feeds the test fills, and a queue that hears of it.
func subscribe(t *testing.T) (*Usage, *queue) {
	t.Helper()
	u := NewUsage(nil)
	u.started = time.Now()
	q := &queue{}
	if err := u.Source(func() []string { return []string{"a", "b"} }).Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	return u, q
}

func object(namespace, name string, labels, annotations map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: annotations},
	}
}

func TestUsageEvents(t *testing.T) {
	t.Parallel()
	synctest.Test(t, usageEvents)
}

func usageEvents(t *testing.T) {
	t.Helper()
	u, q := subscribe(t)
	namespaces, pods := u.feed("namespaces"), u.feed("pods")
	uses := func(rev string) map[string]string { return map[string]string{usage.LabelRevision: rev} }
	for _, step := range []struct {
		reason     string
		do         func() error
		now, later []string
	}{
		{"The first user of a name is news at once.", func() error {
			return namespaces.Add(object("", "n", uses("a"), nil))
		}, []string{"a"}, nil},
		{"A second one can wait.", func() error { return pods.Add(object("n", "p", nil, uses("a"))) }, nil, []string{"a"}},
		{"A pod that does not change is no news.", func() error {
			return pods.Update(object("n", "p", nil, uses("a")))
		}, nil, nil},
		{"A pod that names nothing is no news.", func() error { return pods.Add(object("n", "other", nil, nil)) }, nil, nil},
		{
			"The namespace moves to another name: that one is used now, and the old one, which only the pod's annotation " +
				"names, not as a tag.",
			func() error { return namespaces.Update(object("", "n", uses("b"), nil)) },
			[]string{"a", "b"},
			nil,
		},
		{"The last user goes.", func() error { return pods.Delete(object("n", "p", nil, uses("a"))) }, []string{"a"}, nil},
		{"A list in which the namespace is missing.", func() error { return list(namespaces) }, []string{"b"}, nil},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		if diff := cmp.Diff([][]string{step.now, step.later}, [][]string{q.take(), q.takeLater()}); diff != "" {
			t.Errorf("%s: -want +got (at once, later):\n%s", step.reason, diff)
		}
	}
	if u.Flipped("a").IsZero() || !u.Flipped("c").IsZero() {
		t.Error("what became used or unused has a moment, and nothing else")
	}
}

func TestUsageSynced(t *testing.T) {
	t.Parallel()
	start := time.Now()
	broken := errors.New("forbidden")
	info := usage.RevisionInfo{Name: "a"}
	for _, c := range []struct {
		reason string
		do     func(u *Usage)
		after  time.Duration
		synced bool
		want   usage.InUse
	}{
		{"Nothing has been read, but there was no time to.", func(*Usage) {}, time.Second, false, usage.Unknown},
		{"Nothing has been read for too long.", func(*Usage) {}, patience, true, usage.Unknown},
		{"Everything has been read.", func(u *Usage) { fill(u) }, time.Second, true, usage.False},
		{
			"Only the pods are missing.", func(u *Usage) { must(list(u.feed("namespaces"))) }, time.Second, false,
			usage.Unknown,
		},
		{
			"A watch that has just broken says what it said.", func(u *Usage) { fill(u); u.feed("pods").note(broken) },
			patience / 2, true, usage.False,
		},
		{
			"A watch that stays broken says nothing.", func(u *Usage) { fill(u); u.feed("pods").note(broken) },
			patience + time.Minute, true, usage.Unknown,
		},
		{
			"Everything is read again, which has just begun.", func(u *Usage) { fill(u); u.feed("pods").begin() },
			patience / 2, true, usage.False,
		},
		{
			"Everything is read again, and that does not end.", func(u *Usage) { fill(u); u.feed("pods").begin() },
			patience + time.Minute, true, usage.Unknown,
		},
		{
			"It is whole again.", func(u *Usage) { fill(u); u.feed("pods").note(broken); u.feed("pods").note(nil) },
			patience + time.Minute, true, usage.False,
		},
	} {
		u, q := subscribe(t)
		u.started = start
		c.do(u)
		u.judge(start.Add(c.after))
		if got := u.Synced(); got != c.synced {
			t.Errorf("%s: synced: got %t", c.reason, got)
		}
		if got := u.Index().Revision(info, nil, 1).InUse; got != c.want {
			t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
		}
		now := q.take()
		u.judge(start.Add(c.after))
		again := q.take()
		if c.synced && !slices.Equal(now, []string{"a", "b"}) || again != nil {
			t.Errorf("%s: everything is looked at once when that is news: got %v, then %v", c.reason, now, again)
		}
	}
}

func fill(u *Usage) {
	for _, f := range u.feeds {
		must(list(f))
	}
}

// list makes a feed read that these are all objects.
func list(f *feed, all ...*metav1.PartialObjectMetadata) error {
	f.reader = streaming(func(w *watch.FakeWatcher) {
		for _, o := range all {
			w.Add(o)
		}
		w.Action(watch.Bookmark, end("1"))
	})
	_, err := f.read(context.Background())
	return err
}

// end is what the server sends when it has sent all objects.
func end(version string) *metav1.PartialObjectMetadata {
	o := object("", "", nil, map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	o.ResourceVersion = version
	return o
}

// streaming is a server that answers each watch with what a function sends. It waits until what it sends is taken.
type streaming func(w *watch.FakeWatcher)

func (s streaming) Lister(schema.GroupVersionResource) Lister { return s }

func (s streaming) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	w := watch.NewFake()
	go s(w)
	return w, nil
}

func (s streaming) List(context.Context, metav1.ListOptions) (runtime.Object, error) {
	return nil, errors.New("nobody lists")
}

// feed is that of a name.
func (u *Usage) feed(name string) *feed {
	return u.feeds[slices.IndexFunc(u.feeds, func(f *feed) bool { return f.name == name })]
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestFeedReads(t *testing.T) {
	t.Parallel()
	pod := func(name, rev string) *metav1.PartialObjectMetadata {
		return object("n", name, nil, map[string]string{usage.LabelRevision: rev})
	}
	for _, c := range []struct {
		reason  string
		send    func(w *watch.FakeWatcher)
		version string
		fails   bool
		// want are the users of a and b; before there was a pod of each.
		want [2]int
		seen bool
	}{
		{
			reason: "What does not come up until the server says that this was all is gone.",
			send: func(w *watch.FakeWatcher) {
				w.Add(pod("1", "a"))
				w.Add(pod("2", "a"))
				w.Action(watch.Bookmark, end("7"))
			},
			version: "7", want: [2]int{2, 0}, seen: true,
		},
		{
			reason: "What happens meanwhile counts.",
			send: func(w *watch.FakeWatcher) {
				w.Add(pod("1", "a"))
				w.Modify(pod("1", "b"))
				w.Add(pod("2", "a"))
				w.Delete(pod("2", "a"))
				w.Action(watch.Bookmark, end("8"))
			},
			version: "8", want: [2]int{0, 1}, seen: true,
		},
		{
			reason: "A bookmark of another kind is not the end.",
			send: func(w *watch.FakeWatcher) {
				w.Action(watch.Bookmark, object("", "", nil, nil))
				w.Add(pod("1", "a"))
				w.Action(watch.Bookmark, end("9"))
			},
			version: "9", want: [2]int{1, 0}, seen: true,
		},
		{
			reason: "A stream that breaks takes nothing away: what did not come up may still be there.",
			send:   func(w *watch.FakeWatcher) { w.Add(pod("3", "a")); w.Stop() },
			fails:  true, want: [2]int{2, 1},
		},
		{
			reason: "Nor does one that ends with an error.",
			send:   func(w *watch.FakeWatcher) { w.Error(&metav1.Status{Reason: metav1.StatusReasonExpired, Code: 410}) },
			fails:  true, want: [2]int{1, 1},
		},
	} {
		u, _ := subscribe(t)
		f := u.feed("pods")
		must(f.Add(pod("old-a", "a")))
		must(f.Add(pod("old-b", "b")))
		f.reader = streaming(c.send)
		version, err := f.read(t.Context())
		if (err != nil) != c.fails || version != c.version {
			t.Errorf("%s: got the version %q and the error %v", c.reason, version, err)
		}
		if got := [2]int{users(u, "a"), users(u, "b")}; got != c.want {
			t.Errorf("%s: got %d users of a and b, want %d", c.reason, got, c.want)
		}
		if f.seen != c.seen {
			t.Errorf("%s: seen: got %t", c.reason, f.seen)
		}
		must(list(f, pod("1", "b")))
		if got := [2]int{users(u, "a"), users(u, "b")}; got != [2]int{0, 1} {
			t.Errorf("%s: the next reading must leave what it has read: got %d users of a and b", c.reason, got)
		}
	}
}

func users(u *Usage, name string) int {
	return u.Index().Revision(usage.RevisionInfo{Name: name}, nil, 0).Total
}

// TestFeedHoldsNothing shows that an object is in the index before the next one is taken from the server: a cluster
// with many pods costs no more memory while it is read than afterwards.
func TestFeedHoldsNothing(t *testing.T) {
	t.Parallel()
	u, _ := subscribe(t)
	const all = 100
	var seen []int
	u.feed("pods").reader = streaming(func(w *watch.FakeWatcher) {
		for i := range all {
			w.Add(object("n", strconv.Itoa(i), nil, map[string]string{usage.LabelRevision: "a"}))
			seen = append(seen, users(u, "a")) // at least those before the one that has just been taken
		}
		w.Action(watch.Bookmark, end("1"))
	})
	if _, err := u.feed("pods").read(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, n := range seen {
		if n < i {
			t.Fatalf("the server was asked for object %d when only %d were in the index", i, n)
		}
	}
}

// paged is a server that sends no stream of what there is, and two pages of a pod each.
type paged struct {
	asked []metav1.ListOptions
}

func (p *paged) Lister(schema.GroupVersionResource) Lister { return p }

func (p *paged) Watch(context.Context, metav1.ListOptions) (watch.Interface, error) {
	return nil, apierrors.NewInvalid(schema.GroupKind{Group: "meta.k8s.io", Kind: "ListOptions"}, "", nil)
}

func (p *paged) List(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
	p.asked = append(p.asked, o)
	page := &metav1.PartialObjectMetadataList{ListMeta: metav1.ListMeta{ResourceVersion: "5"}}
	page.Items = []metav1.PartialObjectMetadata{
		*object("n", "p"+o.Continue, nil, map[string]string{usage.LabelRevision: "a"}),
	}
	if o.Continue == "" {
		page.Continue = "more"
	}
	return page, nil
}

func TestFeedReadsPages(t *testing.T) {
	t.Parallel()
	u, _ := subscribe(t)
	server := &paged{}
	u.feed("pods").reader = server
	version, err := u.feed("pods").read(t.Context())
	if err != nil || version != "5" {
		t.Errorf("got the version %q and the error %v", version, err)
	}
	if got := users(u, "a"); got != 2 {
		t.Errorf("got %d users, want 2", got)
	}
	want := []metav1.ListOptions{
		{Limit: pageSize, FieldSelector: running}, {Limit: pageSize, FieldSelector: running, Continue: "more"},
	}
	if diff := cmp.Diff(want, server.asked); diff != "" {
		t.Errorf("pages: -want +got:\n%s", diff)
	}
}

// TestUsageStorm counts the reconciles that many events ask for: how many there are of them does not matter.
func TestUsageStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, usageStorm)
}

func usageStorm(t *testing.T) {
	t.Helper()
	u, q := subscribe(t)
	fill(u)
	f := u.feed("pods")
	pod := func(i int, more string) *metav1.PartialObjectMetadata {
		return object("n", strconv.Itoa(i), nil,
			map[string]string{usage.LabelRevision: []string{"a", "b"}[i%2], "example.com/more": more})
	}
	q.take()
	const storm = 1000
	for _, c := range []struct {
		reason string
		do     func(i int) error
		want   []string
	}{
		{"A thousand pods come: the first of each revision is news at once.", func(i int) error {
			return f.Add(pod(i, ""))
		}, []string{"a", "b"}},
		{"All of them change, but not whom they use.", func(i int) error { return f.Update(pod(i, strconv.Itoa(i))) }, nil},
		{"Each is replaced while the news waits.", func(i int) error {
			return errors.Join(f.Add(pod(i+storm, "")), f.Delete(pod(i, "")))
		}, nil},
		{"All of them go: that nothing is left is news at once, for each revision.", func(i int) error {
			return f.Delete(pod(i+storm, ""))
		}, []string{"a", "b"}},
	} {
		for i := range storm {
			must(c.do(i))
		}
		if diff := cmp.Diff(c.want, q.take()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
	// Whoever comes while news waits hears of it with the others.
	second := &queue{}
	if err := u.Source(func() []string { return nil }).Start(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	want := []string{"a", "b"} // all that a storm has for later, once
	if diff := cmp.Diff([][]string{want, want}, [][]string{q.takeLater(), second.take()}); diff != "" {
		t.Errorf("after the wait: -want +got (who was there, who came):\n%s", diff)
	}
	if got := q.takeLater(); got != nil {
		t.Errorf("nothing has happened since, and %v were told", got)
	}
	// When the news has been told, more of it waits again.
	for i := range 4 {
		must(f.Add(pod(i, "")))
	}
	if diff := cmp.Diff([][]string{want, want}, [][]string{q.take(), q.takeLater()}); diff != "" {
		t.Errorf("after the wait: -want +got (at once, later):\n%s", diff)
	}
}

// TestUsageAfterALook has the queue of a real controller: a name that is looked at for another reason while news waits
// is looked at once more for what happens after that look.
func TestUsageAfterALook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		u := NewUsage(nil)
		q := priorityqueue.New[reconcile.Request](t.Name())
		defer q.ShutDown()
		if err := u.Source(func() []string { return nil }).Start(t.Context(), q); err != nil {
			t.Fatal(err)
		}
		pods := u.feed("pods")
		come := func(name string) { must(pods.Add(object("n", name, nil, map[string]string{usage.LabelRevision: "a"}))) }
		look := func(want int) {
			t.Helper()
			r, _ := q.Get()
			if got := users(u, r.Name); got != want {
				t.Errorf("a look at %s sees %d users, want %d", r.Name, got, want)
			}
			q.Done(r)
			synctest.Wait()
		}
		come("first")
		look(1)
		come("second") // waits
		synctest.Wait()
		u.Recheck("a")
		look(2)
		come("third") // waits with it
		time.Sleep(debounce)
		synctest.Wait()
		if q.Len() == 0 {
			t.Fatal("nobody is told of the third pod")
		}
		look(3)
	})
}
