package values

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// formatDuration is how the schemas mark a google.protobuf.Duration. istiod reads one as time.ParseDuration does: a
// number, or a text without a unit, makes it refuse the whole configuration of the mesh.
const formatDuration = "duration"

// duration checks the value of a google.protobuf.Duration.
func (c *checker) duration(v any, at place) {
	text, isText := v.(string)
	shown := strconv.Quote(text)
	if !isText {
		switch have := TypeOf(v); have {
		case "integer", "number":
			text = c.written(v, at)
			shown = text
		default:
			c.problems = append(c.problems, at.problem("must be a duration such as 30s or 1m30s, is "+article(have)))
			return
		}
	}
	d, err := time.ParseDuration(text)
	switch {
	case isText && err == nil && d >= 0:
		return
	case isText && err == nil:
		c.problems = append(c.problems, at.problem("must be a duration that is not negative; is "+shown))
		return
	}
	p := at.problem("must be a duration with a unit (ns, us, ms, s, m, h), such as 30s or 1m30s; is " + shown)
	if p.Suggestion = withUnit(text); p.Suggestion != "" {
		p.Message += fmt.Sprintf(" (write %s)", p.Suggestion)
	}
	c.problems = append(c.problems, p)
}

// withUnit is what a text that is no duration probably means: seconds, where only the last unit is missing. It is empty
// if that would be none either.
func withUnit(text string) string {
	text = strings.ReplaceAll(strings.TrimSpace(text), " ", "")
	if text != "" && unicode.IsDigit(rune(text[len(text)-1])) {
		text += "s"
	}
	if d, err := time.ParseDuration(text); err != nil || d < 0 {
		return ""
	}
	return text
}
