// Package release is the catalogue of Istio releases: which versions there are, what their aliases stand for, which of
// them have reached their end of life, and where the files of their charts come from.
//
// Reading a chart file as a Helm chart is the job of package chart; what the values mean is the job of package values.
package release

import (
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"
)

// bundles holds one directory per bundled version, vX.Y.Z, with the charts in it. It is built by `make bundles` and is
// not part of the source tree; see README.md there.
//
//go:embed all:bundles
var bundles embed.FS

// schemas holds one JSON file per bundled version: the types of Istio's Helm values, as package values reads them.
//
//go:embed schemas/*.json
var schemas embed.FS

//go:embed catalogue.json
var catalogueJSON []byte

// Entry is one line of the catalogue.
type Entry struct {
	// Version is the Istio version with its leading v: v1.28.3.
	Version string `json:"version"`
	// Module is the pseudo-version of istio.io/istio that is this release. Its checksum is in releases/<version>.sum.
	Module string `json:"module"`
	// Digest is the digest of the bundled chart files, as Digest computes it.
	Digest string `json:"digest"`
	// Images are those that the charts run by default, for review: see Release.Images.
	Images []string `json:"images"`
}

// Catalogue lists the releases that Lateen knows.
type Catalogue struct {
	// DefaultVersion is the version of resources that name none. It is written by hand: adding a release does not
	// change it. A catalogue without it has the newest release that is not a pre-release.
	DefaultVersion string `json:"default"`
	// Releases in ascending order of version.
	Releases []Entry `json:"releases"`
	// EndOfLife maps a minor version ("1.23") to the month (YYYY-MM) its support ended: six weeks after the release
	// of the second following minor, which is Istio's support policy. A minor that is not listed counts as supported.
	// It is data and not a comparison with today's date, so that the same input renders the same way on every day.
	EndOfLife map[string]string `json:"endOfLife"`
}

// Bundled is the catalogue that is compiled in.
var Bundled = sync.OnceValue(func() *Catalogue {
	c := &Catalogue{}
	if err := json.Unmarshal(catalogueJSON, c); err != nil {
		panic("internal/release/catalogue.json: " + err.Error()) // a test reads the file; a build cannot pass with it broken
	}
	return c
})

// Release is one resolved Istio release: everything that says which charts are meant.
type Release struct {
	// Version is the full version: vX.Y.Z, or "master" for charts that the user brought under that name.
	Version string
	// Digest identifies the content of the charts. It has the form of Go's module sums (h1:...).
	Digest string
	// EndOfLife is the month (YYYY-MM) in which support of this minor ended, or empty.
	EndOfLife string
	// Origin says in words where the charts come from, for messages and for --version.
	Origin string

	source source
}

// originBundled is the Origin of the releases that are compiled in.
const originBundled = "bundled"

// File is one file of a chart, with its path relative to the chart's directory.
type File struct {
	Name string
	Data []byte
}

// Charts are the names under which a release may have charts.
var Charts = []string{"base", "cni", "istiod", "istiod-remote", "ztunnel"}

// Chart returns the files of one chart, ordered by name. A chart that the release does not have is an error that
// satisfies errors.Is(err, fs.ErrNotExist).
func (r Release) Chart(name string) ([]File, error) {
	files, err := r.source.chart(name)
	if errors.Is(err, fs.ErrNotExist) && r.Origin != originBundled {
		v := strings.TrimPrefix(r.Version, "v")
		return nil, r.Fault(fmt.Errorf(
			"chart %[1]s of Istio %[2]s (%[3]s): %[4]w; bring %[1]s-%[5]s.tgz or %[5]s/%[1]s as well",
			name, r.Version, r.Origin, err, v))
	}
	if err != nil {
		return nil, r.Fault(fmt.Errorf("chart %s of Istio %s (%s): %w", name, r.Version, r.Origin, err))
	}
	return files, nil
}

// Fault gives what is wrong with the charts of the release as a *ChartsError, if the user brought them. Bundled charts
// are the fault of nobody who could mend them.
func (r Release) Fault(err error) error {
	if err == nil || r.Origin == originBundled {
		return err
	}
	return &ChartsError{Version: r.Version, Err: err}
}

// Defaults returns the values.yaml of a bundled chart as JSON. It is nil for charts that the user brought: read their
// values.yaml.
func (r Release) Defaults(chart string) []byte {
	if r.Origin != originBundled {
		return nil
	}
	data, err := bundles.ReadFile(path.Join("bundles", r.Version, "defaults", chart+".json"))
	if err != nil {
		return nil
	}
	return data
}

