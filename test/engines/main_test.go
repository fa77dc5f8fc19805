package engines

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lateen-io/lateen/test/cluster"
)

// What the environment says: whether these tests are to run at all. `make test-engines` sets it.
const (
	engines = "ENGINES"
	// required says that what is missing is a failure, and no reason to skip: a program, or time.
	required = "required"
)

// ownNetwork is set in the environment of the process that runs the tests in a network of its own.
const ownNetwork = "LATEEN_OWN_NETWORK"

// root is the repository.
const root = "../.."

// programs are the engines' files, by name.
var programs map[string]string

// TestMain runs the tests in a network of their own, which has loopback only: Argo CD's application-controller
// listens on all interfaces, whatever it is told. It also shows that nothing here needs another network.
func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	flag.Parse()
	if os.Getenv(engines) == "" || testing.Short() {
		os.Exit(m.Run())
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	programs, err = find()
	if err != nil {
		return 1, err
	}
	if os.Getenv(ownNetwork) != "" {
		if err := raiseLoopback(); err != nil {
			return 1, fmt.Errorf("the network of the tests: %w", err)
		}
		return m.Run(), nil
	}
	cmd := exec.CommandContext(context.Background(), "/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), ownNetwork+"=true")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = inOwnNetwork()
	switch err := start(cmd); {
	case errors.Is(err, errors.ErrUnsupported):
		fmt.Fprintln(os.Stderr, "no network of their own for the tests:", err)
		return m.Run(), nil
	case err != nil:
		return 1, err
	}
	var ended *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &ended) {
		return 1, err
	}
	return cmd.ProcessState.ExitCode(), nil
}

// find gives the engines that the user's cache has. Where all are required, missing ones are built, which takes long.
func find() (map[string]string, error) {
	missing, err := Missing()
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 && os.Getenv(engines) != required {
		if os.Getenv(ownNetwork) != "" {
			return cached(missing) // and it has been said
		}
		fmt.Fprintln(os.Stderr, "not built, so their tests are skipped:", strings.Join(missing, ", "),
			"(`make test-engines` builds them)")
		return cached(missing)
	}
	if _, err := cluster.Programs(context.Background(), os.Stderr); err != nil {
		return nil, err
	}
	return Programs(context.Background(), os.Stderr)
}

// cached gives the engines' files but for those that are missing.
func cached(missing []string) (map[string]string, error) {
	var there []string
	for _, m := range modules {
		for _, p := range m.Products {
			if !slices.Contains(missing, p.Name) {
				there = append(there, p.Name)
			}
		}
	}
	if len(there) == 0 {
		return nil, nil
	}
	return cluster.Build(context.Background(), os.Stderr, modules, there...)
}

// needs skips a test if something is not there that it needs, and fails it where engines are required.
func needs(t *testing.T, found bool, what string) {
	t.Helper()
	switch {
	case found:
	case os.Getenv(engines) == required:
		t.Fatalf("%s, and %s=%s", what, engines, required)
	default:
		t.Skip(what)
	}
}

// needsProgram gives the path of a program that the machine has to have.
func needsProgram(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	needs(t, err == nil, name+" is not on this machine")
	return path
}

// needsEngine gives the files of an engine.
func needsEngine(t *testing.T, names ...string) {
	t.Helper()
	if os.Getenv(engines) == "" {
		t.Skip("needs the engines: `make test-engines`")
	}
	needs(t, !testing.Short(), "takes longer than -short allows")
	for _, name := range names {
		needs(t, programs[name] != "", name+" is not built (`make test-engines`)")
	}
}

// binary is a program that `make build` has built.
func binary(t *testing.T, name string) string {
	t.Helper()
	dir := os.Getenv("LATEEN_BIN")
	if dir == "" {
		dir = filepath.Join(root, "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v (`make build`)", err)
	}
	return path
}

// kustomize is the program of go.tools.mod.
func kustomize(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("LATEEN_KUSTOMIZE"); path != "" {
		return path
	}
	return binary(t, "tools/kustomize")
}
