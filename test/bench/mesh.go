package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/lateen-io/lateen/api/v1"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/usage"
)

const (
	meshes           = 5
	revisionsPerMesh = 4
	podsPerNamespace = 20
	// tagged is the tag that namespaces with istio-injection=enabled use, and that is on the first revision.
	tagged = "default"
	// unused are revisions that nothing uses, at the end.
	unused = 2
)

// mesh is a cluster with some control planes and many pods, and what is true of it.
type mesh struct {
	client     client.Client
	revisions  []string
	namespaces int
	// pods are the names of those that are there, by namespace.
	pods [][]string
	made int
	// users is how many users each revision has: namespaces, pods and tags.
	users map[string]int
}

func newMesh(c client.Client, pods int) *mesh {
	m := &mesh{client: c, namespaces: max(1, pods/podsPerNamespace), users: map[string]int{}}
	m.pods = make([][]string, m.namespaces)
	for i := range meshes {
		for j := range revisionsPerMesh {
			m.revisions = append(m.revisions, fmt.Sprintf("mesh-%d-%s", i, strings.ReplaceAll(version(j), ".", "-")))
		}
	}
	return m
}

// version is that of the j-th revision of each mesh; the last one is the active one.
func version(j int) string {
	all := release.Bundled().Versions()
	return all[len(all)-revisionsPerMesh+j]
}

// kinds of namespaces: what selects a revision for their pods.
const (
	namespaceSelects = iota
	podsSelect
	tagSelects
	nothingSelects
)

// kind tells what selects in the i-th namespace: of ten, four, three, one and two.
func kind(i int) int {
	return []int{
		namespaceSelects, podsSelect, nothingSelects, namespaceSelects, podsSelect,
		tagSelects, namespaceSelects, podsSelect, nothingSelects, namespaceSelects,
	}[i%10]
}

// revisionOf is what the pods of the i-th namespace run, "" for no proxy.
func (m *mesh) revisionOf(i int) string {
	switch kind(i) {
	case tagSelects:
		return m.revisions[0]
	case nothingSelects:
		return ""
	}
	return m.revisions[i/10*7%(len(m.revisions)-unused)]
}

func namespace(i int) string { return fmt.Sprintf("team-%04d-services", i) }

// controlPlanes creates the Istios and their revisions, as upgrades leave them, and a tag.
func (m *mesh) controlPlanes(ctx context.Context) error {
	for i := range meshes {
		name := fmt.Sprintf("mesh-%d", i)
		if err := m.client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
			return err
		}
		istio := &v1.Istio{ObjectMeta: metav1.ObjectMeta{Name: name}}
		istio.Spec.Version, istio.Spec.Namespace = v1.Version(version(revisionsPerMesh-1)), name
		const never = 1_000_000
		istio.Spec.UpdateStrategy = &v1.IstioUpdateStrategy{
			Type: v1.UpdateStrategyRevisionBased, InactiveRevisionDeletionGracePeriodSeconds: new(int64(never)),
		}
		if err := m.client.Create(ctx, istio); err != nil {
			return err
		}
		for j := range revisionsPerMesh - 1 {
			rev := &v1.IstioRevision{ObjectMeta: metav1.ObjectMeta{Name: m.revisions[i*revisionsPerMesh+j]}}
			rev.Spec.Version, rev.Spec.Namespace = v1.Version(version(j)), name
			rev.Spec.Values = &v1.Values{Raw: fmt.Appendf(nil, `{"global":{"istioNamespace":%q},"revision":%q}`, name, rev.Name)}
			if err := errors.Join(controllerutil.SetControllerReference(istio, rev, m.client.Scheme()),
				m.client.Create(ctx, rev)); err != nil {
				return err
			}
		}
	}
	tag := &v1.IstioRevisionTag{ObjectMeta: metav1.ObjectMeta{Name: tagged}}
	tag.Spec.TargetRef = v1.IstioRevisionTagTarget{Kind: v1.TargetIstioRevision, Name: m.revisions[0]}
	m.users[m.revisions[0]]++
	return m.client.Create(ctx, tag)
}

// writers is how many requests are under way at a time.
const writers = 16

