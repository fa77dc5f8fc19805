package istio_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istio"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/usage"
)

const (
	active, old = "mesh-v1-28-3", "mesh-v1-27-0"
	grace       = 30 * time.Second
	// rechecked is when a revision is looked at again of which the cache and the server say different things.
	rechecked = 10 * time.Second
)

// workloads is a server with pods: those that a watch sends, and those that a list has.
type workloads struct {
	watched, listed []*metav1.PartialObjectMetadata
	// unlistable is why nothing can be listed, or nil.
	unlistable error
	// pods is the watch of pods.
	pods *watch.FakeWatcher
}

func (w *workloads) Lister(r schema.GroupVersionResource) cluster.Lister {
	return lister{w, r.Resource}
}

type lister struct {
	*workloads

	resource string
}

func (l lister) List(_ context.Context, o metav1.ListOptions) (runtime.Object, error) {
	if l.unlistable != nil && o.Limit != 1 { // with the limit it is only asked whether there is such a resource
		return nil, l.unlistable
	}
	list := &metav1.PartialObjectMetadataList{}
	if l.resource == "pods" {
		for _, p := range l.listed {
			list.Items = append(list.Items, *p)
		}
	}
	return list, nil
}

func (l lister) Watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	w := watch.NewFake()
	switch {
	case o.SendInitialEvents != nil:
		go func() {
			if l.resource == "pods" {
				for _, p := range l.watched {
					w.Add(p)
				}
			}
			w.Action(watch.Bookmark, &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
				ResourceVersion: "1", Annotations: map[string]string{metav1.InitialEventsAnnotationKey: "true"},
			}})
		}()
	case l.resource == "pods":
		l.pods = w
	}
	return w, nil
}

// user is a pod that uses a revision.
func user(revision string) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Namespace: "bookinfo", Name: "reviews", Annotations: map[string]string{usage.LabelRevision: revision},
	}}
}

// asked notes which names a controller is asked to look at.
type asked struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	names []string
}

func (a *asked) Add(r reconcile.Request) { a.names = append(a.names, r.Name) }

// pruning is one case: a mesh with an active revision and an old one, of which the status says since a moment that
// nothing uses it.
type pruning struct {
	reason string
	// istio and revision change what there is; with says what there is besides.
	istio    func(*v1.Istio)
	revision func(*v1.IstioRevision)
	with     []client.Object
	// workloads are those of the cluster; unseen says that nobody has looked at them yet. meanwhile happens while
	// they are watched.
	workloads workloads
	unseen    bool
	meanwhile func(*workloads)
	// after is how long ago the status has said for the first time that the revision is unused.
	after time.Duration
	// live changes what the server says itself, and fail makes requests fail.
	live func(runtime.Object)
	fail map[string]error
	// writes, events and so on are what comes of it; log is a line of the log.
	writes, events []string
	again          time.Duration
	err, log       string
	// pruned is how many revisions were counted, asked which names the controllers are asked to look at.
	pruned int
	asked  []string
}

