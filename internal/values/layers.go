// Package values computes the Helm values of a control plane: named layers and their merge, what a profile and a
// platform set, what is enforced, and the check against the schema of an Istio version.
//
// Values are JSON: map[string]any, []any, string, float64, bool and nil, as encoding/json decodes them and as Helm
// itself passes them to templates.
package values

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Merge lays the layers over each other, later ones on top: maps merge, lists and scalars are replaced, and a null
// stays a null (Helm takes it as "remove the chart's default"). The layers are not changed and share nothing with the
// result.
func Merge(layers ...map[string]any) map[string]any {
	out := map[string]any{}
	for _, l := range layers {
		mergeInto(out, l)
	}
	return out
}

func mergeInto(dst, src map[string]any) {
	for k, v := range src {
		sub, isMap := v.(map[string]any)
		if old, ok := dst[k].(map[string]any); ok && isMap {
			mergeInto(old, sub)
			continue
		}
		dst[k] = clone(v)
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	}
	return v
}

// Get returns the value at a path of keys, and whether there is one.
func Get(v map[string]any, path ...string) (any, bool) {
	var cur any = v
	for _, key := range path {
		m, ok := cur.(map[string]any)
		if !ok {
			return nil, false
		}
		if cur, ok = m[key]; !ok {
			return nil, false
		}
	}
	return cur, true
}

// String returns the text at a path, or "" if there is none or it is no text.
func String(v map[string]any, path ...string) string {
	found, _ := Get(v, path...)
	s, _ := found.(string)
	return s
}

// Bool returns the boolean at a path, or false if there is none.
func Bool(v map[string]any, path ...string) bool {
	found, _ := Get(v, path...)
	b, _ := found.(bool)
	return b
}

// External reports whether the values make a control plane whose users are in other clusters.
func External(v map[string]any) bool {
	external, _ := Get(v, "pilot", "env", "EXTERNAL_ISTIOD")
	return fmt.Sprint(external) == "true"
}

// Ambient reports whether values make a control plane that serves ambient.
func Ambient(v map[string]any) bool {
	enabled, _ := Get(v, "pilot", "env", "PILOT_ENABLE_AMBIENT")
	return fmt.Sprint(enabled) == "true" || String(v, "profile") == "ambient"
}

// Tags are the names in values.revisionTags: revision tags that the chart makes besides the revision.
func Tags(v map[string]any) []string {
	list, _ := Get(v, "revisionTags")
	all, _ := list.([]any)
	var out []string
	for _, tag := range all {
		if name, ok := tag.(string); ok && name != "" {
			out = append(out, name)
		}
	}
	return out
}

// NeedsCNI reports whether a revision with these values leaves its pods' network to the CNI plugin: pilot.cni.enabled.
// On OpenShift that is so unless the values say false. openshift is what is known of the cluster; the values may say it
// as well.
func NeedsCNI(v map[string]any, openshift bool) bool {
	if enabled, _ := Get(v, "pilot", "cni", "enabled"); enabled != nil {
		return enabled == true
	}
	profile := String(v, "profile")
	return openshift || String(v, "global", "platform") == "openshift" || profile == "openshift" ||
		profile == "openshift-ambient"
}

// Set puts a value at a path, making the maps on the way. What stands in the way and is not a map is replaced.
func Set(v map[string]any, value any, path ...string) {
	for _, key := range path[:len(path)-1] {
		next, ok := v[key].(map[string]any)
		if !ok {
			next = map[string]any{}
			v[key] = next
		}
		v = next
	}
	v[path[len(path)-1]] = value
}

// ConflictError says that the same setting was made twice, with two values.
type ConflictError struct {
	// Path is where: meshConfig.accessLogFile.
	Path          string
	First, Second any
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("spec.%[1]s is %[2]s and spec.values.%[1]s is %[3]s; set it in one place only", e.Path,
		asJSON(e.First), asJSON(e.Second))
}

func asJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	return string(data)
}

// WithMeshConfig returns the values with spec.meshConfig merged into values.meshConfig. The two are of equal rank: the
// same key may stand in both only with the same value.
func WithMeshConfig(user, meshConfig map[string]any) (map[string]any, error) {
	if len(meshConfig) == 0 {
		return user, nil
	}
	switch in := user["meshConfig"].(type) {
	case map[string]any:
		if err := disjoint("meshConfig", meshConfig, in); err != nil {
			return nil, err
		}
	case nil:
		if _, set := user["meshConfig"]; set { // null: "without any", which the other place contradicts
			return nil, &ConflictError{Path: "meshConfig", First: meshConfig, Second: nil}
		}
	}
	return Merge(map[string]any{"meshConfig": meshConfig}, user), nil
}

