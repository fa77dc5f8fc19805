package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// brought makes a directory with the charts of v1.26.0 under another version. kpt does not read it: it is outside of
// the package.
func brought(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, chart := range []string{"istiod", "base", "cni"} {
		to := filepath.Join(dir, version, chart)
		if err := os.CopyFS(to, os.DirFS(filepath.Join(root, "internal/release/bundles/v1.26.0", chart))); err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(to, "Chart.yaml"), "version: 1.26.0\n",
			"version: "+strings.ReplaceAll(version, "master", "1.30.0-alpha.1")+"\n# changed\n")
	}
	return dir
}

// withCharts is a Kptfile whose functions get the option charts, as far as they are named.
func withCharts(dir string, functions ...string) string {
	text := allFunctions
	for _, f := range functions {
		text = strings.Replace(text, "exec: "+f+"\n", "exec: "+f+"\n    configMap:\n      charts: "+dir+"\n", 1)
	}
	return text
}

// TestTagCharts: a tag needs the charts of its target, which a directory given to render-istio alone does not provide.
func TestTagCharts(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.26.9", "RevisionBased")))
	charts := brought(t, "1.26.9")
	write(t, r.path("tag.yaml"), tag("prod", "IstioRevision", "default-v1-26-9"))
	write(t, r.path("Kptfile"), withCharts(charts, "render-istio"))
	said := words(run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec", "--truncate-output=false"))
	if want := ". If render-istio has the option charts, give revision-tag the same"; !strings.Contains(said, want) {
		t.Errorf("kpt does not say %q:\n%s", want, said)
	}
	write(t, r.path("Kptfile"), withCharts(charts, "render-istio", "revision-tag"))
	r.render()

	edit(t, r.path("istio.yaml"), "v1.26.9", "v1.28.3")
	write(t, r.path("Kptfile"), allFunctions)
	r.commit()
	want := "the objects of the tag stay as they are, because IstioRevision/default-v1-26-9 cannot be rendered: Istio " +
		"v1.26.9 is not bundled"
	if said := words(r.render()); !strings.Contains(said, want) {
		t.Errorf("kpt does not say %q:\n%s", want, said)
	}
	for line := range strings.Lines(r.status()) {
		if name := strings.TrimSpace(line[3:]); !strings.HasPrefix(name, "default-v1-28-3/") {
			t.Errorf("the upgrade changed %s", name)
		}
	}

	other := newRepo(t, mesh(istio("v1.26.0", "InPlace")))
	write(t, other.path("tag.yaml"), tag("prod", "Istio", "default"))
	write(t, other.path("Kptfile"), withCharts(brought(t, "1.26.0"), "render-istio"))
	want = "Istio/default was rendered with other charts of Istio v1.26.0 than those that the tag gets: give " +
		"revision-tag the same option charts as render-istio"
	if said := words(other.render()); !strings.Contains(said, want) {
		t.Errorf("kpt does not say %q:\n%s", want, said)
	}
}

// TestSkewUnknown: master has no number.
func TestSkewUnknown(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	write(t, r.path("cni.yaml"), resource("IstioCNI", "default", "{version: master}"))
	write(t, r.path("Kptfile"), withCharts(brought(t, "master"), "render-cni"))
	want := "spec.version: whether the CNI plugin of Istio master works with Istio/default of Istio v1.28.3 cannot be " +
		"told from the versions"
	if said := words(r.render()); !strings.Contains(said, want) {
		t.Errorf("kpt does not say %q:\n%s", want, said)
	}
}
