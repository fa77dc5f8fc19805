package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/test/cluster"
)

// The controller is measured as a process that knows nothing of it, on a real API server with as many pods as asked
// for. Nothing else writes there while it is measured: no kubelet, no other controller. The peer then does the same job
// with the same pods.

// operation is what was measured of a program.
type operation struct {
	Name string `json:"name"`
	Pods int    `json:"pods"`
	// FirstStatusSeconds is from the start of the process until each revision's status says rightly whether it is in use.
	FirstStatusSeconds float64 `json:"firstStatusSeconds"`
	// Memory is resident, in MB: after the start, after the churn, and the most there ever was.
	StartMB float64 `json:"memoryAfterStartMB"`
	ChurnMB float64 `json:"memoryAfterChurnMB"`
	PeakMB  float64 `json:"peakMemoryMB"`
	// StartCPUSeconds is the CPU time until then.
	StartCPUSeconds float64 `json:"startCPUSeconds"`
	// IdleMilliseconds is the CPU time of a second in which nothing happens.
	IdleMilliseconds float64 `json:"idleCPUMillisecondsPerSecond"`
	// EventMicroseconds is the CPU time of a pod event, without what the process takes when idle.
	EventMicroseconds float64 `json:"cpuMicrosecondsPerPodEvent"`
	Events            int     `json:"podEvents"`
	EventsPerSecond   float64 `json:"podEventsPerSecond"`
	// Reconciles and Renderings are those of the churn, and Writes what the API server was asked to change while nothing
	// happened.
	Reconciles float64 `json:"reconcilesDuringChurn"`
	Renderings float64 `json:"renderingsDuringChurn"`
	IdleWrites float64 `json:"writesWhileIdle"`
}

// setting is the cluster in which programs are measured.
type setting struct {
	settings
	*cluster.Cluster
	mesh   *mesh
	client client.Client
	http   *http.Client
	dir    string
}

// controllers measures Lateen's controller, and the peer unless there are too many pods for it.
func controllers(ctx context.Context, s settings) (r report, err error) {
	log.SetLogger(logr.Discard())
	dir, err := os.MkdirTemp("", "lateen-bench-")
	if err != nil {
		return r, err
	}
	defer os.RemoveAll(dir)
	if s.keep != "" {
		if err := os.MkdirAll(s.keep, 0o755); err != nil {
			return r, err
		}
	}
	c, err := cluster.Launch(ctx, dir, cluster.WithCRDs("config/crd"), cluster.WithoutWebhooks())
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	in, err := newSetting(s, c, dir)
	if err != nil {
		return r, err
	}
	say("creating %d pods", s.pods)
	if err := in.mesh.fill(ctx, s.pods); err != nil {
		return r, fmt.Errorf("creating pods: %w", err)
	}
	one, err := in.sample(ctx)
	if err != nil {
		return r, err
	}
	say("each pod is %d bytes of JSON, and its metadata %d bytes on the wire, which take %.0f us to decode", one.Whole,
		one.Wire, one.DecodeMicroseconds)
	if err := in.mesh.controlPlanes(ctx); err != nil {
		return r, fmt.Errorf("creating control planes: %w", err)
	}
	figures := struct {
		Pod        sample      `json:"pod"`
		Operations []operation `json:"programs"`
	}{Pod: one}
	list, err := in.programs(ctx)
	if err != nil {
		return r, err
	}
	for _, p := range list {
		say("measuring %s", p.name)
		o, err := in.measure(ctx, p)
		if err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
		figures.Operations = append(figures.Operations, o)
	}
	return newReport(figures, table(figures.Operations)), nil
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "  "+format+"\n", args...) }

func newSetting(s settings, c *cluster.Cluster, dir string) (*setting, error) {
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	api, err := client.New(c.RESTConfig(), client.Options{Scheme: scheme})
	if err != nil {
		return nil, err
	}
	web, err := rest.HTTPClientFor(c.RESTConfig())
	if err != nil {
		return nil, err
	}
	return &setting{settings: s, Cluster: c, mesh: newMesh(api, s.pods), client: api, dir: dir, http: web}, nil
}

