package apply

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

// managers are those who own the fields of an object, as its metadata.managedFields say. Who writes the status or the
// scale does so through a subresource; those entries are left out.
type managers struct {
	object  *unstructured.Unstructured
	entries []manager
	changed bool
}

// manager is one of them, and what it owns.
type manager struct {
	entry metav1.ManagedFieldsEntry
	set   *fieldpath.Set
}

// ours reports whether the entry is what this controller owns by applying.
func (m manager) ours() bool {
	return m.entry.Manager == FieldManager && m.entry.Operation == metav1.ManagedFieldsOperationApply
}

// foreign reports whether the entry is somebody else's. What the controller owns by an update is no one's wish.
func (m manager) foreign() bool { return m.entry.Manager != FieldManager }

// managersOf reads them from an object.
func managersOf(o *unstructured.Unstructured) (*managers, error) {
	out := &managers{object: o}
	for _, entry := range o.GetManagedFields() {
		if entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		set := &fieldpath.Set{}
		if err := set.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return nil, fmt.Errorf("metadata.managedFields of %s: %w", entry.Manager, err)
		}
		out.entries = append(out.entries, manager{entry, set})
	}
	return out, nil
}

// take makes the fields of others that it is told of the controller's own: an apply of something that lacks them
// removes them then, in the same write that mends the rest. It gives the fields, and does not change the object. Those
// of an API version other than the applied one are left: their paths mean something else.
func (m *managers) take(fields func(fieldpath.Path) bool) []fieldpath.Path {
	var taken []fieldpath.Path
	for i, e := range m.entries {
		if !e.foreign() || e.entry.APIVersion != m.object.GetAPIVersion() {
			continue
		}
		some := fieldpath.NewSet()
		e.set.Iterate(func(p fieldpath.Path) {
			if fields(p) {
				some.Insert(p.Copy())
				taken = append(taken, p.Copy())
			}
		})
		if some.Empty() {
			continue
		}
		m.entries[i].set = e.set.Difference(some)
		m.add(some)
		m.changed = true
	}
	return taken
}

// add adds fields to what the controller owns.
func (m *managers) add(fields *fieldpath.Set) {
	for i, e := range m.entries {
		if e.ours() && e.entry.APIVersion == m.object.GetAPIVersion() {
			m.entries[i].set = e.set.Union(fields)
			return
		}
	}
	m.entries = append(m.entries, manager{metav1.ManagedFieldsEntry{
		Manager: FieldManager, Operation: metav1.ManagedFieldsOperationApply, APIVersion: m.object.GetAPIVersion(),
		FieldsType: "FieldsV1",
	}, fields})
}

// release makes the controller own those of its fields no more that it is told of. They stay as they are.
func (m *managers) release(fields func(fieldpath.Path) bool) {
	for i, e := range m.entries {
		if e.foreign() {
			continue
		}
		some := fieldpath.NewSet()
		e.set.Iterate(func(p fieldpath.Path) {
			if fields(p) {
				some.Insert(p.Copy())
			}
		})
		if !some.Empty() {
			m.entries[i].set = e.set.Difference(some)
			m.changed = true
		}
	}
}

// fields is what metadata.managedFields should be.
func (m *managers) fields() ([]metav1.ManagedFieldsEntry, error) {
	out := slices.DeleteFunc(m.object.GetManagedFields(),
		func(e metav1.ManagedFieldsEntry) bool { return e.Subresource == "" && e.FieldsV1 != nil })
	for _, e := range m.entries {
		if e.set.Empty() {
			continue
		}
		raw, err := e.set.ToJSON()
		if err != nil {
			return nil, fmt.Errorf("metadata.managedFields of %s: %w", e.entry.Manager, err)
		}
		entry := e.entry
		entry.FieldsV1 = metav1.NewFieldsV1(string(raw))
		out = append(out, entry)
	}
	return out, nil
}

// strayElements selects the fields of elements of lists that an object has and should not: in the lists below spec and
// webhooks whose elements have keys, such as webhooks, containers, variables, ports and volumes. Lists of other fields
// are those of programs that Kubernetes itself runs: a ServiceAccount's secrets.
func strayElements(desired *unstructured.Unstructured) func(fieldpath.Path) bool {
	return func(p fieldpath.Path) bool { return strayElement(desired, p) != nil }
}

// strayElement is the path of the first element on a path that an object should not have, or nil.
func strayElement(desired *unstructured.Unstructured, p fieldpath.Path) fieldpath.Path {
	if root := field(p, 0); root != "spec" && root != "webhooks" {
		return nil
	}
	for i, e := range p {
		if e.Key == nil && e.Value == nil {
			continue
		}
		if !has(desired.Object, p[:i+1]) {
			return p[:i+1]
		}
	}
	return nil
}

// strayFields selects all fields that an object has and should not, but what is for others to write: metadata, also
// that of pods, data of ConfigMaps, the number of replicas, what the API server has allocated for a Service, and what
// istiod writes into webhooks.
func strayFields(desired *unstructured.Unstructured) func(fieldpath.Path) bool {
	return func(p fieldpath.Path) bool {
		root := field(p, 0)
		if root != "spec" && root != "webhooks" || has(desired.Object, p) {
			return false
		}
		return !slices.ContainsFunc(p, func(e fieldpath.PathElement) bool {
			return e.FieldName != nil && (allocated[*e.FieldName] || *e.FieldName == "metadata")
		})
	}
}

