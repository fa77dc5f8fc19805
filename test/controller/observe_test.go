package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// in is the same cluster for a subtest.
func (e *env) in(t *testing.T) *env {
	c := *e
	c.t = t
	return &c
}

// kinds are those that tests read by a short name.
var kinds = map[string]schema.GroupVersionKind{
	"istio":       v1.GroupVersion.WithKind(v1.KindIstio),
	"revision":    v1.GroupVersion.WithKind(v1.KindIstioRevision),
	"tag":         v1.GroupVersion.WithKind(v1.KindIstioRevisionTag),
	"cni":         v1.GroupVersion.WithKind(v1.KindIstioCNI),
	"namespace":   {Version: "v1", Kind: "Namespace"},
	"pod":         {Version: "v1", Kind: "Pod"},
	"configmap":   {Version: "v1", Kind: "ConfigMap"},
	"service":     {Version: "v1", Kind: "Service"},
	"deployment":  {Group: "apps", Version: "v1", Kind: "Deployment"},
	"daemonset":   {Group: "apps", Version: "v1", Kind: "DaemonSet"},
	"mutating":    {Group: "admissionregistration.k8s.io", Version: "v1", Kind: "MutatingWebhookConfiguration"},
	"validating":  {Group: "admissionregistration.k8s.io", Version: "v1", Kind: "ValidatingWebhookConfiguration"},
	"disruptions": {Group: "policy", Version: "v1", Kind: "PodDisruptionBudget"},
}

// read gets an object, given as kind and name, or kind, namespace and name.
func (e *env) read(kind string, name ...string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kinds[kind])
	key := client.ObjectKey{Name: name[len(name)-1]}
	if len(name) > 1 {
		key.Namespace = name[0]
	}
	return o, e.client.Get(e.t.Context(), key, o)
}

// get is read of an object that has to be there.
func (e *env) get(kind string, name ...string) *unstructured.Unstructured {
	e.t.Helper()
	o, err := e.read(kind, name...)
	if err != nil {
		e.t.Fatal(err)
	}
	return o
}

// exists waits until an object is there.
func (e *env) exists(kind string, name ...string) {
	e.t.Helper()
	e.eventually(kind+" "+strings.Join(name, "/")+" is there", func() error {
		_, err := e.read(kind, name...)
		return err
	})
}

// gone waits until an object is no longer there.
func (e *env) gone(kind string, name ...string) {
	e.t.Helper()
	e.eventually(kind+" "+strings.Join(name, "/")+" goes", func() error {
		o, err := e.read(kind, name...)
		if err == nil {
			return fmt.Errorf("it is still there, deletion %v, finalizers %v", o.GetDeletionTimestamp(), o.GetFinalizers())
		}
		return client.IgnoreNotFound(err)
	})
}

