package owned

import (
	"errors"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// readerAccount is the account that all revisions of a namespace rely on.
var readerAccount = v1.ObjectReference{
	APIVersion: "v1", Kind: "ServiceAccount", Namespace: "istio-system", Name: render.ReaderAccount,
}

// ofHelm is a ConfigMap that Helm has installed, of a version of Istio.
func ofHelm(name, version string) *corev1.ConfigMap {
	return &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Namespace: "istio-system", Name: name, Labels: map[string]string{"app.kubernetes.io/version": version},
		Annotations: map[string]string{"meta.helm.sh/release-name": "istiod"},
	}}
}

// noted is the write by which objects are noted in the status before they are created.
const noted = "status IstioRevision canary"

// reported is a problem as a test compares it.
func reported(p *status.Problem) string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s %v permanent=%t retry=%t again=%s", p.Reason, p.Err, p.Permanent, p.Retry, p.Again)
}

// TestApply is what becomes of the objects of a resource, for each way in which that can end.
func TestApply(t *testing.T) {
	t.Parallel()
	younger, older := tag(-5), tag(5)
	heir := revisionIn("istio-system", "heir")
	const (
		apply, remove = "apply ConfigMap istio-system/istio", "delete ConfigMap istio-system/old"
		created       = "Normal Applied 1 objects changed: ConfigMap istio-system/istio created"
		belongs       = "ConfigMap istio-system/istio belongs to IstioRevisionTag stable, which has precedence; rename one " +
			"of " +
			"the two, or delete one"
	)
	allowed := func(o *v1.IstioRevision) { o.Annotations = map[string]string{manifest.AnnotationTakeOver: "true"} }
	held := &status.Problem{Reason: v1.ReasonNameAlreadyExists, Err: errors.New(belongs), Permanent: true, Again: seldom}
	for _, c := range []struct {
		reason string
		// have is what the cluster has besides; before are the objects in the status of the resource.
		have    []client.Object
		before  v1.Inventory
		change  func(o *v1.IstioRevision)
		desired Desired
		fail    map[string]error
		did     did
		// after are the objects that the caller is given for the status, stored those that the cluster has in it.
		after, stored v1.Inventory
		problem       *status.Problem
		err           string
		changed       bool
	}{
		{
			reason: "An object is noted, and then created.", desired: Desired{Objects: rendered(config("istio"))},
			did:   did{[]string{noted, apply}, []string{created}},
			after: configs("istio"), stored: configs("istio"), changed: true,
		},
		{
			reason: "What is noted and as it should be is not written.", desired: Desired{Objects: rendered(config("istio"))},
			have: []client.Object{made("istio", revisionIn("", "canary"), v1.KindIstioRevision)}, before: configs("istio"),
			after: configs("istio"),
		},
		{
			reason: "What is not rendered any more goes.", before: configs("old"),
			have:    []client.Object{made("old", revisionIn("", "canary"), v1.KindIstioRevision)},
			desired: Desired{Objects: rendered(config("istio"))},
			did: did{[]string{noted, apply, remove}, []string{
				"Normal Applied 2 objects changed: ConfigMap istio-system/istio created, ConfigMap istio-system/old deleted",
			}},
			after: configs("istio"), stored: configs("istio", "old"), changed: true,
		},
		{
			reason: "It stays if another resource is about to take it.", before: configs("old"),
			have:    []client.Object{made("old", revisionIn("", "canary"), v1.KindIstioRevision)},
			desired: Desired{Left: configs("old")},
			after:   configs("old"),
		},
		{
			reason:  "Somebody else writes the status: nothing is applied, and the run is repeated.",
			desired: Desired{Objects: rendered(config("istio"))}, fail: map[string]error{"status": conflict},
			did: did{Writes: []string{noted}}, err: conflict.Error(),
		},
		{
			reason:  "The status cannot be written: nothing is applied.",
			desired: Desired{Objects: rendered(config("istio"))}, fail: map[string]error{"status": noTime},
			did:     did{Writes: []string{noted}},
			problem: &status.Problem{Reason: v1.ReasonReconcileError, Err: noTime, Retry: true},
		},
		{
			reason:  "Somebody else writes the object: the run is repeated, and what is done is said.",
			desired: Desired{Objects: rendered(config("istio"))}, fail: map[string]error{"apply": conflict},
			did:    did{Writes: []string{noted, apply}},
			after:  configs("istio"),
			stored: configs("istio"),
			err: "ConfigMap istio-system/istio: ConfigMap/istio-system/istio apply failed: " +
				conflict.Error(),
		},
		{
			reason:  "The server says that the object is wrong.",
			desired: Desired{Objects: rendered(config("istio"))}, fail: map[string]error{"apply": invalid},
			did:   did{Writes: []string{noted, apply}},
			after: configs("istio"), stored: configs("istio"),
			problem: &status.Problem{
				Reason: v1.ReasonReconcileError, Permanent: true, Again: seldom,
				Err: errors.New(`ConfigMap istio-system/istio: ConfigMap/istio-system/istio apply failed: ` + invalid.Error()),
			},
		},
		{
			reason:  "A resource that was there before has it.",
			have:    []client.Object{older, made("istio", older, v1.KindIstioRevisionTag)},
			desired: Desired{Objects: rendered(config("istio"))}, problem: held,
		},
		{
			reason:  "A resource that came later had it.",
			have:    []client.Object{younger, made("istio", younger, v1.KindIstioRevisionTag)},
			desired: Desired{Objects: rendered(config("istio"))},
			did: did{[]string{noted, apply}, []string{
				"Normal Applied 1 objects changed: ConfigMap istio-system/istio configured",
			}},
			after: configs("istio"), stored: configs("istio"), changed: true,
		},
		{
			reason: "The caller says who comes first.",
			have:   []client.Object{younger, made("istio", younger, v1.KindIstioRevisionTag)},
			desired: Desired{
				Objects: rendered(config("istio")),
				Takes:   func(client.Object) (bool, error) { return false, nil },
			},
			problem: held,
		},
		{
			reason: "Another installer has it, of another version.", have: []client.Object{ofHelm("istio", "1.27.0")},
			desired: Desired{Objects: rendered(config("istio"))},
			problem: &status.Problem{
				Reason: v1.ReasonTakeoverRefused, Permanent: true, Again: seldom,
				Err: errors.New("ConfigMap istio-system/istio, installed by Helm release istiod, is of Istio v1.27.0, and " +
					"v1.28.3 is asked for: ask for v1.27.0 and upgrade afterwards, or set the annotation lateen.io/take-over: " +
					`"true" to take it over and change its version`),
			},
		},
		{
			reason: "That is allowed.", have: []client.Object{ofHelm("istio", "1.27.0")}, change: allowed,
			desired: Desired{Objects: rendered(config("istio"))},
			did: did{[]string{noted, "patch ConfigMap istio-system/istio", apply}, []string{
				"Normal Applied 1 objects changed: ConfigMap istio-system/istio configured",
				"Normal TakenOver took over 1 objects that another installer has created: ConfigMap istio-system/istio (Helm " +
					"release istiod, Istio v1.27.0)",
			}},
			after: configs("istio"), stored: configs("istio"), changed: true,
		},
		{
			reason: "That is allowed, and fails: nothing was taken over.", have: []client.Object{ofHelm("istio", "1.27.0")},
			change: allowed, desired: Desired{Objects: rendered(config("istio"), config("other"))},
			fail: map[string]error{apply: noTime},
			did: did{
				[]string{noted, "patch ConfigMap istio-system/istio", apply, "apply ConfigMap istio-system/other"},
				[]string{"Normal Applied 1 objects changed: ConfigMap istio-system/other created"},
			},
			after: configs("istio", "other"), stored: configs("istio", "other"), changed: true,
			problem: &status.Problem{
				Reason: v1.ReasonReconcileError, Retry: true,
				Err: errors.New("ConfigMap istio-system/istio: ConfigMap/istio-system/istio apply failed: no time"),
			},
		},
		{
			reason: "The account that is not rendered any more goes with its last revision.",
			before: v1.Inventory{readerAccount}, have: []client.Object{ownedBy("canary")},
			did: did{
				[]string{"delete ServiceAccount istio-system/istio-reader-service-account"},
				[]string{
					"Normal Applied 1 objects changed: ServiceAccount istio-system/istio-reader-service-account deleted",
				},
			},
		},
		{
			reason: "Another revision inherits it; what else is not rendered any more goes.",
			before: v1.Inventory{configs("old")[0], readerAccount},
			have: []client.Object{
				ownedBy("canary"), heir, made("old", revisionIn("", "canary"), v1.KindIstioRevision),
			},
			did: did{
				[]string{"patch ServiceAccount istio-system/istio-reader-service-account", remove},
				[]string{
					"Normal HandedOver ServiceAccount istio-system/istio-reader-service-account stays: other revisions in " +
						"namespace istio-system rely on it",
					"Normal Applied 1 objects changed: ConfigMap istio-system/old deleted",
				},
			},
			changed: true,
		},
		{
			reason: "It cannot be handed over: nothing else is done.", before: v1.Inventory{readerAccount},
			desired: Desired{Objects: rendered(config("istio"))}, have: []client.Object{ownedBy("canary"), heir},
			fail: map[string]error{"patch": noTime},
			did:  did{Writes: []string{"patch ServiceAccount istio-system/istio-reader-service-account"}},
			err:  "handing ServiceAccount istio-system/istio-reader-service-account over to other revisions: no time",
		},
		{
			reason: "Who relies on it cannot be read: nothing is done.", before: v1.Inventory{readerAccount},
			desired: Desired{Objects: rendered(config("istio"))}, have: []client.Object{ownedBy("canary"), heir},
			fail: map[string]error{"list IstioRevision": noTime}, err: "no time",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			var have []client.Object
			for _, o := range c.have {
				have = append(have, o.DeepCopyObject().(client.Object))
			}
			w, ctx := newWorld(t, have...)
			if c.change != nil {
				c.change(w.owner)
			}
			w.owner.Status.Inventory = c.before
			w.Fail = c.fail
			got, err := w.objects.Apply(ctx, w.owner, &w.owner.Status.Inventory, c.desired)
			w.Fail = nil
			problem, is := err.(*status.Problem) //nolint:errorlint // a wrapped problem is another error
			if is {
				err = nil
			}
			compare(t, c.reason, c.err, said(err))
			compare(t, c.reason, reported(c.problem), reported(problem))
			compare(t, c.reason, c.did, w.did())
			if c.err == "" || c.after != nil {
				compare(t, c.reason, c.after, got.Inventory)
			}
			compare(t, c.reason, [2]bool{c.changed, false}, [2]bool{got.Changed("ConfigMap"), got.Changed("Deployment")})
			compare(t, c.reason, c.stored, w.stored(t).Status.Inventory)
		})
	}
}

