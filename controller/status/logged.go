package status

import (
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"
)

// EventApplied is the reason of the event that sums up what was changed. Each object is in the log by itself.
const EventApplied = "Applied"

// Logged gives a recorder that also writes each event into a log, with its reason and whom it is about as fields:
// events are gone after an hour, and say no more what has become of a control plane that night.
func Logged(recorder events.EventRecorder, log logr.Logger) events.EventRecorder {
	return logged{recorder, log}
}

type logged struct {
	events.EventRecorder
	log logr.Logger
}

// Eventf records an event, and logs it.
func (l logged) Eventf(
	regarding, related runtime.Object, eventType, reason, action, note string, args ...any,
) {
	l.EventRecorder.Eventf(regarding, related, eventType, reason, action, note, args...)
	if reason == EventApplied {
		return
	}
	fields := []any{"type", eventType, "reason", reason, "action", action}
	for _, about := range []struct {
		key    string
		object runtime.Object
	}{{"about", regarding}, {"related", related}} {
		if name := nameOf(about.object); name != "" {
			fields = append(fields, about.key, name)
		}
	}
	l.log.Info(fmt.Sprintf(note, args...), fields...)
}

// nameOf is "Kind/name" of a resource of Lateen's, the name alone of anything else, and "" of nothing.
func nameOf(o runtime.Object) string {
	m, err := meta.Accessor(o)
	if err != nil {
		return ""
	}
	if kind := kindOf(o); kind != "" {
		return kind + "/" + m.GetName()
	}
	return m.GetName()
}
