package resource

import (
	"slices"

	"github.com/lateen-io/lateen/internal/release"
)

// Include is the decision where Istio's CRDs come from.
type Include string

// The decisions. Undecided means the same as Excluded for the rendering; a package in which nobody decides gets a
// warning if it needs them.
const (
	Undecided Include = ""
	Excluded  Include = "exclude"
	Included  Include = "include"
)

// Substitute says whether Flux puts in the variables, ${name}, of the values after rendering.
type Substitute string

// What is known about that.
const (
	SubstituteUnknown Substitute = ""
	SubstituteNo      Substitute = "false"
	SubstituteYes     Substitute = "true"
)

// Protect says whose objects ask GitOps tools not to prune them.
type Protect string

// The possibilities.
const (
	// ProtectRevisions protects those of RevisionBased control planes, where nothing remembers older revisions.
	ProtectRevisions Protect = "false"
	// ProtectAll protects those of any control plane.
	ProtectAll Protect = "true"
	// ProtectNone protects nothing: the step before a mesh is taken down.
	ProtectNone Protect = "teardown"
)

// Options are what is in force for one resource, or for a call.
type Options struct {
	// Charts is a directory with charts of versions that are not bundled; empty for none.
	Charts string
	// Brought are such charts where the program that calls has opened them itself, in place of Charts; nil for none.
	Brought *release.Directory
	// KubeVersion is what charts are told about the cluster, such as v1.34.0; empty means a fixed default. It is not
	// checked yet.
	KubeVersion string
	// Platform is the kind of cluster, such as openshift; empty if it is not known.
	Platform string
	// CRDs says whether Istio's own CRDs are rendered.
	CRDs Include
	// Track says that a generator also emits the Istio and its IstioRevision.
	Track bool
	// ChartFailurePolicy leaves the failurePolicy of validating webhooks as the charts have it.
	ChartFailurePolicy bool
	// Protect says whose objects ask not to be pruned.
	Protect Protect
	// Clusters are those that the package is applied to, if that is known.
	Clusters []string
	// Strict makes errors of warnings.
	Strict bool
	// AllowRemoval are resources whose objects may go, by kind and name: Istio/default.
	AllowRemoval []string
	// FluxSubstitute is about variables in values.
	FluxSubstitute Substitute
}

// Options are the settings by their types. Set has checked them.
func (s Settings) Options() Options { return s.Upon(Options{}) }

// Upon gives the options in force: those that are set, and those of lower rank where s says nothing. The two that Over
// adds up are added up here as well.
func (s Settings) Upon(lower Options) Options {
	out := lower
	if dir, set := s[OptionCharts]; set {
		out.Charts, out.Brought = dir, nil
	}
	override(s, OptionKubeVersion, &out.KubeVersion)
	override(s, OptionPlatform, &out.Platform)
	override(s, OptionCRDs, &out.CRDs)
	override(s, OptionProtect, &out.Protect)
	override(s, OptionFluxSubstitute, &out.FluxSubstitute)
	if value, set := s[OptionTrack]; set {
		out.Track = value == "true"
	}
	if value, set := s[OptionFailurePolicy]; set {
		out.ChartFailurePolicy = value == "chart"
	}
	if value, set := s[OptionClusters]; set {
		out.Clusters = Names(value)
	}
	out.Strict = s.Strict() || lower.Strict
	out.AllowRemoval = slices.Concat(Names(s[OptionAllowRemoval]), lower.AllowRemoval)
	return out
}

func override[T ~string](s Settings, name string, field *T) {
	if value, set := s[name]; set {
		*field = T(value)
	}
}
