package resource_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

func TestSet(t *testing.T) {
	cases := map[string]struct{ reason, name, value, want string }{
		"any text":   {"free text", "platform", "openshift", ""},
		"one of":     {"a possible value", "crds", "include", ""},
		"not one of": {"lists what is possible", "crds", "yes", `option crds is "yes"; possible are: exclude, include`},
		"misspelled": {
			"suggests what was meant", "kube-versoin", "v1.34.0", `unknown option "kube-versoin"; did you mean kube-version?`,
		},
		"other style": {
			"separators are what people get wrong", "kubeVersion", "v1.34.0",
			`unknown option "kubeVersion"; did you mean kube-version?`,
		},
		"owners": {
			"several, with commas or spaces", "allow-removal",
			"Istio/default, IstioCNI/default IstioRevisionTag/prod", "",
		},
		"no kind": {
			"a name alone could be of anything", "allow-removal", "default",
			`option allow-removal: "default" is no resource; write its kind and its name, such as Istio/default`,
		},
		"a kind that is none": {
			"it would allow nothing", "allow-removal", "istio/default",
			`option allow-removal: "istio/default": possible kinds are: Istio, IstioCNI, IstioRevision, ` +
				`IstioRevisionTag`,
		},
		"unknown": {
			"lists what there is", "something-else", "",
			`unknown option "something-else"; options are: charts, kube-version, platform, crds, track, ` +
				`failure-policy, protect, clusters, strict, allow-removal, flux-substitute`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := resource.Settings{}
			err := o.Set(resource.AllOptions, tc.name, tc.value)
			if diff := cmp.Diff(tc.want, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if _, set := o[tc.name]; set != (err == nil) {
				t.Errorf("%s: an option is set if and only if there is no error: %v", tc.reason, o)
			}
		})
	}
}

