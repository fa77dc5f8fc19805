package cluster

import (
	"errors"
	"os"
	"syscall"
)

// diesWithUs makes the kernel kill a server whose parent is gone, however it went: a test that runs into its timeout, or
// that somebody kills, cleans nothing up.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// lock waits until no other process holds the lock, takes it, and returns what gives it back. It does not outlive the
// process.
func lock(file string) (unlock func() error, err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: file, Err: err}, f.Close())
	}
	return f.Close, nil
}
