package main

import (
	"regexp"
	"testing"
	"time"
)

// TestDurationPattern: the CRDs take what istiod's parser takes, and nothing else.
func TestDurationPattern(t *testing.T) {
	pattern := regexp.MustCompile(durationPattern)
	for _, text := range []string{
		"", "0", "0s", "00", "1", "30", "30s", "1.5s", "1.s", ".5s", ".s", "s", "5m30s", "5m30", "1m",
		"1h1m1s1ms1us1ns", "3µs", "3μs", "-5s", "+5s", "--5s",
		"1d", "1 s", "1s ", "1S", "1e3s", "s30", "0x1s", "1s,", "1h-5m", "infinity",
	} {
		_, err := time.ParseDuration(text)
		if have := pattern.MatchString(text); have != (err == nil) {
			t.Errorf("the pattern takes %q: %v, time.ParseDuration: %v", text, have, err)
		}
	}
}