// sample is what one pod is, and the least that an event of it can cost.
type sample struct {
	// Whole and Metadata are bytes of JSON; Wire is the metadata as it comes over the wire, and Managed what of it says
	// who wrote which field.
	Whole    int `json:"json"`
	Metadata int `json:"metadataJSON"`
	Wire     int `json:"metadataOnTheWire"`
	Managed  int `json:"managedFieldsOnTheWire"`
	// DecodeMicroseconds is the time to decode the metadata, and nothing else.
	DecodeMicroseconds float64 `json:"decodeMicroseconds"`
}

// sample measures the first pod with a proxy, as the server has it.
func (s *setting) sample(ctx context.Context) (sample, error) {
	pod := &corev1.Pod{}
	if err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace(0), Name: s.mesh.pods[0][0]}, pod); err != nil {
		return sample{}, err
	}
	whole, err := json.Marshal(pod)
	if err != nil {
		return sample{}, err
	}
	metadata, err := json.Marshal(pod.ObjectMeta)
	if err != nil {
		return sample{}, err
	}
	o := &metav1.PartialObjectMetadata{ObjectMeta: pod.ObjectMeta}
	wire, err := o.Marshal()
	if err != nil {
		return sample{}, err
	}
	out := sample{Whole: len(whole), Metadata: len(metadata), Wire: len(wire)}
	o.ManagedFields = nil
	out.Managed = out.Wire - o.Size()
	out.DecodeMicroseconds = perCall(func(int) { err = (&metav1.PartialObjectMetadata{}).Unmarshal(wire) }) / 1000
	return out, err
}

// program is something to measure.
type program struct {
	name, file string
	args       []string
	// first says that it is started twice, the first time to bring everything into the cluster.
	first bool
	// counts says that it has a counter of the users of each revision.
	counts bool
}

func (s *setting) programs(ctx context.Context) ([]program, error) {
	bin := os.Getenv("LATEEN_BIN")
	if bin == "" {
		return nil, errors.New("LATEEN_BIN is not set; run `make bench`")
	}
	out := []program{{
		name: "lateen-controller", file: filepath.Join(bin, "lateen-controller"), first: true, counts: true,
		args: []string{
			"--kubeconfig=" + s.Kubeconfig, "--leader-elect=false", "--metrics-insecure", "--health-probe-bind-address=0",
		},
	}}
	if s.pods > s.peerPods {
		say("no peer: it would need some GB of memory for so many pods (-peer-pods)")
		return out, nil
	}
	peer := program{
		name: "peer: whole pods, listed", file: filepath.Join(s.dir, "peer"), args: []string{"--kubeconfig=" + s.Kubeconfig},
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", peer.file, "./test/bench/peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("building the peer: %w\n%s", err, text)
	}
	return append(out, peer), nil
}

// measure runs a program through all that is measured.
func (s *setting) measure(ctx context.Context, p program) (o operation, err error) {
	o = operation{Name: p.name, Pods: s.pods}
	logs := s.dir
	if s.keep != "" {
		logs = s.keep
	}
	if p.first {
		installer, err := start(ctx, logs, filepath.Base(p.file)+"-first", p.file, p.args...)
		if err != nil {
			return o, err
		}
		err = errors.Join(s.knows(ctx, p, installer), s.rests(ctx, installer))
		now, peak, err2 := installer.memory()
		say("the first start, which brings all objects: %.1f s, %.0f MB, at most %.0f MB",
			time.Since(installer.began).Seconds(), now, peak)
		installer.stop()
		if err := errors.Join(err, err2); err != nil {
			return o, err
		}
	}
	if err := s.forget(ctx); err != nil {
		return o, err
	}
	process, err := start(ctx, logs, filepath.Base(p.file), p.file, p.args...)
	if err != nil {
		return o, err
	}
	defer process.stop()
	if err := s.knows(ctx, p, process); err != nil {
		return o, err
	}
	o.FirstStatusSeconds = time.Since(process.began).Seconds()
	if err := s.rests(ctx, process); err != nil {
		return o, err
	}
	cpu, err := process.cpu()
	if err != nil {
		return o, err
	}
	o.StartCPUSeconds = cpu.Seconds()
	if o.StartMB, o.PeakMB, err = process.memory(); err != nil {
		return o, err
	}
	say("started: %.1f s, %.0f MB, at most %.0f MB, %.2f s of CPU time", o.FirstStatusSeconds, o.StartMB, o.PeakMB,
		o.StartCPUSeconds)
	if err := s.idleness(ctx, process, &o); err != nil {
		return o, err
	}
	say("idle: %.2f ms of CPU time each second, %.0f writes", o.IdleMilliseconds, o.IdleWrites)
	if err := s.churn(ctx, p, process, &o); err != nil {
		return o, err
	}
	say("churn: %.0f us of CPU time for each event, %.0f reconciles and %.0f renderings for %d events",
		o.EventMicroseconds, o.Reconciles, o.Renderings, o.Events)
	o.ChurnMB, o.PeakMB, err = process.memory()
	return o, err
}

