package resource_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/resource"
)

// istio is an Istio with the given lines below spec:.
func istio(spec string) string {
	return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: default\nspec: " + spec + "\n"
}

func TestDecode(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		want   v1.IstioSpec
	}{
		"no spec": {
			"spec may be missing altogether", "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: default}\n",
			defaulted(v1.IstioSpec{}),
		},
		"null spec": {"null is as good as absent", istio(""), defaulted(v1.IstioSpec{})},
		"null fields": {
			"null is as good as absent", istio("{version: ~, values: null, updateStrategy: {type: null, " +
				"inactiveRevisionDeletionGracePeriodSeconds: ~}}"), defaulted(v1.IstioSpec{}),
		},
		"all fields": {
			"every field of the API is read",
			istio("{version: v1.28.3, namespace: ns, profile: ambient, updateStrategy: {type: RevisionBased, " +
				"inactiveRevisionDeletionGracePeriodSeconds: 10, updateWorkloads: true}, values: {a: 1}, meshConfig: {b: [x]}}"),
			v1.IstioSpec{
				Version: "v1.28.3", Namespace: "ns", Profile: "ambient", Values: &v1.Values{Raw: []byte(`{"a":1}`)},
				MeshConfig: &v1.Values{Raw: []byte(`{"b":["x"]}`)},
				UpdateStrategy: &v1.IstioUpdateStrategy{
					Type: "RevisionBased", InactiveRevisionDeletionGracePeriodSeconds: new(int64(10)), UpdateWorkloads: true,
				},
			},
		},
		"YAML 1.1": {
			"yes and on are booleans, as kubectl and Helm read them",
			istio("{values: {a: yes, b: on, c: true, d: 0x10, e: 1e3, f: '1', g: 2024-01-01, h: null}}"),
			defaulted(v1.IstioSpec{
				Values: &v1.Values{Raw: []byte(`{"a":true,"b":true,"c":true,"d":16,"e":1000,"f":"1","g":"2024-01-01","h":null}`)},
			}),
		},
		"aliases": {
			"an alias is what it stands for",
			istio("{values: {a: &x {b: 1}, c: *x}}"),
			defaulted(v1.IstioSpec{Values: &v1.Values{Raw: []byte(`{"a":{"b":1},"c":{"b":1}}`)}}),
		},
		"merge keys": {
			"what is written beside them wins",
			istio("{values: {a: &x {b: 1, c: 1}, d: {c: 2, <<: *x}}}"),
			defaulted(v1.IstioSpec{Values: &v1.Values{Raw: []byte(`{"a":{"b":1,"c":1},"d":{"b":1,"c":2}}`)}}),
		},
		"status": {"a resource copied from a cluster", istio("{}") + "status: {state: Healthy}\n", defaulted(v1.IstioSpec{})},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			r, results := resource.Decode(object(t, tc.in))
			if diff := diffResults(nil, results); diff != "" {
				t.Fatalf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, r.Istio.Spec); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if r.Name() != "Istio/default" || r.Istio.Name != "default" || r.Revision != nil {
				t.Errorf("an Istio named default: %+v", r)
			}
		})
	}
}

func defaulted(s v1.IstioSpec) v1.IstioSpec {
	s.Namespace, s.UpdateStrategy = "istio-system", &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyInPlace}
	return s
}

func TestDecodeRevision(t *testing.T) {
	r, results := resource.Decode(object(t, "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: a}\n"+
		"spec: {version: v1.28.3, namespace: ns, values: {revision: a, global: {istioNamespace: ns}}}\n"))
	if diff := diffResults(nil, results); diff != "" {
		t.Fatal(diff)
	}
	if r.Istio != nil || r.Revision == nil || r.Revision.Spec.Version != "v1.28.3" || r.Name() != "IstioRevision/a" {
		t.Errorf("an IstioRevision named a: %+v", r)
	}
}

