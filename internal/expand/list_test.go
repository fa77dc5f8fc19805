package expand_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// istio is an Istio with a flow mapping as its spec and further metadata, "annotations: {...}".
func istio(name, spec string, metadata ...string) string {
	return "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: " + name + "\n" + indent(metadata...) +
		"spec: " + spec + "\n"
}

// inFile is the metadata of an item of a kpt package.
func inFile(path string) string {
	return "annotations: {lateen.io/rendered-by: render-istio, internal.config.kubernetes.io/path: " + path +
		", internal.config.kubernetes.io/index: '0'}"
}

const (
	local     = "annotations: {config.kubernetes.io/local-config: 'true'}"
	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: options\n"
	namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: istio-system # where it lives\n"
)

func indent(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		for line := range strings.Lines(l) {
			b.WriteString("  " + strings.TrimSuffix(line, "\n") + "\n")
		}
	}
	return b.String()
}

// resourceList is the text of a ResourceList.
func resourceList(config string, items ...string) string {
	var b strings.Builder
	b.WriteString("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\n")
	if config != "" {
		b.WriteString("functionConfig:\n" + indent(config))
	}
	b.WriteString("items:\n")
	for _, i := range items {
		b.WriteString("- " + strings.TrimPrefix(indent(i), "  "))
	}
	return b.String()
}

func read(t testing.TB, text string) *krm.List {
	t.Helper()
	l, err := krm.Parse([]byte(text))
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return l
}

