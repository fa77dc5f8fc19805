// Package shop passes a list on.
package shop

import (
	"example.com/way/store"
	"example.org/unknown"
)

type order struct{ items []store.Item }

// Sell begins.
func Sell(items []store.Item, day int) error {
	o := &order{items: items}
	for _, item := range items {
		weigh(item)
	}
	o.pack()
	count(len(items))
	other(day)
	unknown.Any(items)
	return store.Keep(check(items))
}

func check(items []store.Item) []store.Item { return unknown.Some(items) }
