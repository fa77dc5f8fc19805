// Package function is the outside of a function binary: it finds out how it was called - with a ResourceList, as a
// kustomize exec plugin, or by a person with files - gathers the options, and writes objects, results and errors the way
// that caller reads them.
package function

import (
	"bytes"
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

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
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
}

// This is the Process that the program runs in.
func This() Process {
	p := Process{Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv}
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

const name = "render-istio"

// Exit codes.
const (
	exitOK    = 0
	exitError = 1 // the resources cannot be rendered
	exitUsage = 2 // the call is wrong
)

// RenderIstio is the program render-istio. It returns the exit code.
func RenderIstio(p Process) int {
	c, err := parse(p)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitOK
	case err != nil:
		fmt.Fprintf(p.Stderr, "%s: %v\nRun '%s --help' for usage.\n", name, err, name)
		return exitUsage
	case c.version:
		return p.finish(writeVersions(p.Stdout))
	case len(c.files) > 0:
		return standAlone(p, c)
	case p.Terminal:
		usage(p.Stdout, c.flags)
		return exitOK
	}
	return resourceList(p, c.options)
}

func (p Process) finish(err error) int {
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", name, err)
		return exitError
	}
	return exitOK
}

type call struct {
	flags   *flag.FlagSet
	files   []string
	options krm.Options
	version bool
}

// parse reads arguments and environment.
func parse(p Process) (call, error) {
	c := call{flags: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.flags.SetOutput(io.Discard)
	fromFlags := krm.Options{}
	for _, opt := range krm.AllOptions {
		c.flags.Func(opt.Name, opt.Help, func(value string) error { return fromFlags.Set(opt.Name, value) })
	}
	addFile := func(file string) error { c.files = append(c.files, file); return nil }
	c.flags.Func("f", "file with Istio and IstioRevision resources, - for standard input; may be repeated", addFile)
	c.flags.BoolVar(&c.version, "version", false, "print the version and the bundled Istio versions with their digests")
	err := c.flags.Parse(bareSwitches(p.Args[1:]))
	if errors.Is(err, flag.ErrHelp) {
		usage(p.Stdout, c.flags)
	}
	if err != nil {
		return c, err
	}
	// A file as a plain argument is how kustomize calls its exec plugins.
	c.files = append(c.files, c.flags.Args()...)
	fromEnv, err := krm.OptionsOfEnvironment(p.Getenv)
	c.options = fromFlags.Over(fromEnv)
	return c, err
}

// bareSwitches gives --crds and --track their value when they stand alone: include and true.
func bareSwitches(args []string) []string {
	bare := map[string]string{krm.OptionCRDs: "include", krm.OptionTrack: "true"}
	var out []string
	for i, a := range args {
		out = append(out, a)
		opt := strings.TrimLeft(a, "-")
		value, ok := bare[opt]
		if !ok || opt == a {
			continue
		}
		possible := krm.AllOptions[slices.IndexFunc(krm.AllOptions, func(o krm.Option) bool { return o.Name == opt })].Values
		if i+1 == len(args) || !slices.Contains(possible, args[i+1]) {
			out = append(out, value)
		}
	}
	return out
}

// resourceList runs as a KRM function.
func resourceList(p Process, options krm.Options) int {
	list, err := krm.Read(p.Stdin)
	if err != nil {
		return p.finish(err)
	}
	out := expand.List(list, options)
	code := exitOK
	for _, r := range out.Results {
		// kpt shows results and stderr both, kustomize shows neither results nor the reason of a failure.
		if r.Severity == fn.Error {
			code = exitError
		}
		if r.Severity == fn.Error || r.Severity == fn.Warning && !expand.Remembers(list.Items) {
			fmt.Fprintf(p.Stderr, "%s: %s\n", name, Sentence(r, ""))
		}
	}
	if err := out.Write(p.Stdout); err != nil {
		return p.finish(err)
	}
	return code
}

// standAlone renders files for a person, or for kustomize's exec plugin.
func standAlone(p Process, c call) int {
	var sources []source
	for _, file := range c.files {
		read, err := readFile(p, file)
		if err != nil {
			return p.finish(err)
		}
		sources = append(sources, read...)
	}
	items := make([]manifest.Object, len(sources))
	for i, s := range sources {
		items[i] = s.object
	}
	expanded := expand.Items(items, c.options, false)
	for _, item := range items {
		if !krm.IsResource(item) {
			expanded.Results = append(expanded.Results, krm.Result(item, fn.Warning, nil, "is not an Istio or IstioRevision and was left out"))
		}
	}
	var objects []manifest.Object
	var failure error
	if !expand.HasError(expanded.Results) {
		objects, failure = expanded.Plain()
	}
	for _, r := range expanded.Results {
		fmt.Fprintf(p.Stderr, "%s: %s\n", name, Sentence(r, position(r, sources)))
	}
	switch {
	case expand.HasError(expanded.Results):
		return exitError
	case len(expanded.Outputs) == 0:
		return p.finish(fmt.Errorf("%s: no Istio or IstioRevision of sailoperator.io/v1 in it", strings.Join(c.files, ", ")))
	case failure != nil:
		return p.finish(failure)
	}
	return p.finish(manifest.Write(p.Stdout, objects))
}

// source is a resource in a file.
type source struct {
	file   string
	object manifest.Object
}

func readFile(p Process, file string) ([]source, error) {
	var data []byte
	var err error
	if file == "-" {
		file = "standard input"
		data, err = io.ReadAll(io.LimitReader(p.Stdin, krm.MaxInput+1))
	} else {
		data, err = os.ReadFile(file)
	}
	if err != nil {
		return nil, err
	}
	if len(data) > krm.MaxInput {
		return nil, fmt.Errorf("%s has more than %d MiB", file, krm.MaxInput>>20)
	}
	objects, err := krm.ParseDocuments(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.ToSlash(file), err)
	}
	out := make([]source, len(objects))
	for i, o := range objects {
		out[i] = source{filepath.ToSlash(file), o}
	}
	return out, nil
}

