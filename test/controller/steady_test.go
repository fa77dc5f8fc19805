package controller

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lateen-io/lateen/test/cluster"
)

// TestSteadyState shows from the API server's audit log that a controller with nothing to do writes nothing, not even
// to try: with ten control planes, the CNI plugin, tags and some hundred pods. What makes the controller look comes in
// rounds: things change that mean nothing to it, and each round ends when it has put right something else. make soak
// has more of them, and then five minutes in which nothing comes at all; LATEEN_STEADY=30s shortens those for who is at
// it.
func TestSteadyState(t *testing.T) {
	turn := parallel(t, 100)
	rounds, duration, replicas := 5, time.Duration(0), 5
	if soak() {
		rounds, duration, replicas = 30, 5*time.Minute, 50
	}
	if s := os.Getenv("LATEEN_STEADY"); s != "" {
		var err error
		if duration, err = time.ParseDuration(s); err != nil {
			t.Fatalf("LATEEN_STEADY: %v", err)
		}
	}
	e := start(t, cluster.WithAudit())
	e.controller()
	const istios, workloads = 8, 6
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: istio-cni}}")
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: default}, spec: {version: v1.28.3}}")
	for i := range istios {
		e.put(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: mesh-%d}}", i))
		e.put(fmt.Sprintf(
			`{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: mesh-%d}, spec: {version: %s, namespace: mesh-%d,
updateStrategy: {type: %s}}}`, i, []string{"v1.27.0", "v1.28.3"}[i%2], i, []string{"InPlace", "RevisionBased"}[i/2%2]))
	}
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: stable}, " +
		"spec: {targetRef: {kind: Istio, name: mesh-0}}}")
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: old}, " +
		"spec: {targetRef: {kind: IstioRevision, name: mesh-2-v1-27-0}}}")
	for i := range workloads {
		name := []string{"mesh-1", "stable", "mesh-2-v1-27-0", "nothing", "mesh-3-v1-28-3", "old"}[i]
		e.put(fmt.Sprintf("{apiVersion: v1, kind: Namespace, metadata: {name: app-%d, labels: {istio.io/rev: %s}}}", i, name))
		e.put(fmt.Sprintf(
			`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: app-%d}, spec: {replicas: %d,
selector: {matchLabels: {app: app}}, template: {metadata: {labels: {app: app}},
spec: {containers: [{name: app, image: example.com/app}]}}}}`, i, replicas))
	}
	for i := range istios {
		e.healthy("istio", fmt.Sprintf("mesh-%d", i))
	}
	// Upgrades whose old revisions stay, because tags and namespaces hold them: ten revisions.
	e.upgrade("mesh-2", "v1.28.3")
	e.upgrade("mesh-3", "v1.27.0")
	e.healthy("istio", "mesh-2")
	e.healthy("istio", "mesh-3")
	if got := len(e.revisions()); got != 10 {
		t.Fatalf("there are %d revisions, want 10", got)
	}
	for i := range workloads {
		e.is(strconv.Itoa(replicas), "{.status.readyReplicas}", "deployment", "app", "-n", fmt.Sprintf("app-%d", i))
	}
	e.converges()

	// What a round takes away is put back, and an event on its revision says so: one each.
	told := func(w cluster.Write) bool {
		return w.Resource == "events" && w.Namespace == "default" && strings.HasPrefix(w.Name, "mesh-0.")
	}
	controller := func() []cluster.Write {
		return slices.DeleteFunc(e.Writes(t), func(w cluster.Write) bool { return w.UserAgent != "lateen-controller" })
	}
	written := func() []cluster.Write {
		return slices.DeleteFunc(controller(), func(w cluster.Write) bool {
			return told(w) || w.Resource == "configmaps" && w.Name == marker+"-mesh-0"
		})
	}
	events := func() int {
		return len(slices.DeleteFunc(controller(), func(w cluster.Write) bool { return !told(w) }))
	}
	e.rests(controller)
	before, eventsBefore := written(), events()
	for n := range rounds {
		e.round(n, istios, workloads)
	}
	turn.leave() // from here on others have the machine: this test only waits, and hardly asks
	e.pause(duration)
	if added := written()[len(before):]; len(added) > 0 {
		var lines []string
		for _, w := range added {
			lines = append(lines, w.String())
		}
		t.Errorf("there was nothing to write, but the controller did in %d rounds and %s:\n%s", rounds, duration,
			strings.Join(lines, "\n"))
	}
	if n := events() - eventsBefore; n > rounds {
		t.Errorf("%d events about what was put back in %d rounds", n, rounds)
	}
	e.converges()
	// It was idle, not dead.
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app-0, labels: {istio.io/rev: mesh-4}}}")
	e.says("True ReferencedByWorkloads: ...", "revision", "mesh-4", "InUse")
}

// rests waits until the controller has told all that has come about: that a workload has some pods more, for example,
// is news after a while, and half a minute is the longest that any news waits.
func (e *env) rests(written func() []cluster.Write) {
	e.t.Helper()
	before, since := written(), time.Now()
	e.eventually("the controller comes to rest", func() error {
		now := written()
		if len(now) > len(before) {
			before, since = now, time.Now()
		}
		if quiet := time.Since(since); quiet < 45*time.Second {
			return fmt.Errorf("it wrote %s %s ago", before[len(before)-1], quiet)
		}
		return nil
	})
}

// round changes what means nothing to the controller, on everything that it watches: annotations of its own resources,
// of namespaces and of pods. Then it takes something away, and waits until that is back: by then the controller has had
// its turn.
func (e *env) round(n, istios, workloads int) {
	e.t.Helper()
	note := "example.com/round=" + strconv.Itoa(n)
	e.must("annotate", "--overwrite", "--all", "istios.sailoperator.io,istiorevisions,istiorevisiontags,istiocnis",
		note)
	for i := range istios {
		e.must("annotate", "--overwrite", "namespace", fmt.Sprintf("mesh-%d", i), note)
	}
	for i := range workloads {
		e.must("annotate", "--overwrite", "--all", "pods", "-n", fmt.Sprintf("app-%d", i), note)
	}
	e.must("delete", "configmap", "-n", "mesh-0", marker+"-mesh-0")
	e.exists("configmap", "mesh-0", marker+"-mesh-0")
}
