package migrate

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/lateen-io/lateen/internal/yamltree"
)

// gatewayManifest is what takes over from the objects of a gateway: an object each, for gateway injection.
type gatewayManifest []*yaml.Node

// gatewayDefaults are what istioctl's gateways have by default, as far as it is not the injector that decides.
type gatewayDefaults struct {
	Name, Namespace, ServiceType string
	Ports                        []gatewayPort
	Labels, PodLabels            *yaml.Node
}

type gatewayPort struct {
	Name         string
	Port, Target int
}

var gatewayTemplate = template.Must(template.New("gateway").Funcs(template.FuncMap{
	"text": func(parts ...string) string {
		n := yamltree.NewText(strings.Join(parts, ""))
		if strings.Contains(n.Value, "\n") { // no name, but it must not break the rest
			n.Style = yaml.DoubleQuotedStyle
		}
		return strings.TrimSpace(encode(n))
	},
	"tree": func(indent int, n *yaml.Node) string {
		prefix := strings.Repeat(" ", indent)
		return prefix + strings.ReplaceAll(strings.TrimSpace(encode(n)), "\n", "\n"+prefix)
	},
}).Parse(`
{{- define "metadata"}}
  namespace: {{text .Namespace}}
  labels:
{{tree 4 .Labels}}
{{- end -}}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{text .Name "-service-account"}}
  {{- template "metadata" .}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: {{text .Name "-sds"}}
  {{- template "metadata" .}}
rules:
- apiGroups:
  - ""
  resources:
  - secrets
  verbs:
  - get
  - watch
  - list
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {{text .Name "-sds"}}
  {{- template "metadata" .}}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{text .Name "-sds"}}
subjects:
- kind: ServiceAccount
  name: {{text .Name "-service-account"}}
---
apiVersion: v1
kind: Service
metadata:
  name: {{text .Name}}
  {{- template "metadata" .}}
spec:
  type: {{.ServiceType}}
  selector:
{{tree 4 .Labels}}
  ports:
  {{- range .Ports}}
  - name: {{.Name}}
    port: {{.Port}}
    targetPort: {{.Target}}
    protocol: TCP
  {{- end}}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{text .Name}}
  {{- template "metadata" .}}
spec:
  selector:
    matchLabels:
{{tree 6 .Labels}}
  template:
    metadata:
      labels:
{{tree 8 .PodLabels}}
      annotations:
        inject.istio.io/templates: gateway
    spec:
      serviceAccountName: {{text .Name "-service-account"}}
      containers:
      - name: istio-proxy
        image: auto
        resources:
          requests:
            cpu: 100m
            memory: 128Mi
          limits:
            cpu: 2000m
            memory: 1024Mi
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{text .Name}}
  {{- template "metadata" .}}
spec:
  minReplicas: 1
  maxReplicas: 5
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{text .Name}}
  metrics:
  - type: Resource
    resource:
      name: cpu
      target:
        type: Utilization
        averageUtilization: 80
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{text .Name}}
  {{- template "metadata" .}}
spec:
  minAvailable: 1
  selector:
    matchLabels:
{{tree 6 .Labels}}
`))

// manifest makes the objects.
func (d gatewayDefaults) manifest() (gatewayManifest, error) {
	var b strings.Builder
	if err := gatewayTemplate.Execute(&b, d); err != nil {
		return nil, err
	}
	var out gatewayManifest
	for document := range strings.SplitSeq(b.String(), "\n---\n") {
		n, err := yaml.Parse(document)
		if err != nil {
			return nil, err
		}
		out = append(out, n.YNode())
	}
	return out, nil
}

// object is the object of a kind, nil if there is none.
func (g gatewayManifest) object(kind string) *yaml.Node {
	for _, o := range g {
		if yamltree.Text(o, "kind") == kind {
			return o
		}
	}
	return nil
}

// container is that of the proxy.
func (g gatewayManifest) container() *yaml.Node {
	return yamltree.Get(g.object("Deployment"), "spec", "template", "spec", "containers").Content[0]
}

