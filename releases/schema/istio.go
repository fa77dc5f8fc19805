//go:build !istio123

package main

import "istio.io/istio/operator/pkg/apis"

// istioValues are the values of every chart, as istioctl knows it.
type istioValues = apis.Values
