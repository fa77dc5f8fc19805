package cluster

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/lateen-io/lateen/internal/usage"
)

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
