package engines

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/lateen-io/lateen/test/cluster"
)

const (
	argoNamespace  = "argocd"
	argoAPI        = "argoproj.io/v1alpha1"
	argoController = "argocd-application-controller"
	repoServer     = "argocd-repo-server"
	cmpServer      = "argocd-cmp-server"
	redis          = "redis-server"
	// pluginName is that of the config management plugin.
	pluginName = "lateen"
	// noExecVersion is the kustomize that may not run functions.
	noExecVersion = "without-exec"
)

// argo is Argo CD: its application-controller, its repo-server, a plugin beside that, and redis.
type argo struct {
	// log is what the application-controller says.
	log string
}

// startArgo starts a control plane with Argo CD in it.
func startArgo(t *testing.T) *world {
	t.Helper()
	needsEngine(t, argoCD, argoCDCRDs)
	needs(t, os.Getenv(ownNetwork) != "", "the kernel gives the tests no network of their own, "+
		"and Argo CD's application-controller listens on all interfaces")
	needsProgram(t, redis)
	w := launch(t, programs[argoCDCRDs])
	w.configureArgo()
	loopback, plugins := "127.0.0.1", t.TempDir()
	redisPort, repoPort := cluster.Port(t), cluster.Port(t)
	w.Run(t, redis, environment(t), needsProgram(t, redis),
		"--bind", loopback, "--port", redisPort, "--save", "", "--appendonly", "no", "--dir", t.TempDir())
	kubeconfig := w.account(argoNamespace, argoController)
	common := []string{
		"KUBECONFIG=" + kubeconfig, "REDIS_SERVER=" + loopback + ":" + redisPort,
		// On a busy machine nothing takes too long.
		"ARGOCD_GIT_REQUEST_TIMEOUT=5m", "ARGOCD_EXEC_TIMEOUT=5m",
		"ARGOCD_GPG_ENABLED=false", "ARGOCD_PLUGINSOCKFILEPATH=" + plugins,
	}
	named := func(name string, more ...string) []string {
		return append(environment(t, "ARGOCD_BINARY_NAME="+name), append(common, more...)...)
	}
	w.Run(t, cmpServer, named(cmpServer, "ARGOCD_CMP_WORKDIR="+t.TempDir()), programs[argoCD],
		"--config-dir-path="+pluginConfig(t))
	w.Run(t, repoServer, named(repoServer, "ARGOCD_ASK_PASS_SOCK="+filepath.Join(t.TempDir(), "ask-pass")),
		programs[argoCD],
		"--address="+loopback, "--port="+repoPort, "--metrics-address="+loopback, "--metrics-port="+cluster.Port(t),
		"--disable-tls", "--revision-cache-expiration=1s")
	w.eventually("the plugin listens", func() error {
		sockets, err := filepath.Glob(filepath.Join(plugins, "*.sock"))
		if err == nil && len(sockets) == 0 {
			err = fs.ErrNotExist
		}
		return err
	})
	w.eventually("the repo-server listens", func() error {
		connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", loopback+":"+repoPort)
		if err != nil {
			return err
		}
		return connection.Close()
	})
	controller := w.Run(t, argoController, named(argoController, "ARGOCD_FAKE_IN_CLUSTER=true"), programs[argoCD],
		"--namespace="+argoNamespace, "--repo-server="+loopback+":"+repoPort, "--repo-server-plaintext",
		"--repo-server-timeout-seconds=300",
		"--metrics-port="+cluster.Port(t), "--persist-resource-health", "--app-resync=15", "--app-resync-jitter=0",
		"--status-processors=4", "--operation-processors=4")
	w.engine = argo{log: controller.Log()}
	return w
}

