package status

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
)

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

// TestRun is what becomes of what the phases of a run return.
func TestRun(t *testing.T) {
	t.Parallel()
	broken := errors.New("no answer")
	conflict := apierrors.NewConflict(v1.GroupVersion.WithResource("istios").GroupResource(), "a", broken)
	wrong := Permanent(v1.ReasonReconcileError, errors.New("wrong"))
	taken := Permanent(v1.ReasonNameAlreadyExists, errors.New("taken"))
	again := Permanent(v1.ReasonReconcileError, errors.New("look again"))
	again.Again = time.Minute
	for _, c := range []struct {
		reason string
		// errs are what the phases return.
		errs []error
		// ran is how many phases ran, problem what the condition tells.
		ran     int
		problem *Problem
		result  reconcile.Result
		err     error
	}{
		{"All went well.", []error{nil, nil}, 2, nil, reconcile.Result{}, nil},
		{"An error ends the run.", []error{broken, nil}, 1, nil, reconcile.Result{}, broken},
		{
			"Somebody else was faster.",
			[]error{conflict, nil},
			1, nil,
			reconcile.Result{RequeueAfter: 100 * time.Millisecond},
			nil,
		},
		{"A problem does not end it.", []error{wrong, nil}, 2, wrong, reconcile.Result{}, nil},
		{"The first problem is told.", []error{taken, wrong}, 2, taken, reconcile.Result{}, nil},
		{"So it is of several at once.", []error{errors.Join(nil, taken, wrong)}, 1, taken, reconcile.Result{}, nil},
		{"An error among them ends it.", []error{errors.Join(taken, broken), nil}, 1, taken, reconcile.Result{}, broken},
		{
			"An error about a problem is an error.",
			[]error{fmt.Errorf("about: %w", wrong), nil},
			1, nil,
			reconcile.Result{},
			wrong,
		},
		{
			"No event tells when it is over.",
			[]error{Temporary(v1.ReasonReconcileError, broken), nil},
			2, Temporary(v1.ReasonReconcileError, broken),
			reconcile.Result{},
			broken,
		},
		{
			"What no condition tells is tried again all the same, and another problem is told.",
			[]error{Unreported(broken), wrong},
			2, wrong,
			reconcile.Result{},
			broken,
		},
		{
			"An event tells when it is over.",
			[]error{Awaited(v1.ReasonReconcileError, broken)},
			1, Awaited(v1.ReasonReconcileError, broken),
			reconcile.Result{},
			nil,
		},
		{
			"What a person has to mend is looked at once in a while.",
			[]error{again},
			1, again,
			reconcile.Result{RequeueAfter: time.Minute},
			nil,
		},
	} {
		var run Run
		ran := 0
		var phases []Phase[*int]
		for _, err := range c.errs {
			phases = append(phases, func(_ context.Context, ran *int) error {
				*ran++
				return err
			})
		}
		result, err := Do(t.Context(), &run, &ran, phases...)
		if ran != c.ran || result != c.result || !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s %d phases, %v, %v; want %d, %v, %v", c.reason, ran, result, err, c.ran, c.result, c.err)
		}
		got := run.Problem()
		if (got == nil) != (c.problem == nil) || got != nil && *got != *c.problem {
			t.Errorf("%s the condition tells %+v, want %+v", c.reason, got, c.problem)
		}
	}
	var run Run
	for _, after := range []time.Duration{0, time.Hour, 0, time.Minute, time.Hour} {
		run.Wake(after)
	}
	if result, err := Do[any](t.Context(), &run, nil); err != nil || result.RequeueAfter != time.Minute {
		t.Errorf("the shortest time counts, and zero is never: got %v, %v", result, err)
	}
}
