package expand_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// in a kpt package, a file of its own for each.
func placed(name, text string) string {
	note := "{internal.config.kubernetes.io/path: " + name + ".yaml, internal.config.kubernetes.io/index: '0', "
	if strings.Contains(text, "annotations: {") {
		return strings.Replace(text, "annotations: {", "annotations: "+note, 1)
	}
	return strings.Replace(text, "metadata:\n", "metadata:\n  annotations: "+strings.TrimSuffix(note, ", ")+"}\n", 1)
}

// generated are the IstioRevision and an object of a revision, as an earlier run has left them. values are those of the
// revision.
func generated(owner, revision, values string) []string {
	stamp := "  labels: {lateen.io/revision: " + revision + "}\n  annotations: {lateen.io/owner: " + owner +
		", lateen.io/version: v1.28.3}\n"
	return []string{
		placed("r-"+revision, "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata:\n  name: "+revision+"\n"+
			stamp+
			"spec: {version: v1.28.3, namespace: istio-system, values: "+values+"}\n"),
		placed("d-"+revision, "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: istiod-"+revision+
			"\n  namespace: istio-system\n"+stamp),
	}
}

// left is an object of something that has no revisions.
func left(owner, label string) string {
	return placed("left", "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: left\n  labels: {"+label+
		"}\n  annotations: {lateen.io/owner: "+owner+"}\n")
}

