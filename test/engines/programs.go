// Package engines proves that Lateen's output and its resources live well with the tools that apply them: Flux and
// Argo CD, as their users run them, on a real control plane, with a Git server on loopback.
//
// `make test-engines` runs its tests; elsewhere they are skipped, since they need programs that take long to build.
// What is missing is said.
package engines

import (
	"context"
	"fmt"
	"io"

	"github.com/lateen-io/lateen/test/cluster"
)

// What is built from Go modules, and kept beside the programs of the control plane. Argo CD is one program, which is
// told what to be.
const (
	sourceController    = "source-controller"
	sourceCRDs          = "source-controller.yaml"
	kustomizeController = "kustomize-controller"
	kustomizeCRDs       = "kustomize-controller.yaml"
	argoCD              = "argocd"
	argoCDCRDs          = "argocd.yaml"
)

// modules are one per program: each is built with the dependencies of its own release.
var modules = []cluster.Module{
	{
		Dir:   "test/engines/programs/source-controller",
		Names: "github.com/fluxcd/source-controller",
		Products: []cluster.Product{
			{Name: sourceController, Main: "github.com/fluxcd/source-controller"},
			{Name: sourceCRDs, Manifests: []string{"github.com/fluxcd/source-controller/config/crd/bases"}},
		},
	},
	{
		Dir:   "test/engines/programs/kustomize-controller",
		Names: "github.com/fluxcd/kustomize-controller",
		Products: []cluster.Product{
			{Name: kustomizeController, Main: "github.com/fluxcd/kustomize-controller"},
			{Name: kustomizeCRDs, Manifests: []string{"github.com/fluxcd/kustomize-controller/config/crd/bases"}},
		},
	},
	{
		Dir:      "test/engines/programs/argocd",
		Names:    "github.com/argoproj/argo-cd/v3",
		Variable: "github.com/argoproj/argo-cd/v3/common.version",
		Products: []cluster.Product{
			{Name: argoCD, Main: "github.com/argoproj/argo-cd/v3/cmd"},
			{Name: argoCDCRDs, Manifests: []string{"github.com/argoproj/argo-cd/v3/manifests/crds"}},
		},
	},
}

// Programs gives the engines' files, by name, and builds what the user's cache does not have, which takes minutes and
// is said on progress.
func Programs(ctx context.Context, progress io.Writer) (map[string]string, error) {
	files, err := cluster.Build(ctx, progress, modules)
	if err != nil {
		return nil, fmt.Errorf("building the engines: %w", err)
	}
	return files, nil
}

// Missing names the files that Programs would have to build.
func Missing() ([]string, error) { return cluster.Missing(modules) }
