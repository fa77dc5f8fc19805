// Command catalogue keeps internal/release/catalogue.json. Run it from the root of the repository.
//
//	go run ./hack/catalogue add -version 1.28.4 -module v0.0.0-20260301000000-0123456789ab
//	go run ./hack/catalogue digests    record the digests and the images of the bundles that are built
//	go run ./hack/catalogue verify     fail if a built bundle differs from what is recorded
//
// `make add-release VERSION=... MODULE=...` calls add; docs/releases.md explains what there is to review.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	"github.com/lateen-io/lateen/internal/release"
)

const catalogueFile = "internal/release/catalogue.json"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: add, digests or verify")
	}
	switch args[0] {
	case "add":
		fs := flag.NewFlagSet("add", flag.ContinueOnError)
		version := fs.String("version", "", "Istio version, without the leading v")
		module := fs.String("module", "", "pseudo-version of istio.io/istio: the commit of the release's Git tag")
		if err := fs.Parse(args[1:]); err != nil {
			return err
		}
		return add(*version, *module)
	case "digests":
		return digests()
	case "verify":
		return verify()
	}
	return fmt.Errorf("unknown command %q: use add, digests or verify", args[0])
}

// add pins a release in releases/, exports its charts and its values schema, and enters it into the catalogue. Which
// version is the default stays as it is: that is a change of its own, for review.
func add(version, module string) error {
	v, err := semver.StrictNewVersion(version)
	if err != nil {
		return fmt.Errorf("-version %q: %w (example: 1.28.4)", version, err)
	}
	if !strings.HasPrefix(module, "v0.0.0-") {
		return fmt.Errorf("-module %q: give the pseudo-version of istio.io/istio that `go list -m istio.io/istio@<commit of "+
			"the tag>` prints", module)
	}
	mod := filepath.Join("releases", version+".mod")
	if _, err := os.Stat(mod); err == nil {
		return fmt.Errorf("%s is there already", mod)
	}
	if err := runIn(".", "releases/add.sh", version, module); err != nil {
		return err
	}
	c, err := read()
	if err != nil {
		return err
	}
	c.Releases = append(c.Releases, release.Entry{Version: "v" + v.String(), Module: module})
	slices.SortFunc(c.Releases, func(a, b release.Entry) int {
		return semver.MustParse(a.Version).Compare(semver.MustParse(b.Version))
	})
	if err := write(c); err != nil {
		return err
	}
	return digests()
}

func runIn(dir, name string, args ...string) error {
	cmd := exec.CommandContext(context.Background(), name, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
	}
	return nil
}

func digests() error {
	c, err := read()
	if err != nil {
		return err
	}
	for i, e := range c.Releases {
		if c.Releases[i].Digest, c.Releases[i].Images, err = built(e); err != nil {
			return err
		}
	}
	return write(c)
}

func verify() error {
	c, err := read()
	if err != nil {
		return err
	}
	if !slices.Contains(c.Versions(), c.DefaultVersion) {
		return fmt.Errorf("the default version %q is none of the catalogue: %s", c.DefaultVersion,
			strings.Join(c.Versions(), ", "))
	}
	for _, e := range c.Releases {
		digest, images, err := built(e)
		if err != nil {
			return err
		}
		if !slices.Equal(images, e.Images) {
			return fmt.Errorf("the bundle of Istio %s runs the images %s, the catalogue records %s: find out "+
				"what changed; "+
				"if it is meant, run `go run ./hack/catalogue digests` and have the diff reviewed",
				e.Version, strings.Join(images, ", "), strings.Join(e.Images, ", "))
		}
		if digest != e.Digest {
			return fmt.Errorf(
				"the bundle of Istio %s has digest %s, the catalogue records %s: find out what changed (exporter, module pin); "+
					"if it is meant, run `go run ./hack/catalogue digests` and have the diff reviewed", e.Version, digest, e.Digest)
		}
	}
	return nil
}

// built computes the digest of a bundle in the source tree, and lists its images.
func built(e release.Entry) (digest string, images []string, err error) {
	const bundles = "internal/release/bundles"
	dir, err := release.OpenDirectory(bundles)
	if err != nil {
		return "", nil, err
	}
	r, err := (&release.Catalogue{}).Resolve(e.Version, dir)
	if err != nil {
		return "", nil, fmt.Errorf("the bundle of %s is not built (make bundles): %w", e.Version, err)
	}
	if images, err = release.Images(os.DirFS(filepath.Join(bundles, e.Version))); err != nil {
		return "", nil, fmt.Errorf("the images of Istio %s: %w", e.Version, err)
	}
	return r.Digest, images, nil
}

func read() (*release.Catalogue, error) {
	data, err := os.ReadFile(catalogueFile)
	if err != nil {
		return nil, err
	}
	c := &release.Catalogue{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	return c, dec.Decode(c)
}

func write(c *release.Catalogue) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(catalogueFile, append(data, '\n'), 0o644)
}
