package observe

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	"github.com/lateen-io/lateen/internal/release"
)

// foundIn reads resources and webhooks, as a cluster would list them.
func foundIn(t *testing.T, text string) found {
	t.Helper()
	var f found
	for document := range strings.SplitSeq(text, "---\n") {
		var head metav1.TypeMeta
		if err := sigsyaml.Unmarshal([]byte(document), &head); err != nil {
			t.Fatal(err)
		}
		var err error
		switch head.Kind {
		case "":
		case "Istio":
			err = add(&f.istios, document)
		case "IstioRevision":
			err = add(&f.revisions, document)
		case "IstioRevisionTag":
			err = add(&f.tags, document)
		case "MutatingWebhookConfiguration":
			err = add(&f.webhooks, document)
		default:
			err = fmt.Errorf("a %s", head.Kind)
		}
		if err != nil {
			t.Fatalf("%v in\n%s", err, document)
		}
	}
	return f
}

func add[T any](list *[]T, document string) error {
	var o T
	err := sigsyaml.UnmarshalStrict([]byte(document), &o)
	*list = append(*list, o)
	return err
}

// lines is what was found as text.
func lines(f found) string {
	var b strings.Builder
	for _, r := range f.allRevisions() {
		fmt.Fprintf(&b, "%s %s %s", r.Name, r.Version, r.Istio)
		for word, is := range map[string]bool{" active": r.Active, " external": r.External} {
			if is {
				b.WriteString(word)
			}
		}
		if r.InjectsByDefault {
			b.WriteString(" auto")
		}
		b.WriteString("\n")
	}
	for _, t := range f.allTags() {
		fmt.Fprintf(&b, "%s -> %s\n", t.Name, t.Revision)
	}
	return b.String()
}

const (
	head     = "---\napiVersion: sailoperator.io/v1\n"
	webhooks = "---\napiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\n"
	theIstio = head + "kind: Istio\nmetadata: {name: mesh}\nspec: {version: v1.28.3, namespace: i, " +
		"updateStrategy: {type: RevisionBased}}\n"
	brokenMesh = head + "kind: Istio\nmetadata: {name: mesh}\nspec: {version: " +
		"v1.28.3-with-a-name-that-no-service-can-have-because-it-is-too-long, namespace: i, " +
		"updateStrategy: {type: RevisionBased}}\n"
	particular = "webhooks: [{name: a.example.com, namespaceSelector: {matchExpressions: [{key: istio.io/rev, " +
		"operator: In, values: [x]}]}}]\n"
	everything = "webhooks: [{name: b.example.com, namespaceSelector: {matchExpressions: [{key: istio.io/rev, " +
		"operator: DoesNotExist}]}, objectSelector: {}}]\n"
)

func revision(name, metadata, values string) string {
	return head + "kind: IstioRevision\nmetadata: {name: " + name + metadata +
		"}\nspec: {version: v1.27.0, namespace: i, values: {" + values + "}}\n"
}

// prod is the tag of that name.
func prod(kind, target, status string) string {
	return head + "kind: IstioRevisionTag\nmetadata: {name: prod}\nspec: {targetRef: {kind: " + kind + ", name: " +
		target + "}}\nstatus: {" + status + "}\n"
}

func labelled(labels, rest string) string {
	return webhooks + "metadata: {name: x, labels: {" + labels + "}}\n" + rest
}

