package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/function"
)

// TestGolden renders testdata/*/istio.yaml and compares with expected.yaml beside it. `make golden` rewrites these.
func TestGolden(t *testing.T) {
	inputs, err := filepath.Glob("testdata/*/istio.yaml")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no cases in testdata (%v)", err)
	}
	for _, input := range inputs {
		t.Run(filepath.Base(filepath.Dir(input)), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := function.RenderIstio.Main(function.Process{
				Args: []string{"render-istio", "-f", input}, Stdin: strings.NewReader(""), Stdout: &stdout, Stderr: &stderr,
				Getenv: func(string) (string, bool) { return "", false },
			})
			if code != 0 {
				t.Fatalf("exit code %d: %s", code, stderr.String())
			}
			golden := filepath.Join(filepath.Dir(input), "expected.yaml")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				if err := os.WriteFile(golden, stdout.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), stdout.String()); diff != "" {
				t.Errorf("%s: -want +got (if that is meant, `make golden` and review the diff):\n%s", golden, diff)
			}
		})
	}
}
