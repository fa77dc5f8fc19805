package usage_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/usage"
)

// ns reads "bookinfo istio.io/rev=canary".
func ns(text string) usage.Namespace {
	name, labels := words(text)
	return usage.NamespaceOf(name, labels)
}

// pod reads "bookinfo/details istio.io/rev=canary @old": the labels, and what injected it. "!" is one that has
// finished.
func pod(text string) usage.Pod {
	id, labels := words(text)
	namespace, name, _ := strings.Cut(id, "/")
	injectedBy := map[string]string{}
	finished := false
	for key := range labels {
		switch {
		case key == "!":
			finished = true
		case strings.HasPrefix(key, "@"):
			injectedBy[usage.LabelRevision] = key[1:]
		}
	}
	return usage.PodOf(namespace, name, labels, injectedBy, finished)
}

func words(text string) (string, map[string]string) {
	words := strings.Fields(text)
	labels := map[string]string{}
	for _, w := range words[1:] {
		key, value, _ := strings.Cut(w, "=")
		labels[key] = value
	}
	return words[0], labels
}

// seen is an index that has seen everything.
func seen() *usage.Index {
	x := usage.NewIndex()
	x.SetIncomplete("")
	return x
}

// state is what an index says of a few names, as "canary: Namespace bookinfo, Pod bookinfo/details; as a tag: ...".
func state(x *usage.Index, names ...string) []string {
	var out []string
	for _, name := range names {
		list := func(u usage.Use) string {
			var users []string
			for _, user := range u.Users {
				users = append(users, user.String())
			}
			return strings.Join(users, ", ")
		}
		r, t := x.Revision(usage.RevisionInfo{Name: name}, nil, -1), x.Tag(name, usage.RevisionInfo{}, -1)
		if r.Total+t.Total > 0 {
			out = append(out, name+": "+list(r)+"; as a tag: "+list(t))
		}
	}
	return out
}

