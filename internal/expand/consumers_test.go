package expand_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/resource"
)

// labelled is an object in the namespace app with labels and, after them, more of its YAML in flow style: "spec:
// {...}".
func labelled(apiVersion, kind, name, labels string, more ...string) string {
	return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: " + name + ", namespace: app, labels: {" +
		labels + "}}\n" +
		strings.Join(more, "\n") + "\n"
}

// theNamespace is the namespace app.
func theNamespace(labels string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: app, labels: {" + labels + "}}\n"
}

// pods is a Deployment whose Pods have the labels.
func pods(labels string) string {
	return labelled("apps/v1", "Deployment", "web", "", "spec: {template: {metadata: {labels: {"+labels+"}}}}")
}

func tagOf(name, kind, target string) string {
	return "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: " + name +
		"}\nspec: {targetRef: {kind: " + kind + ", name: " + target + "}}\n"
}

// TestUsers: who in a package asks for a revision, by the labels of namespaces and of what makes Pods. Of a name that
// the package does not have a user is told (found), and an earlier revision of the name is kept for it (held). A
// namespace that is not in the package may have labels or not: that holds a revision and is no reason for a warning.
func TestUsers(t *testing.T) {
	const (
		inject = `sidecar.istio.io/inject: "true"`
		never  = `sidecar.istio.io/inject: "false"`
		rev    = "istio.io/rev: old"
		gate   = "gateway.networking.k8s.io/v1"
	)
	noLabels := theNamespace("")
	cases := []struct {
		reason string
		name   string // of the earlier revision
		items  []string
		found  string // severity and field
		held   bool
	}{
		{"a namespace", "old", []string{theNamespace(rev)}, "warning metadata.labels.istio.io/rev", true},
		{
			"istio-injection: disabled beside it selects nothing", "old",
			[]string{theNamespace(rev + ", istio-injection: disabled")},
			"", false,
		},
		{
			"istio-injection: enabled beats it", "old",
			[]string{theNamespace(rev + ", istio-injection: enabled")},
			"warning metadata.labels.istio-injection", false,
		},
		{
			"istio-injection: enabled", "default",
			[]string{theNamespace("istio-injection: enabled")},
			"warning metadata.labels.istio-injection", true,
		},
		{
			"a tag named default takes that over", "default",
			[]string{theNamespace("istio-injection: enabled"), tagOf("default", "Istio", "mesh")},
			"", false,
		},
		{
			"a tag of another group is none", "old",
			[]string{strings.Replace(tagOf("x", "IstioRevision", "old"), "sailoperator.io", "example.com", 1)},
			"", false,
		},
		{"a tag", "old", []string{tagOf("prod", "IstioRevision", "old")}, "", true},
		{"a tag of the Istio follows the active revision", "mesh", []string{tagOf("prod", "Istio", "mesh")}, "", false},
		{"Pods", "old", []string{noLabels, pods(rev)}, "warning spec.template.metadata.labels.istio.io/rev", true},
		{"Pods that opt out", "old", []string{noLabels, pods(rev + ", " + never)}, "", false},
		{"Pods that opt out of a namespace not in the package", "old", []string{pods(rev + ", " + never)}, "", false},
		{
			"Pods in a namespace that has a label of its own", "old",
			[]string{theNamespace("istio.io/rev: mesh-v1-28-3"), pods(rev)},
			"", false,
		},
		{
			"Pods in a namespace that is switched off", "old",
			[]string{theNamespace("istio-injection: disabled"), pods(rev)},
			"", false,
		},
		{
			"Pods in a namespace that is not in the package", "old",
			[]string{pods(rev)},
			"info spec.template.metadata.labels.istio.io/rev", true,
		},
		{
			"labels by a YAML alias", "old",
			[]string{
				noLabels, labelled("apps/v1", "Deployment", "web", "",
					"spec: {selector: {matchLabels: &l {"+rev+"}}, template: {metadata: {labels: *l}}}"),
			},
			"warning spec.template.metadata.labels.istio.io/rev", true,
		},
		{
			"Pods without a name", "default",
			[]string{noLabels, pods(inject)},
			"warning spec.template.metadata.labels.sidecar.istio.io/inject", true,
		},
		{
			"Pods with a name beside it", "default",
			[]string{noLabels, pods(inject + ", istio.io/rev: mesh-v1-28-3")},
			"",
			false,
		},
		{"Pods without a name, in a namespace that is not in the package", "default", []string{pods(inject)}, "", true},
		{
			"Pods without a name, in a namespace with one", "default",
			[]string{theNamespace("istio.io/rev: mesh-v1-28-3"), pods(inject)},
			"", false,
		},
		{
			"a proxy that runs, by its annotation", "old",
			[]string{noLabels, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: app, annotations: {" + rev + "}}\n"},
			"", true,
		},
		{
			"a label of the workload itself says nothing", "old",
			[]string{noLabels, labelled("apps/v1", "Deployment", "web", rev)},
			"", false,
		},
		{
			"a StatefulSet", "old",
			[]string{
				noLabels, labelled("apps/v1", "StatefulSet", "db", "", "spec: {template: {metadata: {labels: {"+rev+"}}}}"),
			},
			"warning spec.template.metadata.labels.istio.io/rev", true,
		},
		{
			"a CronJob", "old",
			[]string{
				noLabels, labelled("batch/v1", "CronJob", "job", "",
					"spec: {jobTemplate: {spec: {template: {metadata: {labels: {"+rev+"}}}}}}"),
			},
			"warning spec.jobTemplate.spec.template.metadata.labels.istio.io/rev", true,
		},
		{
			"a Rollout of Argo", "old",
			[]string{
				noLabels, labelled("argoproj.io/v1alpha1", "Rollout", "web", "",
					"spec: {template: {metadata: {labels: {"+rev+"}}}}"),
			},
			"warning spec.template.metadata.labels.istio.io/rev", true,
		},
		{"a Pod", "old", []string{noLabels, labelled("v1", "Pod", "p", rev)}, "warning metadata.labels.istio.io/rev", true},
		{
			"something unknown with a Pod template", "old",
			[]string{
				noLabels, labelled("serving.knative.dev/v1", "Service", "s", "",
					"spec: {template: {metadata: {labels: {"+rev+"}}}}"),
			},
			"", true,
		},
		{
			"something unknown with Pods without a name", "default",
			[]string{
				noLabels, labelled("serving.knative.dev/v1", "Service", "s", "",
					"spec: {template: {metadata: {labels: {"+inject+"}}}}"),
			},
			"", true,
		},
		{
			"Istio configuration for one revision", "old",
			[]string{labelled("networking.istio.io/v1", "Sidecar", "s", rev)},
			"",
			true,
		},
		{
			"a Gateway", "old",
			[]string{noLabels, labelled(gate, "Gateway", "g", rev, "spec: {gatewayClassName: istio}")},
			"warning metadata.labels.istio.io/rev", true,
		},
		{
			"a Gateway in a namespace with a name", "old",
			[]string{
				theNamespace(rev + ", istio-injection: disabled"),
				labelled(gate, "Gateway", "g", "", "spec: {gatewayClassName: istio}"),
			},
			"", true,
		},
		{
			"a Gateway without a name", "default",
			[]string{noLabels, labelled(gate, "Gateway", "g", "", "spec: {gatewayClassName: istio-waypoint}")},
			"", true,
		},
		{
			"a Gateway without a name is not the named one's", "old",
			[]string{noLabels, labelled(gate, "Gateway", "g", "", "spec: {gatewayClassName: istio}")},
			"", false,
		},
		{
			"a Gateway of somebody else", "default",
			[]string{noLabels, labelled(gate, "Gateway", "g", "", "spec: {gatewayClassName: nginx}")},
			"", false,
		},
	}
	const file = "annotations: {lateen.io/rendered-by: render-istio, lateen.io/crds: exclude, " +
		"internal.config.kubernetes.io/path: mesh.yaml}"
	mesh := istio("mesh", "{version: v1.28.3, updateStrategy: {type: RevisionBased}}", file)
	for _, c := range cases {
		t.Run(c.reason, func(t *testing.T) {
			out := expand.RenderIstio.List(read(t, resourceList("", append([]string{mesh}, c.items...)...)), resource.Settings{})
			var found []string
			for _, r := range out.Findings {
				if r.Severity == finding.Error {
					t.Fatal(out.Findings)
				}
				found = append(found, string(r.Severity)+" "+r.Field)
			}
			if diff := cmp.Diff(c.found, strings.Join(found, ", ")); diff != "" {
				t.Errorf("found: -want +got:\n%s", diff)
			}
			earlier := "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: " + c.name +
				", annotations: {lateen.io/owner: Istio/mesh, lateen.io/version: v1.27.0}}\n"
			report := "apiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata: {name: west, " + local +
				"}\nspec: {observedAt: '2026-11-22T12:00:00Z', " +
				"revisions: [{name: " + c.name + ", inUse: 'False'}, {name: mesh-v1-28-3, inUse: 'True'}]}\n"
			active := "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: mesh-v1-28-3, " +
				"annotations: {lateen.io/owner: Istio/mesh, lateen.io/activation: '2'}}\n"
			out = expand.RenderIstio.List(read(t,
				resourceList("", append([]string{mesh, earlier, active, report}, c.items...)...)), resource.Settings{})
			for _, r := range out.Findings {
				if r.Severity == finding.Error {
					t.Fatal(out.Findings)
				}
				if r.Ref == (finding.Ref{}) || r.Ref.Name != c.name || r.Ref.Kind != "IstioRevision" {
					continue
				}
				switch kept := strings.HasPrefix(r.Message, "kept: "); {
				case kept != c.held:
					t.Errorf("held is %v, want %v: %s", kept, c.held, r.Message)
				case !kept && !strings.HasPrefix(r.Message, "released: "):
					continue
				}
				return
			}
			t.Errorf("nothing is said about the revision: %v", out.Findings)
		})
	}
}

// TestWithoutNames: Jobs need not have names, and each is told where it stands itself.
func TestWithoutNames(t *testing.T) {
	job := func(file, rev string) string {
		return "apiVersion: batch/v1\nkind: Job\nmetadata: {generateName: a-, namespace: app, annotations: {" +
			"internal.config.kubernetes.io/path: " + file + "}}\nspec: {template: {metadata: {labels: {istio.io/rev: " + rev +
			"}}}}\n"
	}
	out := expand.RenderIstio.List(read(t, resourceList("", istio("default", "{version: v1.28.3}", inFile("i.yaml")),
		job("one.yaml", "gone1"), job("two.yaml", "gone2"), theNamespace(""))), resource.Settings{})
	got := map[string]string{}
	for _, f := range out.Findings {
		if f.Ref.Kind == "Job" {
			got[f.File], _, _ = strings.Cut(f.Message, " is ")
		}
	}
	want := map[string]string{"one.yaml": "istio.io/rev: gone1", "two.yaml": "istio.io/rev: gone2"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
