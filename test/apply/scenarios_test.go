package apply

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// elsewhere are the kinds in the scenarios whose CRDs are neither Istio's nor Lateen's, and whose they are.
var elsewhere = map[string]string{
	"Kiali.kiali.io": "the Kiali operator's",
	"NetworkAttachmentDefinition.k8s.cni.cncf.io": "Multus's, which OpenShift has",
	"PodMonitor.monitoring.coreos.com":            "the Prometheus operator's",
	"ServiceMonitor.monitoring.coreos.com":        "the Prometheus operator's",
}

// TestScenarios builds every folder of examples/kustomize with the real kustomize, and expects that the server would take every
// object.
func TestScenarios(t *testing.T) {
	s := connect(t)
	path := functions(t)
	for _, dir := range scenarios(t) {
		t.Run(dir, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), tool(t, "kustomize"), "build", "--enable-alpha-plugins", "--enable-exec",
				filepath.Join(examples, dir))
			cmd.Env = append(os.Environ(), "PATH="+path+string(os.PathListSeparator)+os.Getenv("PATH"))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, stderr.String())
			}
			var known []*unstructured.Unstructured
			for document := range strings.SplitSeq(stdout.String(), "\n---\n") {
				o := must(parse(document))(t)
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
