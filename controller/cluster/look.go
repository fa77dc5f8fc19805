package cluster

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/pager"

	"github.com/lateen-io/lateen/internal/usage"
)

// pageSize is how many objects a live list gets at a time.
const pageSize = 500

// Confirm asks the server itself who uses a revision, before something is done that cannot be undone: a watch may be
// behind.
func (u *Usage) Confirm(ctx context.Context, r usage.RevisionInfo, tags []usage.Tag, most int) (usage.Use, error) {
	x, err := Look(ctx, u.reader)
	if err != nil {
		return usage.Use{}, err
	}
	return x.Revision(r, tags, most), nil
}

// Look takes a complete snapshot of who uses what, once, without watching.
func Look(ctx context.Context, reader Reader) (*usage.Index, error) {
	x := usage.NewIndex()
	for _, s := range subjects() {
		to := s.sink(x)
		note, done := to.replace()
		var err error
		for _, r := range s.resources {
			if _, err = each(ctx, reader.Lister(r), s, note); !s.optional || !absent(err) {
				break
			}
		}
		if err != nil && (!s.optional || !absent(err)) {
			return nil, fmt.Errorf("listing %s: %w", s.name, err)
		}
		done()
	}
	x.SetIncomplete("")
	return x, nil
}

// absent reports whether an error is the server's saying that it does not have a resource.
func absent(err error) bool { return apierrors.IsNotFound(err) || meta.IsNoMatchError(err) }

// each reads all objects of a resource as they are now, page by page, and gives the resource version that they are of.
func each(ctx context.Context, l Lister, s subject, f func(runtime.Object) error) (version string, err error) {
	p := pager.New(func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
		list, err := l.List(ctx, o)
		if err != nil {
			return nil, err
		}
		m, err := meta.ListAccessor(list)
		if err == nil && version == "" {
			version = m.GetResourceVersion()
		}
		return list, err
	})
	p.PageSize, p.PageBufferSize = pageSize, 1
	p.FullListIfExpired = false // all at once is what must not be: whoever asked asks again
	err = p.EachListItem(ctx, metav1.ListOptions{FieldSelector: s.fields, LabelSelector: s.labels}, f)
	return version, err
}

func unexpected(o any) error {
	return fmt.Errorf("the server sent a %T, which was not asked for", o)
}
