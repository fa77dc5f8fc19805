package controller

import (
	"errors"
	"fmt"
	"strings"

	"github.com/lateen-io/lateen/test/cluster"
)

// valueTags takes a control plane that brings a tag itself, values.revisionTags, through an upgrade by revisions: the
// tag is there all the time, as one object, and goes over to the new revision. An IstioRevisionTag of its name, which
// comes later, does not get it, and nobody writes the objects again and again.
func valueTags(e *env, _ *process) {
	const tag = "valuetags-stable"
	e.install("valuetags", "version: v1.27.0, updateStrategy: {type: RevisionBased, "+
		"inactiveRevisionDeletionGracePeriodSeconds: 3600}, values: {revisionTags: ["+tag+"]}")
	e.apply(`{apiVersion: v1, kind: Namespace, metadata: {name: valuetags-app, labels: {istio.io/rev: ` + tag + `}}}`)
	const oldName, newName = "valuetags-v1-27-0", "valuetags-v1-28-3"
	webhook := []string{"mutatingwebhookconfiguration", "istio-revision-tag-" + tag + "-valuetags"}
	leads := func(revision string) {
		e.t.Helper()
		want := "istiod-" + revision
		e.is(want+" "+want, "{.webhooks[*].clientConfig.service.name}", webhook...)
	}
	leads(oldName)
	e.says("True ReferencedByWorkloads: ...", "revision", oldName, "InUse")
	uid := e.get("mutating", webhook[1]).GetUID()

	e.patch("istio", "valuetags", `{"spec":{"version":"v1.28.3"}}`)
	e.healthy("revision", newName)
	leads(newName)
	e.says("True ReferencedByWorkloads: ...", "revision", newName, "InUse")
	e.says("False NotReferencedByAnything: Not referenced by any pod or namespace", "revision", oldName, "InUse")
	if now := e.get("mutating", webhook[1]).GetUID(); now != uid {
		e.t.Errorf("%s was deleted and created again", webhook[1])
	}

	e.apply(resource("IstioRevisionTag", tag, "targetRef: {kind: IstioRevision, name: "+oldName+"}"))
	e.eventually("the later one does not get the tag", func() error {
		got := e.message("tag", tag, "Reconciled")
		if !strings.HasPrefix(got, "False NameAlreadyExists: ") || !strings.Contains(got, "IstioRevision "+newName) {
			return errors.New(got)
		}
		return nil
	})
	// Each of the two is looked at three times more.
	tagged := func(w cluster.Write) bool { return strings.Contains(w.Name, tag) && w.Group != "sailoperator.io" }
	before := e.written(tagged)
	for i := range 3 {
		value := fmt.Sprint(i)
		e.patch("istiorevisiontag", tag, `{"metadata":{"labels":{"try":"`+value+`"}}}`)
		e.patch("istio", "valuetags", `{"spec":{"values":{"pilot":{"env":{"TRY":"`+value+`"}}}}}`)
		e.is(value, `{.spec.template.spec.containers[0].env[?(@.name=="TRY")].value}`, "deployment", "istiod-"+newName,
			"-n", "valuetags")
	}
	e.unwritten(before, tagged)
	leads(newName)

	// Without the tag in the values, it is the later one's.
	e.patch("istio", "valuetags", `{"spec":{"values":{"revisionTags":null}}}`)
	e.says("True", "tag", tag, "Reconciled")
	leads(oldName)
	e.must("delete", "istiorevisiontag", tag)
	e.gone("mutating", webhook[1])
}
