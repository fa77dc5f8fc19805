package expand

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/mesh"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// workloads are the kinds that make Pods, and where their Pod template is.
var workloads = map[[2]string][]string{
	{"Pod", ""}:                   {},
	{"Deployment", "apps"}:        {"spec", "template"},
	{"StatefulSet", "apps"}:       {"spec", "template"},
	{"DaemonSet", "apps"}:         {"spec", "template"},
	{"ReplicaSet", "apps"}:        {"spec", "template"},
	{"ReplicationController", ""}: {"spec", "template"},
	{"Job", "batch"}:              {"spec", "template"},
	{"CronJob", "batch"}:          {"spec", "jobTemplate", "spec", "template"},
	{"Rollout", "argoproj.io"}:    {"spec", "template"},
}

const gatewayAPI = "gateway.networking.k8s.io"

// consumers are who in the package asks for a revision or tag, and the first who is in ambient, or "". What Lateen has
// generated does not count: istiod is not its own user.
func (c *contents) consumers() (out []mesh.Consumer, enrolled string) {
	namespaces, classes := map[string]usage.Namespace{}, map[string]bool{}
	for _, item := range c.namespaces {
		name := item.ID().Name
		namespaces[name] = usage.NamespaceOf(name, text(item, "metadata", "labels"))
	}
	for _, w := range c.written {
		if w.id.Kind == "GatewayClass" && w.id.Group == gatewayAPI {
			controller := resource.Text(w.Object, "spec", "controllerName")
			classes[w.id.Name] = usage.GatewayClass{Name: w.id.Name, Controller: controller}.Istio()
		}
	}
	for _, w := range c.written {
		namespace, known := namespaces[w.id.Namespace]
		template, isWorkload := workloads[[2]string{w.id.Kind, w.id.Group}]
		isEnrolled := false
		var asks []mesh.Consumer
		switch {
		case w.id.Kind == "Namespace" && w.id.Group == "":
			asks, isEnrolled = ofNamespace(namespaces[w.id.Name])
		case isWorkload:
			asks, isEnrolled = ofPods(w, template, namespace, !known)
			asks = append(asks, ofAddresses(w, template)...)
		case w.id.Kind == "Gateway" && w.id.Group == gatewayAPI:
			asks = ofGateway(w, namespace, !known, classes)
		default:
			asks = ofOther(w.Object)
		}
		if isEnrolled && enrolled == "" {
			enrolled = w.id.String()
		}
		for _, a := range asks {
			if a.Name != "" {
				at := resource.Finding(w.Object, "", nil, "")
				a.Ref, a.File, a.Index, a.Who = at.Ref, at.File, at.Index, w.id.String()
				out = append(out, a)
			}
		}
	}
	return out, enrolled
}

// ofNamespace is what a Namespace asks for.
func ofNamespace(n usage.Namespace) (asks []mesh.Consumer, enrolled bool) {
	name, reason := n.Selects()
	key := usage.LabelRevision
	if n.Injection.Set {
		key = usage.LabelInjection
	}
	return []mesh.Consumer{{Name: name, Reason: reason, Field: []string{"metadata", "labels", key}}}, n.Enrolled
}

// ofPods is what a Pod, or the Pods of a template, ask for in a namespace.
func ofPods(
	w written, template []string, namespace usage.Namespace, unsure bool,
) (asks []mesh.Consumer, enrolled bool) {
	at := func(path ...string) []string { return slices.Concat(template, []string{"metadata"}, path) }
	pod := usage.PodOf(namespace.Name, w.id.Name, text(w.Object, at("labels")...), text(w.Object, at("annotations")...),
		false)
	name, reason := pod.Selects(namespace)
	key := usage.LabelInject
	if pod.Revision.Set {
		key = usage.LabelRevision
	}
	return []mesh.Consumer{
		{Name: name, Reason: reason, Field: at("labels", key), Unsure: unsure},
		{
			Name: ran(pod), Reason: "annotation " + usage.LabelRevision, Field: at("annotations", usage.LabelRevision),
			Past: true,
		},
	}, pod.Enrolled
}

