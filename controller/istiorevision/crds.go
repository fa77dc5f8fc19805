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
	// brought are the CRDs that each revision has brought, and contents those that there were of each content after any had brought it:
	// their generations, which count the changes of their specs.
	brought  map[types.UID]brought
	contents map[string]map[string]int64
}

type brought struct {
	generation int64
	version    string
	names      []string
}

// ensure brings the CRDs of a revision's version, unless those in the cluster are as new. Revisions of one version have the
// same: the first of them brings them, and the others have nothing to do.
func (c *CRDs) ensure(ctx context.Context, rev *v1.IstioRevision) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if have, ok := c.brought[rev.UID]; ok && have.generation == rev.Generation {
		there, err := c.there(ctx, have.names, have.version, nil)
		if err != nil || there {
			return err
		}
	}
	crds, err := c.Pipeline.CRDs(rev)
	if err != nil {
		return fmt.Errorf("rendering Istio's CRDs: %w", err)
	}
	if c.brought == nil {
		c.brought, c.contents = map[types.UID]brought{}, map[string]map[string]int64{}
	}
	names, there := crds.Names(), false
	if generations := c.contents[crds.Digest]; generations != nil {
		if there, err = c.there(ctx, names, crds.Version, generations); err != nil {
			return err
		}
	}
	if !there {
		if names, err = c.bring(ctx, crds); err != nil {
			return err
		}
		c.contents[crds.Digest] = map[string]int64{}
	}
	c.brought[rev.UID] = brought{rev.Generation, crds.Version, names}
	return nil
}

// there tells whether CRDs are in the cluster, managed, in no older version, and, if generations is not nil, with the specs that they had
// the last time.
func (c *CRDs) there(ctx context.Context, names []string, version string, generations map[string]int64) (bool, error) {
	for _, name := range names {
		have := cluster.Metadata(crdKind)
		if err := c.Client.Get(ctx, client.ObjectKey{Name: name}, have); err != nil {
			return false, client.IgnoreNotFound(err)
		}
		if of := versionOf(have.Annotations, have.Labels); of == "" || release.Newer(version, of) {
			return false, nil
		}
		if generations != nil {
			if before, ok := generations[name]; ok && before != have.Generation {
				return false, nil
			}
			generations[name] = have.Generation
		}
	}
	return true, nil
}

// bring applies those CRDs that the cluster does not have, or has in no newer version, and names them.
func (c *CRDs) bring(ctx context.Context, crds desired.CRDs) ([]string, error) {
	var wanted []*unstructured.Unstructured
	var names []string
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
		names = append(names, name)
	}
	if _, err := c.Applier.Apply(ctx, nil, wanted, ""); err != nil {
		return nil, fmt.Errorf("applying Istio's CRDs: %w", err)
	}
	return names, nil
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
