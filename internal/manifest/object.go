// Package manifest holds Kubernetes objects as YAML trees: it reads them from rendered text, orders them, stamps them
// with where they came from, and writes them. It knows nothing of charts and nothing of the KRM wire format.
package manifest

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/fastyaml"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// ID is what makes an object the same object in a cluster: its group and kind, namespace and name.
// The version of the API is not part of it.
type ID struct {
	Group, Kind, Namespace, Name string
}

func (id ID) String() string {
	s := id.Kind + " " + id.Name
	if id.Namespace != "" {
		s = id.Kind + " " + id.Namespace + "/" + id.Name
	}
	if id.Group != "" {
		s += " (" + id.Group + ")"
	}
	return s
}

// Object is one Kubernetes object: a YAML mapping, whose last fields may be text that is not parsed until it is needed.
type Object struct {
	node  *yaml.Node
	tail  []byte
	raw   *raw
	place *Place
}

// Place is where an object was read: the file, as a person has named it, and which of its resources it is.
type Place struct {
	File  string
	Index int
}

// At returns the object with the place where it was read.
func (o Object) At(p Place) Object {
	o.place = &p
	return o
}

// Place is where the object was read, as far as somebody has said so.
func (o Object) Place() Place {
	if o.place == nil {
		return Place{}
	}
	return *o.place
}

// raw is the text that an object was read from, for as long as nothing has changed it.
type raw struct{ text []byte }

// WithText returns the object with the text that it was read from, one YAML document. As long as the object is not
// changed it is written as this text, to the letter: the library cannot promise that for every comment.
func (o Object) WithText(text []byte) Object {
	o.raw = &raw{text}
	return o
}

// touch forgets the text, since the object is about to differ from it.
func (o Object) touch() {
	if o.raw != nil {
		o.raw.text = nil
	}
}

// WithTail returns the object with further top-level fields as YAML text: a CRD's spec is hundreds of kilobytes that
// nobody looks into. The fields must not be in the object already.
func (o Object) WithTail(text []byte) Object { return Object{node: o.node, tail: text} }

// Pack returns the object with everything below its metadata written to text already: a fifth of the memory, and less
// to do for whoever writes the object in the end. It may be the object itself, if that cannot be done.
func (o Object) Pack() Object {
	isHead := func(i int) bool {
		switch o.node.Content[i].Value {
		case "apiVersion", "kind", "metadata":
			return true
		}
		return false
	}
	n := len(o.node.Content)
	head := 0
	for head < n && isHead(head) {
		head += 2
	}
	for i := head; i < n; i += 2 {
		if isHead(i) {
			return o
		}
	}
	if o.raw != nil || len(o.tail) > 0 || head == 0 || head == n || o.node.Style != 0 {
		return o
	}
	below, above := *o.node, *o.node
	below.Content, above.Content = o.node.Content[head:], slices.Clone(o.node.Content[:head])
	if yamltree.IsMarked(&below) {
		return o
	}
	tail, err := fastyaml.Write(&below)
	if err != nil {
		return o
	}
	return Object{node: &above, tail: tail}
}

