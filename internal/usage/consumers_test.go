package usage_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/lateen-io/lateen/internal/usage"
)

// TestStatusAnnotation: what the injector writes says which revision injected a pod, where the template writes nothing.
func TestStatusAnnotation(t *testing.T) {
	t.Parallel()
	const written = `{"initContainers":["istio-init"],"containers":["istio-proxy"],"volumes":["workload-socket"],` +
		`"imagePullSecrets":null,"revision":"canary"}`
	for _, c := range []struct {
		reason      string
		annotations map[string]string
		want        string
		byStatus    bool
	}{
		{"nothing is written", nil, "", false},
		{"the injector has written its revision", map[string]string{usage.AnnotationStatus: written}, "canary", true},
		{
			"the template's annotation is the better one",
			map[string]string{usage.AnnotationStatus: written, usage.LabelRevision: "other"},
			"other", false,
		},
		{
			"an injector without a name",
			map[string]string{usage.AnnotationStatus: `{"revision":"default"}`},
			"default",
			true,
		},
		{
			"one that wrote no revision",
			map[string]string{usage.AnnotationStatus: `{"containers":["istio-proxy"]}`},
			"default", true,
		},
		{"an empty one", map[string]string{usage.AnnotationStatus: `{"revision":""}`}, "default", true},
		{
			"what cannot be read is not taken for nothing",
			map[string]string{usage.AnnotationStatus: "injected"},
			"default", true,
		},
		{"nor is nothing at all", map[string]string{usage.AnnotationStatus: ""}, "default", true},
	} {
		p := usage.PodOf("a", "x", nil, c.annotations, false)
		if p.InjectedBy != c.want || p.ByStatus != c.byStatus {
			t.Errorf("%s: got %q, by the status %t", c.reason, p.InjectedBy, p.ByStatus)
		}
	}
}

func TestAddressOf(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		address string
		want    usage.ControlPlane
		ok      bool
	}{
		{"istiod.istio-system.svc:15012", usage.ControlPlane{Name: "default"}, true},
		{"istiod-canary.istio-system.svc:15012", usage.ControlPlane{Name: "canary"}, true},
		{"istiod-default-v1-28-3.istio-system.svc", usage.ControlPlane{Name: "default-v1-28-3"}, true},
		{"istiod-revision-tag-prod.istio-system.svc:15012", usage.ControlPlane{Name: "prod", Tag: true}, true},
		{"https://istiod.istio-system.svc.cluster.local:15012", usage.ControlPlane{Name: "default"}, true},
		{"istiod.istio-system:15012", usage.ControlPlane{Name: "default"}, true},
		{"istiod:15012", usage.ControlPlane{Name: "default"}, true},
		{"istiod.example.com:15012", usage.ControlPlane{}, false},
		{"192.0.2.1:15012", usage.ControlPlane{}, false},
		{"istiod-.istio-system.svc:15012", usage.ControlPlane{}, false},
		{"istiod-revision-tag-.istio-system.svc:15012", usage.ControlPlane{Name: "revision-tag-"}, true},
		{"", usage.ControlPlane{}, false},
	} {
		got, ok := usage.AddressOf(c.address)
		if !ok {
			got = usage.ControlPlane{}
		}
		if got != c.want || ok != c.ok {
			t.Errorf("%q: got %+v, %t", c.address, got, ok)
		}
	}
}

// gateway reads "a/g istio istio.io/rev=canary": what it is called, its class, its labels.
func gateway(text string) usage.Gateway {
	id, rest, _ := strings.Cut(text, " ")
	class, rest, _ := strings.Cut(rest, " ")
	namespace, name, _ := strings.Cut(id, "/")
	_, labels := words("x " + rest)
	return usage.GatewayOf(namespace, name, class, labels)
}

// workload reads "Deployment a/web istio.io/rev=canary": the labels of its pod template.
func workload(text string) usage.Pod {
	kind, rest, _ := strings.Cut(text, " ")
	p := pod(rest)
	p.Kind = kind
	return p
}

// daemon reads "a/ztunnel rolled istiod.istio-system.svc:15012".
func daemon(text string) usage.Pod {
	fields := strings.Fields(text)
	namespace, name, _ := strings.Cut(fields[0], "/")
	return usage.Pod{
		Kind: "DaemonSet", Namespace: namespace, Name: name, Rolled: fields[1] == "rolled",
		Addresses: fields[2:],
	}
}

