package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IstioRevisionTag is a stable name for a revision: workloads that select the tag (istio.io/rev: <tag>) follow it from
// one revision to the next. The tag named default also serves namespaces labelled istio-injection: enabled.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=istiorevisiontags,scope=Cluster,shortName=istiorevtag,categories=istio-io
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.state",description="Healthy, or the reason why not."
// +kubebuilder:printcolumn:name="In use",type="string",JSONPath=".status.conditions[?(@.type==\"InUse\")].status",description="Whether a namespace or a pod uses the tag."
// +kubebuilder:printcolumn:name="Revision",type="string",JSONPath=".status.istioRevision",description="The IstioRevision that the tag points at."
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description="Time since creation."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$')",message="metadata.name must consist of at most 63 lower case letters, digits and '-', and start and end with a letter or digit"
type IstioRevisionTag struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// What the tag points at.
	Spec IstioRevisionTagSpec `json:"spec"`

	// What was found in the cluster.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status IstioRevisionTagStatus `json:"status,omitempty,omitzero"`
}

// IstioRevisionTagList is a list of IstioRevisionTags.
//
// +kubebuilder:object:root=true
type IstioRevisionTagList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IstioRevisionTag `json:"items"`
}

// IstioRevisionTagSpec says what a tag points at.
type IstioRevisionTagSpec struct {
	// An Istio, whose active revision the tag follows, or one IstioRevision. May be changed at any time.
	TargetRef IstioRevisionTagTarget `json:"targetRef"`
}

// IstioRevisionTagTarget refers to an Istio or an IstioRevision.
type IstioRevisionTagTarget struct {
	// Istio or IstioRevision.
	Kind TargetKind `json:"kind"`

	// Name of the Istio or IstioRevision.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// TargetKind is a kind that a tag can point at.
//
// +kubebuilder:validation:Enum=Istio;IstioRevision
type TargetKind string

// The kinds that a tag can point at.
const (
	// TargetIstio makes a tag follow the active revision of an Istio.
	TargetIstio TargetKind = KindIstio
	// TargetIstioRevision makes a tag stay on one revision.
	TargetIstioRevision TargetKind = KindIstioRevision
)

// IstioRevisionTagStatus is what was found in the cluster.
type IstioRevisionTagStatus struct {
	// The metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Reconciled and InUse.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions Conditions `json:"conditions,omitempty"`

	// Healthy, or the reason of the first condition that is not True; an unused tag shows NotReferencedByAnything.
	// +optional
	State ConditionReason `json:"state,omitempty"`

	// Namespace of the control plane that the tag points at.
	// +optional
	IstiodNamespace string `json:"istiodNamespace,omitempty"`

	// The IstioRevision that the tag points at.
	// +optional
	IstioRevision string `json:"istioRevision,omitempty"`

	// What has been applied for the tag. Absent for a tag that a pipeline renders.
	// +optional
	// +listType=atomic
	Inventory Inventory `json:"inventory,omitempty"`
}