// ran is the revision that injected a Pod. What a ztunnel uses its addresses say.
func ran(pod usage.Pod) string {
	if pod.ZTunnel {
		return ""
	}
	return pod.InjectedBy
}

// ofAddresses is what a ztunnel asks for, by the addresses of its control plane.
func ofAddresses(w written, template []string) []mesh.Consumer {
	if w.id.Kind != "DaemonSet" {
		return nil
	}
	raw, err := resource.JSON(w.Object, slices.Concat(template, []string{"spec", "containers"})...)
	var containers []struct {
		Env []struct{ Name, Value string }
	}
	if err != nil || json.Unmarshal(raw, &containers) != nil {
		return nil // it is somebody else's to complain about
	}
	var out []mesh.Consumer
	for _, c := range containers {
		for _, v := range c.Env {
			if v.Name != "XDS_ADDRESS" && v.Name != "CA_ADDRESS" {
				continue
			}
			if plane, ok := usage.AddressOf(v.Value); ok {
				out = append(out, mesh.Consumer{Name: plane.Name, Reason: v.Name + " " + v.Value, Past: !plane.Tag})
			}
		}
	}
	return out
}

// ofGateway is the control plane that deploys a Gateway of the Gateway API: the one that its label istio.io/rev names,
// or that of its namespace, or else the default one. Without a label it may be a Gateway of something else than Istio.
func ofGateway(w written, namespace usage.Namespace, unsure bool, classes map[string]bool) []mesh.Consumer {
	class := resource.Text(w.Object, "spec", "gatewayClassName")
	g := usage.GatewayOf(w.id.Namespace, w.id.Name, class, text(w.Object, "metadata", "labels"))
	if name := g.Revision.Value; name != "" {
		return []mesh.Consumer{{
			Name: name, Reason: "label " + usage.LabelRevision + "=" + name,
			Field: []string{"metadata", "labels", usage.LabelRevision},
		}}
	}
	if !g.ByName() && !classes[class] && !strings.HasPrefix(class, "istio") {
		return nil
	}
	c := mesh.Consumer{
		Name: "default", Reason: "gatewayClassName " + class, Field: []string{"spec", "gatewayClassName"}, Unsure: true,
	}
	if name, _ := g.Names(namespace.Revision); name != "" && !unsure {
		c.Name, c.Reason = name, "label "+usage.LabelRevision+" of its namespace"
	}
	return []mesh.Consumer{c}
}

// ofOther errs on the side of finding too much: Istio's configuration can be for one revision only, and some other kind
// can have a Pod template where the usual ones have it.
func ofOther(item manifest.Object) []mesh.Consumer {
	var out []mesh.Consumer
	for _, at := range [][]string{
		{"metadata"}, {"spec", "template", "metadata"}, {"spec", "jobTemplate", "spec", "template", "metadata"},
	} {
		labels := text(item, append(slices.Clone(at), "labels")...)
		if name := labels[usage.LabelRevision]; name != "" {
			out = append(out,
				mesh.Consumer{Name: name, Reason: "label " + usage.LabelRevision + "=" + name, Unsure: true})
		}
		if labels[usage.LabelInject] == "true" {
			out = append(out,
				mesh.Consumer{Name: "default", Reason: "label " + usage.LabelInject + "=true", Unsure: true})
		}
	}
	return out
}

// text is a mapping of text in an item, like labels.
func text(item manifest.Object, path ...string) map[string]string {
	raw, err := resource.JSON(item, path...)
	var m map[string]any
	if err != nil || json.Unmarshal(raw, &m) != nil {
		return nil // it is somebody else's to complain about
	}
	out := make(map[string]string, len(m))
	for key, value := range m {
		out[key] = fmt.Sprint(value)
	}
	return out
}
