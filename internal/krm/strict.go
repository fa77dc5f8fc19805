package krm

import (
	"maps"
	"slices"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	"github.com/lateen-io/lateen/internal/exit"
)

// tagSeverity is the tag of a result by which an error says that it was less before option strict.
const tagSeverity = "severity"

// Strictly makes the warnings errors, if strict says so and nothing is wrong anyway.
func Strictly(results fn.Results, strict bool) fn.Results {
	if !strict || HasError(results) {
		return results
	}
	out := make(fn.Results, len(results))
	for i, r := range results {
		if out[i] = r; r.Severity != fn.Warning {
			continue
		}
		c := *r
		c.Severity = fn.Error
		c.Message += " (a warning, which option strict makes an error)"
		if c.Tags = maps.Clone(r.Tags); c.Tags == nil {
			c.Tags = map[string]string{}
		}
		c.Tags[tagSeverity] = string(fn.Warning)
		out[i] = &c
	}
	return out
}

// ExitCode is that of a program which has found the results.
func ExitCode(results fn.Results) int {
	code := exit.OK
	for _, r := range results {
		switch {
		case r.Severity != fn.Error:
		case r.Tags[tagSeverity] == "":
			return exit.Wrong
		default:
			code = exit.Warnings
		}
	}
	return code
}

// HasError tells whether a result is an error.
func HasError(results fn.Results) bool {
	return slices.ContainsFunc(results, func(r *fn.Result) bool { return r.Severity == fn.Error })
}