// TestForeign has others change what is applied: each time there is an event, and it says what.
func TestForeign(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t)
	deployment := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{
			"namespace": "istio-system", "name": "istiod", "labels": map[string]any{manifest.LabelManagedBy: manifest.ManagedBy},
		},
		"spec": map[string]any{
			"selector": map[string]any{"matchLabels": map[string]any{"app": "istiod"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "istiod"}},
				"spec": map[string]any{"containers": []any{map[string]any{
					"name": "discovery", "image": "docker.io/istio/pilot:1.28.3", "env": []any{map[string]any{
						"name": "REVISION", "value": "default",
					}},
				}}},
			},
		},
	}}
	var inventory v1.Inventory
	desired := Desired{Objects: rendered(deployment)}
	if _, err := w.objects.Apply(ctx, w.owner, &inventory, desired); err != nil {
		t.Fatal(err)
	}
	w.did()
	live := deployment.DeepCopy()
	if err := w.Client.Get(ctx, client.ObjectKeyFromObject(live), live); err != nil {
		t.Fatal(err)
	}
	spec := live.Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	container := spec["containers"].([]any)[0].(map[string]any)
	container["env"] = append(container["env"].([]any), map[string]any{"name": "DEBUG", "value": "1"})
	live.SetLabels(map[string]string{manifest.LabelManagedBy: manifest.ManagedBy, "example.com/team": "mesh"})
	if err := w.Client.Update(ctx, live, client.FieldOwner("kubectl-edit")); err != nil {
		t.Fatal(err)
	}
	w.did()
	if _, err := w.objects.Apply(ctx, w.owner, &inventory, desired); err != nil {
		t.Fatal(err)
	}
	compare(t, "A variable and a label are added.", did{
		[]string{"patch Deployment istio-system/istiod", "apply Deployment istio-system/istiod"},
		[]string{
			"Normal Applied 1 objects changed: Deployment istio-system/istiod configured",
			"Normal ForeignFieldsRemoved removed from 1 objects what others have added: Deployment istio-system/istiod " +
				`spec.template.spec.containers[name="discovery"].env[name="DEBUG"]`,
			"Normal ForeignFieldsKept others have added to 1 objects what stays: Deployment istio-system/istiod label " +
				"example.com/team",
		},
	}, w.did())
}

