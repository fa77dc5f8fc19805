package cluster

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// program is a server, and the package of its main function.
type program struct{ name, path string }

// all are the programs that a control plane has.
var all = []program{
	{"etcd", "go.etcd.io/etcd/server/v3"},
	{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
}

// Programs gives a directory with etcd and kube-apiserver: $KUBEBUILDER_ASSETS if it has them, else one in the user's cache,
// named after their version and the digest of the module that pins them. Whoever is first builds them into it, which takes
// minutes, and says so on progress.
func Programs(ctx context.Context, progress io.Writer) (string, error) {
	if assets := os.Getenv("KUBEBUILDER_ASSETS"); assets != "" && complete(assets) {
		return filepath.Abs(assets)
	}
	source, err := findSource()
	if err != nil {
		return "", err
	}
	dir, err := source.cache()
	if err != nil {
		return "", err
	}
	if complete(dir) {
		return dir, nil
	}
	if err := source.buildInto(ctx, dir, progress); err != nil {
		return "", fmt.Errorf("building the control plane's programs: %w", err)
	}
	return dir, nil
}

// complete tells whether all programs are in a directory.
func complete(dir string) bool {
	for _, p := range all {
		info, err := os.Stat(filepath.Join(dir, p.name)) //nolint:gosec // whoever runs a test says in its environment where programs are
		if err != nil || !info.Mode().IsRegular() {
			return false
		}
	}
	return true
}

// source is the module test/cluster/programs.
type source struct {
	dir string
	// version is that of Kubernetes.
	version string
	// digest is that of everything that decides what comes out of a build, except the Go version.
	digest string
}

// findSource looks for the module upwards from the working directory: tests run in the directory of their package.
func findSource() (source, error) {
	start, err := os.Getwd()
	if err != nil {
		return source{}, err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		s, err := readSource(filepath.Join(dir, "test", "cluster", "programs"))
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		if dir == filepath.Dir(dir) {
			return source{}, fmt.Errorf("neither %s nor a directory above has test/cluster/programs, the module of the control plane", start)
		}
	}
}

// required is the line of go.mod that requires Kubernetes.
var required = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)`)

func readSource(dir string) (source, error) {
	s := source{dir: dir}
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return s, err
		}
		hash.Write(content)
		if match := required.FindSubmatch(content); match != nil && s.version == "" {
			s.version = string(match[1])
		}
	}
	if s.version == "" {
		return s, fmt.Errorf("%s requires no k8s.io/kubernetes", filepath.Join(dir, "go.mod"))
	}
	for _, p := range all {
		fmt.Fprintf(hash, "%q\n", s.arguments(p))
	}
	fmt.Fprintf(hash, "%s/%s\n", runtime.GOOS, runtime.GOARCH)
	s.digest = hex.EncodeToString(hash.Sum(nil)[:6])
	return s, nil
}

// arguments are those with which the go command builds a program. It is still told where to put it.
func (s source) arguments(p program) []string {
	return []string{
		"build", "-mod=readonly", "-trimpath",
		"-ldflags", "-s -w -X k8s.io/component-base/version.gitVersion=" + s.version,
		p.path,
	}
}

// cache is where the built programs belong.
func (s source) cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "lateen", "cluster", s.version+"-"+s.digest), nil
}

// buildInto builds the programs so that the directory is either complete or absent, and only once however many processes
// want it at the same time.
func (s source) buildInto(ctx context.Context, dir string, progress io.Writer) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	unlock, err := lock(dir + ".lock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if complete(dir) {
		return nil // by the process that had the lock before us
	}
	unfinished, err := os.MkdirTemp(filepath.Dir(dir), "unfinished-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(unfinished)) }()
	fmt.Fprintf(progress, "building Kubernetes %s for the tests, once: this takes some minutes\n", s.version)
	for _, p := range all {
		begin := time.Now()
		if err := s.build(ctx, p, filepath.Join(unfinished, p.name)); err != nil {
			return err
		}
		fmt.Fprintf(progress, "built %s in %s\n", p.name, time.Since(begin).Round(time.Second))
	}
	if err := os.RemoveAll(dir); err != nil { // somebody has removed a part of it
		return err
	}
	return os.Rename(unfinished, dir)
}

func (s source) build(ctx context.Context, p program, file string) error {
	args := s.arguments(p)
	args = append([]string{args[0], "-o", file}, args[1:]...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), s.dir, err, output)
	}
	return nil
}
