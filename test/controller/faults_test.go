package controller

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/test/cluster"
)

// daemon is a controller that is started and killed again and again, with one log.
type daemon struct {
	t       *testing.T
	program string
	args    []string
	// environ is added to its environment.
	environ []string
	log     string

	mutex sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{}
	// release ends what keep has begun.
	release func()
	// size is that of the log when the process started.
	size int64
}

// daemon makes a daemon that does not run yet. It ends with the test.
func (e *env) daemon(args ...string) *daemon {
	e.t.Helper()
	d := &daemon{
		t: e.t, program: program, environ: e.environ, log: filepath.Join(e.t.TempDir(), "controller.log"),
		release: func() {},
	}
	d.args = append([]string{
		"--kubeconfig=" + e.Kubeconfig, "--leader-elect=false", "--metrics-bind-address=0", "--health-probe-bind-address=0",
	}, args...)
	e.t.Cleanup(func() {
		d.kill()
		text, _ := os.ReadFile(d.log)
		if bytes.Contains(text, []byte("panic:")) || bytes.Contains(text, []byte("DATA RACE")) {
			d.t.Errorf("the controller crashed:\n%s", text[crash(text):min(crash(text)+6000, len(text))])
		} else if d.t.Failed() {
			d.t.Logf("the errors in the controller's log:\n%s", tail(errorLines(text), 60))
			d.t.Logf("the controller's log ends:\n%s", tail(text, 40))
		}
	})
	return d
}

// crash is where a log first says so.
func crash(text []byte) int {
	at := max(bytes.Index(text, []byte("panic:")), bytes.Index(text, []byte("DATA RACE")), 0)
	return max(0, at-1000)
}

// errorLines are the lines of a log that are more than information.
func errorLines(text []byte) []byte {
	lines := bytes.SplitAfter(text, []byte("\n"))
	return bytes.Join(slices.DeleteFunc(lines, func(l []byte) bool { return bytes.Contains(l, []byte(`"level":"info"`)) }),
		nil)
}

// start starts the process.
func (d *daemon) start() {
	d.t.Helper()
	if err := d.run(d.t.Context()); err != nil {
		d.t.Fatal(err)
	}
}

func (d *daemon) run(ctx context.Context) error {
	out, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = out.Close() }()
	info, err := out.Stat()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, d.program, d.args...)
	cmd.Env = append(os.Environ(), d.environ...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return err
	}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.cmd, d.ended, d.size = cmd, make(chan struct{}), info.Size()
	go func(ended chan struct{}) {
		_ = cmd.Wait()
		close(ended)
	}(d.ended)
	return nil
}

// kill ends the process at once, if it runs, as kill -9 does. One that was kept is no more.
func (d *daemon) kill() {
	d.release()
	d.mutex.Lock()
	cmd, ended := d.cmd, d.ended
	d.mutex.Unlock()
	if cmd == nil {
		return
	}
	_ = cmd.Process.Kill()
	<-ended
}

// said reports whether the process that runs has logged something.
func (d *daemon) said(text string) bool {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	log, err := os.Open(d.log)
	if err != nil {
		return false
	}
	defer func() { _ = log.Close() }()
	own, err := io.ReadAll(io.NewSectionReader(log, d.size, math.MaxInt64-d.size))
	return err == nil && bytes.Contains(own, []byte(text))
}

// What the controller logs when it begins to work, and when it is the leader.
const (
	works = `"msg":"Starting workers"`
	leads = "Successfully acquired lease"
)

// ends reports whether the process ends before something else happens.
func (d *daemon) ends(other <-chan time.Time) bool {
	d.mutex.Lock()
	ended := d.ended
	d.mutex.Unlock()
	select {
	case <-ended:
		return true
	case <-other:
		return false
	}
}

// keep does what the kubelet does for a container: it starts the controller, and starts it again when it has ended. It
// gives a counter of the starts. So it goes on until the controller is killed by the test, or the test ends: one whose
// server answers too slowly, as on a busy machine, ends by itself.
func (d *daemon) keep() *atomic.Int32 {
	var starts atomic.Int32
	ctx, cancel := context.WithCancel(d.t.Context())
	done := make(chan struct{})
	d.start()
	starts.Add(1)
	go func() {
		defer close(done)
		for {
			d.mutex.Lock()
			ended := d.ended
			d.mutex.Unlock()
			select {
			case <-ctx.Done():
				return
			case <-ended:
			}
			select { // a kubelet waits longer, and longer each time
			case <-ctx.Done():
				return
			case <-time.After(500 * time.Millisecond):
			}
			if d.run(ctx) == nil {
				starts.Add(1)
			}
		}
	}()
	d.release = func() { cancel(); <-done }
	d.t.Cleanup(d.release)
	return &starts
}

