package expand

import (
	"fmt"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// Around is a package as a tag sees it.
type Around struct {
	Items []manifest.Object
	// Options are those in force for every resource of the package, below its own annotations.
	Options krm.Options
}

// candidate is something a tag may point at.
type candidate struct {
	revision *v1.IstioRevision
	release  release.Release
	// istio is the name of the Istio whose active revision it is, empty for an IstioRevision in the package.
	istio string
}

// target finds what a tag points at: the planned active revision of an Istio, whether or not it has been rendered yet, or
// an IstioRevision of the package.
func (j *job) target(dirs directories) {
	ref := j.Resource.Tag.Spec.TargetRef
	candidates, err := j.Around.candidates(dirs)
	if err != nil {
		j.fail([]string{"spec", "targetRef"}, "spec.targetRef: %v", err)
		return
	}
	for _, c := range candidates {
		if c.revision.Name == j.Resource.Tag.Name {
			j.fail([]string{"metadata", "name"}, "a revision has the name of the tag, %s: workloads with the label istio.io/rev=%[1]s would be "+
				"injected twice; rename the tag", c.revision.Name)
			return
		}
	}
	i := slices.IndexFunc(candidates, func(c candidate) bool {
		if ref.Kind == v1.TargetIstio {
			return c.istio == ref.Name
		}
		return c.revision.Name == ref.Name
	})
	if i < 0 {
		j.fail([]string{"spec", "targetRef", "name"}, "spec.targetRef: %s/%s is not in the package; there are: %s",
			ref.Kind, ref.Name, list(candidates)).Field.CurrentValue = ref.Name
		return
	}
	if render.Remote(candidates[i].revision) {
		j.fail([]string{"spec", "targetRef", "name"}, "spec.targetRef: %s/%s is a remote control plane; a tag can only point at one in the same cluster",
			ref.Kind, ref.Name)
		return
	}
	j.output.Revision, j.output.Release = candidates[i].revision, candidates[i].release
}

// candidates lists what tags may point at: for each Istio its planned revision, and the IstioRevisions in the package that
// are not one of these.
func (a Around) candidates(dirs directories) ([]candidate, error) {
	var out []candidate
	seen := map[string]bool{}
	for _, kind := range []string{v1.KindIstio, v1.KindIstioRevision} {
		for _, item := range a.Items {
			if item.Kind() != kind || item.ID().Group != v1.GroupVersion.Group || seen[item.ID().Name] && kind == v1.KindIstioRevision {
				continue
			}
			c, err := a.candidate(item, dirs)
			if err != nil {
				return nil, fmt.Errorf("%s/%s: %w", kind, item.ID().Name, err)
			}
			seen[c.revision.Name] = true
			out = append(out, c)
		}
	}
	return out, nil
}

func (a Around) candidate(item manifest.Object, dirs directories) (candidate, error) {
	r, results := krm.Decode(item)
	for _, result := range results {
		if result.Severity == fn.Error {
			return candidate{}, fmt.Errorf("%s", result.Message)
		}
	}
	options := r.Options.Over(a.Options)
	dir, err := dirs.open(options[krm.OptionCharts])
	if err != nil {
		return candidate{}, err
	}
	rel, err := release.Bundled().Resolve(string(r.Version()), dir)
	if err != nil {
		return candidate{}, err
	}
	if r.Istio != nil {
		rev, err := planIstio(r.Istio, rel, options)
		return candidate{rev, rel, r.Istio.Name}, err
	}
	rev, err := render.Complete(r.Revision)
	return candidate{rev, rel, ""}, err
}

func list(candidates []candidate) string {
	var names []string
	for _, c := range candidates {
		if c.istio != "" {
			names = append(names, v1.KindIstio+"/"+c.istio)
		}
		names = append(names, v1.KindIstioRevision+"/"+c.revision.Name)
	}
	if len(names) == 0 {
		return "none. Under kustomize, list the function as a transformer: a generator does not see the other resources"
	}
	return strings.Join(names, ", ")
}
