// Command helmtemplates does what `helm template` does, many times in one process: the tests that compare thousands of
// renderings with Helm's would spend most of their time on starting it. It is Helm's own library, at the version of the
// helm program in go.tools.mod; TestRenderEqualsHelm also runs that program, and expects the same text of both.
//
// It is a module of its own: the product does not need what Helm's client needs.
//
// Each line of stdin is a Request, and each line of stdout the Answer to it.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"helm.sh/helm/v3/pkg/action"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/cli/values"
	"helm.sh/helm/v3/pkg/getter"
	"helm.sh/helm/v3/pkg/release"
)

// Request is what one `helm template --include-crds` is called with.
type Request struct {
	// Release and Namespace are those of the release, Chart is a directory.
	Release, Namespace, Chart string
	// KubeVersion is the version of Kubernetes that templates see.
	KubeVersion string
	// Values are files of values, the last one wins.
	Values []string
}

// Answer is what it would have printed.
type Answer struct{ Manifest, Error string }

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "helmtemplates:", err)
		os.Exit(1)
	}
}

func run(from io.Reader, to io.Writer) error {
	in, out := json.NewDecoder(from), bufio.NewWriter(to)
	for {
		var r Request
		if err := in.Decode(&r); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var a Answer
		var err error
		if a.Manifest, err = template(r); err != nil {
			a.Error = err.Error()
		}
		if err := json.NewEncoder(out).Encode(a); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
	}
}

func template(r Request) (string, error) {
	chart, err := loader.Load(r.Chart)
	if err != nil {
		return "", err
	}
	merged, err := (&values.Options{ValueFiles: r.Values}).MergeValues(getter.Providers{})
	if err != nil {
		return "", err
	}
	install := action.NewInstall(&action.Configuration{Log: func(string, ...any) {}})
	install.ReleaseName, install.Namespace = r.Release, r.Namespace
	install.DryRun, install.DryRunOption, install.ClientOnly, install.Replace = true, "true", true, true
	install.IncludeCRDs = true
	if install.KubeVersion, err = chartutil.ParseKubeVersion(r.KubeVersion); err != nil {
		return "", err
	}
	rel, err := install.Run(chart, merged)
	if err != nil {
		return "", err
	}
	return text(rel), nil
}

// text is a release as Helm prints it: the manifest, then the hooks.
func text(rel *release.Release) string {
	var b strings.Builder
	b.WriteString(strings.TrimSpace(rel.Manifest) + "\n")
	for _, h := range rel.Hooks {
		fmt.Fprintf(&b, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	return b.String()
}
