// Package rendering has what the controller's resources are rendered to. It decides nothing: that is render's job, the
// same for pipelines. This package adds what the controller knows of its cluster, remembers what was rendered of each
// resource, and makes of the objects what a client of Kubernetes applies.
package rendering

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// Renderer renders for one cluster. It is safe for concurrent use.
type Renderer struct {
	// Charts has the charts of versions that are not bundled; nil for none.
	Charts *release.Directory
	// Platform is the kind of cluster, such as openshift or gke, if it is known.
	Platform string
	// KubeVersion is the version of the cluster, such as v1.34.0.
	KubeVersion string

	mutex sync.Mutex
	last  map[types.UID]remembered
}

// remembered is the last rendering of a resource, and what it was made from.
type remembered struct {
	input  string
	output Objects
	found  finding.List
}

// Objects are the objects of one resource, in the order in which they can be applied.
type Objects struct {
	List []*unstructured.Unstructured
	// Digest identifies their content.
	Digest string
	// Version is the Istio version they are of, resolved: v1.28.3.
	Version string
}

// OpenShift reports whether the cluster is one.
func (r *Renderer) OpenShift() bool { return r.Platform == "openshift" }

// input is what all renderings for the cluster have in common. Nobody puts anything into what the controller applies,
// and failurePolicy is istiod's, as in a pipeline.
func (r *Renderer) input() render.Input {
	return render.Input{
		Charts: r.Charts,
		Options: resource.Options{
			Platform: r.Platform, KubeVersion: r.KubeVersion, FluxSubstitute: resource.SubstituteNo,
		},
	}
}

// Istio plans the IstioRevision that an Istio asks for. installed is the version that it has now; empty for none.
func (r *Renderer) Istio(istio *v1.Istio, installed string) (render.Plan, finding.List) {
	in := r.input()
	in.Installed, in.Istio = installed, istio.DeepCopy()
	in.Istio.Default()
	return render.Prepare(in)
}

// revision is the input for an IstioRevision, of which the version installed is there.
func (r *Renderer) revision(rev *v1.IstioRevision, installed string) render.Input {
	in := r.input()
	in.Revision, in.Installed, in.Owner = rev, installed, owner(rev)
	return in
}

// Revision gives the objects of an IstioRevision, of which the version installed is there; empty if that is not known.
func (r *Renderer) Revision(rev *v1.IstioRevision, installed string) (Objects, finding.List) {
	made := fmt.Sprint(rev.Generation, owner(rev), " ", installed)
	return r.cached(rev.UID, made, func() (render.Output, finding.List) {
		plan, found := render.Prepare(r.revision(rev, installed))
		if found.HasError() {
			return render.Output{}, found
		}
		if strings.HasPrefix(plan.Owner, v1.KindIstio+"/") {
			found = nil // its Istio says so: they are about the same values
		}
		out, more := plan.Render()
		return out, append(found, more...)
	})
}

// Tag gives the objects of a tag that points at a revision.
func (r *Renderer) Tag(tag *v1.IstioRevisionTag, rev *v1.IstioRevision) (Objects, finding.List) {
	return r.cached(tag.UID, fmt.Sprint(rev.UID, rev.Generation), func() (render.Output, finding.List) {
		target, found := render.Prepare(r.revision(rev, rev.Annotations[manifest.AnnotationVersion]))
		if found.HasError() {
			for i := range found {
				found[i].Message = v1.KindIstioRevision + "/" + rev.Name + ": " + found[i].Message
			}
			return render.Output{}, found
		}
		in := r.input()
		in.Tag, in.Target, in.Owner = tag, &target, v1.KindIstioRevisionTag+"/"+tag.Name
		return render.Render(in)
	})
}

// CNI gives the objects of the CNI plugin, of which the version installed is there; empty if that is not known.
func (r *Renderer) CNI(cni *v1.IstioCNI, installed string) (Objects, finding.List) {
	return r.cached(cni.UID, fmt.Sprint(cni.Generation, " ", installed), func() (render.Output, finding.List) {
		in := r.input()
		in.Installed, in.Owner, in.CNI = installed, v1.KindIstioCNI+"/"+cni.Name, cni.DeepCopy()
		in.CNI.Default()
		return render.Render(in)
	})
}

// Resolve is the version that a resource asks for: v1.28.3 of v1.28-latest. What cannot be resolved stays as it is.
func (r *Renderer) Resolve(version v1.Version) string {
	rel, err := release.Bundled().Resolve(string(version), r.Charts)
	if err != nil {
		return string(version)
	}
	return rel.Version
}

// VersionOf is the Istio version of a revision: as it is on record, or as its spec is understood here.
func (r *Renderer) VersionOf(rev *v1.IstioRevision) string {
	return cmp.Or(rev.Annotations[manifest.AnnotationVersion], r.Resolve(rev.Spec.Version))
}

// Available are the Istio versions that can be had.
func (r *Renderer) Available() []string { return release.Bundled().Available(r.Charts) }

