package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"time"
)

// server is a program that runs until it is killed, or this process dies.
type server struct {
	name string
	log  string
	kill func()
	// ended is closed when it no longer runs; err says why.
	ended chan struct{}
	err   error
}

// serve starts a server, with its output in a file in dir that is named after it. The context's values, but not its end,
// are the server's.
func serve(ctx context.Context, dir, program string, args ...string) (*server, error) {
	name := filepath.Base(program)
	s := &server{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	output, err := os.Create(s.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.kill = func() {
		cancel()
		<-s.ended
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = output, output
	cmd.SysProcAttr = diesWithUs()
	started := make(chan error)
	go func() {
		// What the kernel watches is the thread that started the server, not the process: it must not end before the server.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		s.err = cmd.Wait()
		close(s.ended)
	}()
	// The server has the file open now, and we need not.
	if err := errors.Join(<-started, output.Close()); err != nil {
		cancel()
		return nil, err
	}
	return s, nil
}

// await returns when the server answers, and an error with the end of its log if it does not.
func (s *server) await(ctx context.Context, answers func() bool) error {
	for !answers() {
		select {
		case <-s.ended:
			return fmt.Errorf("%s has ended: %w\n%s", s.name, s.err, s.tail())
		case <-ctx.Done():
			return fmt.Errorf("%s does not answer: %w\n%s", s.name, context.Cause(ctx), s.tail())
		case <-time.After(pause):
		}
	}
	return nil
}

// tail is the end of the server's log.
func (s *server) tail() []byte {
	const lines = 30
	text, err := os.ReadFile(s.log)
	if err != nil {
		return []byte(err.Error())
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return bytes.Join(all[max(0, len(all)-lines):], []byte("\n"))
}