// each calls a function for the numbers below n, several at a time, until one fails.
func each(ctx context.Context, n int, f func(context.Context, int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for i := range numbers {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		numbers <- i
	}
	close(numbers)
	wg.Wait()
	return context.Cause(ctx)
}

// fill creates the namespaces and so many pods.
func (m *mesh) fill(ctx context.Context, pods int) error {
	for i := range m.namespaces {
		if kind(i) == namespaceSelects {
			m.users[m.revisionOf(i)]++
		}
	}
	err := each(ctx, m.namespaces, func(ctx context.Context, i int) error {
		ns := &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: namespace(i), Labels: map[string]string{"team": strconv.Itoa(i % 100)}},
		}
		switch kind(i) {
		case namespaceSelects:
			ns.Labels[usage.LabelRevision] = m.revisionOf(i)
		case tagSelects:
			ns.Labels[usage.LabelInjection] = "enabled"
		}
		// there is no controller that would
		account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: ns.Name, Name: "default"}}
		return errors.Join(m.client.Create(ctx, ns), m.client.Create(ctx, account))
	})
	if err != nil {
		return err
	}
	var mutex sync.Mutex
	return each(ctx, pods, func(ctx context.Context, i int) error {
		mutex.Lock()
		pod := m.next(i % m.namespaces)
		mutex.Unlock()
		return m.client.Create(ctx, pod)
	})
}

// next makes another pod of a namespace, and counts it.
func (m *mesh) next(space int) *corev1.Pod {
	m.made++
	hash := uint32(m.made) * 2654435761 //nolint:gosec // wraps around, like the hash that it looks like
	name := fmt.Sprintf("reviews-v1-%09x-%05d", hash, m.made%100_000)
	m.pods[space] = append(m.pods[space], name)
	rev := m.revisionOf(space)
	if rev != "" {
		m.users[rev]++
	}
	return podOf(namespace(space), name, rev, kind(space) == podsSelect)
}

// oldest takes the name of the oldest pod of a namespace, which is to go.
func (m *mesh) oldest(space int) *corev1.Pod {
	name := m.pods[space][0]
	m.pods[space] = m.pods[space][1:]
	if rev := m.revisionOf(space); rev != "" {
		m.users[rev]--
	}
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace(space), Name: name}}
}

// eventsPerStep is how many watch events a step of the churn makes.
const eventsPerStep = 3

// churn replaces pods, and writes something to others that changes nothing about who uses what. No revision becomes
// used or unused by it.
func (m *mesh) churn(ctx context.Context, events int) error {
	steps := events / eventsPerStep
	born, touched, gone := make([]*corev1.Pod, steps), make([]*corev1.Pod, steps), make([]*corev1.Pod, steps)
	for i := range steps {
		space := i * 7 % m.namespaces
		gone[i] = m.oldest(space)
		born[i] = m.next(space)
		touched[i] = &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: namespace(space), Name: m.pods[space][len(m.pods[space])/2]},
		}
	}
	return each(ctx, steps, func(ctx context.Context, i int) error {
		patch := client.RawPatch("application/merge-patch+json",
			fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/seen":"%d"}}}`, m.made+i))
		if err := m.client.Create(ctx, born[i]); err != nil {
			return err
		}
		// The pod in the middle may be one that is still to be created, or is gone again: then it is no event, and there are
		// very few.
		if err := client.IgnoreNotFound(m.client.Patch(ctx, touched[i], patch)); err != nil {
			return err
		}
		err := m.client.Delete(ctx, gone[i], client.GracePeriodSeconds(0))
		if apierrors.IsNotFound(err) {
			return fmt.Errorf("%s/%s has not been created yet when it is to go: there are too few pods for so much churn",
				gone[i].Namespace, gone[i].Name)
		}
		return err
	})
}

