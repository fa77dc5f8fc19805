package render

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// problem is one thing that is wrong with a resource, or that does not do what it seems to.
type problem struct {
	values.Problem
	// Warning says that the resource can be rendered all the same.
	Warning bool
}

// source is where a resource was read, and what becomes of what it is rendered to.
type source struct {
	// Written gives a scalar as the user wrote it, by the path of its field: 1.20, which as a value is 1.2. nil knows
	// none.
	Written func(pointer []string) (text string, known bool)
	// FluxSubstitute is the option flux-substitute: "true" if Flux puts in variables, ${name}, after rendering; "false"
	// if nobody does; empty if the user has not said.
	FluxSubstitute string
}

// checkIstio returns what is wrong with an Istio that asks for the release: values that its charts do not have, or that
// have no effect. The error is that the schema cannot be read.
func checkIstio(rel release.Release, istio *v1.Istio, from source) ([]problem, error) {
	spec := istio.Spec
	out, err := check(rel, from, given{"values", values.RootIstio, spec.Values},
		given{"meshConfig", values.RootMeshConfig, spec.MeshConfig})
	if name, errName := RevisionName(istio); errName == nil { // else planning it says so
		out = append(out, overruled(spec.Values, name)...)
	}
	return out, err
}

// checkRevision does the same for an IstioRevision.
func checkRevision(rel release.Release, rev *v1.IstioRevision, from source) ([]problem, error) {
	out, err := check(rel, from, given{"values", values.RootIstio, rev.Spec.Values})
	return append(out, overruled(rev.Spec.Values, rev.Name)...), err
}

// checkCNI does the same for an IstioCNI.
func checkCNI(rel release.Release, spec v1.IstioCNISpec, from source) ([]problem, error) {
	return check(rel, from, given{"values", values.RootCNI, spec.Values})
}

// given are the values that a user wrote in one field of spec.
type given struct {
	field, root string
	values      *v1.Values
}

func check(rel release.Release, from source, all ...given) ([]problem, error) {
	data, of := rel.Schema()
	var schema *values.Schema // none finds nothing
	if data != nil {
		var err error
		if schema, err = schemaOf(data, of); err != nil {
			return nil, fmt.Errorf("schema of Istio %s: %w", of, err)
		}
	}
	var out []problem
	for _, g := range all {
		v, err := decode(g.values)
		path := "spec." + g.field
		if err != nil {
			out = append(out,
				problem{values.Problem{Path: path, Pointer: strings.Split(path, "."), Message: err.Error()}, false})
			continue
		}
		if v == nil {
			continue
		}
		source := values.Source{
			Written: from.Written, Substituted: from.FluxSubstitute == "true",
			NoQuantity: manifest.NoQuantity,
		}
		said := fields(schema.CheckFrom(source, g.root, v, path), selections(rel, g, v, path), of != rel.Version)
		out = append(out, said...)
		for _, p := range append(images(g, v, path), tagsTwice(g, v, path)...) {
			out = append(out, problem{p, false})
		}
		for _, p := range append(selectors(from, v, path), variables(from, v, path)...) {
			out = append(out, problem{p, true})
		}
	}
	return out, nil
}

// fields puts together what the schema says, and which profiles and the like there are not. One field has one message:
// if there is none of the name, what it selects does not matter. Charts of another version than the schema's may have
// it.
func fields(schema, selected []values.Problem, other bool) []problem {
	at := func(p values.Problem) func(values.Problem) bool {
		return func(o values.Problem) bool { return o.Path == p.Path }
	}
	var out []problem
	for _, p := range schema {
		if other && p.Unknown && slices.ContainsFunc(selected, at(p)) {
			continue
		}
		out = append(out, problem{p, other && p.Unknown})
	}
	for _, p := range selected {
		if other || !slices.ContainsFunc(schema, at(p)) {
			out = append(out, problem{p, false})
		}
	}
	return out
}

// selections are the profiles, platforms and compatibility versions among values that the charts do not have.
func selections(rel release.Release, g given, v map[string]any, path string) []values.Problem {
	chart := "istiod"
	switch g.root {
	case values.RootMeshConfig:
		return nil
	case values.RootCNI:
		chart = "cni"
	}
	return values.CheckSelections(v, chart, rel.Version, !rel.Before(1, 25), rel, path)
}

// variables are the texts that Flux would put something into, unless the user has said whether it shall.
func variables(from source, v map[string]any, path string) []values.Problem {
	if from.FluxSubstitute != "" {
		return nil
	}
	found := values.Variables(v, path)
	for i, p := range found {
		found[i].Message = fmt.Sprintf("has the variable %s, which Flux does not replace: what is rendered is marked "+
			"as not for its substitution, since the charts "+
			"have texts of this form themselves. If Flux shall replace it, set the option flux-substitute to "+
			"\"true\"; if it is meant literally, to \"false\"", p.Message)
	}
	return found
}

