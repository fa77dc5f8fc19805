// Package remove takes all objects of a rendered revision out of a cluster: those that a GitOps tool has applied and
// was told to leave. Whether anything uses the revision is the caller's question; whose it is to remove, and what
// others rely on, is answered here.
package remove

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/pager"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/owned"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
)

// Revision is all that a cluster has of a revision.
type Revision struct {
	Name string

	client  metadata.Interface
	objects []object
	// stay are objects that are not removed, each with the reason.
	stay []string
	// unseen are API groups that do not answer.
	unseen []string
	// own is its IstioRevision, nil if there is none, and active the Istio that asks for it.
	own    *v1.IstioRevision
	active string
}

// object is one that is to be removed.
type object struct {
	kind     string
	resource schema.GroupVersionResource
	meta     metav1.ObjectMeta
}

func (o object) String() string {
	if o.meta.Namespace != "" {
		return o.kind + " " + o.meta.Namespace + "/" + o.meta.Name
	}
	return o.kind + " " + o.meta.Name
}

// Find lists the objects of a revision, of every kind that the cluster has.
func Find(ctx context.Context, config *rest.Config, name string) (*Revision, error) {
	r := &Revision{Name: name}
	others, err := r.resources(ctx, config)
	if err != nil {
		return nil, err
	}
	if r.client, err = metadata.NewForConfig(config); err != nil {
		return nil, err
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	lists, err := d.ServerPreferredResources()
	if failed, ok := errors.AsType[*discovery.ErrGroupDiscoveryFailed](err); ok {
		for gv := range failed.Groups {
			r.unseen = append(r.unseen, gv.String())
		}
		slices.Sort(r.unseen)
	} else if err != nil {
		return nil, fmt.Errorf("asking for the kinds of the cluster: %w", err)
	}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			return nil, err
		}
		for _, resource := range list.APIResources {
			if !slices.Contains(resource.Verbs, "list") || !slices.Contains(resource.Verbs, "delete") ||
				resource.Kind == "Event" {
				continue
			}
			if err := r.list(ctx, gv.WithResource(resource.Name), resource.Kind, others); err != nil {
				return nil, fmt.Errorf("listing %s: %w", gv.WithResource(resource.Name).GroupResource(), err)
			}
		}
	}
	slices.SortStableFunc(r.objects, func(a, b object) int {
		return cmp.Or(cmp.Compare(rank(a.kind), rank(b.kind)), cmp.Compare(a.kind, b.kind),
			cmp.Compare(a.meta.Namespace, b.meta.Namespace),
			cmp.Compare(a.meta.Name, b.meta.Name))
	})
	return r, nil
}

// resources reads Lateen's own resources, if the cluster has their kinds. others says that there is another revision.
func (r *Revision) resources(ctx context.Context, config *rest.Config) (others bool, err error) {
	known := runtime.NewScheme()
	if err := v1.AddToScheme(known); err != nil {
		return false, err
	}
	c, err := client.New(config, client.Options{Scheme: known})
	if err != nil {
		return false, err
	}
	var istios v1.IstioList
	var revisions v1.IstioRevisionList
	for _, list := range []client.ObjectList{&istios, &revisions} {
		if err := c.List(ctx, list); err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
			return false, fmt.Errorf("listing Lateen's resources: %w", err)
		}
	}
	for i := range revisions.Items {
		if rev := &revisions.Items[i]; rev.Name == r.Name {
			r.own = rev
		} else {
			others = true
		}
	}
	for i := range istios.Items {
		istio := &istios.Items[i]
		if active, err := render.RevisionName(istio); err == nil && active == r.Name &&
			(r.own == nil || owned.OwningIstio(r.own) == istio.Name) {
			r.active = istio.Name
		}
	}
	return others, nil
}

// list adds the objects of a kind.
func (r *Revision) list(ctx context.Context, resource schema.GroupVersionResource, kind string, others bool) error {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		return r.client.Resource(resource).List(ctx, o)
	})
	selector := manifest.LabelRevision + "=" + r.Name
	err := p.EachListItem(ctx, metav1.ListOptions{LabelSelector: selector}, func(item runtime.Object) error {
		m, ok := item.(*metav1.PartialObjectMetadata)
		if !ok {
			return fmt.Errorf("the server sent a %T where metadata was asked for", item)
		}
		r.add(object{kind, resource, m.ObjectMeta}, others)
		return nil
	})
	if apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) {
		// A kind that has just gone, or cannot be listed after all.
		return nil
	}
	return err
}

