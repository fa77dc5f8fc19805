package engines

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// installation is the application with config/default.
const installation = "lateen"

// install has the engine install Lateen, as config/default has it: kinds, roles, and a controller that is a pod which
// only seems to run.
func (w *world) install() (*repository, []*unstructured.Unstructured) {
	w.t.Helper()
	r := w.git.repository(w.t, installation)
	for _, part := range []string{"crd", "rbac", "manager", "default"} {
		if err := copyYAML(filepath.Join(root, "config", part), filepath.Join(r.dir, part)); err != nil {
			w.t.Fatal(err)
		}
	}
	commit := r.push(w.t, "install Lateen")
	w.engine.deploy(w, application{name: installation, repository: r, path: "default", kustomize: true})
	w.await(installation, commit)
	w.inOneGo(installation)
	out, err := r.run(w.t, ".", kustomize(w.t), "build", "default")
	if err != nil {
		w.t.Fatal(err)
	}
	return r, parse(w.t, []byte(out))
}

func copyYAML(from, to string) error {
	names, err := filepath.Glob(filepath.Join(from, "*.yaml"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(name)), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// controller runs the controller, with the rights that config/default gives it.
func (w *world) controller() *cluster.Companion {
	w.t.Helper()
	kubeconfig := w.KubeconfigFor(w.t, w.TokenFor(w.t, "lateen-system", "lateen-controller"))
	return w.Run(w.t, "lateen-controller", environment(w.t), binary(w.t, "lateen-controller"),
		"--kubeconfig="+kubeconfig, "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0")
}

// resources is an Istio as a resource in the cluster, with its namespace, for the controller to reconcile.
func resources(name, version string) files {
	m := mesh{name: name, version: version, strategy: "InPlace", applied: true}
	return files{
		"cr/istio.yaml":     m.istio(),
		"cr/namespace.yaml": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: " + name + "\n",
	}
}

// withController is the life of a mesh whose resource is in Git, and whose objects are the controller's: unseen,
// healthy, broken and well again.
func (w *world) withController(name string, start func()) {
	r := w.git.repository(w.t, name)
	r.write(w.t, resources(name, oldVersion))
	commit := r.push(w.t, "an Istio")
	w.engine.deploy(w, application{name: name, repository: r, path: "cr", checks: true, timeout: 5 * time.Second})
	w.unseen(name, commit)
	start()
	w.await(name, commit)

	r.write(w.t, resources(name, "v1.99.0"))
	r.push(w.t, "a version that there is not")
	w.engine.pull(w, name)
	w.refused(name, w.complaint(name)...)

	r.write(w.t, resources(name, newVersion))
	w.sync(name, r.push(w.t, "a version that there is"))
	deployment, err := w.get("apps/v1", "Deployment", name, "istiod-"+name)
	if err != nil {
		w.t.Fatal(err)
	}
	version := deployment.GetLabels()["app.kubernetes.io/version"]
	if !strings.HasPrefix(version, strings.TrimPrefix(newVersion, "v")) {
		w.t.Errorf("istiod is of version %q", version)
	}
}

// unseen is an Istio that no controller has seen: it is on its way, and no engine stumbles over what is not there
// yet.
func (w *world) unseen(name, commit string) {
	w.t.Helper()
	see := func(now state) {
		if now.healthy {
			w.t.Fatalf("no controller has seen the Istio, and the engine says %+v", now)
		}
		if strings.Contains(now.message, "CEL") {
			w.t.Fatalf("the engine stumbles: %+v", now)
		}
	}
	w.eventually("the engine has looked at an Istio that nobody has seen", func() error {
		now, err := w.engine.state(w, name)
		if err != nil {
			return err
		}
		see(now)
		if now.tried != commit {
			return fmt.Errorf("the engine says %+v", now)
		}
		return nil
	})
	w.looks(name, see)
}

// complaint is what the engine is to say of an Istio that cannot be: Argo CD repeats the controller's words, Flux
// names the resource, whose own words are asked for here.
func (w *world) complaint(name string) []string {
	w.t.Helper()
	var message string
	w.eventually("the controller says what is wrong", func() error {
		o, err := w.get("sailoperator.io/v1", "Istio", "", name)
		if err != nil {
			return err
		}
		var all []struct{ Type, Message string }
		if err := convert(o, &all, "status", "conditions"); err != nil {
			return err
		}
		for _, c := range all {
			if c.Type == "Stalled" {
				message = c.Message
				return nil
			}
		}
		return errors.New("not stalled")
	})
	if !strings.Contains(message, "1.99.0") {
		w.t.Errorf("the controller's message does not name the version: %s", message)
	}
	if _, repeats := w.engine.(argo); repeats {
		return []string{message}
	}
	return []string{"Istio/" + name}
}

// uninstalled removes config/default from the cluster, as somebody does who moves it to another place in Git. Meshes
// outlive that.
func (w *world) uninstalled(mesh string, objects []*unstructured.Unstructured) {
	istiod, err := w.get("apps/v1", "Deployment", mesh, "istiod-"+mesh)
	if err != nil {
		w.t.Fatal(err)
	}
	w.engine.remove(w, installation)
	w.eventually("the controller is gone", func() error {
		return w.absent(w.first(objects, "Deployment"))
	})
	for _, o := range objects {
		if o.GetKind() != "CustomResourceDefinition" {
			continue
		}
		if now, err := w.current(o); err != nil || now.GetDeletionTimestamp() != nil {
			w.t.Errorf("the kind %s is gone, or going: %v", o.GetName(), err)
		}
	}
	if now, err := w.get("sailoperator.io/v1", "Istio", "", mesh); err != nil || now.GetDeletionTimestamp() != nil {
		w.t.Errorf("the Istio %s is gone, or going: %v", mesh, err)
	}
	if now, err := w.current(istiod); err != nil || now.GetUID() != istiod.GetUID() ||
		now.GetDeletionTimestamp() != nil {
		w.t.Errorf("istiod is gone, going, or another: %v", err)
	}
}

// first is the first object of a kind.
func (w *world) first(objects []*unstructured.Unstructured, kind string) *unstructured.Unstructured {
	w.t.Helper()
	i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind })
	if i < 0 {
		w.t.Fatalf("there is no %s", kind)
	}
	return objects[i]
}

