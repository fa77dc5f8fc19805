package ownership_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/ownership"
	"github.com/lateen-io/lateen/internal/resource"
)

// item is one object of a package on one line: what it is, and what it says about itself.
type item struct {
	kind, name      string // kind is ConfigMap if empty
	namespace       string
	owner, revision string
	path, index     string
	data            string // tells old content from new
	extra           string // further annotations, as YAML: ", key: value"
}

func (i item) object(t *testing.T) manifest.Object {
	t.Helper()
	kind, api := i.kind, "v1"
	if kind == "" {
		kind = "ConfigMap"
	}
	if strings.HasPrefix(kind, "Istio") {
		api = "sailoperator.io/v1"
	}
	var annotations []string
	for _, a := range []struct{ key, value string }{
		{manifest.AnnotationOwner, i.owner}, {resource.AnnotationIndex, quoted(i.index)}, {resource.AnnotationPath, i.path},
	} {
		if a.value != "" {
			annotations = append(annotations, a.key+": "+a.value)
		}
	}
	if i.extra != "" {
		annotations = append(annotations, i.extra)
	}
	text := "apiVersion: " + api + "\nkind: " + kind + "\nmetadata:\n  name: '" + i.name + "'\n"
	if i.namespace != "" {
		text += "  namespace: " + i.namespace + "\n"
	}
	if len(annotations) > 0 {
		text += "  annotations:\n    " + strings.Join(annotations, "\n    ") + "\n"
	}
	if i.revision != "" {
		text += "  labels:\n    lateen.io/revision: " + i.revision + "\n"
	}
	if i.data != "" {
		text += "data: " + i.data + "\n"
	}
	return object(t, text)
}

func quoted(s string) string {
	if s == "" {
		return ""
	}
	return strconv.Quote(s)
}

// expansion is what one Istio has become.
type expansion struct {
	source  item
	active  string
	objects []item
}

