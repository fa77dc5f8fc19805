package lateen_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/doc"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
)

// module is this module, and the import path of its root package.
const module = "github.com/lateen-io/lateen"

// sources are the files of the package, without its tests.
func sources(t *testing.T) (*token.FileSet, []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return fset, files
}

// compiled opens what the compiler has exported of packages.
func compiled(t *testing.T) func(path string) (io.ReadCloser, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", ".")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if path, file, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			exports[path] = file
		}
	}
	return func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }
}

// foreign collects the types of other packages that can be reached from a type by what is exported.
type foreign struct {
	seen  map[types.Type]bool
	types map[string]bool
}

func (f foreign) walk(t types.Type) {
	t = types.Unalias(t)
	if t == nil || f.seen[t] {
		return
	}
	f.seen[t] = true
	switch t := t.(type) {
	case *types.Named:
		f.named(t)
	case *types.Pointer:
		f.walk(t.Elem())
	case *types.Slice:
		f.walk(t.Elem())
	case *types.Array:
		f.walk(t.Elem())
	case *types.Chan:
		f.walk(t.Elem())
	case *types.Map:
		f.walk(t.Key())
		f.walk(t.Elem())
	case *types.Tuple:
		for v := range t.Variables() {
			f.walk(v.Type())
		}
	case *types.Signature:
		f.walk(t.Params())
		f.walk(t.Results())
	case *types.Struct:
		for v := range t.Fields() {
			if v.Exported() {
				f.walk(v.Type())
			}
		}
	case *types.Interface:
		for m := range t.Methods() {
			f.walk(m.Type())
		}
	}
}

// named looks into a type of this package; one of another package is what is looked for.
func (f foreign) named(t *types.Named) {
	if pkg := t.Obj().Pkg(); pkg == nil || pkg.Path() != module {
		if pkg != nil {
			f.types[pkg.Path()+"."+t.Obj().Name()] = true
		}
		return
	}
	f.walk(t.Underlying())
	methods := types.NewMethodSet(types.NewPointer(t))
	for m := range methods.Methods() {
		if m.Obj().Exported() {
			f.walk(m.Obj().Type())
		}
	}
}

// TestForeignTypes: these types of other packages are in what the package exports, and no others. A type of internal/
// or of the kpt SDK, an alias of one, or a value of such a type would be one more.
func TestForeignTypes(t *testing.T) {
	fset, files := sources(t)
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", compiled(t))}
	pkg, err := conf.Check(module, fset, files, nil)
	if err != nil {
		t.Fatal(err)
	}
	f := foreign{seen: map[types.Type]bool{}, types: map[string]bool{}}
	for _, name := range pkg.Scope().Names() {
		if object := pkg.Scope().Lookup(name); object.Exported() {
			f.walk(object.Type())
		}
	}
	want := []string{
		module + "/api/v1.IstioRevision", "io.Reader", "io.Writer", "io/fs.FS",
		"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured.Unstructured",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(f.types))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestDocumented: everything that is exported says what it is, each field of a struct included.
func TestDocumented(t *testing.T) {
	fset, files := sources(t)
	p, err := doc.NewFromFiles(fset, files, module)
	if err != nil {
		t.Fatal(err)
	}
	check := func(name, text string) {
		if strings.TrimSpace(text) == "" {
			t.Errorf("%s has no comment", name)
		}
	}
	check("the package", p.Doc)
	for _, f := range p.Funcs {
		check(f.Name, f.Doc)
	}
	values := append(slices.Clone(p.Consts), p.Vars...)
	for _, typ := range p.Types {
		check(typ.Name, typ.Doc)
		for _, f := range slices.Concat(typ.Funcs, typ.Methods) {
			check(typ.Name+"."+f.Name, f.Doc)
		}
		values = append(values, slices.Concat(typ.Consts, typ.Vars)...)
		for _, field := range fieldsOf(typ) {
			check(fmt.Sprint(typ.Name, ".", field.Names), field.Doc.Text())
		}
	}
	for _, v := range values {
		for _, spec := range v.Decl.Specs {
			if spec, ok := spec.(*ast.ValueSpec); ok {
				check(fmt.Sprint(spec.Names), spec.Doc.Text()+v.Doc)
			}
		}
	}
}

// fieldsOf are the exported fields of a struct.
func fieldsOf(typ *doc.Type) []*ast.Field {
	var out []*ast.Field
	for _, spec := range typ.Decl.Specs {
		spec, ok := spec.(*ast.TypeSpec)
		if !ok {
			continue
		}
		if s, ok := spec.Type.(*ast.StructType); ok {
			for _, field := range s.Fields.List {
				if len(field.Names) > 0 && field.Names[0].IsExported() {
					out = append(out, field)
				}
			}
		}
	}
	return out
}

// TestEveryOption: a new option of the functions has a field, or somebody has decided that it has none.
func TestEveryOption(t *testing.T) {
	fields := map[string]string{
		resource.OptionCharts: "Charts", resource.OptionKubeVersion: "KubeVersion", resource.OptionPlatform: "Platform",
		resource.OptionCRDs: "CRDs", resource.OptionTrack: "Track", resource.OptionFailurePolicy: "ChartFailurePolicy",
		resource.OptionProtect: "Protect", resource.OptionClusters: "Clusters", resource.OptionStrict: "Strict",
		resource.OptionAllowRemoval: "AllowRemoval", resource.OptionFluxSubstitute: "FluxSubstitute",
	}
	fset, files := sources(t)
	p, err := doc.NewFromFiles(fset, files, module)
	if err != nil {
		t.Fatal(err)
	}
	var have []string
	for _, typ := range p.Types {
		if typ.Name == "Options" {
			for _, field := range fieldsOf(typ) {
				have = append(have, field.Names[0].Name)
			}
		}
	}
	slices.Sort(have)
	if diff := cmp.Diff(slices.Sorted(maps.Values(fields)), have); diff != "" {
		t.Errorf("-options +fields:\n%s", diff)
	}
	for _, option := range resource.AllOptions {
		if fields[option.Name] == "" {
			t.Errorf("option %s has no field of Options", option.Name)
		}
	}
}

// TestVersions: what Versions says is what a resource that asks for it gets.
func TestVersions(t *testing.T) {
	catalogue := release.Bundled()
	var versions, defaults []string
	for _, v := range lateen.Versions() {
		versions = append(versions, v.Version)
		if v.Default {
			defaults = append(defaults, v.Version)
		}
		for _, name := range append(slices.Clone(v.Aliases), v.Version) {
			r, err := catalogue.Resolve(name, nil)
			if (err != nil) != v.Missing || err == nil &&
				(r.Version != v.Version || r.EndOfLife != v.EndOfLife || r.Digest != v.Digest) {
				t.Errorf("%s: want %+v, got %+v, %v", name, v, r, err)
			}
		}
	}
	if diff := cmp.Diff(catalogue.Versions(), versions); diff != "" {
		t.Errorf("oldest first (-catalogue +got)\n%s", diff)
	}
	if diff := cmp.Diff([]string{catalogue.Default()}, defaults); diff != "" {
		t.Errorf("one is the default (-catalogue +got)\n%s", diff)
	}
	lateen.Versions()[0].Version = "mine"
	if lateen.Versions()[0].Version == "mine" {
		t.Error("the list must be the caller's own")
	}
}
