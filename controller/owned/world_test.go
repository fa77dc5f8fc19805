package owned

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// world is a cluster with one resource in it, the IstioRevision canary, and the Objects that look after what it has.
type world struct {
	*reconcilertest.World

	objects Objects
	owner   *v1.IstioRevision
	logged  []string
}

func newWorld(t *testing.T, objects ...client.Object) (*world, context.Context) {
	t.Helper()
	owner := revisionIn("istio-system", "canary")
	owner.CreationTimestamp = metav1.NewTime(noon)
	w := &world{World: reconcilertest.New(t, append([]client.Object{owner}, objects...)...)}
	w.objects = Objects{
		Client: w.Client, Applier: w.Applier, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Events: w.Events,
	}
	ctx := log.IntoContext(t.Context(), funcr.New(func(_, args string) { w.logged = append(w.logged, args) },
		funcr.Options{}))
	w.owner = &v1.IstioRevision{}
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(owner), w.owner); err != nil {
		t.Fatal(err)
	}
	return w, ctx
}

// config is a ConfigMap in istio-system as it is rendered.
func config(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap",
		"metadata": map[string]any{
			"namespace": "istio-system", "name": name, "labels": map[string]any{manifest.LabelManagedBy: manifest.ManagedBy},
		},
		"data": map[string]any{"mesh": "{}"},
	}}
}

// configs refers to ConfigMaps.
func configs(names ...string) v1.Inventory {
	var out v1.Inventory
	for _, name := range names {
		out = append(out, v1.ObjectReference{APIVersion: "v1", Kind: "ConfigMap", Namespace: "istio-system", Name: name})
	}
	return out
}

// made is a ConfigMap that the controller has applied for a resource.
func made(name string, owner client.Object, kind string) *corev1.ConfigMap {
	yes := true
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "istio-system", Name: name, Labels: map[string]string{manifest.LabelManagedBy: manifest.ManagedBy},
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: v1.GroupVersion.String(), Kind: kind, Name: owner.GetName(), UID: owner.GetUID(), Controller: &yes,
			}},
		},
		Data: map[string]string{"mesh": "{}"},
	}
}

// rendered are objects as a Renderer gives them.
func rendered(objects ...*unstructured.Unstructured) rendering.Objects {
	return rendering.Objects{List: objects, Digest: strconv.Itoa(len(objects)), Version: "v1.28.3"}
}

// tag is one that was created some minutes before the revision.
func tag(minutes int) *v1.IstioRevisionTag {
	return &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{
		Name: "stable", UID: "tag", CreationTimestamp: metav1.NewTime(noon.Add(-time.Duration(minutes) * time.Minute)),
	}}
}

var (
	conflict = apierrors.NewConflict(schema.GroupResource{Resource: "any"}, "any", fmt.Errorf("another write was first"))
	noTime   = apierrors.NewServiceUnavailable("no time")
	invalid  = apierrors.NewInvalid(schema.GroupKind{Kind: "ConfigMap"}, "istio", nil)
)

// did is what a call has done in the cluster, and said.
type did struct{ Writes, Events []string }

func (w *world) did() did { return did{w.Writes(), reconcilertest.Events(w.Events)} }

// stored is the resource as the cluster has it, or nil.
func (w *world) stored(t *testing.T) *v1.IstioRevision {
	t.Helper()
	out := &v1.IstioRevision{}
	err := w.objects.Client.Get(t.Context(), client.ObjectKeyFromObject(w.owner), out)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// said is what an error says, "" for none.
func said(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func compare(t *testing.T, reason string, want, got any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s -want +got:\n%s", reason, diff)
	}
}

// remembers reports whether it is remembered that an object of the resource needs no look: then there is no request
// for it.
func (w *world) remembers(ctx context.Context, t *testing.T, o *unstructured.Unstructured) bool {
	t.Helper()
	w.Fail = map[string]error{"get ConfigMap": noTime}
	defer func() { w.Fail = nil }()
	inventory := configs(o.GetName())
	_, err := w.objects.Apply(ctx, w.owner.DeepCopy(), &inventory, Desired{Objects: rendered(o)})
	w.did()
	return err == nil
}

// settle applies an object until it needs no look, and has the Renderer remember a rendering.
func (w *world) settle(ctx context.Context, t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	inventory := configs(o.GetName())
	for range 2 {
		if _, err := w.objects.Apply(ctx, w.owner.DeepCopy(), &inventory, Desired{Objects: rendered(o)}); err != nil {
			t.Fatal(err)
		}
	}
	if !w.remembers(ctx, t, o) {
		t.Fatal("what is as it should be is looked at")
	}
	if !w.renders(t, "v1.28.3") || !w.renders(t, "v1.27.0") {
		t.Fatal("a rendering is not remembered")
	}
	w.did()
}

// renders reports whether the Renderer gives the objects of v1.28.3 for a resource that asks for a version, be it
// another, in the same generation.
func (w *world) renders(t *testing.T, asked v1.Version) bool {
	t.Helper()
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "canary", UID: types.UID("canary"), Generation: 1}}
	rev.Spec.Version, rev.Spec.Namespace = asked, "istio-system"
	out, found := w.objects.Renderer.Revision(rev, "")
	if err := found.Err(); err != nil {
		t.Fatal(err)
	}
	return out.Version == "v1.28.3"
}
