package engines

import (
	"path/filepath"
	"testing"
)

// TestFlux is Flux with what is rendered before it looks: kpt packages and rendered branches, and with resources for
// the controller.
func TestFlux(t *testing.T) {
	t.Parallel()
	live(t, startFlux(t), []form{renderedBranch, kptPackage}, renderedBranch, map[string]func(*world){
		"substitute": func(w *world) { w.substituted() },
	})
}

// TestArgoCD is Argo CD with the same, with kustomize that calls the functions, and with a plugin.
func TestArgoCD(t *testing.T) {
	t.Parallel()
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
	part("examples/kpt", func(w *world) { w.example(kptPackage, filepath.Join(w.packages(), exampleName)) })
	part("examples/kustomize", func(w *world) {
		w.example(memoryless, filepath.Join(root, "examples/kustomize", exampleName))
	})
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
	part("upgrade with memory", func(w *world) { w.upgradeWithMemory() })
	part("upgrade without memory", func(w *world) { w.upgradeWithoutMemory(memoryless) })
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
