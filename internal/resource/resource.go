// Package resource reads the resources of sailoperator.io/v1: one item at a time, strictly, into its Go type, with the
// options in its annotations. It knows where an item stands in a user's files, and what looks like one of the resources
// and is none. What becomes of them is the job of other packages.
package resource

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/values"
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

// specFields are the fields of each kind's spec and their JSON types. Values are checked elsewhere, against the schema
// of the Istio version that the resource asks for.
var specFields = map[string]map[string]string{
	v1.KindIstio: {
		"version": "string", "namespace": "string", "profile": "string", "updateStrategy": "object", "values": "object",
		"meshConfig": "object", "updateStrategy.type": "string",
		"updateStrategy.inactiveRevisionDeletionGracePeriodSeconds": "integer", "updateStrategy.updateWorkloads": "boolean",
	},
	v1.KindIstioRevision:    {"version": "string", "namespace": "string", "values": "object"},
	v1.KindIstioRevisionTag: {"targetRef": "object", "targetRef.kind": "string", "targetRef.name": "string"},
	v1.KindIstioCNI:         {"version": "string", "namespace": "string", "profile": "string", "values": "object"},
}

// instead says for fields that people bring along from elsewhere what to write.
var instead = map[string]string{
	"components": "spec.components belongs to IstioOperator; an Istio is the control plane only. Switch parts of it " +
		"with spec.values.<component>.enabled, install the CNI plugin with an IstioCNI resource, and gateways by gateway " +
		"injection or the Gateway API; migrate-istiooperator does all that",
	"hub": "spec.hub belongs to IstioOperator; write spec.values.global.hub",
	"tag": "spec.tag belongs to IstioOperator; spec.version selects the release, spec.values.global.tag only the " +
		"image tag",
	"revision": "spec.revision belongs to IstioOperator; the name of the Istio and spec.updateStrategy decide the " +
		"revision",
}

// insteadValues does the same below spec.values.
var insteadValues = map[string]string{
	"gateways": "spec.values.gateways: gateways are not part of an Istio resource; deploy them by gateway injection or " +
		"the Gateway API (https://istio.io/latest/docs/setup/additional-setup/gateway/)",
	"cni": "spec.values.cni: the CNI plugin is not part of an Istio resource; put this below spec.values.cni of an " +
		"IstioCNI. Whether this control plane uses the plugin is spec.values.pilot.cni.enabled",
	"ztunnel": "spec.values.ztunnel: ztunnel is not part of an Istio resource; install the chart ztunnel beside it",
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
	r := Resource{Object: o}
	if wrong, found := MistakeIn(o, false); found {
		d.findings.Add(wrong)
		return r
	}
	tree, err := yamltree.Value(o.Node())
	if err != nil {
		d.errorf(nil, "%v", err)
		return r
	}
	top, _ := tree.(map[string]any) // FromNode has seen to it that it is one
	for _, key := range sorted(top) {
		if !slices.Contains([]string{"apiVersion", "kind", "metadata", "spec", "status"}, key) {
			d.unknown([]string{key}, key, []string{"spec", "metadata", "status"})
		}
	}
	spec, ok := top["spec"].(map[string]any)
	if !ok && top["spec"] != nil {
		d.errorf([]string{"spec"}, "spec must be an object")
		return r
	}
	d.checkSpec(kind, spec)
	if len(d.findings) > 0 {
		return r
	}
	r.Settings, d.findings = SettingsOf(o)
	if kind != v1.KindIstioRevision && o.Annotation(manifest.AnnotationOwner) != "" {
		d.errorf([]string{"metadata", "annotations", manifest.AnnotationOwner},
			"annotation %s: no function generates an %s; remove it",
			manifest.AnnotationOwner, kind)
	}
	d.typed(&r, spec)
	return r
}

