package cluster

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/lateen-io/lateen/internal/usage"
)

// queue notes what is added to it.
type queue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	now, later []string
}

func (q *queue) Add(r reconcile.Request) { q.now = append(q.now, r.Name) }

func (q *queue) AddAfter(r reconcile.Request, _ time.Duration) { q.later = append(q.later, r.Name) }

func (q *queue) take() (now, later []string) {
	now, later = q.now, q.later
	q.now, q.later = nil, nil
	slices.Sort(now)
	return now, later
}

// subscribe makes a Usage whose feeds the test fills, and a queue that hears of it.
func subscribe(t *testing.T) (*Usage, *queue) {
	t.Helper()
	u := NewUsage(metadatafake.NewSimpleMetadataClient(runtime.NewScheme()))
	u.started = time.Now()
	q := &queue{}
	if err := u.Source(func() []string { return []string{"a", "b"} }).Start(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	return u, q
}

func object(namespace, name string, labels, annotations map[string]string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: annotations}}
}

func TestUsageEvents(t *testing.T) {
	t.Parallel()
	u, q := subscribe(t)
	namespaces, pods := u.feeds[0], u.feeds[1]
	uses := func(rev string) map[string]string { return map[string]string{usage.LabelRevision: rev} }
	for _, step := range []struct {
		reason     string
		do         func() error
		now, later []string
	}{
		{"The first user of a name is news at once.", func() error { return namespaces.Add(object("", "n", uses("a"), nil)) }, []string{"a"}, nil},
		{"A second one can wait.", func() error { return pods.Add(object("n", "p", nil, uses("a"))) }, nil, []string{"a"}},
		{"A pod that does not change is no news.", func() error { return pods.Update(object("n", "p", nil, uses("a"))) }, nil, nil},
		{"A pod that names nothing is no news.", func() error { return pods.Add(object("n", "other", nil, nil)) }, nil, nil},
		{
			"The namespace moves to another name: that one is used now, and the old one, which only the pod's annotation names, not as a tag.",
			func() error { return namespaces.Update(object("", "n", uses("b"), nil)) },
			[]string{"a", "b"},
			nil,
		},
		{"The last user goes.", func() error { return pods.Delete(object("n", "p", nil, uses("a"))) }, []string{"a"}, nil},
		{"A list in which the namespace is missing.", func() error { return namespaces.Replace(nil, "") }, []string{"b"}, nil},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.reason, err)
		}
		now, later := q.take()
		if diff := cmp.Diff([][]string{step.now, step.later}, [][]string{now, later}); diff != "" {
			t.Errorf("%s: -want +got (at once, later):\n%s", step.reason, diff)
		}
	}
	if u.Flipped("a").IsZero() || !u.Flipped("c").IsZero() {
		t.Error("what became used or unused has a moment, and nothing else")
	}
}

func TestUsageSpeaks(t *testing.T) {
	t.Parallel()
	start := time.Now()
	broken := errors.New("forbidden")
	info := usage.RevisionInfo{Name: "a"}
	for _, c := range []struct {
		reason string
		do     func(u *Usage)
		after  time.Duration
		speaks bool
		want   usage.InUse
	}{
		{"Nothing has been read, but there was no time to.", func(*Usage) {}, time.Second, false, usage.Unknown},
		{"Nothing has been read for too long.", func(*Usage) {}, patience, true, usage.Unknown},
		{"Everything has been read.", func(u *Usage) { fill(u) }, time.Second, true, usage.False},
		{"Only the pods are missing.", func(u *Usage) { must(u.feeds[0].Replace(nil, "")) }, time.Second, false, usage.Unknown},
		{"A watch that has just broken says what it said.", func(u *Usage) { fill(u); u.feeds[1].note(broken) }, patience / 2, true, usage.False},
		{"A watch that stays broken says nothing.", func(u *Usage) { fill(u); u.feeds[1].note(broken) }, patience + time.Minute, true, usage.Unknown},
		{"It is whole again.", func(u *Usage) { fill(u); u.feeds[1].note(broken); u.feeds[1].note(nil) }, patience + time.Minute, true, usage.False},
	} {
		u, q := subscribe(t)
		u.started = start
		c.do(u)
		u.judge(start.Add(c.after))
		if got := u.Speaks(); got != c.speaks {
			t.Errorf("%s: speaks: got %t", c.reason, got)
		}
		if got := u.Index().Revision(info, nil, 1).InUse; got != c.want {
			t.Errorf("%s: got %s, want %s", c.reason, got, c.want)
		}
		now, _ := q.take()
		u.judge(start.Add(c.after))
		again, _ := q.take()
		if c.speaks && !slices.Equal(now, []string{"a", "b"}) || again != nil {
			t.Errorf("%s: everything is looked at once when that is news: got %v, then %v", c.reason, now, again)
		}
	}
}

func fill(u *Usage) {
	for _, f := range u.feeds {
		must(f.Replace(nil, ""))
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func TestSlim(t *testing.T) {
	t.Parallel()
	in := object("n", "p", map[string]string{"app": "x", usage.LabelInject: "true", usage.LabelRevision: ""}, map[string]string{"big": "y", usage.LabelRevision: "r"})
	in.UID, in.ResourceVersion = "u", "7"
	in.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
	want := object("n", "p", map[string]string{usage.LabelInject: "true", usage.LabelRevision: ""}, map[string]string{usage.LabelRevision: "r"})
	want.UID, want.ResourceVersion = "u", "7"
	got, err := slim(in)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(any(want), got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
