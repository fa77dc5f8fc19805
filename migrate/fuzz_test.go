package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

// FuzzMigrate: whatever the IstioOperator is, migrating does not panic; either there are errors or what there is can be
// written, read again, and is the same the second time; the input is not changed; and a second run changes nothing in a
// package.
func FuzzMigrate(f *testing.F) {
	for _, c := range cases {
		f.Add("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata:\n  name: default\n" + c.operator)
	}
	for _, spec := range []string{
		"{}", "{values: {pilot: {env: [{name: a, value: 1}]}}}",
		"{components: {pilot: {k8s: {env: {A: b}, hpaSpec: [], overlays: [{kind: a, name: b, patches: [{path: " +
			"'a.[x:y].[1]'}]}]}}}}",
		"{values: &a {pilot: {x: 1}}, unvalidatedValues: *a}", "{tag: 1.27, revision: [], profile: demo}",
		"{components: {ztunnel: {k8s: {env: [{}]}}}, profile: ambient}",
		"{components: {ingressGateways: [{k8s: {overlays: [{}], service: 1}}]}, values: {gateways: {istio-ingressgateway: " +
			"{env: {A: 1}, ports: x}}}}",
	} {
		f.Add(head + "spec: " + spec + "\n")
	}
	f.Fuzz(func(t *testing.T, text string) {
		objects, err := resource.ParseDocuments([]byte(text))
		if err != nil || len(objects) != 1 || len(text) > 1<<14 {
			return
		}
		var before strings.Builder
		if objects[0].Encode(&before) != nil {
			return
		}
		out := migrate.Operator(objects[0], "")
		var after strings.Builder
		if err := objects[0].Encode(&after); err != nil || before.String() != after.String() {
			t.Fatalf("the input was changed (%v):\n%s", err, cmp.Diff(before.String(), after.String()))
		}
		if len(out.Objects) == 0 {
			return
		}
		got := write(t, out.Objects)
		again, err := resource.ParseDocuments([]byte(got))
		if err != nil {
			t.Fatalf("%v in:\n%s", err, got)
		}
		for _, o := range again {
			if _, results := resource.Decode(o); migrateFailed(results) {
				t.Fatalf("%v in:\n%s", results, got)
			}
		}
		second := write(t, migrate.Operator(objects[0], "").Objects)
		if diff := cmp.Diff(got, second); diff != "" {
			t.Fatalf("the second time: %s", diff)
		}
		list := &krm.List{Items: []manifest.Object{objects[0]}}
		once := migrate.List(list, nil)
		twice := migrate.List(once, nil)
		if diff := cmp.Diff(write(t, once.Items), write(t, twice.Items)); diff != "" {
			t.Fatalf("a second run changes the package: %s", diff)
		}
	})
}
