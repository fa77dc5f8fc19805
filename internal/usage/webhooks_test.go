package usage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1" //nolint:depguard // proof against Kubernetes; only the test links it
	"k8s.io/apimachinery/pkg/labels"              //nolint:depguard // the same
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/usage"
)

// TestRulesEqualWebhooks proves the rules against the charts. Let C be an injection webhook configuration that Istio's
// charts render for the name X, a revision or a tag; n the labels of a namespace and p those of a pod, each any
// combination of the labels involved; "auto" that X is default and enableNamespacesByDefault is set on the revision.
// Then
//
//	some webhook of C selects a pod p in a namespace n   ⇔
//	     Namespace(n).Selects() = X and p does not opt out (sidecar.istio.io/inject: "false"),     (1)
//	  or Pod(p).Selects(n) = X,                                                                   (2)
//	  or auto, and neither n nor p has any of the labels, and the namespace is not a system one.   (3)
//
// At most one of the three holds. It follows that a namespace uses X, by (1), exactly when C selects the pods without
// labels in it, auto aside, whether or not there are any; that a pod uses X by itself, by (2), exactly when C selects
// it in a namespace without labels, auto aside; and that what (3) adds is the same for all namespaces without labels:
// the one user "every namespace" of the graph.
//
// So a rule that is wrong, or a chart of a new version whose selectors differ, fails this test. So does a webhook that
// decides by anything else than the two selectors. It is about revisions that have webhooks: with
// global.operatorManageWebhooks there are none to prove anything with, and the rules hold all the same.
func TestRulesEqualWebhooks(t *testing.T) {
	t.Parallel()
	for _, version := range release.Bundled().Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			rel, err := release.Bundled().Resolve(version, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range configurations(t, rel) {
				prove(t, c)
			}
		})
	}
}

// configuration is the injection webhook configuration of a name.
type configuration struct {
	what     string
	name     string
	auto     bool
	webhooks []webhook
}

type webhook struct {
	name              string
	namespace, object labels.Selector
}

// The names that are rendered, and that labels take.
var proofNames = []string{"default", "canary", "default-v1-28-3", "prod"}

// configurations renders every kind of thing that has injection webhooks.
func configurations(t *testing.T, rel release.Release) []configuration {
	t.Helper()
	const auto = `{"sidecarInjectorWebhook":{"enableNamespacesByDefault":true}}`
	const remote = `{"profile":"remote","global":{"remotePilotAddress":"172.18.0.200"}}`
	const remoteAuto = `{"profile":"remote","global":{"remotePilotAddress":"172.18.0.200"},"sidecarInjectorWebhook":{` +
		`"enableNamespacesByDefault":true}}`
	var out []configuration
	for _, c := range []struct{ revision, tag, namespace, values string }{
		{"default", "", "istio-system", ""},
		{"default", "", "istio-system", auto},
		{"canary", "", "istio-system", ""},
		{"canary", "", "mesh-1", auto},
		{"default-v1-28-3", "", "istio-system", ""},
		{"default", "", "istio-system", remote},
		{"default", "", "istio-system", remoteAuto},
		{"canary", "", "istio-system", remote},
		{"canary", "", "istio-system", `{"revisionTags":["prod","default"]}`},
		{
			"default", "", "istio-system",
			`{"revisionTags":["prod"],"sidecarInjectorWebhook":{"enableNamespacesByDefault":true}}`,
		},
		{"canary", "prod", "istio-system", ""},
		{"canary", "prod", "mesh-1", auto},
		{"default", "prod", "istio-system", auto},
		{"canary", "default", "istio-system", ""},
		{"canary", "default", "istio-system", auto},
	} {
		rev := &v1.IstioRevision{}
		rev.Name = c.revision
		rev.Spec.Version, rev.Spec.Namespace = v1.Version(rel.Version), c.namespace
		if c.values != "" {
			rev.Spec.Values = &v1.Values{Raw: []byte(c.values)}
		}
		in := render.Input{Revision: rev}
		got := configuration{
			what: fmt.Sprintf("revision %s, tag %q, values %s", c.revision, c.tag, c.values),
			name: c.revision,
		}
		if c.tag != "" {
			got.name = c.tag
			target, err := render.Settle(in)
			if err != nil {
				t.Fatalf("%s: %v", got.what, err)
			}
			tag := &v1.IstioRevisionTag{}
			tag.Name = c.tag
			in = render.Input{Tag: tag, Target: &target}
		}
		rendered, found := render.Render(in)
		if found.HasError() {
			t.Fatalf("%s: %v", got.what, found)
		}
		out = append(out, split(t, got, rendered.Objects, strings.Contains(c.values, "enableNamespacesByDefault"))...)
	}
	return out
}

