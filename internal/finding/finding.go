// Package finding is what Lateen says about a resource: the one currency of everything that looks for mistakes. A KRM
// function makes results of findings, the controller conditions and events, a command lines of text.
//
// What is wrong is decided elsewhere; this package knows of no rule.
package finding

import (
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/exit"
)

// Severity is how much a finding matters.
type Severity string

// The severities. The words are those of a ResourceList's results.
const (
	// Error keeps a resource from being rendered.
	Error Severity = "error"
	// Warning is for a person to decide on; what is rendered is right without it.
	Warning Severity = "warning"
	// Info tells what was done.
	Info Severity = "info"
)

var rank = map[Severity]int{Error: 0, Warning: 1, Info: 2}

// Ref names a resource.
type Ref struct {
	APIVersion, Kind, Namespace, Name string
}

// String is how messages name a resource: "Istio/default".
func (r Ref) String() string { return r.Kind + "/" + r.Name }

// Finding is one thing that was found.
type Finding struct {
	Severity Severity
	// Message is a sentence for a person. If it is about a field, it usually begins with the field's path.
	Message string
	// Ref is the resource; zero for a finding about the call itself.
	Ref Ref
	// Field is the path of the field below the resource, such as spec.version or spec.values.env.0: names and indexes of
	// lists, with dots between them. Empty for the resource as a whole.
	Field string
	// Current is what the field says, and Suggestion what was probably meant; nil if that is not known.
	Current, Suggestion any
	// File is the path of the file that the resource was read from, as the caller knows it; empty if there is none. Index
	// counts the resources of the file.
	File  string
	Index int
	// Err is the error that the finding tells of, for programs that tell errors apart; nil for most.
	Err error
	// Raised says that it is a warning, of which option strict has made an error.
	Raised bool
}

// List are findings in the order in which they were found.
type List []Finding

// Add appends a finding and returns it, for the caller to add what is not known of every one. The pointer is good until
// the next call.
func (l *List) Add(f Finding) *Finding {
	*l = append(*l, f)
	return &(*l)[len(*l)-1]
}

// HasError reports whether one is an error.
func (l List) HasError() bool {
	return slices.ContainsFunc(l, func(f Finding) bool { return f.Severity == Error })
}

// Strictly makes errors of the warnings, if strict says so and nothing is wrong anyway.
func (l List) Strictly(strict bool) List {
	if !strict || l.HasError() {
		return l
	}
	out := slices.Clone(l)
	for i, f := range out {
		if f.Severity == Warning {
			out[i].Severity, out[i].Raised = Error, true
			out[i].Message += " (a warning, which option strict makes an error)"
		}
	}
	return out
}

// ExitCode is that of a program which has found the list.
func (l List) ExitCode() int {
	code := exit.OK
	for _, f := range l {
		switch {
		case f.Severity != Error:
		case !f.Raised:
			return exit.Wrong
		default:
			code = exit.Warnings
		}
	}
	return code
}

// Sort puts what matters most first, and leaves the order of what matters alike.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Finding) int { return rank[a.Severity] - rank[b.Severity] })
}

// Merge adds findings to others, each that is there already only once.
func (l List) Merge(more List) List {
	for _, f := range more {
		if !slices.ContainsFunc(l, f.same) {
			l = append(l, f)
		}
	}
	return l
}

// Of is an error about several resources, or about none in particular, as a finding; none if there is no error.
func Of(err error) List {
	if err == nil {
		return nil
	}
	return List{{Severity: Error, Message: err.Error()}}
}

// same reports whether two findings say the same: what the error is, the message says.
func (f Finding) same(other Finding) bool {
	f.Err, other.Err = nil, nil
	return reflect.DeepEqual(f, other) //nolint:govet // there are no errors in them now
}

// String is the finding in one line: where, which resource, what.
func (f Finding) String() string { return f.At(f.File) }

// At is String with another place, such as istio.yaml:3:5; empty for none.
func (f Finding) At(place string) string {
	var b strings.Builder
	if place != "" {
		b.WriteString(place + ": ")
	}
	if f.Severity != Error {
		b.WriteString(string(f.Severity) + ": ")
	}
	if f.Ref != (Ref{}) {
		b.WriteString(strings.TrimSuffix(f.Ref.String(), "/") + ": ")
	}
	b.WriteString(f.Message)
	return b.String()
}

// Err makes one error of the errors among findings, for callers that have one place for all of them. It is nil if there
// is none.
func (l List) Err() error {
	messages := l.Messages(Error)
	if len(messages) == 0 {
		return nil
	}
	return errors.New(strings.Join(messages, "; "))
}

// Messages are those of the findings of one severity.
func (l List) Messages(s Severity) []string {
	var out []string
	for _, f := range l {
		if f.Severity == s {
			out = append(out, f.Message)
		}
	}
	return out
}
