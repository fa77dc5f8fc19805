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
	// brought are the CRDs that each revision has brought.
	brought map[types.UID]brought
}

type brought struct {
	generation int64
	names      []client.ObjectKey
}

// ensure brings the CRDs of a revision's version, unless those in the cluster are as new.
func (c *CRDs) ensure(ctx context.Context, rev *v1.IstioRevision) error {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if have, ok := c.brought[rev.UID]; ok && have.generation == rev.Generation {
		missing, err := c.missing(ctx, have.names)
		if err != nil || !missing {
			return err
		}
	}
	objects, err := c.Pipeline.CRDs(rev)
	if err != nil {
		return fmt.Errorf("rendering Istio's CRDs: %w", err)
	}
	var wanted []*unstructured.Unstructured
	var names []client.ObjectKey
	for _, crd := range objects.List {
		want, err := c.wanted(ctx, crd, objects.Version)
		if err != nil {
			return err
		}
		if want {
			wanted = append(wanted, crd)
			names = append(names, client.ObjectKeyFromObject(crd))
		}
	}
	if _, err := c.Applier.Apply(ctx, nil, wanted, ""); err != nil {
		return fmt.Errorf("applying Istio's CRDs: %w", err)
	}
	if c.brought == nil {
		c.brought = map[types.UID]brought{}
	}
	c.brought[rev.UID] = brought{rev.Generation, names}
	return nil
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

// wanted tells whether a CRD is to be applied: it is not there, or there in an older version.
func (c *CRDs) wanted(ctx context.Context, crd *unstructured.Unstructured, version string) (bool, error) {
	have := cluster.Metadata(crdKind)
	if err := c.Live.Get(ctx, client.ObjectKeyFromObject(crd), have); err != nil {
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	}
	if have.Labels[apply.Ignore] == "true" || have.Annotations[apply.Ignore] == "true" {
		return false, nil
	}
	of := versionOf(have.Annotations, have.Labels)
	return of == "" || !release.Newer(of, version), nil
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
