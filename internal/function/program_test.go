package function_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// asked is what a program has been asked for.
type asked struct {
	Files   []string
	Options resource.Settings
}

// TestArguments is the table of the ways to write a call. Go's own flags, which the programs had, know some of them.
func TestArguments(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, name := range []string{"a.yaml", "b.yaml", "-crds", "include"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("kind: Thing\nmetadata: {name: a}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	a := []string{"a.yaml"}
	for _, c := range []struct {
		reason, args string
		want         asked
		stderr       string // of a wrong call
	}{
		{"a file", "-f a.yaml", asked{a, nil}, ""},
		{"a file, joined", "-f=a.yaml", asked{a, nil}, ""},
		{"a file, two dashes", "--f a.yaml", asked{a, nil}, ""},
		{"a file, long", "--file a.yaml", asked{a, nil}, ""},
		{"files", "-f a.yaml -f b.yaml", asked{[]string{"a.yaml", "b.yaml"}, nil}, ""},
		{"a plain file, as kustomize calls plugins", "a.yaml", asked{a, nil}, ""},
		{"plain files come last", "b.yaml -f a.yaml", asked{[]string{"a.yaml", "b.yaml"}, nil}, ""},
		{"standard input", "-f -", asked{[]string{"standard input"}, nil}, ""},
		{"standard input, plain", "-", asked{[]string{"standard input"}, nil}, ""},
		{"a file that looks like a flag", "-f -crds", asked{[]string{"-crds"}, nil}, ""},
		{"what is no flag any more", "-- -crds include", asked{[]string{"-crds", "include"}, nil}, ""},
		{"a flag alone", "--crds -f a.yaml", asked{a, resource.Settings{"crds": "include"}}, ""},
		{"a flag alone, before a file", "--crds a.yaml", asked{a, resource.Settings{"crds": "include"}}, ""},
		{"a flag alone, at the end", "a.yaml --strict", asked{a, resource.Settings{"strict": "true"}}, ""},
		{"a flag with a value", "--crds exclude a.yaml", asked{a, resource.Settings{"crds": "exclude"}}, ""},
		{"a flag with a value, joined", "--crds=exclude a.yaml", asked{a, resource.Settings{"crds": "exclude"}}, ""},
		{"one dash", "-crds -f a.yaml", asked{a, resource.Settings{"crds": "include"}}, ""},
		{"one dash and a value", "-crds exclude a.yaml", asked{a, resource.Settings{"crds": "exclude"}}, ""},
		{"one dash, joined", "-crds=exclude a.yaml", asked{a, resource.Settings{"crds": "exclude"}}, ""},
		{"any text", "-charts -x -f a.yaml", asked{a, resource.Settings{"charts": "-x"}}, ""},
		{"any text, joined", "--charts=a=b a.yaml", asked{a, resource.Settings{"charts": "a=b"}}, ""},
		{"the last one counts", "--crds --crds=exclude a.yaml", asked{a, resource.Settings{"crds": "exclude"}}, ""},
		{"a value of three", "--protect teardown a.yaml", asked{a, resource.Settings{"protect": "teardown"}}, ""},
		{"an unknown flag", "a.yaml --platfrom gke", asked{}, "unknown flag: --platfrom\n"},
		{"an unknown flag, one dash", "-fluxx a.yaml", asked{}, "unknown flag: --fluxx\n"},
		{"an unknown letter", "-x a.yaml", asked{}, "unknown shorthand flag: 'x' in -x\n"},
		{"a value that is missing", "a.yaml --charts", asked{}, "flag needs an argument: --charts\n"},
		{"an empty name", "-f= a.yaml", asked{}, "the name of a file is empty; standard input is called -\n"},
		{"no value", "--crds= a.yaml", asked{}, "option crds is \"\"; possible are: exclude, include\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var got asked
			code, _, stderr := run(&got, "kind: Thing\n", strings.Fields(c.args)...)
			if c.want.Options == nil && c.stderr == "" {
				c.want.Options = resource.Settings{}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			want := exit.OK
			if c.stderr != "" {
				want = exit.Usage
			}
			if code != want || !strings.Contains(stderr, c.stderr) || c.stderr == "" && stderr != "" {
				t.Errorf("exit code %d, want %d, stderr %q, want %q", code, want, stderr, c.stderr)
			}
		})
	}
}

// run calls a program whose options are all there are, and notes down what it is asked for.
func run(got *asked, stdin string, args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = function.Program{
		Name: "thing", Does: "does nothing.", Files: "thing.yaml", Takes: "Thing", Options: resource.AllOptions,
		Examples: "  NAME -f -\n",
		List:     func(in *krm.List, _ resource.Settings) *krm.List { return in },
		Expand: func(items []manifest.Object, options resource.Settings) (function.Expansion, error) {
			got.Options = options
			for _, o := range items {
				got.Files = append(got.Files, o.Place().File)
			}
			return function.Expansion{Taken: len(items)}, nil
		},
	}.Main(function.Process{
		Args: append([]string{"/bin/thing"}, args...), Stdin: strings.NewReader(stdin), Stdout: &out, Stderr: &err,
		Getenv: func(string) (string, bool) { return "", false },
	})
	return code, out.String(), err.String()
}

// TestHelp: every flag is in the help, whatever the program is called, and no line is too wide for a terminal.
func TestHelp(t *testing.T) {
	for _, arg := range []string{"-h", "--help", "-help"} {
		code, stdout, stderr := run(&asked{}, "", arg)
		if code != exit.OK || stderr != "" {
			t.Errorf("%s: exit code %d, %s", arg, code, stderr)
		}
		for _, want := range []string{
			"thing does nothing.\n", "\n  thing -f thing.yaml [options]\n", "\n  thing -f -\n", "\n  -f, --file FILE ",
			"\n      --version ", "\n      --crds exclude|include[=include] ", "(default exclude)", "\n  -h, --help ",
			exit.Table,
		} {
			if !strings.Contains(stdout, want) {
				t.Errorf("%s does not say %q:\n%s", arg, want, stdout)
			}
		}
		for line := range strings.Lines(stdout) {
			if len(line) > 101 {
				t.Errorf("%d characters: %s", len(line), line)
			}
		}
	}
}

// TestExpansion is what a program makes of what its function gives.
func TestExpansion(t *testing.T) {
	t.Parallel()
	object, err := resource.ParseFile("f", []byte("kind: Thing\nmetadata: {name: a}\n"))
	if err != nil {
		t.Fatal(err)
	}
	const written = "kind: Thing\nmetadata: {name: a}\n"
	wrong := finding.List{{Severity: finding.Error, Message: "wrong\n"}}
	for _, c := range []struct {
		reason         string
		gives          function.Expansion
		err            error
		code           int
		stdout, stderr string
	}{
		{"objects", function.Expansion{Objects: object, Taken: 1}, nil, exit.OK, written, ""},
		{"no objects", function.Expansion{Taken: 1}, nil, exit.OK, "", ""},
		{"nothing for it", function.Expansion{}, nil, exit.Wrong, "", "thing: -: no Thing in it\n"},
		{"an error", function.Expansion{Objects: object, Taken: 1}, errors.New("x"), exit.Wrong, "", "thing: x\n"},
		{
			"a finding, which says it all",
			function.Expansion{Objects: object, Taken: 1, Findings: wrong},
			errors.New("x"),
			exit.Wrong, "", "thing: wrong\n",
		},
		{
			"a warning", function.Expansion{
				Objects: object, Taken: 1, Findings: finding.List{{Severity: finding.Warning, Message: "careful", File: "f"}},
			}, nil, exit.OK, written, "thing: f: warning: careful\n",
		},
	} {
		var stdout, stderr bytes.Buffer
		code := function.Program{
			Name: "thing", Takes: "Thing",
			Expand: func([]manifest.Object, resource.Settings) (function.Expansion, error) { return c.gives, c.err },
		}.Main(function.Process{
			Args: []string{"thing", "-"}, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
			Getenv: func(string) (string, bool) { return "", false },
		})
		if diff := cmp.Diff([]any{c.code, c.stdout, c.stderr}, []any{code, stdout.String(), stderr.String()}); diff != "" {
			t.Errorf("%s: exit code, stdout, stderr: -want +got:\n%s", c.reason, diff)
		}
	}
}
