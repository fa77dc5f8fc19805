package finding_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/finding"
)

func TestStrictly(t *testing.T) {
	t.Parallel()
	const added = " (a warning, which option strict makes an error)"
	e, w := finding.Finding{Severity: finding.Error, Message: "e"}, finding.Finding{
		Severity: finding.Warning, Message: "w",
	}
	i := finding.Finding{Severity: finding.Info, Message: "i"}
	raised := finding.Finding{Severity: finding.Error, Message: "w" + added, Raised: true}
	for _, c := range []struct {
		reason     string
		have, want finding.List
		strict     bool
		exit       int
	}{
		{"nothing", nil, nil, true, exit.OK},
		{"not strict", finding.List{w, i}, finding.List{w, i}, false, exit.OK},
		{"warnings become errors, and nothing else", finding.List{w, i}, finding.List{raised, i}, true, exit.Warnings},
		{"a warning is left alone beside an error", finding.List{w, e}, finding.List{w, e}, true, exit.Wrong},
		{"an error counts more than one that was raised", finding.List{raised, e}, finding.List{raised, e}, true, exit.Wrong},
		{"information is no warning", finding.List{i}, finding.List{i}, true, exit.OK},
	} {
		before := append(finding.List(nil), c.have...)
		got := c.have.Strictly(c.strict)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(before, c.have); diff != "" {
			t.Errorf("%s: the list itself changed: -before +after:\n%s", c.reason, diff)
		}
		if got := got.ExitCode(); got != c.exit {
			t.Errorf("%s: exit code %d, want %d", c.reason, got, c.exit)
		}
	}
}

func TestAt(t *testing.T) {
	t.Parallel()
	ref := finding.Ref{APIVersion: "sailoperator.io/v1", Kind: "Istio", Name: "default"}
	for _, c := range []struct {
		reason, place, want string
		finding             finding.Finding
	}{
		{
			"an error says that much by being there", "", "Istio/default: m",
			finding.Finding{Severity: finding.Error, Ref: ref, Message: "m"},
		},
		{
			"others say what they are", "", "warning: Istio/default: m",
			finding.Finding{Severity: finding.Warning, Ref: ref, Message: "m"},
		},
		{
			"the place comes first", "a.yaml:1:2", "a.yaml:1:2: info: Istio/default: m",
			finding.Finding{Severity: finding.Info, Ref: ref, Message: "m"},
		},
		{
			"a resource without a name", "", "Istio: m",
			finding.Finding{Severity: finding.Error, Ref: finding.Ref{Kind: "Istio"}, Message: "m"},
		},
		{"about no resource", "", "m", finding.Finding{Severity: finding.Error, Message: "m"}},
	} {
		if got := c.finding.At(c.place); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
	if got, want := (finding.Finding{
		File: "a.yaml", Ref: ref, Message: "m",
		Severity: finding.Error,
	}).String(), "a.yaml: Istio/default: m"; got != want {
		t.Errorf("String: %q, want %q", got, want)
	}
}

// TestMerge: what several functions find is there once, also if a field has a value that cannot be compared by ==.
func TestMerge(t *testing.T) {
	t.Parallel()
	a, b := finding.Finding{Message: "a"}, finding.Finding{Message: "a", Current: map[string]any{"x": 1}}
	got := finding.List{a}.Merge(finding.List{b, a, b})
	if diff := cmp.Diff(finding.List{a, b}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestAdd: what is added to the finding that comes back is in the list.
func TestAdd(t *testing.T) {
	t.Parallel()
	var l finding.List
	l.Add(finding.Finding{Severity: finding.Info, Message: "a"}).Suggestion = "b"
	l.Add(finding.Finding{Severity: finding.Error, Message: "c"})
	l.Sort()
	want := finding.List{{Severity: finding.Error, Message: "c"}, {Severity: finding.Info, Message: "a", Suggestion: "b"}}
	if diff := cmp.Diff(want, l); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
