package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestCheckSelections: profiles, platforms and compatibility versions that the charts of a version do not have are
// errors with a place and a list, before the charts fail on them without.
func TestCheckSelections(t *testing.T) {
	const profiles123 = "ambient, demo, openshift, openshift-ambient, preview, stable"
	const profiles = "ambient, demo, preview, remote, stable"
	const platforms124 = "k3d, k3s, microk8s, minikube, openshift"
	const platforms = "gke, " + platforms124
	for _, c := range []struct{ reason, version, values, want string }{
		{"all there", "v1.28.3", `{"profile":"demo","global":{"platform":"gke"},"compatibilityVersion":"1.27"}`, ""},
		{"empty is none", "v1.28.3", `{"profile":"","global":{"platform":""},"compatibilityVersion":""}`, ""},
		{
			"no such platform", "v1.28.3", `{"global":{"platform":"eks"}}`,
			`spec.values.global.platform: the charts of Istio v1.28.3 have no platform "eks"; there are: ` + platforms +
				"; for any other leave it out",
		},
		{
			"a platform that came later", "v1.24.2", `{"global":{"platform":"gke"}}`,
			`spec.values.global.platform: the charts of Istio v1.24.2 have no platform "gke"; there are: ` +
				platforms124 + "; for any other leave it out",
		},
		{"up to 1.23 the charts do not look at it", "v1.23.2", `{"global":{"platform":"eks"}}`, ""},
		{
			"the other place of a platform, which wins", "v1.28.3", `{"platform":"k3e","global":{"platform":"gke"}}`,
			`spec.values.platform: the charts of Istio v1.28.3 have no platform "k3e"; there are: ` + platforms +
				"; for any other leave it out; did you mean k3d?",
		},
		{"the place that is not read does not matter", "v1.28.3", `{"platform":"k3d","global":{"platform":"eks"}}`, ""},
		{
			"a compatibility version that is too old", "v1.28.3", `{"compatibilityVersion":"1.20"}`,
			`spec.values.compatibilityVersion: the charts of Istio v1.28.3 have no compatibility version "1.20"; ` +
				`there are: 1.25, 1.26, 1.27; ` +
				"for the behaviour of the version itself leave it out",
		},
		{
			"the same in the oldest version", "v1.23.2", `{"compatibilityVersion":"1.27"}`,
			`spec.values.compatibilityVersion: the charts of Istio v1.23.2 have no compatibility version "1.27"; ` +
				`there are: 1.20, 1.21, 1.22; ` +
				"for the behaviour of the version itself leave it out",
		},
		{
			"no such profile", "v1.28.3", `{"profile":"nope"}`,
			`spec.values.profile: the charts of Istio v1.28.3 have no profile "nope"; there are: ` + profiles +
				"; for the default one leave it out",
		},
		{
			"the default profile has no file", "v1.28.3", `{"profile":"default"}`,
			`spec.values.profile: the charts of Istio v1.28.3 have no profile "default"; there are: ` + profiles +
				"; for the default one leave it out",
		},
		{
			"OpenShift is a platform by now", "v1.28.3", `{"profile":"openshift-ambient"}`,
			`spec.values.profile: the charts of Istio v1.28.3 have no profile "openshift-ambient"; there are: ` +
				profiles + "; for the default one leave it out; " +
				"OpenShift is a platform: write spec.profile: openshift-ambient instead",
		},
		{"and was a profile", "v1.23.2", `{"profile":"openshift-ambient"}`, ""},
		{"a chart of its own", "v1.23.2", `{"profile":"remote"}`, ""},
		{
			"no such profile in the oldest version", "v1.23.2", `{"profile":"nope"}`,
			`spec.values.profile: the charts of Istio v1.23.2 have no profile "nope"; there are: ` + profiles123 +
				"; for the default one leave it out",
		},
		{
			"the other place of a profile", "v1.28.3", `{"global":{"profile":"dmeo"}}`,
			`spec.values.global.profile: the charts of Istio v1.28.3 have no profile "dmeo"; there are: ` + profiles +
				"; for the default one leave it out; did you mean demo?",
		},
	} {
		rel, err := release.Bundled().Resolve(c.version, nil)
		if err != nil {
			t.Fatal(err)
		}
		istio := &v1.Istio{Spec: v1.IstioSpec{
			Version: v1.Version(c.version),
			Values:  &v1.Values{Raw: []byte(c.values)},
		}}
		istio.Name = "default"
		istio.Default()
		problems, err := render.CheckIstio(rel, istio, render.Source{})
		if err != nil {
			t.Fatal(err)
		}
		var have strings.Builder
		for _, p := range problems {
			if p.Warning {
				t.Errorf("%s: a warning: %s", c.reason, p)
			}
			have.WriteString(p.String())
		}
		if diff := cmp.Diff(c.want, have.String()); diff != "" {
			t.Errorf("%s: -want +have:\n%s", c.reason, diff)
		}
		// What is no error here, the charts have; what is one, they fail on.
		rev, err := render.PlanRevision(render.PlanInput{Istio: istio, Release: rel})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := render.RenderRevision(render.RevisionInput{
			Revision: rev,
			Release:  rel,
		}); (err == nil) != (c.want == "") {
			t.Errorf("%s: the charts say: %v", c.reason, err)
		}
	}
}

