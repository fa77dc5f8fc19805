package render_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestRender: what is found at each stage of a rendering comes out of the one door, in order, with its field; an error
// ends it.
func TestRender(t *testing.T) {
	t.Parallel()
	istio := func(version, profile, values string) *v1.Istio {
		i := &v1.Istio{Spec: v1.IstioSpec{Version: v1.Version(version), Profile: v1.Profile(profile)}}
		if i.Name = "default"; values != "" {
			i.Spec.Values = &v1.Values{Raw: []byte(values)}
		}
		i.Default()
		return i
	}
	const pilot, warning, info = `{"pilot":{"env":{"PILOT_TRACE_SAMPLING":"2"}}}`, finding.Warning, finding.Info
	type found struct {
		Severity finding.Severity
		Field    string
		Current  any
		Suggests any
	}
	for _, c := range []struct {
		reason   string
		in       render.Input
		want     []found
		rendered bool
	}{
		{"a version of Kubernetes that is none", render.Input{
			Istio: istio("v1.28.3", "", ""), Options: resource.Options{KubeVersion: "x"},
		}, []found{{finding.Error, "", nil, nil}}, false},
		{
			"a version that is not at hand",
			render.Input{Istio: istio("v1.28.33", "", "")},
			[]found{{finding.Error, "spec.version", "v1.28.33", "v1.28.3"}},
			false,
		},
		{
			"an alias that would go down",
			render.Input{Istio: istio("v1.28-latest", "", ""), Installed: "v1.28.10"},
			[]found{{finding.Error, "spec.version", "v1.28-latest", "v1.28.3"}},
			false,
		},
		{"a value that there is not", render.Input{Istio: istio("v1.28.3", "", `{"pilot":{"imag":"x"}}`)}, []found{
			{finding.Error, "spec.values.pilot.imag", nil, "image"},
		}, false},
		{"a value of a wrong name beside a platform that is none", render.Input{
			Istio: istio("v1.28.3", "", `{"pilto":{}}`), Options: resource.Options{Platform: "openshfit"},
		}, []found{{warning, "", nil, nil}, {finding.Error, "spec.values.pilto", nil, "pilot"}}, false},
		{
			"a value that turns out to have no effect",
			render.Input{Istio: istio("v1.28.3", "", pilot)},
			[]found{{warning, "spec.values.pilot.env.PILOT_TRACE_SAMPLING", nil, nil}},
			true,
		},
		{
			"a version without security fixes",
			render.Input{Istio: istio("v1.24.2", "", "")},
			[]found{{info, "spec.version", "v1.24.2", "v1.28.3"}},
			true,
		},
		{"nothing is wrong", render.Input{Istio: istio("v1.28.3", "", "")}, nil, true},
	} {
		out, list := render.Render(c.in)
		var got []found
		for _, f := range list {
			got = append(got, found{f.Severity, f.Field, f.Current, f.Suggestion})
			if f.Ref != (finding.Ref{}) || f.Message == "" {
				t.Errorf("%s: it names a resource, or says nothing: %+v", c.reason, f)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s\n%v", c.reason, diff, list)
		}
		if rendered := len(out.Objects) > 0; rendered != c.rendered || rendered != (out.Planned != nil) {
			t.Errorf("%s: %d objects, revision %v", c.reason, len(out.Objects), out.Planned)
		}
	}
}

// TestSettle: a resource that somebody else renders is planned like any other, whatever is wrong with its values.
func TestSettle(t *testing.T) {
	t.Parallel()
	rev := &v1.IstioRevision{Spec: v1.IstioRevisionSpec{Version: "v1.28.3", Namespace: "istio-system"}}
	rev.Name, rev.Spec.Values = "canary", &v1.Values{Raw: []byte(`{"pilto":{}}`)}
	settled, err := render.Settle(render.Input{Revision: rev})
	if err != nil {
		t.Fatal(err)
	}
	prepared, found := render.Prepare(render.Input{Revision: rev})
	if !found.HasError() || prepared.Planned != nil {
		t.Errorf("who renders it checks it: %v", found)
	}
	rev.Spec.Values = nil
	if prepared, found = render.Prepare(render.Input{Revision: rev}); found.HasError() {
		t.Fatal(found)
	}
	if diff := cmp.Diff(prepared.Release, settled.Release, cmpopts.IgnoreUnexported(prepared.Release)); diff != "" {
		t.Errorf("-prepared +settled:\n%s", diff)
	}
	if v := string(settled.Planned.Spec.Values.Raw); !strings.Contains(v, `"revision":"canary"`) {
		t.Errorf("the values are not complete: %s", v)
	}
	rev.Spec.Version = "v9.9.9"
	if _, err := render.Settle(render.Input{Revision: rev}); err == nil {
		t.Error("there are no charts of the version")
	}
}
