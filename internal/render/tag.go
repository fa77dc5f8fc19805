package render

import (
	"fmt"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// tagInput is all that the objects of an IstioRevisionTag depend on.
type tagInput struct {
	// Name of the tag.
	Name string
	// Revision is what the tag points at, with complete values, and Release has its charts.
	Revision *v1.IstioRevision
	Release  release.Release
	// KubeVersion is what charts are told about the cluster.
	KubeVersion string
	// Owner is the resource that the objects are stamped with: "IstioRevisionTag/prod".
	Owner string
	// KeepFailurePolicy and FluxSubstitute as in revisionInput.
	KeepFailurePolicy, FluxSubstitute bool
}

// renderTag gives the objects of a revision tag: those of the chart istiod's templates for revision tags, as the Helm
// release <tag>-revisiontags in the namespace of the revision, with the values of the revision. The tag named default
// also gets what makes a revision the default one: the chart base, without CRDs.
func renderTag(in tagInput) ([]manifest.Object, error) {
	v, err := decode(in.Revision.Spec.Values)
	if err != nil {
		return nil, fmt.Errorf("the values of IstioRevision/%s: %w", in.Revision.Name, err)
	}
	if values.String(v, "profile") == "remote" {
		return nil, fmt.Errorf(
			"IstioRevision/%s is a remote one; a tag can only point at a control plane in the same cluster", in.Revision.Name)
	}
	subst := substitution{on: in.FluxSubstitute}
	v = values.Merge(subst.mark(v), map[string]any{"revisionTags": []any{in.Name}})
	target := chart.Target{
		Release: in.Name + "-revisiontags", Namespace: in.Revision.Spec.Namespace, KubeVersion: in.KubeVersion,
	}
	// All templates are read: up to 1.27 those for tags and for the revision's own webhook define a part of the same name,
	// and the chart works with the latter's.
	c, err := load(in.Release, "istiod")
	if err != nil {
		return nil, err
	}
	objects, err := renderLoaded(c.Only(func(t string) bool { return t == profileFile || isTagTemplate(t) }), v, target)
	if err != nil {
		return nil, err
	}
	if in.Name == "default" {
		base, err := renderBase(in.Release, v, in.Revision.Name, in.Revision.Spec.Namespace, in.KubeVersion)
		if err != nil {
			return nil, err
		}
		objects = append(objects, base...)
	}
	stamp := manifest.Stamp{
		Owner: in.Owner, Revision: in.Revision.Name, Tag: in.Name,
		KeepFailurePolicy: in.KeepFailurePolicy, Text: subst.text(),
	}
	return finish(objects, stamp, in.Release)
}

// isTagTemplate picks the templates for revision tags: one file up to 1.27, two since.
func isTagTemplate(name string) bool { return strings.HasPrefix(name, "templates/revision-tags") }
