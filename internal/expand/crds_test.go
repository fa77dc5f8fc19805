package expand_test

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

const oneMore = "gadgets.extensions.istio.io"

// broughtCRD makes a directory with charts of made-up versions that have one CRD more than the bundled ones.
func broughtCRD(t *testing.T, versions ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, version := range versions {
		if err := os.CopyFS(dir, os.DirFS(brought(t, version))); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"files", "crds"} {
			file := filepath.Join(dir, version, "base", name, "crd-all.gen.yaml")
			text, err := os.ReadFile(file)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			more := "\n---\napiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\nmetadata:\n  name: " +
				oneMore + "\nspec:\n  group: extensions.istio.io\n  names: {kind: Gadget, plural: gadgets}\n"
			if err := os.WriteFile(file,
				append([]byte(strings.TrimSuffix(strings.TrimRight(string(text), "\n"), "---")), more...),
				0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// TestCRDsStay: a CRD leaves a package that remembers with the last revision whose version has it.
func TestCRDsStay(t *testing.T) { //nolint:cyclop // a table and its harness
	charts := resource.Settings{resource.OptionCharts: broughtCRD(t, "1.30.0", "1.31.0")}
	mesh := func(name, version, more string) string {
		return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: " + name +
			", annotations: {config.kubernetes.io/local-config: 'true', " +
			"internal.config.kubernetes.io/path: " + name + ".yaml" + more + "}}\nspec: {version: " + version +
			", namespace: " + name +
			", updateStrategy: {type: RevisionBased}}\n"
	}
	const include, exclude = ", lateen.io/crds: include", ", lateen.io/crds: exclude"
	for _, c := range []struct {
		reason string
		steps  [][]string // the Istios of each step
		// drop is the IstioRevision that somebody removes before the last step.
		drop    string
		options resource.Settings
		more    bool   // whether the package has the one CRD that only 1.30 and 1.31 have
		version string // of the others; empty if they are not there
	}{
		{
			"an older version becomes the active one",
			[][]string{{mesh("a", "v1.30.0", include)}, {mesh("a", "v1.28.3", include)}},
			"", charts, true, "v1.30.0",
		},
		{
			"the last revision that has it goes",
			[][]string{
				{mesh("a", "v1.30.0", include)}, {mesh("a", "v1.28.3", include)}, {mesh("a", "v1.28.3", include)},
			},
			"a-v1-30-0", charts, false, "v1.28.3",
		},
		{
			"one of two that have it goes", [][]string{
				{mesh("a", "v1.30.0", include)},
				{mesh("a", "v1.31.0", include)},
				{mesh("a", "v1.28.3", include)},
				{mesh("a", "v1.28.3", include)},
			}, "a-v1-31-0", charts, true, "v1.31.0",
		},
		{
			"the charts of the old version are gone",
			[][]string{{mesh("a", "v1.30.0", include)}, {mesh("a", "v1.28.3", include)}},
			"",
			resource.Settings{},
			true,
			"v1.30.0",
		},
		{
			"another Istio needs it",
			[][]string{{mesh("a", "v1.28.3", include), mesh("b", "v1.30.0", "")}},
			"", charts,
			true, "v1.30.0",
		},
		{
			"who asked for them leaves, and another stays",
			[][]string{{mesh("a", "v1.28.3", include), mesh("b", "v1.28.3", "")}, {mesh("b", "v1.28.3", "")}},
			"",
			charts, false, "v1.28.3",
		},
		{
			"nobody asks any more",
			[][]string{{mesh("a", "v1.28.3", include)}, {mesh("a", "v1.28.3", exclude)}},
			"",
			charts, false, "",
		},
	} {
		options := charts
		var generated []manifest.Object
		for i, sources := range c.steps {
			if i == len(c.steps)-1 {
				options = c.options.Over(resource.Settings{resource.OptionAllowRemoval: "Istio/a"})
			}
			in := read(t, resourceList("", sources...))
			for _, o := range generated {
				if i < len(c.steps)-1 || c.drop == "" || o.Kind() != "IstioRevision" || o.ID().Name != c.drop {
					in.Items = append(in.Items, o)
				}
			}
			out := expand.RenderIstio.List(in, options)
			if out.Findings.HasError() {
				t.Fatalf("%s: %v", c.reason, out.Findings)
			}
			if generated = nil; len(names(out, "Istio")) != len(sources) {
				t.Fatalf("%s: %d Istios", c.reason, len(names(out, "Istio")))
			}
			for _, o := range read(t, write(t, &krm.List{Items: out.Items})).Items {
				if o.Kind() != "Istio" {
					generated = append(generated, o)
				}
			}
		}
		var got []string
		for _, o := range generated {
			if o.Kind() != "CustomResourceDefinition" {
				continue
			}
			got = append(got, o.ID().Name)
			if v := o.Annotation(manifest.AnnotationVersion); o.ID().Name != oneMore && v != c.version {
				t.Errorf("%s: %s is of %s, want %s", c.reason, o.ID().Name, v, c.version)
			}
		}
		slices.Sort(got)
		var want []string
		if c.version != "" {
			want = crdsOf(t)
		}
		if c.more {
			want = append(want, oneMore)
		}
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestCRDsUndecided: resources of Istio need a decision where their CRDs come from.
func TestCRDsUndecided(t *testing.T) {
	policy := "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n" +
		"metadata: {name: default, namespace: istio-system}\n"
	gateway := "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: a, namespace: istio-system}\n"
	const says = "warning: the package has resources of %s, and nothing says where Istio's CRDs come from: set " +
		"lateen.io/crds: include to render them, or exclude if the cluster has them from somewhere else"
	with := func(option string) string {
		return istio("mesh", "{}", "annotations: {config.kubernetes.io/local-config: 'true', lateen.io/crds: "+option+
			"}")
	}
	for _, c := range []struct {
		reason string
		items  []string
		config string
		want   []string
	}{
		{
			"nobody has decided",
			[]string{istio("mesh", "{}", local), policy},
			"",
			[]string{strings.Replace(says, "%s", "security.istio.io", 1)},
		},
		{"all groups are named, once", []string{istio("mesh", "{}", local), policy, gateway}, "", []string{
			strings.Replace(says, "%s", "networking.istio.io and security.istio.io", 1),
		}},
		{"they are rendered", []string{with("include"), policy}, "", nil},
		{"they come from somewhere else", []string{with("exclude"), policy}, "", nil},
		{
			"which the whole package says",
			[]string{istio("mesh", "{}", local), policy},
			configMap + "data: {crds: exclude}\n", nil,
		},
		{"the package has them", []string{
			istio("mesh", "{}", local), policy,
			"apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n" +
				"metadata: {name: peerauthentications.security.istio.io}\n",
		}, "", nil},
		{"there are none", []string{
			istio("mesh", "{}", local),
			"apiVersion: v1\nkind: Namespace\nmetadata: {name: istio-system}\n",
		}, "", nil},
		{"they are not applied", []string{
			istio("mesh", "{}", local),
			strings.Replace(policy, "namespace: istio-system}", "namespace: a, "+local+"}", 1),
		}, "", nil},
	} {
		out := expand.RenderIstio.List(read(t, resourceList(c.config, c.items...)), resource.Settings{})
		var got []string
		for _, r := range out.Findings {
			got = append(got, string(r.Severity)+": "+r.Message)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestCRDsLeave: who asks for Istio's CRDs and gets fewer than before hears why, and what is in the package of their
// kinds.
func TestCRDsLeave(t *testing.T) {
	charts := resource.Settings{resource.OptionCharts: broughtCRD(t, "1.30.0")}
	const gadget = "apiVersion: extensions.istio.io/v1\nkind: Gadget\nmetadata: {name: a, namespace: app, annotations: " +
		"{internal.config.kubernetes.io/path: gadget.yaml}}\n"
	mesh := func(version, crds string) string {
		return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: default, annotations: " +
			"{config.kubernetes.io/local-config: 'true', internal.config.kubernetes.io/path: istio.yaml, lateen.io/crds: " +
			crds + "}}\nspec: {version: " + version + ", namespace: istio-system}\n"
	}
	const deleted = " Argo CD and Flux leave them in the cluster; who prunes by other means (kpt live apply, kubectl " +
		"apply --prune) deletes them, and with them every resource of their kinds."
	all := strconv.Itoa(len(crdsOf(t)) + 1)
	for _, c := range []struct {
		reason, crds string
		more         []string
		want         string
	}{
		{
			"the version has one less", "include", nil, "1 of Istio's CRDs leave the package, since no version of Istio in " +
				"it has them any more: " + oneMore + "." + deleted +
				" To keep one, put its file back without the annotation lateen.io/owner",
		},
		{
			"which the package has a resource of", "include",
			[]string{gadget},
			"1 of Istio's CRDs leave the package, since no " +
				"version of Istio in it has them any more: " + oneMore + "." + deleted + " To keep one, put its file back " +
				"without the annotation lateen.io/owner; the package has Gadget app/a (extensions.istio.io)",
		},
		{
			"nobody asks", "exclude", []string{gadget}, all + " of Istio's CRDs leave the package." + deleted +
				" To keep them, set lateen.io/crds: include; the package has Gadget app/a (extensions.istio.io)",
		},
	} {
		in := read(t, resourceList("", append(c.more, mesh("v1.30.0", "include"))...))
		before := expand.RenderIstio.List(in, charts)
		next := read(t, resourceList("", append(c.more, mesh("v1.28.3", c.crds))...))
		for _, o := range read(t, write(t, &krm.List{Items: before.Items})).Items {
			if o.Annotation(manifest.AnnotationOwner) != "" {
				next.Items = append(next.Items, o)
			}
		}
		var got []string
		for _, r := range expand.RenderIstio.List(next, charts).Findings {
			if strings.Contains(r.Message, "CRDs leave") || r.Severity == "error" {
				got = append(got, string(r.Severity)+": "+r.Message)
			}
		}
		if diff := cmp.Diff([]string{"warning: " + c.want}, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