// add sorts an object with the label into those that go and those that stay. What something else controls goes with
// that: the EndpointSlices of a Service have its labels.
func (r *Revision) add(o object, others bool) {
	switch {
	case o.kind == v1.KindIstioRevision && o.meta.Name == r.Name:
		r.objects = append(r.objects, o)
	case o.meta.Annotations[manifest.AnnotationOwner] == "" || metav1.GetControllerOf(&o.meta) != nil ||
		o.kind == "CustomResourceDefinition":
	case o.meta.Labels[apply.Ignore] == "true" || o.meta.Annotations[apply.Ignore] == "true":
		r.stay = append(r.stay, fmt.Sprintf("%s stays: %s is set", o, apply.Ignore))
	case others && render.Shared(o.kind, o.meta.Name):
		r.stay = append(r.stay, fmt.Sprintf("%s stays: other revisions rely on it", o))
	default:
		r.objects = append(r.objects, o)
	}
}

// rank orders deletions: nothing is asked that is gone already.
func rank(kind string) int {
	switch kind {
	case "MutatingWebhookConfiguration":
		return 0
	case "ValidatingWebhookConfiguration", "ValidatingAdmissionPolicyBinding":
		return lastWebhook
	case "Deployment", "DaemonSet":
		return lastWebhook + 1
	case v1.KindIstioRevision:
		return lastWebhook + 1 + 1 + 1
	}
	return lastWebhook + 1 + 1
}

// lastWebhook is the rank of the last of what the API server asks before it admits an object.
const lastWebhook = 1

// Refused says why the revision is not to be removed like this, whoever uses it.
func (r *Revision) Refused() error {
	switch {
	case r.active != "":
		return fmt.Errorf("nothing is removed: %s is the active revision of Istio %s, which would be without a "+
			"control plane. Change spec.version of "+
			"the Istio first; to remove the control plane, delete the Istio", r.Name, r.active)
	case r.own != nil && !owned.PipelineRendered(r.own):
		owner := "kubectl delete istiorevision " + r.Name
		if istio := owned.OwningIstio(r.own); istio != "" {
			owner = fmt.Sprintf("it goes when nothing uses it and the grace period of Istio %s is over; at once with "+
				"kubectl delete istiorevision %s", istio, r.Name)
		}
		return fmt.Errorf("nothing is removed: the controller applies the objects of IstioRevision %s, and removes "+
			"them with it: %s", r.Name, owner)
	case len(r.objects) == 0:
		return fmt.Errorf("there is nothing to remove: no object has the label %s=%s and was rendered by Lateen",
			manifest.LabelRevision, r.Name)
	}
	return nil
}

// Delete removes the objects, or says what it would remove. It stops at a webhook that cannot be removed: without its
// istiod it would refuse pods.
func (r *Revision) Delete(ctx context.Context, w io.Writer, dryRun bool) error {
	for _, group := range r.unseen {
		fmt.Fprintf(w, "the API group %s does not answer: what it has of the revision stays\n", group)
	}
	for _, line := range r.stay {
		fmt.Fprintln(w, line)
	}
	var errs []error
	deleted := 0
	for _, o := range r.objects {
		if dryRun {
			fmt.Fprintf(w, "%s would be deleted\n", o)
			continue
		}
		err := r.client.Resource(o.resource).Namespace(o.meta.Namespace).Delete(ctx, o.meta.Name, metav1.DeleteOptions{
			Preconditions:     &metav1.Preconditions{UID: &o.meta.UID},
			PropagationPolicy: new(metav1.DeletePropagationBackground),
		})
		switch {
		case err == nil:
			deleted++
			fmt.Fprintf(w, "%s deleted\n", o)
		case apierrors.IsNotFound(err):
		case rank(o.kind) <= lastWebhook:
			return fmt.Errorf("%s cannot be deleted, so that istiod stays, which it calls: %w. %d objects are "+
				"deleted; run the command again", o, err, deleted)
		default:
			errs = append(errs, fmt.Errorf("%s: %w", o, err))
		}
	}
	if len(errs) > 0 {
		return fmt.Errorf("%d objects are deleted, and %d cannot be; run the command again: %w", deleted, len(errs),
			oneLine(errs))
	}
	if dryRun {
		fmt.Fprintf(w, "%d objects would be deleted\n", len(r.objects))
		return nil
	}
	fmt.Fprintf(w, "%d objects deleted\n", deleted)
	return nil
}

func oneLine(errs []error) error {
	var texts []string
	for _, err := range errs {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}
