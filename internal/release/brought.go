package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Directory is a directory of charts that the user brought: archives named as Helm names them
// (istiod-1.22.5.tgz, base-1.22.5.tgz, ...) or unpacked charts (1.22.5/istiod/..., v1.22.5/istiod/...).
type Directory struct {
	// name is what lists of versions and the origin of a release call it, and subject how a sentence about it begins.
	name, subject string

	fsys     fs.FS
	versions []string          // vX.Y.Z or master, ascending
	unpacked map[string]string // version -> directory
	packed   map[string]map[string]string
}

// ChartsError says that charts which the user brought cannot be used.
type ChartsError struct {
	// Version is the Istio version that they are of; empty if it is the directory itself that cannot be read.
	Version string
	// Err says what is wrong, and where.
	Err error
}

func (e *ChartsError) Error() string { return e.Err.Error() }

// Unwrap gives Err.
func (e *ChartsError) Unwrap() error { return e.Err }

// OpenDirectory looks for charts in a directory of the machine. Messages name it as the user did.
func OpenDirectory(name string) (*Directory, error) {
	if info, err := os.Stat(name); err != nil {
		return nil, &ChartsError{Err: fmt.Errorf("charts directory: %w", err)}
	} else if !info.IsDir() {
		return nil, &ChartsError{
			Err: fmt.Errorf("charts directory: %s is a file; give the directory that holds the charts", name),
		}
	}
	shown := filepath.ToSlash(name)
	return open(Directory{name: shown, subject: "charts directory " + shown, fsys: os.DirFS(name)})
}

// Open looks for charts in a file system, laid out as a directory is. name is what messages call it.
func Open(name string, fsys fs.FS) (*Directory, error) {
	return open(Directory{name: name, subject: name, fsys: fsys})
}

func open(d Directory) (*Directory, error) {
	if err := d.look(); err != nil {
		return nil, &ChartsError{Err: fmt.Errorf("%s%w", d.subject, err)}
	}
	return &d, nil
}

// look finds the versions. What is wrong is the end of a sentence about the directory.
func (d *Directory) look() error {
	entries, err := fs.ReadDir(d.fsys, ".")
	if err != nil {
		return fmt.Errorf(": %w", err)
	}
	d.unpacked, d.packed = map[string]string{}, map[string]map[string]string{}
	for _, e := range entries {
		if base, ok := strings.CutSuffix(e.Name(), ".tgz"); ok {
			for _, chart := range Charts {
				v, ok := versionOf(strings.TrimPrefix(base, chart+"-"))
				if !ok || !strings.HasPrefix(base, chart+"-") {
					continue
				}
				if d.packed[v] == nil {
					d.packed[v] = map[string]string{}
				}
				if other := d.packed[v][chart]; other != "" {
					return twice(v, other, e.Name())
				}
				d.packed[v][chart] = e.Name()
			}
			continue
		}
		if v, ok := versionOf(e.Name()); ok && (dirSource{d.fsys, e.Name()}).has("istiod") {
			if other := d.unpacked[v]; other != "" {
				return twice(v, other, e.Name())
			}
			d.unpacked[v] = e.Name()
		}
	}
	for v := range d.unpacked {
		d.versions = append(d.versions, v)
	}
	for _, v := range slices.Sorted(maps.Keys(d.packed)) {
		charts := d.packed[v]
		if dir, both := d.unpacked[v]; both {
			return twice(v, slices.Sorted(maps.Values(charts))[0], dir)
		}
		if charts["istiod"] != "" || charts["cni"] != "" {
			d.versions = append(d.versions, v)
		}
	}
	slices.SortFunc(d.versions, compare)
	return nil
}

func twice(version, a, b string) error {
	return fmt.Errorf(" has Istio %s twice, as %s and as %s; remove one of them", version, a, b)
}

// versionOf reads the version in a file name: 1.22.5, v1.22.5 or master.
func versionOf(s string) (string, bool) {
	if s == "master" {
		return s, true
	}
	s = strings.TrimPrefix(s, "v")
	_, err := semver.StrictNewVersion(s)
	return "v" + s, err == nil
}

// Versions lists the versions the directory has charts of, oldest first. A nil directory has none.
func (d *Directory) Versions() []string {
	if d == nil {
		return nil
	}
	return d.versions
}

func (d *Directory) has(version string) bool { return slices.Contains(d.Versions(), version) }

func (d *Directory) release(version string) (Release, error) {
	r := Release{Version: version, Origin: "from " + d.name}
	if dir, ok := d.unpacked[version]; ok {
		r.source = dirSource{d.fsys, dir}
	} else {
		charts := make(map[string][]File, len(d.packed[version]))
		for _, chart := range slices.Sorted(maps.Keys(d.packed[version])) {
			archive := d.packed[version][chart]
			files, err := unpack(d.fsys, archive, chart)
			if err != nil {
				return r, r.Fault(fmt.Errorf("%s: %s: %w", d.subject, archive, err))
			}
			charts[chart] = files
		}
		r.source = tgzSource(charts)
	}
	var err error
	if r.Digest, err = r.ComputedDigest(); err != nil {
		return r, r.Fault(fmt.Errorf("%s: %w", d.subject, err))
	}
	return r, nil
}

// tgzSource holds unpacked archives, by chart.
type tgzSource map[string][]File

func (s tgzSource) has(chart string) bool { return s.hasFile(chart, "Chart.yaml") }

func (s tgzSource) hasFile(chart, name string) bool {
	return slices.ContainsFunc(s[chart], func(f File) bool { return f.Name == name })
}

func (s tgzSource) names(chart, dir string) []string {
	var out []string
	for _, f := range s[chart] {
		if path.Dir(f.Name) == path.Clean(dir) {
			out = append(out, f.Name)
		}
	}
	return out
}

func (s tgzSource) chart(name string) ([]File, error) {
	if !s.has(name) {
		return nil, errNoChart
	}
	return s[name], nil
}

// unpack reads a chart archive as `helm package` writes it: every file below one directory with the chart's name.
func unpack(fsys fs.FS, archive, chart string) ([]File, error) {
	data, err := fs.ReadFile(fsys, archive)
	if err != nil {
		return nil, err
	}
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("not a gzip archive: %w", err)
	}
	var files []File
	seen := map[string]bool{}
	left := int64(maxChartBytes)
	for tr := tar.NewReader(zr); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("not a chart archive: %w", err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		name, ok := strings.CutPrefix(path.Clean(h.Name), chart+"/")
		if !ok {
			return nil, fmt.Errorf("%q is not below %s/, where a chart archive has its files", h.Name, chart)
		}
		content, err := io.ReadAll(io.LimitReader(tr, left+1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		if left -= int64(len(content)); left < 0 {
			return nil, errTooLarge
		}
		if seen[name] {
			return nil, fmt.Errorf("%s is in it twice", h.Name)
		}
		seen[name] = true
		files = append(files, File{Name: name, Data: content})
	}
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}
