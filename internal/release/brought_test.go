package release_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/release"
)

const chartYAML = "apiVersion: v2\nname: istiod\nversion: 1.22.5\n"

func open(t *testing.T, dir string) *release.Directory {
	t.Helper()
	d, err := release.OpenDirectory(dir)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// unpacked makes a directory with a minimal istiod chart per version.
func unpacked(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, v := range versions {
		write(t, filepath.Join(dir, v, "istiod", "Chart.yaml"), chartYAML)
	}
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// entry is one entry of an archive. A header with a size beyond the content's is filled up with zeros.
type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(content))}, content}
}

func zeroFile(name string, size int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size}}
}

// tgz is an archive with the entries in the given order.
func tgz(t *testing.T, entries ...entry) string {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, e := range entries {
		e.Mode = 0o644
		if err := tw.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		filled := io.MultiReader(strings.NewReader(e.content), io.LimitReader(zeros{}, e.Size-int64(len(e.content))))
		if _, err := io.Copy(tw, filled); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []io.Closer{tw, zw} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return buf.String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestOpenDirectory(t *testing.T) {
	archive := tgz(t, file("istiod/Chart.yaml", chartYAML))
	cases := map[string]struct {
		reason string
		files  map[string]string
		want   []string
		err    string
	}{
		"archives": {
			reason: "named as Helm names them, in the order of versions",
			files:  map[string]string{"istiod-1.22.10.tgz": archive, "istiod-1.22.9.tgz": archive, "base-1.22.9.tgz": archive},
			want:   []string{"v1.22.9", "v1.22.10"},
		},
		"unpacked": {
			reason: "with or without the leading v",
			files: map[string]string{
				"1.22.5/istiod/Chart.yaml": chartYAML, "v1.22.6/istiod/Chart.yaml": chartYAML,
				"master/istiod/Chart.yaml": chartYAML,
			},
			want: []string{"v1.22.5", "v1.22.6", "master"},
		},
		"cni alone": {
			reason: "enough for an IstioCNI",
			files:  map[string]string{"cni-1.22.5.tgz": archive},
			want:   []string{"v1.22.5"},
		},
		"base alone": {
			reason: "no kind can be rendered from base only, so it makes no version",
			files:  map[string]string{"base-1.22.5.tgz": archive, "ztunnel-1.22.5.tgz": archive},
		},
		"other files": {
			reason: "a directory may hold other things; what has no chart or no version in its name is not looked at",
			files: map[string]string{
				"README.md": "", "gateway-1.22.5.tgz": "", "istiod-latest.tgz": "", "istiod-1.22.tgz": "", "istiod.tgz": "",
				"1.22.5/README.md": "", "1.22/istiod/Chart.yaml": chartYAML, "old/istiod/Chart.yaml": chartYAML,
			},
		},
		"longer chart name": {
			reason: "istiod-remote-1.23.3.tgz is no istiod of the version remote-1.23.3",
			files:  map[string]string{"istiod-remote-1.23.3.tgz": archive, "istiod-1.23.4.tgz": archive},
			want:   []string{"v1.23.4"},
		},
		"two archives": {
			reason: "two spellings of one version",
			files:  map[string]string{"istiod-1.22.5.tgz": archive, "istiod-v1.22.5.tgz": archive},
			err: "charts directory DIR has Istio v1.22.5 twice, as istiod-1.22.5.tgz and as istiod-v1.22.5.tgz; remove one " +
				"of them",
		},
		"two directories": {
			reason: "two spellings of one version",
			files:  map[string]string{"1.22.5/istiod/Chart.yaml": chartYAML, "v1.22.5/istiod/Chart.yaml": chartYAML},
			err:    "charts directory DIR has Istio v1.22.5 twice, as 1.22.5 and as v1.22.5; remove one of them",
		},
		"twice": {
			reason: "archive and directory of one version: nobody could tell which one was rendered",
			files:  map[string]string{"istiod-1.22.5.tgz": archive, "v1.22.5/istiod/Chart.yaml": chartYAML},
			err:    "charts directory DIR has Istio v1.22.5 twice, as istiod-1.22.5.tgz and as v1.22.5; remove one of them",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for name, content := range tc.files {
				write(t, filepath.Join(dir, name), content)
			}
			d, err := release.OpenDirectory(dir)
			if diff := cmp.Diff(tc.err, strings.ReplaceAll(message(err), dir, "DIR")); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, d.Versions()); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestOpenDirectoryFails(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "file"), "")
	cases := []struct{ reason, name, want string }{
		{"not there", "none", "charts directory: stat DIR/none: no such file or directory"},
		{"a file", "file", "charts directory: DIR/file is a file; give the directory that holds the charts"},
	}
	for _, tc := range cases {
		_, err := release.OpenDirectory(filepath.Join(dir, tc.name))
		if diff := cmp.Diff(tc.want, strings.ReplaceAll(message(err), dir, "DIR")); diff != "" {
			t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
		}
	}
}

func TestArchive(t *testing.T) {
	chart := file("istiod/Chart.yaml", chartYAML)
	cases := map[string]struct {
		reason  string
		archive string
		want    []string // the names of the files
		err     string
	}{
		"as helm package writes it": {
			reason: "directories are entries too; files come in the order of names",
			archive: tgz(t, entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: "istiod/"}}, chart,
				file("istiod/templates/b.yaml", ""), file("istiod/templates/a.yaml", "")),
			want: []string{"Chart.yaml", "templates/a.yaml", "templates/b.yaml"},
		},
		"dots inside": {
			reason:  "a path that comes back into the chart is just badly written",
			archive: tgz(t, chart, file("./istiod/files/../values.yaml", "")),
			want:    []string{"Chart.yaml", "values.yaml"},
		},
		"links": {
			reason: "links are left out: what they point at is not part of the archive",
			archive: tgz(t, chart, entry{
				Header: tar.Header{Typeflag: tar.TypeSymlink, Name: "istiod/values.yaml", Linkname: "/etc/passwd"},
			}, entry{Header: tar.Header{Typeflag: tar.TypeLink, Name: "istiod/x", Linkname: "../../x"}}),
			want: []string{"Chart.yaml"},
		},
		"parent directory": {
			reason:  "a file above the chart",
			archive: tgz(t, chart, file("istiod/../../etc/passwd", "")),
			err: `charts directory DIR: istiod-1.22.5.tgz: "istiod/../../etc/passwd" is not below istiod/, where a chart ` +
				`archive has its files`,
		},
		"absolute": {
			reason:  "a file anywhere",
			archive: tgz(t, chart, file("/istiod/values.yaml", "")),
			err: `charts directory DIR: istiod-1.22.5.tgz: "/istiod/values.yaml" is not below istiod/, where a chart ` +
				`archive has its files`,
		},
		"other chart": {
			reason:  "an archive under the wrong name",
			archive: tgz(t, file("istiod-remote/Chart.yaml", chartYAML)),
			err: `charts directory DIR: istiod-1.22.5.tgz: "istiod-remote/Chart.yaml" is not below istiod/, where a chart ` +
				`archive has its files`,
		},
		"file twice": {
			reason:  "two contents for one name: readers of archives disagree on which one counts",
			archive: tgz(t, chart, file("istiod/values.yaml", "a: 1"), file("istiod/values.yaml", "a: 2")),
			err:     "charts directory DIR: istiod-1.22.5.tgz: istiod/values.yaml is in it twice",
		},
		"one huge file": {
			reason:  "40 KB that unpack to 40 MB",
			archive: tgz(t, chart, zeroFile("istiod/big", 40<<20)),
			err:     "charts directory DIR: istiod-1.22.5.tgz: the chart has more than 32 MiB of files",
		},
		"many large files": {
			reason:  "the limit is on the sum",
			archive: tgz(t, chart, zeroFile("istiod/a", 20<<20), zeroFile("istiod/b", 20<<20)),
			err:     "charts directory DIR: istiod-1.22.5.tgz: the chart has more than 32 MiB of files",
		},
		"no gzip": {
			reason:  "a web page that was saved under the name, for example",
			archive: "<html>",
			err:     "charts directory DIR: istiod-1.22.5.tgz: not a gzip archive: unexpected EOF",
		},
		"no tar": {
			reason: "gzip of something else",
			archive: func() string {
				var buf bytes.Buffer
				zw := gzip.NewWriter(&buf)
				_, _ = zw.Write(bytes.Repeat([]byte("x"), 1024)) // a buffer takes everything
				_ = zw.Close()
				return buf.String()
			}(),
			err: "charts directory DIR: istiod-1.22.5.tgz: not a chart archive: archive/tar: invalid tar header",
		},
		"cut off": {
			reason:  "a download that ended early",
			archive: func() string { a := tgz(t, chart); return a[:len(a)-20] }(),
			err:     "charts directory DIR: istiod-1.22.5.tgz: not a chart archive: unexpected EOF",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "istiod-1.22.5.tgz"), tc.archive)
			r, err := entries().Resolve("v1.22.5", open(t, dir))
			if diff := cmp.Diff(tc.err, strings.ReplaceAll(message(err), dir, "DIR")); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if err != nil {
				return
			}
			files, err := r.Chart("istiod")
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, f := range files {
				names = append(names, f.Name)
			}
			if diff := cmp.Diff(tc.want, names); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestSameMessage: of several things that are wrong, it is always the same one that is named.
func TestSameMessage(t *testing.T) {
	dir := t.TempDir()
	for _, chart := range []string{"istiod", "base", "ztunnel"} {
		write(t, filepath.Join(dir, chart+"-1.22.5.tgz"), "broken")
	}
	for range 20 {
		_, err := entries().Resolve("v1.22.5", open(t, dir))
		if want := "charts directory " + dir + ": base-1.22.5.tgz: not a gzip archive: unexpected EOF"; message(err) != want {
			t.Fatal(cmp.Diff(want, message(err)))
		}
	}
}

func TestUnpackedChart(t *testing.T) {
	cases := map[string]struct {
		reason string
		make   func(t *testing.T, chart string)
		want   string
	}{
		"link to a file": {
			reason: "a chart must not bring files from elsewhere on the machine into the output",
			make: func(t *testing.T, chart string) {
				t.Helper()
				if err := os.Symlink("/etc/hostname", filepath.Join(chart, "values.yaml")); err != nil {
					t.Fatal(err)
				}
			},
			want: "charts directory DIR: 1.22.5/istiod/values.yaml is not a regular file",
		},
		"too large": {
			reason: "the same limit as for archives",
			make: func(t *testing.T, chart string) {
				t.Helper()
				write(t, filepath.Join(chart, "big"), "")
				if err := os.Truncate(filepath.Join(chart, "big"), 40<<20); err != nil {
					t.Fatal(err)
				}
			},
			want: "charts directory DIR: 1.22.5/istiod: the chart has more than 32 MiB of files",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			dir := unpacked(t, "1.22.5")
			tc.make(t, filepath.Join(dir, "1.22.5", "istiod"))
			_, err := entries().Resolve("v1.22.5", open(t, dir))
			if diff := cmp.Diff(tc.want, strings.ReplaceAll(message(err), dir, "DIR")); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestDigest(t *testing.T) {
	files := []release.File{
		{Name: "istiod/Chart.yaml", Data: []byte(chartYAML)},
		{Name: "base/Chart.yaml", Data: []byte("name: base\n")},
		{Name: "istiod-remote/Chart.yaml"},
	}
	want := dirhash(files)
	reversed := []release.File{files[2], files[1], files[0]}
	for reason, list := range map[string][]release.File{
		"is the h1 hash of golang.org/x/mod/sumdb/dirhash": files,
		"does not depend on the order of the files":        reversed,
	} {
		if diff := cmp.Diff(want, release.Digest(list)); diff != "" {
			t.Errorf("the digest %s (-want +got)\n%s", reason, diff)
		}
	}
	if files[0].Name != "istiod/Chart.yaml" {
		t.Error("hashing must not sort the caller's list")
	}
	// `printf 'hello\n' > a; echo "$(sha256sum a)" | sha256sum | xxd -r -p | base64`, with the two spaces of sha256sum.
	known := release.Digest([]release.File{{Name: "a", Data: []byte("hello\n")}})
	if diff := cmp.Diff("h1:5Fn9UlLDraC1wY/JAI5JBHb+Ice9ZdUmjUVTW+ldYmc=", known); diff != "" {
		t.Errorf("known value (-want +got)\n%s", diff)
	}

	dir := t.TempDir()
	write(t, filepath.Join(dir, "1.22.5", "istiod", "Chart.yaml"), chartYAML)
	write(t, filepath.Join(dir, "istiod-1.22.6.tgz"), tgz(t, file("istiod/Chart.yaml", chartYAML)))
	d := open(t, dir)
	for _, version := range []string{"v1.22.5", "v1.22.6"} {
		r, err := entries().Resolve(version, d)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(dirhash(files[:1]), r.Digest); diff != "" {
			t.Errorf("brought charts have the digest of their files, packed or not (-want +got)\n%s", diff)
		}
	}
}

// dirhash is golang.org/x/mod/sumdb/dirhash.Hash1, written from its documentation.
func dirhash(files []release.File) string {
	var lines []string
	for _, f := range files {
		sum := sha256.Sum256(f.Data)
		lines = append(lines, hex.EncodeToString(sum[:])+"  "+f.Name+"\n")
	}
	slices.SortFunc(lines, func(a, b string) int { return strings.Compare(a[66:], b[66:]) })
	sum := sha256.Sum256([]byte(strings.Join(lines, "")))
	return "h1:" + base64.StdEncoding.EncodeToString(sum[:])
}
