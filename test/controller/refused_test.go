package controller

import (
	"fmt"
	"strings"
)

// refused is a spec that the API server accepts and makes a Deployment that it does not.
func refused(e *env, p *daemon) {
	e.install("refused", "version: v1.28.3")
	e.patch("istio", "refused", `{"spec":{"values":{"pilot":{"nodeSelector":{"no key!":"x"}}}}}`)
	e.eventually("health checks see it", func() error {
		istio := e.get("istio", "refused")
		if got := conditionOf(istio, "Stalled"); !strings.HasPrefix(got, "True") {
			return fmt.Errorf("Stalled is %q", got)
		}
		return nil
	})
	p.notRetried(e, "refused")
	e.patch("istio", "refused", `{"spec":{"values":{"pilot":{"nodeSelector":null}}}}`)
	e.healthy("istio", "refused")
	e.eventually("nothing is left of it", func() error {
		if got := conditionOf(e.get("istio", "refused"), "Stalled"); got != "none" {
			return fmt.Errorf("Stalled is %q", got)
		}
		return nil
	})
}
