package mistake_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/mistake"
)

// api is the message about an apiVersion that does not go with a kind.
func api(has, kind, because, meant string) *mistake.Mistake {
	if because != "" {
		because = ", but " + because
	}
	return &mistake.Mistake{
		Field: "apiVersion", Current: has, Suggestion: meant,
		Message: "apiVersion: no function of Lateen expands \"" + has + "\", kind " + kind + because +
			"; did you mean apiVersion: " + meant + "?",
	}
}

// kind is the message about a kind that a group does not have.
func kind(group, has, meant string) *mistake.Mistake {
	return &mistake.Mistake{
		Field: "kind", Current: has, Suggestion: meant,
		Message: "kind: " + group + " has no kind \"" + has + "\"; did you mean kind: " + meant + "?",
	}
}

func TestOf(t *testing.T) {
	const (
		ours   = "sailoperator.io/v1"
		former = "operator.istio.io is the group that the Sail Operator had before sailoperator.io/v1"
		marks  = "it has annotations or labels of lateen.io"
	)
	type item = mistake.Item
	operator := item{APIVersion: "install.istio.io/v1alpha1", Kind: "IstioOperator", Name: "m"}
	for _, c := range []struct {
		reason string
		item   mistake.Item
		around mistake.Around
		want   *mistake.Mistake
	}{
		{"right", item{APIVersion: ours, Kind: "Istio"}, mistake.Around{}, nil},
		{"right", item{APIVersion: ours, Kind: "IstioRevision"}, mistake.Around{}, nil},
		{"right", item{APIVersion: ours, Kind: "IstioRevisionTag"}, mistake.Around{}, nil},
		{"right", item{APIVersion: ours, Kind: "IstioCNI"}, mistake.Around{}, nil},
		{"right", item{APIVersion: "lateen.io/v1alpha1", Kind: "UsageReport"}, mistake.Around{}, nil},
		{
			"a report's version is looked at by its reader",
			item{APIVersion: "lateen.io/v1", Kind: "UsageReport"},
			mistake.Around{},
			nil,
		},

		{
			"the end of the group is missing",
			item{APIVersion: "sailoperator/v1", Kind: "Istio"},
			mistake.Around{},
			api("sailoperator/v1", "Istio", "", ours),
		},
		{
			"the end of the group is another one",
			item{APIVersion: "sailoperator.istio.io/v1", Kind: "IstioCNI"},
			mistake.Around{},
			api("sailoperator.istio.io/v1", "IstioCNI", "", ours),
		},
		{
			"both",
			item{APIVersion: "sailoperatr.com/v1", Kind: "IstioRevision"},
			mistake.Around{},
			api("sailoperatr.com/v1", "IstioRevision", "", ours),
		},
		{
			"Istio's own group has no such kind",
			item{APIVersion: "istio.io/v1", Kind: "Istio"},
			mistake.Around{},
			api("istio.io/v1", "Istio", "", ours),
		},
		{
			"nor have its others",
			item{APIVersion: "networking.istio.io/v1", Kind: "IstioRevisionTag"},
			mistake.Around{},
			api("networking.istio.io/v1", "IstioRevisionTag", "", ours),
		},
		{
			"a letter is missing",
			item{APIVersion: ours, Kind: "Isto"},
			mistake.Around{},
			kind("sailoperator.io", "Isto", "Istio"),
		},
		{
			"case counts",
			item{APIVersion: ours, Kind: "istio"},
			mistake.Around{},
			kind("sailoperator.io", "istio", "Istio"),
		},
		{
			"case counts",
			item{APIVersion: ours, Kind: "IstioCni"},
			mistake.Around{},
			kind("sailoperator.io", "IstioCni", "IstioCNI"),
		},
		{
			"the plural of the CRD",
			item{APIVersion: ours, Kind: "Istios"},
			mistake.Around{},
			kind("sailoperator.io", "Istios", "Istio"),
		},
		{
			"the nearer of two",
			item{APIVersion: ours, Kind: "IstioRevisions"},
			mistake.Around{},
			kind("sailoperator.io", "IstioRevisions", "IstioRevision"),
		},
		{
			"letters swapped",
			item{APIVersion: ours, Kind: "IstioReviisonTag"},
			mistake.Around{},
			kind("sailoperator.io", "IstioReviisonTag", "IstioRevisionTag"),
		},
		{"like nothing, but in our group", item{APIVersion: ours, Kind: "Mesh"}, mistake.Around{}, &mistake.Mistake{
			Field: "kind", Current: "Mesh",
			Message: `kind: sailoperator.io has no kind "Mesh"; it has: Istio, IstioCNI, IstioRevision, ` +
				`IstioRevisionTag, ZTunnel`,
		}},
		{
			"a list that nothing opens in a package",
			item{APIVersion: ours, Kind: "IstioList"},
			mistake.Around{},
			&mistake.Mistake{
				Field: "kind", Current: "IstioList",
				Message: "kind: an IstioList is opened in a file that is given with -f, but not in a " +
					"package: write each Istio in it as a document of its own",
			},
		},
		{"no function yet", item{APIVersion: ours, Kind: "ZTunnel"}, mistake.Around{}, &mistake.Mistake{
			Field: "kind", Current: "ZTunnel", Warning: true,
			Message: "kind: no function of Lateen expands a ZTunnel: nothing is rendered for it; install Istio's " +
				"chart ztunnel beside the control plane",
		}},

		{
			"an earlier version",
			item{APIVersion: "sailoperator.io/v1alpha1", Kind: "Istio"},
			mistake.Around{},
			api("sailoperator.io/v1alpha1", "Istio", "", ours),
		},
		{
			"no version",
			item{APIVersion: "sailoperator.io", Kind: "Istio"},
			mistake.Around{},
			api("sailoperator.io", "Istio", "", ours),
		},
		{
			"no version after the slash",
			item{APIVersion: "sailoperator.io/", Kind: "Istio"},
			mistake.Around{},
			api("sailoperator.io/", "Istio", "", ours),
		},
		{
			"too much",
			item{APIVersion: "sailoperator.io/v1/istios", Kind: "Istio"},
			mistake.Around{},
			api("sailoperator.io/v1/istios", "Istio", "", ours),
		},
		{"no group", item{APIVersion: "v1", Kind: "Istio"}, mistake.Around{}, api("v1", "Istio", "", ours)},
		{"nothing at all", item{Kind: "IstioCNI"}, mistake.Around{}, api("", "IstioCNI", "", ours)},
		{
			"no group, and a letter wrong",
			item{APIVersion: "v1", Kind: "Istoi"},
			mistake.Around{},
			api("v1", "Istoi", "", ours),
		},
		{
			"a letter is wrong",
			item{APIVersion: "sailoperater.io/v1", Kind: "Istio"},
			mistake.Around{},
			api("sailoperater.io/v1", "Istio", "", ours),
		},
		{
			"a hyphen too much",
			item{APIVersion: "sail-operator.io/v1", Kind: "Istio"},
			mistake.Around{},
			api("sail-operator.io/v1", "Istio", "", ours),
		},
		{
			"case counts",
			item{APIVersion: "SailOperator.io/v1", Kind: "Istio"},
			mistake.Around{},
			api("SailOperator.io/v1", "Istio", "", ours),
		},
		{
			"letters swapped",
			item{APIVersion: "sailopreator.io/v1", Kind: "Whatever"},
			mistake.Around{},
			api("sailopreator.io/v1", "Whatever", "", ours),
		},
		{
			"two letters",
			item{APIVersion: "saioperator.oi/v1", Kind: "Istio"},
			mistake.Around{},
			api("saioperator.oi/v1", "Istio", "", ours),
		},
		{
			"three letters are another group",
			item{APIVersion: "aioperator.com/v1", Kind: "Istio"},
			mistake.Around{},
			nil,
		},

		{
			"the group of earlier days",
			item{APIVersion: "operator.istio.io/v1alpha1", Kind: "Istio"},
			mistake.Around{},
			api("operator.istio.io/v1alpha1", "Istio", former, ours),
		},
		{
			"nearly",
			item{APIVersion: "operators.istio.io/v1alpha1", Kind: "Istio"},
			mistake.Around{},
			api("operators.istio.io/v1alpha1", "Istio", "", ours),
		},
		{
			"an IstioOperator in the wrong group",
			item{
				APIVersion: "operator.istio.io/v1alpha1",
				Kind:       "IstioOperator",
			},
			mistake.Around{Migrates: true},
			api("operator.istio.io/v1alpha1", "IstioOperator", "",
				"install.istio.io/v1alpha1"),
		},
		{"given to the function for it", operator, mistake.Around{Migrates: true}, nil},
		{"given to another", operator, mistake.Around{}, &mistake.Mistake{
			Message: "an IstioOperator is not rendered: migrate-istiooperator (lateen migrate -f FILE) makes an " +
				"Istio of it. To keep it beside the Istio, " +
				`add the annotation config.kubernetes.io/local-config: "true"`,
		}},
		{
			"migrated, and kept",
			item{APIVersion: operator.APIVersion, Kind: operator.Kind, Local: true},
			mistake.Around{},
			nil,
		},
		{
			"a version that there was not",
			item{APIVersion: "install.istio.io/v1alpha2", Kind: "IstioOperator"},
			mistake.Around{Migrates: true},
			api("install.istio.io/v1alpha2", "IstioOperator", "",
				"install.istio.io/v1alpha1"),
		},
		{
			"a kind that there was not",
			item{APIVersion: "install.istio.io/v1alpha1", Kind: "IstioOperater"},
			mistake.Around{Migrates: true},
			kind("install.istio.io", "IstioOperater", "IstioOperator"),
		},
		{
			"ours in its group",
			item{APIVersion: "install.istio.io/v1alpha1", Kind: "Istio"},
			mistake.Around{},
			api("install.istio.io/v1alpha1", "Istio", "", ours),
		},

		{
			"a report misspelled",
			item{APIVersion: "lateen.io/v1alpha1", Kind: "UsageReprot"},
			mistake.Around{},
			kind("lateen.io", "UsageReprot", "UsageReport"),
		},
		{
			"a report of a group misspelled",
			item{APIVersion: "latten.io/v1alpha1", Kind: "UsageReport"},
			mistake.Around{},
			api("latten.io/v1alpha1", "UsageReport", "", "lateen.io/v1alpha1"),
		},
		{"a group that is like lateen.io", item{APIVersion: "latex.io/v1", Kind: "Document"}, mistake.Around{}, nil},
		{
			"ours in the group of reports",
			item{APIVersion: "lateen.io/v1", Kind: "Istio"},
			mistake.Around{},
			api("lateen.io/v1", "Istio", "", ours),
		},

		{"others have a kind Istio", item{
			APIVersion: "operator.kyma-project.io/v1alpha2", Kind: "Istio",
			Name: "default",
		}, mistake.Around{}, nil},
		{
			"but this one was meant for Lateen",
			item{
				APIVersion: "example.com/v1", Kind: "Istio", Name: "default",
				Marked: true,
			},
			mistake.Around{},
			api("example.com/v1", "Istio", marks, ours),
		},
		{
			"and so was this one",
			item{APIVersion: "example.com/v1", Kind: "Isto", Name: "default"},
			mistake.Around{Orphans: func(owner string) bool { return owner == "Istio/default" }},
			api("example.com/v1", "Isto", "there are objects that were generated for Istio/default", ours),
		},
		{
			"this one has nothing to do with them",
			item{APIVersion: "example.com/v1", Kind: "Istio", Name: "other"},
			mistake.Around{Orphans: func(owner string) bool { return owner == "Istio/default" }},
			nil,
		},
		{
			"a mark alone says nothing",
			item{APIVersion: "apps/v1", Kind: "Deployment", Name: "default", Marked: true},
			mistake.Around{},
			nil,
		},
	} {
		if diff := cmp.Diff(c.want, mistake.Of(c.item, c.around)); diff != "" {
			t.Errorf("%s: %s %s (-want +got)\n%s", c.reason, c.item.APIVersion, c.item.Kind, diff)
		}
	}
}

