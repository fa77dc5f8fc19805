package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// window is how long something must have used a revision before the deletion of that was asked for, to make the deletion a
// fault. Between the controller's last question to the server, who uses a revision, and its request to delete it lie moments in
// which a use may appear that nobody can know of.
const window = 2 * time.Second

// observer watches what a judge needs to know, and remembers all of it: who uses what at any moment is worked out afterwards,
// by the resource versions, which are one order for all kinds since they come from one etcd. It has nothing of the controller's.
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

// observe starts an observer, which ends with the test.
func (e *env) observe() *observer {
	e.t.Helper()
	o := &observer{e: e}
	api, err := dynamic.NewForConfig(e.RESTConfig())
	if err != nil {
		e.t.Fatal(err)
	}
	var wg sync.WaitGroup
	e.t.Cleanup(wg.Wait)
	for _, r := range []schema.GroupVersionResource{
		v1.GroupVersion.WithResource("istios"), v1.GroupVersion.WithResource("istiorevisions"), v1.GroupVersion.WithResource("istiorevisiontags"),
		{Version: "v1", Resource: "namespaces"},
		{Version: "v1", Resource: "pods"},
	} {
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
func (o *observer) list(ctx context.Context, api dynamic.ResourceInterface, known map[string]*unstructured.Unstructured) (string, error) {
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

// watch notes what happens from a version on. A server that has gone away and come back begins with what there is then: as long
// as it was away nothing has happened.
func (o *observer) watch(ctx context.Context, api dynamic.ResourceInterface, version string, known map[string]*unstructured.Unstructured) {
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
func (o *observer) follow(ctx context.Context, api dynamic.ResourceInterface, version *string, known map[string]*unstructured.Unstructured) error {
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
	// faults are revisions that were removed although something used them.
	faults []string
	// removed counts the revisions that were removed while their Istio was there, and kept those that were there although they
	// were not the active ones, because of users, for longer than any grace period.
	removed, kept int
}

// longestGrace is the longest grace period in the histories.
const longestGrace = 3 * time.Second

// judge goes through the history. Removed at fault is a revision that something has used for the window or longer when its
// deletion was asked for, and still uses then; or one that an Istio has asked for as long.
func (o *observer) judge() judgement {
	var out judgement
	p := picture{}
	since := map[string]map[string]time.Time{} // revision, user: when that was seen first
	kept := map[string]bool{}
	for _, s := range o.history() {
		before := p[s.object.GetKind()][nameOf(s.object)]
		if s.object.GetKind() == v1.KindIstioRevision && before != nil && before.GetDeletionTimestamp() == nil {
			if at := deleted(s); !at.IsZero() && p.owned(before) {
				out.removed++
				for _, user := range p.users(before.GetName()) {
					if seen := since[before.GetName()][user]; !seen.IsZero() && !seen.Add(window).After(at) {
						out.faults = append(out.faults, fmt.Sprintf("IstioRevision %s was removed at %s; it was used by %s, seen since %s",
							before.GetName(), at.Format(time.RFC3339), user, seen.Format(time.RFC3339Nano)))
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

// deleted is when a deletion was asked for, or up to a second before, since the server notes whole seconds; zero if it was not.
// What was seen before that has happened before that, by the clock that all have in common.
func deleted(s sighting) time.Time {
	if t := s.object.GetDeletionTimestamp(); t != nil {
		return t.Time
	}
	if s.gone {
		return s.at.Add(-2 * window) // nothing says when; it was seen late
	}
	return time.Time{}
}

// owned tells whether a revision belongs to an Istio that is there: otherwise the garbage collector takes it.
func (p picture) owned(rev *unstructured.Unstructured) bool {
	istio := p[v1.KindIstio][istioOf(rev)]
	return istio != nil && istio.GetDeletionTimestamp() == nil
}

func istioOf(rev *unstructured.Unstructured) string {
	if ref := metav1.GetControllerOf(rev); ref != nil {
		return ref.Name
	}
	return ""
}

// seen are the resource versions of all that an observer watches, by kind and name. Its watches are independent: one may be
// late when another is not.
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
