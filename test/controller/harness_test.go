// Package controller runs the controller, as the program that users run, against a real control plane.
package controller

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// program is the controller.
var program string

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	code := 1
	defer func() { os.Exit(code) }()
	flag.Parse()
	if err := limit(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	if bin := os.Getenv("LATEEN_BIN"); bin != "" {
		program = filepath.Join(bin, "lateen-controller")
		code = m.Run()
		return
	}
	dir, err := os.MkdirTemp("", "lateen-controller-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "lateen-controller")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", program, "../../controller")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the controller: %v\n%s", err, out)
		return
	}
	code = m.Run()
}

// env is a cluster and what a test needs to work with it.
type env struct {
	*cluster.Cluster
	t      *testing.T
	client client.Client
	// environ is added to the environment of the controller.
	environ []string
	// requests does what kubectl need not do, unless verbatim says that all commands are kubectl's.
	requests *requests
	verbatim bool
}

// patience is how long the cluster may take to come to what is expected of it. It is no measure of anything.
const patience = 5 * time.Minute

// start gives the test a cluster of its own with Lateen's and Istio's CRDs.
func start(t *testing.T, options ...cluster.Option) *env {
	t.Helper()
	return startWith(t, "../../config/crd", options...)
}

// startWith is start with other CRDs of Lateen.
func startWith(t *testing.T, crds string, options ...cluster.Option) *env {
	t.Helper()
	options = append([]cluster.Option{
		cluster.WithNodes(2), cluster.WithoutWebhooks(), cluster.WithCRDs(crds), cluster.WithObjects(istioCRDs),
	}, options...)
	e := &env{Cluster: cluster.Start(t, options...), t: t}
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	var err error
	if e.client, err = client.New(e.RESTConfig(), client.Options{Scheme: scheme}); err != nil {
		t.Fatal(err)
	}
	if e.requests, err = newRequests(e.RESTConfig()); err != nil {
		t.Fatal(err)
	}
	e.installedOnce()
	return e
}

// installedOnce makes Istio's CRDs what an installer has left behind: somebody has written them, and does not apply
// them again, so they are the controller's to replace.
func (e *env) installedOnce() {
	e.t.Helper()
	crds, err := istioCRDs()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, o := range crds {
		e.eventually("the writer of "+o.GetName(), func() error { // its status changes meanwhile
			if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
				return err
			}
			fields := o.GetManagedFields()
			for i := range fields {
				fields[i].Operation = metav1.ManagedFieldsOperationUpdate
			}
			o.SetManagedFields(fields)
			return e.client.Update(e.t.Context(), o)
		})
	}
}

// istioCRDs are those of an old Istio, which the controller has to replace.
func istioCRDs() ([]*unstructured.Unstructured, error) {
	result, err := lateen.Render(
		[]byte("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {version: v1.23.2}}"),
		lateen.Options{CRDs: true})
	if err != nil {
		return nil, err
	}
	objects, err := result.Objects()
	if err != nil {
		return nil, err
	}
	var crds []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, o)
		}
	}
	return crds, nil
}

// controller starts a controller, and keeps it running until it is killed or the test ends.
func (e *env) controller(args ...string) *daemon {
	e.t.Helper()
	d := e.daemon(args...)
	d.keep()
	return d
}

