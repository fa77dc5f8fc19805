package render

import (
	"fmt"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// CNIInput is all that the objects of an IstioCNI depend on.
type CNIInput struct {
	// CNI is the resource, with its defaults filled in (see v1.IstioCNI.Default).
	CNI *v1.IstioCNI
	// Release is the version that it asks for.
	Release release.Release
	// Platform is the kind of cluster, if it is known, and KubeVersion its version.
	Platform, KubeVersion string
	// Owner is the resource that the objects are stamped with: "IstioCNI/default".
	Owner string
}

// CNI gives the objects of the CNI plugin: those of the chart cni as the Helm release istio-cni, with these layers of
// values, later ones on top: the selected profile or else the platform's, the user's values, the platform.
func CNI(in CNIInput) ([]manifest.Object, error) {
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
	target := chart.Target{Release: "istio-cni", Namespace: in.CNI.Spec.Namespace, KubeVersion: in.KubeVersion}
	objects, err := renderChart(in.Release, name, nil, values.Merge(profile, user, platform), target)
	if err != nil {
		return nil, err
	}
	return finish(objects, manifest.Stamp{Owner: in.Owner, Version: in.Release.Version}, in.Release)
}
