// Package memory says what benchmarks need to know of the memory of their process.
package memory

import "runtime"

// InUse is how many bytes of the heap are in use, after a garbage collection.
func InUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // less than there is memory
}
