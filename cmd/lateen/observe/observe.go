// Package observe looks at a cluster once: which revisions and tags it has, and which namespaces and pods use them. It
// sees everything or fails, because what was not seen must never be called unused.
package observe

import (
	"context"
	"fmt"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/cmd/lateen/show"
	"github.com/lateen-io/lateen/controller/cluster"
)

// Cluster looks at a cluster. now is when it begins: what it sees is not older.
func Cluster(ctx context.Context, config *rest.Config, now time.Time) (show.Cluster, error) {
	f, err := read(ctx, config)
	if err != nil {
		return show.Cluster{}, err
	}
	reader, err := cluster.NewReader(config, nil)
	if err != nil {
		return show.Cluster{}, err
	}
	index, err := cluster.Look(ctx, reader)
	if err != nil {
		return show.Cluster{}, err
	}
	return show.Cluster{ObservedAt: now, Revisions: f.allRevisions(), Tags: f.allTags(), Index: index}, nil
}

// read gets what says which revisions and tags there are. Lateen's own kinds may be missing: where control planes are
// rendered by a pipeline, their webhooks may be all that says it.
func read(ctx context.Context, config *rest.Config) (found, error) {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{v1.AddToScheme, admissionv1.AddToScheme} {
		if err := add(scheme); err != nil {
			return found{}, err
		}
	}
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return found{}, err
	}
	var istios v1.IstioList
	var revisions v1.IstioRevisionList
	var tags v1.IstioRevisionTagList
	var webhooks admissionv1.MutatingWebhookConfigurationList
	for _, look := range []struct {
		what string
		list client.ObjectList
		own  bool
	}{
		{"Istios", &istios, true},
		{"IstioRevisions", &revisions, true},
		{"IstioRevisionTags", &tags, true},
		{"MutatingWebhookConfigurations", &webhooks, false},
	} {
		err := c.List(ctx, look.list)
		if look.own && (meta.IsNoMatchError(err) || apierrors.IsNotFound(err)) {
			continue
		}
		if err != nil {
			return found{}, fmt.Errorf("listing %s: %w", look.what, err)
		}
	}
	return found{istios.Items, revisions.Items, tags.Items, webhooks.Items}, nil
}
