// Command lateen-controller reconciles the resources of sailoperator.io in a cluster. It renders them by the pipeline
// that Lateen's KRM functions are made of, and adds what needs a live cluster: applying, status, who uses which
// revision, and the removal of revisions that nothing uses any more.
package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"go.uber.org/zap/zapcore"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/metrics/filters"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/apply"
	"github.com/lateen-io/lateen/controller/cluster"
	"github.com/lateen-io/lateen/controller/istio"
	"github.com/lateen-io/lateen/controller/istiocni"
	"github.com/lateen-io/lateen/controller/istiorevision"
	"github.com/lateen-io/lateen/controller/istiorevisiontag"
	"github.com/lateen-io/lateen/controller/metrics"
	"github.com/lateen-io/lateen/controller/rendering"
	"github.com/lateen-io/lateen/controller/status"
	"github.com/lateen-io/lateen/internal/release"
	inuse "github.com/lateen-io/lateen/internal/usage"
)

// name is that of the controller: as a reporter of events, in its leader election and as a field manager.
const name = apply.FieldManager

// options are what the flags say.
type options struct {
	metricsAddress, probeAddress string
	metricsInsecure              bool
	leaderElect                  bool
	leaderNamespace              string
	leaseDuration, renewDeadline time.Duration
	retryPeriod                  time.Duration
	charts, platform             string
	installCRDs                  bool
	concurrency                  int
	probePeriod, probeTimeout    time.Duration
}

func main() {
	o := options{}
	flag.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address of the metrics endpoint; 0 for none")
	flag.BoolVar(&o.metricsInsecure, "metrics-insecure", false, "serve metrics over HTTP, to everybody")
	flag.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address of /healthz and /readyz; 0 for none")
	flag.BoolVar(&o.leaderElect, "leader-elect", true, "work only while no other replica does")
	flag.StringVar(&o.leaderNamespace, "leader-election-namespace", "", "namespace of the lease; that of the pod if empty")
	flag.DurationVar(&o.leaseDuration, "leader-election-lease-duration", 15*time.Second,
		"how long the others wait for a leader that does not renew its lease")
	flag.DurationVar(&o.renewDeadline, "leader-election-renew-deadline", 10*time.Second,
		"how long a leader that cannot renew its lease goes on")
	flag.DurationVar(&o.retryPeriod, "leader-election-retry-period", 2*time.Second,
		"how often a replica tries to get or renew the lease")
	flag.StringVar(&o.charts, "charts", "", "directory with the charts of Istio versions that are not bundled")
	flag.StringVar(&o.platform, "platform", "", "kind of the cluster, such as openshift or gke; OpenShift is found out")
	flag.BoolVar(&o.installCRDs, "install-istio-crds", true, "bring Istio's own CustomResourceDefinitions")
	flag.IntVar(&o.concurrency, "concurrency", 4, "how many resources of a kind are reconciled at the same time")
	flag.DurationVar(&o.probePeriod, "remote-probe-period", 10*time.Second,
		"how often a remote istiod is asked whether it is ready")
	flag.DurationVar(&o.probeTimeout, "remote-probe-timeout", 0,
		"how long a remote istiod may take to answer; half of the period if 0")
	logs := zap.Options{TimeEncoder: zapcore.RFC3339TimeEncoder}
	logs.BindFlags(flag.CommandLine)
	flag.Parse()
	collectEarly()
	ctrl.SetLogger(zap.New(zap.UseFlagOptions(&logs)))
	if err := run(o); err != nil {
		fmt.Fprintf(os.Stderr, "lateen-controller: %v\n", err)
		os.Exit(1)
	}
}

// collectEarly makes the garbage collector start when the heap has grown by half, unless GOGC says otherwise. What
// lives is some megabytes, whatever the size of the cluster; what events bring is garbage at once, and collecting it is
// cheap.
func collectEarly() {
	const percent = 50
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(percent)
	}
}

func run(o options) error {
	config, err := ctrl.GetConfig()
	if err != nil {
		return err
	}
	config.UserAgent = name
	config.QPS = -1 // the server's priority and fairness see to it
	renderer, err := o.renderer(config)
	if err != nil {
		return err
	}
	mgr, err := o.manager(config)
	if err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	if err := o.add(mgr, renderer); err != nil {
		return fmt.Errorf("setting up: %w", err)
	}
	return mgr.Start(ctrl.SetupSignalHandler())
}

