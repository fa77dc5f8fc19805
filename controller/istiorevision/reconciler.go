// Package istiorevision reconciles IstioRevisions: it applies the objects of each, and reports whether the control
// plane works and who uses it. Which revisions there are, and which may go, is the business of the Istio that owns
// them.
package istiorevision

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/health"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/revision"
	"github.com/lateen-io/lateen/internal/values"
)

// Reconciler reconciles IstioRevisions.
type Reconciler struct {
	// Client reads from the cache and writes to the server; Live reads from the server.
	Client   client.Client
	Live     client.Reader
	Renderer *rendering.Renderer
	Applier  *apply.Applier
	// CRDs brings Istio's own CustomResourceDefinitions; nil if somebody else does.
	CRDs   *CRDs
	Usage  *cluster.Usage
	Prober *cluster.Prober
	Events events.EventRecorder
	Now    func() time.Time

	reporter status.Reporter
	// kept has, for each abandoned revision, by name, why somebody was told that it stays.
	kept sync.Map
}

// scope is what one run knows.
type scope struct {
	rev *v1.IstioRevision
	// pipeline says that a pipeline renders the objects and somebody else applies them.
	pipeline bool
	// abandoned says that it does, and that the Istio it rendered it for is not in the cluster.
	abandoned bool
	tags      []v1.IstioRevisionTag
	// all are all revisions of the cluster.
	all []v1.IstioRevision
	// istio is the name of the Istio that owns the revision, and active that of the revision it asks for, if that
	// exists; "" for none.
	istio, active string
	// clash says why a tag of the values is not brought; "" for nothing.
	clash string
	// changed says that this run has changed the Deployment of istiod: the cache does not know it yet.
	changed bool
	facts   facts
	status.Run
}

// Reconcile brings the cluster closer to what an IstioRevision asks for.
func (r *Reconciler) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	rev := &v1.IstioRevision{}
	if err := r.reporter.Read(ctx, r.Client, r.Live, req.Name, rev); err != nil {
		if apierrors.IsNotFound(err) {
			r.forget(req.Name)
			r.recheckTagged(ctx, req.Name)
		}
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	s := &scope{rev: rev, pipeline: owned.PipelineRendered(rev)}
	if rev.DeletionTimestamp != nil {
		var err error
		if s.facts.held, err = r.held(ctx, rev); err != nil {
			return status.Ended(err)
		}
		if s.facts.held == "" {
			r.Prober.Forget(rev.Name)
			return status.Ended(r.objects().Finalize(ctx, rev, rev.Status.Inventory, r.Now()))
		}
	}
	return status.Do(ctx, &s.Run, s, r.finalizer, r.gather, r.apply, r.observe, r.use, r.abandon, r.report)
}

// forget drops what is known about a revision that is gone.
func (r *Reconciler) forget(name string) {
	r.Prober.Forget(name)
	r.kept.Delete(name)
	if r.CRDs != nil {
		r.CRDs.Forget(name)
	}
}

// soon is when to look again at what this run has changed.
const soon = 100 * time.Millisecond

// finalizer puts the finalizer on a revision whose objects the controller applies.
func (r *Reconciler) finalizer(ctx context.Context, s *scope) error {
	if s.facts.held != "" {
		return r.keepDependents(ctx, s.rev)
	}
	return r.objects().EnsureFinalizer(ctx, s.rev, s.rev.Status.Inventory, s.pipeline)
}

func (r *Reconciler) objects() owned.Objects {
	return owned.Objects{Client: r.Client, Applier: r.Applier, Renderer: r.Renderer, Events: r.Events}
}

// gather reads what the phases decide on.
func (r *Reconciler) gather(ctx context.Context, s *scope) error {
	var tags v1.IstioRevisionTagList
	if err := r.Client.List(ctx, &tags); err != nil {
		return err
	}
	s.tags = tags.Items
	var revisions v1.IstioRevisionList
	if err := r.Client.List(ctx, &revisions); err != nil {
		return err
	}
	s.facts.remote = render.Remote(s.rev)
	inactive, err := r.inactive(ctx, s)
	s.facts.inactive = inactive
	s.all = standing(revisions.Items, s.rev, inactive)
	return err
}

// standing are all revisions with this one as this run sees it: by its status it may still be what it was before, and
// its own tags would hold it for ever, since no event tells of our own status.
func standing(all []v1.IstioRevision, rev *v1.IstioRevision, inactive bool) []v1.IstioRevision {
	out := slices.Clone(all)
	for i := range out {
		if out[i].Name != rev.Name {
			continue
		}
		rev.DeepCopyInto(&out[i])
		if !inactive {
			out[i].Status.InactiveSince = nil
		} else if rev.Status.InactiveSince == nil {
			out[i].Status.InactiveSince = &metav1.Time{} // since when does not matter here
		}
	}
	return out
}

