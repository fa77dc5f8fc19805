package apply

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/inmemory"
)

// world is a cluster of a fake client, which knows field managers as the API server does, and counts what the applier
// asks of it.
type world struct {
	t       *testing.T
	client  client.WithWatch
	applier *Applier
	// reads and writes are requests for objects other than Lateen's resources; dry runs are neither.
	reads, writes int
	awaited       []string
	// requests are all of them, in their order, but those for resources that another one is held by; fail makes those
	// fail that begin with a text, such as "apply ConfigMap".
	requests []string
	fail     map[string]error
	// once are requests that fail the first time only, and seen changes what is read of an object.
	once map[string]error
	seen func(o *unstructured.Unstructured)
	// watching is why a kind cannot be watched, and uncached why the cache cannot be read.
	watching, uncached error
	// meanwhile is what others do between the reading of an object and its dry run.
	meanwhile func()
}

func (w *world) Watch(context.Context, schema.GroupVersionKind) error { return w.watching }

// request notes one, and gives the error that it fails with.
func (w *world) request(verb, kind, namespace, name string) error {
	if namespace != "" {
		name = namespace + "/" + name
	}
	line := strings.TrimSpace(verb + " " + kind + " " + name)
	w.requests = append(w.requests, line)
	if err, ok := w.once[line]; ok {
		delete(w.once, line)
		return err
	}
	for prefix, err := range w.fail {
		if strings.HasPrefix(line, prefix) {
			return err
		}
	}
	return nil
}

// cacheReader is the cache of a world.
type cacheReader struct {
	client.Reader
	*world
}

func (c cacheReader) Get(
	ctx context.Context, key client.ObjectKey, o client.Object, opts ...client.GetOption,
) error {
	if c.uncached != nil {
		return c.uncached
	}
	return c.Reader.Get(ctx, key, o, opts...)
}

func (w *world) Await(o v1.ObjectReference, kind, name string) {
	w.awaited = append(w.awaited, fmt.Sprintf("%s %s waits for %s", kind, name, o))
}

func newWorld(t *testing.T, resources ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(resources...).WithReturnManagedFields().Build()
	counting := interceptor.NewClient(w.client, interceptor.Funcs{
		Get: func(
			ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption,
		) error {
			read, ok := o.(*unstructured.Unstructured)
			if ok {
				w.reads++
			}
			if err := w.request("get", o.GetObjectKind().GroupVersionKind().Kind, key.Namespace, key.Name); err != nil {
				return err
			}
			err := c.Get(ctx, key, o, opts...)
			if ok && err == nil && w.seen != nil {
				w.seen(read)
			}
			return err
		},
		Patch: func(
			ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption,
		) error {
			var all client.PatchOptions
			all.ApplyOptions(opts)
			verb := "patch"
			switch {
			case len(all.DryRun) > 0:
				verb = "dry-run"
			case p.Type() == types.ApplyPatchType:
				verb = "apply"
			}
			if err := w.request(verb, o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName()); err != nil {
				return err
			}
			if len(all.DryRun) > 0 {
				if w.meanwhile != nil {
					w.meanwhile()
				}
				return inmemory.DryRun(ctx, w.client, o, p, FieldManager)
			}
			w.writes++
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			w.writes++
			if err := w.request("delete", o.GetObjectKind().GroupVersionKind().Kind, o.GetNamespace(), o.GetName()); err != nil {
				return err
			}
			return c.Delete(ctx, o, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, l client.ObjectList, opts ...client.ListOption) error {
			if err := w.request("list", l.GetObjectKind().GroupVersionKind().Kind, "", ""); err != nil {
				return err
			}
			return c.List(ctx, l, opts...)
		},
		Apply: func(
			ctx context.Context, c client.WithWatch, o runtime.ApplyConfiguration, opts ...client.ApplyOption,
		) error {
			named, ok := o.(interface {
				GetKind() string
				GetNamespace() string
				GetName() string
			})
			if !ok {
				return fmt.Errorf("nobody expected %T to be applied", o)
			}
			w.writes++
			if err := w.request("apply", named.GetKind(), named.GetNamespace(), named.GetName()); err != nil {
				return err
			}
			return c.Apply(ctx, o, opts...)
		},
	})
	w.applier = New(counting, cacheReader{inmemory.Cache{Reader: w.client}, w}, w)
	return w
}

// object is one of YAML.
func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		t.Fatal(err)
	}
	return o
}