// TestPrecedence lays all forms over each other: annotation, ConfigMap, flag, environment.
func TestPrecedence(t *testing.T) {
	annotations, results := resource.SettingsOf(object(t, "metadata: {annotations: {lateen.io/platform: annotation}}"))
	config, more := resource.SettingsOfConfig(resource.AllOptions, object(t, "data: {platform: config, charts: config}"))
	flags := resource.Settings{"platform": "flag", "charts": "flag", "kube-version": "v1.31.0"}
	environment, err := resource.SettingsOfEnvironment(resource.AllOptions, lookup(map[string]string{
		"LATEEN_PLATFORM": "env", "LATEEN_CHARTS": "env", "LATEEN_KUBE_VERSION": "v1.30.0", "LATEEN_CRDS": "include",
	}))
	if err != nil || len(results)+len(more) > 0 {
		t.Fatal(err, results, more)
	}
	want := resource.Settings{"platform": "annotation", "charts": "config", "kube-version": "v1.31.0", "crds": "include"}
	if diff := cmp.Diff(want, annotations.Over(config).Over(flags).Over(environment)); diff != "" {
		t.Errorf("the nearer to the resource, the higher the rank (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want, annotations.Over(config.Over(flags.Over(environment)))); diff != "" {
		t.Errorf("in whatever order they are laid together (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(resource.Settings{"platform": "annotation"}, annotations); diff != "" {
		t.Errorf("laying over changes neither of both (-want +got)\n%s", diff)
	}
}

// TestAddedUp: strict holds if anybody says so, and what may be removed adds up; no form takes it back.
func TestAddedUp(t *testing.T) {
	yes, no, nothing := resource.Settings{"strict": "true"}, resource.Settings{"strict": "false"}, resource.Settings{}
	for _, c := range []struct {
		high, low resource.Settings
		want      bool
	}{
		{yes, no, true},
		{no, yes, true},
		{nothing, yes, true},
		{yes, nothing, true},
		{no, nothing, false},
		{nothing, nothing, false},
	} {
		if got := c.high.Over(c.low).Strict(); got != c.want {
			t.Errorf("%v over %v: strict is %v, want %v", c.high, c.low, got, c.want)
		}
	}
	both := resource.Settings{"allow-removal": "Istio/a"}.Over(resource.Settings{
		"allow-removal": "Istio/b IstioCNI/default",
	})
	if diff := cmp.Diff([]string{"Istio/a", "Istio/b", "IstioCNI/default"},
		resource.Names(both["allow-removal"])); diff != "" {
		t.Errorf("allow-removal (-want +got)\n%s", diff)
	}
}

func lookup(env map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := env[name]; return v, ok }
}

func TestSettingsOfEnvironment(t *testing.T) {
	cases := map[string]struct {
		reason string
		env    map[string]string
		want   resource.Settings
		err    string
	}{
		"others": {
			"LATEEN_BIN and the like belong to somebody else",
			map[string]string{"LATEEN_BIN": "x", "PLATFORM": "y"},
			resource.Settings{},
			"",
		},
		"empty": {"set to nothing is not set", map[string]string{"LATEEN_CRDS": ""}, resource.Settings{}, ""},
		"dashes": {
			"are underscores",
			map[string]string{"LATEEN_FAILURE_POLICY": "chart"},
			resource.Settings{"failure-policy": "chart"},
			"",
		},
		"broken": {
			"says which variable",
			map[string]string{"LATEEN_TRACK": "1"},
			nil,
			`environment variable LATEEN_TRACK: option track is "1"; possible are: false, true`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := resource.SettingsOfEnvironment(resource.AllOptions, lookup(tc.env))
			if diff := cmp.Diff(tc.err, message(err)); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// found is a result in short: severity, field and message.
type found struct {
	severity finding.Severity
	field    string
	message  string
}

func short(results finding.List) []found {
	var out []found
	for _, r := range results {
		f := found{severity: r.Severity, message: r.Message}
		if r.Field != "" {
			f.field = r.Field
		}
		out = append(out, f)
	}
	return out
}

func diffResults(want []found, got finding.List) string {
	return cmp.Diff(want, short(got), cmp.AllowUnexported(found{}))
}

func TestSettingsOf(t *testing.T) {
	cases := map[string]struct {
		reason      string
		annotations string
		want        resource.Settings
		results     []found
	}{
		"none": {"no annotations", "{}", resource.Settings{}, nil},
		"others": {
			"only lateen.io/ is ours", "{example.com/crds: include, lateen.io.example.com/crds: x}", resource.Settings{}, nil,
		},
		"reserved": {
			"what Lateen writes itself is no option",
			"{lateen.io/owner: a, lateen.io/rendered-by: a, lateen.io/version: a, lateen.io/chart-digest: a}",
			resource.Settings{},
			nil,
		},
		"both": {
			"kube-version is an option, and recorded under the same name", "{lateen.io/kube-version: v1.30.0}",
			resource.Settings{"kube-version": "v1.30.0"},
			nil,
		},
		"unquoted": {
			"a boolean that the API server would reject is clear enough in a file", "{lateen.io/track: true}",
			resource.Settings{"track": "true"},
			nil,
		},
		"broken": {
			"one result for each, in the order of names",
			"{lateen.io/trak: 'true', lateen.io/crds: all, lateen.io/platform: gke}",
			resource.Settings{"platform": "gke"},
			[]found{
				{
					finding.Error, "metadata.annotations.lateen.io/crds",
					`annotation lateen.io/crds: option crds is "all"; possible are: exclude, include`,
				},
				{
					finding.Error, "metadata.annotations.lateen.io/trak",
					`annotation lateen.io/trak: unknown option "trak"; did you mean track?`,
				},
			},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, results := resource.SettingsOf(object(t, "kind: Istio\nmetadata: {name: a, annotations: "+tc.annotations+"}"))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := diffResults(tc.results, results); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSettingsOfConfig(t *testing.T) {
	cases := map[string]struct {
		reason  string
		config  string
		want    resource.Settings
		results []found
	}{
		"no data": {"nothing is set", "kind: ConfigMap", resource.Settings{}, nil},
		"data": {
			"kpt's configMap", "data: {crds: include, track: 'true'}",
			resource.Settings{"crds": "include", "track": "true"},
			nil,
		},
		"broken": {
			"says where", "data: {crd: include}",
			resource.Settings{},
			[]found{{finding.Error, "data.crd", `functionConfig: unknown option "crd"; did you mean crds?`}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, results := resource.SettingsOfConfig(resource.AllOptions, object(t, tc.config))
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
			if diff := diffResults(tc.results, results); diff != "" {
				t.Errorf("%s\n(-want +got)\n%s", tc.reason, diff)
			}
		})
	}
}

// TestNearOptions: what is nearly an option is an error in annotations and in the environment; what is somebody else's
// is left alone.
func TestNearOptions(t *testing.T) {
	for key, want := range map[string]string{
		"latteen.io/protect":       "lateen.io/protect",
		"lateen/protect":           "lateen.io/protect",
		"lateen.oi/protect":        "lateen.io/protect",
		"Lateen.io/protect":        "lateen.io/protect",
		"latteen.io/protec":        "lateen.io/protect",
		"leteen.io/allow_removal":  "lateen.io/allow-removal",
		"lateen.io/protect":        "",
		"example.com/protect":      "",
		"latency.io/protect":       "",
		"kustomize.io/track":       "",
		"latteen.io/something":     "",
		"protect":                  "",
		"sailoperator.io/ignore":   "",
		"argocd.argoproj.io/crds":  "",
		"later.example.com/strict": "",
	} {
		_, results := resource.SettingsOf(object(t, "metadata: {annotations: {"+key+": 'true'}}"))
		got := ""
		if len(results) > 0 {
			got = results[0].Message
		}
		if want != "" {
			want = "annotation " + key + ": no option has this prefix; did you mean " + want + "?"
		}
		if got != want || len(results) > 0 && results[0].Severity != finding.Error {
			t.Errorf("%s: got %q, want %q", key, got, want)
		}
	}
	for variable, want := range map[string]string{
		"LATEEN_PROTEC=true":      "LATEEN_PROTECT",
		"LATEEN_STRCIT=":          "LATEEN_STRICT",
		"LATEEN_ALOW_REMOVAL=a/b": "LATEEN_ALLOW_REMOVAL",
		"LATEEN_KUBEVERSION=1.34": "LATEEN_KUBE_VERSION",
		"LATEEN_PROTECT=true":     "", "LATEEN_BIN=/bin": "", "LATEEN_HELM=helm": "", "LATEEN_KUSTOMIZE=kustomize": "",
		"LATEEN_SEED=2": "", "LATEEN_SOAK=1": "", "LATEEN_STEADY=30s": "", "LATEEN_OWN_NETWORK=1": "",
		"LATEEN_VERSION=v1":            "",
		"LATEEN_ISTIO_VERSION=v1.28.3": "", "LATEEN_TEST_CLUSTER_HELPER=1": "", "LATEEN_TEST_DEV=1": "", "PROTEC=true": "",
	} {
		if want != "" {
			name, _, _ := strings.Cut(variable, "=")
			want = "environment variable " + name + ": no option has this name; did you mean " + want + "?"
		}
		if got := message(resource.CheckEnvironment(resource.AllOptions, []string{"PATH=/bin", variable})); got != want {
			t.Errorf("%s: got %q, want %q", variable, got, want)
		}
	}
}

// TestOptions: each setting comes to its field, and what is not set is the zero value.
func TestOptions(t *testing.T) {
	all := resource.Settings{}
	for name, value := range map[string]string{
		"charts": "dir", "kube-version": "v1.31.0", "platform": "gke", "crds": "include", "track": "true",
		"failure-policy": "chart",
		"protect":        "teardown", "clusters": "a, b", "strict": "true", "allow-removal": "Istio/a,IstioCNI/b",
		"flux-substitute": "false",
	} {
		if err := all.Set(resource.AllOptions, name, value); err != nil {
			t.Fatal(err)
		}
	}
	if len(all) != len(resource.AllOptions) {
		t.Errorf("%d of %d options are in the test", len(all), len(resource.AllOptions))
	}
	want := resource.Options{
		Charts: "dir", KubeVersion: "v1.31.0", Platform: "gke", CRDs: resource.Included, Track: true,
		ChartFailurePolicy: true,
		Protect:            resource.ProtectNone, Clusters: []string{"a", "b"}, Strict: true,
		AllowRemoval:   []string{"Istio/a", "IstioCNI/b"},
		FluxSubstitute: resource.SubstituteNo,
	}
	if diff := cmp.Diff(want, all.Options()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := (resource.Settings{}).Options(); got.Track || got.Strict || got.ChartFailurePolicy ||
		got.CRDs != resource.Undecided ||
		got.FluxSubstitute != resource.SubstituteUnknown || len(got.Clusters)+len(got.AllowRemoval) > 0 {
		t.Errorf("without settings: %+v", got)
	}
}

// TestUpon: settings win over options that a program has as data, one by one.
func TestUpon(t *testing.T) {
	lower := resource.Options{
		Charts: "lower", Brought: &release.Directory{}, KubeVersion: "v1.30.0", Platform: "gke", CRDs: resource.Included,
		Track: true, ChartFailurePolicy: true, Protect: resource.ProtectAll, Clusters: []string{"a"}, Strict: true,
		AllowRemoval: []string{"Istio/a"}, FluxSubstitute: resource.SubstituteYes,
	}
	without := func(change func(*resource.Options)) resource.Options {
		out := lower
		change(&out)
		return out
	}
	cases := map[string]struct {
		reason   string
		settings resource.Settings
		want     resource.Options
	}{
		"nothing": {"what says nothing changes nothing", nil, lower},
		"charts": {
			"a directory that is named takes the place of charts that were opened",
			resource.Settings{"charts": "dir"},
			without(func(o *resource.Options) { o.Charts, o.Brought = "dir", nil }),
		},
		"kube-version": {
			"wins",
			resource.Settings{"kube-version": "v1.31.0"},
			without(func(o *resource.Options) { o.KubeVersion = "v1.31.0" }),
		},
		"platform": {
			"set to nothing is set",
			resource.Settings{"platform": ""},
			without(func(o *resource.Options) { o.Platform = "" }),
		},
		"decisions": {
			"no is an answer",
			resource.Settings{
				"crds": "exclude", "track": "false", "failure-policy": "omit", "protect": "teardown", "flux-substitute": "false",
			},
			without(func(o *resource.Options) {
				o.CRDs, o.Track, o.ChartFailurePolicy, o.Protect = resource.Excluded, false, false, resource.ProtectNone
				o.FluxSubstitute = resource.SubstituteNo
			}),
		},
		"clusters": {
			"a list takes the place of the other",
			resource.Settings{"clusters": "b,c"},
			without(func(o *resource.Options) { o.Clusters = []string{"b", "c"} }),
		},
		"strict": {"nobody takes it back", resource.Settings{"strict": "false"}, lower},
		"allow-removal": {
			"what either allows",
			resource.Settings{"allow-removal": "Istio/b"},
			without(func(o *resource.Options) { o.AllowRemoval = []string{"Istio/b", "Istio/a"} }),
		},
	}
	for name, tc := range cases {
		got := tc.settings.Upon(lower)
		if (got.Brought == lower.Brought) != (tc.want.Brought == lower.Brought) {
			t.Errorf("%s: %s: the charts that were opened", name, tc.reason)
		}
		got.Brought, tc.want.Brought = nil, nil
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s: %s (-want +got)\n%s", name, tc.reason, diff)
		}
	}
}
