package v1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Istio is a control plane: which version of Istio runs in which namespace, with which values, and how it is updated.
// It is rendered by way of an IstioRevision of its own.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=istios,scope=Cluster,categories=istio-io
// +kubebuilder:printcolumn:name="Revisions",type="integer",JSONPath=".status.revisions.total",description="Number of IstioRevisions of this Istio."
// +kubebuilder:printcolumn:name="Ready",type="integer",JSONPath=".status.revisions.ready",description="Number of revisions that are ready."
// +kubebuilder:printcolumn:name="In use",type="integer",JSONPath=".status.revisions.inUse",description="Number of revisions that workloads or tags use."
// +kubebuilder:printcolumn:name="Active Revision",type="string",JSONPath=".status.activeRevisionName",description="The revision that spec asks for."
// +kubebuilder:printcolumn:name="Status",type="string",JSONPath=".status.state",description="Healthy, or the reason why not."
// +kubebuilder:printcolumn:name="Version",type="string",JSONPath=".spec.version",description="Istio version that spec asks for."
// +kubebuilder:printcolumn:name="Age",type="date",JSONPath=".metadata.creationTimestamp",description="Time since creation."
// +kubebuilder:printcolumn:name="Namespace",type="string",JSONPath=".spec.namespace",description="Namespace of the control plane.",priority=1
// +kubebuilder:printcolumn:name="Profile",type="string",JSONPath=".spec.profile",description="Selected profile.",priority=1
// +kubebuilder:validation:XValidation:rule="self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="metadata.name must consist of lower case letters, digits and '-', and start and end with a letter or digit"
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) + (has(self.spec) && has(self.spec.version) && has(self.spec.updateStrategy) && has(self.spec.updateStrategy.type) && self.spec.updateStrategy.type == 'RevisionBased' ? size(self.spec.version) + 1 : 0) <= 56",message="metadata.name is too long: the name of the revision would have more than 56 characters"
type Istio struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty,omitzero"`

	// What the control plane should be. All of it has defaults.
	// +optional
	// +kubebuilder:default={}
	Spec IstioSpec `json:"spec,omitempty,omitzero"`

	// What was found in the cluster.
	// +kubebuilder:default:={"observedGeneration":-1}
	// +optional
	Status IstioStatus `json:"status,omitempty,omitzero"`
}

// IstioList is a list of Istios.
//
// +kubebuilder:object:root=true
type IstioList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Istio `json:"items"`
}

// IstioSpec says what the control plane should be.
//
// +kubebuilder:validation:XValidation:rule="!has(self.values) || !has(self.values.global) || !has(self.values.global.istioNamespace) || self.values.global.istioNamespace == self.__namespace__",message="spec.values.global.istioNamespace must match spec.namespace"
type IstioSpec struct {
	// Version of Istio to install: a release (v1.28.3), the newest bundled patch of a minor (v1.28-latest) or master.
	// +optional
	Version Version `json:"version,omitempty"`

	// Namespace of the control plane. Immutable: to move a control plane, delete the Istio and create it anew.
	// +optional
	// +kubebuilder:default=istio-system
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="Value is immutable"
	Namespace string `json:"namespace,omitempty"`

	// Profile whose values lie below spec.values. Without one, the platform may choose (openshift on OpenShift).
	// +optional
	Profile Profile `json:"profile,omitempty"`

	// How the control plane is updated when the version changes.
	// +optional
	// +kubebuilder:default={type: "InPlace"}
	UpdateStrategy *IstioUpdateStrategy `json:"updateStrategy,omitempty"`

	// Helm values of Istio's charts, as in `helm install istiod --values`.
	// +optional
	Values *Values `json:"values,omitempty"`

	// Configuration of the mesh, merged into spec.values.meshConfig. A field must not have two different values in the
	// two places.
	// +optional
	MeshConfig *Values `json:"meshConfig,omitempty"`
}

// IstioUpdateStrategy says how a control plane is updated when its version changes.
type IstioUpdateStrategy struct {
	// InPlace replaces the control plane; RevisionBased adds a second one beside it, to which workloads move, and removes
	// the old one when nothing uses it any more.
	// +optional
	// +kubebuilder:default=InPlace
	Type UpdateStrategyType `json:"type,omitempty"`

	// How long, in seconds, an inactive revision stays after nothing uses it any more. 30 when absent. RevisionBased only.
	// +optional
	// +kubebuilder:validation:Minimum=0
	InactiveRevisionDeletionGracePeriodSeconds *int64 `json:"inactiveRevisionDeletionGracePeriodSeconds,omitempty"`

	// Accepted for the sake of resources written for the Sail Operator; nothing acts on it.
	// +optional
	UpdateWorkloads bool `json:"updateWorkloads,omitempty"`
}

