package controller

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen"
	"github.com/lateen-io/lateen/test/cluster"
)

// sync renders resources with the functions' pipeline, and applies what comes out as a GitOps tool does: it owns what
// it applies, and deletes nothing that asks it not to. With kinds, only objects of these are applied.
func (e *env) sync(resources string, kinds ...string) []*unstructured.Unstructured {
	e.t.Helper()
	result, err := lateen.Render([]byte(resources), lateen.Options{Track: true})
	if err != nil {
		e.t.Fatal(err)
	}
	objects, err := result.Objects()
	if err != nil {
		e.t.Fatal(err)
	}
	for _, o := range objects {
		if len(kinds) > 0 && !slices.Contains(kinds, o.GetKind()) {
			continue
		}
		apply := client.ApplyConfigurationFromUnstructured(o.DeepCopy())
		if err := e.client.Apply(e.t.Context(), apply, client.FieldOwner("argocd-controller"),
			client.ForceOwnership); err != nil {
			e.t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	return objects
}

// pipeline is the life of a control plane that a pipeline renders and a GitOps tool applies.
func pipeline(e *env, _ *daemon) {
	e.must("create", "namespace", "pipe")
	e.must("create", "namespace", "pipe-app")
	resources := func(version string) string {
		return resource("Istio", "pipe",
			"version: "+version+", namespace: pipe, updateStrategy: {type: RevisionBased, "+
				"inactiveRevisionDeletionGracePeriodSeconds: 1}") +
			resource("IstioRevisionTag", "pipe-tag", "targetRef: {kind: Istio, name: pipe}")
	}
	// The tool may take its time between one object and the next: the controller does not fill the gap.
	e.sync(resources("v1.27.0"), "Istio", "IstioRevisionTag")
	e.says("False ActiveRevisionNotFound: the IstioRevision pipe-v1-27-0 does not exist", "istio", "pipe", "Ready")
	e.says("False RefNotFound: spec.targetRef: Istio/pipe has no revision yet: IstioRevision/pipe-v1-27-0 does not exist",
		"tag",
		"pipe-tag", "Reconciled")
	old := e.sync(resources("v1.27.0"))
	e.shows(`
NAME   REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
pipe   1           1       1        pipe-v1-27-0      Healthy   v1.27.0   5s`, "get", "istio", "pipe")
	e.shows(`
NAME           TYPE    READY   STATUS    IN USE   VERSION   AGE
pipe-v1-27-0   Local   True    Healthy   True     v1.27.0   5s`, "get", "istiorevision", "pipe-v1-27-0")
	e.shows(`
NAME       STATUS                    IN USE   REVISION       AGE
pipe-tag   NotReferencedByAnything   False    pipe-v1-27-0   5s`, "get", "istiorevisiontag", "pipe-tag")
	e.must("label", "namespace", "pipe-app", "istio.io/rev=pipe-v1-27-0")

	// What is missing is reported, and for the GitOps tool to put back.
	e.must("delete", "deployment", "istiod-pipe-v1-27-0", "-n", "pipe")
	e.says("False IstiodNotReady: istiod Deployment not found", "istio", "pipe", "Ready")
	e.sync(resources("v1.27.0"))
	e.healthy("istio", "pipe")

	current := e.sync(resources("v1.28.3"))
	e.shows(`
NAME   REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
pipe   2           2       2        pipe-v1-28-3      Healthy   v1.28.3   5s`, "get", "istio", "pipe")
	e.shows(`
NAME       STATUS                    IN USE   REVISION       AGE
pipe-tag   NotReferencedByAnything   False    pipe-v1-28-3   5s`, "get", "istiorevisiontag", "pipe-tag")
	e.says("True ReferencedByWorkloads: Referenced by at least one pod or namespace: Namespace pipe-app", "revision",
		"pipe-v1-27-0", "InUse")

	rendered := func(w cluster.Write) bool {
		return w.Group != "sailoperator.io" && !strings.HasPrefix(w.Resource, "event") &&
			slices.ContainsFunc(append(old, current...), func(o *unstructured.Unstructured) bool {
				return o.GetName() == w.Name && o.GetNamespace() == w.Namespace
			})
	}
	e.unwritten(nil, rendered)

	// What it was held by goes, and with it the old revision.
	e.must("label", "namespace", "pipe-app", "istio.io/rev=pipe-tag", "--overwrite")
	e.gone("revision", "pipe-v1-27-0")
	for _, o := range old {
		switch {
		case o.GetKind() == "Istio", o.GetKind() == "IstioRevisionTag", o.GetLabels()["lateen.io/tag"] != "":
			continue
		}
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o),
			o.DeepCopy()); client.IgnoreNotFound(err) != nil || err == nil {
			e.t.Errorf("%s %s is still there: %v", o.GetKind(), o.GetName(), err)
		}
	}
	for _, o := range current {
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o.DeepCopy()); err != nil {
			e.t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
	e.shows(`
NAME   REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
pipe   1           1       1        pipe-v1-28-3      Healthy   v1.28.3   5s`, "get", "istio", "pipe")
	writes := e.written(rendered)
	if len(writes) < len(old)-4 { // but for the Istio, its revision, the tag and its webhooks
		e.t.Errorf("the audit log has %d deletions of %d objects", len(writes), len(old))
	}
	for _, w := range writes {
		if w.Verb != "delete" {
			e.t.Errorf("the controller is to delete only: %s", w)
		}
	}
}

// packaged is a revision that a package in Git still has.
func packaged(e *env, _ *daemon) {
	e.must("create", "namespace", "packaged")
	istio := func(version string) string {
		return resource("Istio", "packaged",
			"version: "+version+", namespace: packaged, updateStrategy: {type: RevisionBased, "+
				"inactiveRevisionDeletionGracePeriodSeconds: 0}")
	}
	e.sync(istio("v1.27.0"))
	e.healthy("istio", "packaged")
	// As the functions write it in a package that remembers.
	e.must("annotate", "istiorevision", "packaged-v1-27-0", "lateen.io/released-by=package")
	e.sync(istio("v1.28.3"))
	e.eventually("somebody is told", func() error {
		out, err := e.kubectl("get", "events.events.k8s.io", "-A", "-o",
			"jsonpath={.items[?(@.reason=='RevisionUnused')].note}")
		if err == nil && !strings.Contains(out, "IstioRevision packaged-v1-27-0 can go: ") {
			err = fmt.Errorf("the events say: %s", out)
		}
		return err
	})
	e.exists("deployment", "packaged", "istiod-packaged-v1-27-0")
	// It is for the controller to remove only when the package says no more.
	e.must("annotate", "istiorevision", "packaged-v1-27-0", "lateen.io/released-by-")
	e.must("annotate", "istio", "packaged", "example.com/look=again")
	e.gone("revision", "packaged-v1-27-0")
	e.gone("deployment", "packaged", "istiod-packaged-v1-27-0")
}
