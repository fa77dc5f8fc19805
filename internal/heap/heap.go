// Package heap lets a short-lived process finish before it collects garbage. Import it for its effect.
//
// A function renders a control plane in some ten milliseconds and a few megabytes, of which the garbage collector would
// take a third: it starts at 4 MiB, half of which the packages that Helm's engine links allocate while they initialize.
// Here it starts at 128 MiB. From then on the heap may double as usual, and 64 MiB more, which changes little for a
// large package. Whoever sets GOGC decides for themselves. docs/adr/0007 has the reasons and docs/performance.md the
// figures.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
)

const (
	// first is the size of the heap, in bytes, at which the first collection starts.
	first = 128 << 20
	// slack is what the heap may grow by before each later collection, in bytes, besides doubling.
	slack = first / 2
	// smallest is the size, in bytes, at which Go starts the first collection by itself, at GOGC=100.
	smallest = 4 << 20
)

// reserve counts as live memory for the pacing of the collector, once there was a collection. Nothing ever reads or
// writes it. It is address space only, unless that collection has freed enough in one piece: then it keeps what the
// process had already.
var reserve []byte

// postponed reports whether the first collection comes later than Go has it. As a variable of a package that needs
// little else it is initialized before nearly everything.
var postponed = postpone()

func postpone() bool {
	if _, set := os.LookupEnv("GOGC"); set {
		return false
	}
	debug.SetGCPercent(100 * first / smallest)
	// The first collection finds this, and ends the exception: a percentage that high is not for a heap that has anything
	// in it.
	runtime.AddCleanup(new([16]byte), func(int) {
		reserve = make([]byte, slack)
		debug.SetGCPercent(100)
	}, 0)
	return true
}
