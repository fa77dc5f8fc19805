package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/test/cluster"
)

// TestClusterGolden looks at a real API server: first as somebody who has no controller, so that the cluster knows
// Lateen only by the webhooks of a package; then with Lateen's resources as well.
func TestClusterGolden(t *testing.T) {
	t.Parallel()
	c := cluster.Start(t, cluster.WithoutWebhooks()) // there is no istiod that would answer
	s := server{t: t, Cluster: c}
	var err error
	if s.api, err = client.New(c.RESTConfig(), client.Options{}); err != nil {
		t.Fatal(err)
	}
	s.create(workloads)

	// The package of an upgrade from 1.26 to 1.28 that has kept what it cannot see the users of.
	p := pack{t: t}
	for _, version := range []string{"v1.26.0", "v1.27.0", "v1.28.3"} {
		p.render(istio(version), tag)
	}
	old := p.of("default-v1-26-0")
	if diff := cmp.Diff([]string{"default-v1-26-0", "default-v1-27-0", "default-v1-28-3"}, p.revisions()); diff != "" {
		t.Fatalf("the package: -want +got:\n%s", diff)
	}
	for _, o := range p.items {
		if o.Kind() == "MutatingWebhookConfiguration" {
			s.create(encode(t, o))
		}
	}

	s.golden("pipeline.txt")
	s.golden("pipeline-name.txt", "prod", "default-v1-27-0")
	s.golden("pipeline.dot", "-o", "dot")
	s.golden("unused.txt", "--unused")
	s.golden("report.yaml", "-o", "yaml", "--name", "west")
	report := s.run("-o", "yaml").stdout
	if !strings.Contains(report, "name: "+validName(s.context())+"\n") {
		t.Errorf("the report is not named after the context %s:\n%s", s.context(), report)
	}
	p.render(istio("v1.28.3"), tag, "# usage\n"+report)
	if diff := cmp.Diff([]string{"default-v1-27-0", "default-v1-28-3"}, p.revisions()); diff != "" {
		t.Errorf("with the report, the package has lost what nothing uses, and nothing else: -want +got:\n%s", diff)
	}

	s.rights()
	s.mistakes()

	if err := cluster.ApplyCRDs(t.Context(), c.RESTConfig(), "../../config/crd"); err != nil {
		t.Fatal(err)
	}
	s.golden("pipeline.txt") // kinds without objects say nothing
	s.create(resources)
	s.golden("controller.txt")
	s.golden("controller-all.txt", "--all-users")
	s.deleteRevision(old)
}

// server is a cluster, and what the test does to it.
type server struct {
	*cluster.Cluster
	t   *testing.T
	api client.Client
}

