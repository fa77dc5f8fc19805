package status

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/lateen-io/lateen/api/v1"
)

// Patience is how long a resource that was created or changed may take to come up. What is not well by then is
// worth a warning; until then it is what everybody sees who installs a control plane.
const Patience = 5 * time.Minute

// Reporter writes statuses and tells of what has changed in them. The zero value can be used.
type Reporter struct {
	// warned has, for each condition that somebody was warned of since it is not well, since when it has not been
	// well.
	warned sync.Map
	// written has, by name, the resource version of what a run has left, until the cache knows it.
	written sync.Map
}

// warning names a condition of a resource.
type warning struct {
	kind, name string
	condition  v1.ConditionType
}

// Read reads what a run is about from the cache, or from the server if the cache does not know yet what an earlier run
// has written. No event tells of our own status: what is decided by an old one would stay, and so would the new one
// if it were right again. It returns the server's error if there is no such resource.
func (r *Reporter) Read(ctx context.Context, cache, live client.Reader, name string, o client.Object) error {
	key := client.ObjectKey{Name: name}
	err := cache.Get(ctx, key, o)
	last, known := r.written.Load(name)
	if apierrors.IsNotFound(err) {
		r.forget(name)
	}
	if err != nil || !known {
		return err
	}
	if version, ok := last.(string); ok && behind(o.GetResourceVersion(), version) {
		return live.Get(ctx, key, o)
	}
	r.written.Delete(name)
	return nil
}

// forget drops what is known about a resource that is gone.
func (r *Reporter) forget(name string) {
	r.written.Delete(name)
	r.warned.Range(func(key, _ any) bool {
		if of, ok := key.(warning); ok && of.name == name {
			r.warned.Delete(key)
		}
		return true
	})
}

// behind reports whether a resource version is of before another one. What cannot be compared is not.
func behind(version, other string) bool {
	order, err := resourceversion.CompareResourceVersion(version, other)
	return err == nil && order < 0
}

// Report writes the status if it differs from what it was, and then tells of the conditions that have changed, or
// that take too long. It gives the time until one of them does; zero if none can.
func (r *Reporter) Report(
	ctx context.Context, c client.Client, record events.EventRecorder, now time.Time, before, after client.Object,
) (time.Duration, error) {
	if err := Write(ctx, c, before, after); err != nil {
		return 0, err
	}
	r.written.Store(after.GetName(), after.GetResourceVersion())
	return r.notify(record, now, before, after), nil
}

// news is what became of a condition.
type news struct {
	condition v1.Condition
	warn      bool
}

func (r *Reporter) notify(record events.EventRecorder, now time.Time, before, after client.Object) time.Duration {
	was, is := statusOf(before), statusOf(after)
	var again time.Duration
	notified := map[v1.ConditionType]bool{}
	for _, n := range transitions(was, is) {
		notified[n.condition.Type] = n.warn
		event(record, after, n)
	}
	for _, c := range is.conditions {
		if !comesUp(c.Type) {
			continue
		}
		key := warning{is.kind, after.GetName(), c.Type}
		if c.Status == metav1.ConditionTrue {
			r.warned.Delete(key)
			continue
		}
		since, known := r.warned.Load(key)
		switch wait := c.LastTransitionTime.Add(Patience).Sub(now); {
		case known && since == c.LastTransitionTime.UTC():
		case notified[c.Type] || wait <= 0:
			r.warned.Store(key, c.LastTransitionTime.UTC())
			if !notified[c.Type] {
				event(record, after, news{c, true})
			}
		case again == 0 || wait < again:
			again = wait
		}
	}
	return again
}

// transitions are the conditions that have another status, or another reason for not being True, than before. A
// condition that is not well yet is a warning if it was before of the same spec, or if only a person can mend it.
func transitions(was, is observed) []news { //nolint:cyclop // one case a transition
	var out []news
	stalled := is.conditions.IsTrue(v1.ConditionStalled)
	for _, c := range is.conditions {
		old := was.conditions.Get(c.Type)
		mend := stalled && c.Type == v1.ConditionReconciled && c.Status != metav1.ConditionTrue
		same := old != nil && old.Status == c.Status && old.Reason == c.Reason
		if same && (!mend || was.conditions.IsTrue(v1.ConditionStalled)) {
			continue
		}
		held := c.Type == v1.ConditionStalled && c.Reason == v1.ReasonDeletionHeld
		generic := c.Type == v1.ConditionReconciling || c.Type == v1.ConditionStalled
		if !held && (generic || old == nil && c.Status != metav1.ConditionFalse) {
			continue // that something new is well, or not known yet, is no news; what stalls is what Reconciled says
		}
		fell := old != nil && old.Status == metav1.ConditionTrue && was.generation == is.generation
		out = append(out, news{c, held || comesUp(c.Type) && c.Status != metav1.ConditionTrue && (fell || mend)})
	}
	return out
}

// comesUp reports whether a condition is about how a resource works. Whether anything uses it is something else.
func comesUp(t v1.ConditionType) bool {
	return t == v1.ConditionReconciled || t == v1.ConditionReady || t == v1.ConditionDependenciesHealthy
}

func event(record events.EventRecorder, about client.Object, n news) {
	kind := corev1.EventTypeNormal
	if n.warn {
		kind = corev1.EventTypeWarning
	}
	message := n.condition.Message
	if message == "" {
		message = string(n.condition.Type) + " is " + string(n.condition.Status)
	}
	record.Eventf(about, nil, kind, string(n.condition.Reason), string(n.condition.Type), "%s", Note(message))
}

// observed is what all statuses have.
type observed struct {
	kind       string
	generation int64
	conditions v1.Conditions
}

// kindOf is the kind of a resource of Lateen's, or "".
func kindOf(o runtime.Object) string {
	if o, ok := o.(client.Object); ok {
		return statusOf(o).kind
	}
	return ""
}

func statusOf(o client.Object) observed {
	switch o := o.(type) {
	case *v1.Istio:
		return observed{v1.KindIstio, o.Status.ObservedGeneration, o.Status.Conditions}
	case *v1.IstioRevision:
		return observed{v1.KindIstioRevision, o.Status.ObservedGeneration, o.Status.Conditions}
	case *v1.IstioRevisionTag:
		return observed{v1.KindIstioRevisionTag, o.Status.ObservedGeneration, o.Status.Conditions}
	case *v1.IstioCNI:
		return observed{v1.KindIstioCNI, o.Status.ObservedGeneration, o.Status.Conditions}
	}
	return observed{}
}
