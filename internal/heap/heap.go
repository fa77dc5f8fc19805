// Package heap lets a short-lived process finish before it collects garbage. Import it for its effect.
//
// A function renders a control plane in some ten milliseconds and a few megabytes, of which the garbage collector would
// take a third: it starts at 4 MiB, half of which the packages that Helm's engine links allocate while they initialize.
// The reserve below moves the first collection to about 128 MiB and changes little for a large package. It is never
// written to, so that the operating system never gives it memory. As a package without dependencies it is initialized
// before nearly everything else. docs/performance.md has the figures.
package heap

// reserve counts as live memory for the pacing of the collector; nothing ever reads it.
var reserve = make([]byte, 64<<20)

// Reserve is how much memory, in bytes, the pacing of the collector takes for live from the start.
func Reserve() int { return len(reserve) }