// lateens is a resource that was created in a minute of an hour.
func lateens(kind, name string, minute int) client.Object {
	m := metav1.ObjectMeta{
		Name: name, UID: types.UID(kind + "/" + name),
		CreationTimestamp: metav1.NewTime(time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC)),
	}
	switch kind {
	case v1.KindIstioRevision:
		return &v1.IstioRevision{ObjectMeta: m}
	default:
		return &v1.IstioRevisionTag{ObjectMeta: m}
	}
}

// older is the rule of precedence of these tests.
func older(o client.Object) Precedence {
	return func(holder client.Object) (bool, error) {
		a, b := o.GetCreationTimestamp(), holder.GetCreationTimestamp()
		return a.Before(&b), nil
	}
}

// set is what a resource asks for.
func (w *world) set(owner client.Object, objects ...*unstructured.Unstructured) Set {
	return Set{
		Owner: owner, Objects: objects, Digest: "1", Takes: older(owner), Version: "v1.28.3",
		Note: func(v1.Inventory) error { w.writes++; return w.request("note", "", "", "") },
	}
}

// live is what the cluster has of an object.
func (w *world) live(o *unstructured.Unstructured) *unstructured.Unstructured {
	w.t.Helper()
	out := o.DeepCopy()
	if err := w.client.Get(w.t.Context(), client.ObjectKeyFromObject(o), out); err != nil {
		w.t.Fatal(err)
	}
	return out
}

const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: istiod, namespace: istio-system, labels: {app.kubernetes.io/managed-by: lateen}}
spec:
  selector: {matchLabels: {app: istiod}}
  template:
    metadata: {labels: {app: istiod}}
    spec:
      containers:
      - name: discovery
        image: docker.io/istio/pilot:1.28.3
        env: [{name: REVISION, value: default}]
        ports: [{name: http-debug, containerPort: 8080, protocol: TCP}, {name: grpc-xds, containerPort: 15010}]
`

const webhook = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: istio-validator-istio-system, labels: {app.kubernetes.io/managed-by: lateen}}
webhooks:
- name: rev.validation.istio.io
  clientConfig: {service: {name: istiod, namespace: istio-system, path: /validate}}
  sideEffects: None
  admissionReviewVersions: [v1]
`

const configMap = `
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system, labels: {app.kubernetes.io/managed-by: lateen}}
data: {mesh: "{}"}
`

// edit changes an object as kubectl edit does.
func (w *world) edit(o *unstructured.Unstructured, by string, change func(o map[string]any)) {
	w.t.Helper()
	live := w.live(o)
	change(live.Object)
	if err := w.client.Update(w.t.Context(), live, client.FieldOwner(by)); err != nil {
		w.t.Fatal(err)
	}
}

// in gives what a path of fields and positions in lists leads to.
func in(o any, path ...any) map[string]any {
	for _, p := range path {
		switch p := p.(type) {
		case string:
			o = o.(map[string]any)[p]
		case int:
			o = o.([]any)[p]
		}
	}
	return o.(map[string]any)
}

func insert(m map[string]any, list string, items ...any) {
	have, _ := m[list].([]any)
	m[list] = append(have, items...)
}

