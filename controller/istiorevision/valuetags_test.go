package istiorevision

import (
	"testing"
)

func TestCarrier(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason    string
		claimants []claimant
		want      string
	}{
		{"Nobody asks for the tag.", nil, ""},
		{"The first revision has it at once, ready or not.", []claimant{{name: "new", active: true}}, "new"},
		{
			"It stays on the old one until the new one is ready.",
			[]claimant{{name: "new", active: true, works: true}, {name: "old", works: true, has: true}},
			"old",
		},
		{
			"It moves then.",
			[]claimant{{name: "new", active: true, ready: true, works: true}, {name: "old", works: true, has: true}},
			"new",
		},
		{
			"It does not go back when the new one is not ready for a moment.",
			[]claimant{{name: "new", active: true, works: true, has: true}, {name: "old", works: true}},
			"new",
		},
		{
			"There is nothing to wait for if the old one does not inject any more.",
			[]claimant{{name: "new", active: true}, {name: "old", has: true}},
			"new",
		},
		{
			"Somebody has deleted it: it comes back where pods can be injected.",
			[]claimant{{name: "new", active: true, works: true}, {name: "old", works: true}},
			"old",
		},
		{
			"The active one, the third, does not work yet: of the others the one that has it keeps it.",
			[]claimant{{name: "a", works: true}, {name: "b", works: true, has: true}, {name: "c", active: true}},
			"b",
		},
		{
			"Somebody has deleted it: the one that has it in its inventory brings it back, wherever it comes in the list.",
			[]claimant{{name: "a", works: true}, {name: "b", works: true, lists: true}, {name: "c", active: true}},
			"b",
		},
		{
			"Nobody has it in an inventory: the first by name brings it back, wherever it comes in the list.",
			[]claimant{{name: "b", works: true}, {name: "a", works: true}, {name: "c", active: true}},
			"a",
		},
		{
			"The active one does not ask for it: one of the others has it, and stays the one.",
			[]claimant{{name: "a", works: true}, {name: "b", works: true, has: true, lists: true}},
			"b",
		},
		{
			"The active one does not ask for it, and somebody has deleted what an earlier one had.",
			[]claimant{{name: "a", works: true}, {name: "b", works: true, lists: true}},
			"b",
		},
		{
			"It is taken out of the values: no earlier one brings it back.",
			[]claimant{{name: "a", works: true}, {name: "b", works: true}},
			"",
		},
		{
			"The version goes back: the old one is ready, and active again.",
			[]claimant{{name: "new", works: true, has: true}, {name: "old", active: true, ready: true, works: true}},
			"old",
		},
	} {
		if got := carrier(c.claimants); got != c.want {
			t.Errorf("%s got %q, want %q", c.reason, got, c.want)
		}
	}
}
