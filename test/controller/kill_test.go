package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// enough is what a random history has to have done before it proves anything. How long that takes depends on the
// machine, and nothing else does: the history goes on until it has, bounded by its steps.
type enough struct {
	// kills are those of the controller, and steps what the history has done.
	kills, steps int
	// removed are revisions that had to go, and kept those that their users kept.
	removed, kept int
}

// How much of it make test has, and make soak.
var (
	quickKills = enough{kills: 15, steps: 60, removed: 3, kept: 1}
	soakKills  = enough{kills: 100, steps: 600, removed: 20, kept: 3}
)

// mostSteps bounds a history: one that has not done enough by then never will, because the controller does not.
const mostSteps = 20000

// missing says what is not enough yet, or nothing.
func (want enough) missing(kills, steps int, j judgement) string {
	if kills >= want.kills && steps >= want.steps && j.removed >= want.removed && j.kept >= want.kept {
		return ""
	}
	return fmt.Sprintf("%d of %d kills, %d of %d steps, %d of %d revisions removed, %d of %d kept by their users",
		kills, want.kills, steps, want.steps, j.removed, want.removed, j.kept, want.kept)
}

// TestEnough goes through what a history can lack.
func TestEnough(t *testing.T) {
	want := enough{kills: 2, steps: 10, removed: 3, kept: 1}
	for _, c := range []struct {
		reason       string
		kills, steps int
		j            judgement
		want         string
	}{
		{"all of it", 2, 10, judgement{removed: 3, kept: 1}, ""},
		{"more", 5, 50, judgement{removed: 9, kept: 4}, ""},
		{
			"a kill", 1, 10,
			judgement{removed: 3, kept: 1},
			"1 of 2 kills, 10 of 10 steps, 3 of 3 revisions removed, 1 of 1 kept by their users",
		},
		{
			"steps", 2, 9,
			judgement{removed: 3, kept: 1},
			"2 of 2 kills, 9 of 10 steps, 3 of 3 revisions removed, 1 of 1 kept by their users",
		},
		{
			"revisions that had to go", 2, 10,
			judgement{removed: 2, kept: 1},
			"2 of 2 kills, 10 of 10 steps, 2 of 3 revisions removed, 1 of 1 kept by their users",
		},
		{
			"revisions that had to stay", 2, 10,
			judgement{removed: 3},
			"2 of 2 kills, 10 of 10 steps, 3 of 3 revisions removed, 0 of 1 kept by their users",
		},
	} {
		if got := want.missing(c.kills, c.steps, c.j); got != c.want {
			t.Errorf("%s: %q, want %q", c.reason, got, c.want)
		}
	}
}

// TestKills kills the controller again and again, at random moments, while a random history goes on: upgrades of
// control planes in place and by revisions, namespaces, pods and workloads that use them and cease to, tags that come,
// move and go, and the CNI plugin. No revision that is used may go meanwhile (see observer.judge), and when the
// controller is left alone, all is as if nothing had happened. LATEEN_SEED=2 makes it another history.
func TestKills(t *testing.T) {
	parallel(t, 125)
	want := quickKills
	if soak() {
		want = soakKills
	}
	seed := uint64(1)
	if s := os.Getenv("LATEEN_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("LATEEN_SEED: %v", err)
		}
	}
	e := startObserved(t)
	o := e.observe()
	h := e.history(seed)
	d := e.daemon()
	stop := h.play()
	random := rand.New(rand.NewPCG(seed, 2))
	// ended counts how often the controller has ended by itself, because the server did not answer in time: how often
	// that is depends on the machine. It is started again, as the kubelet does. That it crashed would be in its log,
	// and daemon looks for it.
	kills, ended := 0, 0
	var j judgement
	for ; want.missing(kills, int(h.done.Load()), j) != ""; kills++ {
		d.start()
		if kills%3 > 0 { // else it is killed while it starts
			e.eventually("the controller works", func() error {
				if d.said(works) {
					return nil
				}
				if d.ends(time.After(0)) {
					ended++
					d.start()
				}
				return errors.New("it has not begun to")
			})
		}
		e.pause(50*time.Millisecond + time.Duration(random.IntN(1450))*time.Millisecond)
		if kills >= want.kills {
			ended += e.progress(h, o, d, j)
		}
		if d.ends(time.After(0)) {
			ended++
		}
		d.kill()
		if kills+1 >= want.kills { // before that a judgement decides nothing
			j = o.judge()
		}
	}
	stop()
	d.keep()
	held := e.letGo()
	e.converges()
	j = o.blameless()
	t.Logf("seed %d: %d kills, %d things done, %d revisions removed, %d kept by their users, %d held; ended by itself: "+
		"%d times",
		seed, kills, h.done.Load(), j.removed, j.kept, held, ended)
}

