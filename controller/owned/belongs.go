package owned

import (
	"cmp"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
)

// PipelineRendered reports whether a pipeline renders the objects of a resource, so that the controller must not
// apply any.
func PipelineRendered(o client.Object) bool {
	return o.GetAnnotations()[manifest.AnnotationRenderedBy] != ""
}

// OwningIstio names the Istio that a revision belongs to, by its owner reference or, if a pipeline renders it, by
// the stamp; "" if it belongs to none.
func OwningIstio(rev *v1.IstioRevision) string {
	if ref := metav1.GetControllerOf(rev); ref != nil {
		if ref.Kind == v1.KindIstio && ref.APIVersion == v1.GroupVersion.String() {
			return ref.Name
		}
		return ""
	}
	if kind, name, _ := strings.Cut(rev.Annotations[manifest.AnnotationOwner], "/"); kind == v1.KindIstio &&
		PipelineRendered(rev) {
		return name
	}
	return ""
}

// Older reports which of two resources of one name came first, and so has the name.
func Older(a, b client.Object) bool {
	ta, tb := a.GetCreationTimestamp(), b.GetCreationTimestamp()
	return cmp.Or(ta.Compare(tb.Time), cmp.Compare(a.GetUID(), b.GetUID())) < 0
}
