package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

const (
	scenariosDir = root + "/examples/kustomize"
	packagesDir  = root + "/examples/kpt"
)

// The two examples of kustomize's generator form have tests of their own (kustomize_test.go), and no package for kpt.
var generatorExamples = []string{"default", "overlay"}

// updated are the scenarios about an update. The step is the same in each, one line of istio.yaml.
var updated = map[string]struct{ from, to string }{
	"in-place-update":       {"version: v1.27.0", "version: v1.28.3"},
	"revision-based-update": {"version: v1.27.0", "version: v1.28.3"},
	"revision-tag":          {"version: v1.27.0", "version: v1.28.3"},
}

// scenario is a scenario of the user guide, or one cluster of it: a kustomization below examples/kustomize, and a
// package of kpt below examples/kpt.
type scenario struct{ name, cluster string }

func (s scenario) String() string { return strings.TrimSuffix(s.name+"/"+s.cluster, "/") }

func (s scenario) dir() string { return filepath.Join(scenariosDir, s.name, s.cluster) }

func (s scenario) kptDir() string { return filepath.Join(packagesDir, s.name, s.cluster) }

// golden is the file with what kustomize prints, after the update if there is one.
func (s scenario) golden(after bool) string {
	name := "all"
	switch {
	case after:
		name = "updated"
	case s.cluster != "":
		name = s.cluster
	}
	return filepath.Join(scenariosDir, s.name, ".expected", name+".yaml")
}

// scenarios finds the packages. Every folder is one, or has nothing but clusters that are.
func scenarios(t *testing.T) []scenario {
	t.Helper()
	var all []scenario
	for _, name := range folders(t, scenariosDir) {
		if slices.Contains(generatorExamples, name) {
			continue
		}
		if isPackage(t, filepath.Join(scenariosDir, name)) {
			all = append(all, scenario{name: name})
			continue
		}
		clusters := folders(t, filepath.Join(scenariosDir, name))
		if len(clusters) == 0 {
			t.Errorf("examples/kustomize/%s has no kustomization.yaml", name)
		}
		for _, cluster := range clusters {
			s := scenario{name, cluster}
			if !isPackage(t, s.dir()) {
				t.Errorf("examples/kustomize/%s has no kustomization.yaml", s)
			}
			all = append(all, s)
		}
	}
	if len(all) < 18 {
		t.Errorf("only %d packages found: %v", len(all), all)
	}
	return all
}

func folders(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			out = append(out, e.Name())
		}
	}
	return out
}

func isPackage(t *testing.T, dir string) bool {
	t.Helper()
	_, err := os.Stat(filepath.Join(dir, "kustomization.yaml"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return err == nil
}

// TestScenariosGolden renders every scenario with kustomize, before and after its update.
func TestScenariosGolden(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			s.compare(t, s.dir(), s.golden(false))
			step, ok := updated[s.name]
			if !ok {
				return
			}
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(s.dir())); err != nil {
				t.Fatal(err)
			}
			edit(t, filepath.Join(dir, "istio.yaml"), step.from, step.to)
			s.compare(t, dir, s.golden(true))
		})
	}
}

// compare renders a directory and compares the output with a golden file.
func (s scenario) compare(t *testing.T, dir, golden string) {
	t.Helper()
	out, err := kustomizeBuild(t, dir)
	if err != nil {
		t.Fatalf("%v\n%s", err, out.stderr)
	}
	s.onlyEndOfLife(t, out.stderr)
	got := shortCRDs(out.stdout)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		write(t, golden, got)
		return
	}
	if diff := cmp.Diff(strings.Split(read(t, golden), "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("%s (if that is meant, `make golden` and review the diff): -want +got:\n%s", golden, diff)
	}
}

// shortCRDs drops the specs of Istio's CRDs: 600 KB, of which only their being there matters here.
func shortCRDs(text string) string {
	docs := strings.Split(text, "\n---\n")
	for i, doc := range docs {
		if strings.Contains(doc, "\nkind: CustomResourceDefinition\n") {
			docs[i], _, _ = strings.Cut(doc, "\nspec:\n")
		}
	}
	return strings.Join(docs, "\n---\n")
}

