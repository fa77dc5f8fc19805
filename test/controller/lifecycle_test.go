package controller

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/test/cluster"
)

// TestLifecycle has the cases of lifecycle.md, on one cluster, at the same time: each has its own Istios and
// namespaces, named after it.
func TestLifecycle(t *testing.T) {
	turn := parallel(t, 20)
	defer turn.leave()
	e := start(t, cluster.WithAudit())
	p := e.controller()
	for _, c := range []struct {
		name, reason string
		run          func(*env, *daemon)
	}{
		{"namespace that is missing", "it is for the user to create, and its coming is an event", missingNamespace},
		{"namespace that is being deleted", "nothing can be created in it, and its going is an event", namespaceDeleted},
		{"unknown version", "no retry mends it, so there is none", unknownVersion},
		{"tag and revision of one name", "the older has it", sameName},
		{"foreign revision", "nobody loses a control plane to an Istio of the same name", foreignRevision},
		{"target of a tag", "a tag follows its target, which may be missing, change, or move", targets},
		{"readiness of istiod", "Ready says what is wrong with the Deployment", readiness},
		{"drift", "what others change is put back, but for what is theirs", drift},
		{"version that lacks an object", "what a version does not have any more goes", lostObject},
		{"deletion", "a deletion ends, whoever has put a finalizer on", deletion},
		{"strategy", "a revision in use outlives a change of the strategy", strategy},
		{"kept", "some revisions are used by what cannot be seen", kept},
		{"owners", "an owner reference that is missing is drift, and one that is not wanted any more goes", owners},
		{"scaler", "a status that changes all the time costs nothing", scaler},
		{"crds", "Istio's CRDs come back", crds},
		{"refused", "what the API server refuses is for a person to mend, and no success", refused},
		{"packaged", "what a package in Git still has is not removed behind its back", packaged},
		{"pipeline", "the controller observes what a pipeline renders, and prunes it", pipeline},
		{"tags of values", "a tag has one resource, and goes with the active revision", valueTags},
		{"names of tags", "a name means one control plane, in whatever namespaces they are", namesOfTags},
	} {
		t.Run(c.name, func(t *testing.T) {
			parallel(t, 10)
			t.Log(c.reason)
			c.run(e.in(t), p)
		})
	}
}

// resource is the YAML of a resource of Lateen's.
func resource(kind, name, spec string) string {
	return fmt.Sprintf("---\n{apiVersion: sailoperator.io/v1, kind: %s, metadata: {name: %s}, spec: {%s}}\n", kind, name,
		spec)
}

// byHand is the YAML of an IstioRevision that belongs to no Istio.
func byHand(name, namespace, version string) string {
	return resource("IstioRevision", name,
		fmt.Sprintf("version: %s, namespace: %s, values: {revision: %s, global: {istioNamespace: %[2]s}}", version, namespace,
			name))
}

// install creates a namespace and an Istio in it, both with the same name, and waits for the control plane.
func (e *env) install(name, spec string) {
	e.t.Helper()
	e.must("create", "namespace", name)
	e.apply(resource("Istio", name, "namespace: "+name+", "+spec))
	e.healthy("istio", name)
}

// patch changes a resource.
func (e *env) patch(kind, name, patch string) {
	e.t.Helper()
	e.must("patch", kind, name, "--type=merge", "-p", patch)
}

// logged is how long the controller's log is.
func (d *daemon) logged(e *env) int {
	e.t.Helper()
	text, err := os.ReadFile(d.log)
	if err != nil {
		e.t.Fatal(err)
	}
	return len(text)
}

// notRetried fails the test if the controller has tried something again that no retry can mend.
func (d *daemon) notRetried(e *env, name string) {
	e.t.Helper()
	d.notRetriedSince(e, 0, name)
}

// notRetriedSince is notRetried of what came after a length of the log.
func (d *daemon) notRetriedSince(e *env, logged int, name string) {
	e.t.Helper()
	text, err := os.ReadFile(d.log)
	if err != nil {
		e.t.Fatal(err)
	}
	for line := range strings.Lines(string(text[logged:])) {
		if strings.Contains(line, "Reconciler error") && strings.Contains(line, `"name":"`+name+`"`) {
			e.t.Errorf("the controller retries: %s", line)
		}
	}
}

