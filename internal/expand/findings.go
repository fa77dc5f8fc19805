package expand

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn"
	"github.com/Masterminds/semver/v3"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/selector"
	"github.com/lateen-io/lateen/internal/values"
)

// meshes warns of control planes that get in each other's way: two in one namespace, and two whose discoverySelectors
// can select one namespace, so that both would write there.
func (a *around) meshes() fn.Results {
	var local []plane
	for _, p := range a.controlPlanes() {
		if p.err == nil && !render.Remote(p.revision) && p.item.Annotation(manifest.AnnotationOwner) == "" {
			local = append(local, p)
		}
	}
	var results fn.Results
	for i, p := range local {
		for _, q := range local[:i] {
			switch {
			case p.revision.Spec.Namespace == q.revision.Spec.Namespace && (!p.based() || !q.based()):
				results = append(results, krm.Result(p.item, fn.Warning, []string{"spec", "namespace"}, fmt.Sprintf(
					"%s and %s are two control planes in the namespace %s; give each a namespace of its own, or, for an upgrade, make them "+
						"revisions of one Istio (updateStrategy: RevisionBased)", nameOf(q.item), nameOf(p.item), p.revision.Spec.Namespace)))
			case p.revision.Spec.Namespace != q.revision.Spec.Namespace && p.cluster() == q.cluster():
				if both := selector.Overlap(q.discovers(), p.discovers()); both != "" {
					results = append(results, krm.Result(p.item, fn.Warning, []string{"spec", "values", "meshConfig", "discoverySelectors"}, fmt.Sprintf(
						"%s and %s can discover the same namespace, %s: both would manage it; choose discoverySelectors that cannot both match, "+
							"such as one label with different values", nameOf(q.item), nameOf(p.item), both)))
				}
			}
		}
	}
	return results
}

func nameOf(o manifest.Object) string { return o.Kind() + "/" + o.ID().Name }

// based tells whether the plane belongs to an Istio that is updated by revisions.
func (p plane) based() bool {
	return krm.Text(p.item, "spec", "updateStrategy", "type") == string(v1.UpdateStrategyRevisionBased)
}

// cluster is the cluster that the control plane watches: an external one watches another than it runs in.
func (p plane) cluster() string {
	var v map[string]any
	if err := json.Unmarshal(p.revision.Spec.Values.Raw, &v); err != nil {
		return ""
	}
	return values.String(v, "global", "multiCluster", "clusterName")
}

// discovers are the discoverySelectors of a control plane, of which one must match a namespace; none match all.
func (p plane) discovers() []selector.Selector {
	return selector.FromValues(p.revision.Spec.Values.Raw)
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
			return p.istio != "" && p.based() && strings.HasPrefix(rev, p.istio+"-v")
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
