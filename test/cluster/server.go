package cluster

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"
)

// server is a program that runs until it is killed, or this process dies.
type server struct {
	name string
	log  string
	end  func()
	// killed says that we have ended it.
	killed atomic.Bool
	// ended is closed when it no longer runs; err says why.
	ended chan struct{}
	err   error
}

// serve starts a server, with its output at the end of a file in dir that is named after it. The context's values, but
// not its end, are the server's. Without an environment it has ours.
func serve(
	ctx context.Context, dir, name string, environment []string, program string, args ...string,
) (*server, error) {
	s := &server{name: name, log: filepath.Join(dir, name+".log"), ended: make(chan struct{})}
	output, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	ctx, s.end = context.WithCancel(context.WithoutCancel(ctx))
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = dir, environment
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
		s.err = cmp.Or(cmd.Wait(), errors.New("exit status 0"))
		close(s.ended)
	}()
	// The server has the file open now, and we need not.
	if err := errors.Join(<-started, output.Close()); err != nil {
		s.end()
		return nil, err
	}
	return s, nil
}

// kill ends the server at once, whatever it is doing, and returns when it is gone.
func (s *server) kill() {
	select {
	case <-s.ended: // by itself
	default:
		s.killed.Store(true)
	}
	s.end()
	<-s.ended
}

// failure says what became of a server that has ended by itself. It is nil for one that runs or was killed.
func (s *server) failure() error {
	select {
	case <-s.ended:
		if s.killed.Load() {
			return nil
		}
		return fmt.Errorf("%s has ended: %w\n%s", s.name, s.err, s.tail())
	default:
		return nil
	}
}

// await returns when the server answers, and an error with the end of its log if it does not.
func (s *server) await(ctx context.Context, answers func() bool) error {
	for !answers() {
		select {
		case <-s.ended:
			return s.failure()
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
