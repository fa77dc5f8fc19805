package engines

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// exampleName is a package of which examples/kpt has one and examples/kustomize another.
const exampleName = "in-place-update"

// packages writes the packages of examples/kpt for a repository, and gives the directory.
func (w *world) packages() string {
	w.t.Helper()
	dir := w.t.TempDir()
	cmd := exec.CommandContext(w.t.Context(), needsProgram(w.t, "make"), "--silent", "packages", "DIR="+dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("make packages: %v\n%s", err, out)
	}
	return dir
}

// example brings a package of the examples, as it is, into a cluster that has nothing of it, and does what its README
// says.
func (w *world) example(f form, from string) {
	w.t.Helper()
	const name = "default"
	r := w.git.repository(w.t, exampleName)
	if err := os.CopyFS(filepath.Join(r.dir, f.source), os.DirFS(from)); err != nil {
		w.t.Fatal(err)
	}
	commit := f.commit(w.t, r, "a copy of the example")
	w.engine.deploy(w, f.application(name, r))
	w.await(name, commit)
	w.inOneGo(name)
	objects := f.rendered(w.t, r)
	if gone := w.gone(objects); gone != nil {
		w.t.Errorf("%q are not in the cluster", gone)
	}
	budget := w.first(objects, "PodDisruptionBudget")

	istio := filepath.Join(r.dir, f.source, "istio.yaml")
	text, err := os.ReadFile(istio)
	if err != nil {
		w.t.Fatal(err)
	}
	before, after, found := strings.Cut(string(text), "version: "+oldVersion)
	if !found {
		w.t.Fatalf("%s is not of version %s", istio, oldVersion)
	}
	r.write(w.t, files{f.source + "/istio.yaml": before + "version: " + newVersion + after})
	w.sync(name, f.commit(w.t, r, "the next version"))
	w.eventually("the new version has no budget", func() error { return w.absent(budget) })
	objects = f.rendered(w.t, r)
	if gone := w.gone(objects); gone != nil {
		w.t.Errorf("%q are not in the cluster", gone)
	}
	deployment, err := w.current(w.first(objects, "Deployment"))
	if err != nil {
		w.t.Fatal(err)
	}
	version := deployment.GetLabels()["app.kubernetes.io/version"]
	if !strings.HasPrefix(version, strings.TrimPrefix(newVersion, "v")) {
		w.t.Errorf("istiod is of version %q", version)
	}
	w.uninstall(name, objects)
}
