package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/test/memory"
)

// What is measured of usage is the index of who uses which revision, in this process: what a pod takes of memory, and
// an event of time. Both must be the same for any number of pods, and of revisions. The peer is what an operator has
// that watches metadata: a cache, all of which is read to answer for the one revision that an event is about.

// indexFigure is what was measured at one size.
type indexFigure struct {
	Pods       int `json:"pods"`
	Namespaces int `json:"namespaces"`
	Revisions  int `json:"revisions"`
	// BytesPerPod is all that the index takes, divided by the pods; Later after all pods have been replaced five times.
	BytesPerPod      float64 `json:"bytesPerPod"`
	BytesPerPodLater float64 `json:"bytesPerPodLater"`
	// Times are in nanoseconds: an event that changes nothing; a pod that goes and comes back; one that moves to a
	// revision that had no users, and back; and the question for the users of a revision.
	UnchangedNS float64 `json:"unchangedNanoseconds"`
	ReplaceNS   float64 `json:"goesAndComesBackNanoseconds"`
	FlipNS      float64 `json:"flipsAndFlipsBackNanoseconds"`
	QuestionNS  float64 `json:"questionNanoseconds"`
	// Peer is an event that changes nothing and the question that it causes.
	PeerBytesPerPod float64 `json:"peerBytesPerPod"`
	PeerNS          float64 `json:"peerEventNanoseconds"`
}

// crowd is a cluster's namespaces and pods as events bring them: all strings are made anew, so that what is kept of
// them counts.
type crowd struct{ pods, revisions, generation int }

func (c crowd) namespaces() int { return max(1, c.pods/podsPerNamespace) }

func (c crowd) revision(space int) string { return fmt.Sprintf("default-v1-28-%d", space%c.revisions) }

func (c crowd) namespace(i int) usage.Namespace {
	labels := map[string]string{}
	if i%2 == 0 {
		labels[usage.LabelRevision] = c.revision(i)
	}
	return usage.NamespaceOf(namespace(i), labels)
}

func (c crowd) metadata(i int) *metav1.PartialObjectMetadata {
	space := i / podsPerNamespace
	o := &metav1.PartialObjectMetadata{}
	o.Namespace = namespace(space)
	hash := uint32(i+c.generation) * 2654435761 //nolint:gosec // wraps around, like the hash that it looks like
	o.Name = fmt.Sprintf("reviews-v1-%09x-%05d", hash, i%100_000)
	o.UID = "8a5b1f7e-3f0e-4b43-9c5e-0d6a2f6b7c11"
	o.Labels = map[string]string{"app": "reviews", "version": "v1"}
	o.Annotations = map[string]string{usage.LabelRevision: c.revision(space)}
	if space%2 == 1 {
		o.Labels[usage.LabelRevision] = c.revision(space)
	}
	return o
}

func podIn(o *metav1.PartialObjectMetadata) usage.Pod {
	return usage.PodOf(o.Namespace, o.Name, o.Labels, o.Annotations, false)
}

func (c crowd) pod(i int) usage.Pod { return podIn(c.metadata(i)) }

// usageIndex measures at several sizes.
func usageIndex(ctx context.Context, _ settings) (report, error) {
	const most, revisions = 100_000, 20
	var figures []indexFigure
	for _, c := range []crowd{
		{pods: 1_000, revisions: revisions},
		{pods: 10_000, revisions: revisions},
		{pods: most, revisions: revisions},
		{pods: most, revisions: 1},
		{pods: most, revisions: 5},
	} {
		if ctx.Err() != nil {
			return report{}, context.Cause(ctx)
		}
		f := c.measure()
		c.peer(&f)
		figures = append(figures, f)
	}
	rows := [][]string{
		{
			"USAGE: PODS", "REVISIONS", "BYTES/POD", "LATER", "UNCHANGED", "REPLACED", "FLIPPED", "QUESTION", "PEER: BYTES/POD",
			"EVENT", "RATIO",
		},
	}
	for _, f := range figures {
		ns := func(v float64) string { return fmt.Sprintf("%.0f ns", v) }
		rows = append(rows, []string{
			strconv.Itoa(f.Pods), strconv.Itoa(f.Revisions), fmt.Sprintf("%.0f", f.BytesPerPod),
			fmt.Sprintf("%.0f", f.BytesPerPodLater),
			ns(f.UnchangedNS), ns(f.ReplaceNS), ns(f.FlipNS), ns(f.QuestionNS),
			fmt.Sprintf("%.0f", f.PeerBytesPerPod), ns(f.PeerNS), fmt.Sprintf("%.0fx", f.PeerNS/f.UnchangedNS),
		})
	}
	return newReport(figures, rows), nil
}

