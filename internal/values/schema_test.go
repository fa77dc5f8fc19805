package values

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

const schemaDir = "../release/schemas"

// readSchema parses the committed schema of a version.
func readSchema(t testing.TB, version string) *Schema {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(schemaDir, version+".json"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := ParseSchema(data)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// schemaVersions lists the versions that have a schema.
func schemaVersions(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(schemaDir, "v*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no schemas in %s: %v", schemaDir, err)
	}
	var versions []string
	for _, file := range files {
		versions = append(versions, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	return versions
}

func TestSchemaCheck(t *testing.T) {
	at := func(path string, pointer ...string) Problem {
		if pointer == nil {
			pointer = strings.Split(path, ".")
		}
		return Problem{Path: path, Pointer: pointer}
	}
	says := func(p Problem, message string) Problem {
		p.Message = message
		return p
	}
	unknown := func(p Problem, message, suggestion string) Problem {
		p.Message, p.Suggestion, p.Unknown = message, suggestion, true
		return p
	}
	cases := map[string]struct {
		reason  string
		version string
		root    string
		values  string
		want    []Problem
	}{
		"right": {
			reason: "every kind of value that people write",
			values: `{global: {meshID: mesh1, multiCluster: {clusterName: c}, network: network1, tag: "1.28",
				waypoint: {nodeSelector: {kubernetes.io/os: linux}}},
				pilot: {env: {EXTERNAL_ISTIOD: "true"}, traceSampling: 1, rollingMaxSurge: 100%, rollingMaxUnavailable: 1,
				resources: {requests: {cpu: 0.5, memory: 1Gi}, limits: {cpu: 2}}, cni: {enabled: true}, tolerations: [{key: a,
				  tolerationSeconds: 3}]},
				meshConfig: {accessLogFile: /dev/stdout, defaultConfig: {proxyMetadata: {A: "1"}, concurrency: 2,
				  tracing: {zipkin: {address: "a:1"}}}}, revision: x}`,
		},
		"null": {
			reason: "null takes a default away, wherever it is",
			values: `{pilot: {env: null, tolerations: [null], resources: {limits: {cpu: null}}}, ` +
				`global: {proxy: {tracer: null}}, telemetry: null}`,
		},
		"misspelled": {
			reason: "the nearest name is proposed, and the version is named because another one may have the field",
			values: `{pilot: {traceSamplin: 1}}`,
			want: []Problem{unknown(at("spec.values.pilot.traceSamplin"),
				"unknown field in v1.28.3; did you mean traceSampling?", "traceSampling")},
		},
		"swapped letters": {
			reason: "two swapped letters are one error",
			values: `{pilot: {envv: {}}, golbal: {}}`,
			want: []Problem{
				unknown(at("spec.values.golbal"), "unknown field in v1.28.3; did you mean global?", "global"),
				unknown(at("spec.values.pilot.envv"), "unknown field in v1.28.3; did you mean env?", "env"),
			},
		},
		"case and separators": {
			reason: "these are not typing errors, so any number of them is forgiven",
			values: `{global: {MESHid: a, proxyInit: {}}}`,
			want: []Problem{
				unknown(at("spec.values.global.MESHid"), "unknown field in v1.28.3; did you mean meshID?", "meshID"),
				unknown(at("spec.values.global.proxyInit"), "unknown field in v1.28.3; did you mean proxy_init?", "proxy_init"),
			},
		},
		"without prefix": {
			reason: "helm install istiod takes these without the prefix pilot",
			values: `{autoscaleMin: 2, env: {}}`,
			want: []Problem{
				unknown(at("spec.values.autoscaleMin"), "unknown field in v1.28.3; did you mean pilot.autoscaleMin?",
					"pilot.autoscaleMin"),
				unknown(at("spec.values.env"), "unknown field in v1.28.3; did you mean pilot.env?", "pilot.env"),
			},
		},
		"nothing like it": {
			reason: "a wrong proposal is worse than none",
			values: `{pilot: {fluxCapacitor: 1, xy: 1}}`,
			want: []Problem{
				unknown(at("spec.values.pilot.fluxCapacitor"), "unknown field in v1.28.3", ""),
				unknown(at("spec.values.pilot.xy"), "unknown field in v1.28.3", ""),
			},
		},
		"not yet": {
			reason:  "each version has its own schema",
			version: "v1.23.2",
			values:  `{global: {waypoint: {}, networkPolicy: {}}}`,
			want: []Problem{
				unknown(at("spec.values.global.networkPolicy"), "unknown field in v1.23.2", ""),
				unknown(at("spec.values.global.waypoint"), "unknown field in v1.23.2", ""),
			},
		},
		"unquoted env": {
			reason: "the mistake that the user guide warns of, and its brothers",
			values: `{pilot: {env: {A: true, B: 15, C: 0.5, D: [x], E: {f: g}}}}`,
			want: []Problem{
				says(at("spec.values.pilot.env.A"), `must be a string, is a boolean (write "true" with quotes)`),
				says(at("spec.values.pilot.env.B"), `must be a string, is an integer (write "15" with quotes)`),
				says(at("spec.values.pilot.env.C"), `must be a string, is a number (write "0.5" with quotes)`),
				says(at("spec.values.pilot.env.D"), "must be a string, is a list"),
				says(at("spec.values.pilot.env.E"), "must be a string, is an object"),
			},
		},
		"quoted": {
			reason: "the other way round",
			values: `{pilot: {autoscaleEnabled: "true", autoscaleMin: "2", autoscaleMax: many, traceSampling: "0.1", ` +
				`configMap: "1"}}`,
			want: []Problem{
				says(at("spec.values.pilot.autoscaleEnabled"), "must be a boolean, is a string (write true without quotes)"),
				says(at("spec.values.pilot.autoscaleMax"), "must be an integer, is a string"),
				says(at("spec.values.pilot.autoscaleMin"), "must be an integer, is a string (write 2 without quotes)"),
				says(at("spec.values.pilot.configMap"), "must be a boolean, is a string"),
				says(at("spec.values.pilot.traceSampling"), "must be a number, is a string (write 0.1 without quotes)"),
			},
		},
		"wrong shape": {
			reason: "objects, lists and unions of types",
			values: `{pilot: [], global: {imagePullSecrets: a, sts: {servicePort: 1.5}}, revisionTags: {a: b}, telemetry: on,
				meshConfig: {defaultConfig: {proxyMetadata: [A]}}}`,
			want: []Problem{
				says(at("spec.values.global.imagePullSecrets"), "must be a list, is a string"),
				says(at("spec.values.global.sts.servicePort"), "must be an integer, is a number"),
				says(at("spec.values.meshConfig.defaultConfig.proxyMetadata"), "must be an object, is a list"),
				says(at("spec.values.pilot"), "must be an object, is a list"),
				says(at("spec.values.revisionTags"), "must be a list, is an object"),
				says(at("spec.values.telemetry"), "must be an object, is a boolean"),
			},
		},
		"unions": {
			reason: "the message names all the types",
			values: `{pilot: {rollingMaxSurge: 1.5, rollingMaxUnavailable: true, resources: {limits: {cpu: []}}}}`,
			want: []Problem{
				says(at("spec.values.pilot.resources.limits.cpu"), "must be a number or a string, is a list"),
				says(at("spec.values.pilot.rollingMaxSurge"),
					`must be an integer or a string, is a number (write "1.5" with quotes)`),
				says(at("spec.values.pilot.rollingMaxUnavailable"),
					`must be an integer or a string, is a boolean (write "true" with quotes)`),
			},
		},
		"enum": {
			reason: "the values are few, so all are named; the one that was meant, too",
			values: `{meshConfig: {accessLogEncoding: json, outboundTrafficPolicy: {mode: DENY}}}`,
			want: []Problem{
				{
					Path:    "spec.values.meshConfig.accessLogEncoding",
					Pointer: strings.Split("spec.values.meshConfig.accessLogEncoding", "."),
					Message: `must be one of TEXT, JSON; is "json"; did you mean JSON?`, Suggestion: "JSON",
				},
				says(at("spec.values.meshConfig.outboundTrafficPolicy.mode"), `must be one of REGISTRY_ONLY, ALLOW_ANY; is "DENY"`),
			},
		},
		"in lists and below odd keys": {
			reason: "a pointer finds the place in YAML, whatever the keys are",
			values: `{meshConfig: {extensionProviders: [{name: a}, {name: b, zipkin: {prt: 1}}]}, pilot: {env: {"a.b": 1, ` +
				`"": 2}}}`,
			want: []Problem{
				unknown(at("spec.values.meshConfig.extensionProviders[1].zipkin.prt",
					"spec", "values", "meshConfig", "extensionProviders", "1", "zipkin", "prt"),
					"unknown field in v1.28.3; did you mean port?", "port"),
				says(at(`spec.values.pilot.env[""]`, "spec", "values", "pilot", "env", ""),
					`must be a string, is an integer (write "2" with quotes)`),
				says(at(`spec.values.pilot.env["a.b"]`, "spec", "values", "pilot", "env", "a.b"),
					`must be a string, is an integer (write "1" with quotes)`),
			},
		},
		"not for an Istio": {
			reason: "the charts have these values, so the message says where they went",
			values: `{gateways: {}, cni: {}, ztunnel: {}}`,
			want: []Problem{
				unknown(at("spec.values.cni"), elsewhere[RootIstio]["cni"], ""),
				unknown(at("spec.values.gateways"), elsewhere[RootIstio]["gateways"], ""),
				unknown(at("spec.values.ztunnel"), elsewhere[RootIstio]["ztunnel"], ""),
			},
		},
		"CNI": {
			reason: "the values of the user guide",
			root:   RootCNI,
			values: `{cni: {cniConfDir: /etc/cni/net.d, excludeNamespaces: [kube-system], ambient: {enabled: true}}, ` +
				`global: {logAsJson: true}}`,
		},
		"not for a CNI": {
			reason: "an IstioCNI takes cni and global",
			root:   RootCNI,
			values: `{pilot: {}, cni: {chaned: true}}`,
			want: []Problem{
				unknown(at("spec.values.cni.chaned"), "unknown field in v1.28.3; did you mean chained?", "chained"),
				unknown(at("spec.values.pilot"), elsewhere[RootCNI]["pilot"], ""),
			},
		},
		"no such root": {
			reason: "a mistake of the caller must not pass as a valid resource",
			root:   "ztunnel",
			values: `{a: b}`,
			want:   []Problem{says(at("spec.values"), `the schema of v1.28.3 knows no values of kind "ztunnel"`)},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if tc.version == "" {
				tc.version = "v1.28.3"
			}
			if tc.root == "" {
				tc.root = RootIstio
			}
			var values map[string]any
			if err := yaml.Unmarshal([]byte(tc.values), &values); err != nil {
				t.Fatal(err)
			}
			have := readSchema(t, tc.version).Check(tc.root, values, "spec.values")
			if diff := cmp.Diff(tc.want, have); diff != "" {
				t.Errorf("%s (-want +have):\n%s", tc.reason, diff)
			}
		})
	}
}

func TestSchemaCheckMeshConfig(t *testing.T) {
	have := readSchema(t, "v1.28.3").CheckMeshConfig(map[string]any{"accesLogFile": "x", "enableTracing": true},
		"spec.meshConfig")
	want := []Problem{{
		Path: "spec.meshConfig.accesLogFile", Pointer: []string{"spec", "meshConfig", "accesLogFile"}, Unknown: true,
		Message: "unknown field in v1.28.3; did you mean accessLogFile?", Suggestion: "accessLogFile",
	}}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("a MeshConfig by itself has the same schema (-want +have):\n%s", diff)
	}
}

func TestSchemaNumbers(t *testing.T) {
	cases := map[string]struct {
		reason string
		value  any
		want   string
	}{
		"int":           {reason: "Go code builds values, too", value: 3, want: "integer"},
		"int64":         {reason: "as JSON is read with whole numbers", value: int64(3), want: "integer"},
		"uint32":        {reason: "Go code builds values, too", value: uint32(3), want: "integer"},
		"whole float":   {reason: "encoding/json reads every number as float64", value: 3.0, want: "integer"},
		"float":         {reason: "a fraction", value: 0.5, want: "number"},
		"float32":       {reason: "a fraction", value: float32(0.5), want: "number"},
		"json integer":  {reason: "with UseNumber", value: json.Number("3"), want: "integer"},
		"json float":    {reason: "with UseNumber", value: json.Number("0.5"), want: "number"},
		"json exponent": {reason: "1e3 is a whole number", value: json.Number("1e3"), want: "integer"},
		"json nonsense": {reason: "no panic", value: json.Number("x"), want: "number"},
		"struct":        {reason: "no JSON at all", value: struct{}{}, want: "struct {}"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if have := TypeOf(tc.value); have != tc.want {
				t.Errorf("%s: want %s, have %s", tc.reason, tc.want, have)
			}
		})
	}
}

