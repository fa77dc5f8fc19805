package istiorevision

import (
	"context"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/values"
)

// ValueTags are the tags that the values of a revision ask for: values.revisionTags.
func ValueTags(rev *v1.IstioRevision) []string {
	v, err := rev.Spec.Values.Map()
	if err != nil { // which the CRD does not allow
		return nil
	}
	return values.Tags(v)
}

// ListsTag reports whether a revision lists the webhooks of a tag among its objects, be they there or not.
func ListsTag(rev *v1.IstioRevision, tag string) bool {
	name := "istio-revision-tag-" + tag
	return slices.ContainsFunc(rev.Status.Inventory, func(ref v1.ObjectReference) bool {
		return ref.Kind == "MutatingWebhookConfiguration" &&
			(ref.Name == name || ref.Name == name+"-"+rev.Spec.Namespace)
	})
}

// TagClash says why a resource may not bring a revision tag, or "": a revision of the cluster has the name, or a
// resource with precedence brings the tag. Wherever the two control planes are, both would inject what has the tag's
// label, and the objects need not have one name: it has the namespace in it. o is an IstioRevisionTag, or a revision
// whose values have the tag.
//
// A revision that has come after the tag does not take its name; see TagOfTheName.
func TagClash(
	ctx context.Context, objects owned.Objects, o client.Object, tag string,
	tags []v1.IstioRevisionTag, revisions []v1.IstioRevision,
) (string, error) {
	if own, ok := o.(*v1.IstioRevision); ok && nameIsTaken(own, tag, revisions) {
		return mesh.TakenByRevision(tagOf(o, tag), mesh.RenameTag).Message, nil
	}
	for _, holder := range tagHolders(o, tag, tags, revisions) {
		takes, err := objects.Precedes(ctx, o, holder)
		if err != nil {
			return "", err
		}
		if !takes {
			return mesh.TakenByTag(tagOf(o, tag), tagOf(holder, tag)).Message, nil
		}
	}
	return "", nil
}

// nameIsTaken reports whether a revision has the name of a tag that another one is to bring, or brings.
func nameIsTaken(by *v1.IstioRevision, tag string, revisions []v1.IstioRevision) bool {
	return slices.ContainsFunc(revisions, func(named v1.IstioRevision) bool {
		return named.Name == tag && named.DeletionTimestamp == nil &&
			(len(named.Status.Inventory) > 0 || owned.PipelineRendered(&named) || !ListsTag(by, tag))
	})
}

// tagHolders are the other resources that ask for a tag.
func tagHolders(o client.Object, tag string, tags []v1.IstioRevisionTag, revisions []v1.IstioRevision) []client.Object {
	var out []client.Object
	for i := range tags {
		if tags[i].Name == tag && tags[i].UID != o.GetUID() && tags[i].DeletionTimestamp == nil {
			out = append(out, &tags[i])
		}
	}
	for i := range revisions {
		rev := &revisions[i]
		if rev.UID != o.GetUID() && rev.DeletionTimestamp == nil && rev.Status.InactiveSince == nil &&
			slices.Contains(ValueTags(rev), tag) {
			out = append(out, rev)
		}
	}
	return out
}

// tagOf is a tag for package mesh, by the resource that a person can change.
func tagOf(o client.Object, tag string) mesh.Tag {
	t := mesh.Tag{Ref: resource.Ref(v1.KindIstioRevisionTag, o.GetName()), Name: tag}
	if rev, ok := o.(*v1.IstioRevision); ok {
		t.Ref = refOf(rev)
	}
	return t
}

// TagOfTheName says why a revision that has no objects yet may not have its name, or "": the values of another one have
// brought a tag of this name. Workloads that have its label would go over to the new control plane.
func TagOfTheName(rev *v1.IstioRevision, revisions []v1.IstioRevision) string {
	if len(rev.Status.Inventory) > 0 {
		return ""
	}
	for i := range revisions {
		other := &revisions[i]
		if other.UID != rev.UID && other.DeletionTimestamp == nil && slices.Contains(ValueTags(other), rev.Name) &&
			ListsTag(other, rev.Name) {
			return fmt.Sprintf("%s is there already, as a tag: %s; a revision and a tag cannot have the same name",
				rev.Name, tagOf(other, rev.Name))
		}
	}
	return ""
}
