package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kinds "k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
	controller "github.com/lateen-io/lateen/controller/apply"
)

// applier applies objects to the server as the controller does, for one resource.
type applier struct {
	t       *testing.T
	client  client.Client
	applier *controller.Applier
	owner   client.Object
}

// unwatched is the watcher of an applier that reads from the server.
type unwatched struct{}

func (unwatched) Watch(context.Context, kinds.GroupVersionKind) error { return nil }
func (unwatched) Await(v1.ObjectReference, string, string)            {}

// controls makes an applier for a new IstioRevision in a namespace of its own, both of one name.
func (s server) controls(t *testing.T, name string) applier {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(&rest.Config{
		Host: s.URL, BearerToken: s.Token, TLSClientConfig: rest.TLSClientConfig{CAData: s.CA}, QPS: -1,
		WarningHandlerWithContext: s.warnings,
	}, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s.namespace(t, name)
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name}}
	rev.Spec.Version, rev.Spec.Namespace = "v1.28.3", name
	rev.Spec.Values = &v1.Values{Raw: fmt.Appendf(nil, `{"revision": %q, "global": {"istioNamespace": %q}}`, name,
		name)}
	if err := c.Create(t.Context(), rev); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Delete(context.WithoutCancel(t.Context()), rev) })
	return applier{t, c, controller.New(c, c, unwatched{}), rev}
}

// bring applies objects.
func (a applier) bring(objects ...*unstructured.Unstructured) (controller.Result, error) {
	set := controller.Set{
		Owner: a.owner, Objects: objects, Digest: "1", Version: "v1.28.3",
		Note: func(v1.Inventory) error { return nil },
	}
	set.Previous = set.Inventory()
	return a.applier.Apply(a.t.Context(), set)
}

// live is what the server has of an object.
func (a applier) live(o *unstructured.Unstructured) *unstructured.Unstructured {
	a.t.Helper()
	out := &unstructured.Unstructured{}
	out.SetGroupVersionKind(o.GroupVersionKind())
	if err := a.client.Get(a.t.Context(), client.ObjectKeyFromObject(o), out); err != nil {
		a.t.Fatal(err)
	}
	return out
}

// essence is an object without what the server counts, and without empty lists: what is left of one whose elements are
// gone.
func essence(o *unstructured.Unstructured) map[string]any {
	o = o.DeepCopy()
	for _, field := range []string{"managedFields", "resourceVersion", "generation"} {
		unstructured.RemoveNestedField(o.Object, "metadata", field)
	}
	unstructured.RemoveNestedField(o.Object, "metadata", "annotations", "deprecated.daemonset.template.generation")
	return withoutEmpty(o.Object)
}

func withoutEmpty(m map[string]any) map[string]any {
	for k, v := range m {
		switch v := v.(type) {
		case map[string]any:
			withoutEmpty(v)
		case []any:
			if len(v) == 0 {
				delete(m, k)
			}
			for _, item := range v {
				if item, ok := item.(map[string]any); ok {
					withoutEmpty(item)
				}
			}
		}
	}
	return m
}

