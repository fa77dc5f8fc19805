package istiorevisiontag_test

import (
	"context"
	"errors"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istiorevisiontag"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// edit changes the tag as a user does.
func edit(f func(*v1.IstioRevisionTag)) func(context.Context, client.Client) error {
	return reconcilertest.Edit(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}, f)
}

// points makes the tag point at a revision.
func points(revision string) func(context.Context, client.Client) error {
	return edit(func(tag *v1.IstioRevisionTag) {
		tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstioRevision, Name: revision}
	})
}

// revision is one that works, or not yet.
func revision(name, version, values string, ready bool) *v1.IstioRevision {
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: name, Generation: 1}}
	rev.Spec.Version, rev.Spec.Namespace = v1.Version(version), "istio-system"
	rev.Spec.Values = &v1.Values{Raw: []byte(values)}
	rev.Status.ObservedGeneration = 1
	is := metav1.ConditionFalse
	if ready {
		is = metav1.ConditionTrue
	}
	rev.Status.Conditions = rev.Status.Conditions.Set(v1.Condition{Type: v1.ConditionReady, Status: is})
	return rev
}

// becomes makes a revision ready.
func becomes(name string) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		rev := &v1.IstioRevision{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, rev); err != nil {
			return err
		}
		rev.Status.Conditions = rev.Status.Conditions.Set(v1.Condition{Type: v1.ConditionReady, Status: metav1.ConditionTrue})
		return c.Status().Update(ctx, rev)
	}
}

// TestPhases is the life of a tag: what the controller writes, says and waits for at each step, and nothing else.
func TestPhases(t *testing.T) {
	t.Parallel()
	const (
		finalizer = "patch IstioRevisionTag prod"
		status    = "status IstioRevisionTag prod"
		webhook   = "MutatingWebhookConfiguration istio-revision-tag-prod"
		service   = "Service istio-system/istiod-revision-tag-prod" // since 1.28

		fine    = "Reconciled=True"
		missing = "spec.targetRef: IstioRevision/a does not exist"
		invalid = " apply failed: Service \"istiod-revision-tag-prod\" is invalid"
		refused = service + ": Service/istio-system/istiod-revision-tag-prod" + invalid + "\n" +
			webhook + ": MutatingWebhookConfiguration/istio-revision-tag-prod" + invalid
		remote = "spec.targetRef: IstioRevision/far is a remote control plane; a tag can only point at one in the same " +
			"cluster"
		typo    = "IstioRevision/typo: spec.values.pilto: unknown field in v1.28.3; did you mean pilot?"
		unknown = reconcilertest.UseUnknown
	)
	reconciled := reconcilertest.IsTrue("Reconciled")
	stalled := func(why string) []string { return []string{"Reconciled=False " + why, unknown, "Stalled=True " + why} }
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
	tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstioRevision, Name: "a"}
	w := reconcilertest.New(t, tag, reconcilertest.Namespace("istio-system"),
		revision("far", "v1.28.3", `{"profile":"remote"}`, true), revision("b", "v1.28.3", "{}", false),
		revision("typo", "v1.28.3", `{"pilto":{}}`, true))
	r := &istiorevisiontag.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Usage:  cluster.NewUsage(nil), Now: func() time.Time { return reconcilertest.Now },
	}
	no := apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "istiod-revision-tag-prod", nil)
	w.Run(r, tag, []reconcilertest.Step{
		{
			Reason: "Its target is not there.",
			Writes: []string{finalizer, status}, Events: []string{"Warning RefNotFound " + missing},
			Conditions: stalled("RefNotFound: " + missing),
		},
		{
			Reason:     "The target comes.",
			Do:         reconcilertest.Create(revision("a", "v1.27.0", "{}", true)),
			Writes:     []string{status, "apply " + webhook, status},
			Events:     []string{reconcilertest.Changed(1), reconciled},
			Conditions: []string{fine, unknown},
		},
		{Reason: "Nothing happens.", Conditions: []string{fine, unknown}},
		{
			Reason: "It is to move to one that is not ready.", Do: points("b"),
			Writes: []string{status}, Conditions: []string{fine + ": stays on IstioRevision a until b is ready", unknown},
		},
		{
			Reason: "That is ready, and the server refuses something of it: the webhooks stay where they were.",
			Do:     becomes("b"), Fail: map[string]error{"apply " + service: no, "apply " + webhook: no},
			Writes: []string{status, "apply " + service, "apply " + webhook, status}, Again: 5 * time.Minute,
			Events:     []string{"Warning ReconcileError " + refused},
			Conditions: stalled("ReconcileError: " + refused),
		},
		{
			Reason: "The server accepts it.",
			Writes: []string{"apply " + service, "apply " + webhook, status},
			Events: []string{
				reconcilertest.Changed(2),
				"Normal TagMoved moved from IstioRevision a to b", reconciled,
			},
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "It is to move to a remote one.", Do: points("far"),
			Writes: []string{status}, Events: []string{"Warning ReconcileError " + remote},
			Conditions: stalled("ReconcileError: " + remote),
		},
		{
			Reason: "It is to move to one whose values are wrong.", Do: points("typo"),
			Writes:     []string{status},
			Conditions: stalled("ReconcileError: " + typo),
		},
		{
			Reason: "It goes back.", Do: points("a"),
			Writes: []string{"apply " + webhook, "delete " + service, status},
			Events: []string{
				reconcilertest.Changed(2),
				"Normal TagMoved moved from IstioRevision b to a", reconciled,
			},
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "A pipeline takes it over: the webhooks stay, and are nobody's.",
			Do: edit(func(tag *v1.IstioRevisionTag) {
				tag.Annotations = map[string]string{manifest.AnnotationRenderedBy: "revision-tag"}
			}),
			Writes:     []string{"patch " + webhook, finalizer, status},
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "It is given back.", Do: edit(func(tag *v1.IstioRevisionTag) { tag.Annotations = nil }),
			Writes:     []string{finalizer, status, "apply " + webhook, status},
			Events:     []string{reconcilertest.Changed(1)},
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "It is deleted, and so is what is its own.",
			Do:     reconcilertest.Delete(&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}),
			Writes: []string{"delete " + webhook, finalizer}, Events: []string{reconcilertest.Changed(1)},
		},
	})
}

