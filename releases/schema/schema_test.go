package main

import (
	"reflect"
	"strings"
	"testing"
)

func TestSentence(t *testing.T) {
	cases := map[string]struct{ reason, comment, want string }{
		"first":        {"one sentence is enough", "Hub to pull\nfrom. Default: x.\n", "Hub to pull from."},
		"paragraph":    {"the end of a paragraph ends a sentence without a period", "Name of\nit\n\nMore.\n", "Name of it"},
		"directives":   {"these are for other programs", "$hide_from_docs\n+optional\nThe name.\n", "The name."},
		"links":        {"kubectl explain shows no Markdown", "See [Envoy](https://x.y) for more.\n", "See Envoy for more."},
		"abbreviation": {"not every period ends a sentence", "A name, e.g. istiod. More.\n", "A name, e.g. istiod."},
		"version":      {"a period within a word ends nothing", "Since 1.28 only.\n", "Since 1.28 only."},
		"none":         {"no comment, no text", "", ""},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if have := sentence(tc.comment); have != tc.want {
				t.Errorf("%s: want %q, have %q", tc.reason, tc.want, have)
			}
		})
	}
	if have := sentence(strings.Repeat("word ", 100)); len([]rune(have)) > longest || !strings.HasSuffix(have, "word…") {
		t.Errorf("a long sentence is cut after a word, is %q", have)
	}
}

func TestReads(t *testing.T) {
	cases := map[string]struct{ reason, template, want string }{
		"plain":       {"the usual way", "{{ .Values.global.hub }}", "global.hub"},
		"root":        {"inside a with", "{{ $.Values.pilot.env }}", "pilot.env"},
		"parentheses": {"how templates guard against null", "{{ ((.Values.pilot).env).A }}", "pilot.env.A"},
		"values":      {"how charts guard against no values at all", "{{ ($.Values).profile }}", "profile"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			have := strings.TrimPrefix(parentheses.Replace(reads.FindString(tc.template)), ".Values.")
			if have != tc.want {
				t.Errorf("%s: want %q, have %q", tc.reason, tc.want, have)
			}
		})
	}
}

func TestYAMLComments(t *testing.T) {
	comments := yamlComments("a: 1\n# About\n# b.\nb: 2\n\n# Loose.\n\nc: 3\n  # Inner.\n  d: 4\n# Again.\nb: 5\n")
	want := map[string]string{"b": "About\nb.\n", "d": "Inner.\n"}
	for key, text := range want {
		if comments[key] != text {
			t.Errorf("want %q about %s, have %q", text, key, comments[key])
		}
	}
	if len(comments) != len(want) {
		t.Errorf("want comments on b and d, have %q", comments)
	}
}

// TestCorrectionsAreNeeded: a correction of a field that does not exist hides that the field was renamed.
func TestCorrectionsAreNeeded(t *testing.T) {
	g := newGenerator()
	g.define(reflect.TypeFor[istioValues]())
	for name := range corrections {
		definition, property, _ := strings.Cut(name, ".")
		if d, ok := g.definitions[definition]; ok && d.Properties[property] == nil {
			t.Errorf("%s has no %s", definition, property)
		}
	}
}
