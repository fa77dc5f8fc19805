package values

// Near reports whether two names differ by at most a number of typing errors, however short they are. Case and word
// separators do not count: names that differ by them alone are near.
func Near(a, b string, most int) bool {
	if len(a) > maxSuggestLength || len(b) > maxSuggestLength {
		return false
	}
	x, y := simplify(a), simplify(b)
	return len(x)-len(y) <= most && len(y)-len(x) <= most && distance(x, y) <= most
}
