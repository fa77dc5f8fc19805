// Command migrate-istiooperator turns IstioOperator resources into Istio and IstioCNI resources: a KRM function for
// kustomize and kpt, and a command. README.md in this directory tells how to use it.
package main

import (
	"os"

	"github.com/lateen-io/lateen/internal/function"
	_ "github.com/lateen-io/lateen/internal/heap" // collects garbage later; see there
	"github.com/lateen-io/lateen/migrate/command"
)

func main() {
	os.Exit(command.Program.Main(function.This()))
}
