package usage_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/usage"
)

// TestMessages holds the messages against those of the API, which scripts match on.
func TestMessages(t *testing.T) {
	t.Parallel()
	users := []usage.User{
		{Kind: "Namespace", Name: "bookinfo"},
		{Kind: "IstioRevisionTag", Name: "prod"},
		{Kind: "Pod", Namespace: "x", Name: "y"},
		{Kind: "Pod", Namespace: "x", Name: "z"},
	}
	for _, c := range []struct {
		reason string
		use    usage.Use
		want   string
	}{
		{"nobody", usage.Use{InUse: usage.False}, v1.MessageNotInUse},
		{
			"a few",
			usage.Use{InUse: usage.True, Users: users[:3], Total: 3},
			v1.MessageInUse + ": Namespace bookinfo, IstioRevisionTag prod, Pod x/y",
		},
		{
			"more than a few",
			usage.Use{InUse: usage.True, Users: users, Total: 4},
			v1.MessageInUse + ": Namespace bookinfo, IstioRevisionTag prod, Pod x/y and 1 more",
		},
		{
			"more than were asked for",
			usage.Use{InUse: usage.True, Users: users[:1], Total: 9},
			v1.MessageInUse + ": Namespace bookinfo and 8 more",
		},
		{"none was asked for", usage.Use{InUse: usage.True, Total: 9}, v1.MessageInUse},
		{
			"doubt", usage.Use{InUse: usage.False}.Doubt("tags cannot be listed: forbidden"),
			"Not known whether a pod or namespace references it: tags cannot be listed: forbidden",
		},
		{
			"no doubt about a user", usage.Use{InUse: usage.True, Users: users[:1], Total: 1}.Doubt("x"),
			v1.MessageInUse + ": Namespace bookinfo",
		},
		{"no doubt without a reason", usage.Use{InUse: usage.False}.Doubt(""), v1.MessageNotInUse},
	} {
		if diff := cmp.Diff(c.want, c.use.Message()); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// lines is a graph as text: what each name says, and its users with their reasons.
func lines(g usage.Graph) []string {
	var out []string
	add := func(kind string, nodes []usage.Node) {
		for _, n := range nodes {
			line := fmt.Sprintf("%s %s", kind, n.Name)
			if n.Revision != "" {
				line += " -> " + n.Revision
			}
			out = append(out, fmt.Sprintf("%s: %s %d", line, n.Use.InUse, n.Use.Total))
			for _, u := range n.Use.Users {
				out = append(out, fmt.Sprintf("  %s: %s", u, u.Reason))
			}
		}
	}
	add("revision", g.Revisions)
	add("tag", g.Tags)
	add("unresolved", g.Unresolved)
	return out
}

func text(lines []string) string { return strings.Join(lines, "\n") + "\n" }

// filled is an index that has seen everything, which is this.
func filled(namespaces []usage.Namespace, pods []usage.Pod) *usage.Index {
	x := seen()
	for _, n := range namespaces {
		x.SetNamespace(n)
	}
	for _, p := range pods {
		x.SetPod(p)
	}
	return x
}

func TestGraph(t *testing.T) {
	t.Parallel()
	deployment := pod("a/web istio.io/rev=canary")
	deployment.Kind = "Deployment"
	const every = "Namespace *: injects every namespace without a label of its own " +
		"(sidecarInjectorWebhook.enableNamespacesByDefault)"
	for _, c := range []struct {
		reason   string
		x        *usage.Index
		topology usage.Topology
		most     int
		want     string
	}{
		{
			"namespaces, then tags, then pods; a tag makes its revision used, and its own users are its own",
			filled(
				[]usage.Namespace{ns("z istio.io/rev=canary"), ns("b istio.io/rev=prod"), ns("c istio.io/rev=canary")},
				[]usage.Pod{
					pod("b/x @canary"), pod("a/y istio.io/rev=canary"), pod("a/x @canary"), pod("d/q istio.io/rev=prod @canary"),
				},
			),
			usage.Topology{
				Revisions: []usage.RevisionInfo{{Name: "old"}, {Name: "canary"}},
				Tags:      []usage.Tag{{Name: "prod", Revision: "canary"}, {Name: "idle", Revision: "canary"}},
			},
			-1,
			`revision canary: True 8
  Namespace c: label istio.io/rev=canary
  Namespace z: label istio.io/rev=canary
  IstioRevisionTag idle: points at it
  IstioRevisionTag prod: points at it
  Pod a/x: annotation istio.io/rev=canary
  Pod a/y: label istio.io/rev=canary
  Pod b/x: annotation istio.io/rev=canary
  Pod d/q: annotation istio.io/rev=canary
revision old: False 0
tag idle -> canary: False 0
tag prod -> canary: True 2
  Namespace b: label istio.io/rev=prod
  Pod d/q: label istio.io/rev=prod
`,
		},
		{
			"a limit cuts the list, not the number",
			filled(
				[]usage.Namespace{ns("z istio.io/rev=canary"), ns("c istio.io/rev=canary")},
				[]usage.Pod{pod("b/y @canary"), pod("b/x @canary"), pod("a/z @canary")},
			),
			usage.Topology{
				Revisions: []usage.RevisionInfo{{Name: "canary"}},
				Tags:      []usage.Tag{{Name: "prod", Revision: "canary"}},
			},
			5,
			`revision canary: True 6
  Namespace c: label istio.io/rev=canary
  Namespace z: label istio.io/rev=canary
  IstioRevisionTag prod: points at it
  Pod a/z: annotation istio.io/rev=canary
  Pod b/x: annotation istio.io/rev=canary
tag prod -> canary: False 0
`,
		},
		{
			"a small limit cuts namespaces and tags",
			filled([]usage.Namespace{ns("z istio.io/rev=canary"), ns("c istio.io/rev=canary"), ns("d istio.io/rev=canary")},
				[]usage.Pod{pod("b/y @canary")}),
			usage.Topology{
				Revisions: []usage.RevisionInfo{{Name: "canary"}},
				Tags:      []usage.Tag{{Name: "prod", Revision: "canary"}},
			},
			2,
			`revision canary: True 5
  Namespace c: label istio.io/rev=canary
  Namespace d: label istio.io/rev=canary
tag prod -> canary: False 0
`,
		},
		{
			"no names of users at all",
			filled(nil, []usage.Pod{pod("b/y @canary")}),
			usage.Topology{Revisions: []usage.RevisionInfo{{Name: "canary"}}},
			0,
			"revision canary: True 1\n",
		},
		{
			"enableNamespacesByDefault counts for the revision named default",
			filled(nil, nil),
			usage.Topology{Revisions: []usage.RevisionInfo{
				{Name: "canary", InjectsByDefault: true},
				{Name: "default", InjectsByDefault: true},
			}},
			-1,
			"revision canary: False 0\nrevision default: True 1\n  " + every + "\n",
		},
		{
			"and for the target of the tag named default, through the tag",
			filled(nil, nil),
			usage.Topology{Revisions: []usage.RevisionInfo{
				{Name: "canary", InjectsByDefault: true},
				{Name: "old", InjectsByDefault: true},
			}, Tags: []usage.Tag{
				{Name: "default", Revision: "canary"}, {Name: "prod", Revision: "old"},
			}},
			-1,
			"revision canary: True 1\n  IstioRevisionTag default: points at it\nrevision old: True 1\n" +
				"  IstioRevisionTag prod: points at it\n" +
				"tag default -> canary: True 1\n  " + every + "\ntag prod -> old: False 0\n",
		},
		{
			"names that are nothing, and an annotation that names a tag, which no injector writes",
			filled([]usage.Namespace{ns("b istio.io/rev=gone")}, []usage.Pod{
				pod("a/x @prod"), pod("a/y istio.io/rev=prod"), pod("a/z istio.io/rev=prod @prod"), pod("b/w istio.io/rev=hidden"),
			}),
			usage.Topology{
				Revisions: []usage.RevisionInfo{{Name: "canary"}},
				Tags:      []usage.Tag{{Name: "prod", Revision: "canary"}},
			},
			-1,
			`revision canary: True 1
  IstioRevisionTag prod: points at it
tag prod -> canary: True 2
  Pod a/y: label istio.io/rev=prod
  Pod a/z: label istio.io/rev=prod
unresolved gone: True 1
  Namespace b: label istio.io/rev=gone
unresolved prod: True 2
  Pod a/x: annotation istio.io/rev=prod
  Pod a/z: annotation istio.io/rev=prod
`,
		},
		{
			"a tag without a target",
			filled([]usage.Namespace{ns("b istio.io/rev=prod")}, nil),
			usage.Topology{Tags: []usage.Tag{{Name: "prod"}}},
			-1,
			"tag prod: True 1\n  Namespace b: label istio.io/rev=prod\n",
		},
		{
			"what makes pods counts in Git, beside a pod of the same name",
			filled(nil, []usage.Pod{pod("a/web istio.io/rev=canary"), deployment}),
			usage.Topology{Revisions: []usage.RevisionInfo{{Name: "canary"}}},
			-1,
			"revision canary: True 2\n  Deployment a/web: label istio.io/rev=canary\n  Pod a/web: label istio.io/rev=canary\n",
		},
	} {
		if diff := cmp.Diff(c.want, text(lines(c.x.Graph(c.topology, c.most)))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestGraphReport shows that a report says what the graph says, briefly, and can be read back.
func TestGraphReport(t *testing.T) {
	t.Parallel()
	var pods []usage.Pod
	for i := range 25 {
		pods = append(pods, pod(fmt.Sprintf("a/p%02d @canary", i)))
	}
	x := filled([]usage.Namespace{ns("b istio.io/rev=old")}, pods)
	topology := usage.Topology{Revisions: []usage.RevisionInfo{{Name: "canary"}, {Name: "old"}, {Name: "older"}}}
	at := time.Date(2026, 11, 22, 13, 0, 0, 999, time.FixedZone("", 3600))
	report := x.Graph(topology, -1).Report("west", at)
	if got := len(report.Revisions[0].Users); got != usage.MaxReportUsers {
		t.Errorf("%d users are listed, want %d", got, usage.MaxReportUsers)
	}
	report.Revisions[0].Users = report.Revisions[0].Users[:1]
	want := usage.Report{Name: "west", ObservedAt: "2026-11-22T12:00:00Z", Revisions: []usage.Revision{
		{
			Name: "canary", InUse: usage.True, Total: 25,
			Users: []usage.User{{Kind: "Pod", Namespace: "a", Name: "p00", Reason: "annotation istio.io/rev=canary"}},
		},
		{
			Name: "old", InUse: usage.True,
			Users: []usage.User{{Kind: "Namespace", Name: "b", Reason: "label istio.io/rev=old"}},
		},
		{Name: "older", InUse: usage.False},
	}}
	if diff := cmp.Diff(want, report); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	x.SetIncomplete("pods cannot be listed")
	graph := x.Graph(topology, 3)
	if got := graph.Report("west", at).Revisions; got[2].InUse != usage.Unknown || got[0].Total != 25 ||
		len(got[0].Users) != 3 {
		t.Errorf("of an index that is incomplete: %v", got)
	}
	for _, r := range []usage.Report{want, graph.Report("west", at), usage.Graph{}.Report("west", at)} {
		spec, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		back, err := usage.ParseReport("west", spec)
		if err != nil {
			t.Fatalf("%s: %v", spec, err)
		}
		if diff := cmp.Diff(r, back); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	}
}

// TestParseReportTotal shows what a total must be.
func TestParseReportTotal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ reason, revision, err string }{
		{"more than are listed", `{"name":"a","inUse":"True","total":5,"users":[{"kind":"Pod","name":"p"}]}`, ""},
		{"none is listed", `{"name":"a","inUse":"True","total":5}`, ""},
		{
			"fewer than are listed", `{"name":"a","inUse":"True","total":1,"users":[{"kind":"Pod","name":"p"},{"kind":"Pod",` +
				`"name":"q"}]}`, "spec.revisions[0].total is 1, and there are 2 users",
		},
		{"less than nothing", `{"name":"a","inUse":"True","total":-1}`, "spec.revisions[0].total is -1"},
		{
			"users of what is not used", `{"name":"a","inUse":"False","total":1}`,
			"spec.revisions[0]: a has users, but inUse is False",
		},
	} {
		_, err := usage.ParseReport("west", []byte(`{"observedAt":"2026-11-22T12:00:00Z","revisions":[`+c.revision+`]}`))
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %v, want %q in it", c.reason, err, c.err)
		}
	}
	used := usage.Report{Name: "west", Revisions: []usage.Revision{{
		Name: "old", InUse: usage.True, Total: 12, Users: []usage.User{{Kind: "Pod", Namespace: "a", Name: "p"}},
	}}}
	got := usage.Decide([]usage.Report{used}, usage.Question{Revision: "old", Active: "new"}).Reason
	if want := "the usage report west says it is used by Pod a/p and 11 more"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
