// Package mesh decides about what several resources have to do with each other: control planes that get in each other's
// way, versions that do not work together, steps that are too long. It sees typed things, wherever they come from: a
// package in Git, or a cluster; whoever has them says what is found.
//
// Who uses a revision is the job of package usage, and which revisions may go that of package prune.
package mesh

import (
	"encoding/json"
	"fmt"

	"github.com/Masterminds/semver/v3"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/selector"
	"github.com/lateen-io/lateen/internal/values"
)

// ControlPlane is the planned revision of an Istio, or an IstioRevision.
type ControlPlane struct {
	// Ref is the resource that a person can change: the Istio, or the IstioRevision.
	Ref finding.Ref
	// Version is the resolved Istio version, such as v1.28.3; empty if it is not known.
	Version string
	// Namespace is where it runs.
	Namespace string
	// Values are complete; nil if they are not known, and nothing can be said that depends on them.
	Values map[string]any
	// Coexists says that other revisions may stand beside it in its namespace: an Istio that is updated by revisions, or
	// an IstioRevision.
	Coexists bool
}

func (c ControlPlane) String() string { return c.Ref.Kind + "/" + c.Ref.Name }

// discovers are the discoverySelectors, of which one must match a namespace; none match all.
func (c ControlPlane) discovers() []selector.Selector {
	raw, err := json.Marshal(c.Values)
	if err != nil {
		return nil // they came from JSON
	}
	return selector.FromValues(raw)
}

// cluster is the one that it watches, which for an external control plane is another than it runs in.
func (c ControlPlane) cluster() string {
	return values.String(c.Values, "global", "multiCluster", "clusterName")
}

// Collisions warns of control planes that get in each other's way: two in one namespace, and two whose
// discoverySelectors can select one namespace, so that both would write there. Each is named once, with the first that
// it collides with; remote ones, whose istiod is elsewhere, are in nobody's way.
func Collisions(planes []ControlPlane) finding.List {
	var seen []ControlPlane
	var found finding.List
	for _, c := range planes {
		if c.Values == nil || values.String(c.Values, "profile") == "remote" {
			continue
		}
		for _, other := range seen {
			if f, collides := collision(other, c); collides {
				found.Add(f)
				break
			}
		}
		seen = append(seen, c)
	}
	return found
}

func collision(a, b ControlPlane) (f finding.Finding, collides bool) {
	f = finding.Finding{Severity: finding.Warning, Ref: b.Ref}
	if a.Namespace == b.Namespace {
		f.Field = "spec.namespace"
		f.Message = fmt.Sprintf(
			"%s and %s are two control planes in the namespace %s; give each a namespace of its own, or, "+
				"for an upgrade, make them revisions of one Istio (updateStrategy: RevisionBased)", a, b, a.Namespace)
		return f, !a.Coexists || !b.Coexists
	}
	if a.cluster() != b.cluster() && (values.External(a.Values) || values.External(b.Values)) {
		return f, false
	}
	both := selector.Overlap(a.discovers(), b.discovers())
	f.Field = "spec.values.meshConfig.discoverySelectors"
	f.Message = fmt.Sprintf(
		"%s and %s can discover the same namespace, %s: both would manage it; choose discoverySelectors "+
			"that cannot both match, such as one label with different values", a, b, both)
	return f, both != ""
}

// Skew is what is to be said about a CNI plugin and a control plane, if anything: the plugin of 1.x works with 1.x-1,
// 1.x and 1.x+1 (https://istio.io/latest/docs/setup/additional-setup/cni/#upgrade). Of versions without a number, such
// as master, it says that it does not know. cni is the plugin's version; the finding is about its resource, ref.
func Skew(ref finding.Ref, cni string, c ControlPlane) (f finding.Finding, skewed bool) {
	if c.Version == "" || c.Version == cni {
		return f, false
	}
	f = finding.Finding{Severity: finding.Warning, Ref: ref, Field: "spec.version", Current: cni}
	plugin, errPlugin := semver.NewVersion(cni)
	istiod, errIstiod := semver.NewVersion(c.Version)
	if errPlugin != nil || errIstiod != nil {
		f.Severity = finding.Info
		f.Message = fmt.Sprintf(
			"spec.version: whether the CNI plugin of Istio %s works with %s of Istio %s cannot be told from the "+
				"versions", cni, c, c.Version)
		return f, true
	}
	f.Message = fmt.Sprintf(
		"spec.version: the CNI plugin of Istio %s does not work with %s of Istio %s; it works with the minor "+
			"versions before, at and after its own", cni, c, c.Version)
	near := istiod.Major() == plugin.Major() && istiod.Minor() <= plugin.Minor()+1 && istiod.Minor()+1 >= plugin.Minor()
	return f, !near
}

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
