package shop

import "example.com/way/store"

func weigh(i store.Item) { i.Lift() }

func (o *order) pack() {
	for _, i := range o.items {
		weigh(i)
		wrap(i)
	}
}
