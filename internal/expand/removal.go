package expand

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// departure is a resource whose objects a run would remove, because it is not in the package any more: one that a user
// wrote, or the IstioRevision of an earlier revision.
type departure struct {
	// kind and name are those of the resource.
	kind, name string
	// whole says that the user's resource has left, and not only one of its revisions.
	whole bool
	// revisions are the names under which workloads know it.
	revisions []string
	objects   int
}

func (d departure) owner() string { return d.kind + "/" + d.name }

// removal looks at what a run of a function removes from a package.
type removal struct {
	*task

	// gone are the generated items that are not in the package any more.
	gone []generated
	// released are the revisions that usage reports have released, as "owner name".
	released map[string]bool
	// allowed are the resources whose removal the user has allowed, by "kind/name".
	allowed []string

	sources  map[string]bool // what users wrote, by owner stamp
	provided map[string]bool // the names that workloads can use afterwards
}

// removal compares the package before a run with that after it.
func (t *task) removal() *removal {
	r := &removal{
		task: t, released: t.released(), allowed: slices.Clone(t.around.options.AllowRemoval),
		sources: map[string]bool{}, provided: t.after.tagNames(),
	}
	for _, names := range t.before.annotated(resource.OptionAllowRemoval) {
		r.allowed = append(r.allowed, resource.Names(names)...)
	}
	for _, g := range t.before.generated {
		if !t.after.ids[g.id] {
			r.gone = append(r.gone, g)
		}
	}
	for _, o := range t.after.resources {
		if o.Annotation(manifest.AnnotationOwner) == "" {
			r.sources[nameOf(o)] = true
		}
		if resource.IsRevision(o) {
			r.provided[o.ID().Name] = true
		}
	}
	for _, c := range t.around.controlPlanes() {
		if c.Istio != "" && c.Name != "" {
			r.provided[c.Name] = true
		}
	}
	return r
}

// findings says what is removed, and refuses what may well be a mistake.
func (r *removal) findings(kinds []string) finding.List {
	out := r.needless(kinds)
	for _, d := range r.departures() {
		why := r.heldBy(d)
		if why == "" || slices.Contains(r.allowed, d.owner()) {
			continue
		}
		out = append(out, finding.Finding{
			Severity: finding.Error, Ref: d.ref(),
			Message: fmt.Sprintf("is not in the package any more, and the %d objects that were "+
				"generated for it would be removed, but %s. Put it back; or, if it has to go, allow that: "+
				"LATEEN_ALLOW_REMOVAL=%s, or the key %s of the functionConfig",
				d.objects, why, d.owner(), resource.OptionAllowRemoval),
		})
	}
	if out.HasError() {
		return out
	}
	return append(out, r.removed()...)
}

func (d departure) ref() finding.Ref { return resource.Ref(d.kind, d.name) }

// needless warns of a removal that is allowed although the resource is there: it would let the next mistake through.
func (r *removal) needless(kinds []string) finding.List {
	var out finding.List
	for _, item := range r.after.resources {
		if name := nameOf(item); slices.Contains(kinds, item.Kind()) && slices.Contains(r.allowed, name) {
			out = append(out, resource.Finding(item, finding.Warning, nil,
				fmt.Sprintf("option %s allows the removal of %s, which is in the package: take it out of "+
					"the option, which would let a mistake through", resource.OptionAllowRemoval, name)))
		}
	}
	return out
}

// departures lists what leaves the package, in its order.
func (r *removal) departures() []departure {
	var out []departure
	index := map[string]int{}
	for _, g := range r.gone {
		kind, name, _ := strings.Cut(g.owner, "/")
		d := departure{kind: kind, name: name, whole: true}
		if r.sources[g.owner] {
			if g.revision == "" || r.provided[g.revision] || r.released[g.key()] {
				continue
			}
			d = departure{kind: v1.KindIstioRevision, name: g.revision}
		}
		i, seen := index[d.owner()]
		if !seen {
			i = len(out)
			index[d.owner()] = i
			if kind == v1.KindIstioRevisionTag {
				d.revisions = []string{name}
			}
			out = append(out, d)
		}
		if g.id.Kind != v1.KindIstioRevision {
			out[i].objects++
		}
		if g.revision != "" && !slices.Contains(out[i].revisions, g.revision) {
			out[i].revisions = append(out[i].revisions, g.revision)
		}
	}
	return out
}

// heldBy says why something must not go without being asked for by name, or "".
func (r *removal) heldBy(d departure) string {
	if d.kind == v1.KindIstioCNI {
		return r.around.mesh().NeedsPlugin()
	}
	gone := slices.DeleteFunc(slices.Clone(d.revisions), func(name string) bool { return r.provided[name] })
	if len(gone) == 0 { // another resource has taken over under the same name
		return ""
	}
	for _, name := range gone {
		if why := r.around.mesh().NamedBy(name, r.provided[name]); why != "" {
			return why
		}
	}
	if d.kind == v1.KindIstioRevisionTag {
		return ""
	}
	for _, item := range r.before.resources {
		name := item.ID().Name
		if resource.IsRevision(item) && slices.Contains(gone, name) {
			if why := r.around.controlPlane(item).HoldsItself(r.provided[name]); why != "" {
				return "the revision " + name + " " + why
			}
		}
	}
	if d.whole && r.last() && !r.unused(gone) {
		return "none of the control planes that the package had would stay"
	}
	return ""
}

