package apply

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestOwnerStays is when the server is asked whether the owner is there still, and what comes of the answer.
func TestOwnerStays(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	ours := func(name string) *unstructured.Unstructured {
		return controlled(named(object(t, configMap), name), owner, v1.KindIstioRevision)
	}
	drift := func(o *unstructured.Unstructured) *unstructured.Unstructured {
		in(o.Object, "data")["mesh"] = "drift"
		return o
	}
	nobodys := named(object(t, configMap), "b")
	held, orphan := []string{"example.com/held"}, []string{metav1.FinalizerOrphanDependents}
	const (
		readA, tryA, applyA = "get ConfigMap istio-system/a", "dry-run ConfigMap istio-system/a",
			"apply ConfigMap istio-system/a"
		readB, tryB, applyB = "get ConfigMap istio-system/b", "dry-run ConfigMap istio-system/b",
			"apply ConfigMap istio-system/b"
		ends = `Operation cannot be fulfilled on IstioRevision.sailoperator.io "default": it is being deleted`
	)
	for _, c := range []struct {
		reason string
		have   []client.Object
		// finalizers hold the owner; ends says that it is deleted before the run, and told that the caller knows;
		// meanwhile says that it is deleted while the first object is looked at; another says that it is another one.
		finalizers                     []string
		ends, told, meanwhile, another bool
		requests                       []string
		err                            string
	}{
		{
			reason: "All is as it should be: one question.", have: []client.Object{ours("a"), ours("b")},
			requests: []string{asked, readA, tryA, readB, tryB},
		},
		{
			reason: "After a change it is asked again.", have: []client.Object{drift(ours("a")), ours("b")},
			requests: []string{asked, readA, tryA, applyA, asked, readB, tryB},
		},
		{
			reason: "What is nobody's may have been let go.", have: []client.Object{ours("a"), nobodys},
			requests: []string{asked, readA, tryA, asked, readB, tryB, applyB},
		},
		{
			reason: "What is not there has not been let go.", have: []client.Object{ours("a")},
			requests: []string{asked, readA, tryA, readB, tryB, applyB},
		},
		{
			reason: "It is deleted meanwhile: what is nobody's stays so.", have: []client.Object{ours("a"), nobodys},
			finalizers: orphan, meanwhile: true, requests: []string{asked, readA, tryA, asked}, err: ends,
		},
		{
			reason: "It is deleted meanwhile: no other object is changed.", have: []client.Object{drift(ours("a"))},
			finalizers: orphan, meanwhile: true, requests: []string{asked, readA, tryA, applyA, asked}, err: ends,
		},
		{
			reason: "It is being deleted, and the cache does not know.", have: []client.Object{ours("a"), ours("b")},
			finalizers: held, ends: true, requests: []string{asked}, err: ends,
		},
		{
			reason: "The caller knows, and holds it.", have: []client.Object{ours("a"), ours("b")},
			finalizers: held, ends: true, told: true, requests: []string{asked, readA, tryA, readB, tryB},
		},
		{
			reason: "The caller knows, but its objects are let go.", have: []client.Object{ours("a"), ours("b")},
			finalizers: orphan, ends: true, told: true, requests: []string{asked}, err: ends,
		},
		{
			reason: "There is another one of its name.", have: []client.Object{ours("a"), ours("b")}, another: true,
			requests: []string{asked}, err: ends,
		},
		{
			reason: "There is another one of its name, and the caller knows that its own goes.",
			have:   []client.Object{ours("a"), ours("b")}, another: true, told: true, requests: []string{asked}, err: ends,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			current := owner.DeepCopyObject().(client.Object)
			current.SetFinalizers(c.finalizers)
			if c.another {
				current.SetUID("another")
			}
			w.create(current)
			end := func() {
				if err := w.client.Delete(t.Context(), current.DeepCopyObject().(client.Object)); err != nil {
					t.Fatal(err)
				}
			}
			for _, o := range c.have {
				w.create(o.DeepCopyObject().(client.Object))
			}
			known := owner.DeepCopyObject().(client.Object)
			if c.told {
				known.SetDeletionTimestamp(new(metav1.Now()))
			}
			if c.ends {
				end()
			}
			if c.meanwhile {
				w.meanwhile = func() { w.meanwhile = nil; end() }
			}
			s := w.set(known, named(object(t, configMap), "a"), named(object(t, configMap), "b"))
			s.Previous = s.Inventory()
			_, err := w.applier.Apply(t.Context(), s)
			w.compare(c.reason, c.requests, w.requests)
			w.compare(c.reason, c.err, text(err))
		})
	}
}

