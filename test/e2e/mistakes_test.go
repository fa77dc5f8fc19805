package e2e

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// mistakes are what a person gets wrong in the in-place-update example, and the sentence about it.
var mistakes = []struct{ reason, from, to, say string }{
	{
		"a letter is missing in the kind", "kind: Istio\n", "kind: Isto\n",
		`Isto/default: kind: sailoperator.io has no kind "Isto"; did you mean kind: Istio?`,
	},
	{
		"the group of earlier days", "apiVersion: sailoperator.io/v1\n", "apiVersion: operator.istio.io/v1alpha1\n",
		`Istio/default: apiVersion: no function of Lateen expands "operator.istio.io/v1alpha1", kind Istio, but ` +
			`operator.istio.io is the group that the Sail Operator ` +
			"had before sailoperator.io/v1; did you mean apiVersion: sailoperator.io/v1?",
	},
}

// TestMistakesKustomize: a typo is an error, and there is no output that a GitOps tool could take for a removal.
func TestMistakesKustomize(t *testing.T) {
	for _, c := range mistakes {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "examples/kustomize/in-place-update"))); err != nil {
			t.Fatal(err)
		}
		edit(t, filepath.Join(dir, "istio.yaml"), c.from, c.to)
		out, err := kustomizeBuild(t, dir)
		if err == nil || out.stdout != "" {
			t.Errorf("%s: error %v, stdout %q", c.reason, err, out.stdout)
		}
		if want := "render-istio: " + c.say; !slices.Contains(strings.Split(out.stderr, "\n"), want) {
			t.Errorf("%s: stderr does not say %q:\n%s", c.reason, want, out.stderr)
		}
	}
}

// TestMistakesKpt: a typo after a rendering is an error, and the package stays as it is.
func TestMistakesKpt(t *testing.T) {
	r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
	r.render()
	r.commit()
	source := read(t, r.path("istio.yaml"))
	for _, c := range append(mistakes, []struct{ reason, from, to, say string }{
		{"a file that is emptied", source, "", "none of the control planes that the package had would stay"},
		{
			"another name", "name: default\n", "name: mesh\n",
			"none of the control planes that the package had would stay",
		},
		{
			"a warning under strict", "annotations:\n",
			"namespace: x\n  annotations:\n    lateen.io/strict: \"true\"\n",
			"(a warning, which option strict makes an error)",
		},
	}...) {
		write(t, r.path("istio.yaml"), strings.Replace(source, c.from, c.to, 1))
		r.commit()
		say := c.say
		if _, rest, ok := strings.Cut(say, ": "); ok { // kpt has the resource and the field beside the message
			_, say, _ = strings.Cut(rest, ": ")
		}
		said := words(run{dir: r.dir}.fails(t, r.kpt, "fn", "render", "--allow-exec"))
		if !strings.Contains(said, say) {
			t.Errorf("%s: kpt does not say %q:\n%s", c.reason, say, said)
		}
		if changed := r.status(); changed != "" {
			t.Errorf("%s: the package was changed:\n%s", c.reason, changed)
		}
	}

	if err := os.Remove(r.path("istio.yaml")); err != nil {
		t.Fatal(err)
	}
	out := run{dir: r.dir, env: []string{"LATEEN_ALLOW_REMOVAL=Istio/default"}}.must(t, r.kpt, "fn", "render",
		"--allow-exec")
	if left := r.files("default"); len(left) > 0 {
		t.Errorf("left of a control plane that may go: %v", left)
	}
	if want := "because Istio/default is not in the package any more"; !strings.Contains(words(out.stdout+out.stderr),
		want) {
		t.Errorf("kpt does not say %q:\n%s%s", want, out.stdout, out.stderr)
	}
}

// TestMistakesFiles: so it is in a file that is given with -f, to whatever program.
func TestMistakesFiles(t *testing.T) {
	source := read(t, filepath.Join(root, "examples/kustomize/in-place-update/istio.yaml"))
	for _, program := range []string{"render-istio", "render-cni", "revision-tag", "migrate-istiooperator"} {
		for _, c := range mistakes {
			file := filepath.Join(t.TempDir(), "istio.yaml")
			write(t, file, strings.Replace(source, c.from, c.to, 1))
			out, err := run{}.command(t, filepath.Join(bin, program), "-f", file)
			line := map[bool]string{true: ":2:1: ", false: ":1:1: "}[strings.Contains(c.from, "kind")]
			want := program + ": " + filepath.ToSlash(file) + line + c.say
			if err == nil || out.stdout != "" || !slices.Contains(strings.Split(out.stderr, "\n"), want) {
				t.Errorf("%s: %s: error %v, stdout %q, stderr does not say %q:\n%s", program, c.reason, err, out.stdout,
					want, out.stderr)
			}
		}
	}
}

// TestPluginPosition: kustomize gives its exec plugins a temporary file, which a message must not name; kubectl shows
// what the plugin says when it fails.
func TestPluginPosition(t *testing.T) {
	dir, home := legacy(t)
	edit(t, filepath.Join(dir, "istio.yaml"), "spec:\n", "spec:\n  versoin: v1\n")
	out, err := run{env: []string{"KUSTOMIZE_PLUGIN_HOME=" + home}}.command(t, tool(t, "kubectl"), "kustomize",
		"--enable-alpha-plugins", dir)
	const want = "render-istio: Istio/default: spec.versoin: unknown field; did you mean version?"
	if err == nil || out.stdout != "" || !strings.Contains(out.stderr, want) {
		t.Errorf("error %v, stdout %q, stderr does not say %q:\n%s", err, out.stdout, want, out.stderr)
	}
}

// TestWithoutEnableExec shows what kustomize does without its second flag, which the pages that set people up warn of.
func TestWithoutEnableExec(t *testing.T) {
	out, err := run{}.command(t, tool(t, "kustomize"), "build", "--enable-alpha-plugins", defaultExample)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	rendered := without(objects(t, out.stdout), "Namespace") // which is a resource beside the Istio
	if diff := cmp.Diff(map[string]map[string]any{}, rendered); diff != "" || out.stderr != "" {
		t.Errorf("README.md and the functions' READMEs say that kustomize prints nothing of the Istio; stderr %q "+
			"(-want +got)\n%s", out.stderr, diff)
	}
}
