package istiocni

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/status"
)

// facts are what a run has learned.
type facts struct {
	// reconciled is why the objects are not as they should be, or nil.
	reconciled *status.Problem
	// ready is that condition.
	ready v1.Condition
	// inventory is what has been applied; nil leaves the old one.
	inventory v1.Inventory
}

// nextStatus is what the status of an IstioCNI should be, of what it was and what has been learned.
func nextStatus(now time.Time, cni *v1.IstioCNI, f facts) v1.IstioCNIStatus {
	s := *cni.Status.DeepCopy()
	s.ObservedGeneration = cni.Generation
	if f.inventory != nil {
		s.Inventory = f.inventory
	}
	if owned.PipelineRendered(cni) {
		s.Inventory = nil
	}
	for _, c := range []v1.Condition{status.Reconciled(f.reconciled), f.ready} {
		c.LastTransitionTime = metav1.NewTime(now)
		s.Conditions = s.Conditions.Set(c)
	}
	s.Conditions = status.Stalled(s.Conditions, f.reconciled, now)
	s.State = s.Conditions.State(v1.IstioCNIStateConditions)
	return s
}
