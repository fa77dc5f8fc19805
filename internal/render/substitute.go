package render

import (
	"strconv"
	"strings"

	"github.com/lateen-io/lateen/internal/values"
)

// substitution tells the variables of a user's values, which Flux puts in after rendering, from texts of the same form
// in the charts, which are for others. While charts are rendered, words stand for the variables.
type substitution struct {
	on bool
	// words and variables belong together by index.
	words, variables []string
}

// mark returns values with a word in the place of each variable. Without the option, they are returned as they are.
func (s *substitution) mark(v map[string]any) map[string]any {
	if !s.on {
		return v
	}
	word := "lateenvariable"
	for taken := values.Texts(v); strings.Contains(taken, word); {
		word += "x"
	}
	marked, _ := s.replace(v, word).(map[string]any)
	return marked
}

func (s *substitution) replace(v any, word string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			out[s.inText(key, word)] = s.replace(value, word)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = s.replace(value, word)
		}
		return out
	case string:
		return s.inText(v, word)
	}
	return v
}

func (s *substitution) inText(text, word string) string {
	var b strings.Builder
	done := 0
	for _, e := range values.Expressions(text) {
		s.words = append(s.words, word+strconv.Itoa(len(s.words))+"z")
		s.variables = append(s.variables, text[e.Start:e.End])
		b.WriteString(text[done:e.Start] + s.words[len(s.words)-1])
		done = e.End
	}
	return b.String() + text[done:]
}

// text is what is done to the texts of rendered objects: those of the charts are written so that Flux gives them back
// as they are, and the user's variables get their places back. It is nil without the option.
func (s *substitution) text() func(string) string {
	if !s.on {
		return nil
	}
	pairs := make([]string, 0, 2*len(s.words))
	for i, word := range s.words {
		pairs = append(pairs, word, s.variables[i])
	}
	back := strings.NewReplacer(pairs...)
	return func(text string) string { return back.Replace(values.Escape(text)) }
}