// deleteRevision: what nothing uses goes, of every kind, and nothing else does.
func (s server) deleteRevision(old []manifest.Object) { //nolint:cyclop // a story, step by step
	s.t.Helper()
	s.create("apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n")
	for _, o := range old {
		s.create(encode(s.t, o))
	}
	run := func(args ...string) result {
		return call(append([]string{"delete-revision", "--kubeconfig", s.Kubeconfig}, args...)...)
	}
	for _, c := range []struct {
		reason string
		args   []string
		code   int
		says   string
	}{
		{
			"what is used stays",
			[]string{"default-v1-27-0"},
			exit.Wrong,
			"nothing is removed: default-v1-27-0 is in use. Referenced by at least one pod or namespace: " +
				"Namespace bookinfo, IstioRevisionTag moving, Pod plain/old-1 and 3 more. `lateen usage " +
				"default-v1-27-0` shows all. With --force it is removed all the same, and they have no control plane",
		},
		{
			"the active one",
			[]string{"default-v1-28-3", "--force"},
			exit.Wrong,
			"nothing is removed: default-v1-28-3 is the active revision of Istio default, which would be " +
				"without a control plane. Change spec.version of the Istio first; to remove the control plane, " +
				"delete the Istio",
		},
		{
			"the controller's",
			[]string{"outside", "--force"},
			exit.Wrong,
			"nothing is removed: the controller applies the objects of IstioRevision outside, and removes them " +
				"with it: kubectl delete istiorevision outside",
		},
		{
			"none",
			[]string{"nobody"},
			exit.Wrong,
			"there is nothing to remove: no object has the label lateen.io/revision=nobody and was rendered by Lateen",
		},
		{"no name", nil, exit.Usage, "give the name of one revision"},
	} {
		got := run(c.args...)
		if got.code != c.code || got.stdout != "" || !strings.HasPrefix(got.stderr, "lateen: "+c.says+"\n") {
			s.t.Errorf("%s: %+v", c.reason, got)
		}
	}
	got := run("default-v1-26-0", "--dry-run")
	if got.code != exit.OK || got.stderr != "" {
		s.t.Errorf("a dry run: %+v", got)
	}
	lines := strings.Split(strings.TrimSuffix(got.stdout, "\n"), "\n")
	if len(lines) == 0 || !strings.HasPrefix(lines[0], "MutatingWebhookConfiguration ") {
		s.t.Errorf("injection webhooks go first: %s", got.stdout)
	}
	for _, o := range old {
		name := o.ID().Name
		if namespace := o.ID().Namespace; namespace != "" {
			name = namespace + "/" + name
		}
		if !slices.Contains(lines, o.Kind()+" "+name+" would be deleted") {
			s.t.Errorf("a dry run does not name %s: %s", o.ID(), got.stdout)
		}
	}
	want := strings.ReplaceAll(got.stdout, "would be deleted", "deleted")
	if got = run("default-v1-26-0"); got.code != exit.OK || got.stdout != want {
		s.t.Errorf("removing it says something else than the dry run: %s", cmp.Diff(want, got.stdout))
	}
	if got = run("default-v1-26-0"); got.code != exit.Wrong ||
		!strings.Contains(got.stderr, "there is nothing to remove") {
		s.t.Errorf("once more: %+v", got)
	}
	for _, o := range old {
		u := &unstructured.Unstructured{}
		u.SetAPIVersion(o.APIVersion())
		u.SetKind(o.Kind())
		id := o.ID()
		if err := s.api.Get(s.t.Context(), client.ObjectKey{Namespace: id.Namespace, Name: id.Name},
			u); !apierrors.IsNotFound(err) {
			s.t.Errorf("%s is still there: %v", id, err)
		}
	}
	got = run("default-v1-27-0", "--force")
	if got.code != exit.OK || !strings.Contains(got.stdout,
		"default-v1-27-0 is in use, and these have no control plane afterwards:\n  Namespace bookinfo (label "+
			"istio.io/rev=default-v1-27-0)\n") {
		s.t.Errorf("by force: %+v", got)
	}
}

// istio is an Istio in a kpt package, and tag one that follows it.
func istio(version string) string {
	return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: default\n" +
		"  annotations: {internal.config.kubernetes.io/path: istio.yaml, internal.config.kubernetes.io/index: '0'}\n" +
		"spec: {version: " + version + ", namespace: istio-system, updateStrategy: {type: RevisionBased}}\n"
}

const tag = "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata:\n  name: prod\n" +
	"  annotations: {internal.config.kubernetes.io/path: tag.yaml, internal.config.kubernetes.io/index: '0'}\n" +
	"spec: {targetRef: {kind: Istio, name: default}}\n"

// workloads: two namespaces that name a revision or tag, one that names nothing, and pods, of which one has run to its
// end.
const workloads = `
apiVersion: v1
kind: Namespace
metadata: {name: bookinfo, labels: {istio.io/rev: default-v1-27-0}}
---
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/rev: prod}}
---
apiVersion: v1
kind: Namespace
metadata: {name: plain}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: default, namespace: plain}
---
apiVersion: v1
kind: Pod
metadata: {name: old-1, namespace: plain, annotations: {istio.io/rev: default-v1-27-0}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old-2, namespace: plain, annotations: {istio.io/rev: default-v1-27-0}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old-3, namespace: plain, annotations: {istio.io/rev: default-v1-27-0}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: old-4, namespace: plain, annotations: {istio.io/rev: default-v1-27-0}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: follows, namespace: plain, labels: {istio.io/rev: prod}, annotations: {istio.io/rev: default-v1-28-3}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: plain, annotations: {istio.io/rev: "<b>\u001b[31m\nx"}}
spec: {containers: [{name: c, image: i}]}
---
apiVersion: v1
kind: Pod
metadata: {name: done, namespace: plain, annotations: {istio.io/rev: default-v1-26-0}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Succeeded}
---
apiVersion: v1
kind: Pod
metadata: {name: failed, namespace: plain, annotations: {istio.io/rev: default-v1-26-0}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Failed}
`

