package shop

import (
	"slices"

	"example.com/way/store"
)

func wrap(i store.Item) {
	if again := i; slices.ContainsFunc([]store.Item{again}, func(x store.Item) bool { weigh(x); return true }) {
		wrap(again)
	}
}

// The value is not handed to these.
func count(int) {}

func other(day int) { count(day) }
