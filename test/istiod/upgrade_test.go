package istiod

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
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
	used := e.podNames("app")

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
	e.goneBefore(used, old)
	e.stop(first)
	e.ready(current)
	e.patched(current)
	if got := e.made(podIn("app", "last", nil, nil), client.DryRunAll); got.Status != current {
		t.Errorf("when the old revision is gone, a pod was injected by %q", got.Status)
	}
	e.peaceful(current, func(round int) {
		// Other values: all is rendered and applied again.
		e.put(istio("default", version,
			strategy+fmt.Sprintf(", values: {meshConfig: {accessLogFile: /dev/round-%d}}", round)))
		e.eventually("the new values are applied", func() error {
			config := &corev1.ConfigMap{}
			key := client.ObjectKey{Namespace: system, Name: "istio-" + current}
			if err := e.client.Get(e.t.Context(), key, config); err != nil {
				return err
			}
			return contains(config.Data["mesh"], fmt.Sprintf("/dev/round-%d", round))
		})
	})
}

// podNames are those of the pods in a namespace.
func (e *env) podNames(namespace string) []string {
	e.t.Helper()
	var pods corev1.PodList
	if err := e.client.List(e.t.Context(), &pods, client.InNamespace(namespace)); err != nil {
		e.t.Fatal(err)
	}
	var names []string
	for _, pod := range pods.Items {
		names = append(names, pod.Name)
	}
	return names
}

// goneBefore shows from the audit log that pods were deleted before somebody deleted anything of a revision.
func (e *env) goneBefore(pods []string, revision string) {
	e.t.Helper()
	deleted := map[string]bool{}
	for _, w := range e.Writes(e.t) {
		switch {
		case w.Verb != "delete" || w.DryRun || w.Code >= 300:
		case w.Resource == "pods" && slices.Contains(pods, w.Name):
			deleted[w.Name] = true
		case strings.HasSuffix(w.Name, revision) && len(deleted) < len(pods):
			e.t.Errorf("%s, while only %d of the pods %v that it had injected were deleted", w, len(deleted), pods)
		}
	}
	if len(pods) == 0 || len(deleted) != len(pods) {
		e.t.Errorf("of the pods %v only %v were deleted, by the audit log", pods, deleted)
	}
}

// peaceful shows from the audit log that the controller and istiod leave each other's fields alone. What istiod has
// written is taken away: istiod puts it back. Then the controller looks at everything, renders anew, and starts anew:
// it has nothing to say about the webhooks, and what istiod wrote stays as it is.
func (e *env) peaceful(revision string, change func(round int)) {
	e.t.Helper()
	e.looks(revision)
	before := len(e.hookWrites())
	const rounds = 3
	for round := range rounds {
		e.emptied()
		e.patched(revision)
		stored := e.hookVersions()
		e.looks(revision)
		change(round)
		e.lateen.kill()
		e.lateen = e.controller()
		e.looks(revision)
		if diff := gocmp.Diff(stored, e.hookVersions()); diff != "" {
			e.t.Errorf("somebody wrote webhooks that were as they should be, -before +after:\n%s", diff)
		}
	}
	all := e.hookWrites()
	if by := writers(all[:before]); by[byController] == 0 || by[byIstiod] == 0 {
		e.t.Fatalf("both write webhooks when they are made, or nothing is counted: %v", by)
	}
	by := writers(all[before:])
	e.t.Logf("writes of webhooks in %d rounds: %v", rounds, by)
	if by[byController] > 0 {
		e.t.Errorf("the controller had nothing to write:\n%s", lines(all[before:]))
	}
	// Each time it may write twice: the certificate, and that the webhook answers.
	if by[byIstiod] > 2*by[byTest] {
		e.t.Errorf("istiod wrote %d times after the test had written %d times", by[byIstiod], by[byTest])
	}
}

func lines(writes []cluster.Write) string {
	var b strings.Builder
	for _, w := range writes {
		fmt.Fprintln(&b, w)
	}
	return b.String()
}

// Those who write webhooks.
const (
	byController = "the controller"
	byIstiod     = "istiod"
	byTest       = "the test"
)

func writer(w cluster.Write) string {
	switch {
	case strings.HasPrefix(w.User, "system:serviceaccount:"+system+":istiod"):
		return byIstiod
	case w.UserAgent == "lateen-controller":
		return byController
	}
	return byTest
}

func writers(writes []cluster.Write) map[string]int {
	by := map[string]int{}
	for _, w := range writes {
		by[writer(w)]++
	}
	return by
}

// hookVersions are the resource versions of all webhook configurations.
func (e *env) hookVersions() map[string]string {
	e.t.Helper()
	var mutating admissionv1.MutatingWebhookConfigurationList
	var validating admissionv1.ValidatingWebhookConfigurationList
	if err := errors.Join(e.client.List(e.t.Context(), &mutating), e.client.List(e.t.Context(), &validating)); err != nil {
		e.t.Fatal(err)
	}
	versions := map[string]string{}
	for _, o := range mutating.Items {
		versions["mutating "+o.Name] = o.ResourceVersion
	}
	for _, o := range validating.Items {
		versions["validating "+o.Name] = o.ResourceVersion
	}
	return versions
}

// hookWrites are the writes of webhook configurations.
func (e *env) hookWrites() []cluster.Write {
	e.t.Helper()
	return slices.DeleteFunc(e.Writes(e.t), func(w cluster.Write) bool {
		return w.Group != "admissionregistration.k8s.io" || w.DryRun || w.Code >= 300
	})
}

// emptied takes all that istiod writes out of all webhooks, as somebody does who applies the charts anew: the
// certificates, and that the validating ones are strict.
func (e *env) emptied() {
	e.t.Helper()
	e.eventually("the webhooks as the charts have them", func() error {
		var mutating admissionv1.MutatingWebhookConfigurationList
		var validating admissionv1.ValidatingWebhookConfigurationList
		if err := errors.Join(e.client.List(e.t.Context(), &mutating),
			e.client.List(e.t.Context(), &validating)); err != nil {
			return err
		}
		var errs []error
		for _, config := range mutating.Items {
			for i := range config.Webhooks {
				config.Webhooks[i].ClientConfig.CABundle = nil
			}
			errs = append(errs, e.client.Update(e.t.Context(), &config))
		}
		for _, config := range validating.Items {
			for i := range config.Webhooks {
				config.Webhooks[i].ClientConfig.CABundle = nil
				config.Webhooks[i].FailurePolicy = new(admissionv1.Ignore)
			}
			errs = append(errs, e.client.Update(e.t.Context(), &config))
		}
		return errors.Join(errs...)
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
