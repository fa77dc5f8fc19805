package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen"
)

const defaultExample = root + "/examples/kustomize/default"

// TestOneOutputEverywhere renders one Istio in every way there is and expects the same objects.
func TestOneOutputEverywhere(t *testing.T) {
	out, err := kustomizeBuild(t, defaultExample)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	want := without(objects(t, out.stdout), "Namespace")
	if len(want) < 15 {
		t.Fatalf("kustomize gave only %d objects", len(want))
	}
	if out.stderr != "" {
		t.Errorf("stderr on success: %s", out.stderr)
	}
	istio := filepath.Join(defaultExample, "istio.yaml")
	ways := map[string]func(t *testing.T) string{
		"stand-alone": func(t *testing.T) string {
			return run{}.must(t, filepath.Join(bin, "render-istio"), "-f", istio).stdout
		},
		"stand-alone from standard input": func(t *testing.T) string {
			return run{stdin: read(t, istio)}.must(t, filepath.Join(bin, "render-istio"), "-f", "-").stdout
		},
		"Go API": func(t *testing.T) string {
			result, err := lateen.Render([]byte(read(t, istio)), lateen.Options{})
			if err != nil {
				t.Fatal(err)
			}
			text, err := result.YAML()
			if err != nil {
				t.Fatal(err)
			}
			return string(text)
		},
		"kustomize's legacy exec plugin": func(t *testing.T) string {
			dir, home := legacy(t)
			return run{env: []string{"KUSTOMIZE_PLUGIN_HOME=" + home}}.must(t, tool(t, "kustomize"), "build",
				"--enable-alpha-plugins", dir).stdout
		},
		"kubectl kustomize with the legacy plugin": func(t *testing.T) string {
			dir, home := legacy(t)
			return run{env: []string{"KUSTOMIZE_PLUGIN_HOME=" + home}}.must(t, tool(t, "kubectl"), "kustomize",
				"--enable-alpha-plugins", dir).stdout
		},
		"kustomize transformer": func(t *testing.T) string {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "istio.yaml"), localConfig(read(t, istio)))
			write(t, filepath.Join(dir, "render.yaml"),
				"apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: render-istio\n  annotations:\n"+
					"    config.kubernetes.io/function: |\n      exec:\n        path: render-istio\n")
			write(t, filepath.Join(dir, "kustomization.yaml"), "resources: [istio.yaml]\ntransformers: [render.yaml]\n")
			out, err := kustomizeBuild(t, dir)
			if err != nil {
				t.Fatalf("%v\n%s", err, out.stderr)
			}
			return out.stdout
		},
		"kpt": func(t *testing.T) string {
			dir := t.TempDir()
			copyPackage(t, dir)
			run{dir: dir}.must(t, tool(t, "kpt"), "fn", "render", "--allow-exec")
			var all []string
			files, err := filepath.Glob(filepath.Join(dir, "examples/kpt/sample/default/*.yaml"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				all = append(all, read(t, file))
			}
			return strings.Join(all, "---\n")
		},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			got := without(objects(t, way(t)), "IstioRevision")
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-kustomize +%s:\n%s", name, diff)
			}
		})
	}
}

// localConfig is the default example's Istio as a resource instead of a generator.
func localConfig(istio string) string {
	head, tail, _ := strings.Cut(istio, "  annotations:\n")
	_, spec, _ := strings.Cut(tail, "\nspec:")
	return head + "  annotations:\n    config.kubernetes.io/local-config: \"true\"\nspec:" + spec
}