// whole returns the object with its tail parsed.
func (o Object) whole() (*yaml.Node, error) {
	if len(o.tail) == 0 {
		return o.node, nil
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(o.tail, &doc); err != nil {
		return nil, err
	}
	n := *o.node
	n.Content = append(append([]*yaml.Node{}, o.node.Content...), doc.Content[0].Content...)
	return &n, nil
}

// Decode reads the whole object into a Go value.
func (o Object) Decode(into any) error {
	n, err := o.whole()
	if err != nil {
		return err
	}
	return n.Decode(into)
}

// FromNode wraps a mapping node. The object and the node stay the same tree.
func FromNode(n *yaml.Node) (Object, error) {
	if n != nil && n.Kind == yaml.DocumentNode && len(n.Content) == 1 {
		n = n.Content[0]
	}
	if n == nil || n.Kind != yaml.MappingNode {
		return Object{}, errors.New("not a YAML mapping")
	}
	return Object{node: n}, nil
}

// Node gives the tree of the object, without the fields that are still text.
func (o Object) Node() *yaml.Node { return o.node }

// Parse reads all objects of a rendered text: YAML documents separated by ---. Empty documents are skipped, comments
// are dropped and aliases are expanded, since the callers of a function break on both in generated objects.
func Parse(text string) ([]Object, error) {
	docs, err := fastyaml.Parse(text)
	if err != nil {
		return nil, err
	}
	var out []Object
	for _, doc := range docs {
		if len(doc.Content) != 1 || yamltree.IsNull(doc.Content[0]) {
			continue
		}
		if err := yamltree.Expand(doc.Content[0]); err != nil {
			return nil, fmt.Errorf("line %d: %w", doc.Content[0].Line, err)
		}
		yamltree.Strip(doc.Content[0])
		o, err := FromNode(doc)
		if err != nil {
			return nil, fmt.Errorf("line %d: an object was expected: %w", doc.Content[0].Line, err)
		}
		if id := o.ID(); id.Kind == "" || id.Name == "" || o.APIVersion() == "" {
			return nil, fmt.Errorf("line %d: the object has no apiVersion, kind or metadata.name", doc.Content[0].Line)
		}
		out = append(out, o)
	}
	return out, nil
}

// APIVersion is the object's apiVersion: "apps/v1".
func (o Object) APIVersion() string { return yamltree.Text(o.node, "apiVersion") }

// Kind is the object's kind.
func (o Object) Kind() string { return yamltree.Text(o.node, "kind") }

// ID identifies the object.
func (o Object) ID() ID {
	group, _, found := strings.Cut(o.APIVersion(), "/")
	if !found {
		group = ""
	}
	meta := yamltree.Get(o.node, "metadata")
	return ID{Group: group, Kind: o.Kind(), Namespace: yamltree.Text(meta, "namespace"), Name: yamltree.Text(meta, "name")}
}

// Field returns the node at a path of mapping keys, or nil.
func (o Object) Field(path ...string) *yaml.Node { return yamltree.Get(o.node, path...) }

// Annotation returns the value of an annotation, or "".
func (o Object) Annotation(key string) string {
	return yamltree.Text(o.node, "metadata", "annotations", key)
}

// Annotations returns all annotations.
func (o Object) Annotations() map[string]string {
	return yamltree.Texts(o.Field("metadata", "annotations"))
}

// Label returns the value of a label, or "".
func (o Object) Label(key string) string { return yamltree.Text(o.node, "metadata", "labels", key) }

// SetAnnotation sets an annotation; an existing one keeps its place.
func (o Object) SetAnnotation(key, value string) { o.setMeta("annotations", key, value) }

// SetLabel sets a label; an existing one keeps its place.
func (o Object) SetLabel(key, value string) { o.setMeta("labels", key, value) }

// HasComment reports whether a comment anywhere in the object contains a text.
func (o Object) HasComment(text string) bool {
	var has func(n *yaml.Node) bool
	has = func(n *yaml.Node) bool {
		return strings.Contains(n.HeadComment, text) || strings.Contains(n.LineComment, text) ||
			strings.Contains(n.FootComment, text) ||
			slices.ContainsFunc(n.Content, has)
	}
	return has(o.node)
}

// AddComment writes a line of comment above the object, above what is there already, unless the object has the comment.
func (o Object) AddComment(text string) {
	if len(o.node.Content) == 0 || o.HasComment(text) {
		return
	}
	o.touch()
	first := o.node.Content[0]
	first.HeadComment = strings.TrimSuffix("# "+text+"\n"+first.HeadComment, "\n")
}

// CarryComment puts the comment above another object above this one as well.
func (o Object) CarryComment(from Object) {
	if len(o.node.Content) == 0 || len(from.node.Content) == 0 {
		return
	}
	mine, other := o.node.Content[0].HeadComment, from.node.Content[0].HeadComment
	if other == "" || other == mine {
		return
	}
	o.touch()
	for line := range strings.Lines(mine) {
		if !strings.Contains(other, strings.TrimSpace(line)) {
			other = strings.TrimSpace(line) + "\n" + other
		}
	}
	o.node.Content[0].HeadComment = other
}

// DeleteAnnotation removes an annotation, and the map of annotations if it was the last.
func (o Object) DeleteAnnotation(key string) {
	o.touch()
	yamltree.Take(o.node, "metadata", "annotations", key)
	if annotations := o.Field("metadata", "annotations"); annotations != nil && len(annotations.Content) == 0 {
		yamltree.Take(o.node, "metadata", "annotations")
	}
}

// Remove takes out a field, if it is there.
func (o Object) Remove(path ...string) {
	if len(path) == 0 || o.Field(path...) == nil {
		return
	}
	o.touch()
	yamltree.Take(o.node, path...)
}

func (o Object) setMeta(where, key, value string) {
	o.touch()
	yamltree.Put(o.node, yamltree.NewText(value), "metadata", where, key)
}

// Copy returns the object as a tree of its own.
func (o Object) Copy() Object { return Object{node: yaml.CopyYNode(o.node), tail: o.tail} }

// Encode appends the object as one YAML document, without a separator.
func (o Object) Encode(w io.Writer) error {
	if o.raw != nil && o.raw.text != nil {
		_, err := w.Write(o.raw.text)
		return err
	}
	text, err := fastyaml.Write(o.node)
	if err != nil {
		return err
	}
	if _, err = w.Write(text); err == nil {
		_, err = w.Write(o.tail)
	}
	return err
}

// Write writes the objects as a stream of YAML documents, as kubectl apply reads it.
func Write(w io.Writer, objects []Object) error {
	var buf bytes.Buffer
	for i, o := range objects {
		if i > 0 {
			buf.WriteString("---\n")
		}
		if err := o.Encode(&buf); err != nil {
			return fmt.Errorf("writing %s: %w", o.ID(), err)
		}
	}
	_, err := w.Write(buf.Bytes())
	return err
}

// order ranks kinds so that an object comes after what it needs: applied from top to bottom, nothing waits for
// something below it, and webhooks, which can block other writes, come last. Kinds that are not listed come before
// workloads.
var order = map[string]int{
	"Namespace": 1, "CustomResourceDefinition": 2,
	"Istio": 3, "IstioRevision": 4, "IstioRevisionTag": 5, "IstioCNI": 6,
	"PriorityClass": 7, "ResourceQuota": 8, "NetworkPolicy": 9, "ServiceAccount": 10, "Secret": 11, "ConfigMap": 12,
	"ClusterRole": 13, "ClusterRoleBinding": 14, "Role": 15, "RoleBinding": 16,
	"Service": 17, "Endpoints": 18, "EndpointSlice": 19,
	"DaemonSet": 31, "Deployment": 32, "HorizontalPodAutoscaler": 33, "PodDisruptionBudget": 34,
	"ValidatingAdmissionPolicy": 35, "ValidatingAdmissionPolicyBinding": 36,
	"ValidatingWebhookConfiguration": 37, "MutatingWebhookConfiguration": 38,
}

// Compare orders two objects: by rank of kind, then kind, namespace and name.
func Compare(a, b ID) int {
	rank := func(kind string) int {
		if r, ok := order[kind]; ok {
			return r
		}
		return 30
	}
	return cmp.Or(
		cmp.Compare(rank(a.Kind), rank(b.Kind)),
		cmp.Compare(a.Kind, b.Kind),
		cmp.Compare(a.Namespace, b.Namespace),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Group, b.Group),
	)
}

// Sort orders objects by Compare.
func Sort(objects []Object) {
	type keyed struct {
		id ID
		o  Object
	}
	list := make([]keyed, len(objects))
	for i, o := range objects {
		list[i] = keyed{o.ID(), o}
	}
	slices.SortStableFunc(list, func(a, b keyed) int { return Compare(a.id, b.id) })
	for i, k := range list {
		objects[i] = k.o
	}
}

// Duplicate returns the first two objects that are the same object of a cluster.
func Duplicate(objects []Object) (ID, bool) {
	seen := make(map[ID]bool, len(objects))
	for _, o := range objects {
		id := o.ID()
		if seen[id] {
			return id, true
		}
		seen[id] = true
	}
	return ID{}, false
}

// SortAnnotations orders the annotations by name.
func (o Object) SortAnnotations() {
	o.touch()
	yamltree.Sort(o.Field("metadata", "annotations"))
}
