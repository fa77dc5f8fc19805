package controller

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/release"
)

// TestTakeOver has control planes that others have installed before the controller comes. It goes on with the same
// objects.
func TestTakeOver(t *testing.T) {
	turn := parallel(t, 20)
	defer turn.leave()
	e := start(t)
	cases := []struct {
		name, reason, manager string
		// apply says that the objects are applied on the server's side.
		apply bool
		// before is done to each object before it is created.
		before func(e *env, o *unstructured.Unstructured)
	}{
		{
			name: "helm", reason: "helm install, and an Istio afterwards", manager: "helm",
			before: func(_ *env, o *unstructured.Unstructured) {
				labelled(o, "Helm")
				annotated(o, "helm")
			},
		},
		{
			name: "istioctl", reason: "istioctl install, and an Istio afterwards", manager: "istio-operator", apply: true,
			before: func(_ *env, o *unstructured.Unstructured) {
				labelled(o, "")
			},
		},
		{
			name: "sail", reason: "the Sail Operator has left its resources, and objects that they own",
			manager: "sail-operator", before: func(e *env, o *unstructured.Unstructured) {
				labelled(o, "sail-operator")
				annotated(o, "sail")
				o.SetOwnerReferences([]metav1.OwnerReference{
					*metav1.NewControllerRef(e.get("revision", "sail"), kinds["revision"]),
				})
			},
		},
	}
	sailResources(e)
	installed := map[string][]*unstructured.Unstructured{}
	for _, c := range cases {
		if c.name != "sail" {
			e.must("create", "namespace", c.name)
		}
		for _, o := range charts(t, c.name) {
			c.before(e, o)
			extra(o)
			o = e.installed(o, c.manager, c.apply)
			installed[c.name] = append(installed[c.name], o)
		}
	}
	refused := map[string][]*unstructured.Unstructured{}
	for _, name := range []string{"refused", "allowed"} {
		e.must("create", "namespace", name)
		for _, o := range charts(t, name) {
			labelled(o, "Helm")
			annotated(o, name)
			refused[name] = append(refused[name], e.installed(o, "helm", false))
		}
	}
	e.controller()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			parallel(t, 10)
			t.Log(c.reason)
			e := e.in(t)
			if c.name != "sail" {
				e.apply(resource("Istio", c.name, "version: v1.27.0, namespace: "+c.name))
			}
			e.healthy("istio", c.name)
			for _, kind := range []string{"istio", "revision"} {
				e.eventually("the Sail Operator's finalizer goes", func() error {
					if f := strings.Join(e.get(kind, c.name).GetFinalizers(), " "); strings.Contains(f, "sailoperator.io/") {
						return fmt.Errorf("the finalizers of the %s are %s", kind, f)
					}
					return nil
				})
			}
			e.takenOver(c.name, installed[c.name])
		})
	}
	for _, c := range []struct {
		name, reason string
		// recover makes what was refused right.
		recover func(e *env, name string)
	}{
		{"refused", "the version that is there is asked for instead", func(e *env, name string) {
			e.patch("istio", name, `{"spec":{"version":"v1.27.0"}}`)
		}},
		{"allowed", "the annotation allows the change of the version", func(e *env, name string) {
			e.must("annotate", "istio", name, "lateen.io/take-over=true")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			parallel(t, 10)
			t.Log(c.reason)
			e := e.in(t)
			e.apply(resource("Istio", c.name, "version: v1.28.3, namespace: "+c.name))
			e.refusesTakeOver(c.name, refused[c.name])
			c.recover(e, c.name)
			e.healthy("istio", c.name)
			if c.name == "refused" {
				e.takenOver(c.name, refused[c.name])
				return
			}
			e.is("docker.io/istio/pilot:1.28.3", "{.spec.template.spec.containers[0].image}", "deployment",
				"istiod-"+c.name, "-n", c.name)
			for _, o := range refused[c.name] {
				if o.GetKind() == "Deployment" {
					e.is(string(o.GetUID()), "{.metadata.uid}", "deployment", o.GetName(), "-n", c.name)
				}
			}
		})
	}
	t.Run("finalizers", func(t *testing.T) {
		parallel(t, 10)
		e := e.in(t)
		// Deleted when nobody was there to take the Sail Operator's finalizer off.
		for _, kind := range []string{"istio", "revision"} {
			e.gone(kind, "sail-gone")
		}
	})
}