func namespaceWith(labels string) string {
	return placed("ns-app", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: app\n  labels: {"+labels+"}\n")
}

func usageOf(cluster, revision, inUse string) string {
	return placed("usage-"+cluster, skipComment+
		"apiVersion: lateen.io/v1alpha1\nkind: UsageReport\nmetadata:\n  name: "+cluster+
		"\n  annotations: {config.kubernetes.io/local-config: 'true'}\nspec:\n  observedAt: '2026-11-22T12:00:00Z'\n"+
		"  revisions: [{name: "+revision+", inUse: '"+inUse+"'}]\n")
}

// said is a result in short.
func said(results finding.List) []string {
	var out []string
	for _, r := range results {
		line := string(r.Severity) + " "
		if r.Ref != (finding.Ref{}) {
			line += r.Ref.Kind + "/" + r.Ref.Name + ": "
		}
		out = append(out, line+r.Message)
	}
	return out
}

// TestRemoval: what was generated for a resource goes with it, unless that is likely to be a mistake.
func TestRemoval(t *testing.T) {
	const byHand = "is not in the package any more, and its 1 objects were removed; no usage report has released it: " +
		"see to it that no proxy is connected to it before this is applied"
	const (
		putBack = ". Put it back; or, if it has to go, allow that: LATEEN_ALLOW_REMOVAL=%s, or the key allow-removal " +
			"of the functionConfig"
		noProxy = ": see to it that no proxy is connected to it before this is applied"
		kept    = "is not in the package any more, and the %d objects that were generated for it would be removed, but "
		wasLast = "none of the control planes that the package had would stay"
	)
	stays := placed("istio-stays", skipComment+
		istio("stays", "{version: v1.28.3, values: {meshConfig: {discoverySelectors: [{matchLabels: {a: b}}]}}}",
			local))
	staying := append([]string{stays}, generated("Istio/stays", "stays", "{}")...)
	anyNamespace := placed("ns", namespace)
	refused := func(owner string, n int, why string) string {
		return "error " + owner + ": " + fmt.Sprintf(kept, n) + why + fmt.Sprintf(putBack, owner)
	}
	for _, c := range []struct {
		reason   string
		function expand.Function
		items    []string
		allow    string
		strict   bool
		want     []string
	}{
		{
			"the last control plane, its file emptied or commented out", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), anyNamespace), "", false,
			[]string{refused("Istio/default", 1, wasLast)},
		},
		{
			"the last one, with leave", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), anyNamespace), "Istio/default", false,
			[]string{"warning IstioRevision/default: removed with the 1 objects of the revision, because " +
				"Istio/default is not in the package any more" + noProxy},
		},
		{
			"what is allowed by name is no error under strict", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), anyNamespace), "Istio/default", true,
			[]string{"info IstioRevision/default: removed with the 1 objects of the revision, because Istio/default " +
				"is not in the package any more" + noProxy},
		},
		{
			"the last one, released by a usage report", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), anyNamespace, usageOf("west", "default", "False")), "",
			false,
			[]string{"warning IstioRevision/default: removed with the 1 objects of the revision, because " +
				"Istio/default is not in the package any more" + noProxy},
		},
		{
			"the last one, which a usage report says is used", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), anyNamespace, usageOf("west", "default", "True")), "",
			false,
			[]string{refused("Istio/default", 1, wasLast)},
		},
		{
			"renamed: the new one is another control plane", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), stays), "", false,
			[]string{refused("Istio/default", 1, wasLast)},
		},
		{
			"one of two", expand.RenderIstio,
			append(generated("Istio/default", "default", "{}"), staying...), "", false,
			[]string{"warning IstioRevision/default: removed with the 1 objects of the revision, because " +
				"Istio/default is not in the package any more" + noProxy},
		},
		{
			"one of two, which a namespace names", expand.RenderIstio,
			append(append(generated("Istio/default", "default", "{}"), staying...),
				namespaceWith("istio-injection: enabled")), "", false,
			[]string{
				refused("Istio/default", 1,
					"Namespace app in the package names default (label istio-injection=enabled)"),
			},
		},
		{
			"a report does not overrule what the package says", expand.RenderIstio,
			append(append(generated("Istio/default", "default", "{}"), staying...),
				namespaceWith("istio.io/rev: default"), usageOf("west", "default", "False")), "", false,
			[]string{
				refused("Istio/default", 1, "Namespace app in the package names default (label istio.io/rev=default)"),
			},
		},
		{
			"one of two, whose users are in other clusters", expand.RenderIstio,
			append(generated("Istio/default", "default", "{pilot: {env: {EXTERNAL_ISTIOD: 'true'}}}"), staying...), "",
			false,
			[]string{
				refused("Istio/default", 1, "the revision default is an external control plane "+
					"(pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters"),
			},
		},
		{
			"a user's IstioRevision, which a tag points at", expand.RenderIstio,
			append(append(generated("IstioRevision/mine", "mine", "{}")[1:], staying...),
				placed("tag", "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata:\n  name: prod\n"+
					"spec: {targetRef: {kind: IstioRevision, name: mine}}\n")), "", false,
			[]string{refused("IstioRevision/mine", 1, "the tag prod in the package points at it")},
		},
		{
			"an earlier revision, removed by hand, which a namespace names", expand.RenderIstio,
			append(append(generated("Istio/stays", "stays-v1-27-0", "{}")[1:], staying...),
				namespaceWith("istio.io/rev: stays-v1-27-0")), "", false,
			[]string{
				refused("IstioRevision/stays-v1-27-0", 1,
					"Namespace app in the package names stays-v1-27-0 (label istio.io/rev=stays-v1-27-0)"),
				"warning Namespace/app: istio.io/rev: stays-v1-27-0 is no revision or tag of the package (it has: " +
					"stays): nothing would be injected, and Pods may fail to start",
			},
		},
		{
			"an earlier revision, removed by hand", expand.RenderIstio,
			append(generated("Istio/stays", "stays-v1-27-0", "{}")[1:], staying...), "", false,
			[]string{"warning IstioRevision/stays-v1-27-0: " + byHand},
		},
		{
			"an earlier revision, removed by hand, under strict", expand.RenderIstio,
			append(generated("Istio/stays", "stays-v1-27-0", "{}")[1:], staying...), "", true,
			[]string{"error IstioRevision/stays-v1-27-0: " + byHand + " (a warning, which option strict makes an error)"},
		},
		{
			"an earlier revision, removed by hand and by name", expand.RenderIstio,
			append(generated("Istio/stays", "stays-v1-27-0", "{}")[1:], staying...), "IstioRevision/stays-v1-27-0", true,
			[]string{"info IstioRevision/stays-v1-27-0: " + byHand},
		},
		{
			"an earlier revision, removed by hand, that nothing uses by a report", expand.RenderIstio,
			append(append(generated("Istio/stays", "stays-v1-27-0", "{}")[1:], staying...),
				usageOf("prod", "stays-v1-27-0", "False")), "", false,
			[]string{
				"warning UsageReport/prod: the usage report mentions no revision of the package (it has: stays); is it " +
					"about another mesh?",
				"info IstioRevision/stays-v1-27-0: is not in the package any more, and its 1 objects were removed",
			},
		},
		{
			"leave for what is there", expand.RenderIstio, staying, "IstioCNI/default Istio/stays", false,
			[]string{"warning Istio/stays: option allow-removal allows the removal of Istio/stays, which is in the " +
				"package: take it out of the option, which would let a mistake through"},
		},
		{
			"a tag that workloads name", expand.RevisionTag,
			append([]string{left("IstioRevisionTag/prod", "lateen.io/tag: prod")},
				append(staying, namespaceWith("istio.io/rev: prod"))...), "", false,
			[]string{refused("IstioRevisionTag/prod", 1,
				"Namespace app in the package names prod (label istio.io/rev=prod)")},
		},
		{
			"a tag that nothing names", expand.RevisionTag,
			append([]string{left("IstioRevisionTag/prod", "lateen.io/tag: prod")}, staying...), "", false,
			[]string{"warning IstioRevisionTag/prod: is not in the package any more, and the 1 objects that were " +
				"generated for it were removed"},
		},
		{
			"a tag whose name a revision takes over", expand.RevisionTag,
			append([]string{left("IstioRevisionTag/stays", "lateen.io/tag: stays")},
				append(staying, namespaceWith("istio.io/rev: stays"))...), "", false,
			[]string{"warning IstioRevisionTag/stays: is not in the package any more, and the 1 objects that were " +
				"generated for it were removed"},
		},
		{
			"the plugin that a control plane needs", expand.RenderCNI,
			[]string{
				left("IstioCNI/default", "a: b"),
				placed("istio", istio("default", "{version: v1.28.3, values: {pilot: {cni: {enabled: true}}}}")),
			},
			"",
			false,
			[]string{refused("IstioCNI/default", 1, "Istio/default needs the CNI plugin (pilot.cni.enabled)")},
		},
		{
			"the plugin that a profile needs", expand.RenderCNI,
			[]string{
				left("IstioCNI/default", "a: b"),
				placed("istio", istio("default", "{version: v1.28.3, profile: ambient}")),
			},
			"", false,
			[]string{refused("IstioCNI/default", 1, "Istio/default needs the CNI plugin (profile ambient)")},
		},
		{
			"the plugin that nothing needs", expand.RenderCNI,
			[]string{left("IstioCNI/default", "a: b"), placed("istio", istio("default", "{version: v1.28.3}"))},
			"",
			false,
			[]string{"warning IstioCNI/default: is not in the package any more, and the 1 objects that were " +
				"generated for it were removed"},
		},
		{
			"the plugin under strict", expand.RenderCNI,
			[]string{left("IstioCNI/default", "a: b"), anyNamespace},
			"",
			true,
			[]string{"error IstioCNI/default: is not in the package any more, and the 1 objects that were generated " +
				"for it were removed (a warning, which option strict makes an error)"},
		},
	} {
		t.Run(c.reason, func(t *testing.T) {
			options := resource.Settings{}
			if c.allow != "" {
				options[resource.OptionAllowRemoval] = c.allow
			}
			if c.strict {
				options[resource.OptionStrict] = "true"
			}
			in := read(t, resourceList("", c.items...))
			before := write(t, &krm.List{Items: in.Items})
			out := c.function.List(in, options)
			if diff := cmp.Diff(c.want, said(out.Findings)); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if out.Findings.HasError() {
				if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items})); diff != "" {
					t.Errorf("on an error the items are as they came (-before +after)\n%s", diff)
				}
				return
			}
			for _, o := range out.Items {
				if owner := o.Annotation(manifest.AnnotationOwner); owner != "" && owner != "Istio/stays" {
					t.Errorf("%s is still there", o.ID())
				}
			}
		})
	}
}

