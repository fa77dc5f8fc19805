package owned

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
)

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
		if p := Refused(c.err); p.Permanent != c.want || p.Retry == c.want || (p.Again > 0) != c.want {
			t.Errorf("%s: got %+v", c.reason, p)
		}
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
		if p := Refused(c.err); p.Reason != c.want || p.Permanent != c.permanent || p.Retry == c.permanent {
			t.Errorf("%s got %+v", c.reason, p)
		}
	}
}
