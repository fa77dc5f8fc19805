package expand_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

const skipComment = "# +argocd:skip-file-rendering\n"

// itemText is one resource of sailoperator.io in a file of a package.
func itemText(kind, name, spec, path string, localConfig bool) string {
	annotations := "internal.config.kubernetes.io/path: " + path
	if localConfig {
		annotations += ", config.kubernetes.io/local-config: 'true'"
	}
	return "apiVersion: sailoperator.io/v1\nkind: " + kind + "\nmetadata: {name: " + name + ", annotations: {" +
		annotations + "}}\nspec: " + spec + "\n"
}

// TestArgoCDComment is about resources that stay in Git, and Argo CD, which knows of that by a comment on the file
// only.
func TestArgoCDComment(t *testing.T) {
	const (
		ask = "info: Argo CD does not know config.kubernetes.io/local-config and would apply it: write the comment # " +
			"+argocd:skip-file-rendering on the line above apiVersion, in a file with nothing else that Argo " +
			"CD is to apply"
		lost = "warning: Argo CD leaves it out, because of the comment +argocd:skip-file-rendering, and kpt and Flux " +
			"apply it: remove the comment, or add " +
			`the annotation config.kubernetes.io/local-config: "true"`
		more = "warning: its comment +argocd:skip-file-rendering makes Argo CD leave out the whole file, with the " +
			"Namespace istio-system in it: move that to another file"
		marked = "info: got the annotation lateen.io/rendered-by: %s, because it is applied with the rest, and a " +
			"controller in the cluster would render it a second time"
	)
	mesh := itemText("Istio", "mesh", "{}", "istio.yaml", true)
	report := "apiVersion: lateen.io/v1alpha1\nkind: UsageReport\n" +
		"metadata: {name: west, annotations: {config.kubernetes.io/local-config: 'true', " +
		"internal.config.kubernetes.io/path: west.yaml}}\n" +
		"spec: {observedAt: '2026-11-22T12:00:00Z', revisions: [{name: mesh, inUse: 'True'}]}\n"
	namespace := func(path string) string {
		return "apiVersion: v1\nkind: Namespace\n" +
			"metadata: {name: istio-system, annotations: {internal.config.kubernetes.io/path: " + path + "}}\n"
	}
	for _, c := range []struct {
		reason   string
		function expand.Function
		items    []string
		want     []string
	}{
		{"asked for where it is missing", expand.RenderIstio, []string{mesh}, []string{ask}},
		{"there", expand.RenderIstio, []string{skipComment + mesh, namespace("namespaces.yaml")}, nil},
		{
			"among other comments", expand.RenderIstio,
			[]string{"# ours\n" + skipComment + "# until spring\n" + mesh},
			nil,
		},
		{"on another resource of the file", expand.RevisionTag, []string{
			skipComment + mesh, itemText("IstioRevisionTag", "prod", "{targetRef: {kind: Istio, name: mesh}}",
				"istio.yaml", true),
		}, nil},
		{
			"with a resource that is to be applied", expand.RenderIstio,
			[]string{skipComment + mesh, namespace("istio.yaml")},
			[]string{more},
		},
		{
			"on a resource that is to be applied", expand.RenderIstio,
			[]string{skipComment + itemText("Istio", "mesh", "{}", "istio.yaml", false)},
			[]string{
				lost, fmt.Sprintf(marked, "render-istio"),
			},
		},
		{"of an IstioRevision", expand.RenderIstio, []string{
			itemText("IstioRevision", "canary", "{version: v1.28.3, namespace: a, values: {revision: canary, global: "+
				"{istioNamespace: a}}}", "canary.yaml", true),
		}, []string{ask}},
		{"of a usage report", expand.RenderIstio, []string{skipComment + mesh, report}, []string{ask}},
		{
			"of a usage report, which has it", expand.RenderIstio,
			[]string{skipComment + mesh, skipComment + report},
			nil,
		},
		{"of a tag, by the function for tags", expand.RevisionTag, []string{
			mesh, itemText("IstioRevisionTag", "prod", "{targetRef: {kind: Istio, name: mesh}}", "tag.yaml", true),
		}, []string{ask}},
		{
			"of the CNI plugin, by its function", expand.RenderCNI,
			[]string{itemText("IstioCNI", "default", "{}", "cni.yaml", true)},
			[]string{ask},
		},
	} {
		out := c.function.List(read(t, resourceList("", c.items...)), resource.Settings{})
		var got []string
		for _, r := range out.Findings {
			got = append(got, string(r.Severity)+": "+r.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestArgoCDRevisions is about the IstioRevisions of a package that remembers: who releases them is on each, and those
// that stay in Git keep Argo CD from applying them.
func TestArgoCDRevisions(t *testing.T) {
	type says struct {
		ReleasedBy string
		Skipped    bool
	}
	mesh := func(version string, localConfig bool) string {
		return skipComment + itemText("Istio", "mesh", "{version: "+version+", updateStrategy: {type: RevisionBased}}",
			"istio.yaml", localConfig)
	}
	// forget makes of a rendering what an older Lateen wrote.
	forget := func(text string) string {
		return strings.ReplaceAll(strings.ReplaceAll(text, "lateen.io/released-by: package", "example.com/team: mesh"),
			"+argocd:skip-file-rendering", "")
	}
	for _, c := range []struct {
		reason      string
		localConfig bool
		between     func(string) string
	}{
		{"in Git", true, nil},
		{"in Git, with a revision of an older Lateen", true, forget},
		{"applied", false, nil},
		{"applied, with a revision of an older Lateen", false, forget},
	} {
		first := write(t, expand.RenderIstio.List(read(t, resourceList("", mesh("v1.27.0", c.localConfig))),
			resource.Settings{}))
		if c.between != nil {
			first = c.between(first)
		}
		list := read(t, strings.Replace(first, "version: v1.27.0, updateStrategy", "version: v1.28.3, updateStrategy",
			1))
		out := read(t, write(t, expand.RenderIstio.List(list, resource.Settings{})))
		got := map[string]says{}
		for _, o := range out.Items {
			if o.Kind() == "IstioRevision" {
				got[o.ID().Name] = says{
					o.Annotation(manifest.AnnotationReleasedBy),
					o.HasComment(manifest.CommentArgoSkip),
				}
			}
		}
		want := map[string]says{"mesh-v1-27-0": {"package", c.localConfig}, "mesh-v1-28-3": {"package", c.localConfig}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
