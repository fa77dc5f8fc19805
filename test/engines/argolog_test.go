package engines

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestArgoLog: what is counted as a comparison, and what as a failure.
func TestArgoLog(t *testing.T) {
	t.Parallel()
	const (
		unknown = `{"application":"a","syncId":"1","kind":"PeerAuthentication","name":"default",` +
			`"msg":"Adding resource result, status: 'SyncFailed', message: 'no matches for kind \"PeerAuthentication\"'"}`
		refused = `{"application":"a","syncId":"1","kind":"Service","name":"istiod",` +
			`"msg":"Adding resource result, status: 'SyncFailed', message: 'refused'"}`
		failed   = `{"application":"a","syncId":"1","msg":"Updating operation state. phase: Running -> Failed"}`
		later    = `{"application":"a","syncId":"2","msg":"Updating operation state. phase: Running -> Failed"}`
		done     = `{"application":"a","syncId":"2","msg":"Updating operation state. phase: Running -> Succeeded"}`
		compared = `{"application":"a","msg":"Reconciliation completed","compare_app_state_ms":0}`
		tree     = `{"application":"a","msg":"Reconciliation completed"}`
		others   = `{"application":"b","msg":"Reconciliation completed","compare_app_state_ms":0}`
	)
	const phase = "Updating operation state. phase: Running -> Failed"
	for _, c := range []struct {
		name     string
		lines    []string
		rounds   int
		failures []string
	}{
		{name: "nothing"},
		{name: "comparisons", lines: []string{compared, tree, others, compared}, rounds: 2},
		{name: "a line that is not there in full", lines: []string{compared, compared[:40]}, rounds: 1},
		{name: "at once", lines: []string{done}},
		{name: "a kind that came with it", lines: []string{unknown, failed, done}},
		{
			name: "something else", lines: []string{refused, failed},
			failures: []string{"Service istiod: Adding resource result, status: 'SyncFailed', message: 'refused'", phase},
		},
		{
			name: "something else as well", lines: []string{unknown, refused, failed},
			failures: []string{"Service istiod: Adding resource result, status: 'SyncFailed', message: 'refused'"},
		},
		{name: "once more", lines: []string{unknown, failed, later, done}, failures: []string{phase}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "log")
			if err := os.WriteFile(file, []byte(strings.Join(c.lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			a, w := argo{log: file}, &world{t: t}
			if got := a.rounds(w, "a"); got != c.rounds {
				t.Errorf("%d comparisons, want %d", got, c.rounds)
			}
			if diff := cmp.Diff(c.failures, a.failures(w, "a")); diff != "" {
				t.Errorf("failures: -want +got:\n%s", diff)
			}
		})
	}
}
