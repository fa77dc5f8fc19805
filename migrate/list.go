package migrate

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// List is the KRM function: it adds to a list what its IstioOperators become. These are the user's from then on:
// nothing marks them as generated, and one that is in the package already is left as it is. The IstioOperator stays, as
// a resource that is not applied any more. On an error the items are what they were. An IstioOperator and the
// functionConfig can set options as well.
func List(in *krm.List, options resource.Settings) *krm.List {
	out := *in
	out.Config = nil
	l := lister{items: slices.Clone(in.Items), used: map[string]bool{}}
	work, fromConfig, findings := workOf(in)
	options = fromConfig.Over(options)
	strict := options.Strict()
	l.findings = slices.Concat(findings, resource.Mistakes(in.Items, true))
	for _, o := range in.Items {
		if p := resource.LocationOf(o).Path; p != "" {
			l.used[path.Clean(p)] = true
		}
	}
	if !l.findings.HasError() {
		for _, o := range work {
			l.add(o, options[OptionVersion])
			strict = strict || IsStrict(o)
		}
	}
	if out.Findings = l.findings.Strictly(strict); !out.Findings.HasError() {
		out.Items = l.items
	}
	return &out
}

// workOf finds out from the functionConfig which items are to be migrated, and the options that it sets.
func workOf(in *krm.List) ([]manifest.Object, resource.Settings, finding.List) {
	var work []manifest.Object
	for _, o := range in.Items {
		if IsOperator(o) {
			work = append(work, o)
		}
	}
	switch config := in.Config; {
	case config == nil:
		return work, nil, nil
	case IsOperator(*config): // kustomize's generator; the item itself may be in the list as well
		if i := slices.IndexFunc(work, func(o manifest.Object) bool { return o.ID() == config.ID() }); i >= 0 {
			return work[i : i+1], nil, nil
		}
		return []manifest.Object{*config}, nil, nil
	case config.Kind() == "ConfigMap":
		options, findings := resource.SettingsOfConfig(Options, *config)
		return work, options, findings
	default:
		if wrong, found := resource.MistakeIn(*config, true); found {
			return nil, nil, finding.List{wrong}
		}
		return nil, nil, finding.List{{
			Severity: finding.Error,
			Message: fmt.Sprintf("functionConfig is a %s %q; migrate-istiooperator takes an IstioOperator, "+
				"or a ConfigMap with the option %s", config.Kind(), config.ID().Name, OptionVersion),
		}}
	}
}

// lister puts what IstioOperators become among the items.
type lister struct {
	items    []manifest.Object
	findings finding.List
	used     map[string]bool // paths of files
	// fresh are the resources of this run, by what they are, with the IstioOperator that they come from.
	fresh []origin
}

type origin struct {
	object, from manifest.Object
}

func (l *lister) add(operator manifest.Object, version string) {
	out := Operator(operator, version)
	if out.Findings.HasError() {
		l.findings = append(l.findings, out.Findings...)
		return
	}
	var added []manifest.Object
	var said finding.List
	for _, o := range out.Objects {
		more, isNew := l.judge(o, operator)
		said = append(said, more...)
		if isNew {
			added = append(added, o)
		}
	}
	if len(out.Objects) > 0 && len(added) == 0 && !said.HasError() { // done before: nothing to say about the rest
		l.findings = append(l.findings, said...)
		l.retire(operator)
		return
	}
	l.findings = append(append(l.findings, out.Findings...), said...)
	for _, o := range added {
		if err := l.place(o, operator); err != nil {
			l.findings = append(l.findings, resource.Finding(operator, finding.Error, nil, err.Error()))
			return
		}
		l.fresh = append(l.fresh, origin{o, operator})
		l.items = append(l.items, o)
	}
	l.retire(operator)
}

// judge reports whether a resource is to be added, and what there is to say.
func (l *lister) judge(o, operator manifest.Object) (said finding.List, isNew bool) {
	id := o.ID()
	if i := slices.IndexFunc(l.fresh, func(f origin) bool { return f.object.ID() == id }); i >= 0 {
		if id.Kind == v1.KindIstioCNI && yamltree.Equal(l.fresh[i].object.Field("spec"), o.Field("spec")) {
			return nil, false
		}
		return finding.List{resource.Finding(operator, finding.Error, nil,
			fmt.Sprintf("two IstioOperators, %s and %s, both become %s %s; a package has one of each. Merge them "+
				"into one, or give each control plane a revision", l.fresh[i].from.ID().Name, operator.ID().Name, id.Kind,
				id.Name))}, false
	}
	for _, item := range l.items {
		if item.ID() == id {
			return finding.List{resource.Finding(operator, finding.Info, nil,
				fmt.Sprintf("%s/%s is in the package already%s and was left as it is; remove it to migrate again",
					id.Kind, id.Name, inFile(item)))}, false
		}
	}
	return nil, true
}

func inFile(o manifest.Object) string {
	if p := resource.LocationOf(o).Path; p != "" {
		return " (" + p + ")"
	}
	return ""
}

// retire marks an IstioOperator as one that is not applied any more.
func (l *lister) retire(operator manifest.Object) {
	for i, item := range l.items {
		if item.Node() != operator.Node() || item.Annotation(resource.AnnotationLocalConfig) == "true" {
			continue
		}
		item = item.Copy()
		item.SetAnnotation(resource.AnnotationLocalConfig, "true")
		l.items[i] = item
		l.findings = append(l.findings,
			resource.Finding(operator, finding.Info, []string{"metadata", "annotations"},
				"the IstioOperator stays in the package as "+
					`config.kubernetes.io/local-config: "true": it is not applied any more. Delete its file when you need it no more`))
	}
}

// place gives a resource a file beside that of its IstioOperator, if the package is one of files.
func (l *lister) place(o, operator manifest.Object) error {
	source := resource.LocationOf(operator).Path
	if source == "" {
		return nil
	}
	if !filepath.IsLocal(filepath.FromSlash(source)) {
		return fmt.Errorf("the IstioOperator is in %s, which is outside the package", source)
	}
	base := map[string]string{v1.KindIstio: "istio", v1.KindIstioCNI: "istiocni"}[o.Kind()]
	if name := o.ID().Name; name != "default" {
		base += "-" + name
	}
	p := path.Join(path.Dir(source), base+".yaml")
	for i := 2; l.used[p]; i++ {
		p = path.Join(path.Dir(source), fmt.Sprintf("%s-%d.yaml", base, i))
	}
	l.used[p] = true
	o.SetAnnotation(resource.AnnotationIndex, "0")
	o.SetAnnotation(resource.AnnotationPath, p)
	return nil
}
