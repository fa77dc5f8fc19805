package cluster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestAwait has resources wait for an object that another one controls: each hears of its next change, and of no other.
func TestAwait(t *testing.T) {
	t.Parallel()
	hook := v1.ObjectReference{
		APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration",
		Name: "istio-revision-tag-stable",
	}
	d := NewDrift(nil)
	for range 2 {
		d.Await(hook, v1.KindIstioRevision, "mesh")
	}
	d.Await(hook, v1.KindIstioRevisionTag, "stable")
	yes := true
	o := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: hook.Name, OwnerReferences: []metav1.OwnerReference{
			{APIVersion: "sailoperator.io/v1", Kind: v1.KindIstioRevision, Name: "holder", Controller: &yes},
		},
	}}
	other := o.DeepCopy()
	other.Name = "other"
	for _, step := range []struct {
		reason, kind string
		object       *metav1.PartialObjectMetadata
		want         []string
	}{
		{"Another object concerns its controller only.", v1.KindIstioRevision, other, []string{"holder"}},
		{"The object concerns those who wait for it, too.", v1.KindIstioRevision, o, []string{"holder", "mesh"}},
		{"Each kind has its own queue.", v1.KindIstioRevisionTag, o, []string{"stable"}},
		{"They were told once.", v1.KindIstioRevision, o, []string{"holder"}},
		{"All of them.", v1.KindIstioRevisionTag, o, nil},
	} {
		var got []string
		for _, r := range d.concerned(hook.GroupKind(), step.kind)(t.Context(), step.object) {
			got = append(got, r.Name)
		}
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", step.reason, diff)
		}
	}
	if len(d.awaited) > 0 {
		t.Errorf("%v is kept for nobody", d.awaited)
	}
}
