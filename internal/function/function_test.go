package function_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/function"
)

type result struct {
	code           int
	stdout, stderr string
}

// call runs the program as the operating system would.
func call(t *testing.T, stdin string, env map[string]string, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := function.RenderIstio.Main(function.Process{
		Args: append([]string{"render-istio"}, args...), Stdin: strings.NewReader(stdin), Stdout: &stdout, Stderr: &stderr,
		Getenv:  func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		Environ: environ(env),
	})
	return result{code, stdout.String(), stderr.String()}
}

func environ(env map[string]string) []string {
	var out []string
	for name, value := range env {
		out = append(out, name+"="+value)
	}
	return out
}

func file(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "istio.yaml")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const head = "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: default\n"

// TestStandAloneErrors lists what a person gets wrong, and the sentence that helps: where, what, what to do.
func TestStandAloneErrors(t *testing.T) {
	for _, c := range []struct {
		reason, input string
		want          []string // FILE stands for the name of the file
	}{
		{
			"a misspelled value, with its place and the right name",
			head + "spec:\n  values:\n    pilot:\n      traceSamplin: 1\n",
			[]string{
				"render-istio: FILE:8:7: Istio/default: spec.values.pilot.traceSamplin: unknown field in v1.28.3; did you mean " +
					"traceSampling?",
			},
		},
		{
			"an unquoted boolean in env, as the user guide warns of",
			head + "spec:\n  values:\n    pilot:\n      env:\n        PILOT_ENABLE_STATUS: true\n",
			[]string{
				"FILE:9:9: Istio/default: spec.values.pilot.env.PILOT_ENABLE_STATUS: must be a string, is a boolean", "quotes",
			},
		},
		{
			"spec.global of the user guide's external control plane",
			head + "spec:\n  global:\n    network: network1\n",
			[]string{"FILE:6:3: Istio/default: spec.global: Helm values belong under spec.values; write spec.values.global"},
		},
		{
			"several mistakes are all named at once",
			head + "spec:\n  components: {}\n  versoin: v1.28.3\n  values:\n    gateways: {}\n    cni: {}\n",
			[]string{
				"FILE:6:3: Istio/default: spec.components belongs to IstioOperator",
				"spec.versoin: unknown field; did you mean version?",
				"FILE:9:5: Istio/default: spec.values.gateways: gateways are not part", "an IstioCNI",
			},
		},
		{
			"an unknown version lists the bundled ones and how to bring charts",
			head + "spec:\n  version: v1.22.5\n",
			[]string{
				"FILE:6:3: Istio/default: spec.version: Istio v1.22.5 is not bundled", "v1.23.2, v1.24.0", "istiod-1.22.5.tgz",
				"--charts",
			},
		},
		{
			"a type that is wrong in the mesh configuration",
			head + "spec:\n  meshConfig:\n    enableTracing: maybe\n",
			[]string{"FILE:7:5: Istio/default: spec.meshConfig.enableTracing: must be a boolean, is a string"},
		},
		{
			"one setting in two places with two values",
			head + "spec:\n  meshConfig: {accessLogFile: /a}\n  values: {meshConfig: {accessLogFile: /b}}\n",
			[]string{
				`spec.meshConfig.accessLogFile is "/a" and spec.values.meshConfig.accessLogFile is "/b"; set it in one place only`,
			},
		},
		{
			"istioNamespace against namespace",
			head + "spec:\n  namespace: a\n  values: {global: {istioNamespace: b}}\n",
			[]string{"spec.values.global.istioNamespace must match spec.namespace"},
		},
		{
			"YAML that is none",
			"a: [b\n",
			[]string{"render-istio: FILE: not YAML: "},
		},
		{
			"a chart that fails says which and why",
			head + "spec:\n  values: {global: {multiCluster: null}}\n",
			[]string{"rendering chart istiod 1.28.3", "nil pointer evaluating interface {}.clusterName"},
		},
		{
			"what a chart would fail on is found before, with its place",
			head + "spec:\n  values: {compatibilityVersion: \"1.20\"}\n",
			[]string{"istio.yaml:6:12: Istio/default: spec.values.compatibilityVersion: the charts of Istio v1.28.3 " +
				"have no compatibility version \"1.20\"; " +
				"there are: 1.25, 1.26, 1.27; for the behaviour of the version itself leave it out"},
		},
		{
			"advice has the user's own text",
			head + "spec:\n  values: {global: {tag: 1.20}}\n",
			[]string{"istio.yaml:6:21: Istio/default: spec.values.global.tag: must be a string, is a number (write " +
				"\"1.20\" with quotes)"},
		},
		{
			"an option that does not exist",
			strings.Replace(head, "name: default", "name: default\n  annotations: {lateen.io/platfrom: openshift}", 1),
			[]string{"annotation lateen.io/platfrom: unknown option \"platfrom\"; did you mean platform?"},
		},
		{
			"a file without any Istio",
			"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
			[]string{"no Istio or IstioRevision of sailoperator.io/v1 in it"},
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			name := file(t, c.input)
			got := call(t, "", nil, "-f", name)
			if got.code != 1 || got.stdout != "" {
				t.Errorf("exit code %d, stdout %q; want 1 and nothing", got.code, got.stdout)
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "FILE", filepath.ToSlash(name)); !strings.Contains(got.stderr, want) {
					t.Errorf("stderr does not say %q:\n%s", want, got.stderr)
				}
			}
		})
	}
}

