package operation

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/lateen-io/lateen"
	"github.com/lateen-io/lateen/test/cluster"
)

// TestMetrics scrapes the endpoint as nobody, as somebody who may not, and as somebody who may.
func TestMetrics(t *testing.T) {
	e := installed(t)
	address := "127.0.0.1:" + cluster.Port(t)
	e.start(t, "--metrics-bind-address="+address)
	e.kubectl(t, "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: prometheus, namespace: default}}", "apply",
		"-f", "-")
	e.kubectl(t, "---\n{apiVersion: v1, kind: ServiceAccount, metadata: {name: visitor, namespace: default}}", "apply",
		"-f", "-")
	e.kubectl(t, "", "create", "clusterrolebinding", "scrape", "--clusterrole=lateen-metrics-reader",
		"--serviceaccount=default:prometheus")
	scrape := func(token string) (int, string, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+"/metrics", http.NoBody)
		if err != nil {
			return 0, "", err
		}
		if token != "" {
			request.Header.Set("Authorization", "Bearer "+token)
		}
		// The certificate is made by the controller when it starts.
		c := &http.Client{Transport: &http.Transport{
			DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		}}
		response, err := c.Do(request)
		if err != nil {
			return 0, "", err
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		return response.StatusCode, string(text), err
	}
	eventually(t, "the endpoint", func() error { _, _, err := scrape(""); return err })
	reader := e.TokenFor(t, "default", "prometheus")
	for _, c := range []struct {
		reason, token string
		want          int
	}{
		{"nobody may read metrics", "", http.StatusUnauthorized},
		// The library does not tell a token that the API server rejects from an API server that does not answer.
		{"nor who makes up a token", "x", http.StatusInternalServerError},
		{"nor any ServiceAccount", e.TokenFor(t, "default", "visitor"), http.StatusForbidden},
		{"but one with lateen-metrics-reader", reader, http.StatusOK},
	} {
		eventually(t, c.reason, func() error { // the server learns of a binding a moment after it is written
			status, _, err := scrape(c.token)
			if err != nil || status != c.want {
				return fmt.Errorf("HTTP status %d (%w), want %d", status, err, c.want)
			}
			return nil
		})
	}

	newest := lateen.Versions()[len(lateen.Versions())-1].Version
	e.kubectl(t, "---\n{apiVersion: v1, kind: Namespace, metadata: {name: measured, labels: {istio.io/rev: measured}}}\n"+
		resource("Istio", "measured", "namespace: measured, version: "+newest), "apply", "--server-side", "-f", "-")
	lines := []string{
		`lateen_resource_condition{kind="Istio",name="measured",status="True",type="Ready"} 1`,
		`lateen_resource_condition{kind="IstioRevision",name="measured",status="True",type="InUse"} 1`,
		`lateen_resource_condition{kind="IstioRevision",name="measured",status="False",type="InUse"} 0`,
		`lateen_istio_revisions{name="measured"} 1`,
		`lateen_istio_revisions_ready{name="measured"} 1`,
		`lateen_istio_revisions_in_use{name="measured"} 1`,
		`lateen_revision_users{name="measured"} 1`,
		`lateen_apply_total{action="created",kind="Deployment"} 1`,
		`lateen_revisions_pruned_total 0`,
		`lateen_render_duration_seconds_count `,
		`lateen_usage_observed_timestamp_seconds 1.`,
		`leader_election_master_status{name="lateen-controller.lateen.io"} 1`,
		`controller_runtime_reconcile_errors_total{controller="istiorevision"} 0`,
	}
	eventually(t, "the metrics", func() error {
		_, text, err := scrape(reader)
		for _, line := range lines {
			if !strings.Contains(text, "\n"+line) {
				err = errors.Join(err, fmt.Errorf("%s is missing", line))
			}
		}
		if err != nil {
			var have []string
			for line := range strings.Lines(text) {
				if strings.HasPrefix(line, "lateen_") {
					have = append(have, line)
				}
			}
			return fmt.Errorf("%w; there is:\n%s", err, strings.Join(have, ""))
		}
		return nil
	})

	_, text, err := scrape(reader)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "# TYPE lateen_"); ok {
			documented(t, "| `lateen_"+strings.Fields(name)[0]+"` | "+strings.Fields(name)[1])
		}
	}

	e.kubectl(t, "", "delete", "--wait", "istios/measured")
	eventually(t, "a deleted resource has no metrics", func() error {
		status, text, err := scrape(reader)
		if err == nil && (status != http.StatusOK || strings.Contains(text, `name="measured"`)) {
			err = errors.New("it has")
		}
		return err
	})
}

// documented expects that the documentation has a text.
func documented(t *testing.T, text string) {
	t.Helper()
	doc, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(doc), text) {
		t.Errorf("docs/operation.md does not have %q", text)
	}
}

// TestFlags expects that the documentation has every flag.
func TestFlags(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the controller")
	}
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), path, "--help").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	names := regexp.MustCompile(`(?m)^ {2}-([a-z-]+)`).FindAllStringSubmatch(string(out), -1)
	const least = 10
	if len(names) < least {
		t.Fatalf("--help says:\n%s", out)
	}
	for _, n := range names {
		documented(t, "`--"+n[1]+"`")
	}
}
