package crd

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/install"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	schemavalidation "k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// limit is what a CRD may have as compact JSON: kubectl apply keeps a copy in an annotation, and all annotations
// together have 262144 bytes.
const limit = 240 * 1000

// kind is one CRD as the API server uses it.
type kind struct {
	file       string
	size       int
	crd        *apiextensions.CustomResourceDefinition
	v1         *apiextensionsv1.CustomResourceDefinition
	structural *structuralschema.Structural
	schema     schemavalidation.SchemaValidator
	cel        *cel.Validator
}

// load reads the CRDs of this directory, by kind.
func load(t testing.TB) map[string]*kind {
	t.Helper()
	scheme := runtime.NewScheme()
	install.Install(scheme)
	files, err := filepath.Glob("sailoperator.io_*.yaml")
	if err != nil || len(files) != 4 {
		t.Fatalf("want 4 CRDs, have %v, %v", files, err)
	}
	kinds := map[string]*kind{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		compact, err := yaml.YAMLToJSONStrict(data)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		k := &kind{
			file: file, size: len(compact), v1: &apiextensionsv1.CustomResourceDefinition{},
			crd: &apiextensions.CustomResourceDefinition{},
		}
		decoder := json.NewDecoder(bytes.NewReader(compact))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(k.v1); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		scheme.Default(k.v1)
		if err := scheme.Convert(k.v1, k.crd, nil); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		openAPI, err := apiextensions.GetSchemaForVersion(k.crd, "v1")
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if k.structural, err = structuralschema.NewStructural(openAPI.OpenAPIV3Schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if k.schema, _, err = schemavalidation.NewSchemaValidator(openAPI.OpenAPIV3Schema); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		k.cel = cel.NewValidator(k.structural, true, celconfig.PerCallLimit)
		kinds[k.v1.Spec.Names.Kind] = k
	}
	return kinds
}

// admit does to an object what the API server does before it stores it, and returns the object and every complaint.
func (k *kind) admit(object, old map[string]any) (map[string]any, []string) {
	object = runtime.DeepCopyJSON(object)
	var complaints []string
	options := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(object, k.structural, true, options) {
		complaints = append(complaints, "unknown field "+path)
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, k.structural)
	defaulting.Default(object, k.structural)
	for _, err := range schemavalidation.ValidateCustomResource(nil, object, k.schema) {
		complaints = append(complaints, err.Error())
	}
	var before any
	if old != nil {
		before = old
	}
	errs, _ := k.cel.Validate(context.Background(), nil, k.structural, object, before, celconfig.RuntimeCELCostBudget)
	for _, err := range errs {
		complaints = append(complaints, err.Error())
	}
	slices.Sort(complaints)
	return object, complaints
}

func TestCRDsAreValid(t *testing.T) {
	for name, k := range load(t) {
		t.Run(name, func(t *testing.T) {
			k.crd.Status.StoredVersions = []string{"v1"} // the API server fills this in before it validates
			for _, err := range validation.ValidateCustomResourceDefinition(context.Background(), k.crd) {
				t.Error(err)
			}
			if k.size > limit {
				t.Errorf("%s: %d bytes as JSON; kubectl apply works up to about %d: shorten descriptions in config/crd/gen", k.file,
					k.size, limit)
			}
			t.Logf("%s: %d bytes as JSON", k.file, k.size)
		})
	}
}

func TestNames(t *testing.T) {
	cases := map[string]struct {
		reason  string
		names   apiextensionsv1.CustomResourceDefinitionNames
		columns []string
	}{
		"Istio": {
			reason: "the columns of the user guide, and two more with -o wide",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "istios", Singular: "istio", Kind: "Istio", ListKind: "IstioList",
			},
			columns: []string{
				"Revisions .status.revisions.total 0", "Ready .status.revisions.ready 0", "In use .status.revisions.inUse 0",
				"Active Revision .status.activeRevisionName 0", "Status .status.state 0", "Version .spec.version 0",
				"Age .metadata.creationTimestamp 0", "Namespace .spec.namespace 1", "Profile .spec.profile 1",
			},
		},
		"IstioRevision": {
			reason: "the columns of the user guide",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "istiorevisions", Singular: "istiorevision", Kind: "IstioRevision", ListKind: "IstioRevisionList",
				ShortNames: []string{"istiorev"},
			},
			columns: []string{
				"Type .status.type 0", `Ready .status.conditions[?(@.type=="Ready")].status 0`, "Status .status.state 0",
				`In use .status.conditions[?(@.type=="InUse")].status 0`, "Version .spec.version 0",
				"Age .metadata.creationTimestamp 0",
			},
		},
		"IstioRevisionTag": {
			reason: "the columns of the user guide",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "istiorevisiontags", Singular: "istiorevisiontag", Kind: "IstioRevisionTag",
				ListKind:   "IstioRevisionTagList",
				ShortNames: []string{"istiorevtag"},
			},
			columns: []string{
				"Status .status.state 0", `In use .status.conditions[?(@.type=="InUse")].status 0`,
				"Revision .status.istioRevision 0", "Age .metadata.creationTimestamp 0",
			},
		},
		"IstioCNI": {
			reason: "the columns of the Sail Operator",
			names: apiextensionsv1.CustomResourceDefinitionNames{
				Plural: "istiocnis", Singular: "istiocni", Kind: "IstioCNI", ListKind: "IstioCNIList",
			},
			columns: []string{
				`Ready .status.conditions[?(@.type=="Ready")].status 0`, "Status .status.state 0", "Version .spec.version 0",
				"Age .metadata.creationTimestamp 0",
			},
		},
	}
	kinds := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			have := kinds[name].v1.Spec
			want := tc.names
			want.Categories = []string{"istio-io"}
			if diff := cmp.Diff(want, have.Names); diff != "" {
				t.Errorf("%s: names (-want +have):\n%s", tc.reason, diff)
			}
			var columns []string
			for _, c := range have.Versions[0].AdditionalPrinterColumns {
				columns = append(columns, c.Name+" "+c.JSONPath+" "+strconv.Itoa(int(c.Priority)))
			}
			if diff := cmp.Diff(tc.columns, columns); diff != "" {
				t.Errorf("%s: columns (-want +have):\n%s", tc.reason, diff)
			}
			if have.Scope != apiextensionsv1.ClusterScoped || have.Group != "sailoperator.io" ||
				have.Versions[0].Subresources.Status == nil {
				t.Errorf("want a cluster-scoped kind of sailoperator.io with a status subresource, have %s %s %v", have.Scope,
					have.Group, have.Versions[0].Subresources)
			}
		})
	}
}

