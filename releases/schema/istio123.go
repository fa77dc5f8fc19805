//go:build istio123

package main

import "istio.io/istio/operator/pkg/apis/istio/v1alpha1"

// istioValues are the values of every chart, as istioctl knows it.
type istioValues = v1alpha1.Values
