package observe

import (
	"cmp"
	"slices"
	"strings"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/cmd/lateen/show"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/usage"
	"github.com/lateen-io/lateen/internal/values"
)

// The labels that Istio's charts, and istioctl, put on their injection webhooks, besides those of Lateen.
const (
	labelRevision = usage.LabelRevision
	labelTag      = "istio.io/tag"
	labelVersion  = "app.kubernetes.io/version"
	labelChart    = "helm.sh/chart"
)

// found is what says which revisions and tags there are: the resources of sailoperator.io, and the injection webhooks.
type found struct {
	istios    []v1.Istio
	revisions []v1.IstioRevision
	tags      []v1.IstioRevisionTag
	webhooks  []admissionv1.MutatingWebhookConfiguration
}

// allRevisions are all that there is a sign of: an IstioRevision, the webhooks of a revision, or those of a tag that
// points at one. Too many are only more to look at; one too few would be missing in a report.
func (f found) allRevisions() []show.Revision {
	all := map[string]*show.Revision{}
	get := func(name string) *show.Revision {
		if all[name] == nil {
			all[name] = &show.Revision{RevisionInfo: usage.RevisionInfo{Name: name}}
		}
		return all[name]
	}
	for i := range f.revisions {
		rev := &f.revisions[i]
		r := get(rev.Name)
		r.RevisionInfo = istiorevision.Info(rev, f.revisions)
		r.Version, r.Istio = string(rev.Spec.Version), owned.OwningIstio(rev)
		spec, err := rev.Spec.Values.Map()
		r.External = err != nil || values.External(spec)
	}
	for i := range f.webhooks {
		c := &f.webhooks[i]
		name, _ := names(c)
		if name == "" {
			continue
		}
		r := get(name)
		r.InjectsByDefault = r.InjectsByDefault || byDefault(c)
		r.Version = cmp.Or(r.Version, versionOf(c))
		if kind, istio, _ := strings.Cut(c.Annotations[manifest.AnnotationOwner], "/"); kind == v1.KindIstio {
			r.Istio = cmp.Or(r.Istio, istio)
		}
	}
	for i := range f.istios {
		// An Istio that is wrong asks for no revision.
		if name, err := render.RevisionName(&f.istios[i]); err == nil && all[name] != nil &&
			all[name].Istio == f.istios[i].Name {
			all[name].Active = true
		}
	}
	var out []show.Revision
	for _, r := range all {
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b show.Revision) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

// allTags are the tags with what they point at: by their status, by their spec, and by their webhooks. Where these
// differ, a tag is on its way from one revision to another and holds both.
func (f found) allTags() []usage.Tag {
	out := istiorevision.Tags(f.tags, f.revisions)
	for _, t := range f.tags {
		if c := t.Status.Conditions.Get(v1.ConditionReconciled); c != nil && c.Reason == v1.ReasonNameAlreadyExists {
			continue
		}
		if target := f.target(t); target != "" && t.Status.IstioRevision == "" {
			out = append(out, usage.Tag{Name: t.Name, Revision: target})
		}
		out = append(out, usage.Tag{Name: t.Name})
	}
	for i := range f.webhooks {
		// istioctl makes a tag default of a revision default, which says nothing.
		if revision, tag := names(&f.webhooks[i]); tag != "" && tag != revision {
			out = append(out, usage.Tag{Name: tag, Revision: revision})
		}
	}
	slices.SortFunc(out, func(a, b usage.Tag) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(b.Revision, a.Revision))
	})
	// One without a revision comes last, and stays only if it is the only one of its name.
	return slices.CompactFunc(out, func(a, b usage.Tag) bool {
		return a.Name == b.Name && (a.Revision == b.Revision || a.Revision == "" || b.Revision == "")
	})
}

// target is the revision that a tag asks for through an Istio, "" if there is none. Without a controller only that
// tells.
func (f found) target(t v1.IstioRevisionTag) string {
	for i := range f.istios {
		if istio := &f.istios[i]; t.Spec.TargetRef.Kind == v1.TargetIstio && istio.Name == t.Spec.TargetRef.Name {
			if name, err := render.RevisionName(istio); err == nil {
				return name
			}
		}
	}
	return ""
}

// names are the revision and the tag that injection webhooks belong to; "" if they are none, or none of a tag.
func names(c *admissionv1.MutatingWebhookConfiguration) (revision, tag string) {
	return cmp.Or(c.Labels[manifest.LabelRevision], c.Labels[labelRevision]), cmp.Or(c.Labels[manifest.LabelTag],
		c.Labels[labelTag])
}

// versionOf is the Istio version of a webhook configuration; charts before 1.24 do not write it down.
func versionOf(c *admissionv1.MutatingWebhookConfiguration) string {
	version := c.Labels[labelVersion]
	if version == "" {
		version, _ = strings.CutPrefix(c.Labels[labelChart], "istiod-")
	}
	if version == "" || strings.HasPrefix(version, "v") {
		return version
	}
	return "v" + version
}

// byDefault reports whether a webhook selects pods without a label in namespaces without a label.
func byDefault(c *admissionv1.MutatingWebhookConfiguration) bool {
	return slices.ContainsFunc(c.Webhooks, func(w admissionv1.MutatingWebhook) bool {
		return selectsNothingInParticular(w.NamespaceSelector) && selectsNothingInParticular(w.ObjectSelector)
	})
}

func selectsNothingInParticular(s *metav1.LabelSelector) bool {
	if s == nil {
		return true
	}
	selector, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && selector.Matches(labels.Set{})
}