func missingNamespace(e *env, p *daemon) {
	e.apply(resource("Istio", "late", "version: v1.28.3, namespace: late"))
	e.says(`False ReconcileError: namespace "late" doesn't exist`, "istio", "late", "Reconciled")
	e.says(`True`, "istio", "late", "Stalled")
	e.shows(`
NAME   REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS           VERSION   AGE
late   0           0       0        late              ReconcileError   v1.28.3   5s`, "get", "istio", "late")
	e.apply(byHand("late-revision", "late", "v1.28.3"))
	e.says(`False ReconcileError: namespace "late" doesn't exist`, "revision", "late-revision", "Reconciled")
	e.must("create", "namespace", "late")
	e.healthy("istio", "late")
	e.healthy("revision", "late-revision")
	e.says("none", "istio", "late", "Stalled")
	p.notRetried(e, "late")
	p.notRetried(e, "late-revision")
}

func namespaceDeleted(e *env, p *daemon) {
	e.install("going", "version: v1.28.3")
	e.apply(`{apiVersion: v1, kind: ConfigMap, metadata: {name: hold, namespace: going, finalizers: [example.com/hold]}}`)
	e.must("delete", "namespace", "going", "--wait=false")
	for _, kind := range []string{"istio", "revision"} {
		e.says(`False ReconcileError: namespace "going" is being deleted`, kind, "going", "Reconciled")
	}
	// Before it knew of that, it may have tried to put back what goes with the namespace.
	known := p.logged(e)
	e.must("patch", "configmap", "hold", "-n", "going", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	for _, kind := range []string{"istio", "revision"} {
		e.says(`False ReconcileError: namespace "going" doesn't exist`, kind, "going", "Reconciled")
	}
	e.says("False IstiodNotReady: istiod Deployment not found", "istio", "going", "Ready")
	e.must("create", "namespace", "going")
	e.healthy("istio", "going")
	p.notRetriedSince(e, known, "going")
}

func unknownVersion(e *env, p *daemon) {
	e.must("create", "namespace", "unknown")
	e.apply(resource("Istio", "unknown", "version: v1.99.0, namespace: unknown"))
	_, wrong := release.Bundled().Resolve("v1.99.0", nil)
	e.says(fmt.Sprintf("False ReconcileError: spec.version: %v", wrong), "istio", "unknown", "Reconciled")
	e.says("True", "istio", "unknown", "Stalled")
	before := e.reported("unknown")
	e.install("known", "version: v1.28.3") // meanwhile much happens
	e.must("delete", "istio", "known")
	e.unwritten(before, statusOf("unknown"))
	p.notRetried(e, "unknown")
	e.patch("istio", "unknown", `{"spec":{"version":"v1.28.3"}}`)
	e.healthy("istio", "unknown")
	e.says("none", "istio", "unknown", "Stalled")

	// A version that is unknown later leaves what there is.
	e.patch("istio", "unknown", `{"spec":{"version":"v1.99.0"}}`)
	e.says(fmt.Sprintf("False ReconcileError: spec.version: %v", wrong), "istio", "unknown", "Reconciled")
	e.is("docker.io/istio/pilot:1.28.3", "{.spec.template.spec.containers[0].image}", "deployment", "istiod-unknown", "-n",
		"unknown")
	e.says("True", "istio", "unknown", "Ready")
}

// later waits until what is created now is younger than an object: creation has whole seconds.
func (e *env) later(kind, name string) {
	e.t.Helper()
	created := e.get(kind, name).GetCreationTimestamp().Time
	e.eventually("the clock goes on", func() error {
		if time.Since(created) < 2*time.Second {
			return errors.New("the clock shows the same second")
		}
		return nil
	})
}

func sameName(e *env, _ *daemon) {
	e.install("same", "version: v1.28.3")
	revision := func(name string) string { return byHand(name, "same", "v1.28.3") }
	tag := func(name string) string {
		return resource("IstioRevisionTag", name, "targetRef: {kind: Istio, name: same}")
	}

	e.apply(revision("same-a"))
	e.healthy("revision", "same-a")
	e.later("revision", "same-a")
	e.apply(tag("same-a"))
	e.says("False NameAlreadyExists: a revision has the name of the tag, same-a: workloads with the label "+
		"istio.io/rev=same-a would be injected twice; rename the tag", "tag", "same-a", "Reconciled")
	e.shows(`
NAME     STATUS              IN USE   REVISION   AGE
same-a   NameAlreadyExists   False               5s`, "get", "istiorevisiontag", "same-a")
	e.healthy("revision", "same-a")
	e.must("delete", "istiorevision", "same-a")
	e.says("True", "tag", "same-a", "Reconciled")
	e.is("same", "{.status.istioRevision}", "istiorevisiontag", "same-a")
	e.exists("mutating", "istio-revision-tag-same-a-same")

	e.apply(tag("same-b"))
	e.says("True", "tag", "same-b", "Reconciled")
	e.later("tag", "same-b")
	e.apply(revision("same-b"))
	e.says("False NameAlreadyExists: an IstioRevisionTag with the name same-b exists already; a revision and a tag "+
		"cannot have the same name", "revision", "same-b", "Reconciled")
	e.is("NameAlreadyExists", "{.status.state}", "istiorevision", "same-b")
	e.says("True", "tag", "same-b", "Reconciled")
	e.must("delete", "istiorevisiontag", "same-b")
	e.healthy("revision", "same-b")
	e.must("delete", "istiorevisiontag", "same-a")
	e.must("delete", "istiorevision", "same-b")
	e.must("delete", "istio", "same")
}

func foreignRevision(e *env, p *daemon) {
	e.must("create", "namespace", "foreign")
	e.apply(byHand("foreign", "foreign", "v1.27.0"))
	e.healthy("revision", "foreign")
	uid := e.get("revision", "foreign").GetUID()
	e.apply(resource("Istio", "foreign", "version: v1.28.3, namespace: foreign"))
	e.says("False ReconcileError: the IstioRevision foreign exists already and does not belong to this Istio; delete it, "+
		"or give the Istio another name",
		"istio", "foreign", "Reconciled")
	e.is(`v1.27.0 `, "{.spec.version} {.metadata.ownerReferences}", "istiorevision", "foreign")
	p.notRetried(e, "foreign")
	e.must("delete", "istiorevision", "foreign")
	e.healthy("istio", "foreign")
	own := e.get("revision", "foreign")
	if own.GetUID() == uid || len(own.GetOwnerReferences()) != 1 {
		e.t.Errorf("the revision is not the Istio's own: %v", own.GetOwnerReferences())
	}
}

func targets(e *env, _ *daemon) {
	e.must("create", "namespace", "target")
	e.must("create", "namespace", "target-other")
	e.apply(resource("IstioRevisionTag", "target-a", "targetRef: {kind: Istio, name: target}"))
	e.apply(resource("IstioRevisionTag", "target-b", "targetRef: {kind: IstioRevision, name: target-by-hand}"))
	e.says("False RefNotFound: spec.targetRef: Istio/target does not exist", "tag", "target-a", "Reconciled")
	e.says("False RefNotFound: spec.targetRef: IstioRevision/target-by-hand does not exist", "tag", "target-b",
		"Reconciled")
	e.shows(`
NAME       STATUS        IN USE   REVISION   AGE
target-a   RefNotFound   False               5s`, "get", "istiorevisiontag", "target-a")
	e.apply(resource("Istio", "target", "version: v1.28.3, namespace: target"))
	e.apply(byHand("target-by-hand", "target-other", "v1.28.3"))
	e.shows(`
NAME       STATUS                    IN USE   REVISION   AGE
target-a   NotReferencedByAnything   False    target     5s`, "get", "istiorevisiontag", "target-a")
	e.shows(`
NAME       STATUS                    IN USE   REVISION         AGE
target-b   NotReferencedByAnything   False    target-by-hand   5s`, "get", "istiorevisiontag", "target-b")
	e.healthy("istio", "target")
	e.healthy("revision", "target-by-hand")
	e.says("True ReferencedByWorkloads: ...", "revision", "target-by-hand", "InUse")

	e.exists("mutating", "istio-revision-tag-target-a-target")
	e.exists("service", "target", "istiod-revision-tag-target-a")
	e.patch("istiorevisiontag", "target-a", `{"spec":{"targetRef":{"kind":"IstioRevision","name":"target-by-hand"}}}`)
	e.shows(`
NAME       STATUS                    IN USE   REVISION         AGE
target-a   NotReferencedByAnything   False    target-by-hand   5s`, "get", "istiorevisiontag", "target-a")
	e.is("target-other", "{.status.istiodNamespace}", "istiorevisiontag", "target-a")
	e.exists("mutating", "istio-revision-tag-target-a-target-other")
	e.exists("service", "target-other", "istiod-revision-tag-target-a")
	e.gone("mutating", "istio-revision-tag-target-a-target")
	e.gone("service", "target", "istiod-revision-tag-target-a")
	e.says("False NotReferencedByAnything: Not referenced by any pod or namespace", "revision", "target", "InUse")

	e.must("delete", "istiorevision", "target-by-hand")
	e.says("False RefNotFound: spec.targetRef: IstioRevision/target-by-hand does not exist", "tag", "target-a",
		"Reconciled")
	e.must("delete", "istiorevisiontag", "target-a", "target-b")
	e.gone("mutating", "istio-revision-tag-target-a-target-other")
	e.gone("service", "target-other", "istiod-revision-tag-target-a")
}

func readiness(e *env, _ *daemon) {
	e.install("readiness", "version: v1.28.3")
	says := func(want string) {
		e.t.Helper()
		e.says(want, "revision", "readiness", "Ready")
		e.says(want, "istio", "readiness", "Ready")
	}
	deployment := []string{"deployment", "istiod-readiness", "-n", "readiness"}
	e.must(append([]string{"scale", "--replicas=0"}, deployment...)...)
	says("False IstiodNotReady: istiod Deployment is scaled to zero replicas")
	e.must(append([]string{"scale", "--replicas=2"}, deployment...)...)
	says("True")

	pod := "pod/" + e.lives("readiness")
	e.must("patch", "-n", "readiness", pod, "--subresource=status", "-p",
		`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`)
	says("False IstiodNotReady: not all istiod pods are ready")
	e.is("IstiodNotReady", "{.status.state}", "istio", "readiness")
	e.must("delete", "-n", "readiness", pod)
	says("True")

	uid := e.get("deployment", "readiness", "istiod-readiness").GetUID()
	e.must(append([]string{"delete"}, deployment...)...)
	e.eventually("the Deployment comes back", func() error {
		o, err := e.read("deployment", "readiness", "istiod-readiness")
		if err == nil && o.GetUID() == uid {
			err = errors.New("it is still the old one")
		}
		return err
	})
	e.healthy("istio", "readiness")
}

func drift(e *env, _ *daemon) {
	e.install("drift", "version: v1.28.3")
	in := func(args ...string) []string { return append(args, "-n", "drift") }

	uid := e.get("configmap", "drift", "istio-drift").GetUID()
	e.must(in("delete", "configmap", "istio-drift")...)
	e.exists("configmap", "drift", "istio-drift")
	if e.get("configmap", "drift", "istio-drift").GetUID() == uid {
		e.t.Error("the ConfigMap was not deleted")
	}
	e.must(in("label", "service", "istiod-drift", "app=changed", "--overwrite")...)
	e.is("istiod", "{.metadata.labels.app}", in("service", "istiod-drift")...)
	e.must(in("label", "service", "istiod-drift", "app.kubernetes.io/managed-by=me", "--overwrite")...)
	e.is("lateen", `{.metadata.labels.app\.kubernetes\.io/managed-by}`, in("service", "istiod-drift")...)
	e.must(in("label", "service", "istiod-drift", "lateen.io/revision-")...)
	e.is("drift", `{.metadata.labels.lateen\.io/revision}`, in("service", "istiod-drift")...)
	data := e.must(in("get", "configmap", "istio-drift", "-o", "jsonpath={.data.mesh}")...)
	e.must(in("patch", "configmap", "istio-drift", "--type=merge", "-p", `{"data":{"mesh":"changed"}}`)...)
	e.is(data, "{.data.mesh}", in("configmap", "istio-drift")...)
	e.must(in("set", "image", "deployment/istiod-drift", "discovery=example.com/changed")...)
	e.is("docker.io/istio/pilot:1.28.3", "{.spec.template.spec.containers[0].image}", in("deployment", "istiod-drift")...)

	// What istiod sets in its webhooks is istiod's.
	e.must("patch", "validatingwebhookconfiguration", "istio-validator-drift-drift", "--type=json",
		"--field-manager=pilot-discovery", "-p",
		`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+caBundle+
			`"},{"op":"add","path":"/webhooks/0/failurePolicy","value":"Ignore"}]`)
	e.must("patch", "mutatingwebhookconfiguration", "istio-sidecar-injector-drift-drift", "--type=json",
		"--field-manager=pilot-discovery", "-p",
		`[{"op":"add","path":"/webhooks/0/clientConfig/caBundle","value":"`+caBundle+`"}]`)
	for _, kind := range []string{
		"validatingwebhookconfiguration/istio-validator-drift-drift",
		"mutatingwebhookconfiguration/istio-sidecar-injector-drift-drift",
	} {
		e.must("label", kind, "app.kubernetes.io/part-of=changed", "--overwrite")
		e.is("istio "+caBundle, `{.metadata.labels.app\.kubernetes\.io/part-of} {.webhooks[0].clientConfig.caBundle}`, kind)
	}
	e.is("Ignore", "{.webhooks[0].failurePolicy}", "validatingwebhookconfiguration/istio-validator-drift-drift")

	// What is to be ignored stays as somebody has made it.
	for _, ignore := range []string{"annotate", "label"} {
		e.must(in(ignore, "configmap", "values-drift", "sailoperator.io/ignore=true")...)
		e.must(in("patch", "configmap", "values-drift", "--type=merge", "-p", `{"data":{"merged-values":"`+ignore+`"}}`)...)
		e.must(in("label", "service", "istiod-drift", "app=changed", "--overwrite")...)
		e.is("istiod", "{.metadata.labels.app}", in("service", "istiod-drift")...)
		e.is(ignore, "{.data.merged-values}", in("configmap", "values-drift")...)
		e.must(in(ignore, "configmap", "values-drift", "sailoperator.io/ignore-")...)
		e.eventually("what is no longer to be ignored is put right", func() error {
			out, err := e.kubectl(in("get", "configmap", "values-drift", "-o", "jsonpath={.data.merged-values}")...)
			if err == nil && out == ignore {
				err = errors.New("it still has what it was changed to")
			}
			return err
		})
	}
	e.healthy("istio", "drift")
}

// caBundle is a certificate that nobody looks at, as JSON has it.
const caBundle = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUJkVENDQVJ1Z0F3SUJBZ0lSQU1kZUJRPT0K" +
	"LS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="

func lostObject(e *env, _ *daemon) {
	e.install("lost", "version: v1.23.2")
	e.exists("disruptions", "lost", "istiod-lost")
	e.patch("istio", "lost", `{"spec":{"version":"v1.28.3"}}`)
	e.gone("disruptions", "lost", "istiod-lost")
	e.exists("configmap", "lost", "values-lost")
	e.healthy("istio", "lost")
}

func deletion(e *env, _ *daemon) {
	e.must("create", "namespace", "end")
	const finalizers = "finalizers: [sailoperator.io/sail-operator]"
	for _, text := range []string{
		resource("Istio", "end", "version: v1.28.3, namespace: end"),
		byHand("end-revision", "end", "v1.28.3"),
		resource("IstioRevisionTag", "end-tag", "targetRef: {kind: Istio, name: end}"),
		resource("IstioCNI", "default", "version: v1.28.3, namespace: end"),
	} {
		e.apply(strings.Replace(text, "metadata: {", "metadata: {"+finalizers+", ", 1))
	}
	e.healthy("istio", "end")
	e.healthy("revision", "end-revision")
	e.healthy("cni", "default")
	e.says("True", "tag", "end-tag", "Reconciled")
	// Somebody holds one of the objects.
	e.must("patch", "configmap", "istio-end", "-n", "end", "--type=merge", "-p",
		`{"metadata":{"finalizers":["example.com/hold"]}}`)
	for _, resource := range []string{
		"istiocni/default", "istiorevisiontag/end-tag", "istiorevision/end-revision", "istio/end",
	} {
		e.must("delete", resource, "--timeout="+patience.String())
	}
	e.gone("revision", "end")
	e.gone("deployment", "end", "istiod-end")
	e.gone("mutating", "istio-sidecar-injector-end-end")
	if e.get("configmap", "end", "istio-end").GetDeletionTimestamp() == nil {
		e.t.Error("the ConfigMap that somebody holds is not being deleted")
	}
	e.must("patch", "configmap", "istio-end", "-n", "end", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	e.gone("configmap", "end", "istio-end")

	// A deletion of the namespace first, and then of what is in it.
	e.apply(resource("Istio", "end", "version: v1.28.3, namespace: end"))
	e.healthy("istio", "end")
	e.must("delete", "namespace", "end")
	e.must("delete", "istio", "end", "--timeout="+patience.String())
	e.gone("revision", "end")
	e.gone("mutating", "istio-sidecar-injector-end-end")
}

func strategy(e *env, _ *daemon) {
	e.install("strategy", "version: v1.27.0")
	for _, ns := range []string{"strategy-app1", "strategy-app2"} {
		e.must("create", "namespace", ns)
	}
	e.must("label", "namespace", "strategy-app1", "istio.io/rev=strategy")
	e.says("True ReferencedByWorkloads: ...", "revision", "strategy", "InUse")
	e.patch("istio", "strategy", `{"spec":{"version":"v1.28.3","updateStrategy":{"type":"RevisionBased",`+
		`"inactiveRevisionDeletionGracePeriodSeconds":0}}}`)
	e.shows(`
NAME       REVISIONS   READY   IN USE   ACTIVE REVISION    STATUS    VERSION   AGE
strategy   2           2       1        strategy-v1-28-3   Healthy   v1.28.3   5s`, "get", "istio", "strategy")
	e.is("v1.27.0", "{.spec.version}", "istiorevision", "strategy")
	e.must("label", "namespace", "strategy-app2", "istio.io/rev=strategy-v1-28-3")
	e.says("True ReferencedByWorkloads: ...", "revision", "strategy-v1-28-3", "InUse")
	e.patch("istio", "strategy", `{"spec":{"updateStrategy":{"type":"InPlace"}}}`)
	e.shows(`
NAME       REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
strategy   2           2       2        strategy          Healthy   v1.28.3   5s`, "get", "istio", "strategy")
	e.is("v1.28.3", "{.spec.version}", "istiorevision", "strategy")
	e.must("label", "namespace", "strategy-app2", "istio.io/rev-")
	e.gone("revision", "strategy-v1-28-3")
	e.gone("deployment", "strategy", "istiod-strategy-v1-28-3")
	e.shows(`
NAME       REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
strategy   1           1       1        strategy          Healthy   v1.28.3   5s`, "get", "istio", "strategy")
}

// kept has two revisions whose users are not to be seen, and one like them without any.
func kept(e *env, _ *daemon) {
	const upgrade = `{"spec":{"version":"v1.28.3","updateStrategy":{"type":"RevisionBased",` +
		`"inactiveRevisionDeletionGracePeriodSeconds":0}}}`
	e.must("create", "namespace", "kept-default")
	e.apply(resource("Istio", "default",
		`version: v1.27.0, namespace: kept-default, values: {sidecarInjectorWebhook: {enableNamespacesByDefault: true}}`))
	e.install("kept-external", `version: v1.27.0, values: {pilot: {env: {EXTERNAL_ISTIOD: "true"}}}`)
	e.healthy("istio", "default")
	e.shows(`
NAME      REVISIONS   READY   IN USE   ACTIVE REVISION   STATUS    VERSION   AGE
default   1           1       1        default           Healthy   v1.27.0   5s`, "get", "istio", "default")
	e.patch("istio", "kept-external", upgrade)
	e.patch("istio", "default", upgrade)
	for _, name := range []string{"kept-external", "default"} {
		e.healthy("istio", name)
		e.is("2", "{.status.revisions.total}", "istio", name)
		e.eventually("the old revision is no longer active", func() error {
			o := e.get("revision", name)
			if since, _, _ := unstructured.NestedString(o.Object, "status", "inactiveSince"); since == "" {
				return errors.New("it is")
			}
			return nil
		})
	}
	e.install("kept-not", "version: v1.27.0")
	e.patch("istio", "kept-not", upgrade)
	e.gone("revision", "kept-not")
	e.shows(`
NAME            REVISIONS   READY   IN USE   ACTIVE REVISION         STATUS    VERSION   AGE
default         2           2       1        default-v1-28-3         Healthy   v1.28.3   5s
kept-external   2           2       0        kept-external-v1-28-3   Healthy   v1.28.3   5s`,
		"get", "istio", "default", "kept-external")
}
