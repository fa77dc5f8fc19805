package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/migrate"
)

// TestIdentity gives the patches of overlays on what an object is to the real kustomize, which ignores in silence what
// it is not allowed to change: for every field, and for every component.
func TestIdentity(t *testing.T) {
	t.Parallel()
	tool := kustomize(t)
	const objects = `apiVersion: apps/v1
kind: Deployment
metadata: {name: g, namespace: gws, labels: {a: b}}
spec: {replicas: 1}
`
	components := map[string]struct{ spec, objects string }{
		"base":    {"  profile: minimal\n  components: {base: {k8s: {overlays: [OVERLAY]}}}\n", objects},
		"pilot":   {"  profile: minimal\n  components: {pilot: {k8s: {overlays: [OVERLAY]}}}\n", objects},
		"cni":     {"  profile: minimal\n  components: {cni: {k8s: {overlays: [OVERLAY]}}}\n", objects},
		"ingress": {"  components: {ingressGateways: [{name: g, namespace: gws, k8s: {overlays: [OVERLAY]}}]}\n", ""},
		"egress": {
			"  profile: minimal\n  components: {egressGateways: [{name: g, namespace: gws, k8s: {overlays: [OVERLAY]}}]}\n", "",
		},
	}
	for _, c := range []struct {
		reason, patches string
		want            string   // API version, kind, namespace and name, and the number of replicas
		says            []string // contained in the finding
	}{
		{
			"another kind", "{path: kind, value: DaemonSet}", "apps/v1 DaemonSet gws/g",
			[]string{"options:\n    allowKindChange: true\n# Keep the patch of kind the last one"},
		},
		{
			"another name", "{path: metadata.name, value: h}", "apps/v1 Deployment gws/h",
			[]string{"options:\n    allowNameChange: true\n# kustomize changes references"},
		},
		{
			"both", "{path: kind, value: DaemonSet}, {path: metadata.name, value: h}", "apps/v1 DaemonSet gws/h",
			[]string{"options:\n    allowKindChange: true\n    allowNameChange: true\n"},
		},
		{
			"another API version", "{path: apiVersion, value: apps/v1beta1}", "apps/v1beta1 Deployment gws/g",
			[]string{"op: add", "path: /apiVersion"},
		},
		{
			"another namespace", "{path: metadata.namespace, value: m}", "apps/v1 Deployment m/g",
			[]string{"op: add", "path: /metadata/namespace", "# kustomize changes references"},
		},
		{
			"no namespace", "{path: metadata.namespace}", "apps/v1 Deployment /g",
			[]string{"op: remove", "path: /metadata/namespace"},
		},
		{
			"all of it, and other fields, which come first",
			"{path: kind, value: DaemonSet}, {path: apiVersion, value: apps/v2}, {path: metadata.namespace, value: m}, " +
				"{path: metadata.name, value: h}, {path: spec.replicas, value: 7}",
			"apps/v2 DaemonSet m/h 7", nil,
		},
		{
			"a name that looks like a number", "{path: metadata.name, value: 8}", "apps/v1 Deployment gws/8",
			[]string{`name: "8"`},
		},
		{
			"all of the metadata", "{path: metadata, value: {name: h, namespace: m, labels: {c: d}}}",
			"apps/v1 Deployment m/h",
			[]string{"allowNameChange: true", "path: /metadata/namespace", "c: d"},
		},
		{
			"metadata with the name and namespace that are there", "{path: metadata, value: {labels: {c: d}}}",
			"apps/v1 Deployment gws/g",
			[]string{"c: d"},
		},
		{"a label", "{path: metadata.labels.a, value: c}", "apps/v1 Deployment gws/g", []string{"a: c"}},
	} {
		for component, at := range components {
			if component != "pilot" && !strings.HasPrefix(c.reason, "all of it") {
				continue // what one component has, all have
			}
			t.Run(c.reason+"/"+component, func(t *testing.T) {
				t.Parallel()
				overlay := "{kind: Deployment, name: g, patches: [" + c.patches + "]}"
				out := migrate.Operator(object(t, head+"spec:\n  tag: 1.28.3\n"+strings.Replace(at.spec, "OVERLAY", overlay, 1)),
					"")
				built, all := paste(t, tool, out.Findings, at.objects)
				var got []string
				for _, o := range built {
					if k := o.Kind(); k == "Deployment" || k == "DaemonSet" {
						id, is := o.ID(), ""
						if r := o.Field("spec", "replicas"); r != nil && r.Value != "1" {
							is = " " + r.Value
						}
						got = append(got, o.APIVersion()+" "+id.Kind+" "+id.Namespace+"/"+id.Name+is)
					}
				}
				if diff := cmp.Diff([]string{c.want}, got); diff != "" {
					t.Errorf("-want +got:\n%s\n%s", diff, all)
				}
				contains(t, "the finding", all, c.says, nil)
			})
		}
	}
}

// TestNoIdentity lists what no object can be without.
func TestNoIdentity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, patch, says string }{
		{"no kind", "{path: kind}", "no object is without its kind"},
		{"no API version", "{path: apiVersion}", "no object is without its apiVersion"},
		{"no name", "{path: metadata.name}", "no object is without its metadata.name"},
		{"a kind that is no text", "{path: kind, value: [a]}", "not text"},
		{"a namespace that is no text", "{path: metadata.namespace, value: {a: b}}", "not text"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  profile: minimal\n  tag: 1.28.3\n  components: {pilot: {k8s: "+
				"{overlays: [{kind: Deployment, name: istiod, patches: ["+c.patch+"]}]}}}\n"), "")
			for _, f := range out.Findings {
				if f.Field == "spec.components.pilot.k8s.overlays.0.patches.0" && strings.Contains(f.Message, c.says) {
					return
				}
			}
			t.Errorf("no finding %q about the patch; there are: %v", c.says, out.Findings)
		})
	}
}