// pause lets time pass in which the test has nothing to do but to let others work.
func (e *env) pause(d time.Duration) {
	e.t.Helper()
	select {
	case <-e.t.Context().Done():
		e.t.Fatal("the test has ended")
	case <-time.After(d):
	}
}

// put applies an object, given as YAML, as soon as the server takes it.
func (e *env) put(text string) {
	e.t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(text), &o.Object); err != nil {
		e.t.Fatal(err)
	}
	e.eventually("applying "+o.GetKind()+" "+o.GetName(), func() error {
		return e.client.Apply(e.t.Context(), client.ApplyConfigurationFromUnstructured(o), client.FieldOwner("lateen-test"),
			client.ForceOwnership)
	})
}

// asked puts an Istio. strategy is that of the update with its fields.
func (e *env) asked(name, version, strategy string) {
	e.t.Helper()
	e.put(fmt.Sprintf("{apiVersion: sailoperator.io/v1, kind: Istio, metadata: {name: %s}, spec: {version: %s, "+
		"namespace: istio-system, updateStrategy: {%s}}}",
		name, version, strategy))
}

// revisions are the IstioRevisions that there are and that are not being deleted.
func (e *env) revisions() []string {
	e.t.Helper()
	var list v1.IstioRevisionList
	e.eventually("listing revisions", func() error { return e.client.List(e.t.Context(), &list) })
	var out []string
	for _, rev := range list.Items {
		if rev.DeletionTimestamp == nil {
			out = append(out, rev.Name)
		}
	}
	return out
}

// remain waits until there are exactly these revisions.
func (e *env) remain(want ...string) {
	e.t.Helper()
	e.eventually("the revisions that remain", func() error {
		var list v1.IstioRevisionList
		if err := e.client.List(e.t.Context(), &list); err != nil {
			return err
		}
		got := []string{}
		for _, rev := range list.Items {
			got = append(got, rev.Name)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			return fmt.Errorf("-want +got:\n%s", diff)
		}
		return nil
	})
}

// picture is a cluster at one moment, as far as it matters for who uses what.
type picture map[string]map[string]*unstructured.Unstructured

func nameOf(o *unstructured.Unstructured) string {
	return strings.TrimPrefix(o.GetNamespace()+"/"+o.GetName(), "/")
}

// set notes an object, or that it is gone.
func (p picture) set(o *unstructured.Unstructured, gone bool) {
	if p[o.GetKind()] == nil {
		p[o.GetKind()] = map[string]*unstructured.Unstructured{}
	}
	if gone {
		delete(p[o.GetKind()], nameOf(o))
	} else {
		p[o.GetKind()][nameOf(o)] = o
	}
}

func text(o *unstructured.Unstructured, path ...string) string {
	s, _, _ := unstructured.NestedString(o.Object, path...)
	return s
}

// active is the revision that an Istio asks for. The Istios of these tests all say their version.
func active(istio *unstructured.Unstructured) string {
	if text(istio, "spec", "updateStrategy", "type") != "RevisionBased" {
		return istio.GetName()
	}
	return istio.GetName() + "-" + strings.ReplaceAll(text(istio, "spec", "version"), ".", "-")
}

