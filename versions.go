package lateen

import "github.com/lateen-io/lateen/internal/release"

// Version is a bundled Istio version.
type Version struct {
	// Version is what spec.version names: v1.28.3.
	Version string
	// Default says that a resource without spec.version gets it.
	Default bool
	// EndOfLife is the month (YYYY-MM) in which Istio's support of its minor ended; empty if it is supported.
	EndOfLife string
	// Aliases are other names for it in spec.version, such as v1.28-latest. A newer patch in Options.Charts takes them
	// over.
	Aliases []string
	// Digest identifies the files of its charts, in the form of Go's module sums: h1:....
	Digest string
	// Missing says that this program was built without its charts; see ErrNoBundledCharts.
	Missing bool
}

// Versions lists the bundled Istio versions, oldest first: what `lateen versions` prints. The list is the caller's own.
func Versions() []Version {
	var out []Version
	for _, b := range release.Bundled().List() {
		out = append(out, Version(b))
	}
	return out
}
