package expand

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/Masterminds/semver/v3"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/selector"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// meshes warns of control planes that get in each other's way: two in one namespace, and two whose discoverySelectors
// can select one namespace, so that both would write there. Each control plane is named once, with the first that it
// collides with.
func (a *around) meshes() finding.List {
	var seen []mesh
	var findings finding.List
	for _, p := range a.controlPlanes() {
		if p.err != nil || p.item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		m := meshOf(p)
		if m.remote {
			continue
		}
		for _, other := range seen {
			if f, found := collision(other, m); found {
				findings.Add(f)
				break
			}
		}
		seen = append(seen, m)
	}
	return findings
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
	m := mesh{item: p.item, based: p.based(), namespace: p.plan.Planned.Spec.Namespace}
	raw := p.plan.Planned.Spec.Values.Raw
	var v map[string]any
	if err := json.Unmarshal(raw, &v); err == nil {
		m.cluster = values.String(v, "global", "multiCluster", "clusterName")
		m.remote = values.String(v, "profile") == "remote"
		m.external = values.External(v)
	}
	m.discovers = selector.FromValues(raw)
	return m
}

func collision(a, b mesh) (f finding.Finding, found bool) {
	if a.namespace == b.namespace {
		if (a.based || a.item.Kind() == v1.KindIstioRevision) && (b.based || b.item.Kind() == v1.KindIstioRevision) {
			return f, false // revisions beside each other
		}
		return resource.Finding(b.item, finding.Warning, []string{"spec", "namespace"}, fmt.Sprintf(
			"%s and %s are two control planes in the namespace %s; give each a namespace of its own, or, for an upgrade, make them "+
				"revisions of one Istio (updateStrategy: RevisionBased)", nameOf(a.item), nameOf(b.item), a.namespace)), true
	}
	both := ""
	if a.cluster == b.cluster || !a.external && !b.external {
		both = selector.Overlap(a.discovers, b.discovers)
	}
	if both == "" {
		return f, false
	}
	return resource.Finding(b.item, finding.Warning, []string{"spec", "values", "meshConfig", "discoverySelectors"}, fmt.Sprintf(
		"%s and %s can discover the same namespace, %s: both would manage it; choose discoverySelectors that cannot both match, "+
			"such as one label with different values", nameOf(a.item), nameOf(b.item), both)), true
}

func nameOf(o manifest.Object) string { return o.Kind() + "/" + o.ID().Name }

// based tells whether the plane belongs to an Istio that is updated by revisions.
func (p plane) based() bool {
	return resource.Text(p.item, "spec", "updateStrategy", "type") == string(v1.UpdateStrategyRevisionBased)
}

// labels warns of namespaces and workloads in the package that ask for injection by a revision or tag that is not in it.
// A package without a control plane says nothing about that. Without memory, an earlier revision of a RevisionBased Istio is
// not in the package, but may be in the cluster.
func (a *around) labels(memory bool) finding.List {
	names := tagNames(a.items)
	for _, p := range a.controlPlanes() {
		names[p.name] = true
		for _, tag := range valueTags(p.item) {
			names[tag] = true
		}
	}
	delete(names, "")
	if len(a.controlPlanes()) == 0 {
		return nil
	}
	known := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	var findings finding.List
	for _, u := range usesOf(a.items) {
		if names[u.name] || u.past || len(u.field) == 0 {
			continue
		}
		severity, message := a.missing(u, known, memory)
		if severity == finding.Warning && !memory && slices.ContainsFunc(a.controlPlanes(), func(p plane) bool { return p.istio == u.name && p.based() }) {
			message += fmt.Sprintf(". If Istio/%s was InPlace before, the control plane %[1]s still injects, as long as it is in the cluster: a GitOps tool "+
				"prunes it unless the commit before rendered it with the option protect (annotation lateen.io/protect: \"true\")", u.name)
		}
		if message != "" {
			findings = append(findings, resource.Finding(u.item, severity, u.field, message))
		}
	}
	return findings
}

// missing is what to say about a user of a revision or tag that is not in the package, if anything. known are those that are.
func (a *around) missing(u use, known string, memory bool) (finding.Severity, string) {
	key := u.field[len(u.field)-1]
	if key != usage.LabelRevision {
		if u.unsure {
			return finding.Info, "" // its namespace may well have a label
		}
		return finding.Warning, fmt.Sprintf("%s means the revision or tag named default, and the package has none%s: use the label istio.io/rev, "+
			"or add an IstioRevisionTag named default", asked[key], itHas(known))
	}
	if p := a.earlier(u.name); p != nil && !memory {
		return finding.Info, fmt.Sprintf("istio.io/rev: %s is not in the package, but may be an earlier revision of Istio/%s that is in the cluster; "+
			"move the label to %s when that one is ready", u.name, p.istio, p.name)
	}
	says := fmt.Sprintf("istio.io/rev: %s is no revision or tag of the package%s: ", u.name, itHas(known))
	switch {
	case u.item.Kind() == "Gateway":
		return finding.Warning, says + "no control plane would deploy the Gateway"
	case u.unsure:
		return finding.Info, says + "nothing would be injected, unless the namespace, which is not in the package, has a label of its own"
	}
	return finding.Warning, says + "nothing would be injected, and Pods may fail to start"
}

// itHas adds the names that there are to what there is not; nothing if there are none.
func itHas(known string) string {
	if known == "" {
		return ""
	}
	return " (it has: " + known + ")"
}

// asked is how the labels that mean the name default are written.
var asked = map[string]string{usage.LabelInjection: "istio-injection: enabled", usage.LabelInject: `sidecar.istio.io/inject: "true"`}

// earlier is the Istio, updated by revisions, that can have had a revision of the name before; nil if there is none.
func (a *around) earlier(revision string) *plane {
	for i, p := range a.controlPlanes() {
		version, ok := strings.CutPrefix(revision, p.istio+"-v")
		if ok && p.istio != "" && p.based() && earlierVersion.MatchString(version) {
			return &a.controlPlanes()[i]
		}
	}
	return nil
}

// earlierVersion is the version in the name of a revision, after -v: 1-27-0, 1-27-latest.
var earlierVersion = regexp.MustCompile(`^\d+-\d+-(\d+(-[0-9A-Za-z-]+)?|latest)$`)

// skew warns of a CNI plugin that does not go with a control plane of the package: the plugin of 1.x works with 1.x-1, 1.x
// and 1.x+1. Of versions without a number, such as master, it says that it does not know.
func (j *job) skew() {
	cni, errCNI := semver.NewVersion(j.output.Release.Version)
	for _, p := range j.around.controlPlanes() {
		if p.version == "" {
			continue
		}
		v, err := semver.NewVersion(p.version)
		severity, message := finding.Warning, fmt.Sprintf("spec.version: the CNI plugin of Istio %s does not work with %s of Istio %s; "+
			"it works with the minor versions before, at and after its own", j.output.Release.Version, nameOf(p.item), p.version)
		switch {
		case (errCNI != nil || err != nil) && p.version == j.output.Release.Version:
			continue
		case errCNI != nil || err != nil:
			severity, message = finding.Info, fmt.Sprintf("spec.version: whether the CNI plugin of Istio %s works with %s of Istio %s cannot be told from the versions",
				j.output.Release.Version, nameOf(p.item), p.version)
		case v.Major() == cni.Major() && v.Minor() <= cni.Minor()+1 && v.Minor()+1 >= cni.Minor():
			continue
		}
		j.add(severity, []string{"spec", "version"}, message).Current = j.output.Release.Version
	}
}
