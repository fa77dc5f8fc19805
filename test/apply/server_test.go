// Package apply brings what Lateen renders, and its CRDs, to a real API server: what it accepts, what it says no to,
// and what is left to change when the same output is applied a second time.
package apply

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/polling"
	"github.com/fluxcd/pkg/ssa"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	"github.com/lateen-io/lateen/test/cluster"
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // controller-runtime complains if nobody says where its logs go
	os.Exit(cluster.Main(m))
}

// owner is the field manager of everything that the tests apply.
var owner = ssa.Owner{Field: "lateen-test", Group: "test.lateen.io"}

// server is the API server that the tests share, with Lateen's and Istio's CRDs.
type server struct {
	*cluster.Cluster
	// client says Warn to unknown fields, as clients that apply do.
	client client.Client
	// manager is what Flux's kustomize-controller applies with.
	manager *ssa.ResourceManager
	// warnings are those of the server since the last look.
	warnings *warnings
}

// prepared says whether the CRDs are installed in the shared cluster.
var prepared struct {
	once sync.Once
	err  error
}

// connect gives a test the shared server, and starts it if this is the first.
func connect(t *testing.T) server {
	t.Helper()
	s := connectTo(t, cluster.Shared(t))
	prepared.once.Do(func() { prepared.err = s.installCRDs(t.Context()) })
	if prepared.err != nil {
		t.Fatalf("installing the CRDs: %v", prepared.err)
	}
	s.warnings.take() // about Istio's CRDs
	return s
}

// connectTo gives a test a server that has no CRDs yet.
func connectTo(t *testing.T, c *cluster.Cluster) server {
	t.Helper()
	s := server{Cluster: c, warnings: &warnings{}}
	var err error
	s.client, err = client.New(&rest.Config{
		Host:                      s.URL,
		BearerToken:               s.Token,
		TLSClientConfig:           rest.TLSClientConfig{CAData: s.CA},
		QPS:                       -1, // no limit
		WarningHandlerWithContext: s.warnings,
	}, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.manager = ssa.NewResourceManager(s.client,
		polling.NewStatusPoller(s.client, s.client.RESTMapper(), polling.Options{}), owner)
	s.manager.SetConcurrency(4)
	return s
}

// installCRDs installs Lateen's CRDs and those of the newest Istio, as a user would.
func (s server) installCRDs(ctx context.Context) error {
	files, err := filepath.Glob("../../config/crd/sailoperator.io_*.yaml")
	if err != nil || len(files) == 0 {
		return errors.Join(errors.New("no CRDs in config/crd"), err)
	}
	var crds []*unstructured.Unstructured
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		crd, err := parse(string(text))
		if err != nil {
			return err
		}
		crds = append(crds, crd)
	}
	objects, err := render(istio("default", ""), lateen.Options{CRDs: true})
	if err != nil {
		return err
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, o)
		}
	}
	_, err = s.manager.ApplyAllStaged(ctx, crds, applyOptions())
	return err
}

// patience is how long the server may take to come to what is expected of it. It is no measure of anything.
const patience = 5 * time.Minute

// applyOptions are Flux's, but for looking more often whether CRDs are established.
func applyOptions() ssa.ApplyOptions {
	o := ssa.DefaultApplyOptions()
	o.WaitInterval, o.WaitTimeout = 100*time.Millisecond, patience
	return o
}

// namespace makes sure that there is one.
func (s server) namespace(t *testing.T, name string) {
	t.Helper()
	err := s.client.Create(t.Context(), must(parse("{apiVersion: v1, kind: Namespace, metadata: {name: "+name+"}}"))(t))
	if err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// warnings collects what the server finds fault with although it does what it is told.
type warnings struct {
	mutex sync.Mutex
	texts []string
}

// HandleWarningHeaderWithContext is called by the client.
func (w *warnings) HandleWarningHeaderWithContext(_ context.Context, _ int, _, text string) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.texts = append(w.texts, text)
}

// take gives the warnings so far and forgets them.
func (w *warnings) take() []string {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	texts := w.texts
	w.texts = nil
	return texts
}

// istio is an Istio. The lines of its spec are indented by two.
func istio(name, spec string) string {
	return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: " + name +
		"\nspec:\n  namespace: istio-system\n" + spec
}

// render gives the objects of a resource.
func render(resource string, o lateen.Options) ([]*unstructured.Unstructured, error) {
	result, err := lateen.Render([]byte(resource), o)
	if err != nil {
		return nil, err
	}
	return result.Objects()
}

// parse reads one object.
func parse(text string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	return o, yaml.Unmarshal([]byte(text), &o.Object)
}

// must makes an error end the test: must(parse(text))(t).
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// tool finds a program that the tests need. Outside CI, a machine without it skips the test.
func tool(t *testing.T, name string) string {
	t.Helper()
	if path := os.Getenv("LATEEN_" + strings.ToUpper(name)); path != "" {
		return path
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "" {
		t.Skipf("%s is not on this machine (kustomize: run `make test`; kubectl: install it)", name)
	}
	t.Fatalf("%s is not on this machine, and CI runs every test", name)
	return ""
}

// kubectl runs kubectl as the administrator of the shared cluster and gives what it prints.
func (s server) kubectl(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(ctx, tool(t, "kubectl"),
		append([]string{"--kubeconfig=" + s.Kubeconfig, "--cache-dir=" + t.TempDir()}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, errors.New(stderr.String()))
	}
	return stdout.String(), nil
}
