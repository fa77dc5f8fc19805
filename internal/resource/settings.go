package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/values"
)

// Settings are options as a user has set them in one place, by name; those that are not set are not there. An option
// has one name in all places, and this is the order in which they win: annotation lateen.io/<name> on the resource, key
// of a ConfigMap functionConfig, flag --<name>, environment variable LATEEN_<NAME>.
type Settings map[string]string

// Option describes one option.
type Option struct {
	Name string
	// Values are the possible ones; none means any text.
	Values []string
	// Help is one line, Placeholder stands for the value in it.
	Help, Placeholder string
	// Without says what holds without the option, if that is not the first of the values.
	Without string
	// Alone is what the flag means without a value; empty if it needs one.
	Alone string
	// Check says what is wrong with a value, beyond that it is none of Values; nil if any text is right.
	Check func(value string) error
}

// check says what is wrong with a value.
func (o Option) check(value string) error {
	if len(o.Values) > 0 && !slices.Contains(o.Values, value) {
		return fmt.Errorf("option %s is %q; possible are: %s", o.Name, value, strings.Join(o.Values, ", "))
	}
	if o.Check == nil {
		return nil
	}
	return o.Check(value)
}

// The names of the options.
const (
	OptionCharts        = "charts"
	OptionKubeVersion   = "kube-version"
	OptionPlatform      = "platform"
	OptionCRDs          = "crds"
	OptionTrack         = "track"
	OptionFailurePolicy = "failure-policy"
	OptionProtect       = "protect"
	OptionClusters      = "clusters"
	OptionStrict        = "strict"
	OptionAllowRemoval  = "allow-removal"
	// OptionFluxSubstitute has no default: a resource without variables needs none, and one with them gets a warning.
	OptionFluxSubstitute = "flux-substitute"
)

// AllOptions lists the options.
var AllOptions = []Option{
	{
		Name: OptionCharts, Placeholder: "DIR",
		Help: "directory with charts of versions that are not bundled: istiod-1.22.5.tgz, base-1.22.5.tgz, or " +
			"1.22.5/istiod, 1.22.5/base",
	},
	{
		Name: OptionKubeVersion, Placeholder: "VERSION",
		Help: "Kubernetes version that charts are told about, such as v1.34.0; one with -gke says that the CNI " +
			"plugin is for GKE",
	},
	{
		Name: OptionPlatform, Placeholder: "NAME",
		Help: "kind of cluster, such as openshift or gke; a pipeline cannot find it out, except gke by kube-version",
	},
	{
		Name: OptionCRDs, Values: []string{"exclude", "include"}, Alone: "include",
		Help: "whether to render Istio's own CRDs as well, once, in the newest version",
	},
	{
		Name: OptionTrack, Values: []string{"false", "true"}, Alone: "true",
		Help: "kustomize generator: also emit the Istio and its IstioRevision, for the controller to track",
	},
	{
		Name: OptionFailurePolicy, Values: []string{"omit", "chart"},
		Help: "failurePolicy of validating webhooks: leave it to istiod, or write what the chart says",
	},
	{
		Name: OptionProtect, Values: []string{"false", "true", "teardown"}, Alone: "true",
		Help: "ask Argo CD and Flux not to prune the objects of an InPlace control plane or IstioRevision either, a " +
			"step before RevisionBased; teardown: not to protect those of a RevisionBased one any more, the step " +
			"before it is taken down",
	},
	{
		Name: OptionClusters, Placeholder: "NAME,NAME",
		Help: "clusters that the package is applied to; an old revision is released only if there is a usage report of each",
	},
	{
		Name: OptionStrict, Values: []string{"false", "true"}, Alone: "true",
		Help: "warnings are errors; it holds if any of the forms says so",
	},
	{
		Name: OptionAllowRemoval, Placeholder: "KIND/NAME,KIND/NAME",
		Help:  "resources that have left the package and whose objects may go, although something may depend on them",
		Check: checkOwners,
	},
	{
		Name: OptionFluxSubstitute, Values: []string{"false", "true"}, Alone: "true",
		Without: "no default: a value with one is a warning",
		Help: "whether Flux replaces ${name} in your values after rendering (postBuild.substitute); with false " +
			"they are literal",
	},
}

// OptionPrefix makes the name of an option that of an annotation.
const OptionPrefix = "lateen.io/"

// reserved are annotations below lateen.io/ that are not options but written by Lateen. lateen.io/kube-version is both:
// on a generated IstioRevision it records what the option was.
var reserved = []string{
	manifest.AnnotationOwner, manifest.AnnotationRenderedBy, manifest.AnnotationVersion, manifest.AnnotationChartDigest,
	manifest.AnnotationActivation, manifest.AnnotationStaleReports, manifest.AnnotationReleasedBy,
}

// Set checks and sets one of the options.
func (s Settings) Set(options []Option, name, value string) error {
	i := slices.IndexFunc(options, func(opt Option) bool { return opt.Name == name })
	if i < 0 {
		names := namesOf(options)
		if best := values.Closest(name, names); best != "" {
			return fmt.Errorf("unknown option %q; did you mean %s?", name, best)
		}
		return fmt.Errorf("unknown option %q; options are: %s", name, strings.Join(names, ", "))
	}
	if err := options[i].check(value); err != nil {
		return err
	}
	s[name] = value
	return nil
}

func checkOwners(list string) error {
	for _, owner := range Names(list) {
		if err := CheckOwner(owner); err != nil {
			return fmt.Errorf("option %s: %w", OptionAllowRemoval, err)
		}
	}
	return nil
}

