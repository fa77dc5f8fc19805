package render_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/values"
)

// bundles are the charts that helm gets: the very files that are embedded.
const bundles = "../release/bundles"

// helm is the real Helm command; `make test` builds it.
func helm(t *testing.T) string {
	t.Helper()
	path := os.Getenv("LATEEN_HELM")
	if path == "" {
		if testing.Short() || os.Getenv("CI") == "" {
			t.Skip("LATEEN_HELM does not name a helm binary; run the tests with `make test`")
		}
		t.Fatal("LATEEN_HELM does not name a helm binary")
	}
	return path
}

// valueSet is what a user sets.
type valueSet struct {
	name      string
	namespace string // istio-system if empty
	revision  string // default if empty
	values    string // YAML
}

// valueSets have the samples of the user guide among them.
var valueSets = []valueSet{
	{name: "nothing"},
	{name: "named revision in its own namespace (two meshes)", namespace: "istio-system1", revision: "mesh1", values: `
meshConfig:
  discoverySelectors:
  - matchLabels: {mesh: mesh1}
`},
	{name: "resources of the guide's first sample", values: `
pilot: {resources: {requests: {cpu: 100m, memory: 1024Mi}}}
`},
	{name: "mesh configuration and trace sampling (migration)", revision: "default-v1-28-3", values: `
meshConfig: {accessLogFile: /dev/stdout}
pilot: {traceSampling: 0.1}
`},
	{name: "quoted env and analysis", values: `
global: {istiod: {enableAnalysis: true}}
pilot: {env: {PILOT_ENABLE_STATUS: "true"}}
`},
	{name: "multi-primary", values: `
global: {meshID: mesh1, multiCluster: {clusterName: cluster1}, network: network1}
`},
	{name: "primary of primary-remote", values: `
pilot: {env: {EXTERNAL_ISTIOD: "true"}}
global: {meshID: mesh1, multiCluster: {clusterName: cluster1}, network: network1}
`},
	{name: "remote", values: `
istiodRemote: {injectionPath: /inject/cluster/remote/net/network2}
global: {remotePilotAddress: 172.18.0.200}
`},
	{
		name: "remote config cluster of an external control plane", namespace: "external-istiod", revision: "external-istiod",
		values: `
global: {remotePilotAddress: 172.18.0.200, configCluster: true}
pilot: {configMap: true}
istiodRemote: {injectionPath: /inject/cluster/cluster2/net/network1}
`,
	},
	{name: "external control plane", namespace: "external-istiod", revision: "external-istiod", values: `
meshConfig:
  rootNamespace: external-istiod
  defaultConfig: {discoveryAddress: "172.18.0.200:15012"}
pilot:
  enabled: true
  volumes:
  - {name: config-volume, configMap: {name: istio-external-istiod}}
  - {name: inject-volume, configMap: {name: istio-sidecar-injector-external-istiod}}
  volumeMounts:
  - {name: config-volume, mountPath: /etc/istio/config}
  - {name: inject-volume, mountPath: /var/lib/istio/inject}
  env:
    INJECTION_WEBHOOK_CONFIG_NAME: istio-sidecar-injector-external-istiod-external-istiod
    VALIDATION_WEBHOOK_CONFIG_NAME: istio-validator-external-istiod-external-istiod
    EXTERNAL_ISTIOD: "true"
    LOCAL_CLUSTER_SECRET_WATCHER: "true"
    CLUSTER_ID: cluster2
    SHARED_MESH_CONFIG: istio
global:
  caAddress: "172.18.0.200:15012"
  operatorManageWebhooks: true
  configValidation: false
  meshID: mesh1
  multiCluster: {clusterName: cluster2}
  network: network1
`},
	{name: "dual-stack", values: `
meshConfig: {defaultConfig: {proxyMetadata: {ISTIO_DUAL_STACK: "true"}}}
pilot: {ipFamilyPolicy: RequireDualStack, env: {ISTIO_DUAL_STACK: "true"}}
`},
	{name: "tracing with an extension provider", values: `
meshConfig:
  enableTracing: true
  extensionProviders:
  - name: otel-tracing
    opentelemetry: {port: 4317, service: otel-collector.istio-system.svc.cluster.local}
`},
	{name: "highly available with affinity and tolerations", values: `
pilot:
  autoscaleMin: 3
  autoscaleMax: 7
  cni: {enabled: true}
  nodeSelector: {kubernetes.io/os: linux}
  tolerations: [{key: dedicated, operator: Equal, value: mesh, effect: NoSchedule}]
  affinity:
    podAntiAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
      - {topologyKey: kubernetes.io/hostname, labelSelector: {matchLabels: {app: istiod}}}
  podAnnotations: {example.com/note: "yes"}
global:
  defaultPodDisruptionBudget: {enabled: true}
  priorityClassName: system-cluster-critical
  imagePullSecrets: [regcred]
  logAsJson: true
`},
	{name: "autoscaling off, own image, fixed certificates", revision: "canary", values: `
pilot: {autoscaleEnabled: false, replicaCount: 2, image: "registry.example.com/pilot:1.2.3", rollingMaxSurge: 2}
base: {validationCABundle: Q0E=}
sidecarInjectorWebhook: {enableNamespacesByDefault: true, neverInjectSelector: [{matchLabels: {job: "1"}}]}
istiodRemote: {injectionURL: "https://istiod.example.com/inject"}
`},
	{name: "what looks like something else: numbers, booleans, nulls, templates", values: `
pilot: {env: {N: "0123", B: "yes", E: "", T: "{{ not a template }}", D: "${NOT_FLUX}"}, extraContainerArgs: ["--x=1e3"]}
global: {proxy: {clusterDomain: cluster.example, holdApplicationUntilProxyStarts: null,
  resources: {limits: {cpu: "2"}}}}
meshConfig: {defaultConfig: {concurrency: 0, terminationDrainDuration: 1000000s}}
`},
}

