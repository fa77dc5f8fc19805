package manifest_test

import (
	"testing"

	"github.com/lateen-io/lateen/internal/manifest"
)

func TestNoQuantity(t *testing.T) {
	for text, want := range map[string]string{
		"2": "", "0.5": "", "500m": "", "128Mi": "", "1G": "", "1e3": "", "0": "",
		"100 m": `"100 m" is no quantity; write it like 500m, 2 or 128Mi`,
		"1GB":   `"1GB" is no quantity; write it like 500m, 2 or 128Mi`,
		"lots":  `"lots" is no quantity; write it like 500m, 2 or 128Mi`,
		"":      `"" is no quantity; write it like 500m, 2 or 128Mi`,
		"-1":    `"-1" is negative; write it like 500m, 2 or 128Mi`,
	} {
		if got := manifest.NoQuantity(text); got != want {
			t.Errorf("%q: got %s, want %s", text, got, want)
		}
	}
}
