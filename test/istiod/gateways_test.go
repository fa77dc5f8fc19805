package istiod

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/test/cluster"
)

// gatewayClass is a GatewayClass that istiod serves, and gatewayName the label with the name of a Gateway on what
// istiod makes for it.
const (
	gatewayClass = "istio"
	gatewayName  = "gateway.networking.k8s.io/gateway-name"
)

// TestGateways has Gateways of the Gateway API with all combinations of the labels involved: the istiod that deploys
// one is that of the revision that Lateen says the Gateway uses.
func TestGateways(t *testing.T) {
	asked(t)
	crds, err := GatewayAPI(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := start(t, cluster.WithCRDs(crds))
	m := meshes[0]
	for _, r := range m.resources {
		e.put(r)
	}
	for _, revision := range m.revisions {
		e.ready(revision)
	}
	e.tagged(m)
	values := []string{"", "other"}
	for name := range m.leads {
		values = append(values, name)
	}
	slices.Sort(values)
	// An istiod that does not know a namespace yet deploys its Gateways in any case, so they are there before.
	namespaces := map[string]map[string]string{"plain": nil}
	for labels := range combinations(usage.LabelInjection, []string{"enabled"}, usage.LabelRevision, values) {
		if len(labels) > 0 {
			namespaces[fmt.Sprintf("gateways-%d", len(namespaces))] = labels
		}
	}
	for name, labels := range namespaces {
		e.create(name, labels)
	}
	running := map[string]*istiod{}
	for _, revision := range m.revisions {
		running[revision] = e.istiod(revision)
	}
	e.patched("default", "canary", "stable")
	e.deployed(m, namespaces, values)

	// From here on nothing has a label but what the rest is about.
	e.clear(namespaces)
	e.remove(m.objects[0])
	e.inUse("canary", false)
	t.Run("one", func(t *testing.T) { e.in(t).moves() })
	t.Run("default validator", func(t *testing.T) { e.in(t).byValidator(running["default"]) })
}

// deployed makes the Gateways, and compares who deploys each of them with Lateen's rules.
func (e *env) deployed(m mesh, namespaces map[string]map[string]string, values []string) {
	e.t.Helper()
	want := map[string]string{}
	for namespace, labels := range namespaces {
		for i := range len(values) + 1 {
			own := map[string]string{}
			if i < len(values) {
				own[usage.LabelRevision] = values[i]
			}
			name := fmt.Sprintf("g%d", i)
			e.gateway(namespace, name, own)
			named, _ := usage.GatewayOf(namespace, name, gatewayClass, own).Names(
				usage.NamespaceOf(namespace, labels).Revision)
			want[namespace+"/"+name] = m.leads[cmp.Or(named, "default")]
		}
	}
	// An istiod looks at one after the other, so when it has deployed the last one it has seen all.
	for _, revision := range m.revisions {
		e.gateway("plain", "last-"+revision, map[string]string{usage.LabelRevision: revision})
		want["plain/last-"+revision] = revision
	}
	deployers := func() map[string]string {
		got := map[string]string{}
		var deployments appsv1.DeploymentList
		if err := e.client.List(e.t.Context(), &deployments, client.HasLabels{gatewayName}); err != nil {
			e.t.Fatal(err)
		}
		for _, d := range deployments.Items {
			got[d.Namespace+"/"+d.Labels[gatewayName]] = d.Spec.Template.Annotations["istio.io/rev"]
		}
		return got
	}
	expected := map[string]string{}
	for name, revision := range want {
		if revision != "" {
			expected[name] = revision
		}
	}
	e.eventually("the Gateways are deployed", func() error {
		got := deployers()
		for name := range expected {
			if got[name] == "" {
				return fmt.Errorf("%s is not", name)
			}
		}
		return nil
	})
	if diff := gocmp.Diff(expected, deployers()); diff != "" {
		e.t.Errorf("who deploys the Gateways, -Lateen +istiod:\n%s", diff)
	}
	e.t.Logf("%d Gateways in %d namespaces, %d deployed", len(want), len(namespaces), len(expected))
}

// gateway makes one, or gives it other labels.
func (e *env) gateway(namespace, name string, labels map[string]string) {
	e.t.Helper()
	o := gatewayOf(namespace, name)
	o.SetLabels(labels)
	o.Object["spec"] = map[string]any{
		"gatewayClassName": gatewayClass,
		"listeners":        []any{map[string]any{"name": "http", "port": int64(80), "protocol": "HTTP"}},
	}
	e.eventually("the Gateway "+namespace+"/"+name, func() error {
		return e.client.Apply(e.t.Context(), client.ApplyConfigurationFromUnstructured(o),
			client.FieldOwner("lateen-test"), client.ForceOwnership)
	})
}

func gatewayOf(namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(schema.GroupVersionKind{Group: "gateway.networking.k8s.io", Version: "v1", Kind: "Gateway"})
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// clear takes the Gateways and the labels of namespaces away, and returns when no pod is left in them.
func (e *env) clear(namespaces map[string]map[string]string) {
	e.t.Helper()
	for name := range namespaces {
		e.relabel(name, nil)
		if err := e.client.DeleteAllOf(e.t.Context(), gatewayOf(name, ""), client.InNamespace(name)); err != nil {
			e.t.Fatal(err)
		}
	}
	e.eventually("the pods of the Gateways are gone", func() error {
		var pods corev1.PodList
		if err := e.client.List(e.t.Context(), &pods, client.HasLabels{gatewayName}); err != nil || len(pods.Items) == 0 {
			return err
		}
		return fmt.Errorf("there are %d", len(pods.Items))
	})
}

// moves has a Gateway that is the only user of a revision, and gives it another label: it is deployed anew at once, and
// the first revision has no user any more.
func (e *env) moves() {
	e.gateway("plain", "edge", map[string]string{usage.LabelRevision: "canary"})
	e.serves("plain", "edge", "canary")
	e.eventually("the Gateway is a user", func() error { return contains(e.inUse("canary", true), "Gateway plain/edge") })
	e.gateway("plain", "edge", map[string]string{usage.LabelRevision: "default"})
	e.serves("plain", "edge", "default")
	e.inUse("canary", false)
	e.eventually("the Gateway is a user of the other one",
		func() error { return contains(e.inUse("default", true), "Gateway plain/edge") })
	e.clear(map[string]map[string]string{"plain": nil})
	e.inUse("default", false)
}

// byValidator has a Gateway without any label in a cluster that has nothing of the name default: somebody's webhook
// istiod-default-validator says who deploys it.
func (e *env) byValidator(other *istiod) {
	e.remove(&v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	e.gone(&v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "default"}})
	e.stop(other)
	e.gateway("plain", "nobody", nil)
	e.inUse("canary", false)
	e.put("{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, " +
		"metadata: {name: istiod-default-validator, labels: {istio.io/rev: canary}}}")
	e.eventually("the Gateway is a user", func() error {
		return contains(e.inUse("canary", true), "Gateway plain/nobody")
	})
	e.serves("plain", "nobody", "canary")
}

// serves waits until a revision has deployed a Gateway, and its pods are that one's alone.
func (e *env) serves(namespace, name, revision string) {
	e.t.Helper()
	e.eventually(revision+" deploys the Gateway "+name, func() error {
		var pods corev1.PodList
		if err := e.client.List(e.t.Context(), &pods, client.InNamespace(namespace),
			client.MatchingLabels{gatewayName: name}); err != nil {
			return err
		}
		if len(pods.Items) != 1 {
			return fmt.Errorf("it has %d pods", len(pods.Items))
		}
		if by := pods.Items[0].Annotations["istio.io/rev"]; by != revision {
			return fmt.Errorf("%s is of %s", pods.Items[0].Name, by)
		}
		return nil
	})
}
