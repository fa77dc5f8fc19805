package expand

import (
	"slices"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
)

// isStrict reports whether the options say so, or any resource of Lateen among the items. Whoever asks for it means the
// whole run: there is no precedence by which another could take it back.
func isStrict(options resource.Options, items []manifest.Object) bool {
	return options.Strict || slices.Contains(annotated(items, resource.OptionStrict), "true")
}

// annotated are the values of an option in the annotations of Lateen's resources.
func annotated(items []manifest.Object, option string) []string {
	var out []string
	for _, item := range items {
		if item.ID().Group != v1.GroupVersion.Group || item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		if value := item.Annotation("lateen.io/" + option); value != "" {
			out = append(out, value)
		}
	}
	return out
}
