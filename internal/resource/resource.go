// Package resource reads the resources of sailoperator.io/v1: one item at a time, strictly, into its Go type, with the
// options in its annotations. It knows where an item stands in a user's files, and what looks like one of the resources
// and is none. What becomes of them is the job of other packages.
package resource

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"
	strictjson "sigs.k8s.io/json"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// Resource is a resource of sailoperator.io/v1 that a user wrote, read strictly.
type Resource struct {
	// Object is the item it was read from.
	Object manifest.Object
	// One of these is set, according to the kind.
	Istio    *v1.Istio
	Revision *v1.IstioRevision
	Tag      *v1.IstioRevisionTag
	CNI      *v1.IstioCNI
	// Settings are the options that the resource's own annotations set.
	Settings Settings
}

// Name is "Istio/default": how messages and owner stamps name the resource.
func (r Resource) Name() string { return r.Object.Kind() + "/" + r.Object.ID().Name }

// IsResource tells whether an item is a resource of sailoperator.io of one of the kinds, and not itself generated. Only
// IstioRevisions ever are.
func IsResource(o manifest.Object, kinds ...string) bool {
	return slices.Contains(kinds, o.Kind()) && o.ID().Group == v1.GroupVersion.Group &&
		(o.Kind() != v1.KindIstioRevision || o.Annotation(manifest.AnnotationOwner) == "")
}

// IsRevision reports whether an item is an IstioRevision, whoever has written it.
func IsRevision(o manifest.Object) bool {
	return o.Kind() == v1.KindIstioRevision && o.ID().Group == v1.GroupVersion.Group
}

// Revisions are the IstioRevisions in a package that were generated for a resource.
func Revisions(items []manifest.Object, owner string) []manifest.Object {
	var out []manifest.Object
	for _, item := range items {
		if IsRevision(item) && item.Annotation(manifest.AnnotationOwner) == owner {
			out = append(out, item)
		}
	}
	return out
}

// Decode reads a resource. What is wrong with it is returned as findings of severity error, and resources that have any
// must not be rendered.
func Decode(o manifest.Object) (Resource, finding.List) {
	d := decoder{object: o}
	return d.decode(), d.findings
}

type decoder struct {
	object   manifest.Object
	findings finding.List
}

func (d *decoder) errorf(pointer []string, format string, args ...any) *finding.Finding {
	return d.findings.Add(Finding(d.object, finding.Error, pointer, fmt.Sprintf(format, args...)))
}

func (d *decoder) decode() Resource {
	o, kind := d.object, d.object.Kind()
	if wrong, found := MistakeIn(o, false); found {
		d.findings.Add(wrong)
		return Resource{Object: o}
	}
	tree, err := yamltree.Value(o.Node())
	if err != nil {
		d.errorf(nil, "%v", err)
		return Resource{Object: o}
	}
	r := Resource{Object: o}
	target := r.target()
	if target == nil {
		d.errorf(nil, "is no resource of %s", v1.GroupVersion)
		return r
	}
	d.check(nil, tree, reflect.TypeOf(target))
	top, _ := tree.(map[string]any) // FromNode has seen to it that it is one
	spec, _ := top["spec"].(map[string]any)
	if kind == v1.KindIstio || kind == v1.KindIstioRevision {
		d.checkValues(spec)
	}
	if len(d.findings) > 0 {
		return Resource{Object: o}
	}
	r.Settings, d.findings = SettingsOf(o)
	if kind != v1.KindIstioRevision && o.Annotation(manifest.AnnotationOwner) != "" {
		d.errorf([]string{"metadata", "annotations", manifest.AnnotationOwner},
			"annotation %s: no function generates an %s; remove it",
			manifest.AnnotationOwner, kind)
	}
	d.read(spec, target)
	return r
}

// target makes the value that a resource is read into, by its kind; nil for a kind that is not Lateen's.
func (r *Resource) target() validated {
	switch r.Object.Kind() {
	case v1.KindIstio:
		r.Istio = &v1.Istio{}
		return r.Istio
	case v1.KindIstioRevision:
		r.Revision = &v1.IstioRevision{}
		return r.Revision
	case v1.KindIstioRevisionTag:
		r.Tag = &v1.IstioRevisionTag{}
		return r.Tag
	case v1.KindIstioCNI:
		r.CNI = &v1.IstioCNI{}
		return r.CNI
	}
	return nil
}

// validated is a resource of api/v1.
type validated interface{ Validate() field.ErrorList }

// read reads the spec into the Go type and applies what the CRD would.
func (d *decoder) read(spec map[string]any, target validated) {
	id := d.object.ID()
	raw, err := json.Marshal(map[string]any{
		"apiVersion": d.object.APIVersion(), "kind": id.Kind, "metadata": map[string]any{"name": id.Name}, "spec": spec,
	})
	if err == nil {
		var strict []error
		strict, err = strictjson.UnmarshalStrict(raw, target)
		err = errors.Join(append(strict, err)...)
	}
	if err != nil {
		d.errorf([]string{"spec"}, "spec: %v", err)
		return
	}
	if t, ok := target.(interface{ Default() }); ok {
		t.Default()
	}
	for _, e := range target.Validate() {
		d.errorf(strings.Split(e.Field, "."), "%s", e.Error())
	}
	if id.Namespace != "" {
		w := Finding(d.object, finding.Warning, []string{"metadata", "namespace"}, fmt.Sprintf(
			"metadata.namespace is %q, but %s is cluster-scoped; what it installs goes to spec.namespace. A namespace: "+
				"in a kustomization would break the rendered objects the same way", id.Namespace, id.Kind))
		d.findings.Add(w)
	}
}

// Finding makes a finding about a field of a resource. pointer is the path of the field, list indexes as numbers; nil
// means the whole resource.
func Finding(o manifest.Object, severity finding.Severity, pointer []string, message string) finding.Finding {
	return about(o, finding.Finding{Severity: severity, Message: message, Field: strings.Join(pointer, ".")})
}

// About gives findings that name no resource with the reference and the place of one.
func About(o manifest.Object, list finding.List) finding.List {
	out := make(finding.List, len(list))
	for i, f := range list {
		out[i] = about(o, f)
	}
	return out
}

// Ref is how findings name a resource of sailoperator.io that need not be at hand.
func Ref(kind, name string) finding.Ref {
	return finding.Ref{APIVersion: v1.GroupVersion.String(), Kind: kind, Name: name}
}

// RefOf is how findings name an item.
func RefOf(o manifest.Object) finding.Ref {
	id := o.ID()
	return finding.Ref{APIVersion: o.APIVersion(), Kind: id.Kind, Namespace: id.Namespace, Name: id.Name}
}

func about(o manifest.Object, f finding.Finding) finding.Finding {
	f.Ref = RefOf(o)
	if p := o.Place(); p.File != "" {
		f.File, f.Index = p.File, p.Index
	} else if l := LocationOf(o); l.Path != "" {
		f.File, f.Index = l.Path, l.Index
	}
	return f
}

// Text is the text at a path of an item, or "".
func Text(o manifest.Object, path ...string) string { return yamltree.Text(o.Node(), path...) }

// JSON is a field of an item as JSON, {} if it is not there.
func JSON(o manifest.Object, path ...string) ([]byte, error) {
	n := o.Field(path...)
	if n == nil {
		return []byte("{}"), nil
	}
	v, err := yamltree.Value(n)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}
