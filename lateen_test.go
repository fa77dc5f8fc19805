package lateen_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
)

const istio = `apiVersion: sailoperator.io/v1
kind: Istio
metadata:
  name: default
spec:
  version: v1.28.3
  values:
    pilot:
      autoscaleMin: 2
`

// TestObjectsAreTheYAML: both forms of a result are the same objects, with whole numbers as integers.
func TestObjectsAreTheYAML(t *testing.T) {
	result, err := lateen.Render([]byte(istio), lateen.Options{CRDs: true, Track: true})
	if err != nil {
		t.Fatal(err)
	}
	objects, err := result.Objects()
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.YAML()
	if err != nil {
		t.Fatal(err)
	}
	docs := strings.Split(string(text), "\n---\n")
	if len(docs) != len(objects) || len(docs) < 30 {
		t.Fatalf("%d documents and %d objects", len(docs), len(objects))
	}
	for i, o := range objects {
		want, err := yaml.YAMLToJSON([]byte(docs[i]))
		if err != nil {
			t.Fatal(err)
		}
		got, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), strings.TrimSpace(string(got))); diff != "" {
			t.Errorf("%s: -yaml +object:\n%s", o.GetName(), diff)
		}
	}
}

// TestError names everything that is wrong, in a form that programs can use.
func TestError(t *testing.T) {
	_, err := lateen.Render([]byte(strings.Replace(istio, "autoscaleMin: 2", "autoscaleMni: 2\n      traceSamplin: 1", 1)),
		lateen.Options{})
	wrong, ok := errors.AsType[*lateen.Error](err)
	if !ok {
		t.Fatalf("not an *Error: %v", err)
	}
	var fields []string
	for _, r := range wrong.Findings {
		fields = append(fields, fmt.Sprint(r.Field, " ", r.Suggestion))
	}
	slices.Sort(fields)
	want := []string{"spec.values.pilot.autoscaleMni autoscaleMin", "spec.values.pilot.traceSamplin traceSampling"}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestTransform: a wrong resource is an error, and the list is written all the same, unchanged.
func TestTransform(t *testing.T) {
	list := func(version string) string {
		return "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- apiVersion: sailoperator.io/v1\n" +
			"  kind: Istio\n" +
			"  metadata:\n    name: default\n  spec:\n    version: " + version + "\n"
	}
	var out bytes.Buffer
	if err := lateen.Transform(strings.NewReader(list("v1.28.3")), &out, lateen.Options{}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "kind: Deployment") {
		t.Error("nothing was rendered")
	}
	out.Reset()
	err := lateen.Transform(strings.NewReader(list("v9.9.9")), &out, lateen.Options{})
	if _, ok := errors.AsType[*lateen.Error](err); !ok {
		t.Errorf("not an *Error: %v", err)
	}
	if !strings.HasPrefix(out.String(), list("v9.9.9")+"results:\n") {
		t.Errorf("the list was not written as it came:\n%s", out.String())
	}
}

// TestStrict: under Strict warnings are errors, in both forms of the API.
func TestStrict(t *testing.T) {
	const warned = `apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec: {version: v1.28.3, updateStrategy: {type: RevisionBased}}
`
	list := "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n- " +
		strings.ReplaceAll(strings.TrimSpace(warned), "\n", "\n  ") + "\n  status: {}\n"
	for _, c := range []struct {
		options lateen.Options
		wrong   bool
	}{
		{lateen.Options{}, false},
		{lateen.Options{Strict: true}, true},
	} {
		_, err := lateen.Render([]byte(warned), c.options)
		if _, ok := errors.AsType[*lateen.Error](err); ok != c.wrong || !ok && err != nil {
			t.Errorf("Render with %+v: %v", c.options, err)
		}
		var out bytes.Buffer
		local := strings.Replace(list, "{name: default}",
			"{name: default, annotations: {config.kubernetes.io/local-config: 'true'}}", 1)
		err = lateen.Transform(strings.NewReader(local), &out, c.options)
		if _, ok := errors.AsType[*lateen.Error](err); ok != c.wrong || !ok && err != nil {
			t.Errorf("Transform with %+v: %v", c.options, err)
		}
		if rendered := strings.Contains(out.String(), "kind: Deployment"); rendered == c.wrong {
			t.Errorf("Transform with %+v rendered: %v", c.options, rendered)
		}
	}
}

// TestAllowRemoval: a control plane leaves a package that remembers only if that is allowed by name.
func TestAllowRemoval(t *testing.T) {
	const (
		head = "apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n" +
			"- apiVersion: kpt.dev/v1\n  kind: Kptfile\n  metadata:\n    name: mesh\n    annotations:\n" +
			"      internal.config.kubernetes.io/path: Kptfile\n"
		mesh = "- apiVersion: sailoperator.io/v1\n  kind: Istio\n  metadata:\n    name: default\n    annotations:\n" +
			"      internal.config.kubernetes.io/path: istio.yaml\n  spec:\n    version: v1.28.3\n"
	)
	var rendered bytes.Buffer
	if err := lateen.Transform(strings.NewReader(head+mesh), &rendered, lateen.Options{}); err != nil {
		t.Fatal(err)
	}
	var list map[string]any
	if err := yaml.Unmarshal(rendered.Bytes(), &list); err != nil {
		t.Fatal(err)
	}
	items, ok := list["items"].([]any)
	if !ok || len(items) < 10 {
		t.Fatalf("%d items were rendered", len(items))
	}
	list["items"] = slices.DeleteFunc(items, func(item any) bool {
		o, ok := item.(map[string]any)
		return ok && o["kind"] == "Istio"
	})
	delete(list, "results")
	without, err := yaml.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		allowed []string
		gone    bool
	}{
		{nil, false},
		{[]string{"Istio/other"}, false},
		{[]string{"IstioCNI/default", "Istio/default"}, true},
	} {
		var out bytes.Buffer
		err := lateen.Transform(bytes.NewReader(without), &out, lateen.Options{AllowRemoval: c.allowed})
		if _, refused := errors.AsType[*lateen.Error](err); refused == c.gone || !refused && err != nil {
			t.Errorf("with %q allowed: %v", c.allowed, err)
		}
		if stays := strings.Contains(out.String(), "kind: Deployment"); stays == c.gone {
			t.Errorf("with %q allowed the Deployment stays: %v", c.allowed, stays)
		}
	}
}

