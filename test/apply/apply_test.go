package apply

import (
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen"
)

// knownWarnings are what the server says about objects that Istio's charts want to be as they are, and why it may.
var knownWarnings = map[string]string{
	"v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice": "the charts up to 1.27 name a remote " +
		"istiod so, for older servers",
	`spec.template.metadata.annotations[container.apparmor.security.beta.kubernetes.io/install-cni]: deprecated since ` +
		`v1.30; use the "appArmorProfile" field instead`: "the CNI chart's, for older servers",
	`unrecognized format "binary"`: "a field of Istio's VirtualService; the format says nothing to the server",
}

// TestAccepted renders every bundled version with several profiles, and expects that the server would take every
// object, without unknown fields and without a word about deprecation.
func TestAccepted(t *testing.T) {
	s := connect(t)
	s.namespace(t, "istio-system")
	cases := map[string]struct {
		reason  string
		spec    string
		options lateen.Options
	}{
		"default": {reason: "what most have, with Istio's CRDs", options: lateen.Options{CRDs: true}},
		"revisions": {
			reason: "names with the revision in them, and no default validator",
			spec:   "  updateStrategy: {type: RevisionBased}\n",
		},
		"ambient": {reason: "other environment, other rules for the role", spec: "  profile: ambient\n"},
		"openshift": {
			reason: "other values, on a server that does not know OpenShift's kinds", spec: "  profile: openshift\n",
			options: lateen.Options{Platform: "openshift"},
		},
		"remote": {
			reason: "webhooks and no istiod, or an istiod for it elsewhere",
			spec:   "  profile: remote\n  values: {global: {remotePilotAddress: 192.0.2.1}}\n",
		},
	}
	for _, bundled := range lateen.Versions() {
		version := bundled.Version
		for name, c := range cases {
			t.Run(version+" "+name, func(t *testing.T) {
				c.options.Track = true
				objects := must(render(istio("default", "  version: "+version+"\n"+c.spec), c.options))(t)
				if len(objects) < 8 {
					t.Errorf("%s: only %d objects", c.reason, len(objects))
				}
				s.accepts(t, c.reason, objects)
			})
		}
	}
}

// accepts expects that the server would take objects as they are. Their namespaces must exist.
func (s server) accepts(t *testing.T, reason string, objects []*unstructured.Unstructured) {
	t.Helper()
	strict := client.WithFieldValidation(s.client, metav1.FieldValidationStrict)
	for _, o := range objects {
		err := strict.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o), client.DryRunAll,
			client.ForceOwnership, client.FieldOwner(owner.Field))
		if err != nil {
			t.Errorf("%s: %s: %v", reason, kindAndName(o), err)
		}
	}
	for _, w := range s.warnings.take() {
		if knownWarnings[w] == "" {
			t.Errorf("%s: the server warns: %s", reason, w)
		}
	}
}

// TestSecondApply applies a rendering as Flux does, lets istiod do what it does to its webhooks, and applies the same
// rendering again. The versions follow one another in one cluster, as in-place updates.
func TestSecondApply(t *testing.T) {
	s := connect(t)
	s.namespace(t, "istio-system")
	type test struct {
		name, reason, spec string
		options            lateen.Options
		// changed are the objects that the second apply changes.
		changed []string
	}
	var cases []test
	for _, bundled := range lateen.Versions() {
		version := bundled.Version
		cases = append(cases, test{
			name: version, reason: "a rendering is applied again and again", spec: "  version: " + version + "\n",
		})
	}
	cases = append(
		cases,
		test{
			name: "revisions", reason: "the injector of a revision has a name of its own",
			spec: "  updateStrategy: {type: RevisionBased}\n",
		},
		test{
			name: "remote", reason: "the istiod of another cluster fills in the webhooks of this one",
			spec: "  profile: remote\n  values: {global: {remotePilotAddress: 192.0.2.1}}\n",
		},
		test{
			name: "the chart's failure policy", reason: "this is what the option is for, and that this test can fail",
			options: lateen.Options{ChartFailurePolicy: true},
			changed: []string{
				"ValidatingWebhookConfiguration/istio-validator-istio-system",
				"ValidatingWebhookConfiguration/istiod-default-validator",
			},
		},
	)
	// Webhooks without an istiod would say no to what other tests apply.
	var applied []*unstructured.Unstructured
	t.Cleanup(func() {
		for _, o := range applied {
			if err := client.IgnoreNotFound(s.client.Delete(context.WithoutCancel(t.Context()), o)); err != nil {
				t.Error(err)
			}
		}
	})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.options.Track = true
			objects := must(render(istio("default", c.spec), c.options))(t)
			applied = append(applied, objects...)
			first := s.apply(t, objects)
			if len(first) != len(objects) {
				t.Fatalf("%d objects, of which %d were applied: %v", len(objects), len(first), first)
			}
			s.actAsIstiod(t, objects)
			var changed []string
			for subject, action := range s.apply(t, objects) {
				if action != ssa.UnchangedAction {
					changed = append(changed, subject)
				}
			}
			slices.Sort(changed)
			if diff := cmp.Diff(c.changed, changed); diff != "" {
				t.Errorf("%s: what the second apply changes: -want +got:\n%s", c.reason, diff)
			}
		})
	}
}

// apply applies copies of objects, and tells what became of each.
func (s server) apply(t *testing.T, objects []*unstructured.Unstructured) map[string]ssa.Action {
	t.Helper()
	copies := make([]*unstructured.Unstructured, len(objects))
	for i, o := range objects {
		copies[i] = o.DeepCopy()
	}
	set, err := s.manager.ApplyAllStaged(t.Context(), copies, applyOptions())
	if err != nil {
		t.Fatal(err)
	}
	return maps.Collect(func(yield func(string, ssa.Action) bool) {
		for _, e := range set.Entries {
			if !yield(e.Subject, e.Action) {
				return
			}
		}
	})
}

// actAsIstiod changes the webhooks as istiod does when it has a certificate: it reads each configuration, puts in the
// CA bundle and, into validating ones, the failure policy Fail, and updates it (pkg/webhooks in Istio, the same in all
// versions).
func (s server) actAsIstiod(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	kinds := map[string]int{}
	for _, o := range objects {
		kind := o.GetKind()
		if kind != "MutatingWebhookConfiguration" && kind != "ValidatingWebhookConfiguration" {
			continue
		}
		live := o.DeepCopy()
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(o), live); err != nil {
			t.Fatal(err)
		}
		webhooks, _, err := unstructured.NestedSlice(live.Object, "webhooks")
		if err != nil || len(webhooks) == 0 {
			t.Fatalf("%s has no webhooks: %v", kindAndName(o), err)
		}
		for _, w := range webhooks {
			webhook := w.(map[string]any)
			webhook["clientConfig"].(map[string]any)["caBundle"] = base64.StdEncoding.EncodeToString(s.CA)
			if kind == "ValidatingWebhookConfiguration" {
				webhook["failurePolicy"] = "Fail"
			}
		}
		if err := unstructured.SetNestedSlice(live.Object, webhooks, "webhooks"); err != nil {
			t.Fatal(err)
		}
		if err := s.client.Update(t.Context(), live, client.FieldOwner("pilot-discovery")); err != nil {
			t.Fatal(err)
		}
		kinds[kind]++
	}
	if len(kinds) != 2 {
		t.Fatalf("istiod has nothing to do: %v", kinds)
	}
}

func kindAndName(o *unstructured.Unstructured) string {
	return fmt.Sprintf("%s %s/%s", o.GetKind(), o.GetNamespace(), o.GetName())
}