// inactive reports whether an Istio owns the revision and asks for another one.
func (r *Reconciler) inactive(ctx context.Context, s *scope) (bool, error) {
	name := owned.OwningIstio(s.rev)
	s.istio = name
	if name == "" {
		return false, nil
	}
	istio := &v1.Istio{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: name}, istio); err != nil {
		// An Istio that is not there has not asked for another revision. If a pipeline renders that, nobody asks
		// for it any more.
		s.abandoned = s.pipeline && apierrors.IsNotFound(err)
		return s.abandoned, client.IgnoreNotFound(err)
	}
	active, wrong := render.RevisionName(istio)
	if wrong != nil {
		// The Istio says so in its own status, and asks for no other revision as long as it is wrong.
		return s.rev.Status.InactiveSince != nil, nil //nolint:nilerr // see above
	}
	if active == s.rev.Name {
		s.active = active
		return false, nil
	}
	// As long as the one that is asked for does not exist, nothing has taken the place of this one.
	err := r.Client.Get(ctx, client.ObjectKey{Name: active}, &v1.IstioRevision{})
	if err == nil {
		s.active = active
	}
	return err == nil, client.IgnoreNotFound(err)
}

// apply makes the objects as they should be.
func (r *Reconciler) apply(ctx context.Context, s *scope) error {
	if tag := s.tagOfTheName(); tag != nil && owned.Older(tag, s.rev) {
		var err error
		s.facts.inventory, err = r.objects().Withdraw(ctx, s.rev, s.rev.Status.Inventory)
		return errors.Join(status.Permanent(v1.ReasonNameAlreadyExists, fmt.Errorf(
			"an IstioRevisionTag with the name %s exists already; a revision and a tag cannot have the same name",
			s.rev.Name)), err)
	}
	if why := TagOfTheName(s.rev, s.all); why != "" {
		return status.Permanent(v1.ReasonNameAlreadyExists, errors.New(why))
	}
	if err := owned.NamespaceProblem(ctx, r.Client, s.rev.Spec.Namespace); err != nil || s.pipeline {
		return err
	}
	objects, found := r.Renderer.Revision(s.rev, r.installed(ctx, s.rev))
	if wrong := found.Err(); wrong != nil {
		return status.Permanent(v1.ReasonReconcileError, wrong)
	}
	status.Warn(r.Events, s.rev, s.rev.Status.ObservedGeneration, found)
	crds := r.crds(ctx, s)
	desired, err := r.shared(ctx, s, objects)
	if err != nil {
		return err
	}
	applied, err := r.objects().Apply(ctx, s.rev, &s.rev.Status.Inventory, desired)
	s.facts.inventory, s.changed = applied.Inventory, applied.Changed("Deployment")
	var clash error
	if s.clash != "" {
		clash = status.Permanent(v1.ReasonNameAlreadyExists, errors.New(s.clash))
	}
	return errors.Join(err, crds, clash)
}

// crds brings Istio's CRDs. What is wrong with one of them holds up nothing else: a control plane that runs has to
// be repaired and upgraded all the same, and it can do without a kind that nobody uses.
func (r *Reconciler) crds(ctx context.Context, s *scope) error {
	if r.CRDs == nil {
		return nil
	}
	found, err := r.CRDs.ensure(ctx, s.rev)
	s.facts.outdated = found.outdated
	s.Wake(found.again)
	if err == nil {
		return nil
	}
	problem := owned.Refused(err)
	problem.Retry = problem.Retry && found.again == 0 // else it is known when to try again
	return problem
}

// installed is the version of Istio that was applied last: an Istio notes it on its revision; of a revision by hand
// the Deployment says it, from Istio 1.24 on. "" if it is not known.
func (r *Reconciler) installed(ctx context.Context, rev *v1.IstioRevision) string {
	if v := rev.Annotations[manifest.AnnotationVersion]; v != "" {
		return v
	}
	d := &appsv1.Deployment{}
	if err := r.Client.Get(ctx, client.ObjectKey{
		Namespace: rev.Spec.Namespace, Name: "istiod" + revision.Suffix(rev.Name),
	}, d); err != nil {
		return ""
	}
	return versionOf(nil, d.Labels)
}

func (s *scope) tagOfTheName() *v1.IstioRevisionTag {
	for i, t := range s.tags {
		if t.Name == s.rev.Name {
			return &s.tags[i]
		}
	}
	return nil
}

