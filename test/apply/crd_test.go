package apply

import (
	"context"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen"
)

// create makes an object, as kubectl does: unknown fields are errors. It goes with the test.
func (s server) create(t *testing.T, text string) (*unstructured.Unstructured, error) {
	t.Helper()
	o := must(parse(text))(t)
	err := client.WithFieldValidation(s.client, metav1.FieldValidationStrict).Create(t.Context(), o)
	if err == nil {
		t.Cleanup(func() {
			if err := s.client.Delete(context.WithoutCancel(t.Context()), o); err != nil {
				t.Error(err)
			}
		})
	}
	return o, err
}

// resource is an object of one of Lateen's kinds, with its spec in YAML's short form.
func resource(kind, name, spec string) string {
	return "apiVersion: sailoperator.io/v1\nkind: " + kind + "\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
}

// TestAdmission is what the server says to resources that people write.
func TestAdmission(t *testing.T) {
	s := connect(t)
	const (
		immutable = "Value is immutable"
		namespace = "spec.values.global.istioNamespace must match spec.namespace"
		revision  = "spec.values.revision must match metadata.name or be empty when the name is 'default'"
	)
	cases := map[string]struct {
		reason string
		// before is what is stored, if anything; object is then its update.
		before, object string
		// want is a part of what the server says, or empty if it has nothing to say.
		want string
	}{
		"nothing": {
			reason: "all of an Istio has defaults",
			object: "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: mesh}\n",
		},
		"all together": {
			reason: "what the user guide writes",
			object: resource("Istio", "mesh",
				`{version: v1.28-latest, namespace: a, profile: demo, updateStrategy: {type: RevisionBased, `+
					`inactiveRevisionDeletionGracePeriodSeconds: 30}, values: {global: {istioNamespace: a}, `+
					`pilot: {env: {A: "true"}}}}`),
		},
		"move an Istio": {
			reason: "a control plane cannot be moved",
			before: resource("Istio", "mesh", "{namespace: a}"),
			object: resource("Istio", "mesh", "{namespace: b}"),
			want:   immutable,
		},
		"move an IstioRevision": {
			reason: "the same",
			before: resource("IstioRevision", "mesh",
				"{version: v1.28.3, namespace: a, values: {revision: mesh, global: {istioNamespace: a}}}"),
			object: resource("IstioRevision", "mesh",
				"{version: v1.28.3, namespace: b, values: {revision: mesh, global: {istioNamespace: b}}}"),
			want: immutable,
		},
		"move an IstioCNI": {
			reason: "the same",
			before: resource("IstioCNI", "default", "{namespace: a}"),
			object: resource("IstioCNI", "default", "{namespace: b}"),
			want:   immutable,
		},
		"update an Istio": {
			reason: "a new version is what an update is for",
			before: resource("Istio", "mesh", "{version: v1.27.0}"),
			object: resource("Istio", "mesh", "{version: v1.28.3}"),
		},
		"retarget a tag": {
			reason: "that is what a tag is for",
			before: resource("IstioRevisionTag", "prod", "{targetRef: {kind: Istio, name: a}}"),
			object: resource("IstioRevisionTag", "prod", "{targetRef: {kind: IstioRevision, name: b}}"),
		},
		"a tag of something else": {
			reason: "a tag points at an Istio or an IstioRevision",
			object: resource("IstioRevisionTag", "prod", "{targetRef: {kind: Deployment, name: a}}"),
			want:   `spec.targetRef.kind: Unsupported value: "Deployment": supported values: "Istio", "IstioRevision"`,
		},
		"two namespaces": {
			reason: "Lateen sets the value from the field",
			object: resource("Istio", "mesh", "{namespace: a, values: {global: {istioNamespace: b}}}"),
			want:   namespace,
		},
		"two namespaces, one by default": {
			reason: "the default counts too",
			object: resource("Istio", "mesh", "{values: {global: {istioNamespace: b}}}"),
			want:   namespace,
		},
		"a revision in two namespaces": {
			reason: "the values of a revision are complete",
			object: resource("IstioRevision", "mesh", "{version: v1.28.3, namespace: a, values: {revision: mesh}}"),
			want:   namespace,
		},
		"a revision of another name": {
			reason: "the name is the revision",
			object: resource("IstioRevision", "mesh",
				"{version: v1.28.3, namespace: a, values: {revision: other, global: {istioNamespace: a}}}"),
			want: revision,
		},
		"a revision of no name": {
			reason: "only the default one may have none",
			object: resource("IstioRevision", "mesh", "{version: v1.28.3, namespace: a, values: {global: {istioNamespace: a}}}"),
			want:   revision,
		},
		"a second CNI": {
			reason: "nodes have one CNI plugin",
			object: resource("IstioCNI", "second", "{}"),
			want:   "metadata.name must be 'default'",
		},
		"an environment variable without quotes": {
			reason: "the user guide says so: environment variables are strings",
			object: resource("Istio", "mesh", "{values: {pilot: {env: {PILOT_ENABLE_STATUS: true}}}}"),
			want:   `spec.values.pilot.env.PILOT_ENABLE_STATUS: Invalid value: "boolean"`,
		},
		"a misspelled value": {
			reason: "it would be ignored",
			object: resource("Istio", "mesh", "{values: {pilot: {traceSamplin: 1}}}"),
			want:   `unknown field "spec.values.pilot.traceSamplin"`,
		},
		"a value in the wrong place": {
			reason: "the mistake in the user guide",
			object: resource("Istio", "mesh", "{global: {network: n}}"),
			want:   `unknown field "spec.global"`,
		},
		"a version without v": {
			reason: "versions are named as Istio's releases are tagged here",
			object: resource("Istio", "mesh", "{version: 1.28.3}"),
			want:   "spec.version: Invalid value",
		},
		"an unknown profile": {
			reason: "it would be ignored",
			object: resource("Istio", "mesh", "{profile: minimal}"),
			want:   `spec.profile: Unsupported value: "minimal"`,
		},
		"a negative grace": {
			reason: "time does not run backwards",
			object: resource("Istio", "mesh", "{updateStrategy: {inactiveRevisionDeletionGracePeriodSeconds: -1}}"),
			want:   "spec.updateStrategy.inactiveRevisionDeletionGracePeriodSeconds: Invalid value: -1",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var err error
			if c.before == "" {
				_, err = s.create(t, c.object)
			} else {
				old := must(s.create(t, c.before))(t)
				o := must(parse(c.object))(t)
				o.SetResourceVersion(old.GetResourceVersion())
				err = client.WithFieldValidation(s.client, metav1.FieldValidationStrict).Update(t.Context(), o)
			}
			var got string
			if err != nil {
				got = err.Error()
			}
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("%s: the server says\n%q\nwant\n%q", c.reason, got, c.want)
			}
		})
	}
}

