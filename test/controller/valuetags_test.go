package controller

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lateen-io/lateen/test/cluster"
)

// valueTags takes a control plane that brings a tag itself, values.revisionTags, through an upgrade by revisions: the
// tag is there all the time, as one object, and goes over to the new revision. An IstioRevisionTag of its name, which
// comes later, does not get it, and nobody writes the objects again and again.
func valueTags(e *env, _ *daemon) {
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
	e.says(sameTag("IstioRevisionTag/"+tag, "Istio/valuetags", tag), "tag", tag, "Reconciled")
	// Each of the two is looked at three times more.
	tagged := func(w cluster.Write) bool {
		return strings.Contains(w.Name, tag) && w.Group != "sailoperator.io" && !strings.HasPrefix(w.Resource, "event")
	}
	before := e.written(tagged)
	for i := range 3 {
		value := strconv.Itoa(i)
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

// sameTag is what the later one of two says that bring one tag.
func sameTag(own, holder, tag string) string {
	return fmt.Sprintf("False NameAlreadyExists: %s and spec.values.revisionTags of %s are the same revision tag, %s: "+
		"namespaces with the label istio.io/rev=%[3]s would be injected by both; remove one of the two", own, holder, tag)
}

// namesOfTags has two meshes in two namespaces, and names that both want: the objects of a tag have the namespace in
// their names, and nevertheless only one control plane may inject for it.
func namesOfTags(e *env, _ *daemon) {
	const tag = "tagnames-stable"
	e.install("tagnames-a", "version: v1.28.3, values: {revisionTags: ["+tag+"]}")
	e.later("istio", "tagnames-a")
	e.install("tagnames-b", "version: v1.28.3")
	uid := e.get("revision", "tagnames-b").GetUID()
	e.exists("mutating", "istio-revision-tag-"+tag+"-tagnames-a")

	e.patch("istio", "tagnames-b", `{"spec":{"values":{"revisionTags":["`+tag+`"]}}}`)
	e.says(sameTag("spec.values.revisionTags of Istio/tagnames-b", "Istio/tagnames-a", tag), "revision", "tagnames-b",
		"Reconciled")
	e.says("True", "revision", "tagnames-b", "Ready")
	e.gone("mutating", "istio-revision-tag-"+tag+"-tagnames-b")
	e.patch("istio", "tagnames-a", `{"spec":{"values":{"revisionTags":null}}}`)
	e.healthy("istio", "tagnames-b")
	e.exists("mutating", "istio-revision-tag-"+tag+"-tagnames-b")
	e.gone("mutating", "istio-revision-tag-"+tag+"-tagnames-a")

	// The name of a revision, be it the younger one.
	e.patch("istio", "tagnames-a", `{"spec":{"values":{"revisionTags":["tagnames-b"]}}}`)
	e.says("False NameAlreadyExists: spec.values.revisionTags: a revision has the name of the tag, tagnames-b: workloads "+
		"with the label istio.io/rev=tagnames-b would be injected twice; rename the tag", "revision", "tagnames-a",
		"Reconciled")
	e.gone("mutating", "istio-revision-tag-tagnames-b-tagnames-a")
	e.healthy("istio", "tagnames-b")
	if now := e.get("revision", "tagnames-b").GetUID(); now != uid {
		e.t.Error("the revision tagnames-b is another one")
	}
	e.patch("istio", "tagnames-a", `{"spec":{"values":{"revisionTags":["tagnames-c"]}}}`)
	e.healthy("istio", "tagnames-a")

	// A revision that comes later does not take the name of the tag.
	e.apply(byHand("tagnames-c", "tagnames-b", "v1.28.3"))
	e.says("False NameAlreadyExists: tagnames-c is there already, as a tag: spec.values.revisionTags of "+
		"Istio/tagnames-a; a revision and a tag cannot have the same name", "revision", "tagnames-c", "Reconciled")
	e.exists("mutating", "istio-revision-tag-tagnames-c-tagnames-a")
	e.patch("istio", "tagnames-a", `{"spec":{"values":{"revisionTags":null}}}`)
	e.healthy("revision", "tagnames-c")
	e.must("delete", "istiorevision", "tagnames-c")
}
