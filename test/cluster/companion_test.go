package cluster

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestCompanion: what runs beside a control plane has its own environment, leaves its output with the other logs, and
// ends when it is told.
func TestCompanion(t *testing.T) {
	t.Parallel()
	c := &Cluster{dir: t.TempDir()}
	companion := c.Run(t, "companion", []string{"WORD=hello", "PATH=" + os.Getenv("PATH")}, "/bin/sh", "-c",
		"echo $WORD $0; exec sleep 3600", "you")
	for deadline := time.Now().Add(patience); ; time.Sleep(pause) {
		text, err := os.ReadFile(companion.Log())
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(text)) == "hello you" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("the log is %q", text)
		}
	}
	if err := c.failure(); err != nil {
		t.Errorf("it runs: %v", err)
	}
	companion.Stop()
	if err := companion.Failure(); err != nil {
		t.Errorf("it has been stopped: %v", err)
	}

	short := c.Run(t, "short", nil, "/bin/sh", "-c", "echo no such file; exit 3")
	for deadline := time.Now().Add(patience); short.Failure() == nil; time.Sleep(pause) {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
	}
	const want = "short has ended: exit status 3\nno such file"
	if err := c.failure(); err == nil || err.Error() != want {
		t.Errorf("what the test is told: %v, want %s", err, want)
	}
}
