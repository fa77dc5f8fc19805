// Package istiod runs real istiods of a bundled version beside the controller: as processes, against a real control
// plane, with the arguments, the environment and the rights that Lateen renders for them. The API server calls their
// webhooks as it does in any cluster, and pods come out of it injected or not.
//
// `make test-engines` runs its tests; elsewhere they are skipped, since istiod takes long to build, and say so.
package istiod

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"

	"github.com/lateen-io/lateen/test/cluster"
)

// program is istiod, as its module calls it.
const program = "pilot-discovery"

// modules are the one that istiod is built from.
var modules = []cluster.Module{{
	Dir:      "test/istiod/programs",
	Names:    "istio.io/istio",
	Variable: "istio.io/istio/pkg/version.buildVersion",
	Products: []cluster.Product{{Name: program, Main: "istio.io/istio/pilot/cmd/pilot-discovery"}},
}}

// Program gives the file of istiod, and builds it if the user's cache does not have it, which takes many minutes and is
// said on progress.
func Program(ctx context.Context, progress io.Writer) (string, error) {
	files, err := cluster.Build(ctx, progress, modules)
	if err != nil {
		return "", fmt.Errorf("building istiod: %w", err)
	}
	return files[program], nil
}

// Missing reports whether Program would have to build it.
func Missing() (bool, error) {
	names, err := cluster.Missing(modules)
	return len(names) > 0, err
}

// GatewayAPI gives the directory with the CustomResourceDefinitions of the Gateway API that istiod is built with. They
// are in a module that has been downloaded to build it.
func GatewayAPI(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", "sigs.k8s.io/gateway-api")
	cmd.Dir = "programs"
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("looking for the module of the Gateway API: %w\n%s", err, out)
	}
	var module struct{ Dir string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", fmt.Errorf("looking for the module of the Gateway API: %w", err)
	}
	return filepath.Join(module.Dir, "config", "crd", "standard"), nil
}
