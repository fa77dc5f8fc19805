// Command figures measures the shape of the code: for each package its job, its lines, its lines of test per line, the
// length of its functions, what is too wide and what is exported without a comment; which texts for a person are there
// twice; and through how many files the list of items goes. It reads syntax trees and compiles nothing.
//
//	go run ./hack/figures [directory]
package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode/utf8"
)

// columns is how wide a line may be, a tab counting as one: so counts the linter.
const columns = 120

// marker begins a line that controller-gen reads and nobody can break; the linter lets it pass as well.
const marker = "// +kubebuilder:"

func main() {
	root := "."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	all, err := measure(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
	if err := errors.Join(write(os.Stdout, all), writeTexts(os.Stdout, root), writeWays(os.Stdout, root)); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

// writeTexts prints the texts that are there twice.
func writeTexts(w io.Writer, root string) error {
	pairs, err := repeated(root)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\ntexts that are the same, or nearly so, in two places: %d\n", len(pairs))
	for _, p := range pairs {
		if err == nil {
			_, err = fmt.Fprintln(w, p)
		}
	}
	return err
}

// expand is where the list of items is turned into others, and entries are its functions and parameters that get it.
const expand = "internal/expand"

var entries = [][2]string{{"Function.List", "in"}, {"Function.Items", "items"}}

// writeWays prints how the list of items goes through the code.
func writeWays(w io.Writer, root string) error {
	m, err := newModule(root)
	if err != nil {
		return err
	}
	for _, e := range entries {
		for _, alone := range []bool{true, false} {
			what := "and all that is made of them"
			if alone {
				what = "by themselves"
			}
			inside, err := m.follow(expand, e[0], e[1], alone, expand)
			if err != nil {
				return err
			}
			everywhere, err := m.follow(expand, e[0], e[1], alone)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(w, "\nthe items from %s of %s, %s: in the package %s;\nin the module %s\n",
				e[0], expand, what, inside, everywhere)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// figures are those of one package.
type figures struct {
	dir, job     string
	code, test   int // lines with something on them besides comments
	longest      int // lines of the longest function
	name         string
	functions    int
	wide         int      // lines over so many columns, tests included
	undocumented []string // exported names without a comment
}

// measure reads all packages below a directory, but for what is generated and what other modules have.
func measure(root string) ([]*figures, error) {
	byDir := map[string]*figures{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" ||
				isModule(path)) {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go" || strings.HasPrefix(d.Name(), "zz_generated"):
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		f := byDir[dir]
		if f == nil {
			f = &figures{dir: dir}
			byDir[dir] = f
		}
		return f.add(path)
	})
	var out []*figures
	for _, f := range byDir {
		out = append(out, f)
	}
	slices.SortFunc(out, func(a, b *figures) int { return strings.Compare(a.dir, b.dir) })
	return out, err
}

func isModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return !errors.Is(err, fs.ErrNotExist)
}

// add counts a file.
func (f *figures) add(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	for line := range bytes.Lines(data) {
		text := bytes.TrimSpace(line)
		if utf8.RuneCount(bytes.TrimRight(line, "\n")) > columns && !bytes.HasPrefix(text, []byte(marker)) {
			f.wide++
		}
	}
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, data, parser.ParseComments)
	if err != nil {
		return err
	}
	lines := codeLines(files, file, data)
	if strings.HasSuffix(path, "_test.go") {
		f.test += lines
		return nil
	}
	f.code += lines
	if file.Doc != nil && f.job == "" {
		f.job = new(doc.Package).Synopsis(file.Doc.Text())
	}
	for _, decl := range file.Decls {
		f.declared(files, decl)
	}
	return nil
}

// codeLines counts the lines that have something on them besides comments.
func codeLines(files *token.FileSet, file *ast.File, data []byte) int {
	code := bytes.Clone(data)
	for _, group := range file.Comments {
		for _, c := range group.List {
			for i := files.Position(c.Pos()).Offset; i < files.Position(c.End()).Offset; i++ {
				if code[i] != '\n' {
					code[i] = ' '
				}
			}
		}
	}
	n := 0
	for line := range bytes.Lines(code) {
		if len(bytes.TrimSpace(line)) > 0 {
			n++
		}
	}
	return n
}

// declared looks at a declaration of the package.
func (f *figures) declared(files *token.FileSet, decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		f.functions++
		if n := files.Position(d.End()).Line - files.Position(d.Pos()).Line + 1; n > f.longest {
			f.longest, f.name = n, d.Name.Name
		}
		if d.Name.IsExported() && d.Doc == nil && onExported(d) && !known(d) {
			f.undocumented = append(f.undocumented, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			f.specified(d, spec)
		}
	}
}

func (f *figures) specified(d *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
			f.undocumented = append(f.undocumented, s.Name.Name)
		}
	case *ast.ValueSpec:
		for _, name := range s.Names {
			if name.IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
				f.undocumented = append(f.undocumented, name.Name)
			}
		}
	}
}

// known reports whether a method says what it does by its name: those of error and of fmt.Stringer.
func known(d *ast.FuncDecl) bool {
	return d.Recv != nil && (d.Name.Name == "Error" || d.Name.Name == "String")
}

// onExported reports whether a function is one, or a method of an exported type.
func onExported(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	t := d.Recv.List[0].Type
	if pointer, ok := t.(*ast.StarExpr); ok {
		t = pointer.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	name, ok := t.(*ast.Ident)
	return ok && name.IsExported()
}

// write prints a table, and what should be looked at below it.
func write(w io.Writer, all []*figures) error {
	rows := []string{"PACKAGE\tLINES\tTESTS\tPER LINE\tFUNCTIONS\tLONGEST\tWIDE\tJOB"}
	var sum figures
	for _, f := range all {
		rows = append(rows, f.row())
		sum.code, sum.test, sum.functions, sum.wide = sum.code+f.code, sum.test+f.test, sum.functions+f.functions, sum.wide+
			f.wide
		sum.longest = max(sum.longest, f.longest)
	}
	sum.dir = "all"
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if _, err := fmt.Fprintln(t, strings.Join(append(rows, sum.row()), "\n")); err != nil {
		return err
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, f := range all {
		if len(f.undocumented) == 0 {
			continue
		}
		if _, err := fmt.Fprintf(w, "without a comment in %s: %s\n", f.dir, strings.Join(f.undocumented, ", ")); err != nil {
			return err
		}
	}
	return nil
}

func (f *figures) row() string {
	return fmt.Sprintf("%s\t%d\t%d\t%s\t%d\t%d %s\t%d\t%s", f.dir, f.code, f.test, ratio(f.test, f.code), f.functions,
		f.longest, f.name,
		f.wide, f.job)
}

func ratio(tests, code int) string {
	if code == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", float64(tests)/float64(code))
}
