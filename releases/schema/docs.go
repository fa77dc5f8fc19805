package main

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"runtime/debug"
	"strings"
	"unicode/utf8"
)

// describe returns the first sentence of the comment of every definition ("Definition") and property
// ("Definition.property") in doc that has one.
func describe(ctx context.Context, g *generator, doc document) (map[string]string, error) {
	source, err := newComments(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for name, n := range doc.Definitions {
		t, ok := g.goTypes[name]
		if !ok {
			continue
		}
		text, err := source.of(t, "")
		if err != nil {
			return nil, err
		}
		if text != "" {
			found[name] = text
		}
		for property := range n.Properties {
			f, ok := g.fields[name][property]
			if !ok {
				if text, ok := g.chartDocs[name+"."+property]; ok {
					found[name+"."+property] = text
				}
				continue
			}
			text, err := source.of(f.parent, f.name)
			if err != nil {
				return nil, err
			}
			if text != "" {
				found[name+"."+property] = text
			}
		}
	}
	values := reflect.TypeFor[istioValues]()
	for property, f := range g.fields[definitionName(values)] {
		text, err := source.of(f.parent, f.name)
		if err != nil {
			return nil, err
		}
		if text != "" {
			found[definitionName(values)+"."+property] = text
		}
	}
	return found, nil
}

// comments reads Go comments from the module cache, at the versions this program was built with.
type comments struct {
	cache    string
	modules  []*debug.Module
	packages map[string]map[string]*ast.TypeSpec
	docs     map[string]map[string]*ast.CommentGroup
}

func newComments(ctx context.Context) (*comments, error) {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return nil, fmt.Errorf("the program has no build info")
	}
	cache, err := exec.CommandContext(ctx, "go", "env", "GOMODCACHE").Output()
	if err != nil {
		return nil, fmt.Errorf("go env GOMODCACHE: %w", err)
	}
	return &comments{
		cache:    strings.TrimSpace(string(cache)),
		modules:  info.Deps,
		packages: map[string]map[string]*ast.TypeSpec{},
		docs:     map[string]map[string]*ast.CommentGroup{},
	}, nil
}

// of returns the sentence about a type or, if field is not empty, about one of its fields.
func (c *comments) of(t reflect.Type, field string) (string, error) {
	if err := c.load(t.PkgPath()); err != nil {
		return "", err
	}
	spec := c.packages[t.PkgPath()][t.Name()]
	if spec == nil {
		return "", nil
	}
	if field == "" {
		return sentence(c.docs[t.PkgPath()][t.Name()].Text()), nil
	}
	structure, ok := spec.Type.(*ast.StructType)
	if !ok {
		return "", nil
	}
	for _, f := range structure.Fields.List {
		for _, name := range f.Names {
			if name.Name == field {
				return sentence(f.Doc.Text()), nil
			}
		}
	}
	return "", nil
}

func (c *comments) load(pkg string) error {
	if _, done := c.packages[pkg]; done {
		return nil
	}
	var dir string
	for _, m := range c.modules {
		if rest, ok := strings.CutPrefix(pkg, m.Path); ok && (rest == "" || rest[0] == '/') {
			dir = filepath.Join(c.cache, m.Path+"@"+m.Version, rest)
		}
	}
	if dir == "" {
		return fmt.Errorf("package %s is in no module of this build", pkg)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	specs, docs := map[string]*ast.TypeSpec{}, map[string]*ast.CommentGroup{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, decl := range parsed.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, s := range gen.Specs {
				spec, ok := s.(*ast.TypeSpec)
				if !ok {
					continue
				}
				specs[spec.Name.Name] = spec
				docs[spec.Name.Name] = spec.Doc
				if spec.Doc == nil {
					docs[spec.Name.Name] = gen.Doc
				}
			}
		}
	}
	c.packages[pkg], c.docs[pkg] = specs, docs
	return nil
}

// longest is how many characters a description may have: what kubectl explain shows in two lines.
const longest = 160

var (
	link       = regexp.MustCompile(`\[([^\]]+)\]\([^)]*\)`)
	directive  = regexp.MustCompile(`^(\+|\$|TODO|Deprecated: Marked as|---|//)`)
	endOfFirst = regexp.MustCompile(`[.!?](\s|$)`)
	// abbreviation ends in a period that ends no sentence.
	abbreviation = regexp.MustCompile(`\b(e\.g|i\.e|etc|vs|cf)\.$`)
)

// sentence is the first sentence of a comment, on one line and without markup.
func sentence(comment string) string {
	var words []string
	for line := range strings.Lines(comment) {
		line = strings.TrimSpace(line)
		if directive.MatchString(line) {
			continue
		}
		if line == "" && len(words) > 0 {
			break
		}
		words = append(words, strings.Fields(line)...)
	}
	text := link.ReplaceAllString(strings.Join(words, " "), "$1")
	for _, end := range endOfFirst.FindAllStringIndex(text, -1) {
		if !abbreviation.MatchString(text[:end[0]+1]) {
			text = text[:end[0]+1]
			break
		}
	}
	if utf8.RuneCountInString(text) <= longest {
		return text
	}
	cut := string([]rune(text)[:longest-1])
	if i := strings.LastIndexByte(cut, ' '); i > longest/2 {
		cut = cut[:i]
	}
	return cut + "…"
}
