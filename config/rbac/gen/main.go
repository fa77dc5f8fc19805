// Command gen writes what RBAC has to allow the controller: ClusterRoles, derived from what the bundled charts render.
//
//	go run ./config/rbac/gen config
//
// It writes three files below its argument:
//
//   - rbac/role.yaml: what the code does. Lateen's own resources, what tells who uses a revision, and every kind of
//     object that some chart renders with some profile on some platform.
//   - rbac/granted.yaml: what the controller only passes on. Kubernetes lets nobody create a Role that allows more than
//     its creator may, so the controller holds the sum of the Roles that the charts render, and not the right to ignore
//     that rule (`escalate`, `bind`), with which it could make itself administrator.
//   - components/more-grants/granted.yaml: the same for values that no profile sets.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/lateen-io/lateen"
	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/values"
)

func main() {
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: gen DIRECTORY")
		os.Exit(2)
	}
	if err := run(flag.Arg(0)); err != nil {
		fmt.Fprintf(os.Stderr, "gen: %v\n", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate()
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate gives the content of each file, by its path below config.
func generate() (map[string]string, error) {
	var byProfile, all found
	for _, in := range inputs() {
		objects, err := in.render()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.what, err)
		}
		err = all.add(objects)
		if err == nil && !in.more {
			err = byProfile.add(objects)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", in.what, err)
		}
	}
	granted := clusterRole("lateen-controller-granted",
		"What the controller holds only to grant it to istiod and to the CNI plugin: the sum of the ClusterRoles in the "+
			"charts, with every\n"+
			"# profile.", []section{{"", compact(byProfile.everywhere)}}) +
		"---\n" + clusterRole("lateen-controller-granted-in-namespaces",
		"The same of the Roles in the charts. It is needed in the namespaces of control planes and of the CNI plugin only.",
		[]section{{"", compact(byProfile.inNamespaces)}})
	more := compact(minus(slices.Concat(all.everywhere, all.inNamespaces),
		slices.Concat(byProfile.everywhere, byProfile.inNamespaces)))
	return map[string]string{
		"rbac/role.yaml": header + clusterRole("lateen-controller", "What the controller does.", []section{
			{"Its own resources. Nobody but users creates or deletes an Istio, a tag or an IstioCNI.", ownResources()},
			{
				"Who uses a revision: namespaces and pods, what makes pods, and what there is of the Gateway API.",
				compact(consumers()),
			},
			{
				"Istio's own CustomResourceDefinitions, by name, which it never deletes. A watch cannot be limited to names.",
				crds(all),
			},
			{"Everything else that the charts render.", rendered(all)},
		}),
		"rbac/granted.yaml": header + granted,
		"components/more-grants/granted.yaml": header + clusterRole("lateen-controller-more-grants",
			"What the Roles in the charts allow besides, with values that no profile sets.", []section{{"", more}}),
	}, nil
}

// consumers are the rules for reading what tells who uses a revision. The webhook istiod-default-validator is read as
// well, by a rule below.
func consumers() []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range []struct{ group, resource string }{
		{"", "namespaces"},
		{"", "pods"},
		{"", "replicationcontrollers"},
		{"apps", "daemonsets"},
		{"apps", "deployments"},
		{"apps", "replicasets"},
		{"apps", "statefulsets"},
		{"batch", "cronjobs"},
		{"batch", "jobs"},
		{"gateway.networking.k8s.io", "gatewayclasses"},
		{"gateway.networking.k8s.io", "gateways"},
	} {
		out = append(out, rule(r.group, r.resource, "list", "watch"))
	}
	return out
}

// input is one package of resources.
type input struct {
	what      string
	resources string
	options   lateen.Options
	// more says that it has values which no profile sets.
	more bool
}

// inputs are the resources whose objects the controller must be able to apply: all bundled versions with every profile,
// and on every platform, as control planes in place and by revisions, with tags and with the CNI plugin; and the values
// that make the charts render other kinds or other Roles.
func inputs() []input {
	var all []input
	for _, bundled := range lateen.Versions() {
		version := bundled.Version
		add := func(in input) {
			in.what = version + " " + in.what + " " + in.options.Platform
			all = append(all, in)
		}
		add(input{
			what: "revision, tags and CRDs", options: lateen.Options{CRDs: true},
			resources: istio("mesh", "version: "+version+", updateStrategy: {type: RevisionBased}") + tag("prod") +
				tag("default"),
		})
		for _, platform := range slices.Concat([]string{""}, values.Platforms) {
			for _, profile := range values.Profiles {
				if platform != "" && platform != "openshift" && profile != "default" {
					continue // platforms besides OpenShift say where the files of the CNI plugin are, and nothing else
				}
				spec := "version: " + version + ", profile: " + profile
				resources := istio("default", spec) + cni(spec)
				if profile == "remote" {
					// an address, which makes objects
					resources = istio("mesh", spec+", values: {global: {remotePilotAddress: 192.0.2.1}}")
				}
				add(input{what: profile, resources: resources, options: lateen.Options{Platform: platform}})
			}
		}
		for _, values := range []string{
			"global: {externalIstiod: true}", "global: {istiod: {enableAnalysis: true}}",
			"global: {networkPolicy: {enabled: true}}",
			"pilot: {taint: {enabled: true}}", "pilot: {jwksResolverExtraRootCA: x}",
			"experimental: {stableValidationPolicy: true}",
		} {
			add(input{what: values, resources: istio("default", "version: "+version+", values: {"+values+"}"), more: true})
		}
		for _, values := range []string{
			"ambient: {enabled: true}", "repair: {repairPods: false, deletePods: true}",
			"repair: {repairPods: false, labelPods: true}",
			"resourceQuotas: {enabled: true}",
		} {
			add(input{
				what: "CNI " + values, resources: cni("version: " + version + ", values: {cni: {" + values + "}}"), more: true,
			})
		}
	}
	return all
}

