package resource

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/values"
)

// maxInteger is the largest number up to which JSON has all integers: 2^53-1.
const maxInteger = 1<<53 - 1

// check compares what was written with the Go type that it is to be read into: which fields there are, and of which
// type of JSON each is, only the Go type says. Values are checked elsewhere, against the schema of the Istio version
// that the resource asks for. A null is as good as absent, and taken away.
func (d *decoder) check(pointer []string, written any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	want, got := jsonType(t), typeOf(written)
	if want != "" && got != want && (want != "number" || got != "integer") {
		d.errorf(pointer, "%s: must be %s, is %s", strings.Join(pointer, "."), article(want), article(got)).Current = written
		return
	}
	if number, is := written.(float64); is && want == "integer" && math.Abs(number) > maxInteger {
		d.errorf(pointer, "%s: is too large: at most %d", strings.Join(pointer, "."), int64(maxInteger)).Current = written
		return
	}
	switch written := written.(type) {
	case []any:
		for i, item := range written {
			if want == "array" && item != nil {
				d.check(append(slices.Clip(pointer), strconv.Itoa(i)), item, t.Elem())
			}
		}
	case map[string]any:
		if t.Kind() == reflect.Struct && !isUnmarshaler(t) {
			d.checkFields(pointer, written, fieldsOf(t))
		}
	}
}

func (d *decoder) checkFields(pointer []string, written map[string]any, fields map[string]reflect.Type) {
	for _, key := range slices.Sorted(maps.Keys(written)) {
		inner := append(slices.Clip(pointer), key)
		t, known := fields[key]
		switch {
		case !known:
			d.unknown(inner, slices.Sorted(maps.Keys(fields)))
		case written[key] == nil:
			delete(written, key)
		case len(pointer) > 0 || key == "spec": // metadata and status are not read from here
			d.check(inner, written[key], t)
		}
	}
}

// unknown reports a field that there is not, with what to write instead if that can be told.
func (d *decoder) unknown(pointer, known []string) {
	kind, path, key := d.object.Kind(), strings.Join(pointer, "."), pointer[len(pointer)-1]
	belowSpec := len(pointer) == 2 && pointer[0] == "spec"
	switch {
	case belowSpec && kind == v1.KindIstio && instead[key] != "":
		d.errorf(pointer, "%s", instead[key])
	case belowSpec && kind != v1.KindIstioRevisionTag && isValue(kind, key):
		d.errorf(pointer, "%s: Helm values belong under spec.values; write spec.values.%s", path, key).
			Suggestion = "spec.values." + key
	default:
		r := d.errorf(pointer, "%s: unknown field", path)
		if best := values.Closest(key, known); best != "" {
			r.Message += "; did you mean " + best + "?"
			r.Suggestion = best
		}
	}
}

// fieldsOf are the fields that JSON knows of a struct, with the types that they are read into.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && f.Anonymous:
			maps.Copy(fields, fieldsOf(f.Type))
		case name != "" && name != "-":
			fields[name] = f.Type
		}
	}
	return fields
}

// jsonType is the type of JSON that a Go type is read from; "" if the type itself decides on that.
func jsonType(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[v1.Values]():
		return "object"
	case isUnmarshaler(t):
		return ""
	}
	switch t.Kind() {
	case reflect.Bool:
		return "boolean"
	case reflect.String:
		return "string"
	case reflect.Int, reflect.Int32, reflect.Int64:
		return "integer"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Slice:
		return "array"
	case reflect.Map, reflect.Struct:
		return "object"
	default:
		return ""
	}
}

func isUnmarshaler(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]())
}

// typeOf is the type of JSON that a value has.
func typeOf(v any) string {
	if v == nil {
		return "null"
	}
	return values.TypeOf(v)
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

// checkValues rejects values that belong to other resources.
func (d *decoder) checkValues(spec map[string]any) {
	v, _ := spec["values"].(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(v)) {
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
