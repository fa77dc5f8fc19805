package istiorevision

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
)

// CRDs keeps Istio's own CustomResourceDefinitions at the newest version that any revision has. No resource owns
// them: with them would go all configuration of Istio. They are never brought to an older version, and those that
// somebody else applies (a package in Git) are left to them: two that write the same object in turn would never
// end.
type CRDs struct {
	// Client reads from the cache, Live from the server.
	Client, Live client.Client
	Renderer     *rendering.Renderer
	Applier      *apply.Applier
	Now          func() time.Time

	// turn is taken by who looks at the CRDs in the cluster and writes them: one at a time, since of two revisions the
	// newer one's CRDs have to stay. The mutex guards what is remembered, and is held over no request.
	turn  chan struct{}
	once  sync.Once
	mutex sync.Mutex
	// brought are the CRDs that each revision has brought, by its name, and contents those that there were of each content
	// after any had brought it: their generations, which count the changes of their specs.
	brought  map[string]brought
	contents map[string]map[string]int64
	// changes counts what others have done to CRDs.
	changes int
}

// brought is what came of the last time that a revision looked after CRDs.
type brought struct {
	uid        types.UID
	generation int64
	version    string
	names      []string
	found      crdState
	err        error
	// changes is how often others had changed or deleted a CRD by then, be it one of these or another.
	changes int
	// until is when to look again although no event tells of a change; zero for never. tries counts failures in a
	// row.
	until time.Time
	tries int
}

// crdState is what a revision has to know of the CRDs.
type crdState struct {
	// outdated says which CRDs of somebody else are older than the revision needs; "" if none is.
	outdated string
	// again is when to look again although nothing has happened; zero for never.
	again time.Duration
}

const (
	// foreignPeriod is how often CRDs of somebody else are looked at: no event tells of those without Lateen's label.
	foreignPeriod = 2 * time.Minute
	// A CRD that could not be written is tried again after the first of these times, which doubles up to the last.
	firstRetry, lastRetry = 5 * time.Second, 5 * time.Minute
)

// Changed makes all revisions look again: somebody has changed or deleted a CRD.
func (c *CRDs) Changed() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.changes++
}

// Forget drops what is known about a revision that is gone.
func (c *CRDs) Forget(revision string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	delete(c.brought, revision)
}

// recall gives what a revision has brought, and how often others have changed CRDs until now.
func (c *CRDs) recall(rev *v1.IstioRevision) (have brought, known bool, changes int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	have, known = c.brought[rev.Name]
	known = known && have.uid == rev.UID && have.generation == rev.Generation
	return have, known, c.changes
}

// remember keeps what a revision has brought.
func (c *CRDs) remember(rev *v1.IstioRevision, b brought) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.brought == nil {
		c.brought = map[string]brought{}
	}
	c.brought[rev.Name] = b
}

// ensure brings the CRDs of a revision's version, unless those in the cluster are as new, or somebody else's. Revisions
// of one version have the same: the first of them brings them, and the others have nothing to do. One that cannot be
// written holds up no other.
func (c *CRDs) ensure(ctx context.Context, rev *v1.IstioRevision) (crdState, error) {
	if found, settled, err := c.settledState(ctx, rev); settled || err != nil {
		return found, err
	}
	c.once.Do(func() { c.turn = make(chan struct{}, 1) })
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return crdState{}, ctx.Err()
	}
	now := c.Now()
	have, known, changes := c.recall(rev)
	tries := 0
	if known {
		tries = have.tries
	}
	next, err := c.look(ctx, rev)
	next.uid, next.generation, next.changes = rev.UID, rev.Generation, changes
	if err != nil {
		next.err, next.tries = err, tries+1
		next.found.again = min(firstRetry<<min(tries, 10), lastRetry)
	}
	if next.found.again > 0 {
		next.until = now.Add(next.found.again)
	}
	c.remember(rev, next)
	return next.found, err
}

