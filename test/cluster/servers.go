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
	"slices"
	"strings"
	"testing"
)

// start starts what the options say, and returns when all of it works.
func (c *Cluster) start(ctx context.Context) error {
	needed := []string{etcdProgram, apiServerProgram}
	if c.options.nodes > 0 {
		needed = append(needed, controllerManagerProgram, schedulerProgram, kwokProgram, stagesFile)
	}
	var err error
	c.programs, err = Programs(ctx, os.Stderr, needed...) // may take minutes
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := c.writeCredentials(); err != nil {
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	// Where ports cannot be reserved, another process can take one before the API server does.
	err = c.startOnFreePort(ctx)
	for attempt := 1; attempt < 3 && errors.Is(err, errPortTaken); attempt++ {
		err = c.startOnFreePort(ctx)
	}
	if err != nil {
		return err
	}
	if err := c.writeKubeconfig(c.Kubeconfig, c.Token); err != nil {
		return err
	}
	c.api, err = quietClient(c.RESTConfig())
	if err != nil {
		return err
	}
	if err := c.applyObjects(ctx); err != nil {
		return err
	}
	if c.options.nodes == 0 {
		return nil
	}
	return c.startControllers(ctx)
}

// socketFile is the socket in the cluster's directory on which etcd listens.
const socketFile = "clients:0"

// startEtcd starts etcd on sockets in the cluster's directory: it knows no passwords, and so only this user can reach
// it.
func (c *Cluster) startEtcd(ctx context.Context) error {
	// etcd wants something that looks like host and port, and makes it the name of a socket in its working directory.
	// A single member has no peers, but must have an address for them.
	const clients, peers = "unix://" + socketFile, "unix://peers:0"
	etcd, err := c.serve(ctx, etcdProgram,
		"--data-dir="+c.file("etcd"),
		"--listen-client-urls="+clients,
		"--advertise-client-urls="+clients,
		"--listen-peer-urls="+peers,
		"--initial-advertise-peer-urls="+peers,
		"--initial-cluster=default="+peers,
		"--unsafe-no-fsync",                // nobody wants the data after a crash of the machine
		"--quota-backend-bytes=8589934592", // 8 GiB: a hundred thousand pods, with some versions of each
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

func (c *Cluster) startOnFreePort(ctx context.Context) error {
	if err := c.releasePort(); err != nil {
		return err
	}
	var err error
	c.port, c.releasePort, err = reservePort()
	if err != nil {
		return err
	}
	c.URL = "https://" + net.JoinHostPort(loopback, c.port)
	return c.startAPIServer(ctx)
}

func (c *Cluster) startAPIServer(ctx context.Context) error {
	args := []string{
		"--etcd-servers=unix://" + c.file(socketFile),
		"--bind-address=" + loopback,
		"--advertise-address=" + loopback,
		"--endpoint-reconciler-type=none", // a loopback address cannot be the endpoint of a Service
		"--secure-port=" + c.port,
		"--tls-cert-file=" + c.file(certificateFile),
		"--tls-private-key-file=" + c.file(keyFile),
		"--token-auth-file=" + c.file(tokenFile),
		"--authorization-mode=RBAC",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-signing-key-file=" + c.file(keyFile),
		"--service-account-key-file=" + c.file(keyFile),
		"--service-cluster-ip-range=10.0.0.0/16,fd00::/108", // both families, so that a Service may ask for either
		"--allow-privileged",
		"--request-timeout=" + patience.String(), // on a busy machine a request may take its time: that is no failure
	}
	if c.options.noWebhooks {
		args = append(args, "--disable-admission-plugins=MutatingAdmissionWebhook,ValidatingAdmissionWebhook")
	}
	if c.options.audit {
		more, err := c.nextAuditLog()
		if err != nil {
			return err
		}
		args = append(args, more...)
	}
	apiServer, err := c.serve(ctx, apiServerProgram, args...)
	if err != nil {
		return err
	}
	c.mutex.Lock()
	c.apiServer = apiServer
	c.mutex.Unlock()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.CA)
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}},
	}
	defer client.CloseIdleConnections()
	err = apiServer.await(ctx, func() bool { return c.ready(ctx, client) })
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

// forever is longer than any control plane here lives.
const forever = "8760h"

