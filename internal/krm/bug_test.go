package krm_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
)

// A directory whose name starts with two dots is not the parent directory.
func TestBugTwoDotsInName(t *testing.T) {
	source := item{kind: "Istio", name: "default", path: "..mesh/istio.yaml", index: "0"}.object(t)
	fresh := item{name: "a", owner: "Istio/default", revision: "default"}.object(t)
	_, err := krm.Replace([]manifest.Object{source}, func(string) bool { return true },
		[]krm.Expansion{{Source: source, Owner: "Istio/default", Active: "default", Objects: []manifest.Object{fresh}}})
	if diff := cmp.Diff("", message(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Folded text that keeps its trailing lines (>+) grows by an empty line each time the library writes it, so a user's
// item changes with every run. Text in a style that does not survive could be written as a literal block.
func TestBugFoldedTextGrows(t *testing.T) {
	first := write(t, read(t, head+"items:\n- a: >+\n    x\n\n\n  b: c\n"))
	if diff := cmp.Diff(first, write(t, read(t, first))); diff != "" {
		t.Errorf("(-first +second)\n%s", diff)
	}
}