// TestRenderEqualsHelm is the promise of the project: over all bundled versions, all profiles and all value sets above,
// the objects are those of `helm template`: of Helm's library for all, and of its program for each profile of each
// version with one of the value sets, in turn.
func TestRenderEqualsHelm(t *testing.T) {
	processes := helmProcesses(t)
	versions := release.Bundled().Versions()
	if testing.Short() {
		versions = versions[len(versions)-1:]
	}
	base := map[string]string{}
	for _, version := range versions {
		base[version] = copyWithoutCRDs(t, filepath.Join(bundles, version, "base"))
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	turn := 0
	for _, version := range versions {
		for _, profile := range values.Profiles {
			turn++
			for i, set := range valueSets {
				check := i == turn%len(valueSets)
				wg.Add(1)
				slots <- struct{}{}
				go func() {
					defer func() { <-slots; wg.Done() }()
					name := version + "/" + profile + "/" + set.name
					if diff, err := compareWithHelm(t.Context(), processes, check, base[version], version, profile, set); err != nil {
						t.Errorf("%s: %v", name, err)
					} else if diff != "" {
						t.Errorf("%s: -helm +lateen:\n%s", name, diff)
					}
				}()
			}
		}
	}
	wg.Wait()
}

// copyWithoutCRDs copies a chart without its CRDs. Helm needs half a second of CPU for them on each call, and
// TestCRDsEqualHelm has them.
func copyWithoutCRDs(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"crds", "templates/crds.yaml"} {
		if err := os.RemoveAll(filepath.Join(to, name)); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// compareWithHelm renders one Istio and the same by helm, from values that this test puts together on its own: Istio's
// profile file, the user's values, and the few settings that belong to the resource.
func compareWithHelm(
	ctx context.Context, p *processes, check bool, baseWithoutCRDs, version, profile string, set valueSet,
) (string, error) {
	namespace, revision, user := set.namespace, set.revision, set.values
	if namespace == "" {
		namespace = "istio-system"
	}
	if revision == "" {
		revision = "default"
	}
	istioRevision := revision
	if revision == "default" {
		istioRevision = ""
	}
	layers := []string{
		fmt.Sprintf("global: {istioNamespace: %s, configValidation: true}", namespace),
		"", user,
		fmt.Sprintf("{revision: %q, global: {istioNamespace: %s}}", istioRevision, namespace),
	}
	main := "istiod"
	if profile == "remote" && strings.HasPrefix(version, "v1.23.") {
		main = "istiod-remote"
		if revision == "default" {
			layers = append(layers, "defaultRevision: default")
		} else {
			layers = append(layers, "defaultRevision: ''")
		}
	} else if profile != "default" {
		var err error
		if layers[1], err = profileValues(version, profile); err != nil {
			return "", err
		}
	}
	got, gotErr := renderIstio(version, profile, namespace, revision, user, false)
	want, err := p.template(ctx, check, revision+"-istiod", namespace, filepath.Join(bundles, version, main), layers)
	// a chart that gives two objects of one name cannot be installed by Helm either
	if twice, ok := errors.AsType[*twiceError](err); ok {
		if gotErr == nil || !strings.Contains(gotErr.Error(), fmt.Sprintf("render %s twice", twice.id)) {
			return "", fmt.Errorf("helm renders %s twice, Lateen says: %w", twice.id, gotErr)
		}
		return "", nil
	}
	if err := errors.Join(err, gotErr); err != nil {
		return "", err
	}
	if main == "istiod-remote" { // CRDs are an option of Lateen's
		maps.DeleteFunc(want, func(id manifest.ID, _ map[string]any) bool { return id.Kind == "CustomResourceDefinition" })
	}
	if revision == "default" && main == "istiod" {
		base, err := p.template(ctx, check, "default-base", namespace, baseWithoutCRDs,
			append(layers, "{defaultRevision: default, global: {remotePilotAddress: ''}}"))
		if err != nil {
			return "", err
		}
		maps.Copy(want, base)
	}
	return cmp.Diff(withoutAdditions(want), withoutAdditions(got)), nil
}

// profileValues are the Helm values of Istio's own profile file.
func profileValues(version, profile string) (string, error) {
	data, err := os.ReadFile(filepath.Join(bundles, version, "profiles", profile+".yaml"))
	if err != nil {
		return "", err
	}
	var p struct {
		Spec struct {
			Values map[string]any `json:"values"`
		} `json:"spec"`
	}
	if err := sigsyaml.Unmarshal(data, &p); err != nil {
		return "", err
	}
	out, err := json.Marshal(p.Spec.Values)
	return string(out), err
}

// template gives what the helm program makes of a chart.
func template(
	ctx context.Context, bin, releaseName, namespace, chartDir string, layers []string, more ...string,
) (map[manifest.ID]map[string]any, error) {
	files, remove, err := valuesFiles(layers)
	if err != nil {
		return nil, err
	}
	defer remove()
	out, err := helmTemplate(ctx, bin, releaseName, namespace, chartDir, files, more...)
	if err != nil {
		return nil, err
	}
	return parseAll(out)
}

func renderIstio(
	version, profile, namespace, revision, user string, crdsOnly bool,
) (map[manifest.ID]map[string]any, error) {
	rel, err := release.Bundled().Resolve(version, nil)
	if err != nil {
		return nil, err
	}
	istio := &v1.Istio{
		Spec: v1.IstioSpec{Version: v1.Version(version), Namespace: namespace, Profile: v1.Profile(profile)},
	}
	istio.Name = revision
	raw, err := sigsyaml.YAMLToJSON([]byte(user))
	if err != nil {
		return nil, err
	}
	if user != "" {
		istio.Spec.Values = &v1.Values{Raw: raw}
		if err := checkSchema(rel, raw); err != nil {
			return nil, err
		}
	}
	istio.Default()
	rev, err := render.PlanRevision(render.PlanInput{Istio: istio, Release: rel})
	if err != nil {
		return nil, err
	}
	f := render.RenderRevision
	if crdsOnly {
		f = render.CRDs
	}
	objects, err := f(render.RevisionInput{Revision: rev, Release: rel, Owner: "Istio/" + revision})
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	if err := manifest.Write(&buf, objects); err != nil {
		return nil, err
	}
	return parseAll(buf.Bytes())
}

// checkSchema: what charts take, the schema of their version must take as well.
func checkSchema(rel release.Release, raw []byte) error {
	data, _ := rel.Schema()
	schema, err := values.ParseSchema(data)
	if err != nil {
		return err
	}
	var user map[string]any
	if err := json.Unmarshal(raw, &user); err != nil {
		return err
	}
	var all []error
	for _, p := range schema.Check(values.RootIstio, user, "spec.values") {
		all = append(all, errors.New(p.String()))
	}
	return errors.Join(all...)
}

// parseAll reads manifests the way kubectl does.
func parseAll(data []byte) (map[manifest.ID]map[string]any, error) {
	out := map[manifest.ID]map[string]any{}
	for doc := range strings.SplitSeq("\n"+string(data), "\n---") {
		var o map[string]any
		if err := sigsyaml.Unmarshal([]byte(doc), &o); err != nil {
			return nil, fmt.Errorf("%w in:\n%s", err, doc)
		}
		if len(o) == 0 {
			continue
		}
		meta, _ := o["metadata"].(map[string]any)
		apiVersion, _ := o["apiVersion"].(string)
		group, _, found := strings.Cut(apiVersion, "/")
		if !found {
			group = ""
		}
		kind, _ := o["kind"].(string)
		name, _ := meta["name"].(string)
		namespace, _ := meta["namespace"].(string)
		id := manifest.ID{Group: group, Kind: kind, Namespace: namespace, Name: name}
		if _, twice := out[id]; twice {
			return nil, &twiceError{id}
		}
		out[id] = o
	}
	return out, nil
}

type twiceError struct{ id manifest.ID }

func (e *twiceError) Error() string { return e.id.String() + " is there twice" }

// withoutAdditions takes out, on both sides, what Lateen adds or leaves out on purpose. docs/rendering.md has the same
// list for users, and package manifest the code.
func withoutAdditions(objects map[manifest.ID]map[string]any) map[manifest.ID]map[string]any {
	for id, o := range objects {
		meta, _ := o["metadata"].(map[string]any)
		strip(meta, "labels", manifest.LabelRevision, manifest.LabelTag, manifest.LabelManagedBy)
		strip(meta, "annotations", manifest.AnnotationOwner, manifest.AnnotationVersion, manifest.AnnotationFluxSubstitute,
			manifest.AnnotationFluxPrune, manifest.AnnotationArgoSync,
			manifest.AnnotationArgoCompare)
		if hooks, ok := o["webhooks"].([]any); ok && id.Kind == "ValidatingWebhookConfiguration" {
			for _, h := range hooks {
				if hook := h.(map[string]any); hook["failurePolicy"] == "Ignore" {
					delete(hook, "failurePolicy")
				}
			}
		}
		defaulted(o)
	}
	return objects
}

func strip(meta map[string]any, where string, keys ...string) {
	m, ok := meta[where].(map[string]any)
	if !ok {
		delete(meta, where) // null
		return
	}
	for _, k := range keys {
		delete(m, k)
	}
	if len(m) == 0 {
		delete(meta, where)
	}
}

func defaulted(v any) {
	switch v := v.(type) {
	case map[string]any:
		if env, ok := v["env"].([]any); ok && v["image"] != nil {
			last := map[any]int{}
			for i, e := range env {
				last[e.(map[string]any)["name"]] = i
			}
			var kept []any
			for i, e := range env {
				if last[e.(map[string]any)["name"]] == i {
					kept = append(kept, e)
				}
			}
			v["env"] = kept
		}
		if ref, ok := v["resourceFieldRef"].(map[string]any); ok && ref["divisor"] == "0" {
			delete(ref, "divisor")
		}
		for _, e := range v {
			defaulted(e)
		}
	case []any:
		for _, e := range v {
			defaulted(e)
		}
	}
}

// TestCRDsEqualHelm holds Istio's CRDs, which Lateen takes out of the chart on a short cut, against what helm gives.
func TestCRDsEqualHelm(t *testing.T) {
	bin := helm(t)
	for _, version := range release.Bundled().Versions() {
		for _, user := range []string{
			"", "base: {excludedCRDs: [wasmplugins.extensions.istio.io, sidecars.networking.istio.io]}",
		} {
			if user != "" && strings.HasPrefix(version, "v1.23.") {
				continue // there, Helm installs crds/ whatever the values say
			}
			got, err := renderIstio(version, "default", "istio-system", "default", user, true)
			if err != nil {
				t.Errorf("%s: %v", version, err)
				continue
			}
			all, err := template(t.Context(), bin, "default-base", "istio-system", filepath.Join(bundles, version, "base"),
				[]string{user})
			if err != nil {
				t.Errorf("%s: %v", version, err)
				continue
			}
			want := maps.Clone(all)
			maps.DeleteFunc(want, func(id manifest.ID, _ map[string]any) bool { return id.Kind != "CustomResourceDefinition" })
			if len(want) < 10 {
				t.Errorf("%s: helm gave only %d CRDs", version, len(want))
			}
			if diff := cmp.Diff(withoutAdditions(want), withoutAdditions(got)); diff != "" {
				t.Errorf("%s with values %q: -helm +lateen:\n%s", version, user, diff)
			}
		}
	}
}

// TestProfileLayers compares what Lateen derives from the files in a chart with the profiles that Istio ships.
func TestProfileLayers(t *testing.T) {
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, profile := range values.Profiles {
			got, err := values.Profile(profile, "istiod", rel)
			if err != nil {
				t.Errorf("%s/%s: %v", version, profile, err)
				continue
			}
			text, err := profileValues(version, profile)
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Fatal(err)
			}
			switch {
			case profile == "default":
				want = nil // the layer values.Base
			case profile == "remote" && strings.HasPrefix(version, "v1.23."):
				want = map[string]any{"profile": "remote"} // what makes the revision a remote one; see values.RemoteChart
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s/%s: -istio +lateen:\n%s", version, profile, diff)
			}
		}
	}
	if !slices.IsSorted(values.Profiles) {
		t.Error("values.Profiles is not sorted")
	}
}

