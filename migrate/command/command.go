// Package command is the program migrate-istiooperator. What an IstioOperator becomes is the job of package migrate,
// and the outside of the program that of package function.
package command

import (
	"fmt"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

// Program is migrate-istiooperator.
var Program = function.Program{
	Name: "migrate-istiooperator",
	Does: `turns IstioOperator resources (install.istio.io/v1alpha1) into Istio and IstioCNI resources
(sailoperator.io/v1), offline. Nothing is dropped silently: what has no equivalent is a finding with the kustomize patch
or the manifest that replaces it.`,
	Files:   "operator.yaml",
	Options: migrate.Options,
	Takes:   migrate.Kind + " of " + migrate.APIVersion,
	List:    migrate.List,
	Expand:  expand,
	Examples: `  # What an IstioOperator becomes
  NAME -f operator.yaml > istio.yaml

  # The version that runs now, if no image tag says it
  NAME -f operator.yaml --istio-version 1.27.0

  # The IstioOperator that istioctl left in the cluster
  kubectl get istiooperators.install.istio.io -n istio-system installed-state -o yaml | NAME -f -

  # Does the new resource render to what runs?
  diff <(istioctl manifest generate -f operator.yaml) <(NAME -f operator.yaml | render-istio -f -)

  # In a package: adds istio.yaml and istiocni.yaml beside the IstioOperator, once
  kpt fn eval . --exec NAME
`,
}

// expand turns the IstioOperators of files into the new resources.
func expand(items []manifest.Object, options resource.Settings) (out function.Expansion, err error) {
	strict := options.Strict()
	for _, o := range items {
		wrong, mistaken := resource.MistakeIn(o, true)
		switch {
		case mistaken && wrong.Severity == finding.Error:
			out.Findings.Add(wrong)
		case !migrate.IsOperator(o):
			out.Findings.Add(resource.Finding(o, finding.Warning, nil, "is not an IstioOperator and was left out"))
		default:
			out.Taken++
			strict = strict || migrate.IsStrict(o)
			made := migrate.Operator(o, options[migrate.OptionVersion])
			out.Findings = append(out.Findings, made.Findings...)
			out.Objects = append(out.Objects, made.Objects...)
		}
	}
	out.Findings = out.Findings.Strictly(strict)
	if id, twice := manifest.Duplicate(out.Objects); twice {
		err = fmt.Errorf("two IstioOperators both become %s: merge them into one, or give each control plane a revision", id)
	}
	return out, err
}
