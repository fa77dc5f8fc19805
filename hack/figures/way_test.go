package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestFollow follows a list through two small packages.
func TestFollow(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, function, parameter string
		alone                       bool
		within, want                []string
		says                        string
	}{
		{
			"Calls within a file are one stay; a length is not the list, nor is what has another cause; what was followed is " +
				"entered again and not followed again.",
			"Sell", "items", false,
			[]string{"shop"},
			[]string{
				"shop/shop.go", "shop/weigh.go", "shop/wrap.go", "shop/weigh.go", "shop/wrap.go", "shop/shop.go",
			},
			"enters 3 files 6 times and comes back to one already left 3 times",
		},
		{
			"In the whole module.", "Sell", "items", false, nil,
			[]string{
				"shop/shop.go", "shop/weigh.go", "store/store.go", "shop/weigh.go", "shop/wrap.go", "shop/weigh.go",
				"shop/wrap.go", "shop/shop.go", "store/store.go",
			},
			"enters 4 files 9 times and comes back to one already left 5 times",
		},
		{
			"By themselves, items are not followed into what has them in a field.", "Sell", "items", true, nil,
			[]string{"shop/shop.go", "shop/weigh.go", "store/store.go", "shop/shop.go", "store/store.go"},
			"enters 3 files 5 times and comes back to one already left 2 times",
		},
		{
			"A number is followed no further.", "Sell", "day", false, nil,
			[]string{"shop/shop.go"},
			"enters 1 files 1 times and comes back to one already left 0 times",
		},
	} {
		m, err := newModule("testdata/way")
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.follow("shop", c.function, c.parameter, c.alone, c.within...)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, got.stays); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		if got.String() != c.says {
			t.Errorf("%s got %s", c.reason, got)
		}
	}
}

func TestFollowNothing(t *testing.T) {
	t.Parallel()
	m, err := newModule("testdata/way")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.follow("shop", "Sell", "nobody", false); err == nil {
		t.Error("a parameter that is not there is followed")
	}
	if _, err := newModule("testdata"); err == nil {
		t.Error("a directory without go.mod is a module")
	}
}