// startControllers starts what acts on objects, and returns when it does: namespaces get their ServiceAccounts, and
// nodes take pods. None of it listens anywhere.
func (c *Cluster) startControllers(ctx context.Context) error {
	nodes, err := c.createNodes(ctx)
	if err != nil {
		return err
	}
	controllerManager, err := c.serveClient(ctx, controllerManagerProgram,
		"--kube-api-qps=2000", // tests with thousands of objects wait for the work, and not for a rate limit
		"--kube-api-burst=4000",
		"--leader-elect=false",
		"--secure-port=0",
		"--use-service-account-credentials",
		"--service-account-private-key-file="+c.file(keyFile),
		"--root-ca-file="+c.file(certificateFile),
		"--node-monitor-grace-period="+forever, // fake nodes show no signs of life, which would be writes that nobody wants
		"--concurrent-deployment-syncs=20",
		"--concurrent-replicaset-syncs=20",
		"--concurrent-namespace-syncs=20",
		"--concurrent-serviceaccount-token-syncs=20",
	)
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file(schedulerFile),
		fmt.Appendf(nil, schedulerConfiguration, c.kubeconfigOf(schedulerProgram)), 0o600); err != nil {
		return err
	}
	scheduler, err := c.serveClient(ctx, schedulerProgram, "--config="+c.file(schedulerFile), "--secure-port=0")
	if err != nil {
		return err
	}
	if err := os.WriteFile(c.file(kwokFile), []byte(kwokConfiguration), 0o600); err != nil {
		return err
	}
	kwok, err := c.serveClient(ctx, kwokProgram,
		"--config="+c.programs[stagesFile],
		"--config="+c.file(kwokFile),
		"--manage-all-nodes",
		"--node-lease-duration-seconds=0",
		"--cidr=10.64.0.0/10", // of pods: enough for all that the database has room for
	)
	if err != nil {
		return err
	}
	if err := controllerManager.await(ctx, func() bool { return c.hasDefaultServiceAccount(ctx) }); err != nil {
		return err
	}
	for _, node := range nodes {
		if err := kwok.await(ctx, func() bool { return c.takesPods(ctx, node) }); err != nil {
			return err
		}
	}
	return scheduler.failure() // whether it works, only a pod would tell
}

// Files for programs that take their configuration as one.
const (
	schedulerFile = "kube-scheduler.yaml"
	kwokFile      = "kwok.yaml"
)

// schedulerConfiguration spreads pods over nodes as they ask for. The usual defaults, for pods that do not ask, look
// at all pods of a node for each pod, and a fake node may have ten thousand.
const schedulerConfiguration = `apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
clientConnection: {kubeconfig: %q, qps: 2000, burst: 4000}
leaderElection: {leaderElect: false}
profiles:
- pluginConfig:
  - name: PodTopologySpread
    args: {defaultingType: List}
`

// kwokConfiguration is what kwok has no flags for.
const kwokConfiguration = `apiVersion: config.kwok.x-k8s.io/v1alpha1
kind: KwokConfiguration
options:
  podPlayStageParallelism: 32
  nodePlayStageParallelism: 8
`

// kubeconfigOf is the file by which a program finds the API server.
func (c *Cluster) kubeconfigOf(program string) string { return c.file(program + ".kubeconfig") }

// serveClient starts a program that is a client of the API server, with credentials of its own.
func (c *Cluster) serveClient(ctx context.Context, name string, args ...string) (*server, error) {
	file := c.kubeconfigOf(name)
	if err := c.writeKubeconfig(file, c.tokens[name]); err != nil {
		return nil, err
	}
	return c.serve(ctx, name, append([]string{"--kubeconfig=" + file}, args...)...)
}

// lessCollection makes Go collect garbage when four fifths of the memory are it, up to a gigabyte, and not half. Who
// has set either in the environment knows better.
func lessCollection(environment []string) []string {
	set := func(name string) bool {
		return slices.ContainsFunc(environment, func(v string) bool { return strings.HasPrefix(v, name+"=") })
	}
	if set("GOGC") || set("GOMEMLIMIT") {
		return environment
	}
	return append(environment, "GOGC=400", "GOMEMLIMIT=1GiB")
}

// serve starts a server of the cluster.
func (c *Cluster) serve(ctx context.Context, name string, args ...string) (*server, error) {
	var environment []string
	if c.options.hasty {
		environment = lessCollection(os.Environ())
	}
	return c.add(serve(ctx, c.dir, name, environment, c.programs[name], args...))
}

// add notes down a server that has been started, so that it ends with the others.
func (c *Cluster) add(s *server, err error) (*server, error) {
	if err != nil {
		return nil, err
	}
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.servers = append(c.servers, s)
	return s, nil
}

// Companion is a program that runs beside the control plane.
type Companion struct{ server *server }

// Run starts a program beside the control plane, with an environment, or ours if there is none. It ends with the
// cluster, and a test whose companion ends by itself fails. Its output is with the logs of the control plane, in a
// file that is named after it.
func (c *Cluster) Run(t testing.TB, name string, environment []string, program string, args ...string) *Companion {
	t.Helper()
	s, err := c.add(serve(t.Context(), c.dir, name, environment, program, args...))
	if err != nil {
		t.Fatalf("starting %s: %v", name, err)
	}
	return &Companion{s}
}

// Stop kills the program, and returns when it is gone.
func (p *Companion) Stop() { p.server.kill() }

// Failure says that the program has ended by itself, and how.
func (p *Companion) Failure() error { return p.server.failure() }

// Log is the file with its output.
func (p *Companion) Log() string { return p.server.log }

// Port gives a port on loopback for a program that is told where to listen. Nobody else is given it during the test.
func Port(t testing.TB) string {
	t.Helper()
	port, release, err := reservePort()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := release(); err != nil {
			t.Error(err)
		}
	})
	return port
}
