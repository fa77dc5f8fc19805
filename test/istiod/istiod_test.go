package istiod

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// The ports of istiod. Each has a loopback address of its own, so that they need no other ones.
const (
	webhookPort = "15017"
	readyPort   = "8080"
	servicePort = "443"
)

// istiod is one that runs.
type istiod struct {
	*process
	// address is the loopback address on which it listens, and labels those of its pods.
	address string
	labels  map[string]string
}

// istiod starts what the Deployment of a revision says, and returns when it is ready.
func (e *env) istiod(revision string) *istiod {
	e.t.Helper()
	deployment := &appsv1.Deployment{}
	name := strings.TrimSuffix("istiod-"+revision, "-default")
	e.eventually("the Deployment of "+revision, func() error {
		return e.client.Get(e.t.Context(), types.NamespacedName{Namespace: system, Name: name}, deployment)
	})
	pod := deployment.Spec.Template
	at := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == "discovery" })
	if at < 0 {
		e.t.Fatalf("%s has no container discovery", name)
	}
	i := &istiod{address: e.routes.address(), labels: pod.Labels}
	container := pod.Spec.Containers[at]
	environ, err := environment(container.Env, map[string]string{
		"metadata.name": name + "-process", "metadata.namespace": system,
		"spec.serviceAccountName": pod.Spec.ServiceAccountName,
	})
	if err != nil {
		e.t.Fatal(err)
	}
	// After those of the Deployment, so that these hold: where it is, and who it is there.
	args := slices.Concat(container.Args, []string{
		"--kubeconfig=" + e.KubeconfigFor(e.t, e.TokenFor(e.t, system, pod.Spec.ServiceAccountName)),
		"--httpAddr=" + i.address + ":" + readyPort, "--httpsAddr=" + i.address + ":" + webhookPort,
		"--grpcAddr=" + i.address + ":15010", "--secureGRPCAddr=" + i.address + ":15012",
		"--monitoringAddr=" + i.address + ":15014",
		"--ctrlz_address=" + i.address,
	})
	// What the chart mounts is optional or in memory. A directory that has nothing of it is that.
	i.process = e.run(name, environ, programs.istiod, args...)
	e.eventually("istiod of "+revision+" is ready", func() error { return isReady(e.t.Context(), i.address) })
	e.routes.add(i)
	e.t.Cleanup(func() { e.routes.drop(i) })
	return i
}

// stop ends the process, as the end of its pods does.
func (e *env) stop(i *istiod) {
	e.routes.drop(i)
	i.kill()
}

// environment are variables as the kubelet would set them. Those that depend on the limits of the container are left
// out: there are none.
func environment(vars []corev1.EnvVar, fields map[string]string) ([]string, error) {
	out := []string{"PATH=/nowhere", "HOME=/nowhere"}
	for _, v := range vars {
		switch {
		case v.ValueFrom == nil:
			out = append(out, v.Name+"="+v.Value)
		case v.ValueFrom.FieldRef != nil:
			value, known := fields[v.ValueFrom.FieldRef.FieldPath]
			if !known {
				return nil, fmt.Errorf("the variable %s is the field %s, which nobody knows here", v.Name,
					v.ValueFrom.FieldRef.FieldPath)
			}
			out = append(out, v.Name+"="+value)
		case v.ValueFrom.ResourceFieldRef == nil:
			return nil, fmt.Errorf("the variable %s comes from where nobody can look here", v.Name)
		}
	}
	return out, nil
}

