package engines

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/test/cluster"
)

const (
	fluxNamespace = "flux-system"
	sourceAPI     = "source.toolkit.fluxcd.io/v1"
	kustomizeAPI  = "kustomize.toolkit.fluxcd.io/v1"
	kustomization = "Kustomization"
	gitRepository = "GitRepository"
	reconcileAt   = "reconcile.fluxcd.io/requestedAt"
	fluxInterval  = 15 * time.Second
	gitInterval   = "1h"
)

// flux is Flux: its source-controller and its kustomize-controller.
type flux struct{}

// startFlux starts a control plane with Flux in it.
func startFlux(t *testing.T) *world {
	t.Helper()
	needsEngine(t, sourceController, sourceCRDs, kustomizeController, kustomizeCRDs)
	w := launch(t, programs[sourceCRDs], programs[kustomizeCRDs])
	w.engine = flux{}
	w.apply("{apiVersion: v1, kind: Namespace, metadata: {name: " + fluxNamespace + "}}")
	loopback := func() string { return "127.0.0.1:" + cluster.Port(t) }
	run := func(name string, args ...string) {
		own := environment(t, "RUNTIME_NAMESPACE="+fluxNamespace, "KUBECONFIG="+w.account(fluxNamespace, name))
		args = append(args, "--metrics-addr="+loopback(), "--health-addr="+loopback(), "--events-addr=",
			"--log-level=info")
		w.Run(t, name, own, programs[name], args...)
	}
	storage := loopback()
	run(sourceController, "--storage-path="+t.TempDir(), "--storage-addr="+storage, "--storage-adv-addr="+storage)
	run(kustomizeController, "--interval-jitter-percentage=0", "--requeue-dependency=2s")
	return w
}

func (flux) user() string {
	return "system:serviceaccount:" + fluxNamespace + ":" + kustomizeController
}

func (flux) deploy(w *world, a application) {
	w.t.Helper()
	spec := map[string]any{
		"interval": fluxInterval.String(), "retryInterval": fluxInterval.String(), "timeout": a.timeout.String(),
		"prune": true, "wait": true, "path": "./" + a.path,
		"sourceRef": map[string]any{"kind": gitRepository, "name": a.name},
	}
	if a.timeout == 0 {
		spec["timeout"] = "3m"
	}
	if a.checks {
		w.addChecks(spec)
	}
	if a.substitute != nil {
		spec["postBuild"] = map[string]any{"substitute": a.substitute}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(fmt.Sprintf(`
apiVersion: %s
kind: GitRepository
metadata: {name: %s, namespace: %s}
spec: {url: %q, interval: %s, timeout: 5m, ref: {branch: %s}}
---
apiVersion: %s
kind: Kustomization
metadata: {name: %[2]s, namespace: %[3]s}
spec: %[8]s
`, sourceAPI, a.name, fluxNamespace, a.repository.url, gitInterval, branch, kustomizeAPI, text))
}

// addChecks adds what config/flux has for a Kustomization.
func (w *world) addChecks(spec map[string]any) {
	w.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "config/flux/health-checks.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	var part struct{ Spec map[string]any }
	if err := yaml.Unmarshal(text, &part); err != nil {
		w.t.Fatal(err)
	}
	maps.Copy(spec, part.Spec)
}

func (flux) pull(w *world, name string) {
	w.t.Helper()
	// The Kustomization follows when there is a new commit, and is asked as well in case there is none.
	for _, kind := range [][2]string{{sourceAPI, gitRepository}, {kustomizeAPI, kustomization}} {
		w.annotate(kind[0], kind[1], fluxNamespace, name, reconcileAt, time.Now().Format(time.RFC3339Nano))
	}
}

// annotate sets an annotation of an object.
func (w *world) annotate(apiVersion, kind, namespace, name, key, value string) {
	w.t.Helper()
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{key: value}}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.patch(apiVersion, kind, namespace, name, string(patch))
}

// patch merges JSON into an object.
func (w *world) patch(apiVersion, kind, namespace, name, patch string) {
	w.t.Helper()
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	merge := client.RawPatch(types.MergePatchType, []byte(patch))
	if err := w.client.Patch(w.t.Context(), o, merge); err != nil {
		w.t.Fatal(err)
	}
}

func (flux) state(w *world, name string) (state, error) {
	o, err := w.get(kustomizeAPI, kustomization, fluxNamespace, name)
	if err != nil {
		return state{}, err
	}
	var status struct {
		LastAppliedRevision, LastAttemptedRevision string
		ObservedGeneration                         int64
		Conditions                                 []struct{ Type, Status, Reason, Message string }
		History                                    []struct{}
	}
	if err := convert(o, &status, "status"); err != nil {
		return state{}, err
	}
	s := state{commit: commitOf(status.LastAppliedRevision), tried: commitOf(status.LastAttemptedRevision)}
	for _, c := range status.Conditions {
		switch {
		case c.Type == "Ready":
			// While it looks again at what it has applied before, it is Unknown.
			again := c.Status == "Unknown" && s.commit == s.tried && s.commit != ""
			s.healthy, s.synced = c.Status == "True", c.Status == "True" || again
			s.failed = c.Status == "False"
			s.message = c.Reason + ": " + c.Message
		case c.Type == "Healthy" && c.Status == "False":
			s.message += " " + c.Reason + ": " + c.Message
		}
	}
	s.syncs = len(status.History)
	return s, nil
}

func (flux) failures(w *world, name string) []string {
	w.t.Helper()
	var failures []string
	for _, h := range w.history(name) {
		if h.LastReconciledStatus != "ReconciliationSucceeded" {
			failures = append(failures, fmt.Sprintf("%s, %d times", h.LastReconciledStatus, h.TotalReconciliations))
		}
	}
	return failures
}

// commitOf is the commit in what Flux calls a revision.
func commitOf(revision string) string { return strings.TrimPrefix(revision, branch+"@sha1:") }

func (flux) remove(w *world, name string) {
	w.t.Helper()
	o, err := w.get(kustomizeAPI, kustomization, fluxNamespace, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Delete(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the Kustomization "+name+" is gone", func() error { return w.absent(o) })
}

// absent says that an object is still there.
func (w *world) absent(o *unstructured.Unstructured) error {
	_, err := w.current(o)
	if err == nil {
		return fmt.Errorf("%s is still there", id(o))
	}
	return client.IgnoreNotFound(err)
}

func (flux) forget(w *world, name string) {
	w.t.Helper()
	w.patch(kustomizeAPI, kustomization, fluxNamespace, name, `{"spec": {"suspend": true}}`)
}

func (flux) rounds(w *world, name string) int {
	w.t.Helper()
	n := 0
	for _, h := range w.history(name) {
		n += h.TotalReconciliations
	}
	return n
}

// fluxHistory is how often a Kustomization has been reconciled with the same outcome.
type fluxHistory struct {
	LastReconciledStatus string
	TotalReconciliations int
}

func (w *world) history(name string) []fluxHistory {
	w.t.Helper()
	o, err := w.get(kustomizeAPI, kustomization, fluxNamespace, name)
	if err != nil {
		w.t.Fatal(err)
	}
	var history []fluxHistory
	if err := convert(o, &history, "status", "history"); err != nil {
		w.t.Fatal(err)
	}
	return history
}

// convert reads a part of an object into a struct.
func convert(o *unstructured.Unstructured, into any, fields ...string) error {
	part, _, err := unstructured.NestedFieldNoCopy(o.Object, fields...)
	if err != nil {
		return err
	}
	text, err := json.Marshal(part)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}
