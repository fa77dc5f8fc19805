package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/lateen-io/lateen/internal/release"
)

// What is measured of rendering is the CPU time (user and system) of finished processes, as the operating system
// accounts it.

// comparison is one job done two ways.
type comparison struct {
	name string
	// lateen and peer are lists of commands; the CPU time of a list is the sum.
	lateen, peer []command
	peerName     string
	rounds       int
}

type command struct {
	args  []string
	stdin []byte
}

// figure is a measured comparison. Times are the CPU time of all processes, in milliseconds, medians over the rounds.
type figure struct {
	Name     string  `json:"name"`
	Peer     string  `json:"peer"`
	LateenMS float64 `json:"lateenCPUMilliseconds"`
	PeerMS   float64 `json:"peerCPUMilliseconds"`
	Ratio    float64 `json:"ratio"`    // median of the ratios of each round: peer / lateen
	RatioMin float64 `json:"ratioMin"` // smallest of them
	PeakMB   float64 `json:"lateenPeakMemoryMB"`
	Rounds   int     `json:"rounds"`
}

// rendering measures render-istio against the command that people use today.
func rendering(ctx context.Context, s settings) (report, error) {
	helm, bin := os.Getenv("LATEEN_HELM"), os.Getenv("LATEEN_BIN")
	if helm == "" || bin == "" {
		return report{}, errors.New("LATEEN_HELM and LATEEN_BIN are not set; run `make bench`")
	}
	dir, err := os.MkdirTemp("", "lateen-bench-")
	if err != nil {
		return report{}, err
	}
	defer os.RemoveAll(dir)
	// A file that a linker has just written lies in the page cache in small pieces, which makes a program start later by a
	// millisecond than one that was installed. Both sides get the same.
	programs := map[string]string{"render-istio": filepath.Join(bin, "render-istio"), "helm": helm}
	for name, from := range programs {
		programs[name] = filepath.Join(dir, name)
		if err := install(from, programs[name]); err != nil {
			return report{}, err
		}
	}
	list, err := comparisons(programs["render-istio"], programs["helm"], dir, s.rounds)
	if err != nil {
		return report{}, err
	}
	rows := [][]string{{"RENDERING", "LATEEN CPU", "PEER CPU", "RATIO", "(MIN)", "PEAK MEMORY", "PEER"}}
	var figures []figure
	for _, c := range list {
		f, err := c.measure(ctx)
		if err != nil {
			return report{}, fmt.Errorf("%s: %w", c.name, err)
		}
		figures = append(figures, f)
		rows = append(rows, []string{
			f.Name, fmt.Sprintf("%.1f ms", f.LateenMS), fmt.Sprintf("%.1f ms", f.PeerMS), fmt.Sprintf("%.1fx", f.Ratio),
			fmt.Sprintf("%.1fx", f.RatioMin), fmt.Sprintf("%.0f MB", f.PeakMB), f.Peer,
		})
	}
	return newReport(figures, rows), nil
}

const userValues = `pilot:
  resources:
    requests:
      cpu: 100m
      memory: 1024Mi
`

// istio is a resource whose revision has the values that helmArgs gives to helm.
func istio(name, version string) string {
	return fmt.Sprintf(
		"apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: %s\nspec:\n  version: %s\n  values:\n    %s",
		name, version, strings.ReplaceAll(strings.TrimRight(userValues, "\n"), "\n", "\n    ")+"\n")
}

func comparisons(render, helm, dir string, rounds int) ([]comparison, error) {
	const bundles = "internal/release/bundles"
	versions := release.Bundled().Versions()
	newest := versions[len(versions)-1]
	file := func(name, content string) (string, error) {
		path := filepath.Join(dir, name)
		return path, os.WriteFile(path, []byte(content), 0o600)
	}
	one, err := file("one.yaml", istio("mesh", newest))
	if err != nil {
		return nil, err
	}
	values := func(name string) (string, error) {
		revision := name
		return file("values-"+name+".yaml",
			userValues+"global:\n  istioNamespace: istio-system\n  configValidation: true\nrevision: "+revision+"\n")
	}
	template := func(release, version, chart, values string) command {
		return command{
			args: []string{
				helm, "template", release, filepath.Join(bundles, version, chart), "-n", "istio-system", "-f", values,
			},
		}
	}
	mesh, err := values("mesh")
	if err != nil {
		return nil, err
	}
	istiod := template("mesh-istiod", newest, "istiod", mesh)
	base := template("default-base", newest, "base", mesh)
	var items bytes.Buffer
	items.WriteString("apiVersion: config.kubernetes.io/v1\nkind: ResourceList\nitems:\n")
	var hundred []command
	for i := range 100 {
		name, version := fmt.Sprintf("mesh%d", i), versions[i%len(versions)]
		items.WriteString("- " + strings.ReplaceAll(strings.TrimRight(istio(name, version), "\n"), "\n", "\n  ") + "\n")
		v, err := values(name)
		if err != nil {
			return nil, err
		}
		hundred = append(hundred, template(name+"-istiod", version, "istiod", v))
	}
	return []comparison{
		{
			name: "one Istio: istiod's objects", peerName: "helm template istiod", rounds: rounds,
			lateen: []command{{args: []string{render, "-f", one}}}, peer: []command{istiod},
		},
		{
			name: "one Istio with CRDs", peerName: "helm template istiod + base", rounds: rounds,
			lateen: []command{{args: []string{render, "-f", one, "--crds"}}}, peer: []command{istiod, base},
		},
		{
			name: "package of 100 Istios, 7 versions", peerName: "100 x helm template istiod", rounds: max(1, rounds/5),
			lateen: []command{{args: []string{render}, stdin: items.Bytes()}}, peer: hundred,
		},
	}, nil
}

// install copies a program.
func install(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()                           // it was only read
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY, 0o755) //nolint:gosec // it is a program
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in)
	return err
}

// measure runs both sides in turn.
func (c comparison) measure(ctx context.Context) (figure, error) {
	f := figure{Name: c.name, Peer: c.peerName, Rounds: c.rounds}
	var ours, theirs, ratios []float64
	for round := range c.rounds + 1 {
		a, peak, err := cpu(ctx, c.lateen)
		if err != nil {
			return f, err
		}
		b, _, err := cpu(ctx, c.peer)
		if err != nil {
			return f, err
		}
		if round == 0 {
			continue // files are read into the page cache
		}
		ours, theirs, ratios = append(ours, a), append(theirs, b), append(ratios, b/a)
		f.PeakMB = max(f.PeakMB, peak)
	}
	f.LateenMS, f.PeerMS, f.Ratio, f.RatioMin = median(ours), median(theirs), median(ratios), slices.Min(ratios)
	return f, nil
}

// cpu runs commands one after the other and returns their CPU time in milliseconds and the largest peak memory in MB.
func cpu(ctx context.Context, commands []command) (ms, peakMB float64, err error) {
	for _, c := range commands {
		cmd := exec.CommandContext(ctx, c.args[0], c.args[1:]...)
		var stderr bytes.Buffer
		cmd.Stdin, cmd.Stderr = bytes.NewReader(c.stdin), &stderr
		if err := cmd.Run(); err != nil {
			return 0, 0, fmt.Errorf("%s: %w: %s", strings.Join(c.args, " "), err, stderr.String())
		}
		state := cmd.ProcessState
		ms += float64(state.UserTime()+state.SystemTime()) / float64(time.Millisecond)
		peakMB = max(peakMB, peakMemory(state))
	}
	return ms, peakMB, nil
}
