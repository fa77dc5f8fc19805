package render_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/manifest"
)

// processes of test/helmtemplates render charts as `helm template` does, without a start of the program for each.
type processes struct {
	program string // helm itself
	idle    chan *process
}

type process struct {
	to   *json.Encoder
	from *json.Decoder
}

// helmRequest and helmAnswer are the Request and the Answer of test/helmtemplates, which is a module of its own.
type helmRequest struct {
	Release, Namespace, Chart, KubeVersion string
	Values                                 []string
}

type helmAnswer struct{ Manifest, Error string }

// helmProcesses starts a process for each core; they end with the test.
func helmProcesses(t *testing.T) *processes {
	t.Helper()
	p := &processes{program: helm(t), idle: make(chan *process, runtime.GOMAXPROCS(0))}
	for range cap(p.idle) {
		cmd := exec.CommandContext(t.Context(), filepath.Join(filepath.Dir(p.program), "helmtemplates"))
		cmd.Stderr = os.Stderr
		in, inErr := cmd.StdinPipe()
		out, outErr := cmd.StdoutPipe()
		if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := errors.Join(in.Close(), cmd.Wait()); err != nil && t.Context().Err() == nil {
				t.Error(err)
			}
		})
		p.idle <- &process{to: json.NewEncoder(in), from: json.NewDecoder(out)}
	}
	return p
}

// template gives what Helm makes of a chart. With check, the helm program has to print the same text.
func (p *processes) template(
	ctx context.Context, check bool, releaseName, namespace, chartDir string, layers []string,
) (map[manifest.ID]map[string]any, error) {
	files, remove, err := valuesFiles(layers)
	if err != nil {
		return nil, err
	}
	defer remove()
	one := <-p.idle
	var answer helmAnswer
	err = errors.Join(one.to.Encode(helmRequest{
		Release: releaseName, Namespace: namespace, Chart: chartDir, KubeVersion: chart.DefaultKubeVersion, Values: files,
	}), one.from.Decode(&answer))
	p.idle <- one
	if err != nil {
		return nil, fmt.Errorf("helmtemplates: %w", err)
	}
	if check {
		out, err := helmTemplate(ctx, p.program, releaseName, namespace, chartDir, files)
		if (err != nil) != (answer.Error != "") {
			return nil, fmt.Errorf("helm: %w; helmtemplates: %s", err, answer.Error)
		}
		if diff := cmp.Diff(string(out), answer.Manifest); err == nil && diff != "" {
			return nil, fmt.Errorf("-helm +helmtemplates:\n%s", diff)
		}
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("helm template %s %s: %s", releaseName, chartDir, answer.Error)
	}
	return parseAll([]byte(answer.Manifest))
}

// valuesFiles writes layers of values for Helm, and returns what removes the files.
func valuesFiles(layers []string) ([]string, func(), error) {
	dir, err := os.MkdirTemp("", "lateen-helm-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() { os.RemoveAll(dir) } //nolint:errcheck,gosec // a directory for temporary files
	var files []string
	for i, layer := range layers {
		files = append(files, filepath.Join(dir, fmt.Sprintf("%d.yaml", i)))
		if err := os.WriteFile(files[i], []byte(layer), 0o600); err != nil {
			remove()
			return nil, nil, err
		}
	}
	return files, remove, nil
}

// helmTemplate runs the helm program.
func helmTemplate(
	ctx context.Context, bin, releaseName, namespace, chartDir string, files []string, more ...string,
) ([]byte, error) {
	args := []string{
		"template", releaseName, chartDir, "--namespace", namespace, "--include-crds",
		"--kube-version", chart.DefaultKubeVersion,
	}
	args = append(args, more...)
	for _, file := range files {
		args = append(args, "--values", file)
	}
	cmd := exec.CommandContext(ctx, bin, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("helm %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return out, nil
}
