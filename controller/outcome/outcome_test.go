package outcome

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
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

func TestEnded(t *testing.T) {
	t.Parallel()
	conflict := apierrors.NewConflict(v1.GroupVersion.WithResource("istios").GroupResource(), "a", errors.New("changed"))
	if result, err := Ended(conflict); err != nil || result.RequeueAfter == 0 {
		t.Errorf("a conflict is no error, and the run is repeated: got %v, %v", result, err)
	}
	if result, err := Ended(nil); err != nil || result.RequeueAfter != 0 {
		t.Errorf("a run without an error is over: got %v, %v", result, err)
	}
	if _, err := Ended(errors.New("other")); err == nil {
		t.Error("any other error is one")
	}
}

func TestStalled(t *testing.T) {
	t.Parallel()
	now := time.Unix(100, 0).UTC()
	permanent, temporary := Permanent(v1.ReasonReconcileError, errors.New("x")), Temporary(v1.ReasonReconcileError,
		errors.New("x"))
	for _, c := range []struct {
		reason string
		before v1.Conditions
		p      *Problem
		want   []v1.ConditionType
	}{
		{"What only a person can mend stalls.", nil, permanent, []v1.ConditionType{v1.ConditionStalled}},
		{"What may be gone the next time is being worked on.", nil, temporary, []v1.ConditionType{v1.ConditionReconciling}},
		{"One becomes the other.", Stalled(nil, permanent, now), temporary, []v1.ConditionType{v1.ConditionReconciling}},
		{"And back.", Stalled(nil, temporary, now), permanent, []v1.ConditionType{v1.ConditionStalled}},
		{"Nothing is wrong any more.", Stalled(nil, permanent, now), nil, nil},
		{"Nor being worked on.", Stalled(nil, temporary, now), nil, nil},
	} {
		var got []v1.ConditionType
		for _, condition := range Stalled(c.before, c.p, now) {
			if condition.Status != metav1.ConditionTrue || condition.Message != "x" {
				t.Errorf("%s: got %v", c.reason, condition)
			}
			got = append(got, condition.Type)
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	invalid := apierrors.NewInvalid(v1.GroupVersion.WithKind("Istio").GroupKind(), "a", nil)
	other := errors.New("timeout")
	for _, c := range []struct {
		reason string
		err    error
		want   bool
	}{
		{"An object is wrong.", fmt.Errorf("Deployment: %w", invalid), true},
		{
			"An object can be none of its kind.", fmt.Errorf("Deployment: %w", &apply.MalformedError{Why: "no quantity"}),
			true,
		},
		{"Two are.", errors.Join(invalid, fmt.Errorf("Service: %w", invalid)), true},
		{"The server was not there.", other, false},
		{"One is wrong, and for another the server was not there.", errors.Join(invalid, other), false},
	} {
		p, retry := Refused(c.err)
		if p.Permanent != c.want || (retry == nil) != c.want {
			t.Errorf("%s: permanent %t, retry %v", c.reason, p.Permanent, retry)
		}
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	if got := Note("short"); got != "short" {
		t.Errorf("got %q", got)
	}
	long := Note(strings.Repeat("ä", 1000))
	if len(long) > 1024 || !utf8.ValidString(long) || !strings.HasSuffix(long, "...") {
		t.Errorf("an event holds 1024 bytes of text: got %d bytes", len(long))
	}
}

// TestRefusedReasons goes through what may come of applying objects.
func TestRefusedReasons(t *testing.T) {
	t.Parallel()
	held := fmt.Errorf("wrapped: %w", &apply.HeldError{Holder: "IstioRevisionTag stable"})
	invalid := apierrors.NewInvalid(v1.GroupVersion.WithKind("Deployment").GroupKind(), "istiod", nil)
	for _, c := range []struct {
		reason    string
		err       error
		want      v1.ConditionReason
		permanent bool
	}{
		{"A person has to mend it.", invalid, v1.ReasonReconcileError, true},
		{"The next try may go well.", errors.New("no answer"), v1.ReasonReconcileError, false},
		{
			"Another resource has an object.", errors.Join(nil, errors.Join(held, held)), v1.ReasonNameAlreadyExists,
			true,
		},
		{"That, and an error, which comes first.", errors.Join(held, invalid), v1.ReasonReconcileError, true},
		{
			"That, and one that may be gone the next time.", errors.Join(held, errors.New("no answer")),
			v1.ReasonReconcileError, false,
		},
		{
			"Somebody else's control plane.", &apply.TakeoverError{Objects: []apply.Foreign{{}}}, v1.ReasonTakeoverRefused,
			true,
		},
	} {
		problem, retry := Refused(c.err)
		if problem.Reason != c.want || problem.Permanent != c.permanent || (retry == nil) != c.permanent {
			t.Errorf("%s got %s, permanent %t, retry %v", c.reason, problem.Reason, problem.Permanent, retry)
		}
	}
}
