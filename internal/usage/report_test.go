package usage_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/usage"
)

func TestDecide(t *testing.T) {
	report := func(name string, revisions ...string) usage.Report {
		r := usage.Report{Name: name}
		for _, s := range revisions {
			rev, in, _ := strings.Cut(s, "=")
			r.Revisions = append(r.Revisions, usage.Revision{Name: rev, InUse: usage.InUse(in)})
		}
		return r
	}
	used := report("west", "old=True", "new=False")
	used.Revisions[0].Users = []usage.User{
		{Kind: "Namespace", Name: "bookinfo"},
		{Kind: "Pod", Namespace: "bookinfo", Name: "details"},
		{Kind: "Pod", Namespace: "bookinfo", Name: "ratings"},
		{Kind: "Pod", Namespace: "bookinfo", Name: "reviews"},
	}
	for _, c := range []struct {
		reason  string
		reports []usage.Report
		stale   []string
		want    usage.Verdict
		// clusters are those of the package, if they are listed.
		clusters []string
	}{
		{"nobody has looked", nil, nil, usage.Verdict{Reason: "there is no usage report in the package"}, nil},
		{
			"unused, and the upgrade has arrived",
			[]usage.Report{report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
			nil,
		},
		{
			"unused everywhere",
			[]usage.Report{report("west", "old=False", "new=False"), report("east", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west, east"},
			nil,
		},
		{
			"used in one of two clusters",
			[]usage.Report{report("east", "old=False", "new=True"), used},
			nil,
			usage.Verdict{
				Reason: "the usage report west says it is used by Namespace bookinfo, Pod bookinfo/details, Pod bookinfo/ratings " +
					"and 1 more",
			},
			nil,
		},
		{
			"unknown is not unused",
			[]usage.Report{report("west", "old=Unknown", "new=True")},
			nil,
			usage.Verdict{Reason: "the usage report west does not know whether it is used"},
			nil,
		},
		{
			"a report that leaves it out says nothing",
			[]usage.Report{report("west", "new=True")},
			nil,
			usage.Verdict{Reason: "the usage report west does not mention it"},
			nil,
		},
		{
			"before the upgrade nothing used it yet",
			[]usage.Report{report("west", "old=False")},
			nil,
			usage.Verdict{Reason: "the usage report west was taken before the cluster had the active revision new"},
			nil,
		},
		{
			"what was there before the upgrade does not know of it",
			[]usage.Report{report("west", "old=False", "new=True")},
			[]string{report("west", "old=False", "new=True").Digest()},
			usage.Verdict{Reason: "the usage report west was in the package before new became the active revision"},
			nil,
		},
		{
			"a cluster that has not reported may use it",
			[]usage.Report{report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Reason: "there is no usage report of the cluster east"},
			[]string{"west", "east"},
		},
		{
			"all clusters have reported",
			[]usage.Report{report("east", "old=False", "new=True"), report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report east, west"},
			[]string{"west", "east"},
		},
		{
			"a cluster that the package is not applied to says nothing",
			[]usage.Report{report("north", "other=True"), report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
			[]string{"west"},
		},
		{
			"unless it has the revision all the same",
			[]usage.Report{report("north", "old=Unknown"), report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Reason: "the usage report north does not know whether it is used"},
			[]string{"west"},
		},
	} {
		if diff := cmp.Diff(c.want, usage.Decide(c.reports,
			usage.Question{Revision: "old", Active: "new", Stale: c.stale, Clusters: c.clusters})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestParseReport(t *testing.T) {
	for _, c := range []struct{ reason, in, err string }{
		{
			"a report", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"True","users":[{"kind":"Pod",` +
				`"namespace":"n","name":"p","reason":"x"}]}]}`, "",
		},
		{
			"a misspelled field is not ignored", `{"observedAt":"2026-11-22T12:00:00Z","revision":[]}`,
			`spec: json: unknown field "revision"`,
		},
		{
			"a boolean is no answer", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":false}]}`,
			`spec.revisions[0].inUse is false; write it as text, with quotes: inUse: "False"`,
		},
		{
			"another word is no answer", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"no"}]}`,
			`spec.revisions[0].inUse is "no"; possible are: True, False, Unknown`,
		},
		{
			"whose?", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"inUse":"False"}]}`,
			"spec.revisions[0].name is missing",
		},
		{
			"a time is a time", strings.Replace(`{"observedAt":"x","revisions":[]}`, "x", "yesterday", 1),
			`spec.observedAt is "yesterday"`,
		},
		{"nothing at all", `{}`, "spec.observedAt"},
		{
			"users of what is not used", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"False",` +
				`"users":[{"kind":"Pod","name":"p"}]}]}`, "has users, but inUse is False",
		},
		{
			"two answers", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"False"},{"name":"a",` +
				`"inUse":"True"}]}`, "spec.revisions[1]: the revision a is there twice",
		},
	} {
		_, err := usage.ParseReport("west", []byte(c.in))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if (c.err == "") != (got == "") || !strings.Contains(got, c.err) {
			t.Errorf("%s: got %q, want %q in it", c.reason, got, c.err)
		}
	}
}
