package main

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

const (
	// fewestWords is how many words make a text: what is shorter is a name, or an operand of a wrapped error.
	fewestWords = 4
	// alike is from which similarity on two texts say the same.
	alike = 0.8
)

// text is a string literal of the code that a person may read.
type text struct {
	place string
	words []string
}

// twice are two texts for one mistake.
type twice struct {
	similarity float64
	a, b       text
}

func (t twice) String() string {
	return fmt.Sprintf("%.2f %s %q\n     %s %q", t.similarity, t.a.place, strings.Join(t.a.words, " "), t.b.place,
		strings.Join(t.b.words, " "))
}

// repeated finds the texts that occur in more than one place below a directory, the same or nearly so. What only tests
// use is left out.
func repeated(root string) ([]twice, error) {
	all, err := texts(root)
	if err != nil {
		return nil, err
	}
	var out []twice
	for i, a := range all {
		for _, b := range all[i+1:] {
			if s := similarity(a.words, b.words); s >= alike {
				out = append(out, twice{s, a, b})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b twice) int { return cmp.Compare(b.similarity, a.similarity) })
	return out, nil
}

// texts are all of them below a directory, in the order of their places.
func texts(root string) ([]text, error) {
	var out []text
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			if path != root && (strings.HasPrefix(d.Name(), ".") || isModule(path) ||
				slices.Contains([]string{"testdata", "bin", "test", "hack"}, d.Name())) {
				return fs.SkipDir
			}
			return nil
		case filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go"):
			return nil
		}
		found, err := textsOf(root, path)
		out = append(out, found...)
		return err
	})
	return out, err
}

func textsOf(root, path string) ([]text, error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	name, err := filepath.Rel(root, path)
	if err != nil {
		return nil, err
	}
	var out []text
	ast.Inspect(file, func(n ast.Node) bool {
		if _, tag := n.(*ast.Field); tag {
			return false
		}
		e, ok := n.(ast.Expr)
		if !ok {
			return true
		}
		literal, ok := fold(e)
		if !ok {
			return true
		}
		if words := wordsOf(literal); len(words) >= fewestWords {
			out = append(out, text{fmt.Sprintf("%s:%d", filepath.ToSlash(name), files.Position(e.Pos()).Line), words})
		}
		return false
	})
	return out, nil
}

// fold is what a string literal says, or a sum of such.
func fold(e ast.Expr) (string, bool) {
	switch e := e.(type) {
	case *ast.BasicLit:
		if e.Kind != token.STRING {
			return "", false
		}
		s, err := strconv.Unquote(e.Value)
		return s, err == nil
	case *ast.ParenExpr:
		return fold(e.X)
	case *ast.BinaryExpr:
		x, isText := fold(e.X)
		y, isTextToo := fold(e.Y)
		return x + y, e.Op == token.ADD && isText && isTextToo
	}
	return "", false
}

// verb is a place of a format where something else is put in.
var verb = regexp.MustCompile(`%[-+# 0]*(\[\d+\])?[\d.]*[a-zA-Z%]`)

// wordsOf are the words of a text, without what is put in. What blanks do not part is one: a path, or a name.
func wordsOf(s string) []string {
	var out []string
	for word := range strings.FieldsSeq(strings.ToLower(verb.ReplaceAllString(s, " "))) {
		word = strings.TrimFunc(word, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		if word != "" {
			out = append(out, word)
		}
	}
	return out
}

// similarity is which part of the words of two texts come in both, in the same order.
func similarity(a, b []string) float64 {
	sum := float64(len(a) + len(b))
	if 2*float64(min(len(a), len(b)))/sum < alike {
		return 0
	}
	row := make([]int, len(b)+1)
	for _, x := range a {
		before := 0 // of the row before, one to the left
		for j, y := range b {
			above := row[j+1]
			if x == y {
				row[j+1] = before + 1
			} else {
				row[j+1] = max(above, row[j])
			}
			before = above
		}
	}
	return 2 * float64(row[len(b)]) / sum
}