func TestReplace(t *testing.T) {
	const owner = "Istio/default"
	source := item{kind: "Istio", name: "default", path: "mesh/istio.yaml", index: "0"}
	user := item{name: "user", path: "z.yaml", index: "1", extra: "internal.kpt.dev/upstream-identifier: x"}
	fresh := item{name: "a", owner: owner, revision: "default", data: "new"}
	// at is a generated item where an earlier run put it.
	at := func(i item, path string) item { i.path, i.index = path, "0"; return i }
	old := func(i item) item { i.data = "old"; return i }
	all := func(string) bool { return true }

	v1, v2 := "default-v1-27-0", "default-v1-28-3"
	of := func(kind, name, revision string) item {
		return item{kind: kind, name: name, owner: owner, revision: revision}
	}

	cases := map[string]struct {
		reason     string
		items      []item
		scope      ownership.Scope
		expansions []expansion
		want       []item
		err        string
	}{
		"nothing to do": {
			reason: "items keep content, annotations and order",
			items:  []item{user, source, {name: "b"}, {name: "a", namespace: "x"}},
			want:   []item{user, source, {name: "b"}, {name: "a", namespace: "x"}},
		},
		"first run": {
			reason: "new items come at the end, beside their source, one in each file",
			items:  []item{user, source},
			expansions: []expansion{
				{source, "default", []item{fresh, {kind: "Role", name: "R:b", owner: owner, revision: "default"}}},
			},
			want: []item{
				user, source, at(fresh, "mesh/default/configmap_a.yaml"),
				at(item{kind: "Role", name: "R:b", owner: owner, revision: "default"}, "mesh/default/role_R-b.yaml"),
			},
		},
		"no paths": {
			reason:     "where there are no files (kustomize), none are made up",
			items:      []item{{kind: "Istio", name: "default"}},
			expansions: []expansion{{item{kind: "Istio", name: "default"}, "default", []item{fresh}}},
			want:       []item{{kind: "Istio", name: "default"}, fresh},
		},
		"second run": {
			reason: "takes the place, the file and the comments of the item that was the same object, and nothing else of it",
			items: []item{
				{
					name: "a", owner: owner, data: "old", path: "moved/by/user.yaml", index: "3",
					extra: "other: x\n    internal.kpt.dev/k: v",
				}, source,
			},
			expansions: []expansion{{source, "default", []item{fresh}}},
			want: []item{
				{
					name: "a", owner: owner, revision: "default", data: "new", path: "moved/by/user.yaml", index: "3",
					extra: "internal.kpt.dev/k: v",
				}, source,
			},
		},
		"stale": {
			reason:     "what is not generated any more is dropped",
			items:      []item{at(fresh, "a.yaml"), at(of("Role", "b", "default"), "b.yaml"), source},
			expansions: []expansion{{source, "default", []item{fresh}}},
			want:       []item{at(fresh, "a.yaml"), source},
		},
		"owner gone": {
			reason: "with the Istio goes all that was generated from it, older revisions included",
			items: []item{
				user, of("IstioRevision", v1, v1), of("Role", "a", v1), of("IstioRevision", v2, v2), of("Role", "b", v2),
			},
			want: []item{user},
		},
		"other owners": {
			reason: "what another function or configuration is responsible for is not ours to drop",
			items:  []item{{name: "x", owner: "IstioCNI/default"}, {name: "y", owner: "Istio/other"}, {name: "z", owner: owner}},
			scope:  func(o string) bool { return o == owner },
			want:   []item{{name: "x", owner: "IstioCNI/default"}, {name: "y", owner: "Istio/other"}},
		},
		"retained": {
			reason:     "proxies may still be connected to the older revision: it stays, with its objects, as it is",
			items:      []item{source, at(of("IstioRevision", v1, v1), "r.yaml"), at(old(of("Role", "a", v1)), "a.yaml")},
			expansions: []expansion{{source, v2, []item{of("IstioRevision", v2, v2), of("Role", "b", v2)}}},
			want: []item{
				source, at(of("IstioRevision", v1, v1), "r.yaml"), at(old(of("Role", "a", v1)), "a.yaml"),
				at(of("IstioRevision", v2, v2), "mesh/default-v1-28-3/istiorevision_default-v1-28-3.yaml"),
				at(of("Role", "b", v2), "mesh/default-v1-28-3/role_b.yaml"),
			},
		},
		"retained goes": {
			reason:     "somebody has removed the IstioRevision: nothing uses it any more",
			items:      []item{source, of("Role", "a", v1)},
			expansions: []expansion{{source, v2, []item{at(of("IstioRevision", v2, v2), "x.yaml")}}},
			want: []item{
				source, at(of("IstioRevision", v2, v2), "mesh/default-v1-28-3/istiorevision_default-v1-28-3.yaml"),
			},
		},
		"shared object": {
			reason:     "an object of both revisions (a ClusterRole without a suffix) belongs to the active one",
			items:      []item{source, of("IstioRevision", v1, v1), at(old(of("ClusterRole", "a", v1)), "a.yaml")},
			expansions: []expansion{{source, v2, []item{of("ClusterRole", "a", v2)}}},
			want:       []item{source, of("IstioRevision", v1, v1), at(of("ClusterRole", "a", v2), "a.yaml")},
		},
		"back again": {
			reason: "a downgrade makes the retained revision the active one, in its files",
			items: []item{
				source, at(of("IstioRevision", v1, v1), "r1.yaml"), at(old(of("Role", "a", v1)), "a.yaml"),
				at(of("IstioRevision", v2, v2), "r2.yaml"),
			},
			expansions: []expansion{{source, v1, []item{of("IstioRevision", v1, v1), of("Role", "a", v1)}}},
			want: []item{
				source, at(of("IstioRevision", v1, v1), "r1.yaml"), at(of("Role", "a", v1), "a.yaml"),
				at(of("IstioRevision", v2, v2), "r2.yaml"),
			},
		},
		"revision of another owner": {
			reason: "two Istios: each retains its own",
			items: []item{
				source, of("IstioRevision", v1, v1), {kind: "Role", name: "a", owner: "Istio/other", revision: v1},
			},
			expansions: []expansion{{source, v2, nil}},
			want:       []item{source, of("IstioRevision", v1, v1)},
		},
		"user's object": {
			reason:     "would be overwritten",
			items:      []item{source, {name: "a", path: "mine.yaml"}},
			expansions: []expansion{{source, "default", []item{fresh}}},
			err: "Istio/default generates ConfigMap a, which the package has already in mine.yaml: remove or rename the " +
				"other one",
		},
		"object of another owner out of scope": {
			reason:     "would be overwritten",
			items:      []item{source, {name: "a", owner: "Istio/other"}},
			scope:      func(o string) bool { return o == owner },
			expansions: []expansion{{source, "default", []item{fresh}}},
			err:        "Istio/default generates ConfigMap a, which the package has already: remove or rename the other one",
		},
		"two owners": {
			reason: "one would overwrite the other",
			items:  []item{source},
			expansions: []expansion{
				{source, "default", []item{fresh}},
				{item{kind: "Istio", name: "other", path: "o.yaml"}, "other", []item{{name: "a", owner: "Istio/other"}}},
			},
			err: "Istio/default and Istio/other both generate ConfigMap a: give them different names or namespaces",
		},
		"generated item twice": {
			reason:     "somebody has copied a file: one of the two would be overwritten",
			items:      []item{source, at(fresh, "a.yaml"), at(fresh, "b.yaml")},
			expansions: []expansion{{source, "default", []item{fresh}}},
			err:        "ConfigMap a, which Istio/default generates, is in the package twice in b.yaml: remove one of the two",
		},
		"unique files": {
			reason: "file names that would fall together are told apart, those of the user's files among them",
			items:  []item{source, {name: "user", path: "mesh/default/configmap_a.yaml"}},
			expansions: []expansion{{source, "default", []item{
				{name: "a", namespace: "n", owner: owner, revision: "default"},
				{name: "a", namespace: "m", owner: owner, revision: "default"},
				{name: "a", owner: owner, revision: "default"},
				{kind: "configMap", name: "a", namespace: "n", owner: owner, revision: "default"},
			}}},
			want: []item{
				source,
				{name: "user", path: "mesh/default/configmap_a.yaml"},
				at(item{name: "a", namespace: "n", owner: owner, revision: "default"}, "mesh/default/configmap_a_n.yaml"),
				at(item{name: "a", namespace: "m", owner: owner, revision: "default"}, "mesh/default/configmap_a_m.yaml"),
				at(item{name: "a", owner: owner, revision: "default"}, "mesh/default/configmap_a_.yaml"),
				at(item{kind: "configMap", name: "a", namespace: "n", owner: owner, revision: "default"},
					"mesh/default/configmap_a_2.yaml"),
			},
		},
		"no revision": {
			reason: "Istio's CRDs belong to no revision",
			items:  []item{source},
			expansions: []expansion{
				{source, "default", []item{{kind: "CustomResourceDefinition", name: "x.istio.io", owner: owner}}},
			},
			want: []item{
				source, at(item{kind: "CustomResourceDefinition", name: "x.istio.io", owner: owner},
					"mesh/crds/customresourcedefinition_x.istio.io.yaml"),
			},
		},
		"names that are paths": {
			reason:     "stay file names",
			items:      []item{source},
			expansions: []expansion{{source, "../../x", []item{{name: "../../etc/passwd", owner: owner, revision: "x"}}}},
			want: []item{
				source, at(item{name: "../../etc/passwd", owner: owner, revision: "x"}, "mesh/-..-x/configmap_-..-etc-passwd.yaml"),
			},
		},
		"two dots in a name": {
			reason:     "are not the parent directory",
			expansions: []expansion{{item{kind: "Istio", name: "default", path: "..mesh/istio.yaml"}, "default", []item{fresh}}},
			want:       []item{at(fresh, "..mesh/default/configmap_a.yaml")},
		},
		"source above the package": {
			reason: "nothing is written outside of the package",
			expansions: []expansion{
				{item{kind: "Istio", name: "default", path: "a/../../istio.yaml"}, "default", []item{fresh}},
			},
			err: "Istio/default is in a/../../istio.yaml, which is outside the package",
		},
		"source with an absolute path": {
			reason:     "nothing is written outside of the package",
			expansions: []expansion{{item{kind: "Istio", name: "default", path: "/istio.yaml"}, "default", []item{fresh}}},
			err:        "Istio/default is in /istio.yaml, which is outside the package",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			items := make([]manifest.Object, len(tc.items))
			for i, in := range tc.items {
				items[i] = in.object(t)
			}
			var expansions []ownership.Expansion
			for _, e := range tc.expansions {
				x := ownership.Expansion{
					Source: e.source.object(t), Owner: "Istio/" + e.source.name, Active: e.active, Dir: e.active,
				}
				for _, o := range e.objects {
					o.path, o.index = "", ""
					x.Objects = append(x.Objects, o.object(t))
				}
				expansions = append(expansions, x)
			}
			before := write(t, items)
			scope := tc.scope
			if scope == nil {
				scope = all
			}
			got, err := ownership.Replace(items, scope, expansions)
			if diff := cmp.Diff(tc.err, message(err)); diff != "" {
				t.Fatalf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, write(t, items)); diff != "" {
				t.Errorf("the input must stay as it is (-before +after)\n%s", diff)
			}
			var want []manifest.Object
			for _, w := range tc.want {
				want = append(want, w.object(t))
			}
			// The order of annotations is settled for generated items only, so that user's items are compared as they are.
			for _, list := range [][]manifest.Object{want, got} {
				for _, o := range list {
					if o.Annotation(manifest.AnnotationOwner) != "" {
						o.SortAnnotations()
					}
				}
			}
			if diff := cmp.Diff(write(t, want), write(t, got)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// write gives items as the text of a list.
func write(t *testing.T, items []manifest.Object) string {
	t.Helper()
	var b strings.Builder
	if err := (&krm.List{Items: items}).Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// object reads a YAML document as an item.
func object(t *testing.T, text string) manifest.Object {
	t.Helper()
	out, err := resource.ParseDocuments([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