// TestIndexEvents runs histories. After each event it compares what has changed; at the end, who uses what.
func TestIndexEvents(t *testing.T) {
	t.Parallel()
	type event struct{ do, flipped, touched string }
	for _, c := range []struct {
		reason string
		events []event
		want   []string
	}{
		{
			"a namespace is a user without any pod, until its label goes",
			[]event{
				{"ns a istio.io/rev=canary", "canary", "canary"},
				{"ns a istio.io/rev=canary", "", ""},
				{"ns b istio.io/rev=canary", "", "canary"},
				{"ns a", "", "canary"},
				{"ns b istio-injection=enabled istio.io/rev=canary", "canary default", "canary default"},
				{"delete-ns b", "default", "default"},
				{"delete-ns b", "", ""},
			},
			nil,
		},
		{
			"an upgrade: the namespace moves, the pods stay with the revision that injected them, and then follow",
			[]event{
				{"ns a istio.io/rev=old", "old", "old"},
				{"pod a/x @old", "", "old"},
				{"ns a istio.io/rev=new", "new old", "new old"}, // old has the pod still, but as a tag nothing
				{"pod a/y @new", "", "new"},
				{"delete-pod a/x", "old", "old"},
			},
			[]string{"new: Namespace a, Pod a/y; as a tag: Namespace a"},
		},
		{
			"a pod may be created before anybody has seen its namespace, whose labels then decide",
			[]event{
				{"pod a/x istio.io/rev=canary", "canary", "canary"}, // in doubt it is used
				{"ns a istio-injection=disabled", "canary", "canary"},
				{"ns a", "canary", "canary"},
			},
			[]string{"canary: Pod a/x; as a tag: Pod a/x"},
		},
		{
			"a namespace may go before its pods, which then count until they go",
			[]event{
				{"ns a istio-injection=disabled", "", ""},
				{"pod a/x istio.io/rev=canary", "", ""},
				{"delete-ns a", "canary", "canary"},
				{"delete-pod a/x", "canary", "canary"},
				{"delete-pod a/x", "", ""},
			},
			nil,
		},
		{
			"a pod is one user, for however many reasons",
			[]event{
				{"pod a/x istio.io/rev=canary", "canary", "canary"},
				{"pod a/x istio.io/rev=canary @canary", "", "canary"},
				{"ns a istio.io/rev=new", "canary new", "canary new"},
			},
			[]string{"canary: Pod a/x; as a tag: ", "new: Namespace a; as a tag: Namespace a"},
		},
		{
			"a tag is used by those who name it, not by those whom its revision injected",
			[]event{
				{"pod a/x istio.io/rev=prod @canary", "canary prod", "canary prod"},
			},
			[]string{"canary: Pod a/x; as a tag: ", "prod: Pod a/x; as a tag: Pod a/x"},
		},
		{
			"a pod that ends, that stops naming anything, and one that comes to name something",
			[]event{
				{"pod a/x @canary", "canary", "canary"},
				{"pod a/x @canary !", "canary", "canary"},
				{"pod a/y sidecar.istio.io/inject=true", "default", "default"},
				{"pod a/y sidecar.istio.io/inject=false", "default", "default"},
				{"pod a/z", "", ""},
				{"pod a/z istio.io/rev=canary", "canary", "canary"},
			},
			[]string{"canary: Pod a/z; as a tag: Pod a/z"},
		},
		{
			"the reason changes, the user does not",
			[]event{
				{"ns a istio-injection=enabled", "default", "default"},
				{"ns a istio.io/rev=default", "", "default"},
			},
			[]string{"default: Namespace a; as a tag: Namespace a"},
		},
		{
			"pods with no namespace yet: a package in Git that leaves it to kustomize",
			[]event{{"pod /x istio.io/rev=canary", "canary", "canary"}},
			[]string{"canary: Pod x; as a tag: Pod x"},
		},
	} {
		x := seen()
		for _, e := range c.events {
			verb, rest, _ := strings.Cut(e.do, " ")
			var got usage.Change
			switch verb {
			case "ns":
				got = x.SetNamespace(ns(rest))
			case "delete-ns":
				got = x.DeleteNamespace(rest)
			case "pod":
				got = x.SetPod(pod(rest))
			case "delete-pod":
				namespace, name, _ := strings.Cut(rest, "/")
				got = x.DeletePod(namespace, name)
			default:
				t.Fatal(e.do)
			}
			want := usage.Change{Flipped: strings.Fields(e.flipped), Touched: strings.Fields(e.touched)}
			if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
				t.Errorf("%s: %s: -want +got:\n%s", c.reason, e.do, diff)
			}
			if got.Empty() != (e.touched == "") {
				t.Errorf("%s: %s: Empty() = %t", c.reason, e.do, got.Empty())
			}
		}
		if diff := cmp.Diff(c.want, state(x, "canary", "default", "new", "old", "prod")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestIndexReplace shows that a relist leaves what is listed and nothing else, and says what that changed.
func TestIndexReplace(t *testing.T) {
	t.Parallel()
	x := seen()
	pods := func(texts ...string) usage.Change {
		all := x.ReplacePods()
		for _, text := range texts {
			all.Set(pod(text))
		}
		return all.Done()
	}
	namespaces := func(texts ...string) usage.Change {
		all := x.ReplaceNamespaces()
		for _, text := range texts {
			all.Set(ns(text))
		}
		return all.Done()
	}
	none := []string(nil)
	for _, c := range []struct {
		reason           string
		do               func() usage.Change
		flipped, touched string
		want             []string
	}{
		{
			"the first list", func() usage.Change { return namespaces("a istio.io/rev=canary", "b") }, "canary", "canary",
			[]string{"canary: Namespace a; as a tag: Namespace a"},
		},
		{
			"pods come later", func() usage.Change { return pods("b/x @old", "b/y @old") }, "old", "old",
			[]string{"canary: Namespace a; as a tag: Namespace a", "old: Pod b/x, Pod b/y; as a tag: "},
		},
		{
			"the same again", func() usage.Change { return pods("b/x @old", "b/y @old") }, "", "",
			[]string{"canary: Namespace a; as a tag: Namespace a", "old: Pod b/x, Pod b/y; as a tag: "},
		},
		{
			"an event in between", func() usage.Change { return x.SetPod(pod("b/z istio.io/rev=new")) }, "new", "new",
			[]string{
				"canary: Namespace a; as a tag: Namespace a", "new: Pod b/z; as a tag: Pod b/z",
				"old: Pod b/x, Pod b/y; as a tag: ",
			},
		},
		{
			"one is gone, and the event is in the list", func() usage.Change {
				return pods("b/y @old", "b/z istio.io/rev=new")
			}, "", "old",
			[]string{
				"canary: Namespace a; as a tag: Namespace a", "new: Pod b/z; as a tag: Pod b/z", "old: Pod b/y; as a tag: ",
			},
		},
		{
			"a name loses its only user and gets another in one list", func() usage.Change {
				return pods("b/y @new", "b/z @old")
			}, "new", "new old",
			[]string{"canary: Namespace a; as a tag: Namespace a", "new: Pod b/y; as a tag: ", "old: Pod b/z; as a tag: "},
		},
		{
			"namespaces again: pods are not touched", func() usage.Change { return namespaces("a istio.io/rev=canary") }, "", "",
			[]string{"canary: Namespace a; as a tag: Namespace a", "new: Pod b/y; as a tag: ", "old: Pod b/z; as a tag: "},
		},
		{
			"a namespace is gone", func() usage.Change { return namespaces() }, "canary", "canary",
			[]string{"new: Pod b/y; as a tag: ", "old: Pod b/z; as a tag: "},
		},
		{"all is gone", func() usage.Change { return pods() }, "new old", "new old", none},
	} {
		want := usage.Change{Flipped: strings.Fields(c.flipped), Touched: strings.Fields(c.touched)}
		if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(c.do())); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.want, state(x, "canary", "default", "new", "old")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
	if diff := cmp.Diff(usage.Graph{}, x.Graph(usage.Topology{}, -1)); diff != "" {
		t.Errorf("names are left: -want +got:\n%s", diff)
	}
}

// TestIndexQuietEvents shows that an event that changes nothing costs no memory, and that a pod without any of the
// labels is not kept.
func TestIndexQuietEvents(t *testing.T) {
	x := seen()
	n, p, plain := ns("a istio.io/rev=canary"), pod("a/x @canary istio.io/rev=prod"), pod("b/y")
	x.SetNamespace(n)
	x.SetPod(p)
	if got := testing.AllocsPerRun(100, func() {
		x.SetNamespace(n)
		x.SetPod(p)
		x.SetPod(plain)
		x.DeletePod("b", "y")
		x.DeleteNamespace("b")
	}); got != 0 {
		t.Errorf("%v allocations by events that change nothing", got)
	}
}

// TestIndexIncomplete shows that nothing is called unused before everything has been seen.
func TestIndexIncomplete(t *testing.T) {
	t.Parallel()
	x := usage.NewIndex()
	x.SetNamespace(ns("a istio.io/rev=canary"))
	ask := func() (inUse []usage.InUse, messages []string) {
		for _, name := range []string{"canary", "old"} {
			r, tag := x.Revision(usage.RevisionInfo{Name: name}, nil, 3), x.Tag(name, usage.RevisionInfo{}, 3)
			inUse = append(inUse, r.InUse, tag.InUse)
			messages = append(messages, r.Message())
		}
		return inUse, messages
	}
	got, messages := ask()
	if diff := cmp.Diff([]usage.InUse{usage.True, usage.True, usage.Unknown, usage.Unknown}, got); diff != "" {
		t.Errorf("a user that was seen is one; what was not seen is unknown: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff([]string{
		"Referenced by at least one pod or namespace: Namespace a",
		"Not known whether a pod or namespace references it: namespaces, pods and what makes pods have not all " +
			"been seen yet",
	}, messages); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var news []bool
	for _, why := range []string{"", "", "pods cannot be listed: forbidden", "pods cannot be listed: forbidden"} {
		news = append(news, x.SetIncomplete(why))
	}
	if !slices.Equal(news, []bool{true, false, true, false}) {
		t.Errorf("SetIncomplete is news: %v", news)
	}
	if _, messages = ask(); messages[1] != "Not known whether a pod or namespace references it: pods cannot be listed: "+
		"forbidden" {
		t.Error(messages[1])
	}
	x.SetIncomplete("")
	if got, _ = ask(); !slices.Equal(got, []usage.InUse{usage.True, usage.True, usage.False, usage.False}) {
		t.Errorf("everything has been seen: %v", got)
	}
}

// TestIndexConcurrent is for the race detector: events and questions at the same time.
func TestIndexConcurrent(t *testing.T) {
	t.Parallel()
	x := seen()
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 200 {
				namespace := fmt.Sprintf("ns%d", i%3)
				x.SetNamespace(ns(fmt.Sprintf("%s istio.io/rev=r%d", namespace, w)))
				x.SetPod(pod(fmt.Sprintf("%s/p%d-%d @r%d", namespace, w, i%5, i%2)))
				x.Revision(usage.RevisionInfo{Name: "r1"}, nil, 3)
				x.Graph(usage.Topology{}, 2)
				x.DeletePod(namespace, fmt.Sprintf("p%d-%d", w, i%5))
				x.DeleteNamespace(namespace)
			}
		})
	}
	wg.Wait()
	if diff := cmp.Diff(usage.Graph{}, x.Graph(usage.Topology{}, -1)); diff != "" {
		t.Errorf("all was deleted: -want +got:\n%s", diff)
	}
}
