// Package istiorevisiontag reconciles IstioRevisionTags: it keeps the webhooks of each tag on the revision that the tag
// points at, and moves them to another one only when that is ready, so that pods are injected throughout an upgrade.
package istiorevisiontag

import (
	"context"
	"errors"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// Reconciler reconciles IstioRevisionTags.
type Reconciler struct {
	// Client reads from the cache and writes to the server.
	Client client.Client
	// Live reads from the server, when the cache does not know yet what was written.
	Live     client.Reader
	Renderer *rendering.Renderer
	Applier  *apply.Applier
	Usage    *cluster.Usage
	Events   events.EventRecorder
	Now      func() time.Time

	reporter status.Reporter
}

// scope is what one run knows.
type scope struct {
	tag *v1.IstioRevisionTag
	// target is the revision that spec asks for, and current the one that the tag's webhooks inject from; nil if there is
	// none.
	target, current *v1.IstioRevision
	// unresolved is why there is no target.
	unresolved *status.Problem
	facts      facts
	status.Run
}

// Reconcile brings the cluster closer to what an IstioRevisionTag asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	tag := &v1.IstioRevisionTag{}
	if err := r.reporter.Read(ctx, r.Client, r.Live, req.Name, tag); err != nil {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	if tag.DeletionTimestamp != nil {
		return status.Ended(r.objects().Finalize(ctx, tag, tag.Status.Inventory, r.Now()))
	}
	s := &scope{tag: tag}
	return status.Do(ctx, &s.Run, s, r.resolve, r.finalizer, r.apply, r.use, r.report)
}

// resolve finds the revision that the tag asks for, and the one that it is on.
func (r *Reconciler) resolve(ctx context.Context, s *scope) error {
	var err error
	if s.current, err = r.revision(ctx, s.tag.Status.IstioRevision); err != nil {
		return err
	}
	ref := s.tag.Spec.TargetRef
	name := ref.Name
	if ref.Kind == v1.TargetIstio {
		istio := &v1.Istio{}
		if err := r.Client.Get(ctx, client.ObjectKey{Name: ref.Name}, istio); err != nil {
			s.unresolved = s.noTarget("does not exist")
			return client.IgnoreNotFound(err)
		}
		if name, err = render.RevisionName(istio); err != nil {
			s.unresolved = s.noTarget("has no revision: " + err.Error())
			return nil //nolint:nilerr // the Istio says so as well
		}
	}
	if s.target, err = r.revision(ctx, name); err != nil {
		return err
	}
	switch {
	case s.target == nil && ref.Kind == v1.TargetIstio:
		// The Istio makes it, if it can, and says why if it cannot: that is nothing to mend in the tag.
		s.unresolved = s.noTarget("has no revision yet: IstioRevision/" + name + " does not exist")
		s.unresolved.Permanent = false
	case s.target == nil:
		s.unresolved = s.noTarget("does not exist")
	case ref.Kind == v1.TargetIstio && owned.OwningIstio(s.target) != ref.Name:
		s.unresolved = s.noTarget("has no revision: IstioRevision/" + name + " does not belong to it")
		s.target = nil
	case render.Remote(s.target):
		s.unresolved = status.Permanent(v1.ReasonReconcileError, errors.New(mesh.RemoteTarget(s.typed()).Message))
		s.target = nil
	}
	return nil
}

// noTarget says why there is no target, as what follows its name in a sentence.
func (s *scope) noTarget(why string) *status.Problem {
	return status.Permanent(v1.ReasonRefNotFound, errors.New(mesh.NoTarget(s.typed(), why).Message))
}

// typed is the tag for package mesh.
func (s *scope) typed() mesh.Tag {
	ref := s.tag.Spec.TargetRef
	return mesh.Tag{
		Ref: resource.Ref(v1.KindIstioRevisionTag, s.tag.Name), Name: s.tag.Name,
		Target: finding.Ref{Kind: string(ref.Kind), Name: ref.Name},
	}
}

func (r *Reconciler) revision(ctx context.Context, name string) (*v1.IstioRevision, error) {
	if name == "" {
		return nil, nil
	}
	rev := &v1.IstioRevision{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, rev); err != nil {
		return nil, client.IgnoreNotFound(err)
	}
	return rev, nil
}

// pipeline reports whether a pipeline renders the webhooks of the tag: it says so itself, or its revision does.
func (s *scope) pipeline() bool {
	return owned.PipelineRendered(s.tag) || s.target != nil && owned.PipelineRendered(s.target)
}

// finalizer puts the finalizer on a tag whose objects the controller applies.
func (r *Reconciler) finalizer(ctx context.Context, s *scope) error {
	return r.objects().EnsureFinalizer(ctx, s.tag, s.tag.Status.Inventory, s.pipeline())
}

func (r *Reconciler) objects() owned.Objects {
	return owned.Objects{Client: r.Client, Applier: r.Applier, Renderer: r.Renderer, Events: r.Events}
}

// apply makes the objects as they should be.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	same, err := r.revision(ctx, s.tag.Name)
	if err != nil {
		return err
	}
	if same != nil && !owned.Older(s.tag, same) {
		return r.yield(ctx, s, errors.New(mesh.TakenByRevision(s.typed(), mesh.RenameTag).Message))
	}
	why, err := r.clash(ctx, s.tag)
	if err != nil {
		return err
	}
	if why != "" {
		return r.yield(ctx, s, errors.New(why))
	}
	if s.target == nil {
		s.facts.on = s.current
		if s.unresolved != nil {
			return s.unresolved
		}
		return nil
	}
	if s.pipeline() {
		return r.watch(ctx, s)
	}
	on := s.target
	if s.stays() {
		on, s.facts.waiting = s.current, s.target.Name
	}
	if err := owned.NamespaceProblem(ctx, r.Client, on.Spec.Namespace); err != nil {
		s.facts.on = s.current
		return err
	}
	objects, found := r.Renderer.Tag(s.tag, on)
	if wrong := found.Err(); wrong != nil {
		s.facts.on = s.current
		return status.Permanent(v1.ReasonReconcileError, wrong)
	}
	applied, err := r.objects().Apply(ctx, s.tag, &s.tag.Status.Inventory, owned.Desired{Objects: objects})
	s.facts.inventory = applied.Inventory
	if err != nil {
		if p, ok := errors.AsType[*status.Problem](err); ok && p.Reason != v1.ReasonNameAlreadyExists {
			// Otherwise the webhooks of its name are another resource's.
			s.facts.on = s.current
		}
		return err
	}
	s.facts.on = on
	if s.current != nil && s.current.Name != on.Name {
		r.Events.Eventf(s.tag, on, corev1.EventTypeNormal, "TagMoved", "Apply", "moved from IstioRevision %s to %s",
			s.current.Name, on.Name)
	}
	return nil
}

