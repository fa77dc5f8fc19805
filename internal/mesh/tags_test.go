package mesh_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/mesh"
)

type m = map[string]any

func ref(kind, name string) finding.Ref { return finding.Ref{Kind: kind, Name: name} }

// active is the control plane of an Istio, updated by revisions.
func active(istio, revision string, values m) mesh.ControlPlane {
	return mesh.ControlPlane{
		Ref: ref("Istio", istio), Istio: istio, Name: revision, Version: "v1.28.3", Namespace: "istio-system",
		Values: values, Coexists: true, ByRevisions: true,
	}
}

// earlier is a revision that the Istio default had before.
func earlier(revision string, values m) mesh.ControlPlane {
	return mesh.ControlPlane{
		Ref: ref("IstioRevision", revision), Name: revision, Owner: "Istio/default", Version: "v1.27.0",
		Namespace: "istio-system", Values: values, Coexists: true,
	}
}

// tag is an IstioRevisionTag that points at something.
func tag(name, kind, target string) mesh.Tag {
	return mesh.Tag{Ref: ref("IstioRevisionTag", name), Name: name, Target: ref(kind, target)}
}

func tags(names ...any) m { return m{"revisionTags": names} }

// said is what a finding says of which field of which resource.
type said struct{ Severity, Name, Field, Message string }

func says(found finding.List) []said {
	var out []said
	for _, f := range found {
		out = append(out, said{string(f.Severity), f.Ref.Kind + "/" + f.Ref.Name, f.Field, f.Message})
	}
	return out
}

const twice = ": workloads with the label istio.io/rev="

