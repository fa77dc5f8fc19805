package expand_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestTagTwice: a revision tag is brought by one resource.
func TestTagTwice(t *testing.T) {
	mesh := func(name, more string) string {
		return istio(name, "{version: v1.28.3, namespace: "+name+", values: {"+more+
			"meshConfig: {discoverySelectors: [{matchLabels: {mesh: "+name+"}}]}}}", local)
	}
	tag := "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: stable, " + local +
		"}\nspec: {targetRef: {kind: Istio, name: a}}\n"
	const stable = "revisionTags: [stable], "
	const both = ", stable: namespaces with the label istio.io/rev=stable would be injected by both; remove " +
		"one of the two"
	for _, c := range []struct {
		reason   string
		function expand.Function
		items    []string
		want     []string
	}{
		{"on one control plane", expand.RenderIstio, []string{mesh("a", stable), mesh("b", "")}, nil},
		{"on two, in two namespaces", expand.RenderIstio, []string{mesh("a", stable), mesh("b", stable)}, []string{
			"Istio/a: spec.values.revisionTags of Istio/a and spec.values.revisionTags of Istio/b are the same " +
				"revision tag" + both,
			"Istio/b: spec.values.revisionTags of Istio/b and spec.values.revisionTags of Istio/a are the same " +
				"revision tag" + both,
		}},
		{"beside an IstioRevisionTag", expand.RenderIstio, []string{mesh("a", ""), mesh("b", stable), tag}, []string{
			"Istio/b: spec.values.revisionTags of Istio/b and IstioRevisionTag/stable are the same revision tag" + both,
		}},
		{"seen by the function for tags", expand.RevisionTag, []string{mesh("a", ""), mesh("b", stable), tag}, []string{
			"IstioRevisionTag/stable: IstioRevisionTag/stable and spec.values.revisionTags of Istio/b are the same " +
				"revision tag" + both,
		}},
		{"with the name of a revision", expand.RenderIstio, []string{mesh("a", "revisionTags: [a], ")}, []string{
			"Istio/a: spec.values.revisionTags: a revision has the name of the tag, a: workloads with the label " +
				"istio.io/rev=a would be injected twice; rename the tag",
		}},
	} {
		out := c.function.List(read(t, resourceList("", c.items...)), resource.Settings{})
		var got []string
		for _, r := range out.Findings {
			got = append(got, r.Ref.Kind+"/"+r.Ref.Name+": "+r.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestValueTagsMove: in a package that remembers, the tags of an Istio's values go to the active revision, whatever
// objects its version has for them.
func TestValueTagsMove(t *testing.T) {
	mesh := func(version, tags string) string {
		return itemText("Istio", "mesh", "{version: "+version+", updateStrategy: {type: RevisionBased}, values: {"+tags+
			"}}", "istio.yaml", true)
	}
	const tags = "revisionTags: [stable]"
	for _, c := range []struct {
		reason   string
		from, to string
		after    string
		want     map[string]string // revisions of the objects of the tag
	}{
		{
			"to a version with the same objects", "v1.26.0", "v1.27.0", tags,
			map[string]string{"MutatingWebhookConfiguration": "mesh-v1-27-0"},
		},
		{
			"to a version with more", "v1.27.0", "v1.28.3", tags,
			map[string]string{"MutatingWebhookConfiguration": "mesh-v1-28-3", "Service": "mesh-v1-28-3"},
		},
		{
			"to a version with less", "v1.28.3", "v1.27.0", tags,
			map[string]string{"MutatingWebhookConfiguration": "mesh-v1-27-0"},
		},
		{
			"without the tag: it stays where it is", "v1.28.3", "v1.27.0", "",
			map[string]string{"MutatingWebhookConfiguration": "mesh-v1-28-3", "Service": "mesh-v1-28-3"},
		},
	} {
		in := read(t, resourceList("", mesh(c.from, tags)))
		first := read(t, write(t, &krm.List{Items: expand.RenderIstio.List(in, resource.Settings{}).Items}))
		items := read(t, resourceList("", mesh(c.to, c.after))).Items
		for _, o := range first.Items {
			if o.Kind() != "Istio" {
				items = append(items, o)
			}
		}
		out := expand.RenderIstio.List(&krm.List{Items: items}, resource.Settings{})
		if out.Findings.HasError() {
			t.Fatalf("%s: %v", c.reason, out.Findings)
		}
		got := map[string]string{}
		for _, o := range out.Items {
			if o.Label("istio.io/tag") == "stable" {
				got[o.Kind()] = o.Label(manifest.LabelRevision)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestUnprotectedNamespace: what is protected is no use without its namespace, and does harm.
func TestUnprotectedNamespace(t *testing.T) {
	namespace := func(name, annotations string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + ", annotations: {" + annotations + "}}\n"
	}
	based := istio("mesh", "{version: v1.28.3, updateStrategy: {type: RevisionBased}}")
	for _, c := range []struct {
		reason string
		items  []string
		want   []string
	}{
		{"RevisionBased, and a bare Namespace", []string{namespace("istio-system", ""), based}, []string{
			"Namespace/istio-system: when it leaves the output, a GitOps tool deletes it, and istiod with it, while " +
				"the webhooks of IstioRevision/mesh-v1-28-3 (Istio/mesh) ask not to be pruned: they stay, and refuse " +
				"pods. Add the annotations argocd.argoproj.io/sync-options: Prune=false and " +
				"kustomize.toolkit.fluxcd.io/prune: disabled, or leave the Namespace to another package",
		}},
		{
			"protected from Argo CD",
			[]string{
				namespace("istio-system", "argocd.argoproj.io/sync-options: 'ServerSideApply=true, Prune=false'"),
				based,
			},
			nil,
		},
		{"protected from Flux", []string{
			namespace("istio-system", "kustomize.toolkit.fluxcd.io/prune: disabled"),
			based,
		}, nil},
		{"another Namespace", []string{namespace("bookinfo", ""), based}, nil},
		{
			"about to be taken down",
			[]string{namespace("istio-system", ""), istio("mesh",
				"{version: v1.28.3, updateStrategy: {type: RevisionBased}}",
				"annotations: {lateen.io/protect: teardown}")},
			[]string{"Istio/mesh: option protect is teardown: GitOps tools prune the objects as soon as they are no " +
				"longer rendered. That is the step before a mesh is taken down; take it away before an upgrade, " +
				"which would cost the old revision and its proxies"},
		},
		{"InPlace", []string{namespace("istio-system", ""), istio("mesh", "{version: v1.28.3}")}, nil},
	} {
		out := expand.RenderIstio.List(read(t, resourceList("", c.items...)), resource.Settings{})
		var got []string
		for _, r := range out.Findings {
			got = append(got, r.Ref.Kind+"/"+r.Ref.Name+": "+r.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
