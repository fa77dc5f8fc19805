package controller

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/retry"

	"github.com/lateen-io/lateen/test/cluster"
)

// writer is a client that changes objects over and over, reading and updating them whole as many programs do.
type writer struct {
	e      *env
	api    dynamic.Interface
	agent  string
	change []change
}

// change is what a writer does to an object; n counts.
type change struct {
	resource        schema.GroupVersionResource
	namespace, name string
	do              func(o *unstructured.Unstructured, n int)
}

// writer makes a writer, which the audit log knows by its agent.
func (e *env) writer(agent string, changes ...change) *writer {
	e.t.Helper()
	config := rest.CopyConfig(e.RESTConfig())
	config.UserAgent = agent
	api, err := dynamic.NewForConfig(config)
	if err != nil {
		e.t.Fatal(err)
	}
	return &writer{e, api, agent, changes}
}

// write changes each object a number of times, about as often as the period says.
func (w *writer) write(ctx context.Context, times int, period time.Duration) error {
	for n := range times {
		for _, c := range w.change {
			if err := w.once(ctx, c, n); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(period):
		}
	}
	return nil
}

// once makes a change, however often somebody else is quicker.
func (w *writer) once(ctx context.Context, c change, n int) error {
	api := w.api.Resource(c.resource).Namespace(c.namespace)
	return retry.RetryOnConflict(wait.Backoff{Steps: 100, Duration: 10 * time.Millisecond, Factor: 1.1}, func() error {
		o, err := api.Get(ctx, c.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		c.do(o, n)
		_, err = api.Update(ctx, o, metav1.UpdateOptions{})
		return err
	})
}

func label(key string) func(*unstructured.Unstructured, int) {
	return func(o *unstructured.Unstructured, n int) {
		labels := o.GetLabels()
		labels[key] = fmt.Sprintf("changed-%d", n)
		o.SetLabels(labels)
	}
}

func annotate(o *unstructured.Unstructured, n int) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["example.com/touched"] = strconv.Itoa(n)
	o.SetAnnotations(annotations)
}

// webhooks changes each webhook of a configuration.
func webhooks(do func(webhook map[string]any, n int)) func(*unstructured.Unstructured, int) {
	return func(o *unstructured.Unstructured, n int) {
		list, _, _ := unstructured.NestedSlice(o.Object, "webhooks")
		for _, hook := range list {
			if hook, ok := hook.(map[string]any); ok {
				do(hook, n)
			}
		}
		_ = unstructured.SetNestedSlice(o.Object, list, "webhooks")
	}
}

var (
	deployments = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	configMaps  = schema.GroupVersionResource{Version: "v1", Resource: "configmaps"}
	mutating    = schema.GroupVersionResource{
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "mutatingwebhookconfigurations",
	}
	validating = schema.GroupVersionResource{
		Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations",
	}
)

func lateens(name string) schema.GroupVersionResource {
	return schema.GroupVersionResource{Group: "sailoperator.io", Version: "v1", Resource: name}
}

// TestWriters lets others write what is the controller's, and what is not.
func TestWriters(t *testing.T) {
	parallel(t, 40)
	e := start(t, cluster.WithAudit())
	e.controller()
	for _, name := range []string{"istio-system", "istio-cni"} {
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	}
	e.asked("default", "v1.28.3", "type: InPlace")
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: default}, spec: {version: v1.28.3}}")
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: stable}, " +
		"spec: {targetRef: {kind: Istio, name: default}}}")
	e.healthy("istio", "default")
	e.healthy("cni", "default")
	e.converges()

	t.Run("istiod", func(t *testing.T) { istiodWrites(e.in(t)) })
	t.Run("a fight", func(t *testing.T) { fight(e.in(t)) })
}

// writing lets writers write a number of times each, side by side.
func (e *env) writing(times int, period time.Duration, writers ...*writer) {
	var wg sync.WaitGroup
	for _, w := range writers {
		wg.Go(func() {
			if err := w.write(e.t.Context(), times, period); err != nil {
				e.t.Errorf("%s: %v", w.agent, err)
			}
		})
	}
	wg.Wait()
}

