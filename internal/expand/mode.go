package expand

import (
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// Mode is what becomes of the output, and so what a run can know and has to leave to others.
type Mode int

const (
	// Print is for objects alone: a command, or the Go API. Nothing remembers what was rendered before.
	Print Mode = iota
	// Generator is kustomize's: the functionConfig is the resource, and the objects are added to others. Nothing
	// remembers either, and the resource itself is not passed on.
	Generator
	// Transformer is kustomize's as well: the resources are among the items, and are passed on.
	Transformer
	// Files are those of a package that keeps the output (kpt): what an earlier run generated comes back as input.
	Files
)

// remembers says that earlier revisions are in the package.
func (m Mode) remembers() bool { return m == Files }

// plain says that the output has no resources of sailoperator.io, unless the user has them tracked.
func (m Mode) plain() bool { return m == Print || m == Generator }

// modeOf finds out who calls with some items. It looks at what users wrote only, so that the answer does not depend on
// what a run leaves of the rest. kustomize notes paths too, for the second and later transformers, beside an annotation
// of its own.
func modeOf(items []manifest.Object) Mode {
	mode := Transformer
	for _, o := range items {
		if o.Annotation("kustomize.config.k8s.io/id") != "" {
			return Transformer
		}
		if resource.LocationOf(o).Path != "" && o.Annotation(manifest.AnnotationOwner) == "" {
			mode = Files
		}
	}
	return mode
}

// Remembers reports whether the caller keeps items in files, as kpt does.
func Remembers(items []manifest.Object) bool { return modeOf(items).remembers() }
