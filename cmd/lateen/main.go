// Command lateen is Lateen for people: it tells who uses which revision of a cluster, for a person or for a rendering
// in Git, which Istio versions are bundled, and what an IstioOperator becomes. docs/usage.md tells how to use it.
package main

import (
	"os"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/lateen-io/lateen/internal/function"
)

func main() {
	log.SetLogger(logr.Discard()) // whatever matters to a person is an error that is returned
	os.Exit(Main(function.This()))
}
