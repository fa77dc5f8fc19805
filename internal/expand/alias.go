package expand

import "github.com/lateen-io/lateen/internal/manifest"

// installed is the version that the package was rendered with, as it is on record: on the IstioRevision, or on the
// objects of an IstioCNI. "" if there is none.
func (j *job) installed() string {
	if j.around == nil || j.Resource.Tag != nil {
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