// TestForeign has others change what the controller has applied: elements of lists go, keys stay and are told once, and
// what is istiod's is left alone.
func TestForeign(t *testing.T) {
	t.Parallel()
	container := []any{"spec", "template", "spec", "containers", 0}
	for _, c := range []struct {
		name, reason, object string
		by                   string
		edit                 func(o map[string]any)
		// removed and kept are what events name; unchanged says that the edit stays.
		removed, kept []string
		unchanged     bool
	}{
		{
			name: "a variable", object: deployment, by: "kubectl-edit",
			reason: "a variable that nobody has rendered changes what istiod does",
			edit: func(o map[string]any) {
				insert(in(o, container...), "env", map[string]any{"name": "DEBUG", "value": "1"})
			},
			removed: []string{`spec.template.spec.containers[name="discovery"].env[name="DEBUG"]`},
		},
		{
			name: "a container", object: deployment, by: "kubectl-edit", reason: "the same of a whole container",
			edit: func(o map[string]any) {
				insert(in(o, "spec", "template", "spec"), "containers",
					map[string]any{"name": "sidecar", "image": "example.com/sidecar"})
			},
			removed: []string{`spec.template.spec.containers[name="sidecar"]`},
		},
		{
			name: "an init container", object: deployment, by: "kubectl-edit",
			reason: "a list that is not rendered is empty",
			edit: func(o map[string]any) {
				insert(in(o, "spec", "template", "spec"), "initContainers",
					map[string]any{"name": "init", "image": "example.com/init"})
			},
			removed: []string{`spec.template.spec.initContainers[name="init"]`},
		},
		{
			name: "the number of a port", object: deployment, by: "kubectl-patch",
			reason: "its key is its number: an apply adds a second of the name",
			edit:   func(o map[string]any) { in(o, append(container, "ports", 1)...)["containerPort"] = int64(15999) },
			removed: []string{
				`spec.template.spec.containers[name="discovery"].ports[containerPort=15999,protocol="TCP"]`,
			},
		},
		{
			name: "the name of a webhook", object: webhook, by: "kubectl-edit",
			reason:  "a second webhook with the old selector",
			edit:    func(o map[string]any) { in(o, "webhooks", 0)["name"] = "other.validation.istio.io" },
			removed: []string{`webhooks[name="other.validation.istio.io"]`},
		},
		{
			name: "what istiod writes", object: webhook, by: "pilot-discovery", unchanged: true,
			reason: "else both write for ever",
			edit: func(o map[string]any) {
				in(o, "webhooks", 0)["failurePolicy"] = "Fail"
				in(o, "webhooks", 0, "clientConfig")["caBundle"] = "Y2E="
			},
		},
		{
			name: "labels and annotations", object: deployment, by: "kubectl-label", unchanged: true,
			reason: "they are for other programs",
			edit: func(o map[string]any) {
				in(o, "metadata", "labels")["example.com/team"] = "mesh"
				in(o, "metadata")["annotations"] = map[string]any{"example.com/note": "ours"}
				in(o, "spec", "template", "metadata")["annotations"] = map[string]any{"example.com/scrape": "yes"}
			},
			kept: []string{
				"annotation example.com/note", "label example.com/team",
				"pod annotation example.com/scrape",
			},
		},
		{
			name: "a restart", object: deployment, by: "kubectl-rollout", unchanged: true,
			reason: "kubectl rollout restart is nobody's mistake",
			edit: func(o map[string]any) {
				in(o, "spec", "template", "metadata")["annotations"] = map[string]any{
					"kubectl.kubernetes.io/restartedAt": "2026-01-01",
				}
			},
		},
		{
			name: "a key", object: configMap, by: "kubectl-edit", unchanged: true,
			reason: "istiod reads the ones that it knows",
			edit:   func(o map[string]any) { in(o, "data")["notes"] = "ours" },
			kept:   []string{"key notes"},
		},
		{
			name: "a value", object: configMap, by: "kubectl-edit", reason: "what is rendered is put back",
			edit: func(o map[string]any) { in(o, "data")["mesh"] = "broken" },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			owner := lateens(v1.KindIstioRevision, "default", 0)
			w := newWorld(t, owner)
			desired := object(t, c.object)
			s := w.set(owner, desired)
			s.Previous = w.bring(s).Inventory
			before := w.live(desired)
			w.edit(desired, c.by, c.edit)
			edited := w.live(desired)
			got := w.bring(s)
			var removed, kept []string
			for _, change := range got.Changes {
				removed = append(removed, change.Removed...)
			}
			for _, k := range got.Kept {
				kept = append(kept, k.Keys...)
			}
			if diff := cmp.Diff([][]string{c.removed, c.kept}, [][]string{removed, kept}); diff != "" {
				t.Errorf("%s: removed and kept, -want +got:\n%s", c.reason, diff)
			}
			want := before
			if c.unchanged {
				want = edited
			}
			if diff := cmp.Diff(content(want), content(w.live(desired))); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			w.bring(s) // finds the state in which all is well
			reads, writes := w.reads, w.writes
			if got := w.bring(s); len(got.Kept) > 0 || w.reads > reads || w.writes > writes {
				t.Errorf("another run asks %d times, writes %d times and tells %v", w.reads-reads, w.writes-writes,
					got.Kept)
			}
		})
	}
}

