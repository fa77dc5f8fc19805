// Package desired computes what the cluster should have: it calls the pipeline that the KRM functions call, with
// what the controller was told about its cluster. It reads nothing and writes nothing. What it finds wrong only a
// change of the resource can mend, so no error of this package is worth a retry.
package desired

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	sigsyaml "sigs.k8s.io/yaml"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// keepFailurePolicy tells whether validating webhooks keep the charts' failurePolicy. The controller leaves it out
// as the functions do: it is istiod's.
const keepFailurePolicy = false

// Pipeline is the rendering pipeline for one cluster. It is safe for concurrent use.
type Pipeline struct {
	// Charts has the charts of versions that are not bundled; nil for none.
	Charts *release.Directory
	// Platform is the kind of cluster, such as openshift or gke, if it is known.
	Platform string
	// KubeVersion is the version of the cluster, such as v1.34.0.
	KubeVersion string

	mutex sync.Mutex
	last  map[types.UID]rendering
}

// rendering is the last one of a resource, and what it was made from.
type rendering struct {
	input  string
	output Objects
}

// Objects are the objects of one resource, in the order in which they can be applied.
type Objects struct {
	List []*unstructured.Unstructured
	// Digest identifies their content.
	Digest string
	// Version is the Istio version they are of, resolved: v1.28.3.
	Version string
	// Warnings are about values that do not do what they seem to.
	Warnings []string
}

// OpenShift tells whether the cluster is one.
func (p *Pipeline) OpenShift() bool { return p.Platform == "openshift" }

// Revision plans the IstioRevision that an Istio asks for.
func (p *Pipeline) Revision(istio *v1.Istio) (*v1.IstioRevision, error) {
	istio = istio.DeepCopy()
	istio.Default()
	rel, err := p.resolve(istio.Spec.Version)
	if err != nil {
		return nil, err
	}
	problems, err := render.CheckIstio(rel, istio, source)
	if err := invalid(problems, err); err != nil {
		return nil, err
	}
	return render.Plan(render.PlanInput{Istio: istio, Release: rel, Platform: p.Platform, KubeVersion: p.KubeVersion})
}

// source is where the controller has resources from: nobody puts anything into what it applies.
var source = render.Source{FluxSubstitute: "false"}

// Warnings are about values of an Istio that do not do what they seem to. It has none if it is wrong.
func (p *Pipeline) Warnings(istio *v1.Istio) []string {
	istio = istio.DeepCopy()
	istio.Default()
	rel, err := p.resolve(istio.Spec.Version)
	if err != nil {
		return nil
	}
	problems, err := render.CheckIstio(rel, istio, source)
	if err != nil {
		return nil
	}
	return warnings(problems)
}

// Objects gives the objects of an IstioRevision.
func (p *Pipeline) Objects(rev *v1.IstioRevision) (Objects, error) {
	return p.cached(rev.UID, fmt.Sprint(rev.Generation, owner(rev)), func() (rendered, error) {
		rel, complete, problems, err := p.complete(rev)
		if err != nil {
			return rendered{}, err
		}
		if strings.HasPrefix(owner(rev), v1.KindIstio+"/") {
			problems = nil // the Istio has them
		}
		in := p.input(rev, complete, rel)
		in.Warn = func(p render.Problem) { problems = append(problems, p) }
		objects, err := render.Render(in)
		return rendered{objects, rel.Version, warnings(problems)}, err
	})
}

// rendered is what becomes of a resource.
type rendered struct {
	objects  []manifest.Object
	version  string
	warnings []string
}

