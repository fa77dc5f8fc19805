package function_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestEveryOption: an option is a flag, also with its environment variable, has a line in the help and is in the
// README, in each program for which it makes a difference.
func TestEveryOption(t *testing.T) {
	for _, c := range []struct {
		program function.Program
		without []string // options that make no difference
	}{
		{function.RenderIstio, nil},
		{
			function.RenderCNI, []string{
				resource.OptionCRDs, resource.OptionFailurePolicy, resource.OptionProtect, resource.OptionClusters,
			},
		},
		{function.RevisionTag, []string{resource.OptionCRDs, resource.OptionProtect, resource.OptionClusters}},
	} {
		run := func(args ...string) (stdout, stderr string) {
			var out, err bytes.Buffer
			c.program.Main(function.Process{
				Args: append([]string{c.program.Name}, args...), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &err,
				Getenv: func(string) (string, bool) { return "", false },
			})
			return out.String(), err.String()
		}
		data, err := os.ReadFile("../../functions/" + c.program.Name + "/README.md")
		if err != nil {
			t.Fatal(err)
		}
		_, readme, _ := strings.Cut(string(data), "\n## Options\n")
		readme, _, _ = strings.Cut(readme, "\n## ")
		help, _ := run("--help")
		for _, opt := range resource.AllOptions {
			want := !slices.Contains(c.without, opt.Name)
			if got := strings.Contains(help, "\n      --"+opt.Name+" "); got != want {
				t.Errorf("%s --help names %s: %t, want %t", c.program.Name, opt.Name, got, want)
			}
			if got := strings.Contains(readme, "`"+opt.Name+"`"); got != want {
				t.Errorf("the README of %s names %s: %t, want %t", c.program.Name, opt.Name, got, want)
			}
			value := map[string]string{
				resource.OptionAllowRemoval: "Istio/a", resource.OptionKubeVersion: "v1.34.0",
			}[opt.Name]
			if len(opt.Values) > 0 {
				value = opt.Values[len(opt.Values)-1]
			}
			_, stderr := run("--"+opt.Name+"="+value, "--version")
			if got := stderr == ""; got != want {
				t.Errorf("%s --%s=%s: %t, want %t: %s", c.program.Name, opt.Name, value, got, want, stderr)
			}
		}
	}
}
