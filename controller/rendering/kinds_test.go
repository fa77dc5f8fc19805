package rendering_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"

	"github.com/lateen-io/lateen/controller/rendering"
)

// TestRevisionKinds compares the list with the rights of the controller, which a program derives from what all bundled
// versions render.
func TestRevisionKinds(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../config/rbac/role.yaml")
	if err != nil {
		t.Fatal(err)
	}
	ofTheCNI := []string{"apps/daemonsets", "k8s.cni.cncf.io/network-attachment-definitions"}
	var want []string
	for doc := range strings.SplitSeq(string(data), "\n---\n") {
		var role rbacv1.ClusterRole
		if err := yaml.Unmarshal([]byte(doc), &role); err != nil {
			t.Fatal(err)
		}
		if role.Name != "lateen-controller" || role.Kind != "ClusterRole" {
			continue
		}
		for _, rule := range role.Rules {
			if !slices.Contains(rule.Verbs, "create") || !slices.Contains(rule.Verbs, "delete") ||
				rule.APIGroups[0] == "sailoperator.io" {
				continue
			}
			for _, resource := range rule.Resources {
				if name := rule.APIGroups[0] + "/" + resource; !slices.Contains(ofTheCNI, name) {
					want = append(want, name)
				}
			}
		}
	}
	var got []string
	for _, kind := range rendering.RevisionKinds {
		plural := strings.ToLower(kind.Kind)
		switch {
		case strings.HasSuffix(plural, "y"):
			plural = strings.TrimSuffix(plural, "y") + "ies"
		case !strings.HasSuffix(plural, "s"):
			plural += "s"
		}
		got = append(got, kind.Group+"/"+plural)
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-what is rendered +RevisionKinds:\n%s", diff)
	}
}