// users are those of a revision, by the rules of docs/usage.md, written down here once more. An Istio that asks for a
// revision is one of them, with the same effect: it stays.
func (p picture) users(rev string) []string {
	var out []string
	note := func(kind, name, used string) {
		if used == rev {
			out = append(out, kind+" "+name)
		}
	}
	for name, o := range p[v1.KindIstio] {
		note(v1.KindIstio, name, active(o))
	}
	for name, o := range p[v1.KindIstioRevisionTag] {
		note("tag", name, text(o, "status", "istioRevision"))
		if text(o, "spec", "targetRef", "kind") == v1.KindIstioRevision {
			note("target of tag", name, text(o, "spec", "targetRef", "name"))
		}
	}
	selected := func(labels map[string]string) (string, bool) {
		if injection, ok := labels["istio-injection"]; ok {
			return map[string]string{"enabled": "default"}[injection], true
		}
		name, ok := labels["istio.io/rev"]
		return name, ok
	}
	for name, o := range p["Namespace"] {
		used, _ := selected(o.GetLabels())
		note("namespace", name, used)
	}
	for name, o := range p["Pod"] {
		if phase := text(o, "status", "phase"); phase == "Succeeded" || phase == "Failed" {
			continue
		}
		note("proxy of pod", name, o.GetAnnotations()["istio.io/rev"])
		labels := o.GetLabels()
		if ns := p["Namespace"][o.GetNamespace()]; ns != nil {
			if _, decides := selected(ns.GetLabels()); decides {
				continue
			}
		}
		used, ok := labels["istio.io/rev"]
		switch {
		case labels["sidecar.istio.io/inject"] == "false":
		case ok:
			note("pod", name, used)
		case labels["sidecar.istio.io/inject"] == "true":
			note("pod", name, "default")
		}
	}
	slices.Sort(out)
	return out
}

// look takes a picture of the cluster.
func (e *env) look() (picture, error) {
	p := picture{}
	for _, kind := range []string{"istio", "revision", "tag", "cni", "namespace", "pod"} {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kinds[kind])
		if err := e.client.List(e.t.Context(), list); err != nil {
			return nil, err
		}
		for i := range list.Items {
			p.set(&list.Items[i], false)
		}
	}
	return p, nil
}

// converges waits until the cluster is as it should be, and only as it should be: there are the revisions that Istios
// ask for, and of the others those that something uses; of everything that is there the objects are, and are as one
// renders them who starts from nothing; and nothing is left of what is not.
func (e *env) converges() {
	e.t.Helper()
	e.eventually("the state converges", func() error {
		p, err := e.look()
		if err != nil {
			return err
		}
		if err := p.right(); err != nil {
			return err
		}
		fresh, err := e.fresh(p)
		if err != nil {
			return err
		}
		if err := e.nothingElse(fresh); err != nil {
			return err
		}
		for _, o := range fresh {
			if err := e.same(o); err != nil {
				return err
			}
		}
		return nil
	})
}

// letGo waits until no revision is being deleted. Those that are held, because something has begun to use them just
// when they went, it lets go as a person does, and the tags that point at one. So it does with tags that point at none:
// one may have been moved between the controller's question who uses a revision and its removal. It says how many were
// held.
func (e *env) letGo() (held int) {
	e.t.Helper()
	allowed := map[types.UID]bool{}
	e.eventually("what is being deleted is gone", func() error {
		var list v1.IstioRevisionList
		if err := e.client.List(e.t.Context(), &list); err != nil {
			return err
		}
		var errs []error
		for i := range list.Items {
			rev := &list.Items[i]
			if rev.DeletionTimestamp == nil {
				continue
			}
			errs = append(errs,
				fmt.Errorf("IstioRevision %s is being deleted since %s", rev.Name, rev.DeletionTimestamp))
			stalled := rev.Status.Conditions.Get(v1.ConditionStalled)
			if stalled == nil || stalled.Reason != v1.ReasonDeletionHeld || allowed[rev.UID] {
				continue
			}
			err := e.untag(func(name string) bool { return name == rev.Name })
			if err == nil {
				allow := map[string]any{"annotations": map[string]any{"lateen.io/allow-deletion": "true"}}
				err = e.client.Patch(e.t.Context(), rev, patch(allow))
			}
			if err == nil {
				allowed[rev.UID] = true
			}
			errs = append(errs, client.IgnoreNotFound(err))
		}
		if len(errs) == 0 {
			return e.untag(func(name string) bool {
				return !slices.ContainsFunc(list.Items, func(rev v1.IstioRevision) bool { return rev.Name == name })
			})
		}
		return errors.Join(errs...)
	})
	return len(allowed)
}

// untag deletes the tags that point at a revision of which something is true: the webhooks of a tag stay when its
// target is missing.
func (e *env) untag(is func(revision string) bool) error {
	var tags v1.IstioRevisionTagList
	if err := e.client.List(e.t.Context(), &tags); err != nil {
		return err
	}
	for i := range tags.Items {
		if ref := tags.Items[i].Spec.TargetRef; ref.Kind != v1.TargetIstioRevision || !is(ref.Name) {
			continue
		}
		if err := client.IgnoreNotFound(e.client.Delete(e.t.Context(), &tags.Items[i])); err != nil {
			return err
		}
	}
	return nil
}

