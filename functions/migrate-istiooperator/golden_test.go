package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/migrate/command"
)

// result is what one call of the program gives.
type result struct {
	code           int
	stdout, stderr string
}

func call(stdin string, env map[string]string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := command.Program.Main(function.Process{
		Args: append([]string{"migrate-istiooperator"}, args...), Stdin: strings.NewReader(stdin), Stdout: &stdout,
		Stderr: &stderr,
		Getenv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
	})
	return result{code, stdout.String(), stderr.String()}
}

// TestGolden migrates testdata/*/operator.yaml and compares with expected.yaml, the resources, and findings.txt, what
// goes to standard error, beside it. `make golden` rewrites these.
func TestGolden(t *testing.T) {
	t.Parallel()
	inputs, err := filepath.Glob("testdata/*/operator.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases in testdata (%v)", err)
	}
	for _, input := range inputs {
		dir := filepath.Dir(input)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			t.Parallel()
			got := call("", nil, "-f", input)
			if got.code != 0 {
				t.Fatalf("exit code %d: %s", got.code, got.stderr)
			}
			for name, text := range map[string]string{"expected.yaml": got.stdout, "findings.txt": got.stderr} {
				golden := filepath.Join(dir, name)
				if os.Getenv("UPDATE_GOLDEN") != "" {
					if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
						t.Fatal(err)
					}
					continue
				}
				want, err := os.ReadFile(golden)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(string(want), text); diff != "" {
					t.Errorf("%s: -want +got (if that is meant, `make golden` and review the diff):\n%s", golden, diff)
				}
			}
		})
	}
}

// TestCalls covers the ways to call the program.
func TestCalls(t *testing.T) {
	t.Parallel()
	const operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a}\nspec:\n" +
		"  profile: minimal\n"
	const list = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: " +
		"install.istio.io/v1alpha1\n  kind: IstioOperator\n" +
		"  metadata: {name: a}\n  spec: {profile: minimal, tag: 1.28.3, nonsense: 1}\n"
	for _, c := range []struct {
		reason, stdin  string
		env            map[string]string
		args           []string
		code           int
		stdout, stderr string // contained; empty means nothing at all
	}{
		{reason: "help has examples", args: []string{"--help"}, stdout: "kpt fn eval . --exec migrate-istiooperator"},
		{reason: "version lists what is bundled", args: []string{"--version"}, stdout: "v1.28.3"},
		{reason: "an unknown flag", args: []string{"--crds"}, code: 2, stderr: "unknown flag: --crds"},
		{reason: "a missing file", args: []string{"-f", "/does/not/exist.yaml"}, code: 1, stderr: "no such file"},
		{reason: "no YAML", stdin: "a: [", args: []string{"-f", "-"}, code: 1, stderr: "standard input: not YAML"},
		{reason: "empty standard input", code: 1, stderr: "a ResourceList is expected"},
		{
			reason: "no IstioOperator", stdin: "kind: ConfigMap\n", args: []string{"-f", "-"}, code: 1,
			stderr: "no IstioOperator of install.istio.io/v1alpha1 in it",
		},
		{
			reason: "findings have their place", stdin: operator, args: []string{"-f", "-"}, stdout: "version: v1.28.3",
			stderr: "standard input:4:1: warning: IstioOperator/a: an IstioOperator installs",
		},
		{
			reason: "notes say that they are", stdin: operator, args: []string{"-f", "-"}, stdout: "kind: Istio",
			stderr: "standard input:5:3: info: IstioOperator/a: the profile minimal",
		},
		{
			reason: "a version as flag", stdin: operator, args: []string{"--istio-version", "1.27.0", "-f", "-"},
			stdout: "version: v1.27.0", stderr: "info",
		},
		{
			reason: "a version from the environment", stdin: operator, env: map[string]string{"LATEEN_ISTIO_VERSION": "v1.26.0"},
			args: []string{"-"}, stdout: "version: v1.26.0", stderr: "info",
		},
		{
			reason: "a version that is none", stdin: operator, args: []string{"--istio-version", "latest", "-f", "-"}, code: 1,
			stderr: "spec.version",
		},
		{
			reason: "other resources are left out", stdin: "kind: ConfigMap\nmetadata: {name: c}\n---\n" + operator,
			args: []string{"-f", "-"}, stdout: "kind: Istio",
			stderr: "standard input:1:1: warning: ConfigMap/c: is not an IstioOperator",
		},
		{
			reason: "two of one name", stdin: operator + "---\n" + operator, args: []string{"-f", "-"}, code: 1,
			stderr: "both become Istio default",
		},
		{
			reason: "bad input", stdin: operator + "  values: 1\n", args: []string{"-f", "-"}, code: 1,
			stderr: "standard input:6:3: IstioOperator/a: spec.values must be an object",
		},
		{
			reason: "as a function, warnings go where results are not shown", stdin: list, stdout: "kind: Istio\n",
			stderr: "spec.nonsense (1): not a field",
		},
		{
			reason: "as a function under kpt, results are enough",
			stdin: strings.Replace(list, "{name: a}", "{name: a, annotations: {internal.config.kubernetes.io/path: a.yaml}}",
				1), stdout: "severity: warning",
		},
		{
			reason: "as a function, an error", stdin: strings.Replace(list, "nonsense: 1", "values: 1", 1), code: 1,
			stdout: "severity: error", stderr: "spec.values must be an object",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			got := call(c.stdin, c.env, c.args...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d", got.code, c.code)
			}
			for _, s := range []struct{ name, want, got string }{
				{"stdout", c.stdout, got.stdout}, {"stderr", c.stderr, got.stderr},
			} {
				if s.want == "" && s.got != "" || !strings.Contains(s.got, s.want) {
					t.Errorf("%s is to contain %q:\n%s", s.name, s.want, s.got)
				}
			}
		})
	}
}