func TestSchemaNil(t *testing.T) {
	var s *Schema
	if have := s.Check(RootIstio, map[string]any{"a": 1}, "spec.values"); have != nil {
		t.Errorf("a nil schema must find nothing, finds %v", have)
	}
	if have := readSchema(t, "v1.28.3").Check(RootIstio, nil, "spec.values"); have != nil {
		t.Errorf("nil values have nothing wrong, have %v", have)
	}
	if have := readSchema(t, "v1.28.3").Check(RootIstio, map[string]any{"nope": 1}, ""); have[0].Path != "nope" ||
		len(have[0].Pointer) != 1 {
		t.Errorf("without a prefix the path is relative, is %+v", have[0])
	}
}

func TestParseSchemaErrors(t *testing.T) {
	cases := map[string]struct{ reason, data string }{
		"no JSON":    {reason: "a damaged file", data: "{"},
		"no version": {reason: "messages need it", data: `{"roots": {"istio": {}}}`},
		"no roots":   {reason: "a schema of nothing accepts everything", data: `{"version": "v1.0.0"}`},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseSchema([]byte(tc.data)); err == nil {
				t.Errorf("%s: want an error", tc.reason)
			}
		})
	}
}

// TestDamagedSchema: what cannot be understood must not accept values silently.
func TestDamagedSchema(t *testing.T) {
	cases := map[string]struct{ reason, data string }{
		"root": {reason: "a root is no schema", data: `{"version": "v1.0.0", "roots": {"istio": {"type": 1}}}`},
		"definition": {
			reason: "a definition is no schema",
			data:   `{"version": "v1.0.0", "roots": {"istio": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"type": 1}}}`,
		},
		"no definition": {
			reason: "a reference leads nowhere", data: `{"version": "v1.0.0", "roots": {"istio": {"$ref": "#/definitions/A"}}}`,
		},
		"circle": {
			reason: "a reference leads to itself",
			data: `{"version": "v1.0.0", "roots": {"istio": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"$ref": ` +
				`"#/definitions/A"}}}`,
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			s, err := ParseSchema([]byte(tc.data))
			if err != nil {
				t.Fatal(err)
			}
			have := s.Check(RootIstio, map[string]any{"a": 1}, "spec.values")
			if len(have) != 1 || !strings.Contains(have[0].Message, "the schema of v1.0.0 is damaged") {
				t.Errorf("%s: have %v", tc.reason, have)
			}
		})
	}
}

