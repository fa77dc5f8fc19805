package apply

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/pkg/ssa"
	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// elsewhere are the kinds in the scenarios whose CRDs are neither Istio's nor Lateen's, and whose they are.
var elsewhere = map[string]string{
	"Kiali.kiali.io": "the Kiali operator's",
	"NetworkAttachmentDefinition.k8s.cni.cncf.io": "Multus's, which OpenShift has",
	"PodMonitor.monitoring.coreos.com":            "the Prometheus operator's",
	"ServiceMonitor.monitoring.coreos.com":        "the Prometheus operator's",
}

// TestScenarios builds every folder of examples/kustomize with the real kustomize, and expects that the server would
// take every object.
func TestScenarios(t *testing.T) {
	s := connect(t)
	path := functions(t)
	for _, dir := range scenarios(t) {
		t.Run(dir, func(t *testing.T) {
			var known []*unstructured.Unstructured
			for _, o := range scenario(t, path, dir) {
				kind := o.GroupVersionKind().GroupKind()
				_, err := s.client.RESTMapper().RESTMapping(kind)
				switch {
				case meta.IsNoMatchError(err) && elsewhere[kind.String()] != "":
				case err != nil:
					t.Errorf("%s: %v", kindAndName(o), err)
				case o.GetKind() == "Namespace":
					s.namespace(t, o.GetName())
				default:
					known = append(known, o)
				}
			}
			s.accepts(t, "what the scenario shows must work", known)
		})
	}
}

// TestScenariosTwice applies every folder of examples/kustomize to a server that has nothing but CRDs and namespaces,
// as Flux does, and then once more: the second time changes no object. Nor does it as kubectl does, without asking
// first whether there is a difference, but for what the server itself notes when an object is applied for the second
// time.
func TestScenariosTwice(t *testing.T) {
	s := connectTo(t, cluster.Start(t, cluster.WithoutWebhooks())) // there is no istiod that would answer
	if err := s.installCRDs(t.Context()); err != nil {
		t.Fatal(err)
	}
	path := functions(t)
	for _, dir := range scenarios(t) {
		t.Run(dir, func(t *testing.T) {
			objects := slices.DeleteFunc(scenario(t, path, dir), func(o *unstructured.Unstructured) bool {
				return elsewhere[o.GroupVersionKind().GroupKind().String()] != ""
			})
			t.Cleanup(func() { s.removeAll(t, objects) })
			for subject, action := range s.apply(t, objects) {
				if kind, _, _ := strings.Cut(subject, "/"); action != ssa.CreatedAction && kind != "Namespace" &&
					kind != "CustomResourceDefinition" {
					t.Errorf("%s was there before: %s", subject, action)
				}
			}
			first := s.versions(t, objects)
			s.apply(t, objects)
			if diff := cmp.Diff(first, s.versions(t, objects)); diff != "" {
				t.Errorf("what the second time changes: -first +second:\n%s", diff)
			}
			s.applyBlindly(t, objects)
			second := s.versions(t, objects)
			for _, o := range objects {
				if name := kindAndName(o); second[name] != first[name] && !noted(o) {
					t.Errorf("applying it without a look changes %s", name)
				}
			}
			s.applyBlindly(t, objects)
			if diff := cmp.Diff(second, s.versions(t, objects)); diff != "" {
				t.Errorf("what the third time changes: -second +third:\n%s", diff)
			}
		})
	}
}

// noted reports whether the server writes an object when it is applied for the second time, and then no more: a
// Namespace of which a name is all that is applied, since it has no field manager before; and Lateen's resources, since
// a default below status is stored by the second write only.
func noted(o *unstructured.Unstructured) bool {
	empty := len(o.GetLabels()) == 0 && len(o.GetAnnotations()) == 0
	return o.GetKind() == "Namespace" && empty || o.GroupVersionKind().Group == "sailoperator.io"
}

// applyBlindly applies objects without a dry run before.
func (s server) applyBlindly(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if err := s.client.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(o.DeepCopy()),
			client.ForceOwnership, client.FieldOwner(owner.Field)); err != nil {
			t.Fatal(err)
		}
	}
}

// versions are the resource versions of objects.
func (s server) versions(t *testing.T, objects []*unstructured.Unstructured) map[string]string {
	t.Helper()
	versions := map[string]string{}
	for _, o := range objects {
		live := o.DeepCopy()
		if err := s.client.Get(t.Context(), client.ObjectKeyFromObject(o), live); err != nil {
			t.Fatal(err)
		}
		versions[kindAndName(o)] = live.GetResourceVersion()
	}
	return versions
}

// removeAll deletes objects, but for the namespaces, which take a controller, and the CRDs.
func (s server) removeAll(t *testing.T, objects []*unstructured.Unstructured) {
	t.Helper()
	for _, o := range objects {
		if kind := o.GetKind(); kind == "Namespace" || kind == "CustomResourceDefinition" {
			continue
		}
		if err := client.IgnoreNotFound(s.client.Delete(context.WithoutCancel(t.Context()), o)); err != nil {
			t.Error(err)
		}
	}
}

// built are the folders that a test has built already, as kustomize prints them.
var built = map[string]string{}

// scenario builds a folder of examples/kustomize with the real kustomize, once. The functions are in a path.
func scenario(t *testing.T, path, dir string) []*unstructured.Unstructured {
	t.Helper()
	if built[dir] == "" {
		built[dir] = build(t, path, dir)
	}
	var objects []*unstructured.Unstructured
	for document := range strings.SplitSeq(built[dir], "\n---\n") {
		objects = append(objects, must(parse(document))(t))
	}
	return objects
}

func build(t *testing.T, path, dir string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), tool(t, "kustomize"), "build", "--enable-alpha-plugins", "--enable-exec",
		filepath.Join(examples, dir))
	cmd.Env = append(os.Environ(), "PATH="+path+string(os.PathListSeparator)+os.Getenv("PATH"))
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	return stdout.String()
}

// examples are the folders that users copy from.
const examples = "../../examples/kustomize"

// scenarios are the folders that can be built by themselves: those that no folder above them makes use of.
func scenarios(t *testing.T) []string {
	t.Helper()
	var dirs []string
	root := os.DirFS(examples)
	err := fs.WalkDir(root, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.IsDir() {
			return err
		}
		if _, err := fs.Stat(root, path+"/kustomization.yaml"); errors.Is(err, fs.ErrNotExist) || path == "." {
			return nil
		}
		dirs = append(dirs, path)
		return fs.SkipDir
	})
	if err != nil || len(dirs) == 0 {
		t.Fatalf("no scenarios in %s: %v", examples, err)
	}
	return dirs
}

// functions gives the directory with the built functions, and builds them if make has not.
func functions(t *testing.T) string {
	t.Helper()
	if bin := os.Getenv("LATEEN_BIN"); bin != "" {
		return bin
	}
	bin := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../../functions/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("building the functions: %v\n%s", err, out)
	}
	return bin
}
