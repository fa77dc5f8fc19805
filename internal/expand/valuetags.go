package expand

import (
	"slices"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/ownership"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/values"
)

// labelTag is what Istio's charts write on the objects of a revision tag.
const labelTag = "istio.io/tag"

// tagHolder is a resource that brings a revision tag: an IstioRevisionTag, or a control plane with
// spec.values.revisionTags.
type tagHolder struct {
	tag  string
	item manifest.Object
	// field is where the tag is written.
	field []string
}

func (h tagHolder) String() string {
	if h.item.Kind() == v1.KindIstioRevisionTag {
		return nameOf(h.item)
	}
	return "spec.values.revisionTags of " + nameOf(h.item)
}

// tagHolders lists who brings a revision tag: IstioRevisionTags first. An earlier revision that a package remembers is
// none: its tags are those of the active one.
func (a *around) tagHolders() []tagHolder {
	var out []tagHolder
	for _, item := range a.items {
		if resource.IsResource(item, v1.KindIstioRevisionTag) {
			out = append(out, tagHolder{item.ID().Name, item, []string{"metadata", "name"}})
		}
	}
	for _, p := range a.controlPlanes() {
		if p.err != nil || p.plan.Planned == nil || p.item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		for _, tag := range revisionTags(p.plan.Planned.Spec.Values) {
			out = append(out, tagHolder{tag, p.item, []string{"spec", "values", "revisionTags"}})
		}
	}
	return out
}

// revisionTags are the tags in the values of a control plane.
func revisionTags(v *v1.Values) []string {
	all, err := v.Map()
	if err != nil {
		return nil // the schema says what is wrong with them
	}
	return values.Tags(all)
}

// tagClashes refuses a tag that two resources bring: both would have a webhook for its label, and a pod would be
// injected by either.
func (e *Expanded) tagClashes() finding.List {
	holders := e.around.tagHolders()
	var findings finding.List
	for i, h := range holders {
		if !slices.ContainsFunc(e.Sources, func(r resource.Resource) bool { return r.Object.Node() == h.item.Node() }) {
			continue // who expands it says so
		}
		if p := slices.IndexFunc(e.around.controlPlanes(), func(p plane) bool { return p.name == h.tag }); p >= 0 &&
			h.item.Kind() != v1.KindIstioRevisionTag {
			findings = append(findings, resource.Finding(h.item, finding.Error, h.field,
				values.TagOfRevision(h.tag, e.around.makeWay(e.around.controlPlanes()[p]))))
			continue
		}
		other := slices.IndexFunc(holders, func(o tagHolder) bool {
			return o.tag == h.tag && o.item.Node() != h.item.Node()
		})
		if other < 0 || other > i && h.item.Kind() == v1.KindIstioRevisionTag &&
			holders[other].item.Kind() == v1.KindIstioRevisionTag {
			continue
		}
		findings = append(findings, resource.Finding(h.item, finding.Error, h.field,
			values.SameTag(h.String(), holders[other].String(), h.tag)))
	}
	return findings
}

// dropMovedTags takes out of the package what an earlier revision has of the tags that the active one brings by its
// values: a tag is in one place. Objects of the same name are replaced anyway; versions differ in which there are.
func dropMovedTags(items []manifest.Object, scope ownership.Scope, expansions []ownership.Expansion) []manifest.Object {
	moved := map[string]bool{} // owner and tag
	for _, x := range expansions {
		for _, o := range x.Objects {
			if tag := o.Label(labelTag); tag != "" && x.Active != "" {
				moved[x.Owner+" "+tag] = true
			}
		}
	}
	if len(moved) == 0 {
		return items
	}
	fresh := map[manifest.ID]bool{}
	for _, x := range expansions {
		for _, o := range x.Objects {
			fresh[o.ID()] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(items), func(o manifest.Object) bool {
		owner := o.Annotation(manifest.AnnotationOwner)
		return owner != "" && scope(owner) && moved[owner+" "+o.Label(labelTag)] && !fresh[o.ID()]
	})
}
