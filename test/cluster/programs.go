package cluster

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"
)

// What a control plane is made of.
const (
	etcdProgram              = "etcd"
	apiServerProgram         = "kube-apiserver"
	controllerManagerProgram = "kube-controller-manager"
	schedulerProgram         = "kube-scheduler"
	kwokProgram              = "kwok"
	// stagesFile is no program: it tells kwok how a node becomes ready, and a pod.
	stagesFile = "kwok-stages.yaml"
)

// Module is a nested module that pins programs: what they are built from is in its go.mod and go.sum.
type Module struct {
	// Dir is where it is in the repository.
	Dir string
	// Names is the dependency whose version is the module's.
	Names string
	// Variable is the Go variable that the version is linked into, if there is one.
	Variable string
	Products []Product
}

// Product is a file that comes out of a module.
type Product struct {
	Name string
	// Main is the package that it is built from, if it is a program.
	Main string
	// Manifests are the directories whose YAML files it consists of, if it is none: those of the dependency that
	// names the module, written as if they were packages of it.
	Manifests []string
}

// modules are two, so that what kwok depends on does not change what Kubernetes is built with.
var modules = []Module{
	{
		Dir:      "test/cluster/programs",
		Names:    "k8s.io/kubernetes",
		Variable: "k8s.io/component-base/version.gitVersion",
		Products: []Product{
			{Name: etcdProgram, Main: "go.etcd.io/etcd/server/v3"},
			{Name: apiServerProgram, Main: "k8s.io/kubernetes/cmd/kube-apiserver"},
			{Name: controllerManagerProgram, Main: "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{Name: schedulerProgram, Main: "k8s.io/kubernetes/cmd/kube-scheduler"},
		},
	},
	{
		Dir:      "test/cluster/programs/kwok",
		Names:    "sigs.k8s.io/kwok",
		Variable: "sigs.k8s.io/kwok/pkg/consts.Version",
		Products: []Product{
			{Name: kwokProgram, Main: "sigs.k8s.io/kwok/cmd/kwok"},
			{Name: stagesFile, Manifests: []string{
				"sigs.k8s.io/kwok/kustomize/stage/node/fast",
				"sigs.k8s.io/kwok/kustomize/stage/pod/fast",
			}},
		},
	},
}

// Programs gives the files of a control plane, by name: all, or those that are asked for, as Build does.
func Programs(ctx context.Context, progress io.Writer, names ...string) (map[string]string, error) {
	files, err := Build(ctx, progress, modules, names...)
	if err != nil {
		return nil, fmt.Errorf("building the control plane's programs: %w", err)
	}
	return files, nil
}

// Build gives the files that come out of modules, by name: all, or those that are asked for. What $KUBEBUILDER_ASSETS
// has is used. The rest is in the user's cache, in a directory per module that is named after its version and digest;
// whoever is first builds it there, which takes minutes, and says so on progress.
func Build(ctx context.Context, progress io.Writer, modules []Module, names ...string) (map[string]string, error) {
	files := map[string]string{}
	for _, m := range modules {
		wanted := m.wanted(names)
		if len(wanted) == 0 {
			continue
		}
		var own []Product
		for _, p := range wanted {
			if file, found := asset(p); found {
				files[p.Name] = file
			} else {
				own = append(own, p)
			}
		}
		if len(own) == 0 {
			continue
		}
		source, err := findSource(m)
		if err != nil {
			return nil, err
		}
		dir, err := source.fill(ctx, own, progress)
		if err != nil {
			return nil, err
		}
		for _, p := range own {
			files[p.Name] = filepath.Join(dir, p.Name)
		}
	}
	return files, nil
}

// Missing names the files that Build would have to build.
func Missing(modules []Module, names ...string) ([]string, error) {
	var missing []string
	for _, m := range modules {
		source, err := findSource(m)
		if err != nil {
			return nil, err
		}
		dir, err := source.cache()
		if err != nil {
			return nil, err
		}
		for _, p := range m.wanted(names) {
			if _, found := asset(p); !found && !isFile(filepath.Join(dir, p.Name)) {
				missing = append(missing, p.Name)
			}
		}
	}
	return missing, nil
}

// wanted are the products with one of the names, or all if nobody names any.
func (m Module) wanted(names []string) []Product {
	if len(names) == 0 {
		return m.Products
	}
	return slices.DeleteFunc(slices.Clone(m.Products), func(p Product) bool { return !slices.Contains(names, p.Name) })
}

// asset looks for a product among what the machine has.
func asset(p Product) (string, bool) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return "", false
	}
	file, err := filepath.Abs(filepath.Join(assets, p.Name))
	return file, err == nil && isFile(file)
}

func isFile(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode().IsRegular()
}

// source is a module as it is on disk.
type source struct {
	Module
	// dir is where the module is.
	dir string
	// version is that of the dependency that names the module.
	version string
	// digest is that of everything that decides what comes out of a build, except the Go version.
	digest string
}

// findSource looks for the module upwards from the working directory: tests run in the directory of their package.
func findSource(m Module) (source, error) {
	start, err := os.Getwd()
	if err != nil {
		return source{}, err
	}
	for dir := start; ; dir = filepath.Dir(dir) {
		s, err := readSource(m, filepath.Join(dir, filepath.FromSlash(m.Dir)))
		if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
		if dir == filepath.Dir(dir) {
			return source{}, fmt.Errorf("neither %s nor a directory above has %s, a module of programs", start, m.Dir)
		}
	}
}