// resources are those of Lateen: a revision that webhooks have shown already, one that has none yet, an external one,
// and tags: one without anything that it points at, and one whose status says that it is still on another revision than
// it asks for.
const resources = `
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec: {version: v1.28.3, namespace: istio-system, updateStrategy: {type: RevisionBased}}
---
apiVersion: sailoperator.io/v1
kind: IstioRevision
metadata: {name: default-v1-28-3, annotations: {lateen.io/rendered-by: render-istio, lateen.io/owner: Istio/default}}
spec: {version: v1.28.3, namespace: istio-system, values: {revision: default-v1-28-3,
  global: {istioNamespace: istio-system}}}
---
apiVersion: sailoperator.io/v1
kind: IstioRevision
metadata: {name: default}
spec: {version: v1.27.0, namespace: mesh, values: {sidecarInjectorWebhook: {enableNamespacesByDefault: true},
  global: {istioNamespace: mesh}}}
---
apiVersion: sailoperator.io/v1
kind: IstioRevision
metadata: {name: outside}
spec: {version: v1.28.3, namespace: outside, values: {revision: outside, pilot: {env: {EXTERNAL_ISTIOD: "true"}},
  global: {istioNamespace: outside}}}
---
apiVersion: sailoperator.io/v1
kind: IstioRevisionTag
metadata: {name: lost}
spec: {targetRef: {kind: Istio, name: nobody}}
---
apiVersion: sailoperator.io/v1
kind: IstioRevisionTag
metadata: {name: moving}
spec: {targetRef: {kind: Istio, name: default}}
status: {istioRevision: default-v1-27-0}
---
apiVersion: sailoperator.io/v1
kind: IstioRevisionTag
metadata: {name: fresh}
spec: {targetRef: {kind: Istio, name: default}}
`

