package migrate_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/migrate"
)

// TestValues is the table of how values are written: what YAML lets a user write in several ways, and what the new
// resource has for it, to the letter.
func TestValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, values, want string }{
		{"comments stay", "values:\n    # why\n    pilot: {image: a} # what\n", "# why\npilot: {image: a} # what\n"},
		{"the order stays", "values: {pilot: {image: a}, global: {meshID: b}}", "pilot: {image: a}\nglobal: {meshID: b}\n"},
		{"numbers as they are written", "values: {pilot: {traceSampling: 1.10}}", "pilot: {traceSampling: 1.10}\n"},
		{"booleans of YAML 1.1", "values: {pilot: {autoscaleEnabled: on}}", "pilot: {autoscaleEnabled: true}\n"},
		{"and the other one", "values: {pilot: {autoscaleEnabled: No}}", "pilot: {autoscaleEnabled: false}\n"},
		{
			"and a word that kubectl takes for text", "values: {meshConfig: {trustDomain: oN}}",
			"meshConfig: {trustDomain: oN}\n",
		},
		{"not in quotes", `values: {pilot: {image: "on"}}`, `pilot: {image: "on"}` + "\n"},
		{"not as names", "values: {pilot: {nodeSelector: {on: a}}}", "pilot: {nodeSelector: {on: a}}\n"},
		{
			"aliases are expanded", "values: {pilot: {nodeSelector: &s {a: b}}, global: {defaultNodeSelector: *s}}",
			"pilot: {nodeSelector: {a: b}}\nglobal: {defaultNodeSelector: {a: b}}\n",
		},
		{
			"merge keys are merged, and what is written wins",
			"values: {pilot: {nodeSelector: &s {a: b, c: d}}, global: {defaultNodeSelector: {<<: *s, a: e}}}",
			"pilot: {nodeSelector: {a: b, c: d}}\nglobal: {defaultNodeSelector: {a: e, c: d}}\n",
		},
		{
			"the first of several merged wins",
			"values: {pilot: {nodeSelector: &s {a: b}, podLabels: &t {a: c, d: e}}, " +
				"global: {defaultNodeSelector: {<<: [*s, *t]}}}",
			"pilot: {nodeSelector: {a: b}, podLabels: {a: c, d: e}}\nglobal: {defaultNodeSelector: {a: b, d: e}}\n",
		},
		{"variables are text", "values: {pilot: {env: {A: true}}}", `pilot: {env: {A: "true"}}` + "\n"},
		{"numbers as Helm has printed them", "values: {pilot: {env: {A: 1.0}}}", `pilot: {env: {A: "1"}}` + "\n"},
		{"in other bases", "values: {pilot: {env: {A: 0x10}}}", `pilot: {env: {A: "16"}}` + "\n"},
		{"large ones", "values: {pilot: {env: {A: 12345678}}}", `pilot: {env: {A: "12345678"}}` + "\n"},
		{"text stays as it is", "values: {pilot: {env: {A: 'b', C: d}}}", "pilot: {env: {A: 'b', C: d}}\n"},
		{
			"variables in a list", "values: {pilot: {env: [{name: A, value: 1}]}}", `pilot: {env: {A: "1"}}` + "\n",
		},
		{
			"metadata of proxies", "values: {meshConfig: {defaultConfig: {proxyMetadata: {A: 1}}}}",
			`meshConfig: {defaultConfig: {proxyMetadata: {A: "1"}}}` + "\n",
		},
		{"unknown fields go", "values: {pilot: {a: b, image: c}}", "pilot: {image: c}\n"},
		{"with all that is above them", "values: {pilot: {cni: {a: b}}, global: {meshID: c}}", "global: {meshID: c}\n"},
		{"a hub", "hub: h", "global:\n  hub: h\n"},
		{"a hub that the values have", "hub: h\n  values: {global: {hub: i}}", "global: {hub: i}\n"},
		{"a hub that is null in the values", "hub: h\n  values: {global: {hub: null}}", "global: {hub: h}\n"},
		{"a compatibility version", "compatibilityVersion: 1.27", "compatibilityVersion: \"1.27\"\n"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  profile: minimal\n  "+c.values+"\n"), "1.28.3")
			_, got, _ := strings.Cut(write(t, out.Objects), "  values:")
			got = strings.TrimLeft(strings.ReplaceAll(got, "\n    ", "\n"), " \n")
			if strings.HasPrefix(got, "{") { // on one line, as it was written
				got = strings.ReplaceAll(got[1:len(got)-2], "}, global:", "}\nglobal:") + "\n"
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("-want +got:\n%s\n%v", diff, out.Findings)
			}
		})
	}
}

// TestTooMuch lists resources that are not worth reading, and the sentence that says so.
func TestTooMuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, spec, says string }{
		{"depth", "values: " + strings.Repeat("{a: ", 70) + "b" + strings.Repeat("}", 70), "nested too deeply"},
		{"size", "values: {a: [" + strings.Repeat("1,", 1<<16) + "1]}", "too large"},
		{"a list as a name", "values: {[a]: b}", "a field name must be text"},
		{"what cannot be merged", "values: {<<: a}", "<< takes the alias of a mapping"},
		{"nor in a list", "values: {<<: [a]}", "<< takes the alias of a mapping"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			t.Parallel()
			out := migrate.Operator(object(t, head+"spec:\n  "+c.spec+"\n"), "1.28.3")
			if !out.Findings.HasError() || !strings.Contains(out.Findings[0].Message, c.says) || len(out.Objects) > 0 {
				t.Errorf("want an error %q; there are %.300v", c.says, out.Findings)
			}
		})
	}
}
