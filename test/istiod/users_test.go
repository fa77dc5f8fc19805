package istiod

import (
	"fmt"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// bare is an injection template of a user that writes no annotation.
const bare = `, values: {sidecarInjectorWebhook: {templates: {bare: "spec:\n  containers:\n  - {name: istio-proxy, ` +
	`image: example.com/proxy}\n"}}}`

// TestProxiesAreUsers injects pods by templates of every kind, and then takes away what asked for it: the proxy that
// runs is the only reason to keep the revision, and it is one, whatever its template wrote.
func TestProxiesAreUsers(t *testing.T) {
	e := start(t)
	e.put(istio("mesh", version, bare))
	e.ready("mesh")
	e.istiod("mesh")
	e.patched("mesh")
	wanted := map[string]string{"istio.io/rev": "mesh"}
	e.create("app", wanted)
	for _, c := range []struct {
		name, reason, templates string
		labels                  map[string]string
		// annotation is what the template writes.
		annotation string
	}{
		{"sidecar", "The usual one.", "", nil, "mesh"},
		{"gateway", "A gateway by injection.", "gateway", map[string]string{"sidecar.istio.io/inject": "true"}, "mesh"},
		{"grpc-simple", "A template of Istio's that writes no istio.io/rev.", "grpc-simple", nil, ""},
		{"bare", "A template of the user's own.", "bare", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := e.in(t)
			e.relabel("app", wanted)
			annotations := map[string]string{}
			if c.templates != "" {
				annotations["inject.istio.io/templates"] = c.templates
			}
			pod := podIn("app", c.name, c.labels, annotations)
			if c.templates == "gateway" {
				pod.Spec.Containers = []corev1.Container{{Name: "istio-proxy", Image: "auto"}}
			}
			got := e.made(pod)
			got.Container = false // what a template makes of it is the template's
			if diff := gocmp.Diff(proxy{Annotation: c.annotation, Status: "mesh"}, got); diff != "" {
				t.Fatalf("%s -want +got:\n%s", c.reason, diff)
			}
			e.relabel("app", nil)
			e.eventually("the pod is the only user", func() error {
				return contains(e.inUse("mesh", true), "app/"+c.name)
			})
			e.remove(pod)
			e.inUse("mesh", false)
		})
	}
}

// TestTemplatesAreUsers has nothing but a template of pods that names a revision, of a workload that has no pod at this
// moment. The pods that it makes next are injected, so it is a user.
func TestTemplatesAreUsers(t *testing.T) {
	e := start(t)
	e.put(istio("mesh", version, ""))
	e.ready("mesh")
	e.istiod("mesh")
	e.patched("mesh")
	e.create("app", nil)
	template := func(policy corev1.RestartPolicy) corev1.PodTemplateSpec {
		pod := podIn("app", "next", map[string]string{"app": "web", "istio.io/rev": "mesh"}, nil)
		pod.Spec.RestartPolicy = policy
		return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: pod.Labels}, Spec: pod.Spec}
	}
	meta := metav1.ObjectMeta{Namespace: "app", Name: "web"}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	for _, c := range []struct {
		name, reason string
		object       client.Object
	}{
		{
			"Deployment", "Scaled to zero for the night.",
			&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{
				Replicas: new(int32), Selector: selector, Template: template(corev1.RestartPolicyAlways),
			}},
		},
		{
			"StatefulSet", "Not begun yet.",
			&appsv1.StatefulSet{ObjectMeta: meta, Spec: appsv1.StatefulSetSpec{
				Replicas: new(int32), Selector: selector, Template: template(corev1.RestartPolicyAlways),
			}},
		},
		{
			"CronJob", "Between two runs.",
			&batchv1.CronJob{ObjectMeta: meta, Spec: batchv1.CronJobSpec{
				Schedule: "0 0 29 2 *", JobTemplate: batchv1.JobTemplateSpec{
					Spec: batchv1.JobSpec{Template: template(corev1.RestartPolicyNever)},
				},
			}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := e.in(t)
			e.inUse("mesh", false)
			if err := e.client.Create(t.Context(), c.object); err != nil {
				t.Fatal(err)
			}
			e.eventually("the template is the only user",
				func() error { return contains(e.inUse("mesh", true), c.name+" app/web") })
			next := podIn("app", "next", map[string]string{"app": "web", "istio.io/rev": "mesh"}, nil)
			want := proxy{Annotation: "mesh", Status: "mesh", Container: true}
			if diff := gocmp.Diff(want, e.made(next, client.DryRunAll)); diff != "" {
				t.Errorf("the next pod, -want +got:\n%s\n%s", diff, c.reason)
			}
			e.remove(c.object)
		})
	}
}

// contains is an error unless a text has another one in it.
func contains(text, part string) error {
	if !strings.Contains(text, part) {
		return fmt.Errorf("no %q in: %s", part, text)
	}
	return nil
}
