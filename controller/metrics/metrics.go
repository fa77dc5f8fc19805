// Package metrics counts what the controller does, and describes for Prometheus what the resources are like. It decides
// nothing; docs/operation.md lists the metrics.
//
// What resources are like is read from the cache whenever somebody scrapes, so there is nothing to forget when one is
// deleted.
package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

var (
	pruned = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "lateen_revisions_pruned_total",
		Help: "IstioRevisions removed because nothing used them any more.",
	})
	applied = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "lateen_apply_total",
		Help: "Objects that were not as they should be, by their kind and what became of it: created, configured, deleted, " +
			"skipped or failed.",
	}, []string{"kind", "action"})
	rendering = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name:    "lateen_render_duration_seconds",
		Help:    "Time to render the objects of one resource.",
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5},
	})
	observed = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "lateen_usage_observed_timestamp_seconds",
		Help: "When who uses which revision was last known completely, within seconds. If it stands still, nothing is " +
			"pruned.",
	})
)

// Pruned counts a revision that was removed.
func Pruned() { pruned.Inc() }

// Applied counts an object that something was done with, or tried.
func Applied(kind, action string) { applied.WithLabelValues(kind, action).Inc() }

// Failed is the action of an object that could not be applied or deleted.
const Failed = "failed"

// Rendered notes a rendering that began at a moment and ends now.
func Rendered(begin time.Time) { rendering.Observe(time.Since(begin).Seconds()) }

// Observed notes that all namespaces and pods are known at a moment.
func Observed(now time.Time) {
	observed.Set(float64(now.UnixMilli()) / float64(time.Second/time.Millisecond))
}

// State describes the resources.
type State struct {
	// Reader reads from the cache.
	Reader client.Reader
	// Elected is closed once this process is the one that works. Before that it says nothing about resources, so that each
	// is there once, however many replicas are scraped.
	Elected <-chan struct{}
	// Users counts who uses a revision; known is false as long as that cannot be said.
	Users func(rev *v1.IstioRevision, all []v1.IstioRevision, tags []v1.IstioRevisionTag) (count int, known bool)
}

// Register adds all metrics to a registry.
func Register(r prometheus.Registerer, s State) error {
	var errs []error
	for _, c := range []prometheus.Collector{pruned, applied, rendering, observed, s} {
		errs = append(errs, r.Register(c))
	}
	return errors.Join(errs...)
}

var (
	condition = prometheus.NewDesc("lateen_resource_condition",
		"1 for the status (True, False or Unknown) that a condition of a resource has, 0 for the others.",
		[]string{"kind", "name", "type", "status"}, nil)
	total = prometheus.NewDesc("lateen_istio_revisions", "IstioRevisions of an Istio.", []string{"name"}, nil)
	ready = prometheus.NewDesc("lateen_istio_revisions_ready", "IstioRevisions of an Istio that are ready.",
		[]string{"name"}, nil)
	inUse = prometheus.NewDesc("lateen_istio_revisions_in_use", "IstioRevisions of an Istio that something uses.",
		[]string{"name"}, nil)
	users = prometheus.NewDesc("lateen_revision_users",
		"Namespaces, pods and tags that use an IstioRevision. Absent while that is not known.", []string{"name"}, nil)
)

// Describe is called by the registry.
func (s State) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{condition, total, ready, inUse, users} {
		out <- d
	}
}

// Collect is called by the registry for each scrape.
func (s State) Collect(out chan<- prometheus.Metric) {
	select {
	case <-s.Elected:
	default:
		return
	}
	const patience = 5 * time.Second // the cache answers at once, when it is filled
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var istios v1.IstioList
	var revisions v1.IstioRevisionList
	var tags v1.IstioRevisionTagList
	var cnis v1.IstioCNIList
	for _, list := range []client.ObjectList{&istios, &revisions, &tags, &cnis} {
		if err := s.Reader.List(ctx, list); err != nil {
			out <- prometheus.NewInvalidMetric(condition, err)
			return
		}
	}
	for _, o := range istios.Items {
		conditions(out, v1.KindIstio, o.Name, o.Status.Conditions)
		out <- gauge(total, float64(o.Status.Revisions.Total), o.Name)
		out <- gauge(ready, float64(o.Status.Revisions.Ready), o.Name)
		out <- gauge(inUse, float64(o.Status.Revisions.InUse), o.Name)
	}
	for _, o := range revisions.Items {
		conditions(out, v1.KindIstioRevision, o.Name, o.Status.Conditions)
		if count, known := s.Users(&o, revisions.Items, tags.Items); known {
			out <- gauge(users, float64(count), o.Name)
		}
	}
	for _, o := range tags.Items {
		conditions(out, v1.KindIstioRevisionTag, o.Name, o.Status.Conditions)
	}
	for _, o := range cnis.Items {
		conditions(out, v1.KindIstioCNI, o.Name, o.Status.Conditions)
	}
}

func conditions(out chan<- prometheus.Metric, kind, name string, all v1.Conditions) {
	for _, c := range all {
		for _, status := range []metav1.ConditionStatus{
			metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown,
		} {
			value := 0.0
			if c.Status == status {
				value = 1
			}
			out <- gauge(condition, value, kind, name, string(c.Type), string(status))
		}
	}
}

func gauge(d *prometheus.Desc, value float64, labels ...string) prometheus.Metric {
	return prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}