// observe looks at the control plane and at what it depends on.
func (r *Reconciler) observe(ctx context.Context, s *scope) error {
	if s.facts.remote {
		s.facts.ready = r.remoteReady(ctx, s)
	} else {
		r.Prober.Forget(s.rev.Name)
		s.facts.ready = health.Istiod(r.deployment(ctx, s))
	}
	if len(s.facts.waiting) > 0 && s.facts.ready.Status == metav1.ConditionTrue {
		s.Wake(soon) // the tags of the values come now, and no event tells of our own status
	}
	v, err := s.rev.Spec.Values.Map()
	if err != nil {
		v = nil // the CRD has made sure that it is an object
	}
	var cni health.IstioCNI
	needs := values.NeedsCNI(v, r.Renderer.OpenShift())
	if needs {
		cni = r.cni(ctx, s)
	}
	s.facts.dependencies = health.Dependencies(needs, cni)
	if s.facts.outdated != "" && s.facts.dependencies.Status == metav1.ConditionTrue {
		s.facts.dependencies = v1.Condition{
			Type: v1.ConditionDependenciesHealthy, Status: metav1.ConditionFalse, Reason: v1.ReasonCRDsOutdated,
			Message: s.facts.outdated,
		}
	}
	return nil
}

func (r *Reconciler) deployment(ctx context.Context, s *scope) health.Deployment {
	if s.changed {
		return health.Deployment{Found: true, Generation: 1, Desired: 1} // not observed yet
	}
	d := &appsv1.Deployment{}
	name := "istiod" + revision.Suffix(s.rev.Name)
	key := client.ObjectKey{Namespace: s.rev.Spec.Namespace, Name: name}
	again, err := cluster.Find(ctx, r.Client, r.Live, key, d, s.pipeline)
	s.Wake(again)
	switch {
	case apierrors.IsNotFound(err):
		return health.Deployment{}
	case err != nil:
		return health.Deployment{Err: err.Error()}
	}
	out := health.Deployment{
		Found: true, Generation: d.Generation, ObservedGeneration: d.Status.ObservedGeneration,
		Desired: 1, Total: d.Status.Replicas, Updated: d.Status.UpdatedReplicas, Ready: d.Status.ReadyReplicas,
	}
	if d.Spec.Replicas != nil {
		out.Desired = *d.Spec.Replicas
	}
	return out
}

func (r *Reconciler) cni(ctx context.Context, s *scope) health.IstioCNI {
	cni := &v1.IstioCNI{}
	if err := r.Client.Get(ctx, client.ObjectKey{Name: v1.IstioCNIName}, cni); err != nil {
		if apierrors.IsNotFound(err) {
			return health.IstioCNI{}
		}
		return health.IstioCNI{Err: err.Error()}
	}
	return health.IstioCNI{Found: true, State: cni.Status.State, Skew: r.skew(cni, s.rev)}
}

// skew says why the CNI plugin does not work with a revision, or "".
func (r *Reconciler) skew(cni *v1.IstioCNI, rev *v1.IstioRevision) string {
	ref := resource.Ref(v1.KindIstioCNI, cni.Name)
	f, skewed := mesh.Skew(ref, r.Renderer.Resolve(cni.Spec.Version), ControlPlane(rev, r.Renderer.VersionOf(rev), true))
	if !skewed || f.Severity != finding.Warning {
		return ""
	}
	return ref.String() + ": " + f.Message
}

// ControlPlane is a revision as package mesh sees it, called by what a person can change: its Istio, if it has one.
func ControlPlane(rev *v1.IstioRevision, version string, coexists bool) mesh.ControlPlane {
	return mesh.ControlPlane{
		Ref: refOf(rev), Name: rev.Name, Version: version, Namespace: rev.Spec.Namespace, Values: valuesOf(rev),
		Coexists: coexists,
	}
}

// refOf is the resource that a person can change about a revision: its Istio, if it has one.
func refOf(rev *v1.IstioRevision) finding.Ref {
	if owner := owned.OwningIstio(rev); owner != "" {
		return resource.Ref(v1.KindIstio, owner)
	}
	return resource.Ref(v1.KindIstioRevision, rev.Name)
}

// use finds out who uses the revision.
func (r *Reconciler) use(_ context.Context, s *scope) error {
	if !r.Usage.Synced() && s.rev.Status.Conditions.Get(v1.ConditionInUse) != nil {
		return nil // a controller that has just started has nothing to say against what was known before
	}
	use := r.Usage.Index().Revision(Info(s.rev, s.all), Tags(s.tags, s.all), NamedUsers)
	s.facts.use = &use
	return nil
}

// report writes the status, if it is another one, and tells about what has changed.
func (r *Reconciler) report(ctx context.Context, s *scope) error {
	before := s.rev.DeepCopy()
	s.facts.reconciled = s.Problem()
	s.rev.Status = nextStatus(r.Now(), s.rev, s.facts)
	again, err := r.reporter.Report(ctx, r.Client, r.Events, r.Now(), before, s.rev)
	s.Wake(again)
	return err
}

var errNoWebhook = errors.New("the injection webhook does not exist yet")
