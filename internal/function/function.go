// Package function is the outside of a function binary: it finds out how it was called - with a ResourceList, as a
// kustomize exec plugin, or by a person with files - gathers the options, and writes objects, findings and errors the
// way that caller reads them.
package function

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/yamltree"
)

// Process is what the operating system gives to a process.
type Process struct {
	// Args are the arguments, the name of the program first.
	Args           []string
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Terminal tells whether Stdin is a terminal.
	Terminal bool
	// Getenv looks up environment variables.
	Getenv func(string) (string, bool)
	// Environ are all environment variables, as NAME=value.
	Environ []string
}

// This is the Process that the program runs in.
func This() Process {
	p := Process{
		Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Environ: os.Environ(),
	}
	if info, err := os.Stdin.Stat(); err == nil {
		p.Terminal = info.Mode()&os.ModeCharDevice != 0 && info.Mode()&os.ModeDevice != 0 && !isNull(info)
	}
	return p
}

// isNull tells whether a file is the null device, which is a character device like a terminal.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}

// Version is the version of Lateen; the build sets it.
var Version = "devel"

// Main runs the program in a process and returns the exit code.
func (prog Program) Main(p Process) int {
	s := session{Program: prog, Process: p}
	err := s.parse()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exit.OK
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", s.Name, err)
		return exit.Usage
	case s.version:
		return s.finish(s.writeVersions())
	case len(s.files) > 0:
		return s.standAlone()
	case p.Terminal:
		s.usage()
		return exit.OK
	}
	return s.resourceList()
}

// session is one run of a program.
type session struct {
	Program
	Process
	files   []string
	options resource.Settings
	version bool
}

func (s *session) finish(err error) int {
	if err != nil {
		fmt.Fprintf(s.Stderr, "%s: %v\n", s.Name, err)
		return exit.Wrong
	}
	return exit.OK
}

// parse reads arguments and environment.
func (s *session) parse() error {
	flags := flag.NewFlagSet(s.Name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	fromFlags := resource.Settings{}
	for _, opt := range s.Program.options() {
		flags.Func(opt.Name, "", func(value string) error {
			return cmp.Or(fromFlags.Set(opt.Name, value), isKubeVersion(opt.Name, value))
		})
	}
	flags.Func("f", "", func(file string) error { s.files = append(s.files, file); return nil })
	flags.BoolVar(&s.version, "version", false, "")
	err := flags.Parse(bareSwitches(s.Args[1:]))
	if errors.Is(err, flag.ErrHelp) {
		s.usage()
	}
	if err != nil {
		return err
	}
	// A file as a plain argument is how kustomize calls its exec plugins.
	s.files = append(s.files, flags.Args()...)
	if err := resource.CheckEnvironment(s.Environ); err != nil {
		return err
	}
	fromEnv, err := resource.SettingsOfEnvironment(s.Getenv)
	if err := isKubeVersion(resource.OptionKubeVersion, fromEnv[resource.OptionKubeVersion]); err != nil {
		return fmt.Errorf("environment variable LATEEN_KUBE_VERSION: %w", err)
	}
	s.options = fromFlags.Over(fromEnv)
	return err
}

// isKubeVersion checks the value of the option kube-version where it is part of a call; that of a resource is a fault
// of the resource.
func isKubeVersion(option, value string) error {
	if option != resource.OptionKubeVersion {
		return nil
	}
	_, err := chart.ParseKubeVersion(value)
	return err
}

// bareSwitches gives flags such as --crds and --strict their value when they stand alone: include and true.
func bareSwitches(args []string) []string {
	bare := map[string]string{
		resource.OptionCRDs: "include", resource.OptionTrack: "true", resource.OptionProtect: "true",
		resource.OptionStrict:         "true",
		resource.OptionFluxSubstitute: "true",
	}
	var out []string
	for i, a := range args {
		out = append(out, a)
		opt := strings.TrimLeft(a, "-")
		value, ok := bare[opt]
		if !ok || opt == a {
			continue
		}
		if i+1 == len(args) || !slices.Contains(option(opt).Values, args[i+1]) {
			out = append(out, value)
		}
	}
	return out
}

// option describes the option of a name.
func option(name string) resource.Option {
	return resource.AllOptions[slices.IndexFunc(resource.AllOptions, func(o resource.Option) bool {
		return o.Name == name
	})]
}

// resourceList runs as a KRM function.
func (s *session) resourceList() int {
	return s.ResourceList(s.Name, func(in *krm.List) *krm.List { return s.List(in, s.options) })
}

// ResourceList runs a KRM function from standard input to standard output and returns the exit code. What is wrong with
// the resources is in the findings, which are reported.
func (p Process) ResourceList(program string, f func(*krm.List) *krm.List) int {
	code, err := p.resourceList(program, f)
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", program, err)
		return exit.Wrong
	}
	return code
}