// says waits until a condition is as wanted: "True", "False Reason: message", or "False Reason: message..." for the
// beginning of a message.
func (e *env) says(want, kind, name string, condition v1.ConditionType) {
	e.t.Helper()
	prefix, shortened := strings.CutSuffix(want, "...")
	e.eventually(fmt.Sprintf("%s %s: condition %s", kind, name, condition), func() error {
		o, err := e.read(kind, name)
		if err != nil {
			return err
		}
		got := conditionOf(o, condition)
		if shortened && strings.HasPrefix(got, prefix) {
			return nil
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// conditionOf is a condition in a line. What a True one says besides does not matter, except who uses something.
func conditionOf(o *unstructured.Unstructured, condition v1.ConditionType) string {
	all, _, _ := unstructured.NestedSlice(o.Object, "status", "conditions")
	for _, c := range all {
		c, _ := c.(map[string]any)
		if c["type"] != string(condition) {
			continue
		}
		if c["status"] == "True" && condition != v1.ConditionInUse {
			return "True"
		}
		return fmt.Sprintf("%v %v: %v", c["status"], c["reason"], c["message"])
	}
	return "none"
}

// healthy waits until all is well with a resource.
func (e *env) healthy(kind, name string) {
	e.t.Helper()
	e.eventually(kind+" "+name+" becomes Healthy", func() error {
		o, err := e.read(kind, name)
		if err != nil {
			return err
		}
		state, _, _ := unstructured.NestedString(o.Object, "status", "state")
		observed, _, _ := unstructured.NestedInt64(o.Object, "status", "observedGeneration")
		if state != "Healthy" || observed != o.GetGeneration() {
			return e.inDetail(fmt.Errorf("its state is %q, of generation %d of %d", state, observed, o.GetGeneration()))
		}
		return nil
	})
}

// is waits until a field is as wanted, as kubectl prints it with a JSON path.
func (e *env) is(want, path string, resource ...string) {
	e.t.Helper()
	args := append(append([]string{"get"}, resource...), "-o", "jsonpath="+path)
	e.eventually(strings.Join(resource, " ")+" "+path, func() error {
		got, err := e.kubectl(args...)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// written are the writes so far of the controller that are about something.
func (e *env) written(about func(cluster.Write) bool) []cluster.Write {
	e.t.Helper()
	return slices.DeleteFunc(e.Writes(e.t), func(w cluster.Write) bool {
		return w.DryRun || w.UserAgent != "lateen-controller" || !about(w)
	})
}

// reported are the writes so far of the controller about a resource of Lateen's. There must be some: it has a status.
func (e *env) reported(name string) []cluster.Write {
	e.t.Helper()
	out := e.written(statusOf(name))
	if len(out) == 0 {
		e.t.Fatalf("the audit log has no write about %s", name)
	}
	return out
}

// unwritten fails the test if the controller has written more than before.
func (e *env) unwritten(before []cluster.Write, about func(cluster.Write) bool) {
	e.t.Helper()
	if added := e.written(about)[len(before):]; len(added) > 0 {
		var lines []string
		for _, w := range added {
			lines = append(lines, w.String())
		}
		e.t.Errorf("there was nothing to write, but the controller did:\n%s", strings.Join(lines, "\n"))
	}
}

// skipped are the kinds that a snapshot leaves out.
var skipped = map[string]string{
	"customresourcedefinitions.apiextensions.k8s.io": "the guide leaves them to the user, since all configuration would " +
		"go with them",
	"events":               "Kubernetes forgets them by itself, after an hour",
	"events.events.k8s.io": "the same",
}

// lives is a pod of a namespace that is not being deleted.
func (e *env) lives(namespace string) string {
	e.t.Helper()
	var name string
	e.eventually("a pod in "+namespace, func() error {
		var pods corev1.PodList
		if err := e.client.List(e.t.Context(), &pods, client.InNamespace(namespace)); err != nil {
			return err
		}
		for _, pod := range pods.Items {
			if pod.DeletionTimestamp == nil {
				name = pod.Name
				return nil
			}
		}
		return errors.New("there is none")
	})
	return name
}

// furnished waits until every namespace has what the controllers of Kubernetes put into it.
func (e *env) furnished() {
	e.t.Helper()
	e.eventually("the namespaces are furnished", func() error {
		var list corev1.NamespaceList
		if err := e.client.List(e.t.Context(), &list); err != nil {
			return err
		}
		var errs []error
		for _, ns := range list.Items {
			if ns.DeletionTimestamp == nil {
				errs = append(errs,
					e.client.Get(e.t.Context(), client.ObjectKey{Namespace: ns.Name, Name: "default"}, &corev1.ServiceAccount{}),
					e.client.Get(e.t.Context(), client.ObjectKey{Namespace: ns.Name, Name: "kube-root-ca.crt"}, &corev1.ConfigMap{}))
			}
		}
		return errors.Join(errs...)
	})
}

// snapshot names all that there is in the cluster, of every kind, each object with its UID.
func (e *env) snapshot() map[string]string {
	e.t.Helper()
	e.furnished()
	out, err := snapshot(e.t.Context(), e.Cluster)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func snapshot(ctx context.Context, c *cluster.Cluster) (map[string]string, error) {
	config := c.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // of kinds that are deprecated
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	api, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			resource := gv.WithResource(r.Name)
			if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") ||
				skipped[resource.GroupResource().String()] != "" {
				continue
			}
			objects, err := api.Resource(resource).List(ctx, metav1.ListOptions{})
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", resource, err)
			}
			for _, o := range objects.Items {
				out[resource.GroupResource().String()+" "+strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")] = string(o.UID)
			}
		}
	}
	return out, nil
}

// leaves waits until the cluster has what it had before, and nothing else.
func (e *env) leaves(before map[string]string) {
	e.t.Helper()
	e.eventually("nothing is left", func() error {
		after, err := snapshot(e.t.Context(), e.Cluster)
		if err != nil {
			return err
		}
		if diff := cmp.Diff(before, after); diff != "" {
			return fmt.Errorf("-before +after:\n%s", diff)
		}
		return nil
	})
}
