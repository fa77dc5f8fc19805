// Package internal_test keeps the import contract of docs/architecture.md: which package of Lateen may link what.
//
// The contract is what makes the core testable without a cluster and the functions safe to run without a network, and
// it breaks silently: one convenient import, three packages down, is enough. So the test walks the whole import graph
// of what is built (test files do not count) and names the chain by which a forbidden package came in.
package internal_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// module is the path that package patterns in the rules are relative to.
const module = "github.com/lateen-io/lateen"

// rule is one row of the contract.
type rule struct {
	// name identifies the row in test output.
	name string
	// packages are the packages that the row binds, relative to the module: "internal/usage", "functions/..." for a
	// directory and all below it, "..." for the whole module, "" for the root package.
	packages []string
	// except are packages that a wide pattern in packages would catch but the row does not bind. Same notation.
	except []string
	// mayImport, unless nil, lists everything besides the standard library and Lateen itself that Lateen's own packages
	// may import in the closure of the row. It is about imports that we write: what an allowed module links in turn is
	// judged by never. Prefixes of import paths.
	mayImport []string
	// never lists what may not be linked, by whatever chain.
	never []ban
	// neverDirectly lists what Lateen's own packages may not import themselves, although a library may link it.
	neverDirectly []ban
	// notFollowed lists edges at which the walk stops, each for a reason.
	notFollowed []edge
}

// ban forbids an import path and all below it.
type ban struct{ prefix, why string }

// edge is an import of a package below to by a package below from.
type edge struct{ from, to, why string }

const (
	pureWhy    = "decisions are pure functions on plain data: no cluster, no network"
	offlineWhy = "rendering needs no cluster: everything the output depends on is an argument"
	managerWhy = "controller-runtime belongs to the controller; a function must not carry a manager"
	helmWhy    = "only Helm's rendering packages are wanted: the rest installs releases, and doubles the binary"
)

// clusterClients are the parts of client-go that can talk to a cluster. Its type scheme, which Helm's chartutil links,
// cannot.
var clusterClients = []ban{
	{"k8s.io/client-go/rest", offlineWhy},
	{"k8s.io/client-go/kubernetes", offlineWhy},
	{"k8s.io/client-go/dynamic", offlineWhy},
	{"k8s.io/client-go/discovery", offlineWhy},
	{"k8s.io/client-go/metadata", offlineWhy},
	{"k8s.io/client-go/tools", offlineWhy},
	{"k8s.io/client-go/informers", offlineWhy},
	{"sigs.k8s.io/controller-runtime", managerWhy},
	{"github.com/fluxcd/pkg/ssa", "applying is the controller's job"},
}

// networkClients are the other ways to leave the machine. net/http itself cannot be in the list: apimachinery
// (util/runtime), kyaml (through kube-openapi and go-openapi/swag) and so the kpt SDK link it for their own parsing
// code. That Lateen's own packages do not import it is a neverDirectly.
var networkClients = []ban{
	{"google.golang.org/grpc", offlineWhy},
	{"oras.land/oras-go", "charts are embedded or brought as files, never pulled"},
	{"github.com/docker", offlineWhy},
	{"github.com/containerd", offlineWhy},
	{"github.com/go-git/go-git", offlineWhy},
}

// noDirectNetwork is what Lateen's own rendering code may not import although its libraries link it.
var noDirectNetwork = []ban{
	{"net/http", offlineWhy},
	{"net/rpc", offlineWhy},
	{"crypto/tls", offlineWhy},
	{"os/exec", "a rendering runs no other program"},
	{"k8s.io/client-go", offlineWhy},
}

// helmLookup is where a walk through the chart package stops. Helm's engine serves the template function `lookup` and
// so imports client-go's rest, dynamic and discovery; chartutil imports the type scheme for its default capabilities.
// None of it can be left out of a build. What it could do it cannot do here: lookup needs a rest.Config, which comes
// only through RenderWithClient and the like, and internal/chart renders with the engine that has none.
//
// The kpt function SDK needs no such stop: of everything that could reach a network it links kyaml's net/http and
// os/exec (kube-openapi → go-openapi/swag, gnostic-models), and nothing of client-go.
var helmLookup = []edge{
	{"helm.sh/helm/v3/pkg/engine", "k8s.io/client-go", "the lookup function's code; it is never given a rest.Config"},
	{
		"helm.sh/helm/v3/pkg/chartutil", "k8s.io/client-go/kubernetes/scheme",
		"the API groups of the default capabilities; types only",
	},
}

