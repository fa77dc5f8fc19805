package krm

import (
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	"github.com/lateen-io/lateen/internal/finding"
)

// tagSeverity is the tag of a result by which an error says that it was less before option strict.
const tagSeverity = "severity"

// results are findings as a ResourceList has them.
func results(findings finding.List) fn.Results {
	out := make(fn.Results, len(findings))
	for i, f := range findings {
		r := &fn.Result{Message: f.Message, Severity: fn.Severity(f.Severity)}
		if f.Ref != (finding.Ref{}) {
			r.ResourceRef = &fn.ResourceRef{
				APIVersion: f.Ref.APIVersion, Kind: f.Ref.Kind, Name: f.Ref.Name, Namespace: f.Ref.Namespace,
			}
		}
		if f.Field != "" {
			r.Field = &fn.Field{Path: f.Field, CurrentValue: f.Current, ProposedValue: f.Suggestion}
			r.Message = withoutPath(f)
		}
		if f.File != "" {
			r.File = &fn.File{Path: f.File, Index: f.Index}
		}
		if f.Raised {
			r.Tags = map[string]string{tagSeverity: string(finding.Warning)}
		}
		out[i] = r
	}
	return out
}

// withoutPath takes the path of the field off the beginning of a message. Whoever reads results has the field beside
// the message, and prints it before; in the one sentence of a terminal the path belongs to the message.
func withoutPath(f finding.Finding) string {
	path, message, ok := strings.Cut(f.Message, ": ")
	if !ok {
		return f.Message
	}
	path = strings.NewReplacer("[", ".", "]", "").Replace(path) // the field has the indexes of lists like names
	if path != f.Field && !strings.HasPrefix(f.Field, path+".") {
		return f.Message
	}
	return message
}
