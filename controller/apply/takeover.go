package apply

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Foreign is an object that another installer has created under the name of one that Lateen renders.
type Foreign struct {
	Object v1.ObjectReference
	// Installer is who: "Helm release istio-system/istiod".
	Installer string
	// Version is that of Istio, such as v1.28.3; empty if the object does not say.
	Version string
	// runs says that the object runs the version: it is a Deployment or a DaemonSet.
	runs bool
}

func (f Foreign) String() string {
	version := ""
	if f.Version != "" {
		version = ", Istio " + f.Version
	}
	return fmt.Sprintf("%s (%s%s)", f.Object, f.Installer, version)
}

// TakeoverError says that objects of other installers are of another version of Istio than the one that is asked for.
type TakeoverError struct {
	Objects []Foreign
	// Version is the one that is asked for.
	Version string
}

func (e *TakeoverError) Error() string {
	first := e.Objects[0]
	more := ""
	if n := len(e.Objects) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more objects)", n)
	}
	if first.Version == "" {
		return fmt.Sprintf("%s%s, installed by %s, is of a version of Istio that cannot be told, and %s is asked "+
			"for: ask for the version that it runs, "+
			"or set the annotation lateen.io/take-over: \"true\" to take it over and change its version", first.Object,
			more, first.Installer, e.Version)
	}
	const text = "%s%s, installed by %s, is of Istio %s, and %s is asked for: ask for %[4]s and upgrade afterwards, " +
		"or set the annotation lateen.io/take-over: \"true\" to take it over and change its version"
	return fmt.Sprintf(text, first.Object, more, first.Installer, first.Version, e.Version)
}

// refused are those of the objects that are of another version than the one that is asked for: those that run it first.
// One that runs and does not say its version may be of any; others that do not say theirs have none.
func refused(objects []Foreign, version string) []Foreign {
	out := slices.DeleteFunc(slices.Clone(objects), func(f Foreign) bool {
		return f.Version == version || f.Version == "" && !f.runs
	})
	slices.SortStableFunc(out, func(a, b Foreign) int { return cmp.Compare(runs(b), runs(a)) })
	return out
}

func runs(f Foreign) int {
	if f.runs {
		return 1
	}
	return 0
}

// foreign tells what is known of an object of another installer, and whether it is one: not if a Lateen has applied it,
// here or in a pipeline, now or before, nor if the Sail Operator has, whose resources are the same.
func foreign(o *unstructured.Unstructured) (Foreign, bool) {
	manages := o.GetLabels()[manifest.LabelManagedBy]
	ours := manages == manifest.ManagedBy || manages == "sail-operator" ||
		o.GetAnnotations()[manifest.AnnotationOwner] != "" ||
		slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool {
			return strings.HasPrefix(r.APIVersion, v1.GroupVersion.Group+"/")
		}) ||
		slices.ContainsFunc(o.GetManagedFields(), func(e metav1.ManagedFieldsEntry) bool {
			return e.Manager == FieldManager || e.Manager == "sail-operator"
		})
	if ours {
		return Foreign{}, false
	}
	version, runs := versionOf(o)
	return Foreign{referenceTo(o), installer(o), version, runs}, true
}

// installer names who has created an object.
func installer(o *unstructured.Unstructured) string {
	annotations := o.GetAnnotations()
	if name := annotations["meta.helm.sh/release-name"]; name != "" {
		return "Helm release " + strings.TrimPrefix(annotations["meta.helm.sh/release-namespace"]+"/"+name, "/")
	}
	for _, e := range o.GetManagedFields() {
		switch {
		case e.Subresource != "":
		case e.Manager == "istio-operator":
			return "istioctl"
		case strings.HasPrefix(e.Manager, "argocd"):
			return "Argo CD"
		case e.Manager == "kustomize-controller" || e.Manager == "helm-controller":
			return "Flux"
		default:
			return e.Manager
		}
	}
	return "somebody else"
}

// A version of Istio, at the end of the name of a chart, or in the tag of an image, where the variant of the image may
// follow.
var (
	chartVersion = regexp.MustCompile(`-v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.[0-9A-Za-z.]+)?)$`)
	imageVersion = regexp.MustCompile(`:v?(\d+\.\d+\.\d+(?:-(?:alpha|beta|rc)\.[0-9A-Za-z.]+)?)(?:-[a-z]+)?(?:@.*)?$`)
)

// versionOf is the version of Istio that an object is of, and whether it runs it. What runs is what the image says.
func versionOf(o *unstructured.Unstructured) (version string, runs bool) {
	if kind := o.GetKind(); kind == "Deployment" || kind == "DaemonSet" {
		runs = true
		containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
		for _, c := range containers {
			container, _ := c.(map[string]any)
			image, _ := container["image"].(string)
			if m := imageVersion.FindStringSubmatch(image); m != nil {
				return "v" + m[1], runs
			}
		}
	}
	labels := o.GetLabels()
	if v := labels["app.kubernetes.io/version"]; v != "" {
		return "v" + strings.TrimPrefix(v, "v"), runs
	}
	if m := chartVersion.FindStringSubmatch(labels["helm.sh/chart"]); m != nil {
		return "v" + m[1], runs
	}
	return "", runs
}
