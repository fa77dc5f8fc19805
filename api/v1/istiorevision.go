package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IstioRevision is one installation of one Istio version under one revision name. An Istio makes its own; people create
// them for control planes that no Istio manages.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=istiorevisions,scope=Cluster,shortName=istiorev,categories=istio-io
// +kubebuilder:printcolumn:name="Type",type="string",JSONPath=".status.type",description="Local, or Remote if the control plane runs in another cluster."
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description="Whether the control plane is ready."
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.state",description="Healthy, or the reason why not."
// +kubebuilder:printcolumn:name="In use",type="string",JSONPath=".status.conditions[?(@.type==\"InUse\")].status",description="Whether a namespace, a pod or a tag uses the revision."
// +kubebuilder:printcolumn:name="Version",type="string",JSONPath=".spec.version",description="Istio version of the revision."
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description="Time since creation."
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]{0,54}[a-z0-9])?$')",message="metadata.name must consist of at most 56 lower case letters, digits and '-', and start and end with a letter or digit"
// +kubebuilder:validation:XValidation:rule="has(self.spec.values) && has(self.spec.values.revision) ? self.spec.values.revision == self.metadata.name || self.metadata.name == 'default' && self.spec.values.revision == \"\" : self.metadata.name == 'default'",message="spec.values.revision must match metadata.name or be empty when the name is 'default'"
type IstioRevision struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// What the revision should be.
	Spec IstioRevisionSpec `json:"spec"`

	// What was found in the cluster.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status IstioRevisionStatus `json:"status,omitempty,omitzero"`
}

// IstioRevisionList is a list of IstioRevisions.
//
// +kubebuilder:object:root=true
type IstioRevisionList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IstioRevision `json:"items"`
}

// IstioRevisionSpec says what the revision should be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.__namespace__) || has(self.values) && has(self.values.global) && has(self.values.global.istioNamespace) && self.values.global.istioNamespace == self.__namespace__",message="spec.values.global.istioNamespace must match spec.namespace"
type IstioRevisionSpec struct {
	// Version of Istio to install: a release (v1.28.3), the newest bundled patch of a minor (v1.28-latest) or master.
	Version Version `json:"version"`

	// Namespace of the control plane. Immutable.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="Value is immutable"
	Namespace string `json:"namespace"`

	// Helm values of Istio's charts, complete: no profile is added.
	// +optional
	Values *Values `json:"values,omitempty"`
}

// IstioRevisionType says where the control plane of a revision runs.
//
// +kubebuilder:validation:Enum=Local;Remote
type IstioRevisionType string

// Where the control plane of a revision runs.
const (
	// IstioRevisionLocal has istiod in this cluster.
	IstioRevisionLocal IstioRevisionType = "Local"
	// IstioRevisionRemote has only webhooks here, which point at an istiod in another cluster.
	IstioRevisionRemote IstioRevisionType = "Remote"
)

// IstioRevisionStatus is what was found in the cluster.
type IstioRevisionStatus struct {
	// The metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Reconciled, Ready, DependenciesHealthy and InUse.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions Conditions `json:"conditions,omitempty"`

	// Healthy, or the reason of the first condition that is not True; InUse does not count.
	// +optional
	State ConditionReason `json:"state,omitempty"`

	// Local, or Remote if the control plane runs in another cluster.
	// +optional
	Type IstioRevisionType `json:"type,omitempty"`

	// When the Istio that owns the revision asked for another one. Absent while the revision is the active one. The
	// grace period of an unused revision starts at the later of this and the last transition of InUse.
	// +optional
	InactiveSince *metav1.Time `json:"inactiveSince,omitempty"`

	// What has been applied for the revision. Absent for a revision that a pipeline renders.
	// +optional
	// +listType=atomic
	Inventory Inventory `json:"inventory,omitempty"`
}
