package show

import (
	"encoding/json"
	"io"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/usage"
)

// localConfig keeps a resource in Git: nothing applies it, except Argo CD, which leaves out a file with the comment.
const (
	localConfig = "config.kubernetes.io/local-config"
	argocdSkip  = "# +argocd:skip-file-rendering\n"
)

// report is a UsageReport.
type report struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Metadata   metadata     `json:"metadata"`
	Spec       usage.Report `json:"spec"`
}

type metadata struct {
	Name        string            `json:"name"`
	Annotations map[string]string `json:"annotations"`
}

// ReportJSON writes the usage report of the cluster as JSON.
func (c Cluster) ReportJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(c.report())
}

// ReportYAML writes the usage report of the cluster as YAML.
func (c Cluster) ReportYAML(w io.Writer) error {
	data, err := json.Marshal(c.report())
	if err != nil {
		return err
	}
	// JSON is YAML already; read as that, the fields keep their order and text stays text.
	n, err := yaml.Parse(string(data))
	if err != nil {
		return err
	}
	block(n.YNode())
	text, err := n.String()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, argocdSkip+text)
	return err
}

func (c Cluster) report() report {
	return report{
		APIVersion: usage.APIVersion, Kind: usage.Kind,
		Metadata: metadata{Name: c.Name, Annotations: map[string]string{localConfig: "true"}},
		Spec:     c.graph(usage.MaxReportUsers).Report(c.Name, c.ObservedAt),
	}
}

// block takes the style of JSON away.
func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}
