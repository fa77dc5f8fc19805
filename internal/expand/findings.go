package expand

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// collisions warns of control planes that get in each other's way. Earlier revisions that the package remembers do not
// count: they are on their way out.
func (a *around) collisions() finding.List {
	var planes []mesh.ControlPlane
	items := map[finding.Ref]manifest.Object{}
	for _, p := range a.controlPlanes() {
		if p.err == nil && p.item.Annotation(manifest.AnnotationOwner) == "" {
			planes = append(planes, p.typed())
			items[resource.RefOf(p.item)] = p.item
		}
	}
	var out finding.List
	for _, f := range mesh.Collisions(planes) {
		out = append(out, resource.About(items[f.Ref], finding.List{f})...)
	}
	return out
}

// typed is the control plane as package mesh sees it.
func (p plane) typed() mesh.ControlPlane {
	c := mesh.ControlPlane{
		Ref: resource.RefOf(p.item), Version: p.version, Coexists: p.based() || p.item.Kind() == v1.KindIstioRevision,
	}
	if p.plan.Planned != nil {
		c.Namespace, c.Values = p.plan.Planned.Spec.Namespace, valuesOf(p.plan.Planned.Spec.Values)
	}
	return c
}

func nameOf(o manifest.Object) string { return o.Kind() + "/" + o.ID().Name }

// based tells whether the plane belongs to an Istio that is updated by revisions.
func (p plane) based() bool {
	return resource.Text(p.item, "spec", "updateStrategy", "type") == string(v1.UpdateStrategyRevisionBased)
}

// labels warns of namespaces and workloads in the package that ask for injection by a revision or tag that is not in
// it. A package without a control plane says nothing about that. Without memory, an earlier revision of a RevisionBased
// Istio is not in the package, but may be in the cluster.
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
		if severity == finding.Warning && !memory && slices.ContainsFunc(a.controlPlanes(), func(p plane) bool {
			return p.istio == u.name && p.based()
		}) {
			message += fmt.Sprintf(". If Istio/%s was InPlace before, the control plane %[1]s still injects, as long as it is "+
				"in the cluster: a GitOps tool prunes it unless the commit before rendered it with the option protect "+
				"(annotation lateen.io/protect: \"true\")",
				u.name)
		}
		if message != "" {
			findings = append(findings, resource.Finding(u.item, severity, u.field, message))
		}
	}
	return findings
}

// missing is what to say about a user of a revision or tag that is not in the package, if anything. known are those
// that are.
func (a *around) missing(u use, known string, memory bool) (finding.Severity, string) {
	key := u.field[len(u.field)-1]
	if key != usage.LabelRevision {
		if u.unsure {
			return finding.Info, "" // its namespace may well have a label
		}
		return finding.Warning, fmt.Sprintf(
			"%s means the revision or tag named default, and the package has none%s: use the label istio.io/rev, "+
				"or add an IstioRevisionTag named default", asked[key], itHas(known))
	}
	if p := a.earlier(u.name); p != nil && !memory {
		return finding.Info, fmt.Sprintf(
			"istio.io/rev: %s is not in the package, but may be an earlier revision of Istio/%s that is in the cluster; "+
				"move the label to %s when that one is ready", u.name, p.istio, p.name)
	}
	says := fmt.Sprintf("istio.io/rev: %s is no revision or tag of the package%s: ", u.name, itHas(known))
	switch {
	case u.item.Kind() == "Gateway":
		return finding.Warning, says + "no control plane would deploy the Gateway"
	case u.unsure:
		return finding.Info, says + "nothing would be injected, unless the namespace, which is not in the package, has a " +
			"label of its own"
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
var asked = map[string]string{
	usage.LabelInjection: "istio-injection: enabled", usage.LabelInject: `sidecar.istio.io/inject: "true"`,
}

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

// skew warns of a CNI plugin that does not go with a control plane of the package.
func (j *job) skew() {
	for _, p := range j.around.controlPlanes() {
		if f, skewed := mesh.Skew(resource.RefOf(j.Resource.Object), j.output.Release.Version, p.typed()); skewed {
			j.found(finding.List{f})
		}
	}
}
