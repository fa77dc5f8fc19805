package owned

import (
	"testing"
)

// TestEnsureFinalizer is what becomes of the finalizers of a resource whose objects the controller applies, or does
// not.
func TestEnsureFinalizer(t *testing.T) {
	t.Parallel()
	const patch = "patch IstioRevision canary"
	for _, c := range []struct {
		reason       string
		have         []string
		applies      bool
		fail         map[string]error
		want, writes []string
		err          string
	}{
		{"A new resource.", nil, true, nil, []string{Finalizer}, []string{patch}, ""},
		{"It has it: no request.", []string{Finalizer}, true, nil, []string{Finalizer}, nil, ""},
		{
			"It was the Sail Operator's.",
			[]string{SailFinalizer},
			true, nil,
			[]string{Finalizer},
			[]string{patch},
			"",
		},
		{
			"It has both.",
			[]string{SailFinalizer, Finalizer},
			true, nil,
			[]string{Finalizer},
			[]string{patch},
			"",
		},
		{
			"Somebody else's stays.",
			[]string{"example.com/mine"},
			true, nil,
			[]string{"example.com/mine", Finalizer},
			[]string{patch},
			"",
		},
		{"A pipeline's from the start: no request.", nil, false, nil, nil, nil, ""},
		{"A pipeline's from now on.", []string{Finalizer}, false, nil, nil, []string{patch}, ""},
		{
			"The Sail Operator's goes there as well.",
			[]string{SailFinalizer, "example.com/mine"},
			false, nil,
			[]string{"example.com/mine"},
			[]string{patch},
			"",
		},
		{
			"Somebody else was first.", nil, true,
			map[string]error{"patch": conflict},
			nil,
			[]string{patch},
			conflict.Error(),
		},
	} {
		w, ctx := newWorld(t)
		if c.have != nil {
			w.owner.Finalizers = c.have
			if err := w.Client.Update(ctx, w.owner); err != nil {
				t.Fatal(err)
			}
		}
		w.Writes()
		w.Fail = c.fail
		err := EnsureFinalizer(ctx, w.Client, w.owner, c.applies)
		w.Fail = nil
		compare(t, c.reason, c.err, said(err))
		compare(t, c.reason, c.writes, w.Writes())
		if stored := w.stored(t); c.err == "" {
			compare(t, c.reason, c.want, stored.Finalizers)
		}
	}
}

// TestEnsureFinalizerIsLocked has somebody add a finalizer after the resource was read: the list is replaced as a
// whole, so that theirs would be lost.
func TestEnsureFinalizerIsLocked(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t)
	theirs := w.stored(t)
	theirs.Finalizers = []string{"example.com/mine"}
	if err := w.Client.Update(ctx, theirs); err != nil {
		t.Fatal(err)
	}
	if err := EnsureFinalizer(ctx, w.Client, w.owner, true); err == nil {
		t.Error("a resource that was read before somebody changed it is written")
	}
	compare(t, "Theirs is there.", []string{"example.com/mine"}, w.stored(t).Finalizers)
}

func TestRemoveFinalizers(t *testing.T) {
	t.Parallel()
	w, ctx := newWorld(t)
	if err := EnsureFinalizer(ctx, w.Client, w.owner, true); err != nil {
		t.Fatal(err)
	}
	gone := w.owner.DeepCopy()
	compare(t, "It is taken off.", "", said(RemoveFinalizers(ctx, w.Client, w.owner)))
	compare(t, "It is taken off.", []string(nil), w.stored(t).Finalizers)
	if err := w.Client.Delete(ctx, w.owner); err != nil {
		t.Fatal(err)
	}
	compare(t, "The resource is gone.", "", said(RemoveFinalizers(ctx, w.Client, gone)))
	w, ctx = newWorld(t)
	if err := EnsureFinalizer(ctx, w.Client, w.owner, true); err != nil {
		t.Fatal(err)
	}
	w.Fail = map[string]error{"patch": noTime}
	compare(t, "The server has no time.", noTime.Error(), said(RemoveFinalizers(ctx, w.Client, w.owner)))
}
