package operation

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/google/cel-go/cel"
	"github.com/google/cel-go/common/types"
	"github.com/google/cel-go/ext"
	"github.com/google/go-cmp/cmp"
	"github.com/itchyny/gojq"
	lua "github.com/yuin/gopher-lua"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/health"
)

// verdicts are what GitOps tools make of a resource.
type verdicts struct {
	// Argo is by config/argocd, Flux by config/flux, and Generic is what kstatus says of its own: Flux without
	// config/flux, and others.
	Argo, Flux, Generic string
}

var (
	well     = verdicts{"Healthy", "Current", "Current"}
	onItsWay = verdicts{"Progressing", "InProgress", "InProgress"}
	broken   = verdicts{"Degraded", "Failed", "Failed"}
)

// object is a resource with a status as the controller writes it, or as the CRD gives it one before the controller has.
// Its generation is 2.
func object(kind string, observed int64, all ...v1.Condition) *unstructured.Unstructured {
	o := map[string]any{
		"apiVersion": v1.GroupVersion.String(), "kind": kind,
		"metadata": map[string]any{"name": "default", "generation": int64(2)}, "spec": map[string]any{},
	}
	o["status"] = map[string]any{"observedGeneration": int64(-1)}
	if all != nil {
		var set v1.Conditions
		for _, c := range all {
			c.LastTransitionTime = metav1.NewTime(time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
			set = set.Set(c)
		}
		s, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&v1.IstioStatus{
			ObservedGeneration: observed, Conditions: set,
		})
		if err != nil {
			panic(err)
		}
		o["status"] = s
	}
	return &unstructured.Unstructured{Object: o}
}

// stalled are the conditions Reconciled and Stalled of a permanent problem, beside others.
func stalled(p *status.Problem, others ...v1.Condition) []v1.Condition {
	return append(others, status.Reconciled(p), status.Stalled(nil, p, time.Now())[0])
}

