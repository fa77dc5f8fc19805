// Command dev keeps a control plane for a developer to play with: etcd, API server, controllers and two fake nodes,
// with Lateen's CRDs, in the background.
//
//	dev up      starts it, unless it runs, and returns when it is ready
//	dev down    stops it and removes its files
//
// Everything is in one directory, .cluster unless -dir says otherwise. Nothing in it outlives the processes: whatever
// is found there after a reboot or a crash is removed, and the next `up` begins afresh.
//
// Whether a control plane runs is asked of the control plane itself, over a socket in the directory, and so is that it
// ends. No process is ever looked up, or killed, by a number that somebody else may have by now.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/lateen-io/lateen/test/cluster"
)

// nodes is how many there are: with two, a DaemonSet looks different from a Deployment.
const nodes = 2

// place is where a control plane lives, and what it has.
type place struct {
	// dir is its directory, as the user named it.
	dir string
	// crds is the directory of the CustomResourceDefinitions.
	crds string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.WriteCloser) error {
	var p place
	flags := flag.NewFlagSet("dev", flag.ContinueOnError)
	flags.StringVar(&p.dir, "dir", ".cluster", "directory of the control plane")
	flags.StringVar(&p.crds, "crds", filepath.Join("config", "crd"),
		"directory of the CustomResourceDefinitions that it has")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch flags.Arg(0) {
	case "up":
		return p.up(ctx, out)
	case "down":
		return p.down(ctx, out)
	case "serve": // what `up` leaves behind
		return p.serve(ctx, out)
	default:
		return errors.New("usage: dev [-dir DIRECTORY] [-crds DIRECTORY] up|down")
	}
}

// up starts a control plane, or brings the CRDs of the one that runs up to date.
func (p place) up(ctx context.Context, out io.Writer) error {
	if _, err := cluster.Programs(ctx, os.Stderr); err != nil { // may take minutes, during which nobody else need wait
		return err
	}
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	running, err := p.running(ctx)
	switch {
	case err != nil:
	case running:
		if err = p.updateCRDs(ctx); err == nil {
			fmt.Fprintf(out, "The control plane is running, and has the CRDs of %s.\n", p.crds)
		}
	default:
		err = p.start(ctx, out)
	}
	if err := errors.Join(err, unlock()); err != nil {
		return err
	}
	return p.explain(out)
}

// start starts a control plane where none runs.
func (p place) start(ctx context.Context, out io.Writer) error {
	reason, err := os.ReadFile(p.file(logFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	removed, err := p.clear()
	if err != nil {
		return err
	}
	if removed {
		fmt.Fprintf(out, "The control plane of %s has died, and what was in it is lost. A new one starts.\n%s", p.dir, reason)
	}
	if err := p.create(); err != nil {
		return err
	}
	if err := p.spawn(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "The control plane is ready, and has the CRDs of %s.\n", p.crds)
	return nil
}

func (p place) updateCRDs(ctx context.Context) error {
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig())
	if err != nil {
		return err
	}
	return cluster.ApplyCRDs(ctx, config, p.crds)
}

func (p place) explain(out io.Writer) error {
	kubeconfig, err := filepath.Abs(p.kubeconfig())
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, `
  export KUBECONFIG=%s
  make run             start the controller against it
  make cluster-down    stop it and forget what is in it

Pods on its %d nodes become ready and run nothing.
`, kubeconfig, nodes)
	return err
}

// down stops what runs, and removes what is left.
func (p place) down(ctx context.Context, out io.Writer) error {
	unlock, err := p.lock()
	if err != nil {
		return err
	}
	stopped, err := p.stop(ctx)
	if err == nil {
		var removed bool
		removed, err = p.clear()
		switch {
		case err != nil:
		case stopped:
			fmt.Fprintln(out, "The control plane has stopped.")
		case removed:
			fmt.Fprintf(out, "No control plane was running. What a dead one left in %s is removed.\n", p.dir)
		default:
			fmt.Fprintln(out, "No control plane is running.")
		}
	}
	return errors.Join(err, unlock())
}