func write(t testing.TB, l *krm.List) string {
	t.Helper()
	var b strings.Builder
	if err := l.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// run expands a list that must not have errors.
func run(t *testing.T, in string) *krm.List {
	t.Helper()
	out := expand.RenderIstio.List(read(t, in), resource.Settings{})
	if out.Findings.HasError() {
		t.Fatal(out.Findings)
	}
	return out
}

// kinds counts the items by apiVersion-less kind.
func kinds(l *krm.List) map[string]int {
	out := map[string]int{}
	for _, o := range l.Items {
		out[o.Kind()]++
	}
	return out
}

func names(l *krm.List, kind string) []string {
	var out []string
	for _, o := range l.Items {
		if o.Kind() == kind {
			out = append(out, o.ID().Name)
		}
	}
	return out
}

func TestModes(t *testing.T) {
	const spec = "{version: v1.28.3}"
	cases := map[string]struct {
		reason string
		in     string
		want   map[string][]string // names by kind; other kinds are not looked at
	}{
		"generator": {
			reason: "the resource is the configuration and is not part of the output, nor is anything of its API",
			in:     resourceList(istio("default", spec), istio("default", spec, local), namespace),
			want: map[string][]string{
				"Istio": nil, "IstioRevision": nil, "Namespace": {"istio-system"}, "Deployment": {"istiod"},
			},
		},
		"generator alone": {
			reason: "older versions of kustomize do not pass the configuration among the items",
			in:     resourceList(istio("default", spec)),
			want:   map[string][]string{"Istio": nil, "IstioRevision": nil, "Deployment": {"istiod"}},
		},
		"generator, tracked": {
			reason: "for the controller the resources are part of the output",
			in:     resourceList(istio("default", spec, "annotations: {lateen.io/track: 'true'}")),
			want:   map[string][]string{"Istio": {"default"}, "IstioRevision": {"default"}, "Deployment": {"istiod"}},
		},
		"generator beside others": {
			reason: "each generator expands its own resource",
			in: resourceList(istio("a", "{namespace: a}"), istio("a", "{namespace: a}", local),
				istio("b", "{namespace: b}", local)),
			want: map[string][]string{"Istio": {"b"}, "Deployment": {"istiod-a"}},
		},
		"transformer": {
			reason: "all resources are expanded and kept",
			in:     resourceList("", istio("a", "{namespace: a}", local), namespace, istio("b", "{namespace: b}", local)),
			want: map[string][]string{
				"Istio": {"a", "b"}, "IstioRevision": {"a", "b"}, "Deployment": {"istiod-a", "istiod-b"},
				"Namespace": {"istio-system"},
			},
		},
		"configMap": {
			reason: "options for all resources of the package",
			in:     resourceList(configMap+"data: {crds: include}\n", istio("default", spec)),
			want: map[string][]string{
				"Istio": {"default"}, "ConfigMap": {"istio", "istio-sidecar-injector", "values"},
				"CustomResourceDefinition": crdsOf(t),
			},
		},
		"annotation over configMap": {
			reason: "what the resource says about itself wins",
			in: resourceList(configMap+"data: {crds: include}\n",
				istio("default", spec, "annotations: {lateen.io/crds: exclude}")),
			want: map[string][]string{"CustomResourceDefinition": nil},
		},
		"configPath": {
			reason: "only the resource that is named is expanded; it stays",
			in: resourceList(istio("a", "{namespace: a}"), istio("a", "{namespace: a}", inFile("a.yaml")),
				istio("b", "{namespace: b}", inFile("b.yaml"))),
			want: map[string][]string{"Istio": {"a", "b"}, "IstioRevision": {"a"}, "Deployment": {"istiod-a"}},
		},
		"IstioRevision": {
			reason: "written by a user, it is its own plan",
			in: resourceList("", "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: r}\n"+
				"spec: {version: v1.28.3, namespace: ns, values: {revision: r, global: {istioNamespace: ns}}}\n"),
			want: map[string][]string{"IstioRevision": {"r"}, "Deployment": {"istiod-r"}},
		},
		"nothing to expand": {
			reason: "a package without resources passes through",
			in:     resourceList("", namespace),
			want:   map[string][]string{"Namespace": {"istio-system"}, "Deployment": nil},
		},
		"Istio removed": {
			reason: "what was generated from it goes",
			in: resourceList("", strings.Replace(namespace, "  name:",
				"  annotations: {internal.config.kubernetes.io/path: ns.yaml}\n  name:", 1),
				configMap+indent("annotations: {lateen.io/owner: Istio/gone}")),
			want: map[string][]string{"Namespace": {"istio-system"}, "ConfigMap": nil},
		},
		"a generator's objects": {
			reason: "their Istio is nowhere to be seen, since a generator does not pass it on",
			in:     resourceList("", namespace, configMap+indent("annotations: {lateen.io/owner: Istio/elsewhere}")),
			want:   map[string][]string{"Namespace": {"istio-system"}, "ConfigMap": {"options"}},
		},
		"other functions' items": {
			reason: "are theirs to remove",
			in:     resourceList("", configMap+indent("annotations: {lateen.io/owner: IstioCNI/default}")),
			want:   map[string][]string{"ConfigMap": {"options"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := run(t, tc.in)
			got := map[string][]string{}
			for kind := range tc.want {
				got[kind] = names(out, kind)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if text := write(t, out); strings.Contains(text, "functionConfig:") {
				t.Error("the configuration is not repeated")
			}
		})
	}
}

// crdsOf are the names of Istio's own CRDs in v1.28.3, in order.
func crdsOf(t *testing.T) []string {
	t.Helper()
	r, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := r.Chart("base")
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(files, func(f release.File) bool { return strings.HasSuffix(f.Name, "crd-all.gen.yaml") })
	var out []string
	for doc := range strings.SplitSeq(string(files[i].Data), "\n---\n") {
		objects, err := manifest.Parse(doc)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			out = append(out, o.ID().Name)
		}
	}
	slices.Sort(out)
	return out
}

// TestUntouched: user's items come out byte for byte, comments and all.
func TestUntouched(t *testing.T) {
	item := "# head\nkind: Whatever # why\nmetadata:\n  name: \"x\"\n  annotations:\n" +
		"    internal.config.kubernetes.io/path: 'x.yaml'\n    internal.config.kubernetes.io/index: '0'\nlist: [a,   b]\n" +
		"text: |2\n\n    x\n"
	in := read(t, resourceList("", item, istio("default", "{}", inFile("istio.yaml"))))
	before := write(t, &krm.List{Items: in.Items[:1]})
	out := expand.RenderIstio.List(in, resource.Settings{})
	if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items[:1]})); diff != "" {
		t.Errorf("(-before +after)\n%s", diff)
	}
}

