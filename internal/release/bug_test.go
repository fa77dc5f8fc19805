package release_test

import (
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// With several broken archives (or several versions that are there twice), which one is named depends on the order of
// a Go map: the same trouble gives different messages. Iterate in sorted order.
func TestBugWhichBrokenArchiveIsNamed(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "istiod-1.22.5.tgz"), "broken")
	write(t, filepath.Join(dir, "base-1.22.5.tgz"), "broken")
	seen := map[string]bool{}
	for range 50 {
		_, err := entries().Resolve("v1.22.5", open(t, dir))
		seen[message(err)] = true
	}
	if diff := cmp.Diff(1, len(seen)); diff != "" {
		t.Errorf("number of different messages (-want +got)\n%s\n%v", diff, seen)
	}
}

// An archive with two entries of one name has two contents for it: tar would take the last, Helm's loader too, but
// Digest and HasChartFile see both. Reject it.
func TestBugEntryTwice(t *testing.T) {
	dir := t.TempDir()
	chart := file("istiod/Chart.yaml", chartYAML)
	write(t, filepath.Join(dir, "istiod-1.22.5.tgz"), tgz(t, chart, file("istiod/values.yaml", "a: 1"), file("istiod/values.yaml", "a: 2")))
	r, err := entries().Resolve("v1.22.5", open(t, dir))
	if err != nil {
		return
	}
	files, err := r.Chart("istiod")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("want an error, or one values.yaml; got %d files", len(files))
	}
}