// Names are those in a list of names, with commas or spaces between them.
func Names(list string) []string {
	return strings.FieldsFunc(list, func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
}

// CheckOwner says why a text cannot be the kind and the name of a resource.
func CheckOwner(text string) error {
	kinds := []string{v1.KindIstio, v1.KindIstioCNI, v1.KindIstioRevision, v1.KindIstioRevisionTag}
	kind, name, _ := strings.Cut(text, "/")
	switch {
	case name == "" || strings.Contains(name, "/"):
		return fmt.Errorf("%q is no resource; write its kind and its name, such as Istio/default", text)
	case !slices.Contains(kinds, kind):
		return fmt.Errorf("%q: possible kinds are: %s", text, strings.Join(kinds, ", "))
	}
	return nil
}

// Over returns the options with those of lower rank where s says nothing. Two are safe to add up: strict holds if
// either has it, and what may be removed is what either allows.
func (s Settings) Over(lower Settings) Settings {
	out := Settings{}
	maps.Copy(out, lower)
	maps.Copy(out, s)
	if s.Strict() || lower.Strict() {
		out[OptionStrict] = "true"
	}
	if both := append(Names(s[OptionAllowRemoval]), Names(lower[OptionAllowRemoval])...); len(both) > 0 {
		out[OptionAllowRemoval] = strings.Join(both, ",")
	}
	return out
}

// Strict reports whether warnings are errors.
func (s Settings) Strict() bool { return s[OptionStrict] == "true" }

// SettingsOf reads the options in the annotations of a resource.
func SettingsOf(o manifest.Object) (Settings, finding.List) {
	out := Settings{}
	var findings finding.List
	annotations := o.Annotations()
	for _, key := range slices.Sorted(maps.Keys(annotations)) {
		name, ok := strings.CutPrefix(key, OptionPrefix)
		if meant := misprefixed(key); meant != "" {
			findings = append(findings, Finding(o, finding.Error, []string{"metadata", "annotations", key},
				fmt.Sprintf("annotation %s: no option has this prefix; did you mean %s?", key, meant)))
		}
		if !ok || slices.Contains(reserved, key) {
			continue
		}
		if err := out.Set(AllOptions, name, annotations[key]); err != nil {
			findings = append(findings, Finding(o, finding.Error, []string{"metadata", "annotations", key},
				"annotation "+key+": "+err.Error()))
		}
	}
	return out, findings
}

// misprefixed is the annotation of an option that was meant by one whose prefix is nearly that of options, or empty.
// Others have prefixes of their own: the name must be that of an option as well, or near it.
func misprefixed(key string) string {
	prefix, name, _ := strings.Cut(key, "/")
	ours := strings.TrimSuffix(OptionPrefix, "/")
	bare, _, _ := strings.Cut(ours, ".")
	if prefix == ours || !values.Near(prefix, ours, 2) && !values.Near(prefix, bare, 1) {
		return ""
	}
	if best := values.Closest(name, namesOf(AllOptions)); best != "" {
		return OptionPrefix + best
	}
	return ""
}

// Named are the options of the names, in the order of all.
func Named(names ...string) []Option {
	return slices.DeleteFunc(slices.Clone(AllOptions), func(o Option) bool { return !slices.Contains(names, o.Name) })
}

func namesOf(options []Option) []string {
	names := make([]string, len(options))
	for i, opt := range options {
		names[i] = opt.Name
	}
	return names
}

// SettingsOfConfig reads those of the options that a ConfigMap functionConfig sets.
func SettingsOfConfig(options []Option, config manifest.Object) (Settings, finding.List) {
	out := Settings{}
	var findings finding.List
	data := map[string]string{}
	if n := config.Field("data"); n != nil {
		for i := 0; i+1 < len(n.Content); i += 2 {
			data[n.Content[i].Value] = n.Content[i+1].Value
		}
	}
	for _, name := range slices.Sorted(maps.Keys(data)) {
		if err := out.Set(options, name, data[name]); err != nil {
			findings = append(findings, Finding(config, finding.Error, []string{"data", name}, "functionConfig: "+err.Error()))
		}
	}
	return out, findings
}

const environmentPrefix = "LATEEN_"

func environmentName(option string) string {
	return environmentPrefix + strings.ReplaceAll(strings.ToUpper(option), "-", "_")
}

// CheckEnvironment finds a variable, of those in the form NAME=value, that is nearly that of an option: LATEEN_PROTEC.
// It is an error, as the annotation is: what protects a mesh must not be off by a typing error. Names that are near
// none are left alone; tests and builds have some.
func CheckEnvironment(options []Option, variables []string) error {
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		name, _, _ := strings.Cut(variable, "=")
		option, ours := strings.CutPrefix(name, environmentPrefix)
		if !ours {
			continue
		}
		if best := values.Closest(option, namesOf(options)); best != "" && name != environmentName(best) {
			return fmt.Errorf("environment variable %s: no option has this name; did you mean %s?", name, environmentName(best))
		}
	}
	return nil
}

// SettingsOfEnvironment reads the LATEEN_<NAME> variables of the options. The kustomize and kpt of a developer share
// the environment with other tools, so names that are no option are left alone; see CheckEnvironment.
func SettingsOfEnvironment(options []Option, lookup func(string) (string, bool)) (Settings, error) {
	out := Settings{}
	for _, opt := range options {
		env := environmentName(opt.Name)
		if value, set := lookup(env); set && value != "" {
			if err := opt.check(value); err != nil {
				return nil, fmt.Errorf("environment variable %s: %w", env, err)
			}
			out[opt.Name] = value
		}
	}
	return out, nil
}
