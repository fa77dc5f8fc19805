// Command bench measures Lateen against peers, in one run, so that ratios hold when the machine is busy or slow. It
// prints a table for each subject and writes it as JSON to bench/results/.
//
//	make bench                    everything, with 10,000 pods in the cluster
//	make bench PODS=100000        more of them
//	make bench ONLY=usage,render  some subjects
//
// The subjects are render (whole commands), usage (the index of who uses which revision, in this process) and
// controller (the program, on a real control plane). docs/performance.md explains the figures.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// settings are what the flags say.
type settings struct {
	rounds   int
	pods     int
	peerPods int
	events   int
	idle     time.Duration
	keep     string
}

// subject is something that can be measured.
type subject struct {
	name    string
	measure func(context.Context, settings) (report, error)
}

// subjects are all of them, in their order.
var subjects = []subject{
	{"render", rendering},
	{"usage", usageIndex},
	{"controller", controllers},
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 15, "render: measured rounds; each runs every command of a comparison once")
	flag.IntVar(&s.pods, "pods", 10_000, "controller: pods in the cluster, twenty in a namespace")
	flag.IntVar(&s.peerPods, "peer-pods", 20_000,
		"controller: the most pods with which the peer is run, which needs 80 KB for each")
	flag.IntVar(&s.events, "events", 6_000, "controller: pod events of the churn")
	flag.DurationVar(&s.idle, "idle", 30*time.Second, "controller: how long nothing happens, for the steady state")
	flag.StringVar(&s.keep, "keep", "",
		"controller: directory for the logs and profiles of what is measured; none if empty")
	only := flag.String("only", "", "what to measure, separated by commas: render, usage, controller; all if empty")
	out := flag.String("out", filepath.Join("bench", "results"), "directory to write to")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, *only, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings, only, out string) error {
	chosen := strings.FieldsFunc(only, func(r rune) bool { return r == ',' })
	for _, name := range chosen {
		if !slices.ContainsFunc(subjects, func(s subject) bool { return s.name == name }) {
			return fmt.Errorf("-only: there is no subject %q", name)
		}
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	for _, subject := range subjects {
		if len(chosen) > 0 && !slices.Contains(chosen, subject.name) {
			continue
		}
		r, err := subject.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", subject.name, err)
		}
		if err := r.write(filepath.Join(out, subject.name+".json")); err != nil {
			return err
		}
	}
	return nil
}

// report is what was measured of a subject, where and when.
type report struct {
	Time     time.Time `json:"time"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	CPUs     int       `json:"cpus"`
	// Figures is what encoding/json makes of the rows of the subject.
	Figures any `json:"figures"`

	// rows are the table: its head, and then as many cells in each row.
	rows [][]string
}

func newReport(figures any, rows [][]string) report {
	return report{
		Time: time.Now().UTC().Truncate(time.Second), Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
		CPUs:    runtime.NumCPU(),
		Figures: figures, rows: rows,
	}
}

// write prints the table, and writes the report to a file.
func (r report) write(file string) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, row := range r.rows {
		_, _ = fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_, _ = fmt.Fprintln(w)
	data, err := json.MarshalIndent(r, "", "  ")
	if err := errors.Join(err, w.Flush()); err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o644)
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}
