package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// itself makes the test binary the program.
const itself = "LATEEN_TEST_DEV"

func TestMain(m *testing.M) {
	if os.Getenv(itself) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// dev runs the program on a place and gives what it says.
func (p place) dev(t *testing.T, command string) (string, error) {
	t.Helper()
	executable, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), executable, "-dir", p.dir, "-crds", p.crds, command)
	cmd.Env = append(os.Environ(), itself+"=1")
	said, err := cmd.CombinedOutput()
	return string(said), err
}

// says runs the program and expects it to succeed and to say something.
func (p place) says(t *testing.T, command, want string) {
	t.Helper()
	said, err := p.dev(t, command)
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, said)
	}
	if !strings.Contains(said, want) {
		t.Errorf("%s does not say %q:\n%s", command, want, said)
	}
}

// crash kills the process that keeps the control plane, and waits until it is gone.
func (p place) crash(t *testing.T) {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "unix", p.file(socketFile))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := connection.(*net.UnixConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// Who listens is asked of the kernel: the socket is that process's and no other's.
	var peer *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		peer, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	if err := syscall.Kill(int(peer.Pid), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	// The connection ends with the process.
	if _, err := connection.Read(make([]byte, 1)); err == nil {
		t.Fatal("the control plane says something")
	}
	if err := connection.Close(); err != nil {
		t.Fatal(err)
	}
}

func (p place) client(t *testing.T) client.Client {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", p.kubeconfig())
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// parts are an object that is there from the beginning, and one that the test creates.
func parts() (crd, own *unstructured.Unstructured) {
	crd, own = &unstructured.Unstructured{}, &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("istios.sailoperator.io")
	own.SetAPIVersion("v1")
	own.SetKind("ConfigMap")
	own.SetNamespace("default")
	own.SetName("mine")
	return crd, own
}

// TestRoundTrip starts a control plane as a developer does, loses it, and stops it.
func TestRoundTrip(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	t.Parallel()
	p := place{dir: filepath.Join(t.TempDir(), "cluster"), crds: filepath.Join("..", "..", "..", "config", "crd")}
	t.Cleanup(func() {
		// The test's own context has ended.
		if _, err := p.stop(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})

	// Two at the same time: one starts it, and the other finds it.
	other := make(chan error, 1)
	go func() {
		_, err := p.dev(t, "up")
		other <- err
	}()
	p.says(t, "up", "export KUBECONFIG="+p.kubeconfig())
	if err := <-other; err != nil {
		t.Fatalf("of two at a time, one fails: %v", err)
	}
	crd, own := parts()
	c := p.client(t)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Errorf("Lateen's CRDs: %v", err)
	}
	if err := c.Create(t.Context(), own); err != nil {
		t.Fatal(err)
	}

	p.says(t, "up", "is running")
	if err := p.client(t).Get(t.Context(), client.ObjectKeyFromObject(own), own); err != nil {
		t.Errorf("what was there when it was asked for again: %v", err)
	}

	p.crash(t)
	p.says(t, "up", "has died")
	crd, own = parts()
	c = p.client(t)
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(crd), crd); err != nil {
		t.Errorf("Lateen's CRDs in the second one: %v", err)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(own), own); !apierrors.IsNotFound(err) {
		t.Errorf("the second one begins afresh: %v", err)
	}

	p.says(t, "down", "has stopped")
	if _, err := os.Stat(p.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", p.dir, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := c.Get(ctx, client.ObjectKeyFromObject(own), own); err == nil || apierrors.ReasonForError(err) != "" {
		t.Errorf("the API server still answers: %v", err)
	}
	p.says(t, "down", "No control plane is running")
}

// TestDirectory is about what happens to a directory in which nothing runs.
func TestDirectory(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		reason string
		files  map[string]string
		// socket makes a socket that nobody listens at.
		socket bool
		says   string
		fails  bool
		left   bool
	}{
		"dead": {
			reason: "What a control plane has left is removed, its socket included.",
			files:  map[string]string{markerFile: marker, "kubeconfig": "{}"}, socket: true,
			says: "is removed",
		},
		"empty": {
			reason: "An empty directory is what an interrupted start leaves.",
			says:   "No control plane is running",
		},
		"foreign": {
			reason: "A directory that we have not made is not ours to remove.",
			files:  map[string]string{"thesis.txt": "…"},
			says:   "something other than a control plane", fails: true, left: true,
		},
		"foreign with a README": {
			reason: "Nor is one that has a file of the same name.",
			files:  map[string]string{markerFile: "My thesis\n"},
			says:   "something other than a control plane", fails: true, left: true,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := place{dir: t.TempDir()}
			for file, content := range c.files {
				if err := os.WriteFile(p.file(file), []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if c.socket {
				listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.file(socketFile), Net: "unix"})
				if err != nil {
					t.Fatal(err)
				}
				listener.SetUnlinkOnClose(false)
				if err := listener.Close(); err != nil {
					t.Fatal(err)
				}
			}
			said, err := p.dev(t, "down")
			if (err != nil) != c.fails {
				t.Fatalf("%s: %v\n%s", c.reason, err, said)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("%s: does not say %q:\n%s", c.reason, c.says, said)
			}
			if _, err := os.Stat(p.dir); os.IsNotExist(err) == c.left {
				t.Errorf("%s: the directory: %v", c.reason, err)
			}
		})
	}
}
