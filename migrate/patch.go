package migrate

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// kustomization writes entries of patches as they stand in a kustomization.
func kustomization(patches ...*yaml.Node) string {
	return encode(fields("patches", sequence(patches...)))
}

// strategic is an entry with a strategic merge patch, which names its object itself.
func strategic(object *yaml.Node) *yaml.Node {
	return fields("patch", block(encode(object)))
}

// deletePatches delete what an Istio named default has of the chart base.
func deletePatches() string {
	remove := func(kind, name string) *yaml.Node {
		return strategic(fields("$patch", "delete", "apiVersion", apiVersions[kind], "kind", kind, "metadata",
			fields("name", name)))
	}
	return kustomization(remove("ValidatingWebhookConfiguration", "istiod-default-validator"))
}

// overlays makes findings of overlays, with the patches that do the same.
func (m *migration) overlays(list *yaml.Node, at []string) {
	if list.Kind != yaml.SequenceNode {
		m.fail(at, "%s must be a list", dotted(at))
		return
	}
	for i, n := range list.Content {
		p := index(at, i)
		o := m.object(n, p)
		if o == nil {
			continue
		}
		patches, notes := m.overlayPatches(o, p)
		if len(patches) == 0 {
			m.warn(p, "%s (%s): an overlay needs kind, name and patches; this one had no effect", dotted(p), short(o))
			continue
		}
		m.warn(p, "overlays are patches in the kustomization that has the rendered objects:\n%s%s", kustomization(patches...),
			strings.Join(notes, ""))
	}
}

// overlayPatches translates the patches of an overlay. istioctl makes missing fields on the way to a path, and so does
// a strategic merge patch, which therefore stands for all paths but those with the index of a list element, which only
// a JSON patch can express, and those of the object's identity. notes say what remains to be filled in.
func (m *migration) overlayPatches(o *yaml.Node, at []string) (patches []*yaml.Node, notes []string) {
	kind, name, list := yamltree.Text(o, "kind"), yamltree.Text(o, "name"), yamltree.Get(o, "patches")
	if kind == "" || name == "" || list == nil || list.Kind != yaml.SequenceNode {
		return nil, nil
	}
	target := fields("kind", kind, "name", name)
	apiVersion := apiVersions[kind]
	if apiVersion == "" {
		apiVersion = yamltree.Text(o, "apiVersion")
	}
	var operations []*yaml.Node
	is := identity{}
	for i, p := range list.Content {
		steps := parsePath(yamltree.Text(p, "path"))
		if len(steps) == 0 {
			m.warn(append(slices.Clip(at), "patches", strconv.Itoa(i)), "a patch without a path had no effect: %s", short(p))
			continue
		}
		value := overlayValue(yamltree.Get(p, "value"))
		if kind == "HorizontalPodAutoscaler" {
			value = autoscalerOverlay(steps, value)
		}
		field := fieldPath(steps)
		if slices.Contains(identityFields, field) {
			if !is.set(field, value) {
				m.warn(append(slices.Clip(at), "patches", strconv.Itoa(i)), "no object is without its %s, or has one that is "+
					"not text, so nothing was made of it: %s", field, short(p))
			}
			continue
		}
		if field == "metadata" {
			value = is.metadata(name, value)
		}
		if apiVersion != "" && mergeable(steps, kind, value) {
			body := fields("apiVersion", apiVersion, "kind", kind, "metadata", fields("name", name))
			merge(body, steps, value)
			patches = append(patches, fields("target", target, "patch", block(encode(body))))
			continue
		}
		operation, note := jsonPatch(steps, value)
		operations = append(operations, operation)
		if note != "" {
			notes = append(notes, "# "+note+"\n")
		}
	}
	if len(operations) > 0 {
		patches = append(patches, fields("target", target, "patch", block(encode(sequence(operations...)))))
	}
	last, more := is.patches(kind, name, apiVersion)
	return append(patches, last...), append(notes, more...)
}

// overlayValue reads the value of a patch: absent means deletion, and text that is a YAML mapping is one.
func overlayValue(n *yaml.Node) *yaml.Node {
	if n == nil || yamltree.IsNull(n) {
		return nil
	}
	if yamltree.IsText(n) && strings.Contains(n.Value, ":") && strings.Contains(n.Value, "\n") &&
		!strings.HasPrefix(strings.TrimSpace(n.Value), "{") {
		var doc yaml.Node
		if yaml.Unmarshal([]byte(n.Value), &doc) == nil && len(doc.Content) == 1 && doc.Content[0].Kind == yaml.MappingNode &&
			yamltree.Plain(doc.Content[0]) == nil {
			return bare(doc.Content[0])
		}
	}
	return bare(n)
}

// step is one element of an overlay's path: a field, the index of a list element, or a list element by one of its
// fields.
type step struct {
	field      string
	index      int
	key, value string
	kind       stepKind
}

type stepKind int

const (
	byField stepKind = iota
	byIndex          // [3], and [-1] for a new element
	byKey            // [name:discovery]
	byText           // [:text] or [text], an element of a list of texts
)

// parsePath reads a path as istioctl does: a.b.[name:x].c, with \. for a dot that is none.
func parsePath(s string) []step {
	var out []step
	for _, element := range splitEscaped(strings.Trim(filepath.ToSlash(filepath.Clean(s)), "."), '.') {
		if element == "" {
			continue
		}
		if i := strings.IndexByte(element, '['); i > 0 {
			out = append(out, step{field: element[:i]})
			element = element[i:]
		}
		inner, bracketed := strings.CutPrefix(element, "[")
		inner, closed := strings.CutSuffix(inner, "]")
		if !bracketed || !closed {
			out = append(out, step{field: element})
			continue
		}
		out = append(out, parseSelector(inner))
	}
	return out
}

