// Package function is the outside of a function, whatever it does: it finds out how it was called - with a
// ResourceList, as a kustomize exec plugin, or by a person with files - gathers the options, and writes objects,
// findings and errors the way that caller reads them. What a function does is in its Program.
package function

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"

	"golang.org/x/term"

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
	// Terminal reports whether Stdin is a terminal.
	Terminal bool
	// Getenv looks up environment variables.
	Getenv func(string) (string, bool)
	// Environ are all environment variables, as NAME=value.
	Environ []string
}

// This is the Process that the program runs in.
func This() Process {
	return Process{
		Args: os.Args, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.LookupEnv, Environ: os.Environ(),
		Terminal: term.IsTerminal(int(os.Stdin.Fd())),
	}
}

// WrongCall tells a person what is wrong with the call of a program, and returns the exit code.
func (p Process) WrongCall(program string, err error) int {
	fmt.Fprintf(p.Stderr, "%s: %v\nRun '%[1]s --help' for usage.\n", program, err)
	return exit.Usage
}

// Finish tells a person which error a program ends with, if any, and returns the exit code.
func (p Process) Finish(program string, err error) int {
	if err != nil {
		fmt.Fprintf(p.Stderr, "%s: %v\n", program, err)
		return exit.Wrong
	}
	return exit.OK
}

// Version is the version of Lateen; the build sets it.
var Version = "devel"

// BuildVersion is the version of Lateen, also in a program that `go install` has built.
func BuildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && Version == "devel" {
		return cmp.Or(info.Main.Version, Version)
	}
	return Version
}

// Main runs the program in a process and returns the exit code.
func (prog Program) Main(p Process) int {
	s := session{Program: prog, Process: p}
	var err error
	s.call, err = prog.parse(p)
	switch {
	case err != nil:
		return p.WrongCall(s.Name, err)
	case s.version:
		_, err = io.WriteString(p.Stdout, s.versions())
	case s.help, len(s.files) == 0 && p.Terminal:
		s.usage(p.Stdout)
	case len(s.files) > 0:
		return s.standAlone()
	default:
		return s.resourceList()
	}
	return p.Finish(s.Name, err)
}

// session is one run of a program.
type session struct {
	Program
	Process
	call
}

// say prints a finding as a sentence. at is where its field stands, if that is known.
func (s *session) say(f finding.Finding, at string) {
	fmt.Fprintf(s.Stderr, "%s: %s\n", s.Name, strings.TrimRight(f.At(at), "\n"))
}

// resourceList runs as a KRM function, from standard input to standard output. What is wrong with the resources is in
// the findings.
func (s *session) resourceList() int {
	in, err := krm.Read(s.Stdin)
	if err != nil {
		return s.Finish(s.Name, err)
	}
	out := s.List(in, s.options)
	// kpt shows findings and standard error both; kustomize shows neither findings nor the reason of a failure, and from
	// its second transformer on it gives items paths of files that do not exist.
	shown := expand.Remembers(in.Items)
	for _, f := range out.Findings {
		switch {
		case !shown:
			s.say(f, "")
		case f.Severity == finding.Error:
			s.say(f, f.File)
		}
	}
	if err := out.Write(s.Stdout); err != nil {
		return s.Finish(s.Name, err)
	}
	return out.Findings.ExitCode()
}

// standAlone runs on files, for a person or as kustomize's exec plugin.
func (s *session) standAlone() int {
	var items []manifest.Object
	for _, file := range s.files {
		objects, err := s.readFile(file)
		if err != nil {
			return s.Finish(s.Name, err)
		}
		items = append(items, objects...)
	}
	out, err := s.Expand(items, s.options)
	for _, f := range out.Findings {
		s.say(f, s.position(f, items))
	}
	switch code := out.Findings.ExitCode(); {
	case code != exit.OK:
		return code
	case out.Taken == 0:
		err = fmt.Errorf("%s: no %s in it", strings.Join(s.files, ", "), s.Takes)
	case err == nil:
		err = manifest.Write(s.Stdout, out.Objects)
	}
	return s.Finish(s.Name, err)
}

// readFile reads the resources of a file, or of standard input, which is called "-".
func (s *session) readFile(file string) ([]manifest.Object, error) {
	var data []byte
	var err error
	name := filepath.ToSlash(file)
	if file == "-" {
		name = "standard input"
		data, err = io.ReadAll(io.LimitReader(s.Stdin, resource.MaxInput+1))
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

// position is where the field of a finding stands: file:line:column, or the file alone if it cannot be told. kustomize
// calls its exec plugins with a temporary file, which is gone when somebody reads a message that names it.
func (s *session) position(f finding.Finding, items []manifest.Object) string {
	if _, plugin := s.Getenv("KUSTOMIZE_PLUGIN_CONFIG_STRING"); plugin || f.File == "" {
		return ""
	}
	for _, o := range items {
		if p := o.Place(); p.File == f.File && p.Index == f.Index {
			n := o.Node()
			if f.Field != "" {
				n = yamltree.Locate(o.Node(), f.Field)
			}
			return fmt.Sprintf("%s:%d:%d", p.File, n.Line, n.Column)
		}
	}
	return f.File
}

// versions are that of the program and those of Istio.
func (s *session) versions() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n\nBundled Istio versions and the digests of their charts:\n", s.Name, BuildVersion())
	for _, v := range release.Bundled().List() {
		note := ""
		if v.Default {
			note = "  (default)"
		}
		if v.Missing {
			note += "  (not in this build)"
		} else if v.EndOfLife != "" {
			note += "  (end of life: " + v.EndOfLife + ")"
		}
		fmt.Fprintf(&b, "  %-9s %s%s\n", v.Version, v.Digest, note)
	}
	return b.String()
}
