package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/migrate"
)

// TestGatewayObjects is the table of which of the Service, the HorizontalPodAutoscaler and the PodDisruptionBudget of a
// gateway there are, for both kinds of gateways: those that the chart makes, with what k8s says of them. istioctl makes
// none that the chart does not.
func TestGatewayObjects(t *testing.T) {
	t.Parallel()
	const budget, none = "minAvailable: 1", ""
	kinds := map[string]string{"ingressGateways": "istio-ingressgateway", "egressGateways": "istio-egressgateway"}
	for _, c := range []struct {
		reason, version, profile, values, global, k8s string
		service, scaler, budget                       string   // contained in the object, if there is one
		says                                          []string // contained in the finding
	}{
		{
			reason: "the defaults", version: "1.28.3", profile: "default",
			service: "port: 443", scaler: "maxReplicas: 5", budget: none,
		},
		{
			reason: "and of versions that made a budget of one pod", version: "1.27.0", profile: "default",
			service: "port: 443", scaler: "maxReplicas: 5", budget: budget,
		},
		{
			reason: "k8s settings of all that there is", version: "1.27.0", profile: "default",
			k8s: "{service: {type: NodePort}, serviceAnnotations: {a: b}, hpaSpec: {maxReplicas: 9}, " +
				"podDisruptionBudget: {minAvailable: 2}}",
			service: "type: NodePort", scaler: "maxReplicas: 9", budget: "minAvailable: 2",
		},
		{
			reason: "no autoscaler to patch", version: "1.27.0", profile: "default",
			values: "{autoscaleEnabled: false}", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: none, budget: budget,
			says: []string{"Not in it: hpaSpec: {maxReplicas: 9} (there was no HorizontalPodAutoscaler to patch"},
		},
		{
			reason: "nor with the profile demo", version: "1.28.3", profile: "demo", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: none, budget: none, says: []string{"no HorizontalPodAutoscaler to patch"},
		},
		{
			reason: "unless the values say so", version: "1.28.3", profile: "demo",
			values: "{autoscaleEnabled: true, autoscaleMin: 2}", k8s: "{hpaSpec: {maxReplicas: 9}}",
			service: "port: 443", scaler: "maxReplicas: 9", budget: budget,
		},
		{
			reason: "no least number", version: "1.28.3", profile: "default",
			values: "{autoscaleMin: 0}", service: "port: 443", scaler: none, budget: none,
		},
		{
			reason: "no greatest number", version: "1.28.3", profile: "default",
			values: "{autoscaleMax: 0, autoscaleMin: 2}", service: "port: 443", scaler: none, budget: budget,
		},
		{
			reason: "several pods by the autoscaler", version: "1.28.3", profile: "default",
			values: "{autoscaleMin: 2}", service: "port: 443", scaler: "minReplicas: 2", budget: budget,
		},
		{
			reason: "several pods by the k8s settings, of which the chart knows nothing", version: "1.28.3",
			profile: "default", k8s: "{hpaSpec: {minReplicas: 2}}",
			service: "port: 443", scaler: "minReplicas: 2", budget: none,
		},
		{
			reason: "several pods without an autoscaler", version: "1.28.3", profile: "default",
			values: "{autoscaleEnabled: false, replicaCount: 3}", service: "port: 443", scaler: none, budget: budget,
		},
		{
			reason: "which count without an autoscaler only", version: "1.28.3", profile: "default",
			values: "{replicaCount: 3}", service: "port: 443", scaler: "minReplicas: 1", budget: none,
		},
		{
			reason: "no budget to patch", version: "1.28.3", profile: "default",
			k8s: "{podDisruptionBudget: {maxUnavailable: 1}}", service: "port: 443", scaler: "minReplicas: 1", budget: none,
			says: []string{"podDisruptionBudget: {maxUnavailable: 1} (there was no PodDisruptionBudget to patch"},
		},
		{
			reason: "no budgets by default", version: "1.27.0", profile: "default",
			global: "{defaultPodDisruptionBudget: {enabled: false}}", k8s: "{podDisruptionBudget: {minAvailable: 2}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: none,
			says: []string{"no PodDisruptionBudget to patch"},
		},
		{
			reason: "budgets by default, in so many words", version: "1.27.0", profile: "default",
			global:  "{defaultPodDisruptionBudget: {enabled: true}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: budget,
		},
		{
			reason: "a budget of the other kind", version: "1.27.0", profile: "default",
			k8s:     "{podDisruptionBudget: {maxUnavailable: 1}}",
			service: "port: 443", scaler: "minReplicas: 1", budget: "maxUnavailable: 1",
		},
		{
			reason: "no service to patch", version: "1.28.3", profile: "default",
			values: "{customService: true, type: NodePort}", k8s: "{service: {clusterIP: None}, serviceAnnotations: {a: b}}",
			service: none, scaler: "minReplicas: 1", budget: none,
			says: []string{"service: {clusterIP: None} (there was no Service to patch", "serviceAnnotations: {a: b} (there was"},
		},
	} {
		for kind, name := range kinds {
			t.Run(c.reason+"/"+kind, func(t *testing.T) {
				t.Parallel()
				or := func(s string) string {
					if s == "" {
						return "{}"
					}
					return s
				}
				out := migrate.Operator(object(t, head+"spec:\n  tag: "+c.version+"\n  profile: "+c.profile+"\n  components: {"+
					kind+": [{name: g, k8s: "+or(c.k8s)+"}]}\n  values: {global: "+or(c.global)+", gateways: {"+name+": "+
					or(c.values)+"}}\n"), "")
				message := ""
				for _, f := range out.Findings {
					if f.Field == "spec.components."+kind+".0" {
						message = f.Message
					}
				}
				says, manifest, _ := strings.Cut(message, ":\n")
				contains(t, "the finding", says, c.says, nil)
				if len(c.says) == 0 && strings.Contains(says, "Not in it") {
					t.Errorf("something is not in the manifest: %s", says)
				}
				is := map[string]string{"Service": none, "HorizontalPodAutoscaler": none, "PodDisruptionBudget": none}
				for _, document := range strings.Split(manifest, "---\n") {
					for kind, want := range map[string]string{
						"Service": c.service, "HorizontalPodAutoscaler": c.scaler, "PodDisruptionBudget": c.budget,
					} {
						if strings.Contains(document, "\nkind: "+kind+"\n") {
							is[kind] = document
							if want != "" && strings.Contains(document, want) {
								is[kind] = want
							}
						}
					}
					if strings.Contains(document, "maxUnavailable") && strings.Contains(document, "minAvailable") {
						t.Errorf("two limits, of which the API server refuses one:\n%s", document)
					}
				}
				want := map[string]string{
					"Service": c.service, "HorizontalPodAutoscaler": c.scaler, "PodDisruptionBudget": c.budget,
				}
				if diff := cmp.Diff(want, is); diff != "" {
					t.Errorf("-want +got:\n%s", diff)
				}
			})
		}
	}
}
