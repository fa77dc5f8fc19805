package istio_test

import (
	"context"
	"slices"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istio"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
)

// edit changes the Istio as a user does.
func edit(f func(*v1.Istio)) func(context.Context, client.Client) error {
	return reconcilertest.Edit(&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}, f)
}

// reports has a revision report that it works, as its reconciler does.
func reports(name string) func(context.Context, client.Client) error {
	return func(ctx context.Context, c client.Client) error {
		rev := &v1.IstioRevision{}
		if err := c.Get(ctx, client.ObjectKey{Name: name}, rev); err != nil {
			return err
		}
		before := rev.DeepCopy()
		rev.Status.ObservedGeneration, rev.Status.State = rev.Generation, v1.Healthy
		for _, of := range v1.IstioRevisionStateConditions {
			rev.Status.Conditions = rev.Status.Conditions.Set(v1.Condition{Type: of, Status: metav1.ConditionTrue})
		}
		return c.Status().Patch(ctx, rev, client.MergeFrom(before))
	}
}

// TestPhases is the life of an Istio: what the controller writes, says and waits for at each step, and nothing else.
// What becomes of the revisions is their own reconciler's.
func TestPhases(t *testing.T) {
	t.Parallel()
	const (
		status   = "status Istio mesh"
		create   = "create IstioRevision "
		five     = 5 * time.Minute
		noPlace  = `namespace "istio-system" doesn't exist`
		refused  = `IstioRevision.sailoperator.io "mesh" is invalid`
		misspelt = "spec.values.pilot.autoscaleMni: unknown field in v1.26.0; did you mean autoscaleMin?"
		twoHere  = "Warning CheckMesh IstioRevision/mesh-v1-27-0 and Istio/mesh are two control planes in the namespace " +
			"istio-system; give each a namespace of its own, or, for an upgrade, make them revisions of one Istio " +
			"(updateStrategy: RevisionBased)"
		skips = "Warning CheckMesh spec.version: from v1.26.0 to v1.28.3; in place, Istio supports one minor version at a " +
			"time. Go by way of v1.27-latest"
		foreign = "the IstioRevision mesh-v1-27-0 exists already and does not belong to this Istio; delete it, or give the " +
			"Istio another name"
	)
	absent := func(name string) []string { // nothing is ready
		why := "False ActiveRevisionNotFound: the IstioRevision " + name + " does not exist"
		return []string{"Ready=" + why, "DependenciesHealthy=" + why}
	}
	changed := func(name string) []string { // nobody has looked at it
		why := "the IstioRevision " + name + " has not been looked at since it changed"
		return []string{"Ready=Unknown IstiodNotReady: " + why, "DependenciesHealthy=Unknown DependencyCheckFailed: " + why}
	}
	conditions := func(reconciled string, rest []string, more ...string) []string {
		return slices.Concat([]string{"Reconciled=" + reconciled}, rest, more)
	}
	fine := conditions("True", []string{"Ready=True", "DependenciesHealthy=True"})
	news := func(reason string, name string) string {
		return "Normal " + reason + " " + changed(name)[0][len("Ready=Unknown IstiodNotReady: "):]
	}
	gone := func(name string) string {
		return "Normal ActiveRevisionNotFound the IstioRevision " + name + " does not exist"
	}
	all := []string{
		reconcilertest.IsTrue("Reconciled"), reconcilertest.IsTrue("Ready"), reconcilertest.IsTrue("DependenciesHealthy"),
	}
	ends := func(version, when string) string {
		return "Warning EndOfLife Istio " + version + ": this minor version reached its end of life in " + when +
			" and gets no security fixes; newest bundled version: v1.28.3"
	}
	mesh := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "mesh"}}
	mesh.Spec.Version, mesh.Spec.Namespace = "v1.26.0", "istio-system"
	taken := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "mesh-v1-27-0"}}
	taken.Spec.Version, taken.Spec.Namespace = "v1.27.0", "istio-system"
	w := reconcilertest.New(t, mesh, taken)
	r := &istio.Reconciler{
		Client: w.Client, Live: w.Client, Renderer: &rendering.Renderer{KubeVersion: "v1.34.0"}, Applier: w.Applier,
		Events: w.Events,
		Usage:  cluster.NewUsage(nil), Now: func() time.Time { return reconcilertest.Now }, Pruned: func(string) {},
	}
	no := apierrors.NewInvalid(schema.GroupKind{Group: "sailoperator.io", Kind: "IstioRevision"}, "mesh", nil)
	w.Run(r, mesh, []reconcilertest.Step{
		{
			Reason: "Its namespace is not there.",
			Writes: []string{status}, Again: five,
			Events:     []string{"Warning ReconcileError " + noPlace, gone("mesh"), gone("mesh")},
			Conditions: conditions("False ReconcileError: "+noPlace, absent("mesh"), "Stalled=True ReconcileError: "+noPlace),
		},
		{
			Reason: "The namespace comes, and the server does not take the revision.",
			Do:     reconcilertest.Create(reconcilertest.Namespace("istio-system")),
			Fail:   map[string]error{"create": no},
			Writes: []string{create + "mesh", status}, Again: five,
			Conditions: conditions("False ReconcileError: "+refused, absent("mesh"), "Stalled=True ReconcileError: "+refused),
		},
		{
			Reason: "The server has no time.", Fail: map[string]error{"create": apierrors.NewServiceUnavailable("no time")},
			Writes: []string{create + "mesh", status}, Err: "no time",
			Conditions: conditions("False ReconcileError: no time", absent("mesh"), "Reconciling=True ReconcileError: no time"),
		},
		{
			Reason: "It takes it. What was wrong is said until the revision says something.",
			Writes: []string{create + "mesh", status}, Again: five,
			Events: []string{
				"Normal RevisionCreated created IstioRevision mesh of Istio v1.26.0", ends("v1.26.0", "2025-12"), twoHere,
				news("IstiodNotReady", "mesh"), news("DependencyCheckFailed", "mesh"),
			},
			Conditions: conditions("False ReconcileError: no time", changed("mesh")),
		},
		{Reason: "The revision works.", Do: reports("mesh"), Writes: []string{status}, Events: all, Conditions: fine},
		{Reason: "Nothing happens.", Conditions: fine},
		{
			Reason: "A value is misspelled: the revision stays as it is.",
			Do:     edit(func(i *v1.Istio) { i.Spec.Values = &v1.Values{Raw: []byte(`{"pilot":{"autoscaleMni":2}}`)} }),
			Writes: []string{status}, Events: []string{"Warning ReconcileError " + misspelt},
			Conditions: conditions("False ReconcileError: "+misspelt, fine[1:], "Stalled=True ReconcileError: "+misspelt),
		},
		{
			Reason: "An upgrade in place over two minors.",
			Do:     edit(func(i *v1.Istio) { i.Spec.Values, i.Spec.Version = nil, "v1.28.3" }),
			Writes: []string{"update IstioRevision mesh", status}, Again: five,
			Events: []string{
				"Normal RevisionUpdated updated IstioRevision mesh to Istio v1.28.3", twoHere, skips,
				news("IstiodNotReady", "mesh"), news("DependencyCheckFailed", "mesh"),
			},
			Conditions: conditions("False ReconcileError: "+misspelt, changed("mesh")),
		},
		{Reason: "Its revision works.", Do: reports("mesh"), Writes: []string{status}, Events: all, Conditions: fine},
		{
			Reason: "An upgrade by revisions, and the name is somebody else's.",
			Do: edit(func(i *v1.Istio) {
				i.Spec.Version, i.Spec.UpdateStrategy = "v1.27.0", &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyRevisionBased}
			}),
			Writes: []string{status}, Again: five,
			Events: []string{"Warning ReconcileError " + foreign, gone("mesh-v1-27-0"), gone("mesh-v1-27-0")},
			Conditions: conditions("False ReconcileError: "+foreign, absent("mesh-v1-27-0"),
				"Stalled=True ReconcileError: "+foreign),
		},
		{
			Reason: "The other one goes.",
			Do:     reconcilertest.Delete(taken),
			Writes: []string{create + "mesh-v1-27-0", status}, Again: five,
			Events: []string{
				"Normal RevisionCreated created IstioRevision mesh-v1-27-0 of Istio v1.27.0", ends("v1.27.0", "2026-03"),
				news("IstiodNotReady", "mesh-v1-27-0"), news("DependencyCheckFailed", "mesh-v1-27-0"),
			},
			Conditions: conditions("False ReconcileError: "+foreign, changed("mesh-v1-27-0")),
		},
		{
			Reason: "The new one works: nobody knows yet who uses the old one, so that it stays.",
			Do:     reports("mesh-v1-27-0"), Writes: []string{status}, Events: all, Conditions: fine,
		},
		{
			Reason: "Somebody is faster.", Do: edit(func(i *v1.Istio) { i.Spec.Version = "v1.28.3" }),
			Fail: map[string]error{
				"create": apierrors.NewAlreadyExists(schema.GroupResource{Resource: "istiorevisions"}, "mesh-v1-28-3"),
			},
			Writes: []string{create + "mesh-v1-28-3"}, Again: 100 * time.Millisecond, Conditions: fine,
		},
		{
			Reason: "A pipeline renders it.",
			Do: edit(func(i *v1.Istio) {
				i.Annotations = map[string]string{manifest.AnnotationRenderedBy: "render-istio"}
			}),
			Writes: []string{status}, Again: five,
			Events: []string{gone("mesh-v1-28-3"), gone("mesh-v1-28-3"), gone("mesh-v1-28-3")},
			Conditions: conditions("False ActiveRevisionNotFound: the IstioRevision mesh-v1-28-3 does not exist",
				absent("mesh-v1-28-3")),
		},
		{
			Reason: "It is deleted: its revisions go by their owner references.",
			Do:     reconcilertest.Delete(mesh),
		},
	})
}
