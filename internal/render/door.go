package render

import (
	"errors"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/values"
)

// Input is all that a rendering may depend on.
type Input struct {
	// One of these is set: the resource, with its defaults filled in (see v1.Istio.Default).
	Istio    *v1.Istio
	Revision *v1.IstioRevision
	CNI      *v1.IstioCNI
	Tag      *v1.IstioRevisionTag

	// Target is the control plane that a Tag points at.
	Target *Plan
	// Options are those in force. Of them count Platform, KubeVersion, ChartFailurePolicy and FluxSubstitute: the others
	// are about a package.
	Options resource.Options
	// Charts has the charts of versions that are not bundled; nil for none.
	Charts *release.Directory
	// Installed is the version that the objects are of now, as far as anybody knows: an alias never goes below it.
	Installed string
	// Owner is the resource that the objects are stamped with: "Istio/default".
	Owner string
	// Protected says that the objects ask GitOps tools not to prune them.
	Protected bool
	// CRDs chooses, by name, those of Istio's own CRDs that come with a control plane; nil for none.
	CRDs func(name string) bool
	// Written gives a scalar as its author wrote it, by the path of its field: 1.20, which as a value is 1.2. nil knows
	// none.
	Written func(pointer []string) (text string, known bool)
}

// Plan is a resource of which everything is decided but the objects themselves.
type Plan struct {
	Input
	// Release is the version that it asks for; of a Tag, that of its target.
	Release release.Release
	// Planned is the IstioRevision that an Istio asks for, the completed one that the user wrote, or the target of a Tag.
	// It is nil for an IstioCNI.
	Planned *v1.IstioRevision
}

// Output is what a resource is rendered to.
type Output struct {
	// Objects are the plain objects, stamped, and in the order in which they can be applied.
	Objects []manifest.Object
	// Release and Planned are those of the Plan.
	Release release.Release
	Planned *v1.IstioRevision
}

// Render is the one way from a resource to its objects: it finds the release, checks the values, completes them,
// renders the charts and stamps the objects. The findings name no resource; the caller knows where it has it from. If
// one is an error, the output is incomplete.
func Render(in Input) (Output, finding.List) {
	plan, found := Prepare(in)
	if found.HasError() {
		return Output{}, found
	}
	out, more := plan.Render()
	return out, append(found, more...)
}

// Prepare does the first part of Render: everything that does not need the charts' templates.
func Prepare(in Input) (Plan, finding.List) {
	plan := Plan{Input: in}
	var found finding.List
	if _, err := chart.ParseKubeVersion(in.Options.KubeVersion); err != nil {
		found.Add(wrong(nil, "option "+err.Error()))
		return plan, found
	}
	if in.Tag != nil {
		plan.Release, plan.Planned = in.Target.Release, in.Target.Planned
		return plan, found
	}
	var err error
	if plan.Release, err = release.Bundled().Resolve(string(in.version()), in.Charts); err != nil {
		found.Add(in.unknownVersion(err))
		return plan, found
	}
	found = append(found, plan.notes()...)
	found = append(found, plan.check()...)
	if found.HasError() {
		return plan, found
	}
	if plan.Planned, err = plan.complete(); err != nil {
		at := []string{"spec"}
		if conflict, ok := errors.AsType[*values.ConflictError](err); ok {
			at = append(at, strings.Split(conflict.Path, ".")...)
		}
		found.Add(wrong(at, err.Error()))
	}
	return plan, found
}

// Settle is Prepare for a resource that somebody else renders, and checks: it says only why there can be no plan.
func Settle(in Input) (Plan, error) {
	plan := Plan{Input: in}
	var err error
	if plan.Release, err = release.Bundled().Resolve(string(in.version()), in.Charts); err != nil {
		return plan, err
	}
	plan.Planned, err = plan.complete()
	return plan, err
}

func wrong(pointer []string, message string) finding.Finding {
	return finding.Finding{Severity: finding.Error, Field: strings.Join(pointer, "."), Message: message}
}

// version is what the resource asks for; empty means the default.
func (in Input) version() v1.Version {
	switch {
	case in.Istio != nil:
		return in.Istio.Spec.Version
	case in.Revision != nil:
		return in.Revision.Spec.Version
	default:
		return in.CNI.Spec.Version
	}
}

// chart is the one that the resource is mainly rendered with.
func (in Input) chart() string {
	if in.CNI != nil {
		return "cni"
	}
	return "istiod"
}

// unknownVersion is the finding of a version whose charts are not at hand.
func (in Input) unknownVersion(err error) finding.Finding {
	f := wrong([]string{"spec", "version"}, "spec.version: "+err.Error())
	f.Current, f.Err = string(in.version()), err
	if best := meant(in.version(), err); best != "" {
		f.Suggestion = best
	}
	return f
}

