package expand

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/manifest"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/usage"
)

// use is an item of a package that asks for a revision or tag, by the rules of package usage.
type use struct {
	item manifest.Object
	// name is that of the revision or tag, reason the label or annotation that says so, and field its place.
	name, reason string
	field        []string
	// unsure says that it depends on the labels of a namespace that is not in the package.
	unsure bool
	// past says that it is about a revision, and not a tag: a proxy that it has injected already, or the address of its
	// istiod.
	past bool
}

// names reports whether the use is one of the revision, and not of a tag of its name.
func (u use) names(revision string, tags map[string]bool) bool {
	return u.name == revision && (u.past || !tags[revision])
}

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

// usesOf lists who in the package asks for a revision or tag. What Lateen has generated does not count: istiod is not
// its own user.
func usesOf(items []manifest.Object) []use {
	namespaces, classes := map[string]usage.Namespace{}, map[string]bool{}
	for _, item := range items {
		switch id := item.ID(); {
		case id.Kind == "Namespace" && id.Group == "":
			namespaces[id.Name] = usage.NamespaceOf(id.Name, text(item, "metadata", "labels"))
		case id.Kind == "GatewayClass" && id.Group == gatewayAPI:
			classes[id.Name] = usage.GatewayClass{
				Name:       id.Name,
				Controller: resource.Text(item, "spec", "controllerName"),
			}.Istio()
		}
	}
	var out []use
	for _, item := range items {
		if item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		id := item.ID()
		namespace, known := namespaces[id.Namespace]
		template, isWorkload := workloads[[2]string{id.Kind, id.Group}]
		switch {
		case id.Kind == "Namespace" && id.Group == "":
			name, reason := namespaces[id.Name].Selects()
			key := usage.LabelRevision
			if namespaces[id.Name].Injection.Set {
				key = usage.LabelInjection
			}
			out = append(out, use{item: item, name: name, reason: reason, field: []string{"metadata", "labels", key}})
		case isWorkload:
			out = append(out, ofPods(item, template, namespace, !known)...)
			out = append(out, ofAddresses(item, template)...)
		case id.Kind == "Gateway" && id.Group == gatewayAPI:
			out = append(out, ofGateway(item, namespace, !known, classes))
		default:
			out = append(out, ofOther(item)...)
		}
	}
	return slices.DeleteFunc(out, func(u use) bool { return u.name == "" })
}

// ofPods is what a Pod, or the Pods of a template, ask for in a namespace.
func ofPods(item manifest.Object, template []string, namespace usage.Namespace, unsure bool) []use {
	at := func(path ...string) []string { return slices.Concat(template, []string{"metadata"}, path) }
	pod := usage.PodOf(namespace.Name, item.ID().Name, text(item, at("labels")...), text(item, at("annotations")...),
		false)
	name, reason := pod.Selects(namespace)
	key := usage.LabelInject
	if pod.Revision.Set {
		key = usage.LabelRevision
	}
	return []use{
		{item: item, name: name, reason: reason, field: at("labels", key), unsure: unsure},
		{
			item: item, name: ran(pod), reason: "annotation " + usage.LabelRevision,
			field: at("annotations", usage.LabelRevision), past: true,
		},
	}
}

// ran is the revision that injected a Pod. What a ztunnel uses its addresses say.
func ran(pod usage.Pod) string {
	if pod.ZTunnel {
		return ""
	}
	return pod.InjectedBy
}

// ofAddresses is what a ztunnel asks for, by the addresses of its control plane.
func ofAddresses(item manifest.Object, template []string) []use {
	if item.Kind() != "DaemonSet" {
		return nil
	}
	raw, err := resource.JSON(item, slices.Concat(template, []string{"spec", "containers"})...)
	var containers []struct {
		Env []struct{ Name, Value string }
	}
	if err != nil || json.Unmarshal(raw, &containers) != nil {
		return nil // it is somebody else's to complain about
	}
	var out []use
	for _, c := range containers {
		for _, v := range c.Env {
			if v.Name != "XDS_ADDRESS" && v.Name != "CA_ADDRESS" {
				continue
			}
			if plane, ok := usage.AddressOf(v.Value); ok {
				out = append(out, use{item: item, name: plane.Name, reason: v.Name + " " + v.Value, past: !plane.Tag})
			}
		}
	}
	return out
}

// enrolled is the first item of a package that asks for ambient, and what says so; nil if there is none.
func enrolled(items []manifest.Object) *manifest.Object {
	for _, item := range items {
		if item.Annotation(manifest.AnnotationOwner) != "" {
			continue
		}
		id := item.ID()
		template, isWorkload := workloads[[2]string{id.Kind, id.Group}]
		at := func(field string) map[string]string {
			return text(item, slices.Concat(template, []string{"metadata", field})...)
		}
		switch {
		case id.Kind == "Namespace" && id.Group == "" &&
			usage.NamespaceOf(id.Name, text(item, "metadata", "labels")).Enrolled,
			isWorkload && usage.PodOf(id.Namespace, id.Name, at("labels"), at("annotations"), false).Enrolled:
			return &item
		}
	}
	return nil
}

// ofGateway is the control plane that deploys a Gateway of the Gateway API: the one that its label istio.io/rev names,
// or that of its namespace, or else the default one. Without a label it may be a Gateway of something else than Istio.
func ofGateway(item manifest.Object, namespace usage.Namespace, unsure bool, classes map[string]bool) use {
	id, class := item.ID(), resource.Text(item, "spec", "gatewayClassName")
	g := usage.GatewayOf(id.Namespace, id.Name, class, text(item, "metadata", "labels"))
	if name := g.Revision.Value; name != "" {
		return use{
			item: item, name: name, reason: "label " + usage.LabelRevision + "=" + name,
			field: []string{"metadata", "labels", usage.LabelRevision},
		}
	}
	u := use{item: item, field: []string{"spec", "gatewayClassName"}, unsure: true}
	if !g.ByName() && !classes[class] && !strings.HasPrefix(class, "istio") {
		return u
	}
	u.name, u.reason = "default", "gatewayClassName "+class
	if name, _ := g.Names(namespace.Revision); name != "" && !unsure {
		u.name, u.reason = name, "label "+usage.LabelRevision+" of its namespace"
	}
	return u
}

// ofOther errs on the side of finding too much: Istio's configuration can be for one revision only, and some other kind
// can have a Pod template where the usual ones have it.
func ofOther(item manifest.Object) []use {
	var out []use
	for _, at := range [][]string{
		{"metadata"}, {"spec", "template", "metadata"}, {"spec", "jobTemplate", "spec", "template", "metadata"},
	} {
		labels := text(item, append(slices.Clone(at), "labels")...)
		if name := labels[usage.LabelRevision]; name != "" {
			out = append(out, use{item: item, name: name, reason: "label " + usage.LabelRevision + "=" + name, unsure: true})
		}
		if labels[usage.LabelInject] == "true" {
			out = append(out, use{item: item, name: "default", reason: "label " + usage.LabelInject + "=true", unsure: true})
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
