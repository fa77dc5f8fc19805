package lateen_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen"
)

// TestOptionsAreData: equal, copied, printed.
func TestOptionsAreData(t *testing.T) {
	full := lateen.Options{
		Charts: fstest.MapFS{"a": &fstest.MapFile{}}, KubeVersion: "v1.33.0", Platform: "gke", CRDs: true, Track: true,
		ChartFailurePolicy: true, Protect: true, Clusters: []string{"a"}, Strict: true, AllowRemoval: []string{"Istio/a"},
		FluxSubstitute: lateen.FluxSubstituteYes,
	}
	cases := map[string]struct {
		reason string
		a, b   lateen.Options
		equal  bool
	}{
		"zero":      {"two defaults", lateen.Options{}, lateen.Options{}, true},
		"copy":      {"a copy is the same, file system included", full, full, true},
		"list":      {"no list and an empty one", lateen.Options{Clusters: []string{}}, lateen.Options{}, true},
		"one field": {"any field counts", lateen.Options{Strict: true}, lateen.Options{}, false},
		"other list": {
			"lists count", lateen.Options{Clusters: []string{"a"}}, lateen.Options{Clusters: []string{"b"}}, false,
		},
		"directories": {
			"by their path", lateen.Options{Charts: os.DirFS("a")}, lateen.Options{Charts: os.DirFS("a")}, true,
		},
		"other directory": {
			"by their path", lateen.Options{Charts: os.DirFS("a")}, lateen.Options{Charts: os.DirFS("b")}, false,
		},
		"other kind": {
			"of another type", lateen.Options{Charts: os.DirFS("a")}, lateen.Options{Charts: fstest.MapFS{}}, false,
		},
	}
	for name, tc := range cases {
		if tc.a.Equal(tc.b) != tc.equal || tc.b.Equal(tc.a) != tc.equal || cmp.Equal(tc.a, tc.b) != tc.equal {
			t.Errorf("%s: %s: want equal %v\n%v\n%v", name, tc.reason, tc.equal, tc.a, tc.b)
		}
	}
	want := `lateen.Options{Charts: fstest.MapFS, KubeVersion: "v1.33.0", Platform: "gke", CRDs: true, Track: true, ` +
		`ChartFailurePolicy: true, Protect: true, Clusters: []string{"a"}, Strict: true, ` +
		`AllowRemoval: []string{"Istio/a"}, FluxSubstitute: "true"}`
	if diff := cmp.Diff(want, full.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	before := full
	before.AllowRemoval = []string{"Istio/a"}
	if _, err := lateen.Render(nil, full); err != nil {
		t.Fatal(err)
	}
	if !full.Equal(before) {
		t.Errorf("a call must not change the options: %v", full)
	}
}

// stamped are the charts of v1.26.0 as files of version 1.26.9, by their paths.
func stamped(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	root := os.DirFS("internal/release/bundles/v1.26.0")
	for _, chart := range []string{"base", "istiod"} {
		err := fs.WalkDir(root, chart, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(root, name)
			if strings.HasSuffix(name, "/Chart.yaml") {
				data = bytes.ReplaceAll(data, []byte("1.26.0"), []byte("1.26.9"))
			}
			out["1.26.9/"+name] = &fstest.MapFile{Data: data}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// TestCharts: charts in a file system of any kind render to the bytes that those in a directory do.
func TestCharts(t *testing.T) {
	files := stamped(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, files); err != nil {
		t.Fatal(err)
	}
	want := rendered(t, istioOf("v1.26.9", "lateen.io/charts: "+dir), lateen.Options{})
	if !strings.Contains(want, "kind: Deployment") {
		t.Fatal("nothing was rendered from a directory")
	}
	for name, tc := range map[string]struct {
		reason, annotations string
		charts              fs.FS
	}{
		"memory":    {"what a program has made itself", "", files},
		"directory": {"the directory option, as a value", "", os.DirFS(dir)},
		"zip":       {"one file for all charts", "", zipOf(t, files)},
		"archives":  {"as Helm packages charts", "", archivesOf(t, files)},
		"annotation": {
			"the annotation of a resource wins over the options of the call", "lateen.io/charts: " + dir,
			fstest.MapFS{"1.26.9/istiod/Chart.yaml": &fstest.MapFile{}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := rendered(t, istioOf("v1.26.9", tc.annotations), lateen.Options{Charts: tc.charts})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-directory +got)\n%s", tc.reason, diff)
			}
		})
	}
	t.Run("Transform", func(t *testing.T) {
		var out strings.Builder
		err := lateen.Transform(strings.NewReader(listOf(istioOf("v1.26-latest", ""))), &out, lateen.Options{Charts: files})
		if err != nil || !strings.Contains(out.String(), "lateen.io/version: v1.26.9") {
			t.Errorf("an alias means the newest patch of all charts: %v", err)
		}
	})
}

// TestWeakest: an annotation of a resource, and a ConfigMap that is the functionConfig, win over options of a call.
func TestWeakest(t *testing.T) {
	options := lateen.Options{KubeVersion: "v1.31.1", Track: true}
	recorded := "lateen.io/kube-version: v1.31.1\n"
	if got := rendered(t, istioOf("v1.28.3", ""), options); !strings.Contains(got, recorded) {
		t.Errorf("the options of the call hold where nobody says otherwise: no %q", recorded)
	}
	got := rendered(t, istioOf("v1.28.3", "lateen.io/kube-version: v1.32.2, lateen.io/track: 'false'"), options)
	if strings.Contains(got, "kind: IstioRevision\n") {
		t.Error("an annotation takes back what the call asks for")
	}
	got = rendered(t, istioOf("v1.28.3", "lateen.io/kube-version: v1.32.2"), options)
	if !strings.Contains(got, "lateen.io/kube-version: v1.32.2\n") || strings.Contains(got, recorded) {
		t.Error("an annotation wins")
	}
	config := "functionConfig: {apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {kube-version: v1.33.3}}\n"
	var out strings.Builder
	err := lateen.Transform(strings.NewReader(listOf(istioOf("v1.28.3", ""))+config), &out, options)
	if err != nil || !strings.Contains(out.String(), "lateen.io/kube-version: v1.33.3\n") {
		t.Errorf("a functionConfig wins: %v", err)
	}
}

// rendered is what resources render to.
func rendered(t *testing.T, resources string, options lateen.Options) string {
	t.Helper()
	result, err := lateen.Render([]byte(resources), options)
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.YAML()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func zipOf(t *testing.T, files fstest.MapFS) fs.FS {
	t.Helper()
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	if err := w.AddFS(files); err != nil {
		t.Fatal(err)
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

// archivesOf packs each chart as Helm does.
func archivesOf(t *testing.T, files fstest.MapFS) fs.FS {
	t.Helper()
	out := fstest.MapFS{}
	for _, chart := range []string{"base", "istiod"} {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		w := tar.NewWriter(zw)
		for name, f := range files {
			name, ok := strings.CutPrefix(name, "1.26.9/"+chart+"/")
			if !ok {
				continue
			}
			h := &tar.Header{Typeflag: tar.TypeReg, Name: chart + "/" + name, Size: int64(len(f.Data)), Mode: 0o644}
			if err := w.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(f.Data); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if err := zw.Close(); err != nil {
			t.Fatal(err)
		}
		out[chart+"-1.26.9.tgz"] = &fstest.MapFile{Data: buf.Bytes()}
	}
	return out
}
