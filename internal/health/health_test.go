package health_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/health"
)

// cond is what a condition should be: "True", or "False IstiodNotReady: the message".
func check(t *testing.T, reason string, kind v1.ConditionType, want string, got v1.Condition) {
	t.Helper()
	text := string(got.Status)
	if got.Reason != v1.ConditionReason(got.Type) || got.Message != "" {
		text += " " + string(got.Reason) + ": " + got.Message
	}
	if diff := cmp.Diff(string(kind)+" "+want, string(got.Type)+" "+text); diff != "" {
		t.Errorf("%s: -want +got:\n%s", reason, diff)
	}
	if !got.LastTransitionTime.IsZero() {
		t.Errorf("%s: the time of a condition is the caller's", reason)
	}
}

func TestIstiod(t *testing.T) {
	t.Parallel()
	ready := health.Deployment{
		Found: true, Generation: 3, ObservedGeneration: 3, Desired: 2, Total: 2, Updated: 2, Ready: 2,
	}
	with := func(change func(*health.Deployment)) health.Deployment {
		d := ready
		change(&d)
		return d
	}
	const notReady = "False IstiodNotReady: not all istiod pods are ready"
	for _, c := range []struct {
		reason string
		in     health.Deployment
		want   string
	}{
		{"rolled out", ready, "True"},
		{"it could not be read", health.Deployment{Err: "forbidden"}, "Unknown ReadinessCheckFailed: forbidden"},
		{"it is not there", health.Deployment{}, "False IstiodNotReady: istiod Deployment not found"},
		{
			"scaled to zero",
			health.Deployment{Found: true},
			"False IstiodNotReady: istiod Deployment is scaled to zero replicas",
		},
		{"scaled to zero, and its pods are still going", with(func(d *health.Deployment) {
			d.Desired = 0
		}), "False IstiodNotReady: istiod Deployment is scaled to zero replicas"},
		{"just created: nobody has looked at it", health.Deployment{Found: true, Generation: 1, Desired: 1}, notReady},
		{"changed, and nobody has looked at it since", with(func(d *health.Deployment) { d.Generation = 4 }), notReady},
		{"a pod is not ready", with(func(d *health.Deployment) { d.Ready = 1 }), notReady},
		{"a pod is of the old version", with(func(d *health.Deployment) { d.Updated = 1 }), notReady},
		{"an old pod has not gone", with(func(d *health.Deployment) { d.Total, d.Ready = 3, 3 }), notReady},
		{"it is being scaled up", with(func(d *health.Deployment) { d.Desired = 3 }), notReady},
		{"it is being scaled down, and all that are left are ready", with(func(d *health.Deployment) {
			d.Desired = 1
		}), "True"},
	} {
		check(t, c.reason, v1.ConditionReady, c.want, health.Istiod(c.in))
	}
}

func TestCNI(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		in     health.DaemonSet
		want   string
	}{
		{"on all nodes", health.DaemonSet{Found: true, Generation: 1, ObservedGeneration: 1, Scheduled: 3, Ready: 3}, "True"},
		{"it could not be read", health.DaemonSet{Err: "forbidden"}, "Unknown ReadinessCheckFailed: forbidden"},
		{"it is not there", health.DaemonSet{}, "False DaemonSetNotReady: istio-cni-node DaemonSet not found"},
		{
			"just created: nobody has looked at it",
			health.DaemonSet{Found: true, Generation: 1},
			"False DaemonSetNotReady: not all istio-cni-node pods are ready",
		},
		{
			"changed, and nobody has looked at it since",
			health.DaemonSet{Found: true, Generation: 2, ObservedGeneration: 1, Scheduled: 3, Ready: 3},
			"False DaemonSetNotReady: not all istio-cni-node pods are ready",
		},
		{
			"no node wants it",
			health.DaemonSet{Found: true, Generation: 1, ObservedGeneration: 1},
			"False DaemonSetNotReady: no istio-cni-node pods are currently scheduled",
		},
		{
			"a node is missing",
			health.DaemonSet{Found: true, Generation: 1, ObservedGeneration: 1, Scheduled: 3, Ready: 2},
			"False DaemonSetNotReady: not all istio-cni-node pods are ready",
		},
	} {
		check(t, c.reason, v1.ConditionReady, c.want, health.CNI(c.in))
	}
}

func TestRemote(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		in     health.Probe
		want   string
	}{
		{"it answers", health.Probe{Tried: true}, "True"},
		{"nobody has asked", health.Probe{}, "Unknown ReadinessCheckFailed: remote istiod has not been asked yet"},
		{
			"it cannot be asked",
			health.Probe{Err: "the webhook has no CA bundle"},
			"Unknown ReadinessCheckFailed: the webhook has no CA bundle",
		},
		{
			"it does not answer",
			health.Probe{Tried: true, Err: "connection refused"},
			"False RemoteIstiodNotReady: remote istiod is not ready: connection refused",
		},
	} {
		check(t, c.reason, v1.ConditionReady, c.want, health.Remote(c.in))
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason string
		needs  bool
		in     health.IstioCNI
		want   string
	}{
		{"nothing is needed", false, health.IstioCNI{}, "True"},
		{"nothing is needed, so nothing can fail", false, health.IstioCNI{Err: "forbidden"}, "True"},
		{"healthy", true, health.IstioCNI{Found: true, State: v1.Healthy}, "True"},
		{"it could not be read", true, health.IstioCNI{Err: "forbidden"}, "Unknown DependencyCheckFailed: forbidden"},
		{"there is none", true, health.IstioCNI{}, "False IstioCNINotFound: IstioCNI resource does not exist"},
		{
			"nobody has looked at it", true,
			health.IstioCNI{Found: true},
			"False IstioCNINotHealthy: IstioCNI resource has no state yet",
		},
		{
			"not healthy", true,
			health.IstioCNI{Found: true, State: v1.ReasonDaemonSetNotReady},
			"False IstioCNINotHealthy: IstioCNI resource is not healthy: its state is DaemonSetNotReady",
		},
		{
			"of a version that does not work", true,
			health.IstioCNI{Found: true, State: v1.Healthy, Skew: "why"},
			"False VersionSkew: why",
		},
		{
			"it does not work anyway", true,
			health.IstioCNI{Found: true, Skew: "why"},
			"False IstioCNINotHealthy: IstioCNI resource has no state yet",
		},
		{"of any version, and nothing needs it", false, health.IstioCNI{Found: true, State: v1.Healthy, Skew: "why"}, "True"},
	} {
		check(t, c.reason, v1.ConditionDependenciesHealthy, c.want, health.Dependencies(c.needs, c.in))
	}
}
