package controller

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

// previous is the commit that users come from: the last release, or what stands for it. Meshes that its controller has
// brought up must not notice that another one takes over.
const previous = "5857039"

// earlier is the controller of an earlier commit, with its CRDs.
type earlier struct{ program, crds string }

// build builds it from the repository's own history, in the user's cache, once.
func build(t *testing.T, commit string) earlier {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(dir, "lateen", "previous", commit)
	out := earlier{filepath.Join(dir, "lateen-controller"), filepath.Join(dir, "crd")}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	unlock, err := cluster.Lock(dir + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unlock(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := os.Stat(out.program); err == nil {
		return out
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), root, "git", "cat-file", "-e", commit+"^{commit}"); err != nil {
		missing := fmt.Sprintf("Lateen's own upgrade needs the commit %s, which this clone does not have (git fetch "+
			"--unshallow): %v", commit, err)
		if os.Getenv("CI") != "" {
			t.Fatal(missing)
		}
		t.Skip(missing)
	}
	source := filepath.Join(dir, "source")
	for _, step := range [][]string{
		{"rm", "-rf", source, out.crds},
		{"mkdir", source},
		{"bash", "-c", `set -o pipefail; git archive "$0" | tar -x -C "$1"`, commit, source},
		{"make", "-C", source, "LATEEN_VERSION=" + commit, "bin/lateen-controller"},
		{"cp", "-R", filepath.Join(source, "config", "crd"), out.crds},
		{"mv", filepath.Join(source, "bin", "lateen-controller"), out.program}, // last: it stands for all
		{"rm", "-rf", source},
	} {
		if err := run(t.Context(), root, step[0], step[1:]...); err != nil {
			t.Fatalf("building the controller of %s: %v", commit, err)
		}
	}
	return out
}

func run(ctx context.Context, dir, program string, args ...string) error {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, tail(stderr.Bytes(), 30))
	}
	return nil
}

// TestLateensOwnUpgrade has the controller of an earlier commit bring up meshes of all kinds, and this one take over,
// and the earlier one once more, and this one again. Each time no pod is made anew, nothing is removed, what is stored
// is accepted by the CRDs, and the one that has taken over looks after all of it. In the end it removes what the other
// one has made.
func TestLateensOwnUpgrade(t *testing.T) {
	if !soak() {
		t.Skip("needs the controller of an earlier commit: make soak")
	}
	parallel(t, 300)
	old := build(t, previous)
	e := startWith(t, old.crds)
	before := e.snapshot()
	d := e.daemon()
	d.program = old.program
	d.keep()
	meshes := e.meshesOfAllKinds()
	live := e.meshPicture()

	for _, step := range []struct{ what, program, crds string }{
		{"the new controller", program, "../../config/crd"},
		{"back to the earlier one", old.program, old.crds},
		{"the new controller again", program, "../../config/crd"},
	} {
		d.kill()
		if err := cluster.ApplyCRDs(t.Context(), e.RESTConfig(), step.crds); err != nil {
			t.Fatalf("%s: its CRDs: %v", step.what, err)
		}
		if err := e.stored(); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		d.program = step.program
		d.keep()
		e.lookedAfter(meshes)
		if step.program == program {
			e.converges()
		}
		after := e.meshPicture()
		// it may render more than the earlier one
		maps.DeleteFunc(after, func(what string, _ any) bool { return live[what] == nil })
		if diff := cmp.Diff(live, after); diff != "" {
			t.Fatalf("%s: -before +after:\n%s", step.what, diff)
		}
	}

	// Its inventories are those that the earlier one wrote: nothing is left.
	e.must("delete", "istiorevisiontags,istios.sailoperator.io,istiocnis", "--all")
	e.must("delete", "namespace", "-l", "lateen-test=upgrade")
	e.leaves(before)
}