// TestConsumers runs histories of what uses a revision besides namespaces and pods that are injected by their labels.
func TestConsumers(t *testing.T) {
	t.Parallel()
	type index = *usage.Index
	for _, c := range []struct {
		reason string
		do     func(x index)
		want   []string
	}{
		{
			"what will make pods counts as they will", func(x index) {
				x.SetPod(workload("CronJob a/nightly istio.io/rev=canary"))
				x.SetPod(workload("Deployment a/web sidecar.istio.io/inject=true"))
				x.SetPod(workload("StatefulSet b/db istio.io/rev=canary"))
				x.SetNamespace(ns("b istio-injection=disabled"))
				x.SetPod(workload("Job a/done istio.io/rev=canary !"))
			}, []string{
				"canary: CronJob a/nightly; as a tag: CronJob a/nightly",
				"default: Deployment a/web; as a tag: Deployment a/web",
			},
		},
		{
			"kinds come and go by themselves", func(x index) {
				x.SetPod(workload("Deployment a/web istio.io/rev=canary"))
				x.SetPod(workload("Job a/web istio.io/rev=canary"))
				x.ReplacePods().Done()
				x.ReplaceWorkloads("Job").Done()
			}, []string{"canary: Deployment a/web; as a tag: Deployment a/web"},
		},
		{
			"a Gateway by its own label, even if its namespace says something else", func(x index) {
				x.SetNamespace(ns("a istio.io/rev=old"))
				x.SetGateway(gateway("a/g istio istio.io/rev=canary"))
			}, []string{"canary: Gateway a/g; as a tag: Gateway a/g", "old: Namespace a; as a tag: Namespace a"},
		},
		{
			"by its namespace, whatever istio-injection says", func(x index) {
				x.SetGateway(gateway("a/g istio-waypoint"))
				x.SetNamespace(ns("a istio.io/rev=canary istio-injection=disabled"))
			}, []string{"canary: Gateway a/g; as a tag: Gateway a/g"},
		},
		{
			"a label that is empty keeps the namespace's away", func(x index) {
				x.SetNamespace(ns("a istio.io/rev=canary"))
				x.SetGateway(gateway("a/g istio istio.io/rev="))
			}, []string{"canary: Namespace a; as a tag: Namespace a", "default: Gateway a/g; as a tag: Gateway a/g"},
		},
		{
			"the default validator names a revision for Gateways without a label", func(x index) {
				x.SetGateway(gateway("a/g istio-east-west"))
				x.SetDefaultValidator("canary")
			}, []string{"canary: Gateway a/g; as a tag: ", "default: Gateway a/g; as a tag: Gateway a/g"},
		},
		{
			"it goes", func(x index) {
				x.SetDefaultValidator("canary")
				x.SetGateway(gateway("a/g istio-remote"))
				x.SetDefaultValidator("")
			}, []string{"default: Gateway a/g; as a tag: Gateway a/g"},
		},
		{
			"a Gateway of a class that somebody has made of Istio's, which comes later", func(x index) {
				x.SetGateway(gateway("a/g own istio.io/rev=canary"))
				x.SetGateway(gateway("a/h nginx istio.io/rev=canary"))
				x.SetGatewayClass(usage.GatewayClass{Name: "own", Controller: "istio.io/gateway-controller"})
				x.SetGatewayClass(usage.GatewayClass{Name: "nginx", Controller: "gateway.nginx.org/controller"})
			}, []string{"canary: Gateway a/g; as a tag: Gateway a/g"},
		},
		{
			"the class goes, or is somebody else's", func(x index) {
				x.SetGatewayClass(usage.GatewayClass{Name: "own", Controller: "istio.io/gateway-controller"})
				x.SetGateway(gateway("a/g own istio.io/rev=canary"))
				x.SetGatewayClass(usage.GatewayClass{Name: "own", Controller: "example.com/x"})
			}, nil,
		},
		{
			"a ztunnel by its addresses", func(x index) {
				x.SetPod(daemon("zt/ztunnel rolled istiod-canary.istio-system.svc:15012 istiod.istio-system.svc:15012"))
			}, []string{"canary: DaemonSet zt/ztunnel; as a tag: ", "default: DaemonSet zt/ztunnel; as a tag: "},
		},
		{
			"a ztunnel that names a tag", func(x index) {
				x.SetPod(daemon("zt/ztunnel rolled istiod-revision-tag-prod.istio-system.svc:15012"))
			}, []string{"prod: DaemonSet zt/ztunnel; as a tag: DaemonSet zt/ztunnel"},
		},
		{
			"one of another cluster", func(x index) {
				x.SetPod(daemon("zt/ztunnel rolled istiod.example.com:15012"))
				x.SetPod(pod("zt/ztunnel-1 app=ztunnel"))
			}, nil,
		},
		{
			"pods of a ztunnel count while it rolls", func(x index) {
				x.SetPod(pod("zt/ztunnel-1 app=ztunnel"))
				x.SetPod(pod("zt/ztunnel-2 app=ztunnel @old"))
				x.SetPod(daemon("zt/ztunnel rolling istiod-canary.istio-system.svc:15012"))
			}, []string{
				"canary: DaemonSet zt/ztunnel; as a tag: ", "default: Pod zt/ztunnel-1; as a tag: ",
				"old: Pod zt/ztunnel-2; as a tag: ",
			},
		},
		{
			"afterwards the DaemonSet answers for them", func(x index) {
				x.SetPod(daemon("zt/ztunnel rolling istiod-canary.istio-system.svc:15012"))
				x.SetPod(pod("zt/ztunnel-1 app=ztunnel"))
				x.SetPod(daemon("zt/ztunnel rolled istiod-canary.istio-system.svc:15012"))
				x.SetPod(pod("zt/ztunnel-2 app=ztunnel @old"))
			}, []string{"canary: DaemonSet zt/ztunnel; as a tag: "},
		},
		{
			"a DaemonSet that is gone does not", func(x index) {
				x.SetPod(daemon("zt/ztunnel rolled istiod-canary.istio-system.svc:15012"))
				x.SetPod(pod("zt/ztunnel-1 app=ztunnel"))
				x.ReplaceWorkloads("DaemonSet").Done()
			}, []string{"default: Pod zt/ztunnel-1; as a tag: "},
		},
		{
			"another DaemonSet makes pods like all others", func(x index) {
				x.SetPod(workload("DaemonSet a/agent istio.io/rev=canary"))
			}, []string{"canary: DaemonSet a/agent; as a tag: DaemonSet a/agent"},
		},
	} {
		x := seen()
		c.do(x)
		if diff := cmp.Diff(c.want, state(x, "canary", "default", "old", "prod")); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
		x.ReplaceNamespaces().Done()
		x.ReplaceGateways().Done()
		x.ReplaceGatewayClasses().Done()
		x.SetDefaultValidator("")
		for _, kind := range []string{"Pod", "CronJob", "DaemonSet", "Deployment", "Job", "StatefulSet"} {
			x.ReplaceWorkloads(kind).Done()
		}
		if diff := cmp.Diff(usage.Graph{}, x.Graph(usage.Topology{}, -1)); diff != "" {
			t.Errorf("%s: names are left when all is gone: -want +got:\n%s", c.reason, diff)
		}
	}
}