// TestHealth is what Argo CD, Flux and generic tools say of the statuses that the controller writes.
func TestHealth(t *testing.T) {
	up := health.Istiod(health.Deployment{Found: true, Desired: 1, Total: 1, Updated: 1, Ready: 1})
	down := health.Istiod(health.Deployment{Found: true, Desired: 1, Total: 1, Updated: 1})
	plugin := health.CNI(health.DaemonSet{Found: true, Scheduled: 1, Ready: 1})
	reconciled, independent := status.Reconciled(nil), health.Dependencies(false, health.IstioCNI{})
	unused := v1.Condition{
		Type: v1.ConditionInUse, Status: metav1.ConditionFalse, Reason: v1.ReasonNotReferencedByAnything,
	}
	unseen := v1.Condition{Type: v1.ConditionInUse, Status: metav1.ConditionUnknown, Reason: v1.ReasonUsageCheckFailed}
	invalid := status.Permanent(v1.ReasonReconcileError, errors.New("spec.version: Istio v9.9.9 is not bundled"))
	refused := status.Temporary(v1.ReasonReconcileError, errors.New("Deployment istio-system/istiod: connection refused"))

	cases := map[string]struct {
		reason string
		object *unstructured.Unstructured
		want   verdicts
	}{
		"an Istio that nobody has seen": {
			"the CRD gives it a status that is about no generation", object(v1.KindIstio, 0), onItsWay,
		},
		"a revision that nobody has seen":   {"the same", object(v1.KindIstioRevision, 0), onItsWay},
		"a tag that nobody has seen":        {"the same", object(v1.KindIstioRevisionTag, 0), onItsWay},
		"a CNI plugin that nobody has seen": {"the same", object(v1.KindIstioCNI, 0), onItsWay},
		"an Istio without any status": {
			"Lateen's CRDs before they had that default: kstatus takes it for well, and Flux's expressions cannot " +
				"be evaluated",
			bare(object(v1.KindIstio, 0)),
			verdicts{"Progressing", "Unknown", "Current"},
		},
		"an Istio that was changed": {
			"its status is about an earlier spec", object(v1.KindIstio, 1, reconciled, up, independent), onItsWay,
		},
		"an Istio with istiod": {"all is well", object(v1.KindIstio, 2, reconciled, up, independent), well},
		"an Istio without ready pods": {
			"a roll-out is under way", object(v1.KindIstio, 2, reconciled, down, independent), onItsWay,
		},
		"an Istio of which little is known": {
			"a condition is missing", object(v1.KindIstio, 2, reconciled),
			verdicts{"Progressing", "InProgress", "Current"},
		},
		"an Istio that cannot be": {
			"a person has to change it", object(v1.KindIstio, 2, stalled(invalid, up, independent)...), broken,
		},
		"an Istio that could not be applied": {
			"the next try may work; kstatus knows Ready only, and that is about istiod, which still runs",
			object(v1.KindIstio, 2, status.Reconciled(refused), up, independent),
			verdicts{"Progressing", "InProgress", "Current"},
		},
		"an Istio without the CNI that it needs": {
			"the IstioCNI may be part of a later sync, which waits for this one",
			object(v1.KindIstio, 2, reconciled, up, health.Dependencies(true, health.IstioCNI{})), well,
		},
		"a revision without the CNI that it needs": {
			"the same", object(v1.KindIstioRevision, 2, reconciled, up,
				health.Dependencies(true, health.IstioCNI{Found: true, State: "ReconcileError"})), well,
		},
		"a revision that nothing uses": {
			"that is no illness", object(v1.KindIstioRevision, 2, reconciled, up, independent, unused), well,
		},
		"a revision whose users cannot be seen": {
			"nor is this: proxies are served", object(v1.KindIstioRevision, 2, reconciled, up, independent, unseen), well,
		},
		"a remote revision that nobody has asked": {
			"soon somebody will", object(v1.KindIstioRevision, 2, reconciled, health.Remote(health.Probe{}), independent),
			onItsWay,
		},
		"a remote revision that does not answer": {
			"it may come up", object(v1.KindIstioRevision, 2, reconciled,
				health.Remote(health.Probe{Tried: true, Err: "timeout"}), independent), onItsWay,
		},
		"a revision with the name of a tag": {
			"one of them has to go", object(v1.KindIstioRevision, 2,
				stalled(status.Permanent(v1.ReasonNameAlreadyExists, errors.New("taken")), down, independent)...),
			broken,
		},
		"a tag that nothing uses": {
			"its state is NotReferencedByAnything, and it is healthy", object(v1.KindIstioRevisionTag, 2, reconciled, unused),
			well,
		},
		"a tag of which use is unknown": {
			"its webhooks are there", object(v1.KindIstioRevisionTag, 2, reconciled, unseen), well,
		},
		"a tag without a target": {
			"somebody has to create it, or change the tag",
			object(v1.KindIstioRevisionTag, 2,
				stalled(status.Permanent(v1.ReasonRefNotFound, errors.New("it does not exist")), unused)...), broken,
		},
		"a tag that could not be applied": {
			"kstatus finds nothing that it knows", object(v1.KindIstioRevisionTag, 2, status.Reconciled(refused), unused),
			verdicts{"Progressing", "InProgress", "Current"},
		},
		"a CNI plugin": {"all is well", object(v1.KindIstioCNI, 2, reconciled, plugin), well},
		"a CNI plugin without pods": {
			"they are coming", object(v1.KindIstioCNI, 2, reconciled,
				health.CNI(health.DaemonSet{Found: true, Scheduled: 3, Ready: 2})), onItsWay,
		},
		"a CNI plugin in a namespace that is missing": {
			"somebody has to create it",
			object(v1.KindIstioCNI, 2, stalled(status.Permanent(v1.ReasonReconcileError,
				errors.New(`namespace "istio-cni" doesn't exist`)), health.CNI(health.DaemonSet{}))...),
			broken,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, judge(t, c.object)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
		})
	}
}

