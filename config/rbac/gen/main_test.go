package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/yaml"
)

const config = "../.."

var generated = sync.OnceValues(generate)

// TestGoldenRoles expects that the files are what the charts ask for.
func TestGoldenRoles(t *testing.T) {
	files, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		file := filepath.Join(config, name)
		if os.Getenv("UPDATE_GOLDEN") != "" {
			if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(got), want); diff != "" {
			t.Errorf("%s is out of date: run `make generate` and review the diff: -file +charts:\n%s", name, diff)
		}
	}
}

// roles reads the generated ClusterRoles by name.
func roles(t *testing.T) map[string][]rbacv1.PolicyRule {
	t.Helper()
	files, err := generated()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]rbacv1.PolicyRule{}
	for name, content := range files {
		for text := range strings.SplitSeq(content, "\n---\n") {
			var role rbacv1.ClusterRole
			if err := yaml.UnmarshalStrict([]byte(text), &role); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out[role.Name] = role.Rules
		}
	}
	return out
}

// TestTemplates looks into the charts for kinds that no rendering of inputs has: a template that only some value
// switches on.
func TestTemplates(t *testing.T) {
	allowed := map[string]bool{}
	for _, r := range single(roles(t)["lateen-controller"]) {
		if r.Verbs[0] == "create" {
			allowed[r.Resources[0]+"."+r.APIGroups[0]] = true
		}
	}
	files, err := filepath.Glob(filepath.Join(config, "../internal/release/bundles/v*/*/templates/*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	// A document's group and version stand above its kind in all of Istio's templates.
	document := regexp.MustCompile(`(?m)^apiVersion: *"?([a-z0-9./]+)"?\nkind: *"?([A-Za-z]+)"?`)
	kinds := map[schema.GroupVersionKind]string{}
	for _, file := range files {
		if filepath.Base(filepath.Dir(filepath.Dir(file))) == "ztunnel" {
			continue // nothing renders it
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range document.FindAllStringSubmatch(string(text), -1) {
			kinds[schema.FromAPIVersionAndKind(m[1], m[2])] = file
		}
	}
	const least = 20
	if len(kinds) < least {
		t.Fatalf("only %d kinds in %d templates", len(kinds), len(files))
	}
	for kind, file := range kinds {
		if !allowed[plural(kind)+"."+kind.Group] {
			t.Errorf("%s makes objects of %s, which the controller may not create: add an input that renders it", file, kind)
		}
	}
}

// TestNoWildcards expects that what the controller itself does is spelled out, and that what it grants has wildcards
// only where the charts have, since only a wildcard covers one.
func TestNoWildcards(t *testing.T) {
	all := roles(t)
	if len(all) != 4 {
		t.Fatalf("there are %d roles", len(all))
	}
	for name, rules := range all {
		for _, r := range single(rules) {
			switch {
			case slices.Contains(r.APIGroups, "*") || slices.Contains(r.NonResourceURLs, "*"):
				t.Errorf("%s allows everything: %v", name, r)
			case name == "lateen-controller" && (r.Resources[0] == "*" || r.Verbs[0] == "*"):
				t.Errorf("%s has a wildcard: %v", name, r)
			case r.Resources[0] == "*" && !ofMeshes(r.APIGroups[0]):
				t.Errorf("%s has a wildcard in a group that is neither Istio's nor the Gateway API's: %v", name, r)
			case r.Resources[0] == "secrets" && name == "lateen-controller":
				t.Errorf("no chart has a Secret: %v", r)
			case slices.Contains([]string{"escalate", "bind", "impersonate"}, r.Verbs[0]):
				t.Errorf("%s can be made more: %v", name, r)
			}
		}
	}
}

func ofMeshes(group string) bool {
	return strings.HasSuffix(group, ".istio.io") || strings.HasPrefix(group, "gateway.networking.") ||
		group == "networking.x-k8s.io"
}

// TestCompact shows how rules are summed up.
func TestCompact(t *testing.T) {
	of := func(groups, resources, names, verbs []string) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{APIGroups: groups, Resources: resources, ResourceNames: names, Verbs: verbs}
	}
	cases := map[string]struct {
		reason   string
		in, want []rbacv1.PolicyRule
	}{
		"twice": {
			"what two roles allow is allowed once",
			[]rbacv1.PolicyRule{rule("", "pods", "get"), rule("", "pods", "get")},
			[]rbacv1.PolicyRule{rule("", "pods", "get")},
		},
		"more verbs": {
			"in the usual order",
			[]rbacv1.PolicyRule{rule("", "pods", "watch", "use"), rule("", "pods", "get")},
			[]rbacv1.PolicyRule{rule("", "pods", "get", "watch", "use")},
		},
		"more resources": {
			"of one group",
			[]rbacv1.PolicyRule{rule("", "pods", "get"), rule("", "nodes", "get"), rule("apps", "deployments", "get")},
			[]rbacv1.PolicyRule{
				of([]string{""}, []string{"nodes", "pods"}, nil, []string{"get"}), rule("apps", "deployments", "get"),
			},
		},
		"names": {
			"a right on one object is none on all",
			[]rbacv1.PolicyRule{of([]string{"apps"}, []string{"daemonsets"}, []string{"x"}, []string{"get"})},
			[]rbacv1.PolicyRule{of([]string{"apps"}, []string{"daemonsets"}, []string{"x"}, []string{"get"})},
		},
		"all verbs": {
			"the others are among them",
			[]rbacv1.PolicyRule{rule("a", "b", "*", "get")},
			[]rbacv1.PolicyRule{rule("a", "b", "*")},
		},
		"URLs": {
			"they have no group",
			[]rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
			[]rbacv1.PolicyRule{{NonResourceURLs: []string{"/metrics"}, Verbs: []string{"get"}}},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, compact(c.in)); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
		})
	}
}
