// Package command is the outside of migrate-istiooperator: it finds out how it was called - with a ResourceList, or by
// a person with files -, and writes resources and findings the way that caller reads them. What an IstioOperator
// becomes is the job of package migrate.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/function"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/migrate"
)

const program = "migrate-istiooperator"

// environment names the variable of the option.
const environment = "LATEEN_ISTIO_VERSION"

// Main runs the program in a process and returns the exit code.
func Main(p function.Process) int { return Named(program, p) }

// Named is Main for a program that goes by another name, which messages and help then have: it is a part of a greater
// one.
func Named(name string, p function.Process) int {
	s := session{Process: p, name: name}
	err := s.parse()
	switch {
	case errors.Is(err, flag.ErrHelp):
		s.usage()
		return exit.OK
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", name, err)
		return exit.Usage
	case s.version:
		fmt.Fprintf(p.Stdout, "%s %s\n\nBundled Istio versions: %s\n", name, version(),
			strings.Join(release.Bundled().Versions(), ", "))
		return exit.OK
	case len(s.files) > 0:
		return s.standAlone()
	case p.Terminal:
		s.usage()
		return exit.OK
	}
	return s.resourceList()
}

// version is that of the program.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && function.Version == "devel" && info.Main.Version != "" {
		return info.Main.Version
	}
	return function.Version
}

// session is one run of the program.
type session struct {
	function.Process
	name    string
	files   []string
	istio   string
	strict  bool
	version bool
}

func (s *session) parse() error {
	flags := flag.NewFlagSet(s.name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&s.istio, migrate.OptionVersion, "", "")
	flags.Func("f", "", func(file string) error { s.files = append(s.files, file); return nil })
	flags.BoolVar(&s.version, "version", false, "")
	flags.BoolVar(&s.strict, resource.OptionStrict, false, "")
	if err := flags.Parse(s.Args[1:]); err != nil {
		return err
	}
	s.files = append(s.files, flags.Args()...)
	if env, _ := s.Getenv(environment); s.istio == "" {
		s.istio = env
	}
	if err := resource.CheckEnvironment(s.Environ); err != nil {
		return err
	}
	options, err := resource.SettingsOfEnvironment(s.Getenv)
	s.strict = s.strict || options.Strict()
	return err
}

func (s *session) finish(err error) int {
	if err != nil {
		fmt.Fprintf(s.Stderr, "%s: %v\n", s.name, err)
		return exit.Wrong
	}
	return exit.OK
}

// resourceList runs as a KRM function.
func (s *session) resourceList() int {
	return s.ResourceList(s.name, func(in *krm.List) *krm.List { return migrate.List(in, s.istio, s.strict) })
}

// standAlone migrates files for a person: the new resources on standard output, the findings on standard error.
func (s *session) standAlone() int {
	var items []manifest.Object
	for _, file := range s.files {
		objects, err := s.ReadFile(file)
		if err != nil {
			return s.finish(err)
		}
		items = append(items, objects...)
	}
	made, found, operators := s.migrate(items)
	var findings finding.List
	for _, f := range found {
		findings = append(findings, f.finding)
	}
	findings = findings.Strictly(s.strict)
	for i, r := range findings {
		fmt.Fprintf(s.Stderr, "%s: %s\n", s.name,
			strings.TrimRight(r.At(function.Position(found[i].item, r)), "\n"))
	}
	if code := findings.ExitCode(); code != exit.OK {
		return code
	}
	if operators == 0 {
		return s.finish(fmt.Errorf("%s: no %s of %s in it", strings.Join(s.files, ", "), migrate.Kind,
			migrate.APIVersion))
	}
	if id, twice := manifest.Duplicate(made); twice {
		return s.finish(
			fmt.Errorf("two IstioOperators both become %s: merge them into one, or give each control plane a revision", id))
	}
	return s.finish(manifest.Write(s.Stdout, made))
}

// noted is what was found about an item.
type noted struct {
	item    manifest.Object
	finding finding.Finding
}

// migrate turns the IstioOperators among the items into the new resources.
func (s *session) migrate(items []manifest.Object) (made []manifest.Object, found []noted, operators int) {
	for _, o := range items {
		wrong, mistaken := resource.MistakeIn(o, true)
		switch {
		case mistaken && wrong.Severity == finding.Error:
			found = append(found, noted{o, wrong})
		case !migrate.IsOperator(o):
			found = append(found,
				noted{o, resource.Finding(o, finding.Warning, nil, "is not an IstioOperator and was left out")})
		default:
			operators++
			out := migrate.Operator(o, s.istio)
			for _, r := range out.Findings {
				found = append(found, noted{o, r})
			}
			made = append(made, out.Objects...)
		}
	}
	return made, found, operators
}

func (s *session) usage() {
	fmt.Fprintf(
		s.Stdout, `%[1]s turns IstioOperator resources (install.istio.io/v1alpha1) into Istio and IstioCNI resources
(sailoperator.io/v1), offline. Nothing is dropped silently: what has no equivalent is a finding with the kustomize patch
or the manifest that replaces it.

Usage:
  %[1]s -f operator.yaml [options]   print the new resources; findings go to standard error
  %[1]s < resourcelist.yaml          run as a KRM function (kustomize, kpt)

Examples:
  # What an IstioOperator becomes
  %[1]s -f operator.yaml > istio.yaml

  # The version that runs now, if no image tag says it
  %[1]s -f operator.yaml --istio-version 1.27.0

  # The IstioOperator that istioctl left in the cluster
  kubectl get istiooperators.install.istio.io -n istio-system installed-state -o yaml | %[1]s -f -

  # Does the new resource render to what runs?
  diff <(istioctl manifest generate -f operator.yaml) <(%[1]s -f operator.yaml | render-istio -f -)

  # In a package: adds istio.yaml and istiocni.yaml beside the IstioOperator, once
  kpt fn eval . --exec %[1]s

Options:
  --istio-version VERSION
        Istio version of the new resources; without it that of the image tag (spec.tag), or else %[2]s.
        Also annotation lateen.io/istio-version on the IstioOperator, key istio-version of a ConfigMap functionConfig,
        and environment variable %[3]s; the annotation wins, then the ConfigMap, the flag, the environment

  --strict
        warnings are errors; also key strict of the ConfigMap and environment variable LATEEN_STRICT=true; it holds if
        any of them says so

Other flags:
  -f FILE
        file with IstioOperators, - for standard input; may be repeated
  --version
        print the version and the bundled Istio versions

%[4]s`, s.name, release.Bundled().Default(), environment, exit.Table)
}