// notes is what is to be said about the version and the platform.
func (p Plan) notes() finding.List {
	var found finding.List
	if message := unknownPlatform(p.Release, p.chart(), p.Options.Platform); message != "" {
		found.Add(finding.Finding{Severity: finding.Warning, Message: message})
	}
	if message := EndOfLife(p.Release); message != "" {
		found.Add(finding.Finding{ // most packages have it for a while
			Severity: finding.Info, Field: "spec.version", Message: message,
			Current: string(p.version()), Suggestion: release.Bundled().Default(),
		})
	}
	if err := release.CheckAlias(string(p.version()), p.Release, p.Installed); err != nil {
		f := wrong([]string{"spec", "version"}, "spec.version: "+err.Error())
		f.Current, f.Suggestion = string(p.version()), p.Release.Version
		found.Add(f)
	}
	return found
}

// check finds what is wrong with the user's values for the release.
func (p Plan) check() finding.List {
	var problems []problem
	var err error
	from := source{Written: p.Written, FluxSubstitute: string(p.Options.FluxSubstitute)}
	switch {
	case p.Istio != nil:
		problems, err = checkIstio(p.Release, p.Istio, from)
	case p.Revision != nil:
		problems, err = checkRevision(p.Release, p.Revision, from)
	case p.CNI != nil:
		problems, err = checkCNI(p.Release, p.CNI.Spec, from)
	}
	var found finding.List
	if err != nil {
		found.Add(wrong(nil, err.Error()))
	}
	for _, problem := range problems {
		found.Add(problem.finding())
	}
	return found
}

func (p problem) finding() finding.Finding {
	f := wrong(p.Pointer, p.String())
	if p.Warning {
		f.Severity = finding.Warning
	}
	if p.Suggestion != "" {
		f.Suggestion = p.Suggestion
	}
	return f
}

// complete is the revision with all its values; nil if the resource has none.
func (p Plan) complete() (*v1.IstioRevision, error) {
	switch {
	case p.Istio != nil:
		return planRevision(planInput{
			Istio: p.Istio, Release: p.Release, Platform: p.Options.Platform, KubeVersion: p.Options.KubeVersion,
		})
	case p.Revision != nil:
		return complete(p.Revision)
	}
	return nil, nil //nolint:nilnil // a CNI plugin has no revision
}

// Render gives the objects. The findings are about values that turn out to have no effect, or the error that keeps it
// from giving any.
func (p Plan) Render() (Output, finding.List) {
	var found finding.List
	objects, err := p.objects(func(problem problem) { found.Add(problem.finding()) })
	if err != nil {
		found.Add(wrong(nil, err.Error())).Err = err
		return Output{}, found
	}
	return Output{Objects: objects, Release: p.Release, Planned: p.Planned}, found
}

func (p Plan) objects(warn func(problem)) ([]manifest.Object, error) {
	flux := p.Options.FluxSubstitute == resource.SubstituteYes
	switch {
	case p.CNI != nil:
		return renderCNI(cniInput{
			CNI: p.CNI, Release: p.Release, Platform: p.Options.Platform, KubeVersion: p.Options.KubeVersion, Owner: p.Owner,
			FluxSubstitute: flux, Warn: warn,
		})
	case p.Tag != nil:
		return renderTag(tagInput{
			Name: p.Tag.Name, Revision: p.Planned, Release: p.Release, KubeVersion: p.Options.KubeVersion, Owner: p.Owner,
			KeepFailurePolicy: p.Options.ChartFailurePolicy, FluxSubstitute: flux,
		})
	}
	objects, err := renderRevision(p.revisionInput(warn))
	if err != nil || p.CRDs == nil {
		return objects, err
	}
	crds, err := p.IstioCRDs()
	crds = slices.DeleteFunc(crds, func(o manifest.Object) bool { return !p.CRDs(o.ID().Name) })
	return append(crds, objects...), err
}

func (p Plan) revisionInput(warn func(problem)) revisionInput {
	return revisionInput{
		Revision: p.Planned, Release: p.Release, Owner: p.Owner, KubeVersion: p.Options.KubeVersion, Protect: p.Protected,
		KeepFailurePolicy: p.Options.ChartFailurePolicy, FluxSubstitute: p.Options.FluxSubstitute == resource.SubstituteYes,
		Warn: warn,
	}
}

// IstioCRDs gives all of Istio's own CustomResourceDefinitions, of the release and with the values of a control plane.
// They belong to no revision, and with them goes every resource of Istio: GitOps tools are asked not to prune them.
func (p Plan) IstioCRDs() ([]manifest.Object, error) { return renderedCRDs(p.revisionInput(nil)) }
