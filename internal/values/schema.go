package values

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Schema tells which Helm values one version of Istio has. It may be used by several goroutines.
//
// The schemas are written by releases/schema from Istio's own types; see there for what they are made of.
type Schema struct {
	// Version of Istio as people write it: v1.28.3.
	Version string

	roots       map[string]*lazyNode
	definitions map[string]*lazyNode
}

// The roots of a schema: whose values are checked.
const (
	// RootIstio are the values of an Istio or an IstioRevision.
	RootIstio = "istio"
	// RootCNI are the values of an IstioCNI.
	RootCNI = "cni"
	// RootMeshConfig is a MeshConfig by itself.
	RootMeshConfig = "meshConfig"
)

// Problem is one thing wrong with a user's values.
type Problem struct {
	// Path is where, for people: spec.values.meshConfig.extensionProviders[0].name.
	Path string
	// Pointer is where, for finding the place in a YAML document: the keys, and the indexes of lists as decimal numbers.
	Pointer []string
	// Message says what is wrong and, where that can be known, what to do.
	Message string
	// Suggestion is the name or value that was probably meant, or empty. The message has it, too.
	Suggestion string
	// Unknown tells that the field does not exist, as opposed to having a wrong value.
	Unknown bool
}

// String returns the problem on one line.
func (p Problem) String() string { return p.Path + ": " + p.Message }

