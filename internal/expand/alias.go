package expand

import (
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
)

// unlowered refuses an alias that means an older patch than the one that the package was rendered with: whoever
// rendered it had the charts. The objects stay as they are.
func (j *job) unlowered(version v1.Version) {
	if err := release.CheckAlias(string(version), j.output.Release, j.installed()); err != nil {
		r := j.fail([]string{"spec", "version"}, "spec.version: %v", err)
		r.Current, r.Suggestion = string(version), j.output.Release.Version
	}
}

// installed is the version that the package was rendered with, as it is on record: on the IstioRevision, or on the
// objects of an IstioCNI. "" if there is none.
func (j *job) installed() string {
	if j.around == nil {
		return ""
	}
	if j.Resource.CNI == nil {
		if record := j.around.record(j.Resource); record != nil {
			return record.Annotation(manifest.AnnotationVersion)
		}
		return ""
	}
	for _, item := range j.around.items {
		if item.Annotation(manifest.AnnotationOwner) == j.Resource.Name() {
			if v := item.Annotation(manifest.AnnotationVersion); v != "" {
				return v
			}
		}
	}
	return ""
}
