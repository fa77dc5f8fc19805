package expand

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/finding"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// usageReports reads the usage reports of a package. Where nothing remembers earlier revisions there is nothing that
// they could release, and that is all there is to say of them.
func (c *contents) usageReports(memory bool) ([]usage.Report, finding.List) {
	var out []usage.Report
	var findings finding.List
	for _, item := range c.reports {
		if item.Annotation(resource.AnnotationLocalConfig) != "true" {
			findings = append(findings, resource.Finding(item, finding.Warning, []string{"metadata", "annotations"},
				fmt.Sprintf("the usage report would be applied to "+
					"the cluster, which does not know it: add the annotation %s: \"true\"", resource.AnnotationLocalConfig)))
		}
		if !memory {
			findings = append(findings, resource.Finding(item, finding.Warning, nil,
				"a usage report has no effect here: nothing remembers earlier revisions that it "+
					"could release. Under kustomize the controller removes them, or people do"))
			continue
		}
		r, err := report(item)
		if err != nil {
			findings = append(findings, resource.Finding(item, finding.Error, []string{"spec"}, "usage report: "+err.Error()))
			continue
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b usage.Report) int { return strings.Compare(a.Name, b.Name) })
	return out, findings
}

func report(item manifest.Object) (usage.Report, error) {
	if item.APIVersion() != usage.APIVersion {
		return usage.Report{}, fmt.Errorf("apiVersion is %s; this version reads %s", item.APIVersion(), usage.APIVersion)
	}
	spec, err := resource.JSON(item, "spec")
	if err != nil {
		return usage.Report{}, err
	}
	return usage.ParseReport(item.ID().Name, spec)
}

// strangers warns of reports that are probably not about this package: of a cluster that none of its Istios is applied
// to, or without any of its revisions.
func (e *Expanded) strangers(reports []usage.Report) finding.List {
	var listed, revisions []string
	all := true                                      // whether every Istio lists its clusters
	for _, item := range e.around.of(v1.KindIstio) { // another run may be the one that expands it
		options, _ := resource.SettingsOf(item)
		clusters := options.Upon(e.around.options).Clusters
		listed, all = append(listed, clusters...), all && len(clusters) > 0
	}
	for _, c := range e.around.controlPlanes() {
		if c.Name != "" {
			revisions = append(revisions, c.Name)
		}
	}
	var findings finding.List
	for _, r := range reports {
		item := e.around.reports[slices.IndexFunc(e.around.reports, func(o manifest.Object) bool {
			return o.ID().Name == r.Name
		})]
		mentioned := slices.ContainsFunc(r.Revisions, func(rev usage.Revision) bool {
			return slices.Contains(revisions, rev.Name)
		})
		switch {
		case all && len(listed) > 0 && !slices.Contains(listed, r.Name):
			findings = append(findings, resource.Finding(item, finding.Warning, []string{"metadata", "name"},
				fmt.Sprintf("the package is not applied to the cluster %s (%s: %s): "+
					"add the cluster there, or remove the report", r.Name, resource.OptionClusters, strings.Join(listed, ", "))))
		case len(revisions) > 0 && !mentioned:
			findings = append(findings, resource.Finding(item, finding.Warning, []string{"spec", "revisions"},
				fmt.Sprintf("the usage report mentions no revision of the package "+
					"(it has: %s); is it about another mesh?", strings.Join(revisions, ", "))))
		}
	}
	return findings
}