// split gives the injection webhooks of a rendering by the names that they are for: the revision, or tag, that was
// rendered, and the tags in the values of the revision.
func split(t *testing.T, rendered configuration, objects []manifest.Object, auto bool) []configuration {
	t.Helper()
	byName := map[string]*configuration{}
	var out []*configuration
	for _, o := range objects {
		if o.Kind() != "MutatingWebhookConfiguration" {
			continue
		}
		name := rendered.name
		if tag := o.Label("istio.io/tag"); tag != "" {
			name = tag
		}
		if byName[name] == nil {
			byName[name] = &configuration{what: rendered.what + ", webhooks for " + name, name: name, auto: auto &&
				name == "default"}
			out = append(out, byName[name])
		}
		byName[name].webhooks = append(byName[name].webhooks, webhooks(t, o)...)
	}
	if byName[rendered.name] == nil {
		t.Fatalf("%s: no injection webhooks are rendered", rendered.what)
	}
	var all []configuration
	for _, c := range out {
		all = append(all, *c)
	}
	return all
}

// webhooks reads a MutatingWebhookConfiguration, as far as it is about which pods it selects. Anything else that would
// be about that is an error.
func webhooks(t *testing.T, o manifest.Object) []webhook {
	t.Helper()
	var read struct {
		Webhooks []map[string]json.RawMessage `json:"webhooks"`
	}
	var text bytes.Buffer
	if err := o.Encode(&text); err != nil {
		t.Fatal(err)
	}
	if err := sigsyaml.Unmarshal(text.Bytes(), &read); err != nil {
		t.Fatal(err)
	}
	var out []webhook
	for _, w := range read.Webhooks {
		for field := range w {
			if !slices.Contains([]string{
				"name", "clientConfig", "sideEffects", "rules", "failurePolicy", "reinvocationPolicy", "admissionReviewVersions",
				"namespaceSelector", "objectSelector",
			}, field) {
				t.Fatalf("%s has a webhook with the field %s; what does it select?", o.ID(), field)
			}
		}
		var rules []struct{ Operations, APIGroups, APIVersions, Resources []string }
		decode(t, w["rules"], &rules)
		if text := fmt.Sprint(rules); text != "[{[CREATE] [] [v1] [pods]}]" {
			t.Fatalf("%s has a webhook that is not about the creation of pods: %s", o.ID(), text)
		}
		var name string
		decode(t, w["name"], &name)
		out = append(out, webhook{name, selector(t, w["namespaceSelector"]), selector(t, w["objectSelector"])})
	}
	return out
}

