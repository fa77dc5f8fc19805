package cluster

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/event"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestEdited is what brings a resource up for another look.
func TestEdited(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		change func(rev *v1.IstioRevision)
		want   bool
	}{
		{"Its spec, and its deletion.", func(rev *v1.IstioRevision) { rev.Generation = 2 }, true},
		{"A label.", func(rev *v1.IstioRevision) { rev.Labels = map[string]string{"a": "b"} }, true},
		{"An annotation.", func(rev *v1.IstioRevision) { rev.Annotations = map[string]string{"a": "b"} }, true},
		{"It is left as an orphan.", func(rev *v1.IstioRevision) { rev.OwnerReferences = nil }, true},
		{"Somebody takes the finalizer off.", func(rev *v1.IstioRevision) { rev.Finalizers = nil }, true},
		{"It is another one of the same name.", func(rev *v1.IstioRevision) { rev.UID = "2" }, true},
		{"What the controller writes into its status does not.", func(rev *v1.IstioRevision) {
			rev.Status.State = "Healthy"
			rev.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
		}, false},
	} {
		before := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{
			Name: "a", UID: "1", ResourceVersion: "1", Generation: 1, Finalizers: []string{"a"},
			OwnerReferences: []metav1.OwnerReference{{Kind: v1.KindIstio, Name: "a", UID: "1"}},
		}}
		after := before.DeepCopy()
		after.ResourceVersion = "2"
		c.change(after)
		if got := Edited().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
			t.Errorf("%s got %t, want %t", c.reason, got, c.want)
		}
	}
}

// TestStanding is what brings others up that are by what a revision is.
func TestStanding(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		change func(rev *v1.IstioRevision)
		want   bool
	}{
		{"It ceases to be the active one.", func(rev *v1.IstioRevision) {
			rev.Status.InactiveSince = &metav1.Time{}
		}, true},
		{"It has other values.", func(rev *v1.IstioRevision) { rev.Generation = 2 }, true},
		{"It begins to go.", func(rev *v1.IstioRevision) {
			rev.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		}, true},
		{"It is another one of the same name.", func(rev *v1.IstioRevision) { rev.UID = "2" }, true},
		{"It gets ready.", func(rev *v1.IstioRevision) { rev.Status.State = "Healthy" }, false},
	} {
		before := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "a", UID: "1", Generation: 1}}
		after := before.DeepCopy()
		c.change(after)
		for _, e := range []event.UpdateEvent{
			{ObjectOld: before, ObjectNew: after}, {ObjectOld: after, ObjectNew: before},
		} {
			if got := Standing().Update(e); got != c.want {
				t.Errorf("%s got %t, want %t", c.reason, got, c.want)
			}
		}
	}
	if !Standing().Create(event.CreateEvent{}) || !Standing().Delete(event.DeleteEvent{}) {
		t.Error("it appears, or disappears: that is news")
	}
}

func TestBesideUsers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		change func(rev *v1.IstioRevision)
		want   bool
	}{
		{"That there is one user more is no news for others.", func(rev *v1.IstioRevision) {
			rev.Status.Conditions[1].Message = "two users"
		}, false},
		{"That there is none is.", func(rev *v1.IstioRevision) {
			rev.Status.Conditions[1].Status, rev.Status.Conditions[1].Message = metav1.ConditionFalse, "no user"
		}, true},
		{"Since when there is none is.", func(rev *v1.IstioRevision) {
			rev.Status.Conditions[1].LastTransitionTime = metav1.Unix(9, 0)
		}, true},
		{"The message of another condition is.", func(rev *v1.IstioRevision) {
			rev.Status.Conditions[0].Message = "not ready"
		}, true},
		{"The spec is.", func(rev *v1.IstioRevision) { rev.Generation = 2 }, true},
		{"That it is no longer the active one is.", func(rev *v1.IstioRevision) {
			rev.Status.InactiveSince = &metav1.Time{}
		}, true},
		{"A label is.", func(rev *v1.IstioRevision) { rev.Labels = map[string]string{"a": "b"} }, true},
		{"Who wrote it is not.", func(rev *v1.IstioRevision) {
			rev.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "m"}}
		}, false},
		{"The same once more is for all to look at.", func(rev *v1.IstioRevision) { rev.ResourceVersion = "1" }, true},
	} {
		before := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "a", ResourceVersion: "1", Generation: 1}}
		before.Status.Conditions = v1.Conditions{
			{Type: v1.ConditionReady, Status: metav1.ConditionTrue},
			{Type: v1.ConditionInUse, Status: metav1.ConditionTrue, Message: "a user"},
		}
		after := before.DeepCopy()
		after.ResourceVersion = "2"
		c.change(after)
		if got := BesideUsers().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after}); got != c.want {
			t.Errorf("%s got %t", c.reason, got)
		}
		if before.Status.Conditions[1].Message != "a user" || after.ResourceVersion == "" {
			t.Errorf("%s The objects belong to the cache, and must stay as they are", c.reason)
		}
	}
}
