package usage

// The labels and the annotation that decide who uses a revision.
const (
	// LabelInjection on a namespace: enabled means the name default, anything else means nothing.
	LabelInjection = "istio-injection"
	// LabelRevision on a namespace or a pod names a revision or a tag; as an annotation of a pod (the same key), the
	// revision that injected it.
	LabelRevision = "istio.io/rev"
	// LabelInject on a pod: false keeps injection away, true asks for it.
	LabelInject = "sidecar.istio.io/inject"
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
}

// Pod is what the rules need of a pod, or of what makes pods: a Deployment in Git counts as its pods will.
type Pod struct {
	// Kind is empty for a Pod. What makes pods is told apart by its kind: Deployment, Job.
	Kind            string
	Namespace, Name string
	// InjectedBy is the annotation istio.io/rev: the revision, never a tag, whose proxy the pod runs.
	InjectedBy string
	// Inject and Revision are the labels sidecar.istio.io/inject and istio.io/rev.
	Inject, Revision Label
	// Finished says that the pod has run to its end, Succeeded or Failed. It uses nothing any more.
	Finished bool
}

// NamespaceOf reads the labels of a namespace.
func NamespaceOf(name string, labels map[string]string) Namespace {
	return Namespace{Name: name, Injection: label(labels, LabelInjection), Revision: label(labels, LabelRevision)}
}

// PodOf reads the labels and annotations of a pod, or of a pod template.
func PodOf(namespace, name string, labels, annotations map[string]string, finished bool) Pod {
	return Pod{
		Namespace: namespace, Name: name,
		InjectedBy: annotations[LabelRevision],
		Inject:     label(labels, LabelInject),
		Revision:   label(labels, LabelRevision),
		Finished:   finished,
	}
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

// decides tells whether the namespace alone decides about its pods, whose labels can then only opt out. One that carries
// a label that selects nothing decides as well: nothing.
func (n Namespace) decides() bool { return n.Injection.Set || n.Revision.Set }

// Selects gives the revision or tag that the pod's own labels select in a namespace, and by which label; "" if none: in a
// namespace with a label of its own it is that namespace that uses a revision. What the pod runs already is another matter:
// see InjectedBy.
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

// injectedBy is the revision whose proxy still runs.
func (p Pod) injectedBy() string {
	if p.Finished {
		return ""
	}
	return p.InjectedBy
}

// cause is why something counts as a use: one byte in the index, a text for people.
type cause uint8

const (
	none cause = iota
	byInjection
	byRevision
	byInject
	byAnnotation
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
	case none:
	}
	return ""
}
