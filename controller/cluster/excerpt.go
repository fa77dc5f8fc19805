package cluster

import (
	"bytes"
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateen-io/lateen/internal/usage"
)

// excerptKinds are the resources of which an excerpt is read, and their kinds.
var excerptKinds = map[schema.GroupVersionResource]string{
	{Group: "apps", Version: "v1", Resource: "deployments"}:                              "Deployment",
	{Group: "apps", Version: "v1", Resource: "statefulsets"}:                             "StatefulSet",
	{Group: "apps", Version: "v1", Resource: "daemonsets"}:                               kindDaemonSet,
	{Group: "apps", Version: "v1", Resource: "replicasets"}:                              "ReplicaSet",
	{Version: "v1", Resource: "replicationcontrollers"}:                                  "ReplicationController",
	{Group: "batch", Version: "v1", Resource: "jobs"}:                                    "Job",
	{Group: "batch", Version: "v1", Resource: "cronjobs"}:                                "CronJob",
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}:            "Gateway",
	{Group: "gateway.networking.k8s.io", Version: "v1beta1", Resource: "gateways"}:       "Gateway",
	{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}:      "GatewayClass",
	{Group: "gateway.networking.k8s.io", Version: "v1beta1", Resource: "gatewayclasses"}: "GatewayClass",
}

const kindDaemonSet = "DaemonSet"

// excerptScheme knows the excerpts as what they are excerpts of.
func excerptScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for gvr, kind := range excerptKinds {
		gv := gvr.GroupVersion()
		s.AddKnownTypeWithName(gv.WithKind(kind), &excerpt{})
		s.AddKnownTypeWithName(gv.WithKind(kind+"List"), &excerptList{})
		metav1.AddToGroupVersion(s, gv)
	}
	return s
}

// excerpt is what is read of an object that makes pods, of a Gateway or of a GatewayClass. What is not here is not
// decoded: such an object takes ten kilobytes, of which there remain a few strings until the next one comes.
type excerpt struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        struct {
		Name            string                  `json:"name"`
		Namespace       string                  `json:"namespace"`
		ResourceVersion string                  `json:"resourceVersion"`
		Generation      int64                   `json:"generation"`
		Labels          map[string]string       `json:"labels"`
		Annotations     map[string]string       `json:"annotations"`
		Owners          []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Replicas    *int32      `json:"replicas"`
		Template    podTemplate `json:"template"`
		JobTemplate struct {
			Spec struct {
				Template podTemplate `json:"template"`
			} `json:"spec"`
		} `json:"jobTemplate"`
		GatewayClassName string `json:"gatewayClassName"`
		ControllerName   string `json:"controllerName"`
	} `json:"spec"`
	Status struct {
		Conditions []struct {
			Type   string `json:"type"`
			Status string `json:"status"`
		} `json:"conditions"`
		ObservedGeneration     int64 `json:"observedGeneration"`
		CurrentNumberScheduled int32 `json:"currentNumberScheduled"`
		UpdatedNumberScheduled int32 `json:"updatedNumberScheduled"`
	} `json:"status"`
}

type podTemplate struct {
	Metadata struct {
		Labels      map[string]string `json:"labels"`
		Annotations map[string]string `json:"annotations"`
	} `json:"metadata"`
	Spec struct {
		Containers containers `json:"containers"`
	} `json:"spec"`
}

// containers are decoded only if they may have what is looked for.
type containers []struct {
	Env []struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	} `json:"env"`
}

// The variables with the addresses of ztunnel's control plane.
const (
	xdsAddress = "XDS_ADDRESS"
	caAddress  = "CA_ADDRESS"
)

func (c *containers) UnmarshalJSON(data []byte) error {
	if !bytes.Contains(data, []byte(xdsAddress)) && !bytes.Contains(data, []byte(caAddress)) {
		return nil
	}
	type plain containers
	return json.Unmarshal(data, (*plain)(c))
}

// GetObjectMeta is what a reflector needs.
func (e *excerpt) GetObjectMeta() metav1.Object {
	return &metav1.ObjectMeta{
		Name: e.Metadata.Name, Namespace: e.Metadata.Namespace, ResourceVersion: e.Metadata.ResourceVersion,
		Annotations: e.Metadata.Annotations,
	}
}

// DeepCopyObject copies what is in the object; what it refers to is never changed.
func (e *excerpt) DeepCopyObject() runtime.Object {
	out := *e
	return &out
}

// excerptList is a list of excerpts.
type excerptList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`
	Items           []excerpt `json:"items"`
}

// DeepCopyObject copies the list; the excerpts are never changed.
func (l *excerptList) DeepCopyObject() runtime.Object {
	out := *l
	out.Items = slices.Clone(l.Items)
	return &out
}

// workload is what makes pods as the rules see it.
func (e *excerpt) workload(kind string) usage.Pod {
	template := e.Spec.Template
	if kind == "CronJob" {
		template = e.Spec.JobTemplate.Spec.Template
	}
	p := usage.PodOf(e.Metadata.Namespace, e.Metadata.Name, template.Metadata.Labels, template.Metadata.Annotations,
		e.ended(kind))
	p.Kind = kind
	if kind == kindDaemonSet {
		p.Addresses, p.Rolled = template.addresses(), e.rolled()
	}
	return p
}

// ended reports whether something makes no pods any more: a Job that has completed or failed, and what is left of an
// earlier template of something that scales ReplicaSets. Whatever has no replicas otherwise may have some at any
// moment.
func (e *excerpt) ended(kind string) bool {
	switch kind {
	case "Job":
		for _, c := range e.Status.Conditions {
			if (c.Type == "Complete" || c.Type == "Failed") && c.Status == "True" {
				return true
			}
		}
	case "ReplicaSet", "ReplicationController":
		controlled := slices.ContainsFunc(e.Metadata.Owners,
			func(o metav1.OwnerReference) bool { return o.Controller != nil && *o.Controller })
		return controlled && e.Spec.Replicas != nil && *e.Spec.Replicas == 0
	}
	return false
}

// addresses are those of the control planes that the containers of a ztunnel talk to.
func (t podTemplate) addresses() []string {
	var out []string
	for _, c := range t.Spec.Containers {
		for _, v := range c.Env {
			if v.Name == xdsAddress || v.Name == caAddress {
				out = append(out, v.Value)
			}
		}
	}
	return out
}

// rolled reports whether all pods of a DaemonSet are of its current template.
func (e *excerpt) rolled() bool {
	s := e.Status
	return s.ObservedGeneration >= e.Metadata.Generation && s.UpdatedNumberScheduled >= s.CurrentNumberScheduled
}
