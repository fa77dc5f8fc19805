package v1_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	v1 "github.com/lateen-io/lateen/api/v1"
)

func TestInventory(t *testing.T) {
	t.Parallel()
	ref := func(apiVersion, kind, namespace, name string) v1.ObjectReference {
		return v1.ObjectReference{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name}
	}
	deployment, service := ref("apps/v1", "Deployment", "n", "istiod"), ref("v1", "Service", "n", "istiod")
	old, current := ref("autoscaling/v2beta2", "HorizontalPodAutoscaler", "n", "istiod"), ref("autoscaling/v2",
		"HorizontalPodAutoscaler", "n", "istiod")
	elsewhere := ref("v1", "Service", "m", "istiod")
	for _, c := range []struct {
		reason       string
		a, b         v1.Inventory
		minus, union v1.Inventory
	}{
		{"Nothing and nothing.", nil, nil, nil, nil},
		{
			"What is not in the other one stays, and a union is sorted.",
			v1.Inventory{deployment, service},
			v1.Inventory{service},
			v1.Inventory{deployment},
			v1.Inventory{service, deployment},
		},
		{
			"Another namespace is another object.",
			v1.Inventory{service},
			v1.Inventory{elsewhere},
			v1.Inventory{service},
			v1.Inventory{elsewhere, service},
		},
		{"Another version of the API is the same object.", v1.Inventory{old}, v1.Inventory{current}, nil, v1.Inventory{old}},
		{
			"In a union the first one has the say about the version.",
			v1.Inventory{current},
			v1.Inventory{old},
			nil,
			v1.Inventory{current},
		},
		{"Twice is once.", v1.Inventory{service, service}, nil, v1.Inventory{service, service}, v1.Inventory{service}},
	} {
		if diff := cmp.Diff(c.minus, c.a.Minus(c.b)); diff != "" {
			t.Errorf("%s Minus: -want +got:\n%s", c.reason, diff)
		}
		if diff := cmp.Diff(c.union, c.a.Union(c.b)); diff != "" {
			t.Errorf("%s Union: -want +got:\n%s", c.reason, diff)
		}
	}
	if got, want := deployment.String()+", "+ref("v1", "Namespace", "",
		"n").String(), "Deployment n/istiod, Namespace n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
