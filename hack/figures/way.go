package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// way is how a value goes through the code: the files into which calls take it, one after the other. Calls within a
// file are one stay, and a return to the caller is none.
type way struct{ stays []string }

// files is how many different files the value enters.
func (w way) files() int {
	seen := map[string]bool{}
	for _, s := range w.stays {
		seen[s] = true
	}
	return len(seen)
}

func (w way) String() string {
	return fmt.Sprintf("enters %d files %d times and comes back to one already left %d times", w.files(), len(w.stays),
		len(w.stays)-w.files())
}

func (w *way) enter(file string) {
	if n := len(w.stays); n == 0 || w.stays[n-1] != file {
		w.stays = append(w.stays, file)
	}
}

// module is the code of a module, checked package by package as far as that goes without its dependencies: of those
// nothing is known, and whatever has to do with them is an error that is left alone.
type module struct {
	root, path string
	files      *token.FileSet
	packages   map[string]*types.Package
	info       *types.Info
	functions  map[*types.Func]*ast.FuncDecl
}

func newModule(root string) (*module, error) {
	data, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, err
	}
	name := regexp.MustCompile(`(?m)^module\s+(\S+)`).FindSubmatch(data)
	if name == nil {
		return nil, fmt.Errorf("%s/go.mod names no module", root)
	}
	return &module{
		root: root, path: string(name[1]), files: token.NewFileSet(), packages: map[string]*types.Package{},
		info: &types.Info{
			Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{},
			Types: map[ast.Expr]types.TypeAndValue{},
		},
		functions: map[*types.Func]*ast.FuncDecl{},
	}, nil
}

// Import checks a package of the module; another one is empty.
func (m *module) Import(path string) (*types.Package, error) {
	if p := m.packages[path]; p != nil {
		return p, nil
	}
	dir, own := strings.CutPrefix(path, m.path+"/")
	if !own {
		p := types.NewPackage(path, filepath.Base(path))
		p.MarkComplete()
		m.packages[path] = p
		return p, nil
	}
	entries, err := filepath.Glob(filepath.Join(m.root, dir, "*.go"))
	if err != nil {
		return nil, err
	}
	var files []*ast.File
	for _, name := range entries {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(m.files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: m, Error: func(error) {}, DisableUnusedImportCheck: true}
	p, _ := config.Check(path, m.files, files, m.info) // what is wrong is what is not known
	m.packages[path] = p
	for _, file := range files {
		for _, decl := range file.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok {
				if f, ok := m.info.Defs[d.Name].(*types.Func); ok {
					m.functions[f] = d
				}
			}
		}
	}
	return p, nil
}

// follow follows a parameter of a function, such as Function.List and in, through the calls within some directories of
// the module; none are all. It follows all that is made of the value as well; with alone, only the value itself and, if
// it is a list, lists of its elements and single ones: not what has them in a field.
func (m *module) follow(dir, function, parameter string, alone bool, within ...string) (way, error) {
	if _, err := m.Import(m.path + "/" + dir); err != nil {
		return way{}, err
	}
	for f, d := range m.functions {
		if f.Pkg().Path() != m.path+"/"+dir || nameOf(d) != function {
			continue
		}
		for i, p := range parametersOf(d) {
			if p.Name == parameter {
				w := &walker{module: m, within: within, done: map[string]bool{}}
				if alone {
					w.only = element(m.info.Defs[p].Type())
				}
				w.into(d, []int{i})
				return w.way, nil
			}
		}
	}
	return way{}, fmt.Errorf("there is no function %s with a parameter %s in %s", function, parameter, dir)
}

// element is the type of the elements of a list, or of what a pointer points at; of any other, the type itself.
func element(t types.Type) types.Type {
	switch u := types.Unalias(t).(type) {
	case *types.Slice:
		return element(u.Elem())
	case *types.Pointer:
		return element(u.Elem())
	}
	return t
}

// nameOf is the name of a function, with its receiver's type.
func nameOf(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if pointer, ok := t.(*ast.StarExpr); ok {
		t = pointer.X
	}
	if generic, ok := t.(*ast.IndexExpr); ok {
		t = generic.X
	}
	if name, ok := t.(*ast.Ident); ok {
		return name.Name + "." + d.Name.Name
	}
	return d.Name.Name
}

// parametersOf are the names of the receiver, which is there in any case, and of the parameters.
func parametersOf(d *ast.FuncDecl) []*ast.Ident {
	out := []*ast.Ident{{Name: "_"}}
	if d.Recv != nil && len(d.Recv.List[0].Names) > 0 {
		out[0] = d.Recv.List[0].Names[0]
	}
	for _, field := range d.Type.Params.List {
		out = append(out, field.Names...)
	}
	return out
}