// tail is the end of a log, without what every start logs.
func tail(text []byte, lines int) string {
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	all = slices.DeleteFunc(all, func(line string) bool { return strings.Contains(line, `"msg":"Starting `) })
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// kubectlCommand is kubectl for the cluster. What it remembers of that, it keeps there: the next cluster may have the
// same address.
func (e *env) kubectlCommand(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(e.t.Context(), "kubectl", append([]string{"--kubeconfig=" + e.Kubeconfig}, args...)...)
	cmd.Env = append(os.Environ(), "KUBECACHEDIR="+filepath.Join(filepath.Dir(e.Kubeconfig), "kubectl"))
	return cmd
}

// kubectl runs kubectl, or does what it would, and gives what it prints.
func (e *env) kubectl(args ...string) (string, error) {
	if !e.verbatim {
		out, err := e.requests.do(e.t.Context(), args)
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, errForKubectl) {
			return out, fmt.Errorf("kubectl %s: %w", strings.Join(args, " "), err)
		}
	}
	cmd := e.kubectlCommand(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("kubectl %s: %w\n%s", strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

// must runs kubectl, which has to succeed.
func (e *env) must(args ...string) string {
	e.t.Helper()
	out, err := e.kubectl(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// apply applies YAML, as kubectl does.
func (e *env) apply(text string) {
	e.t.Helper()
	if err := e.tryApply(text); err != nil {
		e.t.Fatalf("%v\n%s", err, text)
	}
}

// tryApply is apply of what the server may refuse.
func (e *env) tryApply(text string) error {
	if !e.verbatim {
		return e.requests.apply(e.t.Context(), text)
	}
	cmd := e.kubectlCommand("apply", "-f", "-")
	cmd.Stdin = strings.NewReader("---\n" + text) // else kubectl takes a text that begins with { for JSON
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("kubectl apply: %w\n%s", err, out)
	}
	return nil
}

// eventually waits until something holds. The longer it takes the less often it looks: a look costs as much as what it
// waits for, if that is kubectl's, or at all there is in the cluster.
func (e *env) eventually(what string, holds func() error) {
	e.t.Helper()
	begun := time.Now()
	deadline := begun.Add(patience)
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-e.t.Context().Done():
			e.t.Fatalf("%s: %v", what, err)
		case <-time.After(min(max(time.Since(begun)/5, 200*time.Millisecond), time.Second)):
		}
	}
}

// ages are the values of a column AGE.
var ages = regexp.MustCompile(`\b\d+([smhd])(\d+s)?\b`)

// table makes the output of kubectl get comparable: single spaces, and no ages.
func table(s string) string {
	var out []string
	for line := range strings.Lines(strings.TrimSpace(s)) {
		fields := strings.Fields(line)
		for i, f := range fields {
			if ages.FindString(f) == f {
				fields[i] = "AGE"
			}
		}
		out = append(out, strings.Join(fields, " "))
	}
	return strings.Join(out, "\n")
}

// shows waits until kubectl prints a table.
func (e *env) shows(want string, args ...string) {
	e.t.Helper()
	e.eventually("kubectl "+strings.Join(args, " "), func() error {
		got, err := e.kubectl(args...)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(table(want), table(got)); diff != "" {
			return e.inDetail(fmt.Errorf("-want +got:\n%s", diff))
		}
		return nil
	})
}

// detailed is an error that says what the resources say of themselves, if somebody reads it: most are seen by
// eventually only.
type detailed struct {
	error

	e *env
}

// inDetail adds to an error what the resources say of themselves.
func (e *env) inDetail(err error) error { return detailed{err, e} }

func (d detailed) Error() string {
	y, _ := d.e.kubectl("get", "istios,istiorevisions,istiorevisiontags,istiocnis", "-o", "yaml")
	return d.error.Error() + "\n" + conditions(y)
}

// conditions shortens a list of resources to what they say of themselves.
func conditions(text string) string {
	var list struct {
		Items []struct {
			Kind     string
			Metadata metav1.ObjectMeta
			Status   struct{ Conditions v1.Conditions }
		}
	}
	if err := yaml.Unmarshal([]byte(text), &list); err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, i := range list.Items {
		for _, c := range i.Status.Conditions {
			fmt.Fprintf(&b, "%s/%s %s=%s %s %s\n", i.Kind, i.Metadata.Name, c.Type, c.Status, c.Reason, c.Message)
		}
	}
	return b.String()
}

// inject does what istiod does when it runs: for each pod that comes, it asks the webhooks in the cluster, by their
// selectors, which revision injects it, and notes that on the pod. It ends with the test.
func (e *env) inject() {
	e.t.Helper()
	w, err := client.NewWithWatch(e.RESTConfig(), client.Options{Scheme: e.client.Scheme()})
	if err != nil {
		e.t.Fatal(err)
	}
	ctx := e.t.Context()
	done := make(chan struct{})
	e.t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			pods, err := w.Watch(ctx, &corev1.PodList{})
			if err != nil {
				time.Sleep(100 * time.Millisecond)
				continue
			}
			for event := range pods.ResultChan() {
				pod, ok := event.Object.(*corev1.Pod)
				if !ok || pod.Annotations["lateen-test/seen"] != "" || pod.DeletionTimestamp != nil {
					continue
				}
				for e.injectPod(ctx, pod.DeepCopy()) != nil && ctx.Err() == nil {
					time.Sleep(100 * time.Millisecond)
				}
			}
		}
	}()
}

// injectPod is an error if the server has not answered. A pod or a namespace that is gone needs nothing.
func (e *env) injectPod(ctx context.Context, pod *corev1.Pod) error {
	before := pod.DeepCopy()
	metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "lateen-test/seen", "true")
	rev, err := e.injector(ctx, pod)
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	if rev != "" {
		metav1.SetMetaDataAnnotation(&pod.ObjectMeta, "istio.io/rev", rev)
	}
	return client.IgnoreNotFound(e.client.Patch(ctx, pod, client.MergeFrom(before)))
}

// injector is the revision whose webhook selects a pod.
func (e *env) injector(ctx context.Context, pod *corev1.Pod) (string, error) {
	var ns corev1.Namespace
	var hooks admissionv1.MutatingWebhookConfigurationList
	if err := e.client.Get(ctx, client.ObjectKey{Name: pod.Namespace}, &ns); err != nil {
		return "", err
	}
	if err := e.client.List(ctx, &hooks); err != nil {
		return "", err
	}
	for _, config := range hooks.Items {
		for _, hook := range config.Webhooks {
			if selects(hook.NamespaceSelector, ns.Labels) && selects(hook.ObjectSelector, pod.Labels) {
				return config.Labels["istio.io/rev"], nil
			}
		}
	}
	return "", nil
}

func selects(s *metav1.LabelSelector, set map[string]string) bool {
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set(set))
}
