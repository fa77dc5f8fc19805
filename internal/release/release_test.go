package release_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/release"
)

// entries makes a catalogue of versions.
func entries(versions ...string) *release.Catalogue {
	c := &release.Catalogue{EndOfLife: map[string]string{"1.22": "2024-12", "1.23": "2025-04"}}
	for _, v := range versions {
		c.Releases = append(c.Releases, release.Entry{Version: v, Digest: "h1:recorded"})
	}
	return c
}

func TestResolve(t *testing.T) {
	bundled := entries("v1.23.2", "v1.24.0", "v1.24.2", "v1.28.3")
	cases := map[string]struct {
		reason    string
		catalogue *release.Catalogue
		brought   []string // versions of unpacked charts
		version   string
		want      release.Release // without its source
	}{
		"default": {
			reason:    "no version means the newest of the catalogue",
			catalogue: bundled, version: "",
			want: release.Release{Version: "v1.28.3", Digest: "h1:recorded", Origin: "bundled"},
		},
		"default is stable": {
			reason:    "a pre-release is never what somebody gets who did not ask for it",
			catalogue: entries("v1.24.2", "v1.28.3-rc.1"), version: "",
			want: release.Release{Version: "v1.24.2", Digest: "h1:recorded", Origin: "bundled"},
		},
		"default ignores brought charts": {
			reason:    "a newer version in a directory must not upgrade the control planes that name none",
			catalogue: bundled, brought: []string{"1.30.0"}, version: "",
			want: release.Release{Version: "v1.28.3", Digest: "h1:recorded", Origin: "bundled"},
		},
		"exact": {
			reason:    "the version that is asked for, and its end of life",
			catalogue: bundled, version: "v1.23.2",
			want: release.Release{Version: "v1.23.2", Digest: "h1:recorded", Origin: "bundled", EndOfLife: "2025-04"},
		},
		"alias": {
			reason:    "-latest is the newest patch of the minor, not the newest release",
			catalogue: bundled, version: "v1.24-latest",
			want: release.Release{Version: "v1.24.2", Digest: "h1:recorded", Origin: "bundled"},
		},
		"alias compares numbers": {
			reason:    "patch 10 is newer than patch 9",
			catalogue: entries(), brought: []string{"1.22.9", "1.22.10"}, version: "v1.22-latest",
			want: release.Release{Version: "v1.22.10", Origin: "brought", EndOfLife: "2024-12"},
		},
		"alias is not a prefix": {
			reason:    "v1.2 is another minor than v1.28",
			catalogue: bundled, brought: []string{"1.2.1"}, version: "v1.2-latest",
			want: release.Release{Version: "v1.2.1", Origin: "brought"},
		},
		"alias takes brought charts in": {
			reason:    "a newer patch that the user brought is the latest one",
			catalogue: bundled, brought: []string{"1.24.3"}, version: "v1.24-latest",
			want: release.Release{Version: "v1.24.3", Origin: "brought"},
		},
		"alias without pre-releases": {
			reason:    "a pre-release of the next patch is not the latest patch",
			catalogue: bundled, brought: []string{"1.24.3-rc.0"}, version: "v1.24-latest",
			want: release.Release{Version: "v1.24.2", Digest: "h1:recorded", Origin: "bundled"},
		},
		"pre-release by name": {
			reason:    "who names a pre-release gets it",
			catalogue: bundled, brought: []string{"1.24.3-rc.0"}, version: "v1.24.3-rc.0",
			want: release.Release{Version: "v1.24.3-rc.0", Origin: "brought"},
		},
		"brought wins": {
			reason:    "own charts of a bundled version are there to replace it",
			catalogue: bundled, brought: []string{"1.23.2"}, version: "v1.23.2",
			want: release.Release{Version: "v1.23.2", Origin: "brought", EndOfLife: "2025-04"},
		},
		"master": {
			reason:    "master is a version like others, but without a minor and so without an end of life",
			catalogue: bundled, brought: []string{"master"}, version: "master",
			want: release.Release{Version: "master", Origin: "brought"},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var brought *release.Directory
			if len(tc.brought) > 0 {
				brought = open(t, unpacked(t, tc.brought...))
			}
			got, err := tc.catalogue.Resolve(tc.version, brought)
			if err != nil {
				t.Fatal(err)
			}
			seen := release.Release{Version: got.Version, Digest: got.Digest, Origin: got.Origin, EndOfLife: got.EndOfLife}
			if strings.HasPrefix(seen.Origin, "from ") {
				seen.Origin, seen.Digest = "brought", "" // the digest of the charts at hand is a test of its own
			}
			if diff := cmp.Diff(tc.want, seen, cmp.AllowUnexported(release.Release{})); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestResolveUnknown(t *testing.T) {
	dir, empty := unpacked(t, "1.22.5", "v1.9.10"), t.TempDir()
	const ways = ". Use one of these versions, or bring the charts: a directory with istiod-1.21.0.tgz and " +
		"base-1.21.0.tgz, or with 1.21.0/istiod and 1.21.0/base, given as --charts, LATEEN_CHARTS, the key charts of a " +
		"ConfigMap functionConfig or the annotation lateen.io/charts"
	cases := map[string]struct {
		reason    string
		catalogue *release.Catalogue
		charts    string
		version   string
		want      string
		unknown   bool
	}{
		"bundled only": {
			reason:    "lists what there is, and both ways out",
			catalogue: entries("v1.23.2", "v1.28.3"), version: "v1.21.0", unknown: true,
			want: "Istio v1.21.0 is not bundled; bundled versions: v1.23.2, v1.28.3" + ways,
		},
		"bundled and brought": {
			reason:    "what the directory has belongs to what there is, in the order of versions",
			catalogue: entries("v1.23.2"), charts: dir, version: "v1.21.0", unknown: true,
			want: "Istio v1.21.0 is not bundled; bundled versions: v1.23.2; " + dir + " has: v1.9.10, v1.22.5" + ways,
		},
		"empty directory": {
			reason:    "a wrong directory is a likely mistake, so it is named",
			catalogue: entries("v1.23.2"), charts: empty, version: "v1.21.0", unknown: true,
			want: "Istio v1.21.0 is not bundled; bundled versions: v1.23.2; " + empty + " has no charts" + ways,
		},
		"alias": {
			reason:    "the way out names files that OpenDirectory would find: a patch, not the alias",
			catalogue: entries("v1.23.2"), version: "v1.21-latest", unknown: true,
			want: "Istio v1.21-latest is not bundled; bundled versions: v1.23.2" +
				strings.ReplaceAll(ways, "1.21.0", "1.21.x"),
		},
		"build without bundles": {
			reason:    "a version of the catalogue whose bundle is missing is a fault of the build, not of the user's input",
			catalogue: entries("v9.9.9"), version: "v9.9.9",
			want: "this build has no bundled charts (Istio v9.9.9 was asked for): build with `make build`, or bring the " +
				"charts with --charts",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var brought *release.Directory
			if tc.charts != "" {
				brought = open(t, tc.charts)
			}
			_, err := tc.catalogue.Resolve(tc.version, brought)
			if diff := cmp.Diff(tc.want, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if unknown := new(*release.UnknownVersionError); errors.As(err, unknown) != tc.unknown {
				t.Errorf("%s: UnknownVersionError: want %v, got %T", tc.reason, tc.unknown, err)
			}
		})
	}
}

func TestCompare(t *testing.T) {
	cases := []struct {
		reason      string
		newer, than string
	}{
		{"patch by number", "v1.24.10", "v1.24.9"},
		{"a release is newer than its pre-release", "v1.24.0", "v1.24.0-rc.1"},
		{"a pre-release is newer than the release before", "v1.25.0-alpha.0", "v1.24.9"},
		{"master is the newest of all", "master", "v99.0.0"},
	}
	for _, tc := range cases {
		newer, than := release.Release{Version: tc.newer}, release.Release{Version: tc.than}
		if !newer.NewerThan(than) || than.NewerThan(newer) || newer.NewerThan(newer) {
			t.Errorf("%s: %s must be newer than %s, and never the other way round", tc.reason, tc.newer, tc.than)
		}
	}
	before := []struct {
		reason, version string
		want            bool
	}{
		{"an older minor", "v1.23.9", true},
		{"the minor itself", "v1.24.0", false},
		{"a pre-release has the charts of its minor", "v1.24.0-alpha.0", false},
		{"the minor counts, not the digits", "v1.9.0", true},
		{"a newer major", "v2.0.0", false},
		{"master is newest", "master", false},
	}
	for _, tc := range before {
		if got := (release.Release{Version: tc.version}).Before(1, 24); got != tc.want {
			t.Errorf("%s: %s before 1.24: want %v, got %v", tc.reason, tc.version, tc.want, got)
		}
	}
}

func TestSchema(t *testing.T) {
	cases := []struct{ reason, version, want string }{
		{"its own", "v1.24.0", "v1.24.0"},
		{"the newest that is not newer", "v1.24.1", "v1.24.0"},
		{"across minors", "v1.27.9", "v1.27.0"},
		{"older than all: the oldest", "v1.22.5", "v1.23.2"},
		{"newer than all: the newest", "v1.99.0", "v1.28.3"},
		{"master: the newest", "master", "v1.28.3"},
	}
	for _, tc := range cases {
		data, of := release.Release{Version: tc.version}.Schema()
		if of != tc.want || !json.Valid(data) {
			t.Errorf("%s: schema of %s: want that of %s, got that of %q with %d bytes", tc.reason, tc.version, tc.want, of,
				len(data))
		}
	}
}

// TestCatalogue holds what is recorded against what is there, for every release.
func TestCatalogue(t *testing.T) {
	c := release.Bundled()
	versions := c.Versions()
	if !slices.IsSortedFunc(c.Releases, func(a, b release.Entry) int {
		if (release.Release{Version: a.Version}).NewerThan(release.Release{Version: b.Version}) {
			return 1
		}
		return -1
	}) {
		t.Errorf("the catalogue must be in ascending order: %v", versions)
	}
	for _, e := range c.Releases {
		t.Run(e.Version, func(t *testing.T) {
			r, err := c.Resolve(e.Version, nil)
			if err != nil {
				t.Fatal(err)
			}
			digest, err := r.ComputedDigest()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(e.Digest, digest); diff != "" {
				t.Errorf("the recorded digest must be that of the embedded charts (-recorded +computed)\n%s", diff)
			}
			if _, of := r.Schema(); of != e.Version {
				t.Errorf("a bundled version has a schema of its own, this one has that of %q", of)
			}
			for _, chart := range []string{"base", "cni", "istiod", "ztunnel"} {
				if !r.HasChart(chart) {
					t.Errorf("the bundle has no chart %s", chart)
				}
			}
			if got, want := r.HasChart("istiod-remote"), r.Before(1, 24); got != want {
				t.Errorf("istiod-remote is a chart up to 1.23: want %v, got %v", want, got)
			}
			checkModfile(t, strings.TrimPrefix(e.Version, "v"), e.Module)
		})
	}
	for _, dir := range []struct{ glob, suffix string }{
		{"schemas/*.json", ".json"}, {"../../releases/*.mod", ".mod"}, {"bundles/v*", ""},
	} {
		files, err := filepath.Glob(dir.glob)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			v := "v" + strings.TrimPrefix(strings.TrimSuffix(filepath.Base(f), dir.suffix), "v")
			if v != "vgo" && !slices.Contains(versions, v) {
				t.Errorf("%s belongs to no release of the catalogue", f)
			}
		}
	}
}

// checkModfile holds releases/<version>.mod and .sum against the catalogue.
func checkModfile(t *testing.T, version, module string) {
	t.Helper()
	mod, err := os.ReadFile(filepath.Join("..", "..", "releases", version+".mod"))
	if err != nil {
		t.Fatal(err)
	}
	var pinned []string
	for line := range strings.Lines(string(mod)) {
		line, _, _ = strings.Cut(line, "//")
		if f := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require ")); len(f) == 2 &&
			f[0] == "istio.io/istio" {
			pinned = append(pinned, f[1])
		}
		if strings.HasPrefix(line, "replace") {
			t.Errorf("%s.mod must not replace modules: %s", version, line)
		}
	}
	if diff := cmp.Diff([]string{module}, pinned); diff != "" {
		t.Errorf("%s.mod must pin the module of the catalogue (-want +got)\n%s", version, diff)
	}
	sum, err := os.ReadFile(filepath.Join("..", "..", "releases", version+".sum"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"istio.io/istio " + module + " h1:", "istio.io/istio " + module + "/go.mod h1:"} {
		if !strings.Contains("\n"+string(sum), "\n"+want) {
			t.Errorf("%s.sum has no line %s...", version, want)
		}
	}
}

func TestChart(t *testing.T) {
	r, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Chart("istiod")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.IsSortedFunc(files, func(a, b release.File) int { return strings.Compare(a.Name, b.Name) }) {
		t.Error("the files of a chart are ordered by name")
	}
	for file, want := range map[string]bool{
		"Chart.yaml": true, "files/profile-ambient.yaml": true, "files/profile-default.yaml": false,
	} {
		if got := r.HasChartFile("istiod", file); got != want {
			t.Errorf("istiod has %s: want %v, got %v", file, want, got)
		}
	}
	_, err = r.Chart("istiod-remote")
	if !errors.Is(err, fs.ErrNotExist) ||
		message(err) != "chart istiod-remote of Istio v1.28.3 (bundled): file does not exist" {
		t.Errorf("a missing chart is fs.ErrNotExist and says of which release: %v", err)
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
