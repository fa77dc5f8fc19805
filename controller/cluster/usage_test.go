package cluster

import (
	"errors"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func users(u *Usage, name string) int {
	return u.Index().Revision(usage.RevisionInfo{Name: name}, nil, 0).Total
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