// content is an object without what changes with every write.
func content(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	return prune(o.Object)
}

// prune drops empty lists: what is left of one whose elements are gone.
func prune(m map[string]any) map[string]any {
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			prune(v)
		case []any:
			if len(v) == 0 {
				delete(m, k)
			}
			for _, item := range v {
				if item, ok := item.(map[string]any); ok {
					prune(item)
				}
			}
		}
	}
	return m
}

func (w *world) bring(s Set) Result {
	w.t.Helper()
	got, err := w.applier.Apply(w.t.Context(), s)
	if err != nil {
		w.t.Fatal(err)
	}
	return got
}

// TestFailurePolicy has validating webhooks come and go: the controller creates them open, and then their failurePolicy
// is istiod's.
func TestFailurePolicy(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 0)
	w := newWorld(t, owner)
	desired := object(t, webhook)
	s := w.set(owner, desired)
	policy := func() any { return in(w.live(desired).Object, "webhooks", 0)["failurePolicy"] }
	for _, step := range []struct {
		reason string
		do     func()
		want   any
		// writes are the controller's.
		writes int
	}{
		{"a new one is open: creation, and letting go of the field; and the inventory", func() {}, "Ignore", 3},
		{"nothing to do", func() {}, "Ignore", 0},
		{"istiod closes it", func() {
			w.edit(desired, "pilot-discovery", func(o map[string]any) {
				in(o, "webhooks", 0)["failurePolicy"] = "Fail"
			})
		}, "Fail", 0},
		{"istiod opens it", func() {
			w.edit(desired, "pilot-discovery", func(o map[string]any) {
				in(o, "webhooks", 0)["failurePolicy"] = "Ignore"
			})
		}, "Ignore", 0},
		{"a change of something else leaves it", func() {
			w.edit(desired, "kubectl-edit", func(o map[string]any) {
				in(o, "webhooks", 0)["failurePolicy"] = "Fail"
				in(o, "webhooks", 0)["sideEffects"] = "NoneOnDryRun"
			})
		}, "Fail", 1},
		{"it is deleted, and comes back open", func() {
			if err := w.client.Delete(t.Context(), w.live(desired)); err != nil {
				t.Fatal(err)
			}
		}, "Ignore", 2},
		{"a controller that was killed before it let go does so", func() {
			o := failOpened(t, desired)
			o.SetOwnerReferences(w.live(desired).GetOwnerReferences())
			if err := w.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o),
				client.FieldOwner(FieldManager), client.ForceOwnership); err != nil {
				t.Fatal(err)
			}
		}, "Ignore", 1},
		{"a version brings a second one", func() {
			second := object(t, strings.ReplaceAll(webhook, "rev.", "second."))
			insert(desired.Object, "webhooks", in(second.Object, "webhooks", 0))
			s.Digest = "2"
		}, "Ignore", 2},
	} {
		step.do()
		before := w.writes
		s.Previous = w.bring(s).Inventory
		if got := w.writes - before; got != step.writes {
			t.Errorf("%s: %d writes, want %d", step.reason, got, step.writes)
		}
		if got := policy(); got != step.want {
			t.Errorf("%s: the failurePolicy is %v, want %v", step.reason, got, step.want)
		}
	}
	for _, e := range w.live(desired).GetManagedFields() {
		if e.Manager == FieldManager && strings.Contains(e.FieldsV1.GetRawString(), "failurePolicy") {
			t.Errorf("the controller owns a failurePolicy: %s", e.FieldsV1.GetRawString())
		}
	}
}

// meanwhile is what others do while the controller looks at a validating webhook.
type meanwhile struct {
	name, reason string
	// before is done before the controller reads it, and after between that and its dry run, the first time or always.
	before, after func(w *world, desired *unstructured.Unstructured)
	always        bool
	writes        int
	policy        any
}