// right reports whether there are the revisions that there should be.
func (p picture) right() error {
	for name, istio := range p[v1.KindIstio] {
		switch rev := p[v1.KindIstioRevision][active(istio)]; {
		case rev == nil:
			return fmt.Errorf("Istio %s asks for the revision %s, which is not there", name, active(istio))
		case rev.GetDeletionTimestamp() != nil:
			return fmt.Errorf("Istio %s asks for the revision %s, which is being deleted since %s: Stalled is %s",
				name, active(istio), rev.GetDeletionTimestamp(), conditionOf(rev, v1.ConditionStalled))
		}
		if got := text(istio, "status", "activeRevisionName"); got != active(istio) {
			return fmt.Errorf("Istio %s says that its active revision is %q", name, got)
		}
	}
	for name, rev := range p[v1.KindIstioRevision] {
		if len(rev.GetOwnerReferences()) > 0 && len(p.users(name)) == 0 {
			return fmt.Errorf("nothing uses revision %s, but it is there: %s", name, conditionOf(rev, v1.ConditionInUse))
		}
		// The istiod of a remote one is in another cluster, which there is not.
		remote := text(rev, "status", "type") == string(v1.IstioRevisionRemote)
		if got := conditionOf(rev, v1.ConditionReady); got != "True" && !remote {
			return fmt.Errorf("revision %s: Ready is %s", name, got)
		}
	}
	for name, tag := range p[v1.KindIstioRevisionTag] {
		want := text(tag, "spec", "targetRef", "name")
		if text(tag, "spec", "targetRef", "kind") == v1.KindIstio {
			want = ""
			if istio := p[v1.KindIstio][text(tag, "spec", "targetRef", "name")]; istio != nil {
				want = active(istio)
			}
		}
		if p[v1.KindIstioRevision][want] != nil && text(tag, "status", "istioRevision") != want {
			return fmt.Errorf("tag %s is on %q, not on %s", name, text(tag, "status", "istioRevision"), want)
		}
	}
	return nil
}

