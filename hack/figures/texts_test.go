package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestRepeated has a text that is nearly the same in two files, one that is the same, and some that are not.
func TestRepeated(t *testing.T) {
	t.Parallel()
	pairs, err := repeated("testdata/texts")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range pairs {
		got = append(got, fmt.Sprintf("%.2f %s %s", p.similarity, p.a.place, p.b.place))
	}
	want := []string{"1.00 a.go:20 b.go:9", "0.80 a.go:14 b.go:6"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestSimilarity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want float64
	}{
		{"a b c d", "a b c d", 1},
		{"a b c d", "a b x d", 0.75},
		{"a b c d", "d c b a", 0.25},
		{"a b c d e f g h i", "a b c d e f g h", 2 * 8.0 / 17},
		{"a b c d", "a b c d e f g h", 0},
		{"a b c d", "e f g h", 0},
	} {
		if got := similarity(strings.Fields(c.a), strings.Fields(c.b)); got != c.want {
			t.Errorf("%s and %s: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestWordsOf(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`the %s "%[2]q" is %.2f%% of it, not 7.`: "the is of it not 7",
		"config.kubernetes.io/v1 - a path":       "config.kubernetes.io/v1 a path",
		"":                                       "",
	} {
		if got := strings.Join(wordsOf(text), " "); got != want {
			t.Errorf("%s: got %q, want %q", text, got, want)
		}
	}
}
