package cluster

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/client-go/rest"

	"github.com/lateen-io/lateen/internal/usage"
)

// apiServer answers lists with JSON, by path; what it does not have is not found.
type apiServer struct {
	lists map[string]string

	mutex sync.Mutex
	asked map[string]string // the selectors
}

func (a *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mutex.Lock()
	defer a.mutex.Unlock()
	w.Header().Set("Content-Type", "application/json")
	q := r.URL.Query()
	a.asked[r.URL.Path] = strings.TrimSpace(q.Get("fieldSelector") + " " + q.Get("labelSelector"))
	list, ok := a.lists[r.URL.Path]
	if !ok && strings.Contains(r.URL.Path, "gateway.networking.k8s.io") {
		w.WriteHeader(http.StatusNotFound)
		_, _ = fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}`)
		return
	}
	if strings.HasPrefix(list, "403") {
		w.WriteHeader(http.StatusForbidden)
		_, _ = fmt.Fprint(w,
			`{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","code":403,"message":"`+
				list[3:]+`"}`)
		return
	}
	if list == "" {
		list = `{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1","metadata":{"resourceVersion":"1"},` +
			`"items":[]}`
		for gvr, kind := range excerptKinds {
			if strings.HasSuffix(r.URL.Path, "/"+gvr.Version+"/"+gvr.Resource) {
				list = `{"kind":"` + kind + `List","apiVersion":"` + gvr.GroupVersion().String() +
					`","metadata":{"resourceVersion":"1"},"items":[]}`
			}
		}
	}
	_, _ = fmt.Fprint(w, list)
}

// TestLook reads a cluster as a client would: pod templates as excerpts, the Gateway API only where there is one.
func TestLook(t *testing.T) {
	t.Parallel()
	const deployments = `{"kind":"DeploymentList","apiVersion":"apps/v1","metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"web","namespace":"a","managedFields":[{"manager":"x"}]},"spec":{"replicas":0,
"template":{"metadata":{"labels":{"istio.io/rev":"canary"}},
 "spec":{"containers":[{"name":"c","env":[{"name":"X","value":"y"}]}]}}},
"status":{"conditions":[{"type":"Available","status":"False"}]}},
{"metadata":{"name":"plain","namespace":"a"},"spec":{"template":{"metadata":{"labels":{"app":"x"}}}}}]}`
	const jobs = `{"kind":"JobList","apiVersion":"batch/v1","metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"done","namespace":"a"},"spec":{"template":{"metadata":{"labels":{"istio.io/rev":"old"}}}},
"status":{"conditions":[{"type":"Complete","status":"True"}]}},
{"metadata":{"name":"runs","namespace":"a"},
"spec":{"template":{"metadata":{"labels":{"istio.io/rev":"canary"}}}},
"status":{"conditions":[{"type":"Suspended","status":"True"}]}}]}`
	const cronJobs = `{"kind":"CronJobList","apiVersion":"batch/v1","metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"nightly","namespace":"b"},
"spec":{"jobTemplate":{"spec":{"template":{"metadata":{"labels":{"sidecar.istio.io/inject":"true"}}}}}}}]}`
	const daemonSets = `{"kind":"DaemonSetList","apiVersion":"apps/v1","metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"ztunnel","namespace":"zt","generation":2},
"spec":{"template":{"metadata":{"labels":{"app":"ztunnel"}},"spec":{"containers":[{"env":[
 {"name":"CA_ADDRESS","value":"istiod-old.istio-system.svc:15012"},{"name":"POD_NAME",
"valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}}]}]}}},
 "status":{"observedGeneration":1,"currentNumberScheduled":2,"updatedNumberScheduled":1}}]}`
	const replicaSets = `{"kind":"ReplicaSetList","apiVersion":"apps/v1","metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"alone","namespace":"c"},"spec":{"replicas":0,
"template":{"metadata":{"labels":{"istio.io/rev":"canary"}}}}},
{"metadata":{"name":"earlier","namespace":"c","ownerReferences":[{"apiVersion":"x/v1","kind":"X","name":"x",
"uid":"1","controller":true}]},
 "spec":{"replicas":0,"template":{"metadata":{"labels":{"istio.io/rev":"old"}}}}}]}`
	const gateways = `{"kind":"GatewayList","apiVersion":"gateway.networking.k8s.io/v1beta1",
	"metadata":{"resourceVersion":"5"},"items":[
{"metadata":{"name":"g","namespace":"d","labels":{"istio.io/rev":"canary"}},"spec":{"gatewayClassName":"istio"}}]}`
	const forbidden = `cronjobs.batch is forbidden: User \"u\" cannot list resource \"cronjobs\" in API group ` +
		`\"batch\" at the cluster scope`
	for _, c := range []struct {
		reason string
		lists  map[string]string
		want   map[string]string
		fails  string
	}{
		{"nothing, and no Gateway API", nil, map[string]string{}, ""},
		{
			"pod templates",
			map[string]string{
				"/apis/apps/v1/deployments": deployments, "/apis/batch/v1/jobs": jobs,
				"/apis/batch/v1/cronjobs":  cronJobs,
				"/apis/apps/v1/daemonsets": daemonSets, "/apis/apps/v1/replicasets": replicaSets,
			},
			map[string]string{
				"canary":  "Deployment a/web, Job a/runs, ReplicaSet c/alone",
				"default": "CronJob b/nightly", "old": "DaemonSet zt/ztunnel",
			},
			"",
		},
		{
			"an older Gateway API",
			map[string]string{"/apis/gateway.networking.k8s.io/v1beta1/gateways": gateways},
			map[string]string{"canary": "Gateway d/g"},
			"",
		},
		{
			"a right that is missing",
			map[string]string{"/apis/batch/v1/cronjobs": "403" + forbidden},
			nil,
			"listing cronjobs: " + strings.ReplaceAll(forbidden, `\`, ""),
		},
	} {
		a := &apiServer{lists: c.lists, asked: map[string]string{}}
		server := httptest.NewServer(a)
		reader, err := NewReader(&rest.Config{Host: server.URL}, nil)
		if err != nil {
			t.Fatal(err)
		}
		x, err := Look(t.Context(), reader)
		server.Close()
		if c.fails != "" {
			if err == nil || err.Error() != c.fails {
				t.Errorf("%s: got the error %v", c.reason, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.reason, err)
			continue
		}
		got := map[string]string{}
		for _, name := range []string{"canary", "default", "old"} {
			var users []string
			for _, u := range x.Revision(usage.RevisionInfo{Name: name}, nil, -1).Users {
				users = append(users, u.String())
			}
			if len(users) > 0 {
				got[name] = strings.Join(users, ", ")
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		for path, want := range map[string]string{
			"/api/v1/pods": running, "/apis/apps/v1/replicasets": notScaled,
			"/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations": "metadata.name=istiod-default-validator",
		} {
			if got, asked := a.asked[path]; !asked || got != want {
				t.Errorf("%s: %s is asked for with %q, want %q", c.reason, path, got, want)
			}
		}
	}
}
