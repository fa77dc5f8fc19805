package lateen

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// Error says why resources could not be rendered: something is wrong with at least one of them, or the charts that it
// asks for are not at hand. It unwraps to the Err of the findings that are errors, so that errors.As finds an
// *UnknownVersionError or a *ChartsError in it, and errors.Is finds ErrNoBundledCharts.
type Error struct {
	// Findings are all that there are; at least one is an error.
	Findings []Finding
}

// Error gives the errors, one a line.
func (e *Error) Error() string {
	var lines []string
	for _, f := range e.Findings {
		if f.Severity == SeverityError {
			lines = append(lines, f.String())
		}
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the Err of the findings that are errors and have one.
func (e *Error) Unwrap() []error {
	var out []error
	for _, f := range e.Findings {
		if f.Severity == SeverityError && f.Err != nil {
			out = append(out, f.Err)
		}
	}
	return out
}

// OptionError says that a field of Options has a value that it cannot have. Nothing has been read then.
type OptionError struct {
	// Field is the name of the field: KubeVersion.
	Field string
	// Value is what it says; of a list, the item that is wrong. It is empty for Charts.
	Value string
	// Err says what is wrong; for Charts it is a *ChartsError.
	Err error
}

// Error names the field, its value, and what is wrong.
func (e *OptionError) Error() string {
	if e.Field == "Charts" { // the error begins with the name
		return e.Err.Error()
	}
	return fmt.Sprintf("Options.%s: %q %v", e.Field, e.Value, e.Err)
}

// Unwrap gives Err.
func (e *OptionError) Unwrap() error { return e.Err }

// ParseError says that the input could not be read: it is not YAML, a document is no Kubernetes resource, or, for
// Transform, it is no ResourceList. Nothing has been rendered or written then.
type ParseError struct {
	// Document counts the YAML documents of the input, from 0, empty ones included.
	Document int
	// Line counts the lines of the whole input, from 1. It is 0 where the line is not known: the YAML library does not
	// say it of the first one.
	Line int
	// Err says what is wrong, its line included.
	Err error
}

// Error is what Err says.
func (e *ParseError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ParseError) Unwrap() error { return e.Err }

// UnknownVersionError says that a resource asks for an Istio version that is neither bundled nor among the charts that
// were brought. It is the Err of a finding.
type UnknownVersionError struct {
	// Version is what spec.version says: v1.21.0, or v1.21-latest.
	Version string
	// Bundled and Brought list the versions that there are instead, oldest first.
	Bundled, Brought []string
}

// Error lists what there is instead.
func (e *UnknownVersionError) Error() string {
	message := "Istio " + e.Version + " is not bundled; bundled versions: " + strings.Join(e.Bundled, ", ")
	if len(e.Brought) > 0 {
		message += "; brought: " + strings.Join(e.Brought, ", ")
	}
	return message
}

// ChartsError says that charts which the caller or a resource brought, by Options.Charts or the annotation
// lateen.io/charts, cannot be used. It is the Err of a finding, or in an *OptionError if the file system as a whole is
// wrong. Unwrapped, it is fs.ErrNotExist where a chart is missing, or what the file system says.
type ChartsError struct {
	// Version is the Istio version that they are of; empty if it is the file system or the directory as a whole.
	Version string
	// Err says what is wrong, and where.
	Err error
}

// Error is what Err says.
func (e *ChartsError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ChartsError) Unwrap() error { return e.Err }

// ErrNoBundledCharts says that a resource asks for a bundled version, and that the program was built without the
// bundled charts: `make bundles` was not run in the checkout. Versions tells it beforehand.
var ErrNoBundledCharts = release.ErrNoBundles

// cause is an error of the core in the types of this package.
func cause(err error) error {
	if e, ok := errors.AsType[*release.UnknownVersionError](err); ok {
		return &UnknownVersionError{Version: e.Version, Bundled: e.Bundled, Brought: e.Brought}
	}
	if e, ok := errors.AsType[*release.ChartsError](err); ok {
		return &ChartsError{Version: e.Version, Err: e.Err}
	}
	if e, ok := errors.AsType[*resource.ParseError](err); ok {
		return &ParseError{Document: e.Document, Line: e.Line, Err: e.Err}
	}
	return err
}
