// Command bench measures whole commands: Lateen's render-istio against the peers that people use today, in one run and
// in turn, so that ratios hold when the machine is busy. It prints a table and writes it as JSON to bench/results/.
//
//	make bench
//
// What is measured is the CPU time (user and system) of a finished process, as the operating system accounts it.
// docs/performance.md explains the figures.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/lateen-io/lateen/internal/release"
)

func main() {
	rounds := flag.Int("rounds", 15, "measured rounds; each runs every command of a comparison once")
	out := flag.String("out", "bench/results/render.json", "file to write")
	flag.Parse()
	if err := run(*rounds, *out); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

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

type report struct {
	Time     time.Time `json:"time"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	CPUs     int       `json:"cpus"`
	Figures  []figure  `json:"figures"`
}

func run(rounds int, out string) error {
	helm, bin := os.Getenv("LATEEN_HELM"), os.Getenv("LATEEN_BIN")
	if helm == "" || bin == "" {
		return errors.New("LATEEN_HELM and LATEEN_BIN are not set; run `make bench`")
	}
	dir, err := os.MkdirTemp("", "lateen-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list, err := comparisons(filepath.Join(bin, "render-istio"), helm, dir, rounds)
	if err != nil {
		return err
	}
	r := report{Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH, CPUs: runtime.NumCPU()}
	for _, c := range list {
		f, err := c.measure()
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		r.Figures = append(r.Figures, f)
	}
	if err := table(r); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		return err
	}
	return os.WriteFile(out, append(data, '\n'), 0o644)
}

const userValues = `pilot:
  resources:
    requests:
      cpu: 100m
      memory: 1024Mi
`

// istio is a resource whose revision has the values that helmArgs gives to helm.
func istio(name, version string) string {
	return fmt.Sprintf("apiVersion: sailoperator.io/v1\nkind: Istio\nmetadata:\n  name: %s\nspec:\n  version: %s\n  values:\n    %s",
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
		return file("values-"+name+".yaml", userValues+"global:\n  istioNamespace: istio-system\n  configValidation: true\nrevision: "+revision+"\n")
	}
	template := func(release, version, chart, values string) command {
		return command{args: []string{helm, "template", release, filepath.Join(bundles, version, chart), "-n", "istio-system", "-f", values}}
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

// measure runs both sides in turn.
func (c comparison) measure() (figure, error) {
	f := figure{Name: c.name, Peer: c.peerName, Rounds: c.rounds}
	var ours, theirs, ratios []float64
	for round := range c.rounds + 1 {
		a, peak, err := cpu(c.lateen)
		if err != nil {
			return f, err
		}
		b, _, err := cpu(c.peer)
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
func cpu(commands []command) (ms, peakMB float64, err error) {
	for _, c := range commands {
		cmd := exec.CommandContext(context.Background(), c.args[0], c.args[1:]...)
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

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func table(r report) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "WHAT\tLATEEN CPU\tPEER CPU\tRATIO\t(MIN)\tPEAK MEMORY\tPEER")
	for _, f := range r.Figures {
		_, _ = fmt.Fprintf(w, "%s\t%.1f ms\t%.1f ms\t%.1fx\t%.1fx\t%.0f MB\t%s\n", f.Name, f.LateenMS, f.PeerMS, f.Ratio, f.RatioMin, f.PeakMB, f.Peer)
	}
	return w.Flush()
}