// bare takes the status off an object.
func bare(o *unstructured.Unstructured) *unstructured.Unstructured {
	unstructured.RemoveNestedField(o.Object, "status")
	return o
}

// TestHealthMessage is what people read in Argo CD.
func TestHealthMessage(t *testing.T) {
	up := health.Istiod(health.Deployment{Found: true, Desired: 1, Total: 1, Updated: 1, Ready: 1})
	reconciled := status.Reconciled(nil)
	for _, c := range []struct {
		reason string
		object *unstructured.Unstructured
		want   string
	}{
		{"Nobody has looked yet.", object(v1.KindIstio, 0), "Lateen has not looked at it since it changed"},
		{"All is well.", object(v1.KindIstio, 2, reconciled, up, health.Dependencies(false, health.IstioCNI{})), ""},
		{
			"What it depends on is no matter of its health, and is said.",
			object(v1.KindIstio, 2, reconciled, up, health.Dependencies(true, health.IstioCNI{})),
			"IstioCNINotFound: IstioCNI resource does not exist",
		},
		{
			"What a person has to mend is said.",
			object(v1.KindIstio, 2,
				stalled(status.Permanent(v1.ReasonReconcileError,
					errors.New(`namespace "istio-system" doesn't exist`)), up)...),
			`ReconcileError: namespace "istio-system" doesn't exist`,
		},
	} {
		if _, got := argoHealth(t, c.object); got != c.want {
			t.Errorf("%s want %q, got %q", c.reason, c.want, got)
		}
	}
}

// judge gives the verdicts of all tools.
func judge(t *testing.T, o *unstructured.Unstructured) verdicts {
	t.Helper()
	generic, err := kstatus.Compute(o)
	if err != nil {
		t.Fatal(err)
	}
	argo, _ := argoHealth(t, o)
	return verdicts{argo, flux(t, o), string(generic.Status)}
}

// settings are a part of Argo CD's ConfigMap.
func settings(t *testing.T) map[string]string {
	t.Helper()
	var cm struct{ Data map[string]string }
	load(t, "../../config/argocd/argocd-cm.yaml", &cm)
	return cm.Data
}

func load(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, into); err != nil {
		// A ConfigMap has more fields than are of interest.
		if err := yaml.Unmarshal(text, into); err != nil {
			t.Fatal(err)
		}
	}
}