func istio(name, spec string) string {
	return "---\napiVersion: " + v1.GroupVersion.String() + "\nkind: Istio\nmetadata: {name: " + name +
		"}\nspec: {namespace: istio-system, " + spec + "}\n"
}

func cni(spec string) string {
	return "---\napiVersion: " + v1.GroupVersion.String() +
		"\nkind: IstioCNI\nmetadata: {name: default}\nspec: {namespace: istio-cni, " + spec + "}\n"
}

func tag(name string) string {
	return "---\napiVersion: " + v1.GroupVersion.String() + "\nkind: IstioRevisionTag\nmetadata: {name: " + name + "}\n" +
		"spec: {targetRef: {kind: Istio, name: mesh}}\n"
}

// found is what renderings consist of.
type found struct {
	// kinds are those of the objects.
	kinds map[schema.GroupVersionKind]bool
	// crds are the names of Istio's CustomResourceDefinitions.
	crds map[string]bool
	// everywhere are the rules of all ClusterRoles, and inNamespaces those of all Roles.
	everywhere, inNamespaces []rbacv1.PolicyRule
}

// render gives the objects. A version that does not know the values of an input has none.
func (in input) render() ([]*unstructured.Unstructured, error) {
	result, err := lateen.Render([]byte(in.resources), in.options)
	if in.more && err != nil && strings.Contains(err.Error(), "unknown field") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return result.Objects()
}

func (f *found) add(objects []*unstructured.Unstructured) error {
	if f.kinds == nil {
		f.kinds, f.crds = map[schema.GroupVersionKind]bool{}, map[string]bool{}
	}
	for _, o := range objects {
		switch kind := o.GroupVersionKind(); kind.Kind {
		case "CustomResourceDefinition":
			f.crds[o.GetName()] = true
		case "Role", "ClusterRole":
			rules, err := rulesOf(o)
			if err != nil {
				return fmt.Errorf("%s %s: %w", kind.Kind, o.GetName(), err)
			}
			if kind.Kind == "Role" {
				f.inNamespaces = append(f.inNamespaces, rules...)
			} else {
				f.everywhere = append(f.everywhere, rules...)
			}
			f.kinds[kind] = true
		default:
			f.kinds[kind] = true
		}
	}
	return nil
}

func rulesOf(o *unstructured.Unstructured) ([]rbacv1.PolicyRule, error) {
	var role rbacv1.ClusterRole // a Role has the same rules
	err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, &role, true)
	return role.Rules, err
}

// plural is the resource of a kind.
func plural(kind schema.GroupVersionKind) string {
	if kind.GroupKind().String() == "NetworkAttachmentDefinition.k8s.cni.cncf.io" {
		return "network-attachment-definitions" // its CustomResourceDefinition is Multus's
	}
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	return resource.Resource
}

// ownResources are what the reconcilers do with resources of sailoperator.io. They read them from the cache, and once
// more from the server before they do what cannot be undone. The right to update finalizers is what the admission
// plugin OwnerReferencesPermissionEnforcement, which OpenShift has, asks of whoever makes a resource the owner of an
// object.
func ownResources() []rbacv1.PolicyRule {
	group := v1.GroupVersion.Group
	out := []rbacv1.PolicyRule{
		rule(group, "istiorevisions", "get", "list", "watch", "create", "update", "patch", "delete"),
	}
	for _, resource := range []string{"istios", "istiorevisiontags", "istiocnis"} {
		out = append(out, rule(group, resource, "get", "list", "watch", "patch"))
	}
	for _, resource := range []string{"istios", "istiorevisions", "istiorevisiontags", "istiocnis"} {
		out = append(out, rule(group, resource+"/status", "patch"), rule(group, resource+"/finalizers", "update"))
	}
	return compact(out)
}

func crds(f found) []rbacv1.PolicyRule {
	const group, resource = "apiextensions.k8s.io", "customresourcedefinitions"
	byName := rule(group, resource, "get", "create", "patch")
	byName.ResourceNames = slices.Sorted(maps.Keys(f.crds))
	return []rbacv1.PolicyRule{byName, rule(group, resource, "list", "watch")}
}

func rendered(f found) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for kind := range f.kinds {
		out = append(out, rule(kind.Group, plural(kind), "get", "list", "watch", "create", "patch", "delete"))
	}
	return compact(out)
}

