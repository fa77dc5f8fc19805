package expand

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// target finds what a tag points at. It reports whether there is anything to render the tag with.
func (j *job) target() bool {
	ref := j.Tag.Spec.TargetRef
	tag := mesh.Tag{
		Ref: resource.RefOf(j.Object), Name: j.Tag.Name, Target: finding.Ref{Kind: string(ref.Kind), Name: ref.Name},
	}
	of, wrong := j.around.mesh().Target(tag)
	target := j.around.behind(of)
	switch {
	case wrong == nil:
		j.takeOver(target)
		return true
	case target.err == nil:
	case j.keep(target):
		wrong.Severity = finding.Warning
		wrong.Message = "spec.targetRef: the objects of the tag stay as they are, because " +
			strings.TrimPrefix(wrong.Message, "spec.targetRef: ") + sameCharts(target.err)
	default:
		wrong.Err = target.err
		wrong.Message += sameCharts(target.err)
	}
	j.found(finding.List{*wrong})
	return false
}

// behind is what the package has of a control plane.
func (s *snapshot) behind(c mesh.ControlPlane) controlPlane {
	for _, known := range s.controlPlanes() {
		if known.Ref == c.Ref && known.Name == c.Name {
			return known
		}
	}
	return controlPlane{}
}

// takeOver gives the tag what its target was rendered with.
func (j *job) takeOver(target controlPlane) {
	if target.otherCharts {
		ref := j.Tag.Spec.TargetRef
		_ = j.add(finding.Warning, []string{"spec", "targetRef", "name"},
			fmt.Sprintf("spec.targetRef: %s/%s was rendered with other charts of Istio %s than those that the tag gets: "+
				"give revision-tag the same option charts as render-istio", ref.Kind, ref.Name, target.Version))
	}
	j.in.Target = &target.plan
	if j.in.Options.KubeVersion == "" {
		j.in.Options.KubeVersion = target.kubeVersion
	}
	own, _ := resource.SettingsOf(target.item)
	if flux := own.Options().FluxSubstitute; flux != resource.SubstituteUnknown { // the tag has the values of its target
		j.in.Options.FluxSubstitute = flux
	}
}

// keep takes over what the package has of the tag, if its target is an earlier revision that cannot be rendered any
// more. It reports whether there is anything.
func (j *job) keep(target controlPlane) bool {
	if target.Owner == "" {
		return false
	}
	for _, g := range j.around.generated {
		if g.owner == j.output.Owner && g.Label(manifest.LabelRevision) == target.Name {
			j.output.Objects = append(j.output.Objects, g.Copy())
		}
	}
	return len(j.output.Objects) > 0
}

// sameCharts says what else to do about charts that are missing: the function for control planes may have been told of
// some.
func sameCharts(err error) string {
	if _, missing := errors.AsType[*release.UnknownVersionError](err); missing {
		return ". If render-istio has the option charts, give revision-tag the same"
	}
	return ""
}
