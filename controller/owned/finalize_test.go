package owned

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
)

const (
	removeIstio = "delete ConfigMap istio-system/istio"
	disowned    = "patch ConfigMap istio-system/istio"
	patched     = "patch IstioRevision canary"
	removed     = "Normal Applied 1 objects changed: ConfigMap istio-system/istio deleted"
)

// ofPipeline makes a resource one of whose objects a pipeline renders.
func ofPipeline(o *v1.IstioRevision) {
	o.Annotations = map[string]string{manifest.AnnotationRenderedBy: "render-istio"}
}

// TestPipeline is what becomes of the finalizer, and of the objects that the controller applied before, when a pipeline
// begins to render them or ceases to.
func TestPipeline(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason           string
		finalizer, leave bool
		fail             map[string]error
		writes           []string
		// owned and held say that the object and the finalizer are there afterwards; remembered that what is known about
		// the objects is kept.
		owned, held, remembered bool
		err                     string
	}{
		{
			reason: "The controller applies them.", writes: []string{patched}, owned: true, held: true,
			remembered: true,
		},
		{reason: "It has done so before: no request.", finalizer: true, owned: true, held: true, remembered: true},
		{
			reason: "A pipeline takes over: first they are nobody's, then the resource is let go.", finalizer: true, leave: true,
			writes: []string{disowned, patched},
		},
		{
			reason: "A pipeline has done so before: the objects are looked at, all the same.", leave: true,
			writes: []string{disowned}, remembered: true,
		},
		{
			reason: "They cannot be let go: the finalizer stays.", finalizer: true, leave: true, owned: true, held: true,
			remembered: true, fail: map[string]error{"patch ConfigMap": noTime}, writes: []string{disowned},
			err: "leaving the objects to the pipeline: ConfigMap istio-system/istio: no time",
		},
		{
			reason: "The finalizer cannot be taken off.", finalizer: true, leave: true, held: true,
			fail: map[string]error{"patch IstioRevision": conflict}, writes: []string{disowned, patched}, err: conflict.Error(),
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t)
			if c.finalizer {
				if err := EnsureFinalizer(ctx, w.Client, w.owner, true); err != nil {
					t.Fatal(err)
				}
			}
			w.settle(ctx, t, config("istio"))
			w.Fail = c.fail
			err := w.objects.EnsureFinalizer(ctx, w.owner, configs("istio"), c.leave)
			w.Fail = nil
			compare(t, c.reason, c.err, said(err))
			compare(t, c.reason, c.writes, w.Writes())
			live := &corev1.ConfigMap{}
			if err := w.Client.Get(ctx, client.ObjectKey{Namespace: "istio-system", Name: "istio"}, live); err != nil {
				t.Fatal(err)
			}
			compare(t, c.reason, c.owned, metav1.IsControlledBy(live, w.owner))
			compare(t, c.reason, c.held, len(w.stored(t).Finalizers) > 0)
			compare(t, c.reason, c.remembered, w.renders(t, "v1.27.0"))
			if c.owned {
				compare(t, c.reason, c.remembered, w.remembers(ctx, t, config("istio")))
			}
		})
	}
}

// TestWithdraw takes the objects of a resource away that has to yield.
func TestWithdraw(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		have   []client.Object
		fail   map[string]error
		did    did
		left   v1.Inventory
		err    string
	}{
		{
			reason: "They go.", did: did{[]string{removeIstio}, []string{removed}}, left: v1.Inventory{},
		},
		{
			reason: "One cannot be deleted: it is left, and the run is repeated.", fail: map[string]error{"delete": noTime},
			did: did{Writes: []string{removeIstio}}, left: configs("istio"), err: "ConfigMap istio-system/istio: no time",
		},
		{
			reason: "Who relies on them cannot be read: nothing is deleted.",
			fail:   map[string]error{"list IstioRevision": noTime}, left: configs("istio"), err: "no time",
		},
	} {
		w, ctx := newWorld(t, append(c.have, made("istio", revisionIn("", "canary"), v1.KindIstioRevision))...)
		w.Fail = c.fail
		left, err := w.objects.Withdraw(ctx, w.owner, configs("istio"))
		compare(t, c.reason, c.err, said(err))
		//nolint:errorlint // a Problem is never wrapped
		if p, is := err.(*status.Problem); c.err != "" && (!is || !p.Retry || p.Reason != "") {
			t.Errorf("%s got the error %#v", c.reason, err)
		}
		compare(t, c.reason, c.did, w.did())
		compare(t, c.reason, c.left, left)
	}
}