// TestPrecedes is who may take an object from whom.
func TestPrecedes(t *testing.T) {
	t.Parallel()
	at := func(minute int, o client.Object) client.Object {
		o.SetCreationTimestamp(metav1.NewTime(noon.Add(time.Duration(minute) * time.Minute)))
		return o
	}
	istio := func(name string, minute int) client.Object {
		return at(minute, &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)}})
	}
	of := func(name, istio string, minute int) client.Object {
		rev := at(minute, revisionIn("istio-system", name))
		yes := true
		rev.SetOwnerReferences([]metav1.OwnerReference{{
			APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstio, Name: istio, UID: types.UID(istio), Controller: &yes,
		}})
		return rev
	}
	for _, c := range []struct {
		reason    string
		have      []client.Object
		o, holder client.Object
		fail      map[string]error
		want      bool
		err       string
	}{
		{"The older one.", nil, at(1, revisionIn("", "a")), tag(-2), nil, true, ""},
		{"The younger one.", nil, at(3, revisionIn("", "a")), tag(-2), nil, false, ""},
		{
			"A new revision of an old Istio: the Istio counts.",
			[]client.Object{istio("mesh", 1)},
			of("new", "mesh", 5), tag(-2),
			nil, true, "",
		},
		{
			"From a revision of a new Istio, whatever the revision's age.",
			[]client.Object{istio("mesh", 5)},
			at(3, revisionIn("", "a")), of("old", "mesh", 1), nil, true, "",
		},
		{
			"From an old Istio's.",
			[]client.Object{istio("mesh", 1)},
			at(3, revisionIn("", "a")), of("new", "mesh", 5), nil,
			false, "",
		},
		{
			"Revisions of one Istio take from each other.",
			[]client.Object{istio("mesh", 1)},
			of("new", "mesh", 5),
			of("old", "mesh", 2), nil, true, "",
		},
		{"Its Istio is gone: its own age counts.", nil, of("a", "mesh", 1), tag(-2), nil, true, ""},
		{"Its Istio is gone, and it is younger.", nil, of("a", "mesh", 3), tag(-2), nil, false, ""},
		{
			"Its Istio cannot be read.",
			[]client.Object{istio("mesh", 1)},
			of("a", "mesh", 1), tag(-2),
			map[string]error{"get Istio mesh": noTime},
			false, "no time",
		},
		{
			"The other one's Istio cannot be read.",
			[]client.Object{istio("mesh", 5)},
			at(1, revisionIn("", "a")),
			of("b", "mesh", 2),
			map[string]error{"get Istio mesh": noTime},
			false, "no time",
		},
	} {
		w, ctx := newWorld(t, c.have...)
		w.Fail = c.fail
		got, err := w.objects.Precedes(ctx, c.o, c.holder)
		compare(t, c.reason, c.want, got)
		compare(t, c.reason, c.err, said(err))
	}
}