// last reports whether no control plane stays that an earlier run has rendered. A new one in its place does not count:
// nothing is connected to that.
func (r *removal) last() bool {
	before := map[string]bool{}
	for _, g := range r.before.generated {
		if g.revision != "" {
			before[g.revision] = true
		}
	}
	return !slices.ContainsFunc(r.after.generated, func(g generated) bool { return before[g.revision] })
}

// unused reports whether usage reports say that nothing uses any of the revisions.
func (r *removal) unused(revisions []string) bool {
	for _, name := range revisions {
		var stale []string
		for _, item := range r.before.resources {
			if resource.IsRevision(item) && item.ID().Name == name {
				stale = strings.Fields(item.Annotation(manifest.AnnotationStaleReports))
			}
		}
		// No other revision comes after it, so that a report need not have seen one.
		q := usage.Question{Revision: name, Active: name, Stale: stale, Clusters: r.around.options.Clusters}
		if !usage.Decide(r.reports, q).Unused {
			return false
		}
	}
	return true
}

// removed tells which generated objects are in the package no longer: one result each, and one for a whole resource or
// revision.
func (r *removal) removed() finding.List {
	var findings finding.List
	told := map[string]bool{}
	departures := map[string]departure{}
	for _, d := range r.departures() {
		departures[d.owner()] = d
	}
	revisions := map[string]bool{} // those that are in the package still
	for _, g := range r.after.generated {
		revisions[g.key()] = true
	}
	for _, g := range r.gone {
		key := g.key()
		d, left := departures[g.owner]
		switch {
		case key != "" && !revisions[key]:
			if !told[key] {
				told[key] = true
				findings = append(findings, r.revisionGone(key))
			}
		case left && key == "" && d.kind != v1.KindIstio && d.kind != v1.KindIstioRevision:
			if !told[g.owner] {
				told[g.owner] = true
				findings = append(findings, finding.Finding{
					Severity: r.severity(g.owner), Ref: d.ref(),
					Message: fmt.Sprintf(
						"is not in the package any more, and the %d objects that were generated for it were removed",
						d.objects),
				})
			}
		default:
			findings = append(findings, resource.Finding(g.Object, finding.Info, nil,
				"removed: "+g.owner+" does not generate it any more"))
		}
	}
	return findings
}

// severity is that of a result about the removal of a resource: what the user has allowed by name is no warning that
// option strict could make an error.
func (r *removal) severity(owner string) finding.Severity {
	if slices.Contains(r.allowed, owner) && r.before.strict(r.around.options) {
		return finding.Info
	}
	return finding.Warning
}

// revisionGone is the result about a revision that has left the package.
func (r *removal) revisionGone(key string) finding.Finding {
	owner, name, _ := strings.Cut(key, " ")
	n := 0
	var record *manifest.Object
	for _, o := range r.before.resources {
		if o.Kind() == v1.KindIstioRevision && o.ID().Name == name {
			record = &o
		}
	}
	for _, g := range r.gone {
		if g.key() == key && g.id.Kind != v1.KindIstioRevision {
			n++
		}
	}
	sourced := r.sources[owner]
	severity, message := finding.Info, fmt.Sprintf("removed with the %d objects of the revision", n)
	if !sourced {
		severity = r.severity(owner)
		message += fmt.Sprintf(", because %s is not in the package any more: see to it that no proxy is connected to "+
			"it before this is applied", owner)
	}
	if record != nil {
		return resource.Finding(*record, severity, nil, message)
	}
	if sourced { // somebody has deleted its IstioRevision
		message = fmt.Sprintf("is not in the package any more, and its %d objects were removed", n)
		if !r.released[key] && !r.unused([]string{name}) {
			severity = r.severity(v1.KindIstioRevision + "/" + name)
			message += "; no usage report has released it: see to it that no proxy is connected to it before this is " +
				"applied"
		}
	}
	return finding.Finding{
		Message: message, Severity: severity,
		Ref: departure{kind: v1.KindIstioRevision, name: name}.ref(),
	}
}

// withoutDefault warns if the revision default leaves the package of an Istio that stays: some things of a cluster are
// there only once, and come with the default revision or tag.
func (t *task) withoutDefault() finding.List {
	var findings finding.List
	for _, j := range t.jobs {
		owner := j.output.Owner
		if j.Istio == nil || !t.before.hasDefault(owner) || t.after.hasDefault(owner) || t.after.tagNames()["default"] {
			continue
		}
		findings = append(findings, resource.Finding(j.Object, finding.Warning, nil,
			"the revision default leaves the package, and there is no tag named default to take over: the validator "+
				"istiod-default-validator goes, which only a default revision or tag has, and istio-injection: enabled means "+
				"nothing any more. Add an IstioRevisionTag named default, unless nothing needs them. The ServiceAccount "+
				"istio-reader-service-account stays: other revisions rely on it"))
	}
	return findings
}

// hasDefault reports whether there is anything of the revision default of a resource.
func (c *contents) hasDefault(owner string) bool {
	return slices.ContainsFunc(c.generated, func(g generated) bool {
		return g.owner == owner && g.Label(manifest.LabelRevision) == "default"
	})
}