// overruled are the values that belong to the resource, where the user has set them to something else than they will
// be.
func overruled(given *v1.Values, name string) []problem {
	v, err := decode(given)
	if err != nil {
		return nil // check says so
	}
	var out []problem
	warn := func(key, message string) {
		out = append(out, problem{values.Problem{
			Path: "spec.values." + key, Pointer: []string{"spec", "values", key},
			Message: message,
		}, true})
	}
	if have, isText := v["revision"].(string); isText && have != name && (name != "default" || have != "") {
		warn("revision",
			fmt.Sprintf("is %q and has no effect: the revision is %s, which the name of the resource and its update "+
				"strategy decide; leave it out",
				have, name))
	}
	will := "" // as values.Enforce and the charts of the default revision have it
	if name == "default" {
		will = name
	}
	if have, isText := v["defaultRevision"].(string); isText && have != will {
		warn("defaultRevision",
			fmt.Sprintf("is %q and has no effect: a revision or an IstioRevisionTag is the default one if its name "+
				"is default; leave it out", have))
	}
	return out
}

// parsed keeps the schemas that a process has read, by version.
var parsed = struct {
	sync.Mutex
	schemas map[string]*values.Schema
}{schemas: map[string]*values.Schema{}}

func schemaOf(data []byte, version string) (*values.Schema, error) {
	parsed.Lock()
	defer parsed.Unlock()
	if s := parsed.schemas[version]; s != nil {
		return s, nil
	}
	s, err := values.ParseSchema(data)
	if err == nil {
		parsed.schemas[version] = s
	}
	return s, err
}

// meant is the version that somebody probably meant, if err says that the one given is unknown: one that can be had.
func meant(version v1.Version, err error) string {
	unknown, ok := errors.AsType[*release.UnknownVersionError](err)
	if !ok {
		return ""
	}
	given, there := string(version), slices.Concat(unknown.Bundled, unknown.Brought)
	parts := minorVersion.FindStringSubmatch(given)
	if parts == nil {
		return values.Closest(given, append(slices.Clone(there), aliases(there)...))
	}
	if best := release.Newest(number(parts[1]), number(parts[2]), there); best != "" {
		return best
	}
	// Another minor version is no misspelling of this one, unless it has the same digits.
	return values.Closest(given, slices.DeleteFunc(there, func(v string) bool { return letters(v) != letters(given) }))
}

var minorVersion = regexp.MustCompile(`^v?(\d{1,6})\.(\d{1,6})(?:[.-]|$)`)

func number(digits string) uint64 {
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0 // not possible: the expression has few digits
	}
	return n
}

// letters are the characters of a text in the order of the alphabet.
func letters(text string) string {
	c := []byte(text)
	slices.Sort(c)
	return string(c)
}

// aliases are those of the minor versions of some versions.
func aliases(versions []string) []string {
	var out []string
	for _, v := range versions {
		if parts := minorVersion.FindStringSubmatch(v); parts != nil {
			out = append(out, fmt.Sprintf("v%s.%s-latest", parts[1], parts[2]))
		}
	}
	return slices.Compact(out)
}

// EndOfLife is a sentence about a release that gets no security fixes any more, or empty.
func EndOfLife(rel release.Release) string {
	if rel.EndOfLife == "" {
		return ""
	}
	return fmt.Sprintf(
		"Istio %s: this minor version reached its end of life in %s and gets no security fixes; newest bundled version: %s",
		rel.Version, rel.EndOfLife, release.Bundled().Default())
}

// unknownPlatform is a sentence about a platform that the charts of a release have nothing for where they should, or
// empty. chart is istiod or cni.
func unknownPlatform(rel release.Release, chart, platform string) string {
	switch {
	case platform == "" || rel.HasChartFile(chart, "files/profile-platform-"+platform+".yaml"):
		return ""
	case slices.Contains(values.Platforms, platform):
		// GKE is known by the version of Kubernetes as well, OpenShift was a profile at first, and the others are about
		// the CNI plugin only.
		if chart != "cni" || platform == platformGKE || rel.HasChartFile(chart, "files/profile-"+platform+".yaml") {
			return ""
		}
		return fmt.Sprintf("the charts of Istio %s have no settings for the platform %s yet, so it has no effect on "+
			"the CNI plugin: set spec.values.cni.cniBinDir "+
			"and spec.values.cni.cniConfDir to the directories of the nodes", rel.Version, platform)
	}
	known := slices.Compact(
		slices.Sorted(slices.Values(slices.Concat(values.Platforms, values.ChartPlatforms(rel, chart)))))
	message := fmt.Sprintf("the platform %q is none that Istio's charts know (%s) and has no effect", platform,
		strings.Join(known, ", "))
	if best := values.Closest(platform, known); best != "" {
		message += "; did you mean " + best + "?"
	}
	return message
}