func selector(t *testing.T, raw json.RawMessage) labels.Selector {
	t.Helper()
	s := &metav1.LabelSelector{} // an absent one selects everything
	if raw != nil {
		decode(t, raw, s)
	}
	out, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func decode(t *testing.T, raw json.RawMessage, into any) {
	t.Helper()
	if err := json.Unmarshal(raw, into); err != nil {
		t.Fatal(err)
	}
}

// systemNamespaces are those that the charts leave out of enableNamespacesByDefault.
var systemNamespaces = []string{"kube-system", "kube-public", "kube-node-lease", "local-path-storage"}

func prove(t *testing.T, c configuration) {
	t.Helper()
	selected := 0
	for _, namespace := range append([]string{"bookinfo"}, systemNamespaces...) {
		for nsLabels := range combinations(map[string][]string{
			usage.LabelInjection: {"", "enabled", "disabled", "Enabled", "other"},
			usage.LabelRevision:  append([]string{"", "other"}, proofNames...),
		}) {
			for podLabels := range combinations(map[string][]string{
				usage.LabelInject:   {"", "true", "false", "True", "other"},
				usage.LabelRevision: append([]string{"", "other"}, proofNames...),
			}) {
				by := c.selectedBy(namespace, nsLabels, podLabels)
				rules := c.rules(namespace, nsLabels, podLabels)
				if (len(by) > 0) != (len(rules) > 0) {
					t.Fatalf("%s: namespace %s %v, pod %v: the webhooks of %s that select it are %q, the rules %v",
						c.what, namespace, nsLabels, podLabels, c.name, by, rules)
				}
				if len(rules) > 1 {
					t.Fatalf("%s: namespace %s %v, pod %v: more than one rule selects it: %v", c.what, namespace, nsLabels, podLabels,
						rules)
				}
				selected += len(by)
			}
		}
	}
	if selected == 0 {
		t.Fatalf("%s: nothing was ever selected, which proves nothing", c.what)
	}
}

// rules are those of the three that select a pod.
func (c configuration) rules(namespace string, nsLabels, podLabels map[string]string) (which []int) {
	n := usage.NamespaceOf(namespace, nsLabels)
	if name, _ := n.Selects(); name == c.name && podLabels[usage.LabelInject] != "false" {
		which = append(which, 1)
	}
	pod := usage.PodOf(namespace, "details", podLabels, nil, false)
	template := pod
	template.Kind = "CronJob"
	if name, _ := pod.Selects(n); name == c.name {
		which = append(which, 2)
	}
	selected, _ := pod.Selects(n)
	if name, _ := template.Selects(n); name != selected { // what makes pods uses what they will
		which = append(which, 0)
	}
	if c.auto && len(nsLabels) == 0 && len(podLabels) == 0 && !slices.Contains(systemNamespaces, namespace) {
		which = append(which, 3)
	}
	return which
}

// selectedBy are the webhooks that the API server would call for a pod.
func (c configuration) selectedBy(namespace string, nsLabels, podLabels map[string]string) []string {
	all := labels.Set{"kubernetes.io/metadata.name": namespace}
	maps.Copy(all, nsLabels)
	var by []string
	for _, w := range c.webhooks {
		if w.namespace.Matches(all) && w.object.Matches(labels.Set(podLabels)) {
			by = append(by, w.name)
		}
	}
	return by
}

// combinations yields each way to give labels one of their values, or none.
func combinations(values map[string][]string) func(yield func(map[string]string) bool) {
	return func(yield func(map[string]string) bool) {
		all := []map[string]string{{}}
		for key, list := range values {
			for _, m := range slices.Clone(all) {
				for _, v := range list {
					with := map[string]string{key: v}
					maps.Copy(with, m)
					all = append(all, with)
				}
			}
		}
		for _, m := range all {
			if !yield(m) {
				return
			}
		}
	}
}

// TestInjectedByIsTheRevision proves the other half: what istiod writes into the annotation istio.io/rev of the pods
// that it injects is the name of its revision, through whichever tag they came. The templates write `.Revision`, which
// istiod takes from its environment; where that is empty, "default".
func TestInjectedByIsTheRevision(t *testing.T) {
	t.Parallel()
	for _, version := range release.Bundled().Versions() {
		for _, name := range []string{"default", "canary"} {
			rev := &v1.IstioRevision{}
			rev.Name, rev.Spec.Version, rev.Spec.Namespace = name, v1.Version(version), "istio-system"
			rendered, found := render.Render(render.Input{Revision: rev})
			if found.HasError() {
				t.Fatal(found)
			}
			templates, istiod := 0, false
			for _, o := range rendered.Objects {
				switch {
				case o.Kind() == "ConfigMap" && strings.HasPrefix(o.ID().Name, "istio-sidecar-injector"):
					var m struct{ Data map[string]string }
					if err := o.Decode(&m); err != nil {
						t.Fatal(err)
					}
					for line := range strings.Lines(m.Data["config"]) {
						if line = strings.TrimSpace(line); !strings.HasPrefix(line, usage.LabelRevision+":") {
							continue
						}
						templates++
						if want := usage.LabelRevision + `: {{ .Revision | default "default" | quote }}`; strings.TrimSuffix(line,
							",") != want {
							t.Errorf("%s, revision %s: a template has %q, want %q", version, name, line, want)
						}
					}
				case o.Kind() == "Deployment":
					istiod = revisionOf(t, o) == name
				}
			}
			if templates < 2 {
				t.Errorf("%s, revision %s: %d templates write the annotation, want those of sidecars and gateways at least",
					version, name, templates)
			}
			if !istiod {
				t.Errorf("%s, revision %s: istiod does not have it as its REVISION", version, name)
			}
		}
	}
}

// revisionOf is the environment variable REVISION of istiod.
func revisionOf(t *testing.T, deployment manifest.Object) string {
	t.Helper()
	var d struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Env []struct{ Name, Value string }
					}
				}
			}
		}
	}
	if err := deployment.Decode(&d); err != nil {
		t.Fatal(err)
	}
	for _, c := range d.Spec.Template.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == "REVISION" {
				return e.Value
			}
		}
	}
	return ""
}
