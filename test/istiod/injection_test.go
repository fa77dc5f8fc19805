package istiod

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/usage"
)

// mesh is what a cluster has: revisions, each with an istiod, and names that lead to them.
type mesh struct {
	name, reason string
	// resources are those of Lateen, in YAML, and objects the same to delete.
	resources []string
	objects   []client.Object
	revisions []string
	// leads gives the revision of each name that labels can have: itself, or by a tag.
	leads map[string]string
	// auto says that the revision of the name default takes what asks for nothing.
	auto bool
}

var meshes = []mesh{
	{
		name:   "two revisions and a tag",
		reason: "One of them is named default, and the tag leads to the other one.",
		resources: []string{
			istio("default", version, ""), istio("canary", version, ""), tag("stable", v1.KindIstio, "canary"),
		},
		objects: []client.Object{
			&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "stable"}},
			&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "canary"}},
			&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
		},
		revisions: []string{"default", "canary"},
		leads:     map[string]string{"default": "default", "canary": "canary", "stable": "canary"},
	},
	{
		name: "a tag named default that takes every namespace",
		reason: "istio-injection=enabled means a tag here, and what has no label is injected as well. Another tag " +
			"comes from the values.",
		resources: []string{
			istio("prod", version, `, updateStrategy: {type: RevisionBased}, values: {revisionTags: [extra], `+
				`sidecarInjectorWebhook: {enableNamespacesByDefault: true}}`),
			tag("default", v1.KindIstio, "prod"),
		},
		objects: []client.Object{
			&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "default"}},
			&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "prod"}},
		},
		revisions: []string{"prod-v1-28-3"},
		leads: map[string]string{
			"prod-v1-28-3": "prod-v1-28-3", "default": "prod-v1-28-3",
			"extra": "prod-v1-28-3",
		},
		auto: true,
	},
}

// TestInjection makes pods with all combinations of the labels involved, in namespaces with all combinations of theirs,
// and asks the API server what becomes of them: the revision whose istiod injects a pod is the one that Lateen says the
// pod, or its namespace, uses.
func TestInjection(t *testing.T) {
	e := start(t)
	for _, m := range meshes {
		t.Run(m.name, func(t *testing.T) {
			e := e.in(t)
			for _, r := range m.resources {
				e.put(r)
			}
			for _, revision := range m.revisions {
				e.ready(revision)
				e.istiod(revision)
			}
			e.tagged(m)
			var names []string
			for name := range m.leads {
				names = append(names, name)
			}
			e.patched(names...)
			slices.Sort(names)
			injected := e.agree(m, append([]string{"", "other"}, names...))
			for _, revision := range m.revisions {
				if injected[revision] == 0 {
					t.Errorf("no pod was injected by %s, which proves nothing. %s", revision, m.reason)
				}
			}
			t.Logf("pods injected, by revision: %v", injected)
			for _, o := range m.objects {
				e.remove(o)
			}
			e.eventually("no webhook is left", func() error {
				var hooks admissionv1.MutatingWebhookConfigurationList
				if err := e.client.List(t.Context(), &hooks); err != nil || len(hooks.Items) == 0 {
					return err
				}
				return fmt.Errorf("there is %s", hooks.Items[0].Name)
			})
		})
	}
}

// in is the environment for a subtest.
func (e *env) in(t *testing.T) *env {
	t.Helper()
	own := *e
	own.t = t
	return &own
}

// tagged waits until the tags lead where they should.
func (e *env) tagged(m mesh) {
	e.t.Helper()
	e.eventually("the tags", func() error {
		var tags v1.IstioRevisionTagList
		if err := e.client.List(e.t.Context(), &tags); err != nil {
			return err
		}
		for _, tag := range tags.Items {
			if tag.Status.IstioRevision != m.leads[tag.Name] {
				return fmt.Errorf("%s is on %q, not on %s", tag.Name, tag.Status.IstioRevision, m.leads[tag.Name])
			}
		}
		return nil
	})
}

// attempt is a pod that is made in a namespace.
type attempt struct {
	namespace       string
	nsLabels        map[string]string
	podLabels       map[string]string
	wanted, byTheir proxy
}

