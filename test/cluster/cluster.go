// Package cluster gives tests a real Kubernetes control plane: etcd and kube-apiserver, built from Go modules, started on
// loopback in seconds, gone with the test. It needs neither containers nor a network, once the programs are built.
//
// A package of tests that can share one control plane asks for it with Shared, and hands its TestMain to Main. A test that
// needs one for itself calls Start. Both skip the test under -short.
//
// There are no controllers: nothing collects garbage, deletes namespaces or runs pods. What clients do with the server is
// the caller's job; this package speaks to it only to learn that it is ready.
package cluster

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// patience is how long a server may take until it answers. It is no measure of anything: a start takes some seconds, and
// this is when a start that hangs becomes an error.
const patience = 2 * time.Minute

// pause lies between two looks at whether a server answers.
const pause = 20 * time.Millisecond

// Cluster is a running control plane. Every client may do everything in it.
type Cluster struct {
	// URL is where the API server listens: https on 127.0.0.1.
	URL string
	// Token authenticates a member of system:masters.
	Token string
	// CA is the certificate that the API server is known by, as PEM.
	CA []byte
	// Kubeconfig is a file that says all of this to clients.
	Kubeconfig string

	dir     string
	servers []*server
}

// Start gives the test a control plane of its own, which ends with the test.
func Start(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	c, err := launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
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
	cluster *Cluster
	err     error
	// managed says that Main will end it.
	managed bool
}

// Shared gives the test the control plane of its package. The first call starts it, and Main ends it.
func Shared(t testing.TB) *Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	if !shared.managed {
		t.Fatal("nobody would end the control plane: let TestMain call cluster.Main")
	}
	shared.once.Do(func() { shared.cluster, shared.err = launch(context.WithoutCancel(t.Context())) })
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.cluster
}

// Main runs the tests of a package and then ends the control plane that they shared, if any did:
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
func Main(m *testing.M) int {
	shared.managed = true
	code := m.Run()
	if shared.cluster == nil {
		return code
	}
	failed := code != 0
	if err := shared.cluster.stop(failed); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	if failed {
		fmt.Fprintf(os.Stderr, "the logs of the control plane are in %s\n", shared.cluster.dir)
	}
	return code
}

// launch starts a control plane. The context ends the start, not the servers.
func launch(ctx context.Context) (*Cluster, error) {
	programs, err := Programs(ctx, os.Stderr)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lateen-cluster-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{dir: dir, Kubeconfig: filepath.Join(dir, "kubeconfig")}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.start(ctx, programs); err != nil {
		return nil, errors.Join(fmt.Errorf("starting a control plane: %w", err), c.stop(false))
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context, programs string) error {
	if err := c.writeCredentials(); err != nil {
		return err
	}
	if err := c.startEtcd(ctx, programs); err != nil {
		return err
	}
	// Between asking for a free port and listening on it, another process can take it.
	err := c.startAPIServer(ctx, programs)
	for attempt := 1; attempt < 3 && errors.Is(err, errPortTaken); attempt++ {
		err = c.startAPIServer(ctx, programs)
	}
	if err != nil {
		return err
	}
	return c.writeKubeconfig()
}

// socketFile is the socket in the cluster's directory on which etcd listens.
const socketFile = "clients:0"

// startEtcd starts etcd on sockets in the cluster's directory: it knows no passwords, and so only this user can reach it.
func (c *Cluster) startEtcd(ctx context.Context, programs string) error {
	// etcd wants something that looks like host and port, and makes it the name of a socket in its working directory. A single
	// member has no peers, but must have an address for them.
	const clients, peers = "unix://" + socketFile, "unix://peers:0"
	etcd, err := c.serve(ctx, filepath.Join(programs, "etcd"),
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+clients,
		"--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers,
		"--initial-advertise-peer-urls="+peers,
		"--initial-cluster=default="+peers,
		"--unsafe-no-fsync", // nobody wants the data after a crash
		"--log-level=warn",
	)
	if err != nil {
		return err
	}
	return etcd.await(ctx, func() bool {
		connection, err := (&net.Dialer{}).DialContext(ctx, "unix", c.file(socketFile))
		if err != nil {
			return false
		}
		return connection.Close() == nil
	})
}

// errPortTaken says that another process listens on the port that was chosen.
var errPortTaken = errors.New("the port was taken in the meantime")

func (c *Cluster) startAPIServer(ctx context.Context, programs string) error {
	port, err := freePort(ctx)
	if err != nil {
		return err
	}
	c.URL = "https://" + net.JoinHostPort(loopback, port)
	apiserver, err := c.serve(ctx, filepath.Join(programs, "kube-apiserver"),
		"--etcd-servers=unix://"+c.file(socketFile),
		"--bind-address="+loopback,
		"--advertise-address="+loopback,
		"--endpoint-reconciler-type=none", // a loopback address cannot be the endpoint of a Service
		"--secure-port="+port,
		"--tls-cert-file="+c.file(certificateFile),
		"--tls-private-key-file="+c.file(keyFile),
		"--token-auth-file="+c.file(tokenFile),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file="+c.file(keyFile),
		"--service-account-key-file="+c.file(keyFile),
		"--service-cluster-ip-range=10.0.0.0/16,fd00::/108", // both families, so that a Service may ask for either
		"--allow-privileged",
	)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.CA)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}}}
	defer client.CloseIdleConnections()
	err = apiserver.await(ctx, func() bool { return c.ready(ctx, client) })
	if err != nil && strings.Contains(err.Error(), "address already in use") {
		return fmt.Errorf("%w: %w", errPortTaken, err)
	}
	return err
}

// ready asks the API server whether all of it works.
func (c *Cluster) ready(ctx context.Context, client *http.Client) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	request.Header.Set("Authorization", "Bearer "+c.Token)
	response, err := client.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// serve starts a server of the cluster.
func (c *Cluster) serve(ctx context.Context, program string, args ...string) (*server, error) {
	s, err := serve(ctx, c.dir, program, args...)
	if err != nil {
		return nil, err
	}
	c.servers = append(c.servers, s)
	return s, nil
}

// stop ends the servers, the last one first, and removes all files, except logs that somebody may want to read.
func (c *Cluster) stop(keepLogs bool) error {
	for _, s := range slices.Backward(c.servers) {
		s.kill()
	}
	if !keepLogs {
		return os.RemoveAll(c.dir)
	}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var errs []error
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

func freePort(ctx context.Context) (string, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(loopback, "0"))
	if err != nil {
		return "", err
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, errors.Join(err, listener.Close())
}
