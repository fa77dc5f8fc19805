package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestMeasure(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a.go": "// Package a has a job. And more.\npackage a\n\n// F is said.\nfunc F() {\n\t// nothing\n\n}\n\n" +
			"func G() { F() } // " + strings.Repeat("x", 120) + "\n\n// +kubebuilder:" + strings.Repeat("x", 120) + "\n\n" +
			"type T struct{}\n\nfunc (T) String() string { return \"\" }\n\nfunc (T) M() {}\n",
		"a/a_test.go":            "package a\n\nvar x = 1\n",
		"a/zz_generated.go":      "package a\n\nfunc Generated() {}\n",
		"a/testdata/b.go":        "this is no Go",
		"other/go.mod":           "module other\n",
		"other/b.go":             "package other\n",
		".hidden/c.go":           "package c\n",
		"internal/tests_test.go": "package internal\n",
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all, err := measure(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []*figures{
		{
			dir: "a", job: "Package a has a job.", code: 7, test: 2, longest: 4, name: "F", functions: 4, wide: 1,
			undocumented: []string{"G", "T", "M"},
		},
		{dir: "internal", test: 1},
	}
	if diff := cmp.Diff(want, all, cmp.AllowUnexported(figures{})); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var out bytes.Buffer
	if err := write(&out, all); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"without a comment in a: G, T, M", "0.29", "Package a has a job."} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("%q is not in:\n%s", line, out.String())
		}
	}
}
