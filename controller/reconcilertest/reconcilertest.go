// Package reconcilertest runs a reconciler on a cluster that exists in memory only: what it writes is recorded, write
// by write, and any request can be made to fail. A test has the whole list, so that a write too many fails it as one
// too few does.
//
// The cluster knows field managers and dry runs. It has no controllers: nothing becomes ready and nothing is collected
// unless the test does it.
package reconcilertest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/inmemory"
)

// Now is the time of the tests.
var Now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// World is the cluster.
type World struct {
	// Client reads and writes, as a reconciler's does; Applier applies.
	Client  client.WithWatch
	Applier *apply.Applier
	// Events has what was told.
	Events *events.FakeRecorder
	// Fail makes requests fail that begin with a text, such as "apply DaemonSet", "get Istio mesh" or "list
	// IstioRevisionList".
	Fail map[string]error

	t            *testing.T
	store        client.WithWatch
	writes, logs []string
}

// New makes a cluster with objects in it.
func New(t *testing.T, objects ...client.Object) *World {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &World{t: t, Events: events.NewFakeRecorder(100), Fail: map[string]error{}}
	for _, o := range objects {
		if o.GetUID() == "" {
			o.SetUID(types.UID(o.GetName()))
		}
		if o.GetGeneration() == 0 {
			o.SetGeneration(1)
		}
	}
	w.store = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithReturnManagedFields().
		WithStatusSubresource(&v1.Istio{}, &v1.IstioRevision{}, &v1.IstioRevisionTag{}, &v1.IstioCNI{}).Build()
	w.Client = interceptor.NewClient(w.store, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
		) error {
			if err := w.failure(request("get", w.kind(o), key.Namespace, key.Name)); err != nil {
				return err
			}
			return c.Get(ctx, key, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := w.failure(request("list", w.kind(l), "", "")); err != nil {
				return err
			}
			return c.List(ctx, l, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			return w.write("create", o, func() error { return c.Create(ctx, o, opts...) })
		},
		Update: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.UpdateOption) error {
			return w.write("update", o, func() error {
				w.countSpec(ctx, o)
				return c.Update(ctx, o, opts...)
			})
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			return w.write("delete", o, func() error { return c.Delete(ctx, o, opts...) })
		},
		Patch: w.patch,
		Apply: func(ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption) error {
			named, ok := o.(interface {
				GetKind() string
				GetNamespace() string
				GetName() string
			})
			if !ok {
				return fmt.Errorf("nobody expected %T to be applied", o)
			}
			return w.record("apply", named.GetKind(), named.GetNamespace(), named.GetName(),
				func() error { return c.Apply(ctx, o, opts...) })
		},
		DeleteAllOf: func(_ context.Context, _ client.WithWatch, o client.Object, _ ...client.DeleteAllOfOption) error {
			return fmt.Errorf("nobody expected all of %T to be deleted", o)
		},
		SubResourceUpdate: func(
			_ context.Context, _ client.Client, _ string, o client.Object, _ ...client.SubResourceUpdateOption,
		) error {
			return fmt.Errorf("nobody expected an update of the status of %T", o)
		},
		SubResourcePatch: func(
			ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch,
			opts ...client.SubResourcePatchOption,
		) error {
			return w.write(sub, o, func() error { return c.SubResource(sub).Patch(ctx, o, p, opts...) })
		},
	})
	w.Applier = apply.New(w.Client, inmemory.Cache{Reader: w.store}, w)
	return w
}

// Watch makes a World an apply.Watcher; nothing has to be watched.
func (w *World) Watch(context.Context, schema.GroupVersionKind) error { return nil }

// Await does nothing; see Watch.
func (w *World) Await(v1.ObjectReference, string, string) {}

// write records a write and does it, unless it is to fail.
func (w *World) write(verb string, o client.Object, do func() error) error {
	return w.record(verb, w.kind(o), o.GetNamespace(), o.GetName(), do)
}

// kind is the kind of an object or of a list.
func (w *World) kind(o runtime.Object) string {
	kind := o.GetObjectKind().GroupVersionKind().Kind
	if gvk, err := apiutil.GVKForObject(o, w.store.Scheme()); kind == "" && err == nil {
		kind = gvk.Kind
	}
	return kind
}

func (w *World) record(verb, kind, namespace, name string, do func() error) error {
	line := request(verb, kind, namespace, name)
	w.writes = append(w.writes, line)
	if err := w.failure(line); err != nil {
		return err
	}
	return do()
}

// request is one of them in a line: "get ConfigMap istio-system/istio".
func request(verb, kind, namespace, name string) string {
	if namespace != "" {
		name = namespace + "/" + name
	}
	return verb + " " + kind + " " + name
}

// failure is how a request fails, or nil.
func (w *World) failure(line string) error {
	for prefix, err := range w.Fail {
		if strings.HasPrefix(line, prefix) {
			return err
		}
	}
	return nil
}

// countSpec gives a revision another generation if its spec is another one, as the API server does.
func (w *World) countSpec(ctx context.Context, o client.Object) {
	rev, ok := o.(*v1.IstioRevision)
	live := &v1.IstioRevision{}
	if ok && w.store.Get(ctx, client.ObjectKeyFromObject(o), live) == nil &&
		!equality.Semantic.DeepEqual(live.Spec, rev.Spec) {
		rev.Generation = live.Generation + 1
	}
}