// argoHealth evaluates a health check as Argo CD does: the object is the global obj, there are no libraries besides the
// base and that for tables, and the script returns a table with status and message.
func argoHealth(t *testing.T, o *unstructured.Unstructured) (verdict, message string) {
	t.Helper()
	script := settings(t)["resource.customizations.health."+v1.GroupVersion.Group+"_"+o.GetKind()]
	if script == "" {
		t.Fatalf("config/argocd has no health check for %s", o.GetKind())
	}
	l := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer l.Close()
	l.SetContext(t.Context())
	for _, lib := range []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}} {
		if err := l.CallByParam(lua.P{Fn: l.NewFunction(lib.open), Protect: true}, lua.LString(lib.name)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetGlobal("obj", table(l, o.Object))
	if err := l.DoString(script); err != nil {
		t.Fatalf("the health check fails: %v", err)
	}
	result, ok := l.Get(-1).(*lua.LTable)
	if !ok {
		t.Fatalf("the health check returns %s, and no table", l.Get(-1))
	}
	text, ok := result.RawGetString("message").(lua.LString)
	if !ok {
		t.Errorf("the health check gives no message")
	}
	return result.RawGetString("status").String(), string(text)
}

// table makes a value of Lua of one of JSON.
func table(l *lua.LState, value any) lua.LValue {
	switch v := value.(type) {
	case map[string]any:
		out := l.NewTable()
		for k, item := range v {
			out.RawSetString(k, table(l, item))
		}
		return out
	case []any:
		out := l.NewTable()
		for _, item := range v {
			out.Append(table(l, item))
		}
		return out
	case string:
		return lua.LString(v)
	case bool:
		return lua.LBool(v)
	case int64:
		return lua.LNumber(v)
	case float64:
		return lua.LNumber(v)
	}
	return lua.LNil
}

// checks are those of a kind in a Flux Kustomization.
type checks struct {
	APIVersion, Kind            string
	InProgress, Failed, Current string
}

// flux evaluates health checks as Flux does: an observedGeneration that is not that of the object first, then the
// expressions one by one over its fields, without declared types. An expression that fails, as for an object without
// status, makes Flux go on waiting.
func flux(t *testing.T, o *unstructured.Unstructured) string {
	t.Helper()
	var kustomization struct {
		Spec struct{ HealthCheckExprs []checks }
	}
	load(t, "../../config/flux/health-checks.yaml", &kustomization)
	var c checks
	for _, have := range kustomization.Spec.HealthCheckExprs {
		if have.Kind == o.GetKind() && have.APIVersion == o.GetAPIVersion() {
			c = have
		}
	}
	if c.Current == "" {
		t.Fatalf("config/flux has no health check for %s", o.GetKind())
	}
	if observed, ok, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration"); ok &&
		observed != o.GetGeneration() {
		return string(kstatus.InProgressStatus)
	}
	for _, step := range []struct {
		expression string
		then       kstatus.Status
	}{{c.InProgress, kstatus.InProgressStatus}, {c.Failed, kstatus.FailedStatus}, {c.Current, kstatus.CurrentStatus}} {
		holds, err := evaluate(t, step.expression, o.Object)
		if err != nil {
			return string(kstatus.UnknownStatus)
		}
		if holds {
			return string(step.then)
		}
	}
	return string(kstatus.InProgressStatus)
}

func evaluate(t *testing.T, expression string, object map[string]any) (bool, error) {
	t.Helper()
	env, err := cel.NewEnv(cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true),
		cel.DefaultUTCTimeZone(true),
		cel.CrossTypeNumericComparisons(true), cel.OptionalTypes(), ext.Strings(), ext.Sets(), ext.Encoders())
	if err != nil {
		t.Fatal(err)
	}
	parsed, issues := env.Parse(expression)
	if issues != nil {
		t.Fatalf("%s: %s", expression, issues)
	}
	program, err := env.Program(parsed)
	if err != nil {
		t.Fatal(err)
	}
	value, _, err := program.ContextEval(t.Context(), object)
	if err != nil {
		return false, err
	}
	holds, ok := value.(types.Bool)
	if !ok {
		t.Fatalf("%s is %v, and not true or false", expression, value)
	}
	return bool(holds), nil
}

