package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/migrate/command"
)

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // the answer cannot be given
	exitUsage = 2 // the call is wrong
)

// failure is an error of a command that was called correctly.
type failure struct{ error }

func (f failure) Unwrap() error { return f.error }

// exit is the exit code of a command that has written its errors itself.
type exit int

func (e exit) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// Main runs the program in a process and returns the exit code.
func Main(p function.Process) int {
	// A first interrupt ends what is under way, and what is buffered is not written.
	root := newRoot(p)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	var code exit
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(p.Stderr, "%s: %v\n", calledAs(p.Args[0]), err)
	if errors.As(err, new(failure)) {
		return exitError
	}
	fmt.Fprintf(p.Stderr, "Run '%s --help' for usage.\n", calledAs(p.Args[0]))
	return exitUsage
}

// calledAs is what a person types to call the program: kubectl finds plugins by their name.
func calledAs(program string) string {
	name := strings.TrimSuffix(filepath.Base(program), ".exe")
	if plugin, ok := strings.CutPrefix(name, "kubectl-"); ok {
		return "kubectl " + plugin
	}
	return name
}

func newRoot(p function.Process) *cobra.Command {
	name := calledAs(p.Args[0])
	root := &cobra.Command{
		Use:           "lateen",
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:         "Istio revisions: who uses them, which versions there are",
		Args:          cobra.NoArgs,
		RunE:          func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(p.Args[1:])
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.AddCommand(newUsage(p, name), newVersions(), newMigrate(p, name), &cobra.Command{
		Use:   "version",
		Short: "Print the version of this program",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(c.OutOrStdout(), "lateen %s\n", version())
			return err
		},
	})
	return root
}

// version is that of the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && function.Version == "devel" && info.Main.Version != "" {
		return info.Main.Version
	}
	return function.Version
}

// newMigrate is the function migrate-istiooperator as a command: it reads its flags itself.
func newMigrate(p function.Process, name string) *cobra.Command {
	return &cobra.Command{
		Use:                "migrate -f FILE",
		Short:              "Turn IstioOperators into Istio and IstioCNI resources, offline",
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			p.Args = append([]string{name + " migrate"}, args...)
			if code := command.Named(name+" migrate", p); code != exitOK {
				return exit(code)
			}
			return nil
		},
	}
}