// meshesOfAllKinds makes them and waits until they are as they should be. It gives the ConfigMaps that stand for each:
// the controller puts them back when they are taken away.
func (e *env) meshesOfAllKinds() []client.ObjectKey {
	e.t.Helper()
	for name, revision := range map[string]string{
		"istio-cni": "", "in-place": "", "prod": "", "remote": "",
		"app-in-place": "in-place", "app-old": "prod-v1-27-0", "app-new": "prod-v1-28-3", "app-tag": "stable",
	} {
		label := ""
		if revision != "" {
			label = ", istio.io/rev: " + revision
		}
		e.put("{apiVersion: v1, kind: Namespace, metadata: {name: " + name + ", labels: {lateen-test: upgrade" + label +
			"}}}")
		if revision == "" {
			continue
		}
		e.put(
			fmt.Sprintf(
				`{apiVersion: apps/v1, kind: Deployment, metadata: {name: app, namespace: %s}, spec: {replicas: 1,
selector: {matchLabels: {app: app}}, template: {metadata: {labels: {app: app}}, spec: {containers: [
{name: app, image: example.com/app}]}}}}`, name))
	}
	mesh := func(name, version, more string) {
		e.put(
			fmt.Sprintf("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: %s}, spec: {version: %s, "+
				"namespace: %[1]s%[3]s}}", name, version, more))
	}
	const byRevision = ", updateStrategy: {type: RevisionBased, inactiveRevisionDeletionGracePeriodSeconds: 0}"
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioCNI, metadata: {name: default}, spec: {version: v1.28.3}}")
	mesh("in-place", "v1.28.3", ", values: {pilot: {cni: {enabled: true}}}")
	mesh("prod", "v1.27.0", byRevision)
	mesh("remote", "v1.28.3", `, profile: remote, values: {global: {remotePilotAddress: 192.0.2.1}}`)
	e.put("{apiVersion: sailoperator.io/v1, kind: IstioRevisionTag, metadata: {name: stable}, spec: {targetRef: " +
		"{kind: Istio, name: prod}}}")
	e.healthy("cni", "default")
	e.healthy("istio", "in-place")
	e.healthy("istio", "prod")
	mesh("prod", "v1.28.3", byRevision)
	e.healthy("istio", "prod")
	e.is("prod-v1-28-3", "{.status.istioRevision}", "istiorevisiontag", "stable")
	e.says("True", "revision", "remote", "Reconciled")
	e.remain("in-place", "prod-v1-27-0", "prod-v1-28-3", "remote")
	return []client.ObjectKey{
		{Namespace: "in-place", Name: "istio-in-place"},
		{Namespace: "prod", Name: "istio-prod-v1-27-0"},
		{Namespace: "prod", Name: "istio-prod-v1-28-3"},
		{Namespace: "istio-cni", Name: "istio-cni-config"},
	}
}

// lookedAfter takes something away from each mesh, and waits until the controller has put it back, and says that all is
// well.
func (e *env) lookedAfter(markers []client.ObjectKey) {
	e.t.Helper()
	for _, key := range markers {
		marker := &corev1.ConfigMap{}
		if err := e.client.Get(e.t.Context(), key, marker); err != nil {
			e.t.Fatal(err)
		}
		if err := e.client.Delete(e.t.Context(), marker); err != nil {
			e.t.Fatal(err)
		}
		e.eventually("ConfigMap "+key.String()+" is put back", func() error {
			now := &corev1.ConfigMap{}
			err := e.client.Get(e.t.Context(), key, now)
			if err == nil && now.UID == marker.UID {
				err = errors.New("it is not gone yet")
			}
			return err
		})
	}
	e.healthy("cni", "default")
	e.healthy("istio", "in-place")
	e.healthy("istio", "prod")
	e.is("prod-v1-28-3", "{.status.istioRevision}", "istiorevisiontag", "stable")
}

// stored is an error if the server does not accept something of Lateen's as it is stored.
func (e *env) stored() error {
	for _, kind := range []string{"istio", "revision", "tag", "cni"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kinds[kind])
		if err := e.client.List(e.t.Context(), list); err != nil {
			return err
		}
		if len(list.Items) == 0 {
			return fmt.Errorf("there is no %s", kind)
		}
		for i := range list.Items {
			o := &list.Items[i]
			if err := e.client.Update(e.t.Context(), o.DeepCopy(), client.DryRunAll); err != nil {
				return fmt.Errorf("%s %s as it is stored: %w", o.GetKind(), o.GetName(), err)
			}
			if err := e.client.Status().Update(e.t.Context(), o, client.DryRunAll); err != nil {
				return fmt.Errorf("the status of %s %s as it is stored: %w", o.GetKind(), o.GetName(), err)
			}
		}
	}
	return nil
}

// meshPicture is what must not change when another controller takes over: that all objects are the same ones, the
// markers excepted, which are taken away on purpose; and what pods are made of.
func (e *env) meshPicture() map[string]any {
	e.t.Helper()
	out := map[string]any{}
	for what, uid := range e.snapshot() {
		kind, _, _ := strings.Cut(what, " ")
		if !slices.Contains([]string{
			"configmaps", "leases.coordination.k8s.io", "endpointslices.discovery.k8s.io",
			"endpoints",
		}, kind) {
			out[what] = uid
		}
	}
	var deployments appsv1.DeploymentList
	var daemonSets appsv1.DaemonSetList
	if err := errors.Join(e.client.List(e.t.Context(), &deployments),
		e.client.List(e.t.Context(), &daemonSets)); err != nil {
		e.t.Fatal(err)
	}
	templates := map[string]any{}
	for _, d := range deployments.Items {
		templates["the pods of Deployment "+d.Namespace+"/"+d.Name] = d.Spec.Template
	}
	for _, d := range daemonSets.Items {
		templates["the pods of DaemonSet "+d.Namespace+"/"+d.Name] = d.Spec.Template
	}
	if len(templates) < 8 {
		e.t.Fatalf("there are pods of %d workloads only", len(templates))
	}
	maps.Copy(out, templates)
	return out
}