// fresh renders all that should be there, revision by revision as the functions do, with the owners it has in the
// cluster.
func (e *env) fresh(p picture) ([]*unstructured.Unstructured, error) {
	d, err := discovery.NewDiscoveryClientForConfig(e.RESTConfig())
	if err != nil {
		return nil, err
	}
	version, err := d.ServerVersion()
	if err != nil {
		return nil, err
	}
	var out []*unstructured.Unstructured
	renderAll := func(items ...*unstructured.Unstructured) error {
		var documents [][]byte
		for _, o := range items {
			bare := map[string]any{
				"apiVersion": o.GetAPIVersion(), "kind": o.GetKind(), "metadata": map[string]any{"name": o.GetName()},
				"spec": o.Object["spec"],
			}
			if o.GetKind() == v1.KindIstioRevisionTag {
				bare["spec"] = map[string]any{
					"targetRef": map[string]any{"kind": v1.KindIstioRevision, "name": text(o, "status", "istioRevision")},
				}
			}
			document, err := json.Marshal(bare)
			if err != nil {
				return err
			}
			documents = append(documents, document)
		}
		result, err := lateen.Render(bytes.Join(documents, []byte("\n---\n")),
			lateen.Options{KubeVersion: version.GitVersion})
		if err != nil {
			return err
		}
		objects, err := result.Objects()
		for _, o := range objects {
			p.own(o)
		}
		out = append(out, objects...)
		return err
	}
	for name, rev := range p[v1.KindIstioRevision] {
		items := []*unstructured.Unstructured{rev}
		for _, tag := range p[v1.KindIstioRevisionTag] {
			if text(tag, "status", "istioRevision") == name {
				items = append(items, tag)
			}
		}
		if err := renderAll(items...); err != nil {
			return nil, err
		}
	}
	for _, cni := range p[v1.KindIstioCNI] {
		if err := renderAll(cni); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// own gives a rendered object the owner that it has in the cluster.
func (p picture) own(o *unstructured.Unstructured) {
	const stamp = "lateen.io/owner"
	annotations := o.GetAnnotations()
	kind, name, _ := strings.Cut(annotations[stamp], "/")
	owner := p[kind][name]
	if owner == nil {
		return
	}
	o.SetOwnerReferences([]metav1.OwnerReference{*metav1.NewControllerRef(owner, owner.GroupVersionKind())})
	if ref := metav1.GetControllerOf(owner); ref != nil {
		annotations[stamp] = ref.Kind + "/" + ref.Name
		o.SetAnnotations(annotations)
	}
}

// same reports whether an object is in the cluster as it was rendered: applying it would change nothing, not even take
// away what an earlier rendering had.
func (e *env) same(want *unstructured.Unstructured) error {
	have := &unstructured.Unstructured{}
	have.SetGroupVersionKind(want.GroupVersionKind())
	what := want.GetKind() + " " + nameOf(want)
	if err := e.client.Get(e.t.Context(), client.ObjectKeyFromObject(want), have); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	applied := want.DeepCopy()
	err := e.client.Apply(e.t.Context(), client.ApplyConfigurationFromUnstructured(applied),
		client.FieldOwner("lateen-controller"), client.ForceOwnership, client.DryRunAll)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	for _, o := range []*unstructured.Unstructured{have, applied} {
		o.SetManagedFields(nil)
		o.SetResourceVersion("")
		o.SetGeneration(0)
		unstructured.RemoveNestedField(o.Object, "status")
	}
	if diff := cmp.Diff(applied.Object, have.Object); diff != "" {
		return fmt.Errorf("%s: -rendered +cluster:\n%s", what, diff)
	}
	return nil
}

// nothingElse reports whether all that has one of Lateen's labels is one of some objects, and nothing has an owner that
// is gone.
func (e *env) nothingElse(objects []*unstructured.Unstructured) error {
	everything, err := everything(e.t.Context(), e.Cluster)
	if err != nil {
		return err
	}
	should := map[string]bool{}
	for _, o := range objects {
		should[o.GetKind()+" "+nameOf(o)] = true
	}
	uids := map[types.UID]bool{}
	for _, o := range everything {
		uids[o.UID] = true
	}
	for _, o := range everything {
		what := o.Kind + " " + strings.TrimPrefix(o.Namespace+"/"+o.Name, "/")
		for _, ref := range o.OwnerReferences {
			if !uids[ref.UID] {
				return fmt.Errorf("%s is owned by %s %s, which is gone", what, ref.Kind, ref.Name)
			}
		}
		if strings.HasPrefix(o.APIVersion, v1.GroupVersion.Group+"/") || o.Kind == "CustomResourceDefinition" ||
			o.Labels["endpoints.kubernetes.io/managed-by"] != "" {
			continue
		}
		ref := metav1.GetControllerOf(&o)
		if inherited := ref == nil && len(o.OwnerReferences) > 0; inherited && render.Shared(o.Kind, o.Name) {
			continue // who brought it is gone, and those that rely on it are not: see above
		}
		ours := ref == nil || strings.HasPrefix(ref.APIVersion, v1.GroupVersion.Group+"/")
		if ours && (o.Labels["lateen.io/revision"] != "" || o.Labels["lateen.io/tag"] != "") && !should[what] {
			return fmt.Errorf("%s should not be there: labels %v", what, o.Labels)
		}
	}
	return nil
}

// everything is the metadata of all objects of all kinds but events.
func everything(ctx context.Context, c *cluster.Cluster) ([]metav1.PartialObjectMetadata, error) {
	d, err := discovery.NewDiscoveryClientForConfig(c.RESTConfig())
	if err != nil {
		return nil, err
	}
	lists, err := d.ServerPreferredResources()
	if err != nil {
		return nil, err
	}
	config := c.RESTConfig()
	config.WarningHandler = rest.NoWarnings{} // of kinds that are deprecated
	api, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	var out []metav1.PartialObjectMetadata
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, r := range list.APIResources {
			if !slices.Contains(r.Verbs, "list") || !slices.Contains(r.Verbs, "delete") || r.Kind == "Event" {
				continue
			}
			objects, err := api.Resource(gv.WithResource(r.Name)).List(ctx, metav1.ListOptions{})
			if meta.IsNoMatchError(err) || client.IgnoreNotFound(err) == nil && err != nil {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("listing %s: %w", r.Name, err)
			}
			for _, o := range objects.Items {
				o.APIVersion, o.Kind = gv.String(), r.Kind
				out = append(out, o)
			}
		}
	}
	return out, nil
}

// upgrade asks for another version of an Istio.
func (e *env) upgrade(name, version string) {
	e.t.Helper()
	e.must("patch", "istio.sailoperator.io", name, "--type=merge", "-p", `{"spec":{"version":"`+version+`"}}`)
}