// contract is the table of docs/architecture.md, "Import contract".
var contract = []rule{
	{
		name: "the deciding core",
		packages: []string{
			"internal/usage", "internal/prune", "internal/revision", "internal/values", "internal/release", "internal/selector",
			"internal/mistake", "internal/exit", "internal/finding", "internal/mesh",
		},
		mayImport: []string{"github.com/Masterminds/semver/v3", "sigs.k8s.io/yaml", "go.yaml.in/yaml"},
		never: []ban{
			{"k8s.io", pureWhy},
			{"sigs.k8s.io/controller-runtime", pureWhy},
			{"net/http", pureWhy},
			{"os/exec", pureWhy},
			{"helm.sh/helm", "only internal/chart knows Helm"},
		},
	},
	{
		name: "objects and packages of objects",
		packages: []string{
			"internal/manifest", "internal/resource", "internal/ownership", "internal/health", "internal/krm", "internal/heap",
			"internal/yamltree", "internal/fastyaml", "migrate",
		},
		mayImport: []string{
			"github.com/Masterminds/semver/v3", "sigs.k8s.io/yaml", "go.yaml.in/yaml",
			"k8s.io/api", "k8s.io/apimachinery", "sigs.k8s.io/kustomize/kyaml", "sigs.k8s.io/json",
			"github.com/GoogleContainerTools/kpt-functions-sdk/go/fn",
		},
		// These have no business below the chart package, so client-go is forbidden as a whole.
		never: slices.Concat(networkClients, []ban{
			{"k8s.io/client-go", offlineWhy},
			{"sigs.k8s.io/controller-runtime", managerWhy},
			{"helm.sh/helm", "only internal/chart knows Helm"},
		}),
		neverDirectly: noDirectNetwork,
	},
	{
		name:     "the chart package",
		packages: []string{"internal/chart"},
		mayImport: []string{
			"github.com/Masterminds/semver/v3", "sigs.k8s.io/yaml", "go.yaml.in/yaml",
			"k8s.io/api", "k8s.io/apimachinery", "sigs.k8s.io/kustomize/kyaml",
			"helm.sh/helm/v3/pkg/chart", "helm.sh/helm/v3/pkg/chart/loader",
			"helm.sh/helm/v3/pkg/chartutil", "helm.sh/helm/v3/pkg/engine",
		},
		never:         slices.Concat(clusterClients, networkClients),
		neverDirectly: noDirectNetwork,
		notFollowed:   helmLookup,
	},
	{
		name: "rendering and the functions",
		packages: []string{
			"", "internal/render", "internal/expand", "internal/function", "migrate/command", "functions/...",
		},
		never:         slices.Concat(clusterClients, networkClients),
		neverDirectly: noDirectNetwork,
		notFollowed:   helmLookup,
	},
	{
		name:     "the API types",
		packages: []string{"api/..."},
		mayImport: []string{
			"k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver/pkg/apis",
			// Not controller-runtime's scheme.Builder, as is the custom: every function would link it.
		},
		never: slices.Concat(clusterClients, networkClients, []ban{
			{"helm.sh/helm", "only internal/chart knows Helm"},
			{module + "/internal", "importers of the types must not need the implementation"},
		}),
	},
	{
		name:     "the controller",
		packages: []string{"controller/..."},
		never: []ban{
			{module + "/internal/krm", "ResourceLists are the functions' wire format"},
			{module + "/functions", "controller and functions are siblings over one core"},
			{"github.com/GoogleContainerTools/kpt-functions-sdk", "ResourceLists are the functions' wire format"},
		},
	},
	{
		name:      "the command's output",
		packages:  []string{"cmd/lateen/show"},
		mayImport: []string{"sigs.k8s.io/kustomize/kyaml"},
		never: slices.Concat(networkClients, []ban{
			{"k8s.io/client-go", "what is shown was observed elsewhere"},
			{"sigs.k8s.io/controller-runtime", managerWhy},
			{"helm.sh/helm", "only internal/chart knows Helm"},
		}),
		neverDirectly: noDirectNetwork,
	},
	{
		name:     "the command for people",
		packages: []string{"cmd/..."},
		never: []ban{
			{module + "/functions", "programs share the core, not each other"},
		},
		neverDirectly: []ban{
			{"os/exec", "a command runs no other program; plugins that log in to a cluster are client-go's"},
		},
	},
	{
		name:     "the migration is on top",
		packages: []string{"..."},
		except:   []string{"migrate/...", "functions/migrate-istiooperator", "cmd/lateen"},
		neverDirectly: []ban{
			{module + "/migrate", "an IstioOperator is nobody's business but that of the programs that migrate it"},
		},
	},
	{
		name:     "Helm beyond rendering",
		packages: []string{"..."},
		never: []ban{
			{"helm.sh/helm/v3/pkg/action", helmWhy},
			{"helm.sh/helm/v3/pkg/cli", helmWhy},
			{"helm.sh/helm/v3/pkg/kube", helmWhy},
			{"helm.sh/helm/v3/pkg/registry", helmWhy},
			{"helm.sh/helm/v3/pkg/getter", helmWhy},
			{"helm.sh/helm/v3/pkg/downloader", helmWhy},
			{"helm.sh/helm/v3/pkg/storage", helmWhy},
		},
	},
	{
		name:     "the kpt SDK has one door",
		packages: []string{"..."},
		except:   []string{"internal/krm"},
		neverDirectly: []ban{
			{
				"github.com/GoogleContainerTools/kpt-functions-sdk",
				"its results are the wire format, which internal/krm writes; in the program there are findings",
			},
		},
		notFollowed: []edge{{module, module + "/internal/krm", "internal/krm is the door"}},
	},
	{
		name:          "Helm has one door",
		packages:      []string{"..."},
		except:        []string{"internal/chart"},
		neverDirectly: []ban{{"helm.sh/helm", "internal/chart is the only package that knows Helm"}},
		// The door is not walked through: what internal/chart imports is its own row's matter.
		notFollowed: []edge{{module, module + "/internal/chart", "internal/chart has a row of its own"}},
	},
}