// TestRetention walks a RevisionBased package through its life.
func TestRetention(t *testing.T) {
	at := func(version string) string {
		return istio("default", "{version: "+version+", updateStrategy: {type: RevisionBased}}", inFile("mesh/istio.yaml"))
	}
	bump := func(text, version string) string {
		list := read(t, text)
		items := []string{at(version)}
		for _, o := range list.Items[1:] {
			var b strings.Builder
			if err := o.Encode(&b); err != nil {
				t.Fatal(err)
			}
			items = append(items, b.String())
		}
		return resourceList("", items...)
	}
	first := write(t, run(t, resourceList("", at("v1.27.0"))))
	second := run(t, bump(first, "v1.28.3"))
	if diff := cmp.Diff([]string{"istiod-default-v1-27-0", "istiod-default-v1-28-3"},
		names(second, "Deployment")); diff != "" {
		t.Errorf("after a version bump both control planes are there (-want +got)\n%s", diff)
	}
	old := func(l *krm.List) string {
		var items []manifest.Object
		for _, o := range l.Items {
			if o.Label(manifest.LabelRevision) == "default-v1-27-0" {
				items = append(items, o)
			}
		}
		return write(t, &krm.List{Items: items})
	}
	if diff := cmp.Diff(old(read(t, first)), old(second)); diff != "" {
		t.Errorf("the older one byte for byte as it was (-before +after)\n%s", diff)
	}
	third := read(t, write(t, second))
	third.Items = slices.DeleteFunc(third.Items, func(o manifest.Object) bool {
		return o.Kind() == "IstioRevision" && o.ID().Name == "default-v1-27-0"
	})
	if diff := cmp.Diff([]string{"istiod-default-v1-28-3"},
		names(expand.RenderIstio.List(third, resource.Settings{}), "Deployment")); diff != "" {
		t.Errorf("once somebody has removed its IstioRevision its objects go (-want +got)\n%s", diff)
	}
	back := run(t, bump(write(t, second), "v1.27.0"))
	for _, o := range back.Items {
		if o.Annotation(manifest.AnnotationActivation) == "3" && o.ID().Name == "default-v1-27-0" {
			o.DeleteAnnotation(manifest.AnnotationActivation) // that it is the third change is the only difference
		}
	}
	if diff := cmp.Diff(old(read(t, first)), old(back)); diff != "" {
		t.Errorf("going back makes the older one the active one again, as it was (-before +after)\n%s", diff)
	}
	inPlace := func(version string) string {
		return istio("default", "{version: "+version+"}", inFile("mesh/istio.yaml"))
	}
	out := run(t, resourceList("", inPlace("v1.24.2")))
	list := read(t, write(t, out))
	list.Items[0] = read(t, resourceList("", inPlace("v1.28.3"))).Items[0]
	fresh, replaced := run(t, resourceList("", inPlace("v1.28.3"))), expand.RenderIstio.List(list, resource.Settings{})
	sorted := func(l *krm.List) string {
		items := slices.Clone(l.Items)
		manifest.Sort(items)
		return write(t, &krm.List{Items: items})
	}
	if diff := cmp.Diff(sorted(fresh), sorted(replaced)); diff != "" {
		t.Errorf("InPlace leaves nothing of the older version (-fresh package +bumped package)\n%s", diff)
	}
}

// TestIdempotent: running twice is running once, byte for byte.
func TestIdempotent(t *testing.T) {
	const based = "updateStrategy: {type: RevisionBased}"
	cases := map[string]string{
		"one": resourceList("", istio("default", "{}", inFile("istio.yaml"))),
		"all options": resourceList(configMap+
			"data: {crds: include, failure-policy: chart, platform: openshift, kube-version: v1.30.0}\n", namespace,
			istio("default", "{profile: ambient, "+based+"}", inFile("a/b/istio.yaml"))),
		"two and more": resourceList("", istio("a", "{namespace: a, version: v1.24-latest, "+based+"}", inFile("a.yaml")),
			namespace,
			istio("b", "{namespace: b, version: v1.23.2}", inFile("b.yaml"))),
		"remote": resourceList("",
			istio("default", "{profile: remote, version: v1.23.2, values: {global: {remotePilotAddress: 10.0.0.1}}}",
				inFile("istio.yaml"))),
		"configPath": resourceList(istio("a", "{namespace: a}"), istio("b", "{namespace: b}", inFile("b.yaml")),
			istio("a", "{namespace: a}", inFile("x/a.yaml"))),
		"transformer": resourceList("", namespace, istio("default", "{"+based+"}", local)),
		"odd names":   resourceList("", istio("on", "{namespace: 'yes'}", inFile("'on.yaml'"))),
	}
	for name, in := range cases {
		t.Run(name, func(t *testing.T) {
			config := read(t, in).Config
			first := run(t, in)
			text := write(t, &krm.List{Items: first.Items})
			again := read(t, text)
			again.Config = config
			second := expand.RenderIstio.List(again, resource.Settings{})
			if diff := cmp.Diff(text, write(t, &krm.List{Items: second.Items})); diff != "" {
				t.Errorf("(-first +second)\n%s", diff)
			}
			if diff := cmp.Diff(short(first.Findings), short(second.Findings)); diff != "" {
				t.Errorf("results (-first +second)\n%s", diff)
			}
			checkFiles(t, first.Items)
		})
	}
}

