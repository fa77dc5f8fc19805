package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// copyPackage copies what a clone of the repository has for kpt: the package, and enough of the rest to see that it is
// left alone.
func copyPackage(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"Kptfile", ".krmignore", "go.mod", ".golangci.yml"} {
		write(t, filepath.Join(dir, name), read(t, filepath.Join(root, name)))
	}
	for _, name := range []string{"examples", "config"} {
		if err := os.CopyFS(filepath.Join(dir, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
}

// repo is a kpt package in a Git repository.
type repo struct {
	t   *testing.T
	dir string
	kpt string
}

func newRepo(t *testing.T, fill func(dir string)) repo {
	t.Helper()
	r := repo{t, t.TempDir(), tool(t, "kpt")}
	fill(r.dir)
	r.git("init", "-q")
	r.git("config", "user.name", "test")
	r.git("config", "user.email", "test@example.com")
	r.commit()
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	return run{dir: r.dir}.must(r.t, "git", args...).stdout
}

func (r repo) commit() {
	r.t.Helper()
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", "step")
}

// render runs the pipeline and returns what kpt printed.
func (r repo) render() string {
	r.t.Helper()
	out := run{dir: r.dir}.must(r.t, r.kpt, "fn", "render", "--allow-exec")
	return out.stdout + out.stderr
}

// status is what has changed since the last commit.
func (r repo) status() string {
	r.t.Helper()
	return r.git("status", "--short", "--untracked-files=all")
}

func (r repo) files(dir string) []string {
	r.t.Helper()
	entries, err := os.ReadDir(filepath.Join(r.dir, dir))
	if err != nil && !os.IsNotExist(err) {
		r.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func (r repo) path(name string) string { return filepath.Join(r.dir, name) }

const kptfile = `apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: mesh
pipeline:
  mutators:
  - exec: render-istio
`

func istio(version, strategy string) string {
	return `apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
  annotations:
    config.kubernetes.io/local-config: "true"
spec:
  # The platform team decides this.
  version: ` + version + `
  updateStrategy:
    type: ` + strategy + "\n"
}

func mesh(istio string) func(string) {
	return func(dir string) {
		_ = os.WriteFile(filepath.Join(dir, "Kptfile"), []byte(kptfile), 0o600)
		_ = os.WriteFile(filepath.Join(dir, "istio.yaml"), []byte(istio), 0o600)
	}
}

// TestKptRepository renders the repository itself: what is committed in examples/kpt/sample is what comes out, and
// nothing else is touched.
func TestKptRepositoryGolden(t *testing.T) {
	r := newRepo(t, func(dir string) { copyPackage(t, dir) })
	r.render()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		target := filepath.Join(root, "examples/kpt/sample/default")
		if err := os.RemoveAll(target); err != nil {
			t.Fatal(err)
		}
		if err := os.CopyFS(target, os.DirFS(r.path("examples/kpt/sample/default"))); err != nil {
			t.Fatal(err)
		}
		return
	}
	if changed := r.status(); changed != "" {
		t.Errorf("rendering changed the package (if that is meant, `make golden` and review the diff):\n%s%s", changed,
			r.git("diff"))
	}
}

// TestKptPackageGet gets a package as kpt does, from the repository that make writes, and renders it.
func TestKptPackageGet(t *testing.T) {
	dir := t.TempDir()
	packages := filepath.Join(dir, "packages")
	run{dir: root}.must(t, "make", "--silent", "packages", "DIR="+packages)
	run{dir: packages}.must(t, "git", "init", "-q", "-b", "main")
	run{dir: packages}.must(t, "git", "add", "-A")
	run{dir: packages}.must(t, "git", "-c", "user.name=test", "-c", "user.email=test@example.com", "commit", "-q", "-m",
		"packages")
	kpt := tool(t, "kpt")
	run{dir: dir}.must(t, kpt, "pkg", "get", "file://"+packages+"/.git/cni@main", "mesh")
	out := run{dir: dir}.must(t, kpt, "fn", "render", "--allow-exec", "mesh")
	if want := "Successfully executed 2 function(s) in 1 package(s)."; !strings.Contains(out.stdout+out.stderr, want) {
		t.Errorf("kpt does not say %q:\n%s%s", want, out.stdout, out.stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "mesh/cni/daemonset_istio-cni-node.yaml")); err != nil {
		t.Error(err)
	}
	said := run{dir: root}.fails(t, "make", "--silent", "packages", "DIR=examples")
	if want := "examples is in this repository, which is a kpt package"; !strings.Contains(said, want) {
		t.Errorf("make does not say %q:\n%s", want, said)
	}
}

// TestKptVersionBump follows an InPlace control plane through an upgrade and back.
func TestKptVersionBump(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	r.render()
	r.commit()
	first := r.files("default")
	if !slices.Contains(first, "deployment_istiod.yaml") || !slices.Contains(first, "istiorevision_default.yaml") {
		t.Fatalf("files after the first rendering: %v", first)
	}
	r.render()
	if changed := r.status(); changed != "" {
		t.Fatalf("rendering twice changed:\n%s", changed)
	}

	// 1.27 has a PodDisruptionBudget where 1.28 has none: a file comes and goes.
	edit(t, r.path("istio.yaml"), "v1.28.3", "v1.27.0")
	said := r.render()
	if !strings.Contains(said, "end of life") {
		t.Errorf("no warning about the end of life of 1.27:\n%s", said)
	}
	if !slices.Contains(r.files("default"), "poddisruptionbudget_istiod.yaml") {
		t.Errorf("files of 1.27: %v", r.files("default"))
	}
	if !strings.Contains(read(t, r.path("default/deployment_istiod.yaml")), "docker.io/istio/pilot:1.27.0") {
		t.Error("istiod does not have the image of 1.27.0")
	}
	if !strings.Contains(read(t, r.path("istio.yaml")), "# The platform team decides this.") {
		t.Error("the comment in the user's file is lost")
	}
	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("back at the first version, this is left:\n%s%s", changed, r.git("diff"))
	}
}

// TestKptRevisionBased upgrades by a second revision: it is added, nothing of the first one changes, and the first one
// goes when its IstioRevision is removed from the package.
func TestKptRevisionBased(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.27.0", "RevisionBased")))
	r.render()
	r.commit()
	old := r.files("default-v1-27-0")
	if len(old) < 10 {
		t.Fatalf("files of the first revision: %v", old)
	}
	edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
	r.render()
	for line := range strings.Lines(r.status()) {
		if name := strings.TrimSpace(line[3:]); name != "istio.yaml" && !strings.HasPrefix(name, "default-v1-28-3/") {
			t.Errorf("the upgrade changed %s", name)
		}
	}
	if diff := cmp.Diff(old, r.files("default-v1-27-0")); diff != "" {
		t.Errorf("the old revision: -before +after:\n%s", diff)
	}
	r.commit()
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("rendering twice changed:\n%s", changed)
	}

	if err := os.Remove(r.path("default-v1-27-0/istiorevision_default-v1-27-0.yaml")); err != nil {
		t.Fatal(err)
	}
	said := r.render()
	if left := r.files("default-v1-27-0"); len(left) > 0 {
		t.Errorf("left of the old revision: %v", left)
	}
	want := "IstioRevision/default-v1-27-0: is not in the package any more, and its 18 objects were removed"
	if !strings.Contains(words(said), want) || strings.Contains(said, "removed: ") {
		t.Errorf("kpt does not say %q, once:\n%s", want, said)
	}
	if len(r.files("default-v1-28-3")) < 10 {
		t.Error("the new revision is not complete")
	}
}

// TestKptComments keeps what people write into generated files, and where they move them.
func TestKptComments(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	r.render()
	edit(t, r.path("default/service_istiod.yaml"), "kind: Service\n",
		"kind: Service # the team's runbook: example.com/istiod\n")
	write(t, r.path("moved/account.yaml"), read(t, r.path("default/serviceaccount_istiod.yaml")))
	if err := os.Remove(r.path("default/serviceaccount_istiod.yaml")); err != nil {
		t.Fatal(err)
	}
	r.commit()
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("rendering again changed:\n%s%s", changed, r.git("diff"))
	}
}