// refusesTakeOver waits until the controller says that it does not touch a control plane of another version, and
// expects that it has not.
func (e *env) refusesTakeOver(name string, installed []*unstructured.Unstructured) {
	e.t.Helper()
	says := fmt.Sprintf(`, installed by Helm release %[1]s/%[1]s-istiod, is of Istio v1.27.0, and v1.28.3 is asked `+
		`for: ask for v1.27.0 and upgrade afterwards, or set the annotation lateen.io/take-over: "true" to take it `+
		`over and change its version`, name)
	e.exists("revision", name)
	e.eventually("the take-over is refused", func() error {
		got := e.message("revision", name, "Reconciled")
		if !strings.HasPrefix(got, "False TakeoverRefused: Deployment "+name+"/istiod-"+name) ||
			!strings.Contains(got, says) {
			return errors.New(got)
		}
		return nil
	})
	for _, o := range installed {
		got := o.DeepCopy()
		if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), got); err != nil {
			e.t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
		} else if appliers(got) != "helm" {
			e.t.Errorf("%s %s was written by %s", o.GetKind(), o.GetName(), appliers(got))
		}
	}
}

// sailResources are those that the Sail Operator leaves when it is uninstalled.
func sailResources(e *env) {
	e.must("create", "namespace", "sail")
	const finalizer = "metadata: {finalizers: [sailoperator.io/sail-operator], "
	for _, name := range []string{"sail", "sail-gone"} {
		e.apply(strings.Replace(resource("Istio", name, "version: v1.27.0, namespace: sail"), "metadata: {", finalizer, 1))
		owner := metav1.NewControllerRef(e.get("istio", name), kinds["istio"])
		text, err := yaml.Marshal([]metav1.OwnerReference{*owner})
		if err != nil {
			e.t.Fatal(err)
		}
		references, err := yaml.YAMLToJSON(text)
		if err != nil {
			e.t.Fatal(err)
		}
		e.apply(strings.Replace(byHand(name, "sail", "v1.27.0"), "metadata: {",
			finalizer+"ownerReferences: "+string(references)+", ", 1))
	}
	e.must("delete", "istio", "sail-gone", "--wait=false")
	e.must("delete", "istiorevision", "sail-gone", "--wait=false")
}

// charts renders Istio's own charts as helm does, for a control plane whose revision and namespace have one name.
func charts(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	rel, err := release.Bundled().Resolve("v1.27.0", nil)
	if err != nil {
		t.Fatal(err)
	}
	files, err := rel.Chart("istiod")
	if err != nil {
		t.Fatal(err)
	}
	istiod, err := chart.Load(files, nil)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{"revision": name, "global": map[string]any{"istioNamespace": name}}
	manifests, err := istiod.Render(values, chart.Target{Release: name + "-istiod", Namespace: name})
	if err != nil {
		t.Fatal(err)
	}
	var out []*unstructured.Unstructured
	for _, m := range manifests {
		for text := range strings.SplitSeq("\n"+m.Text, "\n---") {
			o := &unstructured.Unstructured{}
			if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
				t.Fatalf("%s: %v\n%s", m.Template, err, text)
			}
			if len(o.Object) > 0 {
				out = append(out, o)
			}
		}
	}
	if len(out) < 10 {
		t.Fatalf("the chart gives %d objects only", len(out))
	}
	return out
}