func (p Process) resourceList(program string, f func(*krm.List) *krm.List) (code int, err error) {
	list, err := krm.Read(p.Stdin)
	if err != nil {
		return 0, err
	}
	out := f(list)
	p.Report(program, out.Findings, list)
	return out.Findings.ExitCode(), out.Write(p.Stdout)
}

// Report prints the findings of a KRM function, one sentence each, as far as the caller does not: kpt shows findings
// and standard error both, kustomize shows neither findings nor the reason of a failure.
func (p Process) Report(program string, findings finding.List, in *krm.List) {
	shown := expand.Remembers(in.Items)
	for _, r := range findings {
		if r.Severity != finding.Error && shown {
			continue
		}
		file := r.File
		if !shown {
			file = "" // from its second transformer on, kustomize gives items paths of files that do not exist
		}
		fmt.Fprintf(p.Stderr, "%s: %s\n", program, r.At(file))
	}
}

// standAlone renders files for a person, or for kustomize's exec plugin.
func (s *session) standAlone() int {
	var items []manifest.Object
	for _, file := range s.files {
		objects, err := s.ReadFile(file)
		if err != nil {
			return s.finish(err)
		}
		items = append(items, objects...)
	}
	expanded := s.Items(items, items, s.options, false)
	for _, item := range items {
		if says := s.leftOut(item); says != "" {
			expanded.Findings = append(expanded.Findings, resource.Finding(item, finding.Warning, nil, says))
		}
	}
	objects, err := s.plain(&expanded)
	for _, r := range expanded.Findings {
		at := ""
		if !s.plugin() {
			at = position(r, items)
		}
		fmt.Fprintf(s.Stderr, "%s: %s\n", s.Name, r.At(at))
	}
	switch code := expanded.Findings.ExitCode(); {
	case code != exit.OK:
		return code
	case len(expanded.Outputs) == 0:
		return s.finish(fmt.Errorf("%s: no %s of %s in it", strings.Join(s.files, ", "), strings.Join(s.Kinds, " or "),
			v1.GroupVersion))
	case err != nil:
		return s.finish(err)
	}
	return s.finish(manifest.Write(s.Stdout, objects))
}

// plain gives the objects of what has been expanded, if nothing is wrong with it. The findings are complete then.
func (s *session) plain(e *expand.Expanded) ([]manifest.Object, error) {
	if e.Findings.HasError() {
		return nil, nil
	}
	objects, err := e.Plain()
	e.Findings = e.Findings.Strictly(e.Strict)
	return objects, err
}

// leftOut says why a resource in a file gives nothing, or "" if it does.
func (s *session) leftOut(item manifest.Object) string {
	// the former is reported as such
	if _, wrong := resource.MistakeIn(item, false); wrong || resource.IsResource(item, s.Kinds...) {
		return ""
	}
	for _, other := range []expand.Function{expand.RenderIstio, expand.RenderCNI, expand.RevisionTag} {
		switch {
		case !resource.IsResource(item, other.Kinds...):
		case s.Name == expand.RevisionTag.Name && other.Name == expand.RenderIstio.Name:
			return "" // it is there for a tag to point at
		default:
			return "was left out; " + other.Name + " expands it"
		}
	}
	return "is not an " + strings.Join(s.Kinds, " or ") + " and was left out"
}

