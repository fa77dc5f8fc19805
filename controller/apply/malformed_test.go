package apply

import (
	"errors"
	"fmt"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"
)

func TestMalformed(t *testing.T) {
	t.Parallel()
	const wrong = "{apiVersion: apps/v1, kind: Deployment, metadata: {name: istiod}, spec: {template: {spec: " +
		"{containers: [{name: a}, {name: b, resources: {limits: {cpu: '2'}, requests: {cpu: 500m, memory: lots}}}]}}}}"
	unknown := errors.New("quantities must match the regular expression")
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "apps", Kind: "Deployment"}, "istiod", nil)
	for _, c := range []struct {
		reason, object string
		err            error
		want           string
	}{
		{
			"The field is named, and what to write.", wrong, fmt.Errorf("dry-run: %w", unknown),
			`spec.template.spec.containers[1].resources.requests.memory: "lots" is no quantity; write it like ` +
				`500m, 2 or 128Mi`,
		},
		{"The server says itself that the object is invalid.", wrong, invalid, invalid.Error()},
		{
			"The server has a trouble of its own.", "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 1}}",
			unknown, unknown.Error(),
		},
		{
			"Nobody here knows the kind.", "{apiVersion: example.com/v1, kind: Deployment, spec: {requests: {cpu: lots}}}",
			unknown, unknown.Error(),
		},
	} {
		o := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(c.object), &o.Object); err != nil {
			t.Fatal(err)
		}
		got := malformed(clientgoscheme.Scheme, o, c.err)
		if got.Error() != c.want {
			t.Errorf("%s\nwant %s\ngot  %s", c.reason, c.want, got)
		}
		if _, is := errors.AsType[*MalformedError](got); is != (c.want != c.err.Error()) {
			t.Errorf("%s got an error of the type %T", c.reason, got)
		}
	}
	o := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"spec": map[string]any{"replicas": "many"},
	}}
	if _, is := errors.AsType[*MalformedError](malformed(clientgoscheme.Scheme, o, unknown)); !is {
		t.Error("a field of another type makes an object malformed as well")
	}
}