// TestPrune is what becomes of a revision that is not the active one any more, once it is known who uses what.
func TestPrune(t *testing.T) {
	t.Parallel()
	const remove = "delete IstioRevision " + old
	unused := "nothing has used it since " + start.Format(time.RFC3339)
	gone := []string{"Normal RevisionPruned removed IstioRevision " + old + ": " + unused}
	uncertain := "IstioRevision " + old + " is kept, since it cannot be said whether anything uses it: "
	noTime := apierrors.NewServiceUnavailable("no time")
	keeps := func(reason string) string {
		return `"msg"="keeping a revision that seemed unused" "revision"="` + old + `" "reason"="` + reason + `"`
	}
	external := &v1.Values{Raw: []byte(`{"pilot":{"env":{"EXTERNAL_ISTIOD":"true"}}}`)}
	rendered := func(rev *v1.IstioRevision) {
		rev.OwnerReferences = nil
		rev.Annotations = map[string]string{
			manifest.AnnotationRenderedBy: "render-istio", manifest.AnnotationOwner: "Istio/mesh",
		}
	}
	stamped := func(name, owner string) client.Object {
		return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: "istio-system", Name: name, Labels: map[string]string{manifest.LabelRevision: old},
			Annotations: map[string]string{manifest.AnnotationOwner: owner},
		}}
	}
	seen := func(pods ...*metav1.PartialObjectMetadata) workloads { return workloads{watched: pods, listed: pods} }
	for _, c := range []pruning{
		{
			reason: "It is in use, and its status says so.", workloads: seen(user(old)), after: time.Hour,
			revision: func(rev *v1.IstioRevision) { inUse(rev, metav1.ConditionTrue) },
		},
		{
			reason: "It is in use, and its status does not say so yet.", workloads: seen(user(old)), after: time.Hour,
			again: rechecked,
		},
		{
			reason: "Its status says that it is used, and nothing uses it: the status comes first.", after: time.Hour,
			revision: func(rev *v1.IstioRevision) { inUse(rev, metav1.ConditionTrue) },
		},
		{
			reason: "Its status says nothing.", after: time.Hour,
			revision: func(rev *v1.IstioRevision) { rev.Status.Conditions = nil },
		},
		{reason: "Nobody has looked yet.", unseen: true, after: time.Hour, again: rechecked},
		{reason: "Nothing uses it, for a moment.", after: grace - time.Second, again: time.Second},
		{reason: "The grace period is over.", after: grace, writes: []string{remove}, events: gone, pruned: 1},
		{
			reason: "What uses the active one does not keep it.", workloads: seen(user(active)), after: grace,
			writes: []string{remove}, events: gone, pruned: 1,
		},
		{
			reason: "The Istio has another grace period.", after: grace, again: grace, istio: func(i *v1.Istio) {
				i.Spec.UpdateStrategy.InactiveRevisionDeletionGracePeriodSeconds = new(int64(60))
			},
		},
		{
			reason: "It has been inactive for less time than unused.", after: grace, again: 20 * time.Second,
			revision: func(rev *v1.IstioRevision) {
				rev.Status.InactiveSince = &metav1.Time{Time: start.Add(20 * time.Second)}
			},
		},
		{
			reason: "It is not known since when it has been inactive.", after: time.Hour,
			revision: func(rev *v1.IstioRevision) { rev.Status.InactiveSince = nil },
		},
		{
			reason: "A use came and went since the status was written: the grace period begins again.", after: grace,
			again: grace, meanwhile: func(w *workloads) {
				w.pods.Add(user(old))
				w.pods.Delete(user(old))
			},
		},
		{
			reason: "Somebody has set the clock back: its controller has to write another moment.", after: -time.Hour,
			again: grace, asked: []string{old},
		},
		{
			reason: "A tag points at it.", after: time.Hour, again: rechecked,
			with: []client.Object{&v1.IstioRevisionTag{
				ObjectMeta: metav1.ObjectMeta{Name: "stable"},
				Status:     v1.IstioRevisionTagStatus{IstioRevision: old},
			}},
		},
		{
			reason: "Its users are in other clusters.", after: time.Hour,
			revision: func(rev *v1.IstioRevision) { rev.Spec.Values = external },
		},
		{
			reason: "It is being deleted already.", after: time.Hour, revision: func(rev *v1.IstioRevision) {
				rev.Finalizers, rev.DeletionTimestamp = []string{"example.com/test"}, &metav1.Time{Time: start}
			},
		},
		{
			reason: "It belongs to nobody.", after: time.Hour,
			revision: func(rev *v1.IstioRevision) { rev.OwnerReferences = nil },
		},
		{
			reason: "The server knows a user that the watch has not shown.", after: grace,
			workloads: workloads{listed: []*metav1.PartialObjectMetadata{user(old)}}, again: rechecked,
			log: keeps("Referenced by at least one pod or namespace: Pod bookinfo/reviews"),
		},
		{
			reason: "The server cannot say who uses it.", after: grace, workloads: workloads{unlistable: noTime},
			events: []string{"Warning UsageCheckFailed " + uncertain + "listing pods: no time"},
			err:    uncertain + "listing pods: no time",
		},
		{
			reason: "The server has another spec of the Istio.", after: grace, again: rechecked,
			live: func(o runtime.Object) { ofIstio(o, func(i *v1.Istio) { i.Generation++ }) },
			log:  keeps("the Istio has changed"),
		},
		{
			reason: "The server has another Istio of the name.", after: grace, again: rechecked,
			live: func(o runtime.Object) { ofIstio(o, func(i *v1.Istio) { i.UID = "another" }) },
			log:  keeps("the Istio has changed"),
		},
		{
			reason: "The server says that the Istio is being deleted.", after: grace, again: rechecked,
			live: func(o runtime.Object) {
				ofIstio(o, func(i *v1.Istio) { i.DeletionTimestamp = &metav1.Time{Time: start} })
			},
			log: keeps("the Istio has changed"),
		},
		{
			reason: "The server does not know the Istio any more.", after: grace, again: rechecked,
			fail: map[string]error{"get Istio ": apierrors.NewNotFound(schema.GroupResource{}, "mesh")},
			log:  keeps("the Istio has changed"),
		},
		{
			reason: "The server does not say what the Istio is.", after: grace, fail: map[string]error{"get Istio ": noTime},
			events: []string{"Warning UsageCheckFailed " + uncertain + "no time"}, err: uncertain + "no time",
		},
		{
			reason: "The server does not say which tags there are.", after: grace,
			fail:   map[string]error{"list IstioRevisionTagList": noTime},
			events: []string{"Warning UsageCheckFailed " + uncertain + "no time"}, err: uncertain + "no time",
		},
		{
			reason: "The server does not say which revisions there are.", after: grace,
			fail:   map[string]error{"list IstioRevisionList": noTime},
			events: []string{"Warning UsageCheckFailed " + uncertain + "no time"}, err: uncertain + "no time",
		},
		{
			reason: "The server knows a tag that the cache does not.", after: grace, again: rechecked,
			live: func(o runtime.Object) {
				if tags, ok := o.(*v1.IstioRevisionTagList); ok {
					tags.Items = append(tags.Items, v1.IstioRevisionTag{
						ObjectMeta: metav1.ObjectMeta{Name: "new"}, Status: v1.IstioRevisionTagStatus{IstioRevision: old},
					})
				}
			},
			log: "IstioRevisionTag new",
		},
		{
			reason: "It cannot be deleted.", after: grace, fail: map[string]error{"delete": noTime}, writes: []string{remove},
			err: "no time",
		},
		{
			reason: "It has changed since it was read.", after: grace, writes: []string{remove}, again: 100 * time.Millisecond,
			fail: map[string]error{"delete": apierrors.NewConflict(schema.GroupResource{}, old, nil)},
		},
		{
			reason: "Somebody has deleted it meanwhile.", after: grace, writes: []string{remove},
			fail: map[string]error{"delete": apierrors.NewNotFound(schema.GroupResource{}, old)},
		},
		{
			reason: "A package in Git has it: whoever has that is told, once.", after: grace,
			revision: func(rev *v1.IstioRevision) {
				rendered(rev)
				rev.Annotations[manifest.AnnotationReleasedBy] = manifest.ReleasedByPackage
			},
			events: []string{
				"Normal RevisionUnused IstioRevision " + old + " can go: " + unused + ". It is in a package in Git: release it " +
					"there, by a usage report or by removing its file",
			},
		},
		{
			reason: "A pipeline has rendered it: what it has rendered with it goes first.", after: grace, revision: rendered,
			with:   []client.Object{stamped("istio", "Istio/mesh"), stamped("other", "Istio/other")},
			writes: []string{"delete ConfigMap istio-system/istio", remove},
			events: append([]string{"Normal Applied 1 objects changed"}, gone...), pruned: 1,
		},
		{
			reason: "An object of it cannot be deleted: it stays.", after: grace, revision: rendered,
			with: []client.Object{stamped("istio", "Istio/mesh")}, fail: map[string]error{"delete ConfigMap": noTime},
			writes: []string{"delete ConfigMap istio-system/istio"},
			err:    "removing the objects of the unused IstioRevision " + old + ": ConfigMap istio-system/istio: no time",
		},
		{
			reason: "A pipeline has rendered it, and another version of it is on the server.", after: grace,
			revision: rendered, again: rechecked,
			live: func(o runtime.Object) {
				if rev, ok := o.(*v1.IstioRevision); ok {
					rev.ResourceVersion = "another"
				}
			},
			log: keeps("it or its Istio has changed meanwhile"),
		},
		{
			reason: "A pipeline has rendered it, and the server does not say whether it has changed.", after: grace,
			revision: rendered, fail: map[string]error{"get IstioRevision " + old: noTime},
			err: "IstioRevision " + old + " is kept, since it cannot be said whether it has changed: no time",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, c.run)
		})
	}
}