// EndOfLife is a sentence if a version is past its end of life, or empty.
func (r *Renderer) EndOfLife(version string) string {
	rel, err := release.Bundled().Resolve(version, r.Charts)
	if err != nil {
		return ""
	}
	return render.EndOfLife(rel)
}

// CRDs are Istio's own CustomResourceDefinitions as a revision would bring them.
type CRDs struct {
	// Digest identifies their content, whoever brings them; Version is the Istio version they are of.
	Digest, Version string
	// Owner is who brings them: the stamp that they get.
	Owner string

	objects []manifest.Object
}

// CRDs gives Istio's own CustomResourceDefinitions of the version of a revision. They are a megabyte of text, which
// most calls need not have parsed.
func (r *Renderer) CRDs(rev *v1.IstioRevision) (CRDs, error) {
	plan, found := render.Prepare(r.revision(rev, rev.Annotations[manifest.AnnotationVersion]))
	if err := found.Err(); err != nil {
		return CRDs{}, err
	}
	out := CRDs{Version: plan.Release.Version, Owner: plan.Owner}
	plan.Owner = ""
	var err error
	if out.objects, err = plan.IstioCRDs(); err != nil {
		return out, err
	}
	digest := sha256.New()
	for _, o := range out.objects {
		if err := o.Encode(digest); err != nil {
			return out, fmt.Errorf("%s: %w", o.ID(), err)
		}
	}
	out.Digest = sum(digest)
	return out, nil
}

// Names are the names of the CRDs.
func (c CRDs) Names() []string {
	var out []string
	for _, o := range c.objects {
		out = append(out, o.ID().Name)
	}
	return out
}

// Object gives the CRD of a name, stamped with an owner.
func (c CRDs) Object(name, owner string) (*unstructured.Unstructured, error) {
	i := slices.IndexFunc(c.objects, func(o manifest.Object) bool { return o.ID().Name == name })
	if i < 0 {
		return nil, fmt.Errorf("the charts of Istio %s have no CustomResourceDefinition %s", c.Version, name)
	}
	all, err := pack(c.objects[i:i+1], c.Version)
	if err != nil {
		return nil, err
	}
	crd := all.List[0]
	annotations := crd.GetAnnotations()
	annotations[manifest.AnnotationOwner] = owner
	crd.SetAnnotations(annotations)
	return crd, nil
}

// owner is what the objects of a revision are stamped with: the Istio that it belongs to, as in a pipeline, or
// itself.
func owner(rev *v1.IstioRevision) string {
	for _, ref := range rev.OwnerReferences {
		if ref.Kind == v1.KindIstio && ref.APIVersion == v1.GroupVersion.String() {
			return ref.Kind + "/" + ref.Name
		}
	}
	return v1.KindIstioRevision + "/" + rev.Name
}

// Forget drops what is kept of a resource that is gone.
func (r *Renderer) Forget(uid types.UID) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	delete(r.last, uid)
}

// cached renders, unless the last rendering of the resource was of the same input: its spec has a generation, and
// all else stays the same while the process runs. Callers must not change the objects.
func (r *Renderer) cached(
	uid types.UID, input string, f func() (render.Output, finding.List),
) (Objects, finding.List) {
	r.mutex.Lock()
	have, ok := r.last[uid]
	r.mutex.Unlock()
	if ok && uid != "" && have.input == input {
		return have.output, have.found
	}
	defer metrics.Rendered(time.Now())
	made, found := f()
	if found.HasError() {
		return Objects{}, found
	}
	out, err := pack(made.Objects, made.Release.Version)
	if err != nil {
		return Objects{}, append(found, finding.Finding{Severity: finding.Error, Message: err.Error()})
	}
	r.mutex.Lock()
	defer r.mutex.Unlock()
	if r.last == nil {
		r.last = map[types.UID]remembered{}
	}
	r.last[uid] = remembered{input, out, found}
	return out, found
}

func pack(objects []manifest.Object, version string) (Objects, error) {
	out := Objects{Version: version}
	digest := sha256.New()
	for _, o := range objects {
		var buf bytes.Buffer
		if err := o.Encode(&buf); err != nil {
			return out, fmt.Errorf("%s: %w", o.ID(), err)
		}
		digest.Write(buf.Bytes())
		data, err := sigsyaml.YAMLToJSON(buf.Bytes())
		if err != nil {
			return out, fmt.Errorf("%s: %w", o.ID(), err)
		}
		u := &unstructured.Unstructured{}
		if err := u.UnmarshalJSON(data); err != nil {
			return out, fmt.Errorf("%s: %w", o.ID(), err)
		}
		out.List = append(out.List, u)
	}
	out.Digest = sum(digest)
	return out, nil
}

func sum(digest hash.Hash) string { return hex.EncodeToString(digest.Sum(nil)) }

// ServerVersion makes what charts are told of what a cluster says its version is: v1.34.0-eks-1234 is
// v1.34.0-eks-1234, and an error if it is none.
func ServerVersion(gitVersion string) (string, error) {
	v, err := chart.ParseKubeVersion(gitVersion)
	if err != nil {
		return "", fmt.Errorf("the cluster says its version is %q: %w", gitVersion, err)
	}
	return v.Version, nil
}
