// Package health turns what was seen of a workload into a condition: whether istiod or the CNI plugin is ready, whether
// a remote istiod answers, whether what a control plane needs is healthy. Looking is the controller's job, and so is
// the time of a condition, which only counts when the status changes (v1.Conditions.Set).
package health

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/values"
)

// Deployment is what was seen of the Deployment of istiod.
type Deployment struct {
	// Err says why it could not be looked at; "" if it could.
	Err string
	// Found says that it exists.
	Found bool
	// Generation is metadata.generation, ObservedGeneration what its status is about.
	Generation, ObservedGeneration int64
	// Desired is spec.replicas: 1 if absent.
	Desired int32
	// Total, Updated and Ready are replicas, updatedReplicas and readyReplicas of its status.
	Total, Updated, Ready int32
}

// Istiod is the condition Ready of a revision with its control plane in this cluster. A roll-out is not ready before
// the last pod of the old kind is gone.
func Istiod(d Deployment) v1.Condition {
	rolledOut := d.ObservedGeneration >= d.Generation && d.Updated >= d.Desired && d.Total <= d.Updated &&
		d.Ready >= d.Total
	switch {
	case d.Err != "":
		return unknown(v1.ConditionReady, v1.ReasonReadinessCheckFailed, d.Err)
	case !d.Found:
		return not(v1.ConditionReady, v1.ReasonIstiodNotReady, v1.MessageIstiodNotFound)
	case d.Desired <= 0:
		return not(v1.ConditionReady, v1.ReasonIstiodNotReady, v1.MessageIstiodScaledToZero)
	case !rolledOut:
		return not(v1.ConditionReady, v1.ReasonIstiodNotReady, v1.MessageIstiodPodsNotReady)
	}
	return is(v1.ConditionReady)
}

// DaemonSet is what was seen of the DaemonSet of the CNI plugin.
type DaemonSet struct {
	// Err says why it could not be looked at; "" if it could.
	Err string
	// Found says that it exists.
	Found bool
	// Generation is metadata.generation, ObservedGeneration what its status is about.
	Generation, ObservedGeneration int64
	// Scheduled and Ready are desiredNumberScheduled and numberReady of its status.
	Scheduled, Ready int32
}

// Messages of the condition Ready of an IstioCNI.
const (
	messageCNINotFound     = "istio-cni-node DaemonSet not found"
	messageCNINotScheduled = "no istio-cni-node pods are currently scheduled"
	messageCNIPodsNotReady = "not all istio-cni-node pods are ready"
)

// CNI is the condition Ready of an IstioCNI.
func CNI(d DaemonSet) v1.Condition {
	switch {
	case d.Err != "":
		return unknown(v1.ConditionReady, v1.ReasonReadinessCheckFailed, d.Err)
	case !d.Found:
		return not(v1.ConditionReady, v1.ReasonDaemonSetNotReady, messageCNINotFound)
	case d.ObservedGeneration < d.Generation:
		return not(v1.ConditionReady, v1.ReasonDaemonSetNotReady, messageCNIPodsNotReady)
	case d.Scheduled <= 0:
		return not(v1.ConditionReady, v1.ReasonDaemonSetNotReady, messageCNINotScheduled)
	case d.Ready < d.Scheduled:
		return not(v1.ConditionReady, v1.ReasonDaemonSetNotReady, messageCNIPodsNotReady)
	}
	return is(v1.ConditionReady)
}

// Probe is what asking a remote istiod whether it is ready came to.
type Probe struct {
	// Tried says that it was asked at all.
	Tried bool
	// Err says why it gave no good answer; "" if it did. The same trouble must give the same text.
	Err string
}

// Remote is the condition Ready of a revision with its control plane in another cluster.
func Remote(p Probe) v1.Condition {
	switch {
	case !p.Tried && p.Err != "":
		return unknown(v1.ConditionReady, v1.ReasonReadinessCheckFailed, p.Err)
	case !p.Tried:
		return unknown(v1.ConditionReady, v1.ReasonReadinessCheckFailed, "remote istiod has not been asked yet")
	case p.Err != "":
		return not(v1.ConditionReady, v1.ReasonRemoteIstiodNotReady, "remote istiod is not ready: "+p.Err)
	}
	return is(v1.ConditionReady)
}

// IstioCNI is what was seen of the IstioCNI of the cluster.
type IstioCNI struct {
	// Err says why it could not be looked at; "" if it could.
	Err string
	// Found says that it exists.
	Found bool
	// State is status.state: "" if it has not been looked at yet.
	State v1.ConditionReason
	// Skew says why its version does not work with the control plane; "" if it does, or that is not known.
	Skew string
}

// Dependencies is the condition DependenciesHealthy of a revision. cni does not matter unless it is needed.
func Dependencies(needsCNI bool, cni IstioCNI) v1.Condition {
	switch {
	case !needsCNI:
		return is(v1.ConditionDependenciesHealthy)
	case cni.Err != "":
		return unknown(v1.ConditionDependenciesHealthy, v1.ReasonDependencyCheckFailed, cni.Err)
	case !cni.Found:
		return not(v1.ConditionDependenciesHealthy, v1.ReasonIstioCNINotFound, v1.MessageIstioCNIDoesNotExist)
	case cni.State == "":
		return not(v1.ConditionDependenciesHealthy, v1.ReasonIstioCNINotHealthy, "IstioCNI resource has no state yet")
	case cni.State != v1.Healthy:
		return not(v1.ConditionDependenciesHealthy, v1.ReasonIstioCNINotHealthy,
			fmt.Sprintf("IstioCNI resource is not healthy: its state is %s", cni.State))
	case cni.Skew != "":
		return not(v1.ConditionDependenciesHealthy, v1.ReasonVersionSkew, cni.Skew)
	}
	return is(v1.ConditionDependenciesHealthy)
}

// NeedsCNI reports whether a revision with these values leaves its pods' network to the CNI plugin: pilot.cni.enabled.
// On OpenShift that is so unless the values say false. openshift is what is known of the cluster; the values may say
// it as well.
func NeedsCNI(v map[string]any, openshift bool) bool {
	if enabled, _ := values.Get(v, "pilot", "cni", "enabled"); enabled != nil {
		return enabled == true
	}
	profile := values.String(v, "profile")
	return openshift || values.String(v, "global", "platform") == "openshift" || profile == "openshift" ||
		profile == "openshift-ambient"
}

func is(t v1.ConditionType) v1.Condition {
	return v1.Condition{Type: t, Status: metav1.ConditionTrue, Reason: v1.ConditionReason(t)}
}

func not(t v1.ConditionType, reason v1.ConditionReason, message string) v1.Condition {
	return v1.Condition{Type: t, Status: metav1.ConditionFalse, Reason: reason, Message: message}
}

func unknown(t v1.ConditionType, reason v1.ConditionReason, message string) v1.Condition {
	return v1.Condition{Type: t, Status: metav1.ConditionUnknown, Reason: reason, Message: message}
}
