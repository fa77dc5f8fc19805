package status

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
)

// Note shortens a text to what an event can hold.
func Note(s string) string {
	const most = 900
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// Warn makes events of the warnings among findings, once for each state of the spec: observed is the last one that was
// reported.
func Warn(r events.EventRecorder, about client.Object, observed int64, found finding.List) {
	if about.GetGeneration() != observed {
		Tell(r, about, EventCheckValues, found)
	}
}

// The reasons of events that are findings: about one resource, and about several together.
const (
	EventCheckValues = "CheckValues"
	EventCheckMesh   = "CheckMesh"
)

// Tell makes events of the warnings among findings.
func Tell(r events.EventRecorder, about client.Object, reason string, found finding.List) {
	for _, w := range found.Messages(finding.Warning) {
		r.Eventf(about, nil, corev1.EventTypeWarning, reason, "Apply", "%s", Note(w))
	}
}

// Write writes the status if it differs from what it was.
func Write(ctx context.Context, c client.Client, before, after client.Object) error {
	if equality.Semantic.DeepEqual(before, after) {
		return nil
	}
	patch := client.MergeFromWithOptions(withoutDefault(before), client.MergeFromWithOptimisticLock{})
	return client.IgnoreNotFound(c.Status().Patch(ctx, after, patch))
}

// withoutDefault is a resource without the status that its CRD gives it before anybody has looked at it. What is
// zero in a status is in Go, but not in the cluster: without this, counters of an Istio that has nothing would not
// be written.
func withoutDefault(o client.Object) client.Object {
	if statusOf(o).generation >= 0 {
		return o
	}
	switch o := o.DeepCopyObject().(type) {
	case *v1.Istio:
		o.Status = v1.IstioStatus{}
		return o
	case *v1.IstioRevision:
		o.Status = v1.IstioRevisionStatus{}
		return o
	case *v1.IstioRevisionTag:
		o.Status = v1.IstioRevisionTagStatus{}
		return o
	case *v1.IstioCNI:
		o.Status = v1.IstioCNIStatus{}
		return o
	}
	return o
}