// typed reads the spec into the Go type and applies what the CRD would.
func (d *decoder) typed(r *Resource, spec map[string]any) {
	raw, err := json.Marshal(spec)
	if err != nil {
		d.errorf([]string{"spec"}, "spec: %v", err)
		return
	}
	id := r.Object.ID()
	meta := func(apiVersion, kind, name *string) {
		*apiVersion, *kind, *name = r.Object.APIVersion(), id.Kind, id.Name
	}
	var invalid field.ErrorList
	switch id.Kind {
	case v1.KindIstio:
		r.Istio = &v1.Istio{}
		meta(&r.Istio.APIVersion, &r.Istio.Kind, &r.Istio.Name)
		err = json.Unmarshal(raw, &r.Istio.Spec)
		r.Istio.Default()
		invalid = r.Istio.Validate()
	case v1.KindIstioRevision:
		r.Revision = &v1.IstioRevision{}
		meta(&r.Revision.APIVersion, &r.Revision.Kind, &r.Revision.Name)
		err = json.Unmarshal(raw, &r.Revision.Spec)
		invalid = r.Revision.Validate()
	case v1.KindIstioRevisionTag:
		r.Tag = &v1.IstioRevisionTag{}
		meta(&r.Tag.APIVersion, &r.Tag.Kind, &r.Tag.Name)
		err = json.Unmarshal(raw, &r.Tag.Spec)
		invalid = r.Tag.Validate()
	case v1.KindIstioCNI:
		r.CNI = &v1.IstioCNI{}
		meta(&r.CNI.APIVersion, &r.CNI.Kind, &r.CNI.Name)
		err = json.Unmarshal(raw, &r.CNI.Spec)
		r.CNI.Default()
		invalid = r.CNI.Validate()
	}
	for _, e := range invalid {
		d.errorf(strings.Split(e.Field, "."), "%s", e.Error())
	}
	if err != nil {
		d.errorf([]string{"spec"}, "spec: %v", err)
	}
	if id.Namespace != "" {
		w := Finding(r.Object, finding.Warning, []string{"metadata", "namespace"}, fmt.Sprintf(
			"metadata.namespace is %q, but %s is cluster-scoped; what it installs goes to spec.namespace. A namespace: "+
				"in a kustomization would break the rendered objects the same way", id.Namespace, id.Kind))
		d.findings.Add(w)
	}
}

func (d *decoder) checkSpec(kind string, spec map[string]any) {
	fields := specFields[kind]
	var walk func(prefix string, m map[string]any)
	walk = func(prefix string, m map[string]any) {
		for _, key := range sorted(m) {
			path := prefix + key
			pointer := append([]string{"spec"}, strings.Split(path, ".")...)
			want, known := fields[path]
			known = known && !strings.Contains(key, ".")
			switch {
			case !known && kind == v1.KindIstio && prefix == "" && instead[key] != "":
				d.errorf(pointer, "%s", instead[key])
			case !known && kind != v1.KindIstioRevisionTag && prefix == "" && isValue(kind, key):
				d.errorf(pointer, "spec.%[1]s: Helm values belong under spec.values; write spec.values.%[1]s", key).
					Suggestion = "spec.values." + key
			case !known:
				d.unknown(pointer, "spec."+path, below(fields, prefix))
			case m[key] == nil:
				delete(m, key) // a null is as good as absent
			case typeOf(m[key]) != want:
				d.errorf(pointer, "spec.%s: must be %s, is %s", path, article(want), article(typeOf(m[key]))).Current = m[key]
			case path == "updateStrategy", path == "targetRef":
				inner, _ := m[key].(map[string]any)
				walk(path+".", inner)
			}
		}
	}
	walk("", spec)
	if kind == v1.KindIstio || kind == v1.KindIstioRevision {
		d.checkValues(spec)
	}
}

// checkValues rejects values that belong to other resources.
func (d *decoder) checkValues(spec map[string]any) {
	v, _ := spec["values"].(map[string]any)
	for _, key := range sorted(v) {
		if insteadValues[key] != "" {
			d.errorf([]string{"spec", "values", key}, "%s", insteadValues[key])
		}
	}
}

// isValue tells whether a field that stands directly below spec is a top-level key of the Helm values.
func isValue(kind, key string) bool {
	if kind == v1.KindIstioCNI {
		return key == "cni" || key == "global"
	}
	return slices.Contains([]string{
		"global", "pilot", "base", "telemetry", "sidecarInjectorWebhook", "istiodRemote", "istio_cni",
		"revision", "revisionTags", "defaultRevision", "compatibilityVersion", "experimental", "ownerName",
	}, key)
}

func (d *decoder) unknown(pointer []string, path string, known []string) {
	r := d.errorf(pointer, "%s: unknown field", path)
	if best := values.Closest(pointer[len(pointer)-1], known); best != "" {
		r.Message += "; did you mean " + best + "?"
		r.Suggestion = best
	}
}

// below lists the field names directly below a prefix.
func below(fields map[string]string, prefix string) []string {
	var out []string
	for path := range fields {
		if rest, ok := strings.CutPrefix(path, prefix); ok && !strings.Contains(rest, ".") {
			out = append(out, rest)
		}
	}
	slices.Sort(out)
	return out
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

func typeOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "boolean"
	case string:
		return "string"
	case float64:
		if v == math.Trunc(v) {
			return "integer"
		}
		return "number"
	case []any:
		return "array"
	}
	return "object"
}

func article(t string) string {
	switch t {
	case "integer", "object", "array":
		return "an " + t
	case "null":
		return t
	}
	return "a " + t
}

func sorted(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

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
