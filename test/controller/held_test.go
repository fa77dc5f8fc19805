package controller

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// TestMistakes is what people do to a cluster by mistake, and what Lateen makes of it on a real API server with a
// real garbage collector.
func TestMistakes(t *testing.T) {
	turn := parallel(t, 20)
	defer turn.leave()
	e := start(t, cluster.WithAudit())
	p := e.controller()
	type mistake struct {
		name, reason string
		run          func(*env, *daemon)
	}
	t.Run("all at once", func(t *testing.T) {
		for _, c := range []mistake{
			{"revision deleted", "it is used, and stays until it is not", deletedRevision},
			{"revision deleted in the foreground", "what the garbage collector takes comes back", deletedInForeground},
			{"Istio deleted", "all goes, used or not", deletedIstio},
			{"misspelled quantity", "no retry mends it, so there is none", misspelledQuantity},
			{"mesh taken out of Git", "its revision goes, and no webhook stays", takenOutOfGit},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				c.run(e.in(t), p)
			})
		}
	})
	// Every control plane of the cluster says so from then on.
	t.Run("CRD that must not be written", func(t *testing.T) { deniedCRD(e.in(t), p) })
}

// message is what a condition says.
func (e *env) message(kind, name string, condition v1.ConditionType) string {
	e.t.Helper()
	all, _, _ := unstructured.NestedSlice(e.get(kind, name).Object, "status", "conditions")
	for _, c := range all {
		if c, ok := c.(map[string]any); ok && c["type"] == string(condition) {
			return fmt.Sprintf("%v %v: %v", c["status"], c["reason"], c["message"])
		}
	}
	return ""
}

// denial refuses a CRD of Istio to everybody, as missing rights do.
const denial = `
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: deny-crd}
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [apiextensions.k8s.io], apiVersions: [v1], operations: [CREATE, UPDATE],
       resources: [customresourcedefinitions]}
  validations:
  - {expression: "object.metadata.name != 'wasmplugins.extensions.istio.io'", message: not this one, reason: Forbidden}
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: deny-crd}
spec: {policyName: deny-crd, validationActions: [Deny]}
`

func deniedCRD(e *env, _ *daemon) {
	e.apply(denial)
	const crd = "wasmplugins.extensions.istio.io"
	e.eventually("the CRD is refused", func() error {
		_, err := e.kubectl("annotate", "crd", crd, "try=this", "--overwrite", "--dry-run=server")
		if err == nil || !strings.Contains(err.Error(), "denied request") {
			return fmt.Errorf("it is not: %w", err)
		}
		return nil
	})
	e.must("delete", "crd", crd)
	e.must("create", "namespace", "denied")
	e.apply(resource("Istio", "denied", "version: v1.28.3, namespace: denied"))
	e.says("True", "istio", "denied", "Ready")
	e.eventually("the CRD is named", func() error {
		got := e.message("revision", "denied", "Reconciled")
		for _, part := range []string{
			"False ReconcileError: Istio's CRDs: CustomResourceDefinition " + crd + ": CustomResourceDefinition/" +
				crd + " dry-run failed (Forbidden): ",
			". Everything else is applied. Allow the controller to write them (config/rbac), or bring them yourself " +
				"and start it with --install-istio-crds=false",
		} {
			if !strings.Contains(got, part) {
				return fmt.Errorf("%s is not in %s", part, got)
			}
		}
		return nil
	})
	e.must("label", "service", "istiod-denied", "-n", "denied", "app=changed", "--overwrite")
	e.is("istiod", "{.metadata.labels.app}", "service", "istiod-denied", "-n", "denied")
	e.patch("istio", "denied", `{"spec":{"values":{"pilot":{"env":{"A":"b"}}}}}`)
	e.is("b", `{.spec.template.spec.containers[0].env[?(@.name=="A")].value}`, "deployment", "istiod-denied", "-n",
		"denied")
}

func deletedRevision(e *env, _ *daemon) {
	e.install("held", "version: v1.28.3")
	e.must("create", "namespace", "held-app")
	e.must("label", "namespace", "held-app", "istio.io/rev=held")
	e.says("True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace held-app", "revision",
		"held", "InUse")
	istiod := e.get("deployment", "held", "istiod-held").GetUID()
	e.must("delete", "istiorevision", "held", "--wait=false")
	const want = `True DeletionHeld: somebody has deleted it, and its Istio held stays. Referenced by at least one ` +
		`pod or namespace: Namespace held-app. It is held, and works on, until nothing uses it, or until the ` +
		`annotation lateen.io/allow-deletion: "true" is on it`
	e.eventually("the deletion is held", func() error {
		if got := e.message("revision", "held", "Stalled"); got != want {
			return fmt.Errorf("want %s, got %s", want, got)
		}
		return nil
	})
	e.says("True", "revision", "held", "Ready")
	// It is still looked after.
	e.must("label", "service", "istiod-held", "-n", "held", "app=changed", "--overwrite")
	e.is("istiod", "{.metadata.labels.app}", "service", "istiod-held", "-n", "held")
	e.must("delete", "configmap", "istio-held", "-n", "held")
	e.exists("configmap", "held", "istio-held")
	if got := e.get("deployment", "held", "istiod-held").GetUID(); got != istiod {
		e.t.Error("istiod was deleted")
	}
	revision := e.get("revision", "held").GetUID()
	e.must("label", "namespace", "held-app", "istio.io/rev-")
	e.eventually("the revision goes, and the Istio makes another one", func() error {
		o, err := e.read("revision", "held")
		if err == nil && o.GetUID() == revision {
			return fmt.Errorf("it is still there")
		}
		return err
	})
	e.healthy("istio", "held")
}

