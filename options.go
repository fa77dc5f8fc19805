package lateen

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"slices"
	"strings"

	"github.com/lateen-io/lateen/internal/chart"
	"github.com/lateen-io/lateen/internal/release"
	"github.com/lateen-io/lateen/internal/resource"
	"github.com/lateen-io/lateen/internal/values"
)

// Options are what holds for a whole call. The zero value has the defaults.
//
// They are of the weakest rank: the annotation lateen.io/<option> on a resource wins, and for Transform also the key of
// a ConfigMap that is the functionConfig. Strict and AllowRemoval add up instead: what any of them says holds. Some
// values have no field, because they are about one resource at a time: lateen.io/crds: exclude and lateen.io/protect:
// teardown.
//
// Options are data. They can be copied and printed, and compared by Equal, which go-cmp calls; Render and Transform
// change nothing in them.
type Options struct {
	// Charts has the charts of Istio versions that are not bundled, or shall replace bundled ones: os.DirFS(dir), an
	// embed.FS, a zip archive, an fstest.MapFS. At its root are archives named as Helm names them (istiod-1.22.5.tgz,
	// base-1.22.5.tgz) or directories by version (1.22.5/istiod, 1.22.5/base); fs.Sub finds the root of a file system
	// that has them further down. It is read by several goroutines at once. nil means none.
	//
	// The annotation lateen.io/charts on a resource names a directory of the machine, below the working directory unless
	// it is absolute, and is read instead, whatever is given here.
	Charts fs.FS
	// KubeVersion is what charts are told about the cluster, such as v1.34.0. Empty means a fixed default.
	KubeVersion string
	// Platform is the kind of cluster: gke, k3d, k3s, microk8s, minikube or openshift, or one that the charts in Charts
	// know. Empty means any other.
	Platform string
	// CRDs adds Istio's own CustomResourceDefinitions.
	CRDs bool
	// Track also gives the Istio resources and their IstioRevisions, for a controller to follow.
	Track bool
	// ChartFailurePolicy leaves failurePolicy Ignore in validating webhooks, which istiod changes later.
	ChartFailurePolicy bool
	// Protect asks Argo CD and Flux not to prune the objects of InPlace control planes either, before they become
	// RevisionBased.
	Protect bool
	// Clusters are those that the package is applied to. Transform releases an old revision only if there is a usage
	// report of each.
	Clusters []string
	// Strict makes errors of warnings.
	Strict bool
	// AllowRemoval are resources, such as Istio/default, that have left the package and whose objects Transform may
	// remove although something may depend on them.
	AllowRemoval []string
	// FluxSubstitute says whether Flux puts in the variables, ${name}, of values after rendering.
	FluxSubstitute FluxSubstitute
}

// FluxSubstitute says whether Flux puts in the variables, ${name}, of values after rendering.
type FluxSubstitute string

// What is known about that.
const (
	// FluxSubstituteUnknown is the default: a value with a variable is a warning.
	FluxSubstituteUnknown FluxSubstitute = ""
	// FluxSubstituteNo says that variables are literal text.
	FluxSubstituteNo FluxSubstitute = "false"
	// FluxSubstituteYes says that Flux replaces them.
	FluxSubstituteYes FluxSubstitute = "true"
)

// Equal reports whether two Options ask for the same. Two file systems are the same if they are of one type and deeply
// equal.
func (o Options) Equal(other Options) bool {
	return slices.Equal(o.Clusters, other.Clusters) && slices.Equal(o.AllowRemoval, other.AllowRemoval) &&
		reflect.DeepEqual(o.withoutLists(), other.withoutLists())
}

func (o Options) withoutLists() Options {
	o.Clusters, o.AllowRemoval = nil, nil
	return o
}

// String has the fields that are set, in the syntax of Go; of Charts only the type.
func (o Options) String() string {
	var set []string
	v := reflect.ValueOf(o)
	for i := range v.NumField() {
		name, field := v.Type().Field(i).Name, v.Field(i)
		switch {
		case field.IsZero():
		case field.Kind() == reflect.Interface:
			set = append(set, fmt.Sprintf("%s: %T", name, field.Interface()))
		default:
			set = append(set, fmt.Sprintf("%s: %#v", name, field.Interface()))
		}
	}
	return "lateen.Options{" + strings.Join(set, ", ") + "}"
}

// typed are the options as the core has them; the error is an *OptionError.
func (o Options) typed() (resource.Options, error) {
	out := resource.Options{
		KubeVersion: o.KubeVersion, Platform: o.Platform, Track: o.Track, ChartFailurePolicy: o.ChartFailurePolicy,
		Clusters: o.Clusters, Strict: o.Strict, AllowRemoval: o.AllowRemoval,
		FluxSubstitute: resource.Substitute(o.FluxSubstitute),
	}
	if o.CRDs {
		out.CRDs = resource.Included
	}
	if o.Protect {
		out.Protect = resource.ProtectAll
	}
	if err := o.check(); err != nil {
		return out, err
	}
	if o.Charts != nil {
		var err error
		if out.Brought, err = release.Open("Options.Charts", o.Charts); err != nil {
			return out, &OptionError{Field: "Charts", Err: cause(err)}
		}
	}
	return out, nil
}

// check finds the first value that an option cannot have.
func (o Options) check() error {
	if _, err := chart.ParseKubeVersion(o.KubeVersion); err != nil {
		return &OptionError{Field: "KubeVersion", Value: o.KubeVersion, Err: chart.ErrKubeVersion}
	}
	if o.Platform != "" && o.Charts == nil && !slices.Contains(values.Platforms, o.Platform) {
		says := "is none that Istio's charts know (" + strings.Join(values.Platforms, ", ") +
			"): leave it empty for any other"
		if best := values.Closest(o.Platform, values.Platforms); best != "" {
			says += "; did you mean " + best + "?"
		}
		return &OptionError{Field: "Platform", Value: o.Platform, Err: errors.New(says)}
	}
	for _, owner := range o.AllowRemoval {
		if err := resource.CheckOwner(owner); err != nil {
			return &OptionError{Field: "AllowRemoval", Value: owner, Err: fmt.Errorf("cannot be: %w", err)}
		}
	}
	switch o.FluxSubstitute {
	case FluxSubstituteUnknown, FluxSubstituteNo, FluxSubstituteYes:
		return nil
	}
	return &OptionError{
		Field: "FluxSubstitute", Value: string(o.FluxSubstitute), Err: errors.New(`is none of "", "false" and "true"`),
	}
}
