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
	}{
		{"nobody has looked", nil, nil, usage.Verdict{Reason: "there is no usage report in the package"}},
		{
			"unused, and the upgrade has arrived",
			[]usage.Report{report("west", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"unused everywhere",
			[]usage.Report{report("west", "old=False", "new=False"), report("east", "old=False", "new=True")},
			nil,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west, east"},
		},
		{
			"used in one of two clusters",
			[]usage.Report{report("east", "old=False", "new=True"), used},
			nil,
			usage.Verdict{Reason: "the usage report west says it is used by Namespace bookinfo, Pod bookinfo/details, Pod bookinfo/ratings and 1 more"},
		},
		{
			"unknown is not unused",
			[]usage.Report{report("west", "old=Unknown", "new=True")},
			nil,
			usage.Verdict{Reason: "the usage report west does not know whether it is used"},
		},
		{
			"a report that leaves it out says nothing",
			[]usage.Report{report("west", "new=True")},
			nil,
			usage.Verdict{Reason: "the usage report west does not mention it"},
		},
		{
			"before the upgrade nothing used it yet",
			[]usage.Report{report("west", "old=False")},
			nil,
			usage.Verdict{Reason: "the usage report west was taken before the cluster had the active revision new"},
		},
		{
			"what was there before the upgrade does not know of it",
			[]usage.Report{report("west", "old=False", "new=True")},
			[]string{report("west", "old=False", "new=True").Digest()},
			usage.Verdict{Reason: "the usage report west was in the package before new became the active revision"},
		},
	} {
		if diff := cmp.Diff(c.want, usage.Decide(c.reports, "old", "new", c.stale)); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestParseReport(t *testing.T) {
	for _, c := range []struct{ reason, in, err string }{
		{"a report", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"True","users":[{"kind":"Pod","namespace":"n","name":"p","reason":"x"}]}]}`, ""},
		{"a misspelled field is not ignored", `{"observedAt":"2026-11-22T12:00:00Z","revision":[]}`, `spec: json: unknown field "revision"`},
		{"a boolean is no answer", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":false}]}`, "cannot unmarshal bool"},
		{"another word is no answer", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"no"}]}`, `spec.revisions[0].inUse is "no"; possible are: True, False, Unknown`},
		{"whose?", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"inUse":"False"}]}`, "spec.revisions[0].name is missing"},
		{"a time is a time", strings.Replace(`{"observedAt":"x","revisions":[]}`, "x", "yesterday", 1), `spec.observedAt is "yesterday"`},
		{"nothing at all", `{}`, "spec.observedAt"},
		{"users of what is not used", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"False","users":[{"kind":"Pod","name":"p"}]}]}`, "has users, but inUse is False"},
		{"two answers", `{"observedAt":"2026-11-22T12:00:00Z","revisions":[{"name":"a","inUse":"False"},{"name":"a","inUse":"True"}]}`, "spec.revisions[1]: the revision a is there twice"},
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
