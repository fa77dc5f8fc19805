// Package mesh decides about what several resources have to do with each other: control planes that get in each other's
// way, versions that do not work together, steps that are too long, what a tag points at and who has it, who holds a
// revision. It sees typed things, wherever they come from: a package in Git, or a cluster; whoever has them says what
// is found.
//
// The rules of who uses a revision are the job of package usage, and which revisions of a cluster may go that of
// package prune.
package mesh

import (
	"encoding/json"
	"fmt"

	"github.com/Masterminds/semver/v3"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/selector"
	"github.com/lateen-io/lateen/internal/values"
)

// Snapshot is a mesh at one moment, as far as it can be seen from somewhere.
type Snapshot struct {
	// ControlPlanes are there once each: Istios first, with their active revisions, then the other revisions.
	ControlPlanes []ControlPlane
	// Tags are the revision tags, by whoever brings them: IstioRevisionTags first.
	Tags []Tag
	// Consumers are who names a revision or a tag.
	Consumers []Consumer
	// Enrolled is one of those who are in ambient, "Namespace shop"; empty if there is none.
	Enrolled string
	// WithoutAny is what to say to a person who misses a control plane when there is none at all: a sentence.
	WithoutAny string
	// Forgets says that earlier revisions may be there without being seen: a package under kustomize has only what it
	// renders now.
	Forgets bool
}

// ControlPlane is the planned revision of an Istio, or an IstioRevision.
type ControlPlane struct {
	// Ref is the resource that a person can change: the Istio, or the IstioRevision.
	Ref finding.Ref
	// Istio is the name of the Istio whose active revision it is; empty for any other IstioRevision.
	Istio string
	// Name is that of the revision; empty if it is not known.
	Name string
	// Owner is the Istio that an earlier revision was generated for, as "Istio/default"; empty for what a user wrote.
	Owner string
	// Version is the resolved Istio version, such as v1.28.3; empty if it is not known.
	Version string
	// Namespace is where it runs.
	Namespace string
	// Values are complete; nil if they are not known, and nothing can be said that depends on them.
	Values map[string]any
	// Coexists says that other revisions may stand beside it in its namespace: an Istio that is updated by revisions, or
	// an IstioRevision.
	Coexists bool
	// ByRevisions says that it is of an Istio that is updated by revisions.
	ByRevisions bool
	// Unusable says why nothing can be made with it, as what follows its name in a sentence: "cannot be rendered: ...".
	// Empty if it can.
	Unusable string
}

// Remote reports whether its istiod is in another cluster.
func (c ControlPlane) Remote() bool { return values.String(c.Values, "profile") == "remote" }

func (c ControlPlane) String() string { return c.Ref.String() }

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
// it collides with; remote ones, whose istiod is elsewhere, are in nobody's way, and earlier revisions of an Istio are
// on their way out.
func Collisions(planes []ControlPlane) finding.List {
	var seen []ControlPlane
	var found finding.List
	for _, c := range planes {
		if c.Values == nil || c.Unusable != "" || c.Owner != "" || c.Remote() {
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