// TestImportContract holds the packages that exist against the contract.
func TestImportContract(t *testing.T) {
	t.Parallel()
	root := moduleRoot(t)
	g := load(t, root)
	for _, r := range contract {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			var from []string
			for _, pattern := range r.packages {
				found := g.match(pattern)
				if len(found) == 0 && hasGoFiles(t, root, pattern) {
					t.Errorf("%q has Go files, but go list does not know it: the row would bind nothing", pattern)
				}
				from = append(from, found...)
			}
			if len(from) == 0 {
				t.Skipf("none of %q exists yet", r.packages)
			}
			for _, finding := range r.check(g, from) {
				t.Error(finding)
			}
		})
	}
}

// TestImportContractCovers makes a new package choose its place: a row that binds a package which was renamed, or a
// package that no row knows, would otherwise go unnoticed.
func TestImportContractCovers(t *testing.T) {
	t.Parallel()
	g := load(t, moduleRoot(t))
	bound := map[string]bool{}
	for _, r := range contract {
		if slices.Contains(r.packages, "...") {
			continue // binds everything, so it places nothing
		}
		for _, pattern := range r.packages {
			for _, p := range g.match(pattern) {
				bound[p] = true
			}
		}
	}
	for _, dir := range []string{
		"", "api/...", "cmd/...", "controller/...", "functions/...", "internal/...", "migrate/...",
	} {
		for _, p := range g.match(dir) {
			if !bound[p] {
				t.Errorf("%s is in no row of the import contract: add it to the row whose promise it keeps", p)
			}
		}
	}
}