func readSource(m Module, dir string) (source, error) {
	s := source{Module: m, dir: dir}
	required := regexp.MustCompile(`(?m)^\s*` + regexp.QuoteMeta(m.Names) + ` (v\S+)`)
	hash := sha256.New()
	for _, name := range []string{"go.mod", "go.sum"} {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return s, err
		}
		hash.Write(content)
		if match := required.FindSubmatch(content); match != nil && s.version == "" {
			s.version = string(match[1])
		}
	}
	if s.version == "" {
		return s, fmt.Errorf("%s requires no %s", filepath.Join(dir, "go.mod"), m.Names)
	}
	for _, p := range m.Products {
		fmt.Fprintf(hash, "%q %q\n", s.arguments(p), p.Manifests)
	}
	fmt.Fprintf(hash, "%s/%s\n", runtime.GOOS, runtime.GOARCH)
	s.digest = hex.EncodeToString(hash.Sum(nil)[:6])
	return s, nil
}

// arguments are those with which the go command builds a program. It is still told where to put it.
func (s source) arguments(p Product) []string {
	flags := "-s -w"
	if s.Variable != "" {
		flags += " -X " + s.Variable + "=" + s.version
	}
	return []string{"build", "-mod=readonly", "-trimpath", "-ldflags", flags, p.Main}
}

// cache is where the products belong.
func (s source) cache() (string, error) {
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "lateen", "cluster", s.shortName()+"-"+s.version+"-"+s.digest), nil
}

// major is what the path of a module may end with that does not tell it from others.
var major = regexp.MustCompile(`/v\d+$`)

// shortName is the last word of the dependency that names the module.
func (s source) shortName() string { return path.Base(major.ReplaceAllString(s.Names, "")) }

// fill makes what is missing in the module's cache, and only once however many processes want it at the same time.
func (s source) fill(ctx context.Context, products []Product, progress io.Writer) (dir string, err error) {
	dir, err = s.cache()
	if err != nil {
		return "", err
	}
	made := func(p Product) bool { return isFile(filepath.Join(dir, p.Name)) }
	if !slices.ContainsFunc(products, func(p Product) bool { return !made(p) }) {
		now := time.Now()
		return dir, os.Chtimes(dir, now, now) // in use: see prune
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	unlock, err := Lock(dir + ".lock")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, p := range products {
		if made(p) {
			continue // perhaps by the process that had the lock before us
		}
		if err := s.make(ctx, p, dir, progress); err != nil {
			return "", err
		}
	}
	return dir, prune(filepath.Dir(dir), time.Now())
}

// make makes a product so that its file is either complete or absent.
func (s source) make(ctx context.Context, p Product, dir string, progress io.Writer) error {
	begin := time.Now()
	unfinished := filepath.Join(dir, "unfinished-"+p.Name)
	var err error
	if p.Main != "" {
		fmt.Fprintf(progress, "building %s (%s %s), once\n", p.Name, s.shortName(), s.version)
		args := s.arguments(p)
		_, err = s.run(ctx, append([]string{args[0], "-o", unfinished}, args[1:]...)...)
	} else {
		err = s.collect(ctx, p, unfinished)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(progress, "made %s in %s\n", p.Name, time.Since(begin).Round(time.Second))
	return os.Rename(unfinished, filepath.Join(dir, p.Name))
}

// collect writes the manifests of a product into one file. They come from the module, as the program does that reads
// them.
func (s source) collect(ctx context.Context, p Product, file string) error {
	output, err := s.run(ctx, "mod", "download", "-json", s.Names)
	if err != nil {
		return err
	}
	var downloaded struct{ Dir string }
	if err := json.Unmarshal(output, &downloaded); err != nil {
		return err
	}
	var all [][]byte
	for _, manifests := range p.Manifests {
		dir := filepath.Join(downloaded.Dir, filepath.FromSlash(strings.TrimPrefix(manifests, s.Names)))
		names, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			return err
		}
		for _, name := range names {
			if filepath.Base(name) == "kustomization.yaml" {
				continue
			}
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			all = append(all, content)
		}
	}
	if len(all) == 0 {
		return fmt.Errorf("no manifests in %s", strings.Join(p.Manifests, ", "))
	}
	return os.WriteFile(file, bytes.Join(all, []byte("\n---\n")), 0o644)
}

// run runs the go command in the module and gives what it prints.
func (s source) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s in %s: %w\n%s", strings.Join(cmd.Args, " "), s.dir, err, &stderr)
	}
	return output, nil
}

// retention is how long programs stay in the cache that nobody starts.
const retention = 30 * 24 * time.Hour

// prune removes from the cache what belongs to modules of earlier days.
func prune(cache string, now time.Time) error {
	entries, err := os.ReadDir(cache)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || now.Sub(info.ModTime()) < retention {
			continue
		}
		dir := filepath.Join(cache, e.Name())
		errs = append(errs, os.RemoveAll(dir), os.RemoveAll(dir+".lock"))
	}
	return errors.Join(errs...)
}