func TestDecodeErrors(t *testing.T) {
	const e = finding.Error
	cases := map[string]struct {
		reason string
		in     string
		want   []found
	}{
		"other version": {
			"of the same group", strings.Replace(istio("{}"), "/v1", "/v1alpha1", 1),
			[]found{
				{e, "apiVersion", `apiVersion: no function of Lateen expands "sailoperator.io/v1alpha1", kind Istio; ` +
					`did you mean apiVersion: sailoperator.io/v1?`},
			},
		},
		"beside spec": {
			"indented too little", istio("{}") + "values: {}\nspce: {}\n",
			[]found{{e, "spce", "spce: unknown field; did you mean spec?"}, {e, "values", "values: unknown field"}},
		},
		"spec": {"is an object", istio("[]"), []found{{e, "spec", "spec: must be an object, is an array"}}},
		"components": {
			"of an IstioOperator", istio("{components: {}}"),
			[]found{{e, "spec.components", "spec.components belongs to IstioOperator; an Istio is the control plane only. " +
				"Switch parts of it with spec.values.<component>.enabled, install the CNI plugin with an IstioCNI resource, and " +
				"gateways by gateway injection or the Gateway API; migrate-istiooperator does all that"}},
		},
		"hub": {
			"of an IstioOperator", istio("{hub: h}"),
			[]found{{e, "spec.hub", "spec.hub belongs to IstioOperator; write spec.values.global.hub"}},
		},
		"tag": {
			"of an IstioOperator", istio("{tag: t}"),
			[]found{
				{
					e, "spec.tag", "spec.tag belongs to IstioOperator; spec.version selects the release, spec.values.global.tag " +
						"only the image tag",
				},
			},
		},
		"revision": {
			"of an IstioOperator", istio("{revision: r}"),
			[]found{
				{
					e, "spec.revision", "spec.revision belongs to IstioOperator; the name of the Istio and spec.updateStrategy " +
						"decide the revision",
				},
			},
		},
		"gateways": {
			"are not managed", istio("{values: {gateways: {}}}"),
			[]found{{e, "spec.values.gateways", "spec.values.gateways: gateways are not part of an Istio resource; deploy " +
				"them by gateway injection or the Gateway API (https://istio.io/latest/docs/setup/additional-setup/gateway/)"}},
		},
		"cni": {
			"a resource of its own", istio("{values: {cni: {}}}"),
			[]found{{e, "spec.values.cni", "spec.values.cni: the CNI plugin is not part of an Istio resource; " +
				"put this below spec.values.cni of an IstioCNI. Whether this control plane uses the plugin is " +
				"spec.values.pilot.cni.enabled"}},
		},
		"ztunnel": {
			"a chart of its own", istio("{values: {ztunnel: {}}}"),
			[]found{
				{
					e, "spec.values.ztunnel", "spec.values.ztunnel: ztunnel is not part of an Istio resource; install the chart " +
						"ztunnel beside it",
				},
			},
		},
		"values below spec": {
			"Helm's values belong one level down", istio("{global: {}, pilot: {}}"), []found{
				{e, "spec.global", "spec.global: Helm values belong under spec.values; write spec.values.global"},
				{e, "spec.pilot", "spec.pilot: Helm values belong under spec.values; write spec.values.pilot"},
			},
		},
		"misspelled": {
			"suggests what was meant", istio("{verison: v1.28.3}"),
			[]found{{e, "spec.verison", "spec.verison: unknown field; did you mean version?"}},
		},
		"unknown": {
			"without a suggestion", istio("{whatever: 1}"), []found{{e, "spec.whatever", "spec.whatever: unknown field"}},
		},
		"misspelled below": {
			"suggests fields of that level", istio("{updateStrategy: {typ: InPlace}}"),
			[]found{{e, "spec.updateStrategy.typ", "spec.updateStrategy.typ: unknown field; did you mean type?"}},
		},
		"path as key": {
			"a name with dots is no path", istio("{updateStrategy.type: RevisionBased}"),
			[]found{{e, "spec.updateStrategy.type", "spec.updateStrategy.type: unknown field"}},
		},
		"number as text": {
			"version: 1.28 is a number in YAML", istio("{version: 1.28}"),
			[]found{{e, "spec.version", "spec.version: must be a string, is a number"}},
		},
		"text as object": {
			"values are an object", istio("{values: text}"),
			[]found{{e, "spec.values", "spec.values: must be an object, is a string"}},
		},
		"list as object": {
			"values are an object", istio("{values: [a]}"),
			[]found{{e, "spec.values", "spec.values: must be an object, is an array"}},
		},
		"fraction as integer": {
			"seconds are whole", istio("{updateStrategy: {inactiveRevisionDeletionGracePeriodSeconds: 1.5}}"),
			[]found{
				{
					e, "spec.updateStrategy.inactiveRevisionDeletionGracePeriodSeconds",
					"spec.updateStrategy.inactiveRevisionDeletionGracePeriodSeconds: must be an integer, is a number",
				},
			},
		},
		"text as boolean": {
			"quotes make it text", istio("{updateStrategy: {updateWorkloads: 'true'}}"),
			[]found{
				{e, "spec.updateStrategy.updateWorkloads", "spec.updateStrategy.updateWorkloads: must be a boolean, is a string"},
			},
		},
		"all at once": {
			"in the order of names", istio("{verison: v, profile: 1}"),
			[]found{
				{e, "spec.profile", "spec.profile: must be a string, is an integer"},
				{e, "spec.verison", "spec.verison: unknown field; did you mean version?"},
			},
		},
		"duplicate key": {
			"YAML forbids it, and nobody could tell which one counts", istio("\n  version: v1.28.3\n  version: v1.27.0"),
			[]found{{e, "", `line 7: the field "version" is there twice`}},
		},
		"mapping as key": {
			"JSON has no such thing", istio("\n  values: {? {a: b} : c}"), []found{{e, "", "line 6: a field name must be text"}},
		},
		"merge of text": {
			"a merge key takes a mapping", istio("\n  values: {<<: text}"),
			[]found{{e, "", "line 6: << takes the alias of a mapping, or a list of such"}},
		},
		"NaN": {
			"JSON has no such number", istio("\n  values: {a: .nan}"),
			[]found{{e, "", "line 6: .nan is not a number that JSON knows; quote it if it is text"}},
		},
		"infinity": {
			"JSON has no such number", istio("\n  values: {a: -.inf}"),
			[]found{{e, "", "line 6: -.inf is not a number that JSON knows; quote it if it is text"}},
		},
		"endless alias": {
			"an alias inside of what it stands for", istio("{values: &a {b: *a}}"),
			[]found{{e, "", "the resource has more than 65536 fields once its YAML aliases are expanded"}},
		},
		"billion laughs": {
			"bounded", istio("{values: {a0: &a0 [x,x,x,x,x,x,x,x,x,x]" + laughs(9) + "}}"),
			[]found{{e, "", "the resource has more than 65536 fields once its YAML aliases are expanded"}},
		},
		"option": {
			"options are read strictly, too",
			strings.Replace(istio("{}"), "name: default", "name: default\n  annotations: {lateen.io/crds: maybe}", 1),
			[]found{
				{
					e, "metadata.annotations.lateen.io/crds",
					`annotation lateen.io/crds: option crds is "maybe"; possible are: exclude, include`,
				},
			},
		},
		"what the API server rejects": {
			"rejected here, too", istio("{namespace: a, values: {global: {istioNamespace: b}}}"),
			[]found{
				{
					e, "spec.values.global.istioNamespace",
					`spec.values.global.istioNamespace: Invalid value: "b": spec.values.global.istioNamespace must match ` +
						`spec.namespace`,
				},
			},
		},
		"namespace": {
			"only a warning: kustomize's namespace: adds it",
			strings.Replace(istio("{}"), "name: default", "name: default\n  namespace: ns", 1),
			[]found{{
				finding.Warning, "metadata.namespace",
				`metadata.namespace is "ns", but Istio is cluster-scoped; what it installs goes to spec.namespace. ` +
					"A namespace: in a kustomization would break the rendered objects the same way",
			}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			_, results := resource.Decode(object(t, tc.in))
			if diff := diffResults(tc.want, results); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func laughs(levels int) string {
	var b strings.Builder
	for i := 1; i <= levels; i++ {
		p := fmt.Sprintf("*a%d ", i-1)
		fmt.Fprintf(&b, ", a%d: &a%d [%s]", i, i, strings.TrimSuffix(strings.Repeat(p+",", 10), ","))
	}
	return b.String()
}

func TestIsResource(t *testing.T) {
	cases := []struct {
		reason, in string
		want       bool
	}{
		{"an Istio", istio("{}"), true},
		{"of any version: Decode says what is wrong with it", strings.Replace(istio("{}"), "/v1", "/v2", 1), true},
		{"an IstioRevision", strings.Replace(istio("{}"), "kind: Istio", "kind: IstioRevision", 1), true},
		{"a kind that is rendered elsewhere", strings.Replace(istio("{}"), "kind: Istio", "kind: IstioCNI", 1), false},
		{"another group", strings.Replace(istio("{}"), "sailoperator.io", "example.com", 1), false},
		{"generated", strings.Replace(strings.Replace(istio("{}"), "kind: Istio", "kind: IstioRevision", 1), "name: default",
			"name: a\n  annotations: {lateen.io/owner: Istio/default}", 1), false},
		{
			"an Istio is never generated; Decode says so",
			strings.Replace(istio("{}"), "name: default", "name: a\n  annotations: {lateen.io/owner: Istio/default}", 1), true,
		},
	}
	for _, tc := range cases {
		if got := resource.IsResource(object(t, tc.in), "Istio", "IstioRevision"); got != tc.want {
			t.Errorf("%s: want %v, got %v", tc.reason, tc.want, got)
		}
	}
}
