package cluster

import (
	"context"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
)

// Reader reads what tells who uses which revision: the metadata of namespaces and pods, and of what makes pods the
// metadata of the pod template, which no metadata client sees.
type Reader interface {
	Lister(r schema.GroupVersionResource) Lister
}

// Lister lists and watches one resource.
type Lister interface {
	List(ctx context.Context, o metav1.ListOptions) (runtime.Object, error)
	Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error)
}

// NewReader makes the Reader of a cluster. client may be nil.
func NewReader(config *rest.Config, client *http.Client) (Reader, error) {
	if client == nil {
		var err error
		if client, err = rest.HTTPClientFor(config); err != nil {
			return nil, err
		}
	}
	m, err := metadata.NewForConfigAndClient(metadata.ConfigFor(config), client)
	if err != nil {
		return nil, err
	}
	r := &reader{metadata: m, excerpts: map[schema.GroupVersionResource]rest.Interface{}}
	codecs := serializer.NewCodecFactory(excerptScheme()).WithoutConversion()
	byVersion := map[schema.GroupVersion]rest.Interface{}
	for gvr := range excerptKinds {
		gv := gvr.GroupVersion()
		if byVersion[gv] == nil {
			c := rest.CopyConfig(config)
			c.GroupVersion, c.APIPath = &gv, "/apis"
			if gv.Group == "" {
				c.APIPath = "/api"
			}
			c.NegotiatedSerializer = codecs
			c.ContentType, c.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
			if byVersion[gv], err = rest.RESTClientForConfigAndClient(c, client); err != nil {
				return nil, err
			}
		}
		r.excerpts[gvr] = byVersion[gv]
	}
	return r, nil
}

type reader struct {
	metadata metadata.Interface
	excerpts map[schema.GroupVersionResource]rest.Interface
}

func (r *reader) Lister(resource schema.GroupVersionResource) Lister {
	if c := r.excerpts[resource]; c != nil {
		return excerptLister{c, resource.Resource}
	}
	return metadataLister{r.metadata.Resource(resource)}
}

// metadataLister reads the metadata of a resource.
type metadataLister struct{ metadata.Getter }

func (m metadataLister) List(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list, err := m.Getter.List(ctx, o)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// optionsVersion is the version of list options, whatever is listed.
var optionsVersion = schema.GroupVersion{Version: "v1"}

// excerptLister reads a resource of which only a part is decoded: the rest of an object is skipped as it comes.
type excerptLister struct {
	client   rest.Interface
	resource string
}

func (e excerptLister) List(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
	list := &excerptList{}
	if err := e.client.Get().Resource(e.resource).
		SpecificallyVersionedParams(&o, scheme.ParameterCodec, optionsVersion).Do(ctx).Into(list); err != nil {
		return nil, err
	}
	return list, nil
}

func (e excerptLister) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	o.Watch = true
	return e.client.Get().Resource(e.resource).SpecificallyVersionedParams(&o, scheme.ParameterCodec, optionsVersion).
		Watch(ctx)
}