// forget takes from the revisions what their status says about use, so that it has to be found out anew.
func (s *setting) forget(ctx context.Context) error {
	var list v1.IstioRevisionList
	if err := s.client.List(ctx, &list); err != nil {
		return err
	}
	for _, rev := range list.Items {
		before := rev.DeepCopy()
		rev.Status.Conditions = rev.Status.Conditions.Without(v1.ConditionInUse)
		if err := s.client.Status().Patch(ctx, &rev, client.MergeFrom(before)); err != nil {
			return err
		}
	}
	return nil
}

// knows waits until the status of each revision is right, and the number of users if the program counts them.
func (s *setting) knows(ctx context.Context, p program, process *process) error {
	return s.until(ctx, process, 50*time.Millisecond, func() error {
		var list v1.IstioRevisionList
		if err := s.client.List(ctx, &list); err != nil {
			return err
		}
		if len(list.Items) != len(s.mesh.revisions) {
			return fmt.Errorf("there are %d revisions, want %d", len(list.Items), len(s.mesh.revisions))
		}
		for _, rev := range list.Items {
			want := metav1.ConditionFalse
			if s.mesh.users[rev.Name] > 0 {
				want = metav1.ConditionTrue
			}
			c := rev.Status.Conditions.Get(v1.ConditionInUse)
			if c == nil || c.Status != want {
				return fmt.Errorf("%s: the condition InUse is %v, want %s", rev.Name, c, want)
			}
		}
		if !p.counts {
			return nil
		}
		all, err := process.counters(ctx)
		if err != nil {
			return err
		}
		for _, name := range s.mesh.revisions {
			got := all.sum("lateen_revision_users", func(label func(string) string) bool { return label("name") == name })
			if int(got) != s.mesh.users[name] {
				return fmt.Errorf("%s has %.0f users, want %d", name, got, s.mesh.users[name])
			}
		}
		return nil
	})
}

// until waits for something, and for no longer than it can take.
func (s *setting) until(ctx context.Context, process *process, pause time.Duration, holds func() error) error {
	patience := 2*time.Minute + time.Duration(s.pods)*5*time.Millisecond
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := holds()
		if err == nil {
			return nil
		}
		if failed := process.failure(); failed != nil {
			return failed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("after %s: %w", patience, err)
		case <-time.After(pause):
		}
	}
}

// settled is for how long a program must have done nothing to be at rest: longer than news of users may wait.
const settled = 12 * time.Second

// rests waits until no reconcile has been run for a while.
func (s *setting) rests(ctx context.Context, process *process) error {
	last, since := -1.0, time.Now()
	return s.until(ctx, process, 500*time.Millisecond, func() error {
		all, err := process.counters(ctx)
		if err != nil {
			return err
		}
		if n := reconciles(all); n != last {
			last, since = n, time.Now()
		}
		if quiet := time.Since(since); quiet < settled {
			return fmt.Errorf("the last of %.0f reconciles was %s ago", last, quiet)
		}
		return nil
	})
}

func reconciles(c counters) float64 { return c.sum("controller_runtime_reconcile_total", nil) }
func renderings(c counters) float64 { return c.sum("lateen_render_duration_seconds", nil) }

