package render_test

import (
	"strings"
	"testing"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/render"
)

// TestShared looks for all that a revision refers to and does not bring: accounts of its bindings, Services of its
// webhooks. Those come with another revision, and must be shared; the revision default brings them.
func TestShared(t *testing.T) {
	t.Parallel()
	for _, version := range release.Bundled().Versions() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			foreign := map[string]bool{}
			objects := objectsOf(t, version, "canary")
			own := idsOf(objects)
			for _, o := range objects {
				for _, id := range referred(t, o) {
					if !own[id] {
						foreign[id] = true
					}
				}
			}
			if len(foreign) == 0 {
				t.Fatal("a revision refers to nothing that it does not bring, which proves nothing")
			}
			brought := idsOf(objectsOf(t, version, "default"))
			for id := range foreign {
				kind, name, _ := strings.Cut(id, " ")
				if !render.Shared(kind, name) || !brought[id] {
					t.Errorf("%s: shared is %t, and the revision default brings it: %t", id, render.Shared(kind, name),
						brought[id])
				}
			}
			for _, o := range objects {
				if render.Shared(o.Kind(), o.ID().Name) {
					t.Errorf("%s is brought by two revisions", o.ID())
				}
			}
		})
	}
}

func objectsOf(t *testing.T, version, name string) []manifest.Object {
	t.Helper()
	rel, err := release.Bundled().Resolve(version, nil)
	if err != nil {
		t.Fatal(err)
	}
	rev := &v1.IstioRevision{}
	rev.Name, rev.Spec.Version, rev.Spec.Namespace = name, v1.Version(version), "istio-system"
	if rev, err = render.Complete(rev); err != nil {
		t.Fatal(err)
	}
	objects, err := render.RenderRevision(render.RevisionInput{Revision: rev, Release: rel})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func idsOf(objects []manifest.Object) map[string]bool {
	out := map[string]bool{}
	for _, o := range objects {
		out[o.Kind()+" "+o.ID().Name] = true
	}
	return out
}

// referred is what an object refers to, as "ServiceAccount istiod".
func referred(t *testing.T, o manifest.Object) []string {
	t.Helper()
	var read struct {
		Subjects []struct{ Kind, Name string }
		Webhooks []struct {
			ClientConfig struct{ Service struct{ Name string } } `yaml:"clientConfig"`
		}
		Spec struct {
			Template struct {
				Spec struct {
					ServiceAccountName string `yaml:"serviceAccountName"`
				}
			}
		}
	}
	var out []string
	switch o.Kind() {
	case "RoleBinding", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
		"Deployment":
		if err := o.Decode(&read); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range read.Subjects {
		out = append(out, s.Kind+" "+s.Name)
	}
	for _, w := range read.Webhooks {
		out = append(out, "Service "+w.ClientConfig.Service.Name)
	}
	if account := read.Spec.Template.Spec.ServiceAccountName; account != "" {
		out = append(out, "ServiceAccount "+account)
	}
	return out
}
