package cluster

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// meshCRD defines a kind without a namespace, whose objects the tests make owners.
const meshCRD = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: meshes.test.lateen.io}
spec:
  group: test.lateen.io
  scope: Cluster
  names: {kind: Mesh, plural: meshes, singular: mesh, listKind: MeshList}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
`

// parse reads objects from YAML documents.
func parse(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(document), &o.Object); err != nil {
			t.Fatal(err)
		}
		objects = append(objects, o)
	}
	return objects
}

// create creates objects from YAML documents and gives the first.
func (c *Cluster) create(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	objects := parse(t, text)
	for _, o := range objects {
		if err := c.api.Create(t.Context(), o); err != nil {
			t.Fatalf("creating %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	return objects[0]
}

// eventually waits until a condition holds, and fails the test if it takes too long.
func eventually(t *testing.T, what string, holds func(context.Context) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { return holds(ctx), nil }); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// gone waits until there is no such object.
func (c *Cluster) gone(t *testing.T, o *unstructured.Unstructured) {
	t.Helper()
	eventually(t, o.GetKind()+" "+o.GetName()+" goes", func(ctx context.Context) bool {
		return apierrors.IsNotFound(c.api.Get(ctx, client.ObjectKeyFromObject(o), o.DeepCopy()))
	})
}

// TestControllers is about what a control plane does by itself, on one that has two nodes.
func TestControllers(t *testing.T) {
	t.Parallel()
	c := Start(t, WithNodes(2), WithObjects(func() ([]*unstructured.Unstructured, error) {
		return parse(t, meshCRD), nil
	}))

	t.Run("an owner takes its dependants with it", func(t *testing.T) {
		t.Parallel()
		owner := c.create(t, "{apiVersion: test.lateen.io/v1, kind: Mesh, metadata: {name: owner}}")
		reference := "{apiVersion: test.lateen.io/v1, kind: Mesh, name: owner, uid: " + string(owner.GetUID()) + "}"
		dependants := parse(t, `
apiVersion: v1
kind: ConfigMap
metadata: {name: dependant, namespace: default, ownerReferences: [`+reference+`]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: dependant, ownerReferences: [`+reference+`]}
---
apiVersion: test.lateen.io/v1
kind: Mesh
metadata: {name: dependant, ownerReferences: [`+reference+`]}
`)
		bystander := c.create(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: bystander, namespace: default}}")
		for _, o := range dependants {
			if err := c.api.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.api.Delete(t.Context(), owner); err != nil {
			t.Fatal(err)
		}
		for _, o := range dependants {
			c.gone(t, o)
		}
		if err := c.api.Get(t.Context(), client.ObjectKeyFromObject(bystander), bystander); err != nil {
			t.Errorf("what the owner does not own: %v", err)
		}
	})

	t.Run("a namespace terminates", func(t *testing.T) {
		t.Parallel()
		namespace := c.create(t, `
apiVersion: v1
kind: Namespace
metadata: {name: short-lived}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: content, namespace: short-lived}
`)
		if err := c.api.Delete(t.Context(), namespace); err != nil {
			t.Fatal(err)
		}
		c.gone(t, namespace)
	})

	t.Run("workloads", func(t *testing.T) { c.testWorkloads(t) })

	t.Run("a job is done", func(t *testing.T) {
		t.Parallel()
		o := c.create(t, `
apiVersion: batch/v1
kind: Job
metadata: {name: job, namespace: default}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: nothing.example/runs:1}]}}}
`)
		eventually(t, "the job completes", func(ctx context.Context) bool {
			if err := c.api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
				t.Fatal(err)
			}
			return condition(o, "Complete") == "True"
		})
	})
}

// testWorkloads is about what has pods, on a cluster of two nodes.
func (c *Cluster) testWorkloads(t *testing.T) {
	t.Parallel()
	const pod = `
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      nodeSelector: {kubernetes.io/os: linux}
      containers: [{name: main, image: nothing.example/runs:1}]
