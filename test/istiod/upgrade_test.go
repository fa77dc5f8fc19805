package istiod

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// TestUpgrade moves a workload from one revision to the next, each with an istiod of its own: both inject as long as
// both are there, the old one goes when the last proxy of it has, and nobody fights over the webhooks meanwhile.
func TestUpgrade(t *testing.T) {
	e := start(t)
	const old, current = "default-v1-27-0", "default-v1-28-3"
	const strategy = ", updateStrategy: {type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 1}"
	e.put(istio("default", "v1.27.0", strategy))
	e.ready(old)
	first := e.istiod(old)
	e.patched(old)
	e.create("app", map[string]string{"istio.io/rev": old})
	e.create("other", map[string]string{"istio.io/rev": current})
	e.deploy("app", "web")
	e.injected("app", old)

	e.put(istio("default", version, strategy))
	e.ready(current)
	e.istiod(current)
	e.patched(old, current)
	// A workload that comes now to each of the two is injected by the one that its namespace names.
	for namespace, want := range map[string]string{"app": old, "other": current} {
		if got := e.made(podIn(namespace, "new", nil, nil), client.DryRunAll); got.Status != want {
			t.Errorf("a pod in %s was injected by %q, want %s", namespace, got.Status, want)
		}
	}
	e.inUse(old, true)

	e.relabel("app", map[string]string{"istio.io/rev": current})
	e.injected("app", old) // until they are made anew
	e.eventually("the proxies are the only users", func() error { return contains(e.inUse(old, true), "Pod app/web-") })
	e.restart("app", "web")
	e.injected("app", current)
	e.gone(&v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: old}})
	e.gone(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "istiod-" + old}})
	e.gone(&admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: "istio-sidecar-injector-" + old},
	})
	e.stop(first)
	e.ready(current)
	e.patched(current)
	if got := e.made(podIn("app", "last", nil, nil), client.DryRunAll); got.Status != current {
		t.Errorf("when the old revision is gone, a pod was injected by %q", got.Status)
	}
	e.peaceful(current)
}

// peaceful shows from the audit log that the controller and istiod leave each other's fields alone: somebody takes
// istiod's certificate out of the webhooks, and istiod puts it back; somebody makes the controller look at everything,
// and it has nothing to say about them.
func (e *env) peaceful(revision string) {
	e.t.Helper()
	e.looks(revision)
	before := len(e.hookWrites())
	const rounds = 5
	for range rounds {
		e.emptied()
		e.patched(revision)
		e.looks(revision)
	}
	writes := e.hookWrites()[before:]
	by := map[string]int{}
	for _, w := range writes {
		switch {
		case strings.Contains(w.User, "istiod"):
			by["istiod"]++
		case w.UserAgent == "lateen-controller":
			by["the controller"]++
			e.t.Errorf("the controller had nothing to write: %s", w)
		default:
			by["the test"]++
		}
	}
	e.t.Logf("writes of webhooks in %d rounds: %v", rounds, by)
	// Each time it may write twice: the certificate, and that the webhook answers.
	if by["istiod"] > 2*by["the test"] {
		e.t.Errorf("istiod wrote %d times after the test had written %d times", by["istiod"], by["the test"])
	}
}

// hookWrites are the writes of webhook configurations.
func (e *env) hookWrites() []cluster.Write {
	e.t.Helper()
	return slices.DeleteFunc(e.Writes(e.t), func(w cluster.Write) bool {
		return w.Group != "admissionregistration.k8s.io" || w.DryRun || w.Code >= 300
	})
}

// emptied takes the certificates out of all webhooks, as somebody does who applies the charts anew.
func (e *env) emptied() {
	e.t.Helper()
	e.eventually("the webhooks without certificates", func() error {
		var mutating admissionv1.MutatingWebhookConfigurationList
		if err := e.client.List(e.t.Context(), &mutating); err != nil {
			return err
		}
		for _, config := range mutating.Items {
			for i := range config.Webhooks {
				config.Webhooks[i].ClientConfig.CABundle = nil
			}
			if err := e.client.Update(e.t.Context(), &config); err != nil {
				return err
			}
		}
		return nil
	})
}

// looks makes the controller look at a revision, and returns when it has: what was taken away is back.
func (e *env) looks(revision string) {
	e.t.Helper()
	marker := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: system, Name: "istio-" + revision}}
	before := &corev1.ConfigMap{}
	if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(marker), before); err != nil {
		e.t.Fatal(err)
	}
	if err := e.client.Delete(e.t.Context(), marker); err != nil {
		e.t.Fatal(err)
	}
	e.eventually("what was taken away is back", func() error {
		now := &corev1.ConfigMap{}
		err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(before), now)
		if err == nil && now.UID == before.UID {
			err = fmt.Errorf("it is not gone yet")
		}
		return err
	})
}

// gone waits until an object is.
func (e *env) gone(o client.Object) {
	e.t.Helper()
	e.eventually(fmt.Sprintf("the end of %T %s", o, o.GetName()), func() error {
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o); client.IgnoreNotFound(err) != nil ||
			err == nil {
			return fmt.Errorf("it is still there: %w", err)
		}
		return nil
	})
}

// deploy makes a Deployment of two pods.
func (e *env) deploy(namespace, name string) {
	e.t.Helper()
	e.put(
		fmt.Sprintf(
			`{apiVersion: apps/v1, kind: Deployment, metadata: {namespace: %s, name: %s},
spec: {replicas: 2, selector: {matchLabels: {app: %[2]s}},
template: {metadata: {labels: {app: %[2]s}}, spec: {terminationGracePeriodSeconds: 0,
containers: [{name: app, image: example.com/app}]}}}}`, namespace, name))
}

// restart makes the pods of a Deployment anew, as kubectl rollout restart does.
func (e *env) restart(namespace, name string) {
	e.t.Helper()
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	patch := client.RawPatch("application/merge-patch+json",
		[]byte(`{"spec":{"template":{"metadata":{"annotations":{"example.com/restarted":"true"}}}}}`))
	if err := e.client.Patch(e.t.Context(), d, patch); err != nil {
		e.t.Fatal(err)
	}
}

// injected waits until there are two pods in a namespace, both ready and injected by a revision.
func (e *env) injected(namespace, revision string) {
	e.t.Helper()
	e.eventually("the pods in "+namespace+" are injected by "+revision, func() error {
		var pods corev1.PodList
		if err := e.client.List(e.t.Context(), &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		if len(pods.Items) != 2 {
			return fmt.Errorf("there are %d", len(pods.Items))
		}
		for _, pod := range pods.Items {
			got, err := proxyOf(&pod)
			if err != nil {
				return err
			}
			if want := (proxy{Annotation: revision, Status: revision, Container: true}); got != want {
				return fmt.Errorf("%s: %+v", pod.Name, got)
			}
			if pod.Status.Phase != corev1.PodRunning {
				return fmt.Errorf("%s is %s", pod.Name, pod.Status.Phase)
			}
		}
		return nil
	})
}
