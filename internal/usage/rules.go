package usage

import (
	"encoding/json"
	"slices"
	"strings"
)

// The labels and annotations that decide who uses a revision.
const (
	// LabelInjection on a namespace: enabled means the name default, anything else means nothing.
	LabelInjection = "istio-injection"
	// LabelRevision on a namespace or a pod names a revision or a tag; as an annotation of a pod (the same key), the
	// revision that injected it.
	LabelRevision = "istio.io/rev"
	// LabelInject on a pod: false keeps injection away, true asks for it.
	LabelInject = "sidecar.istio.io/inject"
	// LabelDataplane on a namespace or a pod: ambient enrols it.
	LabelDataplane = "istio.io/dataplane-mode"
	// AnnotationStatus is written by the injector itself on every pod that it injects, whatever its template writes:
	// JSON with the revision of the injector.
	AnnotationStatus = "sidecar.istio.io/status"
	// AnnotationRedirection is written by the CNI plugin on a pod whose traffic it redirects to ztunnel.
	AnnotationRedirection = "ambient.istio.io/redirection"
)

// External is why nobody can say that a revision which makes an external control plane is not used, as what follows its
// name in a sentence. values.External recognizes one.
const External = "is an external control plane (pilot.env.EXTERNAL_ISTIOD), whose users are in other clusters"

const (
	ambient = "ambient"
	ztunnel = "ztunnel"
)

// defaultName is the revision or tag that the labels without a name in them mean.
const defaultName = "default"

// Label is the value of a label that may be absent. An empty value is not the same: `istio.io/rev: ""` selects nothing,
// and keeps other labels from selecting.
type Label struct {
	Value string
	Set   bool
}

func (l Label) is(value string) bool { return l.Set && l.Value == value }

// Namespace is what the rules need of a namespace.
type Namespace struct {
	Name string
	// Injection and Revision are the labels istio-injection and istio.io/rev.
	Injection, Revision Label
	// Enrolled says that its label istio.io/dataplane-mode puts its pods into ambient.
	Enrolled bool
}

// Pod is what the rules need of a pod, or of what makes pods: a Deployment in Git counts as its pods will.
type Pod struct {
	// Kind is empty for a Pod. What makes pods is told apart by its kind: Deployment, Job.
	Kind            string
	Namespace, Name string
	// InjectedBy is the revision, never a tag, whose proxy the pod runs: by the annotation istio.io/rev, or else by
	// what the injector wrote into sidecar.istio.io/status.
	InjectedBy string
	// ByStatus says that only the latter tells.
	ByStatus bool
	// ZTunnel says that the pod is a node's ztunnel; InjectedBy is then the revision that it was made for. Such a pod
	// counts only as long as its DaemonSet does not answer for it: see Rolled.
	ZTunnel bool
	// Enrolled says that the pod itself is in ambient, by its label or by what the CNI plugin wrote on it.
	Enrolled bool
	// Inject and Revision are the labels sidecar.istio.io/inject and istio.io/rev.
	Inject, Revision Label
	// Addresses are the XDS and CA addresses in the containers of a DaemonSet: it is ztunnel's, and uses the control
	// planes that they name, whatever its template says besides. Rolled says that all its pods are of the current
	// template; until then they count by themselves.
	Addresses []string
	Rolled    bool
	// Finished says that the pod has run to its end, Succeeded or Failed, or that it is gone. It uses nothing any more.
	Finished bool
}

// NamespaceOf reads the labels of a namespace.
func NamespaceOf(name string, labels map[string]string) Namespace {
	return Namespace{
		Name: name, Injection: label(labels, LabelInjection), Revision: label(labels, LabelRevision),
		Enrolled: labels[LabelDataplane] == ambient,
	}
}

