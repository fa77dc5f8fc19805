package controller

import (
	"fmt"

	"github.com/lateen-io/lateen/test/cluster"
)

// scaler is an object without a generation whose status changes all the time.
func scaler(e *env, _ *daemon) {
	e.install("scaler", "version: v1.28.3")
	about := func(w cluster.Write) bool { return w.Resource == "horizontalpodautoscalers" && w.Namespace == "scaler" }
	tries := func() int {
		n := 0
		for _, w := range e.Writes(e.t) { // dry runs as well
			if w.UserAgent == "lateen-controller" && about(w) {
				n++
			}
		}
		return n
	}
	in := func(args ...string) []string { return append(args, "hpa", "istiod-scaler", "-n", "scaler") }
	// A change that is drift, so that what follows is known to have been seen.
	undone := func() {
		e.must(append(in("patch", "--type=merge"), "-p", `{"spec":{"maxReplicas":7}}`)...)
		e.is("5", "{.spec.maxReplicas}", in()...)
	}
	undone()
	undone()
	before := tries()
	undone()
	each := tries() - before
	before = tries()
	const changes = 50
	for i := range changes {
		e.must(append(in("patch", "--subresource=status", "--type=merge"), "-p",
			fmt.Sprintf(`{"status":{"currentReplicas":%d,"desiredReplicas":1}}`, i+1))...)
	}
	undone()
	// Not one for each. What a drift leads to is not the same each time: its writes may be seen in one step or in
	// several, and whatever else brings a look meanwhile costs one.
	if got := tries() - before; got > each+changes/5 {
		e.t.Errorf("%d changes of the status of an HorizontalPodAutoscaler led to %d requests, and a drift leads to %d",
			changes, got, each)
	}
}
