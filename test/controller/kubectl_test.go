package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/util/jsonpath"
)

// requests does what the simplest of kubectl's commands do, without starting it: that costs more than all else in many
// tests. What it does not know in full is for kubectl, and so are the commands of the guide (env.verbatim).
type requests struct {
	client dynamic.Interface
	// mutex guards the mapper, which asks the server for its kinds again when it does not know one.
	mutex  sync.Mutex
	known  discovery.CachedDiscoveryInterface
	mapper meta.RESTMapper
}

func newRequests(config *rest.Config) (*requests, error) {
	config = rest.CopyConfig(config)
	config.UserAgent = "kubectl/in-process"
	kinds, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, err
	}
	r := &requests{known: memory.NewMemCacheClient(kinds)}
	r.mapper = restmapper.NewShortcutExpander(restmapper.NewDeferredDiscoveryRESTMapper(r.known), r.known, nil)
	r.client, err = dynamic.NewForConfig(config)
	return r, err
}

// errForKubectl says that a command is left to kubectl.
var errForKubectl = errors.New("kubectl has to do it")

// command is a command line in parts.
type command struct {
	verb  string
	words []string
	flags map[string]string
}

// switches are the flags of kubectl that need no value, and options those that do. A command with another one is for
// kubectl.
var (
	switches = []string{"--overwrite", "--wait", "--now"}
	options  = map[string]string{
		"-n": "-n", "-p": "-p", "-o": "-o", "--type": "--type", "--wait": "--wait", "--cascade": "--cascade",
		"--timeout": "--timeout", "--subresource": "--subresource", "--field-manager": "--field-manager",
	}
)

func parseCommand(args []string) (command, error) {
	c := command{verb: args[0], flags: map[string]string{}}
	for i := 1; i < len(args); i++ {
		if !strings.HasPrefix(args[i], "-") {
			c.words = append(c.words, args[i])
			continue
		}
		name, value, joined := strings.Cut(args[i], "=")
		_, takes := options[name]
		switch {
		case !joined && slices.Contains(switches, name):
			c.flags[name] = "true"
		case joined && takes:
			c.flags[name] = value
		case takes && i+1 < len(args):
			i++
			c.flags[name] = args[i]
		default:
			return c, errForKubectl
		}
	}
	return c, nil
}

// only reports whether a command has no other flags than these.
func (c command) only(flags ...string) bool {
	for name := range c.flags {
		if !slices.Contains(flags, name) {
			return false
		}
	}
	return true
}

// do carries out a command and gives what kubectl would print of it with -o jsonpath; other output is nobody's. It
// gives errForKubectl if it is not one that it knows.
func (r *requests) do(ctx context.Context, args []string) (string, error) {
	c, err := parseCommand(args)
	if err != nil {
		return "", err
	}
	switch c.verb {
	case "get":
		path, ok := strings.CutPrefix(c.flags["-o"], "jsonpath=")
		if !ok || !c.only("-n", "-o") {
			return "", errForKubectl
		}
		return r.get(ctx, c, path)
	case "create":
		if len(c.words) != 2 || c.words[0] != "namespace" || len(c.flags) > 0 {
			return "", errForKubectl
		}
		ns := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": c.words[1]},
		}}
		_, err := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}).
			Create(ctx, ns, metav1.CreateOptions{FieldManager: "kubectl-create"})
		return "", err
	case "delete":
		if !c.only("-n", "--wait", "--now", "--cascade", "--timeout") {
			return "", errForKubectl
		}
		return "", r.delete(ctx, c)
	case "label", "annotate":
		if !c.only("-n", "--overwrite") {
			return "", errForKubectl
		}
		return "", r.note(ctx, c)
	case "patch":
		if !c.only("-n", "-p", "--type", "--subresource", "--field-manager") {
			return "", errForKubectl
		}
		return "", r.patch(ctx, c)
	}
	return "", errForKubectl
}

// target is an object that a command is about.
type target struct {
	dynamic.ResourceInterface

	resource schema.GroupVersionResource
	name     string
}

// targets are the objects that the words of a command name, as "kind name…" or "kind/name…". others are words that name
// none.
func (r *requests) targets(c command, isRest func(string) bool) (all []target, others []string, err error) {
	kind := ""
	for i, word := range c.words {
		before, name, slash := strings.Cut(word, "/")
		switch {
		case i > 0 && isRest(word):
			others = append(others, word)
			continue
		case slash:
			kind = before
		case i == 0:
			kind = word
			continue
		default:
			name = word
		}
		if strings.Contains(kind, ",") {
			return nil, nil, errForKubectl
		}
		t, err := r.target(kind, c.flags["-n"], name)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, t)
	}
	if len(all) == 0 {
		return nil, nil, errForKubectl
	}
	return all, others, nil
}

func none(string) bool { return false }

func (r *requests) target(kind, namespace, name string) (target, error) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	resource, group, _ := strings.Cut(kind, ".")
	partial := schema.GroupVersionResource{Group: group, Resource: resource}
	gvk, err := r.mapper.KindFor(partial)
	if meta.IsNoMatchError(err) {
		r.forget()
		gvk, err = r.mapper.KindFor(partial)
	}
	if err != nil {
		return target{}, err
	}
	return r.of(gvk, namespace, name)
}

// forget makes the mapper ask the server for its kinds again.
func (r *requests) forget() {
	r.known.Invalidate()
	meta.MaybeResetRESTMapper(r.mapper)
}

