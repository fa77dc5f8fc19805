package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// node is a schema. The zero node accepts anything; an object without additionalProperties is a free one.
type node struct {
	Ref        string           `json:"$ref,omitempty"`
	Type       types            `json:"type,omitempty"`
	Format     string           `json:"format,omitempty"`
	Enum       []string         `json:"enum,omitempty"`
	Items      *node            `json:"items,omitempty"`
	Additional *additional      `json:"additionalProperties,omitempty"`
	Properties map[string]*node `json:"properties,omitempty"`
}

// types is one JSON type or several.
type types []string

// MarshalJSON writes a single type as a string, as people do.
func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// additional is the schema of an object's other properties; without one, there are none.
type additional struct{ *node }

// MarshalJSON writes false for an object that is closed.
func (a additional) MarshalJSON() ([]byte, error) {
	if a.node == nil {
		return []byte("false"), nil
	}
	return json.Marshal(a.node)
}

func anything() *node          { return &node{} }
func scalar(t ...string) *node { return &node{Type: t} }
func freeObject() *node        { return scalar("object") }
func listOf(items *node) *node { return &node{Type: types{"array"}, Items: items} }

// duration is a google.protobuf.Duration: text with a unit. Durations of other types are plain text: what reads them
// has rules of its own.
func duration() *node    { return &node{Type: types{"string"}, Format: "duration"} }
func quantity() *node    { return scalar("number", "string") }
func intOrString() *node { return scalar("integer", "string") }
func stringMap() *node   { return mapOf(scalar("string")) }

func mapOf(values *node) *node {
	return &node{Type: types{"object"}, Additional: &additional{values}}
}

func closed(p props) *node {
	return &node{Type: types{"object"}, Additional: &additional{}, Properties: p}
}

func refTo(name string) string { return definitionsPrefix + name }
func nameOf(ref string) string { return strings.TrimPrefix(ref, definitionsPrefix) }

func pointerTo[T any]() reflect.Type { return reflect.TypeFor[*T]() }

type props = map[string]*node

const definitionsPrefix = "#/definitions/"

// wellKnown are the types whose JSON is not that of their Go fields.
var wellKnown = map[reflect.Type]func() *node{
	pointerTo[wrapperspb.BoolValue]():   func() *node { return scalar("boolean") },
	pointerTo[wrapperspb.StringValue](): func() *node { return scalar("string") },
	pointerTo[wrapperspb.BytesValue]():  func() *node { return scalar("string") },
	pointerTo[wrapperspb.Int32Value]():  func() *node { return scalar("integer") },
	pointerTo[wrapperspb.Int64Value]():  func() *node { return scalar("integer") },
	pointerTo[wrapperspb.UInt32Value](): func() *node { return scalar("integer") },
	pointerTo[wrapperspb.UInt64Value](): func() *node { return scalar("integer") },
	pointerTo[wrapperspb.FloatValue]():  func() *node { return scalar("number") },
	pointerTo[wrapperspb.DoubleValue](): func() *node { return scalar("number") },
	pointerTo[durationpb.Duration]():    duration,
	pointerTo[timestamppb.Timestamp]():  func() *node { return scalar("string") },
	pointerTo[structpb.Struct]():        freeObject,
	pointerTo[structpb.ListValue]():     func() *node { return listOf(anything()) },
	pointerTo[structpb.Value]():         anything,
	pointerTo[anypb.Any]():              anything,

	pointerTo[resource.Quantity]():    quantity,
	pointerTo[intstr.IntOrString]():   intOrString,
	pointerTo[metav1.Time]():          func() *node { return scalar("string") },
	pointerTo[metav1.MicroTime]():     func() *node { return scalar("string") },
	pointerTo[metav1.Duration]():      func() *node { return scalar("string") },
	pointerTo[metav1.FieldsV1]():      freeObject,
	pointerTo[runtime.RawExtension](): freeObject,
}