// TestExplain makes sure that kubectl explain has something to say where users look first.
func TestExplain(t *testing.T) {
	kinds := load(t)
	for _, path := range []string{
		"Istio spec", "Istio spec.values", "Istio spec.values.global", "Istio spec.values.global.proxy",
		"Istio spec.values.pilot",
		"Istio spec.values.meshConfig", "Istio spec.values.meshConfig.defaultConfig", "Istio spec.values.telemetry",
		"Istio spec.meshConfig",
		"IstioRevision spec.values", "IstioRevision spec.values.pilot", "IstioCNI spec.values", "IstioCNI spec.values.cni",
		"IstioCNI spec.values.global",
	} {
		t.Run(path, func(t *testing.T) {
			name, fields, _ := strings.Cut(path, " ")
			s := kinds[name].structural
			for field := range strings.SplitSeq(fields, ".") {
				next, ok := s.Properties[field]
				if !ok {
					t.Fatalf("there is no field %s", field)
				}
				s = &next
			}
			if s.Description == "" {
				t.Error("the field has no description")
			}
			for field, inner := range s.Properties {
				if inner.Description == "" {
					t.Errorf("the field %s below has no description", field)
				}
			}
		})
	}
}

func TestDefaults(t *testing.T) {
	cases := map[string]struct {
		reason string
		object string
		want   map[string]any
	}{
		"Istio without spec": {
			reason: "all of spec has defaults, so spec may be missing",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}}",
			want: map[string]any{
				"version": "v1.28.3", "namespace": "istio-system", "updateStrategy": map[string]any{"type": "InPlace"},
			},
		},
		"Istio with a strategy that has no type": {
			reason: "each default stands for itself",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {version: v1.24.0, " +
				"updateStrategy: {}}}",
			want: map[string]any{
				"version": "v1.24.0", "namespace": "istio-system", "updateStrategy": map[string]any{"type": "InPlace"},
			},
		},
		"IstioCNI without spec": {
			reason: "all of spec has defaults, so spec may be missing",
			object: "{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: default}}",
			want:   map[string]any{"version": "v1.28.3", "namespace": "istio-cni"},
		},
	}
	kinds := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := parse(t, tc.object)
			have, complaints := kinds[object["kind"].(string)].admit(object, nil)
			if len(complaints) > 0 {
				t.Errorf("%s: %v", tc.reason, complaints)
			}
			if diff := cmp.Diff(tc.want, have["spec"]); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
		})
	}
}

