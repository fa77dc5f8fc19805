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
		want    usage.Verdict
	}{
		{"nobody has looked", nil, usage.Verdict{Reason: "there is no usage report in the package"}},
		{
			"unused, and the upgrade has arrived",
			[]usage.Report{report("west", "old=False", "new=True")},
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"unused everywhere",
			[]usage.Report{report("west", "old=False", "new=False"), report("east", "old=False", "new=True")},
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west, east"},
		},
		{
			"used in one of two clusters",
			[]usage.Report{report("east", "old=False", "new=True"), used},
			usage.Verdict{Reason: "the usage report west says it is used by Namespace bookinfo, Pod bookinfo/details, Pod bookinfo/ratings and 1 more"},
		},
		{
			"unknown is not unused",
			[]usage.Report{report("west", "old=Unknown", "new=True")},
			usage.Verdict{Reason: "the usage report west does not know whether it is used"},
		},
		{
			"a report that leaves it out says nothing",
			[]usage.Report{report("west", "new=True")},
			usage.Verdict{Reason: "the usage report west does not mention it"},
		},
		{
			"before the upgrade nothing used it yet",
			[]usage.Report{report("west", "old=False")},
			usage.Verdict{Reason: "the usage report west was taken before the cluster had the active revision new"},
		},
	} {
		if diff := cmp.Diff(c.want, usage.Decide(c.reports, "old", "new")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestParseReport(t *testing.T) {
	for _, c := range []struct{ reason, in, err string }{
		{"a report", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"True","users":[{"kind":"Pod","namespace":"n","name":"p","reason":"x"}]}]}`, ""},
		{"a misspelled field is not ignored", `{"revision":[]}`, `spec: json: unknown field "revision"`},
		{"a boolean is no answer", `{"revisions":[{"name":"a","inUse":false}]}`, "cannot unmarshal bool"},
		{"another word is no answer", `{"revisions":[{"name":"a","inUse":"no"}]}`, `spec.revisions[0].inUse is "no"; possible are: True, False, Unknown`},
		{"whose?", `{"revisions":[{"inUse":"False"}]}`, "spec.revisions[0].name is missing"},
		{"two answers", `{"revisions":[{"name":"a","inUse":"False"},{"name":"a","inUse":"True"}]}`, "spec.revisions[1]: the revision a is there twice"},
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