// yield takes the webhooks of a tag away whose name another resource has.
func (r *Reconciler) yield(ctx context.Context, s *scope, why error) error {
	var err error
	s.facts.inventory, err = r.objects().Withdraw(ctx, s.tag, s.tag.Status.Inventory)
	return errors.Join(status.Permanent(v1.ReasonNameAlreadyExists, why), err)
}

// clash says why the tag is another resource's, or "".
func (r *Reconciler) clash(ctx context.Context, tag *v1.IstioRevisionTag) (string, error) {
	var all v1.IstioRevisionList
	if err := r.Client.List(ctx, &all); err != nil {
		return "", err
	}
	return istiorevision.TagClash(ctx, r.objects(), tag, tag.Name, nil, all.Items)
}

// stays reports whether the tag has to stay on its revision for now: that one works, and the other one does not yet.
func (s *scope) stays() bool {
	return s.current != nil && s.current.Name != s.target.Name && s.current.DeletionTimestamp == nil &&
		istiorevision.Works(s.current) && !ready(s.target)
}

func ready(rev *v1.IstioRevision) bool {
	return rev.Status.ObservedGeneration == rev.Generation && rev.Status.Conditions.IsTrue(v1.ConditionReady)
}

var errNotApplied = errors.New(
	"its webhooks are not in the cluster; a pipeline renders its revision, so render the tag in the same package " +
		"(function revision-tag)")

// watch finds out where a tag points whose webhooks a pipeline renders.
func (r *Reconciler) watch(ctx context.Context, s *scope) error {
	var list admissionv1.MutatingWebhookConfigurationList
	if err := r.Client.List(ctx, &list, client.MatchingLabels{manifest.LabelTag: s.tag.Name}); err != nil {
		return err
	}
	i := slices.IndexFunc(list.Items, func(c admissionv1.MutatingWebhookConfiguration) bool {
		return c.Labels[manifest.LabelRevision] != ""
	})
	if i < 0 {
		return status.Permanent(v1.ReasonReconcileError, errNotApplied)
	}
	on, err := r.revision(ctx, list.Items[i].Labels[manifest.LabelRevision])
	if s.facts.on = on; on != nil && on.Name != s.target.Name {
		s.facts.waiting = s.target.Name
	}
	return err
}

// use finds out who uses the tag.
func (r *Reconciler) use(_ context.Context, s *scope) error {
	if !r.Usage.Synced() && s.tag.Status.Conditions.Get(v1.ConditionInUse) != nil {
		return nil // a controller that has just started has nothing to say against what was known before
	}
	var info usage.RevisionInfo
	if s.facts.on != nil {
		info = istiorevision.Info(s.facts.on, nil)
	}
	use := r.Usage.Index().Tag(s.tag.Name, info, istiorevision.NamedUsers)
	s.facts.use = &use
	return nil
}

// report writes the status, if it is another one, and tells about what has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	before := s.tag.DeepCopy()
	s.facts.reconciled = s.Problem()
	s.tag.Status = nextStatus(r.Now(), s.tag, s.facts, s.pipeline())
	again, err := r.reporter.Report(ctx, r.Client, r.Events, r.Now(), before, s.tag)
	s.Wake(again)
	return err
}
