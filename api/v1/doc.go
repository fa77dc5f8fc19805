// Package v1 holds the API group sailoperator.io/v1: Istio, IstioRevision, IstioRevisionTag and IstioCNI.
//
// The package is pure data: types, the names of conditions and reasons with the messages that users match on, and
// Validate, which tells a Go caller what the CRDs tell a user of a cluster. Helm values stay JSON here; which values
// exist in which Istio version is the business of internal/values.
//
// The CRDs in config/crd are generated from the comments and markers below; run `make generate` after a change.
//
// +kubebuilder:object:generate=true
// +groupName=sailoperator.io
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "sailoperator.io", Version: "v1"}

// The kinds of this package.
const (
	KindIstio            = "Istio"
	KindIstioRevision    = "IstioRevision"
	KindIstioRevisionTag = "IstioRevisionTag"
	KindIstioCNI         = "IstioCNI"
)

var schemeBuilder = runtime.NewSchemeBuilder(func(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&Istio{}, &IstioList{},
		&IstioRevision{}, &IstioRevisionList{},
		&IstioRevisionTag{}, &IstioRevisionTagList{},
		&IstioCNI{}, &IstioCNIList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
})

// AddToScheme registers the kinds of this package.
var AddToScheme = schemeBuilder.AddToScheme