// legacy lays out the directories of an exec plugin, and a kustomization whose Istio has no annotation at all.
func legacy(t *testing.T) (dir, home string) {
	t.Helper()
	home = t.TempDir()
	plugin := filepath.Join(home, "sailoperator.io/v1/istio")
	if err := os.MkdirAll(plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	target, err := filepath.Abs(filepath.Join(bin, "render-istio"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(plugin, "Istio")); err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	istio := strings.ReplaceAll(localConfig(read(t, filepath.Join(defaultExample, "istio.yaml"))),
		"  annotations:\n    config.kubernetes.io/local-config: \"true\"\n", "")
	write(t, filepath.Join(dir, "istio.yaml"), istio)
	write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [istio.yaml]\n")
	return dir, home
}

// TestOverlayExample patches the resource before and an object after it is expanded.
func TestOverlayExample(t *testing.T) {
	out, err := kustomizeBuild(t, root+"/examples/kustomize/overlay")
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	all := objects(t, out.stdout)
	if all["Namespace <nil>/istio-system"] == nil {
		t.Error("it brings no Namespace, so it cannot be applied to an empty cluster")
	}
	deployment := all["Deployment istio-system/istiod"]
	spec, _ := deployment["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
	if len(spec["topologySpreadConstraints"].([]any)) != 1 {
		t.Errorf("the patch of the generated Deployment is not there: %v", spec)
	}
	mesh, _ := all["ConfigMap istio-system/istio"]["data"].(map[string]any)["mesh"].(string)
	if !strings.Contains(mesh, "accessLogFile: /dev/stdout") {
		t.Errorf("the patch of the Istio is not there: %s", mesh)
	}
	for key, o := range all {
		if labels, _ := o["metadata"].(map[string]any)["labels"].(map[string]any); labels["example.com/team"] != "platform" {
			t.Errorf("%s does not have the kustomization's label", key)
		}
	}
}

// TestKustomizeTrack covers what reaches the cluster besides plain objects, and how old revisions are protected.
func TestKustomizeTrack(t *testing.T) {
	dir := t.TempDir()
	istio := strings.ReplaceAll(read(t, filepath.Join(defaultExample, "istio.yaml")), "type: InPlace",
		"type: RevisionBased")
	write(t, filepath.Join(dir, "istio.yaml"), istio)
	write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [istio.yaml]\n")

	out, err := kustomizeBuild(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	if !strings.Contains(out.stderr, "nobody will remove the old one") {
		t.Errorf("no warning about an untracked RevisionBased Istio: %q", out.stderr)
	}
	for key, o := range objects(t, out.stdout) {
		annotations, _ := o["metadata"].(map[string]any)["annotations"].(map[string]any)
		if o["apiVersion"] == "sailoperator.io/v1" {
			t.Errorf("%s is in the output without being tracked", key)
		}
		if annotations["argocd.argoproj.io/sync-options"] != "Prune=false" ||
			annotations["kustomize.toolkit.fluxcd.io/prune"] != "disabled" {
			t.Errorf("%s is not protected from pruning: %v", key, annotations)
		}
	}

	edit(t, filepath.Join(dir, "istio.yaml"), "  annotations:\n", "  annotations:\n    lateen.io/track: \"true\"\n")
	if out, err = kustomizeBuild(t, dir); err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	if out.stderr != "" {
		t.Errorf("stderr on success: %s", out.stderr)
	}
	all := objects(t, out.stdout)
	annotations, _ := all["Istio <nil>/default"]["metadata"].(map[string]any)["annotations"].(map[string]any)
	if diff := cmp.Diff(map[string]any{"lateen.io/track": "true", "lateen.io/rendered-by": "render-istio"},
		annotations); diff != "" {
		t.Errorf("annotations of the tracked Istio: -want +got:\n%s", diff)
	}
	rev := all["IstioRevision <nil>/default-v1-28-3"]
	if rev == nil {
		t.Fatal("the IstioRevision is not in the output")
	}
	protected := rev["metadata"].(map[string]any)["annotations"].(map[string]any)
	if protected["argocd.argoproj.io/sync-options"] != "Prune=false" {
		t.Errorf("the IstioRevision is not protected from pruning: %v", protected)
	}
}

// TestKustomizeError shows that a failing build says why: kustomize itself prints only the exit status.
func TestKustomizeError(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "istio.yaml"),
		strings.ReplaceAll(read(t, filepath.Join(defaultExample, "istio.yaml")), "pilot:", "pilto:"))
	write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [istio.yaml]\n")
	out, err := kustomizeBuild(t, dir)
	if err == nil {
		t.Error("the build succeeded")
	}
	if out.stdout != "" {
		t.Errorf("a failed build printed objects:\n%s", out.stdout)
	}
	if want := "spec.values.pilto: unknown field in v1.28.3; did you mean pilot?"; !strings.Contains(out.stderr, want) {
		t.Errorf("stderr does not say %q:\n%s", want, out.stderr)
	}
}

// TestKustomizeCRDsTwice: what kustomize says to two generators that give the same CRDs is in the README, for each way
// to put them together.
func TestKustomizeCRDsTwice(t *testing.T) {
	_, quoted, _ := strings.Cut(read(t, root+"/functions/render-istio/README.md"), "* **Two generators with")
	quoted, _, _ = strings.Cut(quoted, "\n* ")
	generator := func(name string) string {
		return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: " + name + "\n  annotations:\n" +
			"    lateen.io/crds: include\n    config.kubernetes.io/function: 'exec: {path: render-istio}'\n" +
			"spec: {version: v1.28.3, namespace: " + name + "}\n"
	}
	const generators, kustomization = "generators: [istio.yaml]\n", "kustomization.yaml"
	for _, c := range []struct {
		reason string
		files  map[string]string
		// from and to cut what does not change from run to run out of the message.
		from, to string
	}{
		{"in one kustomization", map[string]string{
			"a.yaml": generator("a"), "b.yaml": generator("b"), kustomization: "generators: [a.yaml, b.yaml]\n",
		}, "id resid.ResId{", "must be merge or replace"},
		{"in two bases", map[string]string{
			"a/istio.yaml": generator("a"), "b/istio.yaml": generator("b"), "a/" + kustomization: generators,
			"b/" + kustomization: generators, kustomization: "resources: [a, b]\n",
		}, "may not add", "[noNs]"},
	} {
		dir := t.TempDir()
		for name, text := range c.files {
			write(t, filepath.Join(dir, name), text)
		}
		out, err := kustomizeBuild(t, dir)
		from, to := strings.Index(out.stderr, c.from), strings.Index(out.stderr, c.to)
		if err == nil || out.stdout != "" || from < 0 || to < from {
			t.Errorf("%s: error %v, stderr %s", c.reason, err, out.stderr)
			continue
		}
		if said := out.stderr[from : to+len(c.to)]; !strings.Contains(quoted, said) {
			t.Errorf("%s: the README does not quote: %s", c.reason, said)
		}
	}
}

// TestKustomizeRevisionBasedWalkThrough is the update with revisions under kustomize, which remembers nothing: the bump
// takes the old revision out of the output, and all of it asks Argo CD and Flux to leave it in the cluster.
func TestKustomizeRevisionBasedWalkThrough(t *testing.T) {
	dir := t.TempDir()
	build := func(version string) map[string]map[string]any {
		istio := strings.ReplaceAll(read(t, filepath.Join(defaultExample, "istio.yaml")), "type: InPlace",
			"type: RevisionBased")
		istio = strings.ReplaceAll(strings.ReplaceAll(istio, "v1.28.3", version), "  annotations:\n",
			"  annotations:\n    lateen.io/track: \"true\"\n")
		write(t, filepath.Join(dir, "istio.yaml"), istio)
		write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [istio.yaml]\n")
		out, err := kustomizeBuild(t, dir)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.stderr)
		}
		return without(objects(t, out.stdout), "Istio")
	}
	before, after := build("v1.27.0"), build("v1.28.3")
	for key, o := range before {
		if _, kept := after[key]; kept {
			t.Errorf("%s of the old revision is one of the new revision as well: applying it would change the old one", key)
		}
		annotations, _ := o["metadata"].(map[string]any)["annotations"].(map[string]any)
		if annotations["argocd.argoproj.io/sync-options"] != "Prune=false" ||
			annotations["kustomize.toolkit.fluxcd.io/prune"] != "disabled" {
			t.Errorf("%s would be pruned: %v", key, annotations)
		}
	}
}