// TestStatus: a resource that nobody has looked at yet says so, for health checks that read observedGeneration.
func TestStatus(t *testing.T) {
	want := map[string]any{"observedGeneration": int64(-1)}
	for name, k := range load(t) {
		object := map[string]any{
			"apiVersion": "sailoperator.io/v1", "kind": name, "metadata": map[string]any{"name": "default"},
			"spec": map[string]any{
				"version": "v1.28.3", "namespace": "a",
				"targetRef": map[string]any{"kind": "Istio", "name": "a"},
			},
		}
		have, _ := k.admit(object, nil)
		if diff := cmp.Diff(want, have["status"]); diff != "" {
			t.Errorf("%s: a resource without a status (-want +have):\n%s", name, diff)
		}
		object["status"] = map[string]any{"state": "Healthy"}
		have, _ = k.admit(object, nil)
		if diff := cmp.Diff(object["status"], have["status"]); diff != "" {
			t.Errorf("%s: a status that is there must stay as it is (-want +have):\n%s", name, diff)
		}
	}
}

// TestKept: no tool prunes the definitions, since all resources would go with them.
func TestKept(t *testing.T) {
	for name, k := range load(t) {
		have := maps.Clone(k.v1.Annotations)
		delete(have, "controller-gen.kubebuilder.io/version")
		want := map[string]string{
			"argocd.argoproj.io/sync-options":    "Prune=false,Delete=false",
			"argocd.argoproj.io/compare-options": "IgnoreExtraneous",
			"kustomize.toolkit.fluxcd.io/prune":  "disabled", "helm.sh/resource-policy": "keep",
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s (-want +have):\n%s", name, diff)
		}
	}
}

