// Package exit is the one table of exit codes: every program of Lateen ends with one of them.
package exit

// The codes.
const (
	OK       = 0 // right, perhaps with warnings
	Wrong    = 1 // the resources are wrong, or the answer cannot be given
	Usage    = 2 // the call is wrong
	Warnings = 3 // under --strict: nothing is wrong, but there are warnings
)

// Table is what --help says about them.
const Table = `Exit codes: 0 right, perhaps with warnings; 1 the resources are wrong, or the answer cannot be
given; 2 the call is wrong; 3 nothing is wrong, but there are warnings, and --strict makes errors of
them. Except for 0 nothing is written.
`