func certified(w *world, desired *unstructured.Unstructured) {
	w.edit(desired, "pilot-discovery", func(o map[string]any) {
		in(o, "webhooks", 0)["failurePolicy"] = "Fail"
		in(o, "webhooks", 0, "clientConfig")["caBundle"] = "Y2VydGlmaWNhdGU="
	})
}

func drifted(w *world, desired *unstructured.Unstructured) {
	w.edit(desired, "kubectl-edit", func(o map[string]any) { in(o, "webhooks", 0)["sideEffects"] = "NoneOnDryRun" })
}

var meanwhiles = []meanwhile{
	{name: "istiod", reason: "its certificate is no difference", after: certified, policy: "Fail"},
	{name: "drift", reason: "it is put right, be it the next time", after: drifted, writes: 1, policy: "Ignore"},
	{
		name: "drift before, istiod after", reason: "the one is put right, the other stays",
		before: drifted, after: certified, writes: 1, policy: "Fail",
	},
	{
		name: "it goes", reason: "it comes back as a new one does, open", before: certified, writes: 2, policy: "Ignore",
		after: func(w *world, desired *unstructured.Unstructured) {
			if err := w.client.Delete(w.t.Context(), w.live(desired)); err != nil {
				w.t.Error(err)
			}
		},
	},
	{
		name: "no rest", reason: "drift of what never stands still is put right", before: drifted, always: true,
		writes: 1, policy: "Ignore",
		after: func(w *world, desired *unstructured.Unstructured) {
			w.edit(desired, "somebody", func(o map[string]any) {
				in(o, "metadata", "labels")["example.com/version"] = in(o, "metadata")["resourceVersion"]
			})
		},
	},
}

// TestMeanwhile has others write between the moment in which the controller reads an object and that of its dry run:
// what they have done is not taken for a difference, nor is it lost.
func TestMeanwhile(t *testing.T) {
	t.Parallel()
	for _, c := range meanwhiles {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			owner := lateens(v1.KindIstioRevision, "default", 0)
			w := newWorld(t, owner)
			desired := object(t, webhook)
			s := w.set(owner, desired)
			s.Previous = w.bring(s).Inventory
			s.Digest = "2" // as after a restart, or with other values: everything is looked at
			if c.before != nil {
				c.before(w, desired)
			}
			before := w.writes
			w.meanwhile = func() {
				if !c.always {
					w.meanwhile = nil
				}
				c.after(w, desired)
			}
			changes := w.bring(s).Changes
			w.meanwhile = nil
			changes = append(changes, w.bring(s).Changes...) // what others have written brings the controller here again
			if got := w.writes - before; got != c.writes || len(changes) != min(c.writes, 1) {
				t.Errorf("%s: %d writes, want %d; changes: %v", c.reason, got, c.writes, changes)
			}
			hook := in(w.live(desired).Object, "webhooks", 0)
			if hook["failurePolicy"] != c.policy || hook["sideEffects"] != "None" {
				t.Errorf("%s: failurePolicy %v, sideEffects %v", c.reason, hook["failurePolicy"], hook["sideEffects"])
			}
		})
	}
}

// TestMeanwhileTaken has an older resource create an object that was not there when the controller looked: it is the
// older one's.
func TestMeanwhileTaken(t *testing.T) {
	t.Parallel()
	first, second := lateens(v1.KindIstioRevision, "mesh", 1), lateens(v1.KindIstioRevisionTag, "stable", 2)
	w := newWorld(t, first, second)
	desired := object(t, webhook)
	w.meanwhile = func() {
		w.meanwhile = nil
		w.bring(w.set(first, desired))
	}
	_, err := w.applier.Apply(t.Context(), w.set(second, desired))
	if held := (*HeldError)(nil); !errors.As(err, &held) || !metav1.IsControlledBy(w.live(desired), first) {
		t.Errorf("the owners are %v, and the younger says: %v", w.live(desired).GetOwnerReferences(), err)
	}
}

func failOpened(t *testing.T, desired *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	o, open := failOpen(desired, nil)
	if !open {
		t.Fatal("a new webhook is not opened")
	}
	return o
}

