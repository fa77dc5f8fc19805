package istiorevision

import (
	"context"
	"fmt"
	"strings"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/desired"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
)

// CRDs keeps Istio's own CustomResourceDefinitions at the newest version that any revision has. No resource owns them: with
// them would go all configuration of Istio. They are never brought to an older version.
type CRDs struct {
	// Client reads from the cache, Live from the server.
	Client, Live client.Client
	Pipeline     *desired.Pipeline
	Applier      *apply.Applier

	mutex sync.Mutex
	// brought are the CRDs that each revision has brought, and by their content those that any has.
	brought  map[types.UID]brought
	contents map[string][]client.ObjectKey
}

type brought struct {
	generation int64
	names      []client.ObjectKey
}

// ensure brings the CRDs of a revision's version, unless those in the cluster are as new. Revisions of one version have the
// same: the first of them brings them, and the others have nothing to do.
func (c *CRDs) ensure(ctx context.Context, rev *v1.IstioRevision) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if have, ok := c.brought[rev.UID]; ok && have.generation == rev.Generation {
		missing, err := c.missing(ctx, have.names)
		if err != nil || !missing {
			return err
		}
	}
	crds, err := c.Pipeline.CRDs(rev)
	if err != nil {
		return fmt.Errorf("rendering Istio's CRDs: %w", err)
	}
	// As long as all of the content are there, whoever brought those that are newer.
	names, known := c.contents[crds.Digest]
	missing := !known
	if known {
		if missing, err = c.missing(ctx, keys(crds.Names())); err != nil {
			return err
		}
	}
	if missing {
		if names, err = c.bring(ctx, crds); err != nil {
			return err
		}
	}
	if c.brought == nil {
		c.brought, c.contents = map[types.UID]brought{}, map[string][]client.ObjectKey{}
	}
	c.brought[rev.UID], c.contents[crds.Digest] = brought{rev.Generation, names}, names
	return nil
}

func keys(names []string) []client.ObjectKey {
	var out []client.ObjectKey
	for _, name := range names {
		out = append(out, client.ObjectKey{Name: name})
	}
	return out
}

// bring applies those CRDs that the cluster does not have, or has in no newer version, and names them.
func (c *CRDs) bring(ctx context.Context, crds desired.CRDs) ([]client.ObjectKey, error) {
	var wanted []*unstructured.Unstructured
	var names []client.ObjectKey
	for _, name := range crds.Names() {
		owner, want, err := c.wanted(ctx, name, crds)
		if err != nil {
			return nil, err
		}
		if !want {
			continue
		}
		crd, err := crds.Object(name, owner)
		if err != nil {
			return nil, fmt.Errorf("rendering Istio's CRDs: %w", err)
		}
		wanted = append(wanted, crd)
		names = append(names, client.ObjectKey{Name: name})
	}
	if _, err := c.Applier.Apply(ctx, nil, wanted, ""); err != nil {
		return nil, fmt.Errorf("applying Istio's CRDs: %w", err)
	}
	return names, nil
}

// missing tells whether one of the CRDs is no longer there, or no longer managed.
func (c *CRDs) missing(ctx context.Context, names []client.ObjectKey) (bool, error) {
	for _, name := range names {
		err := c.Client.Get(ctx, name, cluster.Metadata(crdKind))
		if apierrors.IsNotFound(err) {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// wanted tells whether a CRD is to be applied, and as whose: it is not there, or there in no newer version. One that is there in the
// same version stays of who brought it, else all that want it would take it from each other.
func (c *CRDs) wanted(ctx context.Context, name string, crds desired.CRDs) (owner string, want bool, err error) {
	have := cluster.Metadata(crdKind)
	if err := c.Live.Get(ctx, client.ObjectKey{Name: name}, have); err != nil {
		return crds.Owner, apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	if have.Labels[apply.Ignore] == "true" || have.Annotations[apply.Ignore] == "true" {
		return "", false, nil
	}
	of := versionOf(have.Annotations, have.Labels)
	if of == crds.Version && have.Annotations[manifest.AnnotationOwner] != "" {
		return have.Annotations[manifest.AnnotationOwner], true, nil
	}
	return crds.Owner, of == "" || !release.Newer(of, crds.Version), nil
}

// versionOf is the version of Istio that a CRD in the cluster is of; "" if it does not say. Those that do not are older than
// any that Lateen brings: Helm's have a label since 1.24.
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