func deletedInForeground(e *env, _ *daemon) {
	e.install("front", "version: v1.28.3")
	e.must("create", "namespace", "front-app")
	e.must("label", "namespace", "front-app", "istio.io/rev=front")
	e.says("True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace front-app", "revision",
		"front", "InUse")
	e.must("delete", "istiorevision", "front", "--cascade=foreground", "--wait=false")
	e.eventually("the deletion is one in the background", func() error {
		if got := e.get("revision", "front").GetFinalizers(); !slices.Equal(got, []string{"lateen.io/cleanup"}) {
			return fmt.Errorf("it has the finalizers %v", got)
		}
		return nil
	})
	inventory, _, _ := unstructured.NestedSlice(e.get("revision", "front").Object, "status", "inventory")
	if len(inventory) == 0 {
		e.t.Fatal("the revision has no objects")
	}
	for _, ref := range inventory {
		o := &unstructured.Unstructured{Object: map[string]any{}}
		text := func(key string) string {
			s, _ := ref.(map[string]any)[key].(string)
			return s
		}
		o.SetAPIVersion(text("apiVersion"))
		o.SetKind(text("kind"))
		e.eventually("it has "+text("kind")+" "+text("name"), func() error {
			return e.client.Get(e.t.Context(), client.ObjectKey{Namespace: text("namespace"), Name: text("name")}, o)
		})
	}
	e.says("True", "revision", "front", "Ready")
	// Somebody insists.
	revision := e.get("revision", "front").GetUID()
	e.must("annotate", "istiorevision", "front", "lateen.io/allow-deletion=true")
	e.eventually("the revision goes, and the Istio makes another one", func() error {
		o, err := e.read("revision", "front")
		if err == nil && o.GetUID() == revision {
			return fmt.Errorf("it is still there")
		}
		return err
	})
	e.healthy("istio", "front")
}

func deletedIstio(e *env, _ *daemon) {
	e.install("whole", "version: v1.28.3")
	e.must("create", "namespace", "whole-app")
	e.must("label", "namespace", "whole-app", "istio.io/rev=whole")
	e.says("True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace whole-app", "revision",
		"whole", "InUse")
	e.must("delete", "istio", "whole")
	e.gone("revision", "whole")
	e.gone("deployment", "whole", "istiod-whole")
}

func misspelledQuantity(e *env, p *daemon) {
	e.must("create", "namespace", "quantity")
	e.apply(resource("Istio", "quantity",
		"version: v1.28.3, namespace: quantity, values: {pilot: {resources: {requests: {memory: lots}}}}"))
	e.says("True", "istio", "quantity", "Stalled")
	got := e.message("istio", "quantity", "Reconciled")
	if !strings.Contains(got, "resources.requests.memory: ") || !strings.Contains(got, "lots") {
		e.t.Errorf("the field is not named: %s", got)
	}
	p.notRetried(e, "quantity")
	e.patch("istio", "quantity", `{"spec":{"values":{"pilot":{"resources":{"requests":{"memory":"128Mi"}}}}}}`)
	e.says("True", "istio", "quantity", "Ready")
	e.says("none", "istio", "quantity", "Stalled")
}

func takenOutOfGit(e *env, _ *daemon) {
	e.must("create", "namespace", "left")
	e.must("create", "namespace", "left-app")
	objects := e.sync(resource("Istio", "left",
		"version: v1.28.3, namespace: left, updateStrategy: {type: RevisionBased}"))
	e.healthy("istio", "left")
	e.must("label", "namespace", "left-app", "istio.io/rev=left-v1-28-3")
	e.says("True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace left-app", "revision",
		"left-v1-28-3", "InUse")
	// What a GitOps tool prunes; all else asks it not to.
	e.must("delete", "istio", "left")
	e.must("delete", "namespace", "left", "--wait=false")
	e.gone("revision", "left-v1-28-3")
	for _, o := range objects {
		if o.GetNamespace() == "left" {
			continue
		}
		e.eventually(o.GetKind()+" "+o.GetName()+" goes", func() error {
			err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o.DeepCopy())
			if err == nil {
				return errors.New("it is still there")
			}
			return client.IgnoreNotFound(err)
		})
	}
}