// TestNull: in Helm's values null takes a default away, so it must reach the charts.
func TestNull(t *testing.T) {
	cases := map[string]struct {
		reason string
		values string
		want   string
	}{
		"any type": {
			reason: "what a chart defaults can have any type",
			values: `{global: {istioNamespace: null, proxy: {resources: null, privileged: null}, sts: {servicePort: null},
				  tag: null},
				meshConfig: null, pilot: {env: {A: null}, resources: {limits: {cpu: null}}, rollingMaxSurge: null,
				  tolerations: null}}`,
			want: `{global: {istioNamespace: null, proxy: {resources: null, privileged: null}, sts: {servicePort: null},
				  tag: null},
				meshConfig: null, pilot: {env: {A: null}, resources: {limits: {cpu: null}}, rollingMaxSurge: null,
				  tolerations: null}}`,
		},
		"enum": {
			reason: "the API server has no nullable enum: it drops the null",
			values: `{global: {proxy: {tracer: null}}}`,
			want:   `{global: {proxy: {}}}`,
		},
	}
	k := load(t)["Istio"]
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			have, complaints := k.admit(parse(t,
				"{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {values: "+tc.values+"}}"), nil)
			if len(complaints) > 0 {
				t.Errorf("%s: %v", tc.reason, complaints)
			}
			var want any
			if err := yaml.Unmarshal([]byte(tc.want), &want); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, have["spec"].(map[string]any)["values"]); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestAdmission(t *testing.T) {
	istio := func(spec string) string {
		return "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: " + spec + "}"
	}
	revision := func(name, spec string) string {
		return "{apiVersion: sailoperator.io/v1, kind: IstioRevision, metadata: {name: " + name + "}, spec: " + spec + "}"
	}
	cni := func(name, spec string) string {
		return "{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: " + name + "}, spec: " + spec + "}"
	}
	tag := func(spec string) string {
		return "{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: prod}, spec: " + spec + "}"
	}
	cases := map[string]struct {
		reason string
		object string
		old    string
		want   []string // parts of the complaints, in order
	}{
		"version": {
			reason: "any release can be brought, so the version is not an enum",
			object: istio("{version: v1.22.5}"),
		},
		"alias": {
			reason: "an alias stands for the newest patch",
			object: istio("{version: v1.28-latest}"),
		},
		"pre-release": {
			reason: "pre-releases and master can be brought as well",
			object: istio("{version: v1.29.0-rc.1}"),
		},
		"master": {
			reason: "pre-releases and master can be brought as well",
			object: istio("{version: master}"),
		},
		"version without v": {
			reason: "the user guide writes versions with a v",
			object: istio("{version: 1.28.3}"),
			want:   []string{"spec.version: Invalid value"},
		},
		"profile": {
			reason: "profiles are an enum",
			object: istio("{profile: fancy}"),
			want:   []string{`spec.profile: Unsupported value: "fancy"`},
		},
		"strategy": {
			reason: "strategies are an enum",
			object: istio("{updateStrategy: {type: Recreate}}"),
			want:   []string{`spec.updateStrategy.type: Unsupported value: "Recreate"`},
		},
		"grace": {
			reason: "a period is not negative",
			object: istio("{updateStrategy: {inactiveRevisionDeletionGracePeriodSeconds: -1}}"),
			want:   []string{"spec.updateStrategy.inactiveRevisionDeletionGracePeriodSeconds: Invalid value: -1"},
		},
		"immutable namespace": {
			reason: "moving a control plane needs a new Istio",
			object: istio("{namespace: b}"),
			old:    istio("{namespace: a}"),
			want:   []string{`spec.namespace: Invalid value: "b": Value is immutable`},
		},
		"same namespace": {
			reason: "an update of something else is fine",
			object: istio("{namespace: a, version: v1.24.0}"),
			old:    istio("{namespace: a, version: v1.23.2}"),
		},
		"istioNamespace": {
			reason: "the value may say what the spec says",
			object: istio("{namespace: a, values: {global: {istioNamespace: a}}}"),
		},
		"istioNamespace differs": {
			reason: "the value must not contradict the spec",
			object: istio("{namespace: a, values: {global: {istioNamespace: b}}}"),
			want:   []string{"spec.values.global.istioNamespace must match spec.namespace"},
		},
		"istioNamespace differs from the default": {
			reason: "the default namespace counts",
			object: istio("{values: {global: {istioNamespace: b}}}"),
			want:   []string{"spec.values.global.istioNamespace must match spec.namespace"},
		},
		"long name": {
			reason: "istiod-<name> must fit into the name of a Service",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: " + strings.Repeat("a", 57) + "}}",
			want:   []string{"metadata.name is too long"},
		},
		"longest name": {
			reason: "istiod-<name> must fit into the name of a Service",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: " + strings.Repeat("a", 56) + "}}",
		},
		"long name with version": {
			reason: "istiod-<name>-v1-24-0 must fit into the name of a Service",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: " + strings.Repeat("a", 49) +
				"}, spec: {version: v1.24.0, updateStrategy: {type: RevisionBased}}}",
			want: []string{"metadata.name is too long"},
		},
		"name with a dot": {
			reason: "a Service's name has no dots",
			object: "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: a.b}}",
			want:   []string{"metadata.name must consist of lower case letters"},
		},
		"env": {
			reason: "environment variables are strings",
			object: istio(`{values: {pilot: {env: {PILOT_ENABLE_STATUS: "true"}}}}`),
		},
		"unquoted env": {
			reason: "the user guide says that Kubernetes rejects this",
			object: istio("{values: {pilot: {env: {PILOT_ENABLE_STATUS: true}}}}"),
			want: []string{
				`spec.values.pilot.env.PILOT_ENABLE_STATUS: Invalid value: "boolean": spec.values.pilot.env.PILOT_ENABLE_STATUS ` +
					`in body must be of type string: "boolean"`,
			},
		},
		"unknown value": {
			reason: "a typing error must not be dropped silently",
			object: istio("{values: {pilot: {traceSamplin: 1}}}"),
			want:   []string{"unknown field spec.values.pilot.traceSamplin"},
		},
		"unknown field of a MeshConfig": {
			reason: "MeshConfig has a schema as well, in both places",
			object: istio("{meshConfig: {accessLogFil: x}, values: {meshConfig: {accessLogFil: x}}}"),
			want:   []string{"unknown field spec.meshConfig.accessLogFil", "unknown field spec.values.meshConfig.accessLogFil"},
		},
		"components": {
			reason: "an IstioOperator has spec.components, an Istio does not",
			object: istio("{components: {pilot: {enabled: true}}, global: {network: n}}"),
			want:   []string{"unknown field spec.components", "unknown field spec.global"},
		},
		"what is not managed": {
			reason: "gateways are not managed, and the CNI plugin and ztunnel have kinds of their own",
			object: istio("{values: {gateways: {}, cni: {}, ztunnel: {}}}"),
			want: []string{
				"unknown field spec.values.cni", "unknown field spec.values.gateways", "unknown field spec.values.ztunnel",
			},
		},
		"pilot.cni": {
			reason: "how istiod uses the CNI plugin is istiod's",
			object: istio("{values: {pilot: {cni: {enabled: true, provider: multus}}}}"),
		},
		"quantities": {
			reason: "all ways to write a quantity that a Pod takes",
			object: istio(
				`{values: {pilot: {resources: {requests: {cpu: 0.5, memory: 128Mi}, limits: {cpu: 2, memory: "1Gi"}}}}}`),
		},
		"no quantity": {
			reason: "a quantity is a scalar",
			object: istio(`{values: {pilot: {resources: {requests: {cpu: {a: b}}, limits: {memory: [1]}}}}}`),
			want:   []string{"spec.values.pilot.resources.limits.memory", "spec.values.pilot.resources.requests.cpu"},
		},
		"int or string": {
			reason: "both are common",
			object: istio(`{values: {pilot: {rollingMaxSurge: 100%, rollingMaxUnavailable: 1}}}`),
		},
		"null global": {
			reason: "the rule about istioNamespace copes with null",
			object: istio("{namespace: a, values: {global: null}}"),
		},
		"null values": {
			reason: "as if it were absent",
			object: istio("{namespace: a, values: null, meshConfig: null}"),
		},
		"enum": {
			reason: "enums of Istio's types hold",
			object: istio("{meshConfig: {accessLogEncoding: XML}}"),
			want:   []string{`spec.meshConfig.accessLogEncoding: Unsupported value: "XML"`},
		},
		"revision": {
			reason: "what an Istio makes",
			object: revision("default-v1-24-0",
				"{version: v1.24.0, namespace: a, values: {revision: default-v1-24-0, global: {istioNamespace: a, "+
					"configValidation: true}}}"),
		},
		"default revision": {
			reason: "the default revision has no suffix",
			object: revision("default", `{version: v1.24.0, namespace: a, values: {revision: "", global: {istioNamespace: a}}}`),
		},
		"default revision without revision": {
			reason: "absent is empty",
			object: revision("default", `{version: v1.24.0, namespace: a, values: {global: {istioNamespace: a}}}`),
		},
		"revision differs": {
			reason: "the name of the resource is the name of the revision",
			object: revision("a", `{version: v1.24.0, namespace: a, values: {revision: b, global: {istioNamespace: a}}}`),
			want:   []string{"spec.values.revision must match metadata.name or be empty when the name is 'default'"},
		},
		"revision missing": {
			reason: "only the default revision may leave it out",
			object: revision("a", `{version: v1.24.0, namespace: a, values: {global: {istioNamespace: a}}}`),
			want:   []string{"spec.values.revision must match metadata.name or be empty when the name is 'default'"},
		},
		"revision empty": {
			reason: "only the default revision may leave it empty",
			object: revision("a", `{version: v1.24.0, namespace: a, values: {revision: "", global: {istioNamespace: a}}}`),
			want:   []string{"spec.values.revision must match metadata.name or be empty when the name is 'default'"},
		},
		"revision in another namespace": {
			reason: "the values of a revision are complete",
			object: revision("a", `{version: v1.24.0, namespace: a, values: {revision: a, global: {istioNamespace: b}}}`),
			want:   []string{"spec.values.global.istioNamespace must match spec.namespace"},
		},
		"revision without values": {
			reason: "the values of a revision are complete",
			object: revision("a", `{version: v1.24.0, namespace: a}`),
			want: []string{
				"spec.values.revision must match metadata.name or be empty when the name is 'default'",
				"spec.values.global.istioNamespace must match spec.namespace",
			},
		},
		"revision without namespace": {
			reason: "a revision has no defaults",
			object: revision("default", `{version: v1.24.0, values: {global: {istioNamespace: a}}}`),
			want:   []string{"spec.namespace: Required value"},
		},
		"moved revision": {
			reason: "a revision does not move either",
			object: revision("default", `{version: v1.24.0, namespace: b, values: {global: {istioNamespace: b}}}`),
			old:    revision("default", `{version: v1.24.0, namespace: a, values: {global: {istioNamespace: a}}}`),
			want:   []string{`spec.namespace: Invalid value: "b": Value is immutable`},
		},
		"CNI": {
			reason: "as in the user guide",
			object: cni("default", "{version: v1.23.2, namespace: istio-cni, values: {cni: {cniConfDir: /etc/cni/net.d, "+
				"excludeNamespaces: [kube-system]}, global: {tag: 1.23.2}}}"),
		},
		"CNI by another name": {
			reason: "there is one CNI plugin",
			object: cni("other", "{}"),
			want:   []string{"metadata.name must be 'default'"},
		},
		"moved CNI": {
			reason: "the namespace of the CNI plugin is immutable, too",
			object: cni("default", "{namespace: b}"),
			old:    cni("default", "{namespace: a}"),
			want:   []string{`spec.namespace: Invalid value: "b": Value is immutable`},
		},
		"CNI with values of istiod": {
			reason: "the CNI plugin takes cni and global",
			object: cni("default", "{values: {pilot: {}}}"),
			want:   []string{"unknown field spec.values.pilot"},
		},
		"tag": {
			reason: "a tag may point at either kind",
			object: tag("{targetRef: {kind: IstioRevision, name: default-v1-24-0}}"),
		},
		"tag moves": {
			reason: "a tag's target is mutable",
			object: tag("{targetRef: {kind: Istio, name: b}}"),
			old:    tag("{targetRef: {kind: IstioRevision, name: a}}"),
		},
		"tag of a tag": {
			reason: "a tag points at a revision, not at another tag",
			object: tag("{targetRef: {kind: IstioRevisionTag, name: a}}"),
			want:   []string{`spec.targetRef.kind: Unsupported value: "IstioRevisionTag"`},
		},
		"tag of nothing": {
			reason: "a target has a name",
			object: tag(`{targetRef: {kind: Istio, name: ""}}`),
			want:   []string{"spec.targetRef.name"},
		},
	}
	kinds := load(t)
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			object := parse(t, tc.object)
			k := kinds[object["kind"].(string)]
			var old map[string]any
			if tc.old != "" {
				var complaints []string
				if old, complaints = k.admit(parse(t, tc.old), nil); len(complaints) > 0 {
					t.Fatalf("old object: %v", complaints)
				}
			}
			_, have := k.admit(object, old)
			if len(have) != len(tc.want) {
				t.Fatalf("%s: want %d complaints %q, have %d:\n%s", tc.reason, len(tc.want), tc.want, len(have),
					strings.Join(have, "\n"))
			}
			for i, want := range tc.want {
				if !strings.Contains(have[i], want) {
					t.Errorf("%s: want %q, have %q", tc.reason, want, have[i])
				}
			}
		})
	}
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	data, err := yaml.YAMLToJSONStrict([]byte(text))
	if err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	object := &unstructured.Unstructured{}
	if err := object.UnmarshalJSON(data); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	return object.Object
}

// TestVersionNotes: one schema serves all versions, so fields say which of them have it.
func TestVersionNotes(t *testing.T) {
	cases := map[string]struct{ reason, field, want string }{
		"since":  {reason: "newer than the oldest version", field: "spec.values.global.networkPolicy", want: "Since v1.28."},
		"until":  {reason: "gone in the newest version", field: "spec.values.istio_cni", want: "Until v1.23."},
		"always": {reason: "every version has it", field: "spec.values.global.proxy", want: ""},
		"below": {
			reason: "a field as old as the object around it needs no note", field: "spec.values.global.networkPolicy.enabled",
			want: "",
		},
	}
	k := load(t)["Istio"]
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s := k.structural
			for field := range strings.SplitSeq(tc.field, ".") {
				next, ok := s.Properties[field]
				if !ok {
					t.Fatalf("there is no field %s", field)
				}
				s = &next
			}
			have := strings.Contains(s.Description, "Since v") || strings.Contains(s.Description, "Until v")
			if have != (tc.want != "") || !strings.HasSuffix(s.Description, tc.want) {
				t.Errorf("%s: want the note %q, the description is %q", tc.reason, tc.want, s.Description)
			}
		})
	}
}