func (c crowd) measure() indexFigure {
	f := indexFigure{Pods: c.pods, Namespaces: c.namespaces(), Revisions: c.revisions}
	before := memory.InUse()
	x := usage.NewIndex()
	for i := range c.namespaces() {
		x.SetNamespace(c.namespace(i))
	}
	for i := range c.pods {
		x.SetPod(c.pod(i))
	}
	x.SetIncomplete("")
	perPod := func() float64 { return float64(memory.InUse()-before) / float64(c.pods) }
	f.BytesPerPod = perPod()
	for range 5 { // what is gone must not cost
		next := c
		next.generation += c.pods
		for i := range c.pods {
			gone := c.pod(i)
			x.SetPod(next.pod(i))
			x.DeletePod(gone.Namespace, gone.Name)
		}
		c = next
	}
	f.BytesPerPodLater = perPod()

	// Events are prepared, at even distances: making them is not what is measured.
	const events = 1000
	pods, moved := make([]usage.Pod, events), make([]usage.Pod, events)
	for i := range events {
		pods[i] = c.pod(i * c.pods / events)
		moved[i] = pods[i]
		moved[i].InjectedBy = "default-v1-28-next"
	}
	f.UnchangedNS = perCall(func(i int) { x.SetPod(pods[i%events]) })
	f.ReplaceNS = perCall(func(i int) {
		x.DeletePod(pods[i%events].Namespace, pods[i%events].Name)
		x.SetPod(pods[i%events])
	})
	f.FlipNS = perCall(func(i int) {
		x.SetPod(moved[i%events])
		x.SetPod(pods[i%events])
	})
	f.QuestionNS = perCall(func(i int) { x.Revision(usage.RevisionInfo{Name: pods[i%events].InjectedBy}, nil, 3) })
	runtime.KeepAlive(x)
	return f
}

// peer measures a cache of the same metadata that is read from end to end for each event.
func (c crowd) peer(f *indexFigure) {
	before := memory.InUse()
	pods, spaces := cache.NewStore(cache.MetaNamespaceKeyFunc), map[string]usage.Namespace{}
	for i := range c.namespaces() {
		spaces[namespace(i)] = c.namespace(i)
	}
	for i := range c.pods {
		_ = pods.Add(c.metadata(i)) // fails only for what has no metadata
	}
	f.PeerBytesPerPod = float64(memory.InUse()-before) / float64(c.pods)
	event := c.metadata(0)
	f.PeerNS = perCall(func(int) {
		_ = pods.Update(event)
		users := 0
		for _, o := range pods.List() {
			m, ok := o.(*metav1.PartialObjectMetadata)
			if !ok {
				continue
			}
			p := podIn(m)
			if selected, _ := p.Selects(spaces[p.Namespace]); selected == c.revision(0) || p.InjectedBy == c.revision(0) {
				users++
			}
		}
		runtime.KeepAlive(users)
	})
	runtime.KeepAlive(pods)
}

// perCall calls a function for long enough to say how many nanoseconds a call takes: the least of some rounds, which
// other work of the machine disturbed least.
func perCall(f func(i int)) float64 {
	const rounds, enough = 5, 50 * time.Millisecond
	best := 0.0
	for n, round := 1, 0; round < rounds; {
		begin := time.Now()
		for i := range n {
			f(i)
		}
		took := time.Since(begin)
		if took < enough {
			n *= 2
			continue
		}
		if each := float64(took.Nanoseconds()) / float64(n); round == 0 || each < best {
			best = each
		}
		round++
	}
	return best
}
