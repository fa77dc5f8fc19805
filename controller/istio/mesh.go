package istio

import (
	"context"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
)

// compare tells what the functions tell about several resources of a package: that the control plane gets in the way of
// another one, when the spec or the revision has changed, and that an upgrade leaves out versions, when it begins.
func (r *Reconciler) compare(ctx context.Context, s *scope) error {
	i := slices.IndexFunc(s.revisions, s.isActive)
	if s.Problem() != nil || i < 0 {
		return nil //nolint:nilerr // the problem is noted
	}
	active := &s.revisions[i]
	if s.written != nil || s.istio.Generation != s.istio.Status.ObservedGeneration {
		found, err := r.collisions(ctx, s, active)
		if err != nil {
			return err
		}
		status.Tell(r.Events, s.istio, status.EventCheckMesh, found)
	}
	if s.written == nil {
		return nil
	}
	if f, skipped := mesh.Skipped(r.step(s)); skipped {
		status.Tell(r.Events, s.istio, status.EventCheckMesh, finding.List{f})
	}
	return nil
}

// collisions are those of the active revision with the control planes of others. The own one comes last: it is the one
// that is told.
func (r *Reconciler) collisions(ctx context.Context, s *scope, active *v1.IstioRevision) (finding.List, error) {
	var istios v1.IstioList
	if err := r.Client.List(ctx, &istios); err != nil {
		return nil, err
	}
	based := map[string]bool{}
	for i := range istios.Items {
		based[istios.Items[i].Name] = istios.Items[i].Spec.RevisionBased()
	}
	others := slices.DeleteFunc(slices.Clone(s.all), func(rev v1.IstioRevision) bool {
		return owned.OwningIstio(&rev) == s.istio.Name || rev.DeletionTimestamp != nil || rev.Status.InactiveSince != nil
	})
	slices.SortFunc(others, func(a, b v1.IstioRevision) int { return strings.Compare(a.Name, b.Name) })
	var planes []mesh.ControlPlane
	for i := range others {
		rev := &others[i]
		owner := owned.OwningIstio(rev)
		planes = append(planes, istiorevision.ControlPlane(rev, r.Renderer.VersionOf(rev), owner == "" || based[owner]))
	}
	planes = append(planes, istiorevision.ControlPlane(active, r.Renderer.VersionOf(active), s.istio.Spec.RevisionBased()))
	return slices.DeleteFunc(mesh.Collisions(planes), func(f finding.Finding) bool {
		return f.Ref != resource.Ref(v1.KindIstio, s.istio.Name)
	}), nil
}

// step is the upgrade that this run has begun, from what was there before.
func (r *Reconciler) step(s *scope) mesh.Step {
	step := mesh.Step{
		Ref: resource.Ref(v1.KindIstio, s.istio.Name), To: r.Renderer.VersionOf(s.written), Available: r.Renderer.Available(),
	}
	if s.live != nil {
		step.From, step.InPlace = s.live.Annotations[manifest.AnnotationVersion], true
		return step
	}
	var earlier []string
	for i := range s.revisions {
		if rev := &s.revisions[i]; !s.isActive(*rev) {
			earlier = append(earlier, r.Renderer.VersionOf(rev))
		}
	}
	step.From = mesh.Newest(earlier)
	return step
}
