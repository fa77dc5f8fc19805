package owned

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
)

func TestOwningIstio(t *testing.T) {
	t.Parallel()
	yes := true
	ref := func(apiVersion, kind string) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: apiVersion, Kind: kind, Name: "a", Controller: &yes}}
	}
	stamped := func(owner, by string) map[string]string {
		m := map[string]string{manifest.AnnotationOwner: owner}
		if by != "" {
			m[manifest.AnnotationRenderedBy] = by
		}
		return m
	}
	for _, c := range []struct {
		reason      string
		refs        []metav1.OwnerReference
		annotations map[string]string
		want        string
	}{
		{"Nobody owns it.", nil, nil, ""},
		{"Its controller is an Istio.", ref("sailoperator.io/v1", "Istio"), nil, "a"},
		{"Another group has Istios too.", ref("example.com/v1", "Istio"), nil, ""},
		{
			"Something else controls it, whatever a stamp says.", ref("apps/v1", "Deployment"),
			stamped("Istio/a", "render-istio"), "",
		},
		{"A pipeline's stamp counts.", nil, stamped("Istio/a", "render-istio"), "a"},
		{"A stamp without a pipeline is a copy by hand.", nil, stamped("Istio/a", ""), ""},
		{"A stamp of another kind.", nil, stamped("IstioRevision/a", "render-istio"), ""},
	} {
		rev := &v1.IstioRevision{
			ObjectMeta: metav1.ObjectMeta{Name: "r", OwnerReferences: c.refs, Annotations: c.annotations},
		}
		if got := OwningIstio(rev); got != c.want {
			t.Errorf("%s: got %q, want %q", c.reason, got, c.want)
		}
	}
}

func TestOlder(t *testing.T) {
	t.Parallel()
	object := func(second int64, uid types.UID) *v1.Istio {
		return &v1.Istio{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.Unix(second, 0), UID: uid}}
	}
	for _, c := range []struct {
		reason string
		a, b   *v1.Istio
		want   bool
	}{
		{"The earlier one has the name.", object(1, "z"), object(2, "a"), true},
		{"The later one has not.", object(2, "a"), object(1, "z"), false},
		{"In the same second the UID decides.", object(1, "a"), object(1, "b"), true},
		{"In both directions.", object(1, "b"), object(1, "a"), false},
	} {
		if got := Older(c.a, c.b); got != c.want {
			t.Errorf("%s: got %t", c.reason, got)
		}
	}
}