// TestCalls covers the ways to call the program, besides rendering.
func TestCalls(t *testing.T) {
	for _, c := range []struct {
		reason string
		stdin  string
		env    map[string]string
		args   []string
		code   int
		stdout string // contained
		stderr string // contained; empty means nothing at all
	}{
		{
			reason: "help has examples", args: []string{"--help"},
			stdout: "kustomize build --enable-alpha-plugins --enable-exec .",
		},
		{reason: "help names every option's environment", args: []string{"-h"}, stdout: "LATEEN_<OPTION>"},
		{reason: "version lists what is bundled, with digests", args: []string{"--version"}, stdout: "v1.28.3   h1:"},
		{
			reason: "an unknown flag is a usage error", args: []string{"--chart", "x"}, code: 2,
			stderr: "unknown flag: --chart\nRun 'render-istio --help' for usage.\n",
		},
		{
			reason: "a bad option value is a usage error", args: []string{"--crds=all"}, code: 2,
			stderr: "possible are: exclude, include",
		},
		{
			reason: "a bad environment variable is named", env: map[string]string{"LATEEN_CRDS": "all"}, code: 2,
			stderr: "LATEEN_CRDS",
		},
		{
			reason: "a misspelled environment variable", env: map[string]string{"LATEEN_PROTEC": "true"}, code: 2,
			stderr: "environment variable LATEEN_PROTEC: no option has this name; did you mean LATEEN_PROTECT?",
		},
		{reason: "a missing file", args: []string{"-f", "/does/not/exist.yaml"}, code: 1, stderr: "no such file"},
		{reason: "empty standard input", code: 1, stderr: "a ResourceList is expected"},
		{reason: "a plain resource on standard input says how to render it", stdin: head, code: 1, stderr: "-f istio.yaml"},
		{
			reason: "a bare --crds means include", stdin: head, args: []string{"--crds", "-f", "-"},
			stdout: "kind: CustomResourceDefinition",
		},
		{
			reason: "--crds takes a value as well", stdin: head, args: []string{"--crds", "include", "-f", "-"},
			stdout: "kind: CustomResourceDefinition",
		},
		{
			reason: "charts that are not there", stdin: head, args: []string{"--charts", "/does/not/exist", "-f", "-"}, code: 1,
			stderr: "charts directory",
		},
		{
			reason: "a Kubernetes version that is none", stdin: head, args: []string{"--kube-version", "x", "-f", "-"}, code: 2,
			stderr: `invalid argument "x" for "--kube-version" flag: kube-version "x" is not a Kubernetes version`,
		},
		{
			reason: "one in the environment", stdin: head, env: map[string]string{"LATEEN_KUBE_VERSION": "x"},
			args: []string{"-f", "-"}, code: 2,
			stderr: `render-istio: environment variable LATEEN_KUBE_VERSION: kube-version "x" is not a Kubernetes version`,
		},
		{
			reason: "one on the resource is a fault of the resource", code: 1,
			stdin: strings.Replace(head, "name: default", "name: default\n  annotations: {lateen.io/kube-version: x}", 1),
			args:  []string{"-f", "-"}, stderr: `option kube-version "x" is not a Kubernetes version`,
		},
		{
			reason: "the platform is an input: OpenShift selects its profile",
			stdin:  head, args: []string{"--platform", "openshift", "-f", "-"}, stdout: `"platform": "openshift"`,
		},
		{
			reason: "--track adds the resources", stdin: head, args: []string{"--track", "-f", "-"},
			stdout: "kind: IstioRevision",
		},
		{
			reason: "the chart's failurePolicy on request", stdin: head, args: []string{"--failure-policy", "chart", "-f", "-"},
			stdout: "failurePolicy: Ignore",
		},
		{
			reason: "what is no Istio is not dropped silently",
			stdin:  head + "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n", args: []string{"-f", "-"},
			stdout: "kind: Deployment",
			stderr: "warning: Secret/s: is not an Istio or IstioRevision and was left out",
		},
		{
			reason: "an end of life is an info, since most packages have it for a while",
			stdin:  head + "spec: {version: v1.23-latest}\n", args: []string{"-f", "-"}, stdout: "pilot:1.23.2",
			stderr: "standard input:5:8: info: Istio/default: Istio v1.23.2: this minor version reached its end of " +
				"life in 2025-04",
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			got := call(t, c.stdin, c.env, c.args...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d", got.code, c.code)
			}
			if !strings.Contains(got.stdout, c.stdout) {
				t.Errorf("stdout does not contain %q:\n%.2000s", c.stdout, got.stdout)
			}
			if !strings.Contains(got.stderr, c.stderr) || c.stderr == "" && got.stderr != "" {
				t.Errorf("stderr %q, want %q in it", got.stderr, c.stderr)
			}
		})
	}
}

