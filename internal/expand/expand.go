// Package expand renders the resources of one package. It reads the items once, plans and renders each resource, shows
// package mesh a snapshot of the whole, and puts what comes out among the items: which generated ones go, which stay,
// and who brings Istio's CRDs, which a package has once.
package expand

import (
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// Function is one of Lateen's functions.
type Function struct {
	// Name is that of the binary.
	Name string
	// Kinds are the kinds of resources that it expands.
	Kinds []string

	base resource.Options
}

// With is the function for a caller that has its options as data. They are of the weakest rank: all settings win.
func (f Function) With(options resource.Options) Function {
	f.base = options
	return f
}

// The functions. Each expands its kinds only, so that a pipeline lists what it wants.
var (
	RenderIstio = Function{Name: "render-istio", Kinds: []string{v1.KindIstio, v1.KindIstioRevision}}
	RenderCNI   = Function{Name: "render-cni", Kinds: []string{v1.KindIstioCNI}}
	RevisionTag = Function{Name: "revision-tag", Kinds: []string{v1.KindIstioRevisionTag}}
)

// Output is what became of one resource.
type Output struct {
	// Owner is the stamp on the objects: "Istio/default".
	Owner string
	// Release is the version that was rendered.
	Release release.Release
	// Revision is the planned IstioRevision of an Istio, the completed one that the user wrote, or the target of a tag. It
	// is nil for an IstioCNI.
	Revision *v1.IstioRevision
	// Objects are the plain objects, stamped and ordered.
	Objects []manifest.Object
	// Protected says that the objects ask GitOps tools not to prune them.
	Protected bool
}
