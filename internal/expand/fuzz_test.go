package expand_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// FuzzList: whatever the input list is, the function does not panic; on success no two items are in one place that
// were not before, none has left the package, and the list can be written, read, and expanded again to the same; on an
// error the items are what they were.
func FuzzList(f *testing.F) {
	const based = "{version: v1.28.3, updateStrategy: {type: RevisionBased}, values: {pilot: {env: {A: b}}}, " +
		"meshConfig: {rootNamespace: x}}"
	revision := "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata:\n  name: default-v1-27-0\n" +
		"  labels: {lateen.io/revision: default-v1-27-0}\n" +
		"  annotations: {lateen.io/owner: Istio/default, internal.config.kubernetes.io/path: old/r.yaml, " +
		"internal.config.kubernetes.io/index: '0'}\n"
	generated := "kind: Role\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: istiod, namespace: " +
		"istio-system, annotations: {lateen.io/owner: Istio/default, internal.config.kubernetes.io/path: x.yaml}}\n"
	for _, seed := range []string{
		resourceList(istio("default", "{version: v1.28.3}"), istio("default", "{version: v1.28.3}", local), namespace),
		resourceList(istio("default", based, "annotations: {lateen.io/track: 'true'}")),
		resourceList("", istio("default", based, inFile("a/istio.yaml")), revision, generated, namespace),
		resourceList(configMap+"data: {platform: openshift, kube-version: v1.30.0, failure-policy: chart}\n",
			istio("a", "{version: v1.23.2, profile: remote}", local)),
		resourceList(istio("a", "{}"), istio("a", "{namespace: a}", inFile("a.yaml")),
			istio("b", "{namespace: b}", inFile("b.yaml"))),
		resourceList("", "apiVersion: sailoperator.io/v1\nkind: IstioRevision\nmetadata: {name: r}\n"+
			"spec: {version: v1.28.3, namespace: ns, values: {revision: r, global: {istioNamespace: ns}}}\n"),
		resourceList("", istio("default", "{version: v1.0.0, hub: x}", inFile("../a.yaml"))),
		resourceList("kind: Secret\n", namespace), resourceList("", namespace, configMap),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<12 || strings.Contains(text, "charts") || strings.Contains(text, "include") {
			t.Skip("inputs are bounded; no directories are read, and no CRDs are rendered, which takes long")
		}
		in, err := krm.Parse([]byte(text))
		if err != nil {
			return
		}
		places, unique := placesOf(in.Items)
		if len(in.Items) > 8 || !unique {
			t.Skip("inputs are bounded, and such that kpt could give")
		}
		before := write(t, &krm.List{Items: in.Items})
		out := expand.RenderIstio.List(in, resource.Settings{})
		if out.Findings.HasError() {
			if diff := cmp.Diff(before, write(t, &krm.List{Items: out.Items})); diff != "" {
				t.Fatalf("an error leaves the items as they are (-before +after)\n%s", diff)
			}
			return
		}
		if _, unique := placesOf(out.Items); !unique {
			t.Fatalf("two items in one place:\n%s", write(t, out))
		}
		checkFiles(t, slices.DeleteFunc(slices.Clone(out.Items), func(o manifest.Object) bool {
			return places[resource.LocationOf(o)]
		}))
		checkStable(t, in, out)
	})
}

// placesOf are the places of items in files, and whether each item has one for itself.
func placesOf(items []manifest.Object) (places map[resource.Location]bool, unique bool) {
	places, unique = map[resource.Location]bool{}, true
	for _, o := range items {
		if l := resource.LocationOf(o); l.Path != "" {
			unique = unique && !places[l]
			places[l] = true
		}
	}
	return places, unique
}

// checkStable: what was written can be read, and is expanded to itself.
func checkStable(t *testing.T, in, out *krm.List) {
	t.Helper()
	written := write(t, &krm.List{Items: out.Items}) // results tell of what a run has changed, and may differ
	again, err := krm.Parse([]byte(written))
	if err != nil {
		t.Fatalf("%v in what was written:\n%s", err, written)
	}
	if in.Config != nil && resource.IsResource(*in.Config, expand.RenderIstio.Kinds...) {
		return // a generator does not get its own output
	}
	again.Config = in.Config
	if diff := cmp.Diff(written, write(t,
		&krm.List{Items: expand.RenderIstio.List(again, resource.Settings{}).Items})); diff != "" {
		t.Fatalf("expanded twice (-first +second)\n%s", diff)
	}
}