// TestHolder is who is asked about an object that another resource has.
func TestHolder(t *testing.T) {
	t.Parallel()
	owner, other := lateens(v1.KindIstioRevision, "default", 5), lateens(v1.KindIstioRevisionTag, "stable", 1)
	of := func(apiVersion, kind, name, uid string) func(o *unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) {
			in(o.Object, "metadata")["ownerReferences"] = []any{map[string]any{
				"apiVersion": apiVersion, "kind": kind, "name": name, "uid": uid, "controller": true,
			}}
		}
	}
	stamped := func(stamp string) func(o *unstructured.Unstructured) {
		return func(o *unstructured.Unstructured) { o.SetAnnotations(map[string]string{"lateen.io/owner": stamp}) }
	}
	const (
		tag     = v1.KindIstioRevisionTag
		belongs = "ConfigMap istio-system/istio belongs to IstioRevisionTag stable, which has precedence; rename one of " +
			"the two, or delete one"
	)
	lateen := v1.GroupVersion.String()
	unread := "ConfigMap istio-system/istio: " + errTimeout.Error()
	for _, c := range []struct {
		reason string
		live   func(o *unstructured.Unstructured)
		// stamp is what the object should have.
		stamp string
		// uncached is why the cache does not answer, noted that the owner has had the object before.
		uncached error
		noted    bool
		err      string
	}{
		{reason: "Its controller.", live: of(lateen, tag, "stable", "IstioRevisionTag/stable"), err: belongs},
		{
			reason: "Its controller is of another version of the API.", err: belongs,
			live: of(v1.GroupVersion.Group+"/v1alpha1", tag, "stable", "IstioRevisionTag/stable"),
		},
		{reason: "Its controller is another one of the name.", live: of(lateen, tag, "stable", "old")},
		{reason: "Its controller is gone.", live: of(lateen, tag, "gone", "IstioRevisionTag/gone")},
		{reason: "It is of another group.", live: of("example.com/v1", tag, "stable", "IstioRevisionTag/stable")},
		{reason: "It is of a kind that nobody knows.", live: of(lateen, "Other", "stable", "IstioRevisionTag/stable")},
		{
			reason: "Its controller cannot be read.", live: of(lateen, tag, "stable", "IstioRevisionTag/stable"),
			uncached: errTimeout, err: unread,
		},
		{
			reason: "Nor can it, of an object that was the owner's.", noted: true,
			live: of(lateen, tag, "stable", "IstioRevisionTag/stable"), uncached: errTimeout, err: unread,
		},
		{reason: "Its stamp.", live: stamped("IstioRevisionTag/stable"), err: belongs},
		{reason: "Its stamp cannot be read.", live: stamped("IstioRevisionTag/stable"), uncached: errTimeout, err: unread},
		{
			reason: "Its stamp is the one that it should have.", live: stamped("IstioRevisionTag/stable"),
			stamp: "IstioRevisionTag/stable",
		},
		{reason: "Its stamp is of the owner.", live: stamped("IstioRevision/default")},
		{reason: "Its stamp is of one that is gone.", live: stamped("IstioRevisionTag/gone")},
		{
			reason: "Its stamp has no name: there is nobody to ask for.", live: stamped("IstioRevisionTag"),
			uncached: errTimeout,
		},
		{reason: "Its stamp has no kind.", live: stamped("/stable")},
		{reason: "Its stamp is of no kind.", live: stamped("Other/stable")},
		{reason: "Its stamp is of a list.", live: stamped("IstioRevisionTagList/stable")},
		{reason: "It has none.", live: func(*unstructured.Unstructured) {}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, owner.DeepCopyObject().(client.Object), other.DeepCopyObject().(client.Object))
			live, desired := object(t, configMap), object(t, configMap)
			c.live(live)
			w.create(live)
			if c.stamp != "" {
				desired.SetAnnotations(map[string]string{"lateen.io/owner": c.stamp})
			}
			w.uncached = c.uncached
			s := w.set(owner, desired)
			s.Takes = func(client.Object) (bool, error) { return false, nil }
			if c.noted {
				s.Previous = s.Inventory()
			}
			_, err := w.applier.Apply(t.Context(), s)
			w.compare(c.reason, c.err, text(err))
			if c.err != "" {
				w.compare(c.reason, []string(nil), w.written())
			}
		})
	}
}