// Version names a version of Istio: vX.Y.Z with an optional pre-release, the alias vX.Y-latest, or master.
//
// It is a pattern and not an enum: a user may bring the charts of a version that is not bundled.
//
// +kubebuilder:validation:Pattern=`^(v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*)(-[0-9A-Za-z][0-9A-Za-z.-]*)?|-latest)|master)$`
// +kubebuilder:validation:MaxLength=48
type Version string

// Profile names a profile of Istio.
//
// +kubebuilder:validation:Enum=ambient;default;demo;empty;openshift;openshift-ambient;preview;remote;stable
type Profile string

// The profiles.
const (
	ProfileAmbient          Profile = "ambient"
	ProfileDefault          Profile = "default"
	ProfileDemo             Profile = "demo"
	ProfileEmpty            Profile = "empty"
	ProfileOpenShift        Profile = "openshift"
	ProfileOpenShiftAmbient Profile = "openshift-ambient"
	ProfilePreview          Profile = "preview"
	ProfileRemote           Profile = "remote"
	ProfileStable           Profile = "stable"
)

// Profiles lists the profiles in the order of the alphabet.
var Profiles = []Profile{
	ProfileAmbient, ProfileDefault, ProfileDemo, ProfileEmpty, ProfileOpenShift, ProfileOpenShiftAmbient,
	ProfilePreview, ProfileRemote, ProfileStable,
}

// UpdateStrategyType names a way to update a control plane.
//
// +kubebuilder:validation:Enum=InPlace;RevisionBased
type UpdateStrategyType string

// The ways to update a control plane.
const (
	// UpdateStrategyInPlace replaces the objects of the control plane.
	UpdateStrategyInPlace UpdateStrategyType = "InPlace"
	// UpdateStrategyRevisionBased installs each version as a revision of its own.
	UpdateStrategyRevisionBased UpdateStrategyType = "RevisionBased"
)

// RevisionBased reports whether the control plane is updated by revisions.
func (s IstioSpec) RevisionBased() bool {
	return s.UpdateStrategy != nil && s.UpdateStrategy.Type == UpdateStrategyRevisionBased
}

// What a spec means that leaves fields out. The API server fills in namespaces and the strategy; a caller that reads
// resources from files does not have that help.
const (
	// DefaultIstioNamespace is where a control plane goes.
	DefaultIstioNamespace = "istio-system"
	// DefaultIstioCNINamespace is where the CNI plugin goes.
	DefaultIstioCNINamespace = "istio-cni"
	// DefaultGracePeriodSeconds is how long an inactive revision stays when the spec does not say.
	DefaultGracePeriodSeconds int64 = 30
)

// Default fills in what the API server would, except the version, which only a catalogue of releases knows.
func (i *Istio) Default() {
	if i.Spec.Namespace == "" {
		i.Spec.Namespace = DefaultIstioNamespace
	}
	if i.Spec.UpdateStrategy == nil {
		i.Spec.UpdateStrategy = &IstioUpdateStrategy{}
	}
	if i.Spec.UpdateStrategy.Type == "" {
		i.Spec.UpdateStrategy.Type = UpdateStrategyInPlace
	}
}

// GracePeriodSeconds is how long an inactive revision stays; a nil strategy has the default.
func (s *IstioUpdateStrategy) GracePeriodSeconds() int64 {
	if s == nil || s.InactiveRevisionDeletionGracePeriodSeconds == nil {
		return DefaultGracePeriodSeconds
	}
	return *s.InactiveRevisionDeletionGracePeriodSeconds
}

// IstioStatus is what was found in the cluster.
type IstioStatus struct {
	// The metadata.generation that this status is about.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// Reconciled, Ready and DependenciesHealthy.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions Conditions `json:"conditions,omitempty"`

	// Healthy, or the reason of the first condition that is not True.
	// +optional
	State ConditionReason `json:"state,omitempty"`

	// The IstioRevision that spec asks for. Others are older and go when nothing uses them.
	// +optional
	ActiveRevisionName string `json:"activeRevisionName,omitempty"`

	// How many IstioRevisions this Istio has.
	// +optional
	Revisions RevisionSummary `json:"revisions"`
}

// RevisionSummary counts the IstioRevisions of an Istio.
type RevisionSummary struct {
	// All revisions.
	// +optional
	Total int32 `json:"total"`

	// Those that are ready.
	// +optional
	Ready int32 `json:"ready"`

	// Those that a namespace, a pod or a tag uses.
	// +optional
	InUse int32 `json:"inUse"`
}
