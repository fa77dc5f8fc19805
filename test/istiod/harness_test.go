package istiod

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// version is the one that istiod is built from, and system where it belongs.
const (
	version = "v1.28.3"
	system  = "istio-system"
)

// patience is how long the cluster may take to come to what is expected of it. It is no measure of anything.
const patience = 5 * time.Minute

// Where programs come from: istiod from its module, the controller from LATEEN_BIN, or from the source.
var programs struct {
	istiod, controller string
	// missing says why there are none.
	missing string
}

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lateen-istiod-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := findPrograms(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// findPrograms finds istiod and the controller, or says what is missing. It builds no istiod: that takes longer than
// tests may.
func findPrograms(dir string) error {
	missing, err := Missing()
	if err != nil {
		return err
	}
	if missing {
		programs.missing = "no istiod of Istio " + version + " has been built: make test-engines does that"
		return nil
	}
	if programs.istiod, err = Program(context.Background(), os.Stderr); err != nil {
		return err
	}
	if bin := os.Getenv("LATEEN_BIN"); bin != "" {
		programs.controller = filepath.Join(bin, "lateen-controller")
		return nil
	}
	programs.controller = filepath.Join(dir, "lateen-controller")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", programs.controller, "../../controller")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the controller: %w\n%s", err, out)
	}
	return nil
}

// env is a cluster with the controller in it.
type env struct {
	*cluster.Cluster
	t      *testing.T
	client client.Client
	routes *routes
	// lateen is the controller.
	lateen *process
}

// asked skips the test unless somebody has asked for real istiods, and there are some.
func asked(t *testing.T) {
	t.Helper()
	switch {
	case os.Getenv("ENGINES") == "":
		t.Skip("starts a real istiod: make test-engines")
	case testing.Short():
		leftOut(t, "it starts a control plane, which is not short")
	case programs.missing != "":
		leftOut(t, programs.missing)
	}
}

// leftOut skips a test that somebody has asked for, or fails it if all of them are required.
func leftOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("ENGINES") == "required" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// start gives the test a cluster of its own, with Lateen's CRDs, the controller, and a way for the API server to the
// webhooks.
func start(t *testing.T, options ...cluster.Option) *env {
	t.Helper()
	asked(t)
	options = append(options, cluster.WithNodes(2), cluster.WithAudit(), cluster.WithCRDs("../../config/crd"))
	e := &env{Cluster: cluster.Start(t, options...), t: t}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	var err error
	if e.client, err = client.New(e.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + system + "}}")
	e.routes = e.route()
	e.lateen = e.controller()
	return e
}

// process is a program that runs until the test ends, or it is killed. If it ends by itself the test fails, and it does
// not outlive the test, however that ends.
type process struct{ kill func() }

// run starts a program beside the control plane. Its log is shown if the test fails.
func (e *env) run(name string, environ []string, program string, args ...string) *process {
	e.t.Helper()
	companion := e.Run(e.t, name, environ, program, args...)
	p := &process{kill: sync.OnceFunc(companion.Stop)}
	e.t.Cleanup(func() {
		p.kill()
		text, err := os.ReadFile(companion.Log())
		if err != nil {
			e.t.Error(err)
		}
		if bytes.Contains(text, []byte("panic:")) {
			e.t.Errorf("%s panicked", name)
		}
		if e.t.Failed() {
			const most = 8000
			text = bytes.Join(slices.DeleteFunc(bytes.SplitAfter(text, []byte("\n")), func(line []byte) bool {
				return bytes.Contains(line, []byte(`"msg":"Starting EventSource"`))
			}), nil)
			e.t.Logf("the log of %s ends:\n%s", name, text[max(0, len(text)-most):])
		}
	})
	return p
}

// controller starts Lateen's.
func (e *env) controller() *process {
	e.t.Helper()
	return e.run("lateen-controller", nil, programs.controller, "--kubeconfig="+e.Kubeconfig,
		"--leader-elect=false",
		"--metrics-bind-address=0", "--health-probe-bind-address=0")
}

// put applies an object, given as YAML, as soon as the server takes it.
func (e *env) put(text string) {
	e.t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		e.t.Fatal(err)
	}
	e.eventually("applying "+o.GetKind()+" "+o.GetName(), func() error {
		return e.client.Apply(e.t.Context(), client.ApplyConfigurationFromUnstructured(o),
			client.FieldOwner("lateen-test"), client.ForceOwnership)
	})
}

