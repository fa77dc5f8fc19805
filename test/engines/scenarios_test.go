package engines

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// The versions of the upgrades.
const (
	oldVersion = "v1.27.0"
	newVersion = "v1.28.3"
)

// form is a way from resources in Git to objects in a cluster.
type form struct {
	name string
	// source is where people edit, and path what the engine looks at.
	source, path string
	// render does what is done before a push. Without it the engine does all of it.
	render func(t *testing.T, r *repository) (string, error)
	// engine adds how the engine has to look at it.
	engine func(a *application)
	// kpt says that the package remembers earlier revisions.
	kpt bool
}

var (
	kptPackage = form{
		name: "kpt package", source: "mesh", path: "mesh", kpt: true,
		render: func(t *testing.T, r *repository) (string, error) { t.Helper(); return r.render(t, "mesh") },
	}
	renderedBranch = form{
		name: "rendered branch", source: "source", path: "deploy",
		render: func(t *testing.T, r *repository) (string, error) { t.Helper(); return r.build(t, "source", "deploy") },
	}
	inEngine = form{
		name: "kustomize in the engine", source: "mesh", path: "mesh",
		engine: func(a *application) { a.kustomize = true },
	}
	inPlugin = form{
		name: "plugin of the engine", source: "mesh", path: "mesh",
		engine: func(a *application) { a.plugin = pluginName },
	}
)

// mesh is what people write.
type mesh struct {
	name, version, strategy string
	// apiVersion and kind are those of an Istio, if not set.
	apiVersion, kind string
	// annotations are Lateen's options and others.
	annotations map[string]string
	// applied says that the Istio is applied as well; else it stays in Git.
	applied bool
	// values are those of the Istio, as a flow mapping.
	values string
	// more are further files.
	more files
}

// istio is the Istio. The comment is for Argo CD, which does not know what stays in Git.
func (m mesh) istio() string {
	var b strings.Builder
	if !m.applied {
		b.WriteString("# +argocd:skip-file-rendering\n")
	}
	apiVersion, kind := m.apiVersion, m.kind
	if apiVersion == "" {
		apiVersion = "sailoperator.io/v1"
	}
	if kind == "" {
		kind = "Istio"
	}
	fmt.Fprintf(&b, "apiVersion: %s\nkind: %s\nmetadata:\n  name: %s\n", apiVersion, kind, m.name)
	annotations := map[string]string{}
	maps.Copy(annotations, m.annotations)
	if !m.applied {
		annotations["config.kubernetes.io/local-config"] = "true"
	}
	if len(annotations) > 0 {
		b.WriteString("  annotations:\n")
		for _, key := range sortedKeys(annotations) {
			fmt.Fprintf(&b, "    %s: %q\n", key, annotations[key])
		}
	}
	fmt.Fprintf(&b, "spec:\n  namespace: %s\n  version: %s\n", m.namespace(), m.version)
	fmt.Fprintf(&b, "  updateStrategy:\n    type: %s\n", m.strategy)
	if m.values != "" {
		fmt.Fprintf(&b, "  values: %s\n", m.values)
	}
	return b.String()
}

func sortedKeys(m map[string]string) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// namespace is where the control plane is.
func (m mesh) namespace() string {
	if m.name == "default" {
		return "istio-system"
	}
	return m.name
}

// revision is the name of the active revision.
func (m mesh) revision() string {
	if m.strategy == "InPlace" {
		return m.name
	}
	return m.name + "-" + strings.ReplaceAll(m.version, ".", "-")
}

const kptfile = `apiVersion: kpt.dev/v1
kind: Kptfile
metadata:
  name: mesh
  annotations:
    config.kubernetes.io/local-config: "true"
pipeline:
  mutators:
  - exec: render-istio
`

const kustomizationHead = `apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
transformers:
- |-
  apiVersion: v1
  kind: ConfigMap
  metadata:
    name: render-istio
    annotations:
      config.kubernetes.io/function: |
        exec:
          path: render-istio
resources:
`

