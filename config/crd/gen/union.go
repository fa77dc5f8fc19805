package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// union is what any of the versions has.
type union struct {
	roots       map[string]*node
	definitions map[string]*node
	// texts are the descriptions, by definition and by "definition.property".
	texts map[string]string
}

// unite merges the schemas of all versions, which come oldest first. Where versions disagree about a type, the newest
// is right, except that an enum has the values of all.
func unite(documents []document) *union {
	u := &union{roots: map[string]*node{}, definitions: map[string]*node{}}
	minors := func(in func(document) *node) (closed map[string][]string, all []string) {
		closed = map[string][]string{}
		for _, d := range documents {
			n := in(d)
			if n == nil {
				continue
			}
			minor := fmt.Sprintf("v%d.%d", d.semver.Major(), d.semver.Minor())
			all = append(all, minor)
			for property := range n.Properties {
				closed[property] = append(closed[property], minor)
			}
		}
		return closed, all
	}
	join := func(into map[string]*node, name string, in func(document) *node) {
		var merged *node
		for _, d := range documents {
			merged = merge(merged, in(d))
		}
		have, all := minors(in)
		for property, n := range merged.Properties {
			first, last := have[property][0], have[property][len(have[property])-1]
			marked := *n
			if first != all[0] {
				marked.since = first
			}
			if last != all[len(all)-1] {
				marked.until = last
			}
			merged.Properties[property] = &marked
		}
		into[name] = merged
	}
	for _, d := range documents {
		for name := range d.Definitions {
			if u.definitions[name] == nil {
				join(u.definitions, name, func(d document) *node { return d.Definitions[name] })
			}
		}
		for name := range d.Roots {
			if u.roots[name] == nil {
				join(u.roots, name, func(d document) *node { return d.Roots[name] })
			}
		}
	}
	return u
}

// merge returns what newer says, with the properties and enum values that only older has.
func merge(older, newer *node) *node {
	if older == nil {
		return newer
	}
	if newer == nil {
		return older
	}
	merged := *newer
	if len(older.Enum) > 0 && len(newer.Enum) > 0 {
		merged.Enum = slices.Clone(newer.Enum)
		for _, value := range older.Enum {
			if !slices.Contains(merged.Enum, value) {
				merged.Enum = append(merged.Enum, value)
			}
		}
	}
	if older.Properties != nil && newer.Properties != nil {
		merged.Properties = maps.Clone(older.Properties)
		for name, n := range newer.Properties {
			merged.Properties[name] = merge(merged.Properties[name], n)
		}
	}
	if older.Items != nil && newer.Items != nil {
		merged.Items = merge(older.Items, newer.Items)
	}
	return &merged
}

// place is where in the union a schema is: it decides which descriptions there are and cuts recursion.
type place struct {
	// definition is the one whose properties are next.
	definition string
	// within are the definitions around.
	within []string
}

// inKubernetes tells how many definitions around are Kubernetes' own.
func (p place) inKubernetes() int {
	count := 0
	for _, name := range p.within {
		if strings.HasPrefix(name, "core.") || strings.HasPrefix(name, "meta.") || strings.HasPrefix(name, "apps.") ||
			strings.HasPrefix(name, "policy.") {
			count++
		}
	}
	return count
}

// structural is n as a structural schema: references are replaced by what they refer to.
func (u *union) structural(n *node, at place) schema {
	if n.Ref != "" {
		name := strings.TrimPrefix(n.Ref, "#/definitions/")
		if slices.Contains(at.within, name) {
			return schema{"type": "object", "x-kubernetes-preserve-unknown-fields": true, "nullable": true}
		}
		return u.structural(u.definitions[name], place{definition: name, within: append(slices.Clone(at.within), name)})
	}
	// In Helm's values null stands for "without the default", wherever it is.
	s := schema{"nullable": true}
	switch strings.Join(n.Type, ",") {
	case "":
		s["x-kubernetes-preserve-unknown-fields"] = true
	case "integer,string":
		s["x-kubernetes-int-or-string"] = true
	case "number,string", "boolean,string":
		// A structural schema has no other union of types; with these limits only scalars are left.
		s["x-kubernetes-preserve-unknown-fields"] = true
		s["maxItems"] = 0
		s["maxProperties"] = 0
	case "object":
		s["type"] = "object"
		switch {
		case n.Additional == nil:
			s["x-kubernetes-preserve-unknown-fields"] = true
		case n.Additional.node != nil:
			s["additionalProperties"] = u.structural(n.Additional.node, at)
		}
		if len(n.Properties) > 0 {
			properties := schema{}
			for name, p := range n.Properties {
				property := u.structural(p, at)
				if text := u.describe(name, p, at); text != "" {
					property["description"] = text
				}
				properties[name] = property
			}
			s["properties"] = properties
		}
	case "array":
		s["type"] = "array"
		s["items"] = u.structural(n.Items, at)
	case "string", "boolean", "integer", "number":
		s["type"] = n.Type[0]
		if n.Format == "duration" {
			s["pattern"] = durationPattern
		}
		if len(n.Enum) > 0 {
			s["enum"] = n.Enum
			delete(s, "nullable") // the API server drops a null where there is an enum, even if the enum lists it
		}
	default:
		panic(fmt.Sprintf("no structural schema for the types %q", n.Type))
	}
	return s
}

// durationPattern is what istiod takes for a duration: what Go's time.ParseDuration does. Without a unit, it refuses
// the whole configuration of the mesh.
const durationPattern = `^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`

// describe is the description of a property: the comment of its field, else of its type, and which versions have it.
func (u *union) describe(name string, n *node, at place) string {
	if at.inKubernetes() > 0 {
		return ""
	}
	text := u.texts[at.definition+"."+name]
	if text == "" {
		of := n
		if of.Items != nil {
			of = of.Items
		}
		text = u.texts[strings.TrimPrefix(of.Ref, "#/definitions/")]
	}
	if text == "" {
		text = "Not documented by Istio."
	}
	for _, note := range []struct{ word, version string }{{"Since", n.since}, {"Until", n.until}} {
		if note.version != "" {
			if !strings.HasSuffix(text, ".") {
				text += "."
			}
			text += " " + note.word + " " + note.version + "."
		}
	}
	return text
}
