package resource

import (
	"fmt"
	"strconv"

	"github.com/lateen-io/lateen/internal/manifest"
)

// Annotations of the orchestrator on items, of which New items may set Path and Index only.
const (
	internalPrefix  = "internal.config.kubernetes.io/"
	AnnotationPath  = internalPrefix + "path"
	AnnotationIndex = internalPrefix + "index"
	// AnnotationLocalConfig marks a resource that stays in Git and is never applied.
	AnnotationLocalConfig = "config.kubernetes.io/local-config"
	// AnnotationFunction is kustomize's declaration of the function on its functionConfig.
	AnnotationFunction = "config.kubernetes.io/function"
)

// Location says where in the user's files a resource stands.
type Location struct {
	// Path is relative to the package; empty if unknown.
	Path  string
	Index int
}

// LocationOf reads the orchestrator's annotations.
func LocationOf(o manifest.Object) Location {
	path, index := o.Annotation(AnnotationPath), o.Annotation(AnnotationIndex)
	if path == "" { // the legacy spelling
		path, index = o.Annotation("config.kubernetes.io/path"), o.Annotation("config.kubernetes.io/index")
	}
	i, _ := strconv.Atoi(index)
	return Location{Path: path, Index: i}
}

// Also says where a resource was seen, for a message about another one: ", also in istio.yaml".
func Also(o manifest.Object) string {
	file, line := o.Place().File, o.Node().Line
	switch l := LocationOf(o); {
	case file != "":
		return fmt.Sprintf(", also in %s:%d", file, line)
	case l.Path != "":
		return ", also in " + l.Path
	}
	return fmt.Sprintf(", also in line %d", line)
}
