package mesh

import (
	"fmt"

	"github.com/Masterminds/semver/v3"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/usage"
)

// Step is an upgrade, or a way back.
type Step struct {
	// Ref is the resource whose version has changed.
	Ref finding.Ref
	// From and To are resolved versions.
	From, To string
	// InPlace says that the control plane is replaced; otherwise a second one comes beside it.
	InPlace bool
	// Available are the versions that can be had.
	Available []string
}

// Newest is the version from which an upgrade by revisions starts: the newest of those that earlier revisions have.
// What is no number, such as master, counts only if there is nothing else.
func Newest(versions []string) string {
	newest := ""
	var of *semver.Version
	for _, version := range versions {
		v, err := semver.NewVersion(version)
		if newest == "" || err == nil && (of == nil || v.GreaterThan(of)) {
			newest, of = version, v
		}
	}
	return newest
}

// Skipped warns of a step over more minor versions than Istio supports: one in place, two by revisions
// (https://istio.io/latest/docs/setup/upgrade/). Going back counts the same way.
func Skipped(s Step) (f finding.Finding, skipped bool) {
	from, errFrom := semver.NewVersion(s.From)
	to, errTo := semver.NewVersion(s.To)
	if errFrom != nil || errTo != nil || from.Major() != to.Major() {
		return f, false
	}
	most, how, atATime := int64(2), "by revisions", "two minor versions"
	if s.InPlace {
		most, how, atATime = 1, "in place", "one minor version"
	}
	steps := int64(to.Minor()) - int64(from.Minor()) //nolint:gosec // minor versions are small numbers
	if steps <= most && steps >= -most {
		return f, false
	}
	next, way := s.between(from, to, most)
	f = finding.Finding{
		Severity: finding.Warning, Ref: s.Ref, Field: "spec.version", Current: s.To,
		Message: fmt.Sprintf("spec.version: from %s to %s; %s, Istio supports %s at a time. Go by way of %s",
			s.From, s.To, how, atATime, way),
	}
	if next != "" {
		f.Suggestion = next
	}
	return f, true
}

// between is the farthest version between two that is no more than so many minors away from the first: one that can be
// had, or else what to bring, in words.
func (s Step) between(from, to *semver.Version, most int64) (next, way string) {
	direction := int64(1)
	if to.LessThan(from) {
		direction = -1
	}
	for steps := most; steps > 0; steps-- {
		minor := from.Minor() + uint64(direction*steps) //nolint:gosec // it is between two versions that there are
		if release.Newest(from.Major(), minor, s.Available) != "" {
			next = fmt.Sprintf("v%d.%d-latest", from.Major(), minor)
			return next, next
		}
	}
	minor := from.Minor() + uint64(direction*most) //nolint:gosec // the same
	return "", fmt.Sprintf("Istio %d.%d, whose charts are not here: bring them (option charts)", from.Major(), minor)
}

// Release says whether an earlier revision of an Istio goes from a package whose active one is another: nothing in the
// package holds it, and every usage report that counts says that nothing uses it. q is the question to the reports; of
// it, Revision and Active are filled in here. Reason says why it goes or stays; it is empty if it stays because nobody
// has said anything about it.
func (s Snapshot) Release(active, earlier ControlPlane, reports []usage.Report, q usage.Question) usage.Verdict {
	if why := s.HeldBy(active, earlier); why != "" {
		return usage.Verdict{Reason: why}
	}
	if len(reports) == 0 {
		return usage.Verdict{}
	}
	q.Revision, q.Active = earlier.Name, active.Name
	return usage.Decide(reports, q)
}