// write writes the package.
func (f form) write(t *testing.T, r *repository, m mesh) {
	t.Helper()
	content := files{
		"namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + m.namespace() + "\n",
		"istio.yaml":     m.istio(),
	}
	maps.Copy(content, m.more)
	if f.kpt {
		content["Kptfile"] = kptfile
	} else {
		names := sortedKeys(content)
		content["kustomization.yaml"] = kustomizationHead + "- " + strings.Join(names, "\n- ") + "\n"
	}
	placed := files{}
	for name, text := range content {
		placed[path.Join(f.source, name)] = text
	}
	r.write(t, placed)
}

// commit renders, which has to work, and pushes.
func (f form) commit(t *testing.T, r *repository, subject string) string {
	t.Helper()
	if f.render != nil {
		if _, err := f.render(t, r); err != nil {
			t.Fatal(err)
		}
	}
	return r.push(t, subject)
}

// rendered are the objects that are to be in the cluster.
func (f form) rendered(t *testing.T, r *repository) []*unstructured.Unstructured {
	t.Helper()
	if f.render != nil {
		return r.objects(t, f.path)
	}
	out, err := r.kustomize(t, f.path)
	if err != nil {
		t.Fatal(err)
	}
	return parse(t, []byte(out))
}

// application is what the engine is told.
func (f form) application(name string, r *repository) application {
	a := application{name: name, repository: r, path: f.path}
	if f.engine != nil {
		f.engine(&a)
	}
	return a
}

// deploy brings a mesh into the cluster, and gives its repository and its objects.
func (w *world) deploy(f form, m mesh, name string) (*repository, []*unstructured.Unstructured) {
	w.t.Helper()
	r := w.git.repository(w.t, name)
	f.write(w.t, r, m)
	commit := f.commit(w.t, r, "the first commit")
	w.engine.deploy(w, f.application(name, r))
	w.await(name, commit)
	return r, f.rendered(w.t, r)
}

// policy is Istio configuration beside the control plane, whose kind comes with it.
func policy(namespace string) string {
	return "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n" +
		"metadata:\n  name: default\n  namespace: " + namespace + "\nspec:\n  mtls:\n    mode: STRICT\n"
}

// inOneGo looks whether the engine had to try again what it applied.
func (w *world) inOneGo(name string) {
	w.t.Helper()
	if failures := w.engine.failures(w, name); failures != nil {
		w.t.Errorf("not in one go: %q", failures)
	}
}

// firstSync brings a mesh with everything that it needs into a cluster that has nothing of it.
func (w *world) firstSync(f form, name string) (*repository, []*unstructured.Unstructured) {
	w.t.Helper()
	m := mesh{
		name: "default", version: newVersion, strategy: "InPlace",
		annotations: map[string]string{"lateen.io/crds": "include"},
		more:        files{"policy.yaml": policy("istio-system")},
	}
	r, objects := w.deploy(f, m, name)
	w.inOneGo(name)
	if gone := w.gone(objects); gone != nil {
		w.t.Errorf("%q are not in the cluster", gone)
	}
	return r, objects
}

// uninstall removes a mesh. What is left is what others may have data of: the kinds.
func (w *world) uninstall(name string, objects []*unstructured.Unstructured) {
	w.t.Helper()
	w.engine.remove(w, name)
	var crds, rest []*unstructured.Unstructured
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			crds = append(crds, o)
		} else {
			rest = append(rest, o)
		}
	}
	w.awaitGone(rest)
	if gone := w.gone(crds); gone != nil {
		w.t.Errorf("%q went as well, and with them everything of their kinds", gone)
	}
	for _, o := range rest {
		for _, other := range w.list(o.GetAPIVersion(), o.GetKind()) {
			if owner := other.GetAnnotations()["lateen.io/owner"]; owner == "Istio/"+name {
				w.t.Errorf("%s is left of %s", id(&other), owner)
			}
		}
	}
}

// empty removes the kinds of a mesh that is gone.
func (w *world) empty(objects []*unstructured.Unstructured) {
	w.t.Helper()
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if err := w.client.Delete(w.t.Context(), o); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, o := range objects {
		if o.GetKind() == "CustomResourceDefinition" {
			w.eventually("the kind is gone", func() error { return w.absent(o) })
		}
	}
}

// steady watches an application while the engine compares it a few times more: it has to be, and stay, as Git has it.
func (w *world) steady(name string, before state) {
	w.t.Helper()
	w.looks(name, func(now state) {
		if !now.synced || now.syncs != before.syncs {
			w.t.Fatalf("nothing has changed in Git, and the engine says %+v", now)
		}
	})
}