// podOf is a pod as injection leaves it: an application, a proxy and what the proxy needs. With what the server adds it
// is 10 KB as JSON.
func podOf(namespace, name, rev string, labelled bool) *corev1.Pod {
	labels := map[string]string{
		"app": "reviews", "version": "v1", "pod-template-hash": name[11:20], "app.kubernetes.io/name": "reviews",
		"app.kubernetes.io/part-of": "bookinfo",
	}
	annotations := map[string]string{
		"prometheus.io/scrape": "true", "prometheus.io/port": "9080", "kubectl.kubernetes.io/default-container": "reviews",
		"checksum/config": strings.Repeat("0123456789abcdef", 4),
	}
	if rev != "" {
		annotations[usage.LabelRevision] = rev
		annotations["sidecar.istio.io/status"] = `{"initContainers":["istio-init","istio-proxy"],"containers":null,` +
			`"volumes":["workload-socket",` +
			`"credential-socket","workload-certs","istio-envoy","istio-data","istio-podinfo","istio-token","istiod-ca-cert"],` +
			`"imagePullSecrets":null,"revision":"` + rev + `"}`
		labels["security.istio.io/tlsMode"] = "istio"
		labels["service.istio.io/canonical-name"], labels["service.istio.io/canonical-revision"] = "reviews", "v1"
	}
	if labelled {
		labels[usage.LabelRevision] = rev
	}
	requests := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("128Mi"),
		},
		Limits: corev1.ResourceList{
			corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourceMemory: resource.MustParse("1Gi"),
		},
	}
	probe := func(path string, port int) *corev1.Probe {
		return &corev1.Probe{
			ProbeHandler:  corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: path, Port: intstr.FromInt(port)}},
			PeriodSeconds: 15, TimeoutSeconds: 3, FailureThreshold: 4,
		}
	}
	env := func(n int, prefix string) []corev1.EnvVar {
		out := []corev1.EnvVar{
			{
				Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{
					FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"},
				},
			},
			{
				Name: "POD_NAMESPACE", ValueFrom: &corev1.EnvVarSource{
					FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.namespace"},
				},
			},
		}
		for i := range n {
			out = append(out, corev1.EnvVar{
				Name:  fmt.Sprintf("%s_SETTING_%02d", prefix, i),
				Value: fmt.Sprintf("https://backend-%02d.%s.svc.cluster.local:8443/v1", i, namespace),
			})
		}
		return out
	}
	mounts := func(names ...string) []corev1.VolumeMount {
		var out []corev1.VolumeMount
		for _, n := range names {
			out = append(out, corev1.VolumeMount{Name: n, MountPath: "/var/run/secrets/" + n})
		}
		return out
	}
	volumes := func(names ...string) []corev1.Volume {
		var out []corev1.Volume
		for _, n := range names {
			out = append(out, corev1.Volume{
				Name: n, VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
			})
		}
		return out
	}
	proxy := []string{"workload-socket", "credential-socket", "workload-certs", "istio-envoy", "istio-data"}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Labels: labels, Annotations: annotations,
			OwnerReferences: []metav1.OwnerReference{{
				APIVersion: "apps/v1", Kind: "ReplicaSet", Name: name[:20], UID: "8a5b1f7e-3f0e-4b43-9c5e-0d6a2f6b7c11",
				Controller: new(true), BlockOwnerDeletion: new(true),
			}},
		},
		Spec: corev1.PodSpec{
			NodeName: "node-1", // where nobody runs it
			Containers: []corev1.Container{{
				Name: "reviews", Image: "registry.example.com/bookinfo/reviews-v1@sha256:" + strings.Repeat("ab", 32),
				Env: env(8, "REVIEWS"), Resources: requests,
				Ports:         []corev1.ContainerPort{{Name: "http", ContainerPort: 9080}, {Name: "metrics", ContainerPort: 9090}},
				VolumeMounts:  mounts("tmp", "config"),
				LivenessProbe: probe("/livez", 9080), ReadinessProbe: probe("/readyz", 9080),
			}, {
				Name: "istio-proxy", Image: "registry.example.com/istio/proxyv2@sha256:" + strings.Repeat("cd", 32),
				Env: env(10, "ISTIO_META"), Resources: requests,
				Args: []string{
					"proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning",
					"--log_output_level=default:info",
				},
				Ports:        []corev1.ContainerPort{{Name: "http-envoy-prom", ContainerPort: 15090}},
				VolumeMounts: mounts(proxy...), ReadinessProbe: probe("/healthz/ready", 15021),
				StartupProbe: probe("/healthz/ready", 15021),
			}},
			Volumes: volumes(append([]string{"tmp", "config"}, proxy...)...),
		},
	}
}