// ParseSchema reads one file of releases/schema. What the file says about single types is only looked at when a value
// of the type is checked: of some 220 types a resource has a handful.
func ParseSchema(data []byte) (*Schema, error) {
	var file struct {
		Version     string                     `json:"version"`
		Roots       map[string]json.RawMessage `json:"roots"`
		Definitions map[string]json.RawMessage `json:"definitions"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return nil, fmt.Errorf("reading a schema of Istio's values: %w", err)
	}
	if file.Version == "" || len(file.Roots) == 0 {
		return nil, fmt.Errorf("reading a schema of Istio's values: no version or no roots")
	}
	s := &Schema{Version: file.Version, roots: map[string]*lazyNode{}, definitions: map[string]*lazyNode{}}
	for name, raw := range file.Roots {
		s.roots[name] = &lazyNode{raw: raw}
	}
	for name, raw := range file.Definitions {
		s.definitions[name] = &lazyNode{raw: raw}
	}
	return s, nil
}

// Check returns what is wrong with the values v of an Istio (RootIstio) or an IstioCNI (RootCNI), in the order of keys
// and list items. path is where v is, as a prefix of the paths returned.
//
// null is fine anywhere: in Helm's values it takes a default away. A nil schema finds nothing.
func (s *Schema) Check(root string, v map[string]any, path string) []Problem {
	return s.CheckFrom(Source{}, root, v, path)
}

// Source is where values were read, as far as the values themselves do not say it.
type Source struct {
	// Written gives a scalar as the user wrote it, by its place: 1.20, which as a value is 1.2. nil knows none.
	Written func(pointer []string) (text string, known bool)
	// Substituted says that ${name} in a text stands for what is only put in after rendering (see Variable).
	Substituted bool
	// NoQuantity says what is wrong with a text that should be an amount of a resource, such as 128Mi. nil finds nothing.
	NoQuantity func(text string) string
}

// CheckFrom is Check for values of which more is known.
func (s *Schema) CheckFrom(source Source, root string, v map[string]any, path string) []Problem {
	if s == nil || v == nil {
		return nil
	}
	c := checker{schema: s, root: root, source: source}
	at := place{path: path}
	if path != "" {
		at.pointer = strings.Split(path, ".")
	}
	lazy, ok := s.roots[root]
	if !ok {
		return []Problem{at.problem(fmt.Sprintf("the schema of %s knows no values of kind %q", s.Version, root))}
	}
	n, err := lazy.get()
	if err != nil {
		return []Problem{at.problem(fmt.Sprintf("the schema of %s is damaged: %v", s.Version, err))}
	}
	c.check(n, v, at, true)
	return c.problems
}

// CheckMeshConfig returns what is wrong with a MeshConfig that stands by itself, as in spec.meshConfig.
func (s *Schema) CheckMeshConfig(v map[string]any, path string) []Problem {
	return s.Check(RootMeshConfig, v, path)
}

const noGateways = "gateways are not managed here: deploy them with Istio's gateway chart, the Gateway API or " +
	"gateway injection"

// elsewhere says what to do about values that Istio's charts have and a root does not.
var elsewhere = map[string]map[string]string{
	RootIstio: {
		"gateways": noGateways,
		"cni":      "the CNI plugin has a resource of its own: move this to spec.values.cni of an IstioCNI",
		"ztunnel":  "ztunnel is not part of the control plane: deploy it with Istio's ztunnel chart",
	},
	RootCNI: {
		"profile":    "the profile has a field of its own: move this to spec.profile",
		"pilot":      "istiod is not part of the CNI plugin: move this to spec.values.pilot of an Istio",
		"meshConfig": "a mesh is configured at its control plane: move this to spec.meshConfig of an Istio",
		"ztunnel":    "ztunnel is not part of the CNI plugin: deploy it with Istio's ztunnel chart",
		"gateways":   noGateways,
	},
}

// node is the subset of JSON Schema that the files use. The zero node accepts anything.
type node struct {
	Ref        string           `json:"$ref"`
	Type       types            `json:"type"`
	Format     string           `json:"format"`
	Enum       []string         `json:"enum"`
	Items      *node            `json:"items"`
	Additional additional       `json:"additionalProperties"`
	Properties map[string]*node `json:"properties"`
}

// types is one JSON type or several.
type types []string

// UnmarshalJSON reads a string or a list of strings.
func (t *types) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]string)(t))
	}
	var one string
	if err := json.Unmarshal(data, &one); err != nil {
		return err
	}
	*t = types{one}
	return nil
}

// additional says which properties an object has besides the named ones: any, none (closed) or those of a schema.
type additional struct {
	closed bool
	node   *node
}

// UnmarshalJSON reads a boolean or a schema.
func (a *additional) UnmarshalJSON(data []byte) error {
	switch string(bytes.TrimSpace(data)) {
	case "true":
		return nil
	case "false":
		a.closed = true
		return nil
	}
	return json.Unmarshal(data, &a.node)
}

// lazyNode parses its JSON when it is needed.
type lazyNode struct {
	raw  json.RawMessage
	once sync.Once
	node node
	err  error
}

func (l *lazyNode) get() (*node, error) {
	l.once.Do(func() { l.err = json.Unmarshal(l.raw, &l.node) })
	return &l.node, l.err
}

// resolve follows the references of a node.
func (s *Schema) resolve(n *node) (*node, error) {
	for range len(s.definitions) + 1 {
		if n.Ref == "" {
			return n, nil
		}
		name := strings.TrimPrefix(n.Ref, "#/definitions/")
		lazy, ok := s.definitions[name]
		if !ok {
			return nil, fmt.Errorf("it lacks the definition %s", name)
		}
		next, err := lazy.get()
		if err != nil {
			return nil, fmt.Errorf("definition %s: %w", name, err)
		}
		n = next
	}
	return nil, fmt.Errorf("%s refers to itself", n.Ref)
}

// place is where in the values the check is.
type place struct {
	path    string
	pointer []string
}

func (p place) key(key string) place {
	pointer := append(slices.Clip(p.pointer), key)
	switch {
	case key == "" || strings.ContainsAny(key, ".[]\" \t\n"):
		return place{path: p.path + "[" + strconv.Quote(key) + "]", pointer: pointer}
	case p.path == "":
		return place{path: key, pointer: pointer}
	default:
		return place{path: p.path + "." + key, pointer: pointer}
	}
}

func (p place) index(i int) place {
	index := strconv.Itoa(i)
	return place{path: p.path + "[" + index + "]", pointer: append(slices.Clip(p.pointer), index)}
}

func (p place) problem(message string) Problem {
	return Problem{Path: p.path, Pointer: p.pointer, Message: message}
}

// checker collects the problems of one check.
type checker struct {
	schema   *Schema
	root     string
	source   Source
	problems []Problem
}

// written is a scalar as the user wrote it, or else as it is written in JSON.
func (c *checker) written(v any, at place) string {
	if c.source.Written != nil {
		if text, known := c.source.Written(at.pointer); known {
			return text
		}
	}
	if f, isFloat := v.(float64); isFloat {
		return strconv.FormatFloat(f, 'f', -1, 64)
	}
	return fmt.Sprint(v)
}

func (c *checker) check(n *node, v any, at place, top bool) {
	if v == nil {
		return
	}
	n, err := c.schema.resolve(n)
	if err != nil {
		c.problems = append(c.problems, at.problem(fmt.Sprintf("the schema of %s is damaged: %v", c.schema.Version, err)))
		return
	}
	if len(n.Type) == 0 {
		return
	}
	have := TypeOf(v)
	variable := ""
	if text, isText := v.(string); isText && c.source.Substituted {
		variable = Variable(text)
	}
	switch {
	case variable != "" && n.accepts(have):
		return // what it will be is not known here
	case n.Format == formatDuration:
		c.duration(v, at)
		return
	case variable != "":
		c.problems = append(c.problems,
			at.problem(fmt.Sprintf("must be %s: a variable such as %s can only stand for text", n.Type, variable)))
		return
	case !n.accepts(have):
		c.problems = append(c.problems, at.problem("must be "+n.Type.String()+", is "+article(have)+
			c.quoting(n.Type, have, v, at)))
		return
	}
	c.quantity(n, v, at)
	switch v := v.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			c.property(n, key, v[key], at, top)
		}
	case []any:
		if n.Items == nil {
			return
		}
		for i, item := range v {
			c.check(n.Items, item, at.index(i), false)
		}
	case string:
		c.enum(n, v, at)
	}
}

// enum checks a text that may only be one of a few.
func (c *checker) enum(n *node, v string, at place) {
	if len(n.Enum) == 0 || slices.Contains(n.Enum, v) {
		return
	}
	p := at.problem(fmt.Sprintf("must be one of %s; is %q", strings.Join(n.Enum, ", "), v))
	if p.Suggestion = Closest(v, n.Enum); p.Suggestion != "" {
		p.Message += "; did you mean " + p.Suggestion + "?"
	}
	c.problems = append(c.problems, p)
}

// quantity checks the amount of a resource: nothing else in the schemas may be a number as well as a text.
func (c *checker) quantity(n *node, v any, at place) {
	if c.source.NoQuantity == nil || !slices.Equal(n.Type, types{"number", "string"}) {
		return
	}
	text, isText := v.(string)
	if f, isFloat := v.(float64); isFloat {
		text = strconv.FormatFloat(f, 'f', -1, 64)
	} else if !isText {
		text = fmt.Sprint(v)
	}
	if wrong := c.source.NoQuantity(text); wrong != "" {
		c.problems = append(c.problems, at.problem(wrong))
	}
}

func (c *checker) property(object *node, key string, v any, at place, top bool) {
	at = at.key(key)
	switch p, ok := object.Properties[key]; {
	case ok && p != nil:
		c.check(p, v, at, false)
	case object.Additional.node != nil:
		c.check(object.Additional.node, v, at, false)
	case object.Additional.closed:
		problem := at.problem("unknown field in " + c.schema.Version)
		problem.Unknown = true
		if hint := elsewhere[c.root][key]; top && hint != "" {
			problem.Message = hint
		} else if problem.Suggestion = c.suggest(object, key); problem.Suggestion != "" {
			problem.Message += "; did you mean " + problem.Suggestion + "?"
		}
		c.problems = append(c.problems, problem)
	}
}

// suggest proposes the property that was meant by a key that does not exist: one that is spelled nearly the same, or
// one of this name a level further down, since Helm users know the values of istiod without the prefix pilot.
func (c *checker) suggest(object *node, key string) string {
	names := slices.Sorted(maps.Keys(object.Properties))
	for _, name := range names {
		if simplify(name) == simplify(key) {
			return name
		}
	}
	var below []string
	for _, name := range names {
		child, err := c.schema.resolve(object.Properties[name])
		if err != nil {
			continue
		}
		if _, ok := child.Properties[key]; ok {
			below = append(below, name+"."+key)
		}
	}
	if len(below) == 1 {
		return below[0]
	}
	return Closest(key, names)
}

// accepts tells whether a value of JSON type have is of one of the node's types.
func (n *node) accepts(have string) bool {
	for _, want := range n.Type {
		if want == have || want == "number" && have == "integer" {
			return true
		}
	}
	return false
}

// TypeOf is the JSON type of a Go value that came out of JSON or YAML.
func TypeOf(v any) string {
	switch v := v.(type) {
	case map[string]any:
		return "object"
	case []any:
		return "array"
	case string:
		return "string"
	case bool:
		return "boolean"
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64:
		return "integer"
	case float32:
		return TypeOf(float64(v))
	case float64:
		if v == math.Trunc(v) && !math.IsInf(v, 0) {
			return "integer"
		}
		return "number"
	case json.Number:
		if _, err := v.Int64(); err == nil {
			return "integer"
		}
		f, err := v.Float64()
		if err != nil {
			return "number"
		}
		return TypeOf(f)
	default:
		return fmt.Sprintf("%T", v)
	}
}

// String lists the types as a sentence does: an integer or a string.
func (t types) String() string {
	words := make([]string, len(t))
	for i, name := range t {
		words[i] = article(name)
	}
	return strings.Join(words, " or ")
}

func article(name string) string {
	switch name {
	case "array":
		return "a list"
	case "object", "integer":
		return "an " + name
	default:
		return "a " + name
	}
}

// quoting says how to write a scalar whose quotes are the only thing wrong with it.
func (c *checker) quoting(want types, have string, v any, at place) string {
	switch {
	case slices.Contains(want, "string") && (have == "boolean" || have == "integer" || have == "number"):
		return fmt.Sprintf(" (write %q with quotes)", c.written(v, at))
	case have != "string":
		return ""
	}
	text, _ := v.(string)
	_, errBool := strconv.ParseBool(text)
	isBool := errBool == nil && len(text) > 1 // "1" and "t" are no YAML booleans
	_, errInt := strconv.ParseInt(text, 10, 64)
	_, errFloat := strconv.ParseFloat(text, 64)
	for _, t := range want {
		if t == "boolean" && isBool || t == "integer" && errInt == nil || t == "number" && errFloat == nil {
			return fmt.Sprintf(" (write %s without quotes)", strings.ToLower(text))
		}
	}
	return ""
}

// simplify takes away what people get wrong most: case and word separators.
func simplify(name string) string { return strings.ToLower(noSeparators.Replace(name)) }

// noSeparators is made once: a Replacer takes some ten kilobytes.
var noSeparators = strings.NewReplacer("_", "", "-", "")

// Closest is the name nearest to key, if it is near enough to be meant; of several equally near the first.
func Closest(key string, names []string) string {
	if len(key) > maxSuggestLength {
		return ""
	}
	key = simplify(key)
	best, found := allowedDistance(key)+1, ""
	for _, name := range names {
		if d := distance(key, simplify(name)); d < best {
			best, found = d, name
		}
	}
	return found
}

// maxSuggestLength bounds the work on keys that are no names at all.
const maxSuggestLength = 64

// allowedDistance is how many typing errors a name of this length may have: one in a short one, up to three in a long
// one.
func allowedDistance(name string) int {
	switch n := len(name); {
	case n <= 2:
		return 0
	case n <= 4:
		return 1
	case n <= 8:
		return 2
	default:
		return 3
	}
}

// distance is the number of typing errors between two names (Damerau–Levenshtein, restricted): letters left out, added,
// replaced, or swapped with their neighbour.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	before, last, row := make([]int, len(y)+1), make([]int, len(y)+1), make([]int, len(y)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(x); i++ {
		row[0] = i
		for j := 1; j <= len(y); j++ {
			replace := last[j-1]
			if x[i-1] != y[j-1] {
				replace++
			}
			row[j] = min(last[j]+1, row[j-1]+1, replace)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(y)]
}
