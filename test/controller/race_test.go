package controller

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRace runs the controller with Go's race detector through some steps of a random history, and then ends it as the
// kubelet does. What the detector has to say is in the log, in which daemon looks for it.
func TestRace(t *testing.T) {
	parallel(t, 80)
	if testing.Short() {
		t.Skip("needs a control plane")
	}
	cc, err := exec.CommandContext(t.Context(), "go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	if compiler := strings.Fields(string(cc)); len(compiler) == 0 || !found(compiler[0]) {
		t.Skipf("the race detector needs a C compiler, and there is none: %s", cc)
	}
	program := filepath.Join(t.TempDir(), "lateen-controller")
	build := exec.CommandContext(t.Context(), "go", "build", "-race", "-ldflags=-s -w", "-o", program, "../../controller")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the controller: %v\n%s", err, out)
	}
	const steps = 120
	e := startObserved(t)
	o := e.observe()
	d := e.daemon()
	d.program = program
	d.start()
	h := e.history(2)
	stop := h.play()
	e.eventually("the history goes on", func() error {
		if n := h.done.Load(); n < steps {
			return fmt.Errorf("%d of %d steps are done", n, steps)
		}
		return nil
	})
	stop()
	e.letGo()
	e.converges()
	o.blameless()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if !d.ends(time.After(patience)) {
		t.Fatal("the controller does not end when it is asked to")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("the controller ended with code %d", code)
	}
}

func found(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}
