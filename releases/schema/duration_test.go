package main

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/golang/protobuf/jsonpb" //nolint:staticcheck // old, and what istiod reads its configuration with
	meshv1alpha1 "istio.io/api/mesh/v1alpha1"
)

// TestDurationsOfIstiod shows what istiod takes for a duration, by the parser that it has: what Lateen says about
// durations and what it proposes instead stands on this.
func TestDurationsOfIstiod(t *testing.T) {
	for _, c := range []struct {
		reason, json string
		takes        bool
	}{
		{"seconds", `"30s"`, true},
		{"a fraction", `"1.5s"`, true},
		{"minutes, which the newer parser of protobuf would refuse", `"1m"`, true},
		{"several units", `"5m30s"`, true},
		{"milliseconds", `"10ms"`, true},
		{"nothing needs no unit", `"0"`, true},
		{"zero with a unit", `"0s"`, true},
		{"the parser does not mind a sign", `"-5s"`, true},
		{"a number", `30`, false},
		{"zero as a number", `0`, false},
		{"a number in quotes", `"30"`, false},
		{"the last unit is missing", `"5m30"`, false},
		{"days", `"1d"`, false},
		{"spaces", `"30 s"`, false},
		{"nothing", `""`, false},
		{"a truth value", `true`, false},
	} {
		for _, field := range []string{
			`{"connectTimeout":%s}`, `{"defaultConfig":{"terminationDrainDuration":%s}}`,
			`{"tcpKeepalive":{"time":%s}}`,
		} {
			text := fmt.Sprintf(field, c.json)
			if !json.Valid([]byte(text)) {
				t.Fatal(text)
			}
			err := jsonpb.UnmarshalString(text, &meshv1alpha1.MeshConfig{})
			if have := err == nil; have != c.takes {
				t.Errorf("%s: %s is taken: %v (%v), want %v", c.reason, text, have, err, c.takes)
			}
		}
	}
}

// TestDurationsAreMarked: a field of the type has the format, whatever it is called; durations of other kinds have
// none.
func TestDurationsAreMarked(t *testing.T) {
	g := newGenerator()
	mesh := g.definitions[g.define(reflect.TypeFor[meshv1alpha1.MeshConfig]())]
	if have := mesh.Properties["connectTimeout"]; have.Format != "duration" {
		t.Errorf("connectTimeout has the schema %+v", have)
	}
	count := 0
	for name, d := range g.definitions {
		for key, p := range d.Properties {
			field, known := g.fields[name][key]
			if !known {
				continue
			}
			f, ok := field.parent.FieldByName(field.name)
			if isDuration := ok && strings.HasSuffix(f.Type.String(),
				"durationpb.Duration"); isDuration != (p.Format == "duration") {
				t.Errorf("%s.%s is a duration: %v, and has the schema %+v", name, key, isDuration, p)
			} else if isDuration {
				count++
			}
		}
	}
	if count < 10 {
		t.Errorf("MeshConfig has only %d durations", count)
	}
}

// TestTagsAreText: the types let a tag be a number, of which the charts print another one.
func TestTagsAreText(t *testing.T) {
	g := newGenerator()
	g.define(reflect.TypeFor[istioValues]())
	for name, d := range g.definitions {
		if tag := d.Properties["tag"]; tag != nil && (len(tag.Type) != 1 || tag.Type[0] != "string") {
			t.Errorf("%s.tag has the schema %+v", name, tag)
		}
	}
}