func TestTarget(t *testing.T) {
	t.Parallel()
	unusable := active("broken", "", nil)
	unusable.Unusable = "cannot be rendered: no such version"
	s := mesh.Snapshot{ControlPlanes: []mesh.ControlPlane{
		active("default", "default-v1-28-3", m{}), active("far", "far", m{"profile": "remote"}), unusable,
		earlier("default-v1-27-0", m{}), earlier("prod", m{}),
	}}
	targets := "Istio/default, IstioRevision/default-v1-28-3, Istio/far, IstioRevision/far, Istio/broken, " +
		"IstioRevision/default-v1-27-0, IstioRevision/prod"
	const field = "spec.targetRef.name"
	for _, c := range []struct {
		reason string
		tag    mesh.Tag
		of     string
		want   *said
	}{
		{"the active revision of an Istio", tag("x", "Istio", "default"), "default-v1-28-3", nil},
		{"a revision, be it the active one", tag("x", "IstioRevision", "default-v1-28-3"), "default-v1-28-3", nil},
		{"an earlier revision", tag("x", "IstioRevision", "default-v1-27-0"), "default-v1-27-0", nil},
		{
			"an Istio has no revision of its own name", tag("x", "IstioRevision", "default"), "",
			&said{"error", "IstioRevisionTag/x", field, "spec.targetRef: IstioRevision/default is not in the package; " +
				"there are: " + targets},
		},
		{
			"another kind than the two", tag("x", "Gateway", "default"), "",
			&said{"error", "IstioRevisionTag/x", field, "spec.targetRef: Gateway/default is not in the package; there " +
				"are: " + targets},
		},
		{
			"a remote one", tag("x", "Istio", "far"), "far",
			&said{"error", "IstioRevisionTag/x", field, "spec.targetRef: Istio/far is a remote control plane; a tag can " +
				"only point at one in the same cluster"},
		},
		{
			"one that cannot be rendered", tag("x", "Istio", "broken"), "",
			&said{"error", "IstioRevisionTag/x", field, "spec.targetRef: Istio/broken cannot be rendered: no such version"},
		},
		{
			"a revision has the name of the tag", tag("default-v1-28-3", "Istio", "default"), "",
			&said{
				"error", "IstioRevisionTag/default-v1-28-3", "metadata.name", "a revision has the name of the tag, " +
					"default-v1-28-3" + twice + "default-v1-28-3 would be injected twice; rename the tag",
			},
		},
		{
			"an earlier revision has the name of the tag", tag("prod", "Istio", "default"), "",
			&said{
				"error", "IstioRevisionTag/prod", "metadata.name", "a revision has the name of the tag, prod" + twice +
					"prod would be injected twice; it is an earlier revision of Istio/default. Leave the tag out for now; " +
					"move the workloads to default-v1-28-3 by the label istio.io/rev, and restart them. When nothing uses " +
					"prod any more, remove the file of IstioRevision/prod, or let a usage report release it, and add the tag " +
					"in the same commit",
			},
		},
	} {
		of, wrong := s.Target(c.tag)
		if of.Name != c.of {
			t.Errorf("%s: it is on %q, want %q", c.reason, of.Name, c.of)
		}
		var got *said
		if wrong != nil {
			got = &says(finding.List{*wrong})[0]
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}

	for without, want := range map[string]string{
		"":                    "there are: none",
		"Look somewhere else": "there are: none. Look somewhere else",
	} {
		_, wrong := mesh.Snapshot{WithoutAny: without}.Target(tag("x", "Istio", "default"))
		if want := "spec.targetRef: Istio/default is not in the package; " + want; wrong == nil || wrong.Message != want {
			t.Errorf("without any control plane: got %v, want %s", wrong, want)
		}
	}
}

func TestTagClashes(t *testing.T) {
	t.Parallel()
	const field = "spec.values.revisionTags"
	same := func(a, b, name string) string {
		return a + " and " + b + " are the same revision tag, " + name + ": namespaces with the label istio.io/rev=" + name +
			" would be injected by both; remove one of the two"
	}
	one, two := active("one", "one-v1-28-3", tags("prod")), active("two", "two-v1-28-3", tags("prod", "test"))
	for _, c := range []struct {
		reason string
		planes []mesh.ControlPlane
		tags   []mesh.Tag
		want   []said
	}{
		{"a tag alone", []mesh.ControlPlane{two}, two.Tags(), nil},
		{
			"two control planes bring one: each is told of the other",
			[]mesh.ControlPlane{one, two},
			append(one.Tags(), two.Tags()...),
			[]said{
				{"error", "Istio/one", field, same(field+" of Istio/one", field+" of Istio/two", "prod")},
				{"error", "Istio/two", field, same(field+" of Istio/two", field+" of Istio/one", "prod")},
			},
		},
		{
			"an IstioRevisionTag and a control plane",
			[]mesh.ControlPlane{one},
			append([]mesh.Tag{tag("prod", "Istio", "one")}, one.Tags()...),
			[]said{
				{"error", "IstioRevisionTag/prod", "metadata.name", same("IstioRevisionTag/prod", field+" of Istio/one", "prod")},
				{"error", "Istio/one", field, same(field+" of Istio/one", "IstioRevisionTag/prod", "prod")},
			},
		},
		{
			"a tag of values with the name of a revision, its own included",
			[]mesh.ControlPlane{
				active("a", "a-v1-28-3", tags("a-v1-28-3")),
			},
			active("a", "a-v1-28-3", tags("a-v1-28-3")).Tags(),
			[]said{{
				"error", "Istio/a", field, field + ": a revision has the name of the tag, a-v1-28-3" + twice +
					"a-v1-28-3 would be injected twice; rename the tag",
			}},
		},
		{
			"an IstioRevisionTag with the name of a revision is Target's to refuse",
			[]mesh.ControlPlane{one},
			[]mesh.Tag{tag("one-v1-28-3", "Istio", "one")},
			nil,
		},
		{
			"an IstioRevisionTag that is there twice is somebody else's to refuse", nil,
			[]mesh.Tag{tag("prod", "Istio", "one"), tag("prod", "Istio", "two")},
			nil,
		},
	} {
		s := mesh.Snapshot{ControlPlanes: c.planes, Tags: c.tags}
		if diff := cmp.Diff(c.want, says(s.TagClashes())); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
