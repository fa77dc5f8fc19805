package expand

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"
	"github.com/Masterminds/semver/v3"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/selector"
	"github.com/lateen-io/lateen/internal/values"
)

// meshes warns of control planes that get in each other's way: two in one namespace, and two whose discoverySelectors
// can select one namespace, so that both would write there. Each control plane is named once, with the first that it
// collides with.
func (a *around) meshes() fn.Results {
	var seen []mesh
	var results fn.Results
	for _, p := range a.controlPlanes() {
		if p.err != nil || p.item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		m := meshOf(p)
		if m.remote {
			continue
		}
		for _, other := range seen {
			if r := collision(other, m); r != nil {
				results = append(results, r)
				break
			}
		}
		seen = append(seen, m)
	}
	return results
}

// mesh is what of a control plane can get in the way of another.
type mesh struct {
	item   manifest.Object
	remote bool
	// based tells whether it belongs to an Istio that is updated by revisions.
	based     bool
	namespace string
	// cluster is the one that it watches, which for an external control plane is another than it runs in.
	cluster  string
	external bool
	// discovers are its discoverySelectors, of which one must match a namespace; none match all.
	discovers []selector.Selector
}

func meshOf(p plane) mesh {
	m := mesh{item: p.item, based: p.based(), namespace: p.revision.Spec.Namespace}
	raw := p.revision.Spec.Values.Raw
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err == nil {
		m.cluster = values.String(v, "global", "multiCluster", "clusterName")
		m.remote = values.String(v, "profile") == "remote"
		m.external = values.String(v, "pilot", "env", "EXTERNAL_ISTIOD") == "true"
	}
	m.discovers = selector.FromValues(raw)
	return m
}

func collision(a, b mesh) *fn.Result {
	if a.namespace == b.namespace {
		if (a.based || a.item.Kind() == v1.KindIstioRevision) && (b.based || b.item.Kind() == v1.KindIstioRevision) {
			return nil // revisions beside each other
		}
		return krm.Result(b.item, fn.Warning, []string{"spec", "namespace"}, fmt.Sprintf(
			"%s and %s are two control planes in the namespace %s; give each a namespace of its own, or, for an upgrade, make them "+
				"revisions of one Istio (updateStrategy: RevisionBased)", nameOf(a.item), nameOf(b.item), a.namespace))
	}
	both := ""
	if a.cluster == b.cluster || !a.external && !b.external {
		both = selector.Overlap(a.discovers, b.discovers)
	}
	if both == "" {
		return nil
	}
	return krm.Result(b.item, fn.Warning, []string{"spec", "values", "meshConfig", "discoverySelectors"}, fmt.Sprintf(
		"%s and %s can discover the same namespace, %s: both would manage it; choose discoverySelectors that cannot both match, "+
			"such as one label with different values", nameOf(a.item), nameOf(b.item), both))
}

func nameOf(o manifest.Object) string { return o.Kind() + "/" + o.ID().Name }

// based tells whether the plane belongs to an Istio that is updated by revisions.
func (p plane) based() bool {
	return krm.Text(p.item, "spec", "updateStrategy", "type") == string(v1.UpdateStrategyRevisionBased)
}

// labels warns of namespaces and workloads in the package that ask for injection by a revision or tag that is not in it.
// A package without a control plane says nothing about that. Without memory, an earlier revision of a RevisionBased Istio is
// not in the package, but may be in the cluster.
func (a *around) labels(memory bool) fn.Results {
	names := a.tags()
	for _, p := range a.controlPlanes() {
		names[p.name] = true
	}
	delete(names, "")
	if len(a.controlPlanes()) == 0 {
		return nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	earlier := func(rev string) bool {
		return !memory && slices.ContainsFunc(a.controlPlanes(), func(p plane) bool {
			rest, ok := strings.CutPrefix(rev, p.istio+"-v")
			return ok && p.istio != "" && p.based() && earlierVersion.MatchString(rest)
		})
	}
	var results fn.Results
	for _, item := range a.items {
		if item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		rev := revisionLabel(item)
		switch {
		case item.Kind() == "Namespace" && item.Label("istio-injection") == "enabled":
			if !names["default"] {
				results = append(results, krm.Result(item, fn.Warning, []string{"metadata", "labels", "istio-injection"}, fmt.Sprintf(
					"istio-injection: enabled means the revision or tag named default, and the package has none (it has: %s): use the label "+
						"istio.io/rev, or add an IstioRevisionTag named default", known)))
			}
		case rev != "" && !names[rev] && !earlier(rev) && item.Label("istio-injection") == "":
			results = append(results, krm.Result(item, fn.Warning, []string{"metadata", "labels", "istio.io/rev"}, fmt.Sprintf(
				"istio.io/rev: %s is no revision or tag of the package (it has: %s): nothing would be injected, and Pods may fail to start", rev, known)))
		}
	}
	return results
}

// earlierVersion is the version in the name of a revision, after -v: 1-27-0, 1-27-latest.
var earlierVersion = regexp.MustCompile(`^\d+-\d+-(\d+(-[0-9A-Za-z-]+)?|latest)$`)

// revisionLabel is the label istio.io/rev of a namespace, or of the Pods of a workload.
func revisionLabel(item manifest.Object) string {
	switch item.Kind() {
	case "Namespace", "Pod":
		return item.Label("istio.io/rev")
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job":
		return krm.Text(item, "spec", "template", "metadata", "labels", "istio.io/rev")
	case "CronJob":
		return krm.Text(item, "spec", "jobTemplate", "spec", "template", "metadata", "labels", "istio.io/rev")
	}
	return ""
}

// skew warns of a CNI plugin that does not go with a control plane of the package: the plugin of 1.x works with 1.x-1, 1.x
// and 1.x+1.
func (j *job) skew() {
	cni, err := semver.NewVersion(j.output.Release.Version)
	if err != nil {
		return
	}
	for _, p := range j.around.controlPlanes() {
		v, err := semver.NewVersion(p.version)
		if err != nil || v.Major() == cni.Major() && v.Minor() <= cni.Minor()+1 && v.Minor()+1 >= cni.Minor() {
			continue
		}
		r := j.result(fn.Warning, []string{"spec", "version"}, fmt.Sprintf("spec.version: the CNI plugin of Istio %s does not work with %s of Istio %s; "+
			"it works with the minor versions before, at and after its own", j.output.Release.Version, nameOf(p.item), p.version))
		r.Field.CurrentValue = j.output.Release.Version
	}
}
