package engines

import (
	"os"
	"testing"
)

// unproven is set in the environment to run what has never passed yet as well.
const unproven = "LATEEN_UNPROVEN"

// needsProof skips what has never passed yet, with either engine or with this one: it is not known whether the test is
// wrong or Lateen. Who has seen it pass takes the call away.
func needsProof(t *testing.T) {
	t.Helper()
	if os.Getenv(unproven) == "" {
		t.Skip("has not passed yet: " + unproven + "=1 runs it")
	}
}

// TestFlux is Flux with what is rendered before it looks: kpt packages and rendered branches, and with resources for
// the controller.
func TestFlux(t *testing.T) {
	t.Parallel()
	live(t, startFlux(t), []form{renderedBranch, kptPackage}, renderedBranch, map[string]func(*world){
		"substitute": func(w *world) { w.substituted() },
	})
}

// TestArgoCD is Argo CD with the same, with kustomize that calls the functions, and with a plugin.
//
// None of it has passed yet.
func TestArgoCD(t *testing.T) {
	t.Parallel()
	needsProof(t)
	live(t, startArgo(t), []form{renderedBranch, kptPackage, inPlugin, inEngine}, inEngine, map[string]func(*world){
		"without exec": func(w *world) { w.withoutExec() },
	})
}

// live is the life of a cluster with an engine. Meshes come into it by each of the forms; the last of them stays, and
// must rest while everything else happens. memoryless is the form by which a mesh comes that has no package to
// remember it.
func live(t *testing.T, w *world, forms []form, memoryless form, more map[string]func(*world)) {
	t.Helper()
	part := func(name string, do func(w *world)) {
		t.Run(name, func(t *testing.T) { do(w.in(t)) })
	}
	var resting *idle
	for i, f := range forms {
		part("first sync/"+f.name, func(w *world) {
			name := "default"
			_, objects := w.firstSync(f, name)
			if i == len(forms)-1 {
				resting = w.in(t).rest(name, objects)
				return
			}
			w.uninstall(name, objects)
			w.empty(objects)
		})
	}
	if t.Failed() || resting == nil {
		return
	}
	part("upgrade with memory", func(w *world) { needsProof(w.t); w.upgradeWithMemory() })
	part("upgrade without memory", func(w *world) { needsProof(w.t); w.upgradeWithoutMemory(memoryless) })
	part("mistakes/kpt package", func(w *world) { w.mistaken(kptPackage, "slip-kpt") })
	part("mistakes/"+memoryless.name, func(w *world) { w.mistaken(memoryless, "slip-kustomize") })
	for name, do := range more {
		part(name, do)
	}
	part("controller", func(w *world) {
		outer := w.in(t) // the controller stays
		_, installed := w.install()
		w.withController("cr", func() { outer.controller() })
		w.takenDown(memoryless)
		w.uninstalled("cr", installed)
	})
	part("rest", func(w *world) { w.wake(resting) })
	part("uninstall", func(w *world) { w.uninstall("default", resting.objects) })
}
