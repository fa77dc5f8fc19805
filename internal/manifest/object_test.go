package manifest_test

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/internal/manifest"
)

func parse(t *testing.T, text string) []manifest.Object {
	t.Helper()
	objects, err := manifest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func one(t *testing.T, text string) manifest.Object {
	t.Helper()
	objects := parse(t, text)
	if len(objects) != 1 {
		t.Fatalf("want one object, got %d", len(objects))
	}
	return objects[0]
}

func encode(t *testing.T, objects ...manifest.Object) string {
	t.Helper()
	var b strings.Builder
	if err := manifest.Write(&b, objects); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

const head = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"

// laughs is the billion laughs attack: nine levels of ten aliases each.
var laughs = func() string {
	var b strings.Builder
	b.WriteString(head + "data:\n  a0: &a0 [a, b, c, d, e, f, g, h, i, j]\n")
	for i := 1; i < 10; i++ {
		p := "*a" + strconv.Itoa(i-1)
		b.WriteString("  a" + strconv.Itoa(i) + ": &a" + strconv.Itoa(i) + " [" + strings.Repeat(p+", ", 9) + p + "]\n")
	}
	return b.String()
}()

func TestParse(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		want   string // as written
		err    string
	}{
		"nothing": {reason: "a template may give nothing"},
		"empty documents": {
			reason: "separators, comments and nulls are no objects",
			text:   "---\n---\n# nothing here\n---\nnull\n---\n" + head + "---\n~\n",
			want:   head,
		},
		"comments": {
			reason: "comments of a chart's author tell a user nothing",
			text:   "# top\napiVersion: v1 # why\nkind: ConfigMap\nmetadata:\n  # above\n  name: a\n# foot\n",
			want:   head,
		},
		"aliases": {
			reason: "kustomize breaks on them",
			text:   head + "data:\n  a: &x {k: v}\n  b: *x\n  c: &y\n    d: *x\n  e: *y\n",
			want:   head + "data:\n  a: {k: v}\n  b: {k: v}\n  c:\n    d: {k: v}\n  e:\n    d: {k: v}\n",
		},
		"order and style": {
			reason: "fields keep their order and text its form, so that the output reads like the chart",
			text: "kind: ConfigMap\napiVersion: v1\nmetadata:\n    name: a\ndata:\n    z: |\n        line\n    a: \"1\"\n" +
				"    l:\n        - 1\n",
			want: "kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: a\ndata:\n  z: |\n    line\n  a: \"1\"\n  l:\n  - 1\n",
		},
		"two objects": {
			reason: "each document is one object",
			text:   head + "---\n" + strings.Replace(head, "name: a", "name: b", 1),
			want:   head + "---\n" + strings.Replace(head, "name: a", "name: b", 1),
		},
		"billion laughs": {
			reason: "the expansion of aliases is bounded", text: laughs, err: "line 1: the YAML aliases stand for too much text",
		},
		"endless alias": {
			reason: "an alias inside of what it stands for has no end",
			text:   head + "data: &a\n  b: *a\n", err: "line 1: the YAML anchor a contains an alias of itself",
		},
		"list": {
			reason: "an object is a mapping", text: "- a\n", err: "line 1: an object was expected: not a YAML mapping",
		},
		"text": {
			reason: "such as a note for people", text: head + "---\nhello\n",
			err: "line 6: an object was expected: not a YAML mapping",
		},
		"no name": {
			reason: "could not be found again", text: "apiVersion: v1\nkind: ConfigMap\n",
			err: "line 1: the object has no apiVersion, kind or metadata.name",
		},
		"no kind": {
			reason: "is no Kubernetes object", text: "apiVersion: v1\nmetadata: {name: a}\n",
			err: "line 1: the object has no apiVersion, kind or metadata.name",
		},
		"no apiVersion": {
			reason: "is no Kubernetes object", text: "kind: ConfigMap\nmetadata: {name: a}\n",
			err: "line 1: the object has no apiVersion, kind or metadata.name",
		},
		"no YAML": {
			reason: "the parser's message has the line", text: "a: b\n c: d\n",
			err: "yaml: line 2: mapping values are not allowed in this context",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			objects, err := manifest.Parse(tc.text)
			if diff := cmp.Diff(tc.err, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, encode(t, objects...)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestAliasesCostLittle: what is refused is refused before it is copied.
func TestAliasesCostLittle(t *testing.T) {
	for name, text := range map[string]string{"billion laughs": laughs, "endless": head + "data: &a [*a, *a, *a, *a]\n"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := manifest.Parse(text)
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 || err == nil {
			t.Errorf("%s: %d bytes of YAML took %d MiB (error: %v)", name, len(text), used, err)
		}
	}
}

func TestID(t *testing.T) {
	cases := []struct {
		reason string
		text   string
		want   manifest.ID
		says   string
	}{
		{"the core group is empty", head, manifest.ID{Kind: "ConfigMap", Name: "a"}, "ConfigMap a"},
		{
			"the version is not part of it",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod, namespace: istio-system}",
			manifest.ID{Group: "apps", Kind: "Deployment", Namespace: "istio-system", Name: "istiod"},
			"Deployment istio-system/istiod (apps)",
		},
	}
	for _, tc := range cases {
		id := one(t, tc.text).ID()
		if diff := cmp.Diff(tc.want, id); diff != "" {
			t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
		}
		if diff := cmp.Diff(tc.says, id.String()); diff != "" {
			t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
		}
	}
}

func TestMetadata(t *testing.T) {
	cases := map[string]struct {
		reason string
		text   string
		change func(manifest.Object)
		want   string
	}{
		"new": {
			reason: "metadata comes as far as it is needed",
			text:   head,
			change: func(o manifest.Object) { o.SetAnnotation("k", "v"); o.SetLabel("l", "v") },
			want:   head + "  annotations:\n    k: v\n  labels:\n    l: v\n",
		},
		"replaced": {
			reason: "an existing one keeps its place",
			text:   head + "  labels:\n    a: 1\n    b: 2\n",
			change: func(o manifest.Object) { o.SetLabel("a", "x") },
			want:   head + "  labels:\n    a: x\n    b: 2\n",
		},
		"into an empty map": {
			reason: "null and {} are maps that are not there yet",
			text:   head + "  labels: {}\n  annotations:\n",
			change: func(o manifest.Object) { o.SetLabel("a", "x"); o.SetAnnotation("b", "x") },
			want:   head + "  labels:\n    a: x\n  annotations:\n    b: x\n",
		},
		"deleted": {
			reason: "the others stay",
			text:   head + "  annotations:\n    a: x\n    b: x\n",
			change: func(o manifest.Object) { o.DeleteAnnotation("a"); o.DeleteAnnotation("none") },
			want:   head + "  annotations:\n    b: x\n",
		},
		"deleted last": {
			reason: "an empty map would be a difference to what people wrote",
			text:   head + "  annotations:\n    a: x\n",
			change: func(o manifest.Object) { o.DeleteAnnotation("a") },
			want:   head,
		},
		"deleted without any": {
			reason: "nothing to delete",
			text:   head,
			change: func(o manifest.Object) { o.DeleteAnnotation("a"); o.SortAnnotations() },
			want:   head,
		},
		"sorted": {
			reason: "by name, values with their names",
			text:   head + "  annotations:\n    b: 1\n    a: 2\n    c: 3\n",
			change: func(o manifest.Object) { o.SortAnnotations() },
			want:   head + "  annotations:\n    a: 2\n    b: 1\n    c: 3\n",
		},
		"copy": {
			reason: "a copy is a tree of its own",
			text:   head,
			change: func(o manifest.Object) { o.Copy().SetLabel("a", "x") },
			want:   head,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := one(t, tc.text)
			tc.change(o)
			if diff := cmp.Diff(tc.want, encode(t, o)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestTail(t *testing.T) {
	const spec = "spec:\n  group: istio.io # kept as it is\n"
	o := one(t, head).WithTail([]byte(spec))
	if diff := cmp.Diff(head+spec, encode(t, o)); diff != "" {
		t.Errorf("the tail is written as it is, below the rest (-want +got)\n%s", diff)
	}
	o = o.Copy()
	o.SetLabel("a", "b")
	if diff := cmp.Diff(head+"  labels:\n    a: b\n"+spec, encode(t, o)); diff != "" {
		t.Errorf("a copy has the tail, too, and can be changed above it (-want +got)\n%s", diff)
	}
	var got map[string]any
	if err := o.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "a", "labels": map[string]any{"a": "b"}},
		"spec": map[string]any{"group": "istio.io"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("decoding sees the whole object (-want +got)\n%s", diff)
	}
	if o.Field("spec") != nil {
		t.Error("the tree does not have the fields that are still text")
	}
	if err := o.WithTail([]byte("a: b: c")).Decode(&got); err == nil {
		t.Error("a tail that is no YAML is an error of Decode")
	}
}

// TestTextStaysText: what is text in the tree is text for every reader of YAML. Kubernetes' own takes yes, no, on, off,
// y and n for booleans, as YAML 1.1 has it: a label with the name of a revision must not become one.
func TestTextStaysText(t *testing.T) {
	for _, text := range ambiguous {
		stamped := one(t, head)
		stamped.SetLabel("l", text)
		stamped.SetAnnotation("a", text)
		want := map[string]any{"name": "a", "labels": map[string]any{"l": text}, "annotations": map[string]any{"a": text}}
		if diff := cmp.Diff(want, reread(t, stamped)["metadata"]); diff != "" {
			t.Errorf("%q (-want +got)\n%s", text, diff)
		}
		o := one(t, "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  k: "+strconv.Quote(text)+"\n")
		if got := reread(t, o)["data"]; !cmp.Equal(got, map[string]any{"k": text}) {
			t.Errorf("%q was text in a chart's output and came back as %#v", text, got)
		}
	}
}

// ambiguous are texts that look like something else to some reader.
var ambiguous = []string{
	"", " ", "~", "null", "Null", "true", "True", "yes", "Yes", "no", "on", "off", "y", "N", "1", "-1", "+1", "1.0", ".5",
	"1e3", "1E400",
	"0x1F", "0o17", "017", "0b11", "1_000", "1:30", "190:20:30", ".inf", "-.INF", ".nan", "2024-01-01",
	"2024-01-01T00:00:00Z", "<<", "=",
	"- a", "a: b", "a #b", "#", "!x", "&x", "*x", "@x", "`x", "%x", "{", "[", "|", ">", "?", ":", "\t", "a\n", "\na",
	" a\nb", "a\n\n", "é", "\u0085", "\u2028", "\u00a0",
}

func reread(t *testing.T, o manifest.Object) map[string]any {
	t.Helper()
	text := encode(t, o)
	var got map[string]any
	if err := sigsyaml.UnmarshalStrict([]byte(text), &got); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return got
}

// TestOrder proves that Compare is a total order, which sorting relies on, and that it puts first what others need.
func TestOrder(t *testing.T) {
	var ids []manifest.ID
	for _, kind := range []string{"Namespace", "Deployment", "Unknown", "MutatingWebhookConfiguration"} {
		for _, group := range []string{"", "apps"} {
			for _, namespace := range []string{"", "b"} {
				for _, name := range []string{"a", "b"} {
					ids = append(ids, manifest.ID{Group: group, Kind: kind, Namespace: namespace, Name: name})
				}
			}
		}
	}
	for _, a := range ids {
		for _, b := range ids {
			ab := manifest.Compare(a, b)
			if ab != -manifest.Compare(b, a) || (ab == 0) != (a == b) {
				t.Fatalf("%v and %v: the order depends on who is asked first, or takes two for one", a, b)
			}
			for _, c := range ids {
				if ab <= 0 && manifest.Compare(b, c) <= 0 && manifest.Compare(a, c) > 0 {
					t.Fatalf("%v, %v, %v go round in a circle", a, b, c)
				}
			}
		}
	}
	kinds := []string{
		"Namespace", "CustomResourceDefinition", "Istio", "IstioRevision", "ServiceAccount", "ConfigMap", "ClusterRole",
		"ClusterRoleBinding",
		"Role", "RoleBinding", "Service", "EnvoyFilter", "DaemonSet", "Deployment", "HorizontalPodAutoscaler",
		"PodDisruptionBudget",
		"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration",
		"MutatingWebhookConfiguration",
	}
	var objects []manifest.Object
	for _, i := range rand.New(rand.NewPCG(1, 1)).Perm(len(kinds)) {
		objects = append(objects, one(t, "apiVersion: v1\nkind: "+kinds[i]+"\nmetadata: {name: a}\n"))
	}
	manifest.Sort(objects)
	var got []string
	for _, o := range objects {
		got = append(got, o.Kind())
	}
	if diff := cmp.Diff(kinds, got); diff != "" {
		t.Errorf("applied from top to bottom, nothing waits for something below it (-want +got)\n%s", diff)
	}
}

func TestDuplicate(t *testing.T) {
	object := func(apiVersion, namespace string) manifest.Object {
		return one(t, "apiVersion: "+apiVersion+"\nkind: K\nmetadata: {name: a, namespace: "+namespace+"}\n")
	}
	cases := map[string]struct {
		reason  string
		objects []manifest.Object
		want    bool
	}{
		"none":           {"no objects", nil, false},
		"two namespaces": {"are two objects", []manifest.Object{object("v1", "a"), object("v1", "b")}, false},
		"two groups":     {"are two objects", []manifest.Object{object("v1", "a"), object("g/v1", "a")}, false},
		"two versions": {
			"are one object", []manifest.Object{object("g/v1", "a"), object("h/v1", "a"), object("g/v2", "a")}, true,
		},
		"the same object": {"is there twice", slices.Repeat([]manifest.Object{object("v1", "a")}, 2), true},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			id, got := manifest.Duplicate(tc.objects)
			if got != tc.want || got && id != tc.objects[0].ID() {
				t.Errorf("%s: want %v, got %v %v", tc.reason, tc.want, got, id)
			}
		})
	}
}

// TestComments: a comment is added once, and above what is there.
func TestComments(t *testing.T) {
	const skip = "+argocd:skip-file-rendering"
	for _, c := range []struct{ reason, text, from, want string }{
		{"above the first field", "apiVersion: v1\nkind: A\n", "", "# " + skip + "\napiVersion: v1\nkind: A\n"},
		{
			"above other comments", "# mine\napiVersion: v1\nkind: A\n", "",
			"# " + skip + "\n# mine\napiVersion: v1\nkind: A\n",
		},
		{
			"not twice, wherever it is", "apiVersion: v1\nkind: A # " + skip + "\n", "",
			"apiVersion: v1\nkind: A # " + skip + "\n",
		},
		{
			"with those of the object before", "apiVersion: v1\nkind: A\n", "# mine\nkind: A\n",
			"# " + skip + "\n# mine\napiVersion: v1\nkind: A\n",
		},
		{
			"which may have it", "apiVersion: v1\nkind: A\n", "# mine\n# " + skip + "\nkind: A\n",
			"# mine\n# " + skip + "\napiVersion: v1\nkind: A\n",
		},
	} {
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(c.text), &doc); err != nil {
			t.Fatal(err)
		}
		o, err := manifest.FromNode(&doc)
		if err != nil {
			t.Fatal(err)
		}
		o.AddComment(skip)
		if c.from != "" {
			var before yaml.Node
			if err := yaml.Unmarshal([]byte(c.from), &before); err != nil {
				t.Fatal(err)
			}
			other, err := manifest.FromNode(&before)
			if err != nil {
				t.Fatal(err)
			}
			o.CarryComment(other)
		}
		var got strings.Builder
		if err := o.Encode(&got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got.String()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