// TestCheckCNISelections: the chart of the CNI plugin has files of its own.
func TestCheckCNISelections(t *testing.T) {
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		cni := &v1.IstioCNI{Spec: v1.IstioCNISpec{
			Version: v1.Version(version), Values: &v1.Values{Raw: []byte(`{"global":{"platform":"eks"}}`)},
		}}
		cni.Default()
		problems, err := render.CheckCNI(rel, cni.Spec, render.Source{})
		if err != nil {
			t.Fatal(err)
		}
		_, err = render.CNI(render.CNIInput{CNI: cni, Release: rel})
		if (err != nil) != (len(problems) == 1) {
			t.Errorf("%s: %v, and the charts say: %v", version, problems, err)
		}
	}
}

// TestWithoutEffect: what is set and is overruled, or meant for somebody else, is a warning.
func TestWithoutEffect(t *testing.T) {
	const revision = `spec.values.revision: is "canary" and has no effect: the revision is %s, which the name of the ` +
		`resource and its update strategy decide; leave it out`
	const byDefault = `spec.values.defaultRevision: is "canary" and has no effect: a revision or an IstioRevisionTag ` +
		`is the default one if its name is default; leave it out`
	const flux = "spec.values.global.meshID: has the variable ${mesh}, which Flux does not replace: what is rendered " +
		"is marked as not for its substitution, since the " +
		`charts have texts of this form themselves. If Flux shall replace it, set the option flux-substitute to ` +
		`"true"; if it is meant literally, to "false"`
	based := &v1.IstioUpdateStrategy{Type: v1.UpdateStrategyRevisionBased}
	for _, c := range []struct {
		reason, name, values string
		strategy             *v1.IstioUpdateStrategy
		from                 render.Source
		want                 string
	}{
		{
			"another revision", "default", `{"revision":"canary"}`, nil,
			render.Source{},
			fmt.Sprintf(revision, "default"),
		},
		{
			"another one of an upgrade by revisions", "canary", `{"revision":"canary"}`, based,
			render.Source{},
			fmt.Sprintf(revision, "canary-v1-28-3"),
		},
		{"the same", "canary", `{"revision":"canary"}`, nil, render.Source{}, ""},
		{"how the charts call the default one", "default", `{"revision":""}`, nil, render.Source{}, ""},
		{"another default revision", "default", `{"defaultRevision":"canary"}`, nil, render.Source{}, byDefault},
		{
			"another one of a revision that is none", "canary", `{"defaultRevision":"canary"}`, nil,
			render.Source{},
			byDefault,
		},
		{"the same default revision", "default", `{"defaultRevision":"default"}`, nil, render.Source{}, ""},
		{"a variable", "default", `{"global":{"meshID":"${mesh}"}}`, nil, render.Source{}, flux},
		{
			"a variable, and Flux replaces it", "default", `{"global":{"meshID":"${mesh}"}}`, nil,
			render.Source{FluxSubstitute: "true"},
			"",
		},
		{
			"a variable that is meant literally", "default", `{"global":{"meshID":"${mesh}"}}`, nil,
			render.Source{FluxSubstitute: "false"},
			"",
		},
	} {
		rel, err := release.Bundled().Resolve("v1.28.3", nil)
		if err != nil {
			t.Fatal(err)
		}
		istio := &v1.Istio{Spec: v1.IstioSpec{
			Version: "v1.28.3", UpdateStrategy: c.strategy,
			Values: &v1.Values{Raw: []byte(c.values)},
		}}
		istio.Name = c.name
		istio.Default()
		problems, err := render.CheckIstio(rel, istio, c.from)
		if err != nil {
			t.Fatal(err)
		}
		var have strings.Builder
		for _, p := range problems {
			if !p.Warning {
				t.Errorf("%s: an error: %s", c.reason, p)
			}
			have.WriteString(p.String())
		}
		if diff := cmp.Diff(c.want, have.String()); diff != "" {
			t.Errorf("%s: -want +have:\n%s", c.reason, diff)
		}
	}
}
