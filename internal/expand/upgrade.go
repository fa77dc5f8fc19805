package expand

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// upgrade compares a control plane with what the package has of it from earlier runs: it warns of skipped versions,
// refuses to move it, and decides which earlier revisions are released.
type upgrade struct {
	source  resource.Resource
	output  Output
	items   []manifest.Object
	reports []usage.Report
	// available are the Istio versions that can be had.
	available []string
	// clusters are those that the package is applied to, if the user has listed them.
	clusters []string

	findings finding.List
	released []string
	// activation and stale are noted on the active revision; see manifest.AnnotationActivation.
	activation int
	stale      []string
}

// activate finds out whether the revision was the active one in the last rendering already. If it becomes the active
// one now, the usage reports in the package are older than that, and cannot say who uses the others after it.
func (u *upgrade) activate() {
	last, own := 0, 0
	for _, item := range resource.Revisions(u.items, u.output.Owner) {
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
func (u *upgrade) note(o manifest.Object, memory bool) {
	if memory {
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
	newest := ""
	for _, item := range resource.Revisions(u.items, u.output.Owner) {
		u.unmoved(item)
	}
	for _, item := range resource.Revisions(u.items, u.output.Owner) {
		version := item.Annotation(manifest.AnnotationVersion)
		if item.ID().Name == active {
			u.skipped(version, true)
			return
		}
		if newest == "" || newer(version, newest) {
			newest = version
		}
	}
	u.skipped(newest, false)
}

// release decides which earlier revisions go.
func (u *upgrade) release() {
	active := u.output.Revision.Name
	for _, item := range resource.Revisions(u.items, u.output.Owner) {
		name := item.ID().Name
		if name == active {
			continue
		}
		if why := u.heldBy(item); why != "" {
			u.findings = append(u.findings, resource.Finding(item, finding.Info, nil, "kept: "+why))
			continue
		}
		verdict := usage.Decide(u.reports,
			usage.Question{Revision: name, Active: active, Stale: u.stale, Clusters: u.clusters})
		if verdict.Unused {
			u.released = append(u.released, name)
			u.findings = append(u.findings, resource.Finding(item, finding.Info, nil, "released: "+verdict.Reason))
		} else if len(u.reports) > 0 {
			u.findings = append(u.findings, resource.Finding(item, finding.Info, nil, "kept: "+verdict.Reason))
		}
	}
}

// heldBy says what in the package itself needs a revision, whatever the reports say.
func (u *upgrade) heldBy(revision manifest.Object) string {
	name := revision.ID().Name
	if external(u.output.Revision.Spec.Values) {
		return "it " + isExternal
	}
	tags := tagNames(u.items)
	if why := heldByItself(revision, tags); why != "" {
		return "it " + why
	}
	for _, item := range u.items {
		if resource.IsResource(item, v1.KindIstioRevisionTag) && resource.Text(item, "spec", "targetRef", "name") == name &&
			resource.Text(item, "spec", "targetRef", "kind") == v1.KindIstioRevision {
			return "the tag " + item.ID().Name + " in the package points at it"
		}
	}
	for _, use := range usesOf(u.items) {
		if use.names(name, tags) {
			return fmt.Sprintf("%s in the package names it (%s)", use.item.ID(), use.reason)
		}
	}
	if why := u.heldByTag(revision, tags); why != "" {
		return why
	}
	return u.heldByAmbient(revision)
}

// heldByTag says what in the package names a tag that only the earlier revision has, from its values.
func (u *upgrade) heldByTag(revision manifest.Object, tags map[string]bool) string {
	active := values.Tags(valuesOf(u.output.Revision.Spec.Values))
	for _, tag := range valueTags(revision) {
		if tags[tag] || slices.Contains(active, tag) {
			continue
		}
		for _, use := range usesOf(u.items) {
			if use.name == tag && !use.past {
				return fmt.Sprintf("%s in the package names its tag %s of values.revisionTags (%s)", use.item.ID(), tag,
					use.reason)
			}
		}
	}
	return ""
}

const isExternal = "is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters"

// heldByItself says what in a revision's own values keeps it, whoever else names it. provided are the names that
// something else answers to.
func heldByItself(revision manifest.Object, provided map[string]bool) string {
	name := revision.ID().Name
	switch {
	case resource.Text(revision, "spec", "values", "pilot", "env", "EXTERNAL_ISTIOD") == "true":
		return isExternal
	case name == "default" && !provided[name] &&
		resource.Text(revision, "spec", "values", "sidecarInjectorWebhook", "enableNamespacesByDefault") == "true":
		return "injects every namespace (sidecarInjectorWebhook.enableNamespacesByDefault)"
	}
	return ""
}

// heldByAmbient says what in the package is in ambient, if no other revision serves that.
func (u *upgrade) heldByAmbient(revision manifest.Object) string {
	if !ambient(revision) || values.Ambient(valuesOf(u.output.Revision.Spec.Values)) {
		return ""
	}
	if item := enrolled(u.items); item != nil {
		return fmt.Sprintf("%s in the package is in ambient, which the active revision %s does not serve", item.ID(),
			u.output.Revision.Name)
	}
	return ""
}

// ambient reports whether an IstioRevision of the package serves ambient.
func ambient(revision manifest.Object) bool {
	return resource.Text(revision, "spec", "values", "pilot", "env", "PILOT_ENABLE_AMBIENT") == "true" ||
		resource.Text(revision, "spec", "values", "profile") == "ambient"
}

func valuesOf(v *v1.Values) map[string]any {
	var m map[string]any
	if v == nil || json.Unmarshal(v.Raw, &m) != nil {
		return nil
	}
	return m
}

// valueTags are the tags in the values of an Istio or IstioRevision of the package.
func valueTags(item manifest.Object) []string {
	raw, err := resource.JSON(item, "spec", "values")
	if err != nil {
		return nil
	}
	return values.Tags(valuesOf(&v1.Values{Raw: raw}))
}

func external(v *v1.Values) bool { return values.External(valuesOf(v)) }

// unmoved refuses to move a control plane to another namespace: in a cluster the field is immutable, and proxies talk
// to the old place.
func (u *upgrade) unmoved(item manifest.Object) {
	before, now := resource.Text(item, "spec", "namespace"), u.output.Revision.Spec.Namespace
	if before != "" && before != now {
		r := resource.Finding(u.source.Object, finding.Error, []string{"spec", "namespace"},
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
		Ref: resource.RefOf(u.source.Object), From: before, To: u.output.Release.Version, InPlace: inPlace,
		Available: u.available,
	})
	if skipped {
		u.findings = append(u.findings, resource.About(u.source.Object, finding.List{f})...)
	}
}

func newer(a, b string) bool {
	va, errA := semver.NewVersion(a)
	vb, errB := semver.NewVersion(b)
	return errA == nil && errB == nil && va.GreaterThan(vb)
}
