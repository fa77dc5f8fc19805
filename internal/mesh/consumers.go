package mesh

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// Consumer is who asks for a revision or a tag, by the rules of package usage.
type Consumer struct {
	Ref finding.Ref
	// File and Index are its place, as of a finding: several can have one Ref, since a Job need not have a name.
	File  string
	Index int
	// Who is the name for people: "Deployment shop/web".
	Who string
	// Name is that of the revision or tag, Reason the label or annotation that says so, and Field its path: the names of
	// the fields.
	Name, Reason string
	Field        []string
	// Unsure says that it depends on the labels of a namespace that cannot be seen.
	Unsure bool
	// Past says that it is about a revision, and not a tag: a proxy that it has injected already, or the address of its
	// istiod.
	Past bool
}

// served are the names that workloads can ask for.
func (s Snapshot) served() map[string]bool {
	names := map[string]bool{}
	for _, t := range s.Tags {
		names[t.Name] = true
	}
	for _, c := range s.ControlPlanes {
		names[c.Name] = true
		for _, tag := range values.Tags(c.Values) {
			names[tag] = true
		}
	}
	delete(names, "")
	return names
}

// Unserved warns of namespaces and workloads that ask for injection by a revision or tag that is not there. Without a
// control plane nothing can be said about that.
func (s Snapshot) Unserved() finding.List {
	if len(s.ControlPlanes) == 0 {
		return nil
	}
	names := s.served()
	known := strings.Join(slices.Sorted(maps.Keys(names)), ", ")
	var found finding.List
	for _, u := range s.Consumers {
		if names[u.Name] || u.Past || len(u.Field) == 0 {
			continue
		}
		severity, message := s.missing(u, known)
		if severity == finding.Warning && s.wasInPlace(u.Name) {
			message += fmt.Sprintf(". If Istio/%s was InPlace before, the control plane %[1]s still injects, as long as it is "+
				"in the cluster: a GitOps tool prunes it unless the commit before rendered it with the option protect "+
				"(annotation lateen.io/protect: \"true\")", u.Name)
		}
		if message != "" {
			found.Add(finding.Finding{
				Severity: severity, Ref: u.Ref, File: u.File, Index: u.Index, Field: strings.Join(u.Field, "."), Message: message,
			})
		}
	}
	return found
}

// wasInPlace reports whether a name can be that of a control plane from before its Istio was updated by revisions,
// which is not seen any more.
func (s Snapshot) wasInPlace(name string) bool {
	return s.Forgets && slices.ContainsFunc(s.ControlPlanes, func(c ControlPlane) bool {
		return c.Istio == name && c.ByRevisions
	})
}

