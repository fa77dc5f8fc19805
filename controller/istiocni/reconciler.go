// Package istiocni reconciles the IstioCNI: it applies the objects of the CNI plugin and reports whether it works.
package istiocni

import (
	"context"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/health"
	"github.com/lateen-io/lateen/internal/manifest"
)

// Reconciler reconciles the IstioCNI.
type Reconciler struct {
	// Client reads from the cache and writes to the server.
	Client client.Client
	// Live reads from the server, when the cache does not know yet what was written.
	Live     client.Reader
	Renderer *rendering.Renderer
	Applier  *apply.Applier
	Events   events.EventRecorder
	Now      func() time.Time

	reporter status.Reporter
}

// scope is what one run knows.
type scope struct {
	cni      *v1.IstioCNI
	pipeline bool
	// changed says that this run has changed the DaemonSet: the cache does not know it yet.
	changed bool
	facts   facts
	status.Run
}

// Reconcile brings the cluster closer to what an IstioCNI asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	cni := &v1.IstioCNI{}
	if err := r.reporter.Read(ctx, r.Client, r.Live, req.Name, cni); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	cni.Default()
	s := &scope{cni: cni, pipeline: owned.PipelineRendered(cni)}
	if cni.DeletionTimestamp != nil {
		return status.Ended(r.objects().Finalize(ctx, cni, cni.Status.Inventory, r.Now()))
	}
	return status.Do(ctx, &s.Run, s, r.finalizer, r.apply, r.observe, r.report)
}

// finalizer puts the finalizer on a resource whose objects the controller applies.
func (r *Reconciler) finalizer(ctx context.Context, s *scope) error {
	return r.objects().EnsureFinalizer(ctx, s.cni, s.cni.Status.Inventory, s.pipeline)
}

func (r *Reconciler) objects() owned.Objects {
	return owned.Objects{Client: r.Client, Applier: r.Applier, Renderer: r.Renderer, Events: r.Events}
}

// apply makes the objects as they should be.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	if err := owned.NamespaceProblem(ctx, r.Client, s.cni.Spec.Namespace); err != nil {
		return err
	}
	if s.pipeline {
		return nil
	}
	objects, found := r.Renderer.CNI(s.cni, r.installed(ctx, s.cni))
	if wrong := found.Err(); wrong != nil {
		return status.Permanent(v1.ReasonReconcileError, wrong)
	}
	status.Warn(r.Events, s.cni, s.cni.Status.ObservedGeneration, found)
	applied, err := r.objects().Apply(ctx, s.cni, &s.cni.Status.Inventory, owned.Desired{Objects: objects})
	s.facts.inventory, s.changed = applied.Inventory, applied.Changed("DaemonSet")
	return err
}

// installed is the version of Istio that the plugin is of in the cluster; "" if that is not known.
func (r *Reconciler) installed(ctx context.Context, cni *v1.IstioCNI) string {
	d := &appsv1.DaemonSet{}
	if err := r.Client.Get(ctx, client.ObjectKey{Namespace: cni.Spec.Namespace, Name: daemonSet}, d); err != nil {
		return ""
	}
	return d.Annotations[manifest.AnnotationVersion]
}

// observe looks at the plugin.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	if s.changed {
		s.facts.ready = health.CNI(health.DaemonSet{Found: true, Generation: 1}) // not observed yet
		return nil
	}
	d := &appsv1.DaemonSet{}
	key := client.ObjectKey{Namespace: s.cni.Spec.Namespace, Name: daemonSet}
	again, err := cluster.Find(ctx, r.Client, r.Live, key, d, s.pipeline)
	s.Wake(again)
	switch {
	case apierrors.IsNotFound(err):
		s.facts.ready = health.CNI(health.DaemonSet{})
	case err != nil:
		s.facts.ready = health.CNI(health.DaemonSet{Err: err.Error()})
	default:
		s.facts.ready = health.CNI(health.DaemonSet{
			Found: true, Generation: d.Generation, ObservedGeneration: d.Status.ObservedGeneration,
			Scheduled: d.Status.DesiredNumberScheduled, Ready: d.Status.NumberReady,
		})
	}
	return nil
}

// daemonSet is the name that the chart gives to the plugin's DaemonSet.
const daemonSet = "istio-cni-node"

// report writes the status, if it is another one, and tells about what has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	before := s.cni.DeepCopy()
	s.facts.reconciled = s.Problem()
	s.cni.Status = nextStatus(r.Now(), s.cni, s.facts)
	again, err := r.reporter.Report(ctx, r.Client, r.Events, r.Now(), before, s.cni)
	s.Wake(again)
	return err
}