// istiodWrites: what istiod puts into its webhooks is istiod's, and none of it is worth an answer.
func istiodWrites(e *env) {
	about := func(w cluster.Write) bool { return w.Name != marker && !strings.Contains(w.Resource, "events") }
	before := e.written(about)
	hook := webhooks(func(hook map[string]any, n int) {
		config, _ := hook["clientConfig"].(map[string]any)
		config["caBundle"] = base64.StdEncoding.EncodeToString([]byte(fmt.Sprintf("certificate %d", n)))
	})
	policy := webhooks(func(hook map[string]any, n int) { hook["failurePolicy"] = []any{"Fail", "Ignore"}[n%2] })
	istiod := e.writer("istiod",
		change{mutating, "", "istio-sidecar-injector", hook},
		change{mutating, "", "istio-revision-tag-stable", hook},
		change{validating, "", "istio-validator-istio-system", func(o *unstructured.Unstructured, n int) {
			hook(o, n)
			policy(o, n)
		}},
	)
	e.writing(25, 200*time.Millisecond, istiod)
	// It hears of the writes in their order, and looks at what it is told later not before.
	e.must("delete", "configmap", "-n", "istio-system", marker)
	e.exists("configmap", "istio-system", marker)
	e.unwritten(before, about)
	e.converges()
}

// marker is a ConfigMap that is taken away to see that the controller has done with what came before.
const marker = "istio"

// fight: what is the controller's it puts right, but it does not write more often than the other one does.
func fight(e *env) {
	ours := func(w cluster.Write) bool { return !strings.Contains(w.Resource, "events") }
	before := e.written(ours)
	other := e.writer("other",
		change{deployments, "istio-system", "istiod", func(o *unstructured.Unstructured, n int) {
			label("app")(o, n)
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			container, _ := containers[0].(map[string]any)
			container["image"] = fmt.Sprintf("example.com/other:%d", n)
			_ = unstructured.SetNestedSlice(o.Object, containers, "spec", "template", "spec", "containers")
		}},
		change{configMaps, "istio-system", "istio", func(o *unstructured.Unstructured, n int) {
			label("release")(o, n)
			_ = unstructured.SetNestedField(o.Object, fmt.Sprintf("changed: %d", n), "data", "mesh")
		}},
		change{mutating, "", "istio-sidecar-injector", webhooks(func(hook map[string]any, n int) {
			hook["failurePolicy"] = []any{"Ignore", "Fail"}[n%2]
			hook["timeoutSeconds"] = int64(n%9 + 1)
			hook["namespaceSelector"] = map[string]any{"matchLabels": map[string]any{"changed": strconv.Itoa(n)}}
		})},
		change{validating, "", "istio-validator-istio-system", label("app")},
	)
	toucher := e.writer("toucher",
		change{lateens("istios"), "", "default", annotate}, change{lateens("istiorevisions"), "", "default", annotate},
		change{lateens("istiorevisiontags"), "", "stable", annotate}, change{lateens("istiocnis"), "", "default", annotate},
	)
	e.writing(40, 100*time.Millisecond, other, toucher)
	e.converges()
	e.healthy("istio", "default")

	theirs := map[string]int{}
	for _, w := range e.Writes(e.t) {
		if w.Code == 200 && (w.UserAgent == "other" || w.UserAgent == "toucher") {
			theirs[w.Resource+" "+w.Name]++
		}
	}
	written := map[string]int{}
	for _, w := range e.written(ours)[len(before):] {
		written[strings.TrimSuffix(w.Resource+" "+w.Name+" "+w.Subresource, " ")]++
	}
	report, err := json.MarshalIndent(map[string]any{"the others": theirs, "the controller": written}, "", "  ")
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Logf("writes: %s", report)
	for what, n := range written {
		// Of the status of a revision and of its Istio the Deployment is the reason: it is not ready while it is changed.
		about := strings.TrimSuffix(what, " status")
		if about != what {
			about = "deployments istiod"
			n /= 2 // not ready, ready again
		}
		if n > theirs[about] {
			e.t.Errorf("the controller wrote %s %d times, the others %d times", what, n, theirs[about])
		}
	}
	if written["deployments istiod"] == 0 || written["configmaps istio"] == 0 {
		e.t.Errorf("the controller did not fight")
	}
}