// missing is what to say about a consumer of a revision or tag that is not there, if anything. known are those that
// are.
func (s Snapshot) missing(u Consumer, known string) (finding.Severity, string) {
	key := u.Field[len(u.Field)-1]
	if key != usage.LabelRevision {
		if u.Unsure {
			return finding.Info, "" // its namespace may well have a label
		}
		return finding.Warning, fmt.Sprintf(
			"%s means the revision or tag named default, and the package has none%s: use the label istio.io/rev, "+
				"or add an IstioRevisionTag named default", asked[key], itHas(known))
	}
	if c, can := s.earlier(u.Name); can && s.Forgets {
		return finding.Info, fmt.Sprintf(
			"istio.io/rev: %s is not in the package, but may be an earlier revision of Istio/%s that is in the cluster; "+
				"move the label to %s when that one is ready", u.Name, c.Istio, c.Name)
	}
	says := fmt.Sprintf("istio.io/rev: %s is no revision or tag of the package%s: ", u.Name, itHas(known))
	switch {
	case u.Ref.Kind == "Gateway":
		return finding.Warning, says + "no control plane would deploy the Gateway"
	case u.Unsure:
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

// earlier is the control plane of the Istio, updated by revisions, that can have had a revision of the name before.
func (s Snapshot) earlier(revision string) (ControlPlane, bool) {
	for _, c := range s.ControlPlanes {
		version, ok := strings.CutPrefix(revision, c.Istio+"-v")
		if ok && c.Istio != "" && c.ByRevisions && earlierVersion.MatchString(version) {
			return c, true
		}
	}
	return ControlPlane{}, false
}

// earlierVersion is the version in the name of a revision, after -v: 1-27-0, 1-27-latest.
var earlierVersion = regexp.MustCompile(`^\d+-\d+-(\d+(-[0-9A-Za-z-]+)?|latest)$`)

// HeldBy says what needs an earlier revision, as what follows its name in a sentence, whatever usage reports say: "" if
// nothing that can be seen does.
func (s Snapshot) HeldBy(active, earlier ControlPlane) string {
	if values.External(active.Values) {
		return "it " + usage.External
	}
	tags := s.tagNames()
	if why := earlier.HoldsItself(tags[earlier.Name]); why != "" {
		return "it " + why
	}
	if t, ok := s.pointsAt(earlier.Name); ok {
		return t
	}
	for _, u := range s.Consumers {
		if u.Name == earlier.Name && (u.Past || !tags[earlier.Name]) {
			return fmt.Sprintf("%s in the package names it (%s)", u.Who, u.Reason)
		}
	}
	if why := s.heldByTag(active, earlier, tags); why != "" {
		return why
	}
	if s.Enrolled != "" && values.Ambient(earlier.Values) && !values.Ambient(active.Values) {
		return fmt.Sprintf("%s in the package is in ambient, which the active revision %s does not serve", s.Enrolled,
			active.Name)
	}
	return ""
}

// HoldsItself says what in a revision's own values keeps it, whoever else names it; "" if nothing does. replaced says
// that something else answers to its name.
func (c ControlPlane) HoldsItself(replaced bool) string {
	switch {
	case values.External(c.Values):
		return usage.External
	case c.Name == "default" && !replaced && injectsAll(c.Values):
		return "injects every namespace (sidecarInjectorWebhook.enableNamespacesByDefault)"
	}
	return ""
}

func injectsAll(v map[string]any) bool {
	return values.Bool(v, "sidecarInjectorWebhook", "enableNamespacesByDefault")
}

// pointsAt is the first IstioRevisionTag that points at a revision by name.
func (s Snapshot) pointsAt(revision string) (says string, ok bool) {
	for _, t := range s.Tags {
		if t.Target.Kind == kindRevision && t.Target.Name == revision {
			return "the tag " + t.Name + " in the package points at it", true
		}
	}
	return "", false
}

// heldByTag says who names a tag that only an earlier revision has, from its values.
func (s Snapshot) heldByTag(active, earlier ControlPlane, tags map[string]bool) string {
	stay := values.Tags(active.Values)
	for _, tag := range values.Tags(earlier.Values) {
		if tags[tag] || slices.Contains(stay, tag) {
			continue
		}
		for _, u := range s.Consumers {
			if u.Name == tag && !u.Past {
				return fmt.Sprintf("%s in the package names its tag %s of values.revisionTags (%s)", u.Who, tag, u.Reason)
			}
		}
	}
	return ""
}

// NamedBy is what asks for a revision or tag by name, as a sentence; "" if nothing does. replaced says that something
// else answers to the name: only what can mean the revision alone counts then.
func (s Snapshot) NamedBy(name string, replaced bool) string {
	if says, ok := s.pointsAt(name); ok {
		return says
	}
	return s.ConsumedBy(name, replaced)
}

// ConsumedBy is NamedBy without tags.
func (s Snapshot) ConsumedBy(name string, replaced bool) string {
	for _, u := range s.Consumers {
		if u.Name == name && (u.Past || !replaced) {
			return fmt.Sprintf("%s in the package names %s (%s)", u.Who, name, u.Reason)
		}
	}
	return ""
}

// NeedsPlugin says which control plane leaves the network of its pods to the CNI plugin, or may do so; "" if none does.
func (s Snapshot) NeedsPlugin() string {
	for _, c := range s.ControlPlanes {
		profile := values.String(c.Values, "profile")
		switch {
		case c.Unusable != "":
			return fmt.Sprintf("whether %s needs the CNI plugin cannot be told: it %s", c, c.Unusable)
		case strings.Contains(profile, "ambient"):
			return c.String() + " needs the CNI plugin (profile " + profile + ")"
		case values.NeedsCNI(c.Values, false):
			return c.String() + " needs the CNI plugin (pilot.cni.enabled)"
		}
	}
	return ""
}
