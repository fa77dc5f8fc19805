// Package selector decides whether two lists of label selectors can select the same thing. It is about what could be,
// not about what there is: a rendering in Git does not see the namespaces of a cluster.
package selector

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// Selector is a Kubernetes label selector.
type Selector struct {
	MatchLabels      map[string]string `json:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `json:"key"`
		Operator string   `json:"operator"`
		Values   []string `json:"values"`
	} `json:"matchExpressions"`
}

// FromValues reads meshConfig.discoverySelectors of Helm values. What cannot be read selects everything.
func FromValues(values []byte) []Selector {
	var v struct {
		MeshConfig struct {
			DiscoverySelectors []Selector `json:"discoverySelectors"`
		} `json:"meshConfig"`
	}
	if err := json.Unmarshal(values, &v); err != nil {
		return nil
	}
	return v.MeshConfig.DiscoverySelectors
}

// Overlap gives an example of labels that a selector of both lists matches, in words, or "" if there cannot be any. An
// empty list matches everything.
func Overlap(a, b []Selector) string {
	if len(a) == 0 {
		a = []Selector{{}}
	}
	if len(b) == 0 {
		b = []Selector{{}}
	}
	for _, x := range a {
		for _, y := range b {
			if example, ok := both(x, y); ok {
				return example
			}
		}
	}
	return ""
}

// demand is what selectors demand of one label.
type demand struct {
	exists, absent bool
	in             []string // one of these, if limited
	limited        bool
	notIn          []string
}

// both finds labels that two selectors match. The demands on different labels are independent of each other, so it is
// enough that each label can have a value, or be absent.
func both(x, y Selector) (string, bool) {
	demands := map[string]*demand{}
	of := func(key string) *demand {
		if demands[key] == nil {
			demands[key] = &demand{}
		}
		return demands[key]
	}
	for _, s := range []Selector{x, y} {
		for key, value := range s.MatchLabels {
			of(key).limit([]string{value})
		}
		for _, e := range s.MatchExpressions {
			d := of(e.Key)
			switch e.Operator {
			case "In":
				d.limit(e.Values)
			case "NotIn":
				d.notIn = append(d.notIn, e.Values...)
			case "Exists":
				d.exists = true
			case "DoesNotExist":
				d.absent = true
			}
		}
	}
	var labels []string
	for _, key := range slices.Sorted(maps.Keys(demands)) {
		value, needed, ok := demands[key].solve()
		if !ok {
			return "", false
		}
		if needed {
			labels = append(labels, key+"="+value)
		}
	}
	if len(labels) == 0 {
		return "one without labels", true
	}
	return "one with the labels " + strings.Join(labels, ","), true
}

// limit demands one of some values.
func (d *demand) limit(values []string) {
	if d.limited {
		values = slices.DeleteFunc(slices.Clone(d.in), func(v string) bool { return !slices.Contains(values, v) })
	}
	d.in, d.limited, d.exists = values, true, true
}

// solve finds a value that meets the demand, or that the label need not be there.
func (d *demand) solve() (value string, needed, ok bool) {
	switch {
	case !d.exists:
		return "", false, true // NotIn and DoesNotExist are met by absence
	case d.absent:
		return "", false, false
	case !d.limited:
		value = "x"
		for slices.Contains(d.notIn, value) {
			value += "x"
		}
		return value, true, true
	}
	for _, v := range d.in {
		if !slices.Contains(d.notIn, v) {
			return v, true, true
		}
	}
	return "", false, false
}