// TestLegacyPluginCNI: each function is an exec plugin of kustomize, found by the kind of its resource.
func TestLegacyPluginCNI(t *testing.T) {
	home, dir := t.TempDir(), t.TempDir()
	plugin := filepath.Join(home, "sailoperator.io/v1/istiocni")
	if err := os.MkdirAll(plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	target, err := filepath.Abs(filepath.Join(bin, "render-cni"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(plugin, "IstioCNI")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "cni.yaml"), resource("IstioCNI", "default", "{version: v1.28.3}"))
	write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [cni.yaml]\n")
	out := run{env: []string{"KUSTOMIZE_PLUGIN_HOME=" + home}}.must(t, tool(t, "kubectl"), "kustomize",
		"--enable-alpha-plugins", dir)
	if _, there := objects(t, out.stdout)["DaemonSet istio-cni/istio-cni-node"]; !there {
		t.Errorf("no DaemonSet in:\n%s", out.stdout)
	}
}

// TestKustomizeTransformerOrder: kustomize notes paths on items after the first transformer, which must not look like a
// package of files to the second.
func TestKustomizeTransformerOrder(t *testing.T) {
	var outputs []map[string]map[string]any
	for _, order := range [][]string{{"render-istio", "render-cni"}, {"render-cni", "render-istio"}} {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "istio.yaml"),
			istio("v1.28.3", "RevisionBased")+"---\n"+resource("IstioCNI", "default", "{version: v1.23.2}"))
		write(t, filepath.Join(dir, "kustomization.yaml"),
			"resources: [istio.yaml]\ntransformers:\n"+transformer(order[0])+transformer(order[1]))
		out, err := kustomizeBuild(t, dir)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.stderr)
		}
		for _, want := range []string{
			"Istio v1.23.2: this minor version reached its end of life", "nobody will remove the old one",
		} {
			if !strings.Contains(out.stderr, want) {
				t.Errorf("%v: stderr does not say %q:\n%s", order, want, out.stderr)
			}
		}
		if strings.Contains(out.stderr, ".yaml") {
			t.Errorf("%v: stderr names a file, and kustomize has none for a resource:\n%s", order, out.stderr)
		}
		if strings.Contains(out.stdout, "internal.config.kubernetes.io") {
			t.Errorf("%v: annotations of the orchestrator are in the output", order)
		}
		if !strings.Contains(out.stdout, "Prune=false") {
			t.Errorf("%v: the revision is not protected from pruning", order)
		}
		outputs = append(outputs, objects(t, out.stdout))
	}
	if diff := cmp.Diff(outputs[0], outputs[1]); diff != "" {
		t.Errorf("the order makes a difference:\n%s", diff)
	}
}