// TestWholeMesh: a control plane, its CNI plugin and a tag in one call, in both forms of the API.
func TestWholeMesh(t *testing.T) {
	const mesh = istio + "  updateStrategy: {type: RevisionBased}\n---\napiVersion: sailoperator.io/v1\n" +
		"kind: IstioCNI\nmetadata: {name: default}\n---\n" +
		"apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: prod}\nspec: {targetRef: {kind: Istio, " +
		"name: default}}\n"
	result, err := lateen.Render([]byte(mesh), lateen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text, err := result.YAML()
	if err != nil {
		t.Fatal(err)
	}
	var list strings.Builder
	list.WriteString("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n")
	for doc := range strings.SplitSeq(mesh, "---\n") {
		list.WriteString("- " + strings.ReplaceAll(strings.TrimRight(doc, "\n"), "\n", "\n  ") + "\n")
	}
	var out bytes.Buffer
	if err := lateen.Transform(strings.NewReader(list.String()), &out, lateen.Options{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"name: istiod-default-v1-28-3", "name: istio-cni-node", "name: istio-revision-tag-prod",
	} {
		for form, got := range map[string]string{"Render": string(text), "Transform": out.String()} {
			if !strings.Contains(got, name+"\n") {
				t.Errorf("%s: %q is not in the output", form, name)
			}
		}
	}
}