func isReady(ctx context.Context, address string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+":"+readyPort+"/ready", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer closeQuietly(response.Body)
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// routes do what kube-proxy does, for the webhooks: they lead from each Service of istiod to an istiod that its
// selector selects. A Service has no address that anybody could listen on, so it is made one of type ExternalName,
// whose name is a loopback address: nobody owns these fields, and what clients check, the name in the certificate, is
// the Service's as before.
type routes struct {
	e *env
	// first is the part of the loopback addresses that is this cluster's.
	first string

	mutex    sync.Mutex
	used     int
	istiods  []*istiod
	services map[string]bool
}

// route makes routes, for the Services that there are and those to come. They end with the test.
func (e *env) route() *routes {
	e.t.Helper()
	r := &routes{e: e, services: map[string]bool{}}
	// Some tests may run at the same time: the first that listens on an address has its neighbours as well.
	for a := 1; a < 255 && r.first == ""; a++ {
		first := fmt.Sprintf("127.77.%d.", a)
		lock, err := listen(e.t.Context(), first+"1")
		if err == nil {
			e.t.Cleanup(func() { closeQuietly(lock) })
			r.first = first
		} else if errors.Is(err, fs.ErrPermission) {
			leftOut(e.t, fmt.Sprintf("the API server calls webhooks on port %s, on which this user may not listen: %v",
				servicePort, err))
		}
	}
	if r.first == "" {
		e.t.Fatal("no loopback address is free")
	}
	r.used = 1
	var wg sync.WaitGroup
	wg.Go(r.watch)
	e.t.Cleanup(wg.Wait)
	return r
}

// listen listens on the port of webhooks' Services.
func listen(ctx context.Context, address string) (net.Listener, error) {
	return (&net.ListenConfig{}).Listen(ctx, "tcp", address+":"+servicePort)
}

// address gives a loopback address that nobody has.
func (r *routes) address() string {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.used++
	return r.first + strconv.Itoa(r.used)
}

func (r *routes) add(i *istiod) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.istiods = append(r.istiods, i)
}

func (r *routes) drop(i *istiod) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.istiods = slices.DeleteFunc(r.istiods, func(other *istiod) bool { return other == i })
}

// watch looks after the Services until the test ends.
func (r *routes) watch() {
	for r.e.t.Context().Err() == nil {
		var services corev1.ServiceList
		if err := r.e.client.List(r.e.t.Context(), &services, client.InNamespace(system)); err == nil {
			for i := range services.Items {
				if s := &services.Items[i]; s.DeletionTimestamp == nil &&
					s.Spec.Type != corev1.ServiceTypeExternalName {
					r.serve(s)
				}
			}
		}
		select {
		case <-r.e.t.Context().Done():
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// serve listens for a Service, and makes it lead there.
func (r *routes) serve(s *corev1.Service) {
	address := r.address()
	listener, err := listen(r.e.t.Context(), address)
	if err != nil {
		r.e.t.Errorf("listening for the Service %s: %v", s.Name, err)
		return
	}
	go r.accept(listener, client.ObjectKeyFromObject(s))
	before := s.DeepCopy()
	s.Spec.Type, s.Spec.ExternalName = corev1.ServiceTypeExternalName, address
	s.Spec.ClusterIP, s.Spec.ClusterIPs = "", nil
	if err := r.e.client.Patch(r.e.t.Context(), s, client.MergeFrom(before),
		client.FieldOwner("lateen-test")); err != nil {
		closeQuietly(listener) // the next look tries it again
	} else {
		context.AfterFunc(r.e.t.Context(), func() { closeQuietly(listener) })
	}
}

func (r *routes) accept(listener net.Listener, service types.NamespacedName) {
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		go r.forward(connection, service)
	}
}

// forward connects somebody with an istiod that the Service selects now.
func (r *routes) forward(connection net.Conn, service types.NamespacedName) {
	defer closeQuietly(connection)
	s := &corev1.Service{}
	if err := r.e.client.Get(r.e.t.Context(), service, s); err != nil {
		return
	}
	i := r.selected(s.Spec.Selector)
	if i == nil {
		return // refused, as by a Service without endpoints
	}
	other, err := (&net.Dialer{}).DialContext(r.e.t.Context(), "tcp", i.address+":"+webhookPort)
	if err != nil {
		return
	}
	defer closeQuietly(other)
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{connection, other}, {other, connection}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}

// selected is an istiod with pods of certain labels.
func (r *routes) selected(selector map[string]string) *istiod {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	for _, i := range r.istiods {
		if len(selector) > 0 && labels.SelectorFromSet(selector).Matches(labels.Set(maps.Clone(i.labels))) {
			return i
		}
	}
	return nil
}
