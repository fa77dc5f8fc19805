package istiorevision

import (
	"context"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/internal/health"
	"github.com/lateen-io/lateen/internal/manifest"
)

// remoteReady says whether the control plane in the other cluster is ready: it answers behind the revision's injection
// webhook.
func (r *Reconciler) remoteReady(ctx context.Context, s *scope) v1.Condition {
	webhook, err := r.injector(ctx, s)
	if err != nil {
		return health.Remote(health.Probe{Tried: true, Err: err.Error()})
	}
	target, err := cluster.TargetOf(webhook.ClientConfig)
	if err != nil {
		return health.Remote(health.Probe{Tried: true, Err: err.Error()})
	}
	return health.Remote(r.Prober.Ask(s.rev.Name, target)) //nolint:contextcheck // it asks on when this run has ended
}

// injector is the first injection webhook of a revision. All of them have the same server.
func (r *Reconciler) injector(ctx context.Context, s *scope) (admissionv1.MutatingWebhook, error) {
	var list admissionv1.MutatingWebhookConfigurationList
	if err := r.Client.List(ctx, &list, client.MatchingLabels{manifest.LabelRevision: s.rev.Name}); err != nil {
		return admissionv1.MutatingWebhook{}, err
	}
	own := slices.DeleteFunc(list.Items, func(c admissionv1.MutatingWebhookConfiguration) bool {
		return c.Labels[manifest.LabelTag] != "" || len(c.Webhooks) == 0
	})
	if len(own) == 0 {
		return admissionv1.MutatingWebhook{}, errNoWebhook
	}
	slices.SortFunc(own, func(a, b admissionv1.MutatingWebhookConfiguration) int { return compareNames(&a, &b) })
	return own[0].Webhooks[0], nil
}