// TestNames: a tag has its name only if no revision and no other tag of that name has precedence.
func TestNames(t *testing.T) {
	t.Parallel()
	const (
		finalizer = "patch IstioRevisionTag prod"
		status    = "status IstioRevisionTag prod"
		webhook   = "MutatingWebhookConfiguration istio-revision-tag-prod"
		fine      = "Reconciled=True"
		unknown   = reconcilertest.UseUnknown
		taken     = "a revision has the name of the tag, prod: workloads with the label istio.io/rev=prod would be " +
			"injected twice; rename the tag"
		same = "IstioRevisionTag/prod and spec.values.revisionTags of IstioRevision/other are the same revision tag, " +
			"prod: namespaces with the label istio.io/rev=prod would be injected by both; remove one of the two"
	)
	old := func(rev *v1.IstioRevision) *v1.IstioRevision {
		rev.CreationTimestamp = metav1.NewTime(reconcilertest.Now.Add(-time.Hour))
		return rev
	}
	is := func(why string) []string {
		return []string{"Reconciled=False NameAlreadyExists: " + why, unknown, "Stalled=True NameAlreadyExists: " + why}
	}
	reconciled := reconcilertest.IsTrue("Reconciled")
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{
		Name: "prod", CreationTimestamp: metav1.NewTime(reconcilertest.Now),
	}}
	tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstioRevision, Name: "a"}
	w := reconcilertest.New(t, tag, reconcilertest.Namespace("istio-system"), revision("a", "v1.27.0", "{}", true),
		old(revision("prod", "v1.27.0", "{}", true)))
	r := &istiorevisiontag.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Usage:  cluster.NewUsage(nil), Now: func() time.Time { return reconcilertest.Now },
	}
	w.Run(r, tag, []reconcilertest.Step{
		{
			Reason: "An older revision has the name.",
			Writes: []string{finalizer, status}, Events: []string{"Warning NameAlreadyExists " + taken},
			Conditions: is(taken),
		},
		{
			Reason: "It goes.", Do: reconcilertest.Delete(&v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}),
			Writes: []string{status, "apply " + webhook, status}, Events: []string{reconcilertest.Changed(1), reconciled},
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "One of the name comes later: the tag keeps it.",
			Do: reconcilertest.Create(func() client.Object {
				rev := revision("prod", "v1.27.0", "{}", true)
				rev.CreationTimestamp = metav1.NewTime(reconcilertest.Now.Add(time.Hour))
				return rev
			}()),
			Conditions: []string{fine, unknown},
		},
		{
			Reason: "A revision whose values have had the tag for longer.",
			Do: func(ctx context.Context, c client.Client) error {
				gone := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
				return errors.Join(c.Delete(ctx, gone),
					c.Create(ctx, old(revision("other", "v1.27.0", `{"revisionTags":["prod"]}`, true))))
			},
			Writes: []string{"delete " + webhook, status},
			Events: []string{reconcilertest.Changed(1), "Warning NameAlreadyExists " + same}, Conditions: is(same),
		},
		{
			Reason: "Nothing happens.", Conditions: is(same),
		},
	})
}

