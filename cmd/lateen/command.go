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

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/migrate/command"
)

// told is the exit code of a command that has written its errors itself.
type told int

func (c told) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// Main runs the program in a process and returns the exit code.
func Main(p function.Process) int {
	// A first interrupt ends what is under way, and what is buffered is not written.
	root := newRoot(p)
	running := false // the call was right: commands check all of it before they run
	root.PersistentPreRun = func(*cobra.Command, []string) { running = true }
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := root.ExecuteContext(ctx)
	var code told
	switch {
	case err == nil:
		return exit.OK
	case errors.As(err, &code):
		return int(code)
	}
	fmt.Fprintf(p.Stderr, "%s: %v\n", calledAs(p.Args[0]), err)
	if running {
		return exit.Wrong
	}
	fmt.Fprintf(p.Stderr, "Run '%s --help' for usage.\n", calledAs(p.Args[0]))
	return exit.Usage
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
	root.AddCommand(newUsage(p, name), newDeleteRevision(p, name), newVersions(), newMigrate(p, name), &cobra.Command{
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
			if code := command.Named(name+" migrate", p); code != exit.OK {
				return told(code)
			}
			return nil
		},
	}
}
