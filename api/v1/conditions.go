package v1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Condition is one thing known about a resource.
type Condition struct {
	// What the condition is about.
	// +kubebuilder:validation:MinLength=1
	Type ConditionType `json:"type"`

	// True, False or Unknown.
	// +kubebuilder:validation:Enum=True;False;Unknown
	Status metav1.ConditionStatus `json:"status"`

	// Why, in one word. A True condition has its own type here.
	// +optional
	Reason ConditionReason `json:"reason,omitempty"`

	// Why, in a sentence for people.
	// +optional
	Message string `json:"message,omitempty"`

	// When the status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty,omitzero"`
}

// ConditionType names what a condition is about.
type ConditionType string

// The types of conditions.
const (
	// ConditionReconciled is True when everything that the spec asks for has been applied.
	ConditionReconciled ConditionType = "Reconciled"
	// ConditionReady is True when what was applied works: istiod or the CNI plugin is up.
	ConditionReady ConditionType = "Ready"
	// ConditionDependenciesHealthy is True when the resources are healthy that the control plane needs: the IstioCNI.
	ConditionDependenciesHealthy ConditionType = "DependenciesHealthy"
	// ConditionInUse is True when a namespace, a pod or a tag uses a revision or a tag.
	ConditionInUse ConditionType = "InUse"
	// ConditionStalled is there, and True, while only a person can mend what keeps a resource from being reconciled. It
	// is for generic health checks (kstatus), which do not know Reconciled.
	ConditionStalled ConditionType = "Stalled"
	// ConditionReconciling is there, and True, while a resource is not reconciled and that is being tried again. It is
	// for the same health checks.
	ConditionReconciling ConditionType = "Reconciling"
)

// The conditions of each kind that make up its state, in that order. The InUse condition of an IstioRevision does not.
var (
	IstioStateConditions            = []ConditionType{ConditionReconciled, ConditionReady, ConditionDependenciesHealthy}
	IstioRevisionStateConditions    = []ConditionType{ConditionReconciled, ConditionReady, ConditionDependenciesHealthy}
	IstioRevisionTagStateConditions = []ConditionType{ConditionReconciled, ConditionInUse}
	IstioCNIStateConditions         = []ConditionType{ConditionReconciled, ConditionReady}
)

// ConditionReason says why a condition has its status, in one word.
type ConditionReason string

// Healthy is the state of a resource all of whose conditions are True.
const Healthy ConditionReason = "Healthy"

// Reasons of conditions that are not True. A True condition has its type as its reason, except InUse.
const (
	// ReasonReconcileError: the spec cannot be rendered or applied; the message says what to change.
	ReasonReconcileError ConditionReason = "ReconcileError"
	// ReasonNameAlreadyExists: a revision and a tag have the same name, and the other one is older; or another resource
	// has an object of the same name, and precedence.
	ReasonNameAlreadyExists ConditionReason = "NameAlreadyExists"
	// ReasonDeletionHeld is a reason of Stalled: somebody has deleted an IstioRevision that is used, while its Istio
	// stays.
	ReasonDeletionHeld ConditionReason = "DeletionHeld"
	// ReasonTakeoverRefused: objects that another installer has created are of another version of Istio.
	ReasonTakeoverRefused ConditionReason = "TakeoverRefused"
	// ReasonRefNotFound: the target of a tag does not exist.
	ReasonRefNotFound ConditionReason = "RefNotFound"

	// ReasonActiveRevisionNotFound: the IstioRevision that the Istio asks for does not exist.
	ReasonActiveRevisionNotFound ConditionReason = "ActiveRevisionNotFound"
	// ReasonFailedToGetActiveRevision: the IstioRevision that the Istio asks for could not be read.
	ReasonFailedToGetActiveRevision ConditionReason = "FailedToGetActiveRevision"

	// ReasonIstiodNotReady: istiod is absent, scaled to zero or not all of its pods are ready.
	ReasonIstiodNotReady ConditionReason = "IstiodNotReady"
	// ReasonRemoteIstiodNotReady: the istiod in the other cluster does not answer that it is ready.
	ReasonRemoteIstiodNotReady ConditionReason = "RemoteIstiodNotReady"
	// ReasonDaemonSetNotReady: the CNI plugin is absent or not ready on all nodes.
	ReasonDaemonSetNotReady ConditionReason = "DaemonSetNotReady"
	// ReasonReadinessCheckFailed: readiness could not be looked at.
	ReasonReadinessCheckFailed ConditionReason = "ReadinessCheckFailed"

	// ReasonIstioCNINotFound: the control plane needs an IstioCNI and there is none.
	ReasonIstioCNINotFound ConditionReason = "IstioCNINotFound"
	// ReasonIstioCNINotHealthy: the control plane needs an IstioCNI and it is not healthy.
	ReasonIstioCNINotHealthy ConditionReason = "IstioCNINotHealthy"
	// ReasonCRDsOutdated: somebody else applies Istio's CustomResourceDefinitions, and they are older than the revision
	// needs.
	ReasonCRDsOutdated ConditionReason = "CRDsOutdated"
	// ReasonVersionSkew: the control plane needs an IstioCNI, and that of the cluster has a version that does not work
	// with it.
	ReasonVersionSkew ConditionReason = "VersionSkew"
	// ReasonDependencyCheckFailed: the dependencies could not be looked at.
	ReasonDependencyCheckFailed ConditionReason = "DependencyCheckFailed"

	// ReasonReferencedByWorkloads is the reason of an InUse condition that is True.
	ReasonReferencedByWorkloads ConditionReason = "ReferencedByWorkloads"
	// ReasonNotReferencedByAnything is the reason of an InUse condition that is False.
	ReasonNotReferencedByAnything ConditionReason = "NotReferencedByAnything"
	// ReasonUsageCheckFailed is the reason of an InUse condition that is Unknown.
	ReasonUsageCheckFailed ConditionReason = "UsageCheckFailed"
)

