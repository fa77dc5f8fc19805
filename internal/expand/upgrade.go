package expand

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"
	"github.com/Masterminds/semver/v3"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// upgrade compares a control plane with what the package has of it from earlier runs: it warns of skipped versions, refuses
// to move it, and decides which earlier revisions are released.
type upgrade struct {
	source  krm.Resource
	output  Output
	items   []manifest.Object
	reports []usage.Report

	results  fn.Results
	released []string
}

// run decides. It is only for an Istio: an IstioRevision that a user wrote has no history.
func (u *upgrade) run() {
	active := u.output.Revision.Name
	based := u.source.Istio.Spec.UpdateStrategy.Type == v1.UpdateStrategyRevisionBased
	newest := ""
	for _, item := range krm.Revisions(u.items, u.output.Owner) {
		name := item.ID().Name
		version := item.Annotation(manifest.AnnotationVersion)
		if name == active {
			u.unmoved(item)
			u.skipped(version, 1, "in place")
			return
		}
		if newest == "" || version != "" && !newer(newest, version) {
			newest = version
		}
	}
	if based {
		u.skipped(newest, 2, "by revisions")
	}
}

// release decides which earlier revisions go.
func (u *upgrade) release() {
	active := u.output.Revision.Name
	for _, item := range krm.Revisions(u.items, u.output.Owner) {
		name := item.ID().Name
		if name == active {
			continue
		}
		if why := u.heldBy(name); why != "" {
			u.results = append(u.results, krm.Result(item, fn.Info, nil, "kept: "+why))
			continue
		}
		verdict := usage.Decide(u.reports, name, active)
		if verdict.Unused {
			u.released = append(u.released, name)
			u.results = append(u.results, krm.Result(item, fn.Info, nil, "released: "+verdict.Reason))
		} else if len(u.reports) > 0 {
			u.results = append(u.results, krm.Result(item, fn.Info, nil, "kept: "+verdict.Reason))
		}
	}
}

// heldBy says what in the package itself needs a revision, whatever the reports say.
func (u *upgrade) heldBy(name string) string {
	var v map[string]any
	if raw := u.output.Revision.Spec.Values; raw != nil && json.Unmarshal(raw.Raw, &v) == nil &&
		values.String(v, "pilot", "env", "EXTERNAL_ISTIOD") == "true" {
		return "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters"
	}
	for _, item := range u.items {
		if item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		target := item.Field("spec", "targetRef")
		switch {
		case item.Kind() == v1.KindIstioRevisionTag && target != nil:
			r, results := krm.Decode(item)
			if !HasError(results) && r.Tag.Spec.TargetRef.Kind == v1.TargetIstioRevision && r.Tag.Spec.TargetRef.Name == name {
				return "the tag " + r.Tag.Name + " in the package points at it"
			}
		case revisionLabel(item) == name:
			return fmt.Sprintf("%s in the package has the label istio.io/rev=%s", item.ID(), name)
		}
	}
	return ""
}

// unmoved refuses to move a control plane to another namespace: in a cluster the field is immutable, and proxies talk to
// the old place.
func (u *upgrade) unmoved(item manifest.Object) {
	before, now := krm.Text(item, "spec", "namespace"), u.output.Revision.Spec.Namespace
	if before != "" && before != now {
		r := krm.Result(u.source.Object, fn.Error, []string{"spec", "namespace"}, fmt.Sprintf("spec.namespace: Value is immutable: the control plane "+
			"is in %s, and proxies are connected to it there. To install it anew in %s, remove the file of IstioRevision/%s first",
			before, now, item.ID().Name))
		r.Field.CurrentValue, r.Field.ProposedValue = now, before
		u.results = append(u.results, r)
	}
}

// skipped warns if an upgrade leaps over more minor versions than Istio supports: one in place, two by revisions. Going back
// counts the same way.
func (u *upgrade) skipped(before string, most int64, how string) {
	from, errFrom := semver.NewVersion(before)
	to, errTo := semver.NewVersion(u.output.Release.Version)
	if errFrom != nil || errTo != nil || from.Major() != to.Major() {
		return
	}
	steps := int64(to.Minor()) - int64(from.Minor()) //nolint:gosec // minor versions are small numbers
	if steps <= most && steps >= -most {
		return
	}
	next := fmt.Sprintf("v%d.%d-latest", from.Major(), int64(from.Minor())+most) //nolint:gosec // the same
	if steps < 0 {
		next = fmt.Sprintf("v%d.%d-latest", from.Major(), int64(from.Minor())-most) //nolint:gosec // the same
	}
	r := krm.Result(u.source.Object, fn.Warning, []string{"spec", "version"}, fmt.Sprintf(
		"spec.version: from %s to %s; %s, Istio supports %d minor version(s) at a time. Go by way of %s", before, u.output.Release.Version, how, most, next))
	r.Field.CurrentValue, r.Field.ProposedValue = u.output.Release.Version, next
	u.results = append(u.results, r)
}

func newer(a, b string) bool {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	return errA == nil && errB == nil && va.GreaterThan(vb)
}

// reports reads the usage reports of a package.
func reports(items []manifest.Object) ([]usage.Report, fn.Results) {
	var out []usage.Report
	var results fn.Results
	for _, item := range items {
		if item.Kind() != usage.Kind || item.APIVersion() != usage.APIVersion {
			continue
		}
		spec, err := krm.JSON(item, "spec")
		if err == nil {
			var r usage.Report
			if r, err = usage.ParseReport(item.ID().Name, spec); err == nil {
				out = append(out, r)
			}
		}
		if err != nil {
			results = append(results, krm.Result(item, fn.Error, []string{"spec"}, "usage report: "+strings.TrimPrefix(err.Error(), "usage report: ")))
		}
	}
	slices.SortFunc(out, func(a, b usage.Report) int { return strings.Compare(a.Name, b.Name) })
	return out, results
}
