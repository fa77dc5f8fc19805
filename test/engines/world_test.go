package engines

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// patience is how long a cluster and an engine may take to come to what is expected of them. It is no measure of
// anything.
const patience = 10 * time.Minute

// world is a cluster, an engine that keeps it as Git has it, and a Git server.
type world struct {
	*cluster.Cluster

	t      *testing.T
	client client.Client
	git    *gitServer
	engine engine
}

// engine is what keeps a part of a repository in a cluster.
type engine interface {
	// user is who its writes are by, in the audit log.
	user() string
	// deploy makes the engine keep the application in the cluster.
	deploy(w *world, a application)
	// pull asks the engine to look at Git now. By itself it would do so after its interval.
	pull(w *world, name string)
	// state is what the engine says of an application.
	state(w *world, name string) (state, error)
	// forget makes the engine leave an application alone, with its objects as they are.
	forget(w *world, name string)
	// failures are the attempts to bring an application into the cluster that did not work, so that there was another.
	failures(w *world, name string) []string
	// remove removes the application, and with it its objects.
	remove(w *world, name string)
	// rounds counts how often the engine has compared the application with the cluster.
	rounds(w *world, name string) int
}

// application is a directory of a repository that an engine is to keep in the cluster.
type application struct {
	name       string
	repository *repository
	path       string
	// kustomize says that the engine runs kustomize with Lateen's functions; else the directory has manifests.
	kustomize bool
	// noExec says that kustomize is not allowed to run functions.
	noExec bool
	// plugin is the name of the config management plugin that renders the directory.
	plugin string
	// checks says that the engine knows the health of Lateen's resources.
	checks bool
	// substitute are values for ${…} in the manifests.
	substitute map[string]string
	// timeout is how long an engine waits for health before it says so, if it has a bound.
	timeout time.Duration
}

// state is what an engine says of an application.
type state struct {
	// commit is what it has applied last; tried is what it has looked at last.
	commit, tried string
	// synced and healthy say that the cluster is as Git has it, and well.
	synced, healthy bool
	// failed says that something is wrong that time does not mend; message says what.
	failed  bool
	message string
	// syncs counts the runs that were to change something.
	syncs int
}