// TestKustomizeSwitchToRevisionBased: the commit that makes an InPlace control plane RevisionBased takes it out of the
// output, with proxies connected to it. The commit before asks GitOps tools to leave it.
func TestKustomizeSwitchToRevisionBased(t *testing.T) {
	dir := t.TempDir()
	build := func(strategy, annotation string) (map[string]map[string]any, string) {
		text := strings.ReplaceAll(istio("v1.28.3", strategy), "config.kubernetes.io/local-config: \"true\"\n", annotation)
		write(t, filepath.Join(dir, "istio.yaml"), text)
		write(t, filepath.Join(dir, "app.yaml"), kubernetesNamespace("app", "istio-injection: enabled"))
		write(t, filepath.Join(dir, "kustomization.yaml"),
			"resources: [istio.yaml, app.yaml]\ntransformers:\n"+transformer("render-istio"))
		out, err := kustomizeBuild(t, dir)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.stderr)
		}
		return without(objects(t, out.stdout), "Istio", "Namespace"), out.stderr
	}
	protected := func(all map[string]map[string]any) int {
		n := 0
		for _, o := range all {
			annotations, _ := o["metadata"].(map[string]any)["annotations"].(map[string]any)
			if annotations["argocd.argoproj.io/sync-options"] == "Prune=false" &&
				annotations["kustomize.toolkit.fluxcd.io/prune"] == "disabled" {
				n++
			}
		}
		return n
	}
	first, _ := build("InPlace", "example.com/note: first\n")
	if n := protected(first); n > 0 {
		t.Errorf("%d objects of an InPlace control plane would stay in the cluster when a new version does not have them", n)
	}
	bridge, said := build("InPlace", "lateen.io/protect: \"true\"\n")
	if n := protected(bridge); n != len(bridge) || len(bridge) != len(first) {
		t.Errorf("%d of %d objects are protected", n, len(bridge))
	}
	if said != "" {
		t.Errorf("stderr on success: %s", said)
	}
	after, said := build("RevisionBased", "lateen.io/protect: \"true\"\n")
	for key := range bridge {
		if _, there := after[key]; there {
			t.Errorf("%s is one of the new revision as well: applying it changes the control plane that is to stay", key)
		}
	}
	if n := protected(after); n != len(after) {
		t.Errorf("after the switch %d of %d objects are protected", n, len(after))
	}
	want := "If Istio/default was InPlace before, the control plane default still injects, as long as it is in the " +
		"cluster: a GitOps tool prunes it unless the commit before rendered it with the option protect"
	if !strings.Contains(said, want) {
		t.Errorf("stderr does not say %q:\n%s", want, said)
	}
}