// progress lets the controller live until it has done something that it had not at a judgement. However slow the
// machine is, a history of many lives like this comes to its end. It gives how often the controller has ended by itself
// meanwhile.
func (e *env) progress(h *history, o *observer, d *daemon, before judgement) (ended int) {
	e.t.Helper()
	for {
		if d.ends(time.After(0)) {
			ended++
			d.start()
		}
		now, steps := o.judge(), h.done.Load()
		if now.removed > before.removed || now.kept > before.kept {
			return ended
		}
		if steps > mostSteps {
			e.t.Fatalf("after %d steps the controller has removed %d revisions and kept %d, and then none any more",
				steps, now.removed, now.kept)
		}
		e.pause(3 * time.Second) // a judgement is work
	}
}

// history is what happens in a cluster.
type history struct {
	e      *env
	random *rand.Rand
	// done counts the steps.
	done atomic.Int64
}

// The cast of a history.
var (
	places   = []string{"app-0", "app-1", "app-2", "app-3"}
	tagNames = []string{"default", "stable"}
	versions = []string{"v1.24.2", "v1.26.0", "v1.27.0", "v1.28.3"}
)

// history prepares the cluster for a history, and begins with something in it.
func (e *env) history(seed uint64) *history {
	e.t.Helper()
	h := &history{e: e, random: rand.New(rand.NewPCG(seed, 1))}
	for _, name := range append([]string{"istio-system", "istio-cni"}, places...) {
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	}
	e.asked("mesh", versions[1], "type: InPlace")
	e.asked("prod", versions[1], "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 1")
	return h
}

func pick[T any](h *history, from ...T) T { return from[h.random.IntN(len(from))] }

// play lets things happen until stop is called.
func (h *history) play() (stop func()) {
	ctx, cancel := context.WithCancel(h.e.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			err := h.act(ctx)
			switch {
			case err == nil:
				h.done.Add(1)
			case apierrors.IsNotFound(err), apierrors.IsConflict(err), apierrors.IsAlreadyExists(err), ctx.Err() != nil:
			case apierrors.IsForbidden(err): // a ServiceAccount that is not there yet
			case apierrors.ReasonForError(err) == metav1.StatusReasonUnknown, apierrors.IsTimeout(err),
				apierrors.IsServerTimeout(err):
				// The server has not answered: it is busy.
			default:
				h.e.t.Errorf("the history cannot go on: %v", err)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(50+h.random.IntN(200)) * time.Millisecond):
			}
		}
	})
	h.e.t.Cleanup(wg.Wait)
	return func() { cancel(); wg.Wait() }
}

// act lets one thing happen.
func (h *history) act(ctx context.Context) error {
	switch n := h.random.IntN(100); {
	case n < 18:
		return h.upgrade(ctx)
	case n < 33:
		return h.label(ctx)
	case n < 47:
		return h.pod(ctx)
	case n < 72:
		return h.end(ctx)
	case n < 82:
		return h.move(ctx)
	case n < 88:
		return h.tag(ctx)
	case n < 94:
		return h.workload(ctx)
	default:
		return h.cni(ctx)
	}
}

// upgrade asks for another version, and perhaps for another strategy.
func (h *history) upgrade(ctx context.Context) error {
	name := pick(h, "mesh", "prod", "prod", "canary", "canary")
	strategy := map[string]any{"type": "RevisionBased", "inactiveRevisionDeletionGracePeriodSeconds": h.random.IntN(4)}
	if name == "mesh" || name == "canary" && h.random.IntN(5) == 0 {
		strategy["type"] = "InPlace"
	}
	return h.apply(ctx, v1.GroupVersion.String(), v1.KindIstio, "", name, map[string]any{
		"version": pick(h, versions...), "namespace": "istio-system", "updateStrategy": strategy,
	})
}

func (h *history) apply(ctx context.Context, version, kind, namespace, name string, spec map[string]any) error {
	data, err := json.Marshal(map[string]any{
		"apiVersion": version, "kind": kind, "metadata": map[string]any{"namespace": namespace, "name": name}, "spec": spec,
	})
	if err != nil {
		return err
	}
	o := &unstructured.Unstructured{}
	if err := o.UnmarshalJSON(data); err != nil {
		return err
	}
	return h.e.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("lateen-test"),
		client.ForceOwnership)
}

func (h *history) delete(ctx context.Context, kind, namespace, name string) error {
	o := &unstructured.Unstructured{}
	o.SetGroupVersionKind(kinds[kind])
	o.SetNamespace(namespace)
	o.SetName(name)
	return h.e.client.Delete(ctx, o, client.GracePeriodSeconds(0))
}

