package expand

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

const kindCRD = "CustomResourceDefinition"

// crds chooses the jobs that bring Istio's CRDs, if any control plane of the package asks for them: the one with the
// newest version brings all that it has; among several, one that asks, so that it does not depend on which file is read
// first. What only another version has comes with that one.
func crds(jobs []*job) {
	planes := byVersion(jobs)
	if !slices.ContainsFunc(planes, (*job).asksForCRDs) {
		return
	}
	newest := planes[0]
	newest.crds = func(string) bool { return true }
	seen := map[string]bool{newest.output.Release.Version: true}
	var have map[string]bool
	for _, j := range planes {
		rel := j.output.Release
		if seen[rel.Version] {
			continue
		}
		if seen[rel.Version] = true; have == nil {
			have, _ = render.CRDNames(newest.output.Release) // rendering them says what is wrong
		}
		more := map[string]bool{}
		names, _ := render.CRDNames(rel)
		for name := range names {
			if !have[name] {
				have[name], more[name] = true, true
			}
		}
		if len(more) > 0 {
			j.crds = func(name string) bool { return more[name] }
		}
	}
}

func (j *job) asksForCRDs() bool { return j.options.CRDs == resource.Included }

// byVersion are the jobs of control planes, those of the newest version first, and of one version those that ask for
// CRDs.
func byVersion(jobs []*job) []*job {
	var out []*job
	for _, j := range jobs {
		if j.output.Revision != nil && j.Tag == nil {
			out = append(out, j)
		}
	}
	slices.SortStableFunc(out, func(a, b *job) int {
		switch {
		case a.output.Release.NewerThan(b.output.Release):
			return -1
		case b.output.Release.NewerThan(a.output.Release):
			return 1
		case a.asksForCRDs() != b.asksForCRDs():
			if a.asksForCRDs() {
				return -1
			}
			return 1
		}
		return 0
	})
	return out
}

// retainCRDs adds to the expansions those of Istio's CRDs that an earlier run has generated and this one does not, as
// long as a revision stays in the package whose version has them: a CRD goes with all resources of its kind.
func (t *task) retainCRDs() {
	fresh := map[manifest.ID]bool{}
	asked := -1
	for i, x := range t.expansions {
		for _, o := range x.Objects {
			if o.Kind() == kindCRD {
				fresh[o.ID()], asked = true, i
			}
		}
	}
	// If nobody asks for CRDs any more, because who did is no longer there, they go to another control plane. If who
	// did does not ask any more, they leave; see withoutCRDs.
	asks := asked >= 0
	if !asks {
		asked = slices.IndexFunc(t.jobs, func(j *job) bool {
			return j.output.Revision != nil && j.Tag == nil && j.options.CRDs != resource.Excluded
		})
	}
	if asked < 0 {
		return
	}
	sources := t.before.has(v1.KindIstio, v1.KindIstioRevision)
	staying := t.staying(sources)
	for _, item := range t.before.crds {
		owner := item.Annotation(manifest.AnnotationOwner)
		if owner == "" || !t.scope(owner) || fresh[item.ID()] || !asks && sources[owner] {
			continue
		}
		if slices.ContainsFunc(staying, func(c controlPlane) bool { return c.hasCRD(item.ID().Name) }) {
			kept := item.Copy()
			kept.SetAnnotation(manifest.AnnotationOwner, t.expansions[asked].Owner)
			t.expansions[asked].Objects = append(t.expansions[asked].Objects, kept)
		}
	}
}

// staying are the control planes of the package that are there after this run as well. sources are those that users
// wrote.
func (t *task) staying(sources map[string]bool) []controlPlane {
	released := t.released()
	var out []controlPlane
	for _, c := range t.around.controlPlanes() {
		if c.Owner == "" || sources[c.Owner] && !released[c.Owner+" "+c.Name] {
			out = append(out, c)
		}
	}
	return out
}

// released are the revisions that usage reports have released, as "owner name".
func (t *task) released() map[string]bool {
	out := map[string]bool{}
	for _, x := range t.expansions {
		for _, name := range x.Released {
			out[x.Owner+" "+name] = true
		}
	}
	return out
}

// hasCRD reports whether the version of a control plane has one of Istio's CRDs. If its charts are not at hand, nobody
// can say that it has not.
func (c controlPlane) hasCRD(name string) bool {
	if c.plan.Release.Version == "" {
		return true
	}
	names, err := render.CRDNames(c.plan.Release)
	return err != nil || names[name]
}

