package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// path is one of names of fields, keys, values and indexes.
func path(parts ...any) fieldpath.Path { return fieldpath.MakePathOrDie(parts...) }

func key(fields ...any) *value.FieldList { return fieldpath.KeyByFields(fields...) }

// TestStrayFields is which of the fields that an object should not have are given up for what it should have.
func TestStrayFields(t *testing.T) {
	t.Parallel()
	hook, container := key("name", "rev.validation.istio.io"), key("name", "discovery")
	for _, c := range []struct {
		reason, object string
		path           fieldpath.Path
		want           bool
	}{
		{"A field of the spec.", deployment, path("spec", "strategy", "rollingUpdate"), true},
		{"One of the pods.", deployment, path("spec", "template", "spec", "hostNetwork"), true},
		{
			"One of an element.", deployment,
			path("spec", "template", "spec", "containers", container, "tty"), true,
		},
		{
			"One that is rendered.", deployment,
			path("spec", "template", "spec", "containers", container, "image"), false,
		},
		{"One of a webhook.", webhook, path("webhooks", hook, "timeoutSeconds"), true},
		{"One of a webhook that is rendered.", webhook, path("webhooks", hook, "sideEffects"), false},
		{"The certificate that istiod writes.", webhook, path("webhooks", hook, "clientConfig", "caBundle"), false},
		{"The policy that istiod writes.", webhook, path("webhooks", hook, "failurePolicy"), false},
		{"A label.", deployment, path("metadata", "labels", "a"), false},
		{"A label of pods.", deployment, path("spec", "template", "metadata", "labels", "a"), false},
		{"A key.", configMap, path("data", "a"), false},
		{"What an autoscaler writes.", deployment, path("spec", "replicas"), false},
		{"An address.", deployment, path("spec", "clusterIP"), false},
		{"Several.", deployment, path("spec", "clusterIPs", value.NewValueInterface("10.0.0.1")), false},
		{"Their families.", deployment, path("spec", "ipFamilies"), false},
		{"And what becomes of those.", deployment, path("spec", "ipFamilyPolicy"), false},
		{"A port of nodes.", deployment, path("spec", "ports", key("port", 80), "nodePort"), false},
		{"The one for health.", deployment, path("spec", "healthCheckNodePort"), false},
		{"No field at all.", deployment, path(0), false},
	} {
		if got := strayFields(object(t, c.object))(c.path); got != c.want {
			t.Errorf("%s %s is stray: %t", c.reason, c.path, got)
		}
	}
}

// TestHas is what a path leads to.
func TestHas(t *testing.T) {
	t.Parallel()
	o := map[string]any{
		"names": []any{"a", "b"},
		"ports": []any{
			map[string]any{"port": int64(80), "name": "http"}, map[string]any{"port": int64(81), "protocol": "UDP"},
		},
	}
	is := value.NewValueInterface
	for _, c := range []struct {
		reason string
		path   fieldpath.Path
		want   bool
	}{
		{"The object itself.", path(), true},
		{"A field.", path("names"), true},
		{"A field that is not there.", path("others"), false},
		{"A field of a list.", path("names", "a"), false},
		{"A value.", path("names", is("b")), true},
		{"A value that is not there.", path("names", is("c")), false},
		{"A value of what is no list.", path(is("a")), false},
		{"A field of a value.", path("names", is("a"), "a"), false},
		{"An element of a value.", path("names", is("a"), 0), false},
		{"The last element.", path("names", 1), true},
		{"The one after it.", path("names", 2), false},
		{"An element of what is no list.", path(0), false},
		{"A field of the second element.", path("ports", 1, "protocol"), true},
		{"The same of the first.", path("ports", 0, "protocol"), false},
		{"A key.", path("ports", key("port", 81, "protocol", "UDP")), true},
		{"The default protocol.", path("ports", key("port", 80, "protocol", "TCP")), true},
		{"It is no default of one that is given.", path("ports", key("port", 81, "protocol", "TCP")), false},
		{"Nor is there another.", path("ports", key("port", 80, "protocol", "UDP")), false},
		{"Another field has no default.", path("ports", key("port", 80, "appProtocol", "TCP")), false},
		{"Another number.", path("ports", key("port", 82)), false},
		{"A field of the element with a key.", path("ports", key("port", 80), "name"), true},
		{"The same of another.", path("ports", key("port", 81), "name"), false},
		{"A key of a list of values.", path("names", key("port", 80)), false},
		{"A key of what is no list.", path(key("port", 80)), false},
		{"Nothing that is known.", fieldpath.Path{{}}, false},
	} {
		if got := has(o, c.path); got != c.want {
			t.Errorf("%s It has %s: %t", c.reason, c.path, got)
		}
	}
}

// owns is an entry of metadata.managedFields.
func owns(manager, operation, version, fields string) metav1.ManagedFieldsEntry {
	return metav1.ManagedFieldsEntry{
		Manager: manager, Operation: metav1.ManagedFieldsOperationType(operation), APIVersion: version,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(fields),
	}
}

