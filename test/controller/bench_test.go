package controller

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// BenchmarkFinishedPods compares the ways to do without pods that have run to their end: not to ask for them, by a
// field selector that the server evaluates, and to ask for all and drop them, which metadata alone does not allow,
// since the phase is in the status. Half of 2,000 pods of 10 KB are finished. It reports bytes on the wire and memory
// of the client for each complete look.
func BenchmarkFinishedPods(b *testing.B) {
	c := cluster.Start(b)
	api, err := client.New(c.RESTConfig(), client.Options{})
	if err != nil {
		b.Fatal(err)
	}
	fill(b, api)
	for _, way := range []struct {
		name, selector string
		whole          bool
	}{
		{"metadata, finished pods left out by the server", "status.phase!=Succeeded,status.phase!=Failed", false},
		{"metadata of all pods", "", false},
		{"whole pods, finished ones left out by the client", "", true},
	} {
		b.Run(way.name, func(b *testing.B) {
			var read atomic.Int64
			config := rest.CopyConfig(c.RESTConfig())
			config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &counting{next, &read} })
			look := looker(b, config, way.whole, way.selector)
			b.ReportAllocs()
			read.Store(0)
			for b.Loop() {
				look(b)
			}
			b.ReportMetric(float64(read.Load())/float64(b.N)/1e3, "KB/look")
		})
	}
}

// looker reads all pods, as metadata or whole.
func looker(b *testing.B, config *rest.Config, whole bool, selector string) func(*testing.B) {
	b.Helper()
	if whole {
		api, err := client.New(config, client.Options{})
		if err != nil {
			b.Fatal(err)
		}
		return func(b *testing.B) {
			b.Helper()
			var list corev1.PodList
			if err := api.List(b.Context(), &list); err != nil {
				b.Fatal(err)
			}
		}
	}
	meta, err := metadata.NewForConfig(metadata.ConfigFor(config))
	if err != nil {
		b.Fatal(err)
	}
	pods := meta.Resource(corev1.SchemeGroupVersion.WithResource("pods"))
	return func(b *testing.B) {
		b.Helper()
		if _, err := pods.List(b.Context(), metav1.ListOptions{FieldSelector: selector}); err != nil {
			b.Fatal(err)
		}
	}
}

// fill creates 2,000 pods of 10 KB, half of which have run to their end.
func fill(b *testing.B, api client.Client) {
	b.Helper()
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "default"}}
	if err := api.Create(b.Context(), account); err != nil { // there is no controller that would
		b.Fatal(err)
	}
	var wg sync.WaitGroup
	numbers := make(chan int)
	for range 8 {
		wg.Go(func() {
			for i := range numbers {
				if err := createPod(b.Context(), api, i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range 2000 {
		numbers <- i
	}
	close(numbers)
	wg.Wait()
}

func createPod(ctx context.Context, api client.Client, i int) error {
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: "default", Name: fmt.Sprintf("pod-%d", i), Labels: map[string]string{"app": "x"},
		},
		Spec: corev1.PodSpec{NodeName: "node", Containers: []corev1.Container{{
			Name: "app", Image: "example.com/app", Env: []corev1.EnvVar{{Name: "BIG", Value: strings.Repeat("x", 9000)}},
		}}},
	}
	if err := api.Create(ctx, pod); err != nil || i%2 == 0 {
		return err
	}
	pod.Status.Phase = corev1.PodSucceeded
	return api.Status().Update(ctx, pod)
}

// counting counts what is read from the server, as it comes over the wire.
type counting struct {
	next http.RoundTripper
	read *atomic.Int64
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.next.RoundTrip(r)
	if err == nil {
		response.Body = &countingBody{response.Body, c.read}
	}
	return response, err
}

type countingBody struct {
	io.ReadCloser
	read *atomic.Int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Add(int64(n))
	return n, err
}
