package values

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// written gives every scalar the same text.
func written(text string) Source {
	return Source{Written: func([]string) (string, bool) { return text, true }}
}

// messages are problems as a person reads them.
func messages(problems []Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

// TestDurations: a duration needs a unit, and the advice is one that istiod takes. releases/schema has a test of what
// istiod takes.
func TestDurations(t *testing.T) {
	const drain = "spec.meshConfig.defaultConfig.terminationDrainDuration: "
	const unit = "must be a duration with a unit (ns, us, ms, s, m, h), such as 30s or 1m30s; is "
	for _, c := range []struct{ reason, value, want, suggestion string }{
		{"seconds", "30s", "", ""},
		{"a fraction", "1.5s", "", ""},
		{"minutes", "1m", "", ""},
		{"several units", "5m30s", "", ""},
		{"zero needs no unit", `"0"`, "", ""},
		{"null takes the default away", "null", "", ""},
		{"a number", "30", unit + "30 (write 30s)", "30s"},
		{"zero as a number", "0", unit + "0 (write 0s)", "0s"},
		{"a fraction without a unit", "1.5", unit + "1.5 (write 1.5s)", "1.5s"},
		{"the user's own digits", "1.50", unit + "1.50 (write 1.50s)", "1.50s"},
		{"a number in quotes", `"30"`, unit + `"30" (write 30s)`, "30s"},
		{"another one", `"10"`, unit + `"10" (write 10s)`, "10s"},
		{"the last unit is missing", "5m30", unit + `"5m30" (write 5m30s)`, "5m30s"},
		{"a space", "30 s", unit + `"30 s" (write 30s)`, "30s"},
		{"a unit that there is not", "1d", unit + `"1d"`, ""},
		{"no text at all", `""`, unit + `""`, ""},
		{"a word", "never", unit + `"never"`, ""},
		{"an exponent", "3e1", unit + "3e1", ""},
		{"a negative number", "-30", unit + "-30", ""},
		{
			"a negative duration, which the parser takes and nothing can use", "-5s",
			`must be a duration that is not negative; is "-5s"`, "",
		},
		{"a truth value", "true", "must be a duration such as 30s or 1m30s, is a boolean", ""},
		{"a list", "[1s]", "must be a duration such as 30s or 1m30s, is a list", ""},
	} {
		var mesh map[string]any
		if err := yaml.Unmarshal([]byte("defaultConfig: {terminationDrainDuration: "+c.value+"}"), &mesh); err != nil {
			t.Fatal(err)
		}
		for _, version := range schemaVersions(t) {
			have := readSchema(t, version).CheckFrom(written(c.value), RootMeshConfig, mesh, "spec.meshConfig")
			var want []string
			if c.want != "" {
				want = []string{drain + c.want}
			}
			if diff := cmp.Diff(want, messages(have)); diff != "" {
				t.Errorf("%s: %s (-want +have):\n%s", version, c.reason, diff)
			}
			if len(have) == 1 && have[0].Suggestion != c.suggestion {
				t.Errorf("%s: %s: the suggestion is %q, want %q", version, c.reason, have[0].Suggestion, c.suggestion)
			}
		}
	}
}

// TestEveryDuration goes to each duration that a schema has, and finds that its unit is missed.
func TestEveryDuration(t *testing.T) {
	for _, version := range schemaVersions(t) {
		s := readSchema(t, version)
		var found []string
		for _, root := range []string{RootIstio, RootCNI, RootMeshConfig} {
			n, err := s.roots[root].get()
			if err != nil {
				t.Fatal(err)
			}
			visitDurations(t, s, n, nil, nil, func(path []string) {
				var v any = 30.0
				for _, key := range slices.Backward(path) {
					if key == "[]" {
						v = []any{v}
					} else {
						v = map[string]any{key: v}
					}
				}
				top, _ := v.(map[string]any)
				problems := s.Check(root, top, "spec")
				if len(problems) != 1 || problems[0].Suggestion != "30s" {
					t.Errorf("%s: 30 in %s %s: %v", version, root, strings.Join(path, "."), problems)
				}
				found = append(found, strings.Join(path, "."))
			})
		}
		for _, want := range []string{
			"meshConfig.connectTimeout", "connectTimeout", "defaultConfig.drainDuration",
			"tcpKeepalive.interval", "extensionProviders.[].envoyExtAuthzGrpc.timeout",
		} {
			if !slices.Contains(found, want) {
				t.Errorf("%s: %s is no duration; there are %d: %s", version, want, len(found),
					strings.Join(found, ", "))
			}
		}
	}
}

// visitDurations calls f with the path of each duration below a node; within are the definitions around it.
func visitDurations(t *testing.T, s *Schema, n *node, within, path []string, f func([]string)) {
	t.Helper()
	if n.Ref != "" {
		if slices.Contains(within, n.Ref) {
			return
		}
		within = append(slices.Clip(within), n.Ref)
	}
	n, err := s.resolve(n)
	if err != nil {
		t.Fatal(err)
	}
	if n.Format == formatDuration {
		f(path)
	}
	for _, key := range sortedKeys(n.Properties) {
		visitDurations(t, s, n.Properties[key], within, append(slices.Clip(path), key), f)
	}
	if n.Items != nil {
		visitDurations(t, s, n.Items, within, append(slices.Clip(path), "[]"), f)
	}
	if n.Additional.node != nil {
		visitDurations(t, s, n.Additional.node, within, append(slices.Clip(path), "any"), f)
	}
}

// TestTags: a tag, a hub and whatever else is part of an image's name is text, and the advice quotes what the user
// wrote. The charts print 1.20 as 1.2, and 20190806 as 2.0190806e+07.
func TestTags(t *testing.T) {
	schemas := map[string]*Schema{}
	for _, version := range schemaVersions(t) {
		schemas[version] = readSchema(t, version)
	}
	for _, field := range []struct{ root, path string }{
		{RootIstio, "global.tag"},
		{RootIstio, "global.hub"},
		{RootIstio, "global.variant"},
		{RootIstio, "pilot.tag"},
		{RootIstio, "pilot.hub"},
		{RootIstio, "pilot.image"},
		{RootIstio, "pilot.variant"},
		{RootIstio, "global.proxy.image"},
		{RootIstio, "global.proxy_init.image"},
		{RootCNI, "global.tag"},
		{RootCNI, "global.hub"},
		{RootCNI, "cni.tag"},
		{RootCNI, "cni.hub"},
		{RootCNI, "cni.image"},
		{RootCNI, "cni.variant"},
		{RootCNI, "cni.repair.tag"},
		{RootCNI, "cni.repair.hub"},
		{RootCNI, "cni.repair.image"},
	} {
		for _, c := range []struct{ reason, value, want string }{
			{"text", `"1.20"`, ""},
			{"text without quotes", "1.28.3-distroless", ""},
			{"a number whose zero gets lost", "1.20", `must be a string, is a number (write "1.20" with quotes)`},
			{"a date", "20190806", `must be a string, is an integer (write "20190806" with quotes)`},
			{
				"digits of a commit that look like an exponent", "1e5",
				`must be a string, is an integer (write "1e5" with quotes)`,
			},
			{"a mapping", "{a: b}", "must be a string, is an object"},
			{"a word that is a truth value", "on", `must be a string, is a boolean (write "on" with quotes)`},
		} {
			var v any
			if err := yaml.Unmarshal([]byte(c.value), &v); err != nil {
				t.Fatal(err)
			}
			top := map[string]any{}
			Set(top, v, strings.Split(field.path, ".")...)
			for version, schema := range schemas {
				var want []string
				if c.want != "" {
					want = []string{"spec.values." + field.path + ": " + c.want}
				}
				have := messages(schema.CheckFrom(written(c.value), field.root, top, "spec.values"))
				if diff := cmp.Diff(want, have); diff != "" {
					t.Errorf("%s: %s (-want +have):\n%s", version, c.reason, diff)
				}
			}
		}
	}
}

// TestQuoting: where the user's own text is known, the advice has it; else it has the digits of the value.
func TestQuoting(t *testing.T) {
	for _, c := range []struct{ reason, field, value, text, want string }{
		{
			"more digits than a number has", "global.meshID", "12345678901234567890", "12345678901234567890",
			"12345678901234567890",
		},
		{"zeros in front", "global.meshID", "007", "007", "007"},
		{"a zero behind", "global.meshID", "1.10", "1.10", "1.10"},
		{"an environment variable", "pilot.env.A", "1.10", "1.10", "1.10"},
		{"a word", "pilot.env.A", "yes", "yes", "yes"},
		{"a label", "pilot.podLabels.a", "0x1F", "0x1F", "0x1F"},
		{"only the value is known", "global.meshID", "1.10", "", "1.1"},
		{"only the value is known, of which all digits are shown", "global.meshID", "20190806", "", "20190806"},
	} {
		var v any
		if err := yaml.Unmarshal([]byte(c.value), &v); err != nil {
			t.Fatal(err)
		}
		top := map[string]any{}
		Set(top, v, strings.Split(c.field, ".")...)
		source := Source{}
		if c.text != "" {
			source = written(c.text)
		}
		have := readSchema(t, "v1.28.3").CheckFrom(source, RootIstio, top, "spec.values")
		if len(have) != 1 || !strings.HasSuffix(have[0].Message, ` (write "`+c.want+`" with quotes)`) {
			t.Errorf("%s: have %v, want the advice %q", c.reason, have, c.want)
		}
	}
}

// TestVariables: what Flux takes for a variable, and what it does not.
func TestVariables(t *testing.T) {
	for _, c := range []struct{ reason, text, want string }{
		{"one", "${cluster_name}", "${cluster_name}"},
		{"within a text", "a-${b}-c", "${b}"},
		{"with a default", "${a:-b}", "${a:-b}"},
		{"with a default that has one", "x${a:=${b}}y", "${a:=${b}}"},
		{"with another operation", "${a/b/c} ${a,,} ${#a}", "${a/b/c}"},
		{"escaped", "$${a}", ""},
		{"escaped, and one behind", "$${a} ${b}", "${b}"},
		{"a dollar, and one", "$$${a}", "${a}"},
		{"no braces", "$a", ""},
		{"no name", "${} ${1} ${ a}", ""},
		{"not closed", "${a", ""},
		{"over two lines", "${a\n}", ""},
		{"a template", "{{ $.Values }}", ""},
	} {
		if have := Variable(c.text); have != c.want {
			t.Errorf("%s: the variable of %q is %q, want %q", c.reason, c.text, have, c.want)
		}
	}
}

// TestSubstituted: with variables that are put in later, a text may be anything; what is no text cannot be one.
func TestSubstituted(t *testing.T) {
	v := map[string]any{
		"global": map[string]any{"meshID": "${mesh}", "logAsJson": "${json}", "imagePullPolicy": "${pull}"},
		"meshConfig": map[string]any{
			"connectTimeout":        "${timeout}",
			"outboundTrafficPolicy": map[string]any{"mode": "${mode}"},
		},
		"pilot": map[string]any{
			"autoscaleMin": "${n}",
			"resources":    map[string]any{"requests": map[string]any{"cpu": "${cpu}"}},
		},
	}
	have := readSchema(t, "v1.28.3").CheckFrom(Source{Substituted: true}, RootIstio, v, "spec.values")
	want := []string{
		"spec.values.global.logAsJson: must be a boolean: a variable such as ${json} can only stand for text",
		"spec.values.pilot.autoscaleMin: must be an integer: a variable such as ${n} can only stand for text",
	}
	if diff := cmp.Diff(want, messages(have)); diff != "" {
		t.Errorf("-want +have:\n%s", diff)
	}
}