// TestTake has fields of others become the controller's.
func TestTake(t *testing.T) {
	t.Parallel()
	const (
		both, extra, mesh = `{"f:data":{"f:extra":{},"f:mesh":{}}}`, `{"f:data":{"f:extra":{}}}`, `{"f:data":{"f:mesh":{}}}`
	)
	status := owns("somebody", "Update", "v1", extra)
	status.Subresource = "status"
	none := metav1.ManagedFieldsEntry{Manager: "nothing", Operation: "Update", APIVersion: "v1"}
	for _, c := range []struct {
		reason     string
		have, want []metav1.ManagedFieldsEntry
		taken      int
	}{
		{
			"The controller owns nothing yet.",
			[]metav1.ManagedFieldsEntry{owns("somebody", "Update", "v1", both)},
			[]metav1.ManagedFieldsEntry{
				owns("somebody", "Update", "v1", mesh), owns(FieldManager, "Apply", "v1", extra),
			},
			1,
		},
		{
			"It owns other fields.",
			[]metav1.ManagedFieldsEntry{owns(FieldManager, "Apply", "v1", mesh), owns("somebody", "Apply", "v1", both)},
			[]metav1.ManagedFieldsEntry{owns(FieldManager, "Apply", "v1", both), owns("somebody", "Apply", "v1", mesh)},
			1,
		},
		{
			"It owns some of another version, and some by an update.",
			[]metav1.ManagedFieldsEntry{
				owns(FieldManager, "Apply", "v1beta1", mesh), owns(FieldManager, "Update", "v1", mesh),
				owns("somebody", "Apply", "v1", both),
			},
			[]metav1.ManagedFieldsEntry{
				owns(FieldManager, "Apply", "v1beta1", mesh), owns(FieldManager, "Update", "v1", mesh),
				owns("somebody", "Apply", "v1", mesh), owns(FieldManager, "Apply", "v1", extra),
			},
			1,
		},
		{
			"Who owns nothing any more is not listed.",
			[]metav1.ManagedFieldsEntry{owns("somebody", "Update", "v1", extra), owns("another", "Update", "v1", extra)},
			[]metav1.ManagedFieldsEntry{owns(FieldManager, "Apply", "v1", extra)},
			2,
		},
		{
			"Paths of another version mean something else.",
			[]metav1.ManagedFieldsEntry{owns("somebody", "Update", "v1beta1", extra)},
			[]metav1.ManagedFieldsEntry{owns("somebody", "Update", "v1beta1", extra)},
			0,
		},
		{
			"A status is left alone, and so is an entry without fields.",
			[]metav1.ManagedFieldsEntry{status, none, owns("somebody", "Update", "v1", extra)},
			[]metav1.ManagedFieldsEntry{status, none, owns(FieldManager, "Apply", "v1", extra)},
			1,
		},
	} {
		o := object(t, configMap)
		o.SetManagedFields(c.have)
		m, err := managersOf(o)
		if err != nil {
			t.Fatal(err)
		}
		taken := m.take(func(p fieldpath.Path) bool { return field(p, 1) == "extra" })
		got, err := m.fields()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		if len(taken) != c.taken || m.changed != (c.taken > 0) {
			t.Errorf("%s taken: %v, changed: %t", c.reason, taken, m.changed)
		}
	}
}

// TestUnreadable has an object whose fields cannot be said to be anybody's: nothing is written.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	owner := lateens(v1.KindIstioRevision, "default", 5)
	desired := object(t, configMap)
	w := newWorld(t, owner.DeepCopyObject().(client.Object))
	w.create(controlled(desired, owner, v1.KindIstioRevision))
	w.seen = func(o *unstructured.Unstructured) {
		o.SetManagedFields([]metav1.ManagedFieldsEntry{owns("somebody", "Update", "v1", `{"k:data":{}}`)})
	}
	s := w.set(owner, desired)
	s.Previous = s.Inventory()
	_, err := w.applier.Apply(t.Context(), s)
	const want = "ConfigMap istio-system/istio: metadata.managedFields of somebody: "
	if !strings.HasPrefix(text(err), want) {
		t.Errorf("the error is %v, want %s", err, want)
	}
	w.compare("Nothing is tried.", []string{asked, read}, w.requests)
}

