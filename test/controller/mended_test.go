package controller

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lateen-io/lateen/test/cluster"
)

// The cases here were found by a review, each with a controller that got it wrong.

// owners are the owner references of objects that are right in all else.
func owners(e *env, _ *daemon) {
	e.install("owners", "version: v1.28.3")
	const path = "{.metadata.ownerReferences[*].kind}"
	for _, what := range [][]string{
		{"configmap", "istio-owners", "-n", "owners"},
		{"deployment", "istiod-owners", "-n", "owners"},
		{"mutatingwebhookconfiguration", "istio-sidecar-injector-owners-owners"},
	} {
		e.is("IstioRevision", path, what...)
		e.must(append([]string{"patch", "--type=json", "-p", `[{"op":"remove","path":"/metadata/ownerReferences"}]`},
			what...)...)
		e.is("IstioRevision", path, what...)
	}

	// Who keeps the control plane keeps all of it, and gets it back under the same name.
	e.must("delete", "istio", "owners", "--cascade=orphan")
	// The controller notes the new owner on all objects; a run that is about it would be in the way of the next
	// deletion.
	for _, what := range [][]string{
		{"deployment", "istiod-owners", "-n", "owners"},
		{"mutatingwebhookconfiguration", "istio-sidecar-injector-owners-owners"},
	} {
		e.is("IstioRevision/owners", `{.metadata.annotations.lateen\.io/owner}`, what...)
	}
	e.healthy("revision", "owners")
	e.must("delete", "istiorevision", "owners", "--cascade=orphan")
	e.gone("revision", "owners")
	e.is("", path, "mutatingwebhookconfiguration", "istio-sidecar-injector-owners-owners")
	e.is("", path, "deployment", "istiod-owners", "-n", "owners")
	e.apply(resource("Istio", "owners", "namespace: owners, version: v1.28.3"))
	e.healthy("istio", "owners")
	e.is("IstioRevision", path, "deployment", "istiod-owners", "-n", "owners")
	e.is("IstioRevision", path, "mutatingwebhookconfiguration", "istio-sidecar-injector-owners-owners")
	e.must("delete", "istio", "owners")
	e.gone("deployment", "owners", "istiod-owners")
	e.eventually("the webhooks go", func() error {
		out, err := e.kubectl("get", "mutatingwebhookconfigurations,validatingwebhookconfigurations", "-l",
			"lateen.io/revision=owners", "-o", "name")
		if err == nil && out != "" {
			err = fmt.Errorf("there are %s", out)
		}
		return err
	})
}

// scaler is an object without a generation whose status changes all the time.
func scaler(e *env, _ *daemon) {
	e.install("scaler", "version: v1.28.3")
	about := func(w cluster.Write) bool { return w.Resource == "horizontalpodautoscalers" && w.Namespace == "scaler" }
	tries := func() int {
		n := 0
		for _, w := range e.Writes(e.t) { // dry runs as well
			if w.UserAgent == "lateen-controller" && about(w) {
				n++
			}
		}
		return n
	}
	in := func(args ...string) []string { return append(args, "hpa", "istiod-scaler", "-n", "scaler") }
	// A change that is drift, so that what follows is known to have been seen.
	undone := func() {
		e.must(append(in("patch", "--type=merge"), "-p", `{"spec":{"maxReplicas":7}}`)...)
		e.is("5", "{.spec.maxReplicas}", in()...)
	}
	undone()
	undone()
	before := tries()
	undone()
	each := tries() - before
	before = tries()
	const changes = 50
	for i := range changes {
		e.must(append(in("patch", "--subresource=status", "--type=merge"), "-p",
			fmt.Sprintf(`{"status":{"currentReplicas":%d,"desiredReplicas":1}}`, i+1))...)
	}
	undone()
	// Not one for each. What a drift leads to is not the same each time: its writes may be seen in one step or in
	// several, and whatever else brings a look meanwhile costs one.
	if got := tries() - before; got > each+changes/5 {
		e.t.Errorf("%d changes of the status of an HorizontalPodAutoscaler led to %d requests, and a drift leads to %d",
			changes, got, each)
	}
}

// crds are Istio's own, which somebody deletes.
func crds(e *env, _ *daemon) {
	e.install("crds", "version: v1.28.3")
	const name = "wasmplugins.extensions.istio.io"
	uid := e.must("get", "crd", name, "-o", "jsonpath={.metadata.uid}")
	e.must("delete", "crd", name)
	e.eventually("the CRD comes back", func() error {
		now, err := e.kubectl("get", "crd", name, "-o", "jsonpath={.metadata.uid}")
		if err == nil && now == uid {
			err = errors.New("it is the old one still")
		}
		return err
	})
}

// refused is a spec that the API server accepts and makes a Deployment that it does not.
func refused(e *env, p *daemon) {
	e.install("refused", "version: v1.28.3")
	e.patch("istio", "refused", `{"spec":{"values":{"pilot":{"nodeSelector":{"no key!":"x"}}}}}`)
	e.eventually("health checks see it", func() error {
		istio := e.get("istio", "refused")
		if got := conditionOf(istio, "Stalled"); !strings.HasPrefix(got, "True") {
			return fmt.Errorf("Stalled is %q", got)
		}
		return nil
	})
	p.notRetried(e, "refused")
	e.patch("istio", "refused", `{"spec":{"values":{"pilot":{"nodeSelector":null}}}}`)
	e.healthy("istio", "refused")
	e.eventually("nothing is left of it", func() error {
		if got := conditionOf(e.get("istio", "refused"), "Stalled"); got != "none" {
			return fmt.Errorf("Stalled is %q", got)
		}
		return nil
	})
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
