// Command revision-tag expands IstioRevisionTag resources into the webhooks of Istio's revision tags: a KRM function
// for kustomize and kpt, a kustomize exec plugin, and a command. README.md in this directory tells how to use it.
package main

import (
	"os"

	"github.com/lateen-io/lateen/internal/function"
	_ "github.com/lateen-io/lateen/internal/heap" // collects garbage later; see there
)

func main() {
	os.Exit(function.RevisionTag.Main(function.This()))
}
