// Package revision decides which IstioRevision an Istio asks for: its name, and whether a revision is local or remote.
package revision

import (
	"fmt"
	"strings"
)

// Name returns the name of the revision that an Istio asks for. InPlace keeps one revision under the Istio's name;
// RevisionBased has one per version, <istio>-<version with . as ->, where an alias stays an alias:
// default-v1-28-3, default-v1-28-latest.
func Name(istio, version string, revisionBased bool) (string, error) {
	if !revisionBased {
		return istio, nil
	}
	name := istio + "-" + strings.ReplaceAll(version, ".", "-")
	if len(name) > maxLength {
		return "", fmt.Errorf(
			"the revision would be named %q, which has %d characters; istiod-<revision> is the name of a Service, "+
				"so at most %d are possible: give the Istio a shorter name", name, len(name), maxLength)
	}
	return name, nil
}

// maxLength is what 63 characters for the name of a Service leave after "istiod-".
const maxLength = 63 - len("istiod-")

// Suffix is what Istio's charts append to the names of a revision's objects: nothing for the revision named default.
func Suffix(name string) string {
	if name == "default" {
		return ""
	}
	return "-" + name
}
