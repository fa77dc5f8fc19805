package main

import (
	"os"
	"syscall"
)

// peakMemory is the largest resident size of a finished process, in MB.
func peakMemory(state *os.ProcessState) float64 {
	if usage, ok := state.SysUsage().(*syscall.Rusage); ok {
		return float64(usage.Maxrss) / 1024
	}
	return 0
}
