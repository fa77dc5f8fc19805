package selector_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/lateen-io/lateen/internal/selector"
)

func TestOverlap(t *testing.T) {
	for _, c := range []struct{ reason, a, b, want string }{
		{
			"without selectors a mesh discovers everything", `[]`, `[{"matchLabels":{"mesh":"b"}}]`,
			"one with the labels mesh=b",
		},
		{"both without", `[]`, `[]`, "one without labels"},
		{"one label, two values", `[{"matchLabels":{"mesh":"a"}}]`, `[{"matchLabels":{"mesh":"b"}}]`, ""},
		{
			"two labels can both be there", `[{"matchLabels":{"mesh":"a"}}]`, `[{"matchLabels":{"team":"b"}}]`,
			"one with the labels mesh=a,team=b",
		},
		{
			"In and NotIn of the same values", `[{"matchExpressions":[{"key":"e","operator":"In","values":["x","y"]}]}]`,
			`[{"matchExpressions":[{"key":"e","operator":"NotIn","values":["x","y"]}]}]`, "",
		},
		{
			"In with one value left", `[{"matchExpressions":[{"key":"e","operator":"In","values":["x","y"]}]}]`,
			`[{"matchExpressions":[{"key":"e","operator":"NotIn","values":["x"]}]}]`, "one with the labels e=y",
		},
		{
			"there and not there", `[{"matchExpressions":[{"key":"e","operator":"Exists"}]}]`,
			`[{"matchExpressions":[{"key":"e","operator":"DoesNotExist"}]}]`, "",
		},
		{
			"any of a list will do", `[{"matchLabels":{"m":"a"}},{"matchLabels":{"m":"c"}}]`,
			`[{"matchLabels":{"m":"b"}},{"matchLabels":{"m":"c"}}]`, "one with the labels m=c",
		},
	} {
		if diff := cmp.Diff(c.want, selector.Overlap(parse(t, c.a), parse(t, c.b))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestOverlapAgainstKubernetes compares with Kubernetes' own matching, tried on every namespace that two labels with
// three values and none can make.
func TestOverlapAgainstKubernetes(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 3000 {
		a, b := random(rng), random(rng)
		found := false
		for _, x := range []string{"", "1", "2", "x"} {
			for _, y := range []string{"", "1", "2", "x"} {
				set := labels.Set{}
				if x != "" {
					set["p"] = x
				}
				if y != "" {
					set["q"] = y
				}
				found = found || matches(t, a, set) && matches(t, b, set)
			}
		}
		if got := selector.Overlap(parse(t, "["+a+"]"), parse(t, "["+b+"]")); (got != "") != found {
			t.Fatalf("%s and %s: Kubernetes says %v, Overlap %q", a, b, found, got)
		}
	}
}

// random is a selector over two labels with the values 1 and 2.
func random(rng *rand.Rand) string {
	value := func() string { return []string{`"1"`, `"2"`, `"1","2"`}[rng.IntN(3)] }
	expression := func() string {
		key := []string{"p", "q"}[rng.IntN(2)]
		switch rng.IntN(4) {
		case 0:
			return fmt.Sprintf(`{"key":%q,"operator":"In","values":[%s]}`, key, value())
		case 1:
			return fmt.Sprintf(`{"key":%q,"operator":"NotIn","values":[%s]}`, key, value())
		case 2:
			return fmt.Sprintf(`{"key":%q,"operator":"Exists"}`, key)
		}
		return fmt.Sprintf(`{"key":%q,"operator":"DoesNotExist"}`, key)
	}
	match := []string{"", `"matchLabels":{"p":"1"},`, `"matchLabels":{"q":"2"},`}[rng.IntN(3)]
	return "{" + match + `"matchExpressions":[` + expression() + "," + expression() + "]}"
}

func matches(t *testing.T, text string, set labels.Set) bool {
	t.Helper()
	var s metav1.LabelSelector
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	compiled, err := metav1.LabelSelectorAsSelector(&s)
	if err != nil {
		t.Fatal(err)
	}
	return compiled.Matches(set)
}

func parse(t *testing.T, text string) []selector.Selector {
	t.Helper()
	return selector.FromValues([]byte(`{"meshConfig":{"discoverySelectors":` + text + `}}`))
}
