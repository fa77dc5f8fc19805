package status

import (
	"encoding/json"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/events"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/controller/reconcilertest"
)

// TestLogged is what becomes of events in the log.
func TestLogged(t *testing.T) {
	t.Parallel()
	istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: "default-v1-28-3"}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web"}}
	var nobody *v1.IstioRevision
	for _, c := range []struct {
		reason         string
		about, related runtime.Object
		why            string
		want           map[string]any
	}{
		{"Two resources.", istio, rev, "RevisionPruned", map[string]any{
			"msg": "removed 1 %", "type": "Normal", "reason": "RevisionPruned", "action": "Prune",
			"about": "Istio/default", "related": "IstioRevision/default-v1-28-3",
		}},
		{"One resource.", rev, nil, "Ready", map[string]any{
			"msg": "removed 1 %", "type": "Normal", "reason": "Ready", "action": "Prune",
			"about": "IstioRevision/default-v1-28-3",
		}},
		{"Something else.", pod, nil, "Ready", map[string]any{
			"msg": "removed 1 %", "type": "Normal", "reason": "Ready", "action": "Prune", "about": "web",
		}},
		{"The objects of a sum are in the log by themselves.", istio, nobody, EventApplied, nil},
	} {
		var got map[string]any
		log := funcr.NewJSON(func(line string) {
			if err := json.Unmarshal([]byte(line), &got); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		}, funcr.Options{})
		recorder := events.NewFakeRecorder(1)
		Logged(recorder, log).Eventf(c.about, c.related, corev1.EventTypeNormal, c.why, "Prune", "removed %d %%", 1)
		delete(got, "logger")
		delete(got, "level")
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff([]string{"Normal " + c.why + " removed 1 %"}, reconcilertest.Events(recorder)); diff != "" {
			t.Errorf("%s The event, -want +got:\n%s", c.reason, diff)
		}
	}
}
