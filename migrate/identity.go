package migrate

import (
	"cmp"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// identityFields say which object an object is.
var identityFields = []string{"kind", "apiVersion", "metadata.name", "metadata.namespace"}

// identity is what an overlay makes of these fields of its object. A strategic merge patch of kustomize leaves all four
// as they are, without a word; options allow it another kind and another name, and the API version and the namespace
// can change in a JSON patch only.
type identity map[string]*yaml.Node

// set notes the new value of a field, and reports whether an object can have it.
func (d identity) set(field string, value *yaml.Node) bool {
	switch {
	case value != nil && value.Kind == yaml.ScalarNode:
		d[field] = yamltree.NewText(value.Value)
	case value == nil && field == "metadata.namespace":
		d[field] = null()
	default:
		return false
	}
	return true
}

// metadata notes what the metadata of an object says about its identity, and returns the rest of it, under the name
// that the object has until then.
func (d identity) metadata(name string, value *yaml.Node) *yaml.Node {
	if value == nil || value.Kind != yaml.MappingNode {
		return value
	}
	rest := bare(value)
	for _, key := range []string{"name", "namespace"} {
		if v := yamltree.Take(rest, key); v != nil && !yamltree.IsNull(v) {
			d.set("metadata."+key, v)
		}
	}
	yamltree.Put(rest, yamltree.NewText(name), "name")
	return rest
}

// patches are the patches that change the identity of an object, and notes what to know of them. They come after all
// others, and a new kind is the last: no target of the old one finds the object any more. Of all else kustomize
// remembers what it was.
func (d identity) patches(kind, name, apiVersion string) (patches []*yaml.Node, notes []string) {
	target := fields("kind", kind, "name", name)
	var operations []*yaml.Node
	for _, f := range []struct{ field, path string }{
		{"apiVersion", "/apiVersion"}, {"metadata.namespace", "/metadata/namespace"},
	} {
		if value := d[f.field]; value != nil && yamltree.IsNull(value) {
			operations = append(operations, fields("op", "remove", "path", f.path))
		} else if value != nil {
			operations = append(operations, fields("op", "add", "path", f.path, "value", value))
		}
	}
	if len(operations) > 0 {
		patches = append(patches, fields("target", target, "patch", block(encode(sequence(operations...)))))
	}
	body := fields("apiVersion", cmp.Or(apiVersion, "v1"), // which kustomize takes from the target
		"kind", kind, "metadata", fields("name", name))
	options := yamltree.NewMapping()
	for _, o := range []struct{ field, option string }{
		{"kind", "allowKindChange"}, {"metadata.name", "allowNameChange"},
	} {
		if d[o.field] != nil {
			yamltree.Put(body, d[o.field], strings.Split(o.field, ".")...)
			yamltree.Put(options, boolean(true), o.option)
		}
	}
	if len(options.Content) > 0 {
		patches = append(patches, fields("target", target, "patch", block(encode(body)), "options", options))
	}
	if d["kind"] != nil {
		notes = append(notes,
			"# Keep the patch of kind the last one: after it, no target of kind "+kind+" finds the object\n")
	}
	if d["metadata.name"] != nil || d["metadata.namespace"] != nil {
		notes = append(notes,
			"# kustomize changes references to the object as well, where it knows them; istioctl does not\n")
	}
	return patches, notes
}

// fieldPath is the path of an overlay with dots, if it leads through fields only.
func fieldPath(steps []step) string {
	var path []string
	for _, s := range steps {
		if s.kind != byField {
			return ""
		}
		path = append(path, s.field)
	}
	return dotted(path)
}