func (w *World) patch(
	ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption,
) error {
	var all client.PatchOptions
	all.ApplyOptions(opts)
	switch {
	case len(all.DryRun) > 0:
		return inmemory.DryRun(ctx, w.store, o, p, apply.FieldManager)
	case p.Type() == types.ApplyPatchType:
		return w.write("apply", o, func() error { return c.Patch(ctx, o, p, opts...) })
	}
	return w.write("patch", o, func() error { return c.Patch(ctx, o, p, opts...) })
}

// Logs are the lines of the log of the runs since the last call.
func (w *World) Logs() []string {
	out := w.logs
	w.logs = nil
	return out
}

// Writes are the writes since the last call.
func (w *World) Writes() []string {
	out := w.writes
	w.writes = nil
	return out
}

// applied is an event about objects that were changed. Which they are the writes say.
var applied = regexp.MustCompile(`(Applied \d+ objects changed): .*`)

// notified are the events since the last call.
func (w *World) notified() []string {
	out := Events(w.Events)
	for i, e := range out {
		out[i] = applied.ReplaceAllString(e, "$1")
	}
	return out
}

// Events are those of a recorder since the last call.
func Events(recorder *events.FakeRecorder) []string {
	var out []string
	for len(recorder.Events) > 0 {
		out = append(out, <-recorder.Events)
	}
	return out
}

// lines are the conditions of a status in one line each: "Ready=False IstiodNotReady: not all istiod pods are ready".
func lines(all v1.Conditions) []string {
	var out []string
	for _, c := range all {
		line := fmt.Sprintf("%s=%s", c.Type, c.Status)
		if c.Status != metav1.ConditionTrue || string(c.Reason) != string(c.Type) {
			line += " " + string(c.Reason)
		}
		if c.Message != "" {
			line += ": " + c.Message
		}
		out = append(out, line)
	}
	return out
}

// Step is one run of a reconciler, after something has happened.
type Step struct {
	Reason string
	// Do is what somebody else does before the run; nil for nothing.
	Do func(ctx context.Context, c client.Client) error
	// Fail are the writes that fail in the run, by how they begin.
	Fail map[string]error
	// Writes are all that the run writes, Events all that it tells, and Conditions those of the resource afterwards; nil
	// if the resource is gone.
	Writes, Events, Conditions []string
	// Again is when the run is to be repeated, and Err how the error begins that makes it be repeated before; "" for none.
	Again time.Duration
	Err   string
}

// Run runs a reconciler for the resource o, step by step.
func (w *World) Run(r reconcile.Reconciler, o client.Object, steps []Step) {
	w.t.Helper()
	for _, s := range steps {
		if s.Do != nil {
			if err := s.Do(w.t.Context(), w.store); err != nil {
				w.t.Fatalf("%s: %v", s.Reason, err)
			}
		}
		w.Fail = s.Fail
		ctx := log.IntoContext(w.t.Context(),
			funcr.New(func(_, line string) { w.logs = append(w.logs, line) }, funcr.Options{}))
		result, err := r.Reconcile(ctx, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(o)})
		got := Step{Reason: s.Reason, Writes: w.Writes(), Events: w.notified(), Again: result.RequeueAfter}
		if err != nil {
			got.Err = err.Error()
		}
		if s.Err != "" && strings.HasPrefix(got.Err, s.Err) {
			got.Err = s.Err
		}
		if err := w.store.Get(w.t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) != nil {
			w.t.Fatal(err)
		} else if err == nil {
			got.Conditions = lines(conditions(o))
		}
		if diff := cmp.Diff(s, got, cmpopts.IgnoreFields(Step{}, "Do", "Fail")); diff != "" {
			w.t.Errorf("%s: -want +got:\n%s", s.Reason, diff)
		}
	}
}

func conditions(o client.Object) v1.Conditions {
	switch o := o.(type) {
	case *v1.Istio:
		return o.Status.Conditions
	case *v1.IstioRevision:
		return o.Status.Conditions
	case *v1.IstioRevisionTag:
		return o.Status.Conditions
	case *v1.IstioCNI:
		return o.Status.Conditions
	}
	return nil
}

// Edit changes the spec of a resource as a user does.
func Edit[T client.Object](o T, f func(o T)) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		if err := c.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		f(o)
		o.SetGeneration(o.GetGeneration() + 1)
		return c.Update(ctx, o)
	}
}

// Create has somebody create an object.
func Create(o client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error { return c.Create(ctx, o) }
}

// Delete has somebody delete one.
func Delete(o client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error { return c.Delete(ctx, o) }
}

// Namespace is one.
func Namespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// Every is the same write to each of some objects.
func Every(verb string, objects ...string) []string {
	var out []string
	for _, o := range objects {
		out = append(out, verb+" "+o)
	}
	return out
}

// Changed is the event about so many objects that were changed, and IsTrue the one about a condition that has become
// so.
func Changed(objects int) string { return fmt.Sprintf("Normal Applied %d objects changed", objects) }

// IsTrue see Changed.
func IsTrue(condition string) string { return "Normal " + condition + " " + condition + " is True" }

// UseUnknown is what is said of use before anything has been watched.
const UseUnknown = "InUse=Unknown UsageCheckFailed: Not known whether a pod or namespace references it: namespaces, " +
	"pods and what makes pods have not all been seen yet"
