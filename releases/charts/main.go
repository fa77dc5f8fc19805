// Command charts writes the Helm charts of one Istio version as Lateen bundles them.
//
// It runs once per catalogue version, from the module file that pins that version:
//
//	go run -modfile=1.28.3.mod ./charts -version 1.28.3 -out ../internal/release/bundles/v1.28.3
//
// The charts come from istio.io/istio/manifests, which embeds them, so the only thing that decides their content is
// the module checksum in the .sum file. In Istio's source tree the charts are unstamped; the stamping done here is the
// one Istio's release process does: the version in every Chart.yaml, the image hub and tag in the values. What is not
// as in a release afterwards is an error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"istio.io/istio/manifests"
	"sigs.k8s.io/yaml"
)

// chartDirs maps the name of a chart to where Istio's source tree keeps it.
// istiod-remote ended with 1.23; later the istiod chart serves the remote profile itself.
var chartDirs = map[string]string{
	"base":          "charts/base",
	"istiod":        "charts/istio-control/istio-discovery",
	"istiod-remote": "charts/istiod-remote",
	"cni":           "charts/istio-cni",
	"ztunnel":       "charts/ztunnel",
}

// required lists the charts without which a bundle would be of no use.
var required = []string{"base", "istiod", "cni", "ztunnel"}

func main() {
	version := flag.String("version", "", "Istio version to stamp, without the leading v: 1.28.3")
	out := flag.String("out", "", "directory to write; replaced as a whole")
	flag.Parse()
	if *version == "" || *out == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := export(manifests.FS, *version, *out); err != nil {
		fmt.Fprintf(os.Stderr, "charts: exporting Istio %s: %v\n", *version, err)
		os.Exit(1)
	}
}

// export writes all charts of src below out. It works in a sibling directory and renames at the end, so a bundle is
// either the old one or the complete new one.
func export(src fs.FS, version, out string) (err error) {
	tmp := filepath.Clean(out) + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	for name, dir := range chartDirs {
		if err := exportChart(src, dir, filepath.Join(tmp, name), filepath.Join(tmp, "defaults", name+".json"),
			version); err != nil {
			return fmt.Errorf("chart %s: %w", name, err)
		}
	}
	for _, name := range required {
		if _, err := os.Stat(filepath.Join(tmp, name, "Chart.yaml")); err != nil {
			return fmt.Errorf("chart %s is missing from istio.io/istio/manifests", name)
		}
	}
	if err := exportProfiles(src, filepath.Join(tmp, "profiles"), version); err != nil {
		return fmt.Errorf("profiles: %w", err)
	}
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	return os.Rename(tmp, out)
}

// exportChart writes the files of a chart, and its values.yaml once more as JSON, which is read ten times as fast.
func exportChart(src fs.FS, from, to, defaults, version string) error {
	if _, err := fs.Stat(src, from); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return fs.WalkDir(src, from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel := p[len(from)+1:]
		data, err := fs.ReadFile(src, p)
		if err != nil {
			return err
		}
		if data, err = stamp(rel, data, version); err != nil {
			return fmt.Errorf("%s: %w", rel, err)
		}
		if rel == "values.yaml" {
			values, err := yaml.YAMLToJSON(data)
			if err != nil {
				return fmt.Errorf("%s: %w", rel, err)
			}
			if err := write(defaults, values); err != nil {
				return err
			}
		}
		return write(filepath.Join(to, filepath.FromSlash(rel)), data)
	})
}

// exportProfiles keeps Istio's own installation profiles beside the charts: Lateen derives what a profile sets from the
// files inside the charts, and a test holds that against these.
func exportProfiles(src fs.FS, to, version string) error {
	files, err := fs.Glob(src, "profiles/*.yaml")
	if err != nil {
		return err
	}
	for _, p := range files {
		data, err := fs.ReadFile(src, p)
		if err != nil {
			return err
		}
		if data, err = stamp(p, data, version); err != nil {
			return fmt.Errorf("%s: %w", p, err)
		}
		if err := write(filepath.Join(to, path.Base(p)), data); err != nil {
			return err
		}
	}
	return nil
}

