package apply

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// TestInstaller is who is said to have created an object, and whether that is somebody else.
func TestInstaller(t *testing.T) {
	t.Parallel()
	by := func(names ...string) []metav1.ManagedFieldsEntry {
		var out []metav1.ManagedFieldsEntry
		for _, n := range names {
			out = append(out, metav1.ManagedFieldsEntry{Manager: n})
		}
		return out
	}
	helm := map[string]string{"meta.helm.sh/release-name": "base", "meta.helm.sh/release-namespace": "istio-system"}
	status := metav1.ManagedFieldsEntry{Manager: "kube-controller-manager", Subresource: "status"}
	for _, c := range []struct {
		reason              string
		labels, annotations map[string]string
		owner               string
		managers            []metav1.ManagedFieldsEntry
		// want is "" for what is Lateen's already.
		want string
	}{
		{reason: "A release of Helm.", annotations: helm, want: "Helm release istio-system/base"},
		{
			reason: "A release without a namespace.", annotations: map[string]string{"meta.helm.sh/release-name": "base"},
			want: "Helm release base",
		},
		{
			reason: "Flux installs releases, too: that it is one says more.", annotations: helm,
			managers: by("helm-controller"), want: "Helm release istio-system/base",
		},
		{reason: "istioctl install.", managers: by("istio-operator"), want: "istioctl"},
		{reason: "Argo CD.", managers: by("argocd-controller"), want: "Argo CD"},
		{reason: "Argo CD by another name.", managers: by("argocd-application-controller"), want: "Argo CD"},
		{reason: "Flux with Kustomize.", managers: by("kustomize-controller"), want: "Flux"},
		{reason: "Flux with Helm.", managers: by("helm-controller"), want: "Flux"},
		{reason: "Anybody else.", managers: by("kubectl-create"), want: "kubectl-create"},
		{reason: "The first of several.", managers: by("argocd-controller", "istio-operator", "x"), want: "Argo CD"},
		{reason: "The first of several, which is nobody known.", managers: by("x", "argocd-controller"), want: "x"},
		{
			reason: "Who writes the status does not count.", managers: append([]metav1.ManagedFieldsEntry{status},
				by("kustomize-controller")...), want: "Flux",
		},
		{reason: "Nobody says so.", want: "somebody else"},
		{reason: "Only a status is somebody's.", managers: []metav1.ManagedFieldsEntry{status}, want: "somebody else"},
		{reason: "The Sail Operator's.", managers: by("helm", "sail-operator")},
		{reason: "The Sail Operator's by its label.", labels: map[string]string{
			"app.kubernetes.io/managed-by": "sail-operator",
		}},
		{reason: "Lateen's.", managers: by("helm", FieldManager)},
		{reason: "Lateen's by its label.", labels: map[string]string{"app.kubernetes.io/managed-by": "lateen"}},
		{reason: "Of a pipeline.", annotations: map[string]string{"lateen.io/owner": "Istio/default"}},
		{reason: "Of a resource of Lateen's.", owner: v1.GroupVersion.String()},
		{
			reason: "Of a resource of somebody's.", owner: "example.com/v1", managers: by("x"), want: "x",
		},
		{
			reason: "By the label of Helm.", labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"},
			managers: by("helm"), want: "helm",
		},
	} {
		o := object(t, configMap)
		o.SetLabels(c.labels)
		o.SetAnnotations(c.annotations)
		o.SetManagedFields(c.managers)
		if c.owner != "" {
			o.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: c.owner, Kind: "A", Name: "a", UID: "a"}})
		}
		got, is := foreign(o)
		if got.Installer != c.want || is != (c.want != "") {
			t.Errorf("%s got %q, %t", c.reason, got.Installer, is)
		}
	}
}

