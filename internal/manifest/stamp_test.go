package manifest_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/manifest"
)

func TestStampMetadata(t *testing.T) {
	cases := map[string]struct {
		reason      string
		stamp       manifest.Stamp
		labels      map[string]string
		annotations map[string]string
	}{
		"of a revision": {
			reason:      "owner, revision and who manages it; Helm's own mark is replaced",
			stamp:       manifest.Stamp{Owner: "Istio/default", Revision: "default"},
			labels:      map[string]string{"app.kubernetes.io/managed-by": "lateen", "lateen.io/revision": "default"},
			annotations: map[string]string{"lateen.io/owner": "Istio/default"},
		},
		"of none": {
			reason:      "CRDs belong to no revision",
			stamp:       manifest.Stamp{Owner: "Istio/default"},
			labels:      map[string]string{"app.kubernetes.io/managed-by": "lateen"},
			annotations: map[string]string{"lateen.io/owner": "Istio/default"},
		},
		"protected": {
			reason: "both Argo CD and Flux are asked to leave it, and Argo CD not to show it as a difference for ever",
			stamp:  manifest.Stamp{Owner: "Istio/default", Protect: true},
			labels: map[string]string{"app.kubernetes.io/managed-by": "lateen"},
			annotations: map[string]string{
				"lateen.io/owner": "Istio/default", "argocd.argoproj.io/sync-options": "Prune=false",
				"kustomize.toolkit.fluxcd.io/prune":  "disabled",
				"argocd.argoproj.io/compare-options": "IgnoreExtraneous",
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := one(t, head+"  labels: {app.kubernetes.io/managed-by: Helm, app: istiod}\n")
			tc.stamp.Apply(o)
			var got struct {
				Metadata struct{ Labels, Annotations map[string]string }
			}
			if err := o.Decode(&got); err != nil {
				t.Fatal(err)
			}
			want := maps.Clone(tc.labels)
			want["app"] = "istiod" // what the chart wrote stays
			if diff := cmp.Diff([]map[string]string{want, tc.annotations},
				[]map[string]string{got.Metadata.Labels, got.Metadata.Annotations}); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestStampContent(t *testing.T) {
	const stamped = "  labels:\n    app.kubernetes.io/managed-by: lateen\n  annotations:\n" +
		"    lateen.io/owner: Istio/default\n"
	const substitute = "    kustomize.toolkit.fluxcd.io/substitute: disabled\n"
	webhook := func(kind, hook string) string {
		return "apiVersion: admissionregistration.k8s.io/v1\nkind: " + kind + "\nmetadata:\n  name: a\n%" +
			"webhooks:\n- name: w\n" + hook
	}
	const validating, mutating = "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration"
	cases := map[string]struct {
		reason   string
		keep     bool
		in, want string // with % where the stamp's metadata goes
	}{
		"validating failurePolicy": {
			reason: "istiod sets it to Fail as soon as it can answer",
			in:     webhook(validating, "  failurePolicy: Ignore\n  sideEffects: None\n"),
			want:   webhook(validating, "  sideEffects: None\n"),
		},
		"validating failurePolicy of the chart": {
			reason: "kept on request",
			keep:   true,
			in:     webhook(validating, "  failurePolicy: Ignore\n"),
			want:   webhook(validating, "  failurePolicy: Ignore\n"),
		},
		"validating failurePolicy Fail": {
			reason: "what istiod would set anyway is no fight",
			in:     webhook(validating, "  failurePolicy: Fail\n"),
			want:   webhook(validating, "  failurePolicy: Fail\n"),
		},
		"mutating failurePolicy": {
			reason: "istiod leaves it alone, so it is the chart's",
			in:     webhook(mutating, "  failurePolicy: Ignore\n"),
			want:   webhook(mutating, "  failurePolicy: Ignore\n"),
		},
		"empty caBundle, mutating": {
			reason: "istiod fills it in",
			in:     webhook(mutating, "  clientConfig:\n    caBundle: \"\"\n    url: u\n"),
			want:   webhook(mutating, "  clientConfig:\n    url: u\n"),
		},
		"empty caBundle, validating": {
			reason: "istiod fills it in; failurePolicy is another question",
			keep:   true,
			in:     webhook(validating, "  clientConfig:\n    caBundle:\n    url: u\n"),
			want:   webhook(validating, "  clientConfig:\n    url: u\n"),
		},
		"caBundle of the user": {
			reason: "who gives a certificate wants it there",
			in:     webhook(mutating, "  clientConfig:\n    caBundle: Zm9v\n"),
			want:   webhook(mutating, "  clientConfig:\n    caBundle: Zm9v\n"),
		},
		"all hooks": {
			reason: "not only the first one",
			in:     webhook(validating, "  failurePolicy: Ignore\n- name: x\n  failurePolicy: Ignore\n"),
			want:   webhook(validating, "- name: x\n"),
		},
		"failurePolicy elsewhere": {
			reason: "ValidatingAdmissionPolicies are not istiod's to change",
			in:     "apiVersion: v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: a\n%spec:\n  failurePolicy: Ignore\n",
			want:   "apiVersion: v1\nkind: ValidatingAdmissionPolicy\nmetadata:\n  name: a\n%spec:\n  failurePolicy: Ignore\n",
		},
		"divisor": {
			reason: "the API server would add it, and GitOps tools would show that as a difference",
			in:     head + "%spec:\n- valueFrom:\n    resourceFieldRef:\n      resource: limits.cpu\n",
			want:   head + "%spec:\n- valueFrom:\n    resourceFieldRef:\n      resource: limits.cpu\n      divisor: \"0\"\n",
		},
		"divisor of the chart": {
			reason: "stays",
			in:     head + "%spec:\n- valueFrom:\n    resourceFieldRef:\n      divisor: \"1\"\n",
			want:   head + "%spec:\n- valueFrom:\n    resourceFieldRef:\n      divisor: \"1\"\n",
		},
		"${ in a value": {
			reason: "Flux's variable substitution would blank it",
			in:     head + "%data:\n  k: |\n    ip: ${INSTANCE_IP}\n",
			want:   head + "%" + substitute + "data:\n  k: |\n    ip: ${INSTANCE_IP}\n",
		},
		"${ in a key": {
			reason: "it substitutes in the whole text",
			in:     head + "%data:\n  ${k}: v\n",
			want:   head + "%" + substitute + "data:\n  ${k}: v\n",
		},
		"$( is something else": {
			reason: "Kubernetes' own syntax is not Flux's",
			in:     head + "%data:\n  k: $(POD_NAME) $x {}\n",
			want:   head + "%data:\n  k: $(POD_NAME) $x {}\n",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := one(t, strings.Replace(tc.in, "%", "", 1))
			stamp := manifest.Stamp{Owner: "Istio/default", KeepFailurePolicy: tc.keep}
			stamp.Apply(o)
			want := strings.Replace(tc.want, "%", stamped, 1)
			if diff := cmp.Diff(want, encode(t, o)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			stamp.Apply(o)
			if diff := cmp.Diff(want, encode(t, o)); diff != "" {
				t.Errorf("stamping twice is stamping once (-want +got)\n%s", diff)
			}
		})
	}
}

// TestStampEnv: of a variable that a container has twice the last entry stays.
func TestStampEnv(t *testing.T) {
	o := one(t, "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - image: i\n    env:\n"+
		"    - {name: A, value: '1'}\n"+
		"    - {name: B, value: '2'}\n    - {name: A, value: '3'}\n  env:\n  - {name: A}\n  - {name: A}\n")
	manifest.Stamp{Owner: "Istio/default"}.Apply(o)
	spec, _ := reread(t, o)["spec"].(map[string]any)
	want := map[string]any{
		"containers": []any{map[string]any{"image": "i", "env": []any{
			map[string]any{"name": "B", "value": "2"}, map[string]any{"name": "A", "value": "3"},
		}}},
		"env": []any{map[string]any{"name": "A"}, map[string]any{"name": "A"}}, // not of a container
	}
	if diff := cmp.Diff(want, spec); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
