// Package cluster gives tests a real Kubernetes control plane, built from Go modules, started on loopback in seconds,
// gone with the test. It needs neither containers nor a network, once the programs are built.
//
// A package of tests that can share one control plane asks for it with Shared, and hands its TestMain to Main. A test
// that needs one for itself calls Start. Both skip the test under -short.
//
// What there is, tests say with options. Without any it is etcd and kube-apiserver: nothing collects garbage, deletes
// namespaces or runs pods. WithControllers adds kube-controller-manager and kube-scheduler, and kwok, which plays the
// kubelets of fake nodes: pods there run nothing, and are ready within a second.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

// patience is how long a server may take until it answers. It is no measure of anything: a start takes some seconds,
// and this is when a start that hangs becomes an error.
const patience = 5 * time.Minute

// pause lies between two looks at whether a server answers.
const pause = 20 * time.Millisecond

// Cluster is a running control plane.
type Cluster struct {
	// URL is where the API server listens: https on 127.0.0.1.
	URL string
	// Token authenticates a member of system:masters, who may do everything.
	Token string
	// CA is the certificate that the API server is known by, as PEM.
	CA []byte
	// Kubeconfig is a file that says all of this to clients.
	Kubeconfig string

	options options
	dir     string
	// api is what this package itself acts with.
	api client.Client
	// programs are the files that servers are started from, by name.
	programs map[string]string
	// tokens are those of the programs, by name.
	tokens map[string]string
	// port is the API server's, also while it does not run.
	port        string
	releasePort func() error

	// mutex guards what changes after the start.
	mutex     sync.Mutex
	servers   []*server
	apiServer *server
	audit     auditLog
}

// Start gives the test a control plane of its own, which ends with the test.
func Start(t testing.TB, options ...Option) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	c, err := launch(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.failure(); err != nil {
			t.Errorf("during the test, %v", err)
		}
		if err := c.stop(t.Failed()); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("the logs of the control plane are in %s", c.dir)
		}
	})
	return c
}

// shared is the control plane of the process.
var shared struct {
	once    sync.Once
	options []Option
	cluster *Cluster
	err     error
	// managed says that Main will end it.
	managed bool
}

// Shared gives the test the control plane of its package, with the options that Main was given. The first call starts
// it, and Main ends it.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	if !shared.managed {
		t.Fatal("nobody would end the control plane: let TestMain call cluster.Main")
	}
	shared.once.Do(func() { shared.cluster, shared.err = launch(context.WithoutCancel(t.Context()), shared.options) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// Main runs the tests of a package and then ends the control plane that they shared, if any did:
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
func Main(m *testing.M, options ...Option) int {
	shared.managed, shared.options = true, options
	code := m.Run()
	if shared.cluster == nil {
		return code
	}
	err := shared.cluster.failure()
	failed := code != 0 || err != nil
	if err := errors.Join(err, shared.cluster.stop(failed)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if failed {
		fmt.Fprintf(os.Stderr, "the logs of the control plane are in %s\n", shared.cluster.dir)
	}
	return code
}

// unhurried are variables by which Kubernetes' clients, in this process and in those that it starts, give up a
// connection on which nothing comes for a while. On a busy machine that is no reason to.
var unhurried = sync.OnceValue(func() error {
	var errs []error
	for _, name := range []string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS", "HTTP2_PING_TIMEOUT_SECONDS"} {
		if os.Getenv(name) == "" {
			errs = append(errs, os.Setenv(name, strconv.Itoa(int(patience.Seconds()))))
		}
	}
	return errors.Join(errs...)
})

// launch starts a control plane for tests.
func launch(ctx context.Context, options []Option) (*Cluster, error) {
	if err := unhurried(); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lateen-cluster-")
	if err != nil {
		return nil, err
	}
	return Launch(ctx, dir, append([]Option{hasty}, options...)...)
}

// Launch starts a control plane outside of tests, with all its files in a directory, which must exist. The context ends
// the start, not the servers: they end with Close, or with the process.
func Launch(ctx context.Context, dir string, with ...Option) (*Cluster, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig"), releasePort: func() error { return nil }}
	for _, option := range with {
		option(&c.options)
	}
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), c.stop(false))
	}
	return c, nil
}

// Close ends the servers and removes the directory.
func (c *Cluster) Close() error { return c.stop(false) }

// Wait returns nil when the context ends, and an error when one of the servers does.
func (c *Cluster) Wait(ctx context.Context) error {
	const interval = time.Second
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if err := c.failure(); err != nil {
				return err
			}
		}
	}
}

// StopAPIServer kills the API server without warning. Everything else stays, and finds nobody who answers until
// StartAPIServer.
func (c *Cluster) StopAPIServer(t testing.TB) {
	t.Helper()
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.apiServer.kill()
	c.servers = slices.DeleteFunc(c.servers, func(s *server) bool { return s == c.apiServer })
	if err := c.audit.close(); err != nil {
		t.Fatal(err)
	}
}

// StartAPIServer starts the API server that StopAPIServer has killed, at the same address, and returns when it is
// ready.
func (c *Cluster) StartAPIServer(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.startAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
}

// RestartAPIServer kills the API server, starts another on the same data, and returns when it is ready.
func (c *Cluster) RestartAPIServer(t testing.TB) {
	t.Helper()
	c.StopAPIServer(t)
	c.StartAPIServer(t)
}

// failure says which servers have ended by themselves.
func (c *Cluster) failure() error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	var errs []error
	for _, s := range c.servers {
		errs = append(errs, s.failure())
	}
	return errors.Join(errs...)
}

// stop ends the servers, the last one first, and removes all files, except logs that somebody may want to read.
func (c *Cluster) stop(keepLogs bool) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	for _, s := range slices.Backward(c.servers) {
		s.kill()
	}
	c.servers = nil
	errs := []error{c.audit.close(), c.releasePort()}
	if !keepLogs {
		return errors.Join(append(errs, os.RemoveAll(c.dir))...)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".log" {
			errs = append(errs, os.RemoveAll(c.file(e.Name())))
		}
	}
	return errors.Join(errs...)
}

func (c *Cluster) file(name string) string { return filepath.Join(c.dir, name) }

// loopback is the only address that anything here listens on.
const loopback = "127.0.0.1"
