package cluster

import (
	"errors"
	"os"
	"strconv"
	"syscall"
)

// diesWithUs makes the kernel kill a server whose parent is gone, however it went: a test that runs into its timeout,
// or that somebody kills, cleans nothing up.
func diesWithUs() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}

// reservePort takes a port on loopback that a server may listen on, again and again, until it is released. Nobody is
// given it by the kernel in the meantime: neither who asks for a free port, nor who connects to somewhere.
func reservePort() (port string, release func() error, err error) {
	// A socket that is bound keeps the port; that it does not listen, and allows reuse, leaves it to the server.
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return "", nil, os.NewSyscallError("socket", err)
	}
	release = func() error { return os.NewSyscallError("close", syscall.Close(fd)) }
	port, err = bindLoopback(fd)
	if err != nil {
		return "", nil, errors.Join(err, release())
	}
	return port, release, nil
}

func bindLoopback(fd int) (port string, err error) {
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return "", os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return "", os.NewSyscallError("bind", err)
	}
	address, err := syscall.Getsockname(fd)
	if err != nil {
		return "", os.NewSyscallError("getsockname", err)
	}
	inet, ok := address.(*syscall.SockaddrInet4)
	if !ok {
		return "", errors.New("a socket has no IPv4 address")
	}
	return strconv.Itoa(inet.Port), nil
}

// Lock waits until no other process holds the lock, takes it, and returns what gives it back. It does not outlive the
// process.
func Lock(file string) (unlock func() error, err error) {
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
