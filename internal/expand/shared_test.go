package expand_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/expand"
	"github.com/lateen-io/lateen/internal/krm"
	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/render"
	"github.com/lateen-io/lateen/internal/resource"
)

// TestSharedStays: the account by which other clusters read this one is brought by the revision default, and all
// revisions of the namespace rely on it. In a package that remembers, it stays as long as there is one of them.
func TestSharedStays(t *testing.T) {
	const (
		based = "{version: v1.28.3, updateStrategy: {type: RevisionBased}"
		place = "{version: v1.27.0"
	)
	mesh := func(spec string) string { return istio("default", spec+"}", inFile("mesh/istio.yaml")) }
	tag := "apiVersion: sailoperator.io/v1\nkind: IstioRevisionTag\nmetadata: {name: default, " +
		inFile("mesh/tag.yaml") + "}\nspec: {targetRef: {kind: Istio, name: default}}\n"
	for _, c := range []struct {
		reason string
		// first and then are what the package has, one after the other; gone is a revision whose IstioRevision somebody
		// has removed in between.
		first, then []string
		gone        string
		// want is "owner revision" of each account.
		want []string
	}{
		{
			"The revision default brings it.",
			[]string{mesh(place)},
			[]string{mesh(place)},
			"",
			[]string{"Istio/default default"},
		},
		{
			"The revision default stays beside the new one, and keeps it.",
			[]string{mesh(place)},
			[]string{mesh(based)},
			"",
			[]string{"Istio/default default"},
		},
		{
			"The revision default goes: the active one has it.",
			[]string{mesh(place)},
			[]string{mesh(based)},
			"default",
			[]string{"Istio/default default-v1-28-3"},
		},
		{
			"There was none, because another package has it.",
			[]string{mesh(based)},
			[]string{mesh(based)},
			"", nil,
		},
		{
			"The tag named default brings it.",
			[]string{mesh(based), tag},
			[]string{mesh(based), tag},
			"",
			[]string{"IstioRevisionTag/default default-v1-28-3"},
		},
		{
			"It goes over to the tag named default with the revision default.",
			[]string{mesh(place)},
			[]string{mesh(based), tag},
			"default",
			[]string{"IstioRevisionTag/default default-v1-28-3"},
		},
		{
			"Of another namespace it is another one: the package is told to have none of it.",
			[]string{mesh(place)},
			[]string{mesh(based + ", namespace: elsewhere")},
			"default", nil,
		},
	} {
		pass := func(items ...string) *krm.List {
			out := expand.RenderIstio.List(read(t, resourceList("", items...)), resource.Settings{
				resource.OptionAllowRemoval: "IstioRevision/default",
			})
			if out.Findings.HasError() {
				t.Fatalf("%s %v", c.reason, out.Findings)
			}
			if out = expand.RevisionTag.List(out, resource.Settings{}); out.Findings.HasError() {
				t.Fatalf("%s %v", c.reason, out.Findings)
			}
			return out
		}
		out := pass(c.first...)
		items := slices.Clone(c.then)
		for _, o := range out.Items {
			removed := o.Kind() == "IstioRevision" && o.ID().Name == c.gone
			if o.Annotation(manifest.AnnotationOwner) != "" && !removed {
				var text strings.Builder
				if err := o.Encode(&text); err != nil {
					t.Fatal(err)
				}
				items = append(items, text.String())
			}
		}
		var got []string
		for _, o := range pass(items...).Items {
			if render.Shared(o.Kind(), o.ID().Name) {
				got = append(got, fmt.Sprint(o.Annotation(manifest.AnnotationOwner), " ", o.Label(manifest.LabelRevision)))
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
	}
}
