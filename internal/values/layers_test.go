package values_test

import (
	"encoding/json"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// parse reads values as YAML; "" is nil.
func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	var v map[string]any
	if err := yaml.Unmarshal([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMerge(t *testing.T) {
	cases := map[string]struct {
		reason string
		layers []string
		want   string
	}{
		"nothing":    {"no layers are no values, and a map to write into all the same", nil, "{}"},
		"nil layers": {"a layer may be nil", []string{"", "a: 1", ""}, "a: 1"},
		"later wins": {"the last one has the last word", []string{"a: 1", "a: 2", "a: 3"}, "a: 3"},
		"maps merge": {
			"at every depth", []string{"a: {b: {c: 1, d: 1}}", "a: {b: {d: 2, e: 2}}"}, "a: {b: {c: 1, d: 2, e: 2}}",
		},
		"lists replace":  {"Helm does not merge lists", []string{"a: [1, 2, 3]", "a: [4]"}, "a: [4]"},
		"empty list":     {"is a value", []string{"a: [1]", "a: []"}, "a: []"},
		"empty map":      {"adds nothing, takes nothing away", []string{"a: {b: 1}", "a: {}"}, "a: {b: 1}"},
		"null stays":     {"Helm takes it as: without the chart's default", []string{"a: 1", "a: null"}, "a: null"},
		"null over map":  {"removes all of it", []string{"a: {b: 1}", "a: null"}, "a: null"},
		"map over null":  {"comes back", []string{"a: null", "a: {b: 1}"}, "a: {b: 1}"},
		"null in a map":  {"stays where it is", []string{"a: {b: 1, c: 1}", "a: {b: null}"}, "a: {b: null, c: 1}"},
		"scalar on map":  {"kinds need not agree", []string{"a: {b: 1}", "a: text"}, "a: text"},
		"map on scalar":  {"kinds need not agree", []string{"a: text", "a: {b: 1}"}, "a: {b: 1}"},
		"dots in a name": {"a key is a key, not a path", []string{"a: {b: 1}", "a.b: 2"}, "{a: {b: 1}, a.b: 2}"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var layers []map[string]any
			for _, l := range tc.layers {
				layers = append(layers, parse(t, l))
			}
			if diff := cmp.Diff(parse(t, tc.want), values.Merge(layers...)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestMergeProperties holds for random layers what callers rely on without thinking of it.
func TestMergeProperties(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 0))
		a, b, c := randomMap(rng, 4), randomMap(rng, 4), randomMap(rng, 4)
		before := encode(t, a, b, c)
		merged := values.Merge(a, b, c)
		if diff := cmp.Diff(before, encode(t, a, b, c)); diff != "" {
			t.Fatalf("seed %d: merging must not change the layers (-before +after)\n%s", seed, diff)
		}
		if diff := cmp.Diff(merged, values.Merge(values.Merge(a, b), c)); diff != "" {
			t.Fatalf("seed %d: layers may be merged in steps (-at once +in steps)\n%s", seed, diff)
		}
		if diff := cmp.Diff(merged, values.Merge(merged, merged)); diff != "" {
			t.Fatalf("seed %d: a layer on itself changes nothing\n%s", seed, diff)
		}
		scribble(merged)
		if diff := cmp.Diff(before, encode(t, a, b, c)); diff != "" {
			t.Fatalf("seed %d: the result must share nothing with the layers (-before +after)\n%s", seed, diff)
		}
	}
}

func randomMap(rng *rand.Rand, depth int) map[string]any {
	m := map[string]any{}
	for range rng.IntN(4) {
		m[string(rune('a'+rng.IntN(4)))] = randomValue(rng, depth-1)
	}
	return m
}

func randomValue(rng *rand.Rand, depth int) any {
	kinds := 6
	if depth <= 0 {
		kinds = 4
	}
	switch rng.IntN(kinds) {
	case 0:
		return nil
	case 1:
		return rng.IntN(2) == 0
	case 2:
		return float64(rng.IntN(3))
	case 3:
		return strings.Repeat("x", rng.IntN(3))
	case 4:
		list := make([]any, rng.IntN(3))
		for i := range list {
			list[i] = randomValue(rng, depth-1)
		}
		return list
	default:
		return randomMap(rng, depth)
	}
}

// scribble changes everything that can be changed in a value.
func scribble(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Collect(maps.Keys(v)) {
			scribble(v[k])
			v[k] = "scribbled"
		}
		v["new"] = true
	case []any:
		for i := range v {
			scribble(v[i])
			v[i] = "scribbled"
		}
	}
}

func encode(t *testing.T, v ...any) string {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestAccess(t *testing.T) {
	v := parse(t, "a: {b: {c: text, d: true, e: null}, f: 1}")
	cases := map[string]struct {
		reason string
		path   []string
		value  any
		found  bool
		text   string
		truth  bool
	}{
		"text":          {"a value at a path", []string{"a", "b", "c"}, "text", true, "text", false},
		"boolean":       {"a boolean is not its text", []string{"a", "b", "d"}, true, true, "", true},
		"null":          {"null is there", []string{"a", "b", "e"}, nil, true, "", false},
		"not there":     {"no such key", []string{"a", "x"}, nil, false, "", false},
		"past a scalar": {"a scalar has nothing below it", []string{"a", "f", "g"}, nil, false, "", false},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			value, found := values.Get(v, tc.path...)
			got := []any{value, found, values.String(v, tc.path...), values.Bool(v, tc.path...)}
			if diff := cmp.Diff([]any{tc.value, tc.found, tc.text, tc.truth}, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestWithMeshConfig(t *testing.T) {
	cases := map[string]struct {
		reason           string
		user, meshConfig string
		want             string
		err              string
	}{
		"none": {
			reason: "without spec.meshConfig the values are what they were",
			user:   "pilot: {traceSampling: 1}", want: "pilot: {traceSampling: 1}",
		},
		"only spec.meshConfig": {
			reason:     "goes below values.meshConfig, beside the other values",
			user:       "pilot: {traceSampling: 1}",
			meshConfig: "accessLogFile: /dev/stdout",
			want:       "{pilot: {traceSampling: 1}, meshConfig: {accessLogFile: /dev/stdout}}",
		},
		"no values at all": {
			reason:     "spec.values may be absent",
			meshConfig: "accessLogFile: /dev/stdout",
			want:       "meshConfig: {accessLogFile: /dev/stdout}",
		},
		"both": {
			reason:     "different settings go together, at every depth",
			user:       "meshConfig: {enableTracing: true, defaultConfig: {concurrency: 1}}",
			meshConfig: "{accessLogFile: /dev/stdout, defaultConfig: {discoveryAddress: x}}",
			want: "meshConfig: {enableTracing: true, accessLogFile: /dev/stdout, defaultConfig: {concurrency: 1, " +
				"discoveryAddress: x}}",
		},
		"the same twice": {
			reason:     "equal values do not contradict each other",
			user:       "meshConfig: {a: 1, l: [1, {b: 2}]}",
			meshConfig: "{a: 1, l: [1, {b: 2}]}",
			want:       "meshConfig: {a: 1, l: [1, {b: 2}]}",
		},
		"conflict": {
			reason:     "neither place is above the other",
			user:       "meshConfig: {accessLogFile: /dev/stderr}",
			meshConfig: "accessLogFile: /dev/stdout",
			err: `spec.meshConfig.accessLogFile is "/dev/stdout" and spec.values.meshConfig.accessLogFile is ` +
				`"/dev/stderr"; set it in one place only`,
		},
		"conflict deep down": {
			reason:     "the path goes all the way",
			user:       "meshConfig: {defaultConfig: {proxyMetadata: {A: x}}}",
			meshConfig: "defaultConfig: {proxyMetadata: {A: z}}",
			err: `spec.meshConfig.defaultConfig.proxyMetadata.A is "z" and ` +
				`spec.values.meshConfig.defaultConfig.proxyMetadata.A is "x"; set it in one place only`,
		},
		"lists are scalars here": {
			reason:     "two lists cannot be merged, so different ones contradict each other",
			user:       "meshConfig: {l: [1]}",
			meshConfig: "l: [2]",
			err:        "spec.meshConfig.l is [2] and spec.values.meshConfig.l is [1]; set it in one place only",
		},
		"null against a value": {
			reason:     "to remove a default and to set a value are two things",
			user:       "meshConfig: {a: null}",
			meshConfig: "a: 1",
			err:        "spec.meshConfig.a is 1 and spec.values.meshConfig.a is null; set it in one place only",
		},
		"null against all": {
			reason:     "values.meshConfig: null must not take spec.meshConfig away without a word",
			user:       "meshConfig: null",
			meshConfig: "a: 1",
			err:        "spec.meshConfig is {\"a\":1} and spec.values.meshConfig is null; set it in one place only",
		},
		"first of several": {
			reason:     "the same trouble gives the same message: the first in the order of names",
			user:       "meshConfig: {a: 1, b: 1, c: 1}",
			meshConfig: "{c: 2, b: 2, a: 2}",
			err:        "spec.meshConfig.a is 2 and spec.values.meshConfig.a is 1; set it in one place only",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := values.WithMeshConfig(parse(t, tc.user), parse(t, tc.meshConfig))
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tc.err, message); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(parse(t, tc.want), got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// charts are the files a release has in its charts, as <chart>/<file>.
type charts []string

func (c charts) HasChartFile(chart, name string) bool { return slices.Contains(c, chart+"/"+name) }
func (c charts) HasChart(name string) bool            { return c.HasChartFile(name, "Chart.yaml") }

func (c charts) ChartFiles(chart, prefix string) []string {
	var out []string
	for _, file := range c {
		if name, ok := strings.CutPrefix(file, chart+"/"); ok && strings.HasPrefix(name, prefix) {
			out = append(out, name)
		}
	}
	return out
}

var (
	// v123 merges no profiles itself.
	v123 = charts{
		"istiod/Chart.yaml", "istiod-remote/Chart.yaml", "istiod/files/profile-ambient.yaml",
		"istiod/files/profile-demo.yaml", "istiod/files/profile-openshift.yaml",
	}
	// v124 and later know platforms apart from profiles.
	v124 = charts{
		"istiod/Chart.yaml", "istiod/files/profile-ambient.yaml", "istiod/files/profile-remote.yaml",
		"istiod/files/profile-demo.yaml", "istiod/files/profile-platform-openshift.yaml",
		"istiod/files/profile-platform-k3d.yaml",
	}
)

// TestChartsOfReleases keeps the two samples honest.
func TestChartsOfReleases(t *testing.T) {
	for version, sample := range map[string]charts{"v1.23.2": v123, "v1.24.0": v124} {
		r, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range slices.Concat(v123, v124) {
			chart, name, _ := strings.Cut(file, "/")
			if got, want := r.HasChartFile(chart, name), slices.Contains(sample, file); got != want {
				t.Errorf("%s has %s: the tests say %v, the release says %v", version, file, want, got)
			}
		}
	}
}

func TestProfile(t *testing.T) {
	cases := map[string]struct {
		reason  string
		profile string
		charts  charts
		want    string // "" is nil
		err     string
	}{
		"none": {reason: "no profile sets nothing", charts: v124},
		"default": {
			reason: "charts have no profile-default.yaml and fail when asked for it", profile: "default", charts: v124,
		},
		"empty": {reason: "empty is about components", profile: "empty", charts: v124},
		"in the chart": {
			reason: "the chart merges what it has a file for", profile: "ambient", charts: v124, want: "profile: ambient",
		},
		"remote": {
			reason: "a profile of the istiod chart", profile: "remote", charts: v124, want: "profile: remote",
		},
		"remote up to 1.23": {
			reason: "kept, so that RemoteChart can see it", profile: "remote", charts: v123, want: "profile: remote",
		},
		"openshift up to 1.23": {
			reason: "a profile like others", profile: "openshift", charts: v123, want: "profile: openshift",
		},
		"openshift": {
			reason: "a platform since 1.24", profile: "openshift", charts: v124, want: "global: {platform: openshift}",
		},
		"openshift-ambient": {
			reason: "both at once since 1.24", profile: "openshift-ambient", charts: v124,
			want: "{profile: ambient, global: {platform: openshift}}",
		},
		"not in this version": {
			reason: "said here, better than by a template", profile: "stable", charts: v123, err: noProfile("stable"),
		},
		"not in any version": {
			reason: "lists what there is", profile: "ambiant", charts: v124, err: noProfile("ambiant"),
		},
		"openshift without files": {
			reason: "charts that know nothing of OpenShift", profile: "openshift", charts: charts{"istiod/Chart.yaml"},
			err: noProfile("openshift"),
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := values.Profile(tc.profile, "istiod", tc.charts)
			message := ""
			if err != nil {
				message = err.Error()
			}
			if diff := cmp.Diff(tc.err, message); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(parse(t, tc.want), got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func noProfile(name string) string {
	return `the charts of this Istio version have no profile "` + name +
		`"; profiles are: ambient, default, demo, empty, openshift, ` +
		"openshift-ambient, preview, remote, stable"
}

func TestPlatform(t *testing.T) {
	cases := map[string]struct {
		reason   string
		platform string
		charts   charts
		user     string
		profile  string
		layer    string
	}{
		"unknown": {reason: "a pipeline does not guess", charts: v124},
		"openshift": {
			reason: "selects its profile as well", platform: "openshift", charts: v124, profile: "openshift",
			layer: "global: {platform: openshift}",
		},
		"with a file": {reason: "the chart knows it", platform: "k3d", charts: v124, layer: "global: {platform: k3d}"},
		"without a file": {
			reason: "since 1.24 a chart fails on a platform that it has no file for", platform: "aks", charts: v124,
		},
		"up to 1.23": {
			reason: "charts take any platform", platform: "aks", charts: v123, layer: "global: {platform: aks}",
		},
		"user's choice": {
			reason: "the user has the last word", platform: "k3d", charts: v124, user: "global: {platform: gke}",
		},
		"user's no choice": {
			reason: "an empty one is a choice, too", platform: "openshift", charts: v124, user: `global: {platform: ""}`,
			profile: "openshift",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			profile, layer := values.Platform(tc.platform, "istiod", tc.charts, parse(t, tc.user))
			if diff := cmp.Diff([]any{tc.profile, parse(t, tc.layer)}, []any{profile, layer}); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestRemoteChart(t *testing.T) {
	cases := map[string]struct {
		reason string
		charts charts
		user   string
		chart  string
		want   string
	}{
		"local":      {"not a remote control plane", v123, "profile: ambient", "istiod", "profile: ambient"},
		"since 1.24": {"the istiod chart knows the profile", v124, "profile: remote", "istiod", "profile: remote"},
		"up to 1.23": {
			"a chart of its own, which fails on the profile", v123, "{profile: remote, a: 1}", "istiod-remote", "a: 1",
		},
		"neither": {
			"charts without both: let the chart say so",
			charts{"istiod/Chart.yaml"},
			"profile: remote", "istiod",
			"profile: remote",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := parse(t, tc.user)
			chart, adjusted := values.RemoteChart(v, tc.charts)
			if diff := cmp.Diff([]any{tc.chart, parse(t, tc.want)}, []any{chart, adjusted}); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if !reflect.DeepEqual(v, parse(t, tc.user)) {
				t.Errorf("the caller's values were changed: %v", v)
			}
		})
	}
}

func TestEnforce(t *testing.T) {
	cases := map[string]struct {
		reason   string
		user     string
		revision string
		want     string
	}{
		"named": {"the name is the revision", "{}", "mesh1", "{revision: mesh1, global: {istioNamespace: ns}}"},
		"default": {
			"objects of the revision named default have no suffix", "{}", "default",
			`{revision: "", global: {istioNamespace: ns}}`,
		},
		"over the user's": {
			"these belong to the resource, not to its values", "{revision: x, global: {istioNamespace: x, hub: h}}", "mesh1",
			"{revision: mesh1, global: {istioNamespace: ns, hub: h}}",
		},
		"defaultRevision": {
			"the webhook for the default belongs to the default revision or tag", "defaultRevision: x", "mesh1",
			"{revision: mesh1, global: {istioNamespace: ns}}",
		},
		"global is null": {
			"what is no map is replaced", "global: null", "mesh1", "{revision: mesh1, global: {istioNamespace: ns}}",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			v := parse(t, tc.user)
			values.Enforce(v, tc.revision, "ns")
			if diff := cmp.Diff(parse(t, tc.want), v); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestMinimal is the promise of the API: what the IstioRevision of an Istio without a spec has as values.
func TestMinimal(t *testing.T) {
	v := values.Merge(values.Base("istio-system"))
	values.Enforce(v, "default-v1-28-3", "istio-system")
	want := parse(t, "{global: {configValidation: true, istioNamespace: istio-system}, revision: default-v1-28-3}")
	if diff := cmp.Diff(want, v); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestNeedsCNI(t *testing.T) {
	t.Parallel()
	type m = map[string]any
	enabled := func(v any) m { return m{"pilot": m{"cni": m{"enabled": v}}} }
	for _, c := range []struct {
		reason    string
		values    m
		openshift bool
		want      bool
	}{
		{"no values", nil, false, false},
		{"asked for", enabled(true), false, true},
		{"not wanted", enabled(false), false, false},
		{"OpenShift", nil, true, true},
		{"OpenShift, not wanted", enabled(false), true, false},
		{"OpenShift, left to the charts", enabled(nil), true, true},
		{"OpenShift by the values, which the controller wrote", m{"global": m{"platform": "openshift"}}, false, true},
		{"OpenShift by the profile", m{"profile": "openshift"}, false, true},
		{"OpenShift by the profile, in 1.23", m{"profile": "openshift-ambient"}, false, true},
		{"another platform", m{"global": m{"platform": "gke"}, "profile": "ambient"}, false, false},
	} {
		if got := values.NeedsCNI(c.values, c.openshift); got != c.want {
			t.Errorf("%s: %t, want %t", c.reason, got, c.want)
		}
	}
}