// takenDown removes a mesh from Git whose objects ask not to be pruned, and its namespace with it. What injects pods,
// or judges Istio configuration, must not stay without the istiod that answers.
func (w *world) takenDown(f form) {
	m := mesh{
		name: "down", version: newVersion, strategy: "RevisionBased", applied: true,
		annotations: map[string]string{"lateen.io/track": "true"},
		more: files{
			"other.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-the-user\n  namespace: default\n",
		},
	}
	r, objects := w.deploy(f, m, m.name)
	rendered := of(m.revision(), objects)
	webhook := w.first(rendered, "MutatingWebhookConfiguration")
	if webhook.GetAnnotations()["kustomize.toolkit.fluxcd.io/prune"] != "disabled" {
		w.t.Fatal("nothing would be proved: the engine may prune the webhooks")
	}
	r.write(w.t, files{
		f.source + "/istio.yaml": "", f.source + "/namespace.yaml": "",
		f.source + "/kustomization.yaml": kustomizationHead + "- other.yaml\n",
	})
	w.sync(m.name, f.commit(w.t, r, "no mesh any more"))
	ours := client.MatchingLabels{"lateen.io/revision": m.revision()}
	w.eventually("no webhook is left", func() error {
		var left []string
		for _, kind := range []string{"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} {
			for _, o := range w.list("admissionregistration.k8s.io/v1", kind, ours) {
				left = append(left, id(&o))
			}
		}
		if len(left) > 0 {
			return fmt.Errorf("%q are left", left)
		}
		return nil
	})
	w.awaitGone(rendered)
	if _, err := w.get("v1", "ConfigMap", "default", "of-the-user"); err != nil {
		w.t.Errorf("what is none of the mesh: %v", err)
	}
}

// substituted is a mesh with a variable of Flux in a value, beside the charts' own ${…}, which are the proxies'.
func (w *world) substituted() {
	t := w.t
	m := mesh{
		name: "west", version: newVersion, strategy: "InPlace",
		annotations: map[string]string{"lateen.io/flux-substitute": "true"},
		values:      `{global: {multiCluster: {clusterName: "${cluster}"}}}`,
	}
	r := w.git.repository(t, m.name)
	renderedBranch.write(t, r, m)
	commit := renderedBranch.commit(t, r, "a mesh of a cluster")
	a := renderedBranch.application(m.name, r)
	a.substitute = map[string]string{"cluster": "cluster-west"}
	w.engine.deploy(w, a)
	w.await(m.name, commit)
	defer w.engine.forget(w, m.name)
	deployment, err := w.get("apps/v1", "Deployment", m.name, "istiod-"+m.name)
	if err != nil {
		t.Fatal(err)
	}
	text, err := deployment.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if s := string(text); !strings.Contains(s, "cluster-west") || strings.Contains(s, "${cluster}") {
		t.Errorf("the name of the cluster is not in istiod's Deployment: %s", s)
	}
	injector, err := w.get("v1", "ConfigMap", m.name, "istio-sidecar-injector-"+m.name)
	if err != nil {
		t.Fatal(err)
	}
	plain := m
	plain.annotations, plain.values = nil, `{global: {multiCluster: {clusterName: cluster-west}}}`
	other := w.git.repository(t, "west-plain")
	renderedBranch.write(t, other, plain)
	renderedBranch.commit(t, other, "the same, written out")
	for _, o := range renderedBranch.rendered(t, other) {
		if o.GetKind() != "ConfigMap" || o.GetName() != injector.GetName() {
			continue
		}
		var want, got map[string]string
		if err := errors.Join(convert(o, &want, "data"), convert(injector, &got, "data")); err != nil {
			t.Fatal(err)
		}
		for key, text := range want {
			if got[key] != text {
				t.Errorf("what proxies read differs in %s from what it is without variables", key)
			}
		}
	}
}