// Messages that users and their scripts match on. Those with %s take the name of a namespace.
const (
	MessageIstiodPodsNotReady    = "not all istiod pods are ready"
	MessageIstiodScaledToZero    = "istiod Deployment is scaled to zero replicas"
	MessageIstiodNotFound        = "istiod Deployment not found"
	MessageNamespaceDoesNotExist = "namespace %q doesn't exist"
	MessageNamespaceIsDeleted    = "namespace %q is being deleted"
	MessageIstioCNIDoesNotExist  = "IstioCNI resource does not exist"
	MessageInUse                 = "Referenced by at least one pod or namespace"
	MessageNotInUse              = "Not referenced by any pod or namespace"
	MessageValueIsImmutable      = "Value is immutable"
)

// Conditions are the conditions of one resource, at most one of each type.
type Conditions []Condition

// Get returns the condition of a type, or nil.
func (c Conditions) Get(t ConditionType) *Condition {
	i := slices.IndexFunc(c, func(have Condition) bool { return have.Type == t })
	if i < 0 {
		return nil
	}
	return &c[i]
}

// IsTrue reports whether there is a condition of the type and it is True.
func (c Conditions) IsTrue(t ConditionType) bool {
	have := c.Get(t)
	return have != nil && have.Status == metav1.ConditionTrue
}

// Set returns the conditions with want in place of the one of its type, or added at the end. It does not change its
// receiver. A True condition without a reason gets its type as the reason. want.LastTransitionTime is the time of this
// observation: it is kept, to the second, only if the status changed; otherwise the old time stays.
func (c Conditions) Set(want Condition) Conditions {
	want.LastTransitionTime = metav1.Time{Time: want.LastTransitionTime.UTC().Truncate(1e9)}
	if want.Reason == "" && want.Status == metav1.ConditionTrue {
		want.Reason = ConditionReason(want.Type)
	}
	result := slices.Clone(c)
	have := result.Get(want.Type)
	if have == nil {
		return append(result, want)
	}
	if have.Status == want.Status && !have.LastTransitionTime.IsZero() {
		want.LastTransitionTime = have.LastTransitionTime
	}
	*have = want
	return result
}

// Without returns the conditions without the one of a type. It does not change its receiver.
func (c Conditions) Without(t ConditionType) Conditions {
	return slices.DeleteFunc(slices.Clone(c), func(have Condition) bool { return have.Type == t })
}

// State is the reason of the first of the given conditions that is not True, else Healthy. A condition that has not
// been looked at yet says nothing.
func (c Conditions) State(order []ConditionType) ConditionReason {
	for _, t := range order {
		if have := c.Get(t); have != nil && have.Status != metav1.ConditionTrue {
			return have.Reason
		}
	}
	return Healthy
}
