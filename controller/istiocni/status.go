package istiocni

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/outcome"
)

// facts are what a run has learned.
type facts struct {
	// reconciled is why the objects are not as they should be, or nil.
	reconciled *outcome.Problem
	// ready is that condition.
	ready v1.Condition
	// inventory is what has been applied; nil leaves the old one.
	inventory v1.Inventory
}

// status is what the status of an IstioCNI should be, of what it was and what has been learned.
func status(now time.Time, cni *v1.IstioCNI, f facts) v1.IstioCNIStatus {
	s := *cni.Status.DeepCopy()
	s.ObservedGeneration = cni.Generation
	if f.inventory != nil {
		s.Inventory = f.inventory
	}
	if outcome.PipelineRendered(cni) {
		s.Inventory = nil
	}
	for _, c := range []v1.Condition{outcome.Reconciled(f.reconciled), f.ready} {
		c.LastTransitionTime = metav1.NewTime(now)
		s.Conditions = s.Conditions.Set(c)
	}
	s.Conditions = outcome.Stalled(s.Conditions, f.reconciled, now)
	s.State = s.Conditions.State(v1.IstioCNIStateConditions)
	return s
}