// checkFiles: no two items in one place, and none outside of the package.
func checkFiles(t testing.TB, items []manifest.Object) {
	t.Helper()
	seen := map[resource.Location]manifest.ID{}
	for _, o := range items {
		l := resource.LocationOf(o)
		if l.Path == "" {
			continue
		}
		if other, twice := seen[l]; twice {
			t.Errorf("%s and %s are both in %+v", other, o.ID(), l)
		}
		seen[l] = o.ID()
		if strings.HasPrefix(l.Path, "/") || slices.Contains(strings.Split(l.Path, "/"), "..") {
			t.Errorf("%s is outside of the package: %s", o.ID(), l.Path)
		}
	}
}

func TestCRDsOnce(t *testing.T) {
	for name, in := range map[string]string{
		"asked for by the older": resourceList("",
			istio("a", "{namespace: a, version: v1.24.2}", "annotations: {lateen.io/crds: include}"),
			istio("b", "{namespace: b, version: v1.28.3}")),
		"asked for by all": resourceList(configMap+"data: {crds: include}\n", istio("b", "{namespace: b, version: v1.28.3}"),
			istio("a", "{namespace: a, version: v1.24.2}"), istio("c", "{namespace: c, version: v1.28.3}")),
	} {
		t.Run(name, func(t *testing.T) {
			out := run(t, in)
			if diff := cmp.Diff(crdsOf(t), names(out, "CustomResourceDefinition")); diff != "" {
				t.Errorf("the CRDs are there once, of the newest version (-want +got)\n%s", diff)
			}
			for _, o := range out.Items {
				if o.Kind() == "CustomResourceDefinition" && o.Annotation(manifest.AnnotationOwner) != "Istio/b" {
					t.Errorf("%s must come from the newest control plane, not %s", o.ID(), o.Annotation(manifest.AnnotationOwner))
				}
			}
		})
	}
}