// looks asks the engine for three comparisons of an application, one after the other, and shows what it says
// meanwhile.
func (w *world) looks(name string, see func(state)) {
	w.t.Helper()
	for range 3 {
		before := w.engine.rounds(w, name)
		w.engine.pull(w, name)
		w.eventually("the engine looks again", func() error {
			now, err := w.engine.state(w, name)
			if err != nil {
				return err
			}
			see(now)
			if w.engine.rounds(w, name) == before {
				return fmt.Errorf("no comparison after %d, and the engine says %+v", before, now)
			}
			return nil
		})
	}
}

// upgradeWithMemory is an upgrade by revisions in a kpt package, up to the end of the old one.
func (w *world) upgradeWithMemory() {
	m := mesh{name: "up", version: oldVersion, strategy: "RevisionBased"}
	r, objects := w.deploy(kptPackage, m, m.name)
	old := of(m.revision(), objects)
	before := w.settled(old)
	since := len(w.Writes(w.t))
	oldRevision := m.revision()

	m.version = newVersion
	kptPackage.write(w.t, r, m)
	bumped := w.sync(m.name, kptPackage.commit(w.t, r, "the next version"))
	w.steady(m.name, bumped)
	if diff := cmp.Diff(before, w.versions(old)); diff != "" {
		w.t.Errorf("the new version changes the old revision: -want +got:\n%s", diff)
	}
	if deleted := w.deleted(since); deleted != nil {
		w.t.Errorf("the engine has deleted %q", deleted)
	}
	fresh := of(m.revision(), kptPackage.rendered(w.t, r))
	if gone := w.gone(fresh); len(fresh) < 10 || gone != nil {
		w.t.Errorf("of the %d objects of the new revision %q are not there", len(fresh), gone)
	}

	kept := without(kptPackage.rendered(w.t, r), old)
	before = w.settled(kept)
	since = len(w.Writes(w.t))
	r.write(w.t, files{"mesh/usage.yaml": usageReport(oldRevision, m.revision())})
	w.sync(m.name, kptPackage.commit(w.t, r, "nothing uses the old revision"))
	w.awaitGone(old)
	if diff := cmp.Diff(ids(old), w.deleted(since)); diff != "" {
		w.t.Errorf("what the engine deletes: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(before, w.versions(kept)); diff != "" {
		w.t.Errorf("the end of the old revision is none of the new one's business: -want +got:\n%s", diff)
	}
	w.engine.forget(w, m.name)
}

func usageReport(unused, used string) string {
	return `# +argocd:skip-file-rendering
apiVersion: lateen.io/v1alpha1
kind: UsageReport
metadata:
  name: cluster
  annotations:
    config.kubernetes.io/local-config: "true"
spec:
  observedAt: "2026-11-22T12:00:00Z"
  revisions:
  - name: ` + unused + `
    inUse: "False"
  - name: ` + used + `
    inUse: "True"
`
}

// upgradeWithoutMemory is an upgrade by revisions where the rendering has the new one only.
func (w *world) upgradeWithoutMemory(f form) {
	m := mesh{name: "keep", version: oldVersion, strategy: "RevisionBased"}
	r, objects := w.deploy(f, m, m.name)
	old := of(m.revision(), objects)
	before := w.settled(old)
	since := len(w.Writes(w.t))
	m.version = newVersion
	f.write(w.t, r, m)
	bumped := w.sync(m.name, f.commit(w.t, r, "the next version"))
	if left := of("keep-v1-27-0", f.rendered(w.t, r)); len(left) > 0 || len(old) < 10 {
		w.t.Fatalf("nothing would be proved: %d objects of the old revision, %d of them rendered still", len(old),
			len(left))
	}
	w.steady(m.name, bumped)
	if deleted := w.deleted(since); deleted != nil {
		w.t.Errorf("the engine has deleted %q", deleted)
	}
	if diff := cmp.Diff(before, w.versions(old)); diff != "" {
		w.t.Errorf("the old revision has left Git, and not the cluster: -want +got:\n%s", diff)
	}
	w.engine.forget(w, m.name)
}

// mistakes are slips of the pen in an Istio.
var mistakes = map[string]mesh{
	"kind":              {kind: "Isto"},
	"group of old":      {apiVersion: "operator.istio.io/v1alpha1"},
	"group":             {apiVersion: "sailoperater.io/v1"},
	"kind in lowercase": {kind: "istio"},
}

// mistaken makes them one after the other in a mesh that is in the cluster. A rendering that fails is the end of it:
// nothing is pushed. Where the engine renders, it has to say so, and to leave the cluster alone; each mistake is mended
// before the next, so that what the engine says is said of this one.
func (w *world) mistaken(f form, name string) {
	m := mesh{name: name, version: newVersion, strategy: "InPlace"}
	r, objects := w.deploy(f, m, name)
	before := w.settled(objects)
	since := len(w.Writes(w.t))
	for _, mistake := range mistakes {
		wrong := m
		wrong.kind, wrong.apiVersion = mistake.kind, mistake.apiVersion
		f.write(w.t, r, wrong)
		said := wrong.kind + wrong.apiVersion
		if f.render == nil {
			r.push(w.t, "a mistake: "+said)
			w.engine.pull(w, name)
			w.refused(name, "render-istio", said)
			w.looks(name, func(state) {})
			if writes := w.written(since, nil); len(writes) > 0 {
				w.t.Errorf("%s: the engine has written %v", said, writes)
			}
			f.write(w.t, r, m)
			if s := w.sync(name, r.push(w.t, "mended")); s.message != "" {
				w.t.Errorf("it is mended, and the engine says %+v", s)
			}
			since = len(w.Writes(w.t))
			continue
		}
		before := ids(f.rendered(w.t, r))
		out, err := f.render(w.t, r)
		if err == nil || !strings.Contains(err.Error(), said) {
			w.t.Errorf("%s: rendered, with %v\n%s", said, err, out)
		}
		if diff := cmp.Diff(before, ids(f.rendered(w.t, r))); diff != "" {
			w.t.Errorf("%s: the directory that the engine looks at has changed: -want +got:\n%s", said, diff)
		}
	}
	if diff := cmp.Diff(before, w.versions(objects)); diff != "" {
		w.t.Errorf("the mistakes have changed what is in the cluster: -want +got:\n%s", diff)
	}
	if writes := w.written(since, nil); len(writes) > 0 {
		w.t.Errorf("the engine has written %v", writes)
	}
	f.write(w.t, r, m)
	w.sync(name, f.commit(w.t, r, "the mistakes are mended"))
	w.engine.remove(w, name)
}

// withoutExec takes the right to run functions from kustomize, which then prints nothing of the control plane, and says
// nothing. What is left, the namespace, is synced.
func (w *world) withoutExec() {
	m := mesh{
		name: "guarded", version: newVersion, strategy: "InPlace", applied: true,
		annotations: map[string]string{
			"lateen.io/protect":             "true",
			"config.kubernetes.io/function": "exec:\n  path: render-istio\n",
		},
	}
	r := w.git.repository(w.t, m.name)
	inEngine.write(w.t, r, m)
	r.write(w.t, files{"mesh/kustomization.yaml": "resources: [namespace.yaml]\ngenerators: [istio.yaml]\n"})
	a := inEngine.application(m.name, r)
	commit := r.push(w.t, "a generator")
	w.engine.deploy(w, a)
	w.await(m.name, commit)
	objects := of(m.revision(), inEngine.rendered(w.t, r))
	if gone := w.gone(objects); len(objects) < 10 || gone != nil {
		w.t.Fatalf("nothing would be proved: %d objects, of which %q are missing", len(objects), gone)
	}
	before := w.settled(objects)
	since := len(w.Writes(w.t))
	a.noExec = true
	w.engine.deploy(w, a)
	w.looks(m.name, func(state) {})
	w.await(m.name, commit)
	if diff := cmp.Diff(before, w.versions(objects)); diff != "" {
		w.t.Errorf("protect is set: -want +got:\n%s", diff)
	}
	if writes := w.written(since, objects); len(writes) > 0 {
		w.t.Errorf("the engine has written %v", writes)
	}
	w.engine.forget(w, m.name)
}
