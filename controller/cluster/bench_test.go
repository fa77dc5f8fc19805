package cluster

import (
	"encoding/json"
	"fmt"
	"runtime"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apiruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/test/memory"
)

// deploymentText is the text of a Deployment as a watch brings it: some ten kilobytes, most of them what nobody needs
// here.
func deploymentText(b *testing.B, i int, rev string) []byte {
	b.Helper()
	d := &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}}
	d.Namespace, d.Name = fmt.Sprintf("team-%04d-services", i/20), fmt.Sprintf("reviews-v1-%d", i)
	d.Annotations = map[string]string{"kubectl.kubernetes.io/last-applied-configuration": strings.Repeat("x", 3000)}
	d.ManagedFields = []metav1.ManagedFieldsEntry{{
		Manager: "kubectl", FieldsV1: metav1.NewFieldsV1(`{"f:spec":"` + strings.Repeat("y", 2000) + `"}`),
	}}
	d.Spec.Template.Labels = map[string]string{"app": "reviews", "version": "v1"}
	if rev != "" {
		d.Spec.Template.Labels[usage.LabelRevision] = rev
	}
	for c := range 2 {
		container := corev1.Container{Name: fmt.Sprintf("c%d", c), Image: "registry.example.com/reviews:v1"}
		for v := range 30 {
			container.Env = append(container.Env,
				corev1.EnvVar{Name: fmt.Sprintf("VARIABLE_%d", v), Value: "some value of a variable"})
		}
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, container)
	}
	text, err := json.Marshal(d)
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// BenchmarkWorkload is what a workload costs, as its text comes over the wire: decoding an excerpt of it, beside
// decoding all of it as an informer would, ns and garbage an event; and what the index keeps of one that names a
// revision, and of one that does not.
func BenchmarkWorkload(b *testing.B) {
	text := deploymentText(b, 0, "default-v1-28-1")
	b.Logf("an event has %d bytes", len(text))
	for name, scheme := range map[string]*apiruntime.Scheme{"excerpt": excerptScheme(), "whole": clientgoscheme.Scheme} {
		decoder := serializer.NewCodecFactory(scheme).UniversalDeserializer()
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := decoder.Decode(text, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	const workloads = 20_000
	for name, rev := range map[string]string{"named": "default-v1-28-1", "plain": ""} {
		b.Run("kept/"+name, func(b *testing.B) {
			decoder := serializer.NewCodecFactory(excerptScheme()).UniversalDeserializer()
			x := usage.NewIndex()
			before := memory.InUse()
			for i := range workloads {
				o, _, err := decoder.Decode(deploymentText(b, i, rev), nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				x.SetPod(o.(*excerpt).workload("Deployment"))
			}
			perWorkload := float64(memory.InUse()-before) / workloads
			for b.Loop() {
				runtime.KeepAlive(x)
			}
			b.ReportMetric(perWorkload, "bytes/workload")
			b.ReportMetric(0, "ns/op")
		})
	}
}