// TestMistakes: every function refuses what looks like a resource of Lateen and is none, however it gets it, and
// removes nothing.
func TestMistakes(t *testing.T) {
	typo := strings.Replace(istio("default", "{}", local), "kind: Istio\n", "kind: Isto\n", 1)
	former := strings.Replace(istio("default", "{}", local), "sailoperator.io/v1", "operator.istio.io/v1alpha1", 1)
	operator := strings.NewReplacer("sailoperator.io/v1", "install.istio.io/v1alpha1", "kind: Istio",
		"kind: IstioOperator").Replace(istio("m", "{}"))
	const (
		didYouMean = `error Isto/default: kind: sailoperator.io has no kind "Isto"; did you mean kind: Istio?`
		before     = `error Istio/default: apiVersion: no function of Lateen expands "operator.istio.io/v1alpha1", ` +
			`kind Istio, but operator.istio.io is the group that ` +
			"the Sail Operator had before sailoperator.io/v1; did you mean apiVersion: sailoperator.io/v1?"
		migrate = "error IstioOperator/m: an IstioOperator is not rendered: migrate-istiooperator (lateen migrate -f " +
			"FILE) makes an Istio of it. To keep it beside " +
			`the Istio, add the annotation config.kubernetes.io/local-config: "true"`
	)
	remembered := generated("Istio/default", "default", "{}")
	for _, c := range []struct {
		reason string
		in     string
		want   string
	}{
		{"a transformer of kustomize", resourceList(configMap, namespace, typo), didYouMean},
		{"its group of earlier days", resourceList(configMap, namespace, former), before},
		{"a kpt package, which remembers", resourceList("", append(remembered, placed("istio", typo))...), didYouMean},
		{"the same, with the group", resourceList("", append(remembered, placed("istio", former))...), before},
		{"a generator of kustomize", resourceList(typo, typo), didYouMean},
		{"an IstioOperator as a generator", resourceList(operator,
			strings.Replace(operator, "name: m\n", "name: m\n  "+local+"\n", 1)), migrate},
		{"an IstioOperator among the resources", resourceList("", namespace, operator), migrate},
		{
			"a group of others, but the objects are there",
			resourceList("",
				append(remembered, placed("istio", strings.Replace(typo, "sailoperator.io", "example.com", 1)))...),
			`error Isto/default: apiVersion: no function of Lateen expands "example.com/v1", kind Isto, but there ` +
				`are objects that were generated for Istio/default; ` +
				"did you mean apiVersion: sailoperator.io/v1?",
		},
		{
			"a version of earlier days", resourceList("",
				strings.Replace(istio("default", "{}"), "/v1", "/v1alpha1", 1)),
			`error Istio/default: apiVersion: no function of Lateen expands "sailoperator.io/v1alpha1", kind Istio; ` +
				`did you mean apiVersion: sailoperator.io/v1?`,
		},
		{
			"a List in a List in a package",
			resourceList("", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: List\n  items:\n"+
				"  - apiVersion: sailoperator.io/v1\n    kind: Istio\n    metadata: {name: default}\n"),
			"error List/: kind: Istio/default is in a List, which is opened in a file that is given with -f, but not " +
				"in a package: write it as a document of its own",
		},
		{
			"a List in a package",
			resourceList("", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: sailoperator.io/v1\n  kind: Istio\n"+
				"  metadata: {name: default}\n"),
			"error List/: kind: Istio/default is in a List, which is opened in a file that is given with -f, but not " +
				"in a package: write it as a document of its own",
		},
	} {
		for _, f := range []expand.Function{expand.RenderIstio, expand.RenderCNI, expand.RevisionTag} {
			in := read(t, c.in)
			want := write(t, &krm.List{Items: in.Items})
			out := f.List(in, resource.Settings{})
			if diff := cmp.Diff([]string{c.want}, said(out.Findings)); diff != "" {
				t.Errorf("%s, %s: -want +got\n%s", f.Name, c.reason, diff)
			}
			if diff := cmp.Diff(want, write(t, &krm.List{Items: out.Items})); diff != "" {
				t.Errorf("%s, %s: the items (-before +after)\n%s", f.Name, c.reason, diff)
			}
			if r := out.Findings[0]; r.Severity == finding.Error && r.Field != "" && r.Field == "kind" &&
				r.Ref.Kind == "Isto" {
				if diff := cmp.Diff(any("Istio"), r.Suggestion); diff != "" {
					t.Errorf("%s, %s: the proposed value (-want +got)\n%s", f.Name, c.reason, diff)
				}
			}
		}
	}
}

