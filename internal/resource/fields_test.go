package resource_test

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/resource"
)

// of is a resource of a kind with the given lines below spec:.
func of(kind, spec string) string {
	return strings.Replace(istio(spec), "kind: Istio", "kind: "+kind, 1)
}

// TestFieldsOfKinds is what people get wrong in the spec of each kind: the field, and the whole sentence.
func TestFieldsOfKinds(t *testing.T) {
	const (
		strategy = "spec.updateStrategy"
		grace    = strategy + ".inactiveRevisionDeletionGracePeriodSeconds"
	)
	for _, c := range []struct {
		reason, kind, spec string
		field, want        string // "" is a resource that is right
	}{
		{"unknown", v1.KindIstio, "{profil: x}", "spec.profil", "spec.profil: unknown field; did you mean profile?"},
		{"another case", v1.KindIstio, "{Version: v1}", "spec.Version", "spec.Version: unknown field; did you mean version?"},
		{
			"unknown below", v1.KindIstio, "{updateStrategy: {updateWorkload: true}}", strategy + ".updateWorkload",
			strategy + ".updateWorkload: unknown field; did you mean updateWorkloads?",
		},
		{"unknown, and null", v1.KindIstio, "{whatever: ~}", "spec.whatever", "spec.whatever: unknown field"},
		{"a name with dots", v1.KindIstio, "{a.b: 1}", "spec.a.b", "spec.a.b: unknown field"},
		{"a type", v1.KindIstio, "{version: 1}", "spec.version", "spec.version: must be a string, is an integer"},
		{"a type", v1.KindIstio, "{namespace: []}", "spec.namespace", "spec.namespace: must be a string, is an array"},
		{"a type", v1.KindIstio, "{profile: {}}", "spec.profile", "spec.profile: must be a string, is an object"},
		{"a type", v1.KindIstio, "{values: true}", "spec.values", "spec.values: must be an object, is a boolean"},
		{"a type", v1.KindIstio, "{meshConfig: 1.5}", "spec.meshConfig", "spec.meshConfig: must be an object, is a number"},
		{"a type", v1.KindIstio, "{updateStrategy: InPlace}", strategy, strategy + ": must be an object, is a string"},
		{
			"a type below", v1.KindIstio, "{updateStrategy: {type: yes}}", strategy + ".type",
			strategy + ".type: must be a string, is a boolean",
		},
		{
			"a type below", v1.KindIstio, "{updateStrategy: {inactiveRevisionDeletionGracePeriodSeconds: '30'}}", grace,
			grace + ": must be an integer, is a string",
		},
		{
			"an integer that no int64 holds", v1.KindIstio,
			"{updateStrategy: {inactiveRevisionDeletionGracePeriodSeconds: 1e19}}", grace,
			grace + ": is too large: at most 9007199254740991",
		},
		{
			"a type below", v1.KindIstio, "{updateStrategy: {updateWorkloads: 1}}", strategy + ".updateWorkloads",
			strategy + ".updateWorkloads: must be a boolean, is an integer",
		},
		{"twice", v1.KindIstio, "\n  profile: a\n  profile: b", "", `line 7: the field "profile" is there twice`},
		{
			"twice below", v1.KindIstio, "\n  updateStrategy: {type: a, type: b}", "",
			`line 6: the field "type" is there twice`,
		},
		{"null", v1.KindIstio, "{version: , namespace: ~, profile: null, updateStrategy: , values: , meshConfig: }", "", ""},
		{
			"null below", v1.KindIstio,
			"{updateStrategy: {type: , updateWorkloads: , inactiveRevisionDeletionGracePeriodSeconds: }}", "", "",
		},

		{
			"unknown", v1.KindIstioRevision, "{namespaces: x}", "spec.namespaces",
			"spec.namespaces: unknown field; did you mean namespace?",
		},
		{"of an Istio", v1.KindIstioRevision, "{profile: x}", "spec.profile", "spec.profile: unknown field"},
		{
			"a Helm value", v1.KindIstioRevision, "{global: {}}", "spec.global",
			"spec.global: Helm values belong under spec.values; write spec.values.global",
		},
		{"a type", v1.KindIstioRevision, "[]", "spec", "spec: must be an object, is an array"},
		{"a type", v1.KindIstioRevision, "{version: 1.28}", "spec.version", "spec.version: must be a string, is a number"},
		{
			"a type", v1.KindIstioRevision, "{namespace: 1}", "spec.namespace",
			"spec.namespace: must be a string, is an integer",
		},
		{"a type", v1.KindIstioRevision, "{values: []}", "spec.values", "spec.values: must be an object, is an array"},
		{"twice", v1.KindIstioRevision, "\n  version: a\n  version: b", "", `line 7: the field "version" is there twice`},
		{
			"null", v1.KindIstioRevision, "{version: ~, namespace: a, values: {global: {istioNamespace: a}}}", "spec.version",
			"spec.version: Required value",
		},

		{"unknown", v1.KindIstioRevisionTag, "{target: x}", "spec.target", "spec.target: unknown field"},
		{"no values", v1.KindIstioRevisionTag, "{global: {}}", "spec.global", "spec.global: unknown field"},
		{
			"unknown below", v1.KindIstioRevisionTag, "{targetRef: {kind: Istio, nam: a}}", "spec.targetRef.nam",
			"spec.targetRef.nam: unknown field; did you mean name?",
		},
		{
			"a type", v1.KindIstioRevisionTag, "{targetRef: a}", "spec.targetRef",
			"spec.targetRef: must be an object, is a string",
		},
		{
			"a type below", v1.KindIstioRevisionTag, "{targetRef: {kind: [Istio], name: a}}", "spec.targetRef.kind",
			"spec.targetRef.kind: must be a string, is an array",
		},
		{
			"a type below", v1.KindIstioRevisionTag, "{targetRef: {kind: Istio, name: 1}}", "spec.targetRef.name",
			"spec.targetRef.name: must be a string, is an integer",
		},
		{
			"twice below", v1.KindIstioRevisionTag, "{targetRef: {name: a, name: b}}", "",
			`line 5: the field "name" is there twice`,
		},
		{
			"null below", v1.KindIstioRevisionTag, "{targetRef: {kind: Istio, name: ~}}", "spec.targetRef.name",
			"spec.targetRef.name: Required value",
		},

		{"unknown", v1.KindIstioCNI, "{versoin: x}", "spec.versoin", "spec.versoin: unknown field; did you mean version?"},
		{"of an Istio", v1.KindIstioCNI, "{updateStrategy: {}}", "spec.updateStrategy", "spec.updateStrategy: unknown field"},
		{
			"a Helm value", v1.KindIstioCNI, "{cni: {}}", "spec.cni",
			"spec.cni: Helm values belong under spec.values; write spec.values.cni",
		},
		{"a type", v1.KindIstioCNI, "{version: []}", "spec.version", "spec.version: must be a string, is an array"},
		{"a type", v1.KindIstioCNI, "{namespace: 1}", "spec.namespace", "spec.namespace: must be a string, is an integer"},
		{"a type", v1.KindIstioCNI, "{profile: no}", "spec.profile", "spec.profile: must be a string, is a boolean"},
		{"a type", v1.KindIstioCNI, "{values: x}", "spec.values", "spec.values: must be an object, is a string"},
		{"twice", v1.KindIstioCNI, "\n  values: {}\n  values: {}", "", `line 7: the field "values" is there twice`},
		{"null", v1.KindIstioCNI, "{version: , namespace: ~, profile: null, values: }", "", ""},
	} {
		t.Run(c.kind+" "+c.reason+" "+c.field, func(t *testing.T) {
			var want []found
			if c.want != "" {
				want = []found{{finding.Error, c.field, c.want}}
			}
			_, got := resource.Decode(object(t, of(c.kind, c.spec)))
			if diff := diffResults(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// TestEveryFieldIsKnown walks the Go types: what api/v1 has is read, whoever adds it, and nothing else.
func TestEveryFieldIsKnown(t *testing.T) {
	for kind, spec := range map[string]reflect.Type{
		v1.KindIstio:            reflect.TypeFor[v1.IstioSpec](),
		v1.KindIstioRevision:    reflect.TypeFor[v1.IstioRevisionSpec](),
		v1.KindIstioRevisionTag: reflect.TypeFor[v1.IstioRevisionTagSpec](),
		v1.KindIstioCNI:         reflect.TypeFor[v1.IstioCNISpec](),
	} {
		for _, p := range paths(spec) {
			for _, c := range []struct {
				reason string
				value  any
				path   []string
				want   string // the end of the one message about the form of the field, or none
			}{
				{"its zero value", zero(p.t), p.path, ""},
				{"a list", []any{}, p.path, ", is an array"},
				{"null", nil, p.path, ""},
				{"a neighbour", "x", append(slices.Clip(p.path[:len(p.path)-1]), "unheardOf"), ": unknown field"},
			} {
				text, err := json.Marshal(nest(c.path, c.value))
				if err != nil {
					t.Fatal(err)
				}
				_, results := resource.Decode(object(t, of(kind, string(text))))
				var got []string
				for _, r := range results {
					if strings.Contains(r.Message, ": must be a") || strings.Contains(r.Message, "unknown") {
						got = append(got, r.Message)
					}
				}
				field := "spec." + strings.Join(c.path, ".")
				if c.want == "" && got == nil {
					continue
				}
				if c.want == "" || len(got) != 1 || !strings.HasPrefix(got[0], field+": ") ||
					!strings.HasSuffix(got[0], c.want) {
					t.Errorf("%s %s with %s: %q, want %q", kind, field, c.reason, got, c.want)
				}
			}
		}
	}
}

// place is a field of a spec, somewhere below it.
type place struct {
	path []string
	t    reflect.Type
}

// paths are all the fields of a spec, those of its structs among them.
func paths(t reflect.Type) []place {
	var out []place
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		out = append(out, place{[]string{name}, inner})
		if inner.Kind() == reflect.Struct && inner != reflect.TypeFor[v1.Values]() {
			for _, p := range paths(inner) {
				out = append(out, place{append([]string{name}, p.path...), p.t})
			}
		}
	}
	return out
}

func zero(t reflect.Type) any { return reflect.Zero(t).Interface() }

// nest makes an object in which a value stands at a path.
func nest(path []string, value any) any {
	for _, name := range slices.Backward(path) {
		value = map[string]any{name: value}
	}
	return value
}

// TestNewFields shows that a field of any type is understood by what the Go type says of it.
func TestNewFields(t *testing.T) {
	type Inline struct {
		Inlined string `json:"inlined,omitempty"`
	}
	type part struct {
		Share *float64 `json:"share,omitempty"`
	}
	type spec struct {
		Inline  `json:",inline"`
		Parts   []part            `json:"parts,omitempty"`
		Named   map[string]string `json:"named,omitempty"`
		Count   int32             `json:"count,omitempty"`
		Raw     json.RawMessage   `json:"raw,omitempty"`
		Ignored string            `json:"-"`
	}
	list := func(v ...any) []any { return v }
	for _, c := range []struct {
		reason  string
		written map[string]any
		want    []found
	}{
		{
			"all are right", map[string]any{
				"inlined": "x", "parts": list(map[string]any{"share": 0.5}, map[string]any{"share": 1.0}, nil),
				"named": map[string]any{"a": "b"}, "count": 1.0, "raw": list(1.0),
			}, nil,
		},
		{
			"all are wrong",
			map[string]any{
				"inlined": 1.0, "parts": list(map[string]any{"share": "x", "shar": 1.0}), "named": list(), "count": 1.5,
				"Ignored": "x", "-": "x",
			},
			[]found{
				{finding.Error, "spec.-", "spec.-: unknown field"},
				{finding.Error, "spec.Ignored", "spec.Ignored: unknown field"},
				{finding.Error, "spec.count", "spec.count: must be an integer, is a number"},
				{finding.Error, "spec.inlined", "spec.inlined: must be a string, is an integer"},
				{finding.Error, "spec.named", "spec.named: must be an object, is an array"},
				{finding.Error, "spec.parts.0.shar", "spec.parts.0.shar: unknown field; did you mean share?"},
				{finding.Error, "spec.parts.0.share", "spec.parts.0.share: must be a number, is a string"},
			},
		},
	} {
		before := slices.Sorted(maps.Keys(c.written))
		got := resource.Check(object(t, istio("{}")), c.written, reflect.TypeFor[*spec]())
		if diff := diffResults(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(before, slices.Sorted(maps.Keys(c.written))); diff != "" {
			t.Errorf("%s: what is not null stays: -want +got:\n%s", c.reason, diff)
		}
	}
}