// TestFinalize is the end of a resource.
func TestFinalize(t *testing.T) {
	t.Parallel()
	const incomplete = "Warning DeletionIncomplete left to the garbage collector: "
	heir := func(c context.Context, w *world) error {
		return w.Client.Create(c, revisionIn("istio-system", "heir"))
	}
	for _, c := range []struct {
		reason string
		// finalizers are those of the resource besides the one of these tests, and change what else is set on it.
		finalizers []string
		change     func(o *v1.IstioRevision)
		do         func(context.Context, *world) error
		fail       map[string]error
		// after is how long ago the deletion was asked for.
		after time.Duration
		did   did
		// left are the finalizers that the resource has in the end; log is what is logged besides changes.
		left   []string
		err    string
		log    string
		forgot bool
	}{
		{
			reason: "Its objects are deleted, and it is let go.", finalizers: []string{Finalizer},
			did: did{[]string{removeIstio, patched}, []string{removed}}, forgot: true,
		},
		{
			reason: "The Sail Operator's finalizer goes, too.", finalizers: []string{SailFinalizer, Finalizer},
			did: did{[]string{removeIstio, patched}, []string{removed}}, forgot: true,
		},
		{
			reason: "It was never ours: its objects are left alone.", finalizers: []string{SailFinalizer},
			did: did{Writes: []string{patched}}, forgot: true,
		},
		{
			reason: "Its objects are to stay as orphans.", finalizers: []string{Finalizer, metav1.FinalizerOrphanDependents},
			did: did{Writes: []string{patched}}, left: []string{metav1.FinalizerOrphanDependents}, forgot: true,
		},
		{
			reason: "A pipeline renders them: they are nobody's.", finalizers: []string{Finalizer}, change: ofPipeline,
			did: did{Writes: []string{disowned, patched}}, forgot: true,
		},
		{
			reason: "A pipeline renders them, and they cannot be let go: it waits.", finalizers: []string{Finalizer},
			change: ofPipeline, fail: map[string]error{"patch ConfigMap": noTime}, left: []string{Finalizer},
			did: did{Writes: []string{disowned}},
			err: "leaving the objects to the pipeline: ConfigMap istio-system/istio: no time",
		},
		{
			reason: "An object cannot be deleted: it is tried again.", finalizers: []string{Finalizer},
			after: DeletionPatience - time.Second, fail: map[string]error{"delete": noTime}, left: []string{Finalizer},
			did: did{Writes: []string{removeIstio}},
			err: "deleting objects: ConfigMap istio-system/istio: no time",
		},
		{
			reason: "That goes on: the garbage collector has to do.", finalizers: []string{Finalizer},
			after: DeletionPatience, fail: map[string]error{"delete": noTime},
			did: did{[]string{removeIstio, patched}, []string{incomplete + "ConfigMap istio-system/istio: no time"}},
			log: "leaving objects to the garbage collector", forgot: true,
		},
		{
			reason: "It cannot be said who relies on them: it is tried again.", finalizers: []string{Finalizer},
			fail: map[string]error{"list": noTime}, left: []string{Finalizer}, err: "deleting objects: no time",
		},
		{
			reason: "The resource has changed meanwhile: it is tried again.", finalizers: []string{Finalizer},
			fail: map[string]error{"patch IstioRevision": conflict}, left: []string{Finalizer},
			did: did{[]string{removeIstio, patched}, []string{removed}}, err: conflict.Error(), forgot: true,
		},
		{
			reason: "What others rely on stays.", finalizers: []string{Finalizer}, do: func(c context.Context, w *world) error {
				return errors.Join(w.Client.Create(c, ownedBy("canary")), heir(c, w))
			},
			did: did{
				[]string{"patch ServiceAccount istio-system/istio-reader-service-account", removeIstio, patched},
				[]string{
					"Normal HandedOver ServiceAccount istio-system/istio-reader-service-account stays: other revisions in " +
						"namespace istio-system rely on it",
					removed,
				},
			},
			forgot: true,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			w, ctx := newWorld(t)
			w.owner.Finalizers = append([]string{"example.com/test"}, c.finalizers...)
			if c.change != nil {
				c.change(w.owner)
			}
			if err := w.Client.Update(ctx, w.owner); err != nil {
				t.Fatal(err)
			}
			w.settle(ctx, t, config("istio"))
			if c.do != nil {
				if err := c.do(ctx, w); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Client.Delete(ctx, w.owner); err != nil {
				t.Fatal(err)
			}
			w.owner = w.stored(t)
			w.did()
			w.logged = nil
			w.Fail = c.fail
			err := w.objects.Finalize(ctx, w.owner, configs("istio"), w.owner.DeletionTimestamp.Add(c.after))
			w.Fail = nil
			compare(t, c.reason, c.err, said(err))
			compare(t, c.reason, c.did, w.did())
			compare(t, c.reason, append([]string{"example.com/test"}, c.left...), w.stored(t).Finalizers)
			compare(t, c.reason, !c.forgot, w.renders(t, "v1.27.0"))
			if log := strings.Join(w.logged, "\n"); !strings.Contains(log, c.log) || c.log == "" &&
				strings.Contains(log, "leaving") {
				t.Errorf("%s logged:\n%s", c.reason, log)
			}
		})
	}
}