// applyValues writes the values of the gateway's chart into the manifest.
func (g gatewayManifest) applyValues(v *yaml.Node) {
	for _, to := range []struct {
		key, kind string
		path      []string
	}{
		{"type", "Service", keys("spec", "type")},
		{"ports", "Service", keys("spec", "ports")},
		{"loadBalancerIP", "Service", keys("spec", "loadBalancerIP")},
		{"loadBalancerSourceRanges", "Service", keys("spec", "loadBalancerSourceRanges")},
		{"externalTrafficPolicy", "Service", keys("spec", "externalTrafficPolicy")},
		{"serviceAnnotations", "Service", keys("metadata", "annotations")},
		{"autoscaleMin", "HorizontalPodAutoscaler", keys("spec", "minReplicas")},
		{"autoscaleMax", "HorizontalPodAutoscaler", keys("spec", "maxReplicas")},
		{"replicaCount", "Deployment", keys("spec", "replicas")},
		{"podAnnotations", "Deployment", keys("spec", "template", "metadata", "annotations")},
		{"nodeSelector", "Deployment", keys("spec", "template", "spec", "nodeSelector")},
		{"tolerations", "Deployment", keys("spec", "template", "spec", "tolerations")},
	} {
		setIn(g.object(to.kind), yamltree.Get(v, to.key), to.path)
	}
	setIn(g.container(), yamltree.Get(v, "resources"), keys("resources"))
	setIn(g.object("ServiceAccount"), yamltree.Get(v, "serviceAccount", "annotations"), keys("metadata", "annotations"))
	for name, value := range yamltree.Fields(yamltree.Get(v, "env")) {
		g.variable(fields("name", name, "value", quoted(plainText(value), nil)))
	}
}

// setIn lays a value over a field of an object, if there is a value.
func setIn(o, value *yaml.Node, at []string) {
	if value == nil || isEmpty(value) {
		return
	}
	wrapped := bare(value)
	for _, key := range slices.Backward(at) {
		wrapped = fields(key, wrapped)
	}
	overlay(o, wrapped, nil, nil)
}

// variable sets an environment variable.
func (g gatewayManifest) variable(n *yaml.Node) {
	list := yamltree.Get(g.container(), "env")
	if list == nil {
		list = sequence()
		yamltree.Put(g.container(), list, "env")
	}
	for i, have := range list.Content {
		if yamltree.Text(have, "name") == yamltree.Text(n, "name") {
			list.Content[i] = bare(n)
			return
		}
	}
	list.Content = append(list.Content, bare(n))
}

// onlyWhatThereIs leaves out what the chart of the gateway does not make with these values. istioctl lays k8s settings
// over what the chart makes, so those of an object that there is not have no effect.
func (m *migration) onlyWhatThereIs(g gatewayManifest, v *yaml.Node) gatewayManifest {
	scaled := m.profileKey != "demo"
	if enabled := yamltree.Get(v, "autoscaleEnabled"); enabled != nil {
		scaled = isTrue(enabled)
	}
	scaler := yamltree.Get(g.object("HorizontalPodAutoscaler"), "spec")
	least, most := count(yamltree.Get(scaler, "minReplicas")), count(yamltree.Get(scaler, "maxReplicas"))
	replicas := least
	if !scaled {
		replicas = count(yamltree.Get(v, "replicaCount"))
	}
	wanted := yamltree.Get(m.values, "global", "defaultPodDisruptionBudget", "enabled")
	not := map[string]bool{
		"HorizontalPodAutoscaler": !scaled || least == 0 || most == 0,
		"PodDisruptionBudget":     wanted != nil && !isTrue(wanted) || replicas < 2 && !m.before(28),
		"Service":                 isTrue(yamltree.Get(v, "customService")),
	}
	return slices.DeleteFunc(g, func(o *yaml.Node) bool { return not[yamltree.Text(o, "kind")] })
}

// count reads a number of replicas; what is none is 0.
func count(n *yaml.Node) int {
	if n == nil {
		return 0
	}
	i, _ := strconv.Atoi(n.Value) // 0 is what charts make of what is no number
	return i
}

// apply writes one k8s setting. If it cannot, why says more than that, if there is more to say.
func (g gatewayManifest) apply(key string, value *yaml.Node) (why string, ok bool) {
	p, ok := placements[key]
	if !ok || yamltree.IsNull(value) {
		return "", yamltree.IsNull(value)
	}
	if key == "env" {
		return "", g.env(value)
	}
	kind := cmp.Or(p.kind, "Deployment")
	into, path := g.object(kind), p.path
	if into == nil {
		return " (there was no " + kind + " to patch, so it had no effect)", false
	}
	switch {
	case p.container:
		into, path = g.container(), keys(key)
	case key == "hpaSpec":
		value = autoscalerV2(value)
	case key == "podDisruptionBudget" && yamltree.Get(value, "maxUnavailable") != nil: // there can be only one of them
		yamltree.Take(into, "spec", "minAvailable")
	}
	setIn(into, value, path)
	return "", true
}

// env sets the environment variables of a list, and reports whether it is one.
func (g gatewayManifest) env(list *yaml.Node) bool {
	for _, n := range list.Content {
		if yamltree.Text(n, "name") == "" {
			return false
		}
		g.variable(n)
	}
	return true
}
