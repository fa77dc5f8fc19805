package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/lateen-io/lateen/test/cluster"
)

// The files in a place, besides those of the control plane.
const (
	// markerFile says that the directory is ours, to be removed as a whole.
	markerFile = "README"
	marker     = "A control plane for development, made by `make cluster` and removed by `make cluster-down`, with all " +
		"its data.\n"
	socketFile = "control"
	logFile    = "dev.log"
)

// What is said over the socket, and by `serve` to who started it.
const (
	ready = "ready\n"
	stop  = "stop\n"
)

func (p place) file(name string) string { return filepath.Join(p.dir, name) }

func (p place) kubeconfig() string { return p.file("kubeconfig") }

// lock keeps others from starting and stopping anything until it is given back. It is about all places: who waits,
// waits some seconds.
func (p place) lock() (unlock func() error, err error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "lateen", "cluster")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return cluster.Lock(filepath.Join(dir, "dev.lock"))
}

// create makes the directory.
func (p place) create() error {
	if err := os.Mkdir(p.dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) { // empty, says clear
		return err
	}
	return os.WriteFile(p.file(markerFile), []byte(marker), 0o600)
}

// clear removes what a control plane left that no longer runs, and reports whether there was anything. It touches
// nothing that create has not made.
func (p place) clear() (removed bool, err error) {
	entries, err := os.ReadDir(p.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case len(entries) == 0:
		return false, os.Remove(p.dir)
	}
	if content, err := os.ReadFile(p.file(markerFile)); err != nil || string(content) != marker {
		return false, fmt.Errorf("%s holds something other than a control plane for development: choose another directory, "+
			"or remove it yourself", p.dir)
	}
	return true, os.RemoveAll(p.dir)
}

// dial connects to the control plane, and gives nil if none runs.
func (p place) dial(ctx context.Context) (net.Conn, error) {
	connection, err := (&net.Dialer{}).DialContext(ctx, "unix", p.file(socketFile))
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return nil, nil // no socket, or one that nobody listens at any more
	}
	return connection, err
}

func (p place) running(ctx context.Context) (bool, error) {
	connection, err := p.dial(ctx)
	if connection == nil || err != nil {
		return false, err
	}
	return true, connection.Close()
}

// stop stops the control plane, if one runs, and returns when it has ended.
func (p place) stop(ctx context.Context) (stopped bool, err error) {
	connection, err := p.dial(ctx)
	if connection == nil || err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, connection.Close()) }()
	if _, err := io.WriteString(connection, stop); err != nil {
		return false, err
	}
	// It says nothing, and the connection ends with the process.
	answer, err := io.ReadAll(connection)
	if len(answer) > 0 {
		err = errors.Join(err, errors.New(string(answer)))
	}
	return true, err
}

// spawn starts a process that serves, and returns when the control plane is ready. The process goes on when this one
// ends, but not if this one ends before.
func (p place) spawn(ctx context.Context) (err error) {
	itself, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.file(logFile), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	process := exec.CommandContext(ctx, itself, "-dir", p.dir, "-crds", p.crds, "serve")
	process.Stderr = log
	process.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no Ctrl-C of this terminal is meant for it
	stdout, err := process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := process.Start(); err != nil {
		return err
	}
	said, err := io.ReadAll(stdout)
	if err == nil && string(said) == ready {
		return process.Process.Release()
	}
	err = errors.Join(err, process.Wait())
	return fmt.Errorf("the control plane does not start: %w\n%s", err, said)
}

// serve runs a control plane until somebody says that it is to stop, and then removes it. If one of its servers dies,
// it ends too, and leaves the logs. On out it says that it is ready, or why it never will be.
func (p place) serve(ctx context.Context, out io.WriteCloser) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c, err := p.launch(ctx, cancel)
	if err != nil {
		_, failed := io.WriteString(out, err.Error())
		return errors.Join(err, failed)
	}
	if _, err := io.WriteString(out, ready); err != nil {
		return errors.Join(err, c.Close())
	}
	if err := out.Close(); err != nil {
		return errors.Join(err, c.Close())
	}
	if err := c.Wait(ctx); err != nil {
		return err // the other servers die with this process
	}
	return c.Close()
}

// launch starts the control plane, and before that the socket: nobody else may think that the place is free. Somebody
// who connects may call end.
func (p place) launch(ctx context.Context, end func()) (*cluster.Cluster, error) {
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.file(socketFile), Net: "unix"})
	if err != nil {
		return nil, err
	}
	// It is closed by the end of the process only, so that nobody takes an end for accomplished that is not. By then
	// another process may have made a socket of that name.
	listener.SetUnlinkOnClose(false)
	go accept(listener, end)
	return cluster.Launch(ctx, p.dir, cluster.WithNodes(nodes), cluster.WithCRDs(p.crds))
}

// accept listens to those who connect: to see whether anybody answers, or to say that it is time to stop. The latter
// are kept waiting until the process ends.
func accept(listener net.Listener, end func()) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			end()
			return
		}
		go func() {
			defer func() { _ = connection.Close() }() // whoever it was has gone
			message := make([]byte, len(stop))
			if _, err := io.ReadFull(connection, message); err == nil && string(message) == stop {
				end()
				select {} // the connection must stay open
			}
		}()
	}
}