// TestTaken has the webhooks of a tag become another resource's that has precedence: the tag has none then, and does
// not say that it is on a revision.
func TestTaken(t *testing.T) {
	t.Parallel()
	const (
		status  = "status IstioRevisionTag prod"
		webhook = "MutatingWebhookConfiguration istio-revision-tag-prod"
		unknown = reconcilertest.UseUnknown
		taken   = webhook + " belongs to IstioRevision other, which has precedence; rename one of the two, or delete one"
		refused = "no time"
	)
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{
		Name: "prod", CreationTimestamp: metav1.NewTime(reconcilertest.Now),
	}}
	tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstioRevision, Name: "a"}
	other := revision("other", "v1.27.0", "{}", true)
	other.CreationTimestamp = metav1.NewTime(reconcilertest.Now.Add(-time.Hour))
	w := reconcilertest.New(t, tag, reconcilertest.Namespace("istio-system"), revision("a", "v1.27.0", "{}", true), other)
	r := &istiorevisiontag.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Usage:  cluster.NewUsage(nil), Now: func() time.Time { return reconcilertest.Now },
	}
	failed := webhook + ": MutatingWebhookConfiguration/istio-revision-tag-prod apply failed: " + refused
	for _, c := range []struct {
		step reconcilertest.Step
		// on is the revision that the status names.
		on string
	}{
		{reconcilertest.Step{
			Reason:     "It has its webhooks.",
			Writes:     []string{"patch IstioRevisionTag prod", status, "apply " + webhook, status},
			Events:     []string{reconcilertest.Changed(1)},
			Conditions: []string{"Reconciled=True", unknown},
		}, "a"},
		{reconcilertest.Step{
			Reason: "They cannot be written: they are still there.",
			Do:     writes("somebody", func(o *admissionv1.MutatingWebhookConfiguration) { o.Labels["app"] = "x" }),
			Fail:   map[string]error{"apply " + webhook: errors.New(refused)},
			Writes: []string{"apply " + webhook, status}, Err: failed,
			Events: []string{"Warning ReconcileError " + failed},
			Conditions: []string{
				"Reconciled=False ReconcileError: " + failed, unknown, "Reconciling=True ReconcileError: " + failed,
			},
		}, "a"},
		{reconcilertest.Step{
			Reason: "Another resource has them.",
			Do: writes("somebody", func(o *admissionv1.MutatingWebhookConfiguration) {
				o.OwnerReferences = []metav1.OwnerReference{
					*metav1.NewControllerRef(other, v1.GroupVersion.WithKind(v1.KindIstioRevision)),
				}
			}),
			Writes: []string{status}, Events: []string{"Warning NameAlreadyExists " + taken},
			Conditions: []string{
				"Reconciled=False NameAlreadyExists: " + taken, unknown, "Stalled=True NameAlreadyExists: " + taken,
			},
			Again: 5 * time.Minute,
		}, ""},
	} {
		w.Run(r, tag, []reconcilertest.Step{c.step})
		if tag.Status.IstioRevision != c.on {
			t.Errorf("%s It is on %q, want %q", c.step.Reason, tag.Status.IstioRevision, c.on)
		}
	}
}

// writes changes the webhooks of the tag as somebody else does.
func writes(
	by string, change func(*admissionv1.MutatingWebhookConfiguration),
) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		o := &admissionv1.MutatingWebhookConfiguration{}
		if err := c.Get(ctx, client.ObjectKey{Name: "istio-revision-tag-prod"}, o); err != nil {
			return err
		}
		change(o)
		return c.Update(ctx, o, client.FieldOwner(by))
	}
}
