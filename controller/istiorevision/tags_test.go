package istiorevision

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/owned"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// aged is the metadata of a resource that was created some seconds after noon.
func aged(name string, seconds int) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: name, UID: types.UID("uid-" + name),
		CreationTimestamp: metav1.NewTime(noon.Add(time.Duration(seconds) * time.Second)),
	}
}

// asking is a revision whose values have tags, of an Istio of another age if that has a name.
func asking(name, istio string, seconds int, tags string) v1.IstioRevision {
	rev := v1.IstioRevision{ObjectMeta: aged(name, seconds)}
	rev.Spec.Namespace = "of-" + name
	rev.Spec.Values = &v1.Values{Raw: []byte(`{"revisionTags": [` + tags + `]}`)}
	if istio != "" {
		owner := &v1.Istio{ObjectMeta: aged(istio, 0)}
		ref := metav1.NewControllerRef(owner, v1.GroupVersion.WithKind(v1.KindIstio))
		rev.OwnerReferences = []metav1.OwnerReference{*ref}
	}
	return rev
}

// tagged is a revision that has objects, among them the webhooks of a tag if that has a name.
func tagged(rev v1.IstioRevision, tag string) v1.IstioRevision {
	rev.Status.Inventory = v1.Inventory{{APIVersion: "v1", Kind: "ConfigMap", Namespace: "n", Name: "istio"}}
	if tag != "" {
		rev.Status.Inventory = append(rev.Status.Inventory, v1.ObjectReference{
			APIVersion: "admissionregistration.k8s.io/v1", Kind: "MutatingWebhookConfiguration",
			Name: "istio-revision-tag-" + tag + "-" + rev.Spec.Namespace,
		})
	}
	return rev
}

func inactive(rev v1.IstioRevision) v1.IstioRevision {
	rev.Status.InactiveSince = &metav1.Time{Time: noon}
	return rev
}

func going(rev v1.IstioRevision) v1.IstioRevision {
	rev.DeletionTimestamp = &metav1.Time{Time: noon}
	return rev
}

// TestTagClash is who may bring a revision tag, when more than one asks for it, in whatever namespaces.
func TestTagClash(t *testing.T) {
	t.Parallel()
	const stable = `"stable"`
	young := asking("young-v1", "young", 200, stable)
	rivals := " are the same revision tag, stable: namespaces with the label istio.io/rev=stable would be injected by " +
		"both; remove one of the two"
	named := "spec.values.revisionTags: a revision has the name of the tag, stable: workloads with the label " +
		"istio.io/rev=stable would be injected twice; rename the tag"
	tag := func(seconds int) v1.IstioRevisionTag { return v1.IstioRevisionTag{ObjectMeta: aged("stable", seconds)} }
	asTag := func(seconds int) client.Object { tag := tag(seconds); return &tag }
	for _, c := range []struct {
		reason    string
		o         client.Object
		tags      []v1.IstioRevisionTag
		revisions []v1.IstioRevision
		want      string
	}{
		{"Nobody else asks for it.", &young, nil, []v1.IstioRevision{young, asking("a", "", 1, `"other"`)}, ""},
		{
			"A resource that is older has it.", &young,
			[]v1.IstioRevisionTag{tag(50)},
			[]v1.IstioRevision{young},
			"spec.values.revisionTags of Istio/young and IstioRevisionTag/stable" + rivals,
		},
		{"One that is younger has not.", &young, []v1.IstioRevisionTag{tag(150)}, []v1.IstioRevision{young}, ""},
		{
			"An older Istio, in another namespace.", &young, nil,
			[]v1.IstioRevision{young, asking("old-v1", "old", 300, stable)},
			"spec.values.revisionTags of Istio/young and spec.values.revisionTags of Istio/old" + rivals,
		},
		{
			"Its revision is not the active one any more.", &young, nil,
			[]v1.IstioRevision{young, inactive(asking("old-v1", "old", 1, stable))},
			"",
		},
		{
			"Its revision is being deleted.", &young, nil,
			[]v1.IstioRevision{young, going(asking("old-v1", "old", 1, stable))},
			"",
		},
		{
			"Another revision of the same Istio is no other resource.", &young, nil,
			[]v1.IstioRevision{young, asking("young-v0", "young", 1, stable)},
			"",
		},
		{
			"A tag beside the values of an older control plane.", asTag(300), nil,
			[]v1.IstioRevision{asking("by-hand", "", 1, stable)},
			"IstioRevisionTag/stable and spec.values.revisionTags of IstioRevision/by-hand" + rivals,
		},
		{"A tag that is older.", asTag(0), nil, []v1.IstioRevision{asking("by-hand", "", 1, stable)}, ""},
		{
			"A revision has the name, older or not.", &young, nil,
			[]v1.IstioRevision{young, tagged(asking("stable", "", 900, ""), "")},
			named,
		},
		{
			"It is to have the name, and the tag is not there yet either.", &young, nil,
			[]v1.IstioRevision{young, asking("stable", "", 900, "")},
			named,
		},
		{
			"The revision itself has the name.", new(asking("stable", "stable", 1, stable)), nil,
			[]v1.IstioRevision{asking("stable", "stable", 1, stable)},
			named,
		},
		{
			"The tag was there before a revision came with its name: it stays.", new(tagged(young, "stable")), nil,
			[]v1.IstioRevision{tagged(young, "stable"), asking("stable", "", 900, "")},
			"",
		},
	} {
		scheme := runtime.NewScheme()
		if err := errors.Join(v1.AddToScheme(scheme)); err != nil {
			t.Fatal(err)
		}
		k := owned.Objects{Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(
			&v1.Istio{ObjectMeta: aged("old", 10)}, &v1.Istio{ObjectMeta: aged("young", 100)},
			&v1.Istio{ObjectMeta: aged("stable", 100)}).Build()}
		got, err := TagClash(t.Context(), k, c.o, "stable", c.tags, c.revisions)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestTagOfTheName is when a revision may not have its name, because it is that of a tag.
func TestTagOfTheName(t *testing.T) {
	t.Parallel()
	stable := asking("stable", "", 900, "")
	holder := asking("old-v1", "old", 1, `"stable"`)
	for _, c := range []struct {
		reason    string
		rev       v1.IstioRevision
		revisions []v1.IstioRevision
		want      string
	}{
		{"Nobody has the tag.", stable, []v1.IstioRevision{stable, holder}, ""},
		{
			"Another one has brought it.", stable,
			[]v1.IstioRevision{stable, tagged(holder, "stable")},
			"stable is there already, as a tag: spec.values.revisionTags of Istio/old; a revision and a tag cannot have " +
				"the same name",
		},
		{"The revision was there before.", tagged(stable, ""), []v1.IstioRevision{tagged(holder, "stable")}, ""},
		{"It goes.", stable, []v1.IstioRevision{going(tagged(holder, "stable"))}, ""},
	} {
		if diff := cmp.Diff(c.want, TagOfTheName(&c.rev, c.revisions)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestValueTags(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, values string
		want           []string
	}{
		{"None.", `{"pilot": {}}`, nil},
		{"Some.", `{"revisionTags": ["stable", "prod"]}`, []string{"stable", "prod"}},
		{"An empty name names nothing.", `{"revisionTags": ["", "prod"]}`, []string{"prod"}},
		{"Another type is for the schema to refuse.", `{"revisionTags": "stable"}`, nil},
	} {
		rev := &v1.IstioRevision{}
		rev.Spec.Values = &v1.Values{Raw: []byte(c.values)}
		if diff := cmp.Diff(c.want, ValueTags(rev)); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}
