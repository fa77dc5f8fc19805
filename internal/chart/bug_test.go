package chart_test

import (
	"testing"

	"github.com/lateen-io/lateen/internal/chart"
)

// A subchart below charts/ that Chart.yaml does not mention is loaded and rendered with the chart, and the names of its
// templates are not below templates/. Reject it like a declared dependency.
func TestBugVendoredSubchart(t *testing.T) {
	_, err := chart.Load(files(map[string]string{
		"charts/sub/Chart.yaml":       "apiVersion: v2\nname: sub\nversion: 1.0.0\n",
		"charts/sub/templates/a.yaml": "a",
	}))
	if err == nil {
		t.Error("a chart that brings another chart must be rejected")
	}
}
