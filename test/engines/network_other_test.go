//go:build !linux

package engines

import (
	"errors"
	"os/exec"
	"syscall"
)

func inOwnNetwork() *syscall.SysProcAttr { return nil }

// start starts nothing: only Linux gives a process a network of its own.
func start(*exec.Cmd) error { return errors.ErrUnsupported }

func raiseLoopback() error { return errors.ErrUnsupported }
