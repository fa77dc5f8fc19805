// Package mistake recognizes items that were probably meant as resources of Lateen and are none: a misspelled kind or
// group, a version that there is not, a group of earlier days. To a function that only looks for its own kinds such an
// item is absent, and what is absent has its objects removed.
//
// It decides on what identifies an item. Reading the resources that are right is the job of package resource.
package mistake

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/values"
)

// The groups that were meant.
const (
	group          = "sailoperator.io"
	groupVersion   = group + "/v1"
	formerGroup    = "operator.istio.io" // the Sail Operator's before v1
	operatorGroup  = "install.istio.io"
	operatorKind   = "IstioOperator"
	operatorAPI    = operatorGroup + "/v1alpha1"
	reportGroup    = "lateen.io"
	reportKind     = "UsageReport"
	ambientKind    = "ZTunnel" // there is no function for it yet
	mostErrors     = 2         // what a name may be off to be taken for another
	migrateProgram = "migrate-istiooperator"
)

// kinds are those that a function expands.
var kinds = []string{"Istio", "IstioCNI", "IstioRevision", "IstioRevisionTag"}

// Item is what identifies an item of a package, and what says whose it is.
type Item struct {
	APIVersion, Kind, Name string
	// Marked says that a person has put an annotation or label of lateen.io on it.
	Marked bool
	// Local says that it stays in Git and is not applied.
	Local bool
}

// Around is what else decides.
type Around struct {
	// Migrates says that IstioOperators are expanded.
	Migrates bool
	// Orphans reports whether there are generated objects that name an owner, "Istio/default", which is not among the
	// items.
	Orphans func(owner string) bool
}

// Mistake is what is wrong with an item.
type Mistake struct {
	// Field is the field to correct, apiVersion or kind; empty if the item itself is out of place.
	Field string
	// Message says what is wrong and what to do.
	Message string
	// Current is what the field says, and Suggestion what was probably meant; empty if that cannot be told.
	Current, Suggestion string
	// Warning says that the item is right, and that nothing expands it.
	Warning bool
}

// Of says what is wrong with an item, or nil. It is nil for whatever is nobody's business here.
func Of(i Item, around Around) *Mistake {
	has, _, found := strings.Cut(i.APIVersion, "/")
	switch {
	case has == group && found:
		return i.ours()
	case !found && (has == "" || isVersion(has)):
		return i.core()
	case has == operatorGroup:
		return i.operator(around.Migrates)
	case has == formerGroup:
		return i.former()
	case has == reportGroup:
		return i.report()
	case values.Near(has, group, mostErrors), values.Near(has, formerGroup, mostErrors):
		return i.apiVersion(i.meantAPI(), "")
	case namedAsOurs(has), istios(has) && slices.Contains(kinds, i.Kind):
		return i.apiVersion(i.meantAPI(), "")
	case values.Near(has, operatorGroup, mostErrors), values.Near(has, reportGroup, mostErrors) &&
		values.Near(i.Kind, reportKind, mostErrors):
		return i.apiVersion(i.meantAPI(), "")
	}
	return i.foreign(around)
}

// namedAsOurs reports whether a group has the name of Lateen's and something else, or nothing, behind it.
func namedAsOurs(has string) bool {
	own, _, _ := strings.Cut(group, ".")
	name, _, _ := strings.Cut(has, ".")
	return values.Near(name, own, 1)
}

// istios reports whether a group is one of Istio's, none of which has a kind of Lateen's.
func istios(has string) bool { return has == "istio.io" || strings.HasSuffix(has, ".istio.io") }

// isVersion reports whether a text is the version of an API, as the core group has it without a name: v1, v1beta1.
func isVersion(text string) bool {
	return len(text) > 1 && len(text) < 12 && text[0] == 'v' && text[1] >= '0' && text[1] <= '9'
}

// near is the one of some kinds that is meant, or empty.
func near(kind string, of ...string) string {
	for most := range mostErrors + 1 { // IstioRevision is nearer to IstioRevisions than IstioRevisionTag is
		for _, k := range of {
			if values.Near(kind, k, most) {
				return k
			}
		}
	}
	return ""
}

// meantAPI is the apiVersion that goes with the kind.
func (i Item) meantAPI() string {
	switch {
	case near(i.Kind, reportKind) != "":
		return reportGroup + "/v1alpha1"
	case near(i.Kind, operatorKind) != "":
		return operatorAPI
	}
	return groupVersion
}