// TestHeld has two resources ask for one object. The older has it, the other says so, and nobody writes any more.
func TestHeld(t *testing.T) {
	t.Parallel()
	first, second := lateens(v1.KindIstioRevision, "mesh", 1), lateens(v1.KindIstioRevisionTag, "stable", 2)
	for _, c := range []struct {
		name   string
		order  [2]client.Object
		writes int
	}{
		{"the older comes first", [2]client.Object{first, second}, 2},
		{"the younger comes first", [2]client.Object{second, first}, 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, first, second)
			desired := object(t, strings.ReplaceAll(webhook, "name: istio-validator-istio-system",
				"name: istio-revision-tag-stable"))
			sets := map[client.Object]*Set{}
			for _, o := range c.order {
				s := w.set(o, desired)
				sets[o] = &s
			}
			for range 5 {
				for _, o := range c.order {
					got, err := w.applier.Apply(t.Context(), *sets[o])
					if held := (*HeldError)(nil); err != nil && !errors.As(err, &held) {
						t.Fatal(err)
					}
					sets[o].Previous = got.Inventory
				}
			}
			owner := metav1.GetControllerOf(w.live(desired))
			if owner == nil || owner.UID != first.GetUID() || len(w.live(desired).GetOwnerReferences()) != 1 {
				t.Errorf("the owners are %v, want %s", w.live(desired).GetOwnerReferences(), first.GetUID())
			}
			before := w.writes
			_, err := w.applier.Apply(t.Context(), *sets[second])
			const want = "ValidatingWebhookConfiguration istio-revision-tag-stable belongs to IstioRevision mesh, " +
				"which has precedence; rename one of the two, or delete one"
			if err == nil || err.Error() != want {
				t.Errorf("the error is %v, want %s", err, want)
			}
			if len(sets[second].Previous) != 0 || w.writes != before {
				t.Errorf("the younger lists %v and wrote %d times", sets[second].Previous, w.writes-before)
			}
			if w.awaited[len(w.awaited)-1] != "IstioRevisionTag stable waits for ValidatingWebhookConfiguration "+
				"istio-revision-tag-stable" {
				t.Errorf("awaited: %v", w.awaited)
			}
			// Once the older is gone, and what it had with it, the younger has it.
			if err := w.client.Delete(t.Context(), first.DeepCopyObject().(client.Object)); err != nil {
				t.Fatal(err)
			}
			if got := w.bring(*sets[second]); len(got.Inventory) != 1 ||
				!metav1.IsControlledBy(w.live(desired), second) {
				t.Errorf("the younger does not take it: %v", got)
			}
		})
	}
}

