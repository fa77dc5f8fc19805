package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func imageOf(function string) string { return "localhost/lateen/" + function + ":test" }

// podman prepares podman so that it works as root without systemd, in directories of its own, and builds the image.
func podman(t *testing.T) (engine string, env []string) {
	t.Helper()
	if testing.Short() {
		t.Skip("builds and runs containers")
	}
	engine = tool(t, "podman")
	tool(t, "runc")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "containers.conf"), "[engine]\nruntime = \"runc\"\n[containers]\n"+
		"default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n")
	write(t, filepath.Join(dir, "storage.conf"),
		"[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n")
	env = []string{"CONTAINERS_CONF=" + dir + "/containers.conf", "CONTAINERS_STORAGE_CONF=" + dir + "/storage.conf"}
	context := filepath.Join(dir, "context")
	for _, name := range []string{"LICENSE", "NOTICE", "functions/passwd"} {
		write(t, filepath.Join(context, filepath.Base(name)), read(t, filepath.Join(root, name)))
	}
	file, err := filepath.Abs(filepath.Join(root, "functions/Containerfile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"render-istio", "render-cni", "revision-tag", "migrate-istiooperator"} {
		function := filepath.Join(context, name)
		write(t, function, read(t, filepath.Join(bin, name)))
		if err := os.Chmod(function, 0o755); err != nil {
			t.Fatal(err)
		}
		var ids [2]string
		for i := range ids { // two builds, one digest
			ids[i] = run{env: env}.must(t, engine, "build", "--quiet", "--no-cache", "--timestamp", "0", "--build-arg",
				"FUNCTION="+name,
				"--tag", imageOf(name), "--file", file, context).stdout
		}
		if ids[0] != ids[1] || ids[0] == "" {
			t.Errorf("%s: two builds gave the images %s and %s", name, ids[0], ids[1])
		}
	}
	return engine, env
}

// TestImage runs the function as a container under kpt and under kustomize, and expects what the binary gives.
func TestImage(t *testing.T) {
	engine, env := podman(t)

	t.Run("kpt", func(t *testing.T) {
		r := newRepo(t, mesh(istio("v1.28.3", "InPlace")))
		r.render()
		r.commit()
		edit(t, r.path("Kptfile"), "exec: render-istio", "image: "+imageOf("render-istio"))
		run{dir: r.dir, env: append(env, "KPT_FN_RUNTIME=podman")}.must(t, r.kpt, "fn", "render", "--image-pull-policy",
			"IfNotPresent")
		if changed := strings.TrimSpace(r.status()); changed != "M Kptfile" {
			t.Errorf("the container gives other files than the binary:\n%s", changed)
		}
	})

	t.Run("kpt with all functions", func(t *testing.T) {
		r := newRepo(t, func(dir string) {
			mesh(istio("v1.28.3", "RevisionBased") + "---\n" + resource("IstioCNI", "default", "{version: v1.28.3}") + "---\n" +
				tag("prod", "Istio", "default"))(dir)
			write(t, filepath.Join(dir, "Kptfile"), allFunctions)
		})
		r.render()
		r.commit()
		for _, name := range []string{"render-istio", "render-cni", "revision-tag"} {
			edit(t, r.path("Kptfile"), "exec: "+name+"\n", "image: "+imageOf(name)+"\n")
		}
		run{dir: r.dir, env: append(env, "KPT_FN_RUNTIME=podman")}.must(t, r.kpt, "fn", "render", "--image-pull-policy",
			"IfNotPresent")
		if changed := strings.TrimSpace(r.status()); changed != "M Kptfile" {
			t.Errorf("the containers give other files than the binaries:\n%s", changed)
		}
	})

	t.Run("migrate-istiooperator", func(t *testing.T) {
		operator := "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: mesh}\n" +
			"spec: {tag: 1.28.3, meshConfig: {accessLogFile: /dev/stdout}}\n"
		files := map[string]string{}
		for _, how := range []string{"exec: migrate-istiooperator", "image: " + imageOf("migrate-istiooperator")} {
			r := newRepo(t, func(dir string) {
				write(t, filepath.Join(dir, "operator.yaml"), operator)
				write(t, filepath.Join(dir, "Kptfile"), strings.ReplaceAll(kptfile, "exec: render-istio", how))
			})
			run{dir: r.dir, env: append(env, "KPT_FN_RUNTIME=podman")}.must(t, r.kpt, "fn", "render", "--allow-exec",
				"--image-pull-policy", "IfNotPresent")
			r.git("add", "-A")
			files[how[:4]] = r.git("diff", "--cached", "--", "*.yaml")
		}
		if !strings.Contains(files["exec"], "+kind: Istio\n") || files["exec"] != files["imag"] {
			t.Errorf("the binary:\n%s\nthe container:\n%s", files["exec"], files["imag"])
		}
	})

	t.Run("kustomize", func(t *testing.T) {
		out, err := kustomizeBuild(t, defaultExample)
		if err != nil {
			t.Fatalf("%v\n%s", err, out.stderr)
		}
		want := without(objects(t, out.stdout), "Namespace")
		shims := t.TempDir()
		shim := filepath.Join(shims, "docker")
		write(t, shim, "#!/bin/sh\nexec "+engine+" \"$@\"\n")
		if err := os.Chmod(shim, 0o755); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		write(t, filepath.Join(dir, "istio.yaml"), strings.ReplaceAll(read(t, filepath.Join(defaultExample, "istio.yaml")),
			"exec:\n        path: render-istio", "container:\n        image: "+imageOf("render-istio")))
		write(t, filepath.Join(dir, "kustomization.yaml"), "generators: [istio.yaml]\n")
		got := run{env: append(env, "PATH="+shims+":"+os.Getenv("PATH"))}.must(t, tool(t, "kustomize"), "build",
			"--enable-alpha-plugins", dir)
		if diff := cmp.Diff(want, objects(t, got.stdout)); diff != "" {
			t.Errorf("-binary +container:\n%s", diff)
		}
	})
}