// wellKnownMessages are Istio's own stand-ins for such types, by name because every Istio version has its own.
var wellKnownMessages = map[string]func() *node{
	"IntOrString": intOrString,
	// The protobuf says map<string,string> and string; the charts copy them into a Pod, where 0.5 and 2 are
	// quantities as good as "500m".
	"Resources": func() *node {
		return closed(props{"limits": mapOf(quantity()), "requests": mapOf(quantity())})
	},
	"ResourcesRequestsConfig": func() *node { return closed(props{"cpu": quantity(), "memory": quantity()}) },
}

// generator walks Go types; every struct becomes a definition.
type generator struct {
	definitions map[string]*node
	// goTypes tells where the comments of a definition are, protoNames how a property is called in the .proto file
	// where that differs (jsonpb reads both names, and charts read either).
	goTypes    map[string]reflect.Type
	protoNames map[string]map[string]string
	// fields tells which Go field a property is, by definition and property.
	fields map[string]map[string]goField
	// chartDocs are the comments that charts have on keys which no type has, by "Definition.property".
	chartDocs map[string]string
}

// goField says where the comment of a property is.
type goField struct {
	parent reflect.Type
	name   string
}

func newGenerator() *generator {
	return &generator{
		definitions: map[string]*node{},
		goTypes:     map[string]reflect.Type{},
		protoNames:  map[string]map[string]string{},
		fields:      map[string]map[string]goField{},
		chartDocs:   map[string]string{},
	}
}

// define returns the name of the definition of a struct type, adding it first if need be. A definition exists before
// its fields are looked at, so types may refer to themselves.
func (g *generator) define(t reflect.Type) string {
	name := definitionName(t)
	if _, done := g.definitions[name]; done {
		return name
	}
	n := closed(props{})
	g.definitions[name] = n
	g.goTypes[name] = t
	g.protoNames[name] = map[string]string{}
	g.fields[name] = map[string]goField{}
	if message, ok := reflect.TypeAssert[proto.Message](reflect.New(t)); ok {
		g.message(name, t, message.ProtoReflect())
	} else {
		g.goStruct(name, t)
	}
	return name
}

// definitionName is stable across Istio versions: the values have no prefix, MeshConfig and Kubernetes have theirs.
func definitionName(t reflect.Type) string {
	parts := strings.Split(t.PkgPath(), "/")
	if slices.Contains(parts, "istio") && slices.Contains(parts, "operator") {
		return t.Name()
	}
	n := len(parts)
	return parts[n-2] + "." + parts[n-1] + "." + t.Name()
}

// message adds the fields of a protobuf message; what is no field of the Go struct is a member of a oneof.
func (g *generator) message(name string, t reflect.Type, m protoreflect.Message) {
	for f := range t.Fields() {
		if tag, ok := f.Tag.Lookup("protobuf"); ok {
			g.field(name, tag, t, f)
		}
	}
	oneofs := m.Descriptor().Oneofs()
	for i := range oneofs.Len() {
		if oneofs.Get(i).IsSynthetic() {
			continue
		}
		fields := oneofs.Get(i).Fields()
		for j := range fields.Len() {
			// Set the member, then look at the struct that the Go interface field holds.
			holder := m.New()
			holder.Set(fields.Get(j), holder.NewField(fields.Get(j)))
			v := reflect.ValueOf(holder.Interface()).Elem()
			for k := range t.NumField() {
				if t.Field(k).Tag.Get("protobuf_oneof") != string(oneofs.Get(i).Name()) {
					continue
				}
				wrapper := v.Field(k).Elem().Elem().Type()
				g.field(name, wrapper.Field(0).Tag.Get("protobuf"), wrapper, wrapper.Field(0))
			}
		}
	}
}