// walker follows one value.
type walker struct {
	*module

	way    way
	within []string
	// only is the type of what is followed, alone, in a list or by a pointer; nil for anything.
	only types.Type
	// done has the functions that were followed already, each with the parameters that had the value.
	done map[string]bool
}

// into follows the value into a function, some of whose parameters have it.
func (w *walker) into(d *ast.FuncDecl, parameters []int) {
	name, err := filepath.Rel(w.root, w.files.Position(d.Pos()).Filename)
	if err != nil || len(w.within) > 0 && !slices.Contains(w.within, filepath.ToSlash(filepath.Dir(name))) {
		return
	}
	w.way.enter(filepath.ToSlash(name))
	if key := fmt.Sprint(d.Pos(), parameters); d.Body != nil && !w.done[key] {
		w.done[key] = true
		b := &body{walker: w, has: map[types.Object]bool{}}
		all := parametersOf(d)
		for _, i := range parameters {
			b.mark(all[min(i, len(all)-1)])
		}
		for before := -1; before < len(b.has); { // a loop hands on at its end what it began with
			before = len(b.has)
			ast.Inspect(d.Body, b.spread)
		}
		ast.Inspect(d.Body, b.calls)
	}
}

// body is a function, and its variables that have the value, or something that is made of it.
type body struct {
	*walker

	has map[types.Object]bool
}

// mark notes that a variable has the value, unless it is a text, a number or a truth: there the value ends.
func (b *body) mark(e ast.Expr) {
	for {
		switch x := e.(type) {
		case *ast.SelectorExpr:
			e = x.X
			continue
		case *ast.IndexExpr:
			e = x.X
			continue
		case *ast.StarExpr:
			e = x.X
			continue
		case *ast.Ident:
			o := b.info.Defs[x]
			if o == nil {
				o = b.info.Uses[x]
			}
			if v, ok := o.(*types.Var); ok && !b.ends(v.Type()) {
				b.has[v] = true
			}
		}
		return
	}
}

// ends reports whether a type can hold nothing of the value that is to be followed.
func (w *walker) ends(t types.Type) bool {
	if w.only != nil && !types.Identical(element(t), w.only) {
		return true
	}
	basic, ok := t.Underlying().(*types.Basic)
	return ok && basic.Kind() != types.Invalid || t.String() == "error"
}

// value reports whether an expression has the value in it.
func (b *body) value(e ast.Node) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.Ident:
			found = found || b.has[b.info.Uses[n]]
		case ast.Expr:
			if t, ok := b.info.Types[n]; ok && t.Type != nil && b.ends(t.Type) {
				return false
			}
		}
		return !found
	})
	return found
}

// spread marks what a statement gives the value to.
func (b *body) spread(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.AssignStmt:
		for i, to := range n.Lhs {
			if from := n.Rhs[min(i, len(n.Rhs)-1)]; b.value(from) {
				b.mark(to)
			}
		}
	case *ast.ValueSpec:
		for i, to := range n.Names {
			if len(n.Values) > 0 && b.value(n.Values[min(i, len(n.Values)-1)]) {
				b.mark(to)
			}
		}
	case *ast.RangeStmt:
		if b.value(n.X) {
			for _, to := range []ast.Expr{n.Key, n.Value} {
				if to != nil {
					b.mark(to)
				}
			}
		}
	case *ast.CallExpr: // a function that is called for each element
		if b.value(n) {
			for _, argument := range n.Args {
				if f, ok := argument.(*ast.FuncLit); ok {
					for _, field := range f.Type.Params.List {
						for _, name := range field.Names {
							b.mark(name)
						}
					}
				}
			}
		}
	}
	return true
}

// calls follows the value into the functions that a function calls with it, in the order of the text.
func (b *body) calls(n ast.Node) bool {
	call, ok := n.(*ast.CallExpr)
	if !ok {
		return true
	}
	for _, argument := range call.Args { // what is called for an argument comes first
		ast.Inspect(argument, b.calls)
	}
	ast.Inspect(call.Fun, b.calls)
	var name *ast.Ident
	var with []int
	switch f := call.Fun.(type) {
	case *ast.Ident:
		name = f
	case *ast.SelectorExpr:
		if name = f.Sel; b.value(f.X) {
			with = append(with, 0)
		}
	}
	for i, argument := range call.Args {
		if b.value(argument) {
			with = append(with, i+1)
		}
	}
	if f, ok := b.info.Uses[name].(*types.Func); ok && len(with) > 0 {
		if d := b.functions[f.Origin()]; d != nil {
			b.into(d, with)
		}
	}
	return false
}
