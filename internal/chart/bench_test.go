package chart

import (
	"testing"

	"github.com/lateen-io/lateen/internal/release"
)

// BenchmarkRender renders istiod's chart again and again, as the controller does: with an engine that is kept, and with
// a new call of Helm's for each rendering.
func BenchmarkRender(b *testing.B) {
	versions := release.Bundled().Versions()
	rel, err := release.Bundled().Resolve(versions[len(versions)-1], nil)
	if err != nil {
		b.Fatal(err)
	}
	files, err := rel.Chart("istiod")
	if err != nil {
		b.Fatal(err)
	}
	for name, kept := range map[string]bool{"kept": true, "anew": false} {
		b.Run(name, func(b *testing.B) {
			c, err := Load(files, rel.Defaults("istiod"))
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if !kept {
					c.engines = &pool{}
				}
				if _, err := c.Render(nil, Target{Release: "r", Namespace: "istio-system"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
