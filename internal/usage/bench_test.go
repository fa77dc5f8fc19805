package usage_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/test/memory"
)

// cluster is as many pods as asked for, twenty in a namespace, of twenty revisions: half of the namespaces select one
// by their label, in the others the pods do; every pod runs a proxy. Strings are made anew on each call, as those of
// events are, so that what an index keeps of them counts.
type cluster struct {
	pods int
	// generation is how often every pod has been replaced by one of another name.
	generation int
}

const (
	benchRevisions = 20
	podsPerSpace   = 20
)

func (c cluster) namespace(i int) usage.Namespace {
	labels := map[string]string{}
	if i%2 == 0 {
		labels[usage.LabelRevision] = fmt.Sprintf("default-v1-28-%d", i%benchRevisions)
	}
	return usage.NamespaceOf(fmt.Sprintf("team-%04d-services", i), labels)
}

func (c cluster) pod(i int) usage.Pod {
	space := i / podsPerSpace
	rev := fmt.Sprintf("default-v1-28-%d", space%benchRevisions)
	labels := map[string]string{}
	if space%2 == 1 {
		labels[usage.LabelRevision] = rev
	}
	name := fmt.Sprintf("reviews-v1-%08x-%05d", (i+c.generation)*2654435761%(1<<32), i%100000)
	return usage.PodOf(fmt.Sprintf("team-%04d-services", space), name, labels, map[string]string{usage.LabelRevision: rev},
		false)
}

func (c cluster) index() *usage.Index {
	x := seen()
	for i := range c.pods / podsPerSpace {
		x.SetNamespace(c.namespace(i))
	}
	for i := range c.pods {
		x.SetPod(c.pod(i))
	}
	return x
}

// BenchmarkIndex measures the index of usage at three sizes: bytes/pod all-in, also after every pod has been replaced a
// few times, and ns/op for each kind of event (of those that go and come back, two are one operation) and question. The
// time to make the event is not in it.
func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1_000, 10_000, 100_000} {
		c := cluster{pods: n}
		b.Run(fmt.Sprintf("pods=%d", n), func(b *testing.B) {
			before := memory.InUse()
			x := c.index()
			perPod := float64(memory.InUse()-before) / float64(n)

			for range 5 { // pods come and go; what is gone must not cost
				next := cluster{n, c.generation + n}
				for i := range n {
					gone := c.pod(i)
					x.SetPod(next.pod(i))
					x.DeletePod(gone.Namespace, gone.Name)
				}
				c = next
			}
			perPodLater := float64(memory.InUse()-before) / float64(n)

			const events = 1000 // prepared: the pods at even distances
			pods, moved := make([]usage.Pod, events), make([]usage.Pod, events)
			for i := range events {
				pods[i] = c.pod(i * n / events)
				moved[i] = pods[i]
				moved[i].InjectedBy = "default-v1-28-next"
			}
			space := c.namespace(1)
			relabelled := usage.NamespaceOf(space.Name, map[string]string{usage.LabelRevision: "default-v1-28-next"})
			plain := usage.Pod{Namespace: space.Name, Name: "job"}

			b.Run("memory", func(b *testing.B) {
				for b.Loop() {
					runtime.KeepAlive(x)
				}
				b.ReportMetric(perPod, "bytes/pod")
				b.ReportMetric(perPodLater, "bytes/pod-later")
				b.ReportMetric(0, "ns/op")
			})
			run := func(name string, event func(i int)) {
				b.Run(name, func(b *testing.B) {
					b.ReportAllocs()
					i := 0
					for b.Loop() {
						event(i)
						i = (i + 1) % events
					}
				})
			}
			run("pod/unchanged", func(i int) { x.SetPod(pods[i]) })
			run("pod/uses nothing", func(int) { x.SetPod(plain) })
			run("pod/goes and comes back", func(i int) {
				x.DeletePod(pods[i].Namespace, pods[i].Name)
				x.SetPod(pods[i])
			})
			run("pod/moves to another revision and back", func(i int) {
				x.SetPod(moved[i])
				x.SetPod(pods[i])
			})
			run("namespace/begins to decide and ceases", func(int) {
				x.SetNamespace(relabelled)
				x.SetNamespace(space)
			})
			run("question/revision, first 3 users", func(i int) {
				x.Revision(usage.RevisionInfo{Name: pods[i].InjectedBy}, nil, 3)
			})
		})
	}
}