// launch starts a control plane for an engine. No webhook is called: the istiod that it names is a pod that only
// seems to run.
func launch(t *testing.T, crds ...string) *world {
	t.Helper()
	w := &world{t: t, git: serveGit(t)}
	w.Cluster = cluster.Start(t,
		cluster.WithNodes(2), cluster.WithoutWebhooks(), cluster.WithAudit(), cluster.WithCRDs(crds...))
	config := w.RESTConfig()
	var err error
	if w.client, err = client.New(config, client.Options{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// in is the world of a part of the test.
func (w *world) in(t *testing.T) *world {
	inner := *w
	inner.t = t
	return &inner
}

// account makes a ServiceAccount that may do everything, as engines have it, and gives a kubeconfig that acts as it
// and stays in the namespace.
func (w *world) account(namespace, name string) string {
	w.t.Helper()
	w.apply(fmt.Sprintf(`
apiVersion: v1
kind: ServiceAccount
metadata: {name: %[2]s, namespace: %[1]s}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: %[1]s-%[2]s}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: %[2]s, namespace: %[1]s}]
`, namespace, name))
	return w.KubeconfigFor(w.t, w.TokenFor(w.t, namespace, name))
}

// environment is what programs run with: the functions and kustomize on the PATH, and a directory to themselves.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	dir := t.TempDir()
	path := []string{filepath.Dir(binary(t, "render-istio")), filepath.Dir(kustomize(t)), os.Getenv("PATH")}
	own := []string{"PATH=" + strings.Join(path, ":"), "HOME=" + dir, "TMPDIR=" + dir, "XDG_CONFIG_HOME=" + dir}
	return append(own, more...)
}

// eventually waits until something holds, or says what it is waiting for no longer.
func (w *world) eventually(what string, holds func() error) {
	w.t.Helper()
	begun := time.Now()
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Since(begun) > patience {
			w.t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-w.t.Context().Done():
			w.t.Fatalf("%s: %v", what, err)
		case <-time.After(min(max(time.Since(begun)/5, 200*time.Millisecond), 2*time.Second)):
		}
	}
}

// apply applies objects as an administrator does.
func (w *world) apply(text string) {
	w.t.Helper()
	for _, o := range parse(w.t, []byte(text)) {
		w.eventually("applying "+id(o), func() error {
			o := client.ApplyConfigurationFromUnstructured(o.DeepCopy())
			return w.client.Apply(w.t.Context(), o, client.FieldOwner("admin"), client.ForceOwnership)
		})
	}
}

// get reads an object: apiVersion, kind, namespace, name.
func (w *world) get(apiVersion, kind, namespace, name string) (*unstructured.Unstructured, error) {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	err := w.client.Get(w.t.Context(), client.ObjectKey{Namespace: namespace, Name: name}, o)
	return o, err
}

// list lists the objects of a kind.
func (w *world) list(apiVersion, kind string, options ...client.ListOption) []unstructured.Unstructured {
	w.t.Helper()
	list := &unstructured.UnstructuredList{}
	list.SetGroupVersionKind(schema.FromAPIVersionAndKind(apiVersion, kind+"List"))
	if err := w.client.List(w.t.Context(), list, options...); err != nil {
		w.t.Fatalf("%s %s: %v", apiVersion, kind, err)
	}
	return list.Items
}

// current reads an object as it is in the cluster.
func (w *world) current(o *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	return w.get(o.GetAPIVersion(), o.GetKind(), o.GetNamespace(), o.GetName())
}

// await waits until the engine has brought a commit into the cluster, and all of it is well.
func (w *world) await(name, commit string) state {
	w.t.Helper()
	var now state
	w.eventually(name+" at "+commit, func() (err error) {
		now, err = w.engine.state(w, name)
		if err == nil && (now.commit != commit || !now.synced || !now.healthy) {
			err = fmt.Errorf("the engine says %+v", now)
		}
		return err
	})
	return now
}

// sync asks the engine to look at Git, and waits until the commit is in the cluster.
func (w *world) sync(name, commit string) state {
	w.t.Helper()
	w.engine.pull(w, name)
	return w.await(name, commit)
}

// refused waits until the engine says that something is wrong, with a message that has all the parts.
func (w *world) refused(name string, parts ...string) {
	w.t.Helper()
	w.eventually(name+" is refused", func() error {
		now, err := w.engine.state(w, name)
		if err != nil {
			return err
		}
		missing := filter(parts, func(p string) bool { return !strings.Contains(now.message, p) })
		if !now.failed || len(missing) > 0 {
			return fmt.Errorf("the engine says %+v, without %q", now, missing)
		}
		return nil
	})
}

// versions are the resource versions of objects.
type versions map[string]string

// settled reads the resource versions of objects, when nothing changes them any more: controllers of the cluster have
// written their statuses.
func (w *world) settled(objects []*unstructured.Unstructured) versions {
	w.t.Helper()
	var last versions
	since := time.Now()
	w.eventually("the objects settle", func() error {
		if err := w.judged(objects); err != nil {
			return err
		}
		now := w.versions(objects)
		if diff := cmp.Diff(last, now); diff != "" {
			last, since = now, time.Now()
			return errors.New(diff)
		}
		if quiet := time.Since(since); quiet < 3*time.Second {
			return fmt.Errorf("quiet for %s only", quiet)
		}
		return nil
	})
	return last
}

// judged says which autoscaler has no status yet. Its controller looks at it every 15 seconds only, and finds that
// nobody measures pods here.
func (w *world) judged(objects []*unstructured.Unstructured) error {
	for _, o := range objects {
		if o.GetKind() != "HorizontalPodAutoscaler" {
			continue
		}
		now, err := w.current(o)
		if err != nil {
			return err
		}
		var conditions []struct{ Type string }
		if err := convert(now, &conditions, "status", "conditions"); err != nil {
			return err
		}
		if !slices.Contains(conditions, struct{ Type string }{"ScalingActive"}) {
			return fmt.Errorf("nobody has looked at %s yet", id(o))
		}
	}
	return nil
}

func (w *world) versions(objects []*unstructured.Unstructured) versions {
	w.t.Helper()
	result := versions{}
	for _, o := range objects {
		now, err := w.current(o)
		if err != nil {
			result[id(o)] = err.Error()
			continue
		}
		result[id(o)] = now.GetResourceVersion()
	}
	return result
}

// gone are those of the objects that are not in the cluster any more.
func (w *world) gone(objects []*unstructured.Unstructured) []string {
	w.t.Helper()
	var gone []string
	for _, o := range objects {
		now, err := w.current(o)
		if client.IgnoreNotFound(err) != nil && !meta.IsNoMatchError(err) {
			w.t.Fatal(err)
		}
		if err != nil || now.GetDeletionTimestamp() != nil {
			gone = append(gone, id(o))
		}
	}
	return gone
}

// left are those of the objects that are in the cluster.
func (w *world) left(objects []*unstructured.Unstructured) []string {
	w.t.Helper()
	var left []string
	for _, o := range objects {
		_, err := w.current(o)
		if client.IgnoreNotFound(err) != nil && !meta.IsNoMatchError(err) {
			w.t.Fatal(err)
		}
		if err == nil {
			left = append(left, id(o))
		}
	}
	return left
}

// awaitGone waits until none of the objects is in the cluster.
func (w *world) awaitGone(objects []*unstructured.Unstructured) {
	w.t.Helper()
	w.eventually("all of it is gone", func() error {
		if left := w.left(objects); len(left) > 0 {
			return fmt.Errorf("%q are still there", left)
		}
		return nil
	})
}

// written are the writes of the engine to objects since a moment, what it only tried out left aside. Without objects
// it is all but what the engine writes for itself.
func (w *world) written(since int, objects []*unstructured.Unstructured) []cluster.Write {
	w.t.Helper()
	var names []string
	for _, o := range objects {
		names = append(names, o.GroupVersionKind().Group+" "+o.GetNamespace()+"/"+o.GetName())
	}
	var found []cluster.Write
	for _, write := range w.Writes(w.t)[since:] {
		switch {
		case write.DryRun, write.User != w.engine.user(), ofEngines(write):
		case objects != nil && !slices.Contains(names, write.Group+" "+write.Namespace+"/"+write.Name):
		default:
			found = append(found, write)
		}
	}
	return found
}

// deleted names what the engine has deleted since a moment, but for what it keeps for itself.
func (w *world) deleted(since int) []string {
	w.t.Helper()
	var names []string
	for _, write := range w.written(since, nil) {
		if !strings.HasPrefix(write.Verb, "delete") {
			continue
		}
		kind, err := w.client.RESTMapper().KindFor(schema.GroupVersionResource{
			Group: write.Group, Resource: write.Resource,
		})
		if err != nil {
			w.t.Fatal(err)
		}
		o := &unstructured.Unstructured{}
		o.SetGroupVersionKind(kind)
		o.SetNamespace(write.Namespace)
		o.SetName(write.Name)
		names = append(names, id(o))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ofEngines reports whether a write is to what engines keep for themselves.
func ofEngines(w cluster.Write) bool {
	return w.Group == "argoproj.io" || strings.HasSuffix(w.Group, ".toolkit.fluxcd.io") ||
		w.Resource == "events" || w.Resource == "leases" || w.Namespace == argoNamespace || w.Namespace == fluxNamespace
}

// parse reads objects.
func parse(t *testing.T, text []byte) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects
		case err != nil:
			t.Fatalf("%v in\n%s", err, text)
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}

// objects are those of a directory that are to be applied.
func (r *repository) objects(t *testing.T, path string) []*unstructured.Unstructured {
	t.Helper()
	var objects []*unstructured.Unstructured
	err := filepath.WalkDir(filepath.Join(r.dir, path), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		for _, o := range parse(t, text) {
			if o.GetAnnotations()["config.kubernetes.io/local-config"] != "true" {
				objects = append(objects, o)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// filter are the elements of which something holds.
func filter[T any](all []T, holds func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(element T) bool { return !holds(element) })
}

// of are the objects that belong to a revision.
func of(revision string, objects []*unstructured.Unstructured) []*unstructured.Unstructured {
	return filter(objects, func(o *unstructured.Unstructured) bool {
		return o.GetLabels()["lateen.io/revision"] == revision
	})
}

// without are the objects that are not among others.
func without(objects, others []*unstructured.Unstructured) []*unstructured.Unstructured {
	known := ids(others)
	return filter(objects, func(o *unstructured.Unstructured) bool { return !slices.Contains(known, id(o)) })
}

func id(o *unstructured.Unstructured) string {
	kind := strings.Trim(o.GroupVersionKind().Group+"/"+o.GetKind(), "/")
	return kind + " " + strings.Trim(o.GetNamespace()+"/"+o.GetName(), "/")
}

func ids(objects []*unstructured.Unstructured) []string {
	var result []string
	for _, o := range objects {
		result = append(result, id(o))
	}
	slices.Sort(result)
	return result
}

// render runs the pipeline of a package, as a job of continuous integration does before it pushes.
func (r *repository) render(t *testing.T, path string) (string, error) {
	t.Helper()
	return r.run(t, path, needsProgram(t, "kpt"), "fn", "render", "--allow-exec")
}

// build runs kustomize, and writes what it prints into a directory of its own, unless it fails.
func (r *repository) build(t *testing.T, from, to string) (string, error) {
	t.Helper()
	manifests, err := r.kustomize(t, from)
	if err != nil {
		return manifests, err
	}
	r.write(t, files{to + "/manifests.yaml": manifests})
	return manifests, nil
}

// kustomize gives what kustomize prints of a directory, with Lateen's functions.
func (r *repository) kustomize(t *testing.T, path string) (string, error) {
	t.Helper()
	return r.run(t, ".", kustomize(t), "build", "--enable-alpha-plugins", "--enable-exec", path)
}

func (r *repository) run(t *testing.T, path, program string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), program, args...)
	cmd.Dir, cmd.Env = filepath.Join(r.dir, path), environment(t)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s: %w\n%s%s", filepath.Base(program), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}
