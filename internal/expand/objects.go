package expand

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// RevisionObject is the planned IstioRevision of an Istio as an item of a package: stamped like all generated objects,
// marked as rendered by a pipeline, and staying in Git if its Istio does.
func RevisionObject(out Output, source manifest.Object) (manifest.Object, error) {
	v, err := out.Revision.Spec.Values.Map()
	if err != nil {
		return manifest.Object{}, err
	}
	annotations := map[string]any{}
	for k, val := range out.Revision.Annotations {
		annotations[k] = val
	}
	annotations[manifest.AnnotationRenderedBy] = "render-istio"
	annotations[manifest.AnnotationOwner] = out.Owner
	if out.Protected {
		for k, val := range manifest.Protection() {
			annotations[k] = val
		}
	}
	local := source.Annotation(resource.AnnotationLocalConfig)
	if local != "" {
		annotations[resource.AnnotationLocalConfig] = local
	}
	spec := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap}
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: yaml.NodeTagMap}
	for _, f := range []struct {
		in    *yaml.Node
		key   string
		value any
	}{
		{n, "apiVersion", out.Revision.APIVersion},
		{n, "kind", out.Revision.Kind},
		{n, "metadata", map[string]any{
			"name": out.Revision.Name,
			"labels": map[string]any{
				manifest.LabelRevision: out.Revision.Name, manifest.LabelManagedBy: manifest.ManagedBy,
			},
			"annotations": annotations,
		}},
		{spec, "version", string(out.Revision.Spec.Version)},
		{spec, "namespace", out.Revision.Spec.Namespace},
		{spec, "values", v},
		{n, "spec", nil},
	} {
		value := spec
		if f.value != nil {
			value = &yaml.Node{}
			if err := value.Encode(f.value); err != nil {
				return manifest.Object{}, fmt.Errorf("IstioRevision %s: %s: %w", out.Revision.Name, f.key, err)
			}
		}
		f.in.Content = append(f.in.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: yaml.NodeTagString, Value: f.key}, value)
	}
	o, err := manifest.FromNode(n)
	if err == nil && local == "true" {
		o.AddComment(manifest.CommentArgoSkip)
	}
	return o, err
}

// recordRelease notes on an object what the rendering depended on.
func recordRelease(o manifest.Object, rel release.Release, options resource.Options) {
	o.SetAnnotation(manifest.AnnotationVersion, rel.Version)
	o.SetAnnotation(manifest.AnnotationChartDigest, rel.Digest)
	if kube, err := chart.ParseKubeVersion(options.KubeVersion); err == nil { // plan has looked at the error
		o.SetAnnotation(manifest.AnnotationKubeVersion, kube.Version)
	}
}

// SourceObject is an Istio that came as a functionConfig, as an item to be applied: without what kustomize needs to
// call the function and what it notes on items.
func SourceObject(source manifest.Object) manifest.Object {
	o := source.Copy()
	if o.Field("metadata", "uid") != nil {
		withoutLife(o)
	}
	for key := range o.Annotations() {
		if key == resource.AnnotationFunction || key == resource.AnnotationLocalConfig ||
			strings.HasPrefix(key, "internal.config.kubernetes.io/") ||
			strings.HasPrefix(key, "config.k8s.io/") || key == "config.kubernetes.io/index" ||
			key == "config.kubernetes.io/path" {
			o.DeleteAnnotation(key)
		}
	}
	return o
}

// withoutLife takes out of an object that kubectl get has printed what its cluster wrote into it.
func withoutLife(o manifest.Object) {
	o.Remove("status")
	for _, field := range []string{
		"creationTimestamp", "finalizers", "generation", "managedFields", "ownerReferences", "resourceVersion",
		"selfLink", "uid",
	} {
		o.Remove("metadata", field)
	}
	o.DeleteAnnotation("kubectl.kubernetes.io/last-applied-configuration")
}