// TestCNIEqualsHelm does for the CNI plugin what TestRenderEqualsHelm does for control planes.
func TestCNIEqualsHelm(t *testing.T) {
	processes := helmProcesses(t)
	sets := map[string]string{
		"nothing":        "",
		"the guide's":    "cni: {cniConfDir: /etc/cni/net.d, excludeNamespaces: [kube-system]}",
		"ambient, chain": "cni: {ambient: {enabled: true}, chained: false, repair: {repairPods: false}, logLevel: debug}",
		"own image": "{cni: {image: 'registry.example.com/cni:1', pullPolicy: Always, " +
			"resources: {requests: {cpu: 1}}}, global: {imagePullSecrets: [regcred], logAsJson: true}}",
	}
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, profile := range values.Profiles {
			for name, user := range sets {
				cni := &v1.IstioCNI{
					Spec: v1.IstioCNISpec{Version: v1.Version(version), Namespace: "kube-system", Profile: v1.Profile(profile)},
				}
				cni.Name = "default"
				if user != "" {
					raw, err := sigsyaml.YAMLToJSON([]byte(user))
					if err != nil {
						t.Fatal(err)
					}
					cni.Spec.Values = &v1.Values{Raw: raw}
				}
				objects, err := render.CNI(render.CNIInput{CNI: cni, Release: rel, Owner: "IstioCNI/default"})
				if err != nil {
					t.Errorf("%s/%s/%s: %v", version, profile, name, err)
					continue
				}
				layer := ""
				if profile != "default" && (profile != "remote" || !strings.HasPrefix(version, "v1.23.")) {
					if layer, err = profileValues(version, profile); err != nil {
						t.Fatal(err)
					}
				}
				want, err := processes.template(t.Context(), name == "own image", "istio-cni", "kube-system",
					filepath.Join(bundles, version, "cni"), []string{layer, user})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(withoutAdditions(want), withoutAdditions(reparse(t, objects))); diff != "" {
					t.Errorf("%s/%s/%s: -helm +lateen:\n%s", version, profile, name, diff)
				}
			}
		}
	}
}

