// Package show writes who uses which revision, for a person or for a program: as a table, as a usage report for
// packages in Git, and as a graph. It reads no cluster: what it shows was observed elsewhere, and who counts as a user
// is decided by package usage.
//
// Much of what it writes comes from whoever may create pods: the annotation of a pod can be any text. So every output
// has its own way to write text that is no markup, and no control characters get into any.
package show

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/lateen-io/lateen/internal/usage"
)

// Cluster is what was seen of one.
type Cluster struct {
	// Name is that of the cluster, as reports have it; it may be empty for all others.
	Name string
	// ObservedAt is when the look at the cluster began.
	ObservedAt time.Time
	// Revisions and Tags are all that there are. A tag that is between two revisions is there twice.
	Revisions []Revision
	Tags      []usage.Tag
	// Index has seen the namespaces and pods.
	Index *usage.Index
}

// Revision is a revision in a cluster, with what a person wants to know of it.
type Revision struct {
	usage.RevisionInfo
	// Version is its Istio version, and Istio the resource that it belongs to; empty if that is not known.
	Version, Istio string
	// Active says that it is the one that its Istio asks for.
	Active bool
	// External says that its proxies are in other clusters.
	External bool
}

// external says why nothing is known about who uses an external control plane.
const external = "it " + usage.External

// Node is a name, what it stands for, and its users.
type Node struct {
	Revision
	// Tags are those that point at it, if it is a revision; Targets what it points at, if it is a tag.
	Tags, Targets []string
	Use           usage.Use
}

// View is who uses what, or a part of that.
type View struct {
	Cluster    string
	ObservedAt time.Time
	// Revisions, Tags, and Unresolved: names that are used, but are neither.
	Revisions, Tags, Unresolved []Node
	// Enrolled are the namespaces and pods in ambient, which use no revision.
	Enrolled usage.Use
}

// View answers for all names, naming at most so many users of each; all, if most is negative.
func (c Cluster) View(most int) View {
	g := c.graph(most)
	v := View{Cluster: c.Name, ObservedAt: c.ObservedAt, Enrolled: g.Enrolled}
	known := map[string]Revision{}
	for _, r := range c.Revisions {
		known[r.Name] = r
	}
	for _, n := range g.Revisions {
		node := Node{Revision: known[n.Name], Use: n.Use}
		for _, t := range c.Tags {
			if t.Revision == n.Name {
				node.Tags = append(node.Tags, t.Name)
			}
		}
		slices.Sort(node.Tags)
		v.Revisions = append(v.Revisions, node)
	}
	for _, n := range g.Tags {
		if last := len(v.Tags) - 1; last >= 0 && v.Tags[last].Name == n.Name {
			v.Tags[last].add(n.Revision)
			if n.Use.Total > v.Tags[last].Use.Total { // only one of the two may inject every namespace
				v.Tags[last].Use = n.Use
			}
			continue
		}
		node := Node{Use: n.Use}
		node.Name = n.Name
		node.add(n.Revision)
		v.Tags = append(v.Tags, node)
	}
	for _, n := range g.Unresolved {
		node := Node{Use: n.Use}
		node.Name = n.Name
		v.Unresolved = append(v.Unresolved, node)
	}
	return v
}

func (n *Node) add(target string) {
	if target != "" {
		n.Targets = append(n.Targets, target)
		slices.Sort(n.Targets)
	}
}

// graph is the core's answer, with doubt where this cluster cannot know.
func (c Cluster) graph(most int) usage.Graph {
	t := usage.Topology{Tags: c.Tags}
	elsewhere := map[string]bool{}
	for _, r := range c.Revisions {
		t.Revisions = append(t.Revisions, r.RevisionInfo)
		elsewhere[r.Name] = r.External
	}
	g := c.Index.Graph(t, most)
	for i, n := range g.Revisions {
		if elsewhere[n.Name] {
			g.Revisions[i].Use = n.Use.Doubt(external)
		}
	}
	return g
}

// Only leaves the nodes of the names; none leaves all. A name that nothing has is an error.
func (v View) Only(names ...string) (View, error) {
	if len(names) == 0 {
		return v, nil
	}
	var there []string
	all := [][]Node{v.Revisions, v.Tags, v.Unresolved}
	found := map[string]bool{}
	for i, nodes := range all {
		all[i] = nil
		for _, n := range nodes {
			there = append(there, Printable(n.Name))
			if slices.Contains(names, n.Name) {
				all[i], found[n.Name] = append(all[i], n), true
			}
		}
	}
	for _, name := range names {
		if !found[name] {
			slices.Sort(there)
			return v, fmt.Errorf("there is no revision or tag %s, and nothing that names it; there are: %s", Printable(name),
				cmp.Or(strings.Join(slices.Compact(there), ", "), "none"))
		}
	}
	v.Revisions, v.Tags, v.Unresolved, v.Enrolled = all[0], all[1], all[2], usage.Use{}
	return v, nil
}

// Unused names the revisions that nothing uses, sorted.
func (v View) Unused() []string {
	var out []string
	for _, n := range v.Revisions {
		if n.Use.InUse == usage.False {
			out = append(out, n.Name)
		}
	}
	return out
}

// maxText is how much of a name is shown: names of objects are not longer, annotations can be.
const maxText = 253

// Printable is a text as one line without control characters, which could make a terminal or a browser show something
// else.
func Printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		n++
		if n > maxText {
			b.WriteRune('…')
			break
		}
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// istio is the Istio of a revision, and whether that is on it.
func (n Node) istio() string {
	if n.Active {
		return n.Istio + " (active)"
	}
	return n.Istio
}

// inUse is the answer in a word.
func (n Node) inUse() string {
	switch n.Use.InUse {
	case usage.True:
		return "yes"
	case usage.False:
		return "no"
	case usage.Unknown:
	}
	return "unknown"
}

// Who is a user with the reason why it counts.
func Who(u usage.User) string {
	text := u.String()
	if u.Reason != "" {
		text += " (" + u.Reason + ")"
	}
	return Printable(text)
}
