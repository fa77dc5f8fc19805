package operation

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
)

// multus is the CustomResourceDefinition that OpenShift has and the CNI chart makes an object of.
const multus = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: network-attachment-definitions.k8s.cni.cncf.io}
spec:
  group: k8s.cni.cncf.io
  scope: Namespaced
  names: {plural: network-attachment-definitions, singular: network-attachment-definition,
    kind: NetworkAttachmentDefinition}
  versions:
  - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object,
      x-kubernetes-preserve-unknown-fields: true}}}
`

func resource(kind, name, spec string) string {
	return fmt.Sprintf("---\n{apiVersion: sailoperator.io/v1, kind: %s, metadata: {name: %s}, spec: {%s}}\n", kind, name,
		spec)
}

// meshes are resources that between them need every right of the controller: all bundled versions, every profile,
// updates by revisions, tags, the CNI plugin.
func meshes() string {
	var b strings.Builder
	mesh := func(name, spec string) {
		b.WriteString("---\n{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}\n")
		b.WriteString(resource("Istio", name, "namespace: "+name+", "+spec))
	}
	versions := lateen.Versions()
	for _, v := range versions {
		mesh("m-"+strings.ReplaceAll(v.Version, ".", "-"), "version: "+v.Version)
	}
	newest := versions[len(versions)-1].Version
	for _, p := range []string{"ambient", "demo", "empty", "openshift", "openshift-ambient", "preview", "stable"} {
		mesh("p-"+p, "version: "+newest+", profile: "+p)
	}
	mesh("default", "version: "+newest)
	mesh("remote", "version: "+newest+", profile: remote, values: {global: {remotePilotAddress: 192.0.2.1}}")
	mesh("rolling", "version: "+versions[len(versions)-2].Version+
		", updateStrategy: {type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 0}")
	b.WriteString("---\n{apiVersion: v1, kind: Namespace, metadata: {name: istio-cni}}\n")
	b.WriteString(resource("IstioCNI", "default", "namespace: istio-cni, profile: ambient, version: "+newest))
	b.WriteString(resource("IstioRevisionTag", "prod", "targetRef: {kind: Istio, name: rolling}"))
	return b.String()
}

// reconciled reports whether all resources are, as they are now, and complains of the first few that are not.
func (e env) reconciled(t *testing.T) error {
	t.Helper()
	var istios v1.IstioList
	var revisions v1.IstioRevisionList
	var tags v1.IstioRevisionTagList
	var cnis v1.IstioCNIList
	for _, list := range []client.ObjectList{&istios, &revisions, &tags, &cnis} {
		if err := e.client.List(t.Context(), list); err != nil {
			return err
		}
	}
	var errs []error
	look := func(kind string, m metav1.ObjectMeta, observed int64, all v1.Conditions) {
		c := all.Get(v1.ConditionReconciled)
		switch {
		case c == nil || observed != m.Generation:
			errs = append(errs, fmt.Errorf("%s %s has not been looked at", kind, m.Name))
		case c.Status != metav1.ConditionTrue:
			errs = append(errs, fmt.Errorf("%s %s: %s", kind, m.Name, c.Message))
		}
	}
	for _, o := range istios.Items {
		look(v1.KindIstio, o.ObjectMeta, o.Status.ObservedGeneration, o.Status.Conditions)
	}
	for _, o := range revisions.Items {
		look(v1.KindIstioRevision, o.ObjectMeta, o.Status.ObservedGeneration, o.Status.Conditions)
	}
	for _, o := range tags.Items {
		look(v1.KindIstioRevisionTag, o.ObjectMeta, o.Status.ObservedGeneration, o.Status.Conditions)
	}
	for _, o := range cnis.Items {
		look(v1.KindIstioCNI, o.ObjectMeta, o.Status.ObservedGeneration, o.Status.Conditions)
	}
	return errors.Join(errs[:min(len(errs), 5)]...)
}

// noForbidden expects that a controller was not refused anything.
func noForbidden(t *testing.T, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		if strings.Contains(strings.ToLower(line), "forbidden") {
			t.Errorf("the controller lacks a right: %s", line)
		}
	}
}

// TestRole runs the life of many meshes - install, update by revisions, move of a tag, removal - by a controller that
// may do what config/rbac says. On a server with RBAC, this is where Kubernetes checks that nobody grants more than he
// has.
func TestRole(t *testing.T) {
	e := installed(t)
	before := len(e.Writes(t))
	stop := e.start(t, "--metrics-bind-address=0")
	e.kubectl(t, meshes(), "apply", "--server-side", "-f", "-")
	eventually(t, "the meshes", func() error { return e.reconciled(t) })

	newest := lateen.Versions()[len(lateen.Versions())-1].Version
	e.kubectl(t, "", "patch", "istios/rolling", "--type=merge", "-p", `{"spec": {"version": "`+newest+`"}}`)
	eventually(t, "the earlier revision is pruned and the tag is on the new one", func() error {
		var revisions v1.IstioRevisionList
		if err := e.client.List(t.Context(), &revisions,
			client.MatchingLabels{"app.kubernetes.io/managed-by": "lateen"}); err != nil {
			return err
		}
		var names []string
		for _, r := range revisions.Items {
			if strings.HasPrefix(r.Name, "rolling-") {
				names = append(names, r.Name)
			}
		}
		want := "rolling-" + strings.ReplaceAll(newest, ".", "-")
		if !slices.Equal(names, []string{want}) {
			return fmt.Errorf("the revisions are %v, want %s only", names, want)
		}
		return e.reconciled(t)
	})
	eventually(t, "GitOps tools take all of this for healthy, but for the control plane that is elsewhere", func() error {
		if diff := cmp.Diff(map[string]verdicts{"Istio remote": onItsWay, "IstioRevision remote": onItsWay},
			e.unwell(t)); diff != "" {
			return errors.New(diff)
		}
		return nil
	})
	noForbidden(t, stop())

	// OpenShift's charts have other objects and other rules.
	e.kubectl(t, multus, "apply", "--server-side", "-f", "-")
	stop = e.start(t, "--metrics-bind-address=0", "--platform=openshift")
	eventually(t, "OpenShift's objects", func() error {
		list := &metav1.PartialObjectMetadataList{}
		list.APIVersion, list.Kind = "k8s.cni.cncf.io/v1", "NetworkAttachmentDefinitionList"
		if err := e.client.List(t.Context(), list); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return errors.New("the CNI plugin has no NetworkAttachmentDefinition")
		}
		var revisions v1.IstioRevisionList
		if err := e.client.List(t.Context(), &revisions); err != nil {
			return err
		}
		for _, r := range revisions.Items {
			if !bytes.Contains(r.Spec.Values.Raw, []byte(`"platform":"openshift"`)) {
				return fmt.Errorf("IstioRevision %s is not for OpenShift yet: %s", r.Name, r.Spec.Values.Raw)
			}
		}
		return e.reconciled(t)
	})

	e.kubectl(t, "", "delete", "--all", "--wait", "--timeout="+patience.String(), "istiorevisiontags,istios,istiocnis")
	eventually(t, "everything is gone", func() error {
		out := e.kubectl(t, "", "get", "--all-namespaces", "--selector=app.kubernetes.io/managed-by=lateen", "--output=name",
			"istiorevisions,deployments,daemonsets,services,serviceaccounts,configmaps,roles,rolebindings,clusterroles,"+
				"clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations,"+
				"validatingadmissionpolicies,poddisruptionbudgets,horizontalpodautoscalers,network-attachment-definitions")
		if strings.Contains(out, "/") {
			return errors.New(out)
		}
		return nil
	})
	noForbidden(t, stop())

	verbs := map[string]bool{}
	for _, w := range e.Writes(t)[before:] {
		if w.User != "system:serviceaccount:"+namespace+":"+account {
			continue
		}
		if w.Code == 403 {
			t.Errorf("refused: %s", w)
		}
		if w.Resource == "secrets" {
			t.Errorf("nothing in the charts is a Secret: %s", w)
		}
		verbs[w.Verb+" "+w.Resource] = true
	}
	for _, want := range []string{
		"create istiorevisions", "delete istiorevisions", "patch istios", "patch clusterroles", "delete clusterroles",
		"patch customresourcedefinitions",
		"create events", "update leases", "patch mutatingwebhookconfigurations", "delete daemonsets",
	} {
		if !verbs[want] {
			t.Errorf("the test has not seen %q; it did %v", want, slices.Sorted(maps.Keys(verbs)))
		}
	}
}

// TestMoreGrants shows that Kubernetes refuses to let the controller grant what it does not have, and what to do about
// it.
func TestMoreGrants(t *testing.T) {
	e := installed(t)
	e.start(t, "--metrics-bind-address=0")
	newest := lateen.Versions()[len(lateen.Versions())-1].Version
	e.kubectl(t, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: taint}}\n"+
		resource("Istio", "taint", "namespace: taint, version: "+newest+", values: {pilot: {taint: {enabled: true}}}"),
		"apply", "--server-side", "-f", "-")
	eventually(t, "the controller may not grant a right on nodes", func() error {
		err := e.reconciled(t)
		if err == nil || !strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
			return fmt.Errorf("this was not refused as it should be: %w", err)
		}
		return nil
	})
	e.kubectl(t, "", "apply", "--server-side", "-f", "../../config/components/more-grants/granted.yaml",
		"-f", "../../config/components/more-grants/binding.yaml")
	eventually(t, "with more to grant it works", func() error { return e.reconciled(t) })
	e.kubectl(t, "", "delete", "--wait", "istios/taint")
	e.kubectl(t, "", "delete", "-f", "../../config/components/more-grants/binding.yaml")
}

// TestRoleAllowsNoMore asks the server what the controller may do.
func TestRoleAllowsNoMore(t *testing.T) {
	e := installed(t)
	as := newClient(t, e.RESTConfigFor(e.TokenFor(t, namespace, account)))
	cases := map[string]struct {
		reason string
		// verb, resource, group, and perhaps namespace and name
		attributes authorizationv1.ResourceAttributes
		allowed    bool
	}{
		"write a Secret in a mesh": {
			"istiod's Role has it, for its CA",
			authorizationv1.ResourceAttributes{Verb: "create", Resource: "secrets", Namespace: "istio-system"},
			true,
		},
		"patch a Secret": {
			"no chart has one", authorizationv1.ResourceAttributes{
				Verb: "patch", Resource: "secrets", Namespace: "istio-system",
			}, false,
		},
		"run a pod": {
			"Deployments do", authorizationv1.ResourceAttributes{Verb: "create", Resource: "pods", Namespace: "a"}, false,
		},
		"delete a pod": {
			"it prunes revisions, not workloads",
			authorizationv1.ResourceAttributes{Verb: "delete", Resource: "pods", Namespace: "a"},
			false,
		},
		"enter a pod": {
			"what for", authorizationv1.ResourceAttributes{
				Verb: "create", Resource: "pods", Subresource: "exec", Namespace: "a",
			}, false,
		},
		"watch pods": {
			"who uses a revision", authorizationv1.ResourceAttributes{Verb: "watch", Resource: "pods"}, true,
		},
		"label a namespace": {
			"users choose", authorizationv1.ResourceAttributes{Verb: "patch", Resource: "namespaces", Name: "a"}, false,
		},
		"create a namespace": {
			"users choose", authorizationv1.ResourceAttributes{Verb: "create", Resource: "namespaces"}, false,
		},
		"change a node": {
			"only with more grants", authorizationv1.ResourceAttributes{Verb: "patch", Resource: "nodes", Name: "n"}, false,
		},
		"create an Istio": {
			"users do", authorizationv1.ResourceAttributes{Verb: "create", Group: "sailoperator.io", Resource: "istios"}, false,
		},
		"delete an Istio": {
			"users do", authorizationv1.ResourceAttributes{
				Verb: "delete", Group: "sailoperator.io", Resource: "istios", Name: "a",
			}, false,
		},
		"delete a tag": {
			"users do", authorizationv1.ResourceAttributes{
				Verb: "delete", Group: "sailoperator.io", Resource: "istiorevisiontags", Name: "a",
			}, false,
		},
		"delete a revision": {
			"pruning", authorizationv1.ResourceAttributes{
				Verb: "delete", Group: "sailoperator.io", Resource: "istiorevisions", Name: "a",
			}, true,
		},
		"delete Istio's CRDs": {
			"with them would go all configuration",
			authorizationv1.ResourceAttributes{
				Verb: "delete", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions",
				Name: "gateways.networking.istio.io",
			},
			false,
		},
		"patch Istio's CRDs": {
			"a newer version has newer ones",
			authorizationv1.ResourceAttributes{
				Verb: "patch", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions",
				Name: "gateways.networking.istio.io",
			},
			true,
		},
		"patch other CRDs": {
			"not its own either", authorizationv1.ResourceAttributes{
				Verb: "patch", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Name: "istios.sailoperator.io",
			}, false,
		},
		"create other CRDs": {
			"the same", authorizationv1.ResourceAttributes{
				Verb: "create", Group: "apiextensions.k8s.io", Resource: "customresourcedefinitions", Name: "others.example.com",
			}, false,
		},
		"escalate": {
			"it could become administrator",
			authorizationv1.ResourceAttributes{Verb: "escalate", Group: rbacv1.GroupName, Resource: "clusterroles", Name: "a"},
			false,
		},
		"bind": {
			"the same", authorizationv1.ResourceAttributes{
				Verb: "bind", Group: rbacv1.GroupName, Resource: "clusterroles", Name: "cluster-admin",
			}, false,
		},
		"impersonate": {
			"the same", authorizationv1.ResourceAttributes{Verb: "impersonate", Resource: "users", Name: "a"}, false,
		},
		"a lease of others": {
			"it leads itself only", authorizationv1.ResourceAttributes{
				Verb: "delete", Group: "coordination.k8s.io", Resource: "leases", Namespace: "kube-system", Name: "a",
			}, false,
		},
		"everything": {
			"it is no administrator", authorizationv1.ResourceAttributes{Verb: "*", Group: "*", Resource: "*"}, false,
		},
		"istio's configuration": {
			"istiod reads it", authorizationv1.ResourceAttributes{
				Verb: "list", Group: "networking.istio.io", Resource: "virtualservices",
			}, true,
		},
		"write Istio's config": {
			"nobody asked it to", authorizationv1.ResourceAttributes{
				Verb: "create", Group: "networking.istio.io", Resource: "virtualservices", Namespace: "a",
			}, false,
		},
	}
	asked := func(attributes authorizationv1.ResourceAttributes, want bool) error {
		review := &authorizationv1.SelfSubjectAccessReview{
			Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &attributes},
		}
		if err := as.Create(t.Context(), review); err != nil {
			return err
		}
		if review.Status.Allowed != want {
			return fmt.Errorf("allowed is %v: %s", review.Status.Allowed, review.Status.Reason)
		}
		return nil
	}
	// The server learns of roles and bindings a moment after they are written: of those of the installation, and that
	// those of another test are gone.
	eventually(t, "the server knows the role", func() error { return asked(cases["watch pods"].attributes, true) })
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			eventually(t, c.reason, func() error { return asked(c.attributes, c.allowed) })
		})
	}
	t.Run("make itself administrator", func(t *testing.T) {
		err := as.Create(t.Context(), &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: "mine"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "cluster-admin"},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: namespace, Name: account}},
		})
		if !apierrors.IsForbidden(err) ||
			!strings.Contains(err.Error(), "attempting to grant RBAC permissions not currently held") {
			t.Errorf("the server says: %v", err)
		}
	})
}
