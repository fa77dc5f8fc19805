package lateen

import "github.com/lateen-io/lateen/internal/finding"

// Severity is how much a Finding matters.
type Severity string

// The severities, as they are in the results of a ResourceList.
const (
	// SeverityError keeps a resource from being rendered.
	SeverityError Severity = "error"
	// SeverityWarning is for a person to decide on; what is rendered is right without it.
	SeverityWarning Severity = "warning"
	// SeverityInfo tells what was done.
	SeverityInfo Severity = "info"
)

// Finding is one thing that was found about a resource.
type Finding struct {
	// Severity is how much it matters.
	Severity Severity
	// Message is a sentence for a person. If it is about a field, it usually begins with the field's path.
	Message string
	// APIVersion, Kind, Namespace and Name are those of the resource; all are empty for a finding about the call itself.
	APIVersion, Kind, Namespace, Name string
	// Field is the path of a field of the resource, such as spec.values.pilot.env: names and indexes of lists, with dots
	// between them. Empty for the resource as a whole.
	Field string
	// Current is what the field says, and Suggestion what was probably meant; nil if that is not known.
	Current, Suggestion any
	// File is the path of the file that the resource came from, by the annotations of kpt and kustomize on it.
	File string
	// Index is its place among the documents of the file.
	Index int
	// Err is the error that the finding tells of, where a program may want to tell it apart: an *UnknownVersionError, a
	// *ChartsError, or one that is ErrNoBundledCharts. It is nil for what is wrong with the resource itself.
	Err error
}

// String is the finding in one line: where, which resource, what.
func (f Finding) String() string {
	return finding.Finding{
		Severity: finding.Severity(f.Severity), Message: f.Message, File: f.File,
		Ref: finding.Ref{APIVersion: f.APIVersion, Kind: f.Kind, Namespace: f.Namespace, Name: f.Name},
	}.String()
}

func public(list finding.List) []Finding {
	var out []Finding
	for _, f := range list {
		out = append(out, Finding{
			Severity: Severity(f.Severity), Message: f.Message, Field: f.Field, Current: f.Current, Suggestion: f.Suggestion,
			APIVersion: f.Ref.APIVersion, Kind: f.Ref.Kind, Namespace: f.Ref.Namespace, Name: f.Ref.Name,
			File: f.File, Index: f.Index, Err: cause(f.Err),
		})
	}
	return out
}
