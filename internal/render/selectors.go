package render

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/lateen-io/lateen/internal/values"
)

// selectorOperators are those of a label selector; a node selector has two more.
var selectorOperators = []string{"In", "NotIn", "Exists", "DoesNotExist"}

// selectors are the label selectors among values that Kubernetes cannot read. Their schema only knows that they are
// made of texts; istiod drops a selector that it cannot read, and then selects everything. What is right is for the
// library to say with which istiod reads them; here it is only put into words.
func selectors(from source, v any, path string) []values.Problem {
	var out []values.Problem
	values.Walk(v, path, func(v any, at values.Problem) {
		n := len(at.Pointer)
		fields, isMap := v.(map[string]any)
		switch {
		case !isMap:
		case at.Pointer[n-1] == "matchLabels":
			out = append(out, matchLabels(from, fields, at)...)
		case at.Pointer[n-2] == "matchExpressions" && n > 2:
			out = append(out, expressionOf(from, fields, slices.Contains(at.Pointer, "nodeAffinity")).problems(at)...)
		}
	})
	return out
}

func matchLabels(from source, fields map[string]any, at values.Problem) []values.Problem {
	var out []values.Problem
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		value, isText := fields[key].(string)
		if !isText && fields[key] != nil {
			continue // the schema says so
		}
		one := map[string]string{filled(from, key): filled(from, value)}
		_, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchLabels: one})
		switch {
		case err == nil:
		case !isKey(filled(from, key)):
			out = append(out, at.Below(key, noKey(key)))
		default:
			out = append(out, at.Below(key, noValue(value)))
		}
	}
	return out
}

// expression is one of a selector's matchExpressions.
type expression struct {
	key, operator string
	values        []string
	// node says that it selects nodes, which can also be compared by number.
	node bool
	// settled says that all of it is known and of the right types.
	settled bool
	from    source
}

func expressionOf(from source, fields map[string]any, node bool) expression {
	e := expression{node: node, settled: true, from: from}
	text := func(v any) string {
		t, isText := v.(string)
		if !isText && v != nil {
			e.settled = false // the schema says so
		}
		return t
	}
	e.key, e.operator = text(fields["key"]), text(fields["operator"])
	list, isList := fields["values"].([]any)
	if !isList && fields["values"] != nil {
		e.settled = false
	}
	for _, v := range list {
		e.values = append(e.values, text(v))
	}
	if filled(from, e.operator) != e.operator {
		e.settled = false
	}
	return e
}

// readable reports whether Kubernetes can read the expression.
func (e expression) readable() bool {
	key := filled(e.from, e.key)
	list := make([]string, len(e.values))
	for i, v := range e.values {
		list[i] = filled(e.from, v)
	}
	if e.node && (e.operator == "Gt" || e.operator == "Lt") {
		for i, v := range e.values {
			if list[i] != v {
				list[i] = "1" // a variable, that may be a number
			}
		}
		_, err := labels.NewRequirement(key, selection.GreaterThan, list)
		return err == nil
	}
	_, err := metav1.LabelSelectorAsSelector(&metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{
		{Key: key, Operator: metav1.LabelSelectorOperator(e.operator), Values: list},
	}})
	return err == nil
}

// problems says what is wrong with the expression at a place.
func (e expression) problems(at values.Problem) []values.Problem {
	if !e.settled || e.readable() {
		return nil
	}
	var out []values.Problem
	switch {
	case e.key == "":
		out = append(out, said(at, "", "a selector's expression needs a key, the name of a label"))
	case !isKey(filled(e.from, e.key)):
		out = append(out, said(at, "key", "%s", noKey(e.key)))
	}
	return append(out, e.operands(at, len(out) == 0)...)
}

// said is a problem with a field of an expression, or with all of it.
func said(at values.Problem, field, format string, args ...any) values.Problem {
	message := fmt.Sprintf(format, args...)
	if field != "" {
		return at.Below(field, message)
	}
	at.Message = message
	return at
}

// operands says what is wrong with the operator and the values. alone says that nothing else is.
func (e expression) operands(at values.Problem, alone bool) []values.Problem {
	known := selectorOperators
	if e.node {
		known = append(slices.Clone(known), "Gt", "Lt")
	}
	var out []values.Problem
	say := func(field, format string, args ...any) { out = append(out, said(at, field, format, args...)) }
	switch {
	case e.operator == "":
		say("", "a selector's expression needs an operator: %s", strings.Join(known, ", "))
	case !slices.Contains(known, e.operator):
		out = append(out, noOperator(at, e.operator, known))
	case (e.operator == "In" || e.operator == "NotIn") && len(e.values) == 0:
		say("", "the operator %s needs values, at least one", e.operator)
	case (e.operator == "Exists" || e.operator == "DoesNotExist") && len(e.values) > 0:
		say("values", "the operator %s has no values; leave them out, or use In or NotIn", e.operator)
	case (e.operator == "Gt" || e.operator == "Lt") && alone:
		say("", "the operator %s needs one value, which is an integer in quotes", e.operator)
	default:
		for _, v := range e.values {
			if len(validation.IsValidLabelValue(filled(e.from, v))) > 0 {
				say("values", "%s", noValue(v))
			}
		}
	}
	return out
}

func noOperator(at values.Problem, operator string, known []string) values.Problem {
	p := at.Below("operator", fmt.Sprintf("the operator %q is none that a selector can have: %s", operator,
		strings.Join(known, ", ")))
	for _, name := range known {
		if strings.EqualFold(name, strings.NewReplacer("_", "", "-", "").Replace(operator)) {
			p.Suggestion = name
			p.Message += "; did you mean " + name + "?"
		}
	}
	return p
}

func isKey(key string) bool { return len(validation.IsQualifiedName(key)) == 0 }

func noKey(key string) string {
	return fmt.Sprintf("%q cannot be the name of a label: letters, digits, -, _ and ., at most 63, the first and the "+
		"last a letter or a digit, and before them perhaps a DNS name and a /", key)
}

func noValue(value string) string {
	return fmt.Sprintf("%q cannot be the value of a label: letters, digits, -, _ and ., at most 63, the first and the "+
		"last a letter or a digit", value)
}

// filled is a text with something in the place of the variables that Flux puts in, unless the user has said that it
// does not. What they will be is not known here, and no fault.
func filled(from source, text string) string {
	if from.FluxSubstitute == "false" || values.Variable(text) == "" {
		return text
	}
	var b strings.Builder
	done := 0
	for _, e := range values.Expressions(text) {
		b.WriteString(text[done:e.Start] + "x")
		done = e.End
	}
	return b.String() + text[done:]
}