// TestIgnoredDifferences has istiod change its webhooks: by default nothing that Lateen renders differs then, so that
// argocd-cm needs no rule. With failure-policy: chart, the rule for an Application takes out that field and nothing
// else, of what Lateen rendered and nothing else.
func TestIgnoredDifferences(t *testing.T) {
	for key := range settings(t) {
		if strings.Contains(key, "ignoreDifferences") {
			t.Errorf("argocd-cm.yaml has the rule %s, which would hide what people change", key)
		}
	}
	var part struct {
		Spec struct {
			IgnoreDifferences []struct {
				Group, Kind       string
				JQPathExpressions []string `json:"jqPathExpressions"`
			}
		}
	}
	load(t, "../../config/argocd/failure-policy-chart.yaml", &part)
	if len(part.Spec.IgnoreDifferences) != 1 ||
		part.Spec.IgnoreDifferences[0].Kind != "ValidatingWebhookConfiguration" {
		t.Fatalf("want one rule, for validating webhooks: %v", part.Spec.IgnoreDifferences)
	}
	rule := part.Spec.IgnoreDifferences[0].JQPathExpressions
	for _, o := range validating(t, lateen.Options{}) {
		if _, failed := changedPolicy(t, o); failed {
			t.Errorf("%s has a failurePolicy in Git, of which Argo CD would show a difference", o.GetName())
		}
	}
	for _, o := range validating(t, lateen.Options{ChartFailurePolicy: true}) {
		live, had := changedPolicy(t, o)
		if !had {
			t.Fatalf("%s has no failurePolicy", o.GetName())
		}
		if diff := cmp.Diff(without(t, o, rule), without(t, live, rule)); diff != "" {
			t.Errorf("Argo CD shows a difference of %s:\n%s", o.GetName(), diff)
		}
		other := o.DeepCopy()
		webhooks, _, _ := unstructured.NestedSlice(other.Object, "webhooks")
		webhooks[0].(map[string]any)["sideEffects"] = "Some"
		if err := unstructured.SetNestedSlice(other.Object, webhooks, "webhooks"); err != nil {
			t.Fatal(err)
		}
		if cmp.Equal(without(t, o, rule), without(t, other, rule)) {
			t.Errorf("Argo CD shows no difference of %s, although another field has changed", o.GetName())
		}
		o.SetLabels(nil)
		live.SetLabels(nil)
		if cmp.Equal(without(t, o, rule), without(t, live, rule)) {
			t.Errorf("Argo CD shows no difference of %s, although it is not Lateen's", o.GetName())
		}
	}
}

// validating renders the validating webhooks of a control plane.
func validating(t *testing.T, options lateen.Options) []*unstructured.Unstructured {
	t.Helper()
	result, err := lateen.Render([]byte(resource("Istio", "default", "namespace: istio-system")), options)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := result.Objects()
	if err != nil {
		t.Fatal(err)
	}
	objects = slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool {
		return o.GetKind() != "ValidatingWebhookConfiguration"
	})
	if len(objects) == 0 {
		t.Fatal("the rendering has no validating webhooks")
	}
	return objects
}

// changedPolicy is an object whose webhooks istiod has set to fail, and whether they had a failurePolicy before.
func changedPolicy(t *testing.T, o *unstructured.Unstructured) (live *unstructured.Unstructured, had bool) {
	t.Helper()
	live = o.DeepCopy()
	webhooks, _, _ := unstructured.NestedSlice(live.Object, "webhooks")
	for _, w := range webhooks {
		_, is := w.(map[string]any)["failurePolicy"]
		had = had || is
		w.(map[string]any)["failurePolicy"] = "Fail"
	}
	if err := unstructured.SetNestedSlice(live.Object, webhooks, "webhooks"); err != nil {
		t.Fatal(err)
	}
	return live, had
}

// without deletes what expressions of jq select.
func without(t *testing.T, o *unstructured.Unstructured, expressions []string) any {
	t.Helper()
	data, err := json.Marshal(o.Object)
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(data, &value); err != nil {
		t.Fatal(err)
	}
	for _, e := range expressions {
		query, err := gojq.Parse("del(" + e + ")")
		if err != nil {
			t.Fatalf("%s: %v", e, err)
		}
		next, _ := query.RunWithContext(t.Context(), value).Next()
		if err, failed := next.(error); failed {
			t.Fatalf("%s: %v", e, err)
		}
		value = next
	}
	return value
}

// unwell judges all resources of the cluster, and gives those that are not well.
func (e env) unwell(t *testing.T) map[string]verdicts {
	t.Helper()
	out := map[string]verdicts{}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision, v1.KindIstioRevisionTag, v1.KindIstioCNI} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(v1.GroupVersion.WithKind(kind + "List"))
		if err := e.client.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			if got := judge(t, &o); got != well {
				out[fmt.Sprint(kind, " ", o.GetName())] = got
			}
		}
	}
	return out
}
