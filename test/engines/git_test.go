package engines

import (
	"context"
	"maps"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// gitServer serves repositories over HTTP, on loopback, to whoever asks.
type gitServer struct {
	program, dir string
	url          string
	// made counts the repositories.
	made int
}

func serveGit(t *testing.T) *gitServer {
	t.Helper()
	g := &gitServer{program: needsProgram(t, "git"), dir: t.TempDir()}
	server := httptest.NewServer(&cgi.Handler{
		Path:   g.program,
		Args:   []string{"http-backend"},
		Env:    append(gitEnvironment(g.dir), "GIT_PROJECT_ROOT="+g.dir, "GIT_HTTP_EXPORT_ALL=true"),
		Stderr: t.Output(),
	})
	t.Cleanup(server.Close)
	g.url = server.URL
	return g
}

// gitEnvironment is what git runs with: nothing of what the user has set up.
func gitEnvironment(home string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + home, "GIT_CONFIG_NOSYSTEM=true", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=test", "GIT_AUTHOR_EMAIL=test@example.com",
		"GIT_COMMITTER_NAME=test", "GIT_COMMITTER_EMAIL=test@example.com",
	}
}

// repository is a repository on the server, with a clone to work in.
type repository struct {
	server *gitServer
	// name is that of the repository; url is where engines find it.
	name, url string
	// dir is the clone.
	dir string
}

// branch is the only one.
const branch = "main"

// repository makes an empty repository, whose name begins as given.
func (g *gitServer) repository(t *testing.T, name string) *repository {
	t.Helper()
	g.made++
	name += "-" + strconv.Itoa(g.made)
	r := &repository{server: g, name: name, url: g.url + "/" + name + ".git", dir: t.TempDir()}
	bare := filepath.Join(g.dir, name+".git")
	r.git(t, "init", "-q", "--bare", "--initial-branch="+branch, bare)
	r.git(t, "init", "-q", "--initial-branch="+branch)
	r.git(t, "remote", "add", "origin", bare)
	return r
}

func (r *repository) git(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), r.server.program, args...)
	cmd.Dir, cmd.Env = r.dir, gitEnvironment(r.server.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// push commits what is in the clone, and gives the commit.
func (r *repository) push(t *testing.T, subject string) string {
	t.Helper()
	r.git(t, "add", "-A")
	r.git(t, "commit", "-q", "--allow-empty", "-m", subject)
	r.git(t, "push", "-q", "origin", branch)
	return r.git(t, "rev-parse", "HEAD")
}

// head is the commit that engines see.
func (r *repository) head(t *testing.T) string {
	t.Helper()
	return r.git(t, "ls-remote", "-q", "origin", "refs/heads/"+branch)
}

// files are texts by the names of their files.
type files map[string]string

// write writes files into the clone. A file without text is removed.
func (r *repository) write(t *testing.T, content files) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(content)) {
		path := filepath.Join(r.dir, filepath.FromSlash(name))
		if content[name] == "" {
			if err := os.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content[name]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestGitServer: what is pushed can be fetched over HTTP, as engines do it.
func TestGitServer(t *testing.T) {
	t.Parallel()
	r := serveGit(t).repository(t, "content")
	r.write(t, files{"a/b.txt": "one", "c.txt": "two"})
	r.push(t, "first")
	r.write(t, files{"c.txt": ""})
	commit := r.push(t, "second")
	clone := t.TempDir()
	r.git(t, "clone", "-q", r.url, clone)
	r.dir = clone
	if got := r.git(t, "rev-parse", "HEAD"); got != commit {
		t.Errorf("the clone is at %s, and %s was pushed", got, commit)
	}
	if got := r.git(t, "ls-files"); got != "a/b.txt" {
		t.Errorf("the clone has %q", got)
	}
	if got := r.head(t); !strings.HasPrefix(got, commit) {
		t.Errorf("the server's head is %q", got)
	}
}