// keyedLists are the lists of an object whose elements have keys, as the server sees it: one path to an element for
// each.
func keyedLists(t *testing.T, o *unstructured.Unstructured) map[string]fieldpath.Path {
	t.Helper()
	out := map[string]fieldpath.Path{}
	for _, e := range o.GetManagedFields() {
		if e.Manager != controller.FieldManager {
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(e.FieldsV1.GetRawReader()); err != nil {
			t.Fatal(err)
		}
		set.Iterate(func(p fieldpath.Path) {
			for i, element := range p {
				if element.Key != nil && *p[0].FieldName != "metadata" {
					name := strings.TrimPrefix(p[:i].String(), ".")
					if _, ok := out[name]; !ok {
						out[name] = p[:i+1].Copy()
					}
				}
			}
		})
	}
	return out
}

// list is the list on a path to one of its elements, and that element.
func list(o any, p fieldpath.Path) (parent map[string]any, field string, element map[string]any) {
	for _, e := range p {
		switch {
		case e.FieldName != nil:
			parent, _ = o.(map[string]any)
			field = *e.FieldName
			o = parent[field]
		case e.Key != nil:
			items, _ := o.([]any)
			for _, item := range items {
				if m, ok := item.(map[string]any); ok && matches(m, *e.Key) {
					o, element = item, m
					break
				}
			}
		}
	}
	return parent, field, element
}

func matches(m map[string]any, key value.FieldList) bool {
	for _, f := range key {
		if fmt.Sprint(m[f.Name]) != fmt.Sprint(f.Value.Unstructured()) {
			return false
		}
	}
	return true
}

// rename gives an element other keys, and the name of a port, which is none of them, that of the key.
func rename(element map[string]any, key value.FieldList) {
	const far = 1000
	for _, f := range key {
		switch v := element[f.Name].(type) {
		case string:
			if f.Name != "protocol" {
				element[f.Name] = v + "-x"
			}
		case int64:
			element[f.Name] = v + far
		}
	}
}

// edit is what somebody does to a list whose elements have keys.
type edit struct {
	name string
	do   func(parent map[string]any, field string, element map[string]any, key value.FieldList)
}

var edits = []edit{
	{"another element", func(parent map[string]any, field string, element map[string]any, key value.FieldList) {
		added := runtime.DeepCopyJSON(element)
		rename(added, key)
		if name, ok := added["name"].(string); ok && name == element["name"] {
			added["name"] = name + "-x"
		}
		items, _ := parent[field].([]any)
		parent[field] = append(items, added)
	}},
	{"another key", func(_ map[string]any, _ string, element map[string]any, key value.FieldList) {
		rename(element, key)
	}},
	{"none left", func(parent map[string]any, field string, _ map[string]any, _ value.FieldList) {
		delete(parent, field)
	}},
}

// rendered are the objects of a control plane, its tag and the CNI plugin, of a version.
func rendered(t *testing.T, name, version string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	seen := map[string]bool{}
	for _, text := range []string{
		resource("Istio", name, "{version: "+version+", namespace: "+name+", values: {revisionTags: ["+name+
			"-tag], pilot: {autoscaleMin: 2}}}"),
		resource("Istio", name, "{version: "+version+", namespace: "+name+
			", profile: remote, values: {global: {remotePilotAddress: 192.0.2.1}}}"),
		"{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: default}, spec: {version: " + version +
			", namespace: " + name + "}}",
	} {
		for _, o := range must(render(text, lateen.Options{}))(t) {
			if id := kindAndName(o); !seen[id] && o.GetKind() != "Istio" && o.GetKind() != "IstioRevision" &&
				o.GetKind() != "IstioCNI" {
				seen[id] = true
				out = append(out, o)
			}
		}
	}
	return out
}

// TestEdits has somebody edit every list whose elements have keys of every object, and expects that an apply puts all
// of it back, in the version that is there and in the next one.
func TestEdits(t *testing.T) {
	s := connect(t)
	const newest = "v1.28.3"
	for name, version := range map[string]string{"edits-old": "v1.24.0", "edits-new": "v1.27.0"} {
		t.Run(version, func(t *testing.T) {
			a := s.controls(t, name)
			next := map[string]*unstructured.Unstructured{}
			for _, o := range rendered(t, name, newest) {
				next[kindAndName(o)] = o
			}
			lists := map[string]int{}
			for _, o := range rendered(t, name, version) {
				if _, err := a.bring(o); err != nil {
					t.Fatalf("%s: %v", kindAndName(o), err)
				}
				clean := a.live(o)
				for list, path := range keyedLists(t, clean) {
					for _, e := range edits {
						if a.edited(e, o, clean, list, path, next[kindAndName(o)]) {
							lists[o.GetKind()+" "+list[strings.LastIndexByte(list, '.')+1:]]++
						}
					}
				}
			}
			t.Logf("edits by kind and list: %v", lists)
			for _, want := range []string{
				"DaemonSet containers", "DaemonSet env", "DaemonSet volumes", "DaemonSet volumeMounts",
				"Deployment containers", "Deployment env",
				"Deployment ports", "Deployment volumes", "Deployment volumeMounts",
				"MutatingWebhookConfiguration webhooks", "Service ports",
				"ValidatingWebhookConfiguration webhooks",
			} {
				if lists[want] == 0 {
					t.Errorf("nobody could edit %s", want)
				}
			}
		})
	}
}

// edited does an edit, and reports whether the server took it. Then the object is put back, and once more as that of
// the next version.
func (a applier) edited(
	e edit, o, clean *unstructured.Unstructured, name string, path fieldpath.Path, next *unstructured.Unstructured,
) bool {
	a.t.Helper()
	what := fmt.Sprintf("%s, %s: %s", kindAndName(o), name, e.name)
	somebody := func() bool {
		changed := a.live(o)
		parent, field, element := list(changed.Object, path)
		if element == nil {
			a.t.Fatalf("%s: there is no %s", what, path)
		}
		e.do(parent, field, element, *path[len(path)-1].Key)
		err := a.client.Update(a.t.Context(), changed, client.FieldOwner("somebody"))
		if err != nil && !apierrors.IsInvalid(err) {
			a.t.Fatalf("%s: %v", what, err)
		}
		return err == nil
	}
	if !somebody() {
		return false
	}
	if _, err := a.bring(o); err != nil {
		a.t.Errorf("%s: %v", what, err)
		return true
	}
	if diff := cmp.Diff(essence(clean), essence(a.live(o))); diff != "" {
		a.t.Errorf("%s: -want +got:\n%s", what, diff)
	}
	if got, err := a.bring(o); err != nil || len(got.Changes) > 0 {
		a.t.Errorf("%s: a second apply changes %v, %v", what, got.Changes, err)
	}
	if next == nil || !somebody() {
		return true
	}
	if _, err := a.bring(next); err != nil {
		a.t.Errorf("%s: the next version: %v", what, err)
	}
	if names := somebodys(a.live(o)); len(names) > 0 {
		a.t.Errorf("%s: the next version leaves %v", what, names)
	}
	if _, err := a.bring(o); err != nil {
		a.t.Errorf("%s: the version before: %v", what, err)
	}
	return true
}

// somebodys are the elements of lists that somebody owns.
func somebodys(o *unstructured.Unstructured) []string {
	found := map[string]bool{}
	for _, e := range o.GetManagedFields() {
		if e.Manager != "somebody" {
			continue
		}
		var set fieldpath.Set
		if set.FromJSON(e.FieldsV1.GetRawReader()) != nil {
			continue
		}
		set.Iterate(func(p fieldpath.Path) {
			if last := p[len(p)-1]; last.Key != nil {
				found[p.String()] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// TestInvalid has somebody make a field that does not go with what is rendered: the apply is refused at first, and then
// puts it back.
func TestInvalid(t *testing.T) {
	s := connect(t)
	a := s.controls(t, "invalid")
	objects := map[string]*unstructured.Unstructured{}
	for _, o := range rendered(t, "invalid", "v1.28.3") {
		if _, err := a.bring(o); err != nil {
			t.Fatalf("%s: %v", kindAndName(o), err)
		}
		objects[o.GetKind()+" "+o.GetName()] = o
	}
	for _, c := range []struct{ reason, object, patch string }{
		{
			"one of the two fields can be there", "PodDisruptionBudget istiod-invalid",
			`{"spec":{"minAvailable":null,"maxUnavailable":1}}`,
		},
		{
			"a rolling update needs the type", "Deployment istiod-invalid",
			`{"spec":{"strategy":{"type":"Recreate","rollingUpdate":null}}}`,
		},
		{
			"a variable has a value or a source", "Deployment istiod-invalid",
			`[{"op":"replace","path":"/spec/template/spec/containers/0/env/0","value":{"name":"REVISION","valueFrom":{` +
				`"fieldRef":{"fieldPath":"metadata.name"}}}}]`,
		},
		{
			"a probe asks in one way", "Deployment istiod-invalid",
			`[{"op":"replace","path":"/spec/template/spec/containers/0/readinessProbe","value":{"tcpSocket":{"port":8080}}}]`,
		},
		{
			"a volume has one source", "Deployment istiod-invalid",
			`[{"op":"replace","path":"/spec/template/spec/volumes/0","value":{"name":"local-certs",` +
				`"hostPath":{"path":"/tmp"}}}]`,
		},
	} {
		o := objects[c.object]
		if o == nil {
			t.Fatalf("there is no %s, but %v", c.object, slices.Sorted(maps.Keys(objects)))
		}
		clean := a.live(o)
		patch := client.RawPatch("application/merge-patch+json", []byte(c.patch))
		if strings.HasPrefix(c.patch, "[") {
			patch = client.RawPatch("application/json-patch+json", []byte(c.patch))
		}
		if err := a.client.Patch(t.Context(), a.live(o), patch, client.FieldOwner("kubectl-patch")); err != nil {
			t.Fatalf("%s: %v", c.reason, err)
		}
		if _, err := a.bring(o); err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
		if diff := cmp.Diff(essence(clean), essence(a.live(o))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		if got, err := a.bring(o); err != nil || len(got.Changes) > 0 {
			t.Errorf("%s: a second apply changes %v, %v", c.reason, got.Changes, err)
		}
	}
}

// TestImmutable has an object of somebody else whose selector is another one: nothing can change that in place.
func TestImmutable(t *testing.T) {
	s := connect(t)
	a := s.controls(t, "immutable")
	for _, o := range rendered(t, "immutable", "v1.28.3") {
		if o.GetKind() != "Deployment" {
			continue
		}
		other := o.DeepCopy()
		labels := map[string]any{"app": "other"}
		_ = unstructured.SetNestedMap(other.Object, labels, "spec", "selector", "matchLabels")
		_ = unstructured.SetNestedMap(other.Object, labels, "spec", "template", "metadata", "labels")
		if err := a.client.Create(t.Context(), other, client.FieldOwner("somebody")); err != nil {
			t.Fatal(err)
		}
		_, err := a.bring(o)
		const want = "it cannot be changed in place. Delete the object, and the controller makes it anew"
		if !apierrors.IsInvalid(err) || !strings.HasSuffix(err.Error(), want) {
			t.Errorf("the error is %v, want one that says: %s", err, want)
		}
	}
}

// TestFailurePolicy has validating webhooks created, changed by istiod, deleted and created again.
func TestFailurePolicy(t *testing.T) { //nolint:cyclop // a story, step by step
	s := connect(t)
	a := s.controls(t, "policy")
	n := 0
	var injector *unstructured.Unstructured
	objects := rendered(t, "policy", "v1.28.3")
	for _, o := range objects {
		if o.GetKind() == "MutatingWebhookConfiguration" && injector == nil {
			injector = o
			must(a.bring(o))(t)
		}
	}
	for _, o := range objects {
		if o.GetKind() != "ValidatingWebhookConfiguration" {
			continue
		}
		n++
		for range 2 {
			if _, err := a.bring(o); err != nil {
				t.Fatal(err)
			}
			created := a.live(o)
			for _, policy := range policies(created) {
				if policy != "Ignore" {
					t.Errorf("%s is created with failurePolicy %s", kindAndName(o), policy)
				}
			}
			if got, err := a.bring(o); err != nil || len(got.Changes) > 0 ||
				a.live(o).GetResourceVersion() != created.GetResourceVersion() {
				t.Errorf("%s: a second apply writes: %v, %v", kindAndName(o), got.Changes, err)
			}
			s.actAsIstiod(t, []*unstructured.Unstructured{injector, o})
			after := a.live(o)
			if got, err := a.bring(o); err != nil || len(got.Changes) > 0 ||
				a.live(o).GetResourceVersion() != after.GetResourceVersion() {
				t.Errorf("%s: an apply after istiod's write changes %v, %v", kindAndName(o), got.Changes, err)
			}
			if got := policies(a.live(o)); !slices.Contains(got, "Fail") {
				t.Errorf("%s: istiod's failurePolicy is gone: %v", kindAndName(o), got)
			}
			if err := a.client.Delete(t.Context(), after); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n == 0 {
		t.Error("there is no validating webhook")
	}
}

// policies are the failurePolicies of a configuration.
func policies(o *unstructured.Unstructured) []string {
	hooks, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
	var out []string
	for _, h := range hooks {
		if hook, ok := h.(map[string]any); ok {
			out = append(out, fmt.Sprint(hook["failurePolicy"]))
		}
	}
	return out
}