// HasChart reports whether the release has a chart of that name.
func (r Release) HasChart(name string) bool { return r.source.has(name) }

// HasChartFile reports whether a chart of the release contains a file.
func (r Release) HasChartFile(chart, name string) bool { return r.source.hasFile(chart, name) }

// ChartFiles lists the files of a chart whose names begin with a prefix, such as files/profile-, in order.
func (r Release) ChartFiles(chart, prefix string) []string {
	var out []string
	for _, name := range r.source.names(chart, path.Dir(prefix)) {
		if strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}

// Before reports whether the release is older than a minor version such as 1.24. Pre-releases of that minor, and
// "master", are not before it.
func (r Release) Before(major, minor uint64) bool {
	v, err := semver.StrictNewVersion(strings.TrimPrefix(r.Version, "v"))
	if err != nil {
		return false
	}
	return v.Major() < major || v.Major() == major && v.Minor() < minor
}

// Schema returns the schema of the Helm values of this very version, and its name. For a version without one (charts
// the user brought) it is that of the nearest bundled version: the newest one that is not newer, else the oldest.
// It is nil if the binary was built without any.
func (r Release) Schema() (data []byte, of string) {
	if data, err := schemas.ReadFile("schemas/" + r.Version + ".json"); err == nil {
		return data, r.Version
	}
	entries := Bundled().Releases
	for i, e := range slices.Backward(entries) {
		if r.Version == "master" || i == 0 || compare(e.Version, r.Version) <= 0 {
			if data, err := schemas.ReadFile("schemas/" + e.Version + ".json"); err == nil {
				return data, e.Version
			}
		}
	}
	return nil, ""
}

// Default is the version an Istio without spec.version gets.
func (c *Catalogue) Default() string {
	if c.DefaultVersion != "" {
		return c.DefaultVersion
	}
	for _, e := range slices.Backward(c.Releases) {
		if !strings.Contains(e.Version, "-") {
			return e.Version
		}
	}
	return ""
}

// Versions lists the versions of the catalogue, oldest first.
func (c *Catalogue) Versions() []string {
	out := make([]string, len(c.Releases))
	for i, e := range c.Releases {
		out[i] = e.Version
	}
	return out
}

// ErrNoBundles says that the build has no charts of a version that it should have: `make bundles` was not run before.
var ErrNoBundles = errors.New("this build has no bundled charts")

// UnknownVersionError says that neither the catalogue nor the user's own charts have the version.
type UnknownVersionError struct {
	Version string
	// Bundled and Brought list what there is instead.
	Bundled, Brought []string
	// Charts is the directory that was searched as well, or empty.
	Charts string
}

func (e *UnknownVersionError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Istio %s is not bundled; bundled versions: %s", e.Version, strings.Join(e.Bundled, ", "))
	if e.Charts != "" {
		if len(e.Brought) == 0 {
			fmt.Fprintf(&b, "; %s has no charts", e.Charts)
		} else {
			fmt.Fprintf(&b, "; %s has: %s", e.Charts, strings.Join(e.Brought, ", "))
		}
	}
	v := strings.TrimPrefix(e.Version, "v")
	if minor, isAlias := strings.CutSuffix(v, "-latest"); isAlias { // any patch will do
		v = minor + ".x"
	}
	fmt.Fprintf(
		&b, ". Use one of these versions, or bring the charts: a directory with istiod-%[1]s.tgz and base-%[1]s.tgz,"+
			" or with %[1]s/istiod and %[1]s/base, given as --charts, LATEEN_CHARTS, the key charts of a ConfigMap"+
			" functionConfig or the annotation lateen.io/charts", v)
	return b.String()
}

// Available lists the versions that can be had: bundled ones, and those that the user brought (brought may be nil).
func (c *Catalogue) Available(brought *Directory) []string {
	return slices.Concat(c.Versions(), brought.Versions())
}

// Newest is the highest of some versions that belong to a minor version, pre-releases left out; empty if there is none.
func Newest(major, minor uint64, versions []string) string {
	return newest(fmt.Sprintf("v%d.%d", major, minor), versions)
}

// Resolve finds the release for a spec.version: empty for the default, vX.Y.Z, the alias vX.Y-latest, or master.
// Charts that the user brought (brought may be nil) win over bundled ones of the same version.
func (c *Catalogue) Resolve(version string, brought *Directory) (Release, error) {
	if version == "" {
		version = c.Default()
	}
	want := version
	if minor, ok := strings.CutSuffix(version, "-latest"); ok {
		want = newest(minor, c.Versions(), brought.Versions())
	}
	if brought.has(want) {
		return c.annotate(brought.release(want))
	}
	for _, e := range c.Releases {
		if e.Version != want {
			continue
		}
		src := dirSource{bundles, path.Join("bundles", want)}
		if !src.has("istiod") {
			return Release{}, fmt.Errorf("%w (Istio %s was asked for): build with `make build`, or bring the charts with "+
				"--charts", ErrNoBundles, want)
		}
		return c.annotate(Release{Version: want, Digest: e.Digest, Origin: originBundled, source: src}, nil)
	}
	err := &UnknownVersionError{Version: version, Bundled: c.Versions(), Brought: brought.Versions()}
	if brought != nil {
		err.Charts = brought.name
	}
	return Release{}, err
}

func (c *Catalogue) annotate(r Release, err error) (Release, error) {
	if v, e := semver.StrictNewVersion(strings.TrimPrefix(r.Version, "v")); e == nil {
		r.EndOfLife = c.EndOfLife[fmt.Sprintf("%d.%d", v.Major(), v.Minor())]
	}
	return r, err
}

// newest is the highest version of a minor ("v1.28") among the lists, without pre-releases; empty if there is none.
func newest(minor string, lists ...[]string) string {
	best := ""
	for _, list := range lists {
		for _, v := range list {
			if strings.HasPrefix(v, minor+".") && !strings.Contains(v, "-") && (best == "" || compare(v, best) > 0) {
				best = v
			}
		}
	}
	return best
}

// compare orders two versions by semantic versioning; what is not a version sorts last.
func compare(a, b string) int {
	va, errA := semver.StrictNewVersion(strings.TrimPrefix(a, "v"))
	vb, errB := semver.StrictNewVersion(strings.TrimPrefix(b, "v"))
	switch {
	case errA != nil && errB != nil:
		return strings.Compare(a, b)
	case errA != nil:
		return 1
	case errB != nil:
		return -1
	}
	return va.Compare(vb)
}

// errNoChart is what a source says about a chart it does not have.
var errNoChart = fmt.Errorf("%w", fs.ErrNotExist)

// source is where the files of one release's charts are read from: a directory (dirSource) or archives (tgzSource).
type source interface {
	has(chart string) bool
	hasFile(chart, name string) bool
	// names lists the files of a chart that are right in a directory of it.
	names(chart, dir string) []string
	chart(name string) ([]File, error)
}

// dirSource reads <dir>/<chart>/....
type dirSource struct {
	fsys fs.FS
	dir  string
}

func (s dirSource) has(chart string) bool { return s.hasFile(chart, "Chart.yaml") }

func (s dirSource) hasFile(chart, name string) bool {
	_, err := fs.Stat(s.fsys, path.Join(s.dir, chart, name))
	return err == nil
}

func (s dirSource) names(chart, dir string) []string {
	entries, err := fs.ReadDir(s.fsys, path.Join(s.dir, chart, dir))
	if err != nil {
		return nil // a chart without the directory has none of its files
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() {
			out = append(out, path.Join(dir, e.Name()))
		}
	}
	return out
}

func (s dirSource) chart(name string) ([]File, error) {
	if !s.has(name) {
		return nil, errNoChart
	}
	root := path.Join(s.dir, name)
	var files []File
	var total int64
	err := fs.WalkDir(s.fsys, root, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is not a regular file", p)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxChartBytes {
			return fmt.Errorf("%s: %w", root, errTooLarge)
		}
		data, err := fs.ReadFile(s.fsys, p)
		if total += int64(len(data)) - info.Size(); total > maxChartBytes { // a file system can be wrong about sizes
			return fmt.Errorf("%s: %w", root, errTooLarge)
		}
		files = append(files, File{Name: p[len(root)+1:], Data: data})
		return err
	})
	return files, err
}

// maxChartBytes bounds the unpacked size of one chart. Istio's largest has less than 1.5 MB.
const maxChartBytes = 32 << 20

var errTooLarge = errors.New("the chart has more than 32 MiB of files")

// NewerThan orders releases by their version; master is the newest of all.
func (r Release) NewerThan(other Release) bool { return Newer(r.Version, other.Version) }

// Newer reports whether version a is newer than b; what is no version, such as master, counts as newer than all.
func Newer(a, b string) bool { return compare(a, b) > 0 }
