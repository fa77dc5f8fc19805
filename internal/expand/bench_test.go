package expand_test

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// BenchmarkOne renders one Istio and writes the objects, all but starting the process.
func BenchmarkOne(b *testing.B) {
	const istio = "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, " +
		"spec: {values: {pilot: {resources: {requests: {cpu: 100m}}}}}}"
	b.ReportAllocs()
	for b.Loop() {
		items, err := resource.ParseDocuments([]byte(istio))
		if err != nil {
			b.Fatal(err)
		}
		expanded := expand.RenderIstio.Items(items, nil)
		objects, err := expanded.Plain()
		if err != nil || len(objects) < 15 {
			b.Fatal(err, len(objects))
		}
		if err := manifest.Write(io.Discard, objects); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkHundred renders a package of a hundred Istios over all versions.
func BenchmarkHundred(b *testing.B) {
	versions := release.Bundled().Versions()
	var text strings.Builder
	text.WriteString("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n")
	for i := range 100 {
		fmt.Fprintf(&text, "- {apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: mesh%d}, spec: {version: %s}}\n",
			i, versions[i%len(versions)])
	}
	b.ReportAllocs()
	for b.Loop() {
		list, err := krm.Parse([]byte(text.String()))
		if err != nil {
			b.Fatal(err)
		}
		out := expand.RenderIstio.List(list, nil)
		if out.Findings.HasError() || len(out.Items) < 1500 {
			b.Fatal(out.Findings, len(out.Items))
		}
		if err := out.Write(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
