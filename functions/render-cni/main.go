// Command render-cni expands IstioCNI resources into the objects of Istio's CNI plugin: a KRM function for kustomize
// and kpt, a kustomize exec plugin, and a command. README.md in this directory tells how to use it.
package main

import (
	"os"

	"github.com/lateen-io/lateen/internal/function"
	_ "github.com/lateen-io/lateen/internal/heap" // collects garbage later; see there
)

func main() {
	os.Exit(function.RenderCNI.Main(function.This()))
}
