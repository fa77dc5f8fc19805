package cluster

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RESTConfig makes clients that act as the administrator, and that do not limit their rate.
func (c *Cluster) RESTConfig() *rest.Config { return c.RESTConfigFor(c.Token) }

// RESTConfigFor makes clients that act as whom the token belongs to, and that do not limit their rate.
func (c *Cluster) RESTConfigFor(token string) *rest.Config {
	return &rest.Config{
		Host:            c.URL,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAData: c.CA},
		QPS:             -1,
	}
}

// KubeconfigFor gives a file for clients that act as whom the token belongs to. It is gone after the test.
func (c *Cluster) KubeconfigFor(t testing.TB, token string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "kubeconfig")
	if err := c.writeKubeconfig(file, token); err != nil {
		t.Fatal(err)
	}
	return file
}

// TokenFor gives a token of a ServiceAccount, which must exist. Who has it may do what RBAC allows the ServiceAccount,
// for an hour.
func (c *Cluster) TokenFor(t testing.TB, namespace, serviceAccount string) string {
	t.Helper()
	account := object("v1", "ServiceAccount", namespace, serviceAccount)
	request := object("authentication.k8s.io/v1", "TokenRequest", "", "")
	if err := c.api.SubResource("token").Create(t.Context(), account, request); err != nil {
		t.Fatalf("a token for the ServiceAccount %s/%s: %v", namespace, serviceAccount, err)
	}
	token, _, err := unstructured.NestedString(request.Object, "status", "token")
	if err != nil || token == "" {
		t.Fatalf("the API server gave no token for the ServiceAccount %s/%s: %v", namespace, serviceAccount, err)
	}
	return token
}

// quietClient keeps the API server's warnings to itself: they are about objects that callers have chosen.
func quietClient(config *rest.Config) (client.Client, error) {
	config = rest.CopyConfig(config)
	config.WarningHandler = rest.NoWarnings{}
	return client.New(config, client.Options{})
}

// ApplyCRDs installs the CustomResourceDefinitions in YAML files, or in the files *.yaml of directories, or brings them
// up to date, and returns when their kinds are served.
func ApplyCRDs(ctx context.Context, config *rest.Config, paths ...string) error {
	crds, err := readCRDs(paths...)
	if err != nil {
		return err
	}
	api, err := quietClient(config)
	if err != nil {
		return err
	}
	return apply(ctx, api, crds)
}

// applyObjects applies those of the options.
func (c *Cluster) applyObjects(ctx context.Context) error {
	for _, read := range c.options.objects {
		objects, err := read()
		if err != nil {
			return err
		}
		if err := apply(ctx, c.api, objects); err != nil {
			return err
		}
	}
	return nil
}

// apply applies objects in their order. CustomResourceDefinitions that follow each other are established together,
// before what comes after them.
func apply(ctx context.Context, api client.Client, objects []*unstructured.Unstructured) error {
	var pending []*unstructured.Unstructured
	for _, o := range objects {
		if !isCRD(o) {
			if err := established(ctx, api, pending); err != nil {
				return err
			}
			pending = nil
		}
		// The server may say that a kind is established some moments before it knows it everywhere.
		err := poll(ctx, func() (bool, error) {
			err := api.Apply(ctx, client.ApplyConfigurationFromUnstructured(o.DeepCopy()),
				client.FieldOwner("lateen-test-cluster"), client.ForceOwnership)
			return !meta.IsNoMatchError(err) && !isOverloaded(err), err
		})
		if err != nil {
			return fmt.Errorf("applying %s %s: %w", o.GetKind(), client.ObjectKeyFromObject(o), err)
		}
		if isCRD(o) {
			pending = append(pending, o)
		}
	}
	return established(ctx, api, pending)
}

// isOverloaded reports whether the server says that it had no time for a request.
func isOverloaded(err error) bool {
	return apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServiceUnavailable(err)
}