// remove deletes an object and waits until it is gone.
func (e *env) remove(o client.Object) {
	e.t.Helper()
	what := fmt.Sprintf("%T %s", o, client.ObjectKeyFromObject(o))
	if err := client.IgnoreNotFound(e.client.Delete(e.t.Context(), o)); err != nil {
		e.t.Fatalf("deleting %s: %v", what, err)
	}
	e.eventually("the end of "+what, func() error {
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) != nil ||
			err == nil {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}

// eventually waits until something holds.
func (e *env) eventually(what string, holds func() error) {
	e.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || e.t.Context().Err() != nil {
			e.t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// istio is an Istio of the version, in YAML, with what is added to its spec.
func istio(name, version, more string) string {
	return fmt.Sprintf("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: %s}, spec: {version: %s, "+
		"namespace: %s%s}}", name, version, system, more)
}

// tag is an IstioRevisionTag in YAML.
func tag(name, kind, target string) string {
	return fmt.Sprintf("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: %s}, spec: "+
		"{targetRef: {kind: %s, name: %s}}}", name, kind, target)
}

// ready waits until a revision is.
func (e *env) ready(revision string) {
	e.t.Helper()
	e.eventually("IstioRevision "+revision+" is ready", func() error {
		rev := &v1.IstioRevision{}
		if err := e.client.Get(e.t.Context(), types.NamespacedName{Name: revision}, rev); err != nil {
			return err
		}
		for _, c := range []v1.ConditionType{v1.ConditionReconciled, v1.ConditionReady} {
			if !rev.Status.Conditions.IsTrue(c) {
				return fmt.Errorf("%s: %+v", c, rev.Status.Conditions.Get(c))
			}
		}
		return nil
	})
}

// inUse waits until the controller says so of a revision, or that it is not, and gives what it says.
func (e *env) inUse(revision string, want bool) string {
	e.t.Helper()
	var message string
	e.eventually(fmt.Sprintf("InUse of IstioRevision %s is %v", revision, want), func() error {
		rev := &v1.IstioRevision{}
		if err := e.client.Get(e.t.Context(), types.NamespacedName{Name: revision}, rev); err != nil {
			return err
		}
		c := rev.Status.Conditions.Get(v1.ConditionInUse)
		if c == nil || (c.Status == "True") != want || c.Status == "Unknown" {
			return fmt.Errorf("it is %+v", c)
		}
		message = c.Message
		return nil
	})
	return message
}

// patched waits until an istiod has put its certificate into all injection webhooks of a revision and of the tags on
// it, and has made the validating one strict.
func (e *env) patched(names ...string) {
	e.t.Helper()
	e.eventually("istiod patches its webhooks", func() error {
		var mutating admissionv1.MutatingWebhookConfigurationList
		var validating admissionv1.ValidatingWebhookConfigurationList
		if err := errors.Join(e.client.List(e.t.Context(), &mutating),
			e.client.List(e.t.Context(), &validating)); err != nil {
			return err
		}
		for _, name := range names {
			found := 0
			for _, config := range mutating.Items {
				if config.Labels["istio.io/rev"] != name && config.Labels["istio.io/tag"] != name {
					continue
				}
				for _, hook := range config.Webhooks {
					found++
					if len(hook.ClientConfig.CABundle) == 0 {
						return fmt.Errorf("%s has no caBundle in %s", hook.Name, config.Name)
					}
				}
			}
			if found == 0 {
				return fmt.Errorf("%s has no webhooks", name)
			}
		}
		for _, config := range validating.Items {
			for _, hook := range config.Webhooks {
				if !strings.HasPrefix(config.Name, "istio-validator-") {
					continue
				}
				if !slices.Contains(names, config.Labels["istio.io/rev"]) {
					continue
				}
				if len(hook.ClientConfig.CABundle) == 0 || hook.FailurePolicy == nil ||
					*hook.FailurePolicy != admissionv1.Fail {
					return fmt.Errorf("%s in %s: caBundle of %d bytes, failurePolicy %v", hook.Name, config.Name,
						len(hook.ClientConfig.CABundle), hook.FailurePolicy)
				}
			}
		}
		return nil
	})
}

// proxy is the revision that has injected a pod, by what the pod has: the annotation of the template, what the injector
// itself notes, and whether there is a proxy at all.
type proxy struct {
	// Annotation is istio.io/rev, and Status the revision in sidecar.istio.io/status.
	Annotation, Status string
	Container          bool
}

func proxyOf(pod *corev1.Pod) (proxy, error) {
	p := proxy{Annotation: pod.Annotations["istio.io/rev"]}
	for _, c := range slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers) {
		p.Container = p.Container || c.Name == "istio-proxy"
	}
	text, ok := pod.Annotations["sidecar.istio.io/status"]
	if !ok {
		return p, nil
	}
	var status struct{ Revision string }
	if err := yaml.Unmarshal([]byte(text), &status); err != nil {
		return p, fmt.Errorf("sidecar.istio.io/status of %s: %w", pod.Name, err)
	}
	p.Status = status.Revision
	return p, nil
}

// closeQuietly closes what the test is done with.
func closeQuietly(c io.Closer) { _ = c.Close() }
