package mesh

import (
	"fmt"
	"strings"

	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/values"
)

// The kinds of sailoperator.io/v1 that are not alike here.
const (
	kindIstio    = "Istio"
	kindRevision = "IstioRevision"
	kindTag      = "IstioRevisionTag"
)

// Tag is a revision tag, by the resource that brings it.
type Tag struct {
	// Ref is that resource: an IstioRevisionTag, or the control plane whose values.revisionTags lists the tag.
	Ref  finding.Ref
	Name string
	// Target is what an IstioRevisionTag points at, by kind (Istio or IstioRevision) and name; zero for a tag of values,
	// which is on its control plane.
	Target finding.Ref
}

// inValues reports whether a control plane brings it, by values.revisionTags.
func (t Tag) inValues() bool { return t.Ref.Kind != kindTag }

// field is where a user has written its name.
func (t Tag) field() string {
	if t.inValues() {
		return "spec.values.revisionTags"
	}
	return "metadata.name"
}

// String is where a user has written it, in words.
func (t Tag) String() string {
	if t.inValues() {
		return "spec.values.revisionTags of " + t.Ref.String()
	}
	return t.Ref.String()
}

// RenameTag is what to do about a tag whose name a revision has, unless there is something better.
const RenameTag = "rename the tag"

// TakenByRevision says that a tag cannot have its name, since a revision has it, and what to do.
func TakenByRevision(t Tag, remedy string) finding.Finding {
	message := fmt.Sprintf("a revision has the name of the tag, %s: workloads with the label istio.io/rev=%[1]s would be "+
		"injected twice; %s", t.Name, remedy)
	if t.inValues() {
		message = t.field() + ": " + message
	}
	return finding.Finding{Severity: finding.Error, Ref: t.Ref, Field: t.field(), Message: message}
}

// TakenByTag says that a tag cannot be brought, since another resource brings one of the name: both would have a
// webhook for its label, and a pod would be injected by either.
func TakenByTag(t, other Tag) finding.Finding {
	return finding.Finding{
		Severity: finding.Error, Ref: t.Ref, Field: t.field(),
		Message: fmt.Sprintf("%s and %s are the same revision tag, %s: namespaces with the label istio.io/rev=%[3]s would "+
			"be injected by both; remove one of the two", t, other, t.Name),
	}
}

// TagClashes refuses tags whose name another tag has, or, if they are in values, a revision: see Target for those that
// are not. Of two IstioRevisionTags with one name nothing is said.
func (s Snapshot) TagClashes() finding.List {
	var found finding.List
	for _, t := range s.Tags {
		if c, ok := s.named(t.Name); ok && t.inValues() {
			found.Add(TakenByRevision(t, s.remedy(c)))
			continue
		}
		for _, other := range s.Tags {
			if other.Name == t.Name && other.Ref != t.Ref {
				found.Add(TakenByTag(t, other))
				break
			}
		}
	}
	return found
}

// named is the control plane whose revision has a name.
func (s Snapshot) named(revision string) (ControlPlane, bool) {
	for _, c := range s.ControlPlanes {
		if c.Name == revision {
			return c, true
		}
	}
	return ControlPlane{}, false
}

// tagNames are the names of all IstioRevisionTags.
func (s Snapshot) tagNames() map[string]bool {
	out := map[string]bool{}
	for _, t := range s.Tags {
		if !t.inValues() {
			out[t.Name] = true
		}
	}
	return out
}

// remedy says what to do about a revision that has the name of a tag.
func (s Snapshot) remedy(c ControlPlane) string {
	if c.Owner == "" {
		return RenameTag
	}
	active := "the active revision"
	for _, other := range s.ControlPlanes {
		if other.Istio != "" && c.Owner == kindIstio+"/"+other.Istio && other.Name != "" {
			active = other.Name
		}
	}
	return fmt.Sprintf("it is an earlier revision of %s. Leave the tag out for now; move the workloads to %s by the "+
		"label istio.io/rev, and restart them. When nothing uses %s any more, remove the file of IstioRevision/%[3]s, or "+
		"let a usage report release it, and add the tag in the same commit", c.Owner, active, c.Name)
}

const targetField = "spec.targetRef.name"

// Target finds the control plane that an IstioRevisionTag points at. If there is none that a tag can be on, the finding
// says why, as an error: the name of the tag is a revision's, there is no such target, or it cannot be used. of is the
// target as far as there is one.
func (s Snapshot) Target(t Tag) (of ControlPlane, wrong *finding.Finding) {
	if c, ok := s.named(t.Name); ok {
		f := TakenByRevision(t, s.remedy(c))
		return of, &f
	}
	for _, c := range s.ControlPlanes {
		if c.Istio == t.Target.Name && t.Target.Kind == kindIstio ||
			c.Name == t.Target.Name && t.Target.Kind == kindRevision {
			return c, c.unfit(t)
		}
	}
	f := NoTarget(t, "is not in the package; there are: "+s.targets())
	f.Current = t.Target.Name
	return of, &f
}

// unfit says why a tag cannot be on a control plane; nil if it can.
func (c ControlPlane) unfit(t Tag) *finding.Finding {
	var f finding.Finding
	switch {
	case c.Unusable != "":
		f = NoTarget(t, c.Unusable)
	case c.Remote():
		f = RemoteTarget(t)
	default:
		return nil
	}
	return &f
}

// NoTarget says why a tag cannot be on its target, by what follows the target's name in a sentence.
func NoTarget(t Tag, why string) finding.Finding {
	return finding.Finding{
		Severity: finding.Error, Ref: t.Ref, Field: targetField,
		Message: fmt.Sprintf("spec.targetRef: %s %s", t.Target, why),
	}
}

// RemoteTarget says that a tag cannot be on its target since that is a remote control plane.
func RemoteTarget(t Tag) finding.Finding {
	return NoTarget(t, "is a remote control plane; a tag can only point at one in the same cluster")
}

// targets are the names that a tag can point at.
func (s Snapshot) targets() string {
	var names []string
	for _, c := range s.ControlPlanes {
		if c.Istio != "" {
			names = append(names, kindIstio+"/"+c.Istio)
		}
		if c.Name != "" {
			names = append(names, kindRevision+"/"+c.Name)
		}
	}
	switch {
	case len(names) > 0:
		return strings.Join(names, ", ")
	case s.WithoutAny != "":
		return "none. " + s.WithoutAny
	}
	return "none"
}

// Tags are those that a control plane brings by its values.
func (c ControlPlane) Tags() []Tag {
	var out []Tag
	for _, name := range values.Tags(c.Values) {
		out = append(out, Tag{Ref: c.Ref, Name: name})
	}
	return out
}