// testingHubs are the registries that the source tree names: the first up to 1.29, the second since. releasedHubs are
// where the images of a release are: the first up to 1.29, the second since.
var (
	testingHubs  = []string{"gcr.io/istio-testing", "registry.istio.io/testing"}
	releasedHubs = []string{"docker.io/istio", "registry.istio.io/release"}
)

// newHubs is the first minor of Istio 1 whose images are in the new registry.
const newHubs = 30

// releasedHub is where the images of a version are.
func releasedHub(version string) (string, error) {
	parts := strings.Split(version, ".")
	if len(parts) < 3 || parts[0] != "1" {
		return "", fmt.Errorf("version %q: where the images of Istio are is known for 1.x.y only", version)
	}
	minor, err := strconv.Atoi(parts[1])
	if err != nil {
		return "", fmt.Errorf("version %q: %w", version, err)
	}
	if minor < newHubs {
		return releasedHubs[0], nil
	}
	return releasedHubs[1], nil
}

var (
	chartVersion = regexp.MustCompile(`(?m)^(version|appVersion): 1\.0\.0$`)
	hubLine      = regexp.MustCompile(`(?m)^(\s*hub:) "?([^\s"#]+)"?$`)
	tagLine      = regexp.MustCompile(`(?m)^(\s*tag:) "?latest"?$`)
)

// stamp turns a file of the source tree into the file of the release.
func stamp(rel string, data []byte, version string) ([]byte, error) {
	if rel == "Chart.yaml" {
		if n := len(chartVersion.FindAll(data, -1)); n != 2 {
			return nil, fmt.Errorf("found %d placeholders for version and appVersion, want 2", n)
		}
		return chartVersion.ReplaceAll(data, []byte("${1}: "+version)), nil
	}
	hub, err := releasedHub(version)
	if err != nil {
		return nil, err
	}
	if isValues(rel) {
		data = hubLine.ReplaceAllFunc(data, func(line []byte) []byte {
			m := hubLine.FindSubmatch(line)
			if !slices.Contains(testingHubs, string(m[2])) {
				return line
			}
			return append(append(slices.Clip(m[1]), ' '), hub...)
		})
		data = tagLine.ReplaceAll(data, []byte("${1} "+version))
	}
	return data, inspect(rel, data, hub, version)
}

// isValues reports whether a file of a chart, or of Istio's own profiles, has values: its values.yaml, and the
// profiles.
func isValues(rel string) bool {
	return rel == "values.yaml" || path.Ext(rel) == ".yaml" &&
		strings.HasPrefix(path.Base(path.Dir(rel)), "profiles") ||
		strings.HasPrefix(rel, "files/profile-")
}

// testRegistry is an image, or where images are, of a registry for tests. A word in a comment is none.
var testRegistry = regexp.MustCompile(`[a-z0-9-]+(\.[a-z0-9-]+)+(:[0-9]+)?/[a-z0-9_./-]*testing|istio-testing`)

// inspect finds what must not be in a release: anything from a registry for tests, and hubs and tags other than its
// own. A hub or tag that is empty is taken from somewhere else.
func inspect(rel string, data []byte, hub, version string) error {
	if found := testRegistry.Find(data); found != nil {
		return fmt.Errorf("%s is left after stamping: a registry for tests", found)
	}
	if !isValues(rel) {
		return nil
	}
	var content any
	if err := yaml.Unmarshal(data, &content); err != nil {
		return err
	}
	return inspectValue(content, hub, version)
}

func inspectValue(v any, hub, version string) error {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			if err := inspectValue(item, hub, version); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			text, isText := v[key].(string)
			empty := v[key] == nil || isText && text == ""
			switch {
			case key == "hub" && text != hub && !empty:
				return fmt.Errorf("the hub is %v after stamping, want %s", v[key], hub)
			case key == "tag" && text != version && !empty:
				return fmt.Errorf("the tag is %v after stamping, want %s", v[key], version)
			}
			if err := inspectValue(v[key], hub, version); err != nil {
				return err
			}
		}
	}
	return nil
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
