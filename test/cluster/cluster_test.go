package cluster

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// helper makes the test binary start a control plane, print the kubeconfig's name, and wait to be killed.
const helper = "LATEEN_TEST_CLUSTER_HELPER"

func TestMain(m *testing.M) {
	os.Exit(Main(m))
}

// get asks the API server for something.
func (c *Cluster) get(t *testing.T, path, token string) (int, map[string]any) {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(c.CA) {
		t.Fatalf("no certificate in %q", c.CA)
	}
	client := &http.Client{
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS13}},
	}
	defer client.CloseIdleConnections()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := response.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	var answer map[string]any
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, answer
}

// listens reports whether anybody does at the address of a URL.
func listens(ctx context.Context, t *testing.T, address string) bool {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	connection, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	if err != nil {
		return false
	}
	if err := connection.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

// TestStart looks at a control plane through what tests are given, and at what is left of it after its test.
func TestStart(t *testing.T) {
	t.Parallel()
	var ended *Cluster
	if !t.Run("its test", func(t *testing.T) {
		c := Start(t)
		ended = c
		status, version := c.get(t, "/version", c.Token)
		if status != http.StatusOK {
			t.Fatalf("the version: %d %v", status, version)
		}
		if os.Getenv("KUBEBUILDER_ASSETS") == "" {
			source, err := findSource(modules[0])
			if err != nil {
				t.Fatal(err)
			}
			if version["gitVersion"] != source.version {
				t.Errorf("the server says it is %v, built from %s", version["gitVersion"], source.version)
			}
		}
		if status, answer := c.get(t, "/api/v1/namespaces", c.Token); status != http.StatusOK {
			t.Errorf("the user may not list namespaces: %d %v", status, answer)
		}
		if status, answer := c.get(t, "/api/v1/namespaces", "nobody"); status != http.StatusUnauthorized {
			t.Errorf("a wrong token is let in: %d %v", status, answer)
		}
		if host, _, err := net.SplitHostPort(strings.TrimPrefix(c.URL, "https://")); err != nil || host != loopback {
			t.Errorf("the server listens at %s: want %s", c.URL, loopback)
		}
	}) || ended == nil {
		return // failed or skipped
	}
	if listens(t.Context(), t, ended.URL) {
		t.Errorf("%s still answers after its test", ended.URL)
	}
	if _, err := os.Stat(ended.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left after its test: %v", ended.dir, err)
	}
}

// TestDiesWithItsProcess kills a process that has a control plane, as a timeout or a person would.
func TestDiesWithItsProcess(t *testing.T) {
	if os.Getenv(helper) != "" {
		_, err := os.Stdout.WriteString(Shared(t).Kubeconfig + "\n")
		if err != nil {
			t.Fatal(err)
		}
		select {}
	}
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	if runtime.GOOS != "linux" {
		t.Skip("only Linux can be asked for this")
	}
	t.Parallel()
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	process := exec.CommandContext(t.Context(), itself, "-test.run=^"+t.Name()+"$")
	process.Env = append(os.Environ(), helper+"=1")
	process.Stderr = os.Stderr
	stdout, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	output := bufio.NewReader(stdout)
	name, err := output.ReadString('\n')
	if name = strings.TrimSpace(name); err != nil || !filepath.IsAbs(name) {
		rest, _ := io.ReadAll(output)
		t.Fatalf("it has not started: %v\n%s\n%s", err, name, rest)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(filepath.Dir(name)); err != nil {
			t.Error(err)
		}
	})
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Clusters []struct{ Cluster struct{ Server string } }
	}
	if err := json.Unmarshal(content, &config); err != nil {
		t.Fatal(err)
	}
	server := config.Clusters[0].Cluster.Server
	if !listens(t.Context(), t, server) {
		t.Fatalf("nobody listens at %s before the kill", server)
	}
	if err := process.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := process.Wait(); err == nil {
		t.Fatal("the process was killed and says it is fine")
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for listens(ctx, t, server) {
		time.Sleep(pause)
	}
	if err := ctx.Err(); err != nil {
		t.Errorf("%s outlives the process that started it: %v", server, err)
	}
}

// TestLaunch is about a control plane outside of tests, one of whose servers dies.
func TestLaunch(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "place")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	c, err := Launch(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(over); err != nil {
		t.Errorf("nothing has died: %v", err)
	}
	c.apiServer.end() // not by kill, which would say that we mean it
	if err := c.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), apiServerProgram) {
		t.Errorf("the error must name %s: %v", apiServerProgram, err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}
