package apply

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
)

// pages are the reference pages, by the kind they are about, and CRDs what they have to agree with.
var pages = map[string]struct{ page, crd string }{
	v1.KindIstio:         {"../../docs/spec/istio.md", "../../config/crd/sailoperator.io_istios.yaml"},
	v1.KindIstioRevision: {"../../docs/spec/istiorevision.md", "../../config/crd/sailoperator.io_istiorevisions.yaml"},
	v1.KindIstioRevisionTag: {
		"../../docs/spec/istiorevisiontag.md", "../../config/crd/sailoperator.io_istiorevisiontags.yaml",
	},
	v1.KindIstioCNI: {"../../docs/spec/istiocni.md", "../../config/crd/sailoperator.io_istiocnis.yaml"},
}

// read gives the text of a file.
func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var yamlBlock = regexp.MustCompile("(?s)\n```yaml\n(.*?)\n```\n")

// TestDocsExamples expects that the server takes every resource in the documentation, and that all but tags, which need
// their target beside them, can be rendered.
func TestDocsExamples(t *testing.T) {
	s := connect(t)
	files, err := filepath.Glob("../../docs/spec/*.md")
	more, err2 := filepath.Glob("../../docs/*.md")
	if err != nil || err2 != nil {
		t.Fatal(err, err2)
	}
	found := map[string]bool{}
	for _, file := range append(files, more...) {
		for _, block := range yamlBlock.FindAllStringSubmatch(read(t, file), -1) {
			for document := range strings.SplitSeq(block[1], "\n---\n") {
				if !strings.Contains(document, "apiVersion: "+v1.GroupVersion.Group+"/") {
					continue
				}
				o := must(parse(document))(t)
				found[filepath.Base(file)+" "+o.GetKind()] = true
				s.accepts(t, file, []*unstructured.Unstructured{o})
				if o.GetKind() == v1.KindIstioRevisionTag {
					continue
				}
				if _, err := lateen.Render([]byte(document), lateen.Options{}); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
	}
	for kind, p := range pages {
		if !found[filepath.Base(p.page)+" "+kind] {
			t.Errorf("%s has no example", p.page)
		}
	}
}

// TestDocsNulls is what docs/spec/istio.md says about a null in values.
func TestDocsNulls(t *testing.T) {
	s := connect(t)
	for _, c := range []struct {
		reason, command, values string
		// want is what becomes of the values, or a part of what kubectl says.
		want string
	}{
		{
			"a null takes the chart's default away", "create", "{pilot: {traceSampling: null}}",
			`{"pilot":{"traceSampling":null}}`,
		},
		{
			"applied by the server, too", "apply --server-side", "{pilot: {traceSampling: null}}",
			`{"pilot":{"traceSampling":null}}`,
		},
		{"applied by kubectl, it is lost", "apply", "{pilot: {traceSampling: null}}", `{"pilot":{}}`},
		{
			"where the values are listed, it is dropped", "create", "{global: {proxy: {tracer: null}}}",
			`{"global":{"proxy":{}}}`,
		},
		{
			"or rejected", "apply --server-side", "{global: {proxy: {tracer: null}}}",
			"spec.values.global.proxy.tracer: Invalid value",
		},
	} {
		file := filepath.Join(t.TempDir(), "istio.yaml")
		if err := os.WriteFile(file, []byte(resource("Istio", "nulls", "{values: "+c.values+"}")), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := s.kubectl(t.Context(), t,
			append(strings.Fields(c.command), "-f", file, "--dry-run=server", "-o", "jsonpath={.spec.values}")...)
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: kubectl %s gives %s, want %s", c.reason, c.command, got, c.want)
		}
	}
}

// TestDocsFields expects that a page names every field of its kind, with its default and its possible values, and every
// column.
func TestDocsFields(t *testing.T) {
	for kind, p := range pages {
		t.Run(kind, func(t *testing.T) {
			page := read(t, p.page)
			row := func(name string) string {
				return regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(name) + "` \\|.*$").FindString(page)
			}
			var crd struct {
				Spec struct {
					Names    struct{ ShortNames []string }
					Versions []struct {
						AdditionalPrinterColumns []struct{ Name string }
						Schema                   struct{ OpenAPIV3Schema schema }
					}
				}
			}
			if err := yaml.Unmarshal([]byte(read(t, p.crd)), &crd); err != nil {
				t.Fatal(err)
			}
			version := crd.Spec.Versions[0]
			fields := map[string]schema{}
			version.Schema.OpenAPIV3Schema.Properties["spec"].leaves("spec", fields)
			for name, field := range version.Schema.OpenAPIV3Schema.Properties["status"].Properties {
				fields["status."+name] = schema{Type: field.Type} // its values are the subject of other sections
			}
			for name, field := range fields {
				if row(name) == "" {
					t.Errorf("%s is not in a table of %s", name, p.page)
				}
				for _, value := range append(field.Enum, field.Default) {
					if text, ok := value.(string); ok && !strings.Contains(row(name), "`"+text+"`") {
						t.Errorf("%s: the line of %s in %s does not have %s", kind, name, p.page, text)
					}
				}
			}
			for name := range strings.FieldsSeq(
				strings.Join(regexp.MustCompile("(?m)^\\| `((?:spec|status)\\.\\S+)` \\|").FindAllString(page, -1), " ")) {
				if name = strings.Trim(name, "|`"); name == "" {
					continue
				}
				if _, ok := fields[name]; !ok {
					t.Errorf("%s has a field %s that the CRD does not have", p.page, name)
				}
			}
			_, columns, _ := strings.Cut(page, "\nColumns: ")
			columns, _, _ = strings.Cut(columns, "\n\n")
			for _, c := range version.AdditionalPrinterColumns {
				if !strings.Contains(columns, "`"+c.Name+"`") {
					t.Errorf("%s: the column %s is not below Columns: %q", kind, c.Name, columns)
				}
			}
			for _, name := range crd.Spec.Names.ShortNames {
				if !strings.Contains(columns, "`"+name+"`") {
					t.Errorf("%s: the short name %s is not below Columns: %q", kind, name, columns)
				}
			}
		})
	}
}

// schema is what the pages repeat of a CRD's schema.
type schema struct {
	Type       string
	Default    any
	Enum       []any
	Properties map[string]schema
}

// opaque are objects that a page describes as a whole.
var opaque = []string{"spec.values", "spec.meshConfig"}

// leaves gathers the fields below path that have no fields of their own, by their paths.
func (s schema) leaves(path string, into map[string]schema) {
	if s.Type != "object" || slices.Contains(opaque, path) {
		into[path] = s
		return
	}
	for name, field := range s.Properties {
		field.leaves(path+"."+name, into)
	}
}

// TestDocsReasons expects that every reason of the API is explained, and that every condition and reason in a table
// exists.
func TestDocsReasons(t *testing.T) {
	typed := func(name string) map[string]bool {
		return constants(t, func(c *ast.ValueSpec) bool {
			of, ok := c.Type.(*ast.Ident)
			return ok && of.Name == name
		})
	}
	reasons, types := typed("ConditionReason"), typed("ConditionType")
	if len(reasons) < 10 || len(types) < 5 {
		t.Fatalf("api/v1/conditions.go has reasons %v of conditions %v: is it written in another way now?", reasons, types)
	}
	var all strings.Builder
	told := map[string]bool{}
	for kind, p := range pages {
		page := read(t, p.page)
		all.WriteString(page)
		rows := conditionRows(page)
		if len(rows) < 5 {
			t.Errorf("%s has no table of conditions: %v", p.page, rows)
		}
		for _, r := range rows {
			told[r.condition] = true
			reason, quoted := strings.CutPrefix(r.reason, "`")
			reason = strings.TrimSuffix(reason, "`")
			switch {
			case !types[r.condition]:
				t.Errorf("%s: there is no condition %q", kind, r.condition)
			case !slices.Contains([]string{"True", "False", "Unknown"}, r.status):
				t.Errorf("%s: %s cannot be %q", kind, r.condition, r.status)
			case !quoted && r.reason != "that of Reconciled":
				t.Errorf("%s: %s: %q is no reason", kind, r.condition, r.reason)
			case quoted && !reasons[reason] && (reason != r.condition || r.status != "True"):
				t.Errorf("%s: %s: there is no reason %q", kind, r.condition, reason)
			}
		}
	}
	for reason := range reasons {
		if !strings.Contains(all.String(), "`"+reason+"`") {
			t.Errorf("no page has the reason %s", reason)
		}
	}
	if diff := cmp.Diff(types, told); diff != "" {
		t.Errorf("conditions in the tables: -want +got:\n%s", diff)
	}
}

// constants are the values of those string constants in api/v1/conditions.go that are asked for.
func constants(t *testing.T, wanted func(*ast.ValueSpec) bool) map[string]bool {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1/conditions.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if c, ok := n.(*ast.ValueSpec); ok && len(c.Values) == 1 && wanted(c) {
			found[text(c.Values[0])] = true
		}
		return true
	})
	return found
}

