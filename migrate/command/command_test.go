package command_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/migrate/command"
)

// TestExitCodes is the table of package exit for the migration, and its sentences about what is no IstioOperator.
func TestExitCodes(t *testing.T) {
	const (
		operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\n" +
			"spec: {profile: minimal, tag: 1.28.3}\n"
		file = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n" // left out with a warning
	)
	for _, c := range []struct {
		reason, stdin string
		env           map[string]string
		args          []string
		want          int
		says          string // a line of standard error
	}{
		{"right", operator, nil, []string{"-f", "-"}, exit.OK, ""},
		{"right under --strict", operator, nil, []string{"-f", "-", "--strict"}, exit.OK, ""},
		{
			"a warning", operator + file, nil,
			[]string{"-f", "-"},
			exit.OK,
			"migrate-istiooperator: standard input:6:1: warning: Namespace/n: is not an IstioOperator and " +
				"was left out",
		},
		{
			"a warning under --strict", operator + file, nil,
			[]string{"-f", "-", "--strict"},
			exit.Warnings,
			"migrate-istiooperator: standard input:6:1: Namespace/n: is not an " +
				"IstioOperator and was left out (a warning, which option strict makes an error)",
		},
		{
			"a warning under LATEEN_STRICT", operator + file,
			map[string]string{"LATEEN_STRICT": "true"},
			[]string{"-f", "-"},
			exit.Warnings, "",
		},
		{
			"a warning, and an annotation",
			strings.Replace(operator, "name: m", `name: m, annotations: {lateen.io/strict: "true"}`, 1) + file, nil,
			[]string{"-f", "-"},
			exit.Warnings, "",
		},
		{
			"nothing to migrate", file, nil,
			[]string{"-f", "-"},
			exit.Wrong,
			"migrate-istiooperator: -: no IstioOperator of install.istio.io/v1alpha1 in it",
		},
		{
			"the wrong group", strings.Replace(operator, "install.istio.io", "operator.istio.io", 1), nil,
			[]string{"-f", "-"},
			exit.Wrong, "migrate-istiooperator: standard input:1:1: " +
				`IstioOperator/m: apiVersion: no function of Lateen expands "operator.istio.io/v1alpha1", kind ` +
				`IstioOperator; did you mean apiVersion: install.istio.io/v1alpha1?`,
		},
		{
			"a list", "apiVersion: v1\nkind: List\nitems:\n- " +
				strings.ReplaceAll(strings.TrimSuffix(operator, "\n"), "\n", "\n  ") + "\n", nil,
			[]string{"-f", "-"},
			exit.OK, "",
		},
		{"a wrong call", operator, nil, []string{"-f", "-", "--nonsense"}, exit.Usage, ""},
	} {
		var stdout, stderr bytes.Buffer
		code := command.Program.Main(function.Process{
			Args: append([]string{"migrate-istiooperator"}, c.args...), Stdin: strings.NewReader(c.stdin),
			Stdout: &stdout, Stderr: &stderr,
			Getenv: func(name string) (string, bool) { v, ok := c.env[name]; return v, ok },
		})
		if code != c.want || (code == exit.OK) != (stdout.Len() > 0) ||
			!strings.Contains("\n"+stderr.String(), "\n"+c.says) {
			t.Errorf("%s: exit code %d, want %d; %d bytes on standard output; standard error, want %q:\n%s", c.reason,
				code, c.want, stdout.Len(), c.says, stderr.String())
		}
	}
}