// TestLists: what kubectl get -o yaml prints is opened, and what the cluster wrote into it makes no difference.
func TestLists(t *testing.T) {
	const live = `apiVersion: v1
kind: List
metadata: {resourceVersion: ""}
items:
- apiVersion: sailoperator.io/v1
  kind: Istio
  metadata:
    name: default
    uid: 5a1f6a0c-0000-4000-8000-000000000000
    resourceVersion: "42"
    generation: 3
    creationTimestamp: "2026-01-01T00:00:00Z"
    finalizers: [lateen.io/finalizer]
    annotations:
      kubectl.kubernetes.io/last-applied-configuration: |
        {"apiVersion":"sailoperator.io/v1","kind":"Istio"}
    managedFields:
    - {manager: kubectl, operation: Apply, apiVersion: sailoperator.io/v1, time: "2026-01-01T00:00:00Z",
        fieldsType: FieldsV1, fieldsV1: {"f:spec": {}}}
  spec: {version: v1.28.3, namespace: istio-system}
  status: {state: Healthy, observedGeneration: 3}
`
	plain := head + "spec: {version: v1.28.3, namespace: istio-system}\n"
	for _, track := range []string{"false", "true"} {
		want := call(t, plain, nil, "--track", track, "-f", "-")
		if want.code != 0 || want.stderr != "" {
			t.Fatalf("code %d: %s", want.code, want.stderr)
		}
		for reason, text := range map[string]string{
			"kubectl get istios -o yaml": live,
			"a list of the API": strings.NewReplacer("apiVersion: v1\n", "apiVersion: sailoperator.io/v1\n",
				"kind: List", "kind: IstioList").Replace(live),
			"a list in a list": "apiVersion: v1\nkind: List\nitems:\n- " +
				strings.ReplaceAll(strings.TrimSuffix(live, "\n"), "\n", "\n  ") + "\n",
			"a list beside an empty list": live + "---\napiVersion: v1\nkind: List\nitems: []\n",
		} {
			got := call(t, text, nil, "--track", track, "-f", "-")
			// Only the styles of the user's own resource differ.
			if diff := cmp.Diff(strings.Fields(want.stdout), strings.Fields(got.stdout)); diff != "" || got.code != 0 ||
				got.stderr != "" {
				t.Errorf("%s, track %s: code %d, stderr %q (-want +got)\n%s", reason, track, got.code, got.stderr, diff)
			}
		}
	}
	wrong := call(t, strings.Replace(live, "version: v1.28.3", "versoin: v1.28.3", 1), nil, "-f", "-")
	if want := "render-istio: standard input:20:10: Istio/default: spec.versoin: unknown field; did you " +
		"mean version?\n"; wrong.stderr != want || wrong.code != 1 {
		t.Errorf("code %d, stderr %q, want %q", wrong.code, wrong.stderr, want)
	}
}