// create makes the objects of YAML documents, and gives them the status that is in them.
func (s server) create(text string) {
	s.t.Helper()
	for document := range strings.SplitSeq(text, "\n---\n") {
		o := &unstructured.Unstructured{}
		if err := sigsyaml.Unmarshal([]byte(document), &o.Object); err != nil {
			s.t.Fatal(err)
		}
		status, _, err := unstructured.NestedMap(o.Object, "status")
		if err != nil {
			s.t.Fatal(err)
		}
		if err := s.api.Create(s.t.Context(), o); err != nil {
			s.t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		if status == nil {
			continue
		}
		o.Object["status"] = status
		if err := s.api.Status().Update(s.t.Context(), o); err != nil {
			s.t.Fatalf("status of %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// run runs lateen usage as the administrator.
func (s server) run(args ...string) result {
	return call(append([]string{"usage", "--kubeconfig", s.Kubeconfig}, args...)...)
}

// context is that of the kubeconfig.
func (s server) context() string {
	config, err := clientcmd.LoadFromFile(s.Kubeconfig)
	if err != nil {
		s.t.Fatal(err)
	}
	return config.CurrentContext
}

var observedAt = regexp.MustCompile(`observedAt: "[^"]*"`)

// golden compares what lateen usage writes with a file in testdata. `make golden` rewrites these.
func (s server) golden(file string, args ...string) {
	s.t.Helper()
	got := s.run(args...)
	if got.code != exit.OK || got.stderr != "" {
		s.t.Errorf("%s: exit code %d: %s", file, got.code, got.stderr)
		return
	}
	compare(s.t, file, observedAt.ReplaceAllString(got.stdout, `observedAt: "2026-11-22T12:00:00Z"`))
}

// rights: the ClusterRole of the documentation is enough, and each of its rules is needed. Whoever lacks a right learns
// that there is no answer; nothing is written that a pipe could take for one.
func (s server) rights() {
	s.t.Helper()
	text, err := os.ReadFile("../../docs/usage.md")
	if err != nil {
		s.t.Fatal(err)
	}
	_, role, _ := strings.Cut(string(text), "```yaml\napiVersion: rbac.authorization.k8s.io/v1\n")
	role, _, found := strings.Cut("apiVersion: rbac.authorization.k8s.io/v1\n"+role, "```\n")
	if !found {
		s.t.Fatal("docs/usage.md has no ClusterRole")
	}
	s.create("apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: reader, namespace: plain}\n---\n" + role +
		"\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: reader}\n" +
		"roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: lateen-usage}\n" +
		"subjects: [{kind: ServiceAccount, name: reader, namespace: plain}]\n")
	config := s.KubeconfigFor(s.t, s.TokenFor(s.t, "plain", "reader"))
	// The API server learns of rights by a watch.
	until(s.t, func() (string, bool) {
		got := call("usage", "--kubeconfig", config)
		return got.stderr, got.code == exit.OK && got.stdout == s.run().stdout
	})

	o := &unstructured.Unstructured{}
	o.SetAPIVersion("rbac.authorization.k8s.io/v1")
	o.SetKind("ClusterRole")
	if err := s.api.Get(s.t.Context(), client.ObjectKey{Name: "lateen-usage"}, o); err != nil {
		s.t.Fatal(err)
	}
	rules, _, err := unstructured.NestedSlice(o.Object, "rules")
	if err != nil {
		s.t.Fatal(err)
	}
	o.Object["rules"] = slices.DeleteFunc(rules, func(rule any) bool { return strings.Contains(fmt.Sprint(rule), "pods") })
	if err := s.api.Update(s.t.Context(), o); err != nil {
		s.t.Fatal(err)
	}
	for _, output := range outputs {
		s.refused(config, output)
	}
	if err := s.api.Delete(s.t.Context(), o); err != nil && !apierrors.IsNotFound(err) {
		s.t.Fatal(err)
	}
}

// refused: somebody who may not list pods gets no answer in any format.
func (s server) refused(config, output string) {
	s.t.Helper()
	var got result
	until(s.t, func() (string, bool) {
		got = call("usage", "--kubeconfig", config, "-o", output, "--context", s.context())
		return got.stdout, got.code != exit.OK
	})
	if got.code != exit.Wrong || got.stdout != "" ||
		!strings.Contains(got.stderr, "nothing can be said about who uses what: listing") ||
		!strings.Contains(got.stderr, "forbidden") || !strings.Contains(got.stderr, "docs/usage.md") {
		s.t.Errorf("-o %s without the right to see pods: %+v", output, got)
	}
}

// mistakes of a person who asks.
func (s server) mistakes() {
	s.t.Helper()
	if got := s.run("--timeout", "1ns"); got.code != exit.Wrong || got.stdout != "" ||
		!strings.Contains(got.stderr, "--timeout is 1ns") {
		s.t.Errorf("a look that takes too long: %+v", got)
	}
	if got := s.run("nonsense"); got.code != exit.Wrong || got.stdout != "" ||
		!strings.Contains(got.stderr, "there is no revision or tag nonsense") {
		s.t.Errorf("a name that nothing has: %+v", got)
	}
	if got := s.run("--context", "nonsense"); got.code != exit.Wrong || got.stdout != "" ||
		!strings.Contains(got.stderr, `context "nonsense" does not exist`) {
		s.t.Errorf("a context that does not exist: %+v", got)
	}
}

// until tries until something holds; the context of the test ends it.
func until(t *testing.T, try func() (last string, ok bool)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		last, ok := try()
		if ok {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("it does not become so: %s", last)
		}
	}
}

// pack is a kpt package: it remembers what was rendered.
type pack struct {
	t     *testing.T
	items []manifest.Object
}

// render replaces the resources of the user and renders as kpt would.
func (p *pack) render(sources ...string) {
	p.t.Helper()
	list := &krm.List{}
	for _, source := range sources {
		items, err := resource.ParseDocuments([]byte(source))
		if err != nil {
			p.t.Fatal(err)
		}
		list.Items = append(list.Items, items...)
	}
	for _, o := range p.items {
		if o.Annotation(manifest.AnnotationOwner) != "" {
			list.Items = append(list.Items, o)
		}
	}
	for _, f := range []expand.Function{expand.RenderIstio, expand.RevisionTag} {
		out := f.List(list, resource.Settings{})
		if out.Findings.HasError() {
			p.t.Fatalf("%v", out.Findings)
		}
		var b bytes.Buffer
		if err := out.Write(&b); err != nil {
			p.t.Fatal(err)
		}
		var err error
		if list, err = krm.Parse(b.Bytes()); err != nil {
			p.t.Fatal(err)
		}
	}
	p.items = list.Items
}

// of are the objects of a revision, but its webhooks and its IstioRevision.
func (p *pack) of(revision string) []manifest.Object {
	var out []manifest.Object
	for _, o := range p.items {
		if o.Label(manifest.LabelRevision) == revision && o.Kind() != "MutatingWebhookConfiguration" &&
			o.Kind() != "IstioRevision" {
			out = append(out, o)
		}
	}
	return out
}

func (p *pack) revisions() []string {
	var out []string
	for _, o := range resource.Revisions(p.items, "Istio/default") {
		out = append(out, o.ID().Name)
	}
	slices.Sort(out)
	return out
}

func encode(t *testing.T, o manifest.Object) string {
	t.Helper()
	var b bytes.Buffer
	if err := o.Encode(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// compare compares a text with a file in testdata.
func compare(t *testing.T, file, got string) {
	t.Helper()
	golden := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: -want +got (if that is meant, `make golden` and review the diff):\n%s", golden, diff)
	}
}
