package operation

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestImage builds the image of the controller twice, and runs it.
func TestImage(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs containers")
	}
	podman := tool(t, "podman")
	tool(t, "runc")
	binary, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	// Podman as root without systemd, in directories of its own.
	write("containers.conf", "[engine]\nruntime = \"runc\"\n[containers]\ndefault_ulimits = [\"nofile=1024:1024\", "+
		"\"nproc=1024:1024\"]\n", 0o644)
	write("storage.conf", "[storage]\ndriver = \"vfs\"\ngraphroot = \""+dir+"/root\"\nrunroot = \""+dir+"/run\"\n", 0o644)
	context := filepath.Join(dir, "context")
	if err := os.Mkdir(context, 0o755); err != nil {
		t.Fatal(err)
	}
	write("context/LICENSE", read(t, "../../LICENSE"), 0o644)
	write("context/NOTICE", read(t, "../../NOTICE"), 0o644)
	write("context/lateen-controller", read(t, binary), 0o755)
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), podman, args...)
		cmd.Env = append(os.Environ(), "CONTAINERS_CONF="+dir+"/containers.conf",
			"CONTAINERS_STORAGE_CONF="+dir+"/storage.conf")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
		}
		return strings.TrimSpace(string(out))
	}
	const image = "localhost/lateen/lateen-controller:test"
	build := func() string {
		return run("build", "--quiet", "--no-cache", "--timestamp", "0", "--tag", image, "--file",
			"../../controller/Containerfile", context)
	}
	if first, second := build(), build(); first != second || first == "" {
		t.Errorf("two builds gave the images %s and %s", first, second)
	}
	// What the Deployment asks for: a user that is a number and not root, no capabilities, nothing to write to.
	if user := run("image", "inspect", "--format", "{{.Config.User}}", image); user != "65534:65534" {
		t.Errorf("the image runs as %q", user)
	}
	out := run("run", "--rm", "--network=none", "--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", image,
		"--help")
	if !strings.Contains(out, "-leader-elect") {
		t.Errorf("--help in the image says:\n%s", out)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