// established waits until the kinds of CustomResourceDefinitions are served.
func established(ctx context.Context, api client.Client, crds []*unstructured.Unstructured) error {
	for _, crd := range crds {
		current := object(crd.GetAPIVersion(), crd.GetKind(), "", crd.GetName())
		err := poll(ctx, func() (bool, error) {
			err := api.Get(ctx, client.ObjectKeyFromObject(current), current)
			return err != nil || condition(current, "Established") == "True", err
		})
		if err != nil {
			return fmt.Errorf("waiting for the kind of %s: %w", crd.GetName(), err)
		}
		if err := served(ctx, api, current); err != nil {
			return fmt.Errorf("waiting for the server to have %s: %w", crd.GetName(), err)
		}
	}
	return nil
}

// served waits until clients can find the kind of a CustomResourceDefinition, in all of its versions, and ask for it:
// that is some moments after it is established.
func served(ctx context.Context, api client.Client, crd *unstructured.Unstructured) error {
	group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
	kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
	versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
	for _, v := range versions {
		version, _ := v.(map[string]any)
		if version["served"] != true {
			continue
		}
		name, _ := version["name"].(string)
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(schema.GroupVersionKind{Group: group, Version: name, Kind: kind + "List"})
		err := poll(ctx, func() (bool, error) {
			err := api.List(ctx, list, client.Limit(1))
			return !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) && !isOverloaded(err), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// poll calls a function until it is done, or the context ends.
func poll(ctx context.Context, try func() (done bool, err error)) error {
	for {
		done, err := try()
		if done {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
}

// createNodes creates the fake nodes. What kwok does not fill in itself is here: labels that pods select nodes by, and
// addresses, of which each node has its own.
func (c *Cluster) createNodes(ctx context.Context) ([]string, error) {
	var names []string
	for i := range c.options.nodes {
		name := "node-" + strconv.Itoa(i+1)
		node := object("v1", "Node", "", name)
		node.SetLabels(map[string]string{
			"kubernetes.io/hostname": name,
			"kubernetes.io/os":       "linux",
			"kubernetes.io/arch":     runtime.GOARCH,
		})
		address := fmt.Sprintf("10.1.%d.%d", (i+1)/256, (i+1)%256)
		node.Object["status"] = map[string]any{"addresses": []any{
			map[string]any{"type": "InternalIP", "address": address},
			map[string]any{"type": "Hostname", "address": name},
		}}
		if err := c.api.Create(ctx, node); err != nil {
			return nil, fmt.Errorf("creating the node %s: %w", name, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// hasDefaultServiceAccount reports whether the controllers have begun with the namespace that is always there.
func (c *Cluster) hasDefaultServiceAccount(ctx context.Context) bool {
	account := object("v1", "ServiceAccount", "default", "default")
	return c.api.Get(ctx, client.ObjectKeyFromObject(account), account) == nil
}

// takesPods reports whether a node is ready, and no taint keeps pods from it.
func (c *Cluster) takesPods(ctx context.Context, name string) bool {
	node := object("v1", "Node", "", name)
	if c.api.Get(ctx, client.ObjectKeyFromObject(node), node) != nil {
		return false
	}
	taints, _, err := unstructured.NestedSlice(node.Object, "spec", "taints")
	return err == nil && len(taints) == 0 && condition(node, "Ready") == "True"
}

func object(apiVersion, kind, namespace, name string) *unstructured.Unstructured {
	o := &unstructured.Unstructured{}
	o.SetAPIVersion(apiVersion)
	o.SetKind(kind)
	o.SetNamespace(namespace)
	o.SetName(name)
	return o
}

// condition is the status of a condition of an object, or nothing.
func condition(o *unstructured.Unstructured, kind string) string {
	conditions, _, err := unstructured.NestedSlice(o.Object, "status", "conditions")
	if err != nil {
		return ""
	}
	for _, entry := range conditions {
		if fields, ok := entry.(map[string]any); ok && fields["type"] == kind {
			status, _ := fields["status"].(string)
			return status
		}
	}
	return ""
}
