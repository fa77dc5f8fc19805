package release_test

import (
	"archive/zip"
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/release"
)

// text is a file of an fstest.MapFS.
func text(content string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(content)} }

// TestOpen: charts in a file system of any kind are those of a directory, and messages call it by its name.
func TestOpen(t *testing.T) {
	archive := tgz(t, file("istiod/Chart.yaml", chartYAML))
	link := fstest.MapFS{"1.22.5/istiod/Chart.yaml": text(chartYAML)}
	link["1.22.5/istiod/values.yaml"] = &fstest.MapFile{Data: []byte("/etc/passwd"), Mode: fs.ModeSymlink}
	cases := map[string]struct {
		reason string
		fsys   fs.FS
		want   []string // the names of the files of istiod
		err    string
	}{
		"unpacked": {
			reason: "directories by version",
			fsys:   fstest.MapFS{"1.22.5/istiod/Chart.yaml": text(chartYAML), "1.22.5/istiod/values.yaml": text("")},
			want:   []string{"Chart.yaml", "values.yaml"},
		},
		"archives": {
			reason: "named as Helm names them",
			fsys:   fstest.MapFS{"istiod-1.22.5.tgz": text(archive)},
			want:   []string{"Chart.yaml"},
		},
		"zip": {
			reason: "a zip archive is a file system",
			fsys:   zipped(t, map[string]string{"v1.22.5/istiod/Chart.yaml": chartYAML}),
			want:   []string{"Chart.yaml"},
		},
		"directory of the machine": {
			reason: "os.DirFS reads what OpenDirectory reads",
			fsys:   os.DirFS(unpacked(t, "1.22.5")),
			want:   []string{"Chart.yaml"},
		},
		"nothing in it": {
			reason: "the file system of the wrong directory is a likely mistake",
			fsys:   fstest.MapFS{"charts/1.22.5/istiod/Chart.yaml": text(chartYAML)},
			err:    "Istio v1.22.5 is not bundled; bundled versions: ; Options.Charts has no charts",
		},
		"twice": {
			reason: "nobody could tell which one was rendered",
			fsys:   fstest.MapFS{"istiod-1.22.5.tgz": text(archive), "1.22.5/istiod/Chart.yaml": text(chartYAML)},
			err:    "Options.Charts has Istio v1.22.5 twice, as istiod-1.22.5.tgz and as 1.22.5; remove one of them",
		},
		"not there": {
			reason: "os.DirFS does not look until it is asked",
			fsys:   os.DirFS(filepath.Join(t.TempDir(), "none")),
			err:    "Options.Charts: open .: no such file or directory",
		},
		"broken archive": {
			reason: "the archive is named, and where it is",
			fsys:   fstest.MapFS{"istiod-1.22.5.tgz": text("broken")},
			err:    "Options.Charts: istiod-1.22.5.tgz: not a gzip archive: unexpected EOF",
		},
		"link": {
			reason: "a chart must not bring files from elsewhere into the output",
			fsys:   link,
			err:    "Options.Charts: 1.22.5/istiod/values.yaml is not a regular file",
		},
		"too large": {
			reason: "the limit of directories",
			fsys: fstest.MapFS{
				"1.22.5/istiod/Chart.yaml": text(chartYAML), "1.22.5/istiod/a": text(string(make([]byte, 33<<20))),
			},
			err: "Options.Charts: 1.22.5/istiod: the chart has more than 32 MiB of files",
		},
		"wrong about its size": {
			reason: "what counts is what is read",
			fsys: small{fstest.MapFS{
				"1.22.5/istiod/Chart.yaml": text(chartYAML), "1.22.5/istiod/a": text(string(make([]byte, 33<<20))),
			}},
			err: "Options.Charts: 1.22.5/istiod: the chart has more than 32 MiB of files",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			names, err := namesIn(tc.fsys)
			if got := message(err); tc.err == "" && got != "" || !strings.HasPrefix(got, tc.err) {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, cmp.Diff(tc.err, got))
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// namesIn lists the files of the chart istiod of v1.22.5 in a file system.
func namesIn(fsys fs.FS) ([]string, error) {
	d, err := release.Open("Options.Charts", fsys)
	if err != nil {
		return nil, err
	}
	r, err := entries().Resolve("v1.22.5", d)
	if err != nil {
		return nil, err
	}
	files, err := r.Chart("istiod")
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	return names, err
}

// zipped is a zip archive of files.
func zipped(t *testing.T, files map[string]string) fs.FS {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for name, content := range files {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := zip.NewReader(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// small is a file system whose directories say of every file that it has one byte.
type small struct{ fstest.MapFS }

func (s small) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := s.MapFS.ReadDir(name)
	for i, e := range entries {
		entries[i] = oneByte{e}
	}
	return entries, err
}

type oneByte struct{ fs.DirEntry }

func (e oneByte) Info() (fs.FileInfo, error) {
	info, err := e.DirEntry.Info()
	return oneByteInfo{info}, err
}

type oneByteInfo struct{ fs.FileInfo }

func (oneByteInfo) Size() int64 { return 1 }

// TestChartsError: what is wrong with charts that somebody brought is told apart from everything else, and says of
// which version they are.
func TestChartsError(t *testing.T) {
	chart := fstest.MapFS{"1.22.5/istiod/Chart.yaml": text(chartYAML)}
	cases := map[string]struct {
		reason  string
		do      func() error
		version string
		missing bool
	}{
		"directory": {
			reason:  "the directory as a whole has no version",
			do:      func() error { _, err := release.OpenDirectory(filepath.Join(t.TempDir(), "none")); return err },
			missing: true,
		},
		"archive": {
			reason: "found when the version is asked for",
			do: func() error {
				_, err := namesIn(fstest.MapFS{"istiod-1.22.5.tgz": text("broken")})
				return err
			},
			version: "v1.22.5",
		},
		"chart": {
			reason: "a chart that is missing is fs.ErrNotExist still",
			do: func() error {
				d, err := release.Open("FS", chart)
				if err != nil {
					return err
				}
				r, err := entries().Resolve("v1.22.5", d)
				if err != nil {
					return err
				}
				_, err = r.Chart("base")
				return err
			},
			version: "v1.22.5", missing: true,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := tc.do()
			wrong, ok := errors.AsType[*release.ChartsError](err)
			if !ok || wrong.Version != tc.version || errors.Is(err, fs.ErrNotExist) != tc.missing {
				t.Errorf("%s: %T %[2]v, %+v", tc.reason, err, wrong)
			}
		})
	}
	_, err := release.Bundled().Resolve("v9.9.9", nil)
	if _, ok := errors.AsType[*release.ChartsError](err); err == nil || ok {
		t.Errorf("an unknown version is no fault of charts: %v", err)
	}
	if _, err := entries("v9.9.9").Resolve("v9.9.9", nil); !errors.Is(err, release.ErrNoBundles) {
		t.Errorf("a bundle that the build does not have: %v", err)
	}
}

// TestList: what a catalogue has as data does not depend on whether the bundles were built.
func TestList(t *testing.T) {
	c := entries("v1.23.2", "v1.23.10", "v9.9.8", "v9.9.9-rc.0")
	want := []release.Bundle{
		{Version: "v1.23.2", EndOfLife: "2025-04", Digest: "h1:recorded"},
		{Version: "v1.23.10", EndOfLife: "2025-04", Aliases: []string{"v1.23-latest"}, Digest: "h1:recorded", Missing: true},
		{Version: "v9.9.8", Default: true, Aliases: []string{"v9.9-latest"}, Digest: "h1:recorded", Missing: true},
		{Version: "v9.9.9-rc.0", Digest: "h1:recorded", Missing: true},
	}
	got := c.List()
	if len(got) > 0 {
		got[0].Missing = false // it is a real version, which is here or not
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