// ours is about an item of Lateen's group.
func (i Item) ours() *Mistake {
	of, isList := strings.CutSuffix(i.Kind, "List")
	switch {
	case i.Kind == ambientKind:
		return &Mistake{
			Field: "kind", Current: i.Kind, Warning: true,
			Message: "kind: no function of Lateen expands a ZTunnel: nothing is rendered " +
				"for it; install Istio's chart ztunnel beside the control plane",
		}
	case !slices.Contains(kinds, i.Kind) && isList && slices.Contains(kinds, of):
		return &Mistake{
			Field: "kind", Current: i.Kind,
			Message: fmt.Sprintf("kind: an %s is opened in a file that is given with -f, but not in a package: "+
				"write each %s in it as a document of its own", i.Kind, of),
		}
	case !slices.Contains(kinds, i.Kind):
		return i.kind(group, near(i.Kind, append([]string{ambientKind}, kinds...)...),
			append(slices.Clone(kinds), ambientKind)...)
	case i.APIVersion != groupVersion:
		return i.apiVersion(groupVersion, "")
	}
	return nil
}

// former is about an item of the group that the Sail Operator had.
func (i Item) former() *Mistake {
	if meant := i.meantAPI(); meant != groupVersion {
		return i.apiVersion(meant, "")
	}
	return i.apiVersion(groupVersion, fmt.Sprintf("%s is the group that the Sail Operator had before %s", formerGroup,
		groupVersion))
}

// operator is about an item of the group of IstioOperator.
func (i Item) operator(migrates bool) *Mistake {
	switch {
	case i.Kind != operatorKind && near(i.Kind, kinds...) != "":
		return i.apiVersion(groupVersion, "")
	case i.Kind != operatorKind && i.Kind != operatorKind+"List":
		return i.kind(operatorGroup, near(i.Kind, operatorKind), operatorKind)
	case i.Kind != operatorKind:
		return &Mistake{
			Field: "kind", Current: i.Kind,
			Message: "kind: an IstioOperatorList is opened in a file that is given with -f, but not in a package: " +
				"write each IstioOperator in it as a document of its own",
		}
	case i.APIVersion != operatorAPI:
		return i.apiVersion(operatorAPI, "")
	case !migrates && !i.Local:
		return &Mistake{Message: "an IstioOperator is not rendered: " + migrateProgram +
			" (lateen migrate -f FILE) makes an Istio of it. To keep it beside " +
			`the Istio, add the annotation config.kubernetes.io/local-config: "true"`}
	}
	return nil
}

// report is about an item of the group of usage reports.
func (i Item) report() *Mistake {
	switch {
	case i.Kind == reportKind: // whoever reads reports looks at the version
		return nil
	case near(i.Kind, kinds...) != "":
		return i.apiVersion(groupVersion, "")
	}
	return i.kind(reportGroup, near(i.Kind, reportKind), reportKind)
}

// core is about an item without a group: Kubernetes' own kinds are known, and none of them is like Lateen's.
func (i Item) core() *Mistake {
	if near(i.Kind, append([]string{operatorKind, reportKind, ambientKind}, kinds...)...) == "" {
		return nil
	}
	return i.apiVersion(i.meantAPI(), "")
}

// foreign is about an item of somebody else's group. Others have a kind Istio as well, so that more than the name has
// to say that it was meant for Lateen.
func (i Item) foreign(around Around) *Mistake {
	meant := near(i.Kind, kinds...)
	switch {
	case meant == "":
		return nil
	case i.Marked:
		return i.apiVersion(groupVersion, "it has annotations or labels of lateen.io")
	case around.Orphans != nil && around.Orphans(meant+"/"+i.Name):
		return i.apiVersion(groupVersion, fmt.Sprintf("there are objects that were generated for %s/%s", meant, i.Name))
	}
	return nil
}

// kind is the mistake of a kind that a group does not have.
func (i Item) kind(of, meant string, known ...string) *Mistake {
	m := &Mistake{Field: "kind", Current: i.Kind, Suggestion: meant}
	if m.Message = fmt.Sprintf("kind: %s has no kind %q", of, i.Kind); meant != "" {
		m.Message += fmt.Sprintf("; did you mean kind: %s?", meant)
	} else {
		m.Message += "; it has: " + strings.Join(known, ", ")
	}
	return m
}

// apiVersion is the mistake of an apiVersion that does not go with the kind. because says how that can be told, if it
// has to be said.
func (i Item) apiVersion(meant, because string) *Mistake {
	m := &Mistake{Field: "apiVersion", Current: i.APIVersion, Suggestion: meant}
	m.Message = fmt.Sprintf("apiVersion: no function of Lateen expands %q, kind %s", i.APIVersion, i.Kind)
	if because != "" {
		m.Message += ", but " + because
	}
	m.Message += fmt.Sprintf("; did you mean apiVersion: %s?", meant)
	return m
}
