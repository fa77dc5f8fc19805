package istiorevisiontag

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/usage"
)

// facts are what a run has learned.
type facts struct {
	// reconciled is why the objects are not as they should be, or nil.
	reconciled *status.Problem
	// on is the revision that the webhooks inject from; nil if there are none.
	on *v1.IstioRevision
	// waiting is the revision that the tag moves to as soon as it is ready; "" if it is there.
	waiting string
	// use is who uses the tag; nil if nothing new can be said.
	use *usage.Use
	// inventory is what has been applied; nil leaves the old one.
	inventory v1.Inventory
}

// nextStatus is what the status of a tag should be, of what it was and what has been learned.
func nextStatus(now time.Time, tag *v1.IstioRevisionTag, f facts, pipeline bool) v1.IstioRevisionTagStatus {
	s := *tag.Status.DeepCopy()
	s.ObservedGeneration = tag.Generation
	if f.inventory != nil {
		s.Inventory = f.inventory
	}
	if pipeline {
		s.Inventory = nil
	}
	s.IstioRevision, s.IstiodNamespace = "", ""
	if f.on != nil {
		s.IstioRevision, s.IstiodNamespace = f.on.Name, f.on.Spec.Namespace
	}
	set := func(c v1.Condition) {
		c.LastTransitionTime = metav1.NewTime(now)
		s.Conditions = s.Conditions.Set(c)
	}
	reconciled := status.Reconciled(f.reconciled)
	if f.reconciled == nil && f.waiting != "" {
		reconciled.Message = fmt.Sprintf("stays on IstioRevision %s until %s is ready", s.IstioRevision, f.waiting)
	}
	set(reconciled)
	if f.use != nil {
		set(istiorevision.InUse(*f.use))
	}
	s.Conditions = status.Stalled(s.Conditions, f.reconciled, now)
	s.State = s.Conditions.State(v1.IstioRevisionTagStateConditions)
	return s
}
