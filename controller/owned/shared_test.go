package owned

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/reconcilertest"
	"github.com/lateen-io/lateen/internal/render"
)

// ownedBy is the account that other clusters read this one with, in namespace istio-system.
func ownedBy(controller string, others ...string) *corev1.ServiceAccount {
	sa := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "istio-system", Name: render.ReaderAccount}}
	isController := true
	if controller != "" {
		sa.OwnerReferences = append(sa.OwnerReferences, metav1.OwnerReference{
			APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstioRevision, Name: controller,
			UID: types.UID(controller), Controller: &isController,
		})
	}
	for _, name := range others {
		sa.OwnerReferences = append(sa.OwnerReferences, metav1.OwnerReference{
			APIVersion: v1.GroupVersion.String(), Kind: v1.KindIstioRevision, Name: name, UID: types.UID(name),
		})
	}
	return sa
}

func revisionIn(namespace, name string) *v1.IstioRevision {
	return &v1.IstioRevision{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name)},
		Spec:       v1.IstioRevisionSpec{Namespace: namespace},
	}
}

func deleted(rev *v1.IstioRevision) *v1.IstioRevision {
	rev.Finalizers = []string{"lateen.io/finalizer"}
	rev.DeletionTimestamp = &metav1.Time{Time: noon}
	return rev
}

// TestHandOver is what becomes of the one object that all revisions of a namespace rely on, when the resource that has
// brought it lets go of it.
func TestHandOver(t *testing.T) {
	t.Parallel()
	account := v1.ObjectReference{
		APIVersion: "v1", Kind: "ServiceAccount", Namespace: "istio-system", Name: render.ReaderAccount,
	}
	deployment := v1.ObjectReference{
		APIVersion: "apps/v1", Kind: "Deployment", Namespace: "istio-system", Name: "istiod-old",
	}
	const handed = "Normal HandedOver ServiceAccount istio-system/istio-reader-service-account stays: other " +
		"revisions in namespace istio-system rely on it"
	conflict := errors.New("somebody else was faster")
	old := revisionIn("istio-system", "old")
	for _, c := range []struct {
		reason string
		// from lets go of the objects in going.
		from  client.Object
		going v1.Inventory
		// others are the revisions besides, and have is the account, if it is there.
		others []*v1.IstioRevision
		have   *corev1.ServiceAccount
		patch  error
		// left is what remains to be deleted, owners are those of the account afterwards.
		left   v1.Inventory
		owners []metav1.OwnerReference
		events []string
		err    error
	}{
		{
			"The last revision of the namespace takes it along.",
			old,
			v1.Inventory{account, deployment},
			nil, ownedBy("old"), nil,
			v1.Inventory{account, deployment},
			ownedBy("old").OwnerReferences, nil, nil,
		},
		{
			"Another revision of the namespace inherits it; the rest goes.",
			old,
			v1.Inventory{deployment, account},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			ownedBy("old"), nil,
			v1.Inventory{deployment},
			ownedBy("", "new").OwnerReferences,
			[]string{handed},
			nil,
		},
		{
			"All revisions of the namespace inherit it, each once.",
			old,
			v1.Inventory{account},
			[]*v1.IstioRevision{revisionIn("istio-system", "a"), revisionIn("istio-system", "b")},
			ownedBy("old", "b"), nil,
			nil, ownedBy("", "b", "a").OwnerReferences,
			[]string{handed},
			nil,
		},
		{
			"A revision of another namespace relies on another account.",
			old,
			v1.Inventory{account},
			[]*v1.IstioRevision{revisionIn("elsewhere", "new")},
			ownedBy("old"), nil,
			v1.Inventory{account},
			ownedBy("old").OwnerReferences, nil, nil,
		},
		{
			"A revision that is being deleted inherits nothing.",
			old,
			v1.Inventory{account},
			[]*v1.IstioRevision{deleted(revisionIn("istio-system", "new"))},
			ownedBy("old"), nil,
			v1.Inventory{account},
			ownedBy("old").OwnerReferences, nil, nil,
		},
		{
			"What a revision has inherited without an inventory that says so, it hands on.",
			old,
			v1.Inventory{deployment},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			ownedBy("", "old"), nil,
			v1.Inventory{deployment},
			ownedBy("", "new").OwnerReferences,
			[]string{handed},
			nil,
		},
		{
			"Without an heir, what was inherited goes by its owner reference and is not deleted by name.",
			old,
			v1.Inventory{deployment},
			nil, ownedBy("", "old"), nil,
			v1.Inventory{deployment},
			ownedBy("", "old").OwnerReferences, nil, nil,
		},
		{
			"The tag named default has brought it: the revisions inherit it.",
			&v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: "default", UID: "tag"}},
			v1.Inventory{account},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			ownedBy("tag"), nil,
			nil, ownedBy("", "new").OwnerReferences,
			[]string{handed},
			nil,
		},
		{
			"Somebody else has it: it is theirs.",
			old,
			v1.Inventory{account},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			ownedBy("stranger"), nil,
			nil, ownedBy("stranger").OwnerReferences, nil, nil,
		},
		{
			"It is not there.",
			old,
			v1.Inventory{account},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			nil, nil,
			nil, nil, nil, nil,
		},
		{
			"The write fails: it is not among what may be deleted, and the error is returned.",
			old,
			v1.Inventory{account, deployment},
			[]*v1.IstioRevision{revisionIn("istio-system", "new")},
			ownedBy("old"), conflict,
			v1.Inventory{deployment},
			ownedBy("old").OwnerReferences, nil, conflict,
		},
	} {
		scheme := runtime.NewScheme()
		if err := errors.Join(v1.AddToScheme(scheme), corev1.AddToScheme(scheme)); err != nil {
			t.Fatal(err)
		}
		builder := fake.NewClientBuilder().WithScheme(scheme).WithInterceptorFuncs(interceptor.Funcs{
			Patch: func(
				ctx context.Context, w client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption,
			) error {
				if c.patch != nil {
					return c.patch
				}
				return w.Patch(ctx, o, p, opts...)
			},
		})
		for _, rev := range c.others {
			builder = builder.WithObjects(rev.DeepCopy())
		}
		if rev, ok := c.from.(*v1.IstioRevision); ok {
			builder = builder.WithObjects(rev.DeepCopy())
		}
		if c.have != nil {
			builder = builder.WithObjects(c.have.DeepCopy())
		}
		recorder := events.NewFakeRecorder(10)
		k := Objects{Client: builder.Build(), Events: recorder}
		left, err := k.handOver(t.Context(), c.from, slices.Clone(c.going))
		if !errors.Is(err, c.err) {
			t.Errorf("%s error is %v, want %v", c.reason, err, c.err)
		}
		if diff := cmp.Diff(c.left, left); diff != "" {
			t.Errorf("%s left to delete: -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.events, reconcilertest.Events(recorder)); diff != "" {
			t.Errorf("%s events: -want +got:\n%s", c.reason, diff)
		}
		var after corev1.ServiceAccount
		key := client.ObjectKey{Namespace: account.Namespace, Name: account.Name}
		if err := client.IgnoreNotFound(k.Client.Get(t.Context(), key, &after)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.owners, after.OwnerReferences); diff != "" {
			t.Errorf("%s owners: -want +got:\n%s", c.reason, diff)
		}
	}
}

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
