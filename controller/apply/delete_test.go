package apply

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestDelete is what becomes of the objects of a resource that lets go of them.
func TestDelete(t *testing.T) {
	t.Parallel()
	owner, other := lateens(v1.KindIstioRevision, "default", 5), lateens(v1.KindIstioRevision, "other", 5)
	ours := func(text string) *unstructured.Unstructured {
		return controlled(object(t, text), owner, v1.KindIstioRevision)
	}
	ignored := ours(configMap)
	ignored.SetLabels(map[string]string{Ignore: "true"})
	ending := ours(configMap)
	ending.SetFinalizers([]string{"example.com/test"})
	const remove = "delete ConfigMap istio-system/istio"
	config := v1.Inventory{referenceTo(ours(configMap))}
	for _, c := range []struct {
		reason    string
		have      []*unstructured.Unstructured
		ends      bool
		objects   v1.Inventory
		fail      map[string]error
		writes    []string
		remaining v1.Inventory
		changes   int
		err       string
	}{
		{
			reason: "It goes.", have: []*unstructured.Unstructured{ours(configMap)}, objects: config,
			writes: []string{remove}, changes: 1,
		},
		{reason: "It is not there.", objects: config},
		{
			reason: "Another resource controls it.", objects: config,
			have: []*unstructured.Unstructured{controlled(object(t, configMap), other, v1.KindIstioRevision)},
		},
		{reason: "Nobody controls it.", have: []*unstructured.Unstructured{object(t, configMap)}, objects: config},
		{
			reason: "It is to be left alone.", have: []*unstructured.Unstructured{ignored}, objects: config,
			remaining: config,
		},
		{reason: "It goes already.", have: []*unstructured.Unstructured{ending}, ends: true, objects: config},
		{
			reason: "It cannot be deleted.", have: []*unstructured.Unstructured{ours(configMap)}, objects: config,
			fail: map[string]error{"delete": errForbidden}, writes: []string{remove}, remaining: config,
			err: "ConfigMap istio-system/istio: " + errForbidden.Error() + noRole,
		},
		{
			reason: "Somebody else deletes it.", have: []*unstructured.Unstructured{ours(configMap)}, objects: config,
			fail: map[string]error{"delete": errNotFound}, writes: []string{remove}, changes: 1,
		},
		{
			reason: "What calls goes before what is called.", changes: 3,
			have:    []*unstructured.Unstructured{ours(configMap), ours(deployment), ours(webhook)},
			objects: Set{Objects: []*unstructured.Unstructured{ours(configMap), ours(deployment), ours(webhook)}}.Inventory(),
			writes: []string{
				"delete ValidatingWebhookConfiguration istio-validator-istio-system", "delete Deployment istio-system/istiod",
				remove,
			},
		},
	} {
		w := newWorld(t)
		for _, o := range c.have {
			w.create(o.DeepCopy())
		}
		if c.ends {
			if err := w.client.Delete(t.Context(), w.live(c.have[0])); err != nil {
				t.Fatal(err)
			}
		}
		w.fail = c.fail
		remaining, changes, err := w.applier.Delete(t.Context(), owner, c.objects)
		w.compare(c.reason, c.writes, w.written())
		w.compare(c.reason, c.remaining, remaining)
		w.compare(c.reason, c.changes, len(changes))
		w.compare(c.reason, c.err, text(err))
	}
}

// TestDisown is how objects become nobody's.
func TestDisown(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	for _, c := range []struct {
		reason string
		// by is who wrote the object, "" if it is not there; owned says that the resource owns it.
		by     string
		owned  bool
		fail   map[string]error
		writes []string
		err    string
	}{
		{reason: "The controller has written it.", by: FieldManager, owned: true, writes: []string{patched}},
		{reason: "Somebody else has, and the resource owns it.", by: "somebody", owned: true, writes: []string{patched}},
		{reason: "Only the fields are the controller's.", by: FieldManager, writes: []string{patched}},
		{reason: "Nothing of it is: no request.", by: "somebody"},
		{reason: "It is not there."},
		{
			reason: "It cannot be written.", by: FieldManager, owned: true, fail: map[string]error{"patch": errConflict},
			writes: []string{patched}, err: "ConfigMap istio-system/istio: " + errConflict.Error(),
		},
		{
			reason: "It cannot be read.", by: FieldManager, fail: map[string]error{"get ConfigMap": errForbidden},
			err: "ConfigMap istio-system/istio: " + errForbidden.Error() + noRole,
		},
		{reason: "Nobody knows the kind.", by: FieldManager, fail: map[string]error{"get ConfigMap": errNoKind}},
	} {
		w := newWorld(t)
		o := object(t, configMap)
		if c.owned {
			o = controlled(o, owner, v1.KindIstioRevision)
		}
		if c.by != "" {
			if err := w.client.Create(t.Context(), o.DeepCopy(), client.FieldOwner(c.by)); err != nil {
				t.Fatal(err)
			}
		}
		w.fail = c.fail
		err := w.applier.Disown(t.Context(), owner, v1.Inventory{referenceTo(o)})
		w.compare(c.reason, c.err, text(err))
		w.compare(c.reason, c.writes, w.written())
		if c.by == "" || c.fail != nil {
			continue
		}
		live := w.live(o)
		w.compare(c.reason, 0, len(live.GetOwnerReferences()))
		for _, f := range live.GetManagedFields() {
			if f.Manager == FieldManager {
				t.Errorf("%s the controller owns a field still", c.reason)
			}
		}
	}
}

// TestDeleteStamped is about the objects that a pipeline has made.
func TestDeleteStamped(t *testing.T) {
	t.Parallel()
	kinds := []schema.GroupVersionKind{
		{Group: "example.com", Version: "v1", Kind: "Widget"}, {Version: "v1", Kind: "ConfigMap"},
	}
	mine := func(o *metav1.PartialObjectMetadata) bool { return o.Name != "theirs" }
	stamp := client.MatchingLabels{"app.kubernetes.io/managed-by": "lateen"}
	other := named(object(t, configMap), "other")
	other.SetLabels(nil)
	for _, c := range []struct {
		reason string
		fail   map[string]error
		writes []string
		err    string
	}{
		{
			"Those that have the stamp, and are mine; a kind that is not there has none.",
			map[string]error{"list WidgetList": errNoKind},
			[]string{"list WidgetList", "list ConfigMapList", "delete ConfigMap istio-system/istio"},
			"",
		},
		{
			"They cannot be listed.",
			map[string]error{"list WidgetList": errForbidden},
			[]string{"list WidgetList"},
			"listing Widget: " + errForbidden.Error() + noRole,
		},
	} {
		w := newWorld(t)
		w.create(object(t, configMap), named(object(t, configMap), "theirs"), other.DeepCopy())
		w.fail = c.fail
		_, _, err := w.applier.DeleteStamped(t.Context(), kinds, stamp, mine)
		w.compare(c.reason, c.writes, w.written())
		w.compare(c.reason, c.err, text(err))
	}
}
