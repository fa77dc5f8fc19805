package render

import (
	"cmp"
	"fmt"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// cniInput is all that the objects of an IstioCNI depend on.
type cniInput struct {
	// CNI is the resource, with its defaults filled in (see v1.IstioCNI.Default).
	CNI *v1.IstioCNI
	// Release is the version that it asks for.
	Release release.Release
	// Platform is the kind of cluster, if it is known, and KubeVersion its version.
	Platform, KubeVersion string
	// Owner is the resource that the objects are stamped with: "IstioCNI/default".
	Owner string
	// FluxSubstitute and Warn as in revisionInput.
	FluxSubstitute bool
	Warn           func(problem)
}

// renderCNI gives the objects of the CNI plugin: those of the chart cni as the Helm release istio-cni, with these
// layers of values, later ones on top: the selected profile or else the platform's, the user's values, the platform.
func renderCNI(in cniInput) ([]manifest.Object, error) {
	const name = "cni"
	user, err := decode(in.CNI.Spec.Values)
	if err != nil {
		return nil, fmt.Errorf("spec.values: %w", err)
	}
	profile, platform, err := values.ProfileAndPlatform(string(in.CNI.Spec.Profile), in.Platform, name, in.Release, user)
	if err != nil {
		return nil, fmt.Errorf("spec.profile: %w", err)
	}
	if values.String(profile, "profile") == "remote" && !in.Release.HasChartFile(name, "files/profile-remote.yaml") {
		profile = nil // up to 1.23 the profile is a chart of its own, and changes nothing in this one
	}
	merged := values.Merge(profile, user, platform)
	target := chart.Target{Release: "istio-cni", Namespace: in.CNI.Spec.Namespace}
	if target.KubeVersion, err = gke(merged, in); err != nil {
		return nil, err
	}
	subst := substitution{on: in.FluxSubstitute}
	objects, err := renderChart(in.Release, name, nil, subst.mark(merged), target)
	if err != nil {
		return nil, err
	}
	if !in.FluxSubstitute || len(subst.words) == 0 { // with words in place of variables, nothing can be looked up
		unwritten(objects, merged, in.Release, in.Warn)
	}
	stamp := manifest.Stamp{
		Owner: in.Owner, Version: in.Release.Version, Text: subst.text(),
		Dropped: dropped(name, merged, in.Warn),
	}
	return finish(objects, stamp, in.Release)
}

const platformGKE = "gke"

// gke makes the chart see a cluster of GKE if either the platform or the version of Kubernetes says that it is one. The
// chart looks for -gke in the version, and since 1.25 does so only on the platform gke: with one of the two alone it
// installs the plugin into a directory that nodes of GKE cannot write. It returns the version that the chart is told.
func gke(merged map[string]any, in cniInput) (kubeVersion string, err error) {
	kube, err := chart.ParseKubeVersion(in.KubeVersion)
	if err != nil {
		return "", err
	}
	platform := cmp.Or(values.String(merged, "platform"), values.String(merged, "global", "platform"), in.Platform)
	byVersion := strings.Contains(kube.Version, "-gke")
	switch {
	case platform == "" && byVersion && in.Release.HasChartFile("cni", "files/profile-platform-gke.yaml"):
		values.Set(merged, platformGKE, "global", "platform")
	case platform == platformGKE && !byVersion:
		plain, _, _ := strings.Cut(kube.Version, "+")
		plain, _, _ = strings.Cut(plain, "-")
		return plain + "-gke", nil
	}
	return kube.Version, nil
}
