package main

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"

	"sigs.k8s.io/yaml"
)

// chart is one of Istio's charts as far as its values matter here.
type chart struct {
	dir string
	// component is the value under which the chart's own settings are; since 1.24 the chart defaults and reads them
	// without that prefix ("any value under .pilot is copied to .").
	component string
}

// chartReader adds what a chart defaults or reads and the types do not tell.
type chartReader struct {
	*generator
	values string
	files  fs.FS
	// comments are those of the values.yaml being read, by path.
	comments map[string]string
}

// internal are keys that charts keep for themselves.
var internal = map[string]bool{"_internal_defaults_do_not_set": true, "_original": true, "defaults": true}

func (r chartReader) read(c chart) error {
	data, err := fs.ReadFile(r.files, c.dir+"/values.yaml")
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var defaults map[string]any
	if err := yaml.Unmarshal(data, &defaults); err != nil {
		return fmt.Errorf("values.yaml: %w", err)
	}
	for key := range internal {
		if inner, ok := defaults[key].(map[string]any); ok {
			defaults = inner
		}
	}
	r.comments = yamlComments(string(data))
	for key, value := range defaults {
		r.learn(c, []string{key}, value)
	}
	r.comments = nil
	return fs.WalkDir(r.files, c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !strings.Contains(path, "/templates/") && !strings.Contains(path, "/files/") {
			return nil
		}
		text, err := fs.ReadFile(r.files, path)
		if err != nil {
			return err
		}
		for _, expression := range reads.FindAllString(string(text), -1) {
			keys := strings.Split(parentheses.Replace(expression), ".")
			r.learn(c, keys[2:], nil) // "", "Values", then the path
		}
		return nil
	})
}

var (
	// reads matches .Values.a.b, ($.Values.a).b and the like.
	reads       = regexp.MustCompile(`\.Values(\)*\.[A-Za-z_]\w*)+`)
	parentheses = strings.NewReplacer("(", "", ")", "")
)

// learn makes the schema have the key at path, which the chart reads or has a default for (a nil default says nothing).
func (r chartReader) learn(c chart, path []string, value any) {
	if internal[path[0]] {
		return
	}
	at := r.values
	_, known := r.property(r.values, path[0])
	_, own := overlay["Values."+path[0]]
	component, _ := r.property(r.values, c.component)
	if path[0] == "cni" && c.component == "pilot" {
		known = false // in the flattened chart this is pilot.cni
	}
	if !known && !own {
		if component == nil {
			return
		}
		at = nameOf(component.Ref)
	}
	r.learnAt(at, path, value)
}

func (r chartReader) learnAt(definition string, path []string, value any) {
	n, ok := r.property(definition, path[0])
	if !ok {
		if strings.Contains(definition, ".") {
			return // Kubernetes' types and MeshConfig are complete
		}
		r.definitions[definition].Properties[path[0]] = r.guess(definition, path[0], len(path) > 1, value)
		if text := sentence(r.comments[path[0]]); text != "" {
			r.chartDocs[definition+"."+path[0]] = text
		}
		return
	}
	if n.Ref == "" {
		return // a map, a free object or a scalar: nothing to add below it
	}
	if len(path) > 1 {
		r.learnAt(nameOf(n.Ref), path[1:], value)
		return
	}
	if inner, ok := value.(map[string]any); ok {
		for key, v := range inner {
			r.learnAt(nameOf(n.Ref), []string{key}, v)
		}
	}
}

// property finds a property under either of its names and makes the schema accept the one that the charts use.
func (r chartReader) property(definition, key string) (*node, bool) {
	properties := r.definitions[definition].Properties
	if n, ok := properties[key]; ok {
		return n, true
	}
	if alias, ok := r.protoNames[definition][key]; ok {
		properties[key] = properties[alias]
		return properties[key], true
	}
	return nil, false
}

// guess is the schema of a key that no type has.
func (r chartReader) guess(definition, key string, hasChildren bool, value any) *node {
	for _, name := range []string{definition + "." + key, key} {
		if want, ok := overlay[name]; ok {
			return want(r.generator)
		}
	}
	if hasChildren {
		return freeObject()
	}
	return fromDefault(value)
}

// yamlComments returns the comment right above each key of a values.yaml, by key. Where a key occurs twice, the first
// comment stays: the text only explains keys that no type explains.
func yamlComments(text string) map[string]string {
	comments := map[string]string{}
	var above []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			above = append(above, strings.TrimPrefix(comment, " "))
			continue
		}
		if key, _, ok := strings.Cut(line, ":"); ok && len(above) > 0 && comments[key] == "" {
			comments[key] = strings.Join(above, "\n") + "\n"
		}
		above = nil
	}
	return comments
}

// fromDefault takes the type of a default value. An empty object, an empty list and null leave the rest open.
func fromDefault(value any) *node {
	switch value := value.(type) {
	case bool:
		return scalar("boolean")
	case string:
		return scalar("string")
	case float64:
		return scalar("number")
	case []any:
		return listOf(anything())
	case map[string]any:
		n := freeObject()
		for key, v := range value {
			if n.Properties == nil {
				n.Properties = props{}
			}
			n.Properties[key] = fromDefault(v)
		}
		return n
	default:
		return anything()
	}
}
