package controller

import (
	"fmt"
)

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