func (s scenario) onlyEndOfLife(t *testing.T, said string) {
	t.Helper()
	for line := range strings.Lines(said) {
		if strings.Contains(line, "warning") && !strings.Contains(line, "reached its end of life") {
			t.Errorf("unexpected warning: %s", line)
		}
	}
}

// TestScenariosKpt renders every scenario as a package and expects the objects that kustomize gives. A RevisionBased
// update keeps the old revision besides: the package remembers.
func TestScenariosKpt(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			r := newRepo(t, func(dir string) {
				if err := os.CopyFS(dir, os.DirFS(s.kptDir())); err != nil {
					t.Fatal(err)
				}
				// A Kptfile in its place would make the folder a part of the repository's own package.
				if err := os.Rename(filepath.Join(dir, "Kptfile.example"), filepath.Join(dir, "Kptfile")); err != nil {
					t.Fatal(err)
				}
			})
			said := words(s.renderTwice(t, r))
			for _, ask := range []string{
				"Argo CD does not know", "got the annotation lateen.io/rendered-by",
				"nothing says where Istio's CRDs come from",
			} {
				if strings.Contains(said, ask) {
					t.Errorf("there is something left to do for whoever copies the example: %s\n%s", ask, said)
				}
			}
			want := plain(t, read(t, s.golden(false)))
			argocdSkips(t, r.dir)
			if diff := cmp.Diff(want, packageObjects(t, r.dir)); diff != "" {
				t.Errorf("-kustomize +kpt:\n%s", diff)
			}
			step, ok := updated[s.name]
			if !ok {
				return
			}
			edit(t, r.path("istio.yaml"), step.from, step.to)
			s.renderTwice(t, r)
			after := plain(t, read(t, s.golden(true)))
			if strings.Contains(read(t, r.path("istio.yaml")), "RevisionBased") {
				maps.Copy(want, after)
				after = want
			}
			if diff := cmp.Diff(after, packageObjects(t, r.dir)); diff != "" {
				t.Errorf("after the update: -kustomize +kpt:\n%s", diff)
			}
		})
	}
}

// argocdSkips expects that Argo CD applies of a package what the others apply: it leaves out each file that has its
// comment, and knows nothing of local-config.
func argocdSkips(t *testing.T, dir string) {
	t.Helper()
	for _, file := range yamlFiles(t, dir) {
		text := read(t, file)
		for key, o := range objects(t, text) {
			local := lookup(o, "metadata", "annotations", "config.kubernetes.io/local-config") == "true"
			if skipped := strings.Contains(text, "+argocd:skip-file-rendering"); local != skipped {
				t.Errorf("%s: %s stays in Git: %v; Argo CD leaves it out: %v", file, key, local, skipped)
			}
		}
	}
}

// renderTwice renders a package, commits, and expects that the second time changes nothing. It returns what kpt said
// first.
func (s scenario) renderTwice(t *testing.T, r repo) string {
	t.Helper()
	said := r.render()
	s.onlyEndOfLife(t, said)
	r.commit()
	r.render()
	if changed := r.status(); changed != "" {
		t.Errorf("rendering twice changed:\n%s%s", changed, r.git("diff"))
	}
	return said
}

// packageObjects are the plain objects in the files of a package.
func packageObjects(t *testing.T, dir string) map[string]map[string]any {
	t.Helper()
	var all []string
	for _, file := range yamlFiles(t, dir) {
		all = append(all, read(t, file))
	}
	return plain(t, strings.Join(all, "\n---\n"))
}

