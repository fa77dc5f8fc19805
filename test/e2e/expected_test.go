package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestExpectedGolden runs the examples of the functions in the layout of kpt's own runner: a package, and beside it
// .expected/config.yaml (exitCode), diff.patch (what rendering changes, as git prints it) and results.yaml. Unlike that
// runner, it also renders in place a second time; and the Kptfile is called Kptfile.example, since kpt renders every
// package below a package, .krmignore or not, and the root of the repository is one. `make golden` rewrites diff.patch
// and results.yaml.
func TestExpectedGolden(t *testing.T) {
	examples, err := filepath.Glob(root + "/functions/*/examples/*/.expected")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples found (%v)", err)
	}
	for _, expected := range examples {
		example := filepath.Dir(expected)
		t.Run(filepath.ToSlash(strings.TrimPrefix(example, root)), func(t *testing.T) {
			var config struct {
				ExitCode int `json:"exitCode"`
			}
			if err := yaml.UnmarshalStrict([]byte(read(t, filepath.Join(expected, "config.yaml"))), &config); err != nil {
				t.Fatal(err)
			}
			r := newRepo(t, func(dir string) {
				if err := os.CopyFS(dir, os.DirFS(example)); err != nil {
					t.Fatal(err)
				}
				if err := os.RemoveAll(filepath.Join(dir, ".expected")); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(filepath.Join(dir, "Kptfile.example"), filepath.Join(dir, "Kptfile")); err != nil {
					t.Fatal(err)
				}
			})
			results := t.TempDir()
			out, err := run{dir: r.dir}.command(t, r.kpt, "fn", "render", "--allow-exec", "--results-dir", results)
			code := 0
			if exit, failed := errors.AsType[*exec.ExitError](err); failed {
				code = exit.ExitCode()
			}
			if code != config.ExitCode {
				t.Errorf("exit code %d, want %d:\n%s%s", code, config.ExitCode, out.stdout, out.stderr)
			}
			r.git("add", "-A")
			compareFile(t, filepath.Join(expected, "diff.patch"),
				r.git("diff", "--cached", "--no-color", "--no-ext-diff", "--abbrev=7"))
			compareFile(t, filepath.Join(expected, "results.yaml"), read(t, filepath.Join(results, "results.yaml")))
			if config.ExitCode == 0 {
				r.commit()
				r.render()
				if changed := r.status(); changed != "" {
					t.Errorf("rendering twice changed:\n%s", changed)
				}
			}
		})
	}
}

// TestOneKptfile keeps the repository a package that renders its sample and nothing else.
func TestOneKptfile(t *testing.T) {
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Name() == "Kptfile" && filepath.Dir(path) != filepath.Clean(root) {
			t.Errorf("%s: kpt would render it with the root of the repository; call it Kptfile.example", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// compareFile holds text against a golden file, or writes it.
func compareFile(t *testing.T, golden, got string) {
	t.Helper()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, golden, got)
		return
	}
	if diff := cmp.Diff(read(t, golden), got); diff != "" {
		t.Errorf("%s: -want +got (if that is meant, `make golden` and review the diff):\n%s", golden, diff)
	}
}
