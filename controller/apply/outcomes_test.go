package apply

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	validation "k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// The errors that an API server answers with.
var (
	errConflict = apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "istio",
		errors.New("it has changed"))
	errForbidden = apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "istio", errors.New("no role"))
	errTimeout   = apierrors.NewServerTimeout(schema.GroupResource{Resource: "configmaps"}, "patch", 1)
	errNotFound  = apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "istio")
	errNoKind    = &meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "example.com", Kind: "Widget"}}
	errEnding    = apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "istio",
		errors.New("unable to create new content in namespace istio-system because it is being terminated"))
	errInvalid = apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "istio", validation.ErrorList{
		validation.Invalid(validation.NewPath("data"), "", "no"),
	})
	errImmutable = apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "istio", validation.ErrorList{
		validation.Invalid(validation.NewPath("data"), "", "field is immutable"),
	})
	errRoleRef = apierrors.NewInvalid(schema.GroupKind{Kind: "RoleBinding"}, "istio", validation.ErrorList{
		validation.Invalid(validation.NewPath("roleRef"), "", "cannot change roleRef"),
	})
)

const (
	recreate = ": it cannot be changed in place. Delete the object, and the controller makes it anew"
	noRole   = ": the controller's ClusterRole does not allow it"
	noCRD    = ": install the CustomResourceDefinition first, or turn the value off that asks for this object"
	noted    = "note"
	patched  = "patch ConfigMap istio-system/istio"
	tried    = "dry-run ConfigMap istio-system/istio"
	applied  = "apply ConfigMap istio-system/istio"
	read     = "get ConfigMap istio-system/istio"
	asked    = "get IstioRevision default"
)

// text is what an error says, "" for none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (w *world) compare(reason string, want, got any) {
	w.t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("%s -want +got:\n%s", reason, diff)
	}
}

// create puts objects into the cluster that somebody else has made.
func (w *world) create(objects ...client.Object) {
	w.t.Helper()
	for _, o := range objects {
		if err := w.client.Create(w.t.Context(), o, client.FieldOwner("somebody")); err != nil {
			w.t.Fatal(err)
		}
	}
}

// named gives an object another name.
func named(o *unstructured.Unstructured, name string) *unstructured.Unstructured {
	o = o.DeepCopy()
	o.SetName(name)
	return o
}

// controlled makes a resource the controller of an object.
func controlled(o *unstructured.Unstructured, by client.Object, kind string) *unstructured.Unstructured {
	o = o.DeepCopy()
	o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(by, v1.GroupVersion.WithKind(kind))})
	return o
}

