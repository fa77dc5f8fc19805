package expand_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// brought makes a directory with the charts of v1.26.0 under another version.
func brought(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, chart := range []string{"istiod", "base"} {
		to := filepath.Join(dir, version, chart)
		if err := os.CopyFS(to, os.DirFS(filepath.Join("../release/bundles/v1.26.0", chart))); err != nil {
			t.Fatal(err)
		}
		root, err := os.OpenRoot(to)
		if err != nil {
			t.Fatal(err)
		}
		text, err := root.ReadFile("Chart.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := root.WriteFile("Chart.yaml", []byte(strings.ReplaceAll(string(text), "1.26.0", version)+"# changed\n"),
			0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// showOptions lets a template for tags write what it is told.
func showOptions(t *testing.T, template string) {
	t.Helper()
	file, err := os.OpenFile(template, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = file.WriteString("\n{{- range $tag := .Values.revisionTags }}\n---\napiVersion: v1\n" +
		"kind: ConfigMap\nmetadata: {name: seen, namespace: x}\n" +
		"data: {kube: {{ $.Capabilities.KubeVersion.Version | quote }}, platform: {{ $.Values.global.platform | quote " +
		"}}}\n{{- end }}\n")
	if err := errors.Join(err, file.Close()); err != nil {
		t.Fatal(err)
	}
}

// pipeline runs render-istio and revision-tag on a package, each with options of its own, and returns the result of the
// second.
func pipeline(t *testing.T, text string, istio, tag resource.Settings) *krm.List {
	t.Helper()
	out := expand.RenderIstio.List(read(t, text), istio)
	if out.Findings.HasError() {
		t.Fatal(out.Findings)
	}
	return expand.RevisionTag.List(read(t, write(t, &krm.List{Items: out.Items})), tag)
}

// hooks are the objects of a tag as text.
func hooks(t *testing.T, l *krm.List) string {
	t.Helper()
	var items []manifest.Object
	for _, o := range l.Items {
		if o.Label(manifest.LabelTag) != "" {
			items = append(items, o)
		}
	}
	if len(items) == 0 {
		t.Fatalf("the package has nothing of the tag: %v", l.Findings)
	}
	return write(t, &krm.List{Items: items})
}

// edited is a package with one text in it replaced by another.
func edited(t *testing.T, l *krm.List, from, to string) string {
	t.Helper()
	text := write(t, &krm.List{Items: l.Items})
	if !strings.Contains(text, from) {
		t.Fatalf("the package does not contain %q", from)
	}
	return strings.ReplaceAll(text, from, to)
}

// TestTagOptions: the options that render-istio has from its own configuration are on record in the package; a tag is
// rendered with the same, or the user is told why not.
func TestTagOptions(t *testing.T) {
	const based = ", updateStrategy: {type: RevisionBased}}"
	tagFile := tagOf("prod", "Istio", "mesh") + ""
	tagFile = strings.Replace(tagFile, "{name: prod}", "{name: prod, "+inFile("tag.yaml")+"}", 1)

	t.Run("Kubernetes version and platform", func(t *testing.T) {
		charts := brought(t, "1.26.9")
		showOptions(t, filepath.Join(charts, "1.26.9/istiod/templates/revision-tags.yaml"))
		text := resourceList("", istio("mesh", "{version: v1.26.9}", inFile("mesh.yaml")), tagFile)
		options := resource.Settings{"charts": charts, "kube-version": "v1.30.1", "platform": "openshift"}
		both := hooks(t, pipeline(t, text, options, options))
		if !strings.Contains(both, "v1.30.1") || !strings.Contains(both, "openshift") {
			t.Fatalf("the template does not show the options:\n%s", both)
		}
		if diff := cmp.Diff(both, hooks(t, pipeline(t, text, options, resource.Settings{"charts": charts}))); diff != "" {
			t.Errorf("-options for both +only for render-istio:\n%s", diff)
		}
		own := hooks(t, pipeline(t, text, options, resource.Settings{"charts": charts, "kube-version": "v1.31.2"}))
		if !strings.Contains(own, "v1.31.2") {
			t.Errorf("an option of the tag's own does not win:\n%s", own)
		}
	})

	t.Run("charts that the tag does not have", func(t *testing.T) {
		text := resourceList("", istio("mesh", "{version: v1.26.9}", inFile("mesh.yaml")), tagFile)
		charts := resource.Settings{"charts": brought(t, "1.26.9")}
		if out := pipeline(t, text, charts, charts); !strings.Contains(hooks(t, out), "istiod-mesh") {
			t.Error("with the charts, nothing is rendered")
		}
		out := pipeline(t, text, charts, resource.Settings{})
		if !out.Findings.HasError() ||
			!strings.Contains(out.Findings[0].Message, "Istio/mesh cannot be rendered: Istio v1.26.9 is not bundled") ||
			!strings.HasSuffix(out.Findings[0].Message, ". If render-istio has the option charts, give revision-tag the same") {
			t.Errorf("got %v", out.Findings)
		}
	})

	t.Run("other charts of the same version", func(t *testing.T) {
		text := resourceList("", istio("mesh", "{version: v1.26.0}", inFile("mesh.yaml")), tagFile)
		out := pipeline(t, text, resource.Settings{"charts": brought(t, "1.26.0")}, resource.Settings{})
		want := []found{{
			"warning", "prod", "spec.targetRef.name", "tag.yaml",
			"spec.targetRef: Istio/mesh was rendered with other charts of Istio v1.26.0 than those " +
				"that the tag gets: give revision-tag the same option charts as render-istio",
		}}
		if diff := cmp.Diff(want, short(out.Findings)); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})

	t.Run("an earlier revision whose charts are gone", func(t *testing.T) {
		charts := resource.Settings{"charts": brought(t, "1.26.9")}
		pinned := strings.Replace(tagFile, "{kind: Istio, name: mesh}", "{kind: IstioRevision, name: mesh-v1-26-9}", 1)
		first := pipeline(t, resourceList("", istio("mesh", "{version: v1.26.9"+based, inFile("mesh.yaml")), pinned), charts,
			charts)
		out := pipeline(t, edited(t, first, "{version: v1.26.9, ", "{version: v1.28.3, "), resource.Settings{},
			resource.Settings{})
		if len(out.Findings) != 1 || out.Findings[0].Severity != finding.Warning ||
			!strings.HasPrefix(out.Findings[0].Message,
				"spec.targetRef: the objects of the tag stay as they are, because IstioRevision/mesh-v1-26-9 cannot be rendered") {
			t.Errorf("got %v", short(out.Findings))
		}
		if diff := cmp.Diff(hooks(t, first), hooks(t, out)); diff != "" {
			t.Errorf("-before +after:\n%s", diff)
		}
	})

	t.Run("an earlier revision by an alias", func(t *testing.T) {
		alias := strings.Replace(tagFile, "{kind: Istio, name: mesh}", "{kind: IstioRevision, name: mesh-v1-26-latest}", 1)
		first := pipeline(t, resourceList("", istio("mesh", "{version: v1.26-latest"+based, inFile("mesh.yaml")), alias),
			resource.Settings{}, resource.Settings{})
		newer := resource.Settings{"charts": brought(t, "1.26.9")}
		out := pipeline(t, edited(t, first, "{version: v1.26-latest, ", "{version: v1.28.3, "), newer, newer)
		if diff := cmp.Diff(hooks(t, first), hooks(t, out)); diff != "" {
			t.Errorf("the alias means something newer now, the revision does not: -before +after:\n%s", diff)
		}
	})

	t.Run("an Istio that a generator has expanded", func(t *testing.T) {
		generated := expand.RenderIstio.List(read(t, resourceList(istio("mesh", "{version: v1.28.3}"))), resource.Settings{})
		in := *generated
		in.Items = append(in.Items, read(t, resourceList("", tagOf("prod", "Istio", "mesh"))).Items...)
		out := expand.RevisionTag.List(&in, resource.Settings{})
		want := "spec.targetRef: Istio/mesh is not in the package; there are: none. There are objects of Istio/mesh, which " +
			"a generator has expanded and does not " +
			`pass on: list it among the resources, with config.kubernetes.io/local-config: "true", and render-istio as a ` +
			`transformer`
		if len(out.Findings) != 1 || out.Findings[0].Message != want {
			t.Errorf("got %v, want %s", short(out.Findings), want)
		}
	})
}

// TestSkewUnknown: of a version without a number nobody can say what it goes with.
func TestSkewUnknown(t *testing.T) {
	cni := "apiVersion: sailoperator.io/v1\nkind: IstioCNI\nmetadata: {name: default}\nspec: {version: v1.28.3}\n"
	out := expand.RenderCNI.List(read(t, resourceList("", istio("default", "{version: master}"), cni)),
		resource.Settings{"charts": brought(t, "master")})
	want := []found{
		{
			"info", "default", "spec.version", "",
			"spec.version: whether the CNI plugin of Istio v1.28.3 works with Istio/default of Istio master cannot be told " +
				"from the versions",
		},
	}
	if diff := cmp.Diff(want, short(out.Findings)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
