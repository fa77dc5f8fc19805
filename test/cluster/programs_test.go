package cluster

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestPrograms is about which files are used. It builds nothing.
func TestPrograms(t *testing.T) { //nolint:cyclop // a story, step by step
	kubernetes := []string{etcdProgram, apiServerProgram, controllerManagerProgram, schedulerProgram}
	everything := append([]string{kwokProgram, stagesFile}, kubernetes...)
	const assets, kubernetesCache, kwokCache = "assets", "the cache of Kubernetes", "the cache of kwok"
	cases := map[string]struct {
		reason string
		assets []string
		cached []string
		ask    []string
		want   map[string]string
	}{
		"assets": {
			reason: "What the machine has need not be built.",
			assets: everything, cached: everything, ask: []string{etcdProgram, kwokProgram},
			want: map[string]string{etcdProgram: assets, kwokProgram: assets},
		},
		"some": {
			reason: "What the machine does not have is built and the rest is used: kubebuilder's assets are an etcd and an " +
				"API server.",
			assets: []string{etcdProgram, apiServerProgram}, cached: everything,
			want: map[string]string{
				etcdProgram: assets, apiServerProgram: assets,
				controllerManagerProgram: kubernetesCache, schedulerProgram: kubernetesCache,
				kwokProgram: kwokCache, stagesFile: kwokCache,
			},
		},
		"none": {
			reason: "The cache is the usual place.",
			cached: everything, ask: []string{apiServerProgram},
			want: map[string]string{apiServerProgram: kubernetesCache},
		},
		"only what is asked for": {
			reason: "A test without controllers must not wait for a kwok that is not there.",
			cached: kubernetes, ask: []string{etcdProgram},
			want: map[string]string{etcdProgram: kubernetesCache},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			t.Setenv("XDG_CACHE_HOME", root) // Linux
			t.Setenv("HOME", root)           // macOS
			dirs := map[string]string{assets: filepath.Join(root, "assets")}
			t.Setenv("KUBEBUILDER_ASSETS", dirs[assets])
			for i, name := range []string{kubernetesCache, kwokCache} {
				source, err := findSource(modules[i])
				if err != nil {
					t.Fatal(err)
				}
				if dirs[name], err = source.cache(); err != nil {
					t.Fatal(err)
				}
			}
			touch := func(dir, name string) {
				t.Helper()
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range c.assets {
				touch(dirs[assets], name)
			}
			for _, name := range c.cached {
				if name == kwokProgram || name == stagesFile {
					touch(dirs[kwokCache], name)
				} else {
					touch(dirs[kubernetesCache], name)
				}
			}
			want := map[string]string{}
			for name, dir := range c.want {
				want[name] = filepath.Join(dirs[dir], name)
			}
			got, err := Programs(t.Context(), t.Output(), c.ask...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			var absent []string
			for _, name := range append(slices.Clone(kubernetes), kwokProgram, stagesFile) {
				if !slices.Contains(c.assets, name) && !slices.Contains(c.cached, name) {
					absent = append(absent, name)
				}
			}
			missing, err := Missing(modules)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(absent, missing); diff != "" {
				t.Errorf("what would have to be built: -want +got:\n%s", diff)
			}
		})
	}
}

// TestVersionIsPinned: the digest in the name of the cache must change with anything that changes the programs.
func TestVersionIsPinned(t *testing.T) {
	t.Parallel()
	original := "module x\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.6.8\n\tk8s.io/kubernetes v1.36.1\n)\n"
	write := func(t *testing.T, mod, sum string) source {
		t.Helper()
		dir := t.TempDir()
		for name, content := range map[string]string{"go.mod": mod, "go.sum": sum} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := readSource(modules[0], dir)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := write(t, original, "a h1:1\n")
	if before.version != "v1.36.1" {
		t.Errorf("the version of Kubernetes is %q", before.version)
	}
	cases := map[string]struct {
		reason   string
		mod, sum string
		same     bool
	}{
		"the same": {reason: "a fresh clone finds what another built", mod: original, sum: "a h1:1\n", same: true},
		"etcd": {
			reason: "its version is in go.mod only", mod: strings.Replace(original, "v3.6.8", "v3.6.9", 1), sum: "a h1:1\n",
		},
		"contents": {reason: "a dependency of a dependency has changed", mod: original, sum: "a h1:2\n"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			after := write(t, c.mod, c.sum)
			if same := after.digest == before.digest; same != c.same {
				t.Errorf("%s: same digest: %v, want %v", c.reason, same, c.same)
			}
		})
	}
}

// TestPrune is about what is left of a cache.
func TestPrune(t *testing.T) {
	t.Parallel()
	cache, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{"old": retention + time.Hour, "recent": retention - time.Hour} {
		dir := filepath.Join(cache, name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{filepath.Join(dir, "etcd"), dir + ".lock"} {
			if err := os.WriteFile(file, nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Chtimes(dir, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := prune(cache, now); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(cache)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range entries {
		left = append(left, e.Name())
	}
	if diff := cmp.Diff([]string{"recent", "recent.lock"}, left); diff != "" {
		t.Errorf("what nobody has started for a month goes, what another checkout uses stays: -want +got:\n%s", diff)
	}
}
