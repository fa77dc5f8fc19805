package controller

import (
	"errors"
	"testing"
	"time"
)

// TestAPIServer takes the API server away, in the middle of an upgrade and of a grace period. A controller without
// leader election goes on when it is back. One with leader election ends when it cannot renew its lease, since it may
// no longer be the only one, and the kubelet starts it again: here daemon.keep does.
func TestAPIServer(t *testing.T) {
	turn := parallel(t, 75)
	defer turn.leave()
	for _, c := range []struct {
		reason string
		args   []string
		// ends says that the controller ends meanwhile.
		ends bool
	}{
		{reason: "A single replica has nobody to make room for.", args: nil, ends: false},
		{reason: "Who has lost the lease must not work any more.", args: quickElection, ends: true},
	} {
		name := "without leader election"
		if c.ends {
			name = "with leader election"
		}
		t.Run(name, func(t *testing.T) {
			parallel(t, 75)
			e := startObserved(t)
			o := e.observe()
			for _, name := range []string{"lateen-system", "istio-system", "app"} {
				e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + "}}")
			}
			starts := e.daemon(c.args...).keep()
			// Nothing goes by itself while the test looks, however slowly it does.
			const long = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3600"
			const short = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 1"
			e.asked("prod", "v1.26.0", long)
			e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {istio.io/rev: prod-v1-26-0}}}")
			e.healthy("istio", "prod")

			// In the middle of an upgrade: a restart, and then a server that is away for longer than leases last.
			e.asked("prod", "v1.27.0", long)
			e.exists("revision", "prod-v1-27-0")
			e.RestartAPIServer(t)
			e.healthy("istio", "prod")
			e.asked("prod", "v1.28.3", long)
			e.exists("revision", "prod-v1-28-3")
			// The grace period of v1.27.0, which nothing uses, begins about now.
			e.says("False NotReferencedByAnything: ...", "revision", "prod-v1-27-0", "InUse")
			before := starts.Load()
			e.StopAPIServer(t)
			if c.ends {
				e.eventually("the controller ends, since it may no longer be the only one", func() error {
					if starts.Load() == before {
						return errors.New("it has not been started again")
					}
					return nil
				})
			} else {
				e.pause(10 * time.Second)
			}
			e.StartAPIServer(t)

			e.healthy("istio", "prod")
			e.exists("revision", "prod-v1-27-0")
			e.asked("prod", "v1.28.3", short)
			e.remain("prod-v1-26-0", "prod-v1-28-3")
			e.healthy("istio", "prod")
			e.put("{apiVersion: v1, kind: Namespace, metadata: {name: app, labels: {istio.io/rev: prod-v1-28-3}}}")
			e.remain("prod-v1-28-3")
			e.converges()
			if j := o.blameless(); j.removed != 2 {
				t.Errorf("%d revisions were removed, want 2", j.removed)
			}
			if n := starts.Load(); (n > 1) != c.ends {
				t.Errorf("the controller was started %d times. %s", n, c.reason)
			}
		})
	}
}