// TestTakeover has objects that others have installed.
func TestTakeover(t *testing.T) {
	t.Parallel()
	helm := map[string]string{"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"}
	for _, c := range []struct {
		name, reason, image string
		labels, annotations map[string]string
		by                  string
		allowed             bool
		want                string
		taken               []string
	}{
		{
			name: "same version", reason: "the mesh goes on as it is", by: "helm",
			image: "docker.io/istio/pilot:1.28.3-distroless", annotations: helm,
			taken: []string{"Deployment istio-system/istiod (Helm release istio-system/istiod, Istio v1.28.3)"},
		},
		{
			name: "another version", reason: "nobody asked for an upgrade", by: "helm",
			image: "docker.io/istio/pilot:1.29.0", annotations: helm,
			want: `Deployment istio-system/istiod, installed by Helm release istio-system/istiod, is of Istio ` +
				`v1.29.0, and v1.28.3 is asked for: ask for v1.29.0 and upgrade afterwards, or set the annotation ` +
				`lateen.io/take-over: "true" to take it over and change its version`,
		},
		{
			name: "another version, allowed", reason: "somebody did", by: "helm", image: "docker.io/istio/pilot:1.29.0",
			annotations: helm, allowed: true,
			taken: []string{"Deployment istio-system/istiod (Helm release istio-system/istiod, Istio v1.29.0)"},
		},
		{
			name: "a version in a label", reason: "the image is somebody's own", by: "istio-operator",
			image:  "example.com/pilot:ours",
			labels: map[string]string{"app.kubernetes.io/version": "1.27.0"},
			want: `Deployment istio-system/istiod, installed by istioctl, is of Istio v1.27.0, and v1.28.3 ` +
				`is asked for: ask for v1.27.0 and upgrade afterwards, or set the annotation lateen.io/take-over: ` +
				`"true" to take it over and change its version`,
		},
		{
			name: "the label of a chart", reason: "the same", by: "helm", image: "example.com/pilot:ours",
			labels: map[string]string{"helm.sh/chart": "istiod-1.28.3"},
			taken:  []string{"Deployment istio-system/istiod (helm, Istio v1.28.3)"},
		},
		{
			name: "no version", reason: "it runs, and it may be of any", by: "kubectl-create",
			image: "example.com/pilot:latest",
			want: `Deployment istio-system/istiod, installed by kubectl-create, is of a version of Istio that cannot ` +
				`be told, and v1.28.3 is asked for: ask for the version that it runs, or set the annotation ` +
				`lateen.io/take-over: "true" to take it over and change its version`,
		},
		{
			name: "the Sail Operator's", reason: "its resources are Lateen's now", by: "sail-operator",
			image:  "docker.io/istio/pilot:1.27.0",
			labels: map[string]string{"app.kubernetes.io/managed-by": "sail-operator"},
		},
		{
			name: "a former Lateen's", reason: "it is an upgrade", by: "kubectl-create",
			image:  "docker.io/istio/pilot:1.27.0",
			labels: map[string]string{"app.kubernetes.io/managed-by": "lateen"},
		},
		{
			name: "of a pipeline", reason: "the same", by: "argocd-controller", image: "docker.io/istio/pilot:1.27.0",
			annotations: map[string]string{"lateen.io/owner": "Istio/default"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			owner := lateens(v1.KindIstioRevision, "default", 0)
			w := newWorld(t, owner)
			live := object(t, strings.ReplaceAll(deployment, "docker.io/istio/pilot:1.28.3", c.image))
			live.SetLabels(c.labels)
			live.SetAnnotations(c.annotations)
			if err := w.client.Create(t.Context(), live, client.FieldOwner(c.by)); err != nil {
				t.Fatal(err)
			}
			s := w.set(owner, object(t, configMap), object(t, deployment))
			s.TakeOver = c.allowed
			got, err := w.applier.Apply(t.Context(), s)
			if c.want != "" {
				if err == nil || err.Error() != c.want {
					t.Errorf("%s: the error is %v, want %s", c.reason, err, c.want)
				}
				if w.writes > 0 {
					t.Errorf("%s: there were %d writes", c.reason, w.writes)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var taken []string
			for _, f := range got.TakenOver {
				taken = append(taken, f.String())
			}
			if diff := cmp.Diff(c.taken, taken); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			s.Previous = got.Inventory
			if again := w.bring(s); len(again.TakenOver) > 0 {
				t.Errorf("it is told again: %v", again.TakenOver)
			}
			if !metav1.IsControlledBy(w.live(live), owner) {
				t.Error("it has no owner")
			}
		})
	}
}

// TestLeft has a set without what another resource is about to take: it stays until it does, and is then no more of the
// set.
func TestLeft(t *testing.T) {
	t.Parallel()
	owner, other := lateens(v1.KindIstioRevision, "old", 1), lateens(v1.KindIstioRevision, "new", 2)
	w := newWorld(t, owner, other)
	keep, tag := object(t, configMap), object(t, webhook)
	s := w.set(owner, keep, tag)
	s.Previous = w.bring(s).Inventory
	s.Objects, s.Left = s.Objects[:1], v1.Inventory{referenceTo(tag)}
	before := w.writes
	s.Previous = w.bring(s).Inventory
	if len(s.Previous) != 2 || w.writes != before {
		t.Fatalf("the old one has %v and wrote %d times", s.Previous, w.writes-before)
	}
	next := w.set(other, tag)
	next.Takes = func(client.Object) (bool, error) { return true, nil }
	uid := w.live(tag).GetUID()
	w.bring(next)
	got := w.bring(s)
	if diff := cmp.Diff(v1.Inventory{referenceTo(keep)}, got.Inventory); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if live := w.live(tag); live.GetUID() != uid || !metav1.IsControlledBy(live, other) {
		t.Errorf("it is of %v", live.GetOwnerReferences())
	}
	for _, c := range got.Changes {
		if c.Action == ssa.DeletedAction {
			t.Errorf("%s", c)
		}
	}
}
