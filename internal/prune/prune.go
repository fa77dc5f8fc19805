// Package prune decides which revisions of an Istio go: those that are no longer the active one and that nothing has
// used for the grace period. Who uses them is package usage's matter; deleting them, and keeping the moments in status,
// is the controller's.
package prune

import (
	"math"
	"time"

	"github.com/lateen-io/lateen/internal/usage"
)

// DefaultGrace is the grace period of an Istio that sets none.
const DefaultGrace = 30 * time.Second

// Policy is what an Istio says about pruning.
type Policy struct {
	// Grace is how long a revision stays after its last user has gone and another revision has become the active one. Zero
	// is at once.
	Grace time.Duration
	// External says that the Istio asks for an external control plane (pilot.env.EXTERNAL_ISTIOD: "true"): its users are
	// in other clusters, so none of its revisions is pruned.
	External bool
}

// Revision is one revision that the Istio owns.
type Revision struct {
	Name string
	// Active says that it is the one that the Istio asks for.
	Active bool
	// External is the same as in Policy, of the revision's own values: it may be older than the Istio's.
	External bool
	InUse    usage.InUse
	// UnusedSince and InactiveSince are when its last user went and when another one became the active one. Zero: not
	// known. See Observe. Moments that are kept in whole seconds may let it go up to a second early.
	UnusedSince, InactiveSince time.Time
}

// Verdict is what becomes of a revision, and why.
type Verdict struct {
	Name   string
	Delete bool
	// Due is when to decide again, although nothing has happened until then. Zero: only an event can change the verdict.
	Due time.Time
	// Reason completes the sentence "it is kept: ..." or "it is deleted: ...".
	Reason string
}

// Decide judges all revisions of an Istio, in the order in which they come.
func Decide(now time.Time, p Policy, revisions []Revision) []Verdict {
	verdicts := make([]Verdict, len(revisions))
	for i, r := range revisions {
		verdicts[i] = decide(now, p, r)
	}
	return verdicts
}

func decide(now time.Time, p Policy, r Revision) Verdict {
	v := Verdict{Name: r.Name}
	switch {
	case r.Active:
		v.Reason = "it is the active revision"
	case p.External || r.External:
		v.Reason = "it " + usage.External
	case r.InUse == usage.True:
		v.Reason = "it is in use"
	case r.InUse != usage.False:
		v.Reason = "it is not known whether it is in use"
	case r.UnusedSince.IsZero():
		v.Reason = "it is not known since when it has been unused"
	case r.InactiveSince.IsZero():
		v.Reason = "it is not known since when it has not been the active revision"
	default:
		unused, _ := Since(now, r.UnusedSince)
		inactive, _ := Since(now, r.InactiveSince)
		since, what := unused, "nothing has used it since "
		if inactive.After(unused) {
			since, what = inactive, "nothing uses it, and it has not been the active revision since "
		}
		due := since.Add(max(p.Grace, 0))
		v.Reason = what + since.UTC().Format(time.RFC3339)
		if v.Delete = !now.Before(due); !v.Delete {
			v.Due = due
			v.Reason += "; it goes at " + due.UTC().Format(time.RFC3339)
		}
	}
	return v
}

// tolerance is how far in the future a recorded moment may be: status keeps whole seconds, and the clock of another
// replica may be a little ahead.
const tolerance = time.Second

// Since gives the moment from which a grace period counts. A recorded moment that lies in the future was written before
// somebody set the clock back. It says nothing about how long ago it was, so the period starts again: reset tells the
// caller to record now instead. Otherwise the revision would wait until the clock has caught up, perhaps for years.
func Since(now, recorded time.Time) (since time.Time, reset bool) {
	if recorded.After(now.Add(tolerance)) {
		return now, true
	}
	return recorded, false
}

// Observe brings the moments of a revision up to date with what was just seen of it. The caller keeps them in status,
// so that a restart does not start the grace period again, and calls Decide with the result. As long as it is not known
// whether the revision is used, the moment at which it became unused stays: a failed observation is no use.
func Observe(now time.Time, r Revision) Revision {
	switch r.InUse {
	case usage.True:
		r.UnusedSince = time.Time{}
	case usage.False:
		r.UnusedSince = from(now, r.UnusedSince)
	case usage.Unknown:
		if !r.UnusedSince.IsZero() {
			r.UnusedSince = from(now, r.UnusedSince)
		}
	}
	if r.Active {
		r.InactiveSince = time.Time{}
	} else {
		r.InactiveSince = from(now, r.InactiveSince)
	}
	return r
}

func from(now, recorded time.Time) time.Time {
	if recorded.IsZero() {
		return now
	}
	since, _ := Since(now, recorded)
	return since
}

// Grace is the grace period of an updateStrategy with that inactiveRevisionDeletionGracePeriodSeconds; nil is absent.
func Grace(seconds *int64) time.Duration {
	switch {
	case seconds == nil:
		return DefaultGrace
	case *seconds > int64(math.MaxInt64/time.Second):
		return math.MaxInt64 // 292 years; more cannot be told from it
	}
	return time.Duration(*seconds) * time.Second
}