// pluginConfig is a directory with the configuration of a plugin that renders a directory with Lateen's functions,
// wherever kustomize's options are those of a stranger.
func pluginConfig(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	config := `
apiVersion: argoproj.io/v1alpha1
kind: ConfigManagementPlugin
metadata: {name: ` + pluginName + `}
spec:
  generate: {command: [kustomize, build, --enable-alpha-plugins, --enable-exec, .]}
`
	if err := os.WriteFile(filepath.Join(dir, "plugin.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// configureArgo sets Argo CD up as docs/gitops.md says.
func (w *world) configureArgo() {
	w.t.Helper()
	w.apply(fmt.Sprintf(`
apiVersion: v1
kind: Namespace
metadata: {name: %[1]s}
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, namespace: %[1]s, labels: {app.kubernetes.io/part-of: argocd}}
stringData: {server.secretkey: c2VjcmV0}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: %[1]s, labels: {app.kubernetes.io/part-of: argocd}}
data:
  kustomize.buildOptions: --enable-alpha-plugins --enable-exec
  kustomize.path.%[2]s: %[3]s
  kustomize.buildOptions.%[2]s: --enable-alpha-plugins
  # Nothing measures pods here.
  resource.customizations.health.autoscaling_HorizontalPodAutoscaler: return {status = "Healthy"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-rbac-cm, namespace: %[1]s, labels: {app.kubernetes.io/part-of: argocd}}
---
apiVersion: %[4]s
kind: AppProject
metadata: {name: default, namespace: %[1]s}
spec:
  sourceRepos: ["*"]
  destinations: [{namespace: "*", server: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
`, argoNamespace, noExecVersion, kustomize(w.t), argoAPI))
	text, err := os.ReadFile(filepath.Join(root, "config/argocd/argocd-cm.yaml"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, o := range parse(w.t, text) {
		merged := client.ApplyConfigurationFromUnstructured(o)
		if err := w.client.Apply(w.t.Context(), merged, client.FieldOwner("lateen")); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (argo) user() string { return "system:serviceaccount:" + argoNamespace + ":" + argoController }

func (argo) deploy(w *world, a application) {
	w.t.Helper()
	source := map[string]any{"repoURL": a.repository.url, "targetRevision": branch, "path": a.path}
	switch {
	case a.plugin != "":
		source["plugin"] = map[string]any{"name": a.plugin}
	case a.noExec:
		source["kustomize"] = map[string]any{"version": noExecVersion}
	case !a.kustomize:
		source["directory"] = map[string]any{"recurse": true}
	}
	spec := map[string]any{
		"project": "default", "source": source,
		"destination": map[string]any{"server": "https://kubernetes.default.svc", "namespace": "default"},
		"syncPolicy": map[string]any{
			"automated":   map[string]any{"prune": true, "selfHeal": true},
			"syncOptions": []string{"ServerSideApply=true"},
		},
	}
	text, err := json.Marshal(spec)
	if err != nil {
		w.t.Fatal(err)
	}
	w.apply(fmt.Sprintf(`
apiVersion: %s
kind: Application
metadata: {name: %s, namespace: %s, finalizers: [resources-finalizer.argocd.argoproj.io]}
spec: %s
`, argoAPI, a.name, argoNamespace, text))
}

func (argo) pull(w *world, name string) {
	w.t.Helper()
	w.annotate(argoAPI, "Application", argoNamespace, name, "argocd.argoproj.io/refresh", "hard")
}

// argoStatus is what is read of the status of an Application.
type argoStatus struct {
	Sync       struct{ Status, Revision string }
	Health     struct{ Status, Message string }
	Conditions []struct{ Type, Message string }
	History    []struct{ Revision string }
	Resources  []struct {
		Kind, Name, Status string
		Health             struct{ Status, Message string }
	}
	OperationState struct {
		Phase, Message string
		SyncResult     struct{ Revision string }
	}
}

func (w *world) argoStatus(name string) (argoStatus, error) {
	var status argoStatus
	o, err := w.get(argoAPI, "Application", argoNamespace, name)
	if err != nil {
		return status, err
	}
	err = convert(o, &status, "status")
	return status, err
}

func (argo) state(w *world, name string) (state, error) {
	status, err := w.argoStatus(name)
	if err != nil {
		return state{}, err
	}
	phase := status.OperationState.Phase
	s := state{
		commit: status.Sync.Revision, tried: status.Sync.Revision,
		synced:  status.Sync.Status == "Synced",
		healthy: status.Health.Status == "Healthy",
		failed:  status.Health.Status == "Degraded" || phase == "Failed" || phase == "Error",
		syncs:   len(status.History),
	}
	var messages []string
	for _, c := range status.Conditions {
		messages = append(messages, c.Type+": "+c.Message)
		s.failed = s.failed || strings.HasSuffix(c.Type, "Error")
	}
	for _, r := range status.Resources {
		if r.Status != "Synced" || r.Health.Status != "" && r.Health.Status != "Healthy" {
			messages = append(messages,
				strings.Join([]string{r.Kind, r.Name, r.Status, r.Health.Status, r.Health.Message}, " "))
		}
	}
	if phase != "Succeeded" {
		messages = append(messages, status.OperationState.Message)
	}
	s.message = strings.Join(messages, "\n")
	return s, nil
}

func (argo) remove(w *world, name string) {
	w.t.Helper()
	o, err := w.get(argoAPI, "Application", argoNamespace, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Delete(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
	w.eventually("the Application "+name+" is gone", func() error { return w.absent(o) })
}

func (argo) forget(w *world, name string) {
	w.t.Helper()
	w.patch(argoAPI, "Application", argoNamespace, name, `{"metadata": {"finalizers": null}}`)
	o, err := w.get(argoAPI, "Application", argoNamespace, name)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.client.Delete(w.t.Context(), o); err != nil {
		w.t.Fatal(err)
	}
}

// argoEntry is a line of the application-controller's log.
type argoEntry struct {
	Message     string `json:"msg"`
	Application string
	Kind, Name  string
	SyncID      string
	Compared    *int `json:"compare_app_state_ms"`
}

// entries are the lines about an application.
func (a argo) entries(w *world, name string) []argoEntry {
	w.t.Helper()
	text, err := os.ReadFile(a.log)
	if err != nil {
		w.t.Fatal(err)
	}
	var entries []argoEntry
	for line := range bytes.Lines(text) {
		var entry argoEntry
		// The last line may not be there in full.
		if json.Unmarshal(line, &entry) == nil && entry.Application == name {
			entries = append(entries, entry)
		}
	}
	return entries
}

// rounds counts the comparisons, which are noted down when they are done. A round that came to no comparison, since
// only the tree of resources was read again, lacks the time that it took.
func (a argo) rounds(w *world, name string) int {
	w.t.Helper()
	return len(filter(a.entries(w, name), func(e argoEntry) bool {
		return e.Message == "Reconciliation completed" && e.Compared != nil
	}))
}

// failures leaves one thing aside that is Argo CD's own: it asks the API server for the kinds when it begins a sync,
// asks again only if it finds that its answer is an old one, and does not if it has it from this sync. So an object may
// fail once whose kind has come with it, and is there when Argo CD tries again by itself.
func (a argo) failures(w *world, name string) []string {
	w.t.Helper()
	var failures []string
	known := map[string]bool{}
	for _, e := range a.entries(w, name) {
		switch {
		case strings.Contains(e.Message, "'SyncFailed'"):
			if e.Kind == "PeerAuthentication" && strings.Contains(e.Message, "no matches for kind") {
				known[e.SyncID] = true
				continue
			}
			failures = append(failures, e.Kind+" "+e.Name+": "+e.Message)
		case !strings.Contains(e.Message, "Updating operation state"):
		case strings.Contains(e.Message, "-> Failed"), strings.Contains(e.Message, "-> Error"):
			if !known[e.SyncID] {
				failures = append(failures, e.Message)
			}
		}
	}
	return failures
}