// start is when each of these tests begins: the clock of a synctest bubble shows it.
var start = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func ofIstio(o runtime.Object, change func(*v1.Istio)) {
	if i, ok := o.(*v1.Istio); ok {
		change(i)
	}
}

// inUse has the status of a revision say whether something uses it.
func inUse(rev *v1.IstioRevision, is metav1.ConditionStatus) {
	rev.Status.Conditions = v1.Conditions{{
		Type: v1.ConditionInUse, Status: is, Reason: v1.ReasonNotReferencedByAnything,
		LastTransitionTime: metav1.NewTime(start),
	}}
}

// mesh has the Istio, its active revision, which works, and the old one.
func (c pruning) mesh() []client.Object {
	mesh := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh", UID: "mesh"}}
	mesh.Spec.Version, mesh.Spec.Namespace = "v1.28.3", "istio-system"
	mesh.Spec.UpdateStrategy = &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyRevisionBased}
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: old, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: "mesh", UID: "mesh", Controller: new(true),
	}}}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.27.0", "istio-system"
	rev.Status.InactiveSince = &metav1.Time{Time: start}
	inUse(rev, metav1.ConditionFalse)
	if c.istio != nil {
		c.istio(mesh)
	}
	if c.revision != nil {
		c.revision(rev)
	}
	return append([]client.Object{mesh, rev, reconcilertest.Namespace("istio-system")}, c.with...)
}

