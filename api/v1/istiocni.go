package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IstioCNI is Istio's CNI plugin on the nodes of the cluster. There is at most one, named default.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=istiocnis,scope=Cluster,categories=istio-io
// +kubebuilder:printcolumn:name="Ready",type="string",JSONPath=".status.conditions[?(@.type==\"Ready\")].status",description="Whether the plugin is ready on all nodes."
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.state",description="Healthy, or the reason why not."
// +kubebuilder:printcolumn:name="Version",type="string",JSONPath=".spec.version",description="Istio version that spec asks for."
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description="Time since creation."
// +kubebuilder:validation:XValidation:rule="self.metadata.name == 'default'",message="metadata.name must be 'default'"
type IstioCNI struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// What the CNI plugin should be. All of it has defaults.
	// +optional
	// +kubebuilder:default={}
	Spec IstioCNISpec `json:"spec,omitempty,omitzero"`

	// What was found in the cluster.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status IstioCNIStatus `json:"status,omitempty,omitzero"`
}

// IstioCNIName is the only name that an IstioCNI may have.
const IstioCNIName = "default"

// IstioCNIList is a list of IstioCNIs.
//
// +kubebuilder:object:root=true
type IstioCNIList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []IstioCNI `json:"items"`
}

// IstioCNISpec says what the CNI plugin should be.
type IstioCNISpec struct {
	// Version of the plugin: a release (v1.28.3), the newest bundled patch of a minor (v1.28-latest) or master. A plugin
	// 1.x works with Istio 1.x-1, 1.x and 1.x+1.
	// +optional
	Version Version `json:"version,omitempty"`

	// Profile whose values lie below spec.values. Without one, the platform may choose (openshift on OpenShift).
	// +optional
	Profile Profile `json:"profile,omitempty"`

	// Namespace of the plugin's DaemonSet. Immutable.
	// +optional
	// +kubebuilder:default=istio-cni
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="Value is immutable"
	Namespace string `json:"namespace,omitempty"`

	// Helm values of Istio's cni chart: cni and global.
	// +optional
	Values *Values `json:"values,omitempty"`
}

// Default fills in what the API server would, except the version, which only a catalogue of releases knows.
func (c *IstioCNI) Default() {
	if c.Spec.Namespace == "" {
		c.Spec.Namespace = DefaultIstioCNINamespace
	}
}

// IstioCNIStatus is what was found in the cluster.
type IstioCNIStatus struct {
	// The metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Reconciled and Ready.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions Conditions `json:"conditions,omitempty"`

	// Healthy, or the reason of the first condition that is not True.
	// +optional
	State ConditionReason `json:"state,omitempty"`

	// What has been applied. Absent if a pipeline renders the plugin.
	// +optional
	// +listType=atomic
	Inventory Inventory `json:"inventory,omitempty"`
}
