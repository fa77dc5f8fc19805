package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// observer watches what a judge needs to know, and remembers all of it: who uses what at any moment is worked out
// afterwards, by the resource versions, which are one order for all kinds since they come from one etcd. It has nothing
// of the controller's.
type observer struct {
	e *env

	mutex  sync.Mutex
	events []sighting
}

// sighting is an object as it was from some moment on.
type sighting struct {
	version uint64
	// at is when it was seen, which is after it happened.
	at     time.Time
	object *unstructured.Unstructured
	gone   bool
}

// watched is what a judge needs to know.
var watched = []schema.GroupVersionResource{
	v1.GroupVersion.WithResource("istios"),
	v1.GroupVersion.WithResource("istiorevisions"),
	v1.GroupVersion.WithResource("istiorevisiontags"),
	{Version: "v1", Resource: "namespaces"},
	{Version: "v1", Resource: "pods"},
}

// startObserved is start of a cluster that one may observe.
func startObserved(t *testing.T) *env {
	t.Helper()
	return start(t, cluster.WithAudit(schema.GroupResource{Group: v1.GroupVersion.Group, Resource: "istios"},
		schema.GroupResource{Resource: "pods"}))
}

// observe starts an observer, which ends with the test. The cluster must be startObserved.
func (e *env) observe() *observer {
	e.t.Helper()
	o := &observer{e: e}
	api, err := dynamic.NewForConfig(e.RESTConfig())
	if err != nil {
		e.t.Fatal(err)
	}
	var wg sync.WaitGroup
	e.t.Cleanup(wg.Wait)
	for _, r := range watched {
		known := map[string]*unstructured.Unstructured{}
		version, err := o.list(e.t.Context(), api.Resource(r), known)
		if err != nil {
			e.t.Fatal(err)
		}
		wg.Go(func() { o.watch(e.t.Context(), api.Resource(r), version, known) })
	}
	return o
}