// PodOf reads the labels and annotations of a pod, or of a pod template.
func PodOf(namespace, name string, labels, annotations map[string]string, finished bool) Pod {
	p := Pod{
		Namespace: namespace, Name: name,
		InjectedBy: annotations[LabelRevision],
		Inject:     label(labels, LabelInject),
		Revision:   label(labels, LabelRevision),
		Finished:   finished,
	}
	status, injected := annotations[AnnotationStatus]
	p.ZTunnel = !injected && (labels["app"] == ztunnel || labels["app.kubernetes.io/name"] == ztunnel)
	p.Enrolled = !injected && (labels[LabelDataplane] == ambient || annotations[AnnotationRedirection] == "enabled")
	switch {
	case p.InjectedBy != "":
	case injected:
		p.InjectedBy, p.ByStatus = statusRevision(status), true
	case p.ZTunnel:
		p.InjectedBy = defaultName
	}
	return p
}

// statusRevision is the revision in the annotation sidecar.istio.io/status. An injector without a name writes
// "default"; early ones wrote no revision, and had no name. What cannot be read was written by somebody all the same,
// and the pod runs a proxy: that counts for the revision without a name as well.
func statusRevision(annotation string) string {
	var status struct {
		Revision string `json:"revision"`
	}
	if err := json.Unmarshal([]byte(annotation), &status); err != nil || status.Revision == "" {
		return defaultName
	}
	return status.Revision
}

func label(labels map[string]string, key string) Label {
	value, set := labels[key]
	return Label{value, set}
}

// Selects gives the revision or tag that the namespace's own labels select, and by which label; "" if none. A namespace
// uses what it selects even when it has no pods: the next one would be injected.
func (n Namespace) Selects() (name, reason string) {
	name, why := n.selects()
	return name, why.reason(name)
}

func (n Namespace) selects() (string, cause) {
	switch {
	case n.Injection.is("enabled"):
		return defaultName, byInjection
	case n.Injection.Set || n.Revision.Value == "":
		return "", none
	}
	return n.Revision.Value, byRevision
}

// decides reports whether the namespace alone decides about its pods, whose labels can then only opt out. One that
// carries a label that selects nothing decides as well: nothing.
func (n Namespace) decides() bool { return n.Injection.Set || n.Revision.Set }

// Selects gives the revision or tag that the pod's own labels select in a namespace, and by which label; "" if none: in
// a namespace with a label of its own it is that namespace that uses a revision. What the pod runs already is another
// matter: see InjectedBy.
func (p Pod) Selects(n Namespace) (name, reason string) {
	if n.decides() {
		return "", ""
	}
	name, why := p.selects()
	return name, why.reason(name)
}

// selects is Selects in a namespace without labels.
func (p Pod) selects() (string, cause) {
	switch {
	case p.Finished || p.Inject.is("false"):
		return "", none
	case p.Revision.Set && p.Revision.Value == "":
		return "", none
	case p.Revision.Set:
		return p.Revision.Value, byRevision
	case p.Inject.is("true"):
		return defaultName, byInject
	}
	return "", none
}

// injectedBy is the revision whose proxy still runs, and what says so.
func (p Pod) injectedBy() (string, cause) {
	switch {
	case p.Finished || p.InjectedBy == "":
		return "", none
	case p.ZTunnel:
		return p.InjectedBy, byZTunnelPod
	case p.ByStatus:
		return p.InjectedBy, byStatus
	}
	return p.InjectedBy, byAnnotation
}

func (p Pod) enrolled() bool { return p.Enrolled && !p.Finished }

// istioClasses are the GatewayClasses that istiod serves by their names.
var istioClasses = []string{"istio", "istio-waypoint", "istio-east-west", "istio-remote"}

// istioControllers is how the controllerName of a GatewayClass begins that some istiod serves.
const istioControllers = "istio.io/"

// Gateway is what the rules need of a Gateway of the Gateway API.
type Gateway struct {
	Namespace, Name string
	// Class is spec.gatewayClassName.
	Class string
	// Revision is its label istio.io/rev. As long as the key is there it decides, even with an empty value.
	Revision Label
	// Gone says that there is no such Gateway any more.
	Gone bool
}

// GatewayOf reads the labels of a Gateway.
func GatewayOf(namespace, name, class string, labels map[string]string) Gateway {
	return Gateway{Namespace: namespace, Name: name, Class: class, Revision: label(labels, LabelRevision)}
}

