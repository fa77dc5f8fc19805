package expand

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/health"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/ownership"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
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
	before, after []manifest.Object
	around        *around
	reports       []usage.Report
	options       resource.Options
	// released are the revisions that usage reports have released, as "owner name".
	released map[string]bool
	// allowed are the resources whose removal the user has allowed, by "kind/name".
	allowed []string

	ids      map[manifest.ID]bool
	sources  map[string]bool // what users wrote, by owner stamp
	provided map[string]bool // the names that workloads can use afterwards
}

// removal compares the items before a run with those after it.
func (t task) removal(
	e *Expanded, after []manifest.Object, reports []usage.Report, expansions []ownership.Expansion,
) *removal {
	r := &removal{
		before: t.items, after: after, around: e.around, reports: reports, options: e.around.options,
		released: map[string]bool{},
		allowed:  slices.Clone(e.around.options.AllowRemoval), ids: map[manifest.ID]bool{}, sources: map[string]bool{},
		provided: tagNames(after),
	}
	for _, names := range annotated(t.items, resource.OptionAllowRemoval) {
		r.allowed = append(r.allowed, resource.Names(names)...)
	}
	for _, x := range expansions {
		for _, name := range x.Released {
			r.released[x.Owner+" "+name] = true
		}
	}
	for _, o := range after {
		r.ids[o.ID()] = true
		if o.Annotation(manifest.AnnotationOwner) == "" {
			r.sources[nameOf(o)] = true
		}
		if resource.IsRevision(o) {
			r.provided[o.ID().Name] = true
		}
	}
	for _, p := range e.around.controlPlanes() {
		if p.istio != "" && p.name != "" {
			r.provided[p.name] = true
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
	for _, item := range r.after {
		if name := nameOf(item); item.ID().Group == v1.GroupVersion.Group && slices.Contains(kinds, item.Kind()) &&
			slices.Contains(r.allowed, name) {
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
	for _, o := range r.before {
		owner := o.Annotation(manifest.AnnotationOwner)
		if owner == "" || r.ids[o.ID()] {
			continue
		}
		kind, name, _ := strings.Cut(owner, "/")
		d := departure{kind: kind, name: name, whole: true}
		revision := revisionName(o)
		if r.sources[owner] {
			if revision == "" || r.provided[revision] || r.released[owner+" "+revision] {
				continue
			}
			d = departure{kind: v1.KindIstioRevision, name: revision}
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
		if o.Kind() != v1.KindIstioRevision {
			out[i].objects++
		}
		if kind != v1.KindIstioRevisionTag && revision != "" && !slices.Contains(out[i].revisions, revision) {
			out[i].revisions = append(out[i].revisions, revision)
		}
	}
	return out
}

// heldBy says why something must not go without being asked for by name, or "".
func (r *removal) heldBy(d departure) string {
	if d.kind == v1.KindIstioCNI {
		return r.needsPlugin()
	}
	gone := slices.DeleteFunc(slices.Clone(d.revisions), func(name string) bool { return r.provided[name] })
	if len(gone) == 0 { // another resource has taken over under the same name
		return ""
	}
	for _, name := range gone {
		if why := r.namedBy(name); why != "" {
			return why
		}
	}
	if d.kind == v1.KindIstioRevisionTag {
		return ""
	}
	for _, item := range r.before {
		if resource.IsRevision(item) && slices.Contains(gone, item.ID().Name) {
			if why := heldByItself(item, r.provided); why != "" {
				return "the revision " + item.ID().Name + " " + why
			}
		}
	}
	if d.whole && r.last() && !r.unused(gone) {
		return "none of the control planes that the package had would stay"
	}
	return ""
}

// needsPlugin is why the CNI plugin cannot go: a control plane leaves the network of its pods to it.
func (r *removal) needsPlugin() string {
	for _, p := range r.around.controlPlanes() {
		if p.err != nil {
			return fmt.Sprintf("whether %s needs the CNI plugin cannot be told: %v", nameOf(p.item), p.err)
		}
		v, err := p.plan.Planned.Spec.Values.Map()
		switch {
		case err != nil:
			return fmt.Sprintf("whether %s needs the CNI plugin cannot be told: %v", nameOf(p.item), err)
		case strings.Contains(values.String(v, "profile"), "ambient"):
			return nameOf(p.item) + " needs the CNI plugin (profile " + values.String(v, "profile") + ")"
		case health.NeedsCNI(v, false):
			return nameOf(p.item) + " needs the CNI plugin (pilot.cni.enabled)"
		}
	}
	return ""
}

// namedBy is what in the package asks for a revision or tag.
func (r *removal) namedBy(name string) string {
	for _, item := range r.after {
		ref := resource.Text(item, "spec", "targetRef", "name")
		if resource.IsResource(item, v1.KindIstioRevisionTag) && ref == name &&
			resource.Text(item, "spec", "targetRef", "kind") == v1.KindIstioRevision {
			return "the tag " + item.ID().Name + " in the package points at it"
		}
	}
	return r.namedIn(name, !r.provided[name])
}

// namedIn is what in the package names a revision, or "": whatever does, or only what means the revision and no tag of
// its name.
func (r *removal) namedIn(name string, all bool) string {
	for _, use := range usesOf(r.after) {
		if use.name == name && (all || use.past) {
			return fmt.Sprintf("%s in the package names %s (%s)", use.item.ID(), name, use.reason)
		}
	}
	return ""
}

// last reports whether no control plane stays that an earlier run has rendered. A new one in its place does not count:
// nothing is connected to that.
func (r *removal) last() bool {
	before := map[string]bool{}
	for _, o := range r.before {
		if name := revisionName(o); name != "" && o.Annotation(manifest.AnnotationOwner) != "" {
			before[name] = true
		}
	}
	return !slices.ContainsFunc(r.after, func(o manifest.Object) bool {
		return o.Annotation(manifest.AnnotationOwner) != "" && before[revisionName(o)]
	})
}

// unused reports whether usage reports say that nothing uses any of the revisions.
func (r *removal) unused(revisions []string) bool {
	for _, name := range revisions {
		var stale []string
		for _, item := range r.before {
			if resource.IsRevision(item) && item.ID().Name == name {
				stale = strings.Fields(item.Annotation(manifest.AnnotationStaleReports))
			}
		}
		// No other revision comes after it, so that a report need not have seen one.
		q := usage.Question{Revision: name, Active: name, Stale: stale, Clusters: r.options.Clusters}
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
	for _, o := range r.after {
		revisions[revisionKey(o)] = true
	}
	for _, o := range r.before {
		owner := o.Annotation(manifest.AnnotationOwner)
		if owner == "" || r.ids[o.ID()] {
			continue
		}
		key := revisionKey(o)
		d, left := departures[owner]
		switch {
		case key != "" && !revisions[key]:
			if !told[key] {
				told[key] = true
				findings = append(findings, r.revisionGone(key))
			}
		case left && key == "" && d.kind != v1.KindIstio && d.kind != v1.KindIstioRevision:
			if !told[owner] {
				told[owner] = true
				findings = append(findings, finding.Finding{
					Severity: r.severity(owner), Ref: d.ref(),
					Message: fmt.Sprintf(
						"is not in the package any more, and the %d objects that were generated for it were removed",
						d.objects),
				})
			}
		default:
			findings = append(findings, resource.Finding(o, finding.Info, nil,
				"removed: "+owner+" does not generate it any more"))
		}
	}
	return findings
}

// severity is that of a result about the removal of a resource: what the user has allowed by name is no warning that
// option strict could make an error.
func (r *removal) severity(owner string) finding.Severity {
	if slices.Contains(r.allowed, owner) && isStrict(r.options, r.before) {
		return finding.Info
	}
	return finding.Warning
}

// revisionGone is the result about a revision that has left the package.
func (r *removal) revisionGone(key string) finding.Finding {
	owner, name, _ := strings.Cut(key, " ")
	n := 0
	var record *manifest.Object
	for _, o := range r.before {
		switch {
		case o.Kind() == v1.KindIstioRevision && o.ID().Name == name:
			record = &o
		case revisionKey(o) == key && !r.ids[o.ID()]:
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

// revisionName is the revision of a control plane that an item belongs to, or "".
func revisionName(o manifest.Object) string {
	_, name, _ := strings.Cut(revisionKey(o), " ")
	return name
}

// revisionKey tells the revisions of control planes apart, by owner and name; "" for what belongs to none.
func revisionKey(o manifest.Object) string {
	owner, name := o.Annotation(manifest.AnnotationOwner), o.Label(manifest.LabelRevision)
	if resource.IsRevision(o) {
		name = o.ID().Name
	}
	if kind, _, _ := strings.Cut(owner, "/"); name == "" || kind != v1.KindIstio && kind != v1.KindIstioRevision {
		return ""
	}
	return owner + " " + name
}
