package values

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// selection is a value that selects a file of the charts.
type selection struct {
	// noun is what it is called, prefix what the names of the files begin with.
	noun, prefix string
	// keys are where the charts read it: the first that is not empty counts.
	keys [][]string
	// otherwise says what else to do about one that there is not.
	otherwise string
}

// selections are those that the charts of a release have. Up to 1.23 a platform is no file; up to 1.24 a chart reads
// each in one place, since then also in another (global.profile and platform, for charts that are parts of others).
func selections(c Charts, chart string, nested bool) []selection {
	profile := selection{
		noun: "profile", prefix: "files/profile-", keys: [][]string{{"profile"}},
		otherwise: "for the default one leave it out",
	}
	platform := selection{
		noun: "platform", prefix: "files/profile-platform-", keys: [][]string{{"global", "platform"}},
		otherwise: "for any other leave it out",
	}
	if nested {
		profile.keys = append(profile.keys, []string{"global", "profile"})
		platform.keys = slices.Insert(platform.keys, 0, []string{"platform"})
	}
	out := []selection{profile, {
		noun: "compatibility version", prefix: "files/profile-compatibility-version-",
		keys:      [][]string{{"compatibilityVersion"}},
		otherwise: "for the behaviour of the version itself leave it out",
	}}
	if perFile(c, chart) {
		out = append(out, platform)
	}
	return out
}

// perFile reports whether the charts have a file for each platform, as they do since 1.24: they fail on one without.
func perFile(c Charts, chart string) bool {
	return c.HasChartFile(chart, "files/profile-platform-openshift.yaml")
}

// CheckSelections returns the profiles, platforms and compatibility versions among values that the charts of a release
// do not have. The charts would fail on them, without a place. version names the release; nested says that it is 1.25
// or newer.
func CheckSelections(v map[string]any, chart, version string, nested bool, c Charts, path string) []Problem {
	var out []Problem
	for _, s := range selections(c, chart, nested) {
		name, key := s.selected(v)
		if name == "" || c.HasChartFile(chart, s.prefix+name+".yaml") {
			continue
		}
		if s.noun == "profile" && name == "remote" && c.HasChart("istiod-remote") {
			continue // up to 1.23 this profile is a chart of its own
		}
		at := place{path: path, pointer: strings.Split(path, ".")}
		for _, k := range key {
			at = at.key(k)
		}
		out = append(out, s.problem(name, version, fileNames(c, chart, s), at))
	}
	return out
}

// selected is the name that counts, and where it is.
func (s selection) selected(v map[string]any) (name string, key []string) {
	for _, key := range s.keys {
		if name := String(v, key...); name != "" {
			return name, key
		}
	}
	return "", nil
}

func (s selection) problem(name, version string, have []string, at place) Problem {
	p := at.problem(fmt.Sprintf("the charts of Istio %s have no %s %s; there are: %s; %s", version, s.noun,
		strconv.Quote(name), strings.Join(have, ", "), s.otherwise))
	switch {
	case s.noun == "profile" && strings.HasPrefix(name, "openshift"):
		p.Message += fmt.Sprintf("; OpenShift is a platform: write spec.profile: %s instead", name)
	case s.noun != "compatibility version": // of versions, a near one is no more likely than any other
		if p.Suggestion = Closest(name, have); p.Suggestion != "" {
			p.Message += "; did you mean " + p.Suggestion + "?"
		}
	}
	return p
}

// fileNames lists the names that a selection can have.
func fileNames(c Charts, chart string, s selection) []string {
	var out []string
	for _, file := range c.ChartFiles(chart, s.prefix) {
		name := strings.TrimSuffix(strings.TrimPrefix(file, s.prefix), ".yaml")
		if s.noun == "profile" && (strings.HasPrefix(name, "platform-") ||
			strings.HasPrefix(name, "compatibility-version-")) {
			continue // files of the other two
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// ChartPlatforms are the platforms that a chart has a file for; none up to 1.23.
func ChartPlatforms(c Charts, chart string) []string {
	return fileNames(c, chart, selection{noun: "platform", prefix: "files/profile-platform-"})
}