// agree makes the pods and compares. It gives the number of pods that each revision has injected.
func (e *env) agree(m mesh, values []string) map[string]int {
	e.t.Helper()
	var attempts []*attempt
	n := 0
	for nsLabels := range combinations(usage.LabelInjection, []string{"", "enabled", "disabled", "other"},
		usage.LabelRevision, values) {
		namespace := fmt.Sprintf("app-%s-%d", m.revisions[0], n)
		n++
		e.create(namespace, nsLabels)
		for podLabels := range combinations(usage.LabelInject, []string{"", "true", "false", "other"},
			usage.LabelRevision, values) {
			attempts = append(attempts, &attempt{namespace: namespace, nsLabels: nsLabels, podLabels: podLabels})
		}
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	const workers = 4
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(attempts) && !e.t.Failed(); i = next.Add(1) - 1 {
				e.try(m, attempts[i])
			}
		})
	}
	wg.Wait()
	injected := map[string]int{}
	differences := 0
	for _, a := range attempts {
		if a.byTheir.Status != "" {
			injected[a.byTheir.Status]++
		}
		if diff := gocmp.Diff(a.wanted, a.byTheir); diff != "" && differences < 10 {
			differences++
			e.t.Errorf("namespace %v, pod %v: -Lateen +istiod:\n%s", a.nsLabels, a.podLabels, diff)
		}
	}
	e.t.Logf("%d pods in %d namespaces", len(attempts), n)
	return injected
}

// try makes the pod of an attempt, but for storing it.
func (e *env) try(m mesh, a *attempt) {
	a.wanted = m.uses(a)
	pod := podIn(a.namespace, "app", a.podLabels, nil)
	err := e.client.Create(e.t.Context(), pod, client.DryRunAll)
	if err == nil {
		a.byTheir, err = proxyOf(pod)
	}
	if err != nil {
		e.t.Errorf("namespace %v, pod %v: %v", a.nsLabels, a.podLabels, err)
	}
}

// uses is the revision that a pod uses by Lateen's rules, as the proxy that it would get.
func (m mesh) uses(a *attempt) proxy {
	n := usage.NamespaceOf(a.namespace, a.nsLabels)
	name, _ := n.Selects()
	if name != "" && a.podLabels[usage.LabelInject] == "false" {
		name = "" // the namespace uses the revision for its other pods
	}
	own, _ := usage.PodOf(a.namespace, "app", a.podLabels, nil, false).Selects(n)
	name = cmp.Or(name, own)
	if m.auto && len(a.nsLabels) == 0 && len(a.podLabels) == 0 {
		name = "default"
	}
	revision := m.leads[name]
	return proxy{Annotation: revision, Status: revision, Container: revision != ""}
}

// combinations yields each way to give two labels one of their values, or none.
func combinations(key string, values []string, other string, others []string) func(yield func(map[string]string) bool) {
	return func(yield func(map[string]string) bool) {
		for i := range len(values) + 1 {
			for j := range len(others) + 1 {
				labels := map[string]string{}
				if i < len(values) {
					labels[key] = values[i]
				}
				if j < len(others) {
					labels[other] = others[j]
				}
				if !yield(labels) {
					return
				}
			}
		}
	}
}

// create makes a namespace, and waits until pods can be made in it.
func (e *env) create(name string, labels map[string]string) {
	e.t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}}
	if err := e.client.Create(e.t.Context(), ns); err != nil {
		e.t.Fatal(err)
	}
	e.eventually("the ServiceAccount of "+name, func() error {
		return e.client.Get(e.t.Context(), client.ObjectKey{Namespace: name, Name: "default"}, &corev1.ServiceAccount{})
	})
}

// relabel gives a namespace other labels, of which istio.io/rev alone may lead to an injector, and returns when the API
// server asks by them: it finds the webhooks of a pod by what it remembers of the namespace, which comes a moment
// later.
func (e *env) relabel(name string, labels map[string]string) {
	e.t.Helper()
	e.eventually("the labels of "+name, func() error {
		ns := &corev1.Namespace{}
		if err := e.client.Get(e.t.Context(), client.ObjectKey{Name: name}, ns); err != nil {
			return err
		}
		ns.Labels = labels
		return e.client.Update(e.t.Context(), ns)
	})
	e.eventually("the API server asks by the labels of "+name, func() error {
		got := e.made(podIn(name, "probe", nil, nil), client.DryRunAll)
		if want := labels["istio.io/rev"]; got.Status != want {
			return fmt.Errorf("a pod is injected by %q, not by %q", got.Status, want)
		}
		return nil
	})
}

func podIn(namespace, name string, labels, annotations map[string]string) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels, Annotations: annotations},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "example.com/app"}}},
	}
}

// made makes a pod, as soon as the server takes it, and says what injected it.
func (e *env) made(pod *corev1.Pod, options ...client.CreateOption) proxy {
	e.t.Helper()
	var out proxy
	e.eventually("making the pod "+pod.Name, func() error {
		o := pod.DeepCopy()
		err := e.client.Create(e.t.Context(), o, options...)
		if apierrors.IsAlreadyExists(err) {
			err = e.client.Get(e.t.Context(), client.ObjectKeyFromObject(pod), o)
		}
		if err != nil {
			return err
		}
		out, err = proxyOf(o)
		return err
	})
	return out
}