// TestRequests is one apply of one object: each request that it makes, and what comes of it, for each way in which a
// request can end.
func TestRequests(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	older, younger := lateens(v1.KindIstioRevisionTag, "stable", 1), lateens(v1.KindIstioRevisionTag, "stable", 9)
	desired := object(t, configMap)
	ours := controlled(desired, owner, v1.KindIstioRevision)
	ref := v1.Inventory{referenceTo(desired)}
	const (
		failed  = "ConfigMap istio-system/istio: ConfigMap/istio-system/istio "
		belongs = "ConfigMap istio-system/istio belongs to IstioRevisionTag stable, which has precedence; rename one of " +
			"the two, or delete one"
	)
	drift := func(o *unstructured.Unstructured) *unstructured.Unstructured {
		o = o.DeepCopy()
		in(o.Object, "data")["mesh"] = "drift"
		return o
	}
	ignored := func(o *unstructured.Unstructured) *unstructured.Unstructured {
		o = o.DeepCopy()
		o.SetAnnotations(map[string]string{Ignore: "true"})
		return o
	}
	created := []string{"ConfigMap istio-system/istio created"}
	configured := []string{"ConfigMap istio-system/istio configured"}
	for _, c := range []struct {
		reason string
		have   []client.Object
		before v1.Inventory
		// gone says that the cluster does not have the owner.
		gone bool
		set  func(*Set)
		fail map[string]error
		// requests are all of them, in their order.
		requests, changes []string
		after             v1.Inventory
		err               string
	}{
		{
			reason: "It is not there: it is noted, tried and made.", requests: []string{read, noted, asked, tried, applied},
			changes: created, after: ref,
		},
		{
			reason: "It was noted before.", before: ref, requests: []string{asked, read, tried, applied}, changes: created,
			after: ref,
		},
		{
			reason: "It is as it should be: it is tried only.", have: []client.Object{ours}, before: ref,
			requests: []string{asked, read, tried}, after: ref,
		},
		{
			reason: "It has another value.", have: []client.Object{drift(ours)}, before: ref,
			requests: []string{asked, read, tried, applied}, changes: configured, after: ref,
		},
		{
			reason: "It is nobody's: that is no difference for a dry run, and is put right.", have: []client.Object{desired},
			before: ref, requests: []string{asked, read, tried, applied}, changes: configured, after: ref,
		},
		{
			reason: "Somebody wants it to be left alone.", have: []client.Object{ignored(drift(ours))}, before: ref,
			requests: []string{asked, read}, after: ref,
		},
		{
			reason: "A resource that was there before has it.",
			have:   []client.Object{older, controlled(desired, older, v1.KindIstioRevisionTag)}, err: belongs,
		},
		{
			reason: "One that came later had it.",
			have:   []client.Object{younger, controlled(desired, younger, v1.KindIstioRevisionTag)}, before: ref,
			requests: []string{asked, read, tried, applied}, changes: configured, after: ref,
		},
		{
			reason: "It cannot be said who comes first.",
			have:   []client.Object{older, controlled(desired, older, v1.KindIstioRevisionTag)},
			set: func(s *Set) {
				s.Takes = func(client.Object) (bool, error) { return true, errTimeout }
			},
			err: "ConfigMap istio-system/istio: " + errTimeout.Error(),
		},
		{
			reason: "Nobody asks who comes first.",
			have:   []client.Object{older, controlled(desired, older, v1.KindIstioRevisionTag)}, before: ref,
			set:      func(s *Set) { s.Takes = nil },
			requests: []string{asked, read, tried, applied}, changes: configured, after: ref,
		},
		{
			reason: "The owner is gone.", gone: true, before: ref, requests: []string{asked}, after: ref,
			err: `Operation cannot be fulfilled on IstioRevision.sailoperator.io "default": it is being deleted`,
		},
		{
			reason: "Nobody knows whether the owner is there.", before: ref, fail: map[string]error{asked: errTimeout},
			requests: []string{asked}, after: ref, err: errTimeout.Error(),
		},
		{
			reason: "What there is cannot be read, and it was not noted: nothing is noted.",
			fail:   map[string]error{read: errTimeout}, requests: []string{read},
			err: "ConfigMap istio-system/istio: " + errTimeout.Error(),
		},
		{
			reason: "What there is may not be read: applying it says so.", fail: map[string]error{read: errForbidden},
			requests: []string{read, noted, asked, read}, after: ref,
			err: "ConfigMap istio-system/istio: " + errForbidden.Error() + noRole,
		},
		{
			reason: "Nobody knows the kind: applying it says so.", fail: map[string]error{read: errNoKind},
			requests: []string{read, noted, asked, read}, after: ref,
			err: "ConfigMap istio-system/istio: " + errNoKind.Error() + noCRD,
		},
		{
			reason: "It cannot be noted: nothing is made.", fail: map[string]error{noted: errConflict},
			requests: []string{read, noted}, err: errConflict.Error(),
		},
		{
			reason: "The dry run says that it is wrong.", fail: map[string]error{tried: errInvalid}, before: ref,
			requests: []string{asked, read, tried}, after: ref,
			err: failed + "dry-run failed (Invalid): " + errInvalid.Error(),
		},
		{
			reason: "The namespace is being deleted.", fail: map[string]error{tried: errEnding}, before: ref,
			requests: []string{asked, read, tried}, after: ref, err: failed + "dry-run failed (Forbidden): " +
				errEnding.Error() + noRole,
		},
		{
			reason: "The server does not answer in time.", fail: map[string]error{applied: errTimeout}, before: ref,
			requests: []string{asked, read, tried, applied}, after: ref, err: failed + "apply failed: " + errTimeout.Error(),
		},
		{
			reason: "Somebody else writes it.", fail: map[string]error{applied: errConflict}, before: ref,
			requests: []string{asked, read, tried, applied}, after: ref, err: failed + "apply failed: " + errConflict.Error(),
		},
		{
			reason: "The controller may not.", fail: map[string]error{applied: errForbidden}, before: ref,
			requests: []string{asked, read, tried, applied}, after: ref,
			err: failed + "apply failed: " + errForbidden.Error() + noRole,
		},
		{
			reason: "A field cannot be changed.", fail: map[string]error{applied: errImmutable},
			have: []client.Object{drift(ours)}, before: ref, requests: []string{asked, read, tried, applied}, after: ref,
			err: failed + "apply failed: " + errImmutable.Error() + recreate,
		},
		{
			reason: "The owner cannot be put right.", fail: map[string]error{applied: errTimeout},
			have: []client.Object{desired}, before: ref, requests: []string{asked, read, tried, applied}, after: ref,
			err: "ConfigMap istio-system/istio: " + errTimeout.Error(),
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			if !c.gone {
				w.create(owner.DeepCopyObject().(client.Object))
			}
			for _, o := range c.have {
				w.create(o.DeepCopyObject().(client.Object))
			}
			s := w.set(owner, desired)
			s.Previous = c.before
			if c.set != nil {
				c.set(&s)
			}
			w.requests, w.fail = nil, c.fail
			got, err := w.applier.Apply(t.Context(), s)
			var changes []string
			for _, change := range got.Changes {
				changes = append(changes, change.String())
			}
			w.compare(c.reason, c.requests, w.requests)
			w.compare(c.reason, c.changes, changes)
			w.compare(c.reason, c.after, got.Inventory)
			w.compare(c.reason, c.err, text(err))
		})
	}
}