// serverOf is what the server says itself, when the cache has something older.
func (c pruning) serverOf(w *reconcilertest.World, fail func() map[string]error) client.Reader {
	change := c.live
	if change == nil {
		change = func(runtime.Object) {}
	}
	failure := func(request string) error {
		for prefix, err := range fail() {
			if strings.HasPrefix(request, prefix) {
				return err
			}
		}
		return nil
	}
	return interceptor.NewClient(w.Client, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
		) error {
			if err := failure("get " + kindOf(o) + " " + key.Name); err != nil {
				return err
			}
			err := c.Get(ctx, key, o, opts...)
			change(o)
			return err
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := failure("list " + kindOf(l)); err != nil {
				return err
			}
			err := c.List(ctx, l, opts...)
			change(l)
			return err
		},
	})
}

// kindOf is the kind of one of Lateen's resources, or of a list of them.
func kindOf(o any) string { return strings.TrimPrefix(fmt.Sprintf("%T", o), "*v1.") }

// writesOf are those of the failures that are not the server's answers to questions, which are made to fail apart from
// the cache's.
func writesOf(fail map[string]error) map[string]error {
	out := maps.Clone(fail)
	maps.DeleteFunc(out, func(request string, _ error) bool {
		return strings.HasPrefix(request, "get ") || strings.HasPrefix(request, "list ")
	})
	return out
}

func (c pruning) run(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := reconcilertest.New(t, c.mesh()...)
	u, queue := cluster.NewUsage(&c.workloads), &asked{}
	if err := u.Source(func() []string { return nil }).Start(ctx, queue); err != nil {
		t.Fatal(err)
	}
	var failing map[string]error
	pruned := 0
	r := &istio.Reconciler{
		Client: w.Client, Live: c.serverOf(w, func() map[string]error {
			return failing
		}), Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"},
		Applier: w.Applier, Events: w.Events, Usage: u, Now: time.Now, Pruned: func(string) { pruned++ },
	}
	request := reconcile.Request{NamespacedName: client.ObjectKey{Name: "mesh"}}
	settle := func(do func(context.Context, client.Client) error) { // what happens before anybody knows who uses what
		if err := do(ctx, w.Client); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Reconcile(ctx, request); err != nil {
			t.Fatal(err)
		}
	}
	settle(func(context.Context, client.Client) error { return nil })
	settle(reports(active))
	time.Sleep(max(c.after, 0))
	if !c.unseen {
		go func() { _ = u.Start(ctx) }()
		synctest.Wait()
	}
	if c.meanwhile != nil {
		c.meanwhile(&c.workloads)
		synctest.Wait()
	}
	if c.after < 0 {
		r.Now = func() time.Time { return start.Add(c.after) }
	}
	w.Writes()
	reconcilertest.Events(w.Events)
	queue.names, failing = nil, c.fail
	conditions := []string{"Ready=True", "DependenciesHealthy=True", "Reconciled=True"}
	w.Run(r, &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}, []reconcilertest.Step{{
		Reason: c.reason, Fail: writesOf(c.fail), Writes: c.writes, Events: c.events, Again: c.again, Err: c.err,
		Conditions: conditions,
	}})
	if log := strings.Join(w.Logs(), "\n"); !strings.Contains(log, c.log) {
		t.Errorf("%s %s is not in the log:\n%s", c.reason, c.log, log)
	}
	if pruned != c.pruned {
		t.Errorf("%s %d revisions were counted, want %d", c.reason, pruned, c.pruned)
	}
	if diff := cmp.Diff(c.asked, queue.names); diff != "" {
		t.Errorf("%s asked to look at: -want +got:\n%s", c.reason, diff)
	}
	if c.events != nil { // nothing is told twice
		reconcilertest.Events(w.Events)
		if _, err := r.Reconcile(ctx, request); c.err == "" && err != nil {
			t.Error(err)
		}
		if again := reconcilertest.Events(w.Events); c.err == "" && len(again) > 0 {
			t.Errorf("%s told once more: %v", c.reason, again)
		}
	}
}
