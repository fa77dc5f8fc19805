package expand_test

import (
	"io"
	"testing"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
)

// BenchmarkOne renders one Istio and writes the objects, all but starting the process.
func BenchmarkOne(b *testing.B) {
	const resource = "{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: default}, spec: {values: {pilot: {resources: {requests: {cpu: 100m}}}}}}"
	b.ReportAllocs()
	for b.Loop() {
		items, err := krm.ParseDocuments([]byte(resource))
		if err != nil {
			b.Fatal(err)
		}
		expanded := expand.RenderIstio.Items(items, items, nil, false)
		objects, err := expanded.Plain()
		if err != nil || len(objects) < 15 {
			b.Fatal(err, len(objects))
		}
		if err := manifest.Write(io.Discard, objects); err != nil {
			b.Fatal(err)
		}
	}
}