// of needs the mutex.
func (r *requests) of(gvk schema.GroupVersionKind, namespace, name string) (target, error) {
	m, err := r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if meta.IsNoMatchError(err) {
		r.forget()
		m, err = r.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	}
	if err != nil {
		return target{}, err
	}
	if m.Scope.Name() == meta.RESTScopeNameRoot {
		return target{r.client.Resource(m.Resource), m.Resource, name}, nil
	}
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return target{r.client.Resource(m.Resource).Namespace(namespace), m.Resource, name}, nil
}

func (r *requests) get(ctx context.Context, c command, path string) (string, error) {
	all, _, err := r.targets(c, none)
	if err != nil {
		return "", err
	}
	if len(all) != 1 {
		return "", errForKubectl
	}
	o, err := all[0].Get(ctx, all[0].name, metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	var out strings.Builder
	template := jsonpath.New("out").AllowMissingKeys(true)
	if err := template.Parse(path); err != nil {
		return "", err
	}
	err = template.Execute(&out, o.Object)
	return out.String(), err
}

// delete deletes objects and waits until they are gone, as kubectl does.
func (r *requests) delete(ctx context.Context, c command) error {
	all, _, err := r.targets(c, none)
	if err != nil {
		return err
	}
	how := metav1.DeletePropagationBackground
	if v := c.flags["--cascade"]; v != "" {
		how = metav1.DeletionPropagation(strings.ToUpper(v[:1]) + v[1:])
	}
	options := metav1.DeleteOptions{PropagationPolicy: &how}
	if c.flags["--now"] == "true" {
		one := int64(1)
		options.GracePeriodSeconds = &one
	}
	limit := patience
	if v := c.flags["--timeout"]; v != "" {
		if limit, err = time.ParseDuration(v); err != nil {
			return err
		}
	}
	uids := make([]types.UID, len(all))
	for i, t := range all {
		o, err := t.Get(ctx, t.name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		uids[i] = o.GetUID()
		if err := t.Delete(ctx, t.name, options); err != nil {
			return err
		}
	}
	if c.flags["--wait"] == "false" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for i, t := range all {
		if err := t.gone(ctx, uids[i]); err != nil {
			return err
		}
	}
	return nil
}

// gone waits until an object is not there any more.
func (t target) gone(ctx context.Context, uid types.UID) error {
	for {
		o, err := t.Get(ctx, t.name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err) || err == nil && o.GetUID() != uid:
			return nil
		case err != nil:
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the end of %s %s: %w", t.resource.Resource, t.name, ctx.Err())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// note sets and removes labels or annotations.
func (r *requests) note(ctx context.Context, c command) error {
	field := map[string]string{"label": "labels", "annotate": "annotations"}[c.verb]
	all, changes, err := r.targets(c, func(word string) bool {
		return strings.Contains(word, "=") || strings.HasSuffix(word, "-")
	})
	if err != nil {
		return err
	}
	notes := map[string]any{}
	for _, change := range changes {
		if key, value, set := strings.Cut(change, "="); set {
			notes[key] = value
		} else {
			notes[strings.TrimSuffix(change, "-")] = nil
		}
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{field: notes}})
	if err != nil {
		return err
	}
	for _, t := range all {
		if c.flags["--overwrite"] != "true" {
			if err := t.untouched(ctx, field, notes); err != nil {
				return err
			}
		}
		options := metav1.PatchOptions{FieldManager: "kubectl-" + c.verb}
		if _, err := t.Patch(ctx, t.name, types.MergePatchType, patch, options); err != nil {
			return err
		}
	}
	return nil
}

// untouched is an error if a label or annotation that is to be set has another value.
func (t target) untouched(ctx context.Context, field string, notes map[string]any) error {
	o, err := t.Get(ctx, t.name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	have, _, _ := unstructured.NestedStringMap(o.Object, "metadata", field)
	for key, value := range notes {
		if old, set := have[key]; set && value != nil && old != value {
			return fmt.Errorf("%s already has the value %q, and --overwrite is not given", key, old)
		}
	}
	return nil
}

func (r *requests) patch(ctx context.Context, c command) error {
	known := map[string]types.PatchType{"merge": types.MergePatchType, "json": types.JSONPatchType}
	kind, ok := known[c.flags["--type"]]
	if !ok {
		return errForKubectl
	}
	all, _, err := r.targets(c, none)
	if err != nil {
		return err
	}
	manager := c.flags["--field-manager"]
	if manager == "" {
		manager = "kubectl-patch"
	}
	var sub []string
	if v := c.flags["--subresource"]; v != "" {
		sub = append(sub, v)
	}
	for _, t := range all {
		options := metav1.PatchOptions{FieldManager: manager}
		if _, err := t.Patch(ctx, t.name, kind, []byte(c.flags["-p"]), options, sub...); err != nil {
			return err
		}
	}
	return nil
}

// apply applies YAML on the server's side, whoever has written the fields before.
func (r *requests) apply(ctx context.Context, text string) error {
	decoder := utilyaml.NewYAMLOrJSONDecoder(strings.NewReader("---\n"+text), 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(&o.Object)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		case len(o.Object) == 0:
			continue
		}
		r.mutex.Lock()
		t, err := r.of(o.GroupVersionKind(), o.GetNamespace(), o.GetName())
		r.mutex.Unlock()
		if err != nil {
			return err
		}
		body, err := json.Marshal(o.Object)
		if err != nil {
			return err
		}
		force := true
		_, err = t.Patch(ctx, t.name, types.ApplyPatchType, body, metav1.PatchOptions{
			FieldManager: "kubectl", Force: &force, FieldValidation: metav1.FieldValidationStrict,
		})
		if err != nil {
			return err
		}
	}
}