`
	workloads := map[string]struct {
		reason string
		object string
		status map[string]int64
		pods   int
	}{
		"deployment": {
			reason: "Its pods are scheduled, and kwok says that they are ready.",
			object: "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: NAME, namespace: default}\nspec:\n  replicas: 3" +
				pod,
			status: map[string]int64{"readyReplicas": 3, "availableReplicas": 3},
			pods:   3,
		},
		"daemon-set": {
			reason: "It has a pod on each of the two nodes.",
			object: "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: NAME, namespace: default}\nspec:" + pod,
			status: map[string]int64{"numberReady": 2, "desiredNumberScheduled": 2},
			pods:   2,
		},
	}
	for name, w := range workloads {
		t.Run("a "+name+" becomes ready and goes", func(t *testing.T) {
			t.Parallel()
			o := c.create(t, strings.ReplaceAll(w.object, "NAME", name))
			eventually(t, w.reason, func(ctx context.Context) bool {
				if err := c.api.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
					t.Fatal(err)
				}
				for field, value := range w.status {
					if got, _, err := unstructured.NestedInt64(o.Object, "status", field); err != nil || got != value {
						return false
					}
				}
				return true
			})
			pods := &unstructured.UnstructuredList{}
			pods.SetAPIVersion("v1")
			pods.SetKind("PodList")
			list := func(ctx context.Context) int {
				if err := c.api.List(ctx, pods, client.InNamespace("default"), client.MatchingLabels{"app": name}); err != nil {
					t.Fatal(err)
				}
				return len(pods.Items)
			}
			if got := list(t.Context()); got != w.pods {
				t.Errorf("%d pods: want %d", got, w.pods)
			}
			addresses := map[string]bool{}
			for _, p := range pods.Items {
				address, _, err := unstructured.NestedString(p.Object, "status", "podIP")
				if err != nil || address == "" || addresses[address] {
					t.Errorf("the pod %s has the address %q, which must be its own: %v", p.GetName(), address, err)
				}
				addresses[address] = true
			}
			if err := c.api.Delete(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			eventually(t, "its pods go with it", func(ctx context.Context) bool { return list(ctx) == 0 })
		})
	}
}

// TestServiceAccount is about clients that act as a ServiceAccount.
func TestServiceAccount(t *testing.T) {
	t.Parallel()
	c := Start(t, WithAudit())
	c.create(t, `
apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [configmaps], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: reader}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: default}]
`)
	token := c.TokenFor(t, "default", "reader")
	reader, err := client.New(c.RESTConfigFor(token), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion("v1")
	list.SetKind("ConfigMapList")
	eventually(t, "RBAC takes effect", func(ctx context.Context) bool { return reader.List(ctx, list) == nil })
	config := parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: forbidden, namespace: default}}")[0]
	if err := reader.Create(t.Context(), config); !apierrors.IsForbidden(err) {
		t.Errorf("a ServiceAccount that may read creates something: %v", err)
	}
	secrets := &unstructured.UnstructuredList{}
	secrets.SetAPIVersion("v1")
	secrets.SetKind("SecretList")
	if err := reader.List(t.Context(), secrets); !apierrors.IsForbidden(err) {
		t.Errorf("a ServiceAccount reads what its role does not name: %v", err)
	}
	var got []Write
	for _, w := range c.Writes(t) {
		if w.User == "system:serviceaccount:default:reader" {
			w.UserAgent, w.Received, w.Answered = "", time.Time{}, time.Time{}
			got = append(got, w)
		}
	}
	want := []Write{{
		Verb: "create", User: "system:serviceaccount:default:reader", Resource: "configmaps", Namespace: "default",
		Code: 403, Stage: "ResponseComplete", // refused before anybody read the name
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the ServiceAccount has tried to write: -want +got:\n%s", diff)
	}
	content, err := os.ReadFile(c.KubeconfigFor(t, token))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(content), token) || strings.Contains(string(content), c.Token) {
		t.Error("the kubeconfig for a token must have that token, and not the administrator's")
	}
}

// TestWrites is about what counts as a write, and how it is described.
func TestWrites(t *testing.T) {
	t.Parallel()
	begun := time.Now()
	c := Start(t, WithAudit(schema.GroupResource{Resource: "configmaps"}))
	config := c.RESTConfig()
	config.UserAgent = "the-test"
	api, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	fresh := func() *unstructured.Unstructured {
		return parse(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: written, namespace: default}}")[0]
	}
	review := "{apiVersion: authorization.k8s.io/v1, kind: SelfSubjectAccessReview, " +
		"spec: {resourceAttributes: {verb: get, resource: pods}}}"
	written := Write{
		User: "admin", UserAgent: "the-test", Resource: "configmaps", Namespace: "default", Name: "written",
		Stage: "ResponseComplete", Code: 200,
	}
	with := func(change func(*Write)) []Write {
		w := written
		change(&w)
		return []Write{w}
	}
	steps := []struct {
		reason string
		do     func(context.Context) error
		want   []Write
	}{
		{
			reason: "What is created has a name.",
			do:     func(ctx context.Context) error { return api.Create(ctx, fresh()) },
			want:   with(func(w *Write) { w.Verb, w.Code = "create", 201 }),
		},
		{
			reason: "Reading is no write. It is written down by itself, see below.",
			do: func(ctx context.Context) error {
				o := fresh()
				return api.Get(ctx, client.ObjectKeyFromObject(o), o)
			},
		},
		{
			reason: "A question about access is no write.",
			do:     func(ctx context.Context) error { return api.Create(ctx, parse(t, review)[0]) },
		},
		{
			reason: "Applying is a patch, and a dry run says so in the URL.",
			do: func(ctx context.Context) error {
				return api.Apply(ctx, client.ApplyConfigurationFromUnstructured(fresh()), client.FieldOwner("me"), client.DryRunAll)
			},
			want: with(func(w *Write) { w.Verb, w.DryRun = "patch", true }),
		},
		{
			reason: "A dry run of a deletion says so in the body.",
			do:     func(ctx context.Context) error { return api.Delete(ctx, fresh(), client.DryRunAll) },
			want:   with(func(w *Write) { w.Verb, w.DryRun = "delete", true }),
		},
		{
			reason: "A deletion is a write.",
			do:     func(ctx context.Context) error { return api.Delete(ctx, fresh()) },
			want:   with(func(w *Write) { w.Verb = "delete" }),
		},
		{
			reason: "A write that fails is one, too: who repeats it does not stand still.",
			do:     func(ctx context.Context) error { return client.IgnoreNotFound(api.Delete(ctx, fresh())) },
			want:   with(func(w *Write) { w.Verb, w.Code = "delete", 404 }),
		},
	}
	for _, s := range steps {
		before := len(c.Writes(t))
		if err := s.do(t.Context()); err != nil {
			t.Fatalf("%s: %v", s.reason, err)
		}
		var got []Write
		for _, w := range c.Writes(t)[before:] {
			if w.UserAgent == written.UserAgent { // the API server writes as well, now and then
				if w.Received.Before(begun) || w.Answered.Before(w.Received) || w.Answered.After(time.Now()) {
					t.Errorf("%s: received at %s, answered at %s", s.reason, w.Received, w.Answered)
				}
				w.Received, w.Answered = time.Time{}, time.Time{}
				got = append(got, w)
			}
		}
		if diff := cmp.Diff(s.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", s.reason, diff)
		}
	}
	var got []Write
	for _, r := range c.Reads(t) {
		if r.UserAgent == written.UserAgent {
			r.Received, r.Answered = time.Time{}, time.Time{}
			got = append(got, r)
		}
	}
	if diff := cmp.Diff(with(func(w *Write) { w.Verb = "get" }), got); diff != "" {
		t.Errorf("what was read: -want +got:\n%s", diff)
	}
	changing(t, c, api, written.UserAgent)
}

// changing applies a webhook configuration, the same again, and another one.
func changing(t *testing.T, c *Cluster, api client.Client, agent string) {
	t.Helper()
	before := len(c.Writes(t))
	for _, path := range []string{"/first", "/first", "/second"} {
		hook := `{apiVersion: admissionregistration.k8s.io/v1, kind: MutatingWebhookConfiguration,
metadata: {name: written}, webhooks: [{name: written.example.com, admissionReviewVersions: [v1], sideEffects: None,
clientConfig: {service: {name: nobody, namespace: nowhere, path: ` + path + `}}}]}`
		// A dry run has the version of what is stored, and stores nothing.
		for _, options := range [][]client.ApplyOption{{client.DryRunAll}, nil} {
			options = append(options, client.FieldOwner("me"), client.ForceOwnership)
			apply := client.ApplyConfigurationFromUnstructured(parse(t, hook)[0])
			if err := api.Apply(t.Context(), apply, options...); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := slices.DeleteFunc(c.Writes(t), func(w Write) bool { return w.UserAgent != agent })
	applied := slices.DeleteFunc(c.Writes(t)[before:], func(w Write) bool {
		return w.UserAgent != agent || w.DryRun
	})
	if len(applied) != 3 {
		t.Fatalf("of three writes, these are found: %v", applied)
	}
	want := []Write{applied[0], applied[2]}
	if diff := cmp.Diff(want, Changed(applied, all)); diff != "" || applied[0].Version == "" {
		t.Errorf("the second says what is there already, -want +got:\n%s", diff)
	}
}

// TestRestart kills the API server of a cluster with controllers, and looks at what is left.
func TestRestart(t *testing.T) {
	t.Parallel()
	c := Start(t, WithControllers(), WithAudit())
	other := Start(t) // two at a time must not meet
	kept := c.create(t, "{apiVersion: v1, kind: ConfigMap, metadata: {name: kept, namespace: default}}")
	before := c.Writes(t)

	c.StopAPIServer(t)
	if listens(t.Context(), t, c.URL) {
		t.Fatalf("%s still answers", c.URL)
	}
	if status, answer := other.get(t, "/version", other.Token); status != 200 {
		t.Errorf("another cluster is down as well: %d %v", status, answer)
	}
	stopped := c.Writes(t)
	if diff := cmp.Diff(before, stopped[:len(before)]); diff != "" {
		t.Errorf("the log of a server that was killed begins differently: -before +after:\n%s", diff)
	}
	c.StartAPIServer(t)
	if err := c.api.Get(t.Context(), client.ObjectKeyFromObject(kept), kept); err != nil {
		t.Errorf("the restart lost what was there: %v", err)
	}
	namespace := c.create(t, "{apiVersion: v1, kind: Namespace, metadata: {name: after}}")
	eventually(t, "the controllers find the new server", func(ctx context.Context) bool {
		account := object("v1", "ServiceAccount", namespace.GetName(), "default")
		return c.api.Get(ctx, client.ObjectKeyFromObject(account), account) == nil
	})
	if diff := cmp.Diff(stopped, c.Writes(t)[:len(stopped)]); diff != "" {
		t.Errorf("the log of both servers begins differently: -before +after:\n%s", diff)
	}
	c.RestartAPIServer(t)
	if err := c.api.Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
		t.Errorf("the second restart lost what was there: %v", err)
	}
}