// name is one that something may use: mostly that of a revision that there is.
func (h *history) name(ctx context.Context) string {
	var list v1.IstioRevisionList
	if h.e.client.List(ctx, &list) != nil || len(list.Items) == 0 || h.random.IntN(8) == 0 {
		return pick(h, "default", "stable", "prod-v1-28-3", "nothing")
	}
	return list.Items[h.random.IntN(len(list.Items))].Name
}

// labels are those by which a namespace or a pod uses something, or nothing, mostly.
func (h *history) labels(ctx context.Context, key string, value ...string) map[string]any {
	// In a merge patch null takes a label away; a new object has no nulls.
	out := map[string]any{key: nil, "istio.io/rev": nil}
	switch h.random.IntN(8) {
	case 0:
		out[key] = pick(h, value...)
	case 1:
		out["istio.io/rev"] = h.name(ctx)
	}
	return out
}

func patch(metadata map[string]any) client.Patch {
	data, _ := json.Marshal(map[string]any{"metadata": metadata}) //nolint:errchkjson // maps of strings
	return client.RawPatch(types.MergePatchType, data)
}

// label changes the labels of a namespace.
func (h *history) label(ctx context.Context) error {
	ns := &corev1.Namespace{}
	ns.Name = pick(h, places...)
	return h.e.client.Patch(ctx, ns,
		patch(map[string]any{"labels": h.labels(ctx, "istio-injection", "enabled", "enabled", "disabled")}))
}

// pod makes a pod, with or without labels, that a revision has injected or none.
func (h *history) pod(ctx context.Context) error {
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = pick(h, places...), fmt.Sprintf("pod-%d", h.random.IntN(2))
	pod.Labels = map[string]string{}
	for k, v := range h.labels(ctx, "sidecar.istio.io/inject", "true", "false") {
		if s, ok := v.(string); ok {
			pod.Labels[k] = s
		}
	}
	if h.random.IntN(4) == 0 {
		pod.Annotations = map[string]string{"istio.io/rev": h.name(ctx)}
	}
	pod.Spec.Containers = []corev1.Container{{Name: "app", Image: "example.com/app"}}
	return h.e.client.Create(ctx, pod)
}

// end removes a pod, or what makes it use something.
func (h *history) end(ctx context.Context) error {
	namespace, name := pick(h, places...), fmt.Sprintf("pod-%d", h.random.IntN(2))
	if h.random.IntN(3) > 0 {
		return h.delete(ctx, "pod", namespace, name)
	}
	pod := &corev1.Pod{}
	pod.Namespace, pod.Name = namespace, name
	return h.e.client.Patch(ctx, pod, patch(map[string]any{
		"labels":      h.labels(ctx, "sidecar.istio.io/inject", "true", "false"),
		"annotations": map[string]any{"istio.io/rev": nil},
	}))
}

// move makes or moves a tag.
func (h *history) move(ctx context.Context) error {
	target := map[string]any{"kind": v1.KindIstio, "name": pick(h, "mesh", "prod", "canary")}
	if h.random.IntN(3) == 0 {
		target = map[string]any{"kind": v1.KindIstioRevision, "name": h.name(ctx)}
	}
	return h.apply(ctx, v1.GroupVersion.String(), v1.KindIstioRevisionTag, "", pick(h, tagNames...),
		map[string]any{"targetRef": target})
}

// tag removes a tag.
func (h *history) tag(ctx context.Context) error {
	return h.delete(ctx, "tag", "", pick(h, tagNames...))
}

// workload makes, changes or removes a Deployment.
func (h *history) workload(ctx context.Context) error {
	namespace := pick(h, places...)
	if h.random.IntN(2) == 0 {
		return h.delete(ctx, "deployment", namespace, "work")
	}
	labels := map[string]any{"app": "work"}
	for k, v := range h.labels(ctx, "sidecar.istio.io/inject", "true", "false") {
		if v != nil {
			labels[k] = v
		}
	}
	return h.apply(ctx, "apps/v1", "Deployment", namespace, "work", map[string]any{
		"replicas": 1, "selector": map[string]any{"matchLabels": map[string]any{"app": "work"}},
		"template": map[string]any{
			"metadata": map[string]any{"labels": labels},
			"spec": map[string]any{
				"terminationGracePeriodSeconds": 0, "containers": []map[string]any{{"name": "app", "image": "example.com/app"}},
			},
		},
	})
}

// cni makes, changes or removes the CNI plugin.
func (h *history) cni(ctx context.Context) error {
	if h.random.IntN(3) == 0 {
		return h.delete(ctx, "cni", "", v1.IstioCNIName)
	}
	return h.apply(ctx, v1.GroupVersion.String(), v1.KindIstioCNI, "", v1.IstioCNIName,
		map[string]any{"version": pick(h, versions...)})
}