// TestEnrolled: what is in ambient uses no revision, but the last that serves it.
func TestEnrolled(t *testing.T) {
	t.Parallel()
	x := seen()
	change := x.SetNamespace(ns("a istio.io/dataplane-mode=ambient"))
	if diff := cmp.Diff(usage.Change{Flipped: []string{usage.Enrolment}, Touched: []string{usage.Enrolment}},
		change); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	x.SetPod(pod("b/x istio.io/dataplane-mode=ambient"))
	x.SetPod(usage.PodOf("b", "redirected", nil, map[string]string{usage.AnnotationRedirection: "enabled"}, false))
	x.SetPod(usage.PodOf("b", "injected", map[string]string{usage.LabelDataplane: "ambient"},
		map[string]string{usage.AnnotationStatus: `{"revision":"other"}`}, false))
	x.SetPod(pod("b/out istio.io/dataplane-mode=none"))
	got := x.Graph(
		usage.Topology{Revisions: []usage.RevisionInfo{{Name: "first", LastAmbient: true}, {Name: "second"}}}, -1)
	want := `revision first: True 1
  ambient Namespace a and 2 more: label istio.io/dataplane-mode=ambient, and no other revision is left for that
revision second: False 0
unresolved other: True 1
  Pod b/injected: annotation sidecar.istio.io/status, revision other
`
	if diff := cmp.Diff(want, text(lines(got))); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var users []string
	for _, u := range got.Enrolled.Users {
		users = append(users, u.String())
	}
	if diff := cmp.Diff([]string{"Namespace a", "Pod b/redirected", "Pod b/x"}, users); diff != "" {
		t.Errorf("enrolled: -want +got:\n%s", diff)
	}
	x.SetNamespace(ns("a"))
	x.DeletePod("b", "x")
	if change = x.DeletePod("b", "redirected"); !strings.Contains(strings.Join(change.Flipped, " "), usage.Enrolment) {
		t.Errorf("the last that is enrolled goes: %+v", change)
	}
}

// TestTagsOfValues: a tag in the values of a revision holds it; when the revision is not the active one any more, only
// its users do.
func TestTagsOfValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reason, user string
		onlyUsers    bool
		want         string
	}{
		{"the active revision", "a", false, "revision r: True 1\n  Tag stable: values.revisionTags\n"},
		{"an earlier one whose tag nobody uses", "a", true, "revision r: False 0\n"},
		{
			"an earlier one whose tag somebody uses", "a istio.io/rev=stable", true,
			"revision r: True 1\n  Tag stable: values.revisionTags\n",
		},
	} {
		x := filled([]usage.Namespace{ns(c.user)}, nil)
		g := x.Graph(usage.Topology{
			Revisions: []usage.RevisionInfo{{Name: "r"}},
			Tags:      []usage.Tag{{Name: "stable", Revision: "r", ByValues: true, OnlyUsers: c.onlyUsers}},
		}, -1)
		g.Tags = nil
		if diff := cmp.Diff(c.want, text(lines(g))); diff != "" {
			t.Errorf("%s: -want +got:\n%s", c.reason, diff)
		}
	}
}
