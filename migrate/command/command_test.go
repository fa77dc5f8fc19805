package command_test

import (
	"bytes"
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
		code := command.Main(function.Process{
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