// TestExplain is what an error says that the server's does not.
func TestExplain(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		more string
	}{
		{errImmutable, recreate},
		{errRoleRef, recreate},
		{errInvalid, ""},
		{errors.New("field is immutable"), ""},
		{errNoKind, noCRD},
		{errForbidden, noRole},
		{errTimeout, ""},
	} {
		got := explain(c.err)
		if !errors.Is(got, c.err) || got.Error() != c.err.Error()+c.more {
			t.Errorf("got %s", got)
		}
	}
}

// TestSeveral is what becomes of the other objects if there is something about one.
func TestSeveral(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	a, b, hook := named(object(t, configMap), "a"), named(object(t, configMap), "b"), object(t, webhook)
	old := controlled(named(object(t, configMap), "old"), owner, v1.KindIstioRevision)
	policy := named(object(t, "{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: "+
		"{name: p, labels: {app.kubernetes.io/managed-by: lateen}}}"), "p")
	references := func(all ...*unstructured.Unstructured) v1.Inventory {
		return Set{Objects: all}.Inventory()
	}
	const remove = "delete ConfigMap istio-system/old"
	for _, c := range []struct {
		reason  string
		have    []client.Object
		objects []*unstructured.Unstructured
		fail    map[string]error
		writes  []string
		after   v1.Inventory
		err     string
	}{
		{
			reason: "All is well: what is not rendered any more goes.", objects: []*unstructured.Unstructured{a, b},
			writes: []string{noted, "apply ConfigMap istio-system/a", "apply ConfigMap istio-system/b", remove},
			after:  references(a, b),
		},
		{
			reason:  "One fails: the others are applied, nothing is deleted, and a new webhook waits.",
			objects: []*unstructured.Unstructured{a, b, hook, policy},
			fail:    map[string]error{"apply ConfigMap istio-system/a": errTimeout},
			writes: []string{
				noted, "apply ConfigMap istio-system/a", "apply ConfigMap istio-system/b", "apply ValidatingAdmissionPolicy p",
			},
			after: references(a, b, hook, policy, old),
			err:   "ConfigMap istio-system/a: ConfigMap/istio-system/a apply failed: " + errTimeout.Error(),
		},
		{
			reason:  "One fails, and the webhook was there before.",
			have:    []client.Object{changedHook(t, owner)},
			objects: []*unstructured.Unstructured{a, hook},
			fail:    map[string]error{"apply ConfigMap istio-system/a": errTimeout},
			writes: []string{
				noted, "apply ConfigMap istio-system/a", "apply ValidatingWebhookConfiguration istio-validator-istio-system",
			},
			after: references(a, hook, old),
			err:   "ConfigMap istio-system/a: ConfigMap/istio-system/a apply failed: " + errTimeout.Error(),
		},
		{
			reason:  "What is not rendered any more cannot be deleted: it is noted on.",
			objects: []*unstructured.Unstructured{a}, fail: map[string]error{"delete": errTimeout},
			writes: []string{noted, "apply ConfigMap istio-system/a", remove}, after: references(a, old),
			err: "ConfigMap istio-system/old: " + errTimeout.Error(),
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, owner.DeepCopyObject().(client.Object))
			w.create(old.DeepCopy())
			w.create(c.have...)
			s := w.set(owner, c.objects...)
			s.Previous = references(old)
			w.requests, w.fail = nil, c.fail
			got, err := w.applier.Apply(t.Context(), s)
			w.compare(c.reason, c.writes, w.written())
			w.compare(c.reason, c.after, got.Inventory)
			w.compare(c.reason, c.err, text(err))
		})
	}
}

