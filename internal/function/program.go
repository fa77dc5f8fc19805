package function

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/lateen-io/lateen/internal/exit"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// Program is what is particular to one function.
type Program struct {
	// Name is how messages and the help call it: by its binary, or as a command of a greater program.
	Name string
	// Does says for the help what it does: "expands …".
	Does string
	// Files are an example of files to give, and Examples are further lines for the help, in which NAME stands for Name.
	Files, Examples string
	// Options are those that make a difference: each is a flag, a variable of the environment and a line of the help.
	Options []resource.Option
	// Takes says which resources it is for: "Istio of sailoperator.io/v1".
	Takes string
	// List runs it on a ResourceList.
	List func(in *krm.List, options resource.Settings) *krm.List
	// Expand runs it on the resources of files.
	Expand func(items []manifest.Object, options resource.Settings) (Expansion, error)
}

// Expansion is what the resources of files become.
type Expansion struct {
	// Objects are written if nothing is wrong.
	Objects []manifest.Object
	// Findings say what is wrong, and are what option strict makes of them.
	Findings finding.List
	// Taken is how many of the resources the program is for.
	Taken int
}

// call is what the arguments and the environment of a process ask for.
type call struct {
	files         []string
	options       resource.Settings
	version, help bool
}

// parse reads arguments and environment.
func (prog Program) parse(p Process) (call, error) {
	var c call
	fromFlags := resource.Settings{}
	flags := prog.optionFlags(fromFlags)
	flags.AddFlagSet(c.otherFlags())
	if err := flags.Parse(normalize(flags, p.Args[1:])); err != nil || c.help {
		return c, err
	}
	// A file as a plain argument is how kustomize calls its exec plugins.
	c.files = append(c.files, flags.Args()...)
	if slices.Contains(c.files, "") {
		return c, errors.New("the name of a file is empty; standard input is called -")
	}
	// All programs share one environment: what is wrong there is wrong for each.
	known := slices.Concat(prog.Options, resource.AllOptions)
	if err := resource.CheckEnvironment(known, p.Environ); err != nil {
		return c, err
	}
	fromEnvironment, err := resource.SettingsOfEnvironment(known, p.Getenv)
	c.options = fromFlags.Over(fromEnvironment)
	return c, err
}

// optionFlags are the flags that set options.
func (prog Program) optionFlags(settings resource.Settings) *pflag.FlagSet {
	flags := newFlagSet()
	for _, opt := range prog.Options {
		usage := opt.Help
		if without := opt.Without; without != "" {
			usage += " (" + without + ")"
		} else if len(opt.Values) > 0 {
			usage += " (default " + opt.Values[0] + ")"
		}
		flags.VarPF(option{opt, settings}, opt.Name, "", usage).NoOptDefVal = opt.Alone
	}
	return flags
}

// otherFlags are those that every program has.
func (c *call) otherFlags() *pflag.FlagSet {
	flags := newFlagSet()
	flags.StringArrayVarP(&c.files, "file", "f", nil,
		"read the resources of a `FILE`, or of standard input, which is called -; may be repeated")
	flags.BoolVar(&c.version, "version", false, "print the version and the bundled Istio versions with their digests")
	flags.BoolVarP(&c.help, "help", "h", false, "print this text")
	return flags
}

func newFlagSet() *pflag.FlagSet {
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.SortFlags = false
	return flags
}

// option is an option as the value of a flag.
type option struct {
	resource.Option
	settings resource.Settings
}

// Set is part of pflag.Value.
func (o option) Set(value string) error {
	return o.settings.Set([]resource.Option{o.Option}, o.Name, value)
}

// String is part of pflag.Value: the help has its own words for what holds without the option.
func (option) String() string { return "" }

// Type is part of pflag.Value: what the help has after the name of the flag.
func (o option) Type() string { return cmp.Or(o.Placeholder, strings.Join(o.Values, "|")) }

// normalize puts arguments as pflag reads them. One dash before a name is as good as two, as Go's own flags have it,
// and a flag that may stand alone takes what comes behind it if that can be its value.
func normalize(flags *pflag.FlagSet, args []string) []string {
	var out []string
	for len(args) > 0 && args[0] != "--" {
		arg := args[0]
		args = args[1:]
		bare := strings.TrimLeft(arg, "-")
		name, _, hasValue := strings.Cut(bare, "=")
		var flag *pflag.Flag
		switch {
		case bare == arg: // a file
		case len(name) == 1:
			arg, flag = "-"+bare, flags.ShorthandLookup(name)
			if flag != nil { // pflag takes -f= for a file called =
				arg = "--" + flag.Name + bare[1:]
			}
		case name != "":
			arg, flag = "--"+bare, flags.Lookup(name)
		}
		if flag != nil && !hasValue && len(args) > 0 {
			o, _ := flag.Value.(option)
			if flag.NoOptDefVal == "" || slices.Contains(o.Values, args[0]) {
				arg += "=" + args[0]
				args = args[1:]
			}
		}
		out = append(out, arg)
	}
	return append(out, args...)
}

// usage prints the help.
func (prog Program) usage(w io.Writer) {
	const width = 100
	fmt.Fprintf(w, `%[1]s %[2]s

Usage:
  %[1]s -f %[3]s [options]
        print what the resources become; findings go to standard error
  %[1]s < resourcelist.yaml
        run as a KRM function (kustomize, kpt)

Examples:
%[4]s
Options, each also as annotation lateen.io/<option> on the resource, as key of a ConfigMap
functionConfig and as environment variable LATEEN_<OPTION>; the annotation wins, then the ConfigMap,
the flag, the environment. [=value] is what a flag means alone:
%[5]s
Other flags:
%[6]s
Bundled Istio versions: %[7]s

%[8]s`, prog.Name, prog.Does, prog.Files, strings.ReplaceAll(prog.Examples, "NAME", prog.Name),
		prog.optionFlags(nil).FlagUsagesWrapped(width), new(call).otherFlags().FlagUsagesWrapped(width),
		strings.Join(release.Bundled().Versions(), ", "), exit.Table)
}
