// Package e2e runs the built function under the programs that people call it with: kustomize, kubectl, kpt, a shell.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// root is the repository.
const root = "../.."

// bin is the directory with the built functions.
var bin string

func TestMain(m *testing.M) {
	code := 1
	defer func() { os.Exit(code) }()
	bin = os.Getenv("LATEEN_BIN")
	if bin == "" { // not called by make
		dir, err := os.MkdirTemp("", "lateen-bin-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return
		}
		defer os.RemoveAll(dir)
		cmd := exec.CommandContext(context.Background(), "go", "build", "-o", dir, "../../functions/...")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "building the functions: %v\n%s", err, out)
			return
		}
		bin = dir
	}
	code = m.Run()
}

// tool finds a program that the tests need. Outside CI, a machine without it skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv("LATEEN_" + strings.ToUpper(name)); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "" {
		t.Skipf("%s is not on this machine (kustomize and helm: run `make test`; kpt and kubectl: install them)", name)
	}
	t.Fatalf("%s is not on this machine, and CI runs every test", name)
	return ""
}

// run starts a program with the functions on PATH and nothing else of Lateen in the environment.
type run struct {
	dir   string
	env   []string
	stdin string
}

type output struct{ stdout, stderr string }

func (r run) command(t *testing.T, name string, args ...string) (output, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = r.dir
	cmd.Stdin = strings.NewReader(r.stdin)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "LATEEN_") && !strings.HasPrefix(e, "PATH=") && !strings.HasPrefix(e, "KUSTOMIZE_") {
			cmd.Env = append(cmd.Env, e)
		}
	}
	cmd.Env = append(append(cmd.Env, "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH")), r.env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	return output{stdout.String(), stderr.String()}, err
}

func (r run) must(t *testing.T, name string, args ...string) output {
	t.Helper()
	out, err := r.command(t, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.stdout, out.stderr)
	}
	return out
}

// fails runs a program that must fail and returns what it printed.
func (r run) fails(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := r.command(t, name, args...)
	if _, failed := errors.AsType[*exec.ExitError](err); !failed {
		t.Fatalf("%s %s: exit 0 was not expected (%v)\n%s%s", name, strings.Join(args, " "), err, out.stdout, out.stderr)
	}
	return out.stdout + out.stderr
}

// objects reads YAML documents as plain data, by kind, namespace and name, without what kpt notes on items in files.
func objects(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	out := map[string]map[string]any{}
	for doc := range strings.SplitSeq("\n"+text, "\n---\n") {
		var o map[string]any
		if err := yaml.Unmarshal([]byte(doc), &o); err != nil {
			t.Fatalf("%v in:\n%s", err, doc)
		}
		if len(o) == 0 {
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		key := fmt.Sprint(o["kind"], " ", meta["namespace"], "/", meta["name"])
		if _, twice := out[key]; twice {
			t.Fatalf("%s is there twice", key)
		}
		out[key] = o
	}
	return out
}

// without drops the objects of some kinds.
func without(all map[string]map[string]any, kinds ...string) map[string]map[string]any {
	for key, o := range all {
		for _, k := range kinds {
			if o["kind"] == k {
				delete(all, key)
			}
		}
	}
	return all
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// edit replaces text in a file; the text must be there.
func edit(t *testing.T, file, from, to string) {
	t.Helper()
	text := read(t, file)
	if !strings.Contains(text, from) {
		t.Fatalf("%s does not contain %q", file, from)
	}
	write(t, file, strings.ReplaceAll(text, from, to))
}

func kustomizeBuild(t *testing.T, dir string) (output, error) {
	t.Helper()
	return run{}.command(t, tool(t, "kustomize"), "build", "--enable-alpha-plugins", "--enable-exec", dir)
}