// changedHook is a webhook that the controller has applied and somebody has changed.
func changedHook(t *testing.T, owner client.Object) *unstructured.Unstructured {
	t.Helper()
	o := controlled(object(t, webhook), owner, v1.KindIstioRevision)
	in(o.Object, "webhooks", 0)["sideEffects"] = "NoneOnDryRun"
	in(o.Object, "webhooks", 0)["failurePolicy"] = "Fail"
	return o
}

// written are the requests that are neither reads nor dry runs.
func (w *world) written() []string {
	var out []string
	for _, r := range w.requests {
		if !strings.HasPrefix(r, "get ") && !strings.HasPrefix(r, "dry-run ") {
			out = append(out, r)
		}
	}
	return out
}

// TestSettled is when an object is looked at once more: never while it is in the state in which nothing was to be done.
func TestSettled(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	desired := object(t, configMap)
	w := newWorld(t, owner.DeepCopyObject().(client.Object))
	s := w.set(owner, desired)
	s.Previous = w.bring(s).Inventory
	look := []string{asked, read, tried}
	for _, step := range []struct {
		reason string
		do     func()
		want   []string
	}{
		{"It has just been written.", func() {}, look},
		{"Nothing has happened.", func() {}, nil},
		{"Somebody adds a label.", func() {
			w.edit(desired, "somebody", func(o map[string]any) { in(o, "metadata", "labels")["a"] = "b" })
		}, look},
		{"Nothing has happened since.", func() {}, nil},
		{"Another rendering.", func() { s.Digest = "2" }, look},
		{"The same rendering.", func() {}, nil},
		{"What was known is forgotten.", func() { w.applier.Forget(owner.GetUID()) }, look},
		{"Another resource is forgotten.", func() { w.applier.Forget("another") }, nil},
		{"The kind is not watched: nothing is known.", func() { w.watching = errTimeout }, look},
		{"It is watched.", func() { w.watching = nil }, look},
		{"It is known.", func() {}, nil},
		{"The cache does not answer.", func() { w.uncached = errTimeout }, look},
	} {
		step.do()
		w.requests = nil
		w.bring(s)
		w.compare(step.reason, step.want, w.requests)
	}
}