func parseSelector(inner string) step {
	if i, err := strconv.Atoi(inner); err == nil && i >= -1 {
		return step{kind: byIndex, index: i}
	}
	if kv := splitEscaped(inner, ':'); len(kv) == 2 && kv[0] != "" && kv[1] != "" {
		return step{kind: byKey, key: kv[0], value: kv[1]}
	}
	return step{kind: byText, value: strings.TrimPrefix(inner, ":")}
}

// splitEscaped splits at a separator that is not escaped, and takes the escapes of it away.
func splitEscaped(s string, separator byte) []string {
	var out []string
	var part strings.Builder
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && i+1 < len(s) && s[i+1] == separator:
			part.WriteByte(separator)
			i++
		case s[i] == separator:
			out = append(out, part.String())
			part.Reset()
		default:
			part.WriteByte(s[i])
		}
	}
	return append(out, part.String())
}

// mergeKey is the field by which a strategic merge patch finds the elements of a list.
func mergeKey(list, kind string) string {
	switch list {
	case "containers", "initContainers", "ephemeralContainers", "env", "volumes", "imagePullSecrets", "webhooks":
		return "name"
	case "volumeMounts":
		return "mountPath"
	case "hostAliases":
		return "ip"
	case "ports":
		if kind == "Service" {
			return "port"
		}
		return "containerPort"
	}
	return ""
}

// mergeable reports whether a strategic merge patch can express a path.
func mergeable(steps []step, kind string, value *yaml.Node) bool {
	for i, s := range steps {
		switch s.kind {
		case byField:
			if i == len(steps)-1 && value != nil && value.Kind == yaml.SequenceNode && mergeKey(s.field, kind) != "" {
				return false // it would merge where istioctl replaces
			}
		case byKey:
			if i == 0 || steps[i-1].kind != byField || mergeKey(steps[i-1].field, kind) != s.key {
				return false
			}
			if i == len(steps)-1 && value != nil && value.Kind != yaml.MappingNode {
				return false
			}
		default:
			return false
		}
	}
	return steps[0].kind == byField
}

// merge writes a path and its value into a strategic merge patch.
func merge(n *yaml.Node, steps []step, value *yaml.Node) {
	s, last := steps[0], len(steps) == 1
	switch {
	case last && value == nil:
		yamltree.Put(n, null(), s.field)
	case last && value.Kind == yaml.MappingNode:
		whole := fields("$patch", "replace")
		whole.Content = append(whole.Content, value.Content...)
		yamltree.Put(n, whole, s.field)
	case last:
		yamltree.Put(n, value, s.field)
	case steps[1].kind == byKey:
		element := fields(steps[1].key, scalarOf(steps[1].value))
		if s.field == "ports" { // which kustomize compares as well
			yamltree.Put(element, yamltree.NewText("TCP"), "protocol")
		}
		yamltree.Put(n, sequence(element), s.field)
		switch {
		case len(steps) > 2:
			merge(element, steps[2:], value)
		case value == nil:
			yamltree.Put(element, yamltree.NewText("delete"), "$patch")
		default:
			overlay(element, value, nil, nil)
		}
	default:
		next := yamltree.Get(n, s.field)
		if next == nil {
			next = yamltree.NewMapping()
			yamltree.Put(n, next, s.field)
		}
		merge(next, steps[1:], value)
	}
}

// scalarOf writes the value of a selector: a port is a number.
func scalarOf(value string) *yaml.Node {
	if _, err := strconv.Atoi(value); err == nil {
		return number(value)
	}
	return yamltree.NewText(value)
}

// jsonPatch writes a path and its value as an operation of a JSON patch. List elements that are named by a field have
// no index there; only the main container, which is the first, is known.
func jsonPatch(steps []step, value *yaml.Node) (operation *yaml.Node, note string) {
	var pointer strings.Builder
	for i, s := range steps {
		pointer.WriteByte('/')
		switch {
		case s.kind == byField:
			pointer.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(s.field))
		case s.kind == byIndex && s.index < 0:
			pointer.WriteByte('-')
		case s.kind == byIndex:
			pointer.WriteString(strconv.Itoa(s.index))
		case s.kind == byKey && s.key == "name" && i > 0 && steps[i-1].field == "containers" &&
			slices.Contains([]string{"discovery", "install-cni", "istio-proxy"}, s.value):
			pointer.WriteByte('0')
		case s.kind == byKey:
			pointer.WriteString("INDEX")
			note = fmt.Sprintf("INDEX: the position of the element whose %s is %s, from 0; a JSON patch cannot look for it",
				s.key, s.value)
		default:
			pointer.WriteString("INDEX")
			note = fmt.Sprintf("INDEX: the position of the element %s, from 0; a JSON patch cannot look for it", s.value)
		}
	}
	last := steps[len(steps)-1]
	op := "add" // which replaces a field as well
	if last.kind != byField && (last.kind != byIndex || last.index >= 0) {
		op = "replace"
	}
	if value == nil {
		return fields("op", "remove", "path", pointer.String()), note
	}
	n := fields("op", op, "path", pointer.String())
	yamltree.Put(n, value, "value")
	return n, note
}