// TestInvalid has the server refuse what an object would be together with what others have set: that goes, and the
// object is applied once more.
func TestInvalid(t *testing.T) {
	t.Parallel()
	const (
		read, claim = "get Deployment istio-system/istiod", "patch Deployment istio-system/istiod"
		try, apply  = "dry-run Deployment istio-system/istiod", "apply Deployment istio-system/istiod"
		failed      = "Deployment istio-system/istiod: Deployment/istio-system/istiod dry-run failed "
		rolling     = "spec.strategy.rollingUpdate"
		variable    = `spec.template.spec.containers[name="discovery"].env[name="DEBUG"]`
	)
	roll := func(o map[string]any) {
		in(o, "spec")["strategy"] = map[string]any{
			"type": "Recreate", "rollingUpdate": map[string]any{"maxSurge": int64(1)},
		}
	}
	debug := func(o map[string]any) {
		insert(in(o, "spec", "template", "spec", "containers", 0), "env", map[string]any{"name": "DEBUG", "value": "1"})
	}
	for _, c := range []struct {
		reason     string
		edit       func(o map[string]any)
		once, fail map[string]error
		requests   []string
		removed    []string
		err        string
		stays      bool
	}{
		{
			reason: "The field goes.", edit: roll, once: map[string]error{try: errInvalid},
			requests: []string{asked, read, try, claim, try, apply}, removed: []string{rolling, rolling + ".maxSurge"},
		},
		{
			reason: "An element goes before, and the field then.", once: map[string]error{try: errInvalid},
			edit:     func(o map[string]any) { roll(o); debug(o) },
			requests: []string{asked, read, claim, try, claim, try, apply},
			removed:  []string{variable, rolling, rolling + ".maxSurge"},
		},
		{
			reason: "There is none.", edit: func(o map[string]any) { in(o, "metadata", "labels")["a"] = "b" },
			once: map[string]error{try: errInvalid}, requests: []string{asked, read, try},
			err: failed + "(Invalid): " + errInvalid.Error(),
		},
		{
			reason: "It is something else that is wrong.", edit: roll, once: map[string]error{try: errForbidden},
			requests: []string{asked, read, try}, err: failed + "(Forbidden): " + errForbidden.Error() + noRole, stays: true,
		},
		{
			reason: "Somebody else writes the object.", edit: roll,
			once:     map[string]error{try: errInvalid, claim: errConflict},
			requests: []string{asked, read, try, claim},
			err:      "Deployment istio-system/istiod: " + errConflict.Error(), stays: true,
		},
		{
			reason: "It is wrong without it as well: it is not tried for ever.", edit: roll,
			fail:     map[string]error{try: errInvalid},
			requests: []string{asked, read, try, claim, try}, err: failed + "(Invalid): " + errInvalid.Error(), stays: true,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			owner := lateens(v1.KindIstioRevision, "default", 5)
			desired := object(t, strings.Replace(deployment, "spec:\n", "spec:\n  strategy: {type: Recreate}\n", 1))
			w := newWorld(t, owner.DeepCopyObject().(client.Object))
			s := w.set(owner, desired)
			s.Previous = w.bring(s).Inventory
			w.edit(desired, "kubectl-edit", c.edit)
			w.requests, w.once, w.fail = nil, c.once, c.fail
			got, err := w.applier.Apply(t.Context(), s)
			var removed []string
			for _, change := range got.Changes {
				removed = append(removed, change.Removed...)
			}
			w.compare(c.reason, c.requests, w.requests)
			w.compare(c.reason, c.removed, removed)
			w.compare(c.reason, c.err, text(err))
			_, stays := in(w.live(desired).Object, "spec", "strategy")["rollingUpdate"]
			w.compare(c.reason, c.stays, stays)
		})
	}
}

// TestCleanup has other installers' fields that are not rendered: they go, and nobody else's do.
func TestCleanup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		by, operation string
		stays         bool
	}{
		{"helm", "Update", false},
		{"helm", "Apply", false},
		{"sail-operator", "Update", false},
		{"sail-operator", "Apply", true},
		{"istio-operator", "Apply", false},
		{"istio-operator", "Update", true},
		{"kubectl-client-side-apply", "Update", false},
		{"kubectl", "Apply", false},
		{"before-first-apply", "Update", false},
		{"somebody", "Update", true},
		{"somebody", "Apply", true},
	} {
		t.Run(c.by+" "+c.operation, func(t *testing.T) {
			t.Parallel()
			owner := lateens(v1.KindIstioRevision, "default", 5)
			w := newWorld(t, owner.DeepCopyObject().(client.Object))
			desired := object(t, configMap)
			live := desired.DeepCopy()
			in(live.Object, "data")["extra"] = "theirs"
			live.SetAnnotations(map[string]string{
				"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system",
				"kubectl.kubernetes.io/last-applied-configuration": "{}", "example.com/note": "theirs",
			})
			var err error
			if c.operation == "Update" {
				err = w.client.Create(t.Context(), live, client.FieldOwner(c.by))
			} else {
				err = w.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(live), client.FieldOwner(c.by))
			}
			if err != nil {
				t.Fatal(err)
			}
			w.bring(w.set(owner, desired))
			want := map[string]any{"mesh": "{}"}
			var annotations map[string]string
			if c.stays {
				want["extra"] = "theirs"
				annotations = map[string]string{"example.com/note": "theirs"}
			}
			got := w.live(desired)
			w.compare("Its data.", want, in(got.Object, "data"))
			w.compare("Its annotations.", annotations, got.GetAnnotations())
			for _, e := range got.GetManagedFields() {
				if !c.stays && e.Manager != FieldManager {
					t.Errorf("%s owns fields still", e.Manager)
				}
			}
		})
	}
}