// labelled notes who manages an object, if anybody does.
func labelled(o *unstructured.Unstructured, manager string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	if labels["app.kubernetes.io/managed-by"] = manager; manager == "" {
		delete(labels, "app.kubernetes.io/managed-by")
	}
	o.SetLabels(labels)
}

// annotated notes the release that an object belongs to, as helm does.
func annotated(o *unstructured.Unstructured, name string) {
	annotations := o.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	annotations["meta.helm.sh/release-name"] = name + "-istiod"
	annotations["meta.helm.sh/release-namespace"] = name
	o.SetAnnotations(annotations)
}

// installed creates an object as its installer does.
func (e *env) installed(o *unstructured.Unstructured, manager string, apply bool) *unstructured.Unstructured {
	e.t.Helper()
	if !apply {
		if err := e.client.Create(e.t.Context(), o, client.FieldOwner(manager)); err != nil {
			e.t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
		}
		return o
	}
	if err := e.client.Apply(e.t.Context(), client.ApplyConfigurationFromUnstructured(o),
		client.FieldOwner(manager)); err != nil {
		e.t.Fatalf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
	return o
}

// takenOver waits until the controller has what somebody else has installed: the same objects, with nothing in them
// that Lateen does not render, and owned by the revision.
func (e *env) takenOver(name string, installed []*unstructured.Unstructured) {
	e.t.Helper()
	revision := e.get("revision", name)
	type facts struct {
		UID              types.UID
		Owner            types.UID
		ManagedBy, Extra string
		Release, Inner   string
		Managers         string
	}
	for _, o := range installed {
		what := o.GetKind() + " " + o.GetName()
		e.eventually(what+" is taken over", func() error {
			got := o.DeepCopy()
			if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), got); err != nil {
				return err
			}
			f := facts{
				UID: got.GetUID(), ManagedBy: got.GetLabels()["app.kubernetes.io/managed-by"],
				Extra:   got.GetLabels()["example.com/extra"],
				Release: got.GetAnnotations()["meta.helm.sh/release-name"], Managers: appliers(got),
			}
			if owner := metav1.GetControllerOf(got); owner != nil && len(got.GetOwnerReferences()) == 1 {
				f.Owner = owner.UID
			}
			data, _, _ := unstructured.NestedString(got.Object, "data", "extra")
			annotation, _, _ := unstructured.NestedString(got.Object, "spec", "template", "metadata", "annotations",
				"example.com/extra")
			f.Inner = data + annotation
			want := facts{UID: o.GetUID(), Owner: revision.GetUID(), ManagedBy: "lateen", Managers: "lateen-controller"}
			if diff := cmp.Diff(want, f); diff != "" {
				return fmt.Errorf("-want +got:\n%s", diff)
			}
			return nil
		})
	}
	e.must("delete", "istio", name)
	e.gone("revision", name)
	for _, o := range installed {
		e.eventually(o.GetKind()+" "+o.GetName()+" goes", func() error {
			err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(o), o.DeepCopy())
			if err == nil {
				return errors.New("it is still there")
			}
			return client.IgnoreNotFound(err)
		})
	}
}

// appliers names those who own fields of the spec, or of the metadata.
func appliers(o *unstructured.Unstructured) string {
	var out []string
	for _, m := range o.GetManagedFields() {
		if m.Subresource == "" && m.Manager != "kube-controller-manager" {
			out = append(out, m.Manager)
		}
	}
	return strings.Join(out, " ")
}

// extra adds what Lateen does not render.
func extra(o *unstructured.Unstructured) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels["example.com/extra"] = "yes"
	o.SetLabels(labels)
	switch o.GetKind() {
	case "ConfigMap":
		_ = unstructured.SetNestedField(o.Object, "yes", "data", "extra")
	case "Deployment":
		_ = unstructured.SetNestedField(o.Object, "yes", "spec", "template", "metadata", "annotations", "example.com/extra")
	}
}