// settledState is what is known of the CRDs of a revision, if there is nothing to look at: what was brought is there,
// and what could not be brought, or is somebody else's, has been looked at a short while ago. The error is the one of
// then, or that the cache does not answer.
func (c *CRDs) settledState(ctx context.Context, rev *v1.IstioRevision) (found crdState, settled bool, err error) {
	now := c.Now()
	have, known, changes := c.recall(rev)
	due := !have.until.IsZero() && !now.Before(have.until)
	if !known || have.changes != changes || due {
		return crdState{}, false, nil
	}
	if have.err == nil {
		if there, _, err := c.there(ctx, have.names, have.version, nil); err != nil || !there {
			return crdState{}, false, err
		}
	}
	if !have.until.IsZero() {
		have.found.again = have.until.Sub(now)
	}
	return have.found, true, have.err
}

// look brings the CRDs of a revision's version.
func (c *CRDs) look(ctx context.Context, rev *v1.IstioRevision) (brought, error) {
	crds, err := c.Renderer.CRDs(rev)
	if err != nil {
		return brought{}, fmt.Errorf("rendering Istio's CRDs: %w", err)
	}
	out := brought{version: crds.Version, names: crds.Names()}
	if before, known := c.generations(crds.Digest); known {
		there, now, err := c.there(ctx, out.names, crds.Version, before)
		if there {
			c.keep(crds.Digest, now)
		}
		if err != nil || there {
			return out, err
		}
	}
	var foreign bool
	out.names, out.found.outdated, foreign, err = c.bring(ctx, crds)
	if foreign {
		out.found.again = foreignPeriod
	}
	if err == nil && !foreign {
		c.keep(crds.Digest, map[string]int64{})
	}
	return out, err
}

// generations are those of the CRDs of a content when they were as they should be.
func (c *CRDs) generations(digest string) (generations map[string]int64, known bool) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	generations, known = c.contents[digest]
	return generations, known
}

// keep notes the generations of the CRDs of a content, which nobody changes afterwards.
func (c *CRDs) keep(digest string, generations map[string]int64) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.contents == nil {
		c.contents = map[string]map[string]int64{}
	}
	c.contents[digest] = generations
}

// there reports whether CRDs are in the cluster, managed, in no older version, and, if before is not nil, with the
// specs that they had then. It gives their generations.
func (c *CRDs) there(
	ctx context.Context, names []string, version string, before map[string]int64,
) (there bool, generations map[string]int64, err error) {
	generations = map[string]int64{}
	for _, name := range names {
		have := cluster.Metadata(crdKind)
		if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, have); err != nil {
			return false, nil, client.IgnoreNotFound(err)
		}
		if of := versionOf(have.Annotations, have.Labels); of == "" || release.Newer(version, of) {
			return false, nil, nil
		}
		if then, known := before[name]; known && then != have.Generation {
			return false, nil, nil
		}
		generations[name] = have.Generation
	}
	return true, generations, nil
}

// bring applies those CRDs that the cluster does not have, or has in no newer version and of nobody else, and names
// them. It says which of somebody else's are too old, and whether there are any of somebody else's.
func (c *CRDs) bring(
	ctx context.Context, crds rendering.CRDs,
) (names []string, outdated string, foreign bool, err error) {
	var wanted []*unstructured.Unstructured
	var old []string
	var errs []error
	for _, name := range crds.Names() {
		v, err := c.judge(ctx, name, crds)
		if err != nil {
			errs = append(errs, fmt.Errorf("CustomResourceDefinition %s: %w", name, err))
			continue
		}
		foreign = foreign || v.keeper != ""
		if v.old != "" {
			old = append(old, name+" ("+v.old+", applied by "+v.keeper+")")
		}
		if !v.want {
			continue
		}
		crd, err := crds.Object(name, v.owner)
		if err != nil {
			return nil, "", foreign, fmt.Errorf("rendering Istio's CRDs: %w", err)
		}
		wanted = append(wanted, crd)
		names = append(names, name)
	}
	if err := c.Applier.ApplyUnowned(ctx, wanted); err != nil {
		errs = append(errs, err)
	}
	return names, tooOld(old, crds.Version), foreign, unwritten(errs)
}

// unwritten says of CRDs that could not be written what to do.
func unwritten(errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	//nolint:staticcheck // it begins with a name
	return fmt.Errorf("Istio's CRDs: %w. Everything else is applied. Allow the controller to write them "+
		"(config/rbac), "+
		"or bring them yourself and start it with --install-istio-crds=false", errors.Join(errs...))
}

