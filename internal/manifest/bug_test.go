package manifest_test

import (
	"runtime"
	"testing"

	"github.com/lateen-io/lateen/internal/manifest"
)

// The expansion of aliases is bounded, but the bound is charged after copying, and an alias inside of what it stands for
// makes each copy twice as large (or four times): 80 bytes cost 670 MiB and seconds. Charge the size of the target
// before copying it, refuse an alias below its own anchor, and lower maxNodes: no document of a chart has 2^16 nodes.
func TestBugAliasesCostMemory(t *testing.T) {
	for name, text := range map[string]string{"billion laughs": laughs, "endless": head + "data: &a [*a, *a, *a, *a]\n"} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := manifest.Parse(text)
		runtime.ReadMemStats(&after)
		if used := (after.TotalAlloc - before.TotalAlloc) >> 20; used > 64 || err == nil {
			t.Errorf("%s: %d bytes of YAML took %d MiB (error: %v)", name, len(text), used, err)
		}
	}
}
