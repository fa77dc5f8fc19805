package mesh_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/usage"
)

// asks is who asks for a name by a label of its metadata.
func asks(kind, name, label string) mesh.Consumer {
	return mesh.Consumer{
		Ref: ref(kind, "web"), Who: kind + " shop/web", Name: name, Reason: "label " + label,
		Field: []string{"metadata", "labels", label},
	}
}

func TestUnserved(t *testing.T) {
	t.Parallel()
	const rev, field = "istio.io/rev", "metadata.labels.istio.io/rev"
	unsure, past, noField := asks("Deployment", "old", rev), asks("Deployment", "old", rev), asks("Deployment", "old", rev)
	unsure.Unsure, past.Past, noField.Field = true, true, nil
	injected := asks("Pod", "default", "sidecar.istio.io/inject")
	maybe := injected
	maybe.Unsure = true
	both := []mesh.ControlPlane{active("default", "default-v1-28-3", tags("stable")), earlier("default-v1-27-0", nil)}
	inPlace := active("default", "default", nil)
	inPlace.ByRevisions = false
	const known = " (it has: default-v1-27-0, default-v1-28-3, prod, stable): "
	for _, c := range []struct {
		reason  string
		planes  []mesh.ControlPlane
		forgets bool
		asks    mesh.Consumer
		want    []said
	}{
		{"the active revision", both, false, asks("Namespace", "default-v1-28-3", rev), nil},
		{"an earlier one", both, false, asks("Namespace", "default-v1-27-0", rev), nil},
		{"an IstioRevisionTag", both, false, asks("Namespace", "prod", rev), nil},
		{"a tag of values", both, false, asks("Namespace", "stable", rev), nil},
		{"a proxy that has been injected already", both, false, past, nil},
		{"what no label says", both, false, noField, nil},
		{"a package without control planes", nil, false, asks("Namespace", "old", rev), nil},
		{
			"nothing of the name", both, false, asks("Namespace", "old", rev),
			[]said{{
				"warning", "Namespace/web", field, "istio.io/rev: old is no revision or tag of the package" + known +
					"nothing would be injected, and Pods may fail to start",
			}},
		},
		{
			"a namespace that is not there may say something else", both, false, unsure,
			[]said{{
				"info", "Deployment/web", field, "istio.io/rev: old is no revision or tag of the package" + known +
					"nothing would be injected, unless the namespace, which is not in the package, has a label of its own",
			}},
		},
		{
			"a Gateway", both, false, asks("Gateway", "old", rev),
			[]said{{
				"warning", "Gateway/web", field, "istio.io/rev: old is no revision or tag of the package" + known +
					"no control plane would deploy the Gateway",
			}},
		},
		{
			"the name default, by the label of a namespace", both, false, asks("Namespace", "default", "istio-injection"),
			[]said{{
				"warning", "Namespace/web", "metadata.labels.istio-injection", "istio-injection: enabled means the revision or " +
					"tag named default, and the package has none" + strings.TrimSuffix(known, ": ") + ": use the label " +
					"istio.io/rev, or add an IstioRevisionTag named default",
			}},
		},
		{
			"the name default, by the label of a pod",
			[]mesh.ControlPlane{{Ref: ref("Istio", "wrong"), Istio: "wrong"}},
			false,
			injected,
			[]said{{
				"warning", "Pod/web", "metadata.labels.sidecar.istio.io/inject", `sidecar.istio.io/inject: "true" means the ` +
					"revision or tag named default, and the package has none (it has: prod): use the label istio.io/rev, or add " +
					"an IstioRevisionTag named default",
			}},
		},
		{"the same, when its namespace may say otherwise", both, false, maybe, nil},
		{
			"what can be an earlier revision that nothing remembers", both, true, asks("Namespace", "default-v1-26-0", rev),
			[]said{{
				"info", "Namespace/web", field, "istio.io/rev: default-v1-26-0 is not in the package, but may be an earlier " +
					"revision of Istio/default that is in the cluster; move the label to default-v1-28-3 when that one is ready",
			}},
		},
		{
			"that is no earlier revision where all are remembered", both, false, asks("Namespace", "default-v1-26-0", rev),
			[]said{{
				"warning", "Namespace/web", field, "istio.io/rev: default-v1-26-0 is no revision or tag of the package" + known +
					"nothing would be injected, and Pods may fail to start",
			}},
		},
		{
			"no version, so no earlier revision", both, true, asks("Namespace", "default-vintage", rev),
			[]said{{
				"warning", "Namespace/web", field, "istio.io/rev: default-vintage is no revision or tag of the package" + known +
					"nothing would be injected, and Pods may fail to start",
			}},
		},
		{
			"what was the control plane before it was updated by revisions", both, true,
			asks("Namespace", "default", "istio-injection"),
			[]said{{
				"warning", "Namespace/web", "metadata.labels.istio-injection", "istio-injection: enabled means the revision or " +
					"tag named default, and the package has none" + strings.TrimSuffix(known, ": ") + ": use the label " +
					"istio.io/rev, or add an IstioRevisionTag named default. If Istio/default was InPlace before, the control " +
					"plane default still injects, as long as it is in the cluster: a GitOps tool prunes it unless the commit " +
					"before rendered it with the option protect (annotation lateen.io/protect: \"true\")",
			}},
		},
		{
			"one that is updated in place has the name itself",
			[]mesh.ControlPlane{inPlace},
			true,
			asks("Namespace", "default", "istio-injection"), nil,
		},
	} {
		s := mesh.Snapshot{
			ControlPlanes: c.planes, Tags: []mesh.Tag{tag("prod", "Istio", "default")},
			Consumers: []mesh.Consumer{c.asks}, Forgets: c.forgets,
		}
		if diff := cmp.Diff(c.want, says(s.Unserved())); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestRelease: what keeps an earlier revision, and what lets it go.
func TestRelease(t *testing.T) {
	t.Parallel()
	const rev = "istio.io/rev"
	external := m{"pilot": m{"env": m{"EXTERNAL_ISTIOD": "true"}}}
	ambient := m{"pilot": m{"env": m{"PILOT_ENABLE_AMBIENT": "true"}}}
	all := m{"sidecarInjectorWebhook": m{"enableNamespacesByDefault": true}}
	now := active("default", "default-v1-28-3", m{})
	proxy := asks("Pod", "old", rev)
	proxy.Past = true
	unused := []usage.Report{{Name: "west", Revisions: []usage.Revision{
		{Name: "default", InUse: usage.False},
		{Name: "old", InUse: usage.False},
		{Name: "default-v1-28-3", InUse: usage.True},
	}}}
	const held = " in the package names it (label istio.io/rev)"
	for _, c := range []struct {
		reason    string
		active    mesh.ControlPlane
		old       mesh.ControlPlane
		tags      []mesh.Tag
		consumers []mesh.Consumer
		enrolled  string
		reports   []usage.Report
		want      usage.Verdict
	}{
		{"nobody says anything", now, earlier("old", m{}), nil, nil, "", nil, usage.Verdict{}},
		{
			"a report says that nothing uses it", now, earlier("old", m{}), nil, nil, "", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"no report about it", now, earlier("older", m{}), nil, nil, "", unused,
			usage.Verdict{Reason: "the usage report west does not mention it"},
		},
		{
			"it is external", now, earlier("old", external), nil, nil, "", unused,
			usage.Verdict{Reason: "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other " +
				"clusters"},
		},
		{
			"the active one is external, and so was it", active("default", "default-v1-28-3", external), earlier("old", m{}),
			nil, nil, "", unused,
			usage.Verdict{Reason: "it is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other " +
				"clusters"},
		},
		{
			"it injects every namespace", now, earlier("default", all), nil, nil, "", unused,
			usage.Verdict{Reason: "it injects every namespace (sidecarInjectorWebhook.enableNamespacesByDefault)"},
		},
		{
			"a tag has taken that over", now, earlier("default", all),
			[]mesh.Tag{tag("default", "Istio", "default")},
			nil, "",
			unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"only the revision default does that", now, earlier("old", all), nil, nil, "", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"a tag points at it", now, earlier("old", m{}),
			[]mesh.Tag{
				tag("live", "Istio", "old"), tag("prod", "IstioRevision", "old"),
			},
			nil, "", unused,
			usage.Verdict{Reason: "the tag prod in the package points at it"},
		},
		{
			"a Deployment names it", now, earlier("old", m{}), nil,
			[]mesh.Consumer{asks("Deployment", "old", rev)},
			"", unused,
			usage.Verdict{Reason: "Deployment shop/web" + held},
		},
		{
			"the name is a tag's by now", now, earlier("old", m{}),
			[]mesh.Tag{tag("old", "Istio", "default")},
			[]mesh.Consumer{asks("Deployment", "old", rev)},
			"", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"a proxy is of the revision, whatever tags there are", now, earlier("old", m{}),
			[]mesh.Tag{tag("old", "Istio", "default")},
			[]mesh.Consumer{proxy},
			"", unused,
			usage.Verdict{Reason: "Pod shop/web" + held},
		},
		{
			"its tag of values is named", now, earlier("old", tags("canary")), nil,
			[]mesh.Consumer{asks("Namespace", "canary", rev)},
			"", unused,
			usage.Verdict{Reason: "Namespace shop/web in the package names its tag canary of values.revisionTags (label " +
				"istio.io/rev)"},
		},
		{
			"a proxy that a revision of that name has injected is no user of the tag", now, earlier("old", tags("canary")), nil,
			[]mesh.Consumer{{Ref: ref("Pod", "web"), Who: "Pod shop/web", Name: "canary", Past: true}},
			"", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"the active one has that tag as well", active("default", "default-v1-28-3", tags("canary")),
			earlier("old", tags("canary")), nil,
			[]mesh.Consumer{asks("Namespace", "canary", rev)},
			"", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"somebody is in ambient, which only it serves", now, earlier("old", ambient), nil, nil, "Namespace shop", unused,
			usage.Verdict{Reason: "Namespace shop in the package is in ambient, which the active revision default-v1-28-3 " +
				"does not serve"},
		},
		{
			"the active one serves ambient as well", active("default", "default-v1-28-3", ambient), earlier("old", ambient),
			nil, nil, "Namespace shop", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
		{
			"nobody is in ambient", now, earlier("old", ambient), nil, nil, "", unused,
			usage.Verdict{Unused: true, Reason: "nothing uses it, by the usage report west"},
		},
	} {
		s := mesh.Snapshot{
			ControlPlanes: []mesh.ControlPlane{c.active, c.old}, Tags: c.tags, Consumers: c.consumers, Enrolled: c.enrolled,
		}
		if diff := cmp.Diff(c.want, s.Release(c.active, c.old, c.reports, usage.Question{})); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestNamedBy(t *testing.T) {
	t.Parallel()
	proxy := asks("Pod", "old", "istio.io/rev")
	proxy.Past = true
	label := asks("Deployment", "old", "istio.io/rev")
	pointing := []mesh.Tag{tag("prod", "IstioRevision", "old")}
	for _, c := range []struct {
		reason    string
		tags      []mesh.Tag
		consumers []mesh.Consumer
		replaced  bool
		want      string
	}{
		{"nobody", nil, []mesh.Consumer{asks("Pod", "other", "istio.io/rev")}, false, ""},
		{"a tag", pointing, []mesh.Consumer{label}, false, "the tag prod in the package points at it"},
		{"a label", nil, []mesh.Consumer{label}, false, "Deployment shop/web in the package names old (label istio.io/rev)"},
		{"a label, which something else serves", nil, []mesh.Consumer{label}, true, ""},
		{
			"a proxy of it, whatever serves the name", nil,
			[]mesh.Consumer{label, proxy},
			true,
			"Pod shop/web in the package names old (label istio.io/rev)",
		},
	} {
		s := mesh.Snapshot{Tags: c.tags, Consumers: c.consumers}
		if got := s.NamedBy("old", c.replaced); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}

func TestNeedsPlugin(t *testing.T) {
	t.Parallel()
	broken := active("broken", "", nil)
	broken.Unusable = "cannot be rendered: why"
	for _, c := range []struct {
		reason string
		plane  mesh.ControlPlane
		want   string
	}{
		{"sidecars with an init container", active("a", "a", m{}), ""},
		{"pilot.cni.enabled", active("a", "a", m{"pilot": m{"cni": m{"enabled": true}}}), "Istio/a needs the CNI plugin " +
			"(pilot.cni.enabled)"},
		{"ambient", active("a", "a", m{"profile": "ambient"}), "Istio/a needs the CNI plugin (profile ambient)"},
		{"ambient on OpenShift", active("a", "a", m{"profile": "openshift-ambient"}), "Istio/a needs the CNI plugin " +
			"(profile openshift-ambient)"},
		{"nobody knows", broken, "whether Istio/broken needs the CNI plugin cannot be told: it cannot be rendered: why"},
	} {
		s := mesh.Snapshot{ControlPlanes: []mesh.ControlPlane{active("first", "first", m{}), c.plane}}
		if got := s.NeedsPlugin(); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}