// ReadFile reads the resources of a file, or of standard input, which is called "-".
func (p Process) ReadFile(file string) ([]manifest.Object, error) {
	var data []byte
	var err error
	name := filepath.ToSlash(file)
	if file == "-" {
		name = "standard input"
		data, err = io.ReadAll(io.LimitReader(p.Stdin, resource.MaxInput+1))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	if len(data) > resource.MaxInput {
		return nil, fmt.Errorf("%s has more than %d MiB", name, resource.MaxInput>>20)
	}
	objects, err := resource.ParseFile(name, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return objects, nil
}

// Position is where the field of a finding stands in the file that its resource was read from: file:line:column.
func Position(o manifest.Object, f finding.Finding) string {
	n := o.Node()
	if f.Field != "" {
		n = yamltree.Locate(n, f.Field)
	}
	return fmt.Sprintf("%s:%d:%d", o.Place().File, n.Line, n.Column)
}

// plugin reports whether kustomize calls the program as one of its exec plugins, with a temporary file, which is gone
// when somebody reads a message that names it.
func (s *session) plugin() bool {
	_, set := s.Getenv("KUSTOMIZE_PLUGIN_CONFIG_STRING")
	return set
}

// position finds where the field of a finding stands: file:line:column, or the file alone if it cannot be told.
func position(f finding.Finding, items []manifest.Object) string {
	if f.File == "" {
		return ""
	}
	for _, o := range items {
		if p := o.Place(); p.File == f.File && p.Index == f.Index {
			return Position(o, f)
		}
	}
	return f.File
}

func (s *session) writeVersions() error {
	var b bytes.Buffer
	version := Version
	if info, ok := debug.ReadBuildInfo(); ok && version == "devel" && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(&b, "%s %s\n\nBundled Istio versions and the digests of their charts:\n", s.Name, version)
	catalogue := release.Bundled()
	for _, e := range catalogue.Releases {
		note := ""
		if e.Version == catalogue.Default() {
			note = "  (default)"
		}
		r, err := catalogue.Resolve(e.Version, nil)
		if err != nil {
			note += "  (not in this build)"
		} else if r.EndOfLife != "" {
			note += "  (end of life: " + r.EndOfLife + ")"
		}
		fmt.Fprintf(&b, "  %-9s %s%s\n", e.Version, e.Digest, note)
	}
	_, err := s.Stdout.Write(b.Bytes())
	return err
}

func (s *session) usage() {
	w := s.Stdout
	file, _, _ := strings.Cut(s.resource, " ")
	fmt.Fprintf(w, `%[1]s %[2]s

Usage:
  %[1]s -f %[3]s [options]     print the objects
  %[1]s < resourcelist.yaml         run as a KRM function (kustomize, kpt)

Examples:
  # What a resource gives
  %[1]s -f %[3]s

  # What an upgrade changes
  diff <(%[1]s -f %[3]s) <(sed s/v1.27.0/v1.28.3/ %[4]s | %[1]s -f -)
%[5]s
  # A version that is not bundled, from charts in a directory
  %[1]s -f %[3]s --charts ./charts

  # In a kustomization: generators: [%[4]s], and in %[4]s the annotation
  #   config.kubernetes.io/function: "exec: {path: %[1]s}"
  kustomize build --enable-alpha-plugins --enable-exec .

  # In a Kptfile: pipeline: {mutators: [{exec: %[1]s}]}
  kpt fn render --allow-exec

Options, each also as annotation lateen.io/<option> on the resource, as key of a ConfigMap
functionConfig and as environment variable LATEEN_<OPTION>; the annotation wins, then the ConfigMap,
the flag, the environment:
`, s.Name, s.what, s.resource, file, s.examples)
	for _, opt := range s.Program.options() {
		value, help := opt.Placeholder, opt.Help
		if len(opt.Values) > 0 {
			value = strings.Join(opt.Values, "|")
			help += " (" + cmp.Or(opt.Without, "default "+opt.Values[0]) + ")"
		}
		if opt.Name == resource.OptionKubeVersion {
			help += " (default " + chart.DefaultKubeVersion + ")"
		}
		fmt.Fprintf(w, "  --%s %s\n        %s\n", opt.Name, value, help)
	}
	fmt.Fprintf(w, `
Other flags:
  -f FILE
        file with resources, - for standard input; may be repeated
  --version
        print the version and the bundled Istio versions with their digests

Bundled Istio versions: %s

%s`, strings.Join(release.Bundled().Versions(), ", "), exit.Table)
}
