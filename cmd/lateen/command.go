package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
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
	if running {
		return p.Finish(calledAs(p.Args[0]), err)
	}
	return p.WrongCall(calledAs(p.Args[0]), err)
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
	version := false
	root := &cobra.Command{
		Use:         "lateen",
		Annotations: map[string]string{cobra.CommandDisplayNameAnnotation: name},
		Short:       "Istio revisions: who uses them, which versions there are",
		Args:        cobra.NoArgs,
		RunE: func(c *cobra.Command, args []string) error {
			if version {
				return printVersion(c, args)
			}
			return c.Help()
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.Flags().BoolVar(&version, "version", false, "print the version of this program")
	root.SetArgs(p.Args[1:])
	root.SetIn(p.Stdin)
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.AddCommand(
		newUsage(p, name), newDeleteRevision(p, name), newVersions(),
		newFunction(p, name, "migrate", "-f FILE", "Turn IstioOperators into Istio and IstioCNI resources, offline",
			command.Program),
		&cobra.Command{
			Use: "version", Short: "Print the version of this program", Args: cobra.NoArgs, RunE: printVersion,
		})
	return root
}

func printVersion(c *cobra.Command, _ []string) error {
	_, err := fmt.Fprintf(c.OutOrStdout(), "lateen %s\n", function.BuildVersion())
	return err
}

// newFunction is the program of a function as a command: it reads its flags itself.
func newFunction(p function.Process, parent, name, args, short string, prog function.Program) *cobra.Command {
	return &cobra.Command{
		Use:                name + " " + args,
		Short:              short,
		DisableFlagParsing: true,
		RunE: func(_ *cobra.Command, args []string) error {
			prog.Name = parent + " " + name
			p.Args = append([]string{prog.Name}, args...)
			if code := prog.Main(p); code != exit.OK {
				return told(code)
			}
			return nil
		},
	}
}