// TestSchemasAreWhole parses what Check parses only when it needs it.
func TestSchemasAreWhole(t *testing.T) {
	for _, version := range schemaVersions(t) {
		s := readSchema(t, version)
		if s.Version != version {
			t.Errorf("the schema of %s says it is of %s", version, s.Version)
		}
		if have := slices.Sorted(maps.Keys(s.roots)); !slices.Equal(have,
			[]string{RootCNI, RootIstio, RootMeshConfig}) {
			t.Errorf("%s: roots are %v", version, have)
		}
		var visit func(name string, n *node)
		visit = func(name string, n *node) {
			if n == nil {
				return
			}
			if _, err := s.resolve(n); err != nil {
				t.Errorf("%s: %s: %v", version, name, err)
			}
			visit(name, n.Items)
			visit(name, n.Additional.node)
			for key, p := range n.Properties {
				visit(name+"."+key, p)
			}
		}
		for _, part := range []map[string]*lazyNode{s.roots, s.definitions} {
			for name, lazy := range part {
				n, err := lazy.get()
				if err != nil {
					t.Errorf("%s: %s: %v", version, name, err)
				}
				visit(name, n)
			}
		}
	}
}

// TestSchemasAreSmall: they are embedded into every function.
func TestSchemasAreSmall(t *testing.T) {
	const limit = 120 * 1000
	for _, version := range schemaVersions(t) {
		info, err := os.Stat(filepath.Join(schemaDir, version+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > limit {
			t.Errorf("the schema of %s has %d bytes, want at most %d", version, info.Size(), limit)
		}
	}
}

// TestChartsMatchSchemas checks the schemas against what the charts of the same version say themselves: all default
// values, and the values of all profiles.
func TestChartsMatchSchemas(t *testing.T) {
	// What the schemas rightly do not accept, and why.
	known := map[string]string{
		"v1.23.2 profile-openshift-ambient.yaml cni.cni.seLinuxOptions": "up to 1.23 only the ztunnel chart reads it",
	}
	for _, version := range schemaVersions(t) {
		bundle := filepath.Join("..", "release", "bundles", version)
		if _, err := os.Stat(bundle); err != nil {
			t.Skipf("the charts of %s are not exported; run make", version)
		}
		s := readSchema(t, version)
		check := func(file, component string) {
			istio, cni := byResource(t, s, component, readValues(t, file))
			for _, p := range slices.Concat(s.Check(RootIstio, istio, "istio"), s.Check(RootCNI, cni, "cni")) {
				name := version + " " + filepath.Base(file) + " " + p.Path
				if _, ok := known[name]; ok {
					delete(known, name)
					continue
				}
				t.Errorf("%s says what the schema of %s does not accept: %s", file, version, p)
			}
		}
		check(filepath.Join(bundle, "base", "values.yaml"), "pilot")
		check(filepath.Join(bundle, "istiod", "values.yaml"), "pilot")
		check(filepath.Join(bundle, "cni", "values.yaml"), "cni")
		profiles, err := filepath.Glob(filepath.Join(bundle, "istiod", "files", "profile-*.yaml"))
		if err != nil || len(profiles) == 0 {
			t.Fatalf("no profiles in %s: %v", bundle, err)
		}
		for _, profile := range profiles {
			check(profile, "")
		}
	}
	for name := range known {
		t.Errorf("no chart says this any more: %s", name)
	}
}

// readValues reads a file of values and opens the envelope that charts keep their defaults in.
func readValues(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var values map[string]any
	if err := yaml.Unmarshal(data, &values); err != nil {
		t.Fatal(err)
	}
	for _, envelope := range []string{"defaults", "_internal_defaults_do_not_set"} {
		if inner, ok := values[envelope].(map[string]any); ok {
			return inner
		}
	}
	return values
}

// byResource sorts what a chart says by the resource it belongs to. Since 1.24 charts take their own values without the
// prefix pilot or cni; component is that prefix, or empty for the profiles, which all charts share.
func byResource(t *testing.T, s *Schema, component string, values map[string]any) (istio, cni map[string]any) {
	t.Helper()
	properties := func(path ...string) map[string]*node {
		n, err := s.roots[path[0]].get()
		for _, key := range path[1:] {
			if err == nil {
				n, err = s.resolve(n.Properties[key])
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		return n.Properties
	}
	top, pilot := properties(RootIstio), properties(RootIstio, "pilot")
	pilotValues, cniValues := map[string]any{}, map[string]any{}
	istio, cni = map[string]any{"pilot": pilotValues}, map[string]any{"cni": cniValues}
	for key, value := range values {
		_, isTop := top[key]
		_, isPilot := pilot[key]
		inner, _ := value.(map[string]any)
		switch {
		case key == "gateways" || key == "ztunnel":
		case key == "pilot":
			maps.Copy(pilotValues, inner)
		case key == "cni" && component != "pilot":
			maps.Copy(cniValues, inner)
		case key == "global" && component == "cni":
			cni[key] = value
		case isTop:
			istio[key] = value
		case component == "pilot" || component == "" && isPilot:
			pilotValues[key] = value
		default:
			cniValues[key] = value
		}
	}
	return istio, cni
}

func FuzzSchemaCheck(f *testing.F) {
	for _, seed := range []string{
		`{"pilot": {"env": {"A": true}, "traceSamplin": 1}}`,
		`{"meshConfig": {"extensionProviders": [{"name": 1}, null, {}]}}`,
		`{"": null, "pilot": {"tolerations": {"a": [[]]}}}`,
		`{"global": {"tag": {"a": 1e400}, "sts": {"servicePort": 1e3}}}`,
	} {
		f.Add([]byte(seed))
	}
	data, err := os.ReadFile(filepath.Join(schemaDir, "v1.28.3.json"))
	if err != nil {
		f.Fatal(err)
	}
	s, err := ParseSchema(data)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var plain, exact map[string]any
		decoder := json.NewDecoder(bytes.NewReader(data))
		decoder.UseNumber()
		if json.Unmarshal(data, &plain) != nil || decoder.Decode(&exact) != nil {
			return
		}
		for _, root := range []string{RootIstio, RootCNI, RootMeshConfig} {
			problems := s.Check(root, plain, "spec.values")
			if again := s.Check(root, plain, "spec.values"); !slices.EqualFunc(problems, again, func(a, b Problem) bool {
				return a.String() == b.String()
			}) {
				t.Errorf("two checks of the same values differ:\n%v\n%v", problems, again)
			}
			for _, p := range problems {
				if !strings.HasPrefix(p.Path, "spec.values") || len(p.Pointer) < 2 || p.Message == "" {
					t.Errorf("a problem without place or message: %+v", p)
				}
			}
			s.Check(root, exact, "")
		}
	})
}

func BenchmarkParseSchema(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(schemaDir, "v1.28.3.json"))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := ParseSchema(data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCheck is what a function does: parse the schema, check one resource.
func BenchmarkCheck(b *testing.B) {
	data, err := os.ReadFile(filepath.Join(schemaDir, "v1.28.3.json"))
	if err != nil {
		b.Fatal(err)
	}
	values := map[string]any{
		"pilot": map[string]any{
			"env": map[string]any{"A": "b"}, "resources": map[string]any{"requests": map[string]any{"cpu": "1"}},
		},
		"meshConfig": map[string]any{"accessLogFile": "/dev/stdout", "defaultConfig": map[string]any{"concurrency": 2}},
	}
	for b.Loop() {
		s, err := ParseSchema(data)
		if err != nil {
			b.Fatal(err)
		}
		if problems := s.Check(RootIstio, values, "spec.values"); len(problems) > 0 {
			b.Fatal(problems)
		}
	}
}
