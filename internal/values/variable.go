package values

import (
	"cmp"
	"fmt"
	"regexp"
	"strings"
)

// Variable is the first variable of Flux's substitution in a text, ${name} or ${name:-default}, and empty if there is
// none. Two dollars in front of the brace are how a text says that it means none.
func Variable(text string) string {
	for _, e := range Expressions(text) {
		dollars := strings.IndexByte(text[e.Start:e.End], '{')
		if expression := text[e.Start+dollars-1 : e.End]; dollars%2 == 1 && variable.MatchString(expression) {
			return expression
		}
	}
	return ""
}

// variable is what Flux takes for one: a name, with an operation behind it at most.
var variable = regexp.MustCompile(`^\$\{(#?[A-Za-z_][A-Za-z0-9_]*)([^A-Za-z0-9_}].*)?\}$`)

// Expression is a part of a text: dollars, a brace, and all up to the brace that closes it.
type Expression struct{ Start, End int }

// Expressions finds what has the form of a variable in a text, escaped or not. One that is not closed ends with its
// brace.
func Expressions(text string) []Expression {
	var out []Expression
	for at := 0; ; {
		brace := strings.Index(text[at:], "${")
		if brace < 0 {
			return out
		}
		brace += at + 1
		start := brace
		for start > at && text[start-1] == '$' {
			start--
		}
		at = closing(text, brace)
		out = append(out, Expression{start, at})
	}
}

// closing is where an expression ends whose brace is at a place: a default may have variables itself.
func closing(text string, brace int) int {
	depth := 0
	for i := brace; i < len(text); i++ {
		switch {
		case i == brace || text[i] == '{' && text[i-1] == '$':
			depth++
		case text[i] == '}':
			depth--
			if depth == 0 {
				return i + 1
			}
		case text[i] == '\n':
			return brace + 1 // an expression has one line
		}
	}
	return brace + 1
}

// Escape writes a text so that Flux's substitution gives it back as it is.
func Escape(text string) string {
	if !strings.Contains(text, "$$") && !strings.Contains(text, "${") {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); {
		run := i
		for run < len(text) && text[run] == '$' {
			run++
		}
		dollars := run - i
		if dollars == 0 {
			b.WriteByte(text[i])
			i++
			continue
		}
		if dollars > 1 || run < len(text) && text[run] == '{' {
			dollars *= 2
		}
		b.WriteString(strings.Repeat("$", dollars))
		i = run
	}
	return b.String()
}

// Variables lists the texts and keys among values that have a variable, in the order of keys, with the variable as
// message.
func Variables(v any, path string) []Problem {
	var out []Problem
	walk(v, place{path: path, pointer: strings.Split(path, ".")}, func(v any, at place) {
		text, _ := v.(string)
		if found := cmp.Or(Variable(at.pointer[len(at.pointer)-1]), Variable(text)); found != "" {
			out = append(out, at.problem(found))
		}
	})
	return out
}

// Walk visits values and all that is in them, in the order of keys. at is the place, a problem without a message.
func Walk(v any, path string, visit func(v any, at Problem)) {
	walk(v, place{path: path, pointer: strings.Split(path, ".")}, func(v any, at place) { visit(v, at.problem("")) })
}

// Below is the problem of a field of the one that p is about.
func (p Problem) Below(key, message string) Problem {
	return place{path: p.Path, pointer: p.Pointer}.key(key).problem(message)
}

// Item is the problem of an item of the list that p is about.
func (p Problem) Item(i int, message string) Problem {
	return place{path: p.Path, pointer: p.Pointer}.index(i).problem(message)
}

// walk visits values and all that is in them, in the order of keys.
func walk(v any, at place, visit func(v any, at place)) {
	visit(v, at)
	switch v := v.(type) {
	case map[string]any:
		for _, key := range sortedKeys(v) {
			walk(v[key], at.key(key), visit)
		}
	case []any:
		for i, item := range v {
			walk(item, at.index(i), visit)
		}
	}
}

// Texts are all texts and keys among values, one to a line.
func Texts(v any) string {
	var b strings.Builder
	walk(v, place{}, func(v any, at place) {
		if n := len(at.pointer); n > 0 {
			b.WriteString(at.pointer[n-1] + "\n")
		}
		if text, isText := v.(string); isText {
			b.WriteString(text + "\n")
		}
	})
	return b.String()
}

// FindVariable is where values set an environment variable to a value: below a key env, or in a list of named
// variables. It is nil if they do not.
func FindVariable(v map[string]any, name, value string) *Problem {
	var found *Problem
	walk(v, place{path: "spec.values", pointer: []string{"spec", "values"}}, func(v any, at place) {
		n := len(at.pointer)
		if found != nil || n < 4 {
			return
		}
		entry, _ := v.(map[string]any)
		inMap := at.pointer[n-1] == name && at.pointer[n-2] == "env" && scalarText(v) == value
		inList := strings.HasPrefix(at.pointer[n-2], "env") && entry["name"] == name &&
			scalarText(entry["value"]) == value
		if inMap || inList {
			p := at.problem("")
			found = &p
		}
	})
	return found
}

// scalarText is a value as the charts print it, and empty if it is none.
func scalarText(v any) string {
	switch v.(type) {
	case nil, map[string]any, []any:
		return ""
	}
	return fmt.Sprint(v)
}
