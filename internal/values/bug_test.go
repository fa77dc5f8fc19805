package values_test

import (
	"testing"

	"github.com/lateen-io/lateen/internal/values"
)

// spec.values.meshConfig: null beside a spec.meshConfig takes all of the latter away without a word.
func TestBugNullMeshConfigHidesSpecMeshConfig(t *testing.T) {
	got, err := values.WithMeshConfig(parse(t, "meshConfig: null"), parse(t, "accessLogFile: /dev/stdout"))
	if err == nil && values.String(got, "meshConfig", "accessLogFile") != "/dev/stdout" {
		t.Errorf("neither an error nor the setting: %v", got)
	}
}
