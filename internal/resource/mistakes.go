package resource

import (
	"fmt"
	"strings"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mistake"
)

// Mistakes finds the items of a package that look like resources of Lateen and are none that any function expands: the
// objects of what they were meant as would be taken for left over. migrates says that IstioOperators are expanded.
func Mistakes(items []manifest.Object, migrates bool) finding.List {
	around := mistake.Around{Migrates: migrates, Orphans: orphans(items)}
	var findings finding.List
	for _, item := range items {
		if isList(item) {
			if f, found := packed(item, around); found {
				findings.Add(f)
			}
			continue
		}
		if m := mistake.Of(identity(item), around); m != nil {
			findings.Add(mistaken(item, m))
		}
	}
	return findings
}

// MistakeIn is what is wrong with one item by itself, if anything is. A functionConfig is one.
func MistakeIn(item manifest.Object, migrates bool) (f finding.Finding, found bool) {
	i := identity(item)
	i.Local = false // kustomize marks a functionConfig so
	if m := mistake.Of(i, mistake.Around{Migrates: migrates}); m != nil {
		return mistaken(item, m), true
	}
	return finding.Finding{}, false
}

func mistaken(item manifest.Object, m *mistake.Mistake) finding.Finding {
	severity := finding.Error
	if m.Warning {
		severity = finding.Warning
	}
	if m.Field == "" {
		return Finding(item, severity, nil, m.Message)
	}
	r := Finding(item, severity, []string{m.Field}, m.Message)
	r.Current = m.Current
	if m.Suggestion != "" {
		r.Suggestion = m.Suggestion
	}
	return r
}

// identity is what tells a mistake from what is nobody's business.
func identity(item manifest.Object) mistake.Item {
	return mistake.Item{
		APIVersion: item.APIVersion(), Kind: item.Kind(), Name: item.ID().Name,
		Marked: marked(item), Local: item.Annotation(AnnotationLocalConfig) == "true",
	}
}

// marked reports whether a person has written something about Lateen on an item. What is generated has such labels and
// annotations as well, beside the name of its owner.
func marked(item manifest.Object) bool {
	if item.Annotation(manifest.AnnotationOwner) != "" {
		return false
	}
	for _, field := range []string{"annotations", "labels"} {
		n := item.Field("metadata", field)
		if n == nil || n.Kind != yaml.MappingNode {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if strings.HasPrefix(n.Content[i].Value, OptionPrefix) {
				return true
			}
		}
	}
	return false
}

// orphans finds the owners that generated items name and that are not there. It looks when it is first asked.
func orphans(items []manifest.Object) func(owner string) bool {
	var missing map[string]bool
	return func(owner string) bool {
		if missing == nil {
			missing = map[string]bool{}
			for _, item := range items {
				if o := item.Annotation(manifest.AnnotationOwner); o != "" {
					missing[o] = true
				}
			}
			for _, item := range items {
				if item.ID().Group == v1.GroupVersion.Group {
					delete(missing, item.Kind()+"/"+item.ID().Name)
				}
			}
		}
		return missing[owner]
	}
}

// isList reports whether an item is the List that kubectl get prints.
func isList(item manifest.Object) bool { return item.Kind() == "List" && item.APIVersion() == "v1" }

// packed is the mistake of a List with resources in it, or in a List in it, that a function would have to see.
func packed(list manifest.Object, around mistake.Around) (f finding.Finding, found bool) {
	i, found := buried(list, around)
	if !found {
		return f, false
	}
	return Finding(list, finding.Error, []string{"kind"},
		fmt.Sprintf("kind: %s/%s is in a List, which is opened in a file that is given with -f, but "+
			"not in a package: write it as a document of its own", i.Kind, i.Name)), true
}

// buried is the first resource in a List, however deep, that a function would have to see.
func buried(list manifest.Object, around mistake.Around) (i mistake.Item, found bool) {
	for _, n := range contents(list) {
		o, err := manifest.FromNode(n)
		if err != nil {
			continue // somebody else's to complain about
		}
		if isList(o) {
			if i, found := buried(o, around); found {
				return i, true
			}
			continue
		}
		i := identity(o)
		group, _, _ := strings.Cut(i.APIVersion, "/")
		if m := mistake.Of(i, around); m == nil && group != v1.GroupVersion.Group {
			continue
		}
		return i, true
	}
	return mistake.Item{}, false
}

// contents are the items of a List.
func contents(list manifest.Object) []*yaml.Node {
	n := list.Field("items")
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}