// allocated are fields that nobody has to write.
var allocated = map[string]bool{
	"replicas": true, "clusterIP": true, "clusterIPs": true, "ipFamilies": true, "ipFamilyPolicy": true,
	"nodePort":            true,
	"healthCheckNodePort": true, "caBundle": true, "failurePolicy": true,
}

// failurePolicies selects that of the webhooks of a configuration that do not have one when they are as they should be.
func failurePolicies(desired *unstructured.Unstructured) func(fieldpath.Path) bool {
	const depth = 3
	return func(p fieldpath.Path) bool {
		return len(p) == depth && field(p, 0) == "webhooks" && field(p, depth-1) == failurePolicy &&
			!has(desired.Object, p)
	}
}

const failurePolicy = "failurePolicy"

// field is the name of the field at a position of a path, or "".
func field(p fieldpath.Path, i int) string {
	if i >= len(p) || p[i].FieldName == nil {
		return ""
	}
	return *p[i].FieldName
}

// has reports whether an object has what a path leads to.
func has(o any, p fieldpath.Path) bool {
	for _, e := range p {
		var ok bool
		switch {
		case e.FieldName != nil:
			var m map[string]any
			if m, ok = o.(map[string]any); ok {
				o, ok = m[*e.FieldName]
			}
		case e.Key != nil:
			o, ok = element(o, func(item any) bool { return keyed(item, *e.Key) })
		case e.Value != nil:
			o, ok = element(o, func(item any) bool { return value.Equals(value.NewValueInterface(item), *e.Value) })
		case e.Index != nil:
			var list []any
			if list, ok = o.([]any); ok {
				if ok = *e.Index < len(list); ok {
					o = list[*e.Index]
				}
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// element is the one of a list of which something is true.
func element(list any, is func(any) bool) (any, bool) {
	items, ok := list.([]any)
	if !ok {
		return nil, false
	}
	if i := slices.IndexFunc(items, is); i >= 0 {
		return items[i], true
	}
	return nil, false
}

// keyed reports whether an element of a list has the keys. Of all keys of lists in what Lateen renders only the
// protocol of a port has a default, which a chart may leave out.
func keyed(item any, key value.FieldList) bool {
	m, ok := item.(map[string]any)
	if !ok {
		return false
	}
	for _, f := range key {
		have, ok := m[f.Name]
		if !ok && f.Name == "protocol" {
			have, ok = "TCP", true
		}
		if !ok || !value.Equals(value.NewValueInterface(have), f.Value) {
			return false
		}
	}
	return true
}

// strayKeys names the labels, annotations and keys of data that others have added to an object: they stay. Those of
// Kubernetes itself and of kubectl are none that anybody asks about.
func (m *managers) strayKeys(desired *unstructured.Unstructured) []string {
	found := map[string]bool{}
	for _, e := range m.entries {
		if !e.foreign() {
			continue
		}
		e.set.Iterate(func(p fieldpath.Path) {
			i := keyAt(p)
			if i < 0 || i >= len(p) || p[i].FieldName == nil || has(desired.Object, p[:i+1]) {
				return
			}
			if key := *p[i].FieldName; !ofKubernetes(key) && key != Ignore {
				found[kindOfKey(p[:i])+" "+key] = true
			}
		})
	}
	return slices.Sorted(maps.Keys(found))
}

// keyAt is where on a path a label, an annotation or a key of data is; -1 if it is about something else.
func keyAt(p fieldpath.Path) int {
	switch root := field(p, 0); {
	case root == "data" || root == "binaryData":
		return 1
	case root == "metadata" && isKeys(field(p, 1)):
		return 2
	case root == "spec" && field(p, 1) == "template" && field(p, 2) == "metadata" && isKeys(field(p, 3)):
		return 4
	}
	return -1
}

func isKeys(name string) bool { return name == "labels" || name == "annotations" }

// kindOfKey is what the keys below a path are called.
func kindOfKey(p fieldpath.Path) string {
	pods := ""
	if field(p, 0) == "spec" {
		pods = "pod "
	}
	switch field(p, len(p)-1) {
	case "labels":
		return pods + "label"
	case "annotations":
		return pods + "annotation"
	}
	return "key"
}

// ofKubernetes reports whether a label or annotation is one of Kubernetes' own.
func ofKubernetes(key string) bool {
	domain, _, found := strings.Cut(key, "/")
	for _, own := range []string{"kubernetes.io", "k8s.io"} {
		if found && (domain == own || strings.HasSuffix(domain, "."+own)) {
			return true
		}
	}
	return key == "deprecated.daemonset.template.generation"
}

// elements names the elements that paths lead into, each once: `spec.template.spec.containers[name="x"]`.
func elements(desired *unstructured.Unstructured, paths []fieldpath.Path) []string {
	found := map[string]bool{}
	for _, p := range paths {
		if e := strayElement(desired, p); e != nil {
			p = e
		}
		found[strings.TrimPrefix(p.String(), ".")] = true
	}
	return slices.Sorted(maps.Keys(found))
}