// TestTwice names both places of a resource that two files have.
func TestTwice(t *testing.T) {
	a, b := file(t, "# a comment\n"+head), file(t, head)
	got := call(t, "", nil, "-f", a, "-f", b)
	want := "render-istio: " + filepath.ToSlash(b) + ":4:3: Istio/default: Istio/default is there twice, also in " +
		filepath.ToSlash(a) + ":2\n"
	if got.code != 1 || got.stdout != "" || got.stderr != want {
		t.Errorf("code %d, stdout %q\nstderr %q\n  want %q", got.code, got.stdout, got.stderr, want)
	}
}

// TestPlugin: kustomize gives its exec plugins a temporary file, which is gone when somebody reads the message.
func TestPlugin(t *testing.T) {
	got := call(t, "", map[string]string{"KUSTOMIZE_PLUGIN_CONFIG_STRING": "x"}, file(t, head+"spec: {versoin: v1}\n"))
	if want := "render-istio: Istio/default: spec.versoin: unknown field; did you mean version?\n"; got.code != 1 ||
		got.stderr != want {
		t.Errorf("code %d, stderr %q, want %q", got.code, got.stderr, want)
	}
}

// TestExitCodes is the table of package exit for the functions that render.
func TestExitCodes(t *testing.T) {
	warned := strings.Replace(head, "name: default", "name: default\n  namespace: mesh", 1)
	for _, c := range []struct {
		reason, stdin string
		env           map[string]string
		args          []string
		want          int
	}{
		{"right", head, nil, []string{"-f", "-"}, exit.OK},
		{"right, with a warning", warned, nil, []string{"-f", "-"}, exit.OK},
		{"wrong", head + "spec: {versoin: v1}\n", nil, []string{"-f", "-", "--strict"}, exit.Wrong},
		{"wrong input", "a: [", nil, nil, exit.Wrong},
		{"a wrong call", head, nil, []string{"-f", "-", "--stritc"}, exit.Usage},
		{"right under --strict", head, nil, []string{"--strict", "-f", "-"}, exit.OK},
		{"a warning under --strict", warned, nil, []string{"--strict", "-f", "-"}, exit.Warnings},
		{
			"a warning under LATEEN_STRICT, which a flag does not take back", warned,
			map[string]string{"LATEEN_STRICT": "true"},
			[]string{"--strict=false", "-f", "-"},
			exit.Warnings,
		},
	} {
		got := call(t, c.stdin, c.env, c.args...)
		if got.code != c.want || c.want != exit.OK && got.stdout != "" {
			t.Errorf("%s: exit code %d, want %d; stdout %.200q, stderr %s", c.reason, got.code, c.want, got.stdout,
				got.stderr)
		}
	}
}

