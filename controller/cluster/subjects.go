package cluster

import (
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateen-io/lateen/internal/usage"
)

// subject is a resource whose objects say who uses which revision, and what becomes of them in the index.
type subject struct {
	name string
	// resources is what it is called, in the order in which it is looked for: of others than the first a server may be
	// too old.
	resources []schema.GroupVersionResource
	// fields and labels are selectors: what the server leaves out costs nothing here.
	fields, labels string
	// optional says that a cluster may not have the resource, yet.
	optional bool
	sink     func(x *usage.Index) sink
}

// running selects the pods that have not run to their end. The server evaluates it, so that finished pods cost nothing
// here, and one that finishes looks as if it were deleted.
var running = fields.AndSelectors(
	fields.OneTermNotEqualSelector("status.phase", "Succeeded"),
	fields.OneTermNotEqualSelector("status.phase", "Failed"),
).String()

// notScaled selects the ReplicaSets that no Deployment and no Rollout has made: those answer for theirs. The server
// knows by the label that they put on each.
const notScaled = "!pod-template-hash,!rollouts-pod-template-hash"

// defaultValidator is the webhook that says which revision is the default one.
const defaultValidator = "istiod-default-validator"

var (
	podsResource       = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
	namespacesResource = schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}
)

// subjects are all of them. Namespaces come last: reading the others may take a while, and a label that is set
// meanwhile counts.
func subjects() []subject {
	out := []subject{
		{
			name: "pods", resources: []schema.GroupVersionResource{podsResource}, fields: running,
			sink: func(x *usage.Index) sink {
				return podSink{x, "Pod", podOf}
			},
		},
	}
	for _, w := range []struct{ group, resource, kind, labels string }{
		{"apps", "deployments", "Deployment", ""},
		{"apps", "statefulsets", "StatefulSet", ""},
		{"apps", "daemonsets", kindDaemonSet, ""},
		{"apps", "replicasets", "ReplicaSet", notScaled},
		{"", "replicationcontrollers", "ReplicationController", ""},
		{"batch", "jobs", "Job", ""},
		{"batch", "cronjobs", "CronJob", ""},
	} {
		out = append(out, subject{
			name: w.resource, resources: []schema.GroupVersionResource{
				{Group: w.group, Version: "v1", Resource: w.resource},
			}, labels: w.labels,
			sink: func(x *usage.Index) sink {
				return podSink{x, w.kind, func(o runtime.Object) (usage.Pod, error) {
					e, err := excerptOf(o)
					if err != nil {
						return usage.Pod{}, err
					}
					return e.workload(w.kind), nil
				}}
			},
		})
	}
	gatewayAPI := func(resource string) []schema.GroupVersionResource {
		const group = "gateway.networking.k8s.io"
		return []schema.GroupVersionResource{
			{Group: group, Version: "v1", Resource: resource}, {Group: group, Version: "v1beta1", Resource: resource},
		}
	}
	return append(out,
		subject{
			name: "gatewayclasses", resources: gatewayAPI("gatewayclasses"), optional: true,
			sink: func(x *usage.Index) sink { return classSink{x} },
		},
		subject{
			name: "gateways", resources: gatewayAPI("gateways"), optional: true,
			sink: func(x *usage.Index) sink { return gatewaySink{x} },
		},
		subject{
			name: "validatingwebhookconfigurations",
			resources: []schema.GroupVersionResource{
				{Group: "admissionregistration.k8s.io", Version: "v1", Resource: "validatingwebhookconfigurations"},
			},
			fields: fields.OneTermEqualSelector("metadata.name", defaultValidator).String(),
			sink:   func(x *usage.Index) sink { return validatorSink{x} },
		},
		subject{
			name: "namespaces", resources: []schema.GroupVersionResource{namespacesResource},
			sink: func(x *usage.Index) sink { return namespaceSink{x} },
		},
	)
}
