// Command charts writes the Helm charts of one Istio version as Lateen bundles them.
//
// It runs once per catalogue version, from the module file that pins that version:
//
//	go run -modfile=1.28.3.mod ./charts -version 1.28.3 -out ../internal/release/bundles/v1.28.3
//
// The charts come from istio.io/istio/manifests, which embeds them, so the only thing that decides their content is
// the module checksum in the .sum file. In Istio's source tree the charts are unstamped; the stamping done here is the
// one Istio's release process does: the version in every Chart.yaml, the image hub and tag in the values.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"

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
		if err := exportChart(src, dir, filepath.Join(tmp, name), filepath.Join(tmp, "defaults", name+".json"), version); err != nil {
			return fmt.Errorf("chart %s: %w", name, err)
		}
	}
	for _, name := range required {
		if _, err := os.Stat(filepath.Join(tmp, name, "Chart.yaml")); err != nil {
			return fmt.Errorf("chart %s is missing from istio.io/istio/manifests", name)
		}
	}
	if err := exportProfiles(src, filepath.Join(tmp, "profiles")); err != nil {
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
func exportProfiles(src fs.FS, to string) error {
	files, err := fs.Glob(src, "profiles/*.yaml")
	if err != nil {
		return err
	}
	for _, p := range files {
		data, err := fs.ReadFile(src, p)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(to, path.Base(p)), data); err != nil {
			return err
		}
	}
	return nil
}

var (
	chartVersion = regexp.MustCompile(`(?m)^(version|appVersion): 1\.0\.0$`)
	valuesHub    = regexp.MustCompile(`(?m)^(\s*hub:) gcr\.io/istio-testing$`)
	valuesTag    = regexp.MustCompile(`(?m)^(\s*tag:) latest$`)
)

// stamp turns a file of the source tree into the file of the release.
func stamp(rel string, data []byte, version string) ([]byte, error) {
	switch rel {
	case "Chart.yaml":
		if n := len(chartVersion.FindAll(data, -1)); n != 2 {
			return nil, fmt.Errorf("found %d placeholders for version and appVersion, want 2", n)
		}
		return chartVersion.ReplaceAll(data, []byte("${1}: "+version)), nil
	case "values.yaml":
		data = valuesHub.ReplaceAll(data, []byte("${1} docker.io/istio"))
		data = valuesTag.ReplaceAll(data, []byte("${1} "+version))
		if bytes.Contains(data, []byte("istio-testing")) {
			return nil, errors.New("an image hub of Istio's test registry is left after stamping")
		}
	}
	return data, nil
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