func (g *generator) field(definition, tag string, parent reflect.Type, f reflect.StructField) {
	var protoName, jsonName string
	for part := range strings.SplitSeq(tag, ",") {
		if v, ok := strings.CutPrefix(part, "name="); ok {
			protoName = v
		}
		if v, ok := strings.CutPrefix(part, "json="); ok {
			jsonName = v
		}
	}
	if jsonName == "" {
		jsonName = protoName
	}
	if protoName != jsonName {
		g.protoNames[definition][protoName] = jsonName
	}
	g.add(definition, jsonName, parent, f)
}

func (g *generator) add(definition, property string, parent reflect.Type, f reflect.StructField) {
	n := g.node(f.Type)
	correct, ok := corrections[definition+"."+property]
	if !ok && len(n.Type) == 1 && n.Type[0] == "object" && n.Properties == nil && n.Additional == nil {
		correct, ok = corrections[property] // free objects only
	}
	if ok {
		n = correct(g)
	}
	if property == "tag" && len(n.Type) == 0 {
		n = scalar("string") // the type lets a number be a tag, and the charts print 1.20 as 1.2
	}
	if property == "env" && n.Type != nil && n.Type[0] == "object" && n.Properties == nil {
		n = stringMap() // the charts write every entry into an EnvVar's value, which is a string
	}
	g.definitions[definition].Properties[property] = n
	g.fields[definition][property] = goField{parent: parent, name: f.Name}
}

// goStruct adds the fields of a plain Go struct as encoding/json sees them.
func (g *generator) goStruct(definition string, t reflect.Type) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && (f.Anonymous || strings.Contains(options, "inline")):
			embedded := f.Type
			if embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			g.goStruct(definition, embedded)
		case name != "":
			g.add(definition, name, t, f)
		}
	}
}

func (g *generator) node(t reflect.Type) *node {
	pointer := t
	if t.Kind() != reflect.Pointer {
		pointer = reflect.PointerTo(t)
	}
	if known, ok := wellKnown[pointer]; ok {
		return known()
	}
	if enum, ok := reflect.TypeAssert[protoreflect.Enum](reflect.Zero(t)); ok {
		n := scalar("string")
		values := enum.Descriptor().Values()
		for i := range values.Len() {
			n.Enum = append(n.Enum, string(values.Get(i).Name()))
		}
		return n
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.node(t.Elem())
	case reflect.Struct:
		return g.structure(t)
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return scalar("string") // base64
		}
		return listOf(g.node(t.Elem()))
	case reflect.Map:
		if t.Name() == "ResourceList" {
			return mapOf(quantity())
		}
		return mapOf(g.node(t.Elem()))
	case reflect.String:
		return scalar("string")
	case reflect.Bool:
		return scalar("boolean")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return scalar("integer")
	case reflect.Float32, reflect.Float64:
		return scalar("number")
	case reflect.Interface:
		return anything()
	default:
		panic(fmt.Sprintf("no schema for Go type %s", t))
	}
}

func (g *generator) structure(t reflect.Type) *node {
	if known, ok := wellKnownMessages[definitionName(t)]; ok {
		return known()
	}
	return &node{Ref: refTo(g.define(t))}
}

// root is the definition with only the properties that keep wants.
func (g *generator) root(definition string, keep func(string) bool) *node {
	n := closed(props{})
	for key, p := range g.definitions[definition].Properties {
		if keep(key) {
			n.Properties[key] = p
		}
	}
	return n
}

// reachable returns the definitions that the roots need.
func (g *generator) reachable(roots map[string]*node) map[string]*node {
	found := map[string]*node{}
	var visit func(*node)
	visit = func(n *node) {
		if n == nil {
			return
		}
		if n.Ref != "" {
			name := nameOf(n.Ref)
			if _, seen := found[name]; !seen {
				found[name] = g.definitions[name]
				visit(g.definitions[name])
			}
			return
		}
		visit(n.Items)
		if n.Additional != nil {
			visit(n.Additional.node)
		}
		for _, p := range n.Properties {
			visit(p)
		}
	}
	for _, n := range roots {
		visit(n)
	}
	return found
}