func rule(group, resource string, verbs ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: []string{resource}, Verbs: verbs}
}

// single splits rules into such with one group, one resource, one name at most and one verb.
func single(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	var out []rbacv1.PolicyRule
	for _, r := range rules {
		names := r.ResourceNames
		if len(names) == 0 {
			names = []string{""}
		}
		for _, verb := range r.Verbs {
			for _, url := range r.NonResourceURLs {
				out = append(out, rbacv1.PolicyRule{NonResourceURLs: []string{url}, Verbs: []string{verb}})
			}
			for _, group := range r.APIGroups {
				for _, resource := range r.Resources {
					for _, name := range names {
						one := rule(group, resource, verb)
						if name != "" {
							one.ResourceNames = []string{name}
						}
						out = append(out, one)
					}
				}
			}
		}
	}
	return out
}

// minus gives what some rules allow and others do not mention.
func minus(rules, others []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	mentioned := map[string]bool{}
	for _, r := range single(others) {
		mentioned[r.String()] = true
	}
	return slices.DeleteFunc(single(rules), func(r rbacv1.PolicyRule) bool { return mentioned[r.String()] })
}

// verbs are those of RBAC in the order in which people write them.
var verbs = []string{"get", "list", "watch", "create", "update", "patch", "delete"}

// place is that of a verb among verbs, or behind them.
func place(verb string) int {
	if i := slices.Index(verbs, verb); i >= 0 {
		return i
	}
	return len(verbs)
}

// compact writes rules with the same meaning in few: what is allowed for the same things is one rule, and so are things
// of one group for which the same is allowed.
func compact(rules []rbacv1.PolicyRule) []rbacv1.PolicyRule {
	type thing struct{ group, resource, name, url string }
	allowed := map[thing]map[string]bool{}
	for _, r := range single(rules) {
		t := thing{url: strings.Join(r.NonResourceURLs, ""), name: strings.Join(r.ResourceNames, "")}
		if t.url == "" {
			t.group, t.resource = r.APIGroups[0], r.Resources[0]
		}
		if allowed[t] == nil {
			allowed[t] = map[string]bool{}
		}
		allowed[t][r.Verbs[0]] = true
	}
	type key struct{ group, name, url, verbs string }
	merged := map[key]*rbacv1.PolicyRule{}
	for t, set := range allowed {
		list := slices.SortedFunc(maps.Keys(set), func(a, b string) int {
			return cmp.Or(cmp.Compare(place(a), place(b)), cmp.Compare(a, b))
		})
		if set[rbacv1.VerbAll] {
			list = []string{rbacv1.VerbAll}
		}
		k := key{t.group, t.name, t.url, strings.Join(list, ",")}
		if merged[k] == nil {
			merged[k] = &rbacv1.PolicyRule{Verbs: list}
			switch {
			case t.url != "":
				merged[k].NonResourceURLs = []string{t.url}
			default:
				merged[k].APIGroups = []string{t.group}
			}
			if t.name != "" {
				merged[k].ResourceNames = []string{t.name}
			}
		}
		if t.url == "" {
			merged[k].Resources = append(merged[k].Resources, t.resource)
		}
	}
	var out []rbacv1.PolicyRule
	for _, r := range merged {
		slices.Sort(r.Resources)
		out = append(out, *r)
	}
	slices.SortFunc(out, func(a, b rbacv1.PolicyRule) int {
		return cmp.Or(slices.Compare(a.APIGroups, b.APIGroups), slices.Compare(a.Resources, b.Resources),
			slices.Compare(a.ResourceNames, b.ResourceNames), slices.Compare(a.Verbs, b.Verbs))
	})
	return out
}

const header = "# Code generated by config/rbac/gen from the bundled charts. DO NOT EDIT.\n\n"

// section is a part of a role with a comment.
type section struct {
	comment string
	rules   []rbacv1.PolicyRule
}

// clusterRole writes a ClusterRole.
func clusterRole(name, comment string, sections []section) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n", comment)
	fmt.Fprintf(&b, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata:\n  name: %s\nrules:\n", name)
	for _, s := range sections {
		if s.comment != "" {
			fmt.Fprintf(&b, "# %s\n", s.comment)
		}
		for _, r := range s.rules {
			separator := "- "
			for _, field := range []struct {
				name   string
				values []string
			}{
				{"apiGroups", r.APIGroups},
				{"resources", r.Resources},
				{"resourceNames", r.ResourceNames},
				{"nonResourceURLs", r.NonResourceURLs},
				{"verbs", r.Verbs},
			} {
				if len(field.values) > 0 {
					b.WriteString(separator + field.name + ":" + list(field.values) + "\n")
					separator = "  "
				}
			}
		}
	}
	return b.String()
}

// list writes a list on one line if it is short.
func list(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = s
		if s == "" || s == "*" {
			quoted[i] = `"` + s + `"`
		}
	}
	const width = 110
	if line := " [" + strings.Join(quoted, ", ") + "]"; len(line) <= width {
		return line
	}
	return "\n  - " + strings.Join(quoted, "\n  - ")
}
