package expand

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// upgrade compares a control plane with what the package has of it from earlier runs: it warns of skipped versions,
// refuses to move it, and decides which earlier revisions are released.
type upgrade struct {
	*job

	reports []usage.Report
	// available are the Istio versions that can be had.
	available []string

	findings finding.List
	released []string
	// activation and stale are noted on the active revision; see manifest.AnnotationActivation.
	activation int
	stale      []string
}

// earlier are the IstioRevisions that were generated for the Istio, the active one as well if it is not new.
func (u *upgrade) earlier() []manifest.Object { return u.around.revisions(u.output.Owner) }

// activate finds out whether the revision was the active one in the last rendering already. If it becomes the active
// one now, the usage reports in the package are older than that, and cannot say who uses the others after it.
func (u *upgrade) activate() {
	last, own := 0, 0
	for _, item := range u.earlier() {
		n := 1
		if noted, err := strconv.Atoi(item.Annotation(manifest.AnnotationActivation)); err == nil {
			n = noted
		}
		last = max(last, n)
		if item.ID().Name == u.output.Revision.Name {
			own = n
			u.stale = strings.Fields(item.Annotation(manifest.AnnotationStaleReports))
		}
	}
	if u.activation = own; own > 0 && own == last {
		return
	}
	u.activation, u.stale = last+1, nil
	for _, r := range u.reports {
		u.stale = append(u.stale, r.Digest())
	}
}

// note writes what activate has found on the IstioRevision that is rendered.
// In a package that remembers, it is the package that releases revisions, whether or not they are meant to be applied
// from it: not everybody who applies a package knows local-config.
func (u *upgrade) note(o manifest.Object) {
	if u.around.mode.remembers() {
		o.SetAnnotation(manifest.AnnotationReleasedBy, manifest.ReleasedByPackage)
	}
	if u.activation > 1 {
		o.SetAnnotation(manifest.AnnotationActivation, strconv.Itoa(u.activation))
	}
	if len(u.stale) > 0 {
		o.SetAnnotation(manifest.AnnotationStaleReports, strings.Join(u.stale, " "))
	}
}

// run decides. It is only for an Istio: an IstioRevision that a user wrote has no history.
func (u *upgrade) run() {
	active := u.output.Revision.Name
	var earlier []string
	for _, item := range u.earlier() {
		u.unmoved(item)
	}
	for _, item := range u.earlier() {
		version := item.Annotation(manifest.AnnotationVersion)
		if item.ID().Name == active {
			u.skipped(version, true)
			return
		}
		earlier = append(earlier, version)
	}
	u.skipped(mesh.Newest(earlier), false)
}

// release decides which earlier revisions go.
func (u *upgrade) release() {
	m := u.around.mesh()
	active := u.around.controlPlane(u.Object)
	for _, item := range u.earlier() {
		name := item.ID().Name
		if name == active.Name {
			continue
		}
		verdict := m.Release(active.ControlPlane, u.around.controlPlane(item).ControlPlane, u.reports,
			usage.Question{Stale: u.stale, Clusters: u.options.Clusters})
		says := "kept: "
		if verdict.Unused {
			u.released, says = append(u.released, name), "released: "
		}
		if verdict.Reason != "" {
			u.findings = append(u.findings, resource.Finding(item, finding.Info, nil, says+verdict.Reason))
		}
	}
}

// unmoved refuses to move a control plane to another namespace: in a cluster the field is immutable, and proxies talk
// to the old place.
func (u *upgrade) unmoved(item manifest.Object) {
	before, now := resource.Text(item, "spec", "namespace"), u.output.Revision.Spec.Namespace
	if before != "" && before != now {
		r := resource.Finding(u.Object, finding.Error, []string{"spec", "namespace"},
			fmt.Sprintf("spec.namespace: Value is immutable: the control plane is in %s, and proxies are connected to it "+
				"there. To install it anew in %s, remove the file of IstioRevision/%s first",
				before, now, item.ID().Name))
		r.Current, r.Suggestion = now, before
		u.findings = append(u.findings, r)
	}
}

// skipped warns if an upgrade leaps over more minor versions than Istio supports.
func (u *upgrade) skipped(before string, inPlace bool) {
	f, skipped := mesh.Skipped(mesh.Step{
		Ref: resource.RefOf(u.Object), From: before, To: u.output.Release.Version, InPlace: inPlace,
		Available: u.available,
	})
	if skipped {
		u.findings = append(u.findings, resource.About(u.Object, finding.List{f})...)
	}
}
