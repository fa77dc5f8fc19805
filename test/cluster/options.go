package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// options are what a control plane has besides etcd and an API server.
type options struct {
	// nodes is the number of fake nodes. With one or more there are controllers, a scheduler and kwok.
	nodes int
	audit bool
	// reads are the resources of which it is written down who reads them.
	reads []schema.GroupResource
	// noWebhooks keeps the API server from calling admission webhooks.
	noWebhooks bool
	// hasty has the servers collect garbage less often.
	hasty bool
	// objects are those that are there before the controllers start.
	objects []func() ([]*unstructured.Unstructured, error)
}

// hasty gives the servers memory for time: it makes the API server, whose garbage collector has a fourth of all work
// otherwise, up to half a gigabyte larger. That is for servers which soon end.
func hasty(o *options) { o.hasty = true }

// Option adds something to a control plane.
type Option func(*options)

// WithControllers adds kube-controller-manager and kube-scheduler, and kwok with one fake node: owners take their
// dependants with them, namespaces terminate, Deployments and DaemonSets get pods, and the pods become ready.
func WithControllers() Option {
	return func(o *options) { o.nodes = max(o.nodes, 1) }
}

// WithNodes is WithControllers with n nodes, "node-1" to "node-n", and at least one.
func WithNodes(n int) Option {
	return func(o *options) { o.nodes = max(o.nodes, n, 1) }
}

// WithAudit makes the API server write down who changes what, for Cluster.Writes, and of some resources who reads them,
// for Cluster.Reads.
func WithAudit(reads ...schema.GroupResource) Option {
	return func(o *options) { o.audit, o.reads = true, append(o.reads, reads...) }
}

// WithoutWebhooks keeps the API server from calling the webhooks that are registered with it: the istiod that they name
// is a pod that only seems to run, and a pod that asks for injection would be refused. Who wants injection does it
// instead.
func WithoutWebhooks() Option {
	return func(o *options) { o.noWebhooks = true }
}

// WithObjects applies objects, in their order, before the controllers start. The function is called when the control
// plane starts, if it does.
//
// It is for CustomResourceDefinitions above all: a kind that is there from the beginning has its dependants collected
// at once, while the garbage collector looks for new kinds only every half a minute.
func WithObjects(objects func() ([]*unstructured.Unstructured, error)) Option {
	return func(o *options) { o.objects = append(o.objects, objects) }
}

// WithCRDs is WithObjects with the CustomResourceDefinitions in YAML files, or in the files *.yaml of directories.
func WithCRDs(paths ...string) Option {
	return WithObjects(func() ([]*unstructured.Unstructured, error) { return readCRDs(paths...) })
}

// readCRDs reads the CustomResourceDefinitions in files and directories. Other objects are skipped, and it is an error
// if a path has none.
func readCRDs(paths ...string) ([]*unstructured.Unstructured, error) {
	var crds []*unstructured.Unstructured
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		files := []string{path}
		if info.IsDir() {
			files, err = filepath.Glob(filepath.Join(path, "*.yaml"))
			if err != nil {
				return nil, err
			}
		}
		before := len(crds)
		for _, file := range files {
			objects, err := readObjects(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			for _, o := range objects {
				if isCRD(o) {
					crds = append(crds, o)
				}
			}
		}
		if len(crds) == before {
			return nil, fmt.Errorf("%s has no CustomResourceDefinition", path)
		}
	}
	return crds, nil
}

func isCRD(o *unstructured.Unstructured) bool {
	return o.GroupVersionKind().GroupKind().String() == "CustomResourceDefinition.apiextensions.k8s.io"
}

func readObjects(file string) ([]*unstructured.Unstructured, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var objects []*unstructured.Unstructured
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(content), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, err
		case len(o.Object) > 0:
			objects = append(objects, o)
		}
	}
}