// conditionRow is a line of the table in the section Conditions.
type conditionRow struct{ condition, status, reason, message string }

// conditionRows reads that table. An empty cell in the first columns means what is above it.
func conditionRows(page string) []conditionRow {
	_, section, _ := strings.Cut(page, "\n## Conditions\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var rows []conditionRow
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(line, "|\n"), "|")
		if !strings.HasPrefix(line, "| ") || len(cells) != 4 || strings.TrimSpace(cells[0]) == "condition" {
			continue
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		r := conditionRow{cells[0], cells[1], cells[2], cells[3]}
		if r.condition == "" && len(rows) > 0 {
			last := rows[len(rows)-1]
			r.condition, r.status, r.reason = last.condition, last.status, last.reason
		}
		rows = append(rows, r)
	}
	return rows
}

var (
	code = regexp.MustCompile("`[^`]+`")
	// variable separates what is the same in every message of a kind: a name in <>, with its quotes, or the beginning of
	// an error that was wrapped.
	variable = regexp.MustCompile(`"?<[^>]*>"?|: `)
)

// TestDocsMessages expects that what users are told to find in a message is in a string of the code.
func TestDocsMessages(t *testing.T) {
	said := strings.Join(literals(t, "../../api/v1", "../../controller", "../../internal"), "\n")
	const telling = 6 // shorter parts are everywhere
	for kind, p := range pages {
		parts := 0
		for _, r := range conditionRows(read(t, p.page)) {
			for _, span := range code.FindAllString(r.message, -1) {
				for _, part := range variable.Split(strings.Trim(span, "`"), -1) {
					part = strings.Trim(part, " :;,.?")
					if len(part) < telling {
						continue
					}
					parts++
					if !strings.Contains(said, part) {
						t.Errorf("%s: %s %s: nothing says %q", kind, r.condition, r.reason, part)
					}
				}
			}
		}
		if parts < 5 {
			t.Errorf("%s has %d parts of messages only", p.page, parts)
		}
	}
	// The messages that scripts match on have to be on a page.
	var docs strings.Builder
	for _, p := range pages {
		docs.WriteString(read(t, p.page))
	}
	messages := constants(t, func(c *ast.ValueSpec) bool { return strings.HasPrefix(c.Names[0].Name, "Message") })
	if len(messages) < 5 {
		t.Fatalf("api/v1/conditions.go has the messages %v: is it written in another way now?", messages)
	}
	for message := range messages {
		if want := strings.ReplaceAll(message, "%q", `"<name>"`); !strings.Contains(docs.String(), want) {
			t.Errorf("no page has the message %s", want)
		}
	}
}