func warnings(problems []render.Problem) []string {
	var out []string
	for _, p := range problems {
		if p.Warning {
			out = append(out, p.String())
		}
	}
	return out
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
func (p *Pipeline) CRDs(rev *v1.IstioRevision) (CRDs, error) {
	rel, complete, _, err := p.complete(rev)
	if err != nil {
		return CRDs{}, err
	}
	in := p.input(rev, complete, rel)
	out := CRDs{Version: rel.Version, Owner: in.Owner}
	in.Owner = ""
	if out.objects, err = render.CRDs(in); err != nil {
		return out, err
	}
	digest := sha256.New()
	for _, o := range out.objects {
		if err := o.Encode(digest); err != nil {
			return out, fmt.Errorf("%s: %w", o.ID(), err)
		}
	}
	out.Digest = hex.EncodeToString(digest.Sum(nil))
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

func (p *Pipeline) input(rev, complete *v1.IstioRevision, rel release.Release) render.Input {
	return render.Input{
		Revision: complete, Release: rel, Owner: owner(rev), KubeVersion: p.KubeVersion, KeepFailurePolicy: keepFailurePolicy,
	}
}

// complete checks an IstioRevision and fills in what it may leave out.
func (p *Pipeline) complete(rev *v1.IstioRevision) (release.Release, *v1.IstioRevision, []render.Problem, error) {
	rel, err := p.resolve(rev.Spec.Version)
	if err != nil {
		return rel, nil, nil, err
	}
	if err := release.CheckAlias(string(rev.Spec.Version), rel,
		rev.Annotations[manifest.AnnotationVersion]); err != nil {
		return rel, nil, nil, fmt.Errorf("spec.version: %w", err)
	}
	problems, err := render.CheckRevision(rel, rev, source)
	if err := invalid(problems, err); err != nil {
		return rel, nil, nil, err
	}
	complete, err := render.Complete(rev)
	return rel, complete, problems, err
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

// Tag gives the objects of a tag that points at a revision.
func (p *Pipeline) Tag(tag *v1.IstioRevisionTag, rev *v1.IstioRevision) (Objects, error) {
	return p.cached(tag.UID, fmt.Sprint(rev.UID, rev.Generation), func() (rendered, error) {
		rel, complete, _, err := p.complete(rev)
		if err != nil {
			return rendered{}, fmt.Errorf("IstioRevision/%s: %w", rev.Name, err)
		}
		objects, err := render.Tag(render.TagInput{
			Name: tag.Name, Revision: complete, Release: rel, KubeVersion: p.KubeVersion,
			Owner: v1.KindIstioRevisionTag + "/" + tag.Name, KeepFailurePolicy: keepFailurePolicy,
		})
		return rendered{objects, rel.Version, nil}, err
	})
}

// CNI gives the objects of the CNI plugin.
func (p *Pipeline) CNI(cni *v1.IstioCNI) (Objects, error) {
	return p.cached(cni.UID, strconv.FormatInt(cni.Generation, 10), func() (rendered, error) {
		cni := cni.DeepCopy()
		cni.Default()
		rel, err := p.resolve(cni.Spec.Version)
		if err != nil {
			return rendered{}, err
		}
		problems, err := render.CheckCNI(rel, cni.Spec, source)
		if err := invalid(problems, err); err != nil {
			return rendered{}, err
		}
		objects, err := render.CNI(render.CNIInput{
			CNI: cni, Release: rel, Platform: p.Platform, KubeVersion: p.KubeVersion, Owner: v1.KindIstioCNI + "/" + cni.Name,
			Warn: func(p render.Problem) { problems = append(problems, p) },
		})
		return rendered{objects, rel.Version, warnings(problems)}, err
	})
}

// Forget drops what is kept of a resource that is gone.
func (p *Pipeline) Forget(uid types.UID) {
	p.mutex.Lock()
	defer p.mutex.Unlock()
	delete(p.last, uid)
}

// cached renders, unless the last rendering of the resource was of the same input: its spec has a generation, and
// all else stays the same while the process runs. Callers must not change the objects.
func (p *Pipeline) cached(uid types.UID, input string, f func() (rendered, error)) (Objects, error) {
	p.mutex.Lock()
	have, ok := p.last[uid]
	p.mutex.Unlock()
	if ok && uid != "" && have.input == input {
		return have.output, nil
	}
	defer metrics.Rendered(time.Now())
	made, err := f()
	if err != nil {
		return Objects{}, err
	}
	out, err := pack(made.objects, made.version)
	if err != nil {
		return Objects{}, err
	}
	out.Warnings = made.warnings
	p.mutex.Lock()
	defer p.mutex.Unlock()
	if p.last == nil {
		p.last = map[types.UID]rendering{}
	}
	p.last[uid] = rendering{input, out}
	return out, nil
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
	out.Digest = hex.EncodeToString(digest.Sum(nil))
	return out, nil
}

func (p *Pipeline) resolve(version v1.Version) (release.Release, error) {
	rel, err := release.Bundled().Resolve(string(version), p.Charts)
	if err != nil {
		return rel, fmt.Errorf("spec.version: %w", err)
	}
	return rel, nil
}

// Stays is what is wrong if a version is an alias that would take an installed control plane down to an older
// patch: the charts of that one are not here any more. installed is "" if it is not known.
func (p *Pipeline) Stays(version v1.Version, installed string) error {
	rel, err := release.Bundled().Resolve(string(version), p.Charts)
	if err != nil {
		return nil //nolint:nilerr // whoever renders it says so
	}
	if err := release.CheckAlias(string(version), rel, installed); err != nil {
		return fmt.Errorf("spec.version: %w", err)
	}
	return nil
}

// EndOfLife is a sentence if the version is past its end of life, or empty.
func (p *Pipeline) EndOfLife(version string) string {
	rel, err := release.Bundled().Resolve(version, p.Charts)
	if err != nil {
		return ""
	}
	return render.EndOfLife(rel)
}

// invalid makes one error of the problems that keep a resource from being rendered.
func invalid(problems []render.Problem, err error) error {
	if err != nil {
		return err
	}
	var all []string
	for _, p := range problems {
		if !p.Warning {
			all = append(all, p.String())
		}
	}
	if len(all) == 0 {
		return nil
	}
	return errors.New(strings.Join(all, "; "))
}

// ServerVersion makes what charts are told of what a cluster says its version is: v1.34.0-eks-1234 is
// v1.34.0-eks-1234, and an error if it is none.
func ServerVersion(gitVersion string) (string, error) {
	v, err := chart.ParseKubeVersion(gitVersion)
	if err != nil {
		return "", fmt.Errorf("the cluster says its version is %q: %w", gitVersion, err)
	}
	return v.Version, nil
}
