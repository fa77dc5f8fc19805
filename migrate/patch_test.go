package migrate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

// kustomize finds the binary that `make test` builds.
func kustomize(t *testing.T) string {
	t.Helper()
	if name := os.Getenv("LATEEN_KUSTOMIZE"); name != "" {
		return name
	}
	const built = "../bin/tools/kustomize"
	if _, err := os.Stat(built); err == nil {
		return built
	}
	t.Skip("no kustomize: run `make test`")
	return ""
}

// TestPatches pastes the patches and manifests of findings into a kustomization with what the Istio renders to, and
// builds it with the real kustomize.
func TestPatches(t *testing.T) {
	t.Parallel()
	tool := kustomize(t)
	out := migrate.Operator(object(t, head+`spec:
  tag: 1.28.3
  components:
    base: {enabled: false}
    pilot:
      k8s:
        priorityClassName: high
        securityContext: {fsGroup: 1337}
        imagePullPolicy: Always
        readinessProbe: {periodSeconds: 9}
        env: [{name: POD_NAME, value: fixed}]
        service: {externalTrafficPolicy: Local}
        overlays:
        - kind: Deployment
          name: istiod
          patches:
          - {path: 'spec.template.spec.containers.[name:discovery].args.[-1]', value: --extra}
          - {path: 'spec.template.spec.containers.[name:discovery].args.[1]', value: --monitoringAddr=:9}
          - {path: 'spec.template.spec.containers.[name:discovery].env.[name:PILOT_ENABLE_ANALYSIS].value',
              value: "maybe"}
          - {path: 'spec.template.spec.containers.[name:discovery].env.[name:PLATFORM]'}
          - {path: 'spec.template.spec.containers.[name:discovery].resources', value: {limits: {cpu: 3}}}
          - {path: spec.template.metadata.annotations.example\.com/a, value: b}
        - kind: MutatingWebhookConfiguration
          name: istio-sidecar-injector
          patches:
          - {path: 'webhooks.[name:rev\.namespace\.sidecar-injector\.istio\.io].failurePolicy', value: Ignore}
        - kind: Service
          name: istiod
          patches:
          - {path: 'spec.ports.[port:15010].name', value: xds}
`), "")
	got := map[string]string{}
	objects, all := paste(t, tool, out.Findings, render(t, write(t, out.Objects)))
	for _, o := range objects {
		what, is := look(t, o)
		if what != "" {
			got[what] = is
		}
	}
	want := map[string]string{
		"deployment": "high 1337 Always 9 first:--monitoringAddr=:9 last:--extra POD_NAME=fixed " +
			"PILOT_ENABLE_ANALYSIS=maybe PLATFORM= cpu:3 annotation:b",
		"service": "Local xds", "webhook": "rev.namespace.sidecar-injector.istio.io Ignore",
		"gateway Deployment": "is there", "gateway Service": "is there", "gateway HorizontalPodAutoscaler": "is there",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s\n%s", diff, all)
	}
}

// paste builds a kustomization of objects, the manifests that findings have, and their patches, which it returns too.
func paste(t *testing.T, tool string, findings finding.List, objects string) (built []manifest.Object, all string) {
	t.Helper()
	dir := t.TempDir()
	save := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	documents, patches := []string{objects}, []string{}
	for _, r := range findings {
		_, pasted, _ := strings.Cut(r.Message, "patches:\n")
		patches = append(patches, pasted)
		if _, pasted, ok := strings.Cut(r.Message, ":\napiVersion: v1\n"); ok {
			pasted, _, _ = strings.Cut(pasted, "# The overlays, as patches")
			documents = append(documents, "apiVersion: v1\n"+pasted)
		}
	}
	all = strings.Join(patches, "")
	save("objects.yaml", strings.Join(documents, "---\n"))
	save("kustomization.yaml", "resources: [objects.yaml]\npatches:\n"+all)
	cmd := exec.CommandContext(t.Context(), tool, "build", dir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s\n%s", err, stderr.String(), all)
	}
	if built, err = resource.ParseDocuments(text); err != nil {
		t.Fatal(err)
	}
	return built, all
}

// look reads from an object what the patches change, and says which it is; all others are "".
func look(t *testing.T, o manifest.Object) (what, is string) {
	t.Helper()
	switch id := o.ID(); {
	case id.Kind == "Deployment" && id.Name == "istiod":
		return "deployment", picked(t, o)
	case id.Kind == "ValidatingWebhookConfiguration" && id.Name == "istiod-default-validator":
		return "validator", "is there"
	case id.Kind == "Service" && id.Name == "istiod":
		var s struct {
			Spec struct {
				ExternalTrafficPolicy string `yaml:"externalTrafficPolicy"`
				Ports                 []struct{ Name string }
			}
		}
		if err := o.Decode(&s); err != nil {
			t.Fatal(err)
		}
		return "service", s.Spec.ExternalTrafficPolicy + " " + s.Spec.Ports[0].Name
	case id.Kind == "MutatingWebhookConfiguration" && id.Name == "istio-sidecar-injector":
		var w struct {
			Webhooks []struct {
				Name          string
				FailurePolicy string `yaml:"failurePolicy"`
			}
		}
		if err := o.Decode(&w); err != nil {
			t.Fatal(err)
		}
		return "webhook", w.Webhooks[0].Name + " " + w.Webhooks[0].FailurePolicy
	case id.Name == "istio-ingressgateway":
		return "gateway " + id.Kind, "is there"
	}
	return "", ""
}

// picked reads from istiod's Deployment what the patches change.
func picked(t *testing.T, o manifest.Object) string {
	t.Helper()
	pod := o.Field("spec", "template", "spec")
	c := yaml.NewRNode(pod.Content[indexOf(pod, "containers")].Content[0])
	at := func(n *yaml.RNode, path ...string) string {
		v, err := n.Pipe(yaml.Lookup(path...))
		if err != nil || v == nil {
			return ""
		}
		return yaml.GetValue(v)
	}
	p := yaml.NewRNode(pod)
	args, err := c.Pipe(yaml.Lookup("args"))
	if err != nil {
		t.Fatal(err)
	}
	list := args.Content()
	env := func(name string) string { return name + "=" + at(c, "env", "[name="+name+"]", "value") }
	requests, err := c.Pipe(yaml.Lookup("resources", "requests"))
	if err != nil || requests != nil {
		t.Errorf("resources were merged, not replaced: %v %v", requests, err)
	}
	return strings.Join([]string{
		at(p, "priorityClassName"), at(p, "securityContext", "fsGroup"), at(c, "imagePullPolicy"),
		at(c, "readinessProbe", "periodSeconds"),
		"first:" + list[1].Value, "last:" + list[len(list)-1].Value, env("POD_NAME"), env("PILOT_ENABLE_ANALYSIS"),
		env("PLATFORM"),
		"cpu:" + at(c, "resources", "limits", "cpu"),
		"annotation:" + at(yaml.NewRNode(o.Node()), "spec", "template", "metadata", "annotations", "example.com/a"),
	}, " ")
}

func indexOf(n *yaml.Node, key string) int {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i + 1
		}
	}
	return 0
}