// TestTerminal prints help instead of waiting for somebody to type a ResourceList.
func TestTerminal(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := function.RenderIstio.Main(function.Process{
		Args: []string{"render-istio"}, Terminal: true, Stdout: &stdout, Stderr: &stderr,
		Stdin:  strings.NewReader("never read"),
		Getenv: func(string) (string, bool) { return "", false },
	})
	if code != 0 || !strings.Contains(stdout.String(), "Usage:") || stderr.Len() > 0 {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout.String(), stderr.String())
	}
}

// TestWarningsByCaller: kpt prints results and stderr both, so on success stderr is empty there; kustomize throws
// results away, so stderr is the only place.
func TestWarningsByCaller(t *testing.T) {
	list := func(annotations string) string {
		return "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: sailoperator.io/v1\n" +
			"  kind: Istio\n" +
			"  metadata:\n    name: default\n    namespace: mesh\n    annotations: {" + annotations +
			"}\n  spec: {version: v1.28.3}\n"
	}
	for _, c := range []struct {
		reason, annotations string
		stderr              bool
	}{
		{"kpt", "internal.config.kubernetes.io/path: istio.yaml, internal.config.kubernetes.io/index: '0'", false},
		{"kustomize", "internal.config.kubernetes.io/index: '0'", true},
	} {
		got := call(t, list(c.annotations), nil)
		if got.code != 0 || !strings.Contains(got.stdout, "severity: warning") {
			t.Errorf("%s: code %d, no warning among the results", c.reason, got.code)
		}
		if diff := cmp.Diff(c.stderr, strings.Contains(got.stderr, "is cluster-scoped")); diff != "" {
			t.Errorf("%s: the warning on stderr: -want +got:\n%s\n%s", c.reason, diff, got.stderr)
		}
	}
}

// TestPrecedence: annotation over flag over environment.
func TestPrecedence(t *testing.T) {
	env := map[string]string{"LATEEN_PLATFORM": "gke"}
	annotated := strings.Replace(head, "name: default", "name: default\n  annotations: {lateen.io/platform: k3s}", 1)
	for _, c := range []struct {
		reason, input string
		args          []string
		want          string
	}{
		{"only the environment", head, nil, `"platform": "gke"`},
		{"the flag wins over the environment", head, []string{"--platform", "k3d"}, `"platform": "k3d"`},
		{"the annotation wins over all", annotated, []string{"--platform", "k3d"}, `"platform": "k3s"`},
	} {
		got := call(t, c.input, env, append(c.args, "-f", "-")...)
		if got.code != 0 || !strings.Contains(got.stdout, c.want) {
			t.Errorf("%s: code %d, %q is not in the output; %s", c.reason, got.code, c.want, got.stderr)
		}
	}
}

// TestBroughtCharts renders a version that is not bundled from charts in a directory.
func TestBroughtCharts(t *testing.T) {
	dir := t.TempDir()
	for _, chart := range []string{"istiod", "base"} {
		to := filepath.Join(dir, "1.22.5", chart)
		if err := os.CopyFS(to, os.DirFS("../release/bundles/v1.23.2/"+chart)); err != nil {
			t.Fatal(err)
		}
		meta := "apiVersion: v2\nname: " + chart + "\nversion: 1.22.5\nappVersion: 1.22.5\n"
		if err := os.WriteFile(filepath.Join(to, "Chart.yaml"), []byte(meta), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got := call(t, head+"spec: {version: v1.22.5}\n", map[string]string{"LATEEN_CHARTS": dir}, "-f", "-")
	if got.code != 0 || !strings.Contains(got.stdout, "kind: Deployment") {
		t.Errorf("code %d: %s", got.code, got.stderr)
	}
	if !strings.Contains(got.stderr, "Istio v1.22.5: this minor version reached its end of life") {
		t.Errorf("stderr: %s", got.stderr)
	}
}
