package lateen_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing/fstest"

	"github.com/lateen-io/lateen"
)

func ExampleRender() {
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
	result, err := lateen.Render([]byte(istio), lateen.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	objects, err := result.Objects()
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, o := range objects {
		if o.GetKind() == "Deployment" || o.GetKind() == "HorizontalPodAutoscaler" {
			fmt.Println(o.GetKind(), o.GetNamespace(), o.GetName(), o.GetLabels()["lateen.io/revision"])
		}
	}
	fmt.Println(result.Revisions[0].Name, result.Revisions[0].Spec.Version)
	// Output:
	// Deployment istio-system istiod default
	// HorizontalPodAutoscaler istio-system istiod default
	// default v1.28.3
}

// What a KRM function reads and writes, through an io.Reader and an io.Writer.
func ExampleTransform() {
	const list = `apiVersion: config.kubernetes.io/v1
kind: ResourceList
items:
- apiVersion: sailoperator.io/v1
  kind: IstioCNI
  metadata:
    name: default
  spec:
    version: v1.28.3
`
	var out bytes.Buffer
	if err := lateen.Transform(strings.NewReader(list), &out, lateen.Options{Platform: "openshift"}); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Print(strings.Join(strings.SplitAfter(out.String(), "\n")[:7], ""))
	fmt.Println("objects of it:", strings.Count(out.String(), "lateen.io/owner: IstioCNI/default\n"))
	// Output:
	// apiVersion: config.kubernetes.io/v1
	// kind: ResourceList
	// items:
	// - apiVersion: sailoperator.io/v1
	//   kind: IstioCNI
	//   metadata:
	//     name: default
	// objects of it: 8
}

func ExampleVersions() {
	for _, v := range lateen.Versions() {
		if slices.Contains(v.Aliases, "v1.23-latest") || slices.Contains(v.Aliases, "v1.24-latest") {
			fmt.Println(v.Version, v.Aliases, "end of life:", v.EndOfLife)
		}
	}
	// Output:
	// v1.23.2 [v1.23-latest] end of life: 2025-04
	// v1.24.2 [v1.24-latest] end of life: 2025-06
}

// Charts of a version that is not bundled, from a file system. A program would rather have os.DirFS("charts"), an
// embed.FS or a zip archive, and Istio's own charts in it.
func ExampleOptions_charts() {
	charts := fstest.MapFS{}
	for _, chart := range []string{"istiod", "base"} {
		charts["1.99.0/"+chart+"/Chart.yaml"] = &fstest.MapFile{
			Data: []byte("apiVersion: v2\nname: " + chart + "\nversion: 1.99.0\n"),
		}
		charts["1.99.0/"+chart+"/templates/map.yaml"] = &fstest.MapFile{
			Data: []byte("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-" + chart + "\n  namespace: istio-system\n"),
		}
	}
	const istio = `apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: default}
spec: {version: v1.99.0}
`
	result, err := lateen.Render([]byte(istio), lateen.Options{Charts: charts})
	if err != nil {
		fmt.Println(err)
		return
	}
	text, err := result.YAML()
	if err != nil {
		fmt.Println(err)
		return
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "  name: ") {
			fmt.Print(strings.TrimSpace(line), "\n")
		}
	}
	// Output:
	// name: of-base
	// name: of-istiod
}

func ExampleOptions_String() {
	options := lateen.Options{KubeVersion: "v1.33.1", Charts: fstest.MapFS{}, CRDs: true}
	fmt.Println(options)
	fmt.Println(lateen.Options{})
	// Output:
	// lateen.Options{Charts: fstest.MapFS, KubeVersion: "v1.33.1", CRDs: true}
	// lateen.Options{}
}

// What is wrong with resources: every finding is data, and what is about charts is an error of its own.
func ExampleError() {
	const mesh = `apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: misspelled}
spec:
  values: {pilot: {autoscaleMni: 2}}
---
apiVersion: sailoperator.io/v1
kind: Istio
metadata: {name: old}
spec: {version: v1.21.0}
`
	_, err := lateen.Render([]byte(mesh), lateen.Options{})
	if wrong, ok := errors.AsType[*lateen.Error](err); ok {
		for _, f := range wrong.Findings {
			if f.Severity == lateen.SeverityError {
				fmt.Println(f.Kind, f.Name, f.Field, f.Suggestion)
			}
		}
	}
	if unknown, ok := errors.AsType[*lateen.UnknownVersionError](err); ok {
		fmt.Println("bring the charts of", unknown.Version)
	}
	// Output:
	// Istio misspelled spec.values.pilot.autoscaleMni autoscaleMin
	// Istio old spec.version <nil>
	// bring the charts of v1.21.0
}