// TestZTunnel: there is no function for it yet, which is no error.
func TestZTunnel(t *testing.T) {
	out := expand.RenderCNI.List(read(t, resourceList("",
		strings.Replace(istio("default", "{}"), "kind: Istio", "kind: ZTunnel", 1))), resource.Settings{})
	want := []string{"warning ZTunnel/default: kind: no function of Lateen expands a ZTunnel: nothing is rendered " +
		"for it; install Istio's chart ztunnel beside the control plane"}
	if diff := cmp.Diff(want, said(out.Findings)); diff != "" || len(out.Items) != 1 {
		t.Errorf("%d items; results (-want +got)\n%s", len(out.Items), diff)
	}
}

// TestStrict: it holds if any form says so, and the list comes out as it went in.
func TestStrict(t *testing.T) {
	wrong := func(annotations string) string {
		return istio("default", "{version: v1.28.3}", "namespace: mesh", "annotations: {"+annotations+"}")
	}
	elsewhere := strings.Replace(istio("default", "{}", "annotations: {lateen.io/strict: 'true'}"), "kind: Istio",
		"kind: IstioCNI", 1)
	for _, c := range []struct {
		reason  string
		in      string
		options resource.Settings
		code    int
	}{
		{"nobody", resourceList("", wrong("a: b")), resource.Settings{}, 0},
		{"somebody says false", resourceList("", wrong("lateen.io/strict: 'false'")), resource.Settings{}, 0},
		{"a flag or the environment", resourceList("", wrong("a: b")), resource.Settings{"strict": "true"}, 3},
		{
			"the resource cannot take it back", resourceList("", wrong("lateen.io/strict: 'false'")),
			resource.Settings{"strict": "true"},
			3,
		},
		{"an annotation", resourceList("", wrong("lateen.io/strict: 'true'")), resource.Settings{}, 3},
		{"an annotation on another resource", resourceList("", wrong("a: b"), elsewhere), resource.Settings{}, 3},
		{
			"a ConfigMap", resourceList(configMap+"data: {strict: 'true'}\n", wrong("a: b")),
			resource.Settings{"strict": "false"},
			3,
		},
		{"a generator", resourceList(wrong("lateen.io/strict: 'true'")), resource.Settings{}, 3},
		{
			"what is wrong is wrong", resourceList("", wrong("lateen.io/nonsense: 'true'")),
			resource.Settings{"strict": "true"},
			1,
		},
	} {
		in := read(t, c.in)
		before := write(t, &krm.List{Items: in.Items})
		out := expand.RenderIstio.List(in, c.options)
		if got := out.Findings.ExitCode(); got != c.code {
			t.Errorf("%s: exit code %d, want %d: %v", c.reason, got, c.code, said(out.Findings))
		}
		if c.code == 0 {
			continue
		}
		if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items})); diff != "" {
			t.Errorf("%s: the items (-before +after)\n%s", c.reason, diff)
		}
		for _, r := range out.Findings {
			if r.Severity == finding.Warning && c.code == 3 {
				t.Errorf("%s: still a warning: %s", c.reason, r.Message)
			}
		}
	}
}

// TestNothingToName: where no control plane of a package can be read, there are no names to list.
func TestNothingToName(t *testing.T) {
	out := expand.RenderIstio.List(read(t, resourceList("",
		"apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: default}\nspec: {versoin: v1.28.3}\n",
		namespaceWith("istio.io/rev: canary"))), resource.Settings{})
	want := []string{
		"error Istio/default: spec.versoin: unknown field; did you mean version?",
		"warning Namespace/app: istio.io/rev: canary is no revision or tag of the package: nothing would be injected, and " +
			"Pods may fail to start",
	}
	if diff := cmp.Diff(want, said(out.Findings)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