// withoutCRDs warns if Istio's CRDs leave a package: because nobody asks for them any more, or because no version in it
// has them any more.
func (t *task) withoutCRDs() finding.List {
	asked := slices.ContainsFunc(t.after.crds, isGenerated) // others of the CRDs
	stays := slices.ContainsFunc(t.after.resources, resource.IsRevision)
	var gone []manifest.Object
	for _, o := range t.before.crds {
		if isGenerated(o) && !t.after.ids[o.ID()] {
			gone = append(gone, o)
		}
	}
	if len(gone) == 0 || !stays {
		return nil
	}
	kind, name, _ := strings.Cut(gone[0].Annotation(manifest.AnnotationOwner), "/")
	const deleted = "Argo CD and Flux leave them in the cluster; who prunes by other means (kpt live apply, kubectl " +
		"apply --prune) deletes them, and with them every resource of their kinds"
	message := fmt.Sprintf("%d of Istio's CRDs leave the package. %s. To keep them, set %s: include", len(gone), deleted,
		resource.OptionPrefix+resource.OptionCRDs)
	if asked {
		message = fmt.Sprintf("%d of Istio's CRDs leave the package, since no version of Istio in it has them any more: "+
			"%s. %s. To keep one, put its file back without the annotation %s", len(gone),
			enumerate(gone, func(o manifest.Object) string {
				return o.ID().Name
			}), deleted, manifest.AnnotationOwner)
	}
	if used := t.after.ofKinds(gone); len(used) > 0 {
		message += "; the package has " + enumerate(used, func(o manifest.Object) string { return o.ID().String() })
	}
	return finding.List{{
		Severity: finding.Warning, Message: message,
		Ref: resource.Ref(kind, name),
	}}
}

func isGenerated(o manifest.Object) bool { return o.Annotation(manifest.AnnotationOwner) != "" }

// ofKinds are the items of the kinds that CRDs define.
func (c *contents) ofKinds(crds []manifest.Object) []manifest.Object {
	kinds := map[[2]string]bool{}
	for _, o := range crds {
		kinds[[2]string{resource.Text(o, "spec", "group"), resource.Text(o, "spec", "names", "kind")}] = true
	}
	var out []manifest.Object
	for _, item := range c.items {
		if kinds[[2]string{item.ID().Group, item.Kind()}] {
			out = append(out, item)
		}
	}
	return out
}

// enumerate names objects, with commas.
func enumerate(objects []manifest.Object, name func(manifest.Object) string) string {
	names := make([]string, len(objects))
	for i, o := range objects {
		names[i] = name(o)
	}
	return strings.Join(names, ", ")
}

// istioGroup reports whether an API group is one of Istio's own resources.
func istioGroup(group string) bool {
	return strings.HasSuffix(group, ".istio.io") && group != "operator.istio.io" && group != "install.istio.io"
}

// crdsUndecided warns of resources of Istio in a package in which nobody has decided where their CRDs come from: on an
// empty cluster they are not found, whoever applies them.
func (e *Expanded) crdsUndecided() finding.List {
	if slices.ContainsFunc(e.around.crds, func(o manifest.Object) bool { return istioCRD(o.ID().Name) }) {
		return nil
	}
	groups := map[string]bool{}
	for _, w := range e.around.written {
		if istioGroup(w.id.Group) && w.Annotation(resource.AnnotationLocalConfig) != "true" {
			groups[w.id.Group] = true
		}
	}
	if len(groups) == 0 || len(e.jobs) == 0 {
		return nil
	}
	for _, item := range e.around.of(v1.KindIstio, v1.KindIstioRevision) {
		if options, _ := resource.SettingsOf(item); options.Upon(e.around.options).CRDs != resource.Undecided {
			return nil
		}
	}
	return finding.List{resource.Finding(e.jobs[0].Object, finding.Warning, nil,
		fmt.Sprintf("the package has resources of %s, and nothing says where Istio's "+
			"CRDs come from: set %s: include to render them, or exclude if the cluster has them from somewhere else",
			strings.Join(slices.Sorted(maps.Keys(groups)), " and "), resource.OptionPrefix+resource.OptionCRDs))}
}

// istioCRD reports whether a CRD is one of Istio's, by its name: <plural>.<group>.
func istioCRD(name string) bool {
	_, group, _ := strings.Cut(name, ".")
	return istioGroup(group)
}
