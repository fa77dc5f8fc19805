package render_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestCheck: what a user wrote is held against the schema of the very version; against that of another version, an
// unknown field is no more than a warning.
func TestCheck(t *testing.T) {
	bundled, err := release.Bundled().Resolve("v1.28.3", nil)
	if err != nil {
		t.Fatal(err)
	}
	own := bundled
	own.Version = "v1.28.99" // the nearest schema is that of v1.28.3
	v := func(text string) *v1.Values { return &v1.Values{Raw: []byte(text)} }
	istio := func(values, mesh string) func(release.Release) ([]render.Problem, error) {
		return func(rel release.Release) ([]render.Problem, error) {
			istio := &v1.Istio{Spec: v1.IstioSpec{Values: v(values), MeshConfig: v(mesh)}}
			istio.Name = "default"
			return render.CheckIstio(rel, istio, render.Source{})
		}
	}
	type said struct {
		Text    string
		Warning bool
	}
	for _, c := range []struct {
		reason string
		rel    release.Release
		check  func(release.Release) ([]render.Problem, error)
		want   []said
	}{
		{"nothing to say", bundled, istio(`{"pilot":{"traceSampling":1}}`, `{"accessLogFile":"/dev/stdout"}`), nil},
		{
			"both fields, in their order", bundled, istio(`{"pilto":{}}`, `{"accessLogFil":"x"}`),
			[]said{
				{"spec.values.pilto: unknown field in v1.28.3; did you mean pilot?", false},
				{"spec.meshConfig.accessLogFil: unknown field in v1.28.3; did you mean accessLogFile?", false},
			},
		},
		{
			"charts of the user may have more fields, of the same types", own, istio(`{"pilto":{},"pilot":[]}`, `{}`),
			[]said{
				{"spec.values.pilot: must be an object, is a list", false},
				{"spec.values.pilto: unknown field in v1.28.3; did you mean pilot?", true},
			},
		},
		{
			"values that are none", bundled, istio(`[]`, `{}`),
			[]said{{"spec.values: json: cannot unmarshal array into Go value of type map[string]interface {}", false}},
		},
		{
			"an IstioRevision", bundled, func(rel release.Release) ([]render.Problem, error) {
				rev := &v1.IstioRevision{Spec: v1.IstioRevisionSpec{Values: v(`{"pilto":{}}`)}}
				rev.Name = "default"
				return render.CheckRevision(rel, rev, render.Source{})
			}, []said{{"spec.values.pilto: unknown field in v1.28.3; did you mean pilot?", false}},
		},
		{
			"an IstioCNI has values of its own", bundled, func(rel release.Release) ([]render.Problem, error) {
				return render.CheckCNI(rel, v1.IstioCNISpec{Values: v(`{"cni":{"logLevel":"info"},"pilot":{}}`)},
					render.Source{})
			}, []said{
				{"spec.values.pilot: istiod is not part of the CNI plugin: move this to spec.values.pilot of an Istio", false},
			},
		},
	} {
		problems, err := c.check(c.rel)
		if err != nil {
			t.Errorf("%s: %v", c.reason, err)
		}
		var got []said
		for _, p := range problems {
			got = append(got, said{p.String(), p.Warning})
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestMeant: a hint names only versions that can be had.
func TestMeant(t *testing.T) {
	unknown := &release.UnknownVersionError{
		Bundled: []string{"v1.24.0", "v1.24.2", "v1.27.0", "v1.28.3"},
		Brought: []string{"v1.29.5", "v1.29.6", "v1.29.7-rc.0"},
	}
	for _, c := range []struct {
		reason  string
		version v1.Version
		err     error
		want    string
	}{
		{"another patch of a minor that is there", "v1.29.0", unknown, "v1.29.6"},
		{"however far it is by letters", "v1.24.19", unknown, "v1.24.2"},
		{"without the v", "1.28.3", unknown, "v1.28.3"},
		{"a minor alone", "v1.28", unknown, "v1.28.3"},
		{"an alias without the v", "1.27-latest", unknown, "v1.27.0"},
		{"digits swapped", "v1.82.3", unknown, "v1.28.3"},
		{"another minor is no misspelling", "v1.23.0", unknown, ""},
		{"nor is its alias", "v1.30-latest", unknown, ""},
		{"a misspelled alias", "v1-28-latest", unknown, "v1.28-latest"},
		{"nothing like it", "newest", unknown, ""},
		{"another error", "v1.29.0", errors.New("broken"), ""},
	} {
		if got := render.Meant(c.version, fmt.Errorf("resolving: %w", c.err)); got != c.want {
			t.Errorf("%s: %s: got %q, want %q", c.reason, c.version, got, c.want)
		}
	}
}

// TestQuantities: what the API server would refuse as an amount of a resource is an error where it is written, wherever
// the schema has one.
func TestQuantities(t *testing.T) {
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{
			"pilot.resources.requests.cpu", "pilot.resources.limits.memory", "global.proxy.resources.requests.cpu",
			"global.proxy_init.resources.limits.cpu", "global.defaultResources.requests.memory",
			"global.waypoint.resources.requests.memory", "cni.resources.requests.cpu",
		} {
			if strings.Contains(path, "waypoint") && rel.Before(1, 24) {
				continue // not in this version
			}
			for value, want := range map[string]string{
				"2": "", `"2"`: "", "0.5": "", `"128Mi"`: "", "null": "",
				`"100 m"`: `"100 m" is no quantity; write it like 500m, 2 or 128Mi`,
				`"1GB"`:   `"1GB" is no quantity; write it like 500m, 2 or 128Mi`,
				"-1":      `"-1" is negative; write it like 500m, 2 or 128Mi`,
			} {
				text := value
				keys := strings.Split(path, ".")
				for _, key := range slices.Backward(keys) {
					text = fmt.Sprintf(`{%q:%s}`, key, text)
				}
				given := &v1.Values{Raw: []byte(text)}
				istio := &v1.Istio{Spec: v1.IstioSpec{Values: given}}
				istio.Name = "default"
				var got []render.Problem
				if keys[0] == "cni" {
					got, err = render.CheckCNI(rel, v1.IstioCNISpec{Values: given}, render.Source{})
				} else {
					got, err = render.CheckIstio(rel, istio, render.Source{})
				}
				if err != nil {
					t.Fatal(err)
				}
				if want == "" && len(got) == 0 {
					continue
				}
				if len(got) != 1 || got[0].String() != "spec.values."+path+": "+want || got[0].Warning {
					t.Errorf("%s: %s: got %v, want %q", version, text, got, want)
				}
			}
		}
	}
}
