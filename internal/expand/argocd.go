package expand

import (
	"fmt"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// mark makes the resources that go to a cluster say that their objects are rendered here: a controller there would
// render them too, and undo what the pipeline patches afterwards. kpt writes the mark into the user's file, so there it
// is told. The mark is never taken off: on a resource that stays in Git it does no harm.
func (e *Expanded) mark(items []manifest.Object) finding.List {
	var findings finding.List
	for _, r := range e.jobs {
		if r.Object.Annotation(resource.AnnotationLocalConfig) == "true" ||
			r.Object.Annotation(manifest.AnnotationRenderedBy) != "" {
			continue
		}
		marked := r.Object.Copy() // the input stays as it came
		marked.SetAnnotation(manifest.AnnotationRenderedBy, e.function.Name)
		if e.around.mode.remembers() {
			if r.Revision != nil {
				marked.SetAnnotation(manifest.AnnotationReleasedBy, manifest.ReleasedByPackage)
			}
			findings = append(findings, resource.Finding(r.Object, finding.Info, nil,
				fmt.Sprintf("got the annotation %s: %s, because it is applied with the "+
					"rest, and a controller in the cluster would render it a second time",
					manifest.AnnotationRenderedBy,
					e.function.Name)))
		}
		for i := range items {
			if items[i].Node() == r.Object.Node() {
				items[i] = marked
			}
		}
	}
	return findings
}

// releasedByPackage makes every IstioRevision of a package that remembers say that the package releases it, also those
// of earlier revisions that an older Lateen has written: what a controller removed, the next sync would bring back.
func (e *Expanded) releasedByPackage(items []manifest.Object) {
	owners := map[string]bool{}
	for _, out := range e.Outputs() {
		owners[out.Owner] = true
	}
	for i, o := range items {
		if o.Kind() != v1.KindIstioRevision || !owners[o.Annotation(manifest.AnnotationOwner)] {
			continue
		}
		local := o.Annotation(resource.AnnotationLocalConfig) == "true"
		if o.Annotation(manifest.AnnotationReleasedBy) != "" && (!local || o.HasComment(manifest.CommentArgoSkip)) {
			continue
		}
		items[i] = o.Copy()
		items[i].SetAnnotation(manifest.AnnotationReleasedBy, manifest.ReleasedByPackage)
		items[i].SortAnnotations()
		if local {
			items[i].AddComment(manifest.CommentArgoSkip)
		}
	}
}

// unskipped finds resources of which Argo CD makes something else than kpt and Flux do: it does not know local-config,
// but a comment by which it leaves out a file as a whole.
func (e *Expanded) unskipped(items []manifest.Object) finding.List {
	var found []manifest.Object
	for _, j := range e.jobs {
		found = append(found, j.Object)
	}
	if e.function.Name == RenderIstio.Name {
		found = append(found, e.around.reports...)
	}
	files := map[string]bool{} // with the comment, on whichever resource
	for _, o := range items {
		if o.HasComment(manifest.CommentArgoSkip) {
			files[resource.LocationOf(o).Path] = true
		}
	}
	var findings finding.List
	for _, o := range found {
		local := o.Annotation(resource.AnnotationLocalConfig) == "true"
		switch skipped := files[resource.LocationOf(o).Path]; {
		case local && !skipped:
			findings = append(findings, resource.Finding(o, finding.Info, nil,
				"Argo CD does not know "+resource.AnnotationLocalConfig+
					" and would apply it: write the comment # "+manifest.CommentArgoSkip+
					" on the line above apiVersion, in a file with nothing else that Argo CD is to apply"))
		case !local && skipped:
			findings = append(findings, resource.Finding(o, finding.Warning, nil,
				"Argo CD leaves it out, because of the comment "+
					manifest.CommentArgoSkip+", and kpt and Flux apply it: remove the comment, or add the annotation "+
					resource.AnnotationLocalConfig+`: "true"`))
		case local:
			if other, ok := beside(o, items); ok {
				findings = append(findings, resource.Finding(o, finding.Warning, nil,
					fmt.Sprintf("its comment %s makes Argo CD leave out the whole "+
						"file, with the %s in it: move that to another file", manifest.CommentArgoSkip, other.ID())))
			}
		}
	}
	return findings
}

// beside finds an object that is to be applied in the file of another one.
func beside(o manifest.Object, items []manifest.Object) (manifest.Object, bool) {
	path := resource.LocationOf(o).Path
	for _, item := range items {
		if path != "" && resource.LocationOf(item).Path == path && item.Annotation(resource.AnnotationLocalConfig) != "true" {
			return item, true
		}
	}
	return manifest.Object{}, false
}