// TestKptErrors fails with a sentence and leaves the package as it was.
func TestKptErrors(t *testing.T) {
	for _, c := range []struct {
		reason string
		edit   func(r repo)
		say    string
	}{
		{
			"an unknown version lists what there is", func(r repo) { edit(t, r.path("istio.yaml"), "v1.28.3", "v1.28.9") },
			"Istio v1.28.9 is not bundled; bundled versions: v1.23.2",
		},
		{
			"a misspelled value", func(r repo) {
				edit(t, r.path("istio.yaml"), "spec:\n", "spec:\n  values: {pilot: {traceSamplin: 1}}\n")
			},
			"spec.values.pilot.traceSamplin: unknown field in v1.28.3; did you mean traceSampling?",
		},
		{
			"an unquoted boolean in env", func(r repo) {
				edit(t, r.path("istio.yaml"), "spec:\n", "spec:\n  values: {pilot: {env: {PILOT_X: true}}}\n")
			},
			"spec.values.pilot.env.PILOT_X",
		},
		{
			"the field components of IstioOperator", func(r repo) {
				edit(t, r.path("istio.yaml"), "spec:\n", "spec:\n  components: {}\n")
			},
			"spec.components belongs to IstioOperator",
		},
		{"an object that the user wrote", func(r repo) {
			write(t, r.path(
				"mine.yaml"), "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: istiod, namespace: istio-system}\n")
		}, "Istio/default generates ServiceAccount istio-system/istiod, which the package has already in mine.yaml"},
		{"two resources that want the same object", func(r repo) {
			write(t, r.path("again.yaml"),
				strings.ReplaceAll(istio("v1.28.3", "InPlace"), "kind: Istio\n", "kind: IstioRevision\n")+
					"  namespace: istio-system\n  values: {global: {istioNamespace: istio-system}}\n")
			edit(t, r.path("again.yaml"), "  updateStrategy:\n    type: InPlace\n", "")
		}, "both generate"},
		{"a chart that says no", func(r repo) {
			edit(t, r.path("istio.yaml"), "spec:\n", "spec:\n  values: {compatibilityVersion: \"1.2\"}\n")
		}, "have no compatibility version"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
			c.edit(r)
			r.commit()
			said := run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec")
			if !strings.Contains(strings.Join(strings.Fields(said), " "), c.say) {
				t.Errorf("kpt does not say %q:\n%s", c.say, said)
			}
			if changed := r.status(); changed != "" {
				t.Errorf("the package was changed:\n%s", changed)
			}
		})
	}
}

