package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/release"
)

// result is what one call of the program gives.
type result struct {
	code           int
	stdout, stderr string
}

func call(args ...string) result { return callAs("/bin/lateen", "", args...) }

func callAs(program, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := Main(function.Process{
		Args: append([]string{program}, args...), Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Getenv: func(string) (string, bool) { return "", false },
	})
	return result{code, stdout.String(), stderr.String()}
}

// TestCalls covers the ways to call the program, as far as no cluster is asked.
func TestCalls(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nobody := filepath.Join(dir, "nobody") // a cluster that does not answer
	kubeconfig := `{"apiVersion": "v1", "kind": "Config", "current-context": "nobody",
"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
"contexts": [{"name": "nobody", "context": {"cluster": "c"}}, {"name": "/", "context": {"cluster": "c"}}]}`
	if err := os.WriteFile(nobody, []byte(kubeconfig), 0o600); err != nil {
		t.Fatal(err)
	}
	const operator = "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a}\n" +
		"spec: {tag: 1.28.3}\n"
	for _, c := range []struct {
		reason, program, stdin string
		args                   []string
		code                   int
		stdout, stderr         string // contained; empty means nothing at all
	}{
		{reason: "no command", stdout: "usage           Who uses which revision"},
		{
			reason: "the name of the program is in examples", args: []string{"usage", "--help"},
			stdout: "\n  lateen usage -o yaml --name west > usage-west.yaml",
		},
		{
			reason: "a plugin of kubectl", program: "/x/kubectl-lateen", args: []string{"usage", "--help"},
			stdout: "Usage:\n  kubectl lateen usage [NAME...] [flags]",
		},
		{
			reason: "the help of a plugin", program: "kubectl-lateen.exe", args: []string{"--help"},
			stdout: "Use \"kubectl lateen [command] --help\"",
		},
		{
			reason: "errors of a plugin", program: "kubectl-lateen", args: []string{"x"}, code: 2,
			stderr: "Run 'kubectl lateen --help' for usage.",
		},
		{reason: "an unknown command", args: []string{"nonsense"}, code: 2, stderr: `unknown command "nonsense"`},
		{reason: "an unknown flag", args: []string{"usage", "--nonsense"}, code: 2, stderr: "unknown flag: --nonsense"},
		{
			reason: "an unknown format", args: []string{"usage", "-o", "xml"}, code: 2,
			stderr: `--output is "xml"; possible are: table, yaml, json, dot, mermaid, html`,
		},
		{
			reason: "names have no format", args: []string{"usage", "--unused", "-o", "yaml"}, code: 2,
			stderr: "leave out --output",
		},
		{
			reason: "a report is complete", args: []string{"usage", "-o", "yaml", "default"}, code: 2,
			stderr: "leave out the names",
		},
		{reason: "a report is short", args: []string{"usage", "-o", "json", "-A"}, code: 2, stderr: "leave out --all-users"},
		{reason: "a name of what", args: []string{"usage", "--name", "west"}, code: 2, stderr: "add --output yaml"},
		{
			reason: "a name that is none", args: []string{"usage", "--name", "West!", "-o", "yaml"}, code: 2,
			stderr: "--name: a lowercase RFC 1123 subdomain",
		},
		{
			reason: "no time", args: []string{"usage", "--timeout", "0s"}, code: 2,
			stderr: "--timeout must be more than nothing",
		},
		{
			reason: "no kubeconfig", args: []string{"usage", "--kubeconfig", dir + "/none"}, code: 1,
			stderr: "none: no such file",
		},
		{
			reason: "nobody answers: no table", args: []string{"usage", "--kubeconfig", nobody}, code: 1,
			stderr: "the cluster could not be seen completely, so that nothing can be said about who uses what: ",
		},
		{
			reason: "nobody answers: nothing is unused", args: []string{"usage", "--unused", "--kubeconfig", nobody}, code: 1,
			stderr: "nothing can be said",
		},
		{
			reason: "nobody answers: no report", args: []string{"usage", "-o", "yaml", "--kubeconfig", nobody}, code: 1,
			stderr: "nothing can be said",
		},
		{
			reason: "nothing to name the report after",
			args:   []string{"usage", "-o", "yaml", "--kubeconfig", nobody, "--context", "/"}, code: 1,
			stderr: "a usage report names its cluster, and there is no context to name it after",
		},
		{
			reason: "migrate", stdin: operator, args: []string{"migrate", "-f", "-"}, stdout: "version: v1.28.3",
			stderr: "lateen migrate: standard input:4:",
		},
		{
			reason: "migrate has its own help, with the name that it was called by", args: []string{"migrate", "--help"},
			stdout: "lateen migrate -f operator.yaml [options]",
		},
		{
			reason: "migrate has its own errors, once", args: []string{"migrate", "--nonsense"}, code: 2,
			stderr: "lateen migrate: unknown flag: --nonsense\nRun 'lateen migrate --help' for usage.\n",
		},
		{
			reason: "migrate of nothing", stdin: "kind: x\n", args: []string{"migrate", "-f", "-"}, code: 1,
			stderr: "no IstioOperator",
		},
		{reason: "version", args: []string{"version"}, stdout: "lateen "},
		{reason: "version as a flag", args: []string{"--version"}, stdout: "lateen "},
		{reason: "versions", args: []string{"versions"}, stdout: "v1.28.3   yes       -             v1.28-latest\n"},
		{
			reason: "versions: only the newest of a minor has the alias", args: []string{"versions"},
			stdout: "v1.24.0   -         2025-06       -\n",
		},
		{reason: "versions take no name", args: []string{"versions", "v1.28.3"}, code: 2, stderr: "unknown command"},
		{
			reason: "versions in another format", args: []string{"versions", "-o", "yaml"}, code: 2,
			stderr: `--output is "yaml"; possible are: table, json`,
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			program := c.program
			if program == "" {
				program = "lateen"
			}
			got := callAs(program, c.stdin, c.args...)
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

// full is a file on a disk without space.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

// TestCannotWrite: what cannot be written is no wrong call.
func TestCannotWrite(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"versions"}, {"versions", "-o", "json"}, {"version"}, {"--version"}, {"completion", "bash"},
	} {
		var stderr bytes.Buffer
		code := Main(function.Process{
			Args: append([]string{"/bin/lateen"}, args...), Stdin: strings.NewReader(""), Stdout: full{}, Stderr: &stderr,
			Getenv: func(string) (string, bool) { return "", false },
		})
		if want := "lateen: no space left on device\n"; code != exit.Wrong || stderr.String() != want {
			t.Errorf("%s: exit code %d, stderr %q, want 1 and %q", args, code, stderr.String(), want)
		}
	}
}

// TestVersions holds the list against the catalogue.
func TestVersions(t *testing.T) {
	t.Parallel()
	var got []istioVersion
	if err := json.Unmarshal([]byte(call("versions", "-o", "json").stdout), &got); err != nil {
		t.Fatal(err)
	}
	catalogue := release.Bundled()
	var versions []string
	for _, v := range got {
		versions = append(versions, v.Version)
		if v.Missing {
			t.Errorf("%s is not in this build: make bundles", v.Version)
		}
		if v.Default != (v.Version == catalogue.Default()) {
			t.Errorf("%s: default %t", v.Version, v.Default)
		}
		for _, alias := range v.Aliases {
			r, err := catalogue.Resolve(alias, nil)
			if err != nil || r.Version != v.Version {
				t.Errorf("%s is %s (%v), not %s", alias, r.Version, err, v.Version)
			}
		}
	}
	if diff := cmp.Diff(catalogue.Versions(), versions); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestValidName: whatever a context is called, a report has a name that its cluster can be listed by.
func TestValidName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, context, want string }{
		{"as it is", "west", "west"},
		{"EKS", "arn:aws:eks:us-east-1:123456789012:cluster/West", "arn-aws-eks-us-east-1-123456789012-cluster-west"},
		{"kubeadm", "kubernetes-admin@west.example.com", "kubernetes-admin-west.example.com"},
		{"OpenShift", "default/api-west-example-com:6443/kube:admin", "default-api-west-example-com-6443-kube-admin"},
		{"GKE", "gke_project_europe-west1_west", "gke-project-europe-west1-west"},
		{"no dots and dashes where none may be", "_.-a.-.b-._", "a.b"},
		{"nothing is left", "数/", ""},
		{"too long", strings.Repeat("x", 300), strings.Repeat("x", 253)},
	} {
		if diff := cmp.Diff(c.want, validName(c.context)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