// TestState is what of an object is compared, and what is not.
func TestState(t *testing.T) {
	t.Parallel()
	base := func() *appsv1.Deployment {
		d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
			Namespace: "istio-system", Name: "istiod", UID: "1", Generation: 1, ResourceVersion: "7",
			Labels:          map[string]string{"app.kubernetes.io/managed-by": "lateen"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "A", Name: "a", UID: "a", Controller: new(true)}},
		}}
		return d
	}
	state := func(d *appsv1.Deployment) string {
		w := newWorld(t, d)
		_, state, err := w.applier.state(t.Context(), v1.ObjectReference{
			APIVersion: "apps/v1", Kind: "Deployment", Namespace: "istio-system", Name: "istiod",
		})
		if err != nil || state == "" {
			t.Fatalf("got %q, %v", state, err)
		}
		return state
	}
	for _, c := range []struct {
		reason string
		change func(d *appsv1.Deployment)
		same   bool
	}{
		{"Nothing.", func(*appsv1.Deployment) {}, true},
		{"Its status, which counts as a version.", func(d *appsv1.Deployment) { d.ResourceVersion = "8" }, true},
		{"It is another one.", func(d *appsv1.Deployment) { d.UID = "2" }, false},
		{"Its spec.", func(d *appsv1.Deployment) { d.Generation = 2 }, false},
		{"A label.", func(d *appsv1.Deployment) { d.Labels["a"] = "b" }, false},
		{"An annotation.", func(d *appsv1.Deployment) { d.Annotations = map[string]string{"a": "b"} }, false},
		{"Its owner.", func(d *appsv1.Deployment) { d.OwnerReferences[0].UID = "b" }, false},
		{"Its owner controls it no more.", func(d *appsv1.Deployment) {
			d.OwnerReferences[0].Controller = new(false)
		}, false},
		{"Nobody says so.", func(d *appsv1.Deployment) { d.OwnerReferences[0].Controller = nil }, false},
		{"Who writes it.", func(d *appsv1.Deployment) {
			d.ManagedFields = []metav1.ManagedFieldsEntry{{
				Manager: "m", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "apps/v1", FieldsType: "FieldsV1",
				FieldsV1: metav1.NewFieldsV1(`{"f:metadata":{"f:labels":{"f:a":{}}}}`),
			}}
		}, false},
	} {
		changed := base()
		c.change(changed)
		if got := state(changed) == state(base()); got != c.same {
			t.Errorf("%s it is the same: %t", c.reason, got)
		}
	}
	for _, without := range []string{"7", "8"} { // a kind without a generation
		d := base()
		d.Generation, d.ResourceVersion = 0, without
		if got := state(d); got != "1@"+without {
			t.Errorf("got %q", got)
		}
	}
}

func TestKeepWriters(t *testing.T) {
	t.Parallel()
	o := object(t, configMap)
	o.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "a"}, {Manager: "b", Subresource: "status"}})
	got, err := KeepWriters(o)
	if err != nil || got != any(o) || len(o.GetManagedFields()) != 1 || o.GetManagedFields()[0].Manager != "a" {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := KeepWriters("a tombstone"); got != "a tombstone" || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

// TestUnowned applies what has no owner.
func TestUnowned(t *testing.T) {
	t.Parallel()
	a, b := named(object(t, configMap), "a"), named(object(t, configMap), "b")
	w := newWorld(t)
	w.fail = map[string]error{"apply ConfigMap istio-system/a": errTimeout}
	err := w.applier.ApplyUnowned(t.Context(), []*unstructured.Unstructured{a, b})
	w.compare("One fails, the other is applied.", "ConfigMap istio-system/a: ConfigMap/istio-system/a apply failed: "+
		errTimeout.Error(), text(err))
	w.compare("Nobody is asked about an owner.", []string{
		"get ConfigMap istio-system/a", "dry-run ConfigMap istio-system/a", "apply ConfigMap istio-system/a",
		"get ConfigMap istio-system/b", "dry-run ConfigMap istio-system/b", "apply ConfigMap istio-system/b",
	}, w.requests)
	w.fail, w.requests = nil, nil
	if err := w.applier.ApplyUnowned(t.Context(), []*unstructured.Unstructured{a, b}); err != nil {
		t.Fatal(err)
	}
	w.compare("It has no owner.", 0, len(w.live(b).GetOwnerReferences()))
	w.compare("Only the one that is missing is written.", []string{"apply ConfigMap istio-system/a"}, w.written())
}
