package controller

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/test/cluster"
)

// replica is a controller with a user of its own.
func (e *env) replica(name string, args ...string) *daemon {
	e.t.Helper()
	e.put("{apiVersion: v1, kind: ServiceAccount, metadata: {name: " + name + ", namespace: lateen-system}}")
	e.put(`{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: ` + name + `},
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin},
subjects: [{kind: ServiceAccount, name: ` + name + `, namespace: lateen-system}]}`)
	return e.daemon(append([]string{"--kubeconfig=" + e.KubeconfigFor(e.t, e.TokenFor(e.t, "lateen-system", name))},
		args...)...)
}

// quickElection makes a leader that is gone missed sooner than it would be, and no leader lose its lease because the
// machine is busy.
var quickElection = []string{
	"--leader-elect", "--leader-election-namespace=lateen-system", "--leader-election-lease-duration=20s",
	"--leader-election-renew-deadline=15s", "--leader-election-retry-period=1s",
}

// TestLeader kills the leader of two replicas in the middle of an upgrade. The other one takes over and completes it:
// before that it has written nothing, and nothing is done twice.
func TestLeader(t *testing.T) {
	parallel(t, 50)
	e := startObserved(t)
	o := e.observe()
	for _, name := range []string{"lateen-system", "istio-system", "app"} {
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
	}
	first, second := e.replica("first", quickElection...), e.replica("second", quickElection...)
	first.start()
	e.eventually("the first is the leader", func() error {
		if !first.said(leads) {
			return errors.New("not yet")
		}
		return nil
	})
	second.start()
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {istio.io/rev: stable}}}")
	// Nothing is left to do for the second unless the first cannot have done it: remove the old revision.
	e.asked("prod", "v1.27.0", "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3600")
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: stable}, " +
		"spec: {targetRef: {kind: Istio, name: prod}}}")
	e.is("prod-v1-27-0", "{.status.istioRevision}", "istiorevisiontag", "stable")
	e.healthy("istio", "prod")

	e.asked("prod", "v1.28.3", "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3600")
	e.eventually("the upgrade begins", func() error {
		_, err := e.read("mutating", "istio-sidecar-injector-prod-v1-28-3-istio-system")
		if err != nil {
			_, err = e.read("revision", "prod-v1-28-3")
		}
		return err
	})
	if second.said(leads) {
		t.Fatal("the second was the leader while the first was")
	}
	first.kill()
	e.asked("prod", "v1.28.3", "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 2")
	e.remain("prod-v1-28-3")
	e.healthy("istio", "prod")
	e.is("prod-v1-28-3", "{.status.istioRevision}", "istiorevisiontag", "stable")
	e.converges()
	if j := o.blameless(); j.removed != 1 {
		t.Errorf("%d revisions were removed, want 1", j.removed)
	}
	e.inTurn("prod-v1-27-0", "first", "second")
}

// inTurn fails the test if the users of lateen-system have not written one after the other, or have done something
// twice, or have not removed the old revision.
func (e *env) inTurn(old string, users ...string) {
	e.t.Helper()
	var want, order []string
	for _, name := range users {
		want = append(want, "system:serviceaccount:lateen-system:"+name)
	}
	once := map[string]int{}
	for _, w := range e.written(func(w cluster.Write) bool { return w.Resource != "leases" }) {
		if len(order) == 0 || order[len(order)-1] != w.User {
			order = append(order, w.User)
		}
		if w.Resource == "istiorevisions" && w.Subresource == "" && (w.Verb == "create" || w.Verb == "delete") &&
			w.Code < 300 {
			once[w.Verb+" "+w.Name]++
		}
	}
	if diff := cmp.Diff(want, order); diff != "" {
		e.t.Errorf("who has written, in their order, -want +got:\n%s", diff)
	}
	for what, n := range once {
		if n > 1 {
			e.t.Errorf("%s was done %d times", what, n)
		}
	}
	if once["delete "+old] != 1 {
		e.t.Errorf("the audit log does not have the removal of %s: %v", old, once)
	}
}
