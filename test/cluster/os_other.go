//go:build !linux

package cluster

import (
	"errors"
	"net"
	"syscall"
)

// diesWithUs does nothing where the kernel offers nothing: a test that is killed leaves its servers behind.
func diesWithUs() *syscall.SysProcAttr { return nil }

// reservePort only finds a port that nobody listens on. Another process can take it at any time.
func reservePort() (port string, release func() error, err error) {
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0")) //nolint:noctx // returns at once
	if err != nil {
		return "", nil, err
	}
	_, port, err = net.SplitHostPort(listener.Addr().String())
	return port, func() error { return nil }, errors.Join(err, listener.Close())
}

// Lock does nothing: two processes may then build the same programs, and one of the two results stays.
func Lock(string) (unlock func() error, err error) { return func() error { return nil }, nil }