// TestKptConfigPath expands only the resource that is the function's configuration, and takes options from a ConfigMap.
func TestKptConfigPath(t *testing.T) {
	r := newRepo(t, func(dir string) {
		mesh(istio("v1.28.3", "InPlace"))(dir)
		write(t, filepath.Join(dir, "Kptfile"),
			strings.ReplaceAll(kptfile, "exec: render-istio", "exec: render-istio\n    configPath: istio.yaml"))
		other := strings.ReplaceAll(istio("v1.28.3", "InPlace"), "name: default", "name: other")
		write(t, filepath.Join(dir, "other.yaml"), other)
	})
	r.render()
	if len(r.files("default")) < 10 || len(r.files("other")) != 0 {
		t.Errorf("default has %d files, other has %d", len(r.files("default")), len(r.files("other")))
	}
	r.commit()
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("rendering twice changed:\n%s", changed)
	}

	write(t, r.path("Kptfile"), kptfile+"    configMap:\n      crds: include\n")
	r.render()
	if n := len(r.files("crds")); n < 10 {
		t.Errorf("crds: include gave %d CRDs", n)
	}
	if len(r.files("other")) < 10 {
		t.Error("the other Istio is not rendered")
	}
	r.commit()
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("rendering twice with CRDs changed:\n%s%s", changed, r.git("diff", "--stat"))
	}
}

// TestKptRetained protects the revision that proxies may still be connected to from all that is not its removal.
func TestKptRetained(t *testing.T) {
	upgraded := func(t *testing.T) repo {
		t.Helper()
		r := newRepo(t, mesh(istio("v1.27.0", "RevisionBased")))
		r.render()
		edit(t, r.path("istio.yaml"), "v1.27.0", "v1.28.3")
		r.render()
		r.commit()
		return r
	}
	const retained = "default-v1-27-0/istiorevision_default-v1-27-0.yaml"
	for _, c := range []struct {
		reason string
		edit   func(r repo)
		say    string
	}{
		{"another Istio that wants its name", func(r repo) {
			write(t, r.path("other.yaml"),
				strings.ReplaceAll(istio("v1.25.1", "InPlace"), "name: default", "name: default-v1-27-0"))
		}, "Istio/default-v1-27-0 wants the revision default-v1-27-0, which is an earlier one of Istio/default"},
		{"a user's IstioRevision of its name", func(r repo) {
			write(t, r.path(
				"mine.yaml"), "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: default-v1-27-0}\n"+
				"spec: {version: v1.24.0, namespace: istio-system, values: {revision: default-v1-27-0, "+
				"global: {istioNamespace: istio-system}}}\n")
		}, "IstioRevision/default-v1-27-0 wants the revision"},
		{"a copy that somebody made his own", func(r repo) {
			write(t, r.path("canary.yaml"),
				strings.ReplaceAll(read(t, r.path(retained)), "name: default-v1-27-0", "name: canary"))
		}, "remove the annotation lateen.io/owner"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			r := upgraded(t)
			c.edit(r)
			r.commit()
			said := run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec")
			if !strings.Contains(strings.Join(strings.Fields(said), " "), c.say) {
				t.Errorf("kpt does not say %q:\n%s", c.say, said)
			}
			if changed := r.status(); changed != "" {
				t.Errorf("the package was changed:\n%s", changed)
			}
		})
	}
	t.Run("a label that somebody changed", func(t *testing.T) {
		r := upgraded(t)
		edit(t, r.path(retained), "lateen.io/revision: default-v1-27-0", "lateen.io/revision: x")
		r.commit()
		r.render()
		r.render()
		if changed := r.status(); changed != "" {
			t.Errorf("the revision was touched:\n%s", changed)
		}
	})
	t.Run("what is removed is told", func(t *testing.T) {
		r := upgraded(t)
		if err := os.Remove(r.path("istio.yaml")); err != nil {
			t.Fatal(err)
		}
		out := run{dir: r.dir, env: []string{"LATEEN_ALLOW_REMOVAL=Istio/default"}}.must(t, r.kpt, "fn", "render",
			"--allow-exec")
		said := out.stdout + out.stderr
		for _, want := range []string{
			"default-v1-27-0: removed with the 18 objects of the revision, because Istio/default is not in the package any more",
			"default-v1-28-3: removed with",
		} {
			if !strings.Contains(said, want) {
				t.Errorf("kpt does not say %q:\n%s", want, said)
			}
		}
	})
}