// position finds where the field of a result stands: file:line:column, or "" if it cannot be told.
func position(r *fn.Result, sources []source) string {
	if r.ResourceRef == nil {
		return ""
	}
	for _, s := range sources {
		if *krm.RefOf(s.object) != *r.ResourceRef {
			continue
		}
		n := s.object.Node()
		if r.Field != nil {
			n = krm.Locate(s.object, r.Field.Path)
		}
		return fmt.Sprintf("%s:%d:%d", s.file, n.Line, n.Column)
	}
	return ""
}

// Sentence is a result as one line: where, which resource, what. at may be empty.
func Sentence(r *fn.Result, at string) string {
	var b strings.Builder
	switch {
	case at != "":
		b.WriteString(at + ": ")
	case r.File != nil:
		b.WriteString(r.File.Path + ": ")
	}
	if r.Severity == fn.Warning {
		b.WriteString("warning: ")
	}
	if ref := r.ResourceRef; ref != nil {
		b.WriteString(ref.Kind + "/" + ref.Name + ": ")
	}
	b.WriteString(r.Message)
	return b.String()
}

func writeVersions(w io.Writer) error {
	var b bytes.Buffer
	version := Version
	if info, ok := debug.ReadBuildInfo(); ok && version == "devel" && info.Main.Version != "" {
		version = info.Main.Version
	}
	fmt.Fprintf(&b, "%s %s\n\nBundled Istio versions and the digests of their charts:\n", name, version)
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
	_, err := w.Write(b.Bytes())
	return err
}

func usage(w io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(w, `render-istio expands Istio and IstioRevision resources (%s) into the Kubernetes objects
of their control planes, with Istio's own charts, offline.

Usage:
  render-istio -f istio.yaml [options]     print the objects
  render-istio < resourcelist.yaml         run as a KRM function (kustomize, kpt)

Examples:
  # What an Istio resource gives
  render-istio -f istio.yaml

  # What an upgrade changes
  diff <(render-istio -f istio.yaml) <(sed s/v1.27.0/v1.28.3/ istio.yaml | render-istio -f -)

  # With Istio's CRDs, for OpenShift
  render-istio -f istio.yaml --crds --platform openshift

  # A version that is not bundled, from charts in a directory
  render-istio -f istio.yaml --charts ./charts

  # In a kustomization: generators: [istio.yaml], and in istio.yaml the annotation
  #   config.kubernetes.io/function: "exec: {path: render-istio}"
  kustomize build --enable-alpha-plugins --enable-exec .

  # In a Kptfile: pipeline: {mutators: [{exec: render-istio}]}
  kpt fn render --allow-exec

Options, each also as annotation lateen.io/<option> on the resource, as key of a ConfigMap functionConfig and as
environment variable LATEEN_<OPTION>; the annotation wins, then the ConfigMap, the flag, the environment:
`, v1.GroupVersion)
	for _, opt := range krm.AllOptions {
		value, help := opt.Placeholder, opt.Help
		if len(opt.Values) > 0 {
			value = strings.Join(opt.Values, "|")
			help += " (default " + opt.Values[0] + ")"
		}
		if opt.Name == krm.OptionKubeVersion {
			help += " (default " + chart.DefaultKubeVersion + ")"
		}
		fmt.Fprintf(w, "  --%s %s\n        %s\n", opt.Name, value, help)
	}
	fmt.Fprintf(w, "\nOther flags:\n")
	for _, f := range []string{"f", "version"} {
		fl := flags.Lookup(f)
		dash := "--"
		if f == "f" {
			dash = "-"
		}
		fmt.Fprintf(w, "  %s%s\n        %s\n", dash, fl.Name, fl.Usage)
	}
	fmt.Fprintf(w, "\nBundled Istio versions: %s\n", strings.Join(release.Bundled().Versions(), ", "))
}