// GatewayClass is what the rules need of a GatewayClass: its name and its controllerName, "" once it is gone.
type GatewayClass struct{ Name, Controller string }

// Istio reports whether some istiod serves the class.
func (c GatewayClass) Istio() bool { return strings.HasPrefix(c.Controller, istioControllers) }

// Names gives the revision or tag whose istiod deploys a Gateway, and what says so: its own label, or that of its
// namespace, of which istio-injection is not looked at. "" with a reason means whatever is the default: the revision or
// tag of that name, and from Istio 1.28 on also the revision that the webhook istiod-default-validator names.
func (g Gateway) Names(namespace Label) (name, reason string) {
	name, why := g.names(namespace.Value)
	if name == "" {
		return "", why.reason(g.Class)
	}
	return name, why.reason(name)
}

func (g Gateway) names(namespace string) (string, cause) {
	switch {
	case g.Revision.Set && g.Revision.Value != "":
		return g.Revision.Value, byRevision
	case !g.Revision.Set && namespace != "":
		return namespace, byGatewayNamespace
	}
	return "", byGateway
}

// ByName reports whether istiod serves the class of the Gateway whatever its GatewayClass says.
func (g Gateway) ByName() bool {
	return slices.Contains(istioClasses, g.Class)
}

// ControlPlane is what the address of an istiod names: a revision or, if Tag is set, a tag.
type ControlPlane struct {
	Name string
	Tag  bool
}

// AddressOf reads the XDS or CA address of a proxy: istiod.istio-system.svc:15012 is that of the revision default,
// istiod-canary.istio-system.svc of canary, istiod-revision-tag-prod.istio-system.svc of the tag prod. Any other is
// none of this cluster.
func AddressOf(address string) (ControlPlane, bool) {
	if _, rest, scheme := strings.Cut(address, "://"); scheme {
		address = rest
	}
	address, _, _ = strings.Cut(address, "/")
	address, _, _ = strings.Cut(address, ":")
	parts := strings.Split(address, ".")
	const svc = 2 // istiod.istio-system.svc, and what the cluster's domain is
	if len(parts) > svc && parts[svc] != "svc" {
		return ControlPlane{}, false
	}
	service := parts[0]
	if tag, ok := strings.CutPrefix(service, "istiod-revision-tag-"); ok && tag != "" {
		return ControlPlane{Name: tag, Tag: true}, true
	}
	if service == "istiod" {
		return ControlPlane{Name: defaultName}, true
	}
	name, ok := strings.CutPrefix(service, "istiod-")
	return ControlPlane{Name: name}, ok && name != ""
}

// controlPlanes are those that the addresses of a DaemonSet name, each once.
func (p Pod) controlPlanes() []ControlPlane {
	var out []ControlPlane
	for _, address := range p.Addresses {
		if c, ok := AddressOf(address); ok && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// cause is why something counts as a use: one byte in the index, a text for people.
type cause uint8

const (
	none cause = iota
	byInjection
	byRevision
	byInject
	byAnnotation
	byStatus
	byZTunnelPod
	byZTunnel
	byGatewayNamespace
	byGateway
	byDefaultValidator
	byEnrolment
)

func (c cause) reason(name string) string {
	switch c {
	case byInjection:
		return "label " + LabelInjection + "=enabled"
	case byRevision:
		return "label " + LabelRevision + "=" + name
	case byInject:
		return "label " + LabelInject + "=true"
	case byAnnotation:
		return "annotation " + LabelRevision + "=" + name
	case byStatus:
		return "annotation " + AnnotationStatus + ", revision " + name
	case byZTunnelPod:
		return "ztunnel of revision " + name
	case byZTunnel:
		return "its XDS or CA address names " + name
	case byGatewayNamespace:
		return "label " + LabelRevision + "=" + name + " of its namespace"
	case byGateway:
		return "a Gateway of Istio without a revision in the label " + LabelRevision
	case byDefaultValidator:
		return "a Gateway of Istio without a revision in the label " + LabelRevision +
			", and istiod-default-validator names the revision"
	case byEnrolment:
		return "label " + LabelDataplane + "=" + ambient
	case none:
	}
	return ""
}