// TestNobodysBusiness: the groups of the ecosystem are none of Lateen's, whatever their kinds carry.
func TestNobodysBusiness(t *testing.T) {
	for _, i := range []struct{ apiVersion, kind string }{
		{"v1", "Pod"},
		{"v1", "Service"},
		{"v1", "Namespace"},
		{"v1", "List"},
		{"v1", "ConfigMap"},
		{"v1", "Secret"},
		{"v1", "Node"},
		{"v1", "Event"},
		{"apps/v1", "Deployment"},
		{"batch/v1", "CronJob"},
		{"autoscaling/v2", "HorizontalPodAutoscaler"},
		{"policy/v1", "PodDisruptionBudget"},
		{"rbac.authorization.k8s.io/v1", "ClusterRole"},
		{"admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"},
		{"apiextensions.k8s.io/v1", "CustomResourceDefinition"},
		{"gateway.networking.k8s.io/v1", "Gateway"},
		{"networking.k8s.io/v1", "Ingress"},
		{"networking.istio.io/v1", "Gateway"},
		{"networking.istio.io/v1alpha3", "VirtualService"},
		{"networking.istio.io/v1", "Sidecar"},
		{"security.istio.io/v1", "PeerAuthentication"},
		{"telemetry.istio.io/v1", "Telemetry"},
		{"extensions.istio.io/v1alpha1", "WasmPlugin"},
		{"config.istio.io/v1alpha2", "rule"},
		{"authentication.istio.io/v1alpha1", "Policy"},
		{"maistra.io/v2", "ServiceMeshControlPlane"},
		{"operator.openshift.io/v1", "Network"},
		{"config.openshift.io/v1", "Infrastructure"},
		{"route.openshift.io/v1", "Route"},
		{"operators.coreos.com/v1alpha1", "Subscription"},
		{"operator.tekton.dev/v1alpha1", "TektonConfig"},
		{"operator.knative.dev/v1beta1", "KnativeServing"},
		{"operator.tigera.io/v1", "Installation"},
		{"operator.victoriametrics.com/v1beta1", "VMAgent"},
		{"operator.cluster.x-k8s.io/v1alpha2", "CoreProvider"},
		{"operator.kyma-project.io/v1alpha2", "Istio"},
		{"operator.gloo.solo.io/v1", "ServiceMeshController"},
		{"sailfishos.org/v1", "Device"},
		{"sail.io/v1", "Boat"},
		{"sailpoint.io/v1", "Identity"},
		{"install.tekton.dev/v1", "Installer"},
		{"kiali.io/v1alpha1", "Kiali"},
		{"jaegertracing.io/v1", "Jaeger"},
		{"opentelemetry.io/v1beta1", "OpenTelemetryCollector"},
		{"monitoring.coreos.com/v1", "ServiceMonitor"},
		{"cert-manager.io/v1", "Certificate"},
		{"argoproj.io/v1alpha1", "Application"},
		{"kustomize.toolkit.fluxcd.io/v1", "Kustomization"},
		{"source.toolkit.fluxcd.io/v1", "GitRepository"},
		{"kustomize.config.k8s.io/v1beta1", "Kustomization"},
		{"kpt.dev/v1", "Kptfile"},
		{"config.kubernetes.io/v1", "ResourceList"},
		{"linkerd.io/v1alpha2", "ServiceProfile"},
		{"", "Kustomization"},
		{"", ""},
	} {
		for _, marked := range []bool{false, true} {
			if i.kind == "Istio" && marked {
				continue // somebody has written lateen.io on it
			}
			item := mistake.Item{APIVersion: i.apiVersion, Kind: i.kind, Name: "default", Marked: marked}
			if m := mistake.Of(item, mistake.Around{Orphans: func(string) bool { return false }}); m != nil {
				t.Errorf("%s %s, marked %v: %s", i.apiVersion, i.kind, marked, m.Message)
			}
		}
	}
}
