// Package operation installs Lateen as docs/operation.md says, and runs the controller as the ServiceAccount that it
// gets there: with the rights of config/rbac and no others.
package operation

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

const (
	// namespace is where Lateen is installed, and account the controller's ServiceAccount.
	namespace = "lateen-system"
	account   = "lateen-controller"
	// patience is how long the cluster may take to come to what is expected of it. It is no measure of anything.
	patience = 4 * time.Minute
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(cluster.Main(m, cluster.WithControllers(), cluster.WithoutWebhooks(), cluster.WithAudit()))
}

// env is the shared cluster with Lateen installed, but for its pods: those only seem to run.
type env struct {
	*cluster.Cluster
	client client.Client
}

var installation struct {
	once sync.Once
	err  error
}

// installed installs Lateen, if that has not been done.
func installed(t *testing.T) env {
	t.Helper()
	kubectl := tool(t, "kubectl")
	e := env{Cluster: cluster.Shared(t)}
	e.client = newClient(t, e.RESTConfig())
	installation.once.Do(func() {
		cmd := exec.CommandContext(t.Context(), kubectl, "--kubeconfig="+e.Kubeconfig, "apply", "--server-side", "-k",
			"../../config/default")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Run(); err != nil || stderr.Len() > 0 { // a warning of Pod Security, for one
			installation.err = errors.Join(errors.New("kubectl apply: "+stderr.String()), err)
			return
		}
		// The controller would end, and be started again, as long as the server does not know its resources.
		e.kubectl(t, "", "wait", "--for=condition=Established", "--timeout="+patience.String(),
			"crd/istios.sailoperator.io", "crd/istiorevisions.sailoperator.io", "crd/istiorevisiontags.sailoperator.io",
			"crd/istiocnis.sailoperator.io")
	})
	if installation.err != nil {
		t.Fatal(installation.err)
	}
	return e
}

func newClient(t *testing.T, config *rest.Config) client.Client {
	t.Helper()
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// tool finds a program that the tests need. Outside CI, a machine without it skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "" {
		t.Skipf("%s is not on this machine: install it", name)
	}
	t.Fatalf("%s is not on this machine, and CI runs every test", name)
	return ""
}

// kubectl runs kubectl as the administrator, which has to succeed, and gives what it prints.
func (e env) kubectl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "kubectl"),
		append([]string{"--kubeconfig=" + e.Kubeconfig}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// program gives the built controller, and builds it if make has not.
var program = sync.OnceValues(func() (string, error) {
	if bin := os.Getenv("LATEEN_BIN"); bin != "" {
		return filepath.Join(bin, "lateen-controller"), nil
	}
	dir, err := os.MkdirTemp("", "lateen-bin-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "lateen-controller")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "../../controller")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return path, nil
})

// start runs a controller as its ServiceAccount, with leader election, until stop is called or the test ends; one that
// ends by itself is started again. stop gives the log.
func (e env) start(t *testing.T, args ...string) (stop func() string) {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "controller.log")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{
		"--kubeconfig=" + e.KubeconfigFor(t, e.TokenFor(t, namespace, account)), "--leader-election-namespace=" + namespace,
		"--health-probe-bind-address=0",
	}, args...)
	run := func() *exec.Cmd {
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Error(err)
			return nil
		}
		return cmd
	}
	ended, stopping := make(chan struct{}), make(chan struct{})
	cmd := run()
	if cmd == nil {
		t.FailNow()
	}
	go func() {
		defer close(ended)
		for cmd := cmd; cmd != nil; cmd = run() {
			gone := make(chan struct{})
			go func() { _ = cmd.Wait(); close(gone) }()
			select {
			case <-gone: // as when its server answers too slowly for its lease: the kubelet would start it again
			case <-stopping:
				_ = cmd.Process.Signal(os.Interrupt) // so that the lease is given back
				<-gone
				return
			case <-t.Context().Done():
				<-gone
				return
			}
		}
	}()
	stop = sync.OnceValue(func() string {
		close(stopping)
		<-ended
		_ = out.Close()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Error(err)
		}
		return string(text)
	})
	t.Cleanup(func() {
		text := stop()
		if strings.Contains(text, "panic:") {
			t.Error("the controller crashed")
		}
		if t.Failed() {
			const most = 6000
			t.Logf("the controller's log ends:\n%s", text[max(0, len(text)-most):])
		}
	})
	return stop
}

// eventually waits until something holds.
func eventually(t *testing.T, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// TestInstall expects that what is installed is what config says, and that the namespace's Pod Security lets the
// controller's pods in.
func TestInstall(t *testing.T) {
	e := installed(t)
	if diff := e.kubectl(t, "", "diff", "--server-side", "-k", "../../config/default"); diff != "" {
		t.Errorf("a second apply would change:\n%s", diff)
	}
	out := e.kubectl(t, "", "rollout", "status", "--namespace="+namespace, "--timeout="+patience.String(),
		"deployment/lateen-controller")
	if !strings.Contains(out, "successfully rolled out") {
		t.Error(out)
	}
}

// TestOverlay builds what a user would install: with the components, and with an image that there is.
func TestOverlay(t *testing.T) {
	kubectl := tool(t, "kubectl")
	dir := t.TempDir()
	here, err := filepath.Abs("../../config")
	if err != nil {
		t.Fatal(err)
	}
	config, err := filepath.Rel(dir, here)
	if err != nil {
		t.Fatal(err)
	}
	overlay := "resources: [" + config + "/default]\ncomponents: [" + config + "/components/service-monitor, " + config +
		"/components/more-grants]\n" +
		"images: [{name: localhost/lateen/lateen-controller, newName: registry.example.com/lateen-controller, newTag: v1}]\n"
	if err := os.WriteFile(filepath.Join(dir, "kustomization.yaml"), []byte(overlay), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), kubectl, "kustomize", dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"image: registry.example.com/lateen-controller:v1\n", "kind: ServiceMonitor\n",
		"  name: lateen-controller-more-grants\n",
		"pod-security.kubernetes.io/enforce: restricted\n",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the overlay does not have %q", want)
		}
	}
}
