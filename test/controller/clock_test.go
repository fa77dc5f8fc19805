package controller

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestGracePeriod looks at the clock by which an unused revision goes.
func TestGracePeriod(t *testing.T) {
	parallel(t, 110)
	e := startObserved(t)
	e.put("{apiVersion: v1, kind: Namespace, metadata: {name: istio-system}}")
	d := e.controller()

	t.Run("it goes on while the controller does not run", func(t *testing.T) {
		e := e.in(t)
		// Long enough for all that is looked at before the controller is away. Then it is shortened.
		const long = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3600"
		const grace = 15 * time.Second
		o := e.observe()
		e.asked("prod", "v1.26.0", long)
		e.healthy("istio", "prod")
		e.asked("prod", "v1.28.3", long)
		e.says("False NotReferencedByAnything: ...", "revision", "prod-v1-26-0", "InUse")
		e.eventually("the old revision is inactive", func() error {
			if since := text(e.get("revision", "prod-v1-26-0"), "status", "inactiveSince"); since == "" {
				return fmt.Errorf("it says nothing of that")
			}
			return nil
		})
		noted := text(e.get("revision", "prod-v1-26-0"), "status", "inactiveSince")
		d.kill()
		e.asked("prod", "v1.28.3", fmt.Sprintf("type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: %d",
			int(grace.Seconds())))
		e.pause(3 * time.Second)
		d.keep()
		e.eventually("it works again", func() error {
			if !d.said(works) {
				return fmt.Errorf("not yet")
			}
			return nil
		})
		e.remain("prod-v1-28-3")
		o.blameless() // it has seen all by now
		var last string
		for _, s := range o.history() {
			if s.object.GetName() != "prod-v1-26-0" {
				continue
			}
			if since := text(s.object, "status", "inactiveSince"); since != "" {
				last = since
			}
			begun, err := time.Parse(time.RFC3339, noted)
			if err != nil {
				t.Fatal(err)
			}
			// Whole seconds are noted of both moments.
			if at := s.object.GetDeletionTimestamp(); at != nil && at.Sub(begun) < grace-time.Second {
				t.Errorf("it went %s after it had become inactive", at.Sub(begun))
			}
		}
		// That it is not much too late would be a matter of how fast the machine is; that the period did not begin again is
		// not.
		if last != noted {
			t.Errorf("the grace period began at %s, and after the restart at %s", noted, last)
		}
		e.must("delete", "istio.sailoperator.io", "prod")
		e.remain()
	})

	// Each has an Istio of its own, so that they wait at the same time.
	future := []struct{ name, reason, patch string }{
		{
			name:   "inactive",
			reason: "Somebody has set the clock back, while the controller runs: nothing else happens that would make it look.",
			patch:  `{"status":{"inactiveSince":"%s"}}`,
		},
		{
			name:   "unused",
			reason: "The same with the other moment.",
			patch: `{"status":{"conditions":[
{"type":"InUse","status":"False","reason":"NotReferencedByAnything","message":"-","lastTransitionTime":"%[1]s"},
{"type":"Reconciled","status":"True","reason":"Reconciled","lastTransitionTime":"%[1]s"}]}}`,
		},
	}
	t.Run("inactive or unused since a moment in the future", func(t *testing.T) {
		e := e.in(t)
		// It is not over before the patches below, however busy the machine is.
		const grace = "type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 3600"
		for _, c := range future {
			// Without an autoscaler, whose status makes the controller look at the revision every now and then.
			e.put("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: " + c.name +
				"}, spec: {version: v1.26.0, namespace: istio-system, updateStrategy: {" +
				grace + "}, values: {pilot: {autoscaleEnabled: false}}}}")
			e.healthy("istio", c.name)
		}
		for _, c := range future {
			e.upgrade(c.name, "v1.28.3")
			e.healthy("istio", c.name)
		}
		e.pause(5 * time.Second) // after that nothing happens any more by itself
		for _, c := range future {
			e.must("patch", "istiorevision", c.name+"-v1-26-0", "--subresource=status", "--type=merge", "-p",
				fmt.Sprintf(c.patch, time.Now().Add(1000*time.Hour).UTC().Format(time.RFC3339)))
		}
		for _, c := range future {
			e.eventually(c.name+": the period begins again", func() error {
				rev := &v1.IstioRevision{}
				if err := e.client.Get(t.Context(), client.ObjectKey{Name: c.name + "-v1-26-0"}, rev); err != nil {
					return err
				}
				return past(rev)
			})
			e.patch("istio", c.name, `{"spec":{"updateStrategy":{"inactiveRevisionDeletionGracePeriodSeconds":1}}}`)
		}
		e.remain("inactive-v1-28-3", "unused-v1-28-3")
		if t.Failed() {
			for _, c := range future {
				t.Logf("%s since a moment in the future: %s", c.name, c.reason)
			}
		}
	})
}

// past reports whether the moments in the status of a revision, from which the grace period counts, are not in the
// future.
func past(rev *v1.IstioRevision) error {
	var moments []time.Time
	if since := rev.Status.InactiveSince; since != nil {
		moments = append(moments, since.Time)
	}
	if use := rev.Status.Conditions.Get(v1.ConditionInUse); use != nil {
		moments = append(moments, use.LastTransitionTime.Time)
	}
	if len(moments) < 2 {
		return errors.New("it does not say since when it is unused and inactive")
	}
	for _, at := range moments {
		if at.After(time.Now().Add(time.Minute)) {
			return fmt.Errorf("it counts from %s", at)
		}
	}
	return nil
}