// TestVersionOf is where the version of an object is looked for.
func TestVersionOf(t *testing.T) {
	t.Parallel()
	label := func(v string) map[string]string {
		return map[string]string{"app.kubernetes.io/version": v, "helm.sh/chart": "cni-1.20.0"}
	}
	chart := func(v string) map[string]string { return map[string]string{"helm.sh/chart": v} }
	for _, c := range []struct {
		reason, kind string
		images       []any
		labels       map[string]string
		want         string
		runs         bool
	}{
		{"The image of a Deployment.", "Deployment", []any{"istio/pilot:1.28.3"}, label("1.27.0"), "v1.28.3", true},
		{"The image of a DaemonSet.", "DaemonSet", []any{"istio/install-cni:1.28.3"}, nil, "v1.28.3", true},
		{"Of the second container.", "DaemonSet", []any{"proxy:ours", "cni:v1.28.3-debug"}, nil, "v1.28.3", true},
		{"A variant and a digest.", "DaemonSet", []any{"cni:1.29.0-rc.1-distroless@sha256:00"}, nil, "v1.29.0-rc.1", true},
		{"What else has an image runs nothing.", "Job", []any{"istio/pilot:1.28.3"}, label("1.27.0"), "v1.27.0", false},
		{"A DaemonSet's label.", "DaemonSet", []any{"cni:ours"}, label("v1.27.0"), "v1.27.0", true},
		{"A DaemonSet's chart.", "DaemonSet", nil, chart("cni-1.27.0"), "v1.27.0", true},
		{"The label before the chart.", "Service", nil, label("1.27.0"), "v1.27.0", false},
		{"The chart of a candidate.", "Service", nil, chart("istiod-v1.29.0-beta.2"), "v1.29.0-beta.2", false},
		{"Another chart.", "Service", nil, chart("istiod"), "", false},
		{"Nothing.", "DaemonSet", []any{"cni:latest", nil}, nil, "", true},
	} {
		o := object(t, configMap)
		o.SetKind(c.kind)
		o.SetLabels(c.labels)
		var containers []any
		for _, image := range c.images {
			containers = append(containers, map[string]any{"image": image})
		}
		o.Object["spec"] = map[string]any{"template": map[string]any{"spec": map[string]any{"containers": containers}}}
		if got, runs := versionOf(o); got != c.want || runs != c.runs {
			t.Errorf("%s got %q, %t", c.reason, got, runs)
		}
	}
}

// TestRefused is which objects of others stand against taking them over, and how that is said.
func TestRefused(t *testing.T) {
	t.Parallel()
	of := func(kind, version string, runs bool) Foreign {
		return Foreign{v1.ObjectReference{APIVersion: "v1", Kind: kind, Name: "istiod"}, "Argo CD", version, runs}
	}
	const advice = ", or set the annotation lateen.io/take-over: \"true\" to take it over and change its version"
	other := " istiod%s, installed by Argo CD, is of Istio v1.27.0, and v1.28.3 is asked for: ask for v1.27.0 and " +
		"upgrade afterwards" + advice
	with := func(kind, more string) string { return kind + other[:len(" istiod")] + more + other[len(" istiod%s"):] }
	for _, c := range []struct {
		reason  string
		objects []Foreign
		kinds   []string
		err     string
	}{
		{reason: "None.", objects: []Foreign{of("A", "v1.28.3", false), of("B", "v1.28.3", true), of("C", "", false)}},
		{
			"One.",
			[]Foreign{of("A", "v1.27.0", false), of("B", "v1.28.3", false)},
			[]string{"A"},
			with("A", ""),
		},
		{
			"What runs it is named first, and otherwise all are in their order.",
			[]Foreign{of("A", "v1.27.0", false), of("B", "v1.27.0", true), of("C", "v1.27.0", false), of("D", "v1.27.0", true)},
			[]string{"B", "D", "A", "C"},
			with("B", " (and 3 more objects)"),
		},
		{
			"What runs and does not say its version.",
			[]Foreign{of("A", "v1.27.0", false), of("B", "", true)},
			[]string{"B", "A"},
			"B istiod (and 1 more objects), installed by Argo CD, is of a version of Istio that cannot " +
				"be told, and v1.28.3 is asked for: ask for the version that it runs" + advice,
		},
	} {
		wrong := refused(c.objects, "v1.28.3")
		var kinds []string
		for _, f := range wrong {
			kinds = append(kinds, f.Object.Kind)
		}
		if diff := cmp.Diff(c.kinds, kinds); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		if len(wrong) == 0 {
			continue
		}
		if diff := cmp.Diff(c.err, (&TakeoverError{wrong, "v1.28.3"}).Error()); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}