// TestDefaults is what the server adds to a resource that says nothing. It must be what a pipeline takes for granted,
// or else a resource would mean something else once it is in a cluster.
func TestDefaults(t *testing.T) {
	s := connect(t)
	const mesh = "apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata: {name: mesh}\n"
	result, err := lateen.Render([]byte(mesh), lateen.Options{})
	if err != nil {
		t.Fatal(err)
	}
	version := string(result.Revisions[0].Spec.Version)
	cases := map[string]struct {
		object string
		want   map[string]any
	}{
		"Istio": {
			object: mesh,
			want: map[string]any{
				"namespace":      result.Revisions[0].Spec.Namespace,
				"updateStrategy": map[string]any{"type": "InPlace"},
				"version":        version,
			},
		},
		"IstioCNI": {
			object: "apiVersion: sailoperator.io/v1\nkind: IstioCNI\nmetadata: {name: default}\n",
			want:   map[string]any{"namespace": "istio-cni", "version": version},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := must(s.create(t, c.object))(t)
			if diff := cmp.Diff(c.want, o.Object["spec"]); diff != "" {
				t.Errorf("spec: -want +got:\n%s", diff)
			}
		})
	}
}

// TestColumns is what kubectl get prints, with -o wide.
func TestColumns(t *testing.T) {
	s := connect(t)
	cases := map[string]struct {
		reason string
		object string
		// header and cells have a line's columns; the age is not compared.
		header, cells []string
	}{
		"istios": {
			reason: "the table of the user guide; the last two with -o wide only",
			object: resource("Istio", "mesh", "{version: v1.28.3, namespace: a, profile: demo}") +
				"status: {state: Healthy, activeRevisionName: mesh, revisions: {total: 3, ready: 2, inUse: 1}}\n",
			header: []string{
				"NAME", "REVISIONS", "READY", "IN USE", "ACTIVE REVISION", "STATUS", "VERSION", "AGE", "NAMESPACE", "PROFILE",
			},
			cells: []string{"mesh", "3", "2", "1", "mesh", "Healthy", "v1.28.3", "", "a", "demo"},
		},
		"istiorev": {
			reason: "the short name; Ready and In use are conditions",
			object: resource("IstioRevision", "mesh",
				"{version: v1.28.3, namespace: a, values: {revision: mesh, global: {istioNamespace: a}}}") +
				"status: {type: Local, state: Healthy, conditions: [{type: Ready, status: 'True'}, {type: InUse, " +
				"status: 'False'}]}\n",
			header: []string{"NAME", "TYPE", "READY", "STATUS", "IN USE", "VERSION", "AGE"},
			cells:  []string{"mesh", "Local", "True", "Healthy", "False", "v1.28.3", ""},
		},
		"istiorevtag": {
			reason: "the short name",
			object: resource("IstioRevisionTag", "prod", "{targetRef: {kind: Istio, name: mesh}}") +
				"status: {state: NotReferencedByAnything, istioRevision: mesh, conditions: [{type: InUse, status: 'False'}]}\n",
			header: []string{"NAME", "STATUS", "IN USE", "REVISION", "AGE"},
			cells:  []string{"prod", "NotReferencedByAnything", "False", "mesh", ""},
		},
		"istiocnis": {
			reason: "the table of the user guide",
			object: resource("IstioCNI", "default", "{version: v1.28.3}") +
				"status: {state: Healthy, conditions: [{type: Ready, status: 'True'}]}\n",
			header: []string{"NAME", "READY", "STATUS", "VERSION", "AGE"},
			cells:  []string{"default", "True", "Healthy", "v1.28.3", ""},
		},
	}
	gap := regexp.MustCompile(` {2,}`)
	for plural, c := range cases {
		t.Run(plural, func(t *testing.T) {
			status := must(parse(c.object))(t).Object["status"]
			o := must(s.create(t, c.object))(t) // which drops the status
			o.Object["status"] = status
			if err := s.client.Status().Update(t.Context(), o); err != nil {
				t.Fatal(err)
			}
			out := must(s.kubectl(t.Context(), t, "get", plural, o.GetName(), "-o", "wide"))(t)
			lines := strings.Split(strings.TrimSpace(out), "\n")
			if len(lines) != 2 {
				t.Fatalf("%s: kubectl prints\n%s", c.reason, out)
			}
			header, cells := gap.Split(strings.TrimSpace(lines[0]), -1), gap.Split(strings.TrimSpace(lines[1]), -1)
			if age := slices.Index(header, "AGE"); age >= 0 && age < len(cells) {
				cells[age] = ""
			}
			if diff := cmp.Diff([][]string{c.header, c.cells}, [][]string{header, cells}); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			narrow := must(s.kubectl(t.Context(), t, "get", plural, o.GetName()))(t)
			if strings.Contains(narrow, "PROFILE") {
				t.Errorf("%s: without -o wide, kubectl prints\n%s", c.reason, narrow)
			}
		})
	}
	t.Run("category", func(t *testing.T) {
		o := must(s.create(t, resource("Istio", "mesh", "{}")))(t)
		out := must(s.kubectl(t.Context(), t, "get", "istio-io", "-o", "name"))(t)
		if want := "istio.sailoperator.io/" + o.GetName(); !slices.Contains(strings.Fields(out), want) {
			t.Errorf("kubectl get istio-io: no %s in\n%s", want, out)
		}
	})
}

// TestExplain is the documentation that users have at hand: kubectl explain.
func TestExplain(t *testing.T) {
	s := connect(t)
	// The server takes a moment to publish what it knows of a new CRD.
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := s.kubectl(ctx, t, "explain", "istio.spec.values.pilot")
	for err != nil && ctx.Err() == nil {
		time.Sleep(100 * time.Millisecond)
		out, err = s.kubectl(ctx, t, "explain", "istio.spec.values.pilot")
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ reason, want string }{
		{"a scalar and what Istio says about it", "traceSampling\t<number>\n    Trace sampling fraction.\n"},
		{"what must be quoted", "env\t<map[string]string>\n    Environment variables passed to the Pilot container.\n"},
		{"the description of the value itself", "DESCRIPTION:\n    Configuration for the Pilot component.\n"},
	} {
		if !strings.Contains(out, c.want) {
			t.Errorf("%s: no %q in\n%s", c.reason, c.want, out)
		}
	}
	if field := regexp.MustCompile(`(?m)^ {2}\w+\t<.*>\n( {4}<no description>)?\n?$`).FindString(out); field != "" {
		t.Errorf("a field without a description: %q", field)
	}
}