// yamlFiles are the files of a package that Argo CD and Flux read.
func yamlFiles(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != dir && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case filepath.Ext(path) == ".yaml":
			all = append(all, path)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// plain reads objects as far as kustomize and kpt agree about them: no resources of sailoperator.io, and no requests to
// GitOps tools, which only kustomize needs because it remembers nothing.
func plain(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	all := objects(t, text)
	for key, o := range all {
		if strings.HasPrefix(fmt.Sprint(o["apiVersion"]), "sailoperator.io/") {
			delete(all, key)
		}
		if o["kind"] == "CustomResourceDefinition" {
			delete(o, "spec") // as in the golden file
		}
		if annotations, _ := lookup(o, "metadata", "annotations").(map[string]any); annotations != nil {
			delete(annotations, "argocd.argoproj.io/sync-options")
			delete(annotations, "argocd.argoproj.io/compare-options")
			delete(annotations, "kustomize.toolkit.fluxcd.io/prune")
			if meta, _ := o["metadata"].(map[string]any); len(annotations) == 0 {
				delete(meta, "annotations")
			}
		}
	}
	return all
}

// lookup follows keys of maps, and names of the elements of lists.
func lookup(from any, path ...string) any {
	for _, step := range path {
		switch v := from.(type) {
		case map[string]any:
			from = v[step]
		case []any:
			from = nil
			for _, e := range v {
				if m, _ := e.(map[string]any); m["name"] == step {
					from = m
				}
			}
		default:
			return nil
		}
	}
	return from
}

// fence finds fenced blocks, also those of a list.
var fence = regexp.MustCompile("(?s)\n *```(\\w+)\n(.*?)\n *```\n")

// TestScenariosReadme runs the commands of every README as they are written, from the root of a copy of the repository
// with the functions on PATH, and finds in what they print each line that the README shows.
func TestScenariosReadme(t *testing.T) {
	programs := map[string]string{} // by folder: what its README is to show
	for _, s := range scenarios(t) {
		programs["examples/kustomize/"+s.name], programs["examples/kpt/"+s.name] = "kustomize build ", "kpt fn render "
	}
	tools := t.TempDir()
	for _, name := range []string{"kustomize", "kpt"} {
		path, err := filepath.Abs(tool(t, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(path, filepath.Join(tools, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, program := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			to := filepath.Join(dir, name)
			if err := os.CopyFS(to, os.DirFS(filepath.Join(root, name))); err != nil {
				t.Fatal(err)
			}
			var script strings.Builder
			var shown []string
			for _, block := range fence.FindAllStringSubmatch(read(t, filepath.Join(to, "README.md")), -1) {
				switch block[1] {
				case "sh":
					script.WriteString(block[2] + "\n")
				case "yaml", "text":
					shown = append(shown, strings.Split(block[2], "\n")...)
				}
			}
			if !strings.Contains(script.String(), program) {
				t.Errorf("README.md does not say how to run %s", program)
			}
			path := strings.Join([]string{bin, tools, os.Getenv("PATH")}, string(os.PathListSeparator))
			out := run{dir: dir, env: []string{"PATH=" + path}}.must(t, "bash", "-euo", "pipefail", "-c", script.String())
			printed := map[string]bool{}
			for line := range strings.Lines(out.stdout + "\n" + out.stderr) {
				printed[strings.TrimSpace(line)] = true
			}
			for _, line := range shown {
				if line = strings.TrimSpace(line); line != "" && line != "..." && !printed[line] {
					t.Errorf("README.md shows a line that its commands do not print: %s", line)
				}
			}
		})
	}
}

// elsewhere are the API groups of other products in the scenarios, whose CRDs come with these products. The README says
// so.
var elsewhere = []string{"kiali.io", "k8s.cni.cncf.io", "monitoring.coreos.com", "sailoperator.io"}

// TestScenariosOnEmptyCluster: what a scenario needs to be applied is in it, or is another product's.
func TestScenariosOnEmptyCluster(t *testing.T) {
	for _, s := range scenarios(t) {
		all := objects(t, read(t, s.golden(false)))
		namespaces, groups := map[any]bool{"default": true, "kube-system": true, nil: true}, map[string]bool{}
		for _, o := range all {
			name := fmt.Sprint(lookup(o, "metadata", "name"))
			switch o["kind"] {
			case "Namespace":
				namespaces[name] = true
			case "CustomResourceDefinition":
				_, group, _ := strings.Cut(name, ".")
				groups[group] = true
			}
		}
		for key, o := range all {
			if ns := lookup(o, "metadata", "namespace"); !namespaces[ns] {
				t.Errorf("%s: %s: the namespace %v is not there", s, key, ns)
			}
			group, _, named := strings.Cut(fmt.Sprint(o["apiVersion"]), "/")
			builtIn := !named || !strings.Contains(group, ".") ||
				strings.HasSuffix(group, ".k8s.io") && !strings.Contains(group, "gateway")
			if !builtIn && !groups[group] && !slices.Contains(elsewhere, group) {
				t.Errorf("%s: %s: the CRD is not there", s, key)
			}
		}
	}
}

// TestScenarioNames checks the names that the user guide promises, and that users write into other resources.
func TestScenarioNames(t *testing.T) {
	for _, c := range []struct {
		golden string
		want   []string
	}{
		{"multiple-meshes/.expected/all", []string{
			"ValidatingWebhookConfiguration <nil>/istio-validator-mesh1-istio-system1",
			"ValidatingWebhookConfiguration <nil>/istio-validator-mesh2-istio-system2",
			"MutatingWebhookConfiguration <nil>/istio-sidecar-injector-mesh1-istio-system1",
			"MutatingWebhookConfiguration <nil>/istio-sidecar-injector-mesh2-istio-system2",
			"Deployment istio-system1/istiod-mesh1", "Deployment istio-system2/istiod-mesh2",
		}},
		{
			"in-place-update/.expected/all",
			[]string{"Deployment istio-system/istiod", "MutatingWebhookConfiguration <nil>/istio-sidecar-injector"},
		},
		{"in-place-update/.expected/updated", []string{"Deployment istio-system/istiod"}},
		{"revision-based-update/.expected/all", []string{
			"Istio <nil>/default", "IstioRevision <nil>/default-v1-27-0", "Deployment istio-system/istiod-default-v1-27-0",
		}},
		{"revision-based-update/.expected/updated", []string{
			"IstioRevision <nil>/default-v1-28-3", "Deployment istio-system/istiod-default-v1-28-3",
		}},
		{"revision-tag/.expected/all", []string{
			"IstioRevisionTag <nil>/default", "MutatingWebhookConfiguration <nil>/istio-revision-tag-default",
			"ValidatingWebhookConfiguration <nil>/istiod-default-validator",
			"ServiceAccount istio-system/istio-reader-service-account",
		}},
		{
			"primary-remote/.expected/cluster1",
			[]string{"Service istio-system/istio-eastwestgateway", "Service istio-system/istiod"},
		},
		// What istioctl create-remote-secret reads the token of.
		{"primary-remote/.expected/cluster2", []string{"ServiceAccount istio-system/istio-reader-service-account"}},
		{"multi-primary/.expected/cluster1", []string{"ServiceAccount istio-system/istio-reader-service-account"}},
		{"multi-primary/.expected/cluster2", []string{"ServiceAccount istio-system/istio-reader-service-account"}},
		{"external-control-plane/.expected/cluster2", []string{"ServiceAccount external-istiod/istiod-external-istiod"}},
		{"external-control-plane/.expected/cluster1", []string{
			"Service istio-system/istio-ingressgateway", "Service external-istiod/istiod-external-istiod",
			// What the volumes in external-istiod.yaml are.
			"ConfigMap external-istiod/istio-external-istiod",
			"ConfigMap external-istiod/istio-sidecar-injector-external-istiod",
		}},
		{"cni/.expected/all", []string{"DaemonSet istio-cni/istio-cni-node"}},
		{
			"openshift/.expected/all", []string{
				"DaemonSet istio-cni/istio-cni-node", "NetworkAttachmentDefinition default/istio-cni",
			},
		},
	} {
		all := objects(t, read(t, filepath.Join(scenariosDir, c.golden+".yaml")))
		for _, key := range c.want {
			if all[key] == nil {
				t.Errorf("%s has no %s", c.golden, key)
			}
		}
	}
}

// TestScenarioFields checks fields that connect one resource with another, or that the scenario is about.
func TestScenarioFields(t *testing.T) {
	for _, c := range []struct {
		golden, key string
		path        []string
		want        any // a string that starts with "~" is contained
	}{
		{
			"in-place-update/.expected/all", "Deployment istio-system/istiod",
			[]string{"spec", "template", "spec", "containers", "discovery", "image"},
			"docker.io/istio/pilot:1.27.0",
		},
		{
			"in-place-update/.expected/updated", "Deployment istio-system/istiod",
			[]string{"spec", "template", "spec", "containers", "discovery", "image"},
			"docker.io/istio/pilot:1.28.3",
		},
		{
			"revision-tag/.expected/all", "ValidatingWebhookConfiguration <nil>/istiod-default-validator",
			[]string{"webhooks", "validation.istio.io", "clientConfig", "service", "name"},
			"istiod-default-v1-27-0",
		},
		{
			"revision-tag/.expected/updated", "ValidatingWebhookConfiguration <nil>/istiod-default-validator",
			[]string{"webhooks", "validation.istio.io", "clientConfig", "service", "name"},
			"istiod-default-v1-28-3",
		},
		{
			"multiple-meshes/.expected/all", "ConfigMap istio-system2/istio-mesh2",
			[]string{"data", "mesh"},
			"~discoverySelectors:\n- matchLabels:\n    mesh: mesh2\n",
		},
		{
			"multi-primary/.expected/cluster2", "ConfigMap istio-system/istio-sidecar-injector",
			[]string{"data", "values"},
			`~"network": "network2"`,
		},
		{
			"multi-primary/.expected/cluster2", "Deployment istio-system/istiod",
			[]string{"spec", "template", "spec", "containers", "discovery", "env", "CLUSTER_ID", "value"},
			"cluster2",
		},
		{
			"primary-remote/.expected/cluster1", "Deployment istio-system/istiod",
			[]string{"spec", "template", "spec", "containers", "discovery", "env", "EXTERNAL_ISTIOD", "value"},
			"true",
		},
		{
			"primary-remote/.expected/cluster2", "MutatingWebhookConfiguration <nil>/istio-sidecar-injector",
			[]string{"webhooks", "namespace.sidecar-injector.istio.io", "clientConfig", "service", "path"},
			"/inject/cluster/remote/net/network2",
		},
		{
			"external-control-plane/.expected/cluster2",
			"MutatingWebhookConfiguration <nil>/istio-sidecar-injector-external-istiod-external-istiod",
			[]string{"webhooks", "rev.namespace.sidecar-injector.istio.io", "clientConfig", "service", "path"},
			"/inject/cluster/cluster2/net/network1",
		},
		// the guide's spec.global
		{
			"external-control-plane/.expected/cluster1", "ConfigMap istio-system/istio-sidecar-injector",
			[]string{"data", "values"},
			`~"network": "network1"`,
		},
		{
			"external-control-plane/.expected/cluster1", "ConfigMap external-istiod/istio-external-istiod",
			[]string{"data", "mesh"},
			"~discoveryAddress: 192.0.2.20:15012",
		},
		{"dual-stack/.expected/all", "Service istio-system/istiod", []string{"spec", "ipFamilyPolicy"}, "RequireDualStack"},
		{
			"dual-stack/.expected/all", "Deployment istio-system/istiod",
			[]string{"spec", "template", "spec", "containers", "discovery", "env", "ISTIO_DUAL_STACK", "value"},
			"true",
		},
		{"cni/.expected/all", "ConfigMap istio-cni/istio-cni-config", []string{"data", "CNI_NET_DIR"}, "/etc/cni/net.d"},
		{"cni/.expected/all", "ConfigMap istio-cni/istio-cni-config", []string{"data", "EXCLUDED_NAMESPACES"}, "kube-system"},
		{
			"openshift/.expected/all", "DaemonSet istio-cni/istio-cni-node",
			[]string{"spec", "template", "spec", "volumes", "cni-net-dir", "hostPath", "path"},
			"/etc/cni/multus/net.d",
		},
		{
			"tracing/.expected/all", "ConfigMap istio-system/istio",
			[]string{"data", "mesh"},
			"~- name: otel-tracing\n  opentelemetry:\n    port: 4317\n" +
				"    service: otel-collector.istio-system.svc.cluster.local\n",
		},
	} {
		all := objects(t, read(t, filepath.Join(scenariosDir, c.golden+".yaml")))
		got := lookup(all[c.key], c.path...)
		if part, contained := strings.CutPrefix(fmt.Sprint(c.want), "~"); contained {
			if !strings.Contains(fmt.Sprint(got), part) {
				t.Errorf("%s, %s: %v does not contain %q:\n%v", c.golden, c.key, c.path, part, got)
			}
		} else if got != c.want {
			t.Errorf("%s, %s: %v is %v, want %v", c.golden, c.key, c.path, got, c.want)
		}
	}
}

// TestScenarioReferences follows the names that one resource of a scenario has of another.
func TestScenarioReferences(t *testing.T) {
	get := func(golden string) map[string]map[string]any {
		return objects(t, read(t, filepath.Join(scenariosDir, golden+".yaml")))
	}
	t.Run("an external istiod patches the webhooks of the other cluster", func(t *testing.T) {
		here, there := get("external-control-plane/.expected/cluster1"), get("external-control-plane/.expected/cluster2")
		env := lookup(here["Deployment external-istiod/istiod-external-istiod"], "spec", "template", "spec", "containers",
			"discovery", "env")
		for name, kind := range map[string]string{
			"INJECTION_WEBHOOK_CONFIG_NAME":  "MutatingWebhookConfiguration",
			"VALIDATION_WEBHOOK_CONFIG_NAME": "ValidatingWebhookConfiguration",
		} {
			if key := fmt.Sprintf("%s <nil>/%v", kind, lookup(env, name, "value")); there[key] == nil {
				t.Errorf("%s: cluster2 has no %s", name, key)
			}
		}
	})
	for golden, kiali := range map[string]string{
		"kiali/.expected/all": "kiali", "kiali-openshift/.expected/all": "kiali-user-workload-monitoring",
	} {
		t.Run(golden, func(t *testing.T) {
			all := get(golden)
			istio := lookup(all["Kiali istio-system/"+kiali], "spec", "external_services", "istio")
			for field, kind := range map[string]string{
				"config_map_name": "ConfigMap", "istio_sidecar_injector_config_map_name": "ConfigMap",
				"istiod_deployment_name": "Deployment",
			} {
				if key := fmt.Sprintf("%s istio-system/%v", kind, lookup(istio, field)); all[key] == nil {
					t.Errorf("%s: there is no %s", field, key)
				}
			}
			if url := lookup(istio, "url_service_version"); url != "http://istiod-test.istio-system:15014/version" ||
				!hasPort(all["Service istio-system/istiod-test"], 15014) {
				t.Errorf("url_service_version: no Service has %v", url)
			}
		})
	}
	t.Run("the ServiceMonitor finds istiod", func(t *testing.T) {
		all := get("metrics/.expected/all")
		service, monitor := all["Service istio-system/istiod"], all["ServiceMonitor istio-system/istiod-monitor"]
		if !selects(t, lookup(monitor, "spec", "selector"), stringMap(lookup(service, "metadata", "labels"))) {
			t.Error("the selector does not match the Service's labels")
		}
		if lookup(service, "spec", "ports", "http-monitoring") == nil {
			t.Error("the Service has no port http-monitoring")
		}
	})
}

// TestScenariosHangTogether: in each cluster, webhooks and routes point at Services that are there, gateways have pods,
// and what is labelled for injection is injected by exactly one webhook.
func TestScenariosHangTogether(t *testing.T) {
	for _, s := range scenarios(t) {
		t.Run(s.String(), func(t *testing.T) {
			all := objects(t, read(t, s.golden(false)))
			for key, o := range all {
				switch o["kind"] {
				case "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration":
					for _, w := range list(o["webhooks"]) {
						service := lookup(w, "clientConfig", "service")
						target := fmt.Sprintf("Service %v/%v", lookup(service, "namespace"), lookup(service, "name"))
						if service != nil && all[target] == nil {
							t.Errorf("%s: %v calls %s, which is not there", key, lookup(w, "name"), target)
						}
					}
				case "Gateway":
					selector := labels.SelectorFromSet(stringMap(lookup(o, "spec", "selector")))
					if !slices.ContainsFunc(deployments(all), func(d map[string]any) bool {
						return selector.Matches(labels.Set(podLabels(d)))
					}) {
						t.Errorf("%s selects no Deployment", key)
					}
				case "VirtualService":
					for _, route := range list(lookup(o, "spec", "tls")) {
						destination := lookup(list(lookup(route, "route"))[0], "destination")
						parts := strings.Split(fmt.Sprint(lookup(destination, "host")), ".")
						if service := all["Service "+parts[1]+"/"+parts[0]]; !hasPort(service, lookup(destination, "port", "number")) {
							t.Errorf("%s routes to %v, which is not there", key, destination)
						}
					}
				case "Namespace":
					ns := stringMap(lookup(o, "metadata", "labels"))
					if ns["istio-injection"] == "enabled" || ns["istio.io/rev"] != "" {
						injectedOnce(t, all, key, ns, nil)
					}
				case "Deployment":
					if pod := podLabels(o); pod["sidecar.istio.io/inject"] == "true" {
						ns := all[fmt.Sprint("Namespace <nil>/", lookup(o, "metadata", "namespace"))]
						injectedOnce(t, all, key, stringMap(lookup(ns, "metadata", "labels")), pod)
					}
				}
			}
		})
	}
}

// injectedOnce expects that one webhook selects a pod.
func injectedOnce(t *testing.T, all map[string]map[string]any, what string, namespace, pod map[string]string) {
	t.Helper()
	var by []string
	for key, o := range all {
		if o["kind"] != "MutatingWebhookConfiguration" {
			continue
		}
		for _, w := range list(o["webhooks"]) {
			if selects(t, lookup(w, "namespaceSelector"), namespace) && selects(t, lookup(w, "objectSelector"), pod) {
				by = append(by, fmt.Sprint(key, " ", lookup(w, "name")))
			}
		}
	}
	if len(by) != 1 {
		t.Errorf("%s: %d webhooks inject it: %v", what, len(by), by)
	}
}

func selects(t *testing.T, selector any, set map[string]string) bool {
	t.Helper()
	data, err := yaml.Marshal(selector)
	if err != nil {
		t.Fatal(err)
	}
	var typed metav1.LabelSelector
	if err := yaml.UnmarshalStrict(data, &typed); err != nil {
		t.Fatal(err)
	}
	s, err := metav1.LabelSelectorAsSelector(&typed)
	if err != nil {
		t.Fatal(err)
	}
	return s.Matches(labels.Set(set))
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

func stringMap(v any) map[string]string {
	out := map[string]string{}
	m, _ := v.(map[string]any)
	for k, s := range m {
		out[k] = fmt.Sprint(s)
	}
	return out
}

func deployments(all map[string]map[string]any) []map[string]any {
	var out []map[string]any
	for _, o := range all {
		if o["kind"] == "Deployment" {
			out = append(out, o)
		}
	}
	return out
}

func podLabels(deployment map[string]any) map[string]string {
	return stringMap(lookup(deployment, "spec", "template", "metadata", "labels"))
}

func hasPort(service map[string]any, number any) bool {
	return slices.ContainsFunc(list(lookup(service, "spec", "ports")), func(p any) bool {
		return fmt.Sprint(lookup(p, "port")) == fmt.Sprint(number)
	})
}