// TestCalls is the table of the ways to call the program that render nothing or another thing than files with -f.
func TestCalls(t *testing.T) {
	t.Parallel()
	const operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: m}\n" +
		"spec: {profile: minimal}\n"
	list := "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- " +
		strings.ReplaceAll(strings.TrimSuffix(operator, "\n"), "\n", "\n  ") + "\n"
	for _, c := range []struct {
		reason, stdin  string
		args           []string
		env            map[string]string
		terminal       bool
		code           int
		stdout, stderr string // contained in what is written; "" is nothing
	}{
		{reason: "help", args: []string{"--help"}, stdout: "Usage:\n  other -f operator.yaml"},
		{reason: "a person without files", terminal: true, stdout: "Usage:\n  other -f operator.yaml"},
		{reason: "its version", args: []string{"--version"}, stdout: "\nBundled Istio versions and the digests"},
		{reason: "a list", stdin: list, stdout: "kind: Istio\n", stderr: "an IstioOperator installs the version"},
		{
			reason: "a list and a version", stdin: list, args: []string{"--istio-version", "1.27.0"}, stdout: "version: v1.27.0",
			stderr: "profile minimal",
		},
		{
			reason: "the flag wins over the environment", stdin: operator, args: []string{"--istio-version", "1.27.0", "-"},
			env:    map[string]string{"LATEEN_ISTIO_VERSION": "1.26.0"},
			stdout: "version: v1.27.0", stderr: "profile minimal",
		},
		{
			reason: "the environment", stdin: operator, args: []string{"-"},
			env:    map[string]string{"LATEEN_ISTIO_VERSION": "1.26.0"},
			stdout: "version: v1.26.0", stderr: "profile minimal",
		},
		{
			reason: "a file that there is not", args: []string{"-f", "nowhere.yaml"}, code: exit.Wrong,
			stderr: "other: open nowhere.yaml",
		},
		{
			reason: "a variable that is nearly one", stdin: operator, args: []string{"-"},
			env:  map[string]string{"LATEEN_STRICTT": "true"},
			code: exit.Usage, stderr: "LATEEN_STRICTT",
		},
		{
			reason: "one that is nearly its own", stdin: operator, args: []string{"-"},
			env:  map[string]string{"LATEEN_ISTIO_VERSIO": "1.26.0"},
			code: exit.Usage, stderr: "did you mean LATEEN_ISTIO_VERSION?",
		},
		{
			reason: "a value that is none", stdin: operator, args: []string{"-"},
			env:  map[string]string{"LATEEN_STRICT": "perhaps"},
			code: exit.Usage, stderr: "other: environment variable LATEEN_STRICT: option strict",
		},
		{
			reason: "a flag that there is not", args: []string{"--nonsense"}, code: exit.Usage,
			stderr: "unknown flag: --nonsense\nRun 'other --help' for usage.\n",
		},
		{
			reason: "two of one name", stdin: operator + "---\n" + operator, args: []string{"-"}, code: exit.Wrong,
			stderr: "two IstioOperators both become Istio default (sailoperator.io): merge them into one",
		},
	} {
		var stdout, stderr bytes.Buffer
		var environ []string
		for name, value := range c.env {
			environ = append(environ, name+"="+value)
		}
		other := command.Program
		other.Name = "other"
		code := other.Main(function.Process{
			Args: append([]string{"program"}, c.args...), Stdin: strings.NewReader(c.stdin), Terminal: c.terminal,
			Stdout: &stdout, Stderr: &stderr,
			Getenv:  func(name string) (string, bool) { v, ok := c.env[name]; return v, ok },
			Environ: environ,
		})
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.reason, code, c.code)
		}
		for _, s := range []struct{ name, want, got string }{
			{"output", c.stdout, stdout.String()}, {"error", c.stderr, stderr.String()},
		} {
			if s.want == "" && s.got != "" || !strings.Contains(s.got, s.want) {
				t.Errorf("%s: standard %s is to contain %q:\n%s", c.reason, s.name, s.want, s.got)
			}
		}
	}
}

// TestOptionsInReadme: the README has every option.
func TestOptionsInReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../functions/migrate-istiooperator/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, opt := range command.Program.Options {
		if !strings.Contains(string(readme), "\n| `"+opt.Name+"` |") {
			t.Errorf("the README does not name %s", opt.Name)
		}
	}
}