// TestRuleCheck shows on small graphs that each kind of entry in a rule can fail, and where it must not.
func TestRuleCheck(t *testing.T) {
	t.Parallel()
	const lib = "example.com/lib"
	a, b, c := module+"/internal/a", module+"/internal/b", module+"/internal/c"
	netHTTP := []ban{{"net/http", "no network"}}

	cases := map[string]struct {
		reason string
		graph  map[string][]string
		rule   rule
		want   []string
	}{
		"clean": {
			reason: "A package that links nothing forbidden has no findings.",
			graph:  map[string][]string{a: {"fmt", b}, b: {"strings"}},
			rule:   rule{never: netHTTP, neverDirectly: netHTTP, mayImport: []string{}},
		},
		"never, direct": {
			reason: "A forbidden import is found where it stands.",
			graph:  map[string][]string{a: {"net/http"}},
			rule:   rule{never: netHTTP},
			want:   []string{a + " links net/http (no network): " + a + " → net/http"},
		},
		"never, transitive": {
			reason: "The chain is named, through our packages and through libraries alike.",
			graph:  map[string][]string{a: {b}, b: {lib + "/x"}, lib + "/x": {"net/http"}},
			rule:   rule{never: netHTTP},
			want:   []string{a + " links net/http (no network): " + a + " → " + b + " → " + lib + "/x → net/http"},
		},
		"never, shortest chain": {
			reason: "Of several chains the shortest is the one to read.",
			graph:  map[string][]string{a: {b, c}, b: {lib}, lib: {"net/http"}, c: {"net/http"}},
			rule:   rule{never: netHTTP},
			want:   []string{a + " links net/http (no network): " + a + " → " + c + " → net/http"},
		},
		"never, below the prefix": {
			reason: "A prefix covers the packages below it, and not a neighbour that begins with the same letters.",
			graph:  map[string][]string{a: {lib + "/sub", lib + "rary"}},
			rule:   rule{never: []ban{{lib, "no lib"}}},
			want:   []string{a + " links " + lib + "/sub (no lib): " + a + " → " + lib + "/sub"},
		},
		"never, cycle": {
			reason: "The walk ends, and finds, even in a graph that no compiler would accept.",
			graph:  map[string][]string{a: {b}, b: {a, "net/http"}},
			rule:   rule{never: netHTTP},
			want:   []string{a + " links net/http (no network): " + a + " → " + b + " → net/http"},
		},
		"neverDirectly, through a library": {
			reason: "What a library links is not what we import.",
			graph:  map[string][]string{a: {lib}, lib: {"net/http"}},
			rule:   rule{neverDirectly: netHTTP},
		},
		"neverDirectly, through our package": {
			reason: "A package of ours further down is still ours.",
			graph:  map[string][]string{a: {b}, b: {"net/http"}},
			rule:   rule{neverDirectly: netHTTP},
			want:   []string{b + " imports net/http (no network)"},
		},
		"mayImport": {
			reason: "Imports that we write must be listed; what a listed library imports is its own matter.",
			graph:  map[string][]string{a: {"fmt", b, lib}, b: {"example.com/other"}, lib: {"example.com/third"}},
			rule:   rule{mayImport: []string{lib}},
			want:   []string{b + " imports example.com/other, which is not on the list of what these packages may link"},
		},
		"mayImport, the list is empty": {
			reason: "An empty list means the standard library only; no list means no limit.",
			graph:  map[string][]string{a: {lib}},
			rule:   rule{mayImport: []string{}},
			want:   []string{a + " imports " + lib + ", which is not on the list of what these packages may link"},
		},
		"notFollowed": {
			reason: "The walk stops at the edge that is excused.",
			graph:  map[string][]string{a: {lib + "/engine"}, lib + "/engine": {"net/http"}},
			rule:   rule{never: netHTTP, notFollowed: []edge{{lib + "/engine", "net/http", "excused"}}},
		},
		"notFollowed, another way round": {
			reason: "An excuse for one edge excuses no other edge to the same package.",
			graph: map[string][]string{
				a: {lib + "/engine", b}, lib + "/engine": {"net/http"}, b: {"net/http"},
			},
			rule: rule{never: netHTTP, notFollowed: []edge{{lib + "/engine", "net/http", "excused"}}},
			want: []string{a + " links net/http (no network): " + a + " → " + b + " → net/http"},
		},
		"except": {
			reason: "A package that is excepted is not a starting point.",
			graph:  map[string][]string{a: {"net/http"}},
			rule:   rule{never: netHTTP, except: []string{"internal/a"}},
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := tc.rule.check(graph{imports: tc.graph}, []string{a})
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("%s\ncheck(): -want, +got:\n%s", tc.reason, diff)
			}
		})
	}
}

// TestGraphMatch shows which packages a pattern of a rule binds.
func TestGraphMatch(t *testing.T) {
	t.Parallel()
	g := graph{imports: map[string][]string{
		module: nil, module + "/functions/x": nil, module + "/functions/x/y": nil, module + "/functionsx": nil, "fmt": nil,
	}}
	cases := map[string]struct {
		reason  string
		pattern string
		want    []string
	}{
		"root":  {"The empty pattern is the root package alone.", "", []string{module}},
		"exact": {"A plain path is one package.", "functions/x", []string{module + "/functions/x"}},
		"subtree": {
			"Dots are a directory and all below it, and no neighbour.", "functions/...",
			[]string{module + "/functions/x", module + "/functions/x/y"},
		},
		"all": {
			"Dots alone are the module, and no library.", "...",
			[]string{module, module + "/functions/x", module + "/functions/x/y", module + "/functionsx"},
		},
		"nothing": {"A package that does not exist matches nothing.", "internal/none", nil},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tc.want, g.match(tc.pattern)); diff != "" {
				t.Errorf("%s\nmatch(%q): -want, +got:\n%s", tc.reason, tc.pattern, diff)
			}
		})
	}
}