func TestFound(t *testing.T) {
	t.Parallel()
	const byPipeline = ", annotations: {lateen.io/rendered-by: x, lateen.io/owner: Istio/mesh}"
	for _, c := range []struct{ reason, text, want string }{
		{"nothing", "", ""},
		{"a revision of its own", revision("a", "", ""), "a v1.27.0 \n"},
		{
			"external, and by default", revision("a", "",
				"pilot: {env: {EXTERNAL_ISTIOD: 'true'}}, sidecarInjectorWebhook: {enableNamespacesByDefault: true}"),
			"a v1.27.0  external auto\n",
		},
		{
			"the Istio says which one is active",
			theIstio + revision("mesh-v1-27-0", byPipeline, "") + revision("mesh-v1-28-3", byPipeline, ""),
			"mesh-v1-27-0 v1.27.0 mesh\nmesh-v1-28-3 v1.27.0 mesh active\n",
		},
		{"a revision of somebody else with the name", theIstio + revision("mesh-v1-28-3", "", ""), "mesh-v1-28-3 v1.27.0 \n"},
		{
			"an Istio that is wrong asks for none", brokenMesh + revision("mesh-v1-28-3", byPipeline, ""),
			"mesh-v1-28-3 v1.27.0 mesh\n",
		},
		{"webhooks of istioctl", labelled("istio.io/rev: default, app: sidecar-injector", particular), "default  \n"},
		{
			"webhooks of a chart with its version", labelled("istio.io/rev: a, app.kubernetes.io/version: 1.28.3", particular),
			"a v1.28.3 \n",
		},
		{
			"webhooks of a chart that has it in its name", labelled("istio.io/rev: a, helm.sh/chart: istiod-1.28.3", particular),
			"a v1.28.3 \n",
		},
		{"webhooks of something else", labelled("app: cert-manager", everything), ""},
		{
			"webhooks for whoever has no label",
			labelled("istio.io/rev: default", particular[:len(particular)-2]+", "+everything[len("webhooks: ["):]),
			"default   auto\n",
		},
		{
			"a webhook without selectors", labelled("istio.io/rev: default", "webhooks: [{name: a.example.com}]\n"),
			"default   auto\n",
		},
		{
			"an IstioRevision knows better than its webhooks, whose reach counts",
			revision("default", byPipeline, "") + labelled("istio.io/rev: default, app.kubernetes.io/version: 1.20.0",
				everything), "default v1.27.0 mesh auto\n",
		},
		{
			"webhooks of a tag are a sign of its revision", labelled("istio.io/rev: a, istio.io/tag: prod", particular),
			"a  \nprod -> a\n",
		},
		{
			"istioctl's tag default of the revision default says nothing",
			labelled("istio.io/rev: default, istio.io/tag: default", particular), "default  \n",
		},
		{
			"a tag default of another revision",
			labelled("istio.io/rev: a, istio.io/tag: default", everything) +
				labelled("istio.io/rev: default, app.kubernetes.io/version: 1.28.3", particular),
			"a   auto\ndefault v1.28.3 \ndefault -> a\n",
		},
		{"a tag on a revision", prod("IstioRevision", "a", ""), "prod -> a\n"},
		{"a tag between two", prod("IstioRevision", "b", "istioRevision: a"), "prod -> b\nprod -> a\n"},
		{
			"its webhooks are on a third",
			prod("IstioRevision", "b", "istioRevision: a") + labelled("istio.io/rev: c, istio.io/tag: prod", particular),
			"c  \nprod -> c\nprod -> b\nprod -> a\n",
		},
		{
			"a tag that follows an Istio, with a controller", theIstio + prod("Istio", "mesh", "istioRevision: mesh-v1-27-0"),
			"prod -> mesh-v1-27-0\n",
		},
		{"without one", theIstio + prod("Istio", "mesh", ""), "prod -> mesh-v1-28-3\n"},
		{"an Istio that is wrong", brokenMesh + prod("Istio", "mesh", ""), "prod -> \n"},
		{"a tag of nothing", prod("Istio", "nobody", ""), "prod -> \n"},
		{
			"a tag that does not have the name",
			revision("prod", "", "") + prod("IstioRevision", "a",
				"conditions: [{type: Reconciled, status: 'False', reason: NameAlreadyExists}]"),
			"prod v1.27.0 \n",
		},
	} {
		if diff := cmp.Diff(c.want, lines(foundIn(t, c.text))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestRendered: what the charts of every bundled version render is found by its labels, and called what it is called.
func TestRendered(t *testing.T) {
	t.Parallel()
	for _, version := range release.Bundled().Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			for _, c := range []struct{ reason, text, want string }{
				{
					"by revisions, with a tag",
					strings.ReplaceAll(theIstio, "v1.28.3", version) + prod("Istio", "mesh", ""),
					"NAME VERSION mesh\nprod -> NAME\n",
				},
				{
					"in place, for whoever has no label",
					head + "kind: Istio\nmetadata: {name: default}\nspec: {version: " + version +
						", namespace: i, values: {sidecarInjectorWebhook: {enableNamespacesByDefault: true}}}\n",
					"default VERSION default auto\n",
				},
				{
					"remote",
					head + "kind: Istio\nmetadata: {name: default}\nspec: {version: " + version +
						", namespace: i, profile: remote, values: {global: {remotePilotAddress: 192.0.2.1}}}\n",
					"default VERSION default\n",
				},
			} {
				result, err := lateen.Render([]byte(c.text), lateen.Options{})
				if err != nil {
					t.Fatal(err)
				}
				objects, err := result.Objects()
				if err != nil {
					t.Fatal(err)
				}
				var f found
				for _, o := range objects {
					if o.GetKind() != "MutatingWebhookConfiguration" {
						continue
					}
					data, err := o.MarshalJSON()
					if err != nil {
						t.Fatal(err)
					}
					if err := add[admissionv1.MutatingWebhookConfiguration](&f.webhooks, string(data)); err != nil {
						t.Fatal(err)
					}
				}
				want := strings.NewReplacer("NAME", "mesh-"+strings.ReplaceAll(version, ".", "-"), "VERSION",
					known(version)).Replace(c.want)
				if diff := cmp.Diff(want, lines(f)); diff != "" {
					t.Errorf("%s: -want +got:\n%s", c.reason, diff)
				}
			}
		})
	}
}

// known is the version, if the charts of that version write it on webhooks.
func known(version string) string {
	if r, err := release.Bundled().Resolve(version, nil); err != nil || r.Before(1, 24) {
		return ""
	}
	return version
}