// TestTagsEqualHelm holds revision tags against the same templates of the chart, rendered by helm.
func TestTagsEqualHelm(t *testing.T) {
	bin := helm(t)
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		templates, err := filepath.Glob(filepath.Join(bundles, version, "istiod/templates/revision-tags*.yaml"))
		if err != nil || len(templates) == 0 {
			t.Fatalf("%s: no templates for tags (%v)", version, err)
		}
		var only []string
		for _, file := range templates {
			only = append(only, "--show-only", "templates/"+filepath.Base(file))
		}
		for _, c := range []struct{ reason, tag, revision, namespace, user string }{
			{"a tag", "prod", "default-v1-28-3", "istio-system", ""},
			{
				"a tag in a namespace of its own", "prod", "mesh1", "istio-system1",
				"meshConfig: {discoverySelectors: [{matchLabels: {mesh: mesh1}}]}",
			},
			{"the default tag", "default", "canary", "istio-system", "pilot: {env: {A: b}}"},
			{"the revision named default has no suffix", "prod", "default", "istio-system", ""},
			{
				"webhooks by URL", "prod", "canary", "istio-system",
				"istiodRemote: {injectionURL: 'https://istiod.example.com/inject'}",
			},
		} {
			istio := &v1.Istio{Spec: v1.IstioSpec{Version: v1.Version(version), Namespace: c.namespace}}
			istio.Name = c.revision
			raw, err := sigsyaml.YAMLToJSON([]byte(c.user))
			if err != nil {
				t.Fatal(err)
			}
			istio.Spec.Values = &v1.Values{Raw: raw}
			istio.Default()
			rev, err := render.PlanRevision(render.PlanInput{Istio: istio, Release: rel})
			if err != nil {
				t.Fatal(err)
			}
			objects, err := render.Tag(render.TagInput{
				Name: c.tag, Revision: rev, Release: rel, Owner: "IstioRevisionTag/" + c.tag,
			})
			if err != nil {
				t.Errorf("%s: %s: %v", version, c.reason, err)
				continue
			}
			label := c.revision
			if label == "default" {
				label = ""
			}
			layers := []string{
				c.user, fmt.Sprintf("{revision: %q, global: {istioNamespace: %s, configValidation: true}}", label, c.namespace),
				"revisionTags: [" + c.tag + "]",
			}
			want, err := template(t.Context(), bin, c.tag+"-revisiontags", c.namespace,
				filepath.Join(bundles, version, "istiod"), layers, only...)
			if err != nil {
				t.Fatal(err)
			}
			if c.tag == "default" {
				base, err := template(t.Context(), bin, "default-base", c.namespace,
					copyWithoutCRDs(t, filepath.Join(bundles, version, "base")),
					append(layers, "defaultRevision: "+c.revision))
				if err != nil {
					t.Fatal(err)
				}
				maps.Copy(want, base)
			}
			if diff := cmp.Diff(withoutAdditions(want), withoutAdditions(reparse(t, objects))); diff != "" {
				t.Errorf("%s: %s: -helm +lateen:\n%s", version, c.reason, diff)
			}
		}
	}
}

func reparse(t *testing.T, objects []manifest.Object) map[manifest.ID]map[string]any {
	t.Helper()
	var buf bytes.Buffer
	if err := manifest.Write(&buf, objects); err != nil {
		t.Fatal(err)
	}
	out, err := parseAll(buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return out
}