// renderer renders for the cluster.
func (o options) renderer(config *rest.Config) (*rendering.Renderer, error) {
	r := &rendering.Renderer{Platform: o.platform}
	if o.charts != "" {
		dir, err := release.OpenDirectory(o.charts)
		if err != nil {
			return nil, fmt.Errorf("--charts: %w", err)
		}
		r.Charts = dir
	}
	d, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	version, err := d.ServerVersion()
	if err != nil {
		return nil, fmt.Errorf("asking the cluster for its version: %w", err)
	}
	if r.KubeVersion, err = rendering.ServerVersion(version.GitVersion); err != nil {
		return nil, err
	}
	if r.Platform == "" {
		groups, err := d.ServerGroups()
		if err != nil {
			return nil, fmt.Errorf("asking the cluster for its API groups: %w", err)
		}
		for _, g := range groups.Groups {
			if g.Name == "config.openshift.io" {
				r.Platform = "openshift"
			}
		}
	}
	return r, nil
}

func (o options) manager(config *rest.Config) (ctrl.Manager, error) {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(v1.AddToScheme(scheme))
	endpoint := metricsserver.Options{BindAddress: o.metricsAddress, SecureServing: !o.metricsInsecure}
	if !o.metricsInsecure {
		endpoint.FilterProvider = filters.WithAuthenticationAndAuthorization
	}
	mgr, err := ctrl.NewManager(config, ctrl.Options{
		Scheme:                        scheme,
		Cache:                         cluster.CacheOptions(),
		Metrics:                       endpoint,
		HealthProbeBindAddress:        o.probeAddress,
		LeaderElection:                o.leaderElect,
		LeaderElectionID:              name + ".lateen.io",
		LeaderElectionNamespace:       o.leaderNamespace,
		LeaseDuration:                 &o.leaseDuration,
		RenewDeadline:                 &o.renewDeadline,
		RetryPeriod:                   &o.retryPeriod,
		LeaderElectionReleaseOnCancel: true,
	})
	if err != nil {
		return nil, err
	}
	return mgr, errors.Join(mgr.AddHealthzCheck("ping", healthz.Ping), mgr.AddReadyzCheck("ping", healthz.Ping))
}

// add adds the reconcilers to the manager.
func (o options) add(mgr ctrl.Manager, renderer *rendering.Renderer) error {
	reader, err := cluster.NewReader(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	// The manager's own client answers reads from the cache.
	live, err := client.New(mgr.GetConfig(),
		client.Options{HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper()})
	if err != nil {
		return err
	}
	drift := cluster.NewDrift(mgr.GetCache())
	applier := apply.New(live, mgr.GetCache(), drift)
	usage := cluster.NewUsage(reader)
	prober := &cluster.Prober{Period: o.probePeriod, Timeout: cmp.Or(o.probeTimeout, o.probePeriod/2)}
	record := status.Logged(mgr.GetEventRecorder(name), mgr.GetLogger().WithName("events"))
	with := controller.Options{MaxConcurrentReconciles: o.concurrency}
	var crds *istiorevision.CRDs
	if o.installCRDs {
		crds = &istiorevision.CRDs{
			Client: mgr.GetClient(), Live: live, Renderer: renderer, Applier: applier,
			Now: time.Now,
		}
	}
	return errors.Join(
		metrics.Register(ctrlmetrics.Registry,
			metrics.State{Reader: mgr.GetClient(), Elected: mgr.Elected(), Users: users(usage)}),
		mgr.Add(usage),
		mgr.Add(prober),
		(&istio.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Renderer: renderer, Applier: applier, Usage: usage,
			Events: record, Now: time.Now,
			Pruned: func(string) { metrics.Pruned() },
		}).Setup(mgr, with),
		(&istiorevision.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Renderer: renderer, Applier: applier, CRDs: crds, Usage: usage,
			Prober: prober, Events: record, Now: time.Now,
		}).Setup(mgr, drift, with),
		(&istiorevisiontag.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Renderer: renderer, Applier: applier, Usage: usage,
			Events: record, Now: time.Now,
		}).Setup(mgr, drift, with),
		(&istiocni.Reconciler{
			Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Renderer: renderer, Applier: applier, Events: record,
			Now: time.Now,
		}).Setup(mgr, drift, with),
	)
}

// users counts for the metrics.
func users(u *cluster.Usage) func(*v1.IstioRevision, []v1.IstioRevision, []v1.IstioRevisionTag) (int, bool) {
	return func(rev *v1.IstioRevision, all []v1.IstioRevision, tags []v1.IstioRevisionTag) (int, bool) {
		use := u.Index().Revision(istiorevision.Info(rev, all), istiorevision.Tags(tags, all), 0)
		return use.Total, use.InUse != inuse.Unknown
	}
}