// TestKustomizeUsageReport: there is nothing in the output that a report could release, and the user is told.
func TestKustomizeUsageReport(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "istio.yaml"), istio("v1.28.3", "InPlace"))
	write(t, filepath.Join(dir, "usage.yaml"), usageReport("west", "default=True"))
	write(t, filepath.Join(dir, "kustomization.yaml"),
		"resources: [istio.yaml, usage.yaml]\ntransformers:\n"+transformer("render-istio"))
	out, err := kustomizeBuild(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	want := "warning: UsageReport/west: a usage report has no effect here: nothing remembers earlier revisions"
	if !strings.Contains(out.stderr, want) {
		t.Errorf("stderr does not say %q:\n%s", want, out.stderr)
	}
}

// TestKustomizeEarlierRevision: a label of a revision that kustomize does not remember is probably right, and the user
// is told what it is taken for.
func TestKustomizeEarlierRevision(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "istio.yaml"), istio("v1.28.3", "RevisionBased"))
	write(t, filepath.Join(dir, "app.yaml"), kubernetesNamespace("app", "istio.io/rev: default-v1-27-0"))
	write(t, filepath.Join(dir, "kustomization.yaml"),
		"resources: [istio.yaml, app.yaml]\ntransformers:\n"+transformer("render-istio"))
	out, err := kustomizeBuild(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	want := "info: Namespace/app: istio.io/rev: default-v1-27-0 is not in the package, but may be an earlier revision " +
		"of Istio/default that is in the cluster; move the label to default-v1-28-3 when that one is ready"
	if !strings.Contains(out.stderr, want) {
		t.Errorf("stderr does not say %q:\n%s", want, out.stderr)
	}
}

// transformer is an entry of a kustomization's transformers.
func transformer(function string) string {
	return "- |-\n  apiVersion: v1\n  kind: ConfigMap\n  metadata:\n    name: " + function + "\n    annotations:\n" +
		"      config.kubernetes.io/function: \"exec: {path: " + function + "}\"\n"
}
