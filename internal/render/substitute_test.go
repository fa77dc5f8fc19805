package render_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/envsubst"
	"github.com/google/go-cmp/cmp"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// rendering is all that becomes of an Istio, a tag of it, and the CNI plugin.
func rendering(
	t *testing.T, rel release.Release, name, istioValues, cniValues string, flux bool, warn func(render.Problem),
) []manifest.Object {
	t.Helper()
	asValues := func(text string) *v1.Values {
		raw, err := sigsyaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return &v1.Values{Raw: raw}
	}
	istio := &v1.Istio{Spec: v1.IstioSpec{Version: v1.Version(rel.Version), Values: asValues(istioValues)}}
	istio.Name = name
	istio.Default()
	rev, err := render.PlanRevision(render.PlanInput{Istio: istio, Release: rel})
	if err != nil {
		t.Fatal(err)
	}
	in := render.RevisionInput{Revision: rev, Release: rel, Owner: "Istio/" + name, FluxSubstitute: flux, Warn: warn}
	objects, err := render.RenderRevision(in)
	if err != nil {
		t.Fatal(err)
	}
	crds, err := render.CRDs(in)
	if err != nil {
		t.Fatal(err)
	}
	tag, err := render.Tag(render.TagInput{
		Name: "prod", Revision: rev, Release: rel, Owner: "IstioRevisionTag/prod",
		FluxSubstitute: flux,
	})
	if err != nil {
		t.Fatal(err)
	}
	cni := &v1.IstioCNI{Spec: v1.IstioCNISpec{Version: v1.Version(rel.Version), Values: asValues(cniValues)}}
	cni.Name = "default"
	cni.Default()
	plugin, err := render.CNI(render.CNIInput{
		CNI: cni, Release: rel, Owner: "IstioCNI/default", FluxSubstitute: flux,
		Warn: warn,
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(append(append(objects, crds...), tag...), plugin...)
}

const (
	variableIstio = `
meshConfig:
  trustDomain: ${trust_domain}
  defaultConfig:
    proxyMetadata: {CLUSTER: "${cluster_name}", LITERAL: "$${INSTANCE_IP}", PRICE: "$$5"}
    discoveryAddress: "${address:-istiod.istio-system.svc}:15012"
  extensionProviders:
  - name: ${provider}
    opentelemetry: {port: 4317, service: "otel.${region}.example.com"}
global:
  hub: ${registry}/istio
  meshID: ${mesh:=mesh-${region}}
  network: ${region}-network
  multiCluster: {clusterName: "${cluster_name}"}
pilot:
  podAnnotations: {"${cluster_name}/a": "x ${region} y"}
  env: {REGION: "${region}", ESCAPED: "$${region}"}
`
	variableCNI = "cni: {hub: \"${registry}/istio\", cniConfDir: \"/etc/${region}/cni\"}\n"
)

// cluster is what Flux puts in.
var cluster = map[string]string{
	"trust_domain": "east.example.com", "cluster_name": "east-1", "provider": "otel", "region": "east",
	"registry": "registry.example.com:5000/mirror",
}

// TestFluxSubstitute: what is rendered, once Flux has put in the variables, is what is rendered with their values; and
// the charts' own texts of that form, ${INSTANCE_IP}, are as they were.
func TestFluxSubstitute(t *testing.T) {
	lookup := func(name string) (string, bool) { value, ok := cluster[name]; return value, ok }
	put := func(text string) string {
		out, err := envsubst.Eval(text, lookup)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return out
	}
	// A price is no variable: Flux would take one of its dollars, so it gets it twice.
	direct := strings.ReplaceAll(put(strings.ReplaceAll(variableIstio, "$$5", "$$$$5")), `PRICE: "$5"`, `PRICE: "$$5"`)
	for _, version := range release.Bundled().Versions() {
		for _, name := range []string{"default", "canary"} {
			t.Run(version+"/"+name, func(t *testing.T) {
				rel, err := release.Bundled().Resolve(version, nil)
				if err != nil {
					t.Fatal(err)
				}
				want := reparse(t, withoutMark(rendering(t, rel, name, direct, put(variableCNI), false, nil)))
				objects := rendering(t, rel, name, variableIstio, variableCNI, true, nil)
				for _, o := range objects {
					if o.Annotation(manifest.AnnotationFluxSubstitute) != "" {
						t.Errorf("%s is marked as not for Flux", o.ID())
					}
				}
				var b strings.Builder
				for _, o := range reparse(t, objects) {
					text, err := sigsyaml.Marshal(o) // as Flux does before it puts anything in
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(&b, "---\n%s", put(string(text)))
				}
				have, err := parseAll([]byte(b.String()))
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, have); diff != "" {
					t.Errorf("-rendered with the values, +after Flux:\n%s", diff)
				}
				if text := fmt.Sprint(have); name == "default" && !strings.Contains(text, "${INSTANCE_IP}") {
					t.Error("the charts' own ${INSTANCE_IP} is gone")
				}
			})
		}
	}
}

// withoutMark takes the annotation off that keeps Flux away.
func withoutMark(objects []manifest.Object) []manifest.Object {
	var out []manifest.Object
	for _, o := range objects {
		o = o.Copy()
		o.DeleteAnnotation(manifest.AnnotationFluxSubstitute)
		out = append(out, o)
	}
	return out
}

// TestFluxUntouched: without the option, whatever has a text of that form is marked, and nothing is changed in it.
func TestFluxUntouched(t *testing.T) {
	rel, err := release.Bundled().Resolve("", nil)
	if err != nil {
		t.Fatal(err)
	}
	marked := 0
	for _, o := range rendering(t, rel, "default", variableIstio, variableCNI, false, nil) {
		var b strings.Builder
		if err := o.Encode(&b); err != nil {
			t.Fatal(err)
		}
		isMarked := o.Annotation(manifest.AnnotationFluxSubstitute) == "disabled"
		if has := strings.Contains(b.String(), "${"); has != isMarked {
			t.Errorf("%s has such a text: %v, and is marked: %v", o.ID(), has, isMarked)
		}
		if isMarked {
			marked++
		}
	}
	if marked < 4 {
		t.Errorf("only %d objects are marked", marked)
	}
}

// TestDroppedVariables: a variable that the chart writes behind the user's is named, and no other, for every variable
// that a container of the chart has.
func TestDroppedVariables(t *testing.T) {
	for _, version := range release.Bundled().Versions() {
		rel, err := release.Bundled().Resolve(version, nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct{ id, field string }{
			{"Deployment istio-system/istiod (apps)", "pilot"},
			{"DaemonSet istio-cni/istio-cni-node (apps)", "cni"},
		} {
			names := environment(t, rendering(t, rel, "default", "{}", "{}", false, nil), c.id)
			var mine strings.Builder
			for name := range names {
				fmt.Fprintf(&mine, "%s: \"mine\"\n    ", name)
			}
			own := c.field + ":\n  env:\n    " + strings.TrimSpace(mine.String()) + "\n"
			istio, cni := own, "{}"
			if c.field == "cni" {
				istio, cni = "{}", own
			}
			warned := map[string]string{}
			after := environment(t, rendering(t, rel, "default", istio, cni, false, func(p render.Problem) {
				if !p.Warning {
					t.Errorf("%s: no warning: %s", version, p)
				}
				warned[p.Pointer[len(p.Pointer)-1]] = p.String()
			}), c.id)
			for name, value := range after {
				if dropped := value != "mine"; dropped != (warned[name] != "") {
					t.Errorf("%s: %s has %s=%q; said is %q", version, c.id, name, value, warned[name])
				}
			}
			if c.field != "pilot" {
				continue
			}
			want := `spec.values.pilot.env.CLUSTER_ID: has no effect: the chart istiod sets the variable CLUSTER_ID ` +
				`itself, and what it sets counts: "Kubernetes"; ` +
				"leave it out, or set spec.values.global.multiCluster.clusterName"
			if diff := cmp.Diff(want, warned["CLUSTER_ID"]); diff != "" {
				t.Errorf("%s: -want +have:\n%s", version, diff)
			}
		}
	}
}

// environment are the variables of the containers of a workload, with their values.
func environment(t *testing.T, objects []manifest.Object, id string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, o := range objects {
		if o.ID().String() != id {
			continue
		}
		var w struct {
			Spec struct {
				Template struct {
					Spec struct {
						Containers []struct {
							Env []struct {
								Name, Value string
								ValueFrom   any `yaml:"valueFrom"`
							}
						}
					}
				}
			}
		}
		if err := o.Decode(&w); err != nil {
			t.Fatal(err)
		}
		for _, c := range w.Spec.Template.Spec.Containers {
			for _, v := range c.Env {
				if _, twice := out[v.Name]; twice {
					t.Errorf("%s has the variable %s twice", id, v.Name)
				}
				out[v.Name] = v.Value
			}
		}
	}
	if len(out) == 0 {
		t.Fatalf("%s has no variables", id)
	}
	return out
}
