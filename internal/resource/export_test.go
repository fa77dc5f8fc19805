package resource

import (
	"reflect"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Check compares the spec of an item with a Go type.
func Check(o manifest.Object, spec map[string]any, t reflect.Type) finding.List {
	d := decoder{object: o}
	d.check([]string{"spec"}, spec, t)
	return d.findings
}
