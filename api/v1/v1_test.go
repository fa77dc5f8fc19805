package v1_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
)

func TestScheme(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision, v1.KindIstioRevisionTag, v1.KindIstioCNI} {
		for _, name := range []string{kind, kind + "List"} {
			if _, err := scheme.New(v1.GroupVersion.WithKind(name)); err != nil {
				t.Error(err)
			}
		}
	}
}

// TestRoundTrip: a pipeline reads resources and writes them again, and nothing may appear that was not there.
func TestRoundTrip(t *testing.T) {
	cases := map[string]struct {
		reason string
		object string
		into   runtime.Object
	}{
		"no spec": {
			reason: "spec may be missing",
			object: `{"kind":"Istio","apiVersion":"sailoperator.io/v1","metadata":{"name":"default"}}`,
			into:   &v1.Istio{},
		},
		"values": {
			reason: "values are kept as they are: order of keys, null, whole numbers and fractions",
			object: `{"kind":"Istio","apiVersion":"sailoperator.io/v1","metadata":{"name":"default"},"spec":{` +
				`"version":"v1.24.0",` +
				`"values":{"pilot":{"traceSampling":1.0,"env":null,"autoscaleMin":12345678901},"global":{}},"meshConfig":{}}}`,
			into: &v1.Istio{},
		},
		"strategy": {
			reason: "0 is a period, too",
			object: `{"kind":"Istio","apiVersion":"sailoperator.io/v1","metadata":{"name":"default"},"spec":{` +
				`"updateStrategy":{"inactiveRevisionDeletionGracePeriodSeconds":0}}}`,
			into: &v1.Istio{},
		},
		"status": {
			reason: "a resource from a cluster",
			object: `{"kind":"Istio","apiVersion":"sailoperator.io/v1","metadata":{"name":"default"},"status":{` +
				`"observedGeneration":1,` +
				`"conditions":[{"type":"Ready","status":"True","reason":"Ready","lastTransitionTime":"2026-01-02T03:04:05Z"}],` +
				`"state":"Healthy","revisions":{"total":1,"ready":1,"inUse":0}}}`,
			into: &v1.Istio{},
		},
		"condition without time": {
			reason: "no null for a time that is not known",
			object: `{"kind":"IstioCNI","apiVersion":"sailoperator.io/v1","metadata":{"name":"default"},"status":{` +
				`"conditions":[{"type":"Ready","status":"Unknown"}]}}`,
			into: &v1.IstioCNI{},
		},
		"tag": {
			reason: "a tag",
			object: `{"kind":"IstioRevisionTag","apiVersion":"sailoperator.io/v1","metadata":{"name":"prod"},"spec":{` +
				`"targetRef":{"kind":"Istio","name":"default"}}}`,
			into: &v1.IstioRevisionTag{},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if err := json.Unmarshal([]byte(tc.object), tc.into); err != nil {
				t.Fatal(err)
			}
			have, err := json.Marshal(tc.into)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.object, string(have)); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
			unstructured, err := runtime.DefaultUnstructuredConverter.ToUnstructured(tc.into)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := yaml.Unmarshal([]byte(tc.object), &want); err != nil {
				t.Fatal(err)
			}
			again, _ := json.Marshal(unstructured)
			wanted, _ := json.Marshal(want)
			if diff := cmp.Diff(string(wanted), string(again)); diff != "" {
				t.Errorf("%s: as unstructured (-want +have):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestValues(t *testing.T) {
	cases := map[string]struct {
		reason string
		json   string
		want   map[string]any
	}{
		"numbers": {
			reason: "a template prints an int64 as it was written and a float64 perhaps as 1.502e+07",
			json:   `{"a":15020,"b":0.1,"c":-1,"d":1e-3,"e":[1,2.5],"f":{"g":9007199254740993},"h":98765432109876543210}`,
			want: map[string]any{
				"a": int64(15020), "b": 0.1, "c": int64(-1), "d": 0.001, "e": []any{int64(1), 2.5},
				"f": map[string]any{"g": int64(9007199254740993)}, "h": 98765432109876543210.0,
			},
		},
		"others": {
			reason: "null stays null",
			json:   `{"a":null,"b":"1","c":true,"d":{},"e":[]}`,
			want:   map[string]any{"a": nil, "b": "1", "c": true, "d": map[string]any{}, "e": []any{}},
		},
		"empty": {reason: "no values", json: `{}`, want: map[string]any{}},
		"null":  {reason: "as if absent", json: `null`, want: map[string]any{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var v v1.Values
			if err := json.Unmarshal([]byte(tc.json), &v); err != nil {
				t.Fatal(err)
			}
			have, err := v.Map()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, have); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
			back, err := v1.FromMap(have)
			if err != nil {
				t.Fatal(err)
			}
			again, err := back.Map()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, again); diff != "" {
				t.Errorf("%s: there and back (-want +have):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestValuesErrors(t *testing.T) {
	for _, text := range []string{`[]`, `"a"`, `1`, `true`} {
		var v v1.Values
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s is no object and must be an error", text)
		}
	}
	if _, err := (&v1.Values{Raw: []byte("{")}).Map(); err == nil {
		t.Error("broken JSON must be an error")
	}
	if _, err := v1.FromMap(map[string]any{"a": func() {}}); err == nil {
		t.Error("a function is no JSON and must be an error")
	}
	var none *v1.Values
	if m, err := none.Map(); err != nil || m == nil || len(m) > 0 {
		t.Errorf("absent values are an empty map, are %v, %v", m, err)
	}
	if v, err := v1.FromMap(nil); err != nil || v != nil {
		t.Errorf("a nil map has no values, has %v, %v", v, err)
	}
	if data, err := json.Marshal(v1.Values{}); err != nil || string(data) != "{}" {
		t.Errorf("zero values are {}, are %s, %v", data, err)
	}
	original := &v1.Values{Raw: []byte(`{"a":1}`)}
	original.DeepCopy().Raw[2] = 'b'
	if string(original.Raw) != `{"a":1}` {
		t.Error("a deep copy shares its JSON with the original")
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("a", v1.MaxRevisionNameLength)
	cases := map[string]struct {
		reason string
		object interface {
			Validate() []string
		}
		want []string
	}{
		"Istio": {
			reason: "all of spec has defaults",
			object: istio("default", `{}`),
		},
		"full Istio": {
			reason: "everything set",
			object: istio("default", `{version: v1.28-latest, namespace: a, profile: openshift-ambient,
				updateStrategy: {type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 0, updateWorkloads: true},
				values: {global: {istioNamespace: a}}, meshConfig: {}}`),
		},
		"versions": {
			reason: "each is told",
			object: istio("default", `{version: 1.28.3}`),
			want: []string{
				`spec.version: Invalid value: "1.28.3": must be a version such as v1.28.3, the newest patch of a minor such as ` +
					`v1.28-latest, or master`,
			},
		},
		"everything wrong": {
			reason: "all errors at once",
			object: istio("A.b", `{version: latest, namespace: A, profile: x,
				updateStrategy: {type: z, inactiveRevisionDeletionGracePeriodSeconds: -1},
				values: {global: {istioNamespace: b}}}`),
			want: []string{
				`spec.updateStrategy.type: Unsupported value: "z": supported values: "InPlace", "RevisionBased"`,
				`spec.updateStrategy.inactiveRevisionDeletionGracePeriodSeconds: Invalid value: -1: must be greater than or ` +
					`equal to 0`,
				`metadata.name: Invalid value: "A.b": must consist of lower case letters`,
				`spec.version: Invalid value: "latest"`,
				`spec.profile: Unsupported value: "x": supported values: "ambient", "default", "demo", "empty", "openshift", ` +
					`"openshift-ambient", "preview", "remote", "stable"`,
				`spec.namespace: Invalid value: "A"`,
				`spec.values.global.istioNamespace: Invalid value: "b": ` +
					`spec.values.global.istioNamespace must match spec.namespace`,
			},
		},
		"longest name": {reason: "just fits", object: istio(long, `{}`)},
		"too long a name": {
			reason: "istiod-<name> is a Service", object: istio(long+"a", `{}`), want: []string{"metadata.name: Invalid value"},
		},
		"name and version": {
			reason: "istiod-<name>-<version> is a Service",
			object: istio(long, `{version: v1.24.0, updateStrategy: {type: RevisionBased}}`),
			want:   []string{"metadata.name: Invalid value"},
		},
		"no name": {
			reason: "every resource has one", object: istio("", `{}`), want: []string{"metadata.name: Required value"},
		},
		"default namespace": {
			reason: "the default counts", object: istio("default", `{values: {global: {istioNamespace: b}}}`),
			want: []string{"spec.values.global.istioNamespace"},
		},
		"default namespace 2": {
			reason: "the default counts", object: istio("default", `{values: {global: {istioNamespace: istio-system}}}`),
		},
		"revision": {
			reason: "what an Istio makes",
			object: revision("a", `{version: v1.24.0, namespace: ns, values: {revision: a, global: {istioNamespace: ns}}}`),
		},
		"default revision": {
			reason: "no suffix", object: revision("default",
				`{version: v1.24.0, namespace: ns, values: {revision: "", global: {istioNamespace: ns}}}`),
		},
		"revision missing": {
			reason: "absent is empty", object: revision("default",
				`{version: v1.24.0, namespace: ns, values: {global: {istioNamespace: ns}}}`),
		},
		"revision differs": {
			reason: "the name of the resource is the name of the revision",
			object: revision("a", `{version: v1.24.0, namespace: ns, values: {revision: b, global: {istioNamespace: m}}}`),
			want: []string{
				`spec.values.global.istioNamespace: Invalid value: "m": ` +
					`spec.values.global.istioNamespace must match spec.namespace`,
				`spec.values.revision: Invalid value: "b": spec.values.revision must match metadata.name or be empty when the ` +
					`name is 'default'`,
			},
		},
		"bare revision": {
			reason: "a revision has no defaults",
			object: revision("default", `{}`),
			want:   []string{"spec.version: Required value", "spec.namespace: Required value"},
		},
		"tag": {reason: "as in the user guide", object: tag("prod", `{targetRef: {kind: Istio, name: default}}`)},
		"bare tag": {
			reason: "a tag needs a target", object: tag("prod", `{}`),
			want: []string{"spec.targetRef.kind: Required value", "spec.targetRef.name: Required value"},
		},
		"wrong tag": {
			reason: "two kinds are targets", object: tag("prod", `{targetRef: {kind: Pod, name: `+strings.Repeat("a", 254)+`}}`),
			want: []string{"spec.targetRef.kind: Unsupported value", "spec.targetRef.name: Too long"},
		},
		"CNI": {reason: "all of spec has defaults", object: cni("default", `{}`)},
		"wrong CNI": {
			reason: "there is one CNI plugin",
			object: cni("other", `{version: x, profile: p, namespace: Z}`),
			want: []string{
				`metadata.name: Invalid value: "other": metadata.name must be 'default'`, "spec.version", "spec.profile",
				"spec.namespace",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			have := tc.object.Validate()
			if len(have) != len(tc.want) {
				t.Fatalf("%s: want %q, have:\n%s", tc.reason, tc.want, strings.Join(have, "\n"))
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(have[i], want) {
					t.Errorf("%s: want %q, have %q", tc.reason, want, have[i])
				}
			}
		})
	}
}

func TestConditions(t *testing.T) {
	first := time.Date(2026, 1, 2, 3, 4, 5, 678, time.UTC)
	later := first.Add(time.Hour)
	ready := func(status metav1.ConditionStatus, message string, at time.Time) v1.Condition {
		return v1.Condition{Type: v1.ConditionReady, Status: status, Message: message, LastTransitionTime: metav1.NewTime(at)}
	}
	second := metav1.NewTime(first.Truncate(time.Second))
	cases := map[string]struct {
		reason string
		have   v1.Conditions
		set    v1.Condition
		want   v1.Condition
	}{
		"new": {
			reason: "a time to the second, and the type as the reason",
			set:    ready(metav1.ConditionTrue, "m", first),
			want: v1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "m", LastTransitionTime: second,
			},
		},
		"same status": {
			reason: "the message changes, the time does not",
			have: v1.Conditions{
				{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "m", LastTransitionTime: second},
			},
			set: ready(metav1.ConditionTrue, "n", later),
			want: v1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "n", LastTransitionTime: second,
			},
		},
		"other status": {
			reason: "the time moves",
			have: v1.Conditions{
				{Type: v1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", LastTransitionTime: second},
			},
			set: v1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonIstiodNotReady,
				LastTransitionTime: metav1.NewTime(later),
			},
			want: v1.Condition{
				Type: v1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1.ReasonIstiodNotReady,
				LastTransitionTime: metav1.NewTime(later.Truncate(time.Second)),
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			before := tc.have.Get(v1.ConditionReady).DeepCopy()
			result := tc.have.Set(tc.set)
			if diff := cmp.Diff(v1.Conditions{tc.want}, result); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, tc.have.Get(v1.ConditionReady)); diff != "" {
				t.Errorf("the conditions that Set was called on have changed:\n%s", diff)
			}
		})
	}
}

func TestState(t *testing.T) {
	is := func(kind v1.ConditionType, status metav1.ConditionStatus, reason v1.ConditionReason) v1.Condition {
		return v1.Condition{Type: kind, Status: status, Reason: reason}
	}
	cases := map[string]struct {
		reason     string
		conditions v1.Conditions
		order      []v1.ConditionType
		want       v1.ConditionReason
	}{
		"none": {reason: "nothing is known to be wrong", order: v1.IstioStateConditions, want: v1.Healthy},
		"healthy": {
			reason: "a revision that nothing uses is healthy",
			conditions: v1.Conditions{
				is("Reconciled", "True", "Reconciled"), is("Ready", "True", "Ready"),
				is("InUse", "False", v1.ReasonNotReferencedByAnything),
			},
			order: v1.IstioRevisionStateConditions, want: v1.Healthy,
		},
		"first in order": {
			reason: "the cause comes before the consequence, wherever it is in the list",
			conditions: v1.Conditions{
				is("Ready", "False", v1.ReasonIstiodNotReady), is("Reconciled", "False", v1.ReasonReconcileError),
			},
			order: v1.IstioStateConditions, want: v1.ReasonReconcileError,
		},
		"unused tag": {
			reason: "the user guide shows NotReferencedByAnything",
			conditions: v1.Conditions{
				is("Reconciled", "True", "Reconciled"), is("InUse", "False", v1.ReasonNotReferencedByAnything),
			},
			order: v1.IstioRevisionTagStateConditions, want: v1.ReasonNotReferencedByAnything,
		},
		"unknown": {
			reason:     "unknown is not True",
			conditions: v1.Conditions{is("Ready", "Unknown", v1.ReasonReadinessCheckFailed)},
			order:      v1.IstioCNIStateConditions, want: v1.ReasonReadinessCheckFailed,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if have := tc.conditions.State(tc.order); have != tc.want {
				t.Errorf("%s: want %s, have %s", tc.reason, tc.want, have)
			}
		})
	}
}

func TestDefault(t *testing.T) {
	i := &v1.Istio{}
	i.Default()
	want := v1.IstioSpec{
		Namespace: "istio-system", UpdateStrategy: &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyInPlace},
	}
	if diff := cmp.Diff(want, i.Spec); diff != "" {
		t.Errorf("as the API server does (-want +have):\n%s", diff)
	}
	if have := i.Spec.UpdateStrategy.GracePeriodSeconds(); have != 30 {
		t.Errorf("the grace period is 30 when absent, is %d", have)
	}
	zero := int64(0)
	s := &v1.IstioUpdateStrategy{InactiveRevisionDeletionGracePeriodSeconds: &zero}
	if have := s.GracePeriodSeconds(); have != 0 {
		t.Errorf("a period of 0 is kept, is %d", have)
	}
	c := &v1.IstioCNI{}
	c.Default()
	if c.Spec.Namespace != "istio-cni" {
		t.Errorf("the CNI plugin is in istio-cni, is in %q", c.Spec.Namespace)
	}
}

// TestImports: the package is linked into every function, so it must stay pure data.
func TestImports(t *testing.T) {
	list, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, list)
	}
	for dependency := range strings.Lines(string(list)) {
		for _, never := range []string{
			"k8s.io/client-go", "k8s.io/apiextensions-apiserver", "sigs.k8s.io/controller-runtime", "k8s.io/api/",
		} {
			if strings.HasPrefix(dependency, never) {
				t.Errorf("api/v1 links %s", dependency)
			}
		}
	}
}

// complaints adapts the error lists of the kinds.
type complaints func() []string

func (c complaints) Validate() []string { return c() }

func istio(name, spec string) complaints {
	return func() []string {
		object := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: name}}
		read(spec, &object.Spec)
		return texts(object.Validate())
	}
}

func revision(name, spec string) complaints {
	return func() []string {
		object := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name}}
		read(spec, &object.Spec)
		return texts(object.Validate())
	}
}

func tag(name, spec string) complaints {
	return func() []string {
		object := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: name}}
		read(spec, &object.Spec)
		return texts(object.Validate())
	}
}

func cni(name, spec string) complaints {
	return func() []string {
		object := &v1.IstioCNI{ObjectMeta: metav1.ObjectMeta{Name: name}}
		read(spec, &object.Spec)
		return texts(object.Validate())
	}
}

func read(text string, into any) {
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		panic(err)
	}
}

func texts[E error, L ~[]E](errs L) []string {
	var all []string
	for _, err := range errs {
		all = append(all, err.Error())
	}
	return all
}