func disjoint(path string, a, b map[string]any) error {
	for _, k := range sortedKeys(a) {
		vb, both := b[k]
		if !both {
			continue
		}
		ma, okA := a[k].(map[string]any)
		mb, okB := vb.(map[string]any)
		if okA && okB {
			if err := disjoint(path+"."+k, ma, mb); err != nil {
				return err
			}
			continue
		}
		if !reflect.DeepEqual(a[k], vb) {
			return &ConflictError{Path: path + "." + k, First: a[k], Second: vb}
		}
	}
	return nil
}

// Charts is what layers need to know about the charts of a release.
type Charts interface {
	// HasChartFile reports whether a chart has a file, and HasChart whether there is the chart.
	HasChartFile(chart, name string) bool
	HasChart(name string) bool
	// ChartFiles lists the files of a chart whose names begin with a prefix.
	ChartFiles(chart, prefix string) []string
}

// Base is the lowest layer, Istio's profile "default".
func Base(namespace string) map[string]any {
	return map[string]any{"global": map[string]any{"istioNamespace": namespace, "configValidation": true}}
}

// Platforms are those that Istio's charts know, in some version. Charts that a user brings may know others.
var Platforms = []string{"gke", "k3d", "k3s", "microk8s", "minikube", "openshift"}

// Profiles are the values of spec.profile.
var Profiles = []string{
	"ambient", "default", "demo", "empty", "openshift", "openshift-ambient", "preview", "remote", "stable",
}

// Profile is the layer of a profile: what Istio's profiles/<name>.yaml sets as values in that release. The charts do
// the rest: they carry the profile's content as files/profile-<name>.yaml and merge it themselves. Which of these files
// a chart has is what tells the versions apart; a test compares the result with the profiles that Istio ships.
//
// empty and default set nothing: what they choose are components, and an Istio has only the control plane. In releases
// without files/profile-remote.yaml the profile remote is a chart of its own (see RemoteChart).
func Profile(name, chart string, c Charts) (map[string]any, error) {
	has := func(file string) bool { return c.HasChartFile(chart, "files/profile-"+file+".yaml") }
	platform := func(p string) map[string]any { return map[string]any{"global": map[string]any{"platform": p}} }
	switch {
	case name == "" || name == "default" || name == "empty":
		return nil, nil
	case has(name), name == "remote":
		return map[string]any{"profile": name}, nil
	case name == "openshift" && has("platform-openshift"):
		return platform("openshift"), nil
	case name == "openshift-ambient" && has("platform-openshift"):
		return Merge(map[string]any{"profile": "ambient"}, platform("openshift")), nil
	}
	return nil, fmt.Errorf("the charts of this Istio version have no profile %q; profiles are: %s", name,
		strings.Join(Profiles, ", "))
}

// Platform is the profile that a platform selects when the user selects none, and the layer above the user's values:
// global.platform, if the user left it open and the charts know the platform.
func Platform(platform, chart string, c Charts, user map[string]any) (profile string, layer map[string]any) {
	if platform == "" {
		return "", nil
	}
	if platform == "openshift" {
		profile = "openshift"
	}
	if _, set := Get(user, "global", "platform"); set {
		return profile, nil
	}
	// since 1.24 a chart fails on a platform it has no file for
	perFile := c.HasChartFile(chart, "files/profile-platform-openshift.yaml")
	if perFile && !c.HasChartFile(chart, "files/profile-platform-"+platform+".yaml") {
		return profile, nil
	}
	return profile, map[string]any{"global": map[string]any{"platform": platform}}
}

// ProfileAndPlatform are the layers below and above the user's values: of the selected profile, or else the one that
// the platform selects, and of the platform.
func ProfileAndPlatform(
	profile, platform, chart string, c Charts, user map[string]any,
) (below, above map[string]any, err error) {
	selects, above := Platform(platform, chart, c, user)
	if profile == "" {
		profile = selects
	}
	below, err = Profile(profile, chart, c)
	if _, set := Get(below, "global", "platform"); set {
		above = nil
	}
	return below, above, err
}

// RemoteChart names the chart of a control plane and adjusts its values for it. Up to 1.23 a remote control plane is
// the chart istiod-remote, which does not know a profile of that name.
func RemoteChart(v map[string]any, c Charts) (chart string, adjusted map[string]any) {
	if String(v, "profile") == "remote" && !c.HasChartFile("istiod", "files/profile-remote.yaml") &&
		c.HasChart("istiod-remote") {
		adjusted = Merge(v)
		delete(adjusted, "profile")
		return "istiod-remote", adjusted
	}
	return "istiod", v
}

// Enforce writes the settings that belong to the resource and not to its values: the revision ("" for the revision
// named default), Istio's namespace, and no defaultRevision, which only the default revision or tag decides. v is
// changed.
func Enforce(v map[string]any, revision, namespace string) {
	if revision == "default" {
		revision = ""
	}
	v["revision"] = revision
	Set(v, namespace, "global", "istioNamespace")
	delete(v, "defaultRevision")
}