// TestCRDsOfTwoMutators: each configPath is a run of its own, and the package has the CRDs once all the same.
func TestCRDsOfTwoMutators(t *testing.T) {
	const include = "annotations: {lateen.io/crds: include, internal.config.kubernetes.io/path: "
	a := istio("a", "{namespace: a, version: v1.28.3}", include+"a.yaml}")
	for name, version := range map[string]string{"same version": "v1.28.3", "older version": "v1.25.1"} {
		t.Run(name, func(t *testing.T) {
			b := istio("b", "{namespace: b, version: "+version+"}", include+"b.yaml}")
			text := resourceList("", a, b)
			for range 2 {
				for _, config := range []string{a, b} {
					in := read(t, text)
					in.Config = read(t, resourceList(config)).Config
					out := expand.RenderIstio.List(in, resource.Settings{})
					if out.Findings.HasError() {
						t.Fatal(out.Findings)
					}
					text = write(t, &krm.List{Items: out.Items})
				}
			}
			out := read(t, text)
			got := names(out, "CustomResourceDefinition")
			slices.Sort(got)
			if diff := cmp.Diff(crdsOf(t), got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
			for _, o := range out.Items {
				if v := o.Annotation(manifest.AnnotationVersion); o.Kind() == "CustomResourceDefinition" && v != "v1.28.3" {
					t.Errorf("%s is of %s", o.ID(), v)
				}
			}
		})
	}
}

// found is a result in short.
type found struct{ Severity, Name, Field, File, Message string }

func short(results finding.List) []found {
	var out []found
	for _, r := range results {
		f := found{Severity: string(r.Severity), Message: r.Message}
		if r.Ref != (finding.Ref{}) {
			f.Name = r.Ref.Name
		}
		if r.Field != "" {
			f.Field = r.Field
		}
		if r.File != "" {
			f.File = r.File
		}
		out = append(out, f)
	}
	return out
}

func TestErrors(t *testing.T) {
	good := istio("good", "{namespace: good}", inFile("good.yaml"))
	cases := map[string]struct {
		reason string
		in     string
		want   []found // Message is what the message must contain
	}{
		"version": {
			reason: "says where, and what there is",
			in:     resourceList("", good, istio("default", "{version: v1.21.0}", inFile("istio.yaml"))),
			want: []found{
				{
					"error", "default", "spec.version", "istio.yaml",
					"spec.version: Istio v1.21.0 is not bundled; bundled versions: v1.23.2, ",
				},
			},
		},
		"decoding": {
			reason: "fields are read strictly",
			in:     resourceList("", istio("default", "{verison: v1.28.3}", inFile("istio.yaml")), good),
			want: []found{
				{"error", "default", "spec.verison", "istio.yaml", "spec.verison: unknown field; did you mean version?"},
			},
		},
		"values": {
			reason: "held against the schema of the version",
			in:     resourceList("", istio("default", "{values: {pilot: {traceSamplin: 1}}}", inFile("istio.yaml"))),
			want: []found{
				{
					"error", "default", "spec.values.pilot.traceSamplin", "istio.yaml",
					"spec.values.pilot.traceSamplin: unknown field in v1.28.3; did you mean traceSampling?",
				},
			},
		},
		"values by type": {
			reason: "every env is a map of text",
			in:     resourceList("", istio("default", "{values: {pilot: {env: {A: true}}}}", inFile("istio.yaml"))),
			want: []found{
				{
					"error", "default", "spec.values.pilot.env.A", "istio.yaml",
					`spec.values.pilot.env.A: must be a string, is a boolean (write "true" with quotes)`,
				},
			},
		},
		"meshConfig": {
			reason: "the same for spec.meshConfig, lists with numbers",
			in: resourceList("", istio("default", "{meshConfig: {extensionProviders: [{name: a}, {nam: b}]}}",
				inFile("istio.yaml"))),
			want: []found{
				{
					"error", "default", "spec.meshConfig.extensionProviders.1.nam", "istio.yaml",
					"spec.meshConfig.extensionProviders[1].nam: unknown field in v1.28.3; did you mean name?",
				},
			},
		},
		"two values": {
			reason: "one setting in two places",
			in: resourceList("", istio("default",
				"{meshConfig: {rootNamespace: a}, values: {meshConfig: {rootNamespace: b}}}")),
			want: []found{
				{
					"error", "default", "spec.meshConfig.rootNamespace", "",
					`spec.meshConfig.rootNamespace is "a" and spec.values.meshConfig.rootNamespace is "b"; set it in one place only`,
				},
			},
		},
		"chart fails": {
			reason: "the chart's own sentence, and which chart said it",
			in:     resourceList("", istio("default", "{version: v1.28.3, values: {global: {multiCluster: null}}}")),
			want:   []found{{"error", "default", "", "", "nil pointer evaluating interface {}.clusterName"}},
		},
		"configuration": {
			reason: "something else than the function takes",
			in:     resourceList("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", good),
			want: []found{
				{
					"error", "", "", "", `functionConfig is a Secret "x"; render-istio takes Istio or IstioRevision of ` +
						`sailoperator.io/v1, or a ConfigMap with options`,
				},
			},
		},
		"option": {
			reason: "of a ConfigMap",
			in:     resourceList(configMap+"data: {crds: maybe}\n", good),
			want: []found{
				{"error", "options", "data.crds", "", `functionConfig: option crds is "maybe"; possible are: exclude, include`},
			},
		},
		"charts": {
			reason: "a directory that is not there",
			in:     resourceList("", istio("default", "{}", "annotations: {lateen.io/charts: /does/not/exist}")),
			want: []found{
				{"error", "default", "", "", "option charts: charts directory: stat /does/not/exist: no such file or directory"},
			},
		},
		"Kubernetes version": {
			reason: "of an option",
			in:     resourceList(configMap+"data: {kube-version: latest}\n", istio("default", "{}")),
			want: []found{
				{"error", "default", "", "", `option kube-version "latest" is not a Kubernetes version: write it like v1.34.0`},
			},
		},
		"user's object": {
			reason: "would be overwritten",
			in: resourceList("", istio("default", "{}"),
				"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod, namespace: istio-system}\n"),
			want: []found{
				{
					"error", "", "", "",
					"Istio/default generates Deployment istio-system/istiod (apps), which the package has already",
				},
			},
		},
		"user's object beside a generator": {
			reason: "would be there twice",
			in: resourceList(istio("default", "{}"),
				"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: istiod, namespace: istio-system}\n"),
			want: []found{
				{
					"error", "", "", "",
					"Istio/default generates Deployment istio-system/istiod (apps), which the package has already",
				},
			},
		},
		"several": {
			reason: "one run tells of all of them",
			in:     resourceList("", istio("a", "{version: v1.21.0}"), istio("b", "{hub: x}")),
			want: []found{
				{"error", "b", "spec.hub", "", "spec.hub belongs to IstioOperator"},
				{"error", "a", "spec.version", "", "Istio v1.21.0 is not bundled"},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			in := read(t, tc.in)
			before := write(t, &krm.List{Items: in.Items})
			out := expand.RenderIstio.List(in, resource.Settings{})
			got := short(out.Findings)
			for i := range min(len(got), len(tc.want)) {
				if strings.Contains(got[i].Message, tc.want[i].Message) {
					got[i].Message = tc.want[i].Message
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items})); diff != "" {
				t.Errorf("an error leaves the items as they are (-before +after)\n%s", diff)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	cases := map[string]struct {
		reason string
		in     string
		want   []found
	}{
		"none": {
			reason: "an ordinary package has nothing to say",
			in: resourceList("", istio("default", "{version: v1.28.3, updateStrategy: {type: RevisionBased}}",
				inFile("istio.yaml"))),
		},
		"end of life": {
			reason: "renders all the same",
			in:     resourceList("", istio("default", "{version: v1.24.2}", inFile("istio.yaml"))),
			want: []found{{
				"info", "default", "spec.version", "istio.yaml",
				"Istio v1.24.2: this minor version reached its end of life in 2025-06 " +
					"and gets no security fixes; newest bundled version: v1.28.3",
			}},
		},
		"RevisionBased without memory": {
			reason: "nobody would remove the old revision",
			in:     resourceList(istio("default", "{updateStrategy: {type: RevisionBased}}")),
			want: []found{{
				"warning", "default", "spec.updateStrategy.type", "",
				"RevisionBased without tracking: nothing here remembers older revisions, so nobody " +
					`will remove the old one after an upgrade. Let the controller track it (generator: annotation lateen.io/track: ` +
					`"true"; transformer: no local-config), or remove old revisions by hand`,
			}},
		},
		"RevisionBased transformer": {
			reason: "kustomize drops a local-config resource: no controller hears of it",
			in:     resourceList("", istio("default", "{updateStrategy: {type: RevisionBased}}", local)),
			want: []found{{
				"warning", "default", "spec.updateStrategy.type", "",
				"RevisionBased without tracking: nothing here remembers older revisions, so nobody will remove the old " +
					`one after an upgrade. Let the controller track it (generator: annotation lateen.io/track: "true"; transformer: ` +
					`no local-config), or remove old revisions by hand`,
			}},
		},
		"RevisionBased transformer, applied": {
			reason: "the controller sees the resource",
			in:     resourceList("", istio("default", "{updateStrategy: {type: RevisionBased}}")),
		},
		"RevisionBased, tracked": {
			reason: "the controller will",
			in: resourceList(istio("default", "{updateStrategy: {type: RevisionBased}}",
				"annotations: {lateen.io/track: 'true'}")),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			out := run(t, tc.in)
			if diff := cmp.Diff(tc.want, short(out.Findings)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if kinds(out)["Deployment"] != 1 {
				t.Error("a warning does not keep anything from being rendered")
			}
		})
	}
}

// TestProtect: where nothing remembers older revisions, GitOps tools are asked to leave them.
func TestProtect(t *testing.T) {
	const based = "{updateStrategy: {type: RevisionBased}}"
	cases := map[string]struct {
		reason string
		in     string
		want   bool
	}{
		"kustomize, RevisionBased": {
			"the next version's output does not have the old revision any more", resourceList(istio("default", based)), true,
		},
		"kustomize, tracked": {
			"the controller's record of an old revision must not be pruned before the revision",
			resourceList(istio("default", based, "annotations: {lateen.io/track: 'true'}")), true,
		},
		"kustomize, InPlace": {
			"what a new version does not have any more shall go", resourceList(istio("default", "{}")), false,
		},
		"kustomize, InPlace with the option": {
			"the commit before the switch to RevisionBased, which takes the objects out of the output",
			resourceList(istio("default", "{}", "annotations: {lateen.io/protect: 'true'}")), true,
		},
		"kustomize, tracked InPlace with the option": {
			"its IstioRevision leaves the output with the objects",
			resourceList(istio("default", "{}", "annotations: {lateen.io/protect: 'true', lateen.io/track: 'true'}")), true,
		},
		"kpt, with the option": {
			"whoever asks for it gets it",
			resourceList(configMap+"data: {protect: 'true'}\n", istio("default", "{}", inFile("istio.yaml"))), true,
		},
		"kustomize, RevisionBased, without the option": {
			"false is what it is without the option: they are protected all the same",
			resourceList(istio("default", based, "annotations: {lateen.io/protect: 'false'}")), true,
		},
		"kpt, RevisionBased": {
			"the package remembers", resourceList("", istio("default", based, inFile("istio.yaml"))), false,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			for _, o := range run(t, tc.in).Items {
				if o.Annotation(manifest.AnnotationOwner) == "" {
					continue
				}
				if got := o.Annotation(manifest.AnnotationFluxPrune) == "disabled" &&
					o.Annotation(manifest.AnnotationArgoSync) == "Prune=false"; got != tc.want {
					t.Errorf("%s: %s is protected: want %v, got %v", tc.reason, o.ID(), tc.want, got)
				}
			}
		})
	}
}

// TestMany is for the race detector: many resources over all versions share charts and schemas, and come out in order.
func TestMany(t *testing.T) {
	n := 100
	if testing.Short() {
		n = 14
	}
	versions := release.Bundled().Versions()
	var items, want []string
	for i := range n {
		items = append(items, istio(fmt.Sprintf("mesh%d", i),
			fmt.Sprintf("{version: %s, namespace: ns%d}", versions[i%len(versions)], i), inFile(fmt.Sprintf("%d.yaml", i))))
		want = append(want, fmt.Sprintf("istiod-mesh%d", i))
	}
	out := run(t, resourceList("", items...))
	if diff := cmp.Diff(want, names(out, "Deployment")); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	checkFiles(t, out.Items)
}

// TestRenderedBy is about who renders a resource that goes to a cluster: a controller there must not.
func TestRenderedBy(t *testing.T) {
	const by = "lateen.io/rendered-by"
	tag := "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: prod}\n" +
		"spec: {targetRef: {kind: Istio, name: mesh}}\n"
	cni := "apiVersion: sailoperator.io/v1\nkind: IstioCNI\nmetadata: {name: default}\nspec: {}\n"
	const path = "annotations: {internal.config.kubernetes.io/path: mesh.yaml, internal.config.kubernetes.io/index: '0'}"
	for _, c := range []struct {
		reason   string
		function expand.Function
		items    []string
		kind     string
		want     string
		results  []string
	}{
		{"a transformer's output says it", expand.RenderIstio, []string{istio("mesh", "{}")}, "Istio", "render-istio", nil},
		{"so does that of the others", expand.RenderCNI, []string{cni}, "IstioCNI", "render-cni", nil},
		{"and of the tags", expand.RevisionTag, []string{istio("mesh", "{}"), tag}, "IstioRevisionTag", "revision-tag", nil},
		{"what stays in Git does not", expand.RenderIstio, []string{istio("mesh", "{}", local)}, "Istio", "", nil},
		{
			"what the user says stays", expand.RenderIstio,
			[]string{istio("mesh", "{}", "annotations: {lateen.io/rendered-by: me}")},
			"Istio", "me", nil,
		},
		{
			"so does a user's file, and the user is told", expand.RenderIstio,
			[]string{istio("mesh", "{}", path)},
			"Istio", "render-istio",
			[]string{
				"got the annotation lateen.io/rendered-by: render-istio, because it is applied with the rest, and a " +
					"controller in the cluster would render it a second time",
			},
		},
	} {
		in := read(t, resourceList("", c.items...))
		out := c.function.List(in, resource.Settings{})
		var results []string
		for _, r := range out.Findings {
			results = append(results, r.Message)
		}
		if diff := cmp.Diff(c.results, results); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		for _, list := range []struct {
			what  string
			items []manifest.Object
			want  string
		}{{"output", out.Items, c.want}, {"input", in.Items, map[bool]string{true: "me"}[c.want == "me"]}} {
			i := slices.IndexFunc(list.items, func(o manifest.Object) bool { return o.Kind() == c.kind })
			if got := list.items[i].Annotation(by); got != list.want {
				t.Errorf("%s: the %s says %q, want %q", c.reason, list.what, got, list.want)
			}
		}
	}
}
