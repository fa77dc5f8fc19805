package release_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/release"
)

// Two spellings of one version in a charts directory: one of them wins without a word.
func TestBugVersionTwiceBySpelling(t *testing.T) {
	archive := tgz(t, file("istiod/Chart.yaml", chartYAML))
	for name, files := range map[string][]string{
		"directories": {"1.22.5/istiod/Chart.yaml", "v1.22.5/istiod/Chart.yaml"},
		"archives":    {"istiod-1.22.5.tgz", "istiod-v1.22.5.tgz"},
	} {
		dir := t.TempDir()
		for _, f := range files {
			write(t, filepath.Join(dir, f), archive)
		}
		if _, err := release.OpenDirectory(dir); err == nil {
			t.Errorf("%s: %v are the same version twice and must be an error", name, files)
		}
	}
}

// The way out for an alias names files that OpenDirectory would not recognize (istiod-1.21-latest.tgz).
func TestBugUnknownAliasNamesImpossibleFiles(t *testing.T) {
	_, err := entries("v1.23.2").Resolve("v1.21-latest", nil)
	if strings.Contains(message(err), "istiod-1.21-latest.tgz") {
		t.Errorf("no directory can have an archive of that name: %v", err)
	}
}

// What is wrong with an unpacked chart must say where, as it does for archives.
func TestBugUnpackedErrorWithoutDirectory(t *testing.T) {
	dir := unpacked(t, "1.22.5")
	write(t, filepath.Join(dir, "1.22.5", "istiod", "big"), strings.Repeat("x", 33<<20))
	_, err := entries().Resolve("v1.22.5", open(t, dir))
	want := "charts directory " + dir + ": 1.22.5/istiod: the chart has more than 32 MiB of files"
	if diff := cmp.Diff(want, message(err)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}
