package main

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	oldHub = "gcr.io/istio-testing"
	newHub = "registry.istio.io/testing"
)

// source is a source tree with the least that a bundle has. changes replace the content of files, or take them away if
// it is empty.
func source(hub string, changes map[string]string) fstest.MapFS {
	const chartYAML = "apiVersion: v2\nname: x\nversion: 1.0.0\nappVersion: 1.0.0\n"
	files := map[string]string{
		"profiles/default.yaml": "spec:\n  hub: " + hub + "\n  tag: latest\n",
		"profiles/demo.yaml":    "spec:\n  values: {}\n",
	}
	for _, name := range required {
		dir := chartDirs[name]
		files[dir+"/Chart.yaml"] = chartYAML
		files[dir+"/values.yaml"] = "_internal_defaults_do_not_set:\n  hub: \"\"\n  global:\n" +
			"    # Testing hubs are for tests.\n    hub: " + hub +
			"\n    # Default tag for Istio images.\n    tag: latest\n"
		files[dir+"/templates/a.yaml"] = "image: {{ .Values.global.hub }}/pilot # helps testing\n"
		files[dir+"/files/profile-demo.yaml"] = "global:\n  variant: debug\n"
	}
	maps.Copy(files, changes)
	out := fstest.MapFS{}
	for name, content := range files {
		if content != "" {
			out[name] = &fstest.MapFile{Data: []byte(content)}
		}
	}
	return out
}

// TestExport: up to 1.29 and since, the images of a bundle are those of the release, whatever the source says.
func TestExport(t *testing.T) {
	for _, c := range []struct{ reason, version, hub, want string }{
		{"the old registries", "1.29.4", oldHub, "docker.io/istio"},
		{"the new ones", "1.30.0", newHub, "registry.istio.io/release"},
		{"a patch of an old minor from a source that names the new one", "1.28.9", newHub, "docker.io/istio"},
		{"a new minor from a source that still names the old one", "1.31.1", oldHub, "registry.istio.io/release"},
		{"two digits are no decimal fraction", "1.100.0", newHub, "registry.istio.io/release"},
		{"a pre-release", "1.30.0-rc.1", newHub, "registry.istio.io/release"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "bundle")
			if err := export(source(c.hub, nil), c.version, out); err != nil {
				t.Fatal(err)
			}
			for file, want := range map[string]string{
				"istiod/values.yaml": "    hub: " + c.want + "\n    # Default tag for Istio images.\n    tag: " +
					c.version + "\n",
				"cni/values.yaml":       "  hub: \"\"\n",
				"ztunnel/values.yaml":   "hub: " + c.want + "\n",
				"defaults/istiod.json":  `"hub":"` + c.want + `","tag":"` + c.version + `"`,
				"profiles/default.yaml": "  hub: " + c.want + "\n  tag: " + c.version + "\n",
				"base/Chart.yaml":       "version: " + c.version + "\nappVersion: " + c.version + "\n",
			} {
				data, err := os.ReadFile(filepath.Join(out, file))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(data), want) {
					t.Errorf("%s has no %q:\n%s", file, want, data)
				}
			}
		})
	}
}

// TestExportRefuses: whatever is not as in a release leaves no bundle, and the one before stays.
func TestExportRefuses(t *testing.T) {
	istiod := chartDirs["istiod"]
	for _, c := range []struct{ reason, version, file, content, want string }{
		{
			"a registry for tests in a template", "1.30.0", istiod + "/templates/b.yaml",
			"image: registry.istio.io/testing/pilot:1.30.0\n",
			"chart istiod: templates/b.yaml: registry.istio.io/testing is left after stamping: a registry for tests",
		},
		{
			"one in a place that no rule stamps", "1.30.0", istiod + "/files/injection.yaml",
			"image: \"gcr.io/istio-testing/app:latest\"\n",
			"chart istiod: files/injection.yaml: gcr.io/istio-testing is left after stamping: a registry for tests",
		},
		{
			"one that nobody knows yet", "1.30.0", istiod + "/values.yaml",
			"global:\n  hub: registry.example.com:5000/istio/testing\n  tag: latest\n",
			"chart istiod: values.yaml: registry.example.com:5000/istio/testing is left after stamping: a " +
				"registry for tests",
		},
		{
			"another hub", "1.30.0", istiod + "/values.yaml", "global:\n  hub: docker.io/istio\n  tag: latest\n",
			"chart istiod: values.yaml: the hub is docker.io/istio after stamping, want registry.istio.io/release",
		},
		{
			"the new registry in an old version", "1.29.0", istiod + "/values.yaml",
			"global:\n  hub: registry.istio.io/release\n  tag: latest\n",
			"chart istiod: values.yaml: the hub is registry.istio.io/release after stamping, want docker.io/istio",
		},
		{
			"another tag", "1.30.0", istiod + "/values.yaml", "global:\n  tag: 1.30-alpha.0\n",
			"chart istiod: values.yaml: the tag is 1.30-alpha.0 after stamping, want 1.30.0",
		},
		{
			"a tag in a profile of the chart, in a list", "1.30.0", istiod + "/files/profile-demo.yaml",
			"a:\n- b: {tag: latest}\n",
			"chart istiod: files/profile-demo.yaml: the tag is latest after stamping, want 1.30.0",
		},
		{
			"a tag that is a number", "1.30.0", istiod + "/values.yaml", "global:\n  tag: 1.30\n",
			"chart istiod: values.yaml: the tag is 1.3 after stamping, want 1.30.0",
		},
		{
			"Istio's own profiles, too", "1.30.0", "profiles/demo.yaml", "spec:\n  hub: example.com/istio\n",
			"profiles: profiles/demo.yaml: the hub is example.com/istio after stamping, want registry.istio.io/release",
		},
		{
			"a version that the rule for hubs does not know", "2.0.0", "profiles/demo.yaml", "{}\n",
			`version "2.0.0": where the images of Istio are is known for 1.x.y only`,
		},
		{
			"a chart that is not there", "1.30.0", istiod + "/Chart.yaml", "",
			"chart istiod is missing from istio.io/istio/manifests",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "bundle")
			if err := write(filepath.Join(out, "before"), nil); err != nil {
				t.Fatal(err)
			}
			err := export(source(newHub, map[string]string{c.file: c.content}), c.version, out)
			if c.version == "1.29.0" { // its source is of the old world otherwise
				err = export(source(oldHub, map[string]string{c.file: c.content}), c.version, out)
			}
			if err == nil || !strings.HasSuffix(err.Error(), c.want) {
				t.Errorf("want %q, have %v", c.want, err)
			}
			if _, err := os.Stat(filepath.Join(out, "before")); err != nil {
				t.Errorf("the bundle that was there is gone: %v", err)
			}
			if _, err := os.Stat(out + ".tmp"); !os.IsNotExist(err) {
				t.Errorf("something half-written is left (%v)", err)
			}
		})
	}
}
