package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestOneMessage: what a value cannot be is said once, where it is written, before the charts fail on it or somebody
// gets Pods that cannot start.
func TestOneMessage(t *testing.T) {
	rel, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	const (
		empty = ": is empty, and names of images need it: set it, or leave it out for that of the version"
		tag   = " cannot be the tag of an image: letters, digits, _, . and -, at most 128, the first a letter, a digit or _"
		flux  = ": has the variable ${k}, which Flux does not replace: what is rendered is marked as not for its " +
			"substitution, since the charts have texts of this form themselves. If Flux shall replace it, set the option " +
			"flux-substitute to \"true\"; if it is meant literally, to \"false\""
		own = `,"proxy":{"image":"a.example/proxyv2:1"}},"pilot":{"image":"a.example/pilot:1"}}`
	)
	for _, c := range []struct {
		reason, kind, values string
		want                 []string // behind spec.values.
	}{
		{"no tag", "Istio", `{"global":{"tag":""}}`, []string{"global.tag" + empty}},
		{"no tag, by null", "Istio", `{"global":{"tag":null}}`, []string{"global.tag" + empty}},
		{"no hub", "Istio", `{"global":{"hub":""}}`, []string{"global.hub" + empty}},
		{"no tag, for the plugin", "IstioCNI", `{"global":{"tag":""}}`, []string{"global.tag" + empty}},
		{"the plugin has one of its own", "IstioCNI", `{"global":{"tag":""},"cni":{"tag":"1.28.3"}}`, nil},
		{"an empty one of its own is none", "IstioCNI", `{"cni":{"tag":""}}`, nil},
		{"whole names of images need neither", "Istio", `{"global":{"hub":"","tag":null` + own, nil},
		{"a space", "Istio", `{"global":{"tag":"a b"}}`, []string{`global.tag: "a b"` + tag}},
		{"a space, for istiod", "Istio", `{"pilot":{"tag":"a b"}}`, []string{`pilot.tag: "a b"` + tag}},
		{"a space, for the plugin", "IstioCNI", `{"cni":{"tag":"a b"}}`, []string{`cni.tag: "a b"` + tag}},
		{"a digest", "Istio", `{"global":{"tag":"1.28.3@sha256:` + strings.Repeat("0a", 32) + `"}}`, nil},
		{"a hub with a port and a path", "Istio", `{"global":{"hub":"localhost:5000/istio/release"}}`, nil},
		{
			"a hub that ends with a slash", "Istio", `{"global":{"hub":"docker.io/istio/"}}`,
			[]string{`global.hub: "docker.io/istio/" cannot be in the name of an image`},
		},
		{
			"a hub with a space", "Istio", `{"global":{"hub":"docker.io istio"}}`,
			[]string{`global.hub: "docker.io istio" cannot be in the name of an image`},
		},
		{
			"an image with a space", "Istio", `{"global":{"proxy":{"image":"proxy v2"}}}`,
			[]string{`global.proxy.image: "proxy v2" cannot be in the name of an image`},
		},
		{"one tag", "Istio", `{"revisionTags":["a","b"]}`, nil},
		{
			"a tag twice", "Istio", `{"revisionTags":["a","b","a"]}`,
			[]string{`revisionTags[2]: the tag "a" is there twice, also in revisionTags[0]; leave one out`},
		},
		{
			"a profile in the plugin's values", "IstioCNI", `{"profile":"nope"}`,
			[]string{"profile: the profile has a field of its own: move this to spec.profile"},
		},
		{
			"one that there is", "IstioCNI", `{"profile":"ambient"}`,
			[]string{"profile: the profile has a field of its own: move this to spec.profile"},
		},
		{
			"a compatibility version there", "IstioCNI", `{"compatibilityVersion":"1.20"}`,
			[]string{"compatibilityVersion: unknown field in v1.28.3"},
		},
		{
			"a variable in a key", "Istio", `{"pilot":{"nodeSelector":{"${k}":"v"}}}`,
			[]string{"pilot.nodeSelector.${k}" + flux},
		},
		{
			"a variable in a key and its value", "Istio", `{"pilot":{"nodeSelector":{"${k}":"${v}"}}}`,
			[]string{"pilot.nodeSelector.${k}" + flux},
		},
	} {
		given := &v1.Values{Raw: []byte(c.values)}
		var problems []render.Problem
		if c.kind == "IstioCNI" {
			problems, err = render.CheckCNI(rel, v1.IstioCNISpec{Values: given}, render.Source{})
		} else {
			istio := &v1.Istio{Spec: v1.IstioSpec{Values: given}}
			istio.Name = "default"
			problems, err = render.CheckIstio(rel, istio, render.Source{})
		}
		if err != nil {
			t.Fatal(err)
		}
		var got, want []string
		for _, p := range problems {
			got = append(got, p.String())
			if p.Warning != strings.Contains(p.Message, "Flux") {
				t.Errorf("%s: a warning: %t: %s", c.reason, p.Warning, p)
			}
		}
		for _, w := range c.want {
			want = append(want, "spec.values."+w)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