// tooOld is the message about CRDs that somebody else applies, of versions that a revision cannot rely on.
func tooOld(old []string, version string) string {
	if len(old) == 0 {
		return ""
	}
	more := ""
	if len(old) > 1 {
		more = fmt.Sprintf(" and %d more", len(old)-1)
	}
	return fmt.Sprintf("Istio's CustomResourceDefinitions are older than Istio %s needs: %s%s; "+
		"the controller leaves them to whoever applies them: update them there", version, old[0], more)
}

// verdict is what is to become of a CRD.
type verdict struct {
	// want says that it is to be applied, and owner as whose.
	want  bool
	owner string
	// keeper is who else applies it, and old the version that it has if that is of an older minor: the patches of a
	// minor have the same API.
	keeper, old string
}

// judge decides about a CRD. It is to be applied if it is not there, or there in no newer version, and nobody else
// applies it. One that is there in the same version stays of who brought it, else all that want it would take it
// from each other.
func (c *CRDs) judge(ctx context.Context, name string, crds rendering.CRDs) (verdict, error) {
	have := cluster.Metadata(crdKind)
	if err := c.Live.Get(ctx, client.ObjectKey{Name: name}, have); err != nil {
		return verdict{want: apierrors.IsNotFound(err), owner: crds.Owner}, client.IgnoreNotFound(err)
	}
	if have.Labels[apply.Ignore] == "true" || have.Annotations[apply.Ignore] == "true" {
		return verdict{}, nil
	}
	of := versionOf(have.Annotations, have.Labels)
	if keeper := keptBy(have); keeper != "" {
		v := verdict{keeper: keeper}
		switch {
		case of == "":
			v.old = "of no stated version"
		case release.OlderMinor(of, crds.Version):
			v.old = of
		}
		return v, nil
	}
	if of == crds.Version && have.Annotations[manifest.AnnotationOwner] != "" {
		return verdict{want: true, owner: have.Annotations[manifest.AnnotationOwner]}, nil
	}
	return verdict{want: of == "" || !release.Newer(of, crds.Version), owner: crds.Owner}, nil
}

// installers apply once, and the controller takes over from them (docs/lifecycle.md, Taking over).
var installers = []string{apply.FieldManager, "helm", "sail-operator", "istio-operator"}

// keptBy names who applies an object again and again besides the controller: a GitOps tool that has left its mark,
// or a field manager that owns its spec by server-side apply. "" if nobody does. What was created or updated
// otherwise was so once, by an installer or by hand.
func keptBy(o *metav1.PartialObjectMetadata) string {
	for _, mark := range []struct {
		in        map[string]string
		key, tool string
	}{
		{o.Annotations, "argocd.argoproj.io/tracking-id", "Argo CD"},
		{o.Labels, "kustomize.toolkit.fluxcd.io/name", "Flux"},
		{o.Labels, "helm.toolkit.fluxcd.io/name", "Flux"},
		{o.Annotations, "config.k8s.io/owning-inventory", "kpt"},
	} {
		if mark.in[mark.key] != "" {
			return mark.tool
		}
	}
	for _, m := range o.ManagedFields {
		applies := m.Operation == metav1.ManagedFieldsOperationApply && m.Subresource == ""
		if applies && !slices.Contains(installers, m.Manager) && m.FieldsV1 != nil &&
			bytes.Contains(m.FieldsV1.GetRawBytes(), []byte(`"f:spec"`)) {
			return m.Manager
		}
	}
	return ""
}

// versionOf is the version of Istio that a CRD in the cluster is of; "" if it does not say. Those that do not are
// older than any that Lateen brings: Helm's have a label since 1.24.
func versionOf(annotations, labels map[string]string) string {
	if v := annotations[manifest.AnnotationVersion]; v != "" {
		return v
	}
	v := labels["app.kubernetes.io/version"]
	if v == "" {
		return ""
	}
	return "v" + strings.TrimPrefix(v, "v")
}

var crdKind = schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}
