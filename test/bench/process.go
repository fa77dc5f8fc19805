package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// process is a program that runs and is measured from outside: by what the kernel accounts to it, and by its own
// counters.
type process struct {
	cmd *exec.Cmd
	// metrics is the URL of its counters, for Prometheus.
	metrics string
	began   time.Time
	log     string
	ended   chan struct{}
}

// start starts a program that takes the flags of a controller-runtime manager.
func start(ctx context.Context, dir, name, program string, args ...string) (*process, error) {
	address, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &process{
		metrics: "http://" + address + "/metrics", log: filepath.Join(dir, name+".log"), ended: make(chan struct{}),
	}
	out, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer func() { _ = out.Close() }()
	p.cmd = exec.CommandContext(ctx, program, append(args, "--metrics-bind-address="+address)...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

// freeAddress is one on loopback that nobody listens on.
func freeAddress(ctx context.Context) (string, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// stop ends the process at once.
func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// failure is an error if the process has ended.
func (p *process) failure() error {
	select {
	case <-p.ended:
		text, err := os.ReadFile(p.log)
		return errors.Join(fmt.Errorf("%s has ended: %s\n%s", p.cmd.Path, p.cmd.ProcessState, text[max(0, len(text)-4000):]),
			err)
	default:
		return nil
	}
}

// memory is the resident memory of the process in MB: now, and the most there ever was.
func (p *process) memory() (now, peak float64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, errors.Join(err, p.failure())
	}
	now, err = field(text, "VmRSS:")
	if err != nil {
		return 0, 0, err
	}
	peak, err = field(text, "VmHWM:")
	return now, peak, err
}

// field reads a line such as "VmRSS:  1024 kB", in MB.
func field(status []byte, name string) (float64, error) {
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == name {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("the kernel does not tell %s of a process", name)
}

// cpu is the CPU time that the process has had, user and system, of all threads.
func (p *process) cpu() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, errors.Join(err, p.failure())
	}
	// The second field is the name, in parentheses; utime and stime are the 14th and 15th.
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	const utime, stime = 14 - 3, 15 - 3
	if len(f) <= stime {
		return 0, errors.New("the kernel tells no times of a process")
	}
	user, err := strconv.ParseInt(f[utime], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(f[stime], 10, 64)
	const tick = time.Second / 100 // USER_HZ, the same on all of Linux
	return time.Duration(user+system) * tick, err
}

// counters reads the counters of the process.
func (p *process) counters(ctx context.Context) (counters, error) {
	return scrape(ctx, http.DefaultClient, p.metrics)
}

// counters are what a program tells Prometheus, by name.
type counters map[string]*dto.MetricFamily

func scrape(ctx context.Context, client *http.Client, url string) (counters, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, err
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	out, err := parser.TextToMetricFamilies(response.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return out, nil
}

// sum adds up the values of a name whose labels something is true for; the value of a histogram is how many it has
// seen.
func (c counters) sum(name string, is func(label func(string) string) bool) float64 {
	var sum float64
	for _, m := range c[name].GetMetric() {
		label := func(name string) string {
			for _, l := range m.GetLabel() {
				if l.GetName() == name {
					return l.GetValue()
				}
			}
			return ""
		}
		if is == nil || is(label) {
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return sum
}
