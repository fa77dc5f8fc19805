package cluster

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAuditLog is about logs that tests with a real server meet only by chance.
func TestAuditLog(t *testing.T) {
	t.Parallel()
	line := func(id, stage, end string) string {
		return `{"auditID":"` + id + `","stage":"` + stage +
			`","requestURI":"/api/v1/namespaces/a/configmaps","verb":"create",` +
			`"user":{"username":"u"},"objectRef":{"resource":"configmaps","namespace":"a","name":"` + id + `"}` + end + "}\n"
	}
	const answered = `,"responseStatus":{"code":201}`
	write := func(id, stage string, code int) Write {
		return Write{Verb: "create", User: "u", Resource: "configmaps", Namespace: "a", Name: id, Stage: stage, Code: code}
	}
	received, complete := line("1", "RequestReceived", ""), line("1", "ResponseComplete", answered)
	cases := map[string]struct {
		reason  string
		text    string
		pending int
		want    []Write
		// closed is what there is when the server is no more.
		closed []Write
	}{
		"answered": {
			reason: "A request is one write, although it is noted down twice.",
			text:   received + complete,
			want:   []Write{write("1", "ResponseComplete", 201)},
			closed: []Write{write("1", "ResponseComplete", 201)},
		},
		"killed": {
			reason: "What the server had received when it was killed may have been done, and is a write without an answer.",
			text:   received, pending: 1,
			closed: []Write{write("1", "RequestReceived", 0)},
		},
		"half a line": {
			reason: "The server may be writing: half a line waits for the rest, and is nothing if it never comes.",
			text:   received + complete[:40], pending: 1,
			closed: []Write{write("1", "RequestReceived", 0)},
		},
		"out of order": {
			reason: "Writes are in the order of their answers.",
			text:   received + line("2", "RequestReceived", "") + line("2", "Panic", "") + complete,
			want:   []Write{write("2", "Panic", 0), write("1", "ResponseComplete", 201)},
			closed: []Write{write("2", "Panic", 0), write("1", "ResponseComplete", 201)},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), "audit.log")
			if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			file, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			log := auditLog{file: file}
			if err := log.read(); err != nil {
				t.Fatal(err)
			}
			if len(log.pending) != c.pending {
				t.Errorf("%s: %d requests are without an answer: want %d", c.reason, len(log.pending), c.pending)
			}
			if diff := cmp.Diff(c.want, log.done); diff != "" {
				t.Errorf("%s: -want +got:\n%s", c.reason, diff)
			}
			if err := log.close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.closed, log.done); diff != "" {
				t.Errorf("%s: when the server is gone: -want +got:\n%s", c.reason, diff)
			}
		})
	}
}
