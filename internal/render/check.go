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
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/values"
)

// Problem is one thing that is wrong with the values of a resource.
type Problem struct {
	values.Problem
	// Warning says that the resource can be rendered all the same: the schema is that of another version than the charts,
	// which the user brought, so a field that it does not know may well exist.
	Warning bool
}

// CheckIstio holds spec.values and spec.meshConfig against the schema of the release that the Istio asks for. The error is
// that the schema cannot be read.
func CheckIstio(rel release.Release, spec v1.IstioSpec) ([]Problem, error) {
	return check(rel, given{"values", values.RootIstio, spec.Values}, given{"meshConfig", "", spec.MeshConfig})
}

// CheckRevision does the same for an IstioRevision.
func CheckRevision(rel release.Release, spec v1.IstioRevisionSpec) ([]Problem, error) {
	return check(rel, given{"values", values.RootIstio, spec.Values})
}

// CheckCNI does the same for an IstioCNI.
func CheckCNI(rel release.Release, spec v1.IstioCNISpec) ([]Problem, error) {
	return check(rel, given{"values", values.RootCNI, spec.Values})
}

// given are the values that a user wrote in one field of spec. Without a root they are a MeshConfig.
type given struct {
	field, root string
	values      *v1.Values
}

func check(rel release.Release, all ...given) ([]Problem, error) {
	data, of := rel.Schema()
	if data == nil {
		return nil, nil
	}
	schema, err := schemaOf(data, of)
	if err != nil {
		return nil, fmt.Errorf("schema of Istio %s: %w", of, err)
	}
	var out []Problem
	for _, g := range all {
		v, err := decode(g.values)
		path := "spec." + g.field
		var found []values.Problem
		switch {
		case err != nil:
			found = []values.Problem{{Path: path, Pointer: strings.Split(path, "."), Message: err.Error()}}
		case g.root == "":
			found = schema.CheckMeshConfig(v, path)
		default:
			found = schema.Check(g.root, v, path)
		}
		for _, p := range found {
			out = append(out, Problem{p, p.Unknown && of != rel.Version})
		}
	}
	return out, nil
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

// Meant is the version that somebody probably meant, if err says that the one given is unknown: one that can be had.
func Meant(version v1.Version, err error) string {
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
	return fmt.Sprintf("Istio %s: this minor version reached its end of life in %s and gets no security fixes; newest bundled version: %s",
		rel.Version, rel.EndOfLife, release.Bundled().Default())
}

// UnknownPlatform is a sentence about a platform that no chart knows, or empty.
func UnknownPlatform(platform string) string {
	if platform == "" || slices.Contains(values.Platforms, platform) {
		return ""
	}
	message := fmt.Sprintf("the platform %q is none that Istio's charts know (%s) and has no effect", platform, strings.Join(values.Platforms, ", "))
	if best := values.Closest(platform, values.Platforms); best != "" {
		message += "; did you mean " + best + "?"
	}
	return message
}