// check walks the graph from each of the packages and returns a sentence for each breach, sorted, without duplicates.
func (r rule) check(g graph, from []string) []string {
	var findings []string
	for _, start := range from {
		if slices.ContainsFunc(r.except, func(p string) bool { return matches(p, start) }) {
			continue
		}
		// importer remembers by whom each package was reached first; breadth first, so its chains are the shortest.
		importer := map[string]string{start: ""}
		for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
			p := queue[0]
			if b, ok := banned(r.never, p); ok {
				findings = append(findings, fmt.Sprintf("%s links %s (%s): %s", start, p, b.why, chain(importer, p)))
				continue // what a forbidden package links is forbidden with it
			}
			for _, imported := range g.imports[p] {
				if below(p, module) {
					findings = append(findings, r.checkOwn(p, imported)...)
				}
				if _, seen := importer[imported]; seen || r.stops(p, imported) {
					continue
				}
				importer[imported] = p
				queue = append(queue, imported)
			}
		}
	}
	slices.Sort(findings)
	return slices.Compact(findings)
}

// checkOwn judges one import that stands in Lateen's own source.
func (r rule) checkOwn(p, imported string) []string {
	if b, ok := banned(r.neverDirectly, imported); ok {
		return []string{fmt.Sprintf("%s imports %s (%s)", p, imported, b.why)}
	}
	if r.mayImport == nil || standard(imported) || below(imported, module) || r.stops(p, imported) {
		return nil
	}
	if slices.ContainsFunc(r.mayImport, func(prefix string) bool { return below(imported, prefix) }) {
		return nil
	}
	return []string{fmt.Sprintf("%s imports %s, which is not on the list of what these packages may link", p, imported)}
}

func (r rule) stops(from, to string) bool {
	return slices.ContainsFunc(r.notFollowed, func(e edge) bool { return below(from, e.from) && below(to, e.to) })
}

func banned(bans []ban, p string) (ban, bool) {
	i := slices.IndexFunc(bans, func(b ban) bool { return below(p, b.prefix) })
	if i < 0 {
		return ban{}, false
	}
	return bans[i], true
}

// below says whether an import path is the prefix or a package below it.
func below(p, prefix string) bool {
	return p == prefix || strings.HasPrefix(p, prefix+"/")
}

// standard says whether an import path is the standard library's, by the rule that a module's first element has a dot.
// The standard library's own copies of golang.org/x are listed below vendor/.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".")
}

// chain writes how a package was reached, from the start of the walk.
func chain(importer map[string]string, p string) string {
	var steps []string
	for ; p != ""; p = importer[p] {
		steps = append(steps, p)
	}
	slices.Reverse(steps)
	return strings.Join(steps, " → ")
}

// graph is who imports whom, by import path.
type graph struct{ imports map[string][]string }

// match returns the packages of Lateen that a pattern names, sorted.
func (g graph) match(pattern string) []string {
	var found []string
	for p := range g.imports {
		if below(p, module) && matches(pattern, p) {
			found = append(found, p)
		}
	}
	slices.Sort(found)
	return found
}

func matches(pattern, p string) bool {
	if pattern == "..." {
		return true
	}
	if dir, subtree := strings.CutSuffix(pattern, "/..."); subtree {
		return below(p, module+"/"+dir)
	}
	return p == strings.TrimSuffix(module+"/"+pattern, "/")
}

// load asks the go command for the import graph of what the module builds, as it is shipped: without cgo.
func load(t *testing.T, root string) graph {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-json=ImportPath,Imports,GoFiles", "./...")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	g := graph{imports: map[string][]string{}}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath       string
			Imports, GoFiles []string
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return g
		}
		if err != nil {
			t.Fatalf("reading the output of go list: %v", err)
		}
		if len(p.GoFiles) > 0 || !below(p.ImportPath, module) { // a package of tests only is not built
			g.imports[p.ImportPath] = p.Imports
		}
	}
}

// hasGoFiles says whether there is something to build in the directory of a pattern.
func hasGoFiles(t *testing.T, root, pattern string) bool {
	t.Helper()
	dir := strings.TrimSuffix(strings.TrimSuffix(pattern, "..."), "/")
	files, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(dir), "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(files, func(f string) bool { return !strings.HasSuffix(f, "_test.go") })
}

// moduleRoot finds the directory of go.mod from the one in which the test runs.
func moduleRoot(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "go.mod")); err != nil {
		t.Fatalf("this test belongs one directory below go.mod: %v", err)
	}
	return root
}
