package istiorevisiontag

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestBeforeItsTarget has a tag looked at before what it points at is there.
func TestBeforeItsTarget(t *testing.T) {
	t.Parallel()
	scheme := runtime.NewScheme()
	if err := v1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}
	istio.Spec.Version, istio.Spec.Namespace = "v1.28.3", "istio-system"
	for _, c := range []struct {
		reason  string
		objects []client.Object
		message string
		// permanent is what stalls, and is worth a Warning at once.
		permanent bool
	}{
		{
			"An Istio makes its revision by itself: nothing is to be mended.",
			[]client.Object{istio},
			"spec.targetRef: Istio/prod has no revision yet: IstioRevision/prod does not exist", false,
		},
		{
			"The revision of that name is not the Istio's: somebody has made it by hand.",
			[]client.Object{istio, &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "prod"}}},
			"spec.targetRef: Istio/prod has no revision: IstioRevision/prod does not belong to it", true,
		},
		{
			"The name may be wrong, which only a person can mend.", nil,
			"spec.targetRef: Istio/prod does not exist", true,
		},
	} {
		tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "stable"}}
		tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstio, Name: "prod"}
		r := &Reconciler{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(c.objects...).Build()}
		run := &scope{tag: tag}
		if err := r.resolve(t.Context(), run); err != nil {
			t.Fatalf("%s %v", c.reason, err)
		}
		if run.target != nil {
			t.Errorf("%s It has the target %s", c.reason, run.target.Name)
		}
		p := run.unresolved
		if p == nil || p.Reason != v1.ReasonRefNotFound || p.Err.Error() != c.message || p.Permanent != c.permanent {
			t.Errorf("%s The problem is %+v, want %s", c.reason, p, c.message)
		}
	}
}