// idleness measures what happens while nothing does.
func (s *setting) idleness(ctx context.Context, process *process, o *operation) error {
	before, err := s.writes(ctx)
	if err != nil {
		return err
	}
	cpuBefore, err := process.cpu()
	if err != nil {
		return err
	}
	if err := wait(ctx, s.idle); err != nil {
		return err
	}
	cpuAfter, err := process.cpu()
	if err != nil {
		return err
	}
	after, err := s.writes(ctx)
	o.IdleWrites = after - before
	o.IdleMilliseconds = milliseconds(cpuAfter-cpuBefore) / s.idle.Seconds()
	return err
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// writes is how often the API server was asked to change something, by anybody but itself, whose leases and events
// those are not.
func (s *setting) writes(ctx context.Context) (float64, error) {
	all, err := scrape(ctx, s.http, s.URL+"/metrics")
	return all.sum("apiserver_request_total", func(label func(string) string) bool {
		switch label("verb") {
		case "POST", "PUT", "PATCH", "DELETE", "APPLY", "DELETECOLLECTION":
			return label("resource") != "leases" && !strings.HasSuffix(label("resource"), "reviews")
		}
		return false
	}), err
}

// churn measures what pods cost that come, change and go.
func (s *setting) churn(ctx context.Context, p program, process *process, o *operation) error {
	before, err := process.counters(ctx)
	if err != nil {
		return err
	}
	cpuBefore, err := process.cpu()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.mesh.churn(ctx, s.events); err != nil {
		return err
	}
	o.Events = s.events / eventsPerStep * eventsPerStep
	o.EventsPerSecond = float64(o.Events) / time.Since(begin).Seconds()
	// What waits in the program is done by then. Nobody asks it for its counters meanwhile: that costs it more than the
	// events.
	if err := wait(ctx, settled); err != nil {
		return err
	}
	cpuAfter, err := process.cpu()
	if err != nil {
		return err
	}
	idle := o.IdleMilliseconds * time.Since(begin).Seconds()
	o.EventMicroseconds = (milliseconds(cpuAfter-cpuBefore) - idle) / float64(o.Events) * 1000
	if err := errors.Join(s.rests(ctx, process), s.knows(ctx, p, process)); err != nil {
		return err
	}
	after, err := process.counters(ctx)
	o.Reconciles, o.Renderings = reconciles(after)-reconciles(before), renderings(after)-renderings(before)
	return err
}

// table has a row for each figure and a column for each program, and the ratio where there are two.
func table(list []operation) [][]string {
	head := []string{"CONTROLLER"}
	for _, o := range list {
		head = append(head, strings.ToUpper(o.Name))
	}
	if len(list) > 1 {
		head = append(head, "RATIO")
	}
	rows := [][]string{head}
	row := func(name, unit string, digits int, ratio bool, of func(operation) float64) {
		cells := []string{name}
		for _, o := range list {
			cells = append(cells, fmt.Sprintf("%.*f%s", digits, of(o), unit))
		}
		if ratio && len(list) > 1 {
			cells = append(cells, fmt.Sprintf("%.1fx", of(list[1])/of(list[0])))
		}
		rows = append(rows, cells)
	}
	row("pods", "", 0, false, func(o operation) float64 { return float64(o.Pods) })
	row("start to right status", " s", 1, true, func(o operation) float64 { return o.FirstStatusSeconds })
	row("memory after start", " MB", 0, true, func(o operation) float64 { return o.StartMB })
	row("memory after churn", " MB", 0, true, func(o operation) float64 { return o.ChurnMB })
	row("peak memory", " MB", 0, true, func(o operation) float64 { return o.PeakMB })
	row("CPU of the start", " s", 2, true, func(o operation) float64 { return o.StartCPUSeconds })
	row("CPU when idle, each second", " ms", 2, false, func(o operation) float64 { return o.IdleMilliseconds })
	row("CPU of a pod event", " us", 0, true, func(o operation) float64 { return o.EventMicroseconds })
	row("reconciles for each pod event", "", 3, false, func(o operation) float64 {
		return o.Reconciles / float64(o.Events)
	})
	row("renderings during churn", "", 0, false, func(o operation) float64 { return o.Renderings })
	row("writes when idle", "", 0, false, func(o operation) float64 { return o.IdleWrites })
	return rows
}