// literals are the strings in the Go code below some directories, without the tests. Strings that are put together with
// + count as one.
func literals(t *testing.T, roots ...string) []string {
	t.Helper()
	found := map[string]bool{}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				e, ok := n.(ast.Expr)
				if !ok {
					return true
				}
				s := text(e)
				found[s] = true
				return s == ""
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// text is the value of a string literal, or of several with + between them; "" of anything else.
func text(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if s, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return s
		}
	case *ast.BinaryExpr:
		x, y := text(e.X), text(e.Y)
		if e.Op == token.ADD && x != "" && y != "" {
			return x + y
		}
	}
	return ""
}

var link = regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`)

// TestDocsLinks follows the links of the reference pages and of the page about the life of a control plane.
func TestDocsLinks(t *testing.T) {
	files := []string{"../../docs/lifecycle.md"}
	for _, p := range pages {
		files = append(files, p.page)
	}
	for _, file := range files {
		for _, l := range link.FindAllStringSubmatch(read(t, file), -1) {
			target, heading := l[1], l[2]
			if strings.Contains(target, "://") {
				continue
			}
			path := file
			if target != "" {
				path = filepath.Join(filepath.Dir(file), target)
			}
			page := read(t, path)
			if heading != "" && !slices.Contains(anchors(page), heading) {
				t.Errorf("%s: there is no %s in %s", file, heading, path)
			}
		}
	}
}

var (
	title  = regexp.MustCompile(`(?m)^#+ (.*)$`)
	silent = regexp.MustCompile(`[^a-z0-9 -]`)
)

// anchors are what a link to a heading of a page can say.
func anchors(page string) []string {
	var out []string
	for _, h := range title.FindAllStringSubmatch(page, -1) {
		out = append(out, "#"+strings.ReplaceAll(silent.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return out
}