// list notes what there is, and that the rest of what was known before is gone. It gives the version that this is.
func (o *observer) list(
	ctx context.Context, api dynamic.ResourceInterface, known map[string]*unstructured.Unstructured,
) (string, error) {
	list, err := api.List(ctx, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	there := map[string]bool{}
	for i := range list.Items {
		there[nameOf(&list.Items[i])] = true
		known[nameOf(&list.Items[i])] = &list.Items[i]
		o.note(&list.Items[i], false)
	}
	for name, object := range known {
		if !there[name] {
			gone := object.DeepCopy()
			gone.SetResourceVersion(list.GetResourceVersion())
			o.note(gone, true)
			delete(known, name)
		}
	}
	return list.GetResourceVersion(), nil
}

// watch notes what happens from a version on. A server that has gone away and come back begins with what there is then:
// as long as it was away nothing has happened.
func (o *observer) watch(
	ctx context.Context, api dynamic.ResourceInterface, version string, known map[string]*unstructured.Unstructured,
) {
	for ctx.Err() == nil {
		err := o.follow(ctx, api, &version, known)
		if apierrors.IsResourceExpired(err) || apierrors.IsGone(err) {
			if v, err := o.list(ctx, api, known); err == nil {
				version = v
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// follow watches until the server goes away.
func (o *observer) follow(
	ctx context.Context, api dynamic.ResourceInterface, version *string, known map[string]*unstructured.Unstructured,
) error {
	w, err := api.Watch(ctx, metav1.ListOptions{ResourceVersion: *version})
	if err != nil {
		return err
	}
	defer w.Stop()
	for event := range w.ResultChan() {
		object, ok := event.Object.(*unstructured.Unstructured)
		if !ok || event.Type == watch.Error {
			return apierrors.FromObject(event.Object)
		}
		*version = object.GetResourceVersion()
		known[nameOf(object)] = object
		if event.Type == watch.Deleted {
			delete(known, nameOf(object))
		}
		o.note(object, event.Type == watch.Deleted)
	}
	return nil
}

func (o *observer) note(object *unstructured.Unstructured, gone bool) {
	version, err := strconv.ParseUint(object.GetResourceVersion(), 10, 64)
	if err != nil {
		o.e.t.Errorf("resource version %q of %s", object.GetResourceVersion(), nameOf(object))
	}
	object.SetManagedFields(nil)
	o.mutex.Lock()
	defer o.mutex.Unlock()
	o.events = append(o.events, sighting{version, time.Now(), object, gone})
}

// history is what the observer has seen, in its order.
func (o *observer) history() []sighting {
	o.mutex.Lock()
	defer o.mutex.Unlock()
	out := slices.Clone(o.events)
	slices.SortStableFunc(out, func(a, b sighting) int { return cmp.Compare(a.version, b.version) })
	return out
}

// judgement is what an observer says in the end.
type judgement struct {
	// faults are revisions that the controller has removed although something used them.
	faults []string
	// removed counts the revisions that it has removed, and kept those that were there although they were not the active
	// ones, because of users, for longer than any grace period.
	removed, kept int
}

// longestGrace is the longest grace period in the histories.
const longestGrace = 3 * time.Second

// judge goes through the history. Removed at fault is a revision that something uses when its deletion comes, and has
// since before the controller last began to ask the server what uses it; or one that an Istio asks for as long. Between
// its questions and its request to delete lie moments, and on a busy machine long ones, in which a use may appear that
// nobody can know of.
func (o *observer) judge() judgement {
	var out judgement
	asked := o.asked()
	p := picture{}
	since := map[string]map[string]time.Time{} // revision, user: when that was seen first
	kept := map[string]bool{}
	for _, s := range o.history() {
		before := p[s.object.GetKind()][nameOf(s.object)]
		if s.object.GetKind() == v1.KindIstioRevision && before != nil && before.GetDeletionTimestamp() == nil {
			at, removes := asked.deletion(s)
			if removes {
				out.removed++
				known := asked.before(at, istioOf(before))
				for _, user := range p.users(before.GetName()) {
					if seen := since[before.GetName()][user]; !seen.IsZero() && seen.Before(known) {
						out.faults = append(out.faults, fmt.Sprintf(
							"IstioRevision %s was removed at %s; it was used by %s, seen since %s, and the controller began to ask at %s",
							before.GetName(), at.Format(time.RFC3339Nano), user,
							seen.Format(time.RFC3339Nano), known.Format(time.RFC3339Nano)))
					}
				}
			}
		}
		p.set(s.object, s.gone)
		for name, rev := range p[v1.KindIstioRevision] {
			users := map[string]time.Time{}
			wanted := false
			for _, user := range p.users(name) {
				users[user] = s.at
				if seen, ok := since[name][user]; ok {
					users[user] = seen
				}
				wanted = wanted || user == v1.KindIstio+" "+istioOf(rev)
			}
			since[name] = users
			for _, seen := range users {
				if !wanted && s.at.Sub(seen) > 2*longestGrace {
					kept[string(rev.GetUID())] = true
				}
			}
		}
	}
	out.kept = len(kept)
	return out
}

// questions are what the controller has asked of the server, and what it has asked it to delete.
type questions struct {
	// istios are when it has asked for an Istio, pods when for all pods, and deletions when it has had a revision deleted,
	// by their names, in their order. An answer may never have come: the server was killed.
	istios, deletions map[string][]time.Time
	pods              []time.Time
}

// asked are the controller's questions so far, by the server's audit log.
func (o *observer) asked() questions {
	out := questions{istios: map[string][]time.Time{}, deletions: map[string][]time.Time{}}
	for _, r := range o.e.Reads(o.e.t) {
		switch {
		case r.UserAgent != "lateen-controller" || r.Code >= 300:
		case r.Resource == "istios" && r.Verb == "get":
			out.istios[r.Name] = append(out.istios[r.Name], r.Received)
		case r.Resource == "pods" && r.Verb == "list":
			out.pods = append(out.pods, r.Received)
		}
	}
	deletes := func(w cluster.Write) bool {
		return w.Verb == "delete" && w.Resource == "istiorevisions" && w.Code < 300
	}
	for _, w := range o.e.written(deletes) {
		out.deletions[w.Name] = append(out.deletions[w.Name], w.Received)
	}
	// They are in the order of the answers.
	sorted := func(times []time.Time) { slices.SortFunc(times, time.Time.Compare) }
	sorted(out.pods)
	for _, all := range []map[string][]time.Time{out.istios, out.deletions} {
		for _, times := range all {
			sorted(times)
		}
	}
	return out
}

// deletion is when the controller has asked for the deletion that a sighting of a revision is the first of, if it has.
func (q questions) deletion(s sighting) (at time.Time, is bool) {
	if s.object.GetDeletionTimestamp() == nil && !s.gone {
		return time.Time{}, false
	}
	at = last(q.deletions[nameOf(s.object)], s.at)
	// Its name may have been another revision's before, whose deletion that was.
	return at, at.After(s.object.GetCreationTimestamp().Time)
}

// before is when, before a deletion, the controller last began to ask who uses the revisions of an Istio: with the
// Istio itself, and for the pods later. If that is longer ago than anything may take, it has not asked, and should
// have.
func (q questions) before(at time.Time, istio string) time.Time {
	known := last(q.istios[istio], last(q.pods, at))
	if at.Sub(known) > patience {
		return at
	}
	return known
}

// last is the last of some times that is not after another one, or zero.
func last(times []time.Time, end time.Time) time.Time {
	n, _ := slices.BinarySearchFunc(times, end, func(t, end time.Time) int {
		if t.After(end) {
			return 1
		}
		return -1
	})
	if n == 0 {
		return time.Time{}
	}
	return times[n-1]
}

func istioOf(rev *unstructured.Unstructured) string {
	if ref := metav1.GetControllerOf(rev); ref != nil {
		return ref.Name
	}
	return ""
}

// seen are the resource versions of all that an observer watches, by kind and name. Its watches are independent: one
// may be late when another is not.
func (p picture) seen() map[string]string {
	out := map[string]string{}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision, v1.KindIstioRevisionTag, "Namespace", "Pod"} {
		for name, o := range p[kind] {
			out[kind+" "+name] = o.GetResourceVersion()
		}
	}
	return out
}

// blameless fails the test if a revision was removed that was used.
func (o *observer) blameless() judgement {
	o.e.t.Helper()
	o.e.eventually("the observer has seen all", func() error {
		now, err := o.e.look()
		if err != nil {
			return err
		}
		p := picture{}
		for _, s := range o.history() {
			p.set(s.object, s.gone)
		}
		if diff := gocmp.Diff(now.seen(), p.seen()); diff != "" {
			return fmt.Errorf("-there is +it has seen:\n%s", diff)
		}
		return nil
	})
	j := o.judge()
	for _, fault := range j.faults {
		o.e.t.Error(fault)
	}
	return j
}

// TestQuestions goes through what makes a removal known to be wrong.
func TestQuestions(t *testing.T) {
	at := func(second int) time.Time { return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC) }
	q := questions{
		istios: map[string][]time.Time{"prod": {at(1), at(5), at(9), at(12)}}, pods: []time.Time{at(3), at(7), at(14)},
		deletions: map[string][]time.Time{"prod": {at(10), at(20)}},
	}
	for _, c := range []struct {
		reason   string
		at, want time.Time
	}{
		{"The Istio was read for another reason after the pods.", at(10), at(5)},
		{"At the end of a run.", at(20), at(12)},
		{"Before the first pods nothing was asked.", at(2), at(2)},
		{"A question of long ago.", at(12).Add(patience), at(12)},
		{"A question of too long ago is none.", at(13).Add(patience), at(13).Add(patience)},
	} {
		if got := q.before(c.at, "prod"); !got.Equal(c.want) {
			t.Errorf("%s At %s it was asked at %s, want %s", c.reason, c.at, got, c.want)
		}
	}
	if got := q.before(at(10), "other"); !got.Equal(at(10)) {
		t.Errorf("nothing was asked about another Istio, but at %s", got)
	}
	revision := func(created int, deleted bool) *unstructured.Unstructured {
		o := &unstructured.Unstructured{}
		o.SetName("prod")
		o.SetCreationTimestamp(metav1.NewTime(at(created)))
		if deleted {
			o.SetDeletionTimestamp(&metav1.Time{Time: at(created)})
		}
		return o
	}
	for _, c := range []struct {
		reason string
		s      sighting
		want   time.Time
	}{
		{"It was deleted by the controller.", sighting{at: at(11), object: revision(1, true)}, at(10)},
		{"It went at once.", sighting{at: at(11), object: revision(1, false), gone: true}, at(10)},
		{"It was there once more.", sighting{at: at(21), object: revision(12, true)}, at(20)},
		{"It is not deleted.", sighting{at: at(21), object: revision(12, false)}, time.Time{}},
		{
			"Somebody else deleted it, before the controller would.",
			sighting{at: at(19), object: revision(12, true)},
			time.Time{},
		},
	} {
		if got, is := q.deletion(c.s); is == c.want.IsZero() || is && !got.Equal(c.want) {
			t.Errorf("%s at %s, %t: want %s", c.reason, got, is, c.want)
		}
	}
}
